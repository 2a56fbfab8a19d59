"""Faces with an age and a gender each: what the readers of UTKFace and IMDB-WIKI share.

**Canon.** In memory a gender is its place in :data:`GENDERS`: 0 male, 1 female, as in UTKFace; IMDB-WIKI's files have
it the other way round, which is undone when they are read. An age is in whole years, 0 to 99, so that it is its own
class.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mtlkit.data.base import Division, Reader, by_groups
from mtlkit.data.faults import Faulty, checked_faulty
from mtlkit.data.images import read_image
from mtlkit.data.samples import Sample, Split, checked, contents, evenly_spaced
from mtlkit.data.splits import some
from mtlkit.errors import InputError

AGES = 100
"""Ages are 0 to 99; faces of others are left out."""

OUTSIDE = f"age outside 0 to {AGES - 1}"
"""The reason for which they are."""

GENDERS = ("male", "female")
"""The genders; the place of each is its id, whatever the files have."""

TASKS = ("age", "gender")


class Faces(Reader):
    """One split of a data set of faces; an image is opened when its sample is read.

    A sample is ``image`` (``tv_tensors.Image``, uint8, ``(3, H, W)``) and by task ``age`` (years, 0 to 99, int64,
    ``()``) and ``gender`` (its place in :data:`GENDERS`, int64, ``()``).

    Subclasses find out what there is and call ``_hold``.

    Attributes:
        classes: the genders.
        tasks: as asked for.
        ages: int64 ``(N,)``, of every sample.
        genders: int64 ``(N,)``, likewise.
        skipped: reason -> images that were left out for it.
        faults: reason -> file names of those left out because something is wrong with them.
        outside: file names of those left out for their age.
        groups: the person in every sample, or where nobody is named the image itself: what a split keeps together.
    """

    settings = {"faulty": "faulty"}
    classes: tuple[str, ...] = GENDERS

    def __init__(
        self,
        root: Path,
        split: Split,
        tasks: Sequence[str] = TASKS,
        faulty: Faulty = "refuse",
    ) -> None:
        self._root = Path(root)
        self.tasks = checked(self._root, split, tasks, TASKS)
        self._skips = checked_faulty(faulty, "images")
        self.skipped: dict[str, int] = {}
        self.faults: dict[str, tuple[str, ...]] = {}
        self.outside: tuple[str, ...] = ()

    def _hold(
        self,
        folder: Path,
        names: list[str],
        ages: NDArray[np.int64],
        genders: NDArray[np.int64],
        groups: list[str] | None = None,
    ) -> None:
        """Takes the samples: file names below ``folder``, their labels, and who they show where that is known.

        Raises:
            InputError: there is none.
        """
        if not names:
            why = (
                f" ({', '.join(f'{count} {reason}' for reason, count in self.skipped.items())})" if self.skipped else ""
            )
            raise InputError(f"No face is left in {folder}{why}; a split needs at least one.")
        self._folder, self._names, self.ages, self.genders = folder, names, ages, genders
        self.groups, self.grouped_by = (names if groups is None else groups), "person"

    def _leave_out(self, folder: Path, faults: dict[str, list[str]], of: int) -> None:
        """Counts images that something is wrong with, by reason.

        Raises:
            InputError: there are some, unless they are to be skipped.
        """
        if faults and not self._skips:
            listed = (f"{some(names)}: {reason}" for reason, names in faults.items())
            count = sum(map(len, faults.values()))
            raise InputError(
                f"{count} of {of} images in {folder} cannot be used ({'; '.join(listed)}); put them right, or leave "
                "them out with on_error='skip'."
            )
        self.faults = {reason: tuple(names) for reason, names in faults.items()}
        self.skipped |= {reason: len(names) for reason, names in faults.items()}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        sample: Sample = {"image": read_image(self._folder / self._names[index], self._root)}
        for task, labels in zip(TASKS, (self.ages, self.genders), strict=True):
            if task in self.tasks:
                sample[task] = torch.tensor(int(labels[index]))
        return sample

    def name_of(self, index: int) -> str:
        """The image's file name, with its folder where there are several."""
        return self._names[index]

    def development(self) -> Division:
        """People."""
        return by_groups(self)

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over all names with their labels, and at most 512 evenly spaced files."""
        sha = hashlib.sha256()
        rows = sorted(zip(self._names, self.ages.tolist(), self.genders.tolist(), strict=True))
        for name, age, gender in rows:
            sha.update(f"{name}\0{age}\0{GENDERS[gender]}\0".encode(errors="surrogateescape"))
        sha.update(contents(self._folder, evenly_spaced([name for name, *_ in rows])))
        return sha.hexdigest()[:12]
