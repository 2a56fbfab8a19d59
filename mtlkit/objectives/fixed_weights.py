"""A weighted sum with fixed weights."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch

from mtlkit.objectives.base import Losses, Objective
from mtlkit.values import Value


class FixedWeights(Objective):
    """The weighted sum of all loss terms, ``sum_i w_i L_i``, with weights that stay as they are.

    Args:
        tasks: names of the tasks.
        loss_weights: term -> its weight; 1 where none is given.

    >>> weight = torch.nn.Parameter(torch.tensor(1.0))
    >>> objective = FixedWeights(["depth", "normals"], loss_weights={"normals/cosine": 10.0})
    >>> objective.backward({"depth/l1": 3 * weight, "normals/cosine": 2 * weight})
    >>> weight.grad
    tensor(23.)
    """

    class Settings(Value):
        """:class:`FixedWeights` as part of a recipe."""

        tag: ClassVar[str] = "FixedWeights"

        kind: Literal["fixed"] = "fixed"

        def build(self, tasks: Sequence[str], loss_weights: Mapping[str, float]) -> "FixedWeights":
            """The objective of these tasks."""
            return FixedWeights(tasks, loss_weights=loss_weights)

        def __str__(self) -> str:
            return "fixed loss weights"

    def differentiate(self, losses: Losses) -> None:
        """Adds the gradients of these losses."""
        # The order of the terms is kept, which decides how the sum is rounded.
        losses.backward(torch.stack(list(losses.weighted.values())).sum() / losses.batches)
