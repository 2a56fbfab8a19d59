"""Plain folders of images: one file per sample and target, lists of names, and a table of classes.

::

    image/NAME.jpg (or .png)  RGB
    label/NAME.png            class ids, 8 bit, 255 = ignore
    normal/NAME.png           RGB or palette: round((n + 1) / 2 * 255), (0, 0, 0) = no value;
                              x to the right, y up, z from the scene towards the camera
    splits/train.txt, val.txt one NAME a line
    classes.txt               "id name" a line, ids from 0 without a gap

Endings may be in any case. Other folders (``depth/``) and files are left alone.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from mtlkit.data.base import SceneReader, misnamed
from mtlkit.data.groups import runs
from mtlkit.data.images import as_rgb, image_size, opened, read_ids, read_image
from mtlkit.data.samples import IGNORE, Normals, Sample, Split, checked, digest, unit
from mtlkit.data.splits import lines, once, read_classes
from mtlkit.errors import InputError

_FOLDERS = {"segmentation": "label", "normals": "normal"}
_DIGITS = 256  # no name of a file is longer
_SUFFIXES = {"image": (".jpg", ".jpeg", ".png")}


class Folder(SceneReader):
    """One split of a data set in the plain layout (see the module).

    Names and files are checked once, here; what is in a file when its sample is read.

    Args:
        root: the folder that holds ``image/``, ``splits/`` and the others.
        split: which list of ``splits/`` to read.
        tasks: the targets to read; the folders of other tasks may be absent.

    Raises:
        InputError: the folder, the list or ``classes.txt`` is missing or empty, a name is listed twice or in both
            lists, or it has no file.
            Reading a sample: a file is no image, has another size than its image, or holds an unknown class id.
    """

    description = "image/ label/ normal/ splits/*.txt: your own data"
    grouped_by = "run of frames"

    def __init__(self, root: Path, split: Split, tasks: Sequence[str] = ("segmentation", "normals")) -> None:
        self._root = Path(root)
        self.tasks = checked(self._root, split, tasks, _FOLDERS)
        self.classes = read_classes(self._root / "classes.txt")
        self._list = f"splits/{split}.txt"
        self._names: list[str] = []
        self._files: dict[str, list[str]] = {}
        self._find()

    def _find(self) -> None:
        lists = {
            path: lines(path, "the names of the split's samples, one a line")
            for path in (self._root / f"splits/{split}.txt" for split in ("train", "val"))
            if path == self._root / self._list or path.is_file()
        }
        listed = lists[self._root / self._list]
        if not listed:
            raise InputError(f"{self._root / self._list} is empty; it needs the names of the split's samples.")
        once(lists)
        self._names = [name for _, name in listed]
        self._others = [
            name for path, names in lists.items() if path.name != Path(self._list).name for _, name in names
        ]
        for folder in ("image", *(_FOLDERS[task] for task in self.tasks)):
            suffixes = _SUFFIXES.get(folder, (".png",))
            if not (self._root / folder).is_dir():
                raise InputError(f"There is no folder {self._root / folder}; it should hold a file for every sample.")
            # One listing instead of a look-up a name: thousands of look-ups are slow on network drives.
            there: dict[str, str] = {}
            for path in (self._root / folder).iterdir():
                if path.suffix.lower() in suffixes and (other := there.setdefault(path.stem, path.name)) != path.name:
                    both = " and ".join(sorted((other, path.name)))
                    raise InputError(f"{self._root / folder} holds {both}, two files for one sample; keep one.")
            for number, name in listed:
                if name not in there:
                    raise InputError(
                        f"{self._root / self._list}, line {number}, lists {name!r}, "
                        f"but there is no {folder}/{name}{' or '.join(suffixes)}."
                    )
            self._files[folder] = [f"{folder}/{there[name]}" for name in self._names]

    @classmethod
    def offered(cls, root: Path) -> tuple[str, ...]:
        """Those that have a folder."""
        return tuple(task for task, folder in _FOLDERS.items() if (root / folder).is_dir())

    def overlooked(self) -> list[str]:
        """Folders under names like those of targets."""
        return misnamed(self._root, _FOLDERS)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self._root / self._files["image"][index], self._root)
        sample: Sample = {"image": image}
        if "segmentation" in self.tasks:
            sample["segmentation"] = tv_tensors.Mask(torch.from_numpy(self._label(index, image.shape)))
        if "normals" in self.tasks:
            sample["normals"] = self._normals(index, image.shape)
        return sample

    def sizes(self) -> set[tuple[int, int]]:
        """From the files' headers."""
        sides = (image_size(self._root / file, self._root) for file in self._files["image"])
        return {(height, width) for width, height in sides}

    def name_of(self, index: int) -> str:
        """The name in the split's list."""
        return self._names[index]

    @cached_property
    def groups(self) -> list[str]:
        """The run of frames (:func:`mtlkit.data.groups.runs`) of every sample, where names in both lists are numbers
        that tell; else each is its own."""
        # Neither names that are no numbers nor one run for all say anything.
        numbers = all(name.isdecimal() and len(name) < _DIGITS for name in [*self._names, *self._others])
        found = runs(list(map(int, self._names)), list(map(int, self._others))) if numbers else []
        return found if len(set(found)) > 1 else self._names

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over the split's list, the classes, and its samples' images and targets."""
        names = set(self._names)
        there = [
            f"{folder}/{path.name}"
            for folder in ("image", "label", "normal", "depth")
            if (self._root / folder).is_dir()
            for path in (self._root / folder).iterdir()
            if path.stem in names
        ]
        return digest(self._root, ["classes.txt", self._list, *there])

    def _label(self, index: int, shape: Sequence[int]) -> NDArray[np.uint8]:
        label = read_ids(self._root / self._files["label"][index], self._root)
        self._fits("label", index, label.shape, shape)
        wrong = label[(label >= len(self.classes)) & (label != IGNORE)]
        if wrong.size:
            raise InputError(
                f"{self._root / self._files['label'][index]} holds the class id {wrong.max()}; classes.txt has "
                f"0 to {len(self.classes) - 1}, and {IGNORE} means ignore."
            )
        return label

    def _normals(self, index: int, shape: Sequence[int]) -> Normals:
        path = self._root / self._files["normal"][index]
        with opened(path, self._root) as image:
            if image.format != "PNG":
                raise InputError(
                    f"{path} holds {image.format} content; normals need a PNG, which keeps them as they are."
                )
            if image.mode not in ("RGB", "RGBA", "P"):
                raise InputError(f"{path} has the pixel mode {image.mode}; normals need RGB or a palette.")
            encoded = as_rgb(image, str(path)).as_subclass(Tensor).float()
        self._fits("normal", index, encoded.shape, shape)
        return unit((encoded * (2 / 255) - 1) * (encoded.sum(dim=0) > 0))

    def _fits(self, folder: str, index: int, found: Sequence[int], shape: Sequence[int]) -> None:
        if tuple(found[-2:]) != tuple(shape[-2:]):
            raise InputError(
                f"{self._root / self._files[folder][index]} is {found[-1]} x {found[-2]} pixels, but its image "
                f"{self._files['image'][index]} is {shape[-1]} x {shape[-2]}; they must agree."
            )
