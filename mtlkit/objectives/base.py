"""What all objectives have in common."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from mtlkit.errors import InputError, unknown

NO_TASK = "sharing"
"""The part before the slash in the names of terms that belong to no task, such as a penalty of shared layers."""


@dataclass(frozen=True)
class Losses:
    """The losses of one batch.

    Attributes:
        tasks: names of the tasks.
        weighted: ``task/term`` -> loss, times its fixed weight.
        present: tasks that the batch has targets of.
        shared: parameters that several tasks may share.
        own: all other parameters; ``None``: those that the losses come from.
        batches: of the step, whose gradient is the mean over them.
        backward: runs the backward pass of a sum of losses.
    """

    tasks: tuple[str, ...]
    weighted: dict[str, Tensor]
    present: frozenset[str]
    shared: Sequence[nn.Parameter]
    own: Sequence[nn.Parameter] | None
    batches: int
    backward: Callable[[Tensor], None]

    @cached_property
    def of_tasks(self) -> Tensor:
        """Each task's loss, ``(K,)``: the sum of its terms; 0 for a task without terms."""
        return torch.stack([self._sum(task) for task in self.tasks])

    @cached_property
    def rest(self) -> Tensor:
        """The sum of the terms of no task."""
        return self._sum(NO_TASK)

    def _sum(self, of: str) -> Tensor:
        zero = next(iter(self.weighted.values())).new_zeros(())
        return sum((loss for name, loss in self.weighted.items() if name.partition("/")[0] == of), zero)


class Objective(nn.Module):
    """From the loss terms of a step to one gradient.

    A task's loss is the sum of its terms, each times its fixed weight; a subclass says in :meth:`differentiate` how the
    tasks' losses ``(L_1, ..., L_K)`` become the gradient that the optimiser sees. Terms of no task
    (``sharing/penalty``) are added as they are.

    A step is one or more calls of :meth:`backward`, one a batch, and then one of :meth:`finish`. Everything that an
    objective learns is in its ``state_dict()``; its parameters belong to the optimiser group ``objective``.

    Attributes:
        scales: whether it takes a backward pass that scales the losses, as float16 needs it.

    Args:
        tasks: names of the tasks, the parts before the slash in the names of terms.
        loss_weights: term -> its fixed weight; 1 where none is given.

    Raises:
        InputError: There is no task, one is named twice, or a weight is that of another task's term.
    """

    scales: ClassVar[bool] = True

    def __init__(self, tasks: Sequence[str], *, loss_weights: Mapping[str, float] | None = None):
        super().__init__()
        if isinstance(tasks, str) or not tasks or len({*tasks}) < len(tasks):
            raise InputError(f"An objective takes a list of one or more tasks, each once, not {tasks!r}.")
        self.tasks = tuple(tasks)
        self.loss_weights = dict(loss_weights or {})
        self._check(self.loss_weights)

    def _check(self, names: Collection[str]) -> None:
        for name in names:
            if (task := name.partition("/")[0]) not in (*self.tasks, NO_TASK):
                raise unknown(f"task of the loss {name},", task, self.tasks)

    def backward(
        self,
        terms: Mapping[str, Tensor],
        *,
        present: Collection[str] | None = None,
        shared: Sequence[nn.Parameter] = (),
        own: Sequence[nn.Parameter] | None = None,
        batches: int = 1,
        backward: Callable[[Tensor], None] = torch.Tensor.backward,
    ) -> None:
        """Adds the gradients of one batch.

        Args:
            terms: ``task/term`` -> loss, a tensor of one element each; zero for a task that the batch has no target of.
            present: tasks that the batch has targets of; ``None``: all.
            shared: parameters that several tasks may share, for objectives that combine gradients.
            own: all other parameters, likewise; ``None``: those that the losses come from.
            batches: of the step, whose gradient is the mean over them.
            backward: runs the backward pass of a sum of losses, in case they are to be scaled.

        Raises:
            InputError: A term is that of another task or no tensor of one element, a task that is present is unknown or
                has no term, or a weight is that of no term.
        """
        self._check(terms)
        for name, loss in terms.items():
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                kind = f"of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
                raise InputError(f"The loss {name} is {kind}; it should be a tensor of one number, such as a mean.")
        there = frozenset(self.tasks if present is None else present)
        for task in sorted(there.difference(self.tasks)):
            raise unknown("task", task, self.tasks)
        named = {name.partition("/")[0] for name in terms}
        for task in self.tasks:
            if task in there and task not in named:
                raise InputError(f"The task {task} has no loss; there are {', '.join(terms) or 'none'}.")
        for name in self.loss_weights:
            if name not in terms and name.partition("/")[0] in named & {*self.tasks}:
                raise unknown("loss with the weight of", name, terms)
        weighted = {name: self.loss_weights.get(name, 1.0) * loss.reshape(()) for name, loss in terms.items()}
        self.differentiate(Losses(self.tasks, weighted, there, shared, own, batches, backward))

    def differentiate(self, losses: Losses) -> None:
        """Adds the gradients of these losses."""
        raise NotImplementedError

    def finish(self) -> Tensor | None:
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
