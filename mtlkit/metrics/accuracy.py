"""How often the right class ranks first, or among the first."""

import numpy as np
import torch
from torch import Tensor

from mtlkit.errors import check_shape
from mtlkit.metrics.base import ImageMetric, Measures, Weights, check_ids, mean_of_known


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
        self.keeps("hits", (3,), torch.float32)

    def update(self, output: Tensor, target: Tensor, image: Tensor | None = None) -> None:
        """Takes logits ``(N, classes)`` and ids ``(N,)``.

        Raises:
            InputError: the shapes are others.
        """
        check_shape("The target for Accuracy", target.shape, "N")
        check_shape("The output for Accuracy", output.shape, len(target), self.classes)
        # Of equal logits the lower class ranks first, on every device.
        order = output.float().sort(dim=1, descending=True, stable=True).indices[:, :5]
        hits = order == target[:, None]
        rows = torch.stack([target, hits[:, 0], hits.any(1)], 1).float()
        # Logits of which one is NaN rank no class.
        self.add(image, hits=rows.masked_fill(output.isnan().any(1, keepdim=True), torch.nan))

    def measures(self, weights: Weights) -> Measures:
        """``accuracy``, ``top5``, ``class_accuracy``; NaN when nothing was labelled.

        Raises:
            InputError: a logit is NaN, or an id outside the classes.
        """
        target, first, five = self.gathered("hits").T
        check_ids("A target for Accuracy", target, self.classes)
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
