"""A value estimated by the mean of an image's category."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mtlkit.data import Data
from mtlkit.data.samples import Batch
from mtlkit.data.sampling import eval_loader
from mtlkit.errors import InputError
from mtlkit.evaluations.scoring import Groups, Scores, finite, outputs
from mtlkit.graph import Content, Context, Node
from mtlkit.metrics.floor import FLOOR
from mtlkit.runs import Training

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric

READS = ("calories", "category")


class CategoryMean(Node):
    """Calories by the mean of the category among the training images.

    Attributes:
        subject: a training with a task ``category`` that predicts it; ``None``: the true category is taken.
        data: whose training split has the means and whose test split is scored.
        floor: kcal; no relative error is taken of less.
    """

    subject: Training | None
    data: Data
    floor: float = FLOOR

    @property
    def needs(self) -> tuple[Training, ...]:
        """The training, where there is one."""
        return () if self.subject is None else (self.subject,)

    def run(self, context: Context) -> Content:
        """Errors of the means."""
        fabric = context.runtime.fabric()
        tested = self.data.splits("val", READS)
        train, test = (eval_loader(sets, self.data.view, 32) for sets in (self.data.splits("train", READS), tested))
        named = None
        if self.subject is not None:
            named = finite(outputs(self.subject.trained(context), test, fabric))["category"].argmax(1)
        groups = Groups.by_task(READS, tested)
        scores = category_mean(train, test, named, len(tested[0].classes), self.floor, groups)
        return scores.content(tested, fabric.device)


def category_mean(
    train: Iterable[Batch],
    test: Iterable[Batch],
    named: Tensor | None,
    classes: int,
    floor: float,
    groups: Mapping[str, Groups] | None = None,
) -> Scores:
    """``calories/...`` of answering each image's category with the mean of its training images.

    Args:
        train: images with calories and categories.
        test: the same.
        named: category ids of the test images as a network predicts them; ``None``: the true ones.
        classes: how many categories there are.
        floor: kcal; no relative error is taken of less.
        groups: as in :meth:`~mtlkit.evaluations.scoring.Scores.of`.

    Returns:
        Also ``category/accuracy`` of the predictions, where a network gave them.

    Raises:
        InputError: a predicted category has no training image.
    """
    from mtlkit.metrics.accuracy import Accuracy
    from mtlkit.metrics.calorie_errors import CalorieErrors

    known, category = _joined(train)
    truths, true = _joined(test)
    answer = true if named is None else named
    counts = torch.bincount(category, minlength=classes)
    if not counts[answer].all():
        raise InputError("A category without a training image has no mean; every category needs one.")
    means = torch.zeros(classes, dtype=torch.float64).index_add_(0, category, known.double()) / counts
    metrics: dict[str, ImageMetric] = {"calories": CalorieErrors(floor)}
    metrics["calories"].update(means[answer], truths)
    if named is not None:
        metrics["category"] = Accuracy(classes)
        metrics["category"].update(one_hot(named, classes), true)
    found = Scores.of(metrics, groups)
    # Of predictions without probabilities only this one means anything.
    for measures in (found.metrics, found.resampled):
        for name in [name for name in measures if name.startswith("category/") and name != "category/accuracy"]:
            del measures[name]
    return found


def _joined(batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Calories and categories of all images."""
    pairs = [(batch.targets["calories"], batch.targets["category"]) for batch in batches]
    return torch.cat([calories for calories, _ in pairs]), torch.cat([category for _, category in pairs])
