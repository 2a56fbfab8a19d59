"""One class a picture."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mtlkit.tasks.base import Metric, Task


class Classification(Task):
    """One class a picture. Output ``(N, classes)`` logits; target ``(N,)`` ids.

    A network may carry several, one a data set, told apart by their names.
    """

    terms: ClassVar[tuple[str, ...]] = ("cross_entropy",)

    kind: Literal["classification"] = "classification"
    classes: int

    @property
    def outputs(self) -> int:
        """One logit a class."""
        return self.classes

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Cross-entropy averaged over the pictures that carry a label of this task."""
        total = F.cross_entropy(output.float(), target, reduction="sum")
        return {"cross_entropy": total / max(len(target), 1)}

    def combined(self, outputs: Sequence[Tensor]) -> Tensor:
        """The logarithm of the mean probability of every class."""
        return torch.stack([output.float().softmax(1) for output in outputs]).mean(0).log()

    def metric(self) -> Metric:
        """A fresh :class:`Accuracy`."""
        return Accuracy(self.classes)

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> Metric:
        """Scores of always answering the training classes' frequencies."""
        counts = sum(
            (torch.bincount(target, minlength=self.classes) for target in train),
            torch.zeros(self.classes, dtype=torch.int64),
        )
        metric = self.metric()
        for target in test:
            metric.update(counts.float().log().expand(len(target), -1), target)
        return metric


class Accuracy:
    """Hits over the whole set, in per cent.

    ``accuracy`` is the share of pictures whose class has the highest logit, ``top5`` of those whose class is among
    the five highest, ``class_accuracy`` the mean of the classes' own accuracies, over the classes that occur.
    """

    def __init__(self, classes: int):
        self.classes = classes
        self.pictures: list[Tensor] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes outputs ``(N, ...)`` that end in ``classes`` logits, and ids ``(N,)``."""
        # Of equal logits the lower class ranks first, on every device.
        order = output[:, -self.classes :].float().sort(dim=1, descending=True, stable=True).indices[:, :5]
        hits = order == target[:, None]
        self.pictures.append(torch.stack([target, hits[:, 0].to(target), hits.any(1).to(target)], 1))

    def compute(self) -> dict[str, float]:
        """``accuracy``, ``top5``, ``class_accuracy``; NaN when nothing was labelled."""
        count = sum(map(len, self.pictures))
        return {name: float(value[0]) for name, value in self.resampled(np.ones((1, count), np.int64)).items()}

    def resampled(self, times: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """As :meth:`compute`, on draws of the pictures."""
        pictures = torch.cat(self.pictures).cpu().numpy() if self.pictures else np.zeros((0, 3), np.int64)
        target, first, five = pictures.T
        order = np.argsort(target, kind="stable")
        # Counts of the pictures of every class, one class after the other.
        starts = np.searchsorted(target[order], np.arange(self.classes + 1))

        def by_class(counted: NDArray[np.int64]) -> NDArray[np.int64]:
            sums = np.pad(counted[:, order].cumsum(1), ((0, 0), (1, 0)))
            found: NDArray[np.int64] = np.diff(sums[:, starts], axis=1)
            return found

        every, hits = by_class(times), by_class(times * first)
        with np.errstate(invalid="ignore", divide="ignore"):
            own = np.where(every > 0, hits / every, 0)
            return {
                "accuracy": 100 * (times @ first) / times.sum(1),
                "top5": 100 * (times @ five) / times.sum(1),
                "class_accuracy": 100 * own.sum(1) / (every > 0).sum(1),
            }
