"""UTKFace: faces whose file names hold age, gender and race (Zhang et al., CVPR 2017).

::

    image/[age]_[gender]_[race]_[date].jpg    or UTKFace/..., or in the root itself; also .jpg.chip.jpg
    splits/train.txt, splits/val.txt          one file name per line; may be missing

Ages are in years, gender is 0 male or 1 female, race 0 to 4 (not read), the date digits that identify the image.
Files of other kinds are left alone; a check of the data set counts the images among them.

Without lists a fifth of the images, of every ten years of age alike, are held out by a hash of their
names: the same on every machine, whichever ending the files have. The data set names no people, so that one of several
images may lie on both sides.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtlkit.data.faces import AGES, GENDERS, OUTSIDE, TASKS, Faces
from mtlkit.data.faults import Faulty
from mtlkit.data.groups import held_out
from mtlkit.data.images import looks_like_image, not_read, readable
from mtlkit.data.samples import Split
from mtlkit.data.splits import lines, once
from mtlkit.errors import InputError

VAL_SHARE = 0.2
"""Share of the images that is held out where there are no lists."""

_FOLDERS, _LISTS = ("image", "UTKFace"), "splits"
_GENDER = {"0": GENDERS.index("male"), "1": GENDERS.index("female")}


class UTKFace(Faces):
    """One split of UTKFace (see the module); samples, attributes and canon as of :class:`~mtlkit.data.faces.Faces`.

    All file names are checked here, and that each file begins as an image. Images of people of 100 years and more
    are left out and counted, whatever ``faulty`` says.

    Args:
        root: the folder that holds ``image/`` or ``UTKFace/``, or the images themselves.
        split: train or val.
        tasks: the targets to read, of ``age`` and ``gender``.
        faulty: refuse the split for its mislabelled and unreadable images, or skip them; to skip those that are cut
            off too, every image is then decoded once, which takes some tenths of a millisecond each.

    Raises:
        InputError: a folder or list is missing, unreadable or names an image twice, or no image is left. Unless
            they are skipped: a file name has too few or too many fields, one that is no number, or an unknown gender
            or race; an image is missing or unreadable. Reading a sample: its image is cut off.
    """

    description = "image/AGE_GENDER_RACE_DATE.jpg, splits/*.txt: faces as in UTKFace"

    def __init__(
        self,
        root: Path,
        split: Split,
        tasks: Sequence[str] = TASKS,
        faulty: Faulty = "refuse",
    ) -> None:
        super().__init__(root, split, tasks, faulty)
        folder = next((self._root / name for name in _FOLDERS if (self._root / name).is_dir()), self._root)
        files = sorted(os.listdir(folder))
        there = [name for name in files if name.lower().endswith("jpg")]
        self._left = [name for name in files if looks_like_image(name) and not name.lower().endswith("jpg")]
        if not there:
            raise InputError(f"{folder} holds no *.jpg; UTKFace's images lie in {' or '.join(_FOLDERS)} of its root.")
        listed = (self._root / _LISTS).is_dir()
        names = _listed(self._root / _LISTS, split) if listed else there
        labels: dict[str, tuple[int, int]] = {}
        faults: dict[str, list[str]] = {}
        present = set(there)
        for name in names:
            try:
                labels[name] = _labels(name)
            except ValueError as error:
                faults.setdefault(str(error), []).append(name)
                continue
            if name not in present:
                faults.setdefault("missing image", []).append(name)
            elif not readable(folder / name, whole=self._skips):
                faults.setdefault("unreadable image", []).append(name)
            else:
                continue
            del labels[name]
        self._leave_out(folder, faults, len(names))
        kept = [name for name, (age, _) in labels.items() if age < AGES]
        self.outside = tuple(name for name, (age, _) in labels.items() if age >= AGES)
        if self.outside:
            self.skipped[OUTSIDE] = len(self.outside)
        if not listed and kept:
            decades = [f"{labels[name][0] // 10}" for name in kept]
            held = held_out([name.split(".")[0] for name in kept], VAL_SHARE, decades)
            kept = [name for name, out in zip(kept, held, strict=True) if out == (split == "val")]
        values = np.array([labels[name] for name in kept], np.int64).reshape(-1, 2)
        self._hold(folder, kept, values[:, 0].copy(), values[:, 1].copy())

    def overlooked(self) -> list[str]:
        """Image files of other formats."""
        return not_read(self._folder, self._left, (".jpg",))


def _labels(name: str) -> tuple[int, int]:
    """Age, and gender in the canon, from a file name.

    Raises:
        ValueError: it is none of UTKFace's, with the reason.
    """
    stem, _, ending = name.partition(".")
    fields = stem.split("_")
    if len(fields) != 4 or ending.lower() not in ("jpg", "jpg.chip.jpg"):
        raise ValueError("file name that is not [age]_[gender]_[race]_[date].jpg")
    if not all(field.isascii() and field.isdigit() for field in fields):
        raise ValueError("field that is no number in the file name")
    if fields[1] not in _GENDER:
        raise ValueError("gender neither 0 nor 1 in the file name")
    if fields[2] not in ("0", "1", "2", "3", "4"):
        raise ValueError("race not 0 to 4 in the file name")
    return int(fields[0]), _GENDER[fields[1]]


def _listed(folder: Path, split: str) -> list[str]:
    """The file names in the split's list.

    Raises:
        InputError: a list is missing or no text, or a name occurs twice in both together.
    """
    holds = f"one file name per line; without both lists, remove {folder} to have a split drawn"
    lists = {path: lines(path, holds) for path in (folder / "train.txt", folder / "val.txt")}
    once(lists)
    return [name for _, name in lists[folder / f"{split}.txt"]]
