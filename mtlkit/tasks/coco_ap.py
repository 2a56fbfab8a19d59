"""Average precision of boxes and of poses as COCO defines it, by faster-coco-eval.

Lin et al., *Microsoft COCO*, ECCV 2014; https://cocodataset.org/#detection-eval and #keypoints-eval.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster  # type: ignore[import-untyped]
from numpy.typing import NDArray
from torch import Tensor

from mtlkit.errors import InputError, unknown


class CocoAP:
    """COCO's average precision over a whole set, in per cent, picture by picture.

    ``ap`` is the mean over ten least overlaps from 0.5 to 0.95, 101 recalls and the classes of which an object is
    there; ``ap50`` and ``ap75`` take one overlap each. ``ap/CLASS``, ``ap50/CLASS`` and ``ap75/CLASS`` are a class's
    own. NaN where nothing is to be found. ``classes_averaged`` says how many classes are in the mean.

    The overlap is the intersection over union of boxes, or the similarity of poses (object keypoint similarity), which
    forgives each joint a distance of ``2 * sigma * sqrt(area)`` or so. A detection in a crowd is neither right nor
    wrong; so is one, of a pose, on an object without a labelled joint. Of a class, the 100 surest boxes or 20 surest
    poses of a picture count.

    Args:
        classes: names; the place of each is its id.
        kind: what is compared.
        sigmas: one for each joint, as a share of an object's scale; ``None``: those of COCO's 17 joints.

    Raises:
        InputError: ``kind`` is neither.
    """

    def __init__(
        self, classes: Sequence[str], kind: Literal["bbox", "keypoints"] = "bbox", sigmas: Sequence[float] | None = None
    ):
        if kind not in ("bbox", "keypoints"):
            raise unknown("kind of average precision", kind, ("bbox", "keypoints"))
        self.classes = tuple(classes)
        self.kind = kind
        self.sigmas = None if sigmas is None else np.array(sigmas, np.float64)
        self.pictures = 0
        self.objects: list[dict[str, Any]] = []
        self.detections: list[dict[str, Any]] = []

    def add(
        self,
        found: Tensor,
        scores: Tensor,
        labels: Tensor,
        boxes: Tensor,
        truth_labels: Tensor,
        crowd: Tensor | None = None,
        areas: Tensor | None = None,
        joints: Tensor | None = None,
    ) -> None:
        """Takes one picture, which may have no detection or no object; waits for the device.

        Args:
            found: what was detected: boxes ``(D, 4)`` (left, top, right, bottom), or joints ``(D, J, 3)``, of which x
                and y count.
            scores: ``(D,)``, comparable between pictures.
            labels: class ids ``(D,)``, from 0, without a background.
            boxes: objects ``(R, 4)``.
            truth_labels: their class ids ``(R,)``.
            crowd: which of them are crowds, ``(R,)``; ``None``: none.
            areas: of their masks, in pixels of the pictures as the network sees them, ``(R,)``; ``None``: of the boxes.
            joints: of the objects, ``(R, J, 3)``: x, y and a visibility, 0 where a joint is not labelled; needed for
                poses.

        Raises:
            InputError: there are not as many sigmas as joints, or the objects' joints are missing.
        """
        truth: dict[str, NDArray[Any]] = {
            "bbox": _sided(boxes),
            "category_id": _plain(truth_labels).astype(np.int64) + 1,
            "iscrowd": np.zeros(len(boxes), np.int64) if crowd is None else _plain(crowd).astype(np.int64),
            "area": _sided(boxes)[:, 2:].prod(1) if areas is None else _plain(areas),
        }
        guess = {"score": _plain(scores), "category_id": _plain(labels).astype(np.int64) + 1}
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
        self.pictures += 1
        # COCO counts ids from 1: in its matches 0 means none.
        image = {"image_id": self.pictures}
        self.objects += [image | {"id": len(self.objects) + number} | row for number, row in enumerate(_rows(truth), 1)]
        self.detections += [image | row for row in _rows(guess)]

    def compute(self) -> dict[str, float]:
        """``ap``, ``ap50``, ``ap75``, ``classes_averaged``, and ``ap/CLASS``, ``ap50/CLASS`` and ``ap75/CLASS``."""
        precision = self._precision() if self.objects else np.full((10, 1, len(self.classes)), np.nan)
        overlaps: dict[str, slice] = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}
        by_class = {name: 100 * precision[rows].mean((0, 1)) for name, rows in overlaps.items()}
        there = ~np.isnan(by_class["ap"])
        return {
            **{name: float(values[there].mean()) if there.any() else float("nan") for name, values in by_class.items()},
            "classes_averaged": int(there.sum()),
            **{
                f"{name}/{label}": float(value)
                for name, values in by_class.items()
                for label, value in zip(self.classes, values, strict=True)
            },
        }

    def _precision(self) -> NDArray[np.float64]:
        """Precision by overlap, recall and class, ``(10, 101, C)``; NaN for a class without an object."""
        truth = COCO(
            {
                "images": [{"id": number} for number in range(1, self.pictures + 1)],
                "categories": [{"id": number, "name": name} for number, name in enumerate(self.classes, 1)],
                "annotations": [dict(each) for each in self.objects],
            }
        )
        guesses = truth.loadRes([dict(each) for each in self.detections])
        scorer = COCOeval_faster(truth, guesses, self.kind, kpt_oks_sigmas=self.sigmas)
        scorer.params.catIds = list(range(1, len(self.classes) + 1))  # for poses, only classes that occur by default
        scorer.evaluate()
        scorer.accumulate()
        precision = np.asarray(scorer.eval["precision"])[:, :, :, 0, -1]  # objects of all sizes, most detections
        return np.where(precision < 0, np.nan, precision)


def _plain(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().as_subclass(Tensor).cpu().to(torch.float64).numpy()
    return array


def _sided(boxes: Tensor) -> NDArray[np.float64]:
    """Boxes ``(n, 4)`` as left, top, width and height."""
    corners = _plain(boxes).reshape(-1, 4)
    return np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1)


def _rows(columns: dict[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """One dictionary of plain numbers a row, for columns of one length."""
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]
