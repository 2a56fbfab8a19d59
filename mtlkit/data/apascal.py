"""aPascal: objects of PASCAL VOC 2008 with a class, a box and 64 attributes each (Farhadi et al., CVPR 2009).

::

    JPEGImages/NAME.jpg
    attribute_data/apascal_train.txt, apascal_test.txt   a row per object, see below; val is the test list
    attribute_data/attribute_names.txt                   one name per line, in the order of the columns
    attribute_data/class_names.txt                       one name per line; the first 20 are the classes

A row is the image's file name, a class, ``xmin ymin xmax ymax`` in pixels counted from 1, the last ones included, and
a zero or one for every attribute, with spaces between. Other files are left alone.
"""

import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from mtlkit.data.base import ObjectReader
from mtlkit.data.faults import Fault, Faults, Faulty
from mtlkit.data.images import image_size, read_image
from mtlkit.data.samples import Sample, Split, checked, contents, digest
from mtlkit.data.splits import lines, once, parse_number
from mtlkit.errors import InputError, suggestion

_IMAGES, _CLASSES, _ATTRIBUTES = "JPEGImages", "attribute_data/class_names.txt", "attribute_data/attribute_names.txt"
_LISTS = {"train": "attribute_data/apascal_train.txt", "val": "attribute_data/apascal_test.txt"}
_CLASS_COUNT = 20  # class_names.txt goes on with the classes of aYahoo, another data set
_TASKS = ("detection", "attributes")


class Objects(NamedTuple):
    """What a split holds.

    Attributes:
        classes: class -> objects.
        attributes: attribute -> objects that have it.
    """

    classes: dict[str, int]
    attributes: dict[str, int]


class _Row(NamedTuple):
    image: str
    box: tuple[float, float, float, float]
    label: int
    attributes: NDArray[np.uint8]


class APascal(ObjectReader):
    """One split of aPascal (see the module): one sample per image, in the order in which the list first names them.

    A sample is ``image`` (``tv_tensors.Image``, uint8, ``(3, H, W)``), ``boxes`` (``tv_tensors.BoundingBoxes``,
    float32, ``(R, 4)``, XYXY: the edges of the R objects, from 0 at the image's upper left corner to its width and
    height), and by task ``detection`` (class ids, int64, ``(R,)``) and ``attributes`` (uint8, ``(R, A)``, 0 or 1).

    Every row is checked here, against the sizes in its image's header too; an image is decoded when its sample is
    read. An image that is damaged is refused whatever ``faulty`` says.

    Args:
        root: the folder that holds ``JPEGImages/`` and ``attribute_data/``.
        split: train, or val for the test list.
        tasks: the targets to read; boxes are always read.
        faulty: refuse the list for its first bad row, or skip such rows; an image none of whose rows is left is no
            sample.

    Attributes:
        classes: the classes' names; the place of each is its id.
        attributes: the attributes' names, in the order of the columns.
        tasks: as given.
        skipped: reason -> rows that were left out for it.
        faults: reason -> a sentence about each of them.

    Raises:
        InputError: a file or folder is missing, empty or no text, a name occurs twice, an image's header cannot be
            read, or no good row is left. Unless bad rows are skipped: a row has too few or too many fields, an unknown
            class, a coordinate that is no number, an attribute that is neither 0 nor 1, an empty box, one that
            reaches out of its image, or an image that is not there. Reading a sample: its image is cut off.
    """

    description = "JPEGImages/ and attribute_data/: objects of PASCAL VOC 2008 with boxes and attributes"
    settings = {"faulty": "faulty"}

    def __init__(
        self,
        root: Path,
        split: Split,
        tasks: Sequence[str] = _TASKS,
        faulty: Faulty = "refuse",
    ) -> None:
        self._root = Path(root)
        self.tasks = checked(self._root, split, tasks, _TASKS)
        self._faults = Faults(faulty, "rows")
        self.skipped, self.faults = self._faults.skipped, self._faults.sentences
        self.classes = _names(self._root / _CLASSES)[:_CLASS_COUNT]
        self.attributes = _names(self._root / _ATTRIBUTES)
        if not (self._root / _IMAGES).is_dir():
            raise InputError(f"There is no folder {self._root / _IMAGES}; it should hold the images.")
        self._list = _LISTS[split]
        self._images: list[str] = []
        self._rows: list[list[_Row]] = []
        self._read()
        self.objects = list(map(len, self._rows))

    @classmethod
    def arrange(cls, root: Path) -> None:
        """Takes the images out of the folders of VOC's archive."""
        images = root / "VOCdevkit/VOC2008" / _IMAGES
        if images.is_dir() and not (root / _IMAGES).exists():
            images.rename(root / _IMAGES)

    def _read(self) -> None:
        path, ids = self._root / self._list, {name: number for number, name in enumerate(self.classes)}
        # One listing instead of a look-up a row: thousands of look-ups are slow on network drives.
        there, sizes = set(os.listdir(self._root / _IMAGES)), dict[str, tuple[int, int]]()
        listed = lines(path, "a row for every object")
        lists = {
            self._root / name: lines(self._root / name, "") for name in _LISTS.values() if (self._root / name).is_file()
        }
        # The first line of every image, which has as many as objects.
        first = {path: {line.split()[0]: at for at, line in reversed(of)} for path, of in lists.items()}
        once({path: [(at, name) for name, at in of.items()] for path, of in first.items()})
        rows: dict[str, list[_Row]] = {}
        for at, line in listed:
            try:
                row = self._row(line, ids)
                self._place(row, there, sizes)
            except Fault as fault:
                self._faults.add(f"{path}, line {at},", fault)
            else:
                rows.setdefault(row.image, []).append(row)
        if not rows:
            raise InputError(f"{path} holds {self._faults.only('row')}; it needs a row for every object.")
        self._images, self._rows = list(rows), list(rows.values())

    def _row(self, line: str, ids: dict[str, int]) -> _Row:
        """A row as it stands, its image not looked for.

        Raises:
            Fault: it is no row.
        """
        fields, count = line.split(), len(self.attributes)
        if len(fields) != 6 + count:
            raise Fault(
                "number of fields",
                f"has {len(fields)} fields; a row has {6 + count}: an image, a class, four coordinates and {count} "
                "zeros or ones.",
            )
        image, name, box, flags = fields[0], fields[1], fields[2:6], fields[6:]
        if name not in ids:
            raise Fault(
                "unknown class",
                f"has the class {name!r}, which is not among the first {_CLASS_COUNT} of {_CLASSES}; "
                f"{suggestion(name, ids)}",
            )
        left, top, right, bottom = (_number(text) for text in box)
        if not (left <= right and top <= bottom):
            raise Fault(
                "empty box",
                f"has the empty box {' '.join(box)}; xmin must not be above xmax, nor ymin above ymax.",
            )
        wrong = next((column for column, flag in enumerate(flags) if flag not in ("0", "1")), None)
        if wrong is not None:
            raise Fault(
                "attribute neither 0 nor 1",
                f"has {flags[wrong]!r} for the attribute {self.attributes[wrong]!r}; it should be 0 or 1.",
            )
        values = np.frombuffer("".join(flags).encode(), np.uint8) - ord("0")
        return _Row(image, (left - 1, top - 1, right, bottom), ids[name], values)

    def _place(self, row: _Row, there: set[str], sizes: dict[str, tuple[int, int]]) -> None:
        """Looks for the row's image among the files ``there`` and adds its width and height to ``sizes``.

        Raises:
            Fault: the image is missing, or too small for the box.
            InputError: it is damaged.
        """
        if row.image not in there:
            raise Fault(
                "missing image",
                f"names the image {row.image!r}, but there is no {_IMAGES}/{row.image}; add it or remove the row.",
            )
        if row.image not in sizes:
            sizes[row.image] = image_size(self._root / _IMAGES / row.image, self._root)
        (left, top, right, bottom), (width, height) = row.box, sizes[row.image]
        if left < 0 or top < 0 or right > width or bottom > height:
            raise Fault(
                "box outside its image",
                f"has the box {left + 1:g} {top + 1:g} {right:g} {bottom:g}, but {_IMAGES}/{row.image} is "
                f"{width} x {height}; x must lie in 1 to {width} and y in 1 to {height}.",
            )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        image, rows = read_image(self._root / _IMAGES / self._images[index], self._root), self._rows[index]
        boxes = tv_tensors.BoundingBoxes(
            torch.tensor([row.box for row in rows]), format="XYXY", canvas_size=tuple(image.shape[-2:])
        )
        sample: Sample = {"image": image, "boxes": boxes}
        if "detection" in self.tasks:
            sample["detection"] = torch.tensor([row.label for row in rows])
        if "attributes" in self.tasks:
            sample["attributes"] = torch.from_numpy(np.stack([row.attributes for row in rows]))
        return sample

    def name_of(self, index: int) -> str:
        """The image's file name without its ending."""
        return Path(self._images[index]).stem

    def counts(self) -> Objects:
        """How many objects the whole split has of each class, and how many have each attribute; opens no image."""
        rows = [row for each in self._rows for row in each]
        labels = np.bincount([row.label for row in rows], minlength=len(self.classes))
        positives = np.stack([row.attributes for row in rows]).sum(axis=0, dtype=np.int64)
        return Objects(
            dict(zip(self.classes, labels.tolist(), strict=True)),
            dict(zip(self.attributes, positives.tolist(), strict=True)),
        )

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over the split's list, the names of classes and attributes, and its images."""
        sha = hashlib.sha256()
        for name in (self._list, _CLASSES, _ATTRIBUTES):
            # Whole: rows are of one length, so a changed attribute would hide between the blocks of a digest.
            sha.update(name.encode() + contents(self._root, [name]))
        sha.update(digest(self._root, [f"{_IMAGES}/{image}" for image in self._images]).encode())
        return sha.hexdigest()[:12]


def _number(text: str) -> float:
    value = parse_number(text)
    if not math.isfinite(value):
        raise Fault("coordinate that is no number", f"has the coordinate {text!r}; it should be a number of pixels.")
    return value


def _names(path: Path) -> tuple[str, ...]:
    """The names in a file, one per line."""
    names: list[str] = []
    for at, name in lines(path, "one name per line"):
        if name in names:
            raise InputError(f"{path}, line {at}, repeats the name {name!r}; every line needs another one.")
        names.append(name)
    if not names:
        raise InputError(f"{path} is empty; it needs one name per line.")
    return tuple(names)
