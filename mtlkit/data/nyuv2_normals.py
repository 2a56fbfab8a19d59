"""The published surface normals of NYU Depth v2 (L. Ladicky's), as the 8-bit maps that its reader takes.

They come as one pickle, ``all_normals.pklz`` of the benchmark of Goyal et al. (ICCV 2019,
https://github.com/facebookresearch/fair_self_supervision_benchmark): ``all_normals`` ``(N, 480, 640, 3)``,
``all_valid_depth_masks`` ``(N, 480, 640)`` and ``all_filenames``, frames counted from 1. Nobody states its axes, so
they are found by comparison with normals that are computed from depth.
"""

import gzip
import pickle
import shutil
from collections.abc import Callable, Iterable, Sequence
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mtlkit.errors import InputError

AGREEMENT, LEAD = 0.6, 0.02
"""Mean cosine between published and computed normals in the best system of axes, at least, and by how much it leads."""

COMPARED = 24
"""Frames, evenly spaced, that are compared."""

_NAMES = {
    ("ndarray", "numpy"), ("dtype", "numpy"), ("encode", "_codecs"),
    *((name, f"numpy.{core}.multiarray") for name in ("_reconstruct", "scalar") for core in ("core", "_core")),
    *(("_frombuffer", f"numpy.{core}.numeric") for core in ("core", "_core")),
}  # fmt: skip


class _Arrays(pickle.Unpickler):
    """Arrays, numbers and text; a pickle could call any function else."""

    def find_class(self, module: str, name: str) -> Any:
        if (name, module) not in _NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def write_maps(archive: Path, folder: Path, computed: Callable[[int], torch.Tensor], frames: int) -> None:
    """Writes a PNG a frame, ``0000.png`` on, encoded as the reader of the data set decodes it.

    The pickle is read as a whole, which takes 6 to 12 GB of memory.

    Args:
        archive: ``all_normals.pklz``.
        folder: of the maps; it is made whole or not at all.
        computed: the normals ``(3, H, W)`` of a frame, counted from 0, as computed from depth in the canonical frame: x
            to the right, y up, z towards the camera; zero where unknown.
        frames: how many there are.

    Raises:
        InputError: the pickle is damaged or holds something else, the memory does not suffice, or no system of axes
            agrees with what was computed.
    """
    content = _content(archive, frames)
    normals, masks = content["all_normals"], content["all_valid_depth_masks"]
    rows = {int(name) - 1: row for row, name in enumerate(content["all_filenames"])}
    if sorted(rows) != list(range(frames)):
        raise InputError(f"{archive} holds {len(rows)} frames, not those from 1 to {frames}; fetch it again.")
    order, signs = axes(
        archive,
        ((normals[rows[frame]] * (masks[rows[frame]] > 0)[..., None], computed(frame).permute(1, 2, 0).numpy())
         for frame in np.unique(np.linspace(0, frames - 1, COMPARED).astype(int)).tolist()),
    )  # fmt: skip
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for frame, row in rows.items():
        x, y, z = np.moveaxis(normals[row][..., order] * signs, -1, 0)
        known = (masks[row] > 0) & np.isfinite(x + y + z)
        stored = np.where(known, np.stack((x, -z, y)), 0)  # right, away from the camera, up
        pixels = np.rint((np.clip(stored, -1, 1) + 1) * 127).astype(np.uint8)
        Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1))).save(part / f"{frame:04d}.png")
    part.rename(folder)


def axes(archive: Path, pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[list[int], NDArray[np.float64]]:
    """The order and the signs of the axes in which published normals agree best with computed ones.

    Args:
        archive: for a message.
        pairs: published and computed normals ``(H, W, 3)`` of a frame; zero where unknown.

    Returns:
        Which published axis is x, y and z, and the sign of each.

    Raises:
        InputError: none agrees, or two agree nearly as well.
    """
    products, count = np.zeros((3, 3)), 0
    for published, computed in pairs:
        lengths = np.linalg.norm(published, axis=-1)
        known = (lengths > 0.5) & (np.linalg.norm(computed, axis=-1) > 0.5)
        unit = published[known] / lengths[known, None]
        products += computed[known].T.astype(np.float64) @ unit
        count += int(known.sum())
    systems = [(order, signs) for order in permutations(range(3)) for signs in product((1.0, -1.0), repeat=3)]
    cosines = [
        sum(sign * products[axis, place] for axis, (place, sign) in enumerate(zip(*system, strict=True)))
        / max(count, 1)
        for system in systems
    ]
    second, best = np.argsort(cosines)[-2:]
    if not (cosines[best] >= AGREEMENT and cosines[best] - cosines[second] >= LEAD):
        raise InputError(
            f"The axes of {archive} cannot be told: the best system agrees with normals from depth by a mean cosine of "
            f"{cosines[best]:.2f}, the next by {cosines[second]:.2f}; do without it."
        )
    order, signs = systems[best]
    return list(order), np.array(signs)


def _content(archive: Path, frames: int) -> dict[str, Any]:
    try:
        with gzip.open(archive, "rb") as file:
            content = _Arrays(file, encoding="latin1").load()
        shapes: Sequence[Any] = [np.shape(content[name]) for name in ("all_normals", "all_valid_depth_masks")]
        if shapes != [(frames, 480, 640, 3), (frames, 480, 640)] or len(content["all_filenames"]) != frames:
            raise ValueError(f"its arrays are {shapes}")
    except MemoryError as error:
        raise InputError(f"{archive} takes up to 12 GB of memory, which this machine has not left.") from error
    except Exception as error:  # a damaged pickle can end in any kind
        raise InputError(f"{archive} is not the published file ({error}); fetch it again.") from error
    return dict(content)
