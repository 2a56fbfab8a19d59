"""How often the right class ranks first, or among the first."""

import numpy as np
import torch
from torch import Tensor

from mtlkit.metrics.base import ImageMetric, Measures, Weights, mean_of_known


class Accuracy(ImageMetric):
    """Hits over the whole set, in per cent.

    ``accuracy`` is the share of images whose class has the highest logit, ``top5`` of those whose class is among
    the five highest, ``class_accuracy`` the mean of the classes' own accuracies, over the classes that occur.

    Args:
        classes: how many.
    """

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes
        self.keeps("hits", (3,), torch.int64)

    def update(self, output: Tensor, target: Tensor, image: Tensor | None = None) -> None:
        """Takes outputs ``(N, ...)`` that end in ``classes`` logits, and ids ``(N,)``."""
        # Of equal logits the lower class ranks first, on every device.
        order = output[:, -self.classes :].float().sort(dim=1, descending=True, stable=True).indices[:, :5]
        hits = order == target[:, None]
        self.add(image, hits=torch.stack([target, hits[:, 0].to(target), hits.any(1).to(target)], 1))

    def measures(self, weights: Weights) -> Measures:
        """``accuracy``, ``top5``, ``class_accuracy``; NaN when nothing was labelled."""
        target, first, five = self.gathered("hits").T
        weights = weights[:, self.gathered("image")]
        order = np.argsort(target, kind="stable")
        # Counts of the images of every class, one class after the other.
        starts = np.searchsorted(target[order], np.arange(self.classes + 1))

        def by_class(counted: Weights) -> Weights:
            sums = np.pad(counted[:, order].cumsum(1), ((0, 0), (1, 0)))
            found: Weights = np.diff(sums[:, starts], axis=1)
            return found

        every, hits, total = by_class(weights), by_class(weights * first), weights.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "accuracy": 100 * (weights @ first) / total,
                "top5": 100 * (weights @ five) / total,
                "class_accuracy": mean_of_known(np.where(every > 0, 100 * hits / every, np.nan)),
            }
