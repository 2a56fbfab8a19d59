"""Gradients of the tasks, combined by an aggregator."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from pydantic import field_validator
from torch import Tensor, nn

from mtlkit.errors import InputError, extra, unknown
from mtlkit.objectives.base import Losses, Objective
from mtlkit.values import Value

if TYPE_CHECKING:
    from torchjd.aggregation import Aggregator


class JacobianDescent(Objective):
    """The tasks' gradients of the shared parameters, a row each of a Jacobian, combined by an aggregator of torchjd.

    Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, https://arxiv.org/abs/2406.16232, and
    https://torchjd.org, whose :mod:`torchjd.aggregation` has UPGrad, PCGrad, MGDA, CAGrad, IMTL-G and more. Parameters
    that only one task has, those of its head, get that task's own gradient. The gradient of terms of no task is added.
    A step costs one backward pass through the shared part for every task.

    Args:
        tasks: names of the tasks.
        aggregator: an aggregator, ``torchjd.aggregation.UPGrad()``.
        loss_weights: term -> its fixed weight inside its task's loss.

    Raises:
        InputError: The aggregator is none of torchjd, or keeps a state between steps, which a checkpoint cannot hold.

    >>> from torchjd.aggregation import PCGrad
    >>> shared = torch.nn.Parameter(torch.zeros(2))
    >>> objective = JacobianDescent(["a", "b"], aggregator=PCGrad())
    >>> terms = {"a/loss": shared @ torch.tensor([1.0, 0.0]), "b/loss": shared @ torch.tensor([-1.0, 1.0])}
    >>> objective.backward(terms, shared=[shared])
    >>> objective.finish()
    tensor([2.0000, 1.5000])
    >>> shared.grad  # (1, 0) and (-1, 1), each without what opposes the other: (0.5, 0.5) + (0, 1)
    tensor([0.5000, 1.5000])
    """

    class Settings(Value):
        """:class:`JacobianDescent` as part of a recipe.

        Attributes:
            aggregator: a class of :mod:`torchjd.aggregation` that needs no argument. One that combines gradients by
                preferences (UPGrad, DualProj, AlignedMTL) has 1 for every task, so that where no gradients oppose each
                other a step of it is one of their sum, at the same rate.
        """

        tag: ClassVar[str] = "JacobianDescent"

        kind: Literal["jacobian_descent"] = "jacobian_descent"
        aggregator: str

        @field_validator("aggregator")
        @classmethod
        def _known(cls, name: str) -> str:
            if name not in (known := aggregators()):
                raise unknown("aggregator", name, known)
            return name

        def build(self, tasks: Sequence[str], loss_weights: Mapping[str, float]) -> "JacobianDescent":
            """The objective of these tasks."""
            kind = aggregators()[self.aggregator]
            given: dict[str, Any] = {}
            if "pref_vector" in _parameters(kind):
                given["pref_vector"] = torch.ones(len(tasks))
            return JacobianDescent(tasks, aggregator=kind(**given), loss_weights=loss_weights)

        def __str__(self) -> str:
            return f"gradients of tasks combined by {self.aggregator} (torchjd)"

    scales: ClassVar[bool] = False

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        aggregator: "Aggregator",
        loss_weights: Mapping[str, float] | None = None,
    ):
        with extra("run"):
            from torchjd import Stateful
            from torchjd.aggregation import Aggregator

        super().__init__(tasks, loss_weights=loss_weights)
        self._shared: list[nn.Parameter] = []
        self._batches = 0
        if not isinstance(aggregator, Aggregator):
            raise InputError(f"{aggregator!r} is no aggregator; torchjd.aggregation.UPGrad() is one.")
        if any(isinstance(module, Stateful) for module in aggregator.modules()):
            raise InputError(
                f"{type(aggregator).__name__} keeps a state between steps, which a checkpoint cannot hold; valid are "
                f"{', '.join(aggregators())}."
            )
        self.aggregator = aggregator

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Preferences of torchjd are no buffers and would stay behind on the CPU.
        if (vector := getattr(self.aggregator, "pref_vector", None)) is not None:
            setattr(self.aggregator, "pref_vector", fn(vector))  # noqa: B010
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def differentiate(self, losses: Losses) -> None:
        """Adds the Jacobian of these losses to the shared parameters', and gradients to all others'.

        The losses are not scaled: ``backward`` is not called.

        Raises:
            InputError: There is nothing that tasks share, the batch has no target of a task, or the last step was not
                finished.
        """
        with extra("run"):
            from torchjd.autojac import backward as jacobian

        if self._batches == losses.batches:
            raise InputError("The step has had all of its batches; finish() ends it, before the optimiser's step.")
        self._shared = shared = trained(losses.shared)
        if not shared:
            raise InputError("An objective that combines the tasks' gradients needs parameters that tasks share.")
        if absent := [task for task in self.tasks if task not in losses.present]:
            raise InputError(
                f"Gradients are combined where a batch has targets of all tasks; one has none of {absent[0]}."
            )
        # One row after the other: not every operator of a network can be differentiated for several rows at once.
        jacobian(losses.of_tasks / losses.batches, inputs=shared, retain_graph=True, parallel_chunk_size=1)
        total = (losses.of_tasks.sum() + losses.rest) / losses.batches
        if own := trained(others(total, shared) if losses.own is None else losses.own):
            torch.autograd.backward(total, inputs=own, retain_graph=True)
        if losses.rest.requires_grad:
            torch.autograd.backward(losses.rest / losses.batches, inputs=shared)
        self._batches += 1

    def finish(self) -> Tensor | None:
        """Ends the step: combines the rows. The weights of the rows, where the aggregator is a weighted sum.

        Raises:
            InputError: There was no ``backward`` since the last step.
        """
        with extra("run"):
            from torchjd.autojac import jac_to_grad

        if not self._shared:
            raise InputError("A step that is to be finished needs the backward pass of a batch first.")
        weights: Tensor | None = jac_to_grad(self._shared, self.aggregator)
        self._shared, self._batches = [], 0
        return weights


def trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Those that are trained."""
    return [parameter for parameter in parameters if parameter.requires_grad]


def others(loss: Tensor, but: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """The parameters that ``loss`` comes from, without those of ``but``."""
    found: dict[int, nn.Parameter] = {}
    seen, nodes = set(), [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            found[id(leaf)] = leaf
        nodes += [before for before, _ in node.next_functions]
    for parameter in but:
        found.pop(id(parameter), None)
    return list(found.values())


def aggregators() -> "dict[str, type[Aggregator]]":
    """Name -> aggregator of torchjd, of those that need no argument and keep no state.

    Raises:
        ExtraMissing: torchjd is not installed.
    """
    with extra("run"):
        from torchjd import Stateful, aggregation
    kinds = {name: getattr(aggregation, name) for name in aggregation.__all__}
    return {
        name: kind
        for name, kind in kinds.items()
        if issubclass(kind, aggregation.Aggregator) and not inspect.isabstract(kind) and not issubclass(kind, Stateful)
        if all(one.default is not one.empty for one in _parameters(kind).values())
    }


def _parameters(kind: "type[Aggregator]") -> dict[str, inspect.Parameter]:
    """Of its constructor."""
    return dict(inspect.signature(kind).parameters)
