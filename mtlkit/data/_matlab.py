"""Runs in a process of its own, which a damaged file may end; see :mod:`mtlkit.data.matlab`.

``mat PATH FIELD...`` writes the fields as an NPZ file to its output, ``hdf5 PATH MEMBER...`` a JSON object. No module
of this package is imported.
"""

import io
import json
import sys
from typing import Any

import numpy as np


def text(cell: Any) -> str:
    """A cell that holds one string, or nothing."""
    if np.size(cell) == 0:
        return ""
    if np.size(cell) > 1 or np.asarray(cell).dtype.kind != "U":
        raise ValueError(f"{cell!r:.80} is no text")
    return str(np.asarray(cell).item())


def mat(path: str, *fields: str) -> bytes:
    """Fields of a MATLAB 5 file, ``variable`` or ``struct.field``."""
    from scipy.io import loadmat

    found: dict[str, Any] = {}
    content = loadmat(path, variable_names=sorted({field.partition(".")[0] for field in fields}))
    for field in fields:
        variable, _, inner = field.partition(".")
        value = content.get(variable)
        if value is not None and inner:
            value = value[inner].item() if inner in (value.dtype.names or ()) else None
        if value is not None:
            cells = value.dtype.kind == "O"
            found[field] = np.array([text(cell) for cell in value.ravel()]) if cells else value.ravel()
    output = io.BytesIO()
    np.savez(output, **found)
    return output.getvalue()


def hdf5(path: str, *members: str) -> bytes:
    """Shape and kind of an HDF5 file's data sets; of what lies in other files, that it does."""
    import h5py

    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        for member in members:
            if (link := file.get(member, getlink=True)) is None:
                continue
            if not isinstance(link, h5py.HardLink) or not isinstance(file[member], h5py.Dataset):
                found[member] = "a link"
                continue
            dataset = file[member]
            if dataset.external or dataset.is_virtual:
                found[member] = "a link"
                continue
            if dataset.chunks:
                dataset.id.get_num_chunks()  # walks the index, in which damage would end a process
            found[member] = [*dataset.shape, dataset.dtype.str[1:]]
    return json.dumps(found).encode()


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write({"mat": mat, "hdf5": hdf5}[sys.argv[1]](*sys.argv[2:]))
    except Exception as error:  # SciPy raises a dozen kinds for damaged files
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
