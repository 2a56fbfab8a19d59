"""Semantic segmentation."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
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

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> Metric:
        """Scores of predicting the commonest training class everywhere."""
        counts = sum(
            (torch.bincount(target.flatten(), minlength=256)[: self.outputs] for target in train),
            torch.zeros(self.outputs, dtype=torch.int64),
        )
        commonest = int(counts.argmax())
        metric = Confusion(self.classes)
        for target in test:
            metric.add(torch.full_like(target, commonest), target)
        return metric

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
    """Every class's hits, true and predicted pixels, kept for each picture; measured with pixels pooled.

    The measures are those of Long et al., *Fully Convolutional Networks*, CVPR 2015, in per cent: ``miou`` is
    averaged over the classes that occur in the truth (``classes_averaged`` says how many), ``fwiou`` weights
    classes by their pixels, ``pixel_accuracy`` is the share of labelled pixels that are right. ``iou/CLASS`` is a
    class's own, NaN where it does not occur in the truth.
    """

    def __init__(self, classes: Sequence[str]):
        self.names, self.classes = tuple(classes), len(classes)
        self.tallies: list[Tensor] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes logits ``(N, classes, h, w)``, enlarged to the target ``(N, H, W)`` before the argmax."""
        self.add(enlarged(output.float(), target).argmax(1), target)

    def add(self, predicted: Tensor, target: Tensor) -> None:
        """Takes predicted ids and true ids of one shape ``(N, H, W)``."""
        true, void = target.long(), target == IGNORE
        # Void goes to a bin of its own: masking pixels away would make the device report how many are left.
        bins = [
            torch.where(void | (predicted != true), self.classes, true),
            torch.where(void, self.classes, true),
            torch.where(void, self.classes, predicted),
        ]
        pixels = torch.stack(bins, 1).flatten(2)
        counts = torch.zeros(*pixels.shape[:2], self.classes + 1, dtype=torch.int64, device=target.device)
        counts.scatter_add_(2, pixels, torch.ones_like(pixels))
        self.tallies.append(counts[..., :-1])

    def compute(self) -> dict[str, float]:
        """``miou``, ``fwiou``, ``pixel_accuracy``, ``iou/CLASS``: per cent or NaN; ``classes_averaged``."""
        every = self._every()
        whole = {name: float(value[0]) for name, value in self.resampled(np.ones((1, len(every)), np.int64)).items()}
        hits, true, predicted = every.sum(0)
        with np.errstate(invalid="ignore"):
            iou = np.where(true > 0, 100 * hits / (true + predicted - hits), np.nan)
        own = {f"iou/{name}": value for name, value in zip(self.names, iou.tolist(), strict=True)}
        return whole | {"classes_averaged": int((true > 0).sum())} | own

    def resampled(self, times: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """``miou``, ``fwiou`` and ``pixel_accuracy`` on draws of the pictures."""
        hits, true, predicted = np.moveaxis(np.tensordot(times, self._every(), 1).astype(np.float64), 1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            iou = np.where(true > 0, hits / (true + predicted - hits), 0)
            every = true.sum(1)
            return {
                "miou": 100 * iou.sum(1) / (true > 0).sum(1),
                "fwiou": 100 * (true * iou).sum(1) / every,
                "pixel_accuracy": 100 * hits.sum(1) / every,
            }

    def _every(self) -> NDArray[np.int64]:
        """Hits, true and predicted pixels of every picture, ``(n, 3, classes)``."""
        found: NDArray[np.int64] = (
            torch.cat(self.tallies).cpu().numpy() if self.tallies else np.zeros((0, 3, self.classes), np.int64)
        )
        return found
