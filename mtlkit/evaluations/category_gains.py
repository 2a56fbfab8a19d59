"""What a network gains over another one on every category, beside how many labels there are to learn it from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mtlkit.data import AnyData
from mtlkit.evaluations.scoring import Groups, gathered
from mtlkit.graph import Content, Context, Node
from mtlkit.metrics.base import ImageMetric, mean_of_known
from mtlkit.metrics.bootstrap import Drawn, draws, group_key
from mtlkit.runs import Training
from mtlkit.tasks import Task


class CategoryGains(Node):
    """What a trained network gains over another one on every category of a task, and whether rare ones gain more.

    ``TASK/gain/CATEGORY`` is the difference of the category's measure (:attr:`mtlkit.tasks.Task.by_category`).
    ``TASK/gain_rarest_N`` is the mean gain of the N categories with the fewest labels in the training set, where there
    are more than N; ``TASK/rank_correlation`` is Spearman's between gains and labels, negative where rare categories
    gain more. A category counts that occurs in the training set and in the test truth. The record's ``data`` holds the
    labels of each.

    Attributes:
        subject: the network that may gain.
        control: the network that it gains over.
        data: on which both are scored, with the training set whose labels are counted, as a network sees them.
        task: of both networks.
        rarest: every N.
    """

    subject: Training
    control: Training
    data: AnyData
    task: str
    rarest: tuple[int, ...] = (10, 20)

    @property
    def needs(self) -> tuple[Training, ...]:
        """Both trainings."""
        return (self.subject, self.control)

    def run(self, context: Context) -> Content:
        """Both networks' measures of the categories, their differences, and what these have to do with labels."""
        task = next(task for task in self.subject.network.tasks if task.name == self.task)
        fabric = context.runtime.fabric()
        scored: list[ImageMetric] = []
        for training in self.needs:
            batches, tested = context.batches(self.data, "val", [task], training.recipe.batch_size, fabric.device)
            groups = Groups.by_task([self.task], tested)
            scored.append(gathered([training.trained(context)], batches, fabric, groups)[self.task])
        labels = self._labels(task, context)
        names, images = groups[self.task].names, scored[0].images
        gain = self._gains(task, scored, np.ones((1, images)))
        metrics = {f"gain/{name}": float(value) for name, value in zip(task.categories, gain[0], strict=True)}
        known = ~np.isnan(gain[0]) & (labels > 0)
        metrics |= {name: float(values[0]) for name, values in self.summary(gain, labels, known).items()}
        resampled: dict[str, list[float]] = {}
        drawn: dict[str, Drawn] = {}
        if len(set(names)) > 1:
            parts = [self.summary(self._gains(task, scored, times), labels, known) for times in draws(names)]
            for name in parts[0]:
                values = np.concatenate([part[name] for part in parts])
                if not np.isnan(values).any():
                    resampled[f"{self.task}/{name}"] = values.round(3).tolist()
            drawn[self.task] = Drawn(of=groups[self.task].of, groups=len(set(names)), key=group_key(names))
        counted = {
            "labels": dict(zip(task.categories, labels.tolist(), strict=True)),
            "test_images": sum(map(len, tested)),
            "classes": sum(len(one.classes) for one in tested),
        }
        return Content(
            {f"{self.task}/{name}": value for name, value in metrics.items()},
            resampled=resampled,
            drawn=drawn,
            data=counted,
            device=fabric.device,
        )

    def summary(
        self, gain: NDArray[np.float64], labels: NDArray[Any], known: NDArray[np.bool_]
    ) -> Mapping[str, NDArray[np.float64]]:
        """``gain_rarest_N`` and ``rank_correlation``, each ``(B,)``.

        Args:
            gain: of every category, ``(B, C)``; NaN where it is not known.
            labels: of every category, ``(C,)``.
            known: which categories count, ``(C,)``.
        """
        gain, labels = gain[:, known], labels[known]
        order = np.argsort(labels, kind="stable")
        rarest = {f"gain_rarest_{n}": mean_of_known(gain[:, order[:n]]) for n in self.rarest if len(order) > n}
        return rarest | {"rank_correlation": rank_correlation(gain, labels)}

    def _gains(self, task: Task, scored: list[ImageMetric], weights: NDArray[Any]) -> NDArray[np.float64]:
        """The categories' gains ``(B, C)`` on images that count so often, ``(B, images)``."""
        under = [metric.drawn(weights) for metric in scored]
        names = [f"{task.by_category}/{name}" for name in task.categories]
        subject, control = (np.stack([one[name] for name in names], 1) for one in under)
        found: NDArray[np.float64] = subject - control
        return found

    def _labels(self, task: Task, context: Context) -> NDArray[np.int64]:
        """How many labels of every category the training set has."""
        batches, _ = context.batches(self.data, "train", [task])
        total = torch.zeros(len(task.categories), dtype=torch.int64)
        for batch in batches:
            if task.name in batch.targets:
                total += task.label_counts(batch.targets[task.name]).cpu()
        found: NDArray[np.int64] = total.numpy()
        return found


def rank_correlation(values: NDArray[np.float64], counts: NDArray[Any]) -> NDArray[np.float64]:
    """Spearman's rank correlation of every row of ``values`` ``(B, C)`` with ``counts`` ``(C,)``; ties at mean ranks.

    NaN in a row are left out; NaN where fewer than three are left, or all have one rank.

    >>> rank_correlation(np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 2.0]]), np.array([10, 20, 30])).round(3).tolist()
    [-1.0, 0.866]
    """
    from scipy.stats import rankdata

    found = np.full(len(values), np.nan)
    for place, row in enumerate(values):
        known = ~np.isnan(row)
        one, other = rankdata(row[known]), rankdata(counts[known])
        if known.sum() > 2 and one.std() > 0 and other.std() > 0:
            found[place] = np.corrcoef(one, other)[0, 1]
    return found
