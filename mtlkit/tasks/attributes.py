"""Attributes: labels of which an object may have any number."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mtlkit.errors import InputError
from mtlkit.tasks.base import Task
from mtlkit.tasks.drawing import boxed
from mtlkit.tasks.placement import Placement

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


class ObjectAttributes(NamedTuple):
    """The attributes of the objects of an image.

    Attributes:
        boxes: ``(R, 4)``: left, top, right, bottom in pixels of the image.
        probabilities: of every attribute, ``(R, A)``.
    """

    boxes: Tensor
    probabilities: Tensor


class Attributes(Task):
    """Yes or no for each of A attributes. Output ``(n, A)`` logits; target ``(n, A)``, 1 or 0."""

    terms: ClassVar = ("binary_cross_entropy",)
    of_boxes: ClassVar[bool] = True
    by_category: ClassVar[str] = "ap"

    kind: Literal["attributes"] = "attributes"
    name: str = "attributes"
    attributes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """One logit an attribute."""
        return len(self.attributes)

    @property
    def categories(self) -> tuple[str, ...]:
        """The attributes."""
        return self.attributes

    def label_counts(self, target: Tensor) -> Tensor:
        """Objects that have each attribute."""
        return (target > 0).sum(0)

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy, averaged over objects and over attributes: with 64 of these, a sum scaled by 1/64."""
        total = F.binary_cross_entropy_with_logits(output.float(), target.float(), reduction="sum")
        return {"binary_cross_entropy": total / max(target.numel(), 1)}

    def prediction(self, output: Tensor, placement: Placement) -> ObjectAttributes:
        """The attributes of what the regions show."""
        assert placement.regions is not None, "its network looks at regions"
        return ObjectAttributes(placement.boxes(placement.regions), output.float().sigmoid())

    def to_json(self, prediction: ObjectAttributes) -> list[dict[str, Any]]:
        """An entry an object: its box, and attribute -> probability."""
        return [
            {"box": [round(side, 2) for side in box]}
            | {name: round(each, 4) for name, each in zip(self.attributes, row, strict=True)}
            for box, row in zip(prediction.boxes.tolist(), prediction.probabilities.tolist(), strict=True)
        ]

    def draw_on(self, image: np.ndarray, prediction: ObjectAttributes) -> np.ndarray:
        """The image with the boxes and, at each, the attributes that are more probable than not."""
        names = [
            ", ".join(name for name, each in zip(self.attributes, row, strict=True) if each > 0.5)
            for row in prediction.probabilities.tolist()
        ]
        return boxed(image, prediction.boxes.tolist(), range(len(names)), names)

    def ensemble(self, outputs: Sequence[Tensor]) -> Tensor:
        """The logits of the mean probabilities."""
        logits = torch.stack([output.double() for output in outputs])
        # As logarithms: a sure answer's probability is 1 to the last digit, and sure answers would tie.
        return F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)

    def metric(self) -> "ImageMetric":
        """A fresh :class:`mtlkit.metrics.average_precision.LabelAP`."""
        from mtlkit.metrics.average_precision import LabelAP

        return LabelAP(self.attributes)

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> "ImageMetric":
        """Scores of the training objects' shares: every object is ranked alike, in the order it comes.

        Raises:
            InputError: there is no training object.
        """
        known = torch.cat([torch.zeros(0, self.outputs), *train]).double()
        if not len(known):
            raise InputError(f"No training image holds an object with {self.name}, so no share of them is known.")
        shares = known.mean(0)
        metric = self.metric()
        for target in test:
            metric.update(shares.expand(len(target), -1), target)
        return metric
