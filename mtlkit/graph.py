"""The graph of runs: what a node is, what it may ask for while it runs, and the order of nodes.

A node is a frozen value that runs itself. It names the nodes that it needs, of whatever kind; it never runs one.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from mtlkit.data import AnyData
from mtlkit.data.samples import DataSet, Split
from mtlkit.data.sampling import Batches, eval_loader
from mtlkit.history import Divergence, History, Timing
from mtlkit.ledger import Ledger, Record
from mtlkit.metrics.bootstrap import Drawn
from mtlkit.runtime import Runtime
from mtlkit.tasks import Task
from mtlkit.values import Value


@dataclass
class Content:
    """What a node finds: what its record holds beside identity, settings and surroundings, and the tensors it keeps.

    The fields are those of :class:`mtlkit.ledger.Record`; ``device`` is where numbers were computed.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    resampled: dict[str, list[float]] = field(default_factory=dict)
    drawn: dict[str, Drawn] = field(default_factory=dict)
    rounds: dict[str, list[float]] = field(default_factory=dict)
    history: History | None = None
    timing: Timing | None = None
    diverged: Divergence | None = None
    data: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


class Node(Value):
    """Something to run once: a value with prerequisites.

    A kind of node is one class in one file; nothing else lists the kinds. In the canonical form of another node it
    stands by its identity.

    Attributes:
        kind: the folder of its record.
        recorded: whether it has a record; what only prepares tensors for others has none.
        keeps: the folder of its tensors; ``None``: it keeps none.
        costly: whether it is run anew for lost tensors only by a user who asks for it.
        alone: whether nothing else may run on the machine meanwhile, as for what measures times.
        revision: raised when this node's numbers change on purpose; records of older ones are never mixed in.
    """

    kind: ClassVar[str] = "evaluation"
    recorded: ClassVar[bool] = True
    keeps: ClassVar[str | None] = None
    costly: ClassVar[bool] = False
    alone: ClassVar[bool] = False

    revision: int = 1

    def nested(self) -> str:
        """Its identity."""
        return self.identity

    @property
    def needs(self) -> tuple["Node", ...]:
        """What must be there before."""
        return ()

    @property
    def loads(self) -> tuple["Node", ...]:
        """Those of :attr:`needs` whose tensors it reads; of the others it reads the record alone."""
        return self.needs

    @property
    def during(self) -> "Node | None":
        """The one of :attr:`needs` while which it is made, and which is run anew for it; see :attr:`Context.riders`."""
        return None

    @property
    def title(self) -> str:
        """In a few words, for progress and plans."""
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(self).__name__).lower()
        return f"{words} of {self.needs[0].title}" if self.needs else words

    def check(self) -> None:
        """Refuses what cannot run, at little cost: called before anything runs that is planned with it.

        Raises:
            InputError: it cannot.
        """

    def run(self, context: "Context") -> Content:
        """What it finds.

        Args:
            context: records and tensors of what it needs, device, progress.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Context:
    """What a running node may ask for.

    Attributes:
        ledger: where records and tensors of its prerequisites lie.
        runtime: device, readers, checkpoints.
        riders: nodes to be made while it runs.
        keep: keeps the tensors of one of them.
        loaded: identity -> digest of the tensors that were asked for so far, and of those that they come from where
            these have no record.
    """

    ledger: Ledger
    runtime: Runtime
    riders: tuple[Node, ...] = ()
    keep: Callable[[Node, dict[str, Tensor]], object] = lambda node, tensors: None
    loaded: dict[str, str] = field(default_factory=dict)

    def record(self, node: Node) -> Record:
        """The record of a prerequisite."""
        found = self.ledger.find(node.kind, node.identity)
        assert found is not None, f"{node.tag} {node.identity} is no prerequisite of what runs"
        return found

    def tensors(self, node: Node) -> dict[str, Tensor]:
        """The tensors of a prerequisite: those of its first run, or of one that made them anew.

        Raises:
            WeightsMissing: they are not there, or damaged.
        """
        assert node.keeps is not None
        tensors, self.loaded[node.identity] = self.ledger.load(node.keeps, node.identity)
        if not node.recorded:  # then no record says what they come from
            self.loaded.update(self.ledger.sources(node.keeps, node.identity))
        return tensors

    def batches(
        self,
        data: AnyData,
        split: Split,
        tasks: Sequence[Task],
        size: int = 8,
        device: torch.device | None = None,
        *,
        native: bool = False,
    ) -> tuple[Batches, list[DataSet]]:
        """A split's samples once, as a network is to see them, and where they come from.

        Args:
            data: the data sets.
            split: which.
            tasks: whose targets are read.
            size: images in a batch.
            device: where the network runs.
            native: one image at a time, each at its own size.
        """
        sets = data.splits(split, reads(tasks))
        readers = 0 if device is None else self.runtime.readers(device)
        view, size = (data.native, 1) if native else (data.view, size)
        return eval_loader(sets, view, size, readers, tasks=tasks), sets


def reads(tasks: Sequence[Task]) -> tuple[str, ...]:
    """What data sets are asked for, for these tasks."""
    return tuple(dict.fromkeys(name for task in tasks for name in task.reads))


def ordered(nodes: Iterable[Node]) -> dict[str, Node]:
    """Identity -> node, for the nodes and all that they need, prerequisites first."""
    order: dict[str, Node] = {}

    def visit(node: Node) -> None:
        if (identity := node.identity) not in order:
            for need in node.needs:
                visit(need)
            order[identity] = node

    for node in nodes:
        visit(node)
    return order
