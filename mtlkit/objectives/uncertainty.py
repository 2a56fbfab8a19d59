"""Weights by learned uncertainty."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mtlkit.objectives.base import Losses, Objective
from mtlkit.values import Value


class UncertaintyWeighting(Objective):
    r"""Weights that are learned with the network: the inverse of each task's variance.

    ``sum_i (exp(-s_i) L_i + s_i) / 2`` with learned log-variances ``s_i = log sigma_i^2`` that start at 0, Eq. 7 of
    Kendall et al., Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics, CVPR 2018,
    https://arxiv.org/abs/1705.07115. The paper has no factor 1/2 before a classification's loss; here all tasks have
    it, as in ``torchjd.scalarization.UW``, which moves the best ``s_i`` by log 2. So weights start at one half, and the
    first steps are half as long as those of fixed weights of 1 at the same rate. A task that a batch has no target of
    leaves its ``s_i`` as it is.

    Args:
        tasks: names of the tasks.
        loss_weights: term -> its fixed weight inside its task's loss; a common factor of a task is learned away.

    >>> objective = UncertaintyWeighting(["segmentation", "normals"])
    >>> objective.weights.tolist()
    [0.5, 0.5]
    """

    class Settings(Value):
        """:class:`UncertaintyWeighting` as part of a recipe."""

        tag: ClassVar[str] = "UncertaintyWeighting"

        kind: Literal["uncertainty"] = "uncertainty"

        def build(self, tasks: Sequence[str], loss_weights: Mapping[str, float]) -> "UncertaintyWeighting":
            """The objective of these tasks."""
            return UncertaintyWeighting(tasks, loss_weights=loss_weights)

        def __str__(self) -> str:
            return "weights of tasks learned as inverse variances, from one half each (Kendall et al., 2018)"

    def __init__(self, tasks: Sequence[str], *, loss_weights: Mapping[str, float] | None = None):
        super().__init__(tasks, loss_weights=loss_weights)
        self.log_variances = nn.Parameter(torch.zeros(len(self.tasks)))

    @property
    def weights(self) -> Tensor:
        """What each task's loss is multiplied by now, ``(K,)``."""
        return self.log_variances.detach().neg().exp() / 2

    def differentiate(self, losses: Losses) -> None:
        """Adds the gradients of these losses."""
        of = losses.of_tasks
        there = torch.tensor([task in losses.present for task in self.tasks], device=of.device)
        weighted = ((-self.log_variances).exp() * of + self.log_variances) / 2
        # Added and not left out, so that every part of the network gets a gradient, if of zeros.
        losses.backward((torch.where(there, weighted, of).sum() + losses.rest) / losses.batches)

    def finish(self) -> Tensor:
        """Ends the step; the weights that it had."""
        return self.weights
