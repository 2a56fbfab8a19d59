"""One class a picture."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
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

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> dict[str, float]:
        """Scores of always answering the training classes' frequencies."""
        counts = sum(
            (torch.bincount(target, minlength=self.classes) for target in train),
            torch.zeros(self.classes, dtype=torch.int64),
        )
        metric = self.metric()
        for target in test:
            metric.update(counts.float().log().expand(len(target), -1), target)
        return metric.compute()


class Accuracy:
    """Hits over the whole set, in per cent.

    ``accuracy`` is the share of pictures whose class has the highest logit, ``top5`` of those whose class is among
    the five highest, ``class_accuracy`` the mean of the classes' own accuracies, over the classes that occur.
    """

    def __init__(self, classes: int):
        self.classes = classes
        self.counts: Tensor | None = None

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes outputs ``(N, ...)`` that end in ``classes`` logits, and ids ``(N,)``."""
        if self.counts is None:
            self.counts = torch.zeros(3, self.classes, dtype=torch.int64, device=target.device)
        # Of equal logits the lower class ranks first, on every device.
        order = output[:, -self.classes :].float().sort(dim=1, descending=True, stable=True).indices[:, :5]
        hits = order == target[:, None]
        for row, found in enumerate((hits[:, 0], hits.any(1), torch.ones_like(target))):
            self.counts[row].scatter_add_(0, target, found.long())

    def compute(self) -> dict[str, float]:
        """``accuracy``, ``top5``, ``class_accuracy``; NaN when nothing was labelled."""
        if self.counts is None:
            return dict.fromkeys(("accuracy", "top5", "class_accuracy"), float("nan"))
        first, five, all_ = self.counts.cpu().double()
        occurs = all_ > 0
        return {
            "accuracy": 100 * float(first.sum() / all_.sum()),
            "top5": 100 * float(five.sum() / all_.sum()),
            "class_accuracy": 100 * float((first[occurs] / all_[occurs]).mean()),
        }
