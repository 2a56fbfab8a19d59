"""Data sets: one file a format, plus joint transforms and reproducible sampling."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from mtlkit.data.folder import Folder
from mtlkit.data.imagefolder import ImageFolder
from mtlkit.data.npy import Npy
from mtlkit.data.nyuv2 import NYUv2
from mtlkit.data.samples import DataSet
from mtlkit.data.sampling import Part, stratified
from mtlkit.data.torchvision_sets import Caltech101, ImageNet, OxfordPets, Places365
from mtlkit.errors import InputError
from mtlkit.values import Value

SCENE_LAYOUTS: dict[str, type[Folder] | type[Npy] | type[NYUv2]] = {"folder": Folder, "npy": Npy, "nyuv2": NYUv2}
"""The formats of data sets with a target a pixel, by the name that users give."""

IMAGE_LAYOUTS: dict[str, type[ImageFolder]] = {
    "imagefolder": ImageFolder,
    "imagenet": ImageNet,
    "places365": Places365,
    "oxford_pets": OxfordPets,
    "caltech101": Caltech101,
}
"""The formats of data sets with a class a picture, by the name that users give."""

LAYOUTS = SCENE_LAYOUTS | IMAGE_LAYOUTS
"""The formats a data set on disk can have, by the name that users give."""


class Data(Value):
    """A data set as part of a run's identity: format, content and picture size, but not where it lies.

    Attributes:
        layout: a key of :data:`LAYOUTS`.
        name: how reports call it.
        fingerprint: of its content, or the name and revision of the world that draws it.
        size: height and width the network sees.
        crop: for scoring, the share of a picture's tighter side that the middle of ``size`` takes up; ``None``: the
            whole picture, its proportions changed where they must.
        fraction: share of the training pictures that is used, every class's proportion kept. The pictures are the
            same for every method, seed and epoch.
        root: where it lies on this machine; not part of the identity.
    """

    layout: Literal["folder", "npy", "nyuv2", "imagefolder", "imagenet", "places365", "oxford_pets", "caltech101"]
    name: str
    fingerprint: str
    size: tuple[int, int]
    crop: float | None = Field(default=None, gt=0, le=1)
    fraction: float = Field(default=1.0, gt=0, le=1)
    root: Path | None = Field(default=None, exclude=True)

    def split(self, split: Literal["train", "val"], tasks: tuple[str, ...]) -> DataSet:
        """One split, with the targets of ``tasks``.

        Raises:
            InputError: when the data is not at hand or not what the layout asks for.
        """
        if self.root is None:
            raise InputError(f"The data set {self.name} is not at hand; name its folder with data_root.")
        dataset = LAYOUTS[self.layout](self.root, split, tasks)
        if split == "val" or self.fraction == 1:
            return dataset
        if not isinstance(dataset, ImageFolder):
            raise InputError(f"{self.name} has no class a picture, so no fraction of it keeps their proportions.")
        try:
            return Part(dataset, stratified(dataset.labels, self.fraction, dataset.classes))
        except InputError as error:
            raise InputError(f"{self.name} ({self.root}): {error}") from error

    def splits(self, split: Literal["train", "val"], tasks: tuple[str, ...]) -> list[DataSet]:
        """The same as a list of one, as a :class:`Mixture` has several."""
        return [self.split(split, tasks)]


class Mixture(Value):
    """Several data sets, each labelled for one task, that train one network together.

    Attributes:
        sets: task -> its data set; all at one size and crop.
    """

    sets: dict[str, Data]

    @model_validator(mode="after")
    def _alike(self) -> "Mixture":
        if len({(data.size, data.crop) for data in self.sets.values()}) != 1:
            raise InputError("Data sets that share batches need one picture size.")
        roots: dict[str, Data] = {}
        for data in self.sets.values():
            if data.name in roots:
                raise InputError(
                    f"Two data sets are called {data.name} ({roots[data.name].root} and {data.root}); "
                    "reports could not tell them apart: rename one of the folders."
                )
            roots[data.name] = data
        return self

    @property
    def name(self) -> str:
        """The sets' names, joined."""
        return " + ".join(data.name for data in self.sets.values())

    @property
    def fingerprint(self) -> str:
        """The sets' fingerprints, joined."""
        return " + ".join(data.fingerprint for data in self.sets.values())

    @property
    def size(self) -> tuple[int, int]:
        """Height and width the network sees."""
        return next(iter(self.sets.values())).size

    @property
    def crop(self) -> float | None:
        """As of every set."""
        return next(iter(self.sets.values())).crop

    def splits(self, split: Literal["train", "val"], tasks: tuple[str, ...]) -> list[DataSet]:
        """One split of every set that carries one of ``tasks``, in the order of ``tasks``.

        Raises:
            InputError: when the data is not at hand or not what the layout asks for.
        """
        return [self.sets[task].split(split, (task,)) for task in tasks]


AnyData = Data | Mixture
"""What a network is trained or scored on."""

__all__ = [
    "IMAGE_LAYOUTS",
    "LAYOUTS",
    "SCENE_LAYOUTS",
    "AnyData",
    "Caltech101",
    "Data",
    "DataSet",
    "Folder",
    "ImageFolder",
    "ImageNet",
    "Mixture",
    "NYUv2",
    "Npy",
    "OxfordPets",
    "Places365",
]
