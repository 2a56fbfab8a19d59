"""What is missing of tables, each node once however many need it, and what it will cost on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtlkit.campaign import Goal
from mtlkit.engine import Engine, Step
from mtlkit.errors import InputError
from mtlkit.estimates import Estimates
from mtlkit.graph import Node, ordered
from mtlkit.results import Results
from mtlkit.runs import Training
from mtlkit.runtime import Runtime
from mtlkit.work import Job


def jobs(goals: Sequence[Goal]) -> list[Job]:
    """The nodes of columns, profile by profile in the order in which these come up, each once."""
    found: dict[str, dict[str, Node]] = {}
    for goal in goals:
        nodes = found.setdefault(goal.column.profile, {})
        for node in goal.nodes:
            nodes.setdefault(node.identity, node)
    return [Job(profile, tuple(nodes.values())) for profile, nodes in found.items()]


@dataclass(frozen=True)
class Missing:
    """A node that is not there yet.

    Attributes:
        step: what has to be done.
        seconds: that it will take on this machine; ``None``: unknown.
        memory: bytes at its peak; ``None``: unknown.
        goals: numbers of the columns that need it, from 0.
    """

    step: Step
    seconds: float | None
    memory: int | None
    goals: tuple[int, ...]

    @property
    def node(self) -> Node:
        """What runs."""
        return self.step.node

    @property
    def images(self) -> int:
        """That a training sees; 0 of what is no training."""
        return self.node.recipe.images if isinstance(self.node, Training) else 0


@dataclass(frozen=True)
class Total:
    """Sums over missing nodes.

    Attributes:
        trainings: how many.
        evaluations: other nodes, whatever they are.
        images: that the trainings see.
        seconds: of those that are known.
        unknown: how many are not.
        memory: bytes, of the node that takes most.
    """

    trainings: int
    evaluations: int
    images: int
    seconds: float
    unknown: int
    memory: int | None

    @classmethod
    def of(cls, missing: Sequence[Missing]) -> "Total":
        """Over these."""
        trainings = [one for one in missing if isinstance(one.node, Training)]
        return cls(
            trainings=len(trainings),
            evaluations=len(missing) - len(trainings),
            images=sum(one.images for one in trainings),
            seconds=sum(one.seconds or 0.0 for one in missing),
            unknown=sum(one.seconds is None for one in missing),
            memory=max((one.memory for one in missing if one.memory is not None), default=None),
        )


@dataclass(frozen=True)
class Plan:
    """What is missing of columns.

    Attributes:
        goals: the columns.
        there: of each column, how many of its evaluations are there.
        all_there: how many of all evaluations, each counted once.
        missing: nodes that have to run, prerequisites first, each once.
        refused: a sentence for each column of which one of them cannot run.
    """

    goals: tuple[Goal, ...]
    there: tuple[int, ...]
    all_there: int
    missing: tuple[Missing, ...]
    refused: tuple[str, ...] = ()

    @classmethod
    def of(cls, goals: Sequence[Goal], results: Results, runtime: Runtime, estimates: Estimates) -> "Plan":
        """Of columns; nothing is trained but a few steps where ``estimates`` may measure."""
        there, all_there = [0] * len(goals), 0
        steps: dict[tuple[str, str], Step] = {}
        users: dict[tuple[str, str], list[int]] = {}
        for profile in dict.fromkeys(goal.column.profile for goal in goals):
            engine = Engine(results.ledger(profile), runtime)
            some = [at for at, goal in enumerate(goals) if goal.column.profile == profile]
            wanted: dict[str, Node] = {}
            for at in some:
                open_ = [node for node in goals[at].nodes if not engine.there(node, tensors=False)]
                there[at] = len(goals[at].nodes) - len(open_)
                wanted |= {node.identity: node for node in open_}
                for identity in ordered(open_):
                    users.setdefault((profile, identity), []).append(at)
            all_there += len({node.identity for at in some for node in goals[at].nodes} - wanted.keys())
            steps |= {(profile, step.node.identity): step for step in engine.plan(wanted.values())}
        refused: dict[int, str] = {}
        missing = []
        for key, step in steps.items():
            try:
                step.node.check()
                costs = estimates.seconds(step.node), estimates.memory(step.node)
            except InputError as error:
                refused |= {at: f"{goals[at].wanted} cannot run: {error}" for at in users[key]}
                costs = None, None
            missing.append(Missing(step, *costs, tuple(users[key])))
        return cls(tuple(goals), tuple(there), all_there, tuple(missing), tuple(refused.values()))

    def of_goal(self, at: int) -> list[Missing]:
        """What is missing of a column."""
        return [one for one in self.missing if at in one.goals]

    def graph(self) -> dict[str, Any]:
        """The columns and the missing nodes as plain JSON types."""
        return {
            "columns": [
                {
                    "paper": goal.column.paper, "table": goal.column.table, "column": goal.column.identity,
                    "profile": goal.column.profile, "about": goal.wanted.about, "command": goal.column.command,
                    "evaluations": len(goal.nodes), "there": there,
                }
                for goal, there in zip(self.goals, self.there, strict=True)
            ],
            "nodes": [
                {
                    "identity": one.node.identity, "kind": one.node.kind, "is": one.node.tag, "title": one.node.title,
                    "needs": [need.identity for need in one.node.needs], "columns": list(one.goals),
                    "made_with_it": [rider.identity for rider in one.step.riders],
                    "images": one.images, "seconds": one.seconds, "memory": one.memory,
                }
                for one in self.missing
            ],
        }  # fmt: skip
