"""Semantic segmentation."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import field_validator
from torch import Tensor

from mtlkit.data.samples import IGNORE
from mtlkit.errors import InputError, check_shape
from mtlkit.tasks.base import DenseTask, mean_log_probability
from mtlkit.tasks.drawing import palette

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


class Segmentation(DenseTask):
    """One class a pixel. Output ``(N, classes, h, w)`` logits; target ``(N, H, W)`` ids, 255 for void.

    Raises:
        InputError: There is no class, or two have one name.
    """

    terms: ClassVar = ("cross_entropy",)
    by_category: ClassVar[str] = "iou"

    kind: Literal["segmentation"] = "segmentation"
    name: str = "segmentation"
    classes: tuple[str, ...]

    @field_validator("classes")
    @classmethod
    def _apart(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if not classes:
            raise InputError("A segmentation has at least 1 class; give the names of its classes.")
        for name in classes:
            if classes.count(name) > 1:
                raise InputError(f"Several classes of a segmentation are called {name!r}; give each a name of its own.")
        return classes

    @property
    def outputs(self) -> int:
        """One logit a class."""
        return len(self.classes)

    @property
    def categories(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    def label_counts(self, target: Tensor) -> Tensor:
        """Pixels of every class."""
        return torch.bincount(target.flatten().long(), minlength=256)[: self.outputs]

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Cross-entropy averaged over the labelled pixels of the batch.

        torch refuses ids that are neither a class nor void.

        Raises:
            InputError: the shapes are others than the task's.
        """
        check_shape(f"The target of {self.name}", target.shape, len(output), "H", "W")
        output, target = self.matched(output, target)
        total = F.cross_entropy(output.float(), target.long(), ignore_index=IGNORE, reduction="sum")
        return {"cross_entropy": total / (target != IGNORE).sum().clamp(min=1)}

    def ensemble(self, outputs: Sequence[Tensor]) -> Tensor:
        """The logarithm of the mean probability of every class."""
        return mean_log_probability(outputs)

    def unmirrored(self, output: Tensor) -> Tensor:
        """The map turned back."""
        return output.flip(-1)

    def metric(self) -> "ImageMetric":
        """A fresh :class:`Confusion`."""
        from mtlkit.metrics.confusion import Confusion

        return Confusion(self.classes)

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> "ImageMetric":
        """Scores of predicting the commonest training class everywhere."""
        counts = sum(
            (torch.bincount(target.flatten(), minlength=256)[: self.outputs] for target in train),
            torch.zeros(self.outputs, dtype=torch.int64),
        )
        commonest = int(counts.argmax())
        metric = self.metric()
        for target in test:
            metric.update(torch.full_like(target, commonest), target)
        return metric

    def postprocess(self, output: Tensor) -> Tensor:
        """The class of every pixel of the output, ``(N, h, w)``."""
        return output.argmax(1)

    def to_json(self, prediction: Tensor) -> dict[str, float]:
        """Class -> its share of the image's pixels, of those that are there; the largest first."""
        shares, ids = torch.bincount(prediction.flatten(), minlength=self.outputs).sort(descending=True)
        parts = zip(ids.tolist(), (shares / prediction.numel()).tolist(), strict=True)
        return {self.classes[label]: round(share, 4) for label, share in parts if share}

    def draw(self, answer: Tensor) -> np.ndarray:
        """Class colours; void is light grey."""
        colours = np.full((256, 3), 225, np.uint8)
        colours[: self.outputs] = palette(self.outputs)
        image: np.ndarray = colours[answer.cpu().numpy()]
        return image
