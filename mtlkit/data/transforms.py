"""Joint transforms: image, class map and normals of a sample stay on the same pixels.

Images are resized bilinearly with antialiasing, targets by the nearest pixel *centre*, so both sample the same
grid; a normal keeps its direction when an image is scaled and cropped (what changes is the apparent focal length).
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from mtlkit.data.samples import IGNORE, OF_OBJECTS, Sample
from mtlkit.errors import InputError
from mtlkit.values import Value

MEAN_COLOUR = (124, 116, 104)
"""ImageNet's mean, the grey that is nothing once a network has subtracted it."""


class Augmentation(Value):
    """Random scale, crop, colours and mirror; called with a sample, it draws from torch's CPU generator.

    The defaults are those of NDDR-CNN's official code (``util/img_encoder_mt.py`` of ethanygao/NDDR-CNN) but for the
    size. A sample smaller than the crop is padded at the bottom and the right.

    Attributes:
        size: height and width of the crop, in pixels.
        scale_min, scale_max: the image is scaled by a factor drawn uniformly between them.
        scale_of: what a factor of 1 means: the image as it is, or fitted into the frame of ``size``, for sets of
            images of many sizes.
        whole: height and width that the whole image has at a factor of 1, whatever its own: the size at which it is
            scored. ``None``: as ``scale_of`` says.
        flip: probability of a mirror, which also turns the x of normals round.
        jitter: brightness, contrast and saturation are multiplied by factors drawn from ``1 - jitter .. 1 + jitter``.
        fill: colour of padded pixels, 8-bit RGB; the mean of ImageNet, so that it is about 0 once normalised.
            Padded targets are void.
    """

    kind: Literal["scale_crop"] = "scale_crop"
    size: tuple[int, int]
    scale_min: float = 0.5
    scale_max: float = 1.5
    scale_of: Literal["picture", "frame"] = "picture"  # an image; the word is part of identities
    whole: tuple[int, int] | None = None
    flip: float = Field(default=0.5, ge=0, le=1)
    jitter: float = Field(default=0.0, ge=0, lt=1)
    fill: tuple[int, int, int] = MEAN_COLOUR

    @model_validator(mode="after")
    def _possible(self) -> "Augmentation":
        if min(self.size) < 1:
            raise InputError(f"The crop size {self.size} is impossible; give a height and a width of at least 1 pixel.")
        if not 0 < self.scale_min <= self.scale_max:
            raise InputError(
                f"Scales from {self.scale_min:g} to {self.scale_max:g} are impossible; "
                "scale_min must be above 0 and at most scale_max."
            )
        if self.whole is not None and (min(self.whole) < 1 or self.scale_of == "frame"):
            raise InputError(
                f"A whole image of {self.whole} is impossible with scale_of={self.scale_of}; give a height and a width "
                "of at least 1 pixel, and leave scale_of as it is."
            )
        return self

    def __call__(self, sample: Sample) -> Sample:
        """A new sample of :attr:`size`; four draws, and more where colours change."""
        scale, down, right, mirror = torch.rand(4).tolist()
        scale = self.scale_min + (self.scale_max - self.scale_min) * scale
        if self.scale_of == "frame":
            scale *= _fitting(sample, self.size)
        sides = self.whole or sample["image"].shape[-2:]
        height, width = (max(1, round(side * scale)) for side in sides)
        sample = resized(sample, (height, width))
        top = int(down * (max(0, height - self.size[0]) + 1))
        left = int(right * (max(0, width - self.size[1]) + 1))
        crop = min(height, self.size[0]), min(width, self.size[1])
        sample = each_placed(sample, lambda value: F.crop(value, top, left, *crop))
        padding = [0, 0, self.size[1] - crop[1], self.size[0] - crop[0]]
        return _finished(sample, padding, self.fill, mirror < self.flip, self.jitter)


class CentredCrop(Value):
    """A square of random size around a random point of the image, brought to one size, colours and a mirror.

    As CenterNet's official code (xingyizhou/CenterNet, ``src/lib/datasets/sample/ctdet.py``) but for its PCA lighting:
    the *crop* is 0.6 to 1.3 times as long as the image's longer side, so the image is shown at 1.67 to 0.77 times
    the scale at which it fits. Its centre is any point that is not within the border of the image's edges; what the
    crop has outside of the image is padded, on whichever side it is.

    Attributes:
        size: height and width of the result, in pixels.
        lengths: of the crop, in longer sides of the image; each is as likely.
        border: pixels of the image at every edge in which no crop has its centre; halved until the middle is wider
            than one border, for small images.
        flip, jitter, fill: as of :class:`Augmentation`.
    """

    kind: Literal["centred_crop"] = "centred_crop"
    size: tuple[int, int]
    lengths: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
    border: int = Field(default=128, ge=1)
    flip: float = Field(default=0.5, ge=0, le=1)
    jitter: float = Field(default=0.4, ge=0, lt=1)
    fill: tuple[int, int, int] = MEAN_COLOUR

    @model_validator(mode="after")
    def _possible(self) -> "CentredCrop":
        if min(self.size) < 1:
            raise InputError(f"The crop size {self.size} is impossible; give a height and a width of at least 1 pixel.")
        if not self.lengths or min(self.lengths) <= 0:
            raise InputError(f"The lengths {self.lengths} are impossible; give at least one, and each above 0.")
        return self

    def __call__(self, sample: Sample) -> Sample:
        """A new sample of :attr:`size`; four draws, and more where colours change."""
        which, down, right, mirror = torch.rand(4).tolist()
        scale = _fitting(sample, self.size) / self.lengths[int(which * len(self.lengths))]
        sides = [int(side) for side in sample["image"].shape[-2:]]
        middle = [self._centre(side, draw) * scale for side, draw in zip(sides, (down, right), strict=True)]
        height, width = (max(1, round(side * scale)) for side in sides)
        sample = resized(sample, (height, width))
        # Of the result, in pixels of the scaled image: a part of it is there, as its centre is.
        top, left = (round(at - side / 2) for at, side in zip(middle, self.size, strict=True))
        above, before = max(0, -top), max(0, -left)
        rows = min(height, top + self.size[0]) - max(0, top)
        columns = min(width, left + self.size[1]) - max(0, left)
        sample = each_placed(sample, lambda value: F.crop(value, max(0, top), max(0, left), rows, columns))
        padding = [before, above, self.size[1] - before - columns, self.size[0] - above - rows]
        return _finished(sample, padding, self.fill, mirror < self.flip, self.jitter)

    def _centre(self, side: int, draw: float) -> int:
        """The pixel of a side that a number from 0 to 1 stands for."""
        parts = 1
        while side - self.border // parts <= self.border // parts:
            parts *= 2
        border = self.border // parts
        return border + int(draw * (side - 2 * border))


class ResizedCrop(Value):
    """A part of the image, of random area and shape, brought to one size, and a mirror: ImageNet's usual training.

    Torchvision's ``RandomResizedCrop`` and ``RandomHorizontalFlip`` with their defaults. An image smaller than
    ``size`` is enlarged bilinearly, so sets of small and of large images can share a batch.

    Attributes:
        size: height and width of the result, in pixels.
        area_min: the least share of the image's area that is kept; the most is all of it.
        flip: probability of a mirror.
    """

    kind: Literal["resized_crop"] = "resized_crop"
    size: tuple[int, int]
    area_min: float = Field(default=0.08, gt=0, le=1)
    flip: float = Field(default=0.5, ge=0, le=1)

    def __call__(self, sample: Sample) -> Sample:
        """A new sample of :attr:`size`; what is no image (a label) stays as it is."""
        crop = v2.RandomResizedCrop(self.size, scale=(self.area_min, 1.0), antialias=True)
        augmented: Sample = v2.RandomHorizontalFlip(self.flip)(crop(sample))
        return augmented


def resized(sample: Sample, size: tuple[int, int]) -> Sample:
    """The sample at ``size`` (height, width): for evaluation at another size than the images have.

    Targets follow the image, so scores are taken at the resized size; a table that scores at the original size
    gives the network original images.
    """
    if tuple(sample["image"].shape[-2:]) == tuple(size):
        return dict(sample)
    return each_placed(sample, lambda value: _resized(value, size))


def centred(sample: Sample, size: tuple[int, int], share: float) -> Sample:
    """The middle of the sample at ``size`` (height, width), its proportions kept.

    The sample is scaled until the middle of ``size`` is ``share`` of its tighter side, then cropped: 224 pixels at
    a share of 0.875 are the usual "resize to 256, crop 224".
    """
    height, width = sample["image"].shape[-2:]
    scale = max(size[0] / height, size[1] / width) / share
    whole = max(size[0], round(height * scale)), max(size[1], round(width * scale))
    return each_placed(resized(sample, whole), lambda value: F.center_crop(value, list(size)))


def fitted(sample: Sample, size: tuple[int, int]) -> Sample:
    """The whole sample at ``size`` (height, width), its proportions kept: grey or void below or right of it."""
    height, width = sample["image"].shape[-2:]
    scale = _fitting(sample, size)
    inside = min(size[0], max(1, round(height * scale))), min(size[1], max(1, round(width * scale)))
    return _filled(resized(sample, inside), [0, 0, size[1] - inside[1], size[0] - inside[0]])


def padded(sample: Sample, multiple: int = 32) -> Sample:
    """The whole sample at its own size, its sides brought to the next multiple: grey or void below or right of it."""
    height, width = (-(-side // multiple) * multiple - side for side in sample["image"].shape[-2:])
    return _filled(sample, [0, 0, width, height])


def _fitting(sample: Sample, size: tuple[int, int]) -> float:
    """The factor at which the whole sample just fits into ``size``."""
    height, width = sample["image"].shape[-2:]
    return min(size[0] / height, size[1] / width)


def _finished(sample: Sample, padding: list[int], fill: tuple[int, int, int], mirrored: bool, jitter: float) -> Sample:
    """A crop with its padding (left, above, right, below), mirror and colours, without the objects it has lost."""
    sample = _filled(sample, padding, fill)
    if mirrored:
        sample = each_placed(sample, F.horizontal_flip)
    if jitter:
        colours = v2.ColorJitter(brightness=jitter, contrast=jitter, saturation=jitter)
        sample["image"] = colours(sample["image"])
    return _seen(sample)


def _filled(sample: Sample, padding: list[int], fill: tuple[int, int, int] = MEAN_COLOUR) -> Sample:
    """The sample with an edge (left, above, right, below) of a colour; targets are void there."""
    if not any(padding):
        return sample
    return each_placed(sample, lambda value: F.pad(value, padding, fill=list(fill) if _is_image(value) else IGNORE))


def _seen(sample: Sample) -> Sample:
    """The sample without the objects that a crop left outside: less than a pixel of their box is there."""
    if "boxes" not in sample:
        return sample
    boxes = sample["boxes"].as_subclass(Tensor)
    there = (boxes[:, 2:] - boxes[:, :2]).amin(1) >= 1
    if there.all():
        return sample
    kept = {name: sample[name].as_subclass(Tensor)[there] for name in OF_OBJECTS if name in sample}
    return sample | kept | {"boxes": tv_tensors.wrap(kept["boxes"], like=sample["boxes"])}


def _is_image(value: Tensor) -> bool:
    return isinstance(value, tv_tensors.Image)


def _resized(value: Tensor, size: tuple[int, int]) -> Tensor:
    if isinstance(value, tv_tensors.Mask):
        # torchvision's own kernel for masks takes corners, up to half a pixel off the image's grid.
        plain = value.as_subclass(Tensor)[None]
        nearest = F.resize(plain, list(size), interpolation=v2.InterpolationMode.NEAREST_EXACT, antialias=False)
        mask: Tensor = tv_tensors.Mask(nearest[0])
        return mask
    resized: Tensor = F.resize(value, list(size), interpolation=v2.InterpolationMode.BILINEAR, antialias=True)
    return resized


def each_placed(sample: Sample, transform: Callable[[Tensor], Tensor]) -> Sample:
    """The transform of everything with a place in the image; a label of the whole image has none."""
    return {
        name: transform(value) if isinstance(value, tv_tensors.TVTensor) else value for name, value in sample.items()
    }
