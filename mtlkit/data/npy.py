"""Arrays as the multi-task repositories share them: ``{train,val}/{image,label,normal,depth}/{0..n-1}.npy``.

The layout of lorenmt/mtan, used by LibMTL, auto-lambda and others for NYU v2 at 288 x 384 with 13 classes: images
``(H, W, 3)`` float in [0, 1] (or uint8), labels ``(H, W)`` with -1 for void, normals ``(H, W, 3)`` with the zero
vector and depths ``(H, W)`` or ``(H, W, 1)``, metres, with 0 where there is no value.

**Axes of the normals.** mtan's preparing code is lost, but its author says that its normals were taken straight
from the maps published at cs.nyu.edu/~deigen/dnl (lorenmt/mtan, issue 10): x to the right, y *away* from the camera,
z up. That is how files without a ``world.json`` are read. Data that says otherwise does so there, under ``axes``.

**Classes.** Those of a ``classes.txt`` ("id name" a line, as in the folder layout); without one, the 13 of NYU v2.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from mtlkit.data.base import SceneReader, misnamed
from mtlkit.data.paths import inside
from mtlkit.data.samples import IGNORE, Depth, Normals, Sample, Split, checked, contents, unit
from mtlkit.data.splits import read_classes
from mtlkit.errors import InputError, unknown
from mtlkit.files import SUMS, regular

CLASSES: tuple[str, ...] = (
    *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects"),
    *("picture", "sofa", "table", "tv", "wall", "window"),
)
"""The 13 classes of NYU v2 (Couprie et al., 2013) in the order of their ids."""

PUBLISHED_AXES = "x right, y away from the camera, z up"
CANONICAL_AXES = "x right, y up, z towards the camera"

FARTHEST = 1000.0
"""Metres beyond which a depth is taken for a mistake (millimetres, say)."""

_WORLD = ("axes", "world", "revision", "seed", "train", "val", "height", "width")
"""What may stand in a ``world.json``; all but the axes are of drawn worlds, and not read."""

_FOLDERS = {"segmentation": "label", "normals": "normal", "depth": "depth"}


class Npy(SceneReader):
    """One split of a data set of numbered arrays (see the module).

    Float images become 8 bit, as every data set's are in memory.

    Args:
        root: the folder that holds ``train/``, ``val/`` and perhaps ``world.json`` and ``classes.txt``.
        split: train or val.
        tasks: the targets to read; the folders of other tasks may be absent.

    Raises:
        InputError: a folder is missing or empty, a number is missing, ``world.json`` names no axes, unknown ones or
            something else, or ``classes.txt`` is empty or no list of classes.
            Reading a sample: a file is no array of the right shape or range, or holds an unknown class id.
    """

    description = "{train,val}/{image,label,depth,normal}/0.npy, ...: the layout multi-task repositories share"

    def __init__(self, root: Path, split: Split, tasks: Sequence[str] = ("segmentation", "normals")) -> None:
        self._root = Path(root)
        self._split: str = split
        self.tasks = checked(self._root, split, tasks, _FOLDERS)
        self._axes = _axes(self._root / "world.json")
        named = self._root / "classes.txt"
        self.classes = read_classes(named) if named.exists() else CLASSES
        read = ("image", *(_FOLDERS[task] for task in self.tasks))
        # Targets that are not read count too: a set must not shrink because its last images are missing.
        beside = [name for name in _FOLDERS.values() if name not in read and any((self._root / split / name).glob("*"))]
        numbers = {folder: self._numbers(folder) for folder in (*read, *beside)}
        self._length = max((number + 1 for there in numbers.values() for number in there), default=0)
        for folder, there in ((folder, numbers[folder]) for folder in read):
            if not there:
                raise InputError(f"{self._root / split / folder} holds no array; its files are 0.npy, 1.npy and so on.")
            missing = next((number for number in range(self._length) if number not in there), None)
            if missing is not None:
                raise InputError(
                    f"{self._path(folder, missing)} is missing; the files of this split are numbered from 0 to "
                    f"{self._length - 1} without a gap."
                )

    @classmethod
    def offered(cls, root: Path) -> tuple[str, ...]:
        """Those that have a folder in a split."""
        return tuple(task for task, folder in _FOLDERS.items() if any(root.glob(f"*/{folder}/*.npy")))

    @classmethod
    def arrange(cls, root: Path) -> None:
        """Takes the splits out of a folder that a copy may have around them."""
        around = [path.parent for path in root.glob("*/train") if path.is_dir()]
        if not (root / "train").exists() and len(around) == 1:
            for path in list(around[0].iterdir()):
                path.rename(root / path.name)

    def _path(self, folder: str, index: int) -> Path:
        return self._root / self._split / folder / f"{index}.npy"

    def _numbers(self, folder: str) -> set[int]:
        path = self._root / self._split / folder
        if not path.is_dir():
            raise InputError(f"There is no folder {path}; it should hold 0.npy, 1.npy and so on.")
        return {
            int(file.stem) for file in path.glob("*.npy") if file.stem.isdecimal() and file.stem == f"{int(file.stem)}"
        }

    def overlooked(self) -> list[str]:
        """Folders under names like those of targets."""
        return misnamed(self._root / self._split, _FOLDERS)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._length:
            raise IndexError(index)
        image = self._image(index)
        sample: Sample = {"image": image}
        if "segmentation" in self.tasks:
            sample["segmentation"] = self._label(index, image.shape)
        if "normals" in self.tasks:
            sample["normals"] = self._normals(index, image.shape)
        if "depth" in self.tasks:
            sample["depth"] = self._depth(index, image.shape)
        return sample

    def sizes(self) -> set[tuple[int, int]]:
        """From the arrays' headers."""
        return {self._size(index) for index in range(self._length)}

    def name_of(self, index: int) -> str:
        """The number of the sample's files."""
        return str(index)

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over ``world.json``, ``classes.txt`` and all arrays of the split."""
        arrays = [
            f"{self._split}/{folder}/{number}.npy"
            for folder in ("image", "label", "normal", "depth")
            if (self._root / self._split / folder).is_dir()
            for number in self._numbers(folder)
        ]
        beside = [name for name in ("classes.txt", "world.json") if (self._root / name).is_file()]
        files = sorted([*beside, *arrays])
        # Whole: arrays of one shape have one size, so a corrected one would hide between the blocks of a digest.
        return hashlib.sha256("\0".join(files).encode() + contents(self._root, files)).hexdigest()[:12]

    def _image(self, index: int) -> Tensor:
        pixels = self._load("image", index, 3)
        if pixels.dtype.kind in "iu" and pixels.dtype != np.uint8:
            raise InputError(f"{self._path('image', index)} is an array of {pixels.dtype}; whole numbers need uint8.")
        if pixels.dtype != np.uint8:
            self._within("image", index, pixels, 0.0, 1.0)
            pixels = np.rint(pixels * 255).astype(np.uint8)
        image: Tensor = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
        return image

    def _size(self, index: int) -> tuple[int, int]:
        path = self._path("image", index)
        inside(self._root, path)
        regular(path)
        try:
            height, width, *_ = np.lib.format.open_memmap(path, mode="r").shape
        except Exception as error:  # NumPy parses the header as Python
            raise _unreadable(path, error) from error
        return height, width

    def _label(self, index: int, shape: Sequence[int]) -> Tensor:
        label = self._load("label", index, 1, shape)
        wrong = label[~np.isin(label, np.arange(-1, len(self.classes)))]
        if wrong.size:
            raise InputError(
                f"{self._path('label', index)} holds the class id {wrong[0]}; valid are 0 to {len(self.classes) - 1}, "
                "and -1 for void."
            )
        mask: Tensor = tv_tensors.Mask(torch.from_numpy(np.where(label < 0, IGNORE, label).astype(np.uint8)))
        return mask

    def _normals(self, index: int, shape: Sequence[int]) -> Normals:
        vectors = self._load("normal", index, 3, shape)
        # Rounding to 8 bit overshoots by 1/127.
        self._within("normal", index, vectors, -1.01, 1.01, "; (0, 0, 0) stands for unknown")
        x, y, z = torch.from_numpy(vectors.astype(np.float32)).unbind(-1)
        return unit(torch.stack((x, y, z) if self._axes == CANONICAL_AXES else (x, z, -y)))

    def _depth(self, index: int, shape: Sequence[int]) -> Depth:
        depth = self._load("depth", index, 1, shape)
        self._within("depth", index, depth, 0.0, FARTHEST, " metres; 0 stands for unknown")
        return Depth(depth.astype(np.float32))

    def _load(self, folder: str, index: int, channels: int, shape: Sequence[int] | None = None) -> NDArray[Any]:
        """An array ``(H, W, 3)`` or, with one channel, ``(H, W)``, of the image's height and width."""
        path = self._path(folder, index)
        inside(self._root, path)
        regular(path)
        try:
            with path.open("rb") as file:  # np.load takes archives and, in what is damaged, pickles to be meant
                array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        except Exception as error:  # NumPy parses the header as Python
            raise _unreadable(path, error) from error
        if channels == 1 and array.ndim == 3 and array.shape[2] == 1:
            array = array[..., 0]
        size = "(height, width)" if shape is None else f"({shape[-2]}, {shape[-1]})"
        trailing = () if channels == 1 else (channels,)
        if (
            array.ndim != 2 + len(trailing)
            or array.shape[2:] != trailing
            or array.dtype.kind not in "iuf"
            or not array.size
        ):
            right = False
        else:
            right = shape is None or array.shape[:2] == tuple(shape[-2:])
        if not right:
            raise InputError(
                f"{path} is an array {array.shape} of {array.dtype}; it should be {size}"
                f"{f' x {channels} channels' if trailing else ''} of numbers."
            )
        return array

    def _within(self, folder: str, index: int, array: NDArray[Any], low: float, high: float, further: str = "") -> None:
        least, most = array.min(), array.max()
        if not (least >= low and most <= high):  # written so that NaN fails too
            raise InputError(
                f"{self._path(folder, index)} holds values from {least:.4g} to {most:.4g}; they should lie between "
                f"{low:.0f} and {high:.0f}{further}."
            )


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read as an array ({error}); copy or write it again.")


def _axes(world: Path) -> str:
    if not world.exists():
        if (world.parent / SUMS).exists():  # its axes would be mistaken
            raise InputError(f"{world.parent} is a drawn world without {world.name}; draw it again.")
        return PUBLISHED_AXES
    regular(world)
    try:
        found = json.loads(world.read_text(encoding="utf-8"))
        keys = list(found.keys())
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{world} is not a JSON object ({error}); write the data set again.") from error
    for key in keys:
        if key not in _WORLD:
            raise unknown(f"key in {world}", key, _WORLD)
    if "axes" not in keys:
        raise InputError(f'{world} has no axes; add "axes": "{CANONICAL_AXES}" or "{PUBLISHED_AXES}".')
    axes = str(found["axes"])
    if axes not in (PUBLISHED_AXES, CANONICAL_AXES):
        raise unknown(f"system of axes in {world}", axes, (PUBLISHED_AXES, CANONICAL_AXES))
    return axes
