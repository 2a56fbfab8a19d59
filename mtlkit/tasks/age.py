"""Age as a class a year, answered by the expected age."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import Tensor

from mtlkit.tasks.classification import Classification
from mtlkit.tasks.drawing import captioned
from mtlkit.tasks.placement import Placement

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


class Age(Classification):
    """An age an image. Output ``(N, classes)`` logits; target ``(N,)`` whole years, int64, from 0 below ``classes``.

    Trained as so many classes by cross-entropy; the answer is the expected age
    (:func:`mtlkit.metrics.age_errors.expected`), of several networks together the mean of theirs.
    """

    kind: Literal["age"] = "age"  # type: ignore[assignment]
    name: str = "age"
    classes: int = 100

    def named(self, output: Tensor) -> Tensor:
        """The expected age of every image, rounded, ``(N,)`` int64."""
        from mtlkit.metrics.age_errors import expected

        return expected(output).round().long()

    def names(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Years, whatever classes the data set has."""
        return tuple(map(str, range(self.classes)))

    def prediction(self, output: Tensor, placement: Placement) -> float:
        """The expected age, years."""
        from mtlkit.metrics.age_errors import expected

        return float(expected(output))

    def to_json(self, prediction: float) -> float:
        """The same, rounded."""
        return round(prediction, 2)

    def draw_on(self, image: np.ndarray, prediction: float) -> np.ndarray:
        """The image with the age."""
        return captioned(image, f"{prediction:.0f} years")

    def metric(self) -> "ImageMetric":
        """A fresh :class:`AgeErrors`."""
        from mtlkit.metrics.age_errors import AgeErrors

        return AgeErrors()
