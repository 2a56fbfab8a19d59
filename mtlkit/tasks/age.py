"""Age as a class a year, answered by the expected age."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from mtlkit.tasks.classification import Classification

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


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
        from mtlkit.metrics.age_errors import expected

        return expected(output).round().long()

    def names(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Years, whatever classes the data set has."""
        return tuple(map(str, range(self.classes)))

    def metric(self) -> "ImageMetric":
        """A fresh :class:`AgeErrors`."""
        from mtlkit.metrics.age_errors import AgeErrors

        return AgeErrors()
