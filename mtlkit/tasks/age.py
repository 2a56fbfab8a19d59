"""Age as a class a year, answered by the expected age."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mtlkit.tasks.base import Metric, Task


def expected(output: Tensor) -> Tensor:
    """The mean age ``(N,)`` under the softmax of logits ``(N, classes)``, years: DEX, Rothe et al. 2015."""
    years = torch.arange(output.shape[1], dtype=torch.float32, device=output.device)
    return output.float().softmax(1) @ years


class Age(Task):
    """An age a picture. Output ``(N, classes)`` logits; target ``(N,)`` whole years, int64, from 0 below ``classes``.

    Trained as so many classes by cross-entropy; the answer is the :func:`expected` age.
    """

    terms: ClassVar = ("cross_entropy",)

    kind: Literal["age"] = "age"
    name: str = "age"
    classes: int = 100

    @property
    def outputs(self) -> int:
        """One logit a year."""
        return self.classes

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Cross-entropy averaged over the pictures that carry an age."""
        total = F.cross_entropy(output.float(), target, reduction="sum")
        return {"cross_entropy": total / max(len(target), 1)}

    def combined(self, outputs: Sequence[Tensor]) -> Tensor:
        """The logarithm of the mean probability of every age; its expected age is the mean of theirs."""
        return torch.stack([output.float().softmax(1) for output in outputs]).mean(0).log()

    def metric(self) -> Metric:
        """A fresh :class:`AgeErrors`."""
        return AgeErrors()

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> dict[str, float]:
        """Scores of always answering the frequencies of the training ages, whose expected age is their mean.

        Errors are NaN where there is no training age.
        """
        counts = sum(
            (torch.bincount(target, minlength=self.classes) for target in train),
            torch.zeros(self.classes, dtype=torch.int64),
        )
        metric = AgeErrors()
        for target in test:
            metric.update(counts.float().log().expand(len(target), -1), target)
        return metric.compute()


class AgeErrors:
    """Errors over the whole set: ``mean_error`` and ``median_error``, of the expected age, in years, and
    ``accuracy``, the share of pictures whose very year has the highest logit, in per cent.

    The exact median needs every error: four bytes a picture stay on the device until :meth:`compute`.
    """

    def __init__(self) -> None:
        self.errors: list[Tensor] = []
        self.hits: list[Tensor] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes logits ``(N, classes)`` and ages ``(N,)``."""
        self.errors.append((expected(output) - target).abs())
        # Of equal logits the lower age ranks first, on every device.
        first = output.float().sort(dim=1, descending=True, stable=True).indices[:, 0]
        self.hits.append(first == target)

    def compute(self) -> dict[str, float]:
        """``mean_error``, ``median_error``, ``accuracy``; NaN when no age was given."""
        errors = torch.cat(self.errors).cpu().double().numpy() if self.errors else np.empty(0)
        if not len(errors):
            return dict.fromkeys(("mean_error", "median_error", "accuracy"), float("nan"))
        return {
            "mean_error": float(errors.mean()),
            "median_error": float(np.median(errors)),
            "accuracy": 100 * float(torch.cat(self.hits).double().mean()),
        }
