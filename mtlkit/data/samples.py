"""What the data room hands on: samples, batches, and surface normals that transforms turn correctly.

**Camera frame.** In memory every surface normal is a unit vector in one canonical frame: x to the right, y up,
z from the scene towards the camera (a wall seen head-on is ``(0, 0, 1)``, a floor ``(0, 1, 0)``). Every data
set's own encoding is undone when it is read. The zero vector means "no value".
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from mtlkit.errors import InputError, unknown
from mtlkit.files import regular

_T = TypeVar("_T")

Split = Literal["train", "val"]

IGNORE = 255
"""The class id of pixels that nobody labelled."""

Sample = dict[str, Tensor]
"""An image and its targets.

``image`` (a ``tv_tensors.Image``, uint8, ``(3, H, W)``) and, for every task it is labelled for, the target under the
task's name: ``segmentation`` (``tv_tensors.Mask``, uint8, ``(H, W)``, :data:`IGNORE` for void), ``normals``
(:class:`Normals`) or ``depth`` (:class:`Depth`); for a class of the whole image an int64 tensor ``()`` under the
task's name. Where single objects are labelled, ``boxes`` (``tv_tensors.BoundingBoxes``, XYXY, ``(R, 4)``) and one row
an object of everything in :data:`OF_OBJECTS` that there is: ``detection`` (class ids, int64), ``attributes`` (0 or 1,
uint8, ``(R, A)``), ``pose`` (:class:`mtlkit.data.joints.Joints`); then ``regions`` are the boxes that a network looks
at, and ``matched`` says which object each stands for, -1 for none (:mod:`mtlkit.data.regions`)."""


class Normals(tv_tensors.TVTensor):  # type: ignore[misc]
    """A map of surface normals, float32 ``(3, H, W)``: unit vectors in the canonical frame, zero where unknown."""

    def __new__(cls, data: Any) -> "Normals":
        """``data`` as it is; see :func:`unit` for vectors of any length."""
        tensor: Normals = torch.as_tensor(data, dtype=torch.float32).as_subclass(cls)
        return tensor


# torchvision wraps the results of its own classes' kernels only: each kernel here must hand back Normals itself, or
# the next transform would treat the directions as an image.


@v2.functional.register_kernel(functional=F.horizontal_flip, tv_tensor_cls=Normals)  # type: ignore[untyped-decorator]
def _flip(normals: Tensor) -> Normals:
    # A mirror turns the scene's left into its right: positions swap and so does the sign of x.
    return Normals(normals.flip(-1) * torch.tensor([-1.0, 1.0, 1.0], device=normals.device).view(3, 1, 1))


@v2.functional.register_kernel(functional=F.resize, tv_tensor_cls=Normals)  # type: ignore[untyped-decorator]
def _resize(normals: Tensor, size: list[int], **_: Any) -> Normals:
    # Nearest: a mean of two unit vectors across an edge is a direction that no surface there has. "Exact": the
    # plain mode takes the corner of each output pixel, up to half a pixel off the image's bilinear grid.
    nearest = v2.InterpolationMode.NEAREST_EXACT
    return Normals(F.resize(normals.as_subclass(Tensor), size, interpolation=nearest, antialias=False))


@v2.functional.register_kernel(functional=F.crop, tv_tensor_cls=Normals)  # type: ignore[untyped-decorator]
def _crop(normals: Tensor, top: int, left: int, height: int, width: int) -> Normals:
    return Normals(F.crop(normals.as_subclass(Tensor), top, left, height, width))


@v2.functional.register_kernel(functional=F.pad, tv_tensor_cls=Normals)  # type: ignore[untyped-decorator]
def _pad(normals: Tensor, padding: list[int], **_: Any) -> Normals:
    return Normals(F.pad(normals.as_subclass(Tensor), padding, fill=0))  # the zero vector: no value


class Depth(tv_tensors.TVTensor):  # type: ignore[misc]
    """A map of depths along the optical axis, float32 ``(H, W)``, metres, zero where unknown.

    A depth stays as it is when an image is scaled and cropped, as a normal does.
    """

    def __new__(cls, data: Any) -> "Depth":
        """``data`` as it is."""
        tensor: Depth = torch.as_tensor(data, dtype=torch.float32).as_subclass(cls)
        return tensor


@v2.functional.register_kernel(functional=F.horizontal_flip, tv_tensor_cls=Depth)  # type: ignore[untyped-decorator]
def _flip_depth(depth: Tensor) -> Depth:
    return Depth(depth.flip(-1))


@v2.functional.register_kernel(functional=F.resize, tv_tensor_cls=Depth)  # type: ignore[untyped-decorator]
def _resize_depth(depth: Tensor, size: list[int], **_: Any) -> Depth:
    # Nearest, as for normals: between two surfaces there is nothing at a depth between theirs.
    nearest = v2.InterpolationMode.NEAREST_EXACT
    return Depth(F.resize(depth.as_subclass(Tensor)[None], size, interpolation=nearest, antialias=False)[0])


@v2.functional.register_kernel(functional=F.crop, tv_tensor_cls=Depth)  # type: ignore[untyped-decorator]
def _crop_depth(depth: Tensor, top: int, left: int, height: int, width: int) -> Depth:
    return Depth(F.crop(depth.as_subclass(Tensor)[None], top, left, height, width)[0])


@v2.functional.register_kernel(functional=F.pad, tv_tensor_cls=Depth)  # type: ignore[untyped-decorator]
def _pad_depth(depth: Tensor, padding: list[int], **_: Any) -> Depth:
    return Depth(F.pad(depth.as_subclass(Tensor)[None], padding, fill=0)[0])


def unit(vectors: Tensor, least: float = 0.1) -> Normals:
    """Vectors ``(3, H, W)`` of the canonical frame at unit length; those shorter than ``least`` are no value (zero).

    Stored normals are short by rounding, and much shorter only where a map was averaged across its holes.
    """
    vectors = vectors.float()
    length = vectors.square().sum(dim=0).sqrt_()
    return Normals(vectors * torch.where(length < least, 0.0, 1 / length))


class DataSet(Protocol):
    """One split of a data set, read lazily. ``len``, ``[index] -> Sample``, and what it is."""

    classes: tuple[str, ...]
    tasks: tuple[str, ...]

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...
    def name_of(self, index: int) -> str:
        """The sample's name as its data set calls it (a file stem or a frame number), for messages and pages."""
        ...

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of what the split's files hold, the same on every machine and for any tasks."""
        ...


def checked(root: Path, split: str, tasks: Sequence[str], readable: Iterable[str]) -> tuple[str, ...]:
    """``tasks`` as a tuple, once the folder, the split and every task's name are known to be good.

    Raises:
        InputError: ``root`` is no folder, ``split`` is neither train nor val, or a task is not ``readable``.
    """
    if not root.is_dir():
        raise InputError(f"There is no folder {root}; give the data set's root folder.")
    if split not in ("train", "val"):
        raise unknown("split", split, ("train", "val"))
    for task in tasks:
        if task not in set(readable):
            raise unknown("task in this data set", task, readable)
    return tuple(tasks)


def digest(root: Path, files: Iterable[str], blocks: int = 1, block: int = 1 << 16) -> str:
    """Twelve hexadecimal digits over the relative names, sizes and ``blocks`` evenly spaced blocks of ``files``.

    Cheap rather than complete: a file changed only between its blocks, at the same size, keeps the digest.

    Raises:
        InputError: a file cannot be read.
    """
    sha = hashlib.sha256()
    for name in sorted(files):
        path = root / name
        try:
            regular(path)
            size = path.stat().st_size
            sha.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
            with path.open("rb") as file:
                for number in range(blocks):
                    file.seek(number * max(size - block, 0) // max(blocks - 1, 1))
                    sha.update(file.read(block))
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); copy it again.") from error
    return sha.hexdigest()[:12]


def contents(root: Path, files: Iterable[str]) -> bytes:
    """The SHA-256 of every file, whole, one after the other in the order of ``files``.

    Raises:
        InputError: a file cannot be read.
    """
    found = b""
    for name in files:
        path = root / name
        regular(path)
        try:
            found += hashlib.sha256(path.read_bytes()).digest()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); copy it again.") from error
    return found


OPENED = 512
"""How many files of a large set its fingerprint opens."""


def evenly_spaced(of: Sequence[_T], most: int | None = None) -> list[_T]:
    """At most ``most`` evenly spaced entries, by default :data:`OPENED`.

    >>> evenly_spaced("abcdefghi", most=3)
    ['a', 'd', 'g']
    """
    count = min(len(of), OPENED if most is None else most)
    return [of[number * len(of) // count] for number in range(count)]


OF_OBJECTS = ("boxes", "crowd", "cover", "detection", "attributes", "pose")
"""What a sample has a row of for every object, where it has them."""

Target = Any
"""What a task learns from, a tensor, or a named tuple of several."""


def mapped(target: Target, change: Callable[[Tensor], Tensor]) -> Target:
    """The target with ``change`` done to its tensors."""
    return change(target) if isinstance(target, Tensor) else type(target)(*map(change, target))


@dataclass
class Batch:
    """Images and, for every task, its targets and the rows of the network's output that they belong to.

    A sample without a task's label adds nothing to that task: partly labelled data and several data sets in one
    batch are the same mechanism, and so are regions that an object's attributes are known for.

    Attributes:
        images: float32 ``(N, 3, H, W)`` in ``[0, 1]``, RGB.
        targets: task -> targets of the labelled samples or regions, ``n`` of them.
        rows: task -> int64 ``(n,)``, which row of the output each target belongs to: an image's, or a region's.
        regions: where the network looks at regions, float32 ``(M, 5)``: the row of the image, then left, top,
            right, bottom in pixels.
    """

    images: Tensor
    targets: dict[str, Target]
    rows: dict[str, Tensor]
    regions: Tensor | None = None

    def to(self, device: torch.device | str) -> "Batch":
        """This batch on ``device``; the copies do not wait for each other."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Called by torch's data loader when asked to pin."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            change(self.images),
            {task: mapped(target, change) for task, target in self.targets.items()},
            {task: change(rows) for task, rows in self.rows.items()},
            None if self.regions is None else change(self.regions),
        )


class Collating(Protocol):
    """What :func:`collate` asks a task."""

    @property
    def name(self) -> str:
        """The key of its targets in a batch."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """What it needs of a sample, the target first."""
        ...

    def collate(self, samples: Sequence[Sample]) -> tuple[Target, Tensor]:
        """The targets of samples, at least one of which is labelled, and the rows that they belong to."""
        ...


def collate(samples: Sequence[Sample], tasks: Collection[Collating] = ()) -> Batch:
    """Samples of equal size as one :class:`Batch`; images become float in ``[0, 1]``.

    Args:
        samples: of one or several data sets.
        tasks: whose targets the batch has, as far as a sample is labelled for them; none: every target that the samples
            have for whole images.

    Raises:
        InputError: samples have targets of objects, and no tasks are given.
    """
    images = torch.stack([sample["image"].as_subclass(Tensor) for sample in samples]).float().div_(255)
    regions = with_rows([sample["regions"] for sample in samples]) if "regions" in samples[0] else None
    found = {task.name: task.collate(samples) for task in tasks if any(task.reads[0] in sample for sample in samples)}
    if not tasks:
        names = {name for sample in samples for name in sample} - {"image", "regions", "matched"}
        if objects := sorted(names & {*OF_OBJECTS}):
            raise InputError(f"Only their tasks know the targets of objects ({', '.join(objects)}); give tasks.")
        found = {name: labelled(samples, name) for name in names}
    targets = {name: found[name][0] for name in sorted(found)}
    return Batch(images, targets, {name: found[name][1] for name in targets}, regions)


def labelled(samples: Sequence[Sample], name: str) -> tuple[Tensor, Tensor]:
    """The targets of this name and the rows that they belong to, ``(n, ...)`` and int64 ``(n,)``.

    Where a network looks at regions, a target is that of the object that a region stands for, and its row the region's.
    """
    if "regions" in samples[0]:
        objects = matched_objects(samples)
        (rows,) = (objects >= 0).nonzero(as_tuple=True)
        return torch.cat([sample[name] for sample in samples])[objects[rows]], rows
    some = [row for row, sample in enumerate(samples) if name in sample]
    return torch.stack([samples[row][name].as_subclass(Tensor) for row in some]), torch.tensor(some)


def matched_objects(samples: Sequence[Sample]) -> Tensor:
    """Which of all samples' objects every region stands for, -1 for none, int64 ``(M,)``."""
    first = torch.tensor([0, *(len(sample["boxes"]) for sample in samples[:-1])]).cumsum(0)
    matched = (sample["matched"] for sample in samples)
    return torch.cat([torch.where(each < 0, -1, each + at) for each, at in zip(matched, first, strict=True)])


def with_rows(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes ``(R, 4)`` of several images as one ``(R, 5)`` with the image's row in front."""
    rows = torch.cat([torch.full((len(some), 1), float(row)) for row, some in enumerate(boxes)])
    return torch.cat([rows, torch.cat([some.as_subclass(Tensor) for some in boxes])], dim=1)
