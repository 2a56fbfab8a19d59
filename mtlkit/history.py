"""What a training leaves behind beside its weights: its losses, its time, and where it diverged."""

from typing import TYPE_CHECKING

from pydantic import BaseModel

from mtlkit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

CHECK_EVERY = 10
"""Steps between looks at the losses, since reading them makes the host wait for the device."""


class History(BaseModel):
    """What the losses did."""

    steps: list[int] = []
    """The last step of every window of :data:`CHECK_EVERY` steps, counted from 1."""
    losses: dict[str, list[float]] = {}
    """``task/term`` -> its unweighted mean over each window."""
    weights: dict[str, list[float]] = {}
    """Task -> the mean over each window of what an objective multiplied its loss or gradient by, where that changes."""
    objective: dict[str, list[float]] = {}
    """What an objective had learned at the end, by the names of its parameters."""
    mixing: dict[str, list[float]] = {}
    """``STAGE/TASK/SOURCE`` -> what fusion layers behind a stage had learned at the end to take of ``SOURCE`` for
    ``TASK``, channel by channel, sorted; see :meth:`mtlkit.sharing.Sharing.mixing_weights`."""


class Divergence(BaseModel):
    """Where a training ended before its time, since a loss was infinite or not a number."""

    step: int
    """Counted from 1."""
    loss: str
    """``task/term``."""
    value: str
    """``inf``, ``-inf`` or ``nan``."""

    def __str__(self) -> str:
        return f"the loss {self.loss} is {self.value} at step {self.step}"


class Timing(BaseModel):
    """Where a training's time went, in seconds, over all of its (possibly resumed) parts."""

    training: float = 0.0
    waiting_for_data: float = 0.0


class TrainingDiverged(InputError):
    """A loss became infinite or not a number.

    Attributes:
        divergence: which loss, and when.
        history: what the losses did before.
        timing: the seconds until then.
    """

    def __init__(
        self,
        message: str,
        divergence: Divergence | None = None,
        history: History | None = None,
        timing: Timing | None = None,
    ):
        super().__init__(message)
        self.divergence, self.history, self.timing = divergence, history, timing


def divergence(losses: "Tensor", names: list[str], last: int) -> Divergence | None:
    """The first loss of a window that is infinite or not a number; ``None`` where all are finite.

    Args:
        losses: a step a line, a loss a column.
        names: of the losses, ``task/term``.
        last: the window's last step, counted from 0.
    """
    bad = (~losses.isfinite()).nonzero()
    if not len(bad):
        return None
    row, column = bad[0].tolist()
    return Divergence(step=last - len(losses) + row + 2, loss=names[column], value=str(losses[row, column].item()))
