"""Age as a class a year, answered by the expected age."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from mtlkit.metrics.age_errors import AgeErrors, expected
from mtlkit.metrics.base import ImageMetric
from mtlkit.tasks.classification import Classification


class Age(Classification):
    """An age a picture. Output ``(N, classes)`` logits; target ``(N,)`` whole years, int64, from 0 below ``classes``.

    Trained as so many classes by cross-entropy; the answer is the expected age
    (:func:`mtlkit.metrics.age_errors.expected`), of several networks together the mean of theirs.
    """

    kind: Literal["age"] = "age"  # type: ignore[assignment]
    name: str = "age"
    classes: int = 100

    def named(self, output: Tensor) -> Tensor:
        """The expected age of every picture, rounded, ``(N,)`` int64."""
        return expected(output).round().long()

    def names(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Years, whatever classes the data set has."""
        return tuple(map(str, range(self.classes)))

    def metric(self) -> ImageMetric:
        """A fresh :class:`AgeErrors`."""
        return AgeErrors()
