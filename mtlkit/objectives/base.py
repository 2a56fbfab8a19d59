"""What all objectives have in common."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from mtlkit.errors import InputError


class Objective(nn.Module):
    """From the loss terms of a step to one gradient.

    A task's loss is the sum of its terms, each times its fixed weight; a subclass says how the tasks' losses
    ``(L_1, ..., L_K)`` become the gradient that the optimiser sees. Terms of no task (``sharing/penalty``) are added as
    they are.

    A step is one or more calls of :meth:`backward`, one a batch, and then one of :meth:`finish`. Everything that an
    objective learns or remembers is in its ``state_dict()``; its parameters belong to the optimiser group
    ``objective``.

    Attributes:
        scales: whether it takes a backward pass that scales the losses, as float16 needs it.

    Args:
        tasks: names of the tasks, the parts before the slash in the names of terms.
        loss_weights: term -> its fixed weight; 1 where none is given.

    Raises:
        InputError: There is no task.
    """

    scales: ClassVar[bool] = True

    def __init__(self, tasks: Sequence[str], *, loss_weights: Mapping[str, float] | None = None):
        super().__init__()
        if not tasks:
            raise InputError("An objective joins the losses of at least one task, not of none.")
        self.tasks = tuple(tasks)
        self.loss_weights = dict(loss_weights or {})

    def losses(self, terms: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The tasks' losses ``(K,)``, in the order of :attr:`tasks`, and the sum of the terms of no task.

        Args:
            terms: ``task/term`` -> loss, each of one element.
        """
        weighted = {name: self.loss_weights.get(name, 1.0) * loss for name, loss in terms.items()}
        zero = next(iter(terms.values())).new_zeros(())
        of = [
            sum((loss for name, loss in weighted.items() if name.partition("/")[0] == task), zero)
            for task in self.tasks
        ]
        rest = (loss for name, loss in weighted.items() if name.partition("/")[0] not in self.tasks)
        return torch.stack(of), sum(rest, zero)

    def backward(
        self,
        terms: Mapping[str, Tensor],
        *,
        present: Sequence[str] | None = None,
        shared: Sequence[nn.Parameter] = (),
        own: Sequence[nn.Parameter] = (),
        batches: int = 1,
        backward: Callable[[Tensor], None] = torch.Tensor.backward,
    ) -> None:
        """Adds the gradients of one batch.

        Args:
            terms: ``task/term`` -> loss; zero for a task that the batch has no target of.
            present: tasks that the batch has targets of; ``None``: all.
            shared: parameters that several tasks may share, for objectives that combine gradients.
            own: all other parameters, likewise.
            batches: of the step, whose gradient is the mean over them.
            backward: runs the backward pass of a sum of losses, in case they are to be scaled.
        """
        raise NotImplementedError

    def finish(self, shared: Sequence[nn.Parameter] = ()) -> Tensor | None:
        """Ends the step: afterwards every parameter has its gradient.

        Returns:
            What the tasks' losses or gradients were multiplied by, ``(K,)``, where that changes from step to step.
        """
        return None

    def parameter_group(self, name: str) -> str | None:
        """The optimiser group of the parameter ``name``."""
        return "objective"

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"tasks={list(self.tasks)}, loss_weights={self.loss_weights}"
