"""From the losses of several tasks to one backward pass. One file per method.

A network that learns several tasks has a loss per task and one set of shared parameters; an objective says what
gradient these get.
"""

from typing import Annotated

from pydantic import Field

from mtlkit.objectives.base import NO_TASK, Losses, Objective
from mtlkit.objectives.fixed_weights import FixedWeights
from mtlkit.objectives.inverse_means import InverseMeans, inverse_means
from mtlkit.objectives.jacobian_descent import JacobianDescent
from mtlkit.objectives.uncertainty import UncertaintyWeighting

ObjectiveSettings = Annotated[
    FixedWeights.Settings | UncertaintyWeighting.Settings | JacobianDescent.Settings,
    Field(discriminator="kind"),
]
"""Any objective's settings; ``settings.build(tasks, loss_weights)`` makes it."""

__all__ = [
    "NO_TASK",
    "FixedWeights",
    "InverseMeans",
    "JacobianDescent",
    "Losses",
    "Objective",
    "ObjectiveSettings",
    "UncertaintyWeighting",
    "inverse_means",
]
