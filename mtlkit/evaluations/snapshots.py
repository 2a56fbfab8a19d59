"""A network's predictions at several steps near the end of its training, scored together."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from mtlkit.data import AnyData
from mtlkit.data.samples import Batch
from mtlkit.errors import InputError
from mtlkit.evaluations.scoring import Groups, Scores, answers, finite, numbered, outputs
from mtlkit.graph import Content, Context, Node
from mtlkit.network import Network
from mtlkit.runs import Rider, Training
from mtlkit.tasks import Task


class Snapshot(Rider):
    """A network's outputs for a test split after a step of its training; its weights there are not kept.

    Attributes:
        data: whose test split.
    """

    kind: ClassVar[str] = "predictions"
    keeps: ClassVar[str | None] = "predictions"

    data: AnyData

    def seen(self, network: Network, context: Context) -> dict[str, Tensor]:
        """Task -> outputs."""
        recipe = self.subject.recipe
        fabric = context.runtime.fabric()  # in float32, however it is trained
        batches, _ = context.batches(self.data, "val", self.subject.network.tasks, recipe.batch_size, fabric.device)
        return outputs(network, batches, fabric)


def snapshots(subject: Training, data: AnyData, *, count: int = 10, every: int = 100) -> tuple[Snapshot, ...]:
    """Snapshots of a training, the last of them the trained network.

    Args:
        subject: the training.
        data: whose test split the network predicts.
        count: how many.
        every: steps between two of them.

    Raises:
        InputError: the training is too short for them.
    """
    last = subject.recipe.steps
    first = last - (count - 1) * every
    if first < 1:
        raise InputError(
            f"{count} snapshots {every} steps apart do not fit into a training of {last} steps; "
            "train longer or take them closer together."
        )
    return tuple(Snapshot(subject=subject, step=step, data=data) for step in range(first, last + 1, every))


class SnapshotEnsemble(Node):
    """A trained network's snapshots, scored together; as ``last/...`` the last of them alone.

    Attributes:
        snapshots: of one training on one test split, the last of them last.
        average: what is averaged: the ``predictions`` for each image, which are then scored (each task's
            ``ensemble``), or the ``scores`` of the snapshots.
    """

    snapshots: tuple[Snapshot, ...]
    average: Literal["predictions", "scores"] = "predictions"

    @property
    def needs(self) -> tuple[Snapshot, ...]:
        """The snapshots."""
        return self.snapshots

    @property
    def subject(self) -> Training:
        """The training."""
        return self.snapshots[-1].subject

    def run(self, context: Context) -> Content:
        """The measures of all, and of the last."""
        tasks = self.subject.network.tasks
        batches, tested = context.batches(self.snapshots[-1].data, "val", tasks)
        groups = Groups.by_task([task.name for task in tasks], tested)
        predictions = [finite(context.tensors(snapshot)) for snapshot in self.snapshots]
        by_name = {task.name: task for task in tasks}
        return averaged(by_name, predictions, list(batches), self.average, groups).content(tested)


def averaged(
    tasks: Mapping[str, Task],
    snapshots: Sequence[Mapping[str, Tensor]],
    batches: Sequence[Batch],
    average: Literal["predictions", "scores"],
    groups: Mapping[str, Groups] | None = None,
) -> Scores:
    """The measures of several snapshots of one network together, and as ``last/...`` those of the last alone.

    Args:
        tasks: the network's, by name.
        snapshots: outputs at each, the last of them last.
        batches: the split they looked at, for its targets.
        average: as of :class:`SnapshotEnsemble`.
        groups: as in :meth:`~mtlkit.evaluations.scoring.Scores.of`.
    """

    def scores(some: Sequence[Mapping[str, Tensor]]) -> Scores:
        metrics, first, row = {name: task.metric() for name, task in tasks.items()}, 0, 0
        for batch in batches:
            for name in tasks.keys() & batch.targets.keys():
                several = [snapshot[name][batch.rows[name] + row] for snapshot in some]
                output = tasks[name].ensemble(several) if len(several) > 1 else several[0]
                metrics[name].update(output, batch.targets[name], numbered(batch, name, first, groups))
            first, row = first + len(batch.images), row + answers(batch)
        return Scores.of(metrics, groups)

    joined, alone = scores(snapshots), [scores([snapshot]) for snapshot in snapshots]
    found, resampled = joined.metrics, joined.resampled
    if average == "scores":
        found = {name: sum(one.metrics[name] for one in alone) / len(alone) for name in found}
        # A measure that some draw of one snapshot does not have has no interval.
        known = set.intersection(*(set(one.resampled) for one in alone))
        resampled = {name: np.mean([one.resampled[name] for one in alone], 0).tolist() for name in sorted(known)}
        joined = joined._replace(samples={})  # those of the averaged predictions are not behind these scores
    last = {f"last/{name}": value for name, value in alone[-1].metrics.items()}
    return joined._replace(metrics=found | last, resampled=resampled)
