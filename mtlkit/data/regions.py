"""The regions of an image that a network looks at: drawn around its objects for training, all of them for scoring.

Girshick, *Fast R-CNN*, ICCV 2015, Sect. 2.3; numbers that it leaves to its code are those of
https://github.com/rbgirshick/fast-rcnn.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import box_iou
from torchvision.transforms.v2 import functional as F

from mtlkit.data.samples import Sample
from mtlkit.data.transforms import each_placed, fitted
from mtlkit.values import Value


class RegionSampling(Value):
    """Some of an image's proposals, a fixed share of them on objects, and a mirror; the whole image stays.

    The objects' own boxes are among the proposals. An image has fewer regions where it has too few proposals that
    overlap an object at all. Called with a sample with ``proposals``, it draws from torch's CPU generator; the result
    has ``regions`` and ``matched`` in their place.

    Attributes:
        size: height and width that the image is fitted into, in pixels.
        count: regions an image.
        foreground: the largest share of them, rounded, that stand for an object.
        overlap: intersection over union from which on a region stands for the object that it overlaps most.
        background: the least overlap of a region that stands for none. Those that overlap nothing at all teach less:
            it is a plain form of mining for hard ones.
        flip: probability of a mirror.
    """

    kind: Literal["regions"] = "regions"
    size: tuple[int, int]
    count: int = Field(default=64, ge=1)
    foreground: float = Field(default=0.25, ge=0, le=1)
    overlap: float = Field(default=0.5, gt=0, le=1)
    background: float = Field(default=0.1, ge=0, lt=1)
    flip: float = Field(default=0.5, ge=0, le=1)

    def __call__(self, sample: Sample) -> Sample:
        """A new sample of :attr:`size`."""
        sample = fitted(sample, self.size)
        if torch.rand(()) < self.flip:
            sample = each_placed(sample, F.horizontal_flip)
        candidates = torch.cat([_plain(sample["boxes"]), _plain(sample.pop("proposals"))])
        overlaps = box_iou(candidates, _plain(sample["boxes"]))
        # One more column, without any overlap, so that an image without an object is all background.
        best, which = torch.cat([overlaps, overlaps.new_zeros(len(overlaps), 1)], 1).max(dim=1)
        objects = _some(best >= self.overlap, round(self.count * self.foreground))
        others = _some((best >= self.background) & (best < self.overlap), self.count - len(objects))
        return sample | _regions(
            sample, candidates[torch.cat([objects, others])], torch.cat([which[objects], torch.full_like(others, -1)])
        )


def every_region(sample: Sample) -> Sample:
    """The sample with all its proposals, which stand for nothing, and then its objects' own boxes as ``regions``.

    Where nothing is to be detected nobody looks at the proposals, so the objects' boxes are all.
    """
    sample = dict(sample)
    boxes, proposals = _plain(sample["boxes"]), _plain(sample.pop("proposals"))
    proposals = proposals if "detection" in sample else proposals[:0]
    matched = torch.cat([torch.full((len(proposals),), -1), torch.arange(len(boxes))])
    return sample | _regions(sample, torch.cat([proposals, boxes]), matched)


def _regions(sample: Sample, boxes: Tensor, matched: Tensor) -> Sample:
    canvas = tuple(sample["image"].shape[-2:])
    return {"regions": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=canvas), "matched": matched}


def _some(wanted: Tensor, most: int) -> Tensor:
    """Places of ``wanted``, at most so many, drawn without replacement."""
    (places,) = wanted.nonzero(as_tuple=True)
    return places[torch.randperm(len(places))[:most]]


def _plain(boxes: Tensor) -> Tensor:
    return boxes.as_subclass(Tensor)
