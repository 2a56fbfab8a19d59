"""A kind of evaluation: images classified by the colours of their cells."""

import torch
import torch.nn.functional as F

from mtlkit.data import Data
from mtlkit.evaluations.scoring import Groups, Scores
from mtlkit.graph import Content, Context, Node
from mtlkit.tasks import Classification


class NearestMean(Node):
    """The class whose mean colours are nearest, of a ``grid`` x ``grid`` thumbnail."""

    task: Classification
    data: Data
    grid: int

    def run(self, context: Context) -> Content:
        """The task's measures on the test images."""
        name = self.task.name
        train, _ = context.batches(self.data, "train", (self.task,))
        test, tested = context.batches(self.data, "val", (self.task,))
        seen = [(F.adaptive_avg_pool2d(batch.images, self.grid).flatten(1), batch.targets[name]) for batch in train]
        colours, labels = (torch.cat(parts) for parts in zip(*seen, strict=True))
        means = torch.stack([colours[labels == label].mean(0) for label in range(self.task.classes)])
        metric = self.task.metric()
        for batch in test:
            thumbnails = F.adaptive_avg_pool2d(batch.images, self.grid).flatten(1)
            metric.update(-torch.cdist(thumbnails, means), batch.targets[name])
        return Scores.of({name: metric}, Groups.by_task((name,), tested)).content(tested)
