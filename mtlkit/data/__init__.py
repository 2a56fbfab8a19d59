"""Data sets: one file a format, plus joint transforms and reproducible sampling."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor
from torchvision import tv_tensors

from mtlkit import layouts
from mtlkit.data.apascal import APascal
from mtlkit.data.base import ObjectReader, Reader, SceneReader
from mtlkit.data.coco import Coco
from mtlkit.data.faces import Faces
from mtlkit.data.faults import Faulty
from mtlkit.data.folder import Folder
from mtlkit.data.imagefolder import ImageFolder
from mtlkit.data.imdb_wiki import IMDBWiki
from mtlkit.data.manifest import Columns, Manifest
from mtlkit.data.npy import Npy
from mtlkit.data.nyuv2 import NYUv2
from mtlkit.data.proposals import Proposals, Proposed, SelectiveSearch
from mtlkit.data.samples import DataSet, Sample, Split
from mtlkit.data.sampling import Part, labels_of, stratified
from mtlkit.data.torchvision_sets import Caltech101, ImageNet, OxfordPets, Places365
from mtlkit.data.transforms import padded
from mtlkit.data.uecfood import UECFood, UECFoodBoxes
from mtlkit.data.utkface import UTKFace
from mtlkit.errors import InputError, suggestion
from mtlkit.values import Value


def _reader(name: str) -> type[Reader]:
    module, _, reader = name.partition(":")
    found: type[Reader] = getattr(import_module(module), reader)
    return found


LAYOUTS = {layout: _reader(name) for layout, name in layouts.LAYOUTS.items()}
"""The formats a data set on disk can have, by the name that users give."""

SCENE_LAYOUTS = {layout: reader for layout, reader in LAYOUTS.items() if issubclass(reader, SceneReader)}
"""Those with a target per pixel."""

IMAGE_LAYOUTS = {layout: reader for layout, reader in LAYOUTS.items() if issubclass(reader, ImageFolder)}
"""Those with one class per image."""

OBJECT_LAYOUTS = {layout: reader for layout, reader in LAYOUTS.items() if issubclass(reader, ObjectReader)}
"""Those with boxes; these can skip faulty entries."""

TABLE_LAYOUTS = {layout: reader for layout, reader in LAYOUTS.items() if issubclass(reader, Manifest)}
"""Those that a CSV table describes."""

FACE_LAYOUTS = {layout: reader for layout, reader in LAYOUTS.items() if issubclass(reader, Faces)}
"""Those of faces with an age and a gender; these can skip faulty images."""


def _known(layout: str) -> str:
    if layout not in LAYOUTS:
        raise ValueError(f"There is no layout {layout!r}; {suggestion(layout, LAYOUTS)}")
    return layout


class Data(Value):
    """A data set as part of a run's identity: format, content and image size, but not where it lies.

    Attributes:
        layout: a key of :data:`LAYOUTS`.
        name: how reports call it.
        fingerprint: of its content, or the name and revision of the world that draws it.
        size: height and width the network sees; how an image is brought to it is the layout's
            :meth:`mtlkit.data.base.Reader.view`.
        crop: for scoring, the share of an image's tighter side that the middle of ``size`` takes up; ``None``: the
            whole image, its proportions changed where they must.
        fraction: share of the training images that is used, every class's proportion kept; with a development part,
            of those that it leaves. The images are the same for every method, seed and epoch.
        part: ``development``: of the training images alone, some to score on and the others to train on, for what
            must be chosen without the test images; how they are divided is the layout's
            :meth:`mtlkit.data.base.Reader.development`.
        keep: of a layout with boxes, the classes that count; ``None``: all.
        columns: of a table, what it calls its columns; ``None``: by the names of their fields.
        test_share: of a table that has no column for the split, the share of its groups that is for testing.
        faulty: whether a faulty entry of a table, of a layout with boxes or of faces is refused or skipped.
        proposals: for a network that looks at regions, how they are found.
        proposals_folder: where they are kept on this machine; not part of the identity.
        root: where it lies on this machine; not part of the identity.
    """

    layout: Annotated[str, AfterValidator(_known)]
    name: str
    fingerprint: str
    size: tuple[int, int]
    crop: float | None = Field(default=None, gt=0, le=1)
    fraction: float = Field(default=1.0, gt=0, le=1)
    part: Literal["all", "development"] = "all"
    keep: tuple[str, ...] | None = None
    columns: Columns | None = None
    test_share: float = Field(default=0.3, gt=0, lt=1)
    faulty: Faulty = "refuse"
    proposals: SelectiveSearch | None = None
    proposals_folder: Path | None = Field(default=None, exclude=True)
    root: Path | None = Field(default=None, exclude=True)

    @property
    def drawn(self) -> bool:
        """Whether an embedded world draws it."""
        return self.fingerprint.startswith(f"{self.name}-r")

    def split(self, split: Split, tasks: tuple[str, ...]) -> DataSet:
        """One split, with the targets of ``tasks``.

        Raises:
            InputError: when the data is not at hand or not what the layout asks for.
        """
        if self.root is None:
            raise InputError(f"The data set {self.name} is not at hand; name its folder with data_root.")
        reader, held = LAYOUTS[self.layout], self.part == "development"
        given = {argument: getattr(self, field) for argument, field in reader.settings.items()}
        whole = reader(self.root, "train" if held else split, tasks, **given)
        dataset: DataSet = whole if self.proposals is None else Proposed(whole, self.kept_proposals)
        if held:
            try:
                dataset = Part(dataset, whole.development()[split == "val"])
            except InputError as error:
                raise InputError(f"{self.name} ({self.root}): {error}") from error
        return self._fraction(dataset) if split == "train" and self.fraction < 1 else dataset

    def _fraction(self, dataset: DataSet) -> DataSet:
        labels = labels_of(dataset)
        if not labels:
            raise InputError(f"{self.name} has no class per image, so no fraction of it keeps their proportions.")
        try:
            return Part(dataset, stratified(labels, self.fraction, dataset.classes))
        except InputError as error:
            raise InputError(f"{self.name} ({self.root}): {error}") from error

    @property
    def kept_proposals(self) -> Proposals:
        """The proposals of its images, found once.

        Raises:
            InputError: when it has none, or no folder for them.
        """
        if self.proposals is None or self.proposals_folder is None:
            raise InputError(f"There is no folder for the proposals of {self.name}.")
        return Proposals(self.proposals, self.proposals_folder)

    def unlabelled(self, image: Tensor) -> Sample:
        """A sample of which nothing is known but the image, uint8 ``(3, H, W)``, for :meth:`view`.

        Where the network looks at regions, they are searched anew.

        Raises:
            InputError: OpenCV or its contributed modules are missing for that.
        """
        sample: Sample = {"image": tv_tensors.Image(image)}
        if self.proposals is None:
            return sample
        boxes = torch.from_numpy(self.proposals.boxes(image.permute(1, 2, 0).numpy()))
        proposed, none = (
            tv_tensors.BoundingBoxes(some, format="XYXY", canvas_size=tuple(image.shape[-2:]))
            for some in (boxes, boxes[:0])
        )
        nothing = torch.zeros(0, dtype=torch.int64)
        return sample | {"proposals": proposed, "boxes": none, "detection": nothing}

    def view(self, sample: Sample) -> Sample:
        """A sample as a network is scored on it: the layout's :meth:`mtlkit.data.base.Reader.view`."""
        return LAYOUTS[self.layout].view(sample, self)

    def native(self, sample: Sample) -> Sample:
        """A sample as a network is scored on it at the image's own size: :func:`mtlkit.data.transforms.padded`.

        Raises:
            InputError: the network looks at regions, whose boxes belong to images of one size.
        """
        if self.proposals is not None:
            raise InputError(f"Regions of {self.name} are proposed at one size; score them at that.")
        return padded(sample)

    def splits(self, split: Split, tasks: tuple[str, ...]) -> list[DataSet]:
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
            raise InputError("Data sets that share batches need one image size.")
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
    def drawn(self) -> bool:
        """Whether an embedded world draws one of them."""
        return any(data.drawn for data in self.sets.values())

    @property
    def size(self) -> tuple[int, int]:
        """Height and width the network sees."""
        return next(iter(self.sets.values())).size

    @property
    def part(self) -> Literal["all", "development"]:
        """As of every set."""
        return next(iter(self.sets.values())).part

    @property
    def crop(self) -> float | None:
        """As of every set."""
        return next(iter(self.sets.values())).crop

    def unlabelled(self, image: Tensor) -> Sample:
        """As of every set."""
        return next(iter(self.sets.values())).unlabelled(image)

    def view(self, sample: Sample) -> Sample:
        """As of every set."""
        return next(iter(self.sets.values())).view(sample)

    def native(self, sample: Sample) -> Sample:
        """As of every set."""
        return next(iter(self.sets.values())).native(sample)

    def splits(self, split: Split, tasks: tuple[str, ...]) -> list[DataSet]:
        """One split of every set that carries one of ``tasks``, in the order of ``tasks``.

        Raises:
            InputError: when the data is not at hand or not what the layout asks for.
        """
        return [self.sets[task].split(split, (task,)) for task in tasks]


AnyData = Data | Mixture
"""What a network is trained or scored on."""

__all__ = [
    "FACE_LAYOUTS",
    "IMAGE_LAYOUTS",
    "LAYOUTS",
    "OBJECT_LAYOUTS",
    "SCENE_LAYOUTS",
    "TABLE_LAYOUTS",
    "APascal",
    "AnyData",
    "Caltech101",
    "Coco",
    "Columns",
    "Data",
    "DataSet",
    "Faces",
    "Folder",
    "IMDBWiki",
    "ImageFolder",
    "ImageNet",
    "Manifest",
    "Mixture",
    "NYUv2",
    "Npy",
    "OxfordPets",
    "Places365",
    "Reader",
    "UECFood",
    "UECFoodBoxes",
    "UTKFace",
]
