"""Detection by looking at regions one by one: each is an object of a class or background, and is moved to fit.

Girshick, *Fast R-CNN*, ICCV 2015, https://arxiv.org/abs/1504.08083; numbers that it leaves to its code are those of
https://github.com/rbgirshick/fast-rcnn.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms, box_convert

from mtlkit.data.samples import Sample, matched_objects, with_rows
from mtlkit.tasks.base import Task, mean_log_probability
from mtlkit.tasks.detections import Found
from mtlkit.tasks.placement import Placement

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric

SPREAD = (0.1, 0.1, 0.2, 0.2)
"""What a move's four numbers are divided by, so that they vary about as much as a class's logit. The code measures
it class by class on its training set; these are the rounded values of its successor py-faster-rcnn."""

LARGEST_GROWTH = 62.5
"""No region is answered with a box more than this many times as wide or as high, since untrained networks overflow."""

OVERLAP = 0.3
"""Of two boxes of a class that overlap more than this, the surer one stays."""

MOST = 100
"""Boxes of one class per image."""

LEAST_SCORE = 1e-3
"""Boxes less sure than this come so late in the ranking that they hardly change an average precision."""


class RegionTruth(NamedTuple):
    """What is true of the regions of a batch; boxes are left, top, right, bottom in pixels of the network's images.

    Attributes:
        regions: float32 ``(M, 5)``: the row of the image, then the region's box.
        matched: int64 ``(M,)``: which of the objects a region stands for, -1 for none.
        boxes: float32 ``(R, 5)``: the row of the image, then the object's box.
        labels: int64 ``(R,)``: the objects' classes.
        images: int64 ``()``: how many images there are; 0: as many as the rows name.
    """

    regions: Tensor
    matched: Tensor
    boxes: Tensor
    labels: Tensor
    images: Tensor = torch.tensor(0)


def encode_boxes(regions: Tensor, boxes: Tensor) -> Tensor:
    """How to get from regions ``(M, 4)`` to boxes ``(M, 4)``: the targets t of Sect. 2.3, over :data:`SPREAD`."""
    from_, to = (box_convert(each, "xyxy", "cxcywh") for each in (regions, boxes))
    sides = from_[:, 2:]
    move = torch.cat([(to[:, :2] - from_[:, :2]) / sides, (to[:, 2:] / sides).log()], dim=1)
    return move / move.new_tensor(SPREAD)


def decode_boxes(regions: Tensor, by: Tensor) -> Tensor:
    """Regions ``(M, 4)`` after moves ``(M, C, 4)``: boxes ``(M, C, 4)``; undoes :func:`encode_boxes`."""
    from_ = box_convert(regions, "xyxy", "cxcywh")[:, None]
    by = by * by.new_tensor(SPREAD)
    sides = from_[..., 2:] * by[..., 2:].exp().clamp(max=LARGEST_GROWTH)
    centres = from_[..., :2] + by[..., :2] * from_[..., 2:]
    return torch.cat([centres - sides / 2, centres + sides / 2], dim=-1)


class RegionDetection(Task):
    """A class, or none, for every region, and for every class how to move the region onto its object.

    Output ``(M, 1 + C + 4 C)``: the logits of background and of the classes, then the moves; the target is a
    :class:`RegionTruth`.
    """

    terms: ClassVar = ("cross_entropy", "boxes")

    kind: Literal["region_detection"] = "region_detection"
    name: str = "detection"
    classes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """A logit more than there are classes, and four numbers per class."""
        return 1 + 5 * len(self.classes)

    def _split(self, output: Tensor) -> tuple[Tensor, Tensor]:
        output, count = output.float(), 1 + len(self.classes)
        return output[:, :count], output[:, count:].unflatten(1, (-1, 4))  # type: ignore[no-untyped-call]

    def collate(self, samples: Sequence[Sample]) -> tuple[RegionTruth, Tensor]:
        """What is true of every region, whether it stands for an object or not."""
        regions, boxes = (with_rows([sample[name] for sample in samples]) for name in ("regions", "boxes"))
        labels = torch.cat([sample[self.name] for sample in samples])
        truth = RegionTruth(regions, matched_objects(samples), boxes, labels, torch.tensor(len(samples)))
        return truth, torch.arange(len(regions))

    def losses(self, output: Tensor, target: RegionTruth) -> dict[str, Tensor]:
        """Eq. 1: cross-entropy; the true class's move by a smooth L1. Both averaged over all regions."""
        logits, by = self._split(output)
        (objects,) = (target.matched >= 0).nonzero(as_tuple=True)
        which = target.matched[objects]
        classes = torch.zeros_like(target.matched)
        classes[objects] = target.labels[which] + 1
        wanted = encode_boxes(target.regions[objects, 1:], target.boxes[which, 1:])
        found = by[objects, target.labels[which]]
        count = max(len(logits), 1)
        return {
            "cross_entropy": F.cross_entropy(logits, classes, reduction="sum") / count,
            "boxes": F.smooth_l1_loss(found, wanted, reduction="sum") / count,
        }

    def ensemble(self, outputs: Sequence[Tensor]) -> Tensor:
        """The logarithm of the mean probabilities, and the mean moves."""
        logits, by = zip(*map(self._split, outputs), strict=True)
        return torch.cat([mean_log_probability(logits), torch.stack(by).mean(0).flatten(1)], dim=1)

    def found(self, output: Tensor, regions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The boxes ``(D, 4)`` in one image, their scores ``(D,)`` and classes ``(D,)``, from regions ``(M, 4)``."""
        logits, by = self._split(output)
        scores = logits.softmax(1)[:, 1:]
        region, label = (scores > LEAST_SCORE).nonzero(as_tuple=True)
        score, box = scores[region, label], decode_boxes(regions, by)[region, label]
        kept = batched_nms(box, score, label, OVERLAP)  # the surest first
        rank = F.one_hot(label[kept], len(self.classes)).cumsum(0).gather(1, label[kept, None])[:, 0]
        kept = kept[rank <= MOST]
        return box[kept], score[kept], label[kept]

    def prediction(self, output: Tensor, placement: Placement) -> Found:
        """What is found in the image, the surest first."""
        assert placement.regions is not None, "its network looks at regions"
        return Found(*self.found(output, placement.regions), None).on_image(placement)

    def to_json(self, prediction: Found) -> list[dict[str, Any]]:
        """An entry an object."""
        return prediction.to_json(self.classes)

    def draw_on(self, image: np.ndarray, prediction: Found) -> np.ndarray:
        """The image with boxes."""
        return prediction.draw_on(image, self.classes)

    def metric(self) -> "ImageMetric":
        """A fresh :class:`~mtlkit.tasks.scored.FoundAP`."""
        from mtlkit.tasks.scored import FoundAP

        return FoundAP(self)

    def constant(self, train: Iterable[RegionTruth], test: Iterable[RegionTruth]) -> "ImageMetric":
        """Scores of taking every region, unmoved, for each class as surely as it is common among training objects."""
        counts = sum(
            (torch.bincount(target.labels, minlength=len(self.classes)) for target in train),
            torch.zeros(len(self.classes), dtype=torch.int64),
        )
        logits = torch.cat([counts.sum()[None], counts]).double().log()
        answer = torch.cat([logits, logits.new_zeros(4 * len(self.classes))])
        metric = self.metric()
        for target in test:
            metric.update(answer.expand(len(target.regions), -1), target)
        return metric
