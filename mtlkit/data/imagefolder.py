"""Images of one class each, in a folder per class, as torchvision's ``ImageFolder`` reads them.

::

    train/CLASS/*.jpg (or .jpeg, .png, .webp, .bmp, .tif, .tiff, in any case)
    val/CLASS/*.jpg   the same classes

Images may lie in folders below their class's. Other folders and files are left alone.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torchvision.datasets.folder import find_classes, make_dataset

from mtlkit.data.base import Division, Reader, by_groups
from mtlkit.data.images import SUFFIXES, looks_like_image, not_read, read_image
from mtlkit.data.samples import Sample, Split, checked, contents, evenly_spaced
from mtlkit.errors import InputError

_LAYOUT = "images lie in train/CLASS/ and val/CLASS/ of the data set's root folder"


class Listing(NamedTuple):
    """What a split consists of.

    Attributes:
        folder: where names start; every file lies below it.
        files: the images' paths, each ``folder``, a separator and a name.
        labels: the class id of every file.
        classes: the classes' names.
    """

    folder: str
    files: list[str]
    labels: list[int]
    classes: Sequence[str]


class ImageFolder(Reader):
    """One split of a data set whose images show one class each (see the module).

    A sample is ``image`` (``tv_tensors.Image``, uint8, ``(3, H, W)``) and the class id (int64, ``()``) under the name
    of the only task, whatever that is: several such sets can feed several tasks of one network. Names are listed
    here; an image is opened when its sample is read.

    Subclasses for other formats say in ``_list`` what there is.

    Args:
        root: the folder that holds ``train/`` and ``val/``.
        split: train or val.
        tasks: one name.

    Attributes:
        classes: the class folders' names, sorted; the place of each is its id.
        tasks: the one name.
        labels: the class id of every sample.

    Raises:
        InputError: there is not exactly one task, a folder is missing, a class folder is empty, or train and val have
            other class folders. Reading a sample: its file is no such image, is cut off, or has neither 8 nor 16
            bits.
    """

    description = "train/CLASS/* and val/CLASS/*: your own images with a class each"

    def __init__(self, root: Path, split: Split, tasks: Sequence[str] = ("label",)) -> None:
        self._root = Path(root)
        if len(tasks) != 1 or tasks[0] == "image":
            raise InputError(
                f"{self._root} has one target per image, its class, but was asked for {list(tasks)}; give one task, "
                "of another name than image."
            )
        self.tasks = checked(self._root, split, tasks, tasks)
        folder, files, labels, classes = self._list(split)
        self._folder = Path(folder)
        self.labels = labels
        self.classes = tuple(classes)
        # Cut, not Path.relative_to: a minute's difference at a million files.
        self._names = [file[len(folder) + 1 :].replace(os.sep, "/") for file in files]

    def _list(self, split: Split) -> Listing:
        """The split's files, in the order of their indices.

        Raises:
            InputError: the files are not as the format says, or a symbolic link leads to a folder that is read anyway.
        """
        classes = shared_classes(self._root)
        folder = str(self._root / split)
        numbers = {name: number for number, name in enumerate(classes)}
        found = make_dataset(folder, numbers, extensions=SUFFIXES, allow_empty=True)
        labels = [label for _, label in found]
        real: dict[str, str] = {}
        for one in sorted({os.path.dirname(file) for file, _ in found}):
            if (other := real.setdefault(os.path.realpath(one), one)) != one:
                raise InputError(
                    f"{one} is {other} under another name; remove the link, so that each image comes once."
                )
        empty = set(numbers.values()).difference(labels)
        if empty:
            raise InputError(
                f"{self._root / split / classes[min(empty)]} holds no image; every class folder needs one "
                f"({', '.join(SUFFIXES)})."
            )
        return Listing(folder, [file for file, _ in found], labels, classes)

    def overlooked(self) -> list[str]:
        """Image files of other formats, and those outside of the class folders."""
        listed = set(self._names)
        found = [
            os.path.relpath(os.path.join(parent, name), self._folder).replace(os.sep, "/")
            for parent, _, names in os.walk(self._folder, followlinks=True)
            for name in names
            if looks_like_image(name)
        ]
        return not_read(self._folder, sorted(name for name in found if name not in listed))

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self._folder / self._names[index], self._root)
        return {"image": image, self.tasks[0]: torch.tensor(self.labels[index])}

    def name_of(self, index: int) -> str:
        """The image's path below the split's folder, such as ``CLASS/file.jpg``."""
        return self._names[index]

    def development(self) -> Division:
        """Images of every class: they are listed class by class, so that blocks would hold out whole classes."""
        return by_groups(self, self.labels)

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over all names with their classes, and at most 512 evenly spaced files.

        Cheap rather than complete: to open the 1.28 million images of ImageNet would take hours. An image changed
        without a change of name keeps the digits unless it is one of the 512.
        """
        sha = hashlib.sha256()
        folder = self._folder.relative_to(self._root).as_posix()
        # Sorted: lists and file systems have orders of their own.
        samples = sorted(zip(self._names, self.labels, strict=True))
        for name, label in samples:
            sha.update(f"{folder}/{name}\0{self.classes[label]}\0".encode(errors="surrogateescape"))
        sha.update(contents(self._folder, evenly_spaced([name for name, _ in samples])))
        return sha.hexdigest()[:12]


def shared_classes(root: Path) -> list[str]:
    """The names of the class folders, sorted.

    Raises:
        InputError: ``root/train`` or ``root/val`` is missing or has no class folders, or one has a class that the
            other lacks.
    """
    classes: dict[str, list[str]] = {}
    for split in ("train", "val"):
        if not (root / split).is_dir():
            raise InputError(f"There is no folder {root / split}; {_LAYOUT}.")
        try:
            classes[split] = find_classes(root / split)[0]
        except FileNotFoundError as error:
            raise InputError(f"{root / split} holds no class folders; {_LAYOUT}.") from error
    lone = min(set(classes["train"]).symmetric_difference(classes["val"]), default=None)
    if lone is not None:
        has, lacks = ("train", "val") if lone in classes["train"] else ("val", "train")
        raise InputError(
            f"The class folder {lone!r} is in {root / has} but not in {root / lacks}; both need the same classes."
        )
    return classes["train"]
