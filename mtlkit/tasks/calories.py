"""The energy of the food on a picture: one number, learned by its relative and its absolute error.

Ege and Yanai's comparison of regression and retrieval (``papers/printed/calorie.yaml``), here "the paper"; its source
is damaged, and what is inferred is said so.
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from mtlkit.bootstrap import medians
from mtlkit.tasks.base import Metric, Task
from mtlkit.tasks.calorie_measures import FLOOR, measures


class Calories(Task):
    """Kilocalories of a picture. Output ``(N, 1)``, see :meth:`estimates`; target ``(N,)`` kcal.

    Attributes:
        unit: kcal of an output of 0, and what an output of 1 adds. With the training mean a new network starts at a
            fair guess and needs numbers of size 1 only. The terms stay in kcal and shares, so that an absolute one
            weighted 1 pulls at the output about ``unit`` times as hard as a relative one.
        floor: kcal; no relative error is taken of less (:data:`mtlkit.tasks.calorie_measures.FLOOR`).
    """

    terms: ClassVar = ("relative", "absolute")

    kind: Literal["calories"] = "calories"
    name: str = "calories"
    unit: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    floor: float = Field(default=FLOOR, gt=0, allow_inf_nan=False)

    @property
    def outputs(self) -> int:
        """One number."""
        return 1

    def estimates(self, output: Tensor) -> Tensor:
        """Outputs ``(N, 1)`` as kcal ``(N,)``: ``unit (1 + output)``. Below 0 nothing is cut, as in the paper."""
        return self.unit * (1 + output.float()[:, 0])

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Eqs. 2 and 3, averaged over the pictures: ``|y - g| / max(g, floor)``, a share, and ``|y - g|``, kcal.

        The paper divides by g alone. The weights of Eq. 1 stand in the recipe;
        :func:`mtlkit.loss_weights.inverse_means` finds them.
        """
        error = (self.estimates(output) - target.float()).abs()
        count = max(len(target), 1)
        return {
            "relative": (error / target.float().clamp(min=self.floor)).sum() / count,
            "absolute": error.sum() / count,
        }

    def combined(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean of the estimates, as the paper takes it of its last ten snapshots (Sect. 4)."""
        return torch.stack([output.float() for output in outputs]).mean(0)

    def metric(self) -> Metric:
        """A fresh :class:`CalorieErrors`."""
        return CalorieErrors(self)

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> Metric:
        """Scores of the constant with the lowest loss: a median, where light dishes weigh more.

        The absolute term is taken in ``unit`` kcal, which with the training mean for a unit is about the weight that
        the paper's first run would give it.
        """
        known = np.concatenate([np.zeros(0), *(_numbers(target) for target in train)])
        answer = float(medians(known, 1 / np.maximum(known, self.floor) + 1 / self.unit))
        metric = CalorieErrors(self)
        for target in test:
            metric.add(torch.full_like(target, answer), target)
        return metric


class CalorieErrors:
    """:func:`mtlkit.tasks.calorie_measures.measures` over the whole set; eight bytes a picture stay on the device."""

    def __init__(self, task: Calories):
        self.task = task
        self.estimates: list[Tensor] = []
        self.truths: list[Tensor] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes outputs ``(N, 1)`` and kcal ``(N,)``."""
        self.add(self.task.estimates(output.detach()), target)

    def add(self, estimates: Tensor, truths: Tensor) -> None:
        """Takes kcal ``(N,)``, estimated and true."""
        self.estimates.append(estimates)
        self.truths.append(truths)

    def samples(self) -> dict[str, list[float]]:
        """``estimate`` and ``truth``, kcal, picture by picture in the order they came: what plots and intervals are
        made of."""
        return {
            name: values.round(2).tolist() for name, values in zip(("estimate", "truth"), self.pairs(), strict=True)
        }

    def pairs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Estimates and truths ``(n,)`` in the order they came: what a plot or an interval is made of."""
        estimates, truths = (
            np.concatenate([np.zeros(0), *map(_numbers, kept)]) for kept in (self.estimates, self.truths)
        )
        return estimates, truths

    def compute(self) -> dict[str, float]:
        """The measures by name; NaN without a picture."""
        return {name: float(value) for name, value in measures(*self.pairs(), self.task.floor).items()}


def _numbers(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().double().numpy()
