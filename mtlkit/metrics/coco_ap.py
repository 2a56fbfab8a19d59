"""Average precision of boxes and of poses as COCO defines it; detections are matched by faster-coco-eval.

Lin et al., *Microsoft COCO*, ECCV 2014; https://cocodataset.org/#detection-eval and #keypoints-eval.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtlkit.errors import InputError, extra, unknown
from mtlkit.metrics.average_precision import at_recalls, check_detections, envelope
from mtlkit.metrics.base import FEW_CLASSES, ImageMetric, Measures, Weights, by_class, mean_of_known

with extra("run"):
    from faster_coco_eval import COCO, COCOeval_faster  # type: ignore[import-untyped]

Kind = Literal["bbox", "keypoints"]

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)

MOST = {"bbox": 100, "keypoints": 20}
"""Of a class, so many of an image's surest detections count."""


class Matches(NamedTuple):
    """What an image's detections found.

    Attributes:
        labels: ``(D,)``, classes.
        scores: ``(D,)``.
        found: ``(D,)``, a bit an overlap of :data:`OVERLAPS`: an object is found.
        ignored: ``(D,)``, likewise: the detection is neither right nor wrong.
        positives: ``(C,)``, objects of each class that are to be found.
    """

    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    found: NDArray[np.int64]
    ignored: NDArray[np.int64]
    positives: NDArray[np.int64]


class Matcher:
    """Matches the detections of an image with its objects.

    Args:
        classes: how many.
        kind: what is compared.
        sigmas: one for each joint, as a share of an object's scale; ``None``: those of COCO's 17 joints.

    Raises:
        InputError: ``kind`` is neither.
    """

    def __init__(self, classes: int, kind: Kind = "bbox", sigmas: Sequence[float] | None = None):
        if kind not in MOST:
            raise unknown("kind of average precision", kind, MOST)
        self.classes, self.kind = classes, kind
        self.sigmas = None if sigmas is None else np.array(sigmas, np.float64)

    def __call__(
        self,
        found: Tensor,
        scores: Tensor,
        labels: Tensor,
        boxes: Tensor,
        truth_labels: Tensor,
        crowd: Tensor | None = None,
        areas: Tensor | None = None,
        joints: Tensor | None = None,
    ) -> Matches:
        """One image; see :meth:`CocoAP.update`."""
        check_detections((found, scores), labels, truth_labels, self.classes)
        truth: dict[str, NDArray[Any]] = {
            "bbox": _sided(boxes),
            "category_id": _plain(truth_labels).astype(np.int64) + 1,
            "iscrowd": np.zeros(len(boxes), np.int64) if crowd is None else _plain(crowd).astype(np.int64),
            "area": _sided(boxes)[:, 2:].prod(1) if areas is None else _plain(areas),
        }
        guess = {"score": _plain(scores), "category_id": _plain(labels).astype(np.int64) + 1}
        counted = truth["iscrowd"] == 0
        if self.kind == "bbox":
            guess["bbox"] = _sided(found)
        else:
            if joints is None:
                raise InputError("The objects' joints are missing; average precision of poses needs them.")
            count = 17 if self.sigmas is None else len(self.sigmas)
            for pose in (found, joints):
                if pose.shape[1:] != (count, 3):
                    raise InputError(
                        f"Poses have the shape {tuple(pose.shape)}, but there are {count} sigmas; "
                        f"it should be (objects, {count}, 3): give one sigma for each joint."
                    )
            guess["keypoints"] = _plain(found).reshape(-1, 3 * count)
            truth["keypoints"] = _plain(joints).reshape(-1, 3 * count)
            truth["num_keypoints"] = (_plain(joints)[..., 2] > 0).sum(1)
            counted &= truth["num_keypoints"] > 0
        kept = self._surest(guess["score"], guess["category_id"])
        guess = {name: column[kept] for name, column in guess.items()}
        hits, ignored = self._matched(truth, guess, counted)
        if self.kind == "bbox":  # as COCO has it, a box that is inside out counts only if it is matched
            ignored |= ~hits & np.where(guess["bbox"][:, 2:].prod(1) < 0, -1, 0) & (2 ** len(OVERLAPS) - 1)
        positives = np.bincount(truth["category_id"][counted] - 1, minlength=self.classes)
        return Matches(guess["category_id"] - 1, guess["score"], hits, ignored, positives)

    def _surest(self, scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
        """The detections that count, in their order."""
        order = np.argsort(-scores, kind="stable")
        kept = [order[labels[order] == label][: MOST[self.kind]] for label in np.unique(labels)]
        return np.sort(np.concatenate([np.zeros(0, np.int64), *kept]))

    def _matched(
        self, truth: dict[str, NDArray[Any]], guess: dict[str, NDArray[Any]], counted: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Bits of the overlaps at which each detection has an object, and one that does not count."""
        bits = np.zeros((2, len(guess["score"])), np.int64)
        if not counted.size or not bits.size:
            return bits[0], bits[1]
        image = {"image_id": 1}
        data = COCO(
            {
                "images": [{"id": 1}],
                "categories": [{"id": number + 1, "name": str(number)} for number in range(self.classes)],
                # COCO counts ids from 1: in its matches 0 means none.
                "annotations": [image | {"id": number} | row for number, row in enumerate(_rows(truth), 1)],
            }
        )
        scorer = COCOeval_faster(
            data, data.loadRes([image | row for row in _rows(guess)]), self.kind, kpt_oks_sigmas=self.sigmas
        )
        scorer.params.areaRng, scorer.params.areaRngLbl = [[0, 1e10]], ["all"]
        scorer.params.maxDets = [MOST[self.kind]]
        scorer.params.catIds = np.unique(np.concatenate([truth["category_id"], guess["category_id"]])).tolist()
        for place, overlap in enumerate(OVERLAPS):
            # Matches of all overlaps together would not say which belongs to which.
            scorer.params.iouThrs = np.array([overlap])
            scorer.evaluate()
            for pair in scorer.eval["matched"]:
                detection, number = map(int, pair.split("_"))
                bits[0 if counted[number - 1] else 1, detection - 1] |= 1 << place
        return bits[0], bits[1]


class CocoMetric(ImageMetric):
    """Keeps matches of one or several kinds of detection, each under a prefix of its measures' names.

    Args:
        classes: their names.
        matchers: prefix -> what matches.
    """

    def __init__(self, classes: Sequence[str], matchers: Mapping[str, Matcher]):
        super().__init__()
        self.classes, self.matchers = tuple(classes), dict(matchers)
        for prefix in matchers:
            self.keeps(f"{prefix}positives", (len(self.classes),), torch.int32)
            self.keeps(f"{prefix}detections", (4,), torch.int32, numbered=True)  # image, class, found, ignored
            self.keeps(f"{prefix}scores", (), torch.float64)

    def keep(self, image: Tensor | None, **matches: Matches) -> None:
        """Takes one image's matches by prefix."""
        positives = {f"{prefix}positives": torch.from_numpy(m.positives)[None] for prefix, m in matches.items()}
        (number,) = self.add(image, **positives)
        for prefix, m in matches.items():
            rows = np.stack([np.full(len(m.labels), int(number)), m.labels, m.found, m.ignored], 1)
            getattr(self, f"{prefix}detections").append(torch.from_numpy(rows.astype(np.int32)))
            getattr(self, f"{prefix}scores").append(torch.from_numpy(m.scores))

    def measures(self, weights: Weights) -> Measures:
        """``ap``, ``ap50``, ``ap75``, ``classes_averaged``, and ``ap/CLASS``, ``ap50/CLASS`` and ``ap75/CLASS``."""
        measures: Measures = {}
        for prefix in self.matchers:
            precision = self._precision(prefix, weights)
            overlaps: dict[str, slice] = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}
            own = {name: 100 * precision[:, :, rows].mean(2) for name, rows in overlaps.items()}
            found = {name: mean_of_known(values) for name, values in own.items()}
            found["classes_averaged"] = (~np.isnan(own["ap"])).sum(1).astype(np.float64)
            for name, values in own.items():
                found |= by_class(self.classes, name, values)
            measures |= {f"{prefix}{name}": values for name, values in found.items()}
        return measures

    def _precision(self, prefix: str, weights: Weights) -> NDArray[np.float64]:
        """Mean precision over :data:`RECALLS`, ``(B, C, 10)``; NaN for a class without an object."""
        image, label, found, ignored = self.gathered(f"{prefix}detections").T
        scores, weighed = self.gathered(f"{prefix}scores"), weights[:, image]
        positives = weights[:, self.gathered("image")] @ self.gathered(f"{prefix}positives")
        precision = np.full((len(weights), len(self.classes), len(OVERLAPS)), np.nan)
        for c in np.flatnonzero(positives.any(0)):
            own = np.flatnonzero(label == c)
            own = own[np.argsort(-scores[own], kind="stable")]
            there, ranked = positives[:, c, None], weighed[:, own]
            answers = ranked.cumsum(1)
            for place in range(len(OVERLAPS)):
                right, none = (np.flatnonzero(bits[own] >> place & 1) for bits in (found, ignored))
                hits = ranked[:, right].cumsum(1)
                skipped = np.pad(ranked[:, none].cumsum(1), ((0, 0), (1, 0)))[:, np.searchsorted(none, right)]
                counted = answers[:, right] - skipped
                with np.errstate(invalid="ignore", divide="ignore"):
                    recall = hits / there
                wanted = np.broadcast_to(RECALLS, (len(weights), len(RECALLS)))
                mean = at_recalls(envelope(hits, counted), recall, wanted).mean(1)
                precision[:, c, place] = np.where(there[:, 0] > 0, mean, np.nan)
        return precision

    def resamples(self, measure: str) -> bool:
        """All but the number of classes, and single classes only where there are few."""
        return "classes_averaged" not in measure and ("/" not in measure or len(self.classes) <= FEW_CLASSES)


class CocoAP(CocoMetric):
    """COCO's average precision over a whole set, in per cent, image by image.

    ``ap`` is the mean over ten least overlaps from 0.5 to 0.95, 101 recalls and the classes of which an object is
    there; ``ap50`` and ``ap75`` take one overlap each. ``ap/CLASS``, ``ap50/CLASS`` and ``ap75/CLASS`` are a class's
    own. NaN where nothing is to be found. ``classes_averaged`` says how many classes are in the mean.

    The overlap is the intersection over union of boxes, or the similarity of poses (object keypoint similarity), which
    forgives each joint a distance of ``2 * sigma * sqrt(area)`` or so. A detection in a crowd is neither right nor
    wrong; so is one, of a pose, on an object without a labelled joint. Of a class, the :data:`MOST` surest detections
    of an image count.

    Args:
        classes: names; the place of each is its id.
        kind: what is compared.
        sigmas: one for each joint, as a share of an object's scale; ``None``: those of COCO's 17 joints.

    Raises:
        InputError: ``kind`` is neither.
    """

    def __init__(self, classes: Sequence[str], kind: Kind = "bbox", sigmas: Sequence[float] | None = None):
        super().__init__(classes, {"": Matcher(len(classes), kind, sigmas)})

    def update(
        self,
        found: Tensor,
        scores: Tensor,
        labels: Tensor,
        boxes: Tensor,
        truth_labels: Tensor,
        crowd: Tensor | None = None,
        areas: Tensor | None = None,
        joints: Tensor | None = None,
        image: Tensor | None = None,
    ) -> None:
        """Takes one image, which may have no detection or no object; waits for the device.

        Args:
            found: what was detected: boxes ``(D, 4)`` (left, top, right, bottom), or joints ``(D, J, 3)``, of which x
                and y count.
            scores: ``(D,)``, comparable between images.
            labels: class ids ``(D,)``, from 0, without a background.
            boxes: objects ``(R, 4)``.
            truth_labels: their class ids ``(R,)``.
            crowd: which of them are crowds, ``(R,)``; ``None``: none.
            areas: of their masks, in pixels of the images as the network sees them, ``(R,)``; ``None``: of the boxes.
            joints: of the objects, ``(R, J, 3)``: x, y and a visibility, 0 where a joint is not labelled; needed for
                poses.
            image: its number, ``(1,)``.

        Raises:
            InputError: there are not as many sigmas as joints, or the objects' joints are missing; a score or a place
                is NaN, or a class id outside the classes.
        """
        matched = self.matchers[""](found, scores, labels, boxes, truth_labels, crowd, areas, joints)
        self.keep(image, **{"": matched})


def _plain(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().as_subclass(Tensor).cpu().to(torch.float64).numpy()
    return array


def _sided(boxes: Tensor) -> NDArray[np.float64]:
    """Boxes ``(n, 4)`` as left, top, width and height."""
    corners = _plain(boxes).reshape(-1, 4)
    return np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1)


def _rows(columns: dict[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """One dictionary of plain numbers per row, for columns of one length."""
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]
