"""One class an image."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import field_validator
from torch import Tensor

from mtlkit.errors import InputError, check_shape
from mtlkit.tasks.base import ClassTask, mean_log_probability
from mtlkit.tasks.drawing import captioned
from mtlkit.tasks.placement import Placement

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


_NONE = torch.iinfo(torch.int32).min
"""An id that is left out of the loss; torch's default is -100, which other libraries use for images without a label."""


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
        """Cross-entropy averaged over the images that carry a label of this task.

        torch refuses ids outside the classes, here also -100, which it would leave out of the sum by default.

        Raises:
            InputError: the shapes are others than the task's.
        """
        check_shape(f"The target of {self.name}", target.shape, "N")
        check_shape(f"The output of {self.name}", output.shape, len(target), self.classes)
        total = F.cross_entropy(output.float(), target, ignore_index=_NONE, reduction="sum")
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
        """Scores of always answering the training classes' frequencies.

        Raises:
            InputError: there is no training label.
        """
        counts = sum(
            (torch.bincount(target, minlength=self.classes) for target in train),
            torch.zeros(self.classes, dtype=torch.int64),
        )
        if not counts.any():
            raise InputError(f"No training image has a label of {self.name}, so no frequencies are known.")
        metric = self.metric()
        for target in test:
            metric.update(counts.float().log().expand(len(target), -1), target)
        return metric
