"""The truth with a known error."""

from collections.abc import Iterable, Mapping

import torch

from mtlkit.data import AnyData
from mtlkit.data.samples import Batch
from mtlkit.evaluations.scoring import Groups, Scores, numbered
from mtlkit.graph import Content, Context, Node
from mtlkit.tasks import Normals
from mtlkit.tasks.normals import tilted


class Tilted(Node):
    """True surface normals, each turned by one angle in a random direction: what a known error scores.

    Attributes:
        task: that scores them.
        data: whose test split.
        degrees: the angle.
    """

    task: Normals
    data: AnyData
    degrees: float

    def run(self, context: Context) -> Content:
        """The measures."""
        batches, tested = context.batches(self.data, "val", [self.task])
        return tilt(self.task, batches, self.degrees, Groups.by_task([self.task.name], tested)).content(tested)


def tilt(task: Normals, batches: Iterable[Batch], degrees: float, groups: Mapping[str, Groups] | None = None) -> Scores:
    """The measures of the truth itself, every normal turned by ``degrees`` in a random direction."""
    generator, metric, first = torch.Generator().manual_seed(0), task.metric(), 0
    for batch in batches:
        if task.name in batch.targets:
            truth = batch.targets[task.name]
            metric.update(tilted(truth, degrees, generator), truth, numbered(batch, task.name, first, groups))
        first += len(batch.images)
    return Scores.of({task.name: metric}, groups)
