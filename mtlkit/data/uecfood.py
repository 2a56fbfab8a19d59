"""UECFOOD-100: photographs of food with a box per dish (Matsuda, Hoashi and Yanai, ICME 2012).

::

    category.txt             a header, then a number and a name per line
    1/ ... 100/              a folder per category, called by its number
    N/bb_info.txt            a header, then the photograph's number and left, top, right, bottom of a dish per line
    N/*.jpg                  the photographs, called by their numbers

A photograph of several dishes lies in the folder of each of their categories, under one name. The release has no
split: a share of the photographs is held out by a hash of their names, of every category alike, so that all copies of
one lie on one side.
"""

import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torchvision import tv_tensors

from mtlkit.data.base import ObjectReader
from mtlkit.data.groups import held_out
from mtlkit.data.imagefolder import ImageFolder, Listing
from mtlkit.data.images import read_image
from mtlkit.data.samples import Sample, Split, checked, digest, evenly_spaced
from mtlkit.data.splits import check_classes, lines, parse_number
from mtlkit.errors import InputError, unknown

TEST_SHARE = 0.3
"""Share of the photographs that is held out where nothing else is said."""

DISH = "dish"
"""The one class of boxes whose categories do not count."""

_DIGITS = 9  # of a category's number


class _Dish(NamedTuple):
    photograph: str
    label: int
    box: tuple[float, float, float, float]


def categories(root: Path) -> dict[int, str]:
    """Number of a folder -> the name of its category.

    Raises:
        InputError: ``category.txt`` is missing, or a line of it is no number and name.
    """
    path, found = root / "category.txt", {}
    for line, text in lines(path, "a header, then a number and a name per line")[1:]:
        number, _, name = text.partition("\t")
        if not number.isdecimal() or len(number) > _DIGITS or not name.strip() or int(number) in found:
            raise InputError(f"{path}, line {line}, is {text!r}; it should be a number, a tab and a name, each once.")
        found[int(number)] = name.strip()
    if not found:
        raise InputError(f"{path} names no category; it needs a line for each.")
    check_classes(list(found.values()), path)
    return found


def dishes(root: Path) -> tuple[list[_Dish], tuple[str, ...]]:
    """The dishes of all folders, with their categories' places, and the categories' names.

    Raises:
        InputError: a folder or list is missing, a box is none, or a photograph of a list is not in its folder.
    """
    names, found = categories(root), []
    for place, number in enumerate(names):
        path = root / str(number) / "bb_info.txt"
        there = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
        for line, text in lines(path, "the boxes of the category's dishes")[1:]:
            photograph, *sides = text.split()
            left, top, right, bottom = (*map(parse_number, sides), *[float("nan")] * 4)[:4]
            finite = math.isfinite(left + top + right + bottom)
            if len(sides) != 4 or not (finite and left < right and top < bottom):
                raise InputError(
                    f"{path}, line {line}, is {text!r}; it should be a photograph's number and left, top, right and "
                    "bottom of a box."
                )
            if f"{photograph}.jpg" not in there:
                raise InputError(f"{path}, line {line}, names {photograph}.jpg, which is not there; add the file.")
            found.append(_Dish(photograph, place, (left, top, right, bottom)))
    if not found:
        raise InputError(f"{root} lists no dish; its folders' bb_info.txt need a line for each.")
    return found, tuple(names.values())


def _held_out(photographs: Sequence[str], labels: Sequence[int], share: float, split: Split) -> list[bool]:
    """Which entries belong to the split; those of one photograph together."""
    out = held_out(photographs, share, list(map(str, labels)))
    return [bool(held) == (split == "val") for held in out]


class UECFood(ImageFolder):
    """The photographs of one split with the category of a folder that they lie in (see the module).

    One of several dishes is a sample for every category, all of them on one side of the split.

    Args:
        root: the folder that holds ``category.txt``.
        split: train or val.
        tasks: one name.
        test_share: share of the photographs that is for testing.

    Attributes:
        groups: the photograph of every sample.

    Raises:
        InputError: as of :func:`dishes` and :class:`~mtlkit.data.imagefolder.ImageFolder`.
    """

    description = "category.txt, NUMBER/bb_info.txt and NUMBER/*.jpg: UECFOOD-100, a category per photograph"
    settings = {"test_share": "test_share"}
    grouped_by = "photograph"

    def __init__(
        self, root: Path, split: Split, tasks: Sequence[str] = ("label",), test_share: float = TEST_SHARE
    ) -> None:
        self._share = test_share
        self.groups: list[str] = []
        super().__init__(root, split, tasks)

    def _list(self, split: Split) -> Listing:
        listed, names = dishes(self._root)
        entries = list(dict.fromkeys((dish.photograph, dish.label) for dish in listed))
        photographs, labels = (list(column) for column in zip(*entries, strict=True))
        there = _held_out(photographs, labels, self._share, split)
        kept = [entry for entry, own in zip(entries, there, strict=True) if own]
        numbers = list(categories(self._root))
        self.groups = [photograph for photograph, _ in kept]
        files = [str(self._root / str(numbers[label]) / f"{photograph}.jpg") for photograph, label in kept]
        return Listing(str(self._root), files, [label for _, label in kept], names)


class UECFoodBoxes(ObjectReader):
    """The photographs of one split with the boxes of all their dishes (see the module), each photograph once.

    A sample is as of :class:`mtlkit.data.Coco`, without joints and masks: ``image``, ``boxes``, ``crowd`` (none is),
    ``cover`` (1) and ``detection``.

    Args:
        root: the folder that holds ``category.txt``.
        split: train or val.
        tasks: the targets to read: ``detection``.
        classes: ``None``: the 100 categories; ``("dish",)``: one class for all, each box once.
        test_share: share of the photographs that is for testing.

    Attributes:
        objects: how many dishes every photograph has.

    Raises:
        InputError: as of :func:`dishes`, or ``classes`` is something else. Reading a sample: its image is damaged, or a
            box lies outside of it.
    """

    description = "category.txt, NUMBER/bb_info.txt and NUMBER/*.jpg: UECFOOD-100, a box per dish"
    settings = {"classes": "keep", "test_share": "test_share"}

    def __init__(
        self,
        root: Path,
        split: Split,
        tasks: Sequence[str] = ("detection",),
        classes: Sequence[str] | None = None,
        test_share: float = TEST_SHARE,
    ) -> None:
        self._root = Path(root)
        self.tasks = checked(self._root, split, tasks, ("detection",))
        listed, names = dishes(self._root)
        if classes is not None and tuple(classes) not in ((DISH,), names):
            raise unknown("class of boxes here", ", ".join(classes), (DISH,))
        self.classes = names if classes is None else tuple(classes)
        numbers, agnostic = list(categories(self._root)), self.classes == (DISH,)
        files: dict[str, str] = {}
        found: dict[str, dict[tuple[tuple[float, ...], int], None]] = {}
        first: dict[str, int] = {}
        for dish in listed:
            files.setdefault(dish.photograph, f"{numbers[dish.label]}/{dish.photograph}.jpg")
            first.setdefault(dish.photograph, dish.label)
            # A box that stands in two categories' lists is one dish where categories do not count.
            found.setdefault(dish.photograph, {})[dish.box, 0 if agnostic else dish.label] = None
        photographs = list(found)
        there = _held_out([dish.photograph for dish in listed], [dish.label for dish in listed], test_share, split)
        own = {dish.photograph for dish, mine in zip(listed, there, strict=True) if mine}
        self._files = [files[photograph] for photograph in photographs if photograph in own]
        self._dishes = [list(found[photograph]) for photograph in photographs if photograph in own]
        self.objects = list(map(len, self._dishes))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self._root / self._files[index], self._root)
        boxes, labels = zip(*self._dishes[index], strict=True)
        height, width = canvas = tuple(image.shape[-2:])
        for left, top, right, bottom in boxes:
            if not (left < width and top < height and right > 0 and bottom > 0):
                raise InputError(
                    f"{self._root / self._files[index]} is {width} x {height}, but a bb_info.txt has the box {left:g} "
                    f"{top:g} {right:g} {bottom:g}, which covers nothing of it; put it right or remove the line."
                )
        return {
            "image": image,
            "boxes": tv_tensors.BoundingBoxes(torch.tensor(boxes), format="XYXY", canvas_size=canvas),
            "crowd": torch.zeros(len(boxes), dtype=torch.bool),
            "cover": torch.ones(len(boxes)),
            "detection": torch.tensor(labels),
        }

    def name_of(self, index: int) -> str:
        """The photograph's number."""
        return Path(self._files[index]).stem

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over the split's boxes and at most 512 evenly spaced photographs."""
        sha = hashlib.sha256(repr(sorted(zip(self._files, self._dishes, strict=True))).encode())
        sha.update(digest(self._root, evenly_spaced(self._files)).encode())
        return sha.hexdigest()[:12]
