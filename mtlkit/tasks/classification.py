"""One class an image."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import field_validator
from torch import Tensor

from mtlkit.errors import InputError
from mtlkit.tasks.base import ClassTask, mean_log_probability
from mtlkit.tasks.drawing import captioned
from mtlkit.tasks.placement import Placement

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


class ClassPrediction(NamedTuple):
    """The class of an image.

    Attributes:
        label: the most probable class, from 0.
        probabilities: of every class, ``(classes,)``.
    """

    label: int
    probabilities: Tensor


class Classification(ClassTask):
    """One class an image. Output ``(N, classes)`` logits; target ``(N,)`` ids.

    A network may carry several, one a data set, told apart by their names.

    Raises:
        InputError: There is no class.
    """

    terms: ClassVar[tuple[str, ...]] = ("cross_entropy",)

    kind: Literal["classification"] = "classification"
    classes: int

    @field_validator("classes")
    @classmethod
    def _some(cls, classes: int) -> int:
        if classes < 1:
            raise InputError(f"A classification has at least 1 class, not {classes}.")
        return classes

    @property
    def outputs(self) -> int:
        """One logit a class."""
        return self.classes

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Cross-entropy averaged over the images that carry a label of this task."""
        total = F.cross_entropy(output.float(), target, reduction="sum")
        return {"cross_entropy": total / max(len(target), 1)}

    def ensemble(self, outputs: Sequence[Tensor]) -> Tensor:
        """The logarithm of the mean probability of every class."""
        return mean_log_probability(outputs)

    def named(self, output: Tensor) -> Tensor:
        """The class of every image that ``output`` stands for, ``(N,)`` int64."""
        return output.argmax(1)

    def names(self, classes: Sequence[str]) -> tuple[str, ...]:
        """What the classes are called, given the data set's names."""
        return tuple(classes)

    def prediction(self, output: Tensor, placement: Placement) -> Any:
        """A :class:`ClassPrediction`."""
        return ClassPrediction(int(self.named(output)), output[0].float().softmax(0))

    def to_json(self, prediction: Any) -> Any:
        """The number of the class, its probability, and those of all classes."""
        every = [round(probability, 4) for probability in prediction.probabilities.tolist()]
        return {"class": prediction.label, "probability": every[prediction.label], "probabilities": every}

    def draw_on(self, image: np.ndarray, prediction: Any) -> np.ndarray:
        """The image with the number of the class and its probability."""
        probability = float(prediction.probabilities[prediction.label])
        return captioned(image, f"{self.name} {prediction.label} ({probability:.0%})")

    def metric(self) -> "ImageMetric":
        """A fresh :class:`Accuracy`."""
        from mtlkit.metrics.accuracy import Accuracy

        return Accuracy(self.classes)

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> "ImageMetric":
        """Scores of always answering the training classes' frequencies."""
        counts = sum(
            (torch.bincount(target, minlength=self.classes) for target in train),
            torch.zeros(self.classes, dtype=torch.int64),
        )
        metric = self.metric()
        for target in test:
            metric.update(counts.float().log().expand(len(target), -1), target)
        return metric
