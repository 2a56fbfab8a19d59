"""Semantic segmentation."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mtlkit.data.samples import IGNORE
from mtlkit.tasks.base import DenseTask, Metric, enlarged

# Hues a golden angle apart, three levels of light: neighbours in the class list are told apart at a glance.
_HUES = (np.arange(256) * 0.61803398875) % 1.0


def palette(classes: int) -> np.ndarray:
    """One colour a class, uint8 ``(classes, 3)``."""
    hue = _HUES[:classes, None] + np.array([0.0, 1 / 3, 2 / 3])
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * hue)
    light = np.array([1.0, 0.72, 0.5])[np.arange(classes) % 3, None]
    colours: np.ndarray = (255 * (0.15 + 0.85 * wave) * light).astype(np.uint8)
    return colours


class Segmentation(DenseTask):
    """One class a pixel. Output ``(N, classes, h, w)`` logits; target ``(N, H, W)`` ids, 255 for void."""

    terms: ClassVar = ("cross_entropy",)

    kind: Literal["segmentation"] = "segmentation"
    name: str = "segmentation"
    classes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """One logit a class."""
        return len(self.classes)

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Cross-entropy averaged over the labelled pixels of the batch."""
        output, target = self.matched(output, target)
        total = F.cross_entropy(output.float(), target.long(), ignore_index=IGNORE, reduction="sum")
        return {"cross_entropy": total / (target != IGNORE).sum().clamp(min=1)}

    def combined(self, outputs: Sequence[Tensor]) -> Tensor:
        """The logarithm of the mean probability of every class."""
        return torch.stack([output.float().softmax(1) for output in outputs]).mean(0).log()

    def metric(self) -> Metric:
        """A fresh :class:`Confusion`."""
        return Confusion(self.classes)

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> dict[str, float]:
        """Scores of predicting the commonest training class everywhere."""
        counts = sum(
            (torch.bincount(target.flatten(), minlength=256)[: self.outputs] for target in train),
            torch.zeros(self.outputs, dtype=torch.int64),
        )
        commonest = int(counts.argmax())
        metric = Confusion(self.classes)
        for target in test:
            metric.add(torch.full_like(target, commonest), target)
        return metric.compute()

    def decoded(self, output: Tensor) -> Tensor:
        """The class of every pixel of the output, ``(N, h, w)``."""
        return output.argmax(1)

    def draw(self, prediction_or_target: Tensor) -> np.ndarray:
        """Class colours; void is light grey."""
        ids = prediction_or_target.argmax(0) if prediction_or_target.ndim == 3 else prediction_or_target
        colours = np.full((256, 3), 225, np.uint8)
        colours[: self.outputs] = palette(self.outputs)
        picture: np.ndarray = colours[ids.cpu().numpy()]
        return picture


class Confusion:
    """Counts of (true, predicted) pairs over the whole set, pixels pooled.

    The measures are those of Long et al., *Fully Convolutional Networks*, CVPR 2015, in per cent: ``miou`` is
    averaged over the classes that occur in the truth (``classes_averaged`` says how many), ``fwiou`` weights
    classes by their pixels, ``pixel_accuracy`` is the share of labelled pixels that are right. ``iou/CLASS`` is a
    class's own, NaN where it does not occur in the truth.
    """

    def __init__(self, classes: Sequence[str]):
        self.names, self.classes = tuple(classes), len(classes)
        self.counts: Tensor | None = None

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes logits ``(N, classes, h, w)``, enlarged to the target ``(N, H, W)`` before the argmax."""
        self.add(enlarged(output.float(), target).argmax(1), target)

    def add(self, predicted: Tensor, target: Tensor) -> None:
        """Takes predicted ids and true ids of one shape."""
        if self.counts is None:
            self.counts = torch.zeros(self.classes**2 + 1, dtype=torch.int64, device=target.device)
        target = target.long()
        # Void goes to a bin of its own: masking pixels away would make the device report how many are left.
        pairs = torch.where(target == IGNORE, self.classes**2, target * self.classes + predicted).flatten()
        self.counts.scatter_add_(0, pairs, torch.ones_like(pairs))

    def compute(self) -> dict[str, float]:
        """``miou``, ``fwiou``, ``pixel_accuracy``, ``iou/CLASS``: per cent or NaN; ``classes_averaged``."""
        if self.counts is None:
            names = ("miou", "fwiou", "pixel_accuracy", *(f"iou/{name}" for name in self.names))
            return dict.fromkeys(names, float("nan")) | {"classes_averaged": 0}
        counts = self.counts[:-1].view(self.classes, self.classes).cpu().double()
        hits, true, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
        occurs = true > 0
        iou = torch.where(occurs, hits / (true + predicted - hits), torch.nan)
        share = true[occurs] / true.sum()
        return {
            "miou": 100 * float(iou[occurs].mean()),
            "fwiou": 100 * float((share * iou[occurs]).sum()),
            "pixel_accuracy": 100 * float(hits.sum() / true.sum()),
            "classes_averaged": int(occurs.sum()),
            **{f"iou/{name}": 100 * value for name, value in zip(self.names, iou.tolist(), strict=True)},
        }
