"""Average precision of detections and of labels, as PASCAL VOC's development kit defines it.

Everingham et al., *The PASCAL Visual Object Classes Challenge*, IJCV 2010. Two areas under the curve are in use: up to
2009 the mean of the precision at the recalls 0, 0.1, ..., 1 (11 points), from 2010 on the whole area. In both the
precision at a recall is the highest at that recall or beyond, so neither equals what scikit-learn or torchmetrics call
average precision, which takes the curve as it is and is never higher than the whole area here.
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

LEAST_OVERLAP = 0.5
"""The intersection over union from which on a detection has found an object."""


def average_precision(
    scores: NDArray[Any], hits: NDArray[Any], positives: int, points: Literal[11] | None = None
) -> float:
    """The area under the precision-recall curve of one class in per cent; NaN without a positive.

    Args:
        scores: ``(D,)``, higher is surer. Of equal scores the earlier ranks first, as the kit's stable sort has it.
        hits: ``(D,)``, true where the answer is right.
        positives: all there was to find; at least the number of hits.
        points: 11: the mean over 11 recalls (VOC up to 2009); ``None``: the whole area (from 2010 on).
    """
    if not positives:
        return float("nan")
    hits = np.asarray(hits, bool)[np.argsort(-np.asarray(scores, np.float64), kind="stable")]
    found = hits.cumsum()
    precision = found / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if points is None:
        return 100 * float(best[hits].sum() / positives)
    # In whole numbers: 3 of 10 found is a recall of 0.3, which 3 * 0.1 is not.
    reached = np.searchsorted(found * (points - 1), np.arange(points) * positives)
    return 100 * float(np.append(best, 0.0)[reached].mean())


class DetectionAP:
    """Average precision of detections over a whole set, in per cent, picture by picture.

    ``map`` is the mean over the classes of the 11-point average precision, ``map_all`` of the whole area;
    ``classes_averaged`` says how many classes have an object and are in the mean. ``ap/CLASS`` and ``ap_all/CLASS``
    are a class's own, NaN where no object of it occurs.

    A detection belongs to the object of its class that it overlaps most. It is right when their intersection over
    union is at least :data:`LEAST_OVERLAP` and no surer detection has that object: a second one is wrong even where
    it would do for another object, which is where COCO's rule differs. Unlike in the kit, coordinates are
    continuous, so a side is ``right - left`` without the 1 of whole pixels, and no object is set aside as difficult.
    """

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        self.positives = np.zeros(len(classes), np.int64)
        self.scores: list[NDArray[np.float64]] = [np.zeros(0)]
        self.labels: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        self.hits: list[NDArray[np.bool_]] = [np.zeros(0, bool)]

    def add(self, boxes: Tensor, scores: Tensor, labels: Tensor, truth_boxes: Tensor, truth_labels: Tensor) -> None:
        """Takes one picture; waits for the device.

        Args:
            boxes: detections ``(D, 4)``: left, top, right, bottom.
            scores: ``(D,)``, comparable between pictures.
            labels: class ids ``(D,)``, from 0, without a background.
            truth_boxes: objects ``(R, 4)``.
            truth_labels: their class ids ``(R,)``.
        """
        overlap = box_iou(boxes.detach().cpu().double(), truth_boxes.cpu().double()).nan_to_num(0).numpy()
        label, true = labels.cpu().numpy(), truth_labels.cpu().numpy()
        score = scores.detach().cpu().double().numpy()
        hits = np.zeros(len(score), bool)
        if overlap.size:
            overlap[label[:, None] != true] = 0
            order = np.argsort(-score, kind="stable")
            claims = np.where(overlap.max(1) >= LEAST_OVERLAP, overlap.argmax(1), -1)[order]
            claimed, first = np.unique(claims, return_index=True)
            hits[order[first[claimed >= 0]]] = True
        self.positives += np.bincount(true, minlength=len(self.classes))
        self.scores.append(score)
        self.labels.append(label)
        self.hits.append(hits)

    def compute(self) -> dict[str, float]:
        """``map``, ``map_all``, ``classes_averaged``, and ``ap/CLASS`` and ``ap_all/CLASS`` of every class."""
        scores, labels, hits = np.concatenate(self.scores), np.concatenate(self.labels), np.concatenate(self.hits)
        curves = [(scores[labels == c], hits[labels == c], int(n)) for c, n in enumerate(self.positives)]
        eleven = [average_precision(*curve, 11) for curve in curves]
        whole = [average_precision(*curve) for curve in curves]
        return {
            "map": _mean(eleven),
            "map_all": _mean(whole),
            "classes_averaged": int((self.positives > 0).sum()),
            **{f"ap/{name}": value for name, value in zip(self.classes, eleven, strict=True)},
            **{f"ap_all/{name}": value for name, value in zip(self.classes, whole, strict=True)},
        }


class LabelAP:
    """Average precision of labels of which a sample may have any number (attributes, say), in per cent.

    Each attribute ranks all samples by its logit. ``map`` is the mean over the attributes of the 11-point average
    precision, ``map_all`` of the whole area; ``attributes_averaged`` says how many attributes some sample has: the
    others are left out. Of equal logits the sample taken earlier ranks first.
    """

    def __init__(self) -> None:
        self.outputs: list[Tensor] = []
        self.targets: list[Tensor] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes logits ``(n, A)`` and targets ``(n, A)``: 1 where the sample has the attribute, else 0."""
        self.outputs.append(output.detach())
        self.targets.append(target > 0)

    def compute(self) -> dict[str, float]:
        """``map``, ``map_all``, ``attributes_averaged``; NaN when no sample has an attribute."""
        scores = torch.cat(self.outputs).double().cpu().numpy().T if self.outputs else np.zeros((0, 0))
        hits = torch.cat(self.targets).cpu().numpy().T if self.targets else np.zeros((0, 0), bool)
        curves = [(score, hit, int(hit.sum())) for score, hit in zip(scores, hits, strict=True)]
        return {
            "map": _mean([average_precision(*curve, 11) for curve in curves]),
            "map_all": _mean([average_precision(*curve) for curve in curves]),
            "attributes_averaged": sum(positives > 0 for _, _, positives in curves),
        }


def _mean(values: list[float]) -> float:
    """The mean of those that are numbers; NaN without any."""
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else float("nan")
