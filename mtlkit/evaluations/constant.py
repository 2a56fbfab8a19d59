"""The best prediction that never looks at the image."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mtlkit.data import AnyData
from mtlkit.data.samples import Batch, Target
from mtlkit.evaluations.scoring import Groups, Scores, numbered
from mtlkit.graph import Content, Context, Node
from mtlkit.tasks import AnyTask, Task


class Constant(Node):
    """The best prediction that never looks at the image."""

    tasks: tuple[AnyTask, ...]
    data: AnyData

    def run(self, context: Context) -> Content:
        """Its measures."""
        train, _ = context.batches(self.data, "train", self.tasks)
        test, tested = context.batches(self.data, "val", self.tasks)
        groups = Groups.by_task([task.name for task in self.tasks], tested)
        return constant(self.tasks, train, test, groups).content(tested)


def constant(
    tasks: Iterable[Task],
    train: Iterable[Batch],
    test: Iterable[Batch],
    groups: Mapping[str, Groups] | None = None,
) -> Scores:
    """The measures of each task's best prediction that never looks at an image; both iterables are gone through
    once a task."""
    metrics = {}
    for task in tasks:
        numbers: list[Tensor] = []
        answered = _targets(task, test, numbers, groups)
        metrics[task.name] = task.constant(_targets(task, train), answered)
        metrics[task.name].renumber(torch.cat(numbers))
    return Scores.of(metrics, groups)._replace(samples={})  # one number throughout


def _targets(
    task: Task,
    batches: Iterable[Batch],
    numbers: list[Tensor] | None = None,
    groups: Mapping[str, Groups] | None = None,
) -> Iterable[Target]:
    """A task's targets; the numbers of their images are added to ``numbers``."""
    first = 0
    for batch in batches:
        if task.name in batch.targets:
            if numbers is not None:
                numbers.append(numbered(batch, task.name, first, groups))
            yield batch.targets[task.name]
        first += len(batch.images)
