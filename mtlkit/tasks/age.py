"""Age as a class a year, answered by the expected age."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtlkit.bootstrap import medians
from mtlkit.tasks.base import Metric
from mtlkit.tasks.classification import Classification


def expected(output: Tensor) -> Tensor:
    """The mean age ``(N,)`` under the softmax of logits ``(N, classes)``, years: DEX, Rothe et al. 2015."""
    years = torch.arange(output.shape[1], dtype=torch.float32, device=output.device)
    return output.float().softmax(1) @ years


class Age(Classification):
    """An age a picture. Output ``(N, classes)`` logits; target ``(N,)`` whole years, int64, from 0 below ``classes``.

    Trained as so many classes by cross-entropy; the answer is the :func:`expected` age, of several networks together
    the mean of theirs.
    """

    kind: Literal["age"] = "age"  # type: ignore[assignment]
    name: str = "age"
    classes: int = 100

    def metric(self) -> Metric:
        """A fresh :class:`AgeErrors`."""
        return AgeErrors()


class AgeErrors:
    """Errors over the whole set: ``mean_error`` and ``median_error``, of the expected age, in years, and
    ``accuracy``, the share of pictures whose very year has the highest logit, in per cent.

    The exact median needs every error: four bytes a picture stay on the device until :meth:`compute`.
    """

    def __init__(self) -> None:
        self.errors: list[Tensor] = []
        self.hits: list[Tensor] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes logits ``(N, classes)`` and ages ``(N,)``."""
        self.errors.append((expected(output) - target).abs())
        # Of equal logits the lower age ranks first, on every device.
        first = output.float().sort(dim=1, descending=True, stable=True).indices[:, 0]
        self.hits.append(first == target)

    def compute(self) -> dict[str, float]:
        """``mean_error``, ``median_error``, ``accuracy``; NaN when no age was given."""
        count = sum(map(len, self.errors))
        return {name: float(value[0]) for name, value in self.resampled(np.ones((1, count), np.int64)).items()}

    def resampled(self, times: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """As :meth:`compute`, on draws of the pictures."""
        errors, hits = (torch.cat([torch.zeros(0), *kept]).cpu().double().numpy() for kept in (self.errors, self.hits))
        count = times.sum(1)
        with np.errstate(invalid="ignore"):
            return {
                "mean_error": times @ errors / count,
                "median_error": medians(errors, times),
                "accuracy": 100 * (times @ hits) / count,
            }
