"""NYU Depth v2 from its official files: 795 training and 654 test frames, 480 x 640, 40 classes.

One folder holds ``nyu_depth_v2_labeled.mat`` (2.8 GB, MATLAB 7.3, that is HDF5) and ``splits.mat``, both from
cs.nyu.edu/~silberman, ``classMapping40.mat`` (Gupta et al., CVPR 2013), and perhaps a folder ``normals/`` of published
normal maps.

MATLAB stores columns first, so HDF5 shows every array with its axes reversed: images ``(N, 3, 640, 480)``, labels and
depths ``(N, 640, 480)``.

**Normals.** Published maps (``normals/0000.png``, numbered from 0 in the order of the labelled set) are 8 bit,
``n = x / 127 - 1`` with R to the right, G away from the camera and B up; (255, 255, 255) and (127, 127, 127) are no
value. Without that folder they are computed from the in-painted depth, see :func:`normals_from_depth`: comparable
among our own runs, not with printed numbers.

**The white frame** around every image (outside rows 44-470 and columns 40-600, from 0) is kept so that an image has
the 480 x 640 that papers score at, but no target has a value there.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from mtlkit.data.base import SceneReader
from mtlkit.data.groups import runs
from mtlkit.data.images import opened
from mtlkit.data.matlab import describe_hdf5, read_mat
from mtlkit.data.paths import inside
from mtlkit.data.samples import IGNORE, Normals, Sample, Split, checked, digest, unit
from mtlkit.data.splits import check_classes
from mtlkit.errors import InputError, extra

FX, FY, CX, CY = 518.858, 519.470, 325.582, 253.736
"""The colour camera (pixels), to which the labelled depth is aligned; NYU Depth v2 toolbox, ``camera_params.m``."""

VALID = (slice(44, 471), slice(40, 601))
"""Rows and columns inside the white frame, 427 x 561."""

_MAT, _SPLITS, _MAPPING, _NORMALS = "nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat", "normals"
_MEMBERS = {"segmentation": "labels", "normals": "depths"}


_SHAPES = {
    "images": ((3, 640, 480), "u", "bytes"),
    "labels": ((640, 480), "iu", "whole numbers"),
    "depths": ((640, 480), "f", "floating-point numbers"),
}
"""Of a frame, as HDF5 shows it, with the kinds of its numbers and what a message calls them."""


class NYUv2(SceneReader):
    """One official split of the labelled part of NYU Depth v2 (see the module); val is the official test list.

    Args:
        root: the folder of the files.
        split: train or val.
        tasks: the targets to read.

    Raises:
        InputError: a file or one of its members is missing or damaged, the split names frames that are not there,
            or ``normals/`` exists and lacks a frame. Reading a sample: a normal map is no 8-bit RGB image of the
            frame's size, or a label is not in the class mapping.
    """

    description = "nyu_depth_v2_labeled.mat with splits.mat and classMapping40.mat: the official files"
    grouped_by = "run of frames"

    def __init__(self, root: Path, split: Split, tasks: Sequence[str] = ("segmentation", "normals")) -> None:
        self._root = Path(root)
        self._split = split
        self.tasks = checked(self._root, split, tasks, _MEMBERS)
        self._handle: tuple[int, Any] | None = None
        self._published = (self._root / _NORMALS).is_dir()

        mapping = self._matlab(_MAPPING, "className", "mapClass")
        if mapping["className"].dtype.kind != "U":
            raise InputError(f"{self._root / _MAPPING} has no text in 'className'; download the official file again.")
        self.classes: tuple[str, ...] = tuple(mapping["className"].tolist())
        check_classes(self.classes, self._root / _MAPPING, most=IGNORE)
        ids = _whole(mapping["mapClass"], f"{self._root / _MAPPING}, 'mapClass',", len(self.classes))
        # Raw id 0 is "unlabelled".
        self._class_of = np.concatenate(([IGNORE], ids - 1)).astype(np.uint8)

        field = "trainNdxs" if split == "train" else "testNdxs"
        self._check_frames(field)

    @classmethod
    def arrange(cls, root: Path) -> None:
        """Writes ``normals/`` from the published normals, where these are."""
        archive = root / "surfacenormal_metadata/all_normals.pklz"
        if archive.is_file() and not (root / _NORMALS).exists():
            from mtlkit.data.nyuv2_normals import write_maps

            whole = cls(root, "train")
            ((frames, *_), _) = describe_hdf5(whole._mat(), "images")["images"]
            write_maps(archive, root / _NORMALS, whole._computed_normals, frames)

    def _check_frames(self, field: str) -> None:
        path = self._mat()
        members = ("images", *(_MEMBERS[task] for task in self.tasks))
        found = describe_hdf5(path, *members)
        count = found["images"][0][0] if "images" in found and found["images"][0] else 0
        for member in members:
            if member not in found:
                raise InputError(f"{path} has no member {member!r}; download the official file again.")
            shape, dtype = found[member]
            size, kinds, numbers = _SHAPES[member]
            wanted = (count, *size)
            if shape != wanted or dtype.kind not in kinds or (member == "images" and dtype != np.uint8):
                raise InputError(
                    f"{path} holds {member!r} of {dtype} {shape}, not {wanted} {numbers}; download the official file "
                    "again."
                )
        lists = self._matlab(_SPLITS, "trainNdxs", "testNdxs")
        frames = {name: _whole(values, f"{self._root / _SPLITS}, {name!r},", count) for name, values in lists.items()}
        every = np.concatenate(list(frames.values()))
        if len(set(every.tolist())) < len(every) or not len(frames[field]):
            raise InputError(
                f"{self._root / _SPLITS} names a frame twice or none as {field}; download the official file again."
            )
        self._frames = frames[field] - 1
        if self._published and "normals" in self.tasks:
            there = {path.name for path in (self._root / _NORMALS).iterdir()}
            missing = [frame for frame in self._frames.tolist() if f"{frame:04d}.png" not in there]
            if missing:
                raise InputError(
                    f"{self._normals_path(missing[0])} is missing ({len(missing)} of {len(self._frames)} frames); "
                    f"complete the folder, or remove it to compute normals from depth."
                )

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        frame = int(self._frames[index])
        sample: Sample = {"image": tv_tensors.Image(self._read("images", frame))}
        if "segmentation" in self.tasks:
            sample["segmentation"] = tv_tensors.Mask(self._labels(frame))
        if "normals" in self.tasks:
            normals = self._published_normals(frame) if self._published else self._computed_normals(frame)
            sample["normals"] = Normals(_inside(normals, 0))
        return sample

    def sizes(self) -> set[tuple[int, int]]:
        """The official one."""
        _, width, height = _SHAPES["images"][0]
        return {(height, width)}

    def name_of(self, index: int) -> str:
        """The frame's number in the labelled set, from 1 as in ``splits.mat``."""
        return f"{self._frames[index] + 1:04d}"

    @property
    def groups(self) -> list[str]:
        """The run of frames of every sample, frames of consecutive numbers."""
        frames = self._frames.tolist()
        return runs(frames, sorted(set(range(max(frames))) - set(frames)))

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over the split, the mapping, 64 blocks of the big file, and published normals."""
        normals = [f"{_NORMALS}/{f:04d}.png" for f in self._frames.tolist() if self._normals_path(f).is_file()]
        small = digest(self._root, [_SPLITS, _MAPPING, *normals])
        return f"{int(small, 16) ^ int(digest(self._root, [_MAT], blocks=64), 16) ^ (self._split == 'val'):012x}"

    def _labels(self, frame: int) -> Tensor:
        raw = self._read("labels", frame).numpy()
        if raw.min() < 0 or raw.max() >= len(self._class_of):
            wrong = raw.min() if raw.min() < 0 else raw.max()
            raise InputError(
                f"Frame {frame + 1} of {self._root / _MAT} has the raw label {wrong}, but {_MAPPING} maps 1 to "
                f"{len(self._class_of) - 1}; take both files from their official pages."
            )
        return _inside(torch.from_numpy(self._class_of[raw]), IGNORE)

    def _computed_normals(self, frame: int) -> Normals:
        return normals_from_depth(self._read("depths", frame))

    def _published_normals(self, frame: int) -> Normals:
        path = self._normals_path(frame)
        with opened(path, self._root) as image:
            mode, encoded = image.mode, torch.from_numpy(np.array(image))
        size = self._read("depths", frame).shape
        if mode != "RGB" or encoded.shape[:2] != size:
            raise InputError(
                f"{path} is {encoded.shape[1]} x {encoded.shape[0]} pixels of mode {mode}; a published normal map is "
                f"RGB and {size[1]} x {size[0]}."
            )
        right, away, up = encoded.permute(2, 0, 1).float() / 127 - 1
        there = ~(encoded == 255).all(dim=-1)  # (127, 127, 127) decodes to zero, which means no value already
        return unit(torch.stack((right, up, -away)) * there)

    def _normals_path(self, frame: int) -> Path:
        return self._root / _NORMALS / f"{frame:04d}.png"

    def _read(self, member: str, frame: int) -> Tensor:
        """A frame with rows before columns: ``(3, H, W)`` or ``(H, W)``."""
        # A handle shared with a forked worker shares its position in the file: each process opens its own.
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = (os.getpid(), self._open())
        try:
            stored: NDArray[Any] = self._handle[1][member][frame]
        except OSError as error:
            raise InputError(
                f"Frame {frame + 1} of {self._root / _MAT} cannot be read ({error}); download the file again."
            ) from error
        return torch.from_numpy(np.ascontiguousarray(stored.swapaxes(-1, -2)))

    def _mat(self) -> Path:
        path = self._root / _MAT
        if not path.is_file():
            raise InputError(f"There is no {path}; it is the labelled part (2.8 GB) of NYU Depth v2's official page.")
        inside(self._root, path)
        return path

    def _open(self) -> Any:
        with extra("run"):
            import h5py  # a tenth of a second, for this one format

        try:
            return h5py.File(self._mat(), "r")
        except OSError as error:
            raise InputError(f"{self._root / _MAT} is not an HDF5 file ({error}); download it again.") from error

    def _matlab(self, name: str, *fields: str) -> dict[str, NDArray[Any]]:
        path = self._root / name
        if not path.is_file():
            raise InputError(f"There is no {path}; NYUv2 needs {_MAT}, {_SPLITS} and {_MAPPING} in one folder.")
        return read_mat(path, *fields)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}


def _whole(values: NDArray[Any], where: str, most: int) -> NDArray[np.int64]:
    """Numbers from a file as whole ones.

    Raises:
        InputError: they are no whole numbers from 1 to ``most``.
    """
    if values.dtype.kind not in "iuf":
        raise InputError(f"{where} holds {values.dtype}; it should hold whole numbers from 1 to {most}.")
    wrong = next((each for each in values.tolist() if not (1 <= each <= most and each == int(each))), None)
    if wrong is not None:
        raise InputError(
            f"{where} holds {wrong}; it should hold whole numbers from 1 to {most}: take the official files."
        )
    return values.astype(np.int64)


def normals_from_depth(depth: Tensor, radius: int = 10, spread: float = 0.01) -> Normals:
    """Surface normals of a depth map, by a plane fit around every pixel.

    On a plane the inverse depth is affine in the pixel position, ``1 / z = a u + b v + c``; a least-squares fit over
    a square window is three running sums. Window and threshold suit the Kinect, whose noise is constant in inverse
    depth (about 0.003 / m): 21 pixels leave a few degrees of noise and round creases over as many pixels. A frame of
    480 x 640 takes about 0.1 s on one core.

    Args:
        depth: ``(H, W)``, metres, of the colour camera's full frame; 0 or not finite where unknown.
        radius: the window has ``2 radius + 1`` pixels on a side.
        spread: root mean square misfit (1 / m) above which a window is no plane, but an edge between surfaces.

    Returns:
        ``(3, H, W)``; zero at edges, near unknown depth and within ``radius`` of the border.
    """
    known = torch.isfinite(depth) & (depth > 0)
    height, width = depth.shape
    if min(height, width) <= 2 * radius:
        return Normals(torch.zeros(3, height, width))
    # Double precision: the fit and its misfit are small differences of large sums.
    inverse = torch.where(known, 1 / depth.double(), 0.0)
    u = torch.arange(width, dtype=torch.float64) - CX
    v = torch.arange(height, dtype=torch.float64)[:, None] - CY
    inner = (slice(radius, height - radius), slice(radius, width - radius))
    count = (2 * radius + 1) ** 2
    spacing = count * radius * (radius + 1) / 3  # sum over a window of its squared columns, counted from its centre

    total = _windows(inverse, radius)
    a = (_windows(u * inverse, radius) - u[inner[1]] * total) / spacing
    b = (_windows(v * inverse, radius) - v[inner[0]] * total) / spacing
    mean = total / count
    misfit = _windows(inverse.square(), radius) / count - mean.square() - (a.square() + b.square()) * spacing / count
    whole = (_windows(known.double(), radius) > count - 0.5) & (misfit < spread**2)

    # The gradient in ray coordinates points away from the camera, rows grow downwards: x = -a, y = +b, z = +c.
    plane = torch.stack((-a * FX, b * FY, mean - a * u[inner[1]] - b * v[inner[0]]))
    normals = torch.zeros(3, height, width)
    normals[(slice(None), *inner)] = unit(plane * whole, least=1e-6)
    return Normals(normals)


def _windows(values: Tensor, radius: int) -> Tensor:
    """Sums over all square windows that lie inside ``(H, W)``, by running sums: the cost does not grow with them."""
    for axis in (0, 1):
        running = torch.cat((torch.zeros_like(values.narrow(axis, 0, 1)), values.cumsum(axis)), dim=axis)
        steps = values.shape[axis] - 2 * radius
        values = running.narrow(axis, 2 * radius + 1, steps) - running.narrow(axis, 0, steps)
    return values


def _inside(values: Tensor, outside: int) -> Tensor:
    """``values`` ``(..., 480, 640)`` with ``outside`` wherever the image has its white frame."""
    framed = torch.full_like(values, outside)
    framed[(..., *VALID)] = values[(..., *VALID)]
    return framed
