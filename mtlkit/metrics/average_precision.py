"""Average precision of detections and of labels, as PASCAL VOC's development kit defines it.

Everingham et al., *The PASCAL Visual Object Classes Challenge*, IJCV 2010. Two areas under the curve are in use: up to
2009 the mean of the precision at the recalls 0, 0.1, ..., 1 (11 points), from 2010 on the whole area. In both the
precision at a recall is the highest at that recall or beyond, so neither equals what scikit-learn or torchmetrics call
average precision, which takes the curve as it is and is never higher than the whole area here.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from mtlkit.errors import InputError, check_shape
from mtlkit.metrics.base import FEW_CLASSES, ImageMetric, Measures, Weights, by_class, check_ids, mean_of_known

LEAST_OVERLAP = 0.5
"""The intersection over union from which on a detection has found an object."""


def average_precision(
    scores: NDArray[Any],
    hits: NDArray[Any],
    positives: NDArray[Any] | int,
    points: Literal[11] | None = None,
    weights: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """The area under the precision-recall curve of one class in per cent; NaN without a positive.

    Args:
        scores: ``(D,)``, higher is surer. Of equal scores the earlier ranks first, as the kit's stable sort has it.
        hits: ``(D,)``, true where the answer is right.
        positives: all there was to find, ``(B,)``; at least the weight of the hits.
        points: 11: the mean over 11 recalls (VOC up to 2009); ``None``: the whole area (from 2010 on).
        weights: how often each answer counts, ``(B, D)``; ``None``: once.

    Returns:
        ``(B,)``; one number without weights.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    weights = np.ones((1, len(order))) if weights is None else weights[:, order]
    # Only at hits does a curve rise, so only there precision can be highest and a recall be reached.
    places = np.flatnonzero(np.asarray(hits, bool)[order])
    found = weights[:, places].cumsum(1)
    best = envelope(found, weights.cumsum(1)[:, places])
    positives = np.broadcast_to(np.asarray(positives, np.float64), len(weights))
    with np.errstate(invalid="ignore", divide="ignore"):
        if points is None:
            whole: NDArray[np.float64] = 100 * (weights[:, places] * best).sum(1) / positives
            return whole
        # In whole numbers: 3 of 10 found is a recall of 0.3, which 3 * 0.1 is not.
        wanted = positives[:, None] * np.arange(float(points))
        return np.where(positives > 0, 100 * at_recalls(best, found * (points - 1), wanted).mean(1), np.nan)


def envelope(found: NDArray[np.float64], counted: NDArray[np.float64]) -> NDArray[np.float64]:
    """The highest precision at each hit of a ranking or beyond, ``(B, H)``, of running sums of hits and answers."""
    precision = np.divide(found, counted, out=np.zeros_like(found), where=counted > 0)
    best: NDArray[np.float64] = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return best


def at_recalls(
    best: NDArray[np.float64], recall: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``best`` ``(B, H)`` at the first hit that reaches each wanted recall ``(B, P)``; 0 where none does."""
    best = np.pad(best, ((0, 0), (0, 1)))
    places = [np.searchsorted(row, some) for row, some in zip(recall, wanted, strict=True)]
    return np.take_along_axis(best, np.array(places).reshape(wanted.shape), 1)


def check_detections(predicted: Sequence[Tensor], labels: Tensor, truth_labels: Tensor, classes: int) -> None:
    """Raises an InputError for NaN in what is predicted of an image and for labels outside the classes."""
    if any(bool(each.isnan().any()) for each in predicted):
        raise InputError("A detection has a score or a place that is not a number (NaN); its network has diverged.")
    check_ids("A detection", labels.cpu().numpy(), classes)
    check_ids("An object", truth_labels.cpu().numpy(), classes)


class Detections(ImageMetric):
    """What :class:`DetectionAP` keeps and measures."""

    def __init__(self, classes: tuple[str, ...]):
        super().__init__()
        self.classes = classes
        self.keeps("positives", (len(classes),), torch.int32)
        self.keeps("detections", (3,), torch.int64, numbered=True)  # image, class, hit
        self.keeps("scores", (), torch.float64)

    def match(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, truth_boxes: Tensor, truth_labels: Tensor,
        image: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Takes one image; see :meth:`DetectionAP.update`."""
        check_detections((boxes, scores), labels, truth_labels, len(self.classes))
        overlap = box_iou(boxes.detach().cpu().double(), truth_boxes.cpu().double()).nan_to_num(0).numpy()
        label, true = labels.cpu().numpy(), truth_labels.cpu().numpy()
        score = scores.detach().cpu().double()
        hits = np.zeros(len(score), bool)
        if overlap.size:
            overlap[label[:, None] != true] = 0
            order = np.argsort(-score.numpy(), kind="stable")
            claims = np.where(overlap.max(1) >= LEAST_OVERLAP, overlap.argmax(1), -1)[order]
            claimed, first = np.unique(claims, return_index=True)
            hits[order[first[claimed >= 0]]] = True
        positives = torch.from_numpy(np.bincount(true, minlength=len(self.classes)))
        (number,) = self.add(image, positives=positives[None])
        rows = np.stack([np.full(len(label), int(number)), label, hits], 1)
        self.detections.append(torch.from_numpy(rows.astype(np.int64)))  # type: ignore[union-attr, operator]
        self.scores.append(score)  # type: ignore[union-attr, operator]

    def measures(self, weights: Weights) -> Measures:
        """``map``, ``map_all``, ``classes_averaged``, and ``ap/CLASS`` and ``ap_all/CLASS`` of every class."""
        image, label, hit = self.gathered("detections").T
        scores, weighed = self.gathered("scores"), weights[:, image]
        positives = weights[:, self.gathered("image")] @ self.gathered("positives")
        curves = [
            (scores[own], hit[own], positives[:, c], weighed[:, own])
            for c, own in enumerate(label == c for c in range(len(self.classes)))
        ]
        eleven, whole = (
            np.stack([average_precision(s, h, n, points, w) for s, h, n, w in curves], 1) for points in (11, None)
        )
        return {
            "map": mean_of_known(eleven),
            "map_all": mean_of_known(whole),
            "classes_averaged": (positives > 0).sum(1).astype(np.float64),
            **by_class(self.classes, "ap", eleven),
            **by_class(self.classes, "ap_all", whole),
        }

    def resamples(self, measure: str) -> bool:
        """All but the number of classes, and single classes only where there are few."""
        return measure != "classes_averaged" and ("/" not in measure or len(self.classes) <= FEW_CLASSES)


class DetectionAP(Detections):
    """Average precision of detections over a whole set, in per cent, image by image.

    ``map`` is the mean over the classes of the 11-point average precision, ``map_all`` of the whole area;
    ``classes_averaged`` says how many classes have an object and are in the mean. ``ap/CLASS`` and ``ap_all/CLASS``
    are a class's own, NaN where no object of it occurs.

    A detection belongs to the object of its class that it overlaps most. It is right when their intersection over
    union is at least :data:`LEAST_OVERLAP` and no surer detection has that object: a second one is wrong even where
    it would do for another object, which is where COCO's rule differs. Unlike in the kit, coordinates are
    continuous, so a side is ``right - left`` without the 1 of whole pixels, and no object is set aside as difficult.

    Args:
        classes: their names.
    """

    def update(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, truth_boxes: Tensor, truth_labels: Tensor,
        image: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Takes one image; waits for the device.

        Args:
            boxes: detections ``(D, 4)``: left, top, right, bottom.
            scores: ``(D,)``, comparable between images.
            labels: class ids ``(D,)``, from 0, without a background.
            truth_boxes: objects ``(R, 4)``.
            truth_labels: their class ids ``(R,)``.
            image: its number, ``(1,)``.

        Raises:
            InputError: a score or a place is NaN, or a class id outside the classes.
        """
        self.match(boxes, scores, labels, truth_boxes, truth_labels, image)


class LabelAP(ImageMetric):
    """Average precision of labels of which a sample may have any number (attributes, say), in per cent.

    Each attribute ranks all samples by its logit. ``map`` is the mean over the attributes of the 11-point average
    precision, ``map_all`` of the whole area; ``attributes_averaged`` says how many attributes some sample has: the
    others are left out. ``ap/ATTRIBUTE`` is an attribute's own 11-point average precision. Of equal logits the sample
    taken earlier ranks first.

    Args:
        attributes: their names.
    """

    of_objects = True

    def __init__(self, attributes: tuple[str, ...]) -> None:
        super().__init__()
        self.attributes = attributes
        self.keeps("outputs", (len(attributes),), torch.float64)
        self.keeps("targets", (len(attributes),), torch.bool)

    def update(self, output: Tensor, target: Tensor, image: Tensor | None = None) -> None:
        """Takes logits ``(n, A)`` and targets ``(n, A)``: 1 where the sample has the attribute, else 0.

        Raises:
            InputError: the shapes are others.
        """
        check_shape("The target for LabelAP", target.shape, "n", len(self.attributes))
        check_shape("The output for LabelAP", output.shape, *target.shape)
        self.add(image, outputs=output.detach().cpu(), targets=target > 0)

    def measures(self, weights: Weights) -> Measures:
        """``map``, ``map_all``, ``attributes_averaged``, ``ap/ATTRIBUTE``; NaN when no sample has an attribute."""
        weights, hits = weights[:, self.gathered("image")], self.gathered("targets")
        positives = weights @ hits
        curves = list(zip(self.gathered("outputs").T, hits.T, positives.T, strict=True))
        eleven, whole = (
            np.stack([average_precision(*curve, points, weights) for curve in curves], 1) for points in (11, None)
        )
        return {
            "map": mean_of_known(eleven),
            "map_all": mean_of_known(whole),
            "attributes_averaged": (positives > 0).sum(1).astype(np.float64),
            **by_class(self.attributes, "ap", eleven),
        }

    def resamples(self, measure: str) -> bool:
        """All but the number of attributes, and single attributes only where there are few."""
        return measure != "attributes_averaged" and ("/" not in measure or len(self.attributes) <= FEW_CLASSES)
