"""What a format of data sets on disk says of itself: its samples, its settings, how it is scored and divided."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mtlkit.data.groups import held_out
from mtlkit.data.regions import every_region
from mtlkit.data.samples import DataSet, Sample, Split
from mtlkit.data.sampling import development as blocks
from mtlkit.data.sampling import groups_of
from mtlkit.data.transforms import centred, fitted, resized

if TYPE_CHECKING:
    from mtlkit.data import Data

DEVELOPMENT_SHARE = 0.2
"""Share of a training part's people, portions or images that its development part holds."""

_ALIKE = 0.75
"""Share of letters that two names have in common, in order, from which one may be the other misspelt."""

Division = tuple[list[int], list[int]]
"""Indices of training samples, those to train on, and those to score on."""


class Reader(ABC):
    """One split of a data set on disk, read lazily, a :class:`mtlkit.data.samples.DataSet`. A file a format, and a line
    in :mod:`mtlkit.layouts`.

    Args:
        root: the data set's folder.
        split: train or val.
        tasks: the targets to read.
    """

    description: ClassVar[str]
    """What lies in the folder, one literal string, which ``mtlkit data list`` reads without importing the file."""

    settings: ClassVar[Mapping[str, str]] = {}
    """The reader's further arguments, and the field of :class:`mtlkit.data.Data` that holds each."""

    notes: Sequence[str] = ()
    """What a check of the data set says besides (:mod:`mtlkit.data.check`), such as what an absent column means."""

    classes: tuple[str, ...]
    tasks: tuple[str, ...]

    @abstractmethod
    def __init__(self, root: Path, split: Split, tasks: Sequence[str] = ()) -> None: ...

    @classmethod
    def offered(cls, root: Path) -> tuple[str, ...]:
        """The targets that a data set holds, where that differs from folder to folder; else those of the format."""
        tasks: tuple[str, ...] = signature(cls).parameters["tasks"].default
        return tasks

    @classmethod  # noqa: B027
    def arrange(cls, root: Path) -> None:
        """Brings what a publisher's archives hold into the layout where that differs; what is in it already stays.

        Raises:
            InputError: it is damaged.
        """

    def overlooked(self) -> list[str]:
        """Sentences about what lies there, is not read, and looks as if it were meant to be."""
        return []

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    @abstractmethod
    def name_of(self, index: int) -> str:
        """The sample's name as its data set calls it, for messages and pages."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of what the split's files hold, the same on every machine and for any tasks."""

    @classmethod
    def view(cls, sample: Sample, data: "Data") -> Sample:
        """A sample as a network is scored on it, at ``data.size``: the whole image, its proportions changed where they
        must, or the middle of it (``data.crop``)."""
        return resized(sample, data.size) if data.crop is None else centred(sample, data.size, data.crop)

    @abstractmethod
    def development(self) -> Division:
        """The development part of these training samples: for what must be chosen without the test images."""


class SceneReader(Reader):
    """A target for every pixel; the lists are frames as they were filmed."""

    def sizes(self) -> set[tuple[int, int]]:
        """Heights and widths that the split's images have on disk; here every sample is read for that.

        Raises:
            InputError: one cannot be read.
        """
        shapes = (self[index]["image"].shape for index in range(len(self)))
        return {(shape[-2], shape[-1]) for shape in shapes}

    def development(self) -> Division:
        """Blocks of the list, and at their ends a frame that is in neither part."""
        return blocks(len(self))


class ObjectReader(Reader):
    """Boxes around the objects of photographs."""

    @classmethod
    def view(cls, sample: Sample, data: "Data") -> Sample:
        """The whole image fitted in with its proportions, with every region for a network that looks at regions."""
        sample = fitted(sample, data.size)
        return sample if data.proposals is None else every_region(sample)

    def development(self) -> Division:
        """Blocks of the list: photographs are no film, neighbours in the list have nothing to do with each other."""
        return blocks(len(self), gap=0)


def alike(name: str, other: str) -> bool:
    """Whether one name may be the other in another case or misspelt.

    >>> alike("Split", "split"), alike("normals", "normal"), alike("salt", "split")
    (True, True, False)
    """
    return SequenceMatcher(None, name.casefold(), other.casefold()).ratio() >= _ALIKE


def misnamed(folder: Path, targets: Mapping[str, str]) -> list[str]:
    """Sentences about folders whose name is near that of a target that has no folder.

    Args:
        folder: the folder that holds one for every target.
        targets: the name of each target's folder.
    """
    absent = {task: name for task, name in targets.items() if not (folder / name).is_dir()}
    there = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name not in targets.values())
    return [
        f"{folder / name} is not read; did you mean {wanted}/?"
        for task, wanted in absent.items()
        for name in there
        if alike(name, wanted) or alike(name, task)
    ]


def by_groups(dataset: DataSet, labels: Sequence[int] = ()) -> Division:
    """The people, portions or images of a set divided by :func:`mtlkit.data.groups.held_out`.

    Args:
        dataset: training samples.
        labels: the class of every sample, of each of which about the same share is held out; none: any.
    """
    out = held_out(groups_of(dataset), DEVELOPMENT_SHARE, list(map(str, labels)) or None)
    return np.flatnonzero(~out).tolist(), np.flatnonzero(out).tolist()
