"""MATLAB files, read in a process of their own: a damaged one can end the process inside SciPy's or HDF5's C code."""

import io
import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtlkit.errors import InputError, extra

_SECONDS = 600


def read_mat(path: Path, *fields: str) -> dict[str, NDArray[Any]]:
    """Fields of a MATLAB 5 file, ``(N,)`` each, cells as ``str``.

    Args:
        path: of the file.
        fields: names of variables, or ``struct.field``.

    Raises:
        InputError: the file is missing or damaged, or lacks a field.
    """
    found = np.load(io.BytesIO(_child("mat", path, path.stat().st_mtime_ns, *fields)), allow_pickle=False)
    for field in fields:
        if field not in found:
            raise InputError(f"{path} has no member {field.rpartition('.')[2]!r}; download the official file again.")
    return dict(found)


def describe_hdf5(path: Path, *members: str) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shapes and types of data sets in an HDF5 (MATLAB 7.3) file, those of ``members`` that it holds.

    Raises:
        InputError: the file is missing or damaged, or a member lies in another file.
    """
    found = json.loads(_child("hdf5", path, path.stat().st_mtime_ns, *members))
    for member, what in found.items():
        if isinstance(what, str):
            raise InputError(f"{path} holds {what} for {member!r}, not the data; download the official file again.")
    return {member: (tuple(shape), np.dtype(kind)) for member, (*shape, kind) in found.items()}


@lru_cache(maxsize=8)  # every split of every run asks
def _child(what: str, path: Path, changed: int, *names: str) -> bytes:
    with extra("run"):
        import h5py  # noqa: F401
        import scipy  # noqa: F401

    script = str(Path(__file__).with_name("_matlab.py"))
    try:
        done = subprocess.run(
            [sys.executable, "-P", script, what, str(path), *names], capture_output=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path} cannot be read within {_SECONDS} seconds; download it again.") from error
    kind = "a MATLAB" if what == "mat" else "an HDF5"
    if done.returncode < 0:
        raise InputError(f"{path} is not {kind} file: reading it ended the process (signal {-done.returncode}).")
    if done.returncode:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason"])[-1]
        raise InputError(f"{path} is not {kind} file ({reason}); download it again.")
    return done.stdout
