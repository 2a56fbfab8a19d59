"""The energy of the food on an image: one number, learned by its relative and its absolute error.

Ege and Yanai's comparison of regression and retrieval (``papers/calorie/printed.yaml``), here "the paper"; its source
is damaged, and what is inferred is said so.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mtlkit.errors import check_shape
from mtlkit.metrics.bootstrap import medians
from mtlkit.metrics.floor import FLOOR
from mtlkit.tasks.base import Task
from mtlkit.tasks.drawing import captioned
from mtlkit.tasks.placement import Placement

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


class Calories(Task):
    """Kilocalories of an image. Output ``(N, 1)``, see :meth:`estimates`; target ``(N,)`` kcal.

    Attributes:
        unit: kcal of an output of 0, and what an output of 1 adds. With the training mean a new network starts at a
            fair guess and needs numbers of size 1 only. The terms stay in kcal and shares, so that an absolute one
            weighted 1 pulls at the output about ``unit`` times as hard as a relative one.
        floor: kcal; no relative error is taken of less (:data:`mtlkit.metrics.floor.FLOOR`).
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
        """Outputs ``(N, 1)`` as kcal ``(N,)``: ``unit (1 + output)``. Below 0 nothing is cut, as in the paper.

        Raises:
            InputError: the output has another shape.
        """
        check_shape(f"The output of {self.name}", output.shape, "N", 1)
        return self.unit * (1 + output.float()[:, 0])

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Eqs. 2 and 3, averaged over the images: ``|y - g| / max(g, floor)``, a share, and ``|y - g|``, kcal.

        The paper divides by g alone. The weights of Eq. 1 stand in the recipe;
        :func:`mtlkit.objectives.inverse_means` finds them.

        Raises:
            InputError: the shapes are others than the task's.
        """
        check_shape(f"The target of {self.name}", target.shape, len(output))
        error = (self.estimates(output) - target.float()).abs()
        count = max(len(target), 1)
        return {
            "relative": (error / target.float().clamp(min=self.floor)).sum() / count,
            "absolute": error.sum() / count,
        }

    def ensemble(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean of the estimates, as the paper takes it of its last ten snapshots (Sect. 4)."""
        return torch.stack([output.float() for output in outputs]).mean(0)

    def prediction(self, output: Tensor, placement: Placement) -> float:
        """Kilocalories."""
        return float(self.estimates(output))

    def to_json(self, prediction: float) -> float:
        """The same, rounded."""
        return round(prediction, 2)

    def draw_on(self, image: np.ndarray, prediction: float) -> np.ndarray:
        """The image with the energy."""
        return captioned(image, f"{prediction:.0f} kcal")

    def metric(self) -> "ImageMetric":
        """A fresh :class:`~mtlkit.metrics.calorie_errors.CalorieErrors`."""
        from mtlkit.tasks.scored import EstimateErrors

        return EstimateErrors(self)

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> "ImageMetric":
        """Scores of the constant with the lowest loss: a median, where light dishes weigh more.

        The absolute term is taken in ``unit`` kcal, which with the training mean for a unit is about the weight that
        the paper's first run would give it.
        """
        from mtlkit.metrics.calorie_errors import CalorieErrors

        known = torch.cat([torch.zeros(0), *train]).double().numpy()
        answer = float(medians(known, 1 / np.maximum(known, self.floor) + 1 / self.unit))
        metric = CalorieErrors(self.floor)
        for target in test:
            metric.update(torch.full_like(target, answer), target)
        return metric
