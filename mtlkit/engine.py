"""Runs the graph of runs: what is missing is planned, then run in order; what the ledger has is skipped.

Nothing here knows a kind of node.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import OutOfMemoryError, Tensor

from mtlkit.errors import InputError, WeightsMissing
from mtlkit.graph import Context, Node
from mtlkit.history import TrainingDiverged
from mtlkit.ledger import Ledger, Record, commit
from mtlkit.runtime import Runtime, hardware


@dataclass(frozen=True)
class Step:
    """A node to run.

    Attributes:
        node: what runs.
        tensors: whether its tensors are wanted, or its record alone.
        again: whether it runs although it is there.
        riders: nodes that are made while it runs.
    """

    node: Node
    tensors: bool
    again: bool = False
    riders: tuple[Node, ...] = ()


class Engine:
    """Runs nodes and what they need, each at most once for a ledger.

    What needs a training that diverged is left out, and the rest goes on.

    Attributes:
        ledger: where records lie.
        runtime: device and the like.
        since: as ``time.time()``; what diverged later, here or in another process, is not run anew.
    """

    def __init__(self, ledger: Ledger, runtime: Runtime | None = None, since: float | None = None):
        self.ledger = ledger
        self.runtime = runtime or Runtime()
        self.since = time.time() if since is None else since
        self._tried: set[str] = set()

    def there(self, node: Node, *, tensors: bool) -> bool:
        """Whether the ledger has a node's record and, where they are wanted, its tensors."""
        if node.recorded:
            record = self.ledger.find(node.kind, node.identity)
            if record is None or record.diverged is not None:
                return False
        return node.keeps is None or not (tensors or not node.recorded) or self.ledger.keeps(node.keeps, node.identity)

    def diverged(self, node: Node, *, tensors: bool = True, again: bool = False) -> Record | None:
        """The record of what diverged, of a node and all that it still needs to run; ``None`` where nothing did.

        Where trainings may be run anew, those count that diverged after :attr:`since`.

        Args:
            node: a node.
            tensors: whether its tensors are wanted, or its record alone.
            again: whether it is to run whether or not it is there.
        """
        record = self.ledger.find(node.kind, node.identity) if node.recorded else None
        if record is not None and record.diverged is not None:
            tried = node.identity in self._tried or self.ledger.written(node.kind, node.identity) > self.since
            if tried or not self.runtime.retrain:
                return record
        elif not again and self.there(node, tensors=tensors):
            return None
        loads = {need.identity for need in node.loads}
        found = (self.diverged(need, tensors=need.identity in loads) for need in node.needs)
        return next((one for one in found if one is not None), None)

    def plan(self, goals: Iterable[Node], *, tensors: bool = False, again: bool = False) -> list[Step]:
        """What :meth:`run` has to do for the goals, prerequisites first, each once.

        Args:
            goals: the nodes that are wanted.
            tensors: whether their tensors are wanted too.
            again: whether the goals, and what they need that is not costly, are run whether or not they are there.

        Raises:
            WeightsMissing: what a training kept is gone and may not be made anew; see :class:`mtlkit.runtime.Runtime`.
        """
        steps: dict[str, Step] = {}
        riders: dict[str, list[Node]] = {}

        def visit(node: Node, tensors: bool, again: bool = False) -> None:
            if node.identity in steps and (steps[node.identity].tensors or not tensors):
                return
            if not again and self.there(node, tensors=tensors):
                return
            if self.diverged(node, tensors=tensors, again=again) is not None:
                return
            if (host := node.during) is not None:
                mine = riders.setdefault(host.identity, [])
                if not any(rider.identity == node.identity for rider in mine):
                    mine.append(node)
                    visit(host, tensors=True, again=True)
                return
            if node.costly and not self.runtime.renews and self.ledger.find(node.kind, node.identity):
                what = " and ".join(dict.fromkeys(one.keeps or "" for one in riders.get(node.identity) or [node]))
                raise WeightsMissing(
                    f"The {what} of {node.kind} {node.identity} are no longer kept; run again with --retrain to train "
                    "it anew."
                )
            loads = {need.identity for need in node.loads}
            for need in node.needs:
                visit(need, need.identity in loads, again and need.recorded and not need.costly)
            # What riders ask for runs for those of them that are not there by then.
            steps[node.identity] = Step(node, tensors, again and node.identity not in riders)

        for goal in goals:
            visit(goal, tensors, again)
        return [replace(step, riders=tuple(riders.get(key, ()))) for key, step in steps.items()]

    def run(self, goals: Iterable[Node]) -> dict[str, Record]:
        """Identity -> record of every goal, from the ledger or run now.

        What killed runs left half written is removed first.
        """
        goals = list(goals)
        self.ledger.sweep()
        self._execute_all(self.plan(goals, again=self.runtime.rescore))
        found = {goal.identity: self.ledger.find(goal.kind, goal.identity) for goal in goals}
        return {identity: record for identity, record in found.items() if record is not None}

    def tensors(self, node: Node) -> dict[str, Tensor]:
        """A node's tensors, from the ledger or after running it and what it needs.

        Raises:
            WeightsMissing: what a training kept is gone and :attr:`~mtlkit.runtime.Runtime.retrain` is off.
            TrainingDiverged: it, or a training that it needs.
        """
        self._execute_all(self.plan([node], tensors=True))
        if (record := self.diverged(node)) is not None:
            raise TrainingDiverged(
                f"The {node.kind} {node.identity} cannot be had: in the training {record.identity} {record.diverged}; "
                "run again with --retrain to try again.",
                record.diverged,
                record.history,
                record.timing,
            )
        return self.context().tensors(node)

    def context(self, *riders: Node) -> Context:
        """What nodes may ask for, where all that they need is there."""
        return Context(self.ledger, self.runtime, riders, self._keep)

    def execute(self, step: Step, *, start: Callable[[], None] = lambda: None) -> None:
        """Runs a node whose prerequisites are there, unless another process has done so meanwhile or one diverged.

        Where another process runs it, says so once and waits.

        Args:
            step: of a plan.
            start: called before the node runs, where it does.
        """
        with self.ledger.hold(step.node.identity, step.node.title):
            self._execute(step, start)

    def _execute_all(self, steps: Sequence[Step]) -> None:
        for step in steps:  # before the first of them takes its hours
            step.node.check()
        for at, step in enumerate(steps):
            self.ledger.needed = {need.identity for later in steps[at:] for need in later.node.loads}
            self.execute(step)
        self.ledger.needed = ()

    def _execute(self, step: Step, start: Callable[[], None]) -> None:
        node = step.node
        missing = tuple(rider for rider in step.riders if not self.there(rider, tensors=True))
        if not step.again and not missing and self.there(node, tensors=step.tensors):
            return
        if self.diverged(node, tensors=step.tensors, again=step.again or bool(missing)) is not None:
            return
        node.check()
        context = self.context(*missing)
        start()
        commit()  # of the code that runs now: when the record is written the checkout may have moved on
        began = time.perf_counter()
        try:
            content = node.run(context)
        except (MemoryError, RuntimeError, ValueError) as error:
            if sentence := _of_machine(error, node.title):
                raise InputError(sentence) from error
            raise
        if content.diverged is not None:
            self._tried.add(node.identity)
        digest = None if content.tensors is None else self._keep(node, content.tensors, context.loaded)
        known = self.ledger.find(node.kind, node.identity) if node.recorded else None
        # What is run anew for its tensors alone keeps its record: other numbers came from that, and it is compared.
        if node.recorded and (known is None or known.diverged is not None or (step.again and not node.costly)):
            self.ledger.write(
                Record(
                    kind=node.kind,
                    identity=node.identity,
                    settings=node.canonical(),
                    metrics=content.metrics,
                    samples=content.samples,
                    resampled=content.resampled,
                    drawn=content.drawn,
                    rounds=content.rounds,
                    history=content.history,
                    timing=content.timing,
                    seconds=round(time.perf_counter() - began, 3),
                    diverged=content.diverged,
                    data=content.data,
                    weights=digest,
                    loaded=context.loaded,
                    hardware=hardware(content.device),
                )
            )
        self.ledger.ended(node.identity)

    def _keep(self, node: Node, tensors: dict[str, Tensor], loaded: Mapping[str, str] | None = None) -> str:
        assert node.keeps is not None
        return self.ledger.save(node.keeps, node.identity, tensors, loaded)


def _of_machine(error: MemoryError | RuntimeError | ValueError, title: str) -> str:
    """A sentence about what the machine or the batch is too small for; empty of any other error."""
    text = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else ""
    # torch raises it wherever this process is, by a signal.
    if text.startswith("DataLoader worker"):
        return (
            f"A process that read data for {title} was killed ({text}), as happens where memory is short; run the same "
            "command again, with fewer workers."
        )
    if isinstance(error, MemoryError | OutOfMemoryError) or "can't allocate memory" in text:
        return f"There is too little memory for {title}; a smaller image_size or batch_size, or accumulate, needs less."
    if text.startswith("Expected more than 1 value per channel"):
        return (
            f"A batch norm of {title} has one value a channel, of which there is no variance; a larger batch_size or "
            "image_size, or a smaller accumulate, gives it more."
        )
    return ""
