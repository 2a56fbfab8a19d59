"""What a task is: losses, metrics and drawing from outputs and targets alone."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mtlkit.data.samples import Sample, labelled
from mtlkit.errors import InputError, check_shape
from mtlkit.grid import Grid
from mtlkit.metrics.resize import enlarged
from mtlkit.tasks.placement import Placement
from mtlkit.values import Value

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


def mean_log_probability(outputs: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean over several networks of the probabilities that their logits ``(N, K, ...)`` stand for.

    Finite where a probability is too small for its logarithm to be taken.

    >>> sure = torch.tensor([[200.0, 0.0]])
    >>> mean_log_probability([sure, sure]).tolist()
    [[0.0, -200.0]]
    """
    return torch.stack([output.float().log_softmax(1) for output in outputs]).logsumexp(0) - math.log(len(outputs))


class Task(Value):
    """A task knows no network and no data set: everything follows from (output, target).

    A target is what a batch holds under the task's name: a tensor, or a named tuple of several.
    """

    of_boxes: ClassVar[bool] = False
    """Whether it is about objects whose boxes are known, and not about whole images or proposed regions."""

    by_category: ClassVar[str] = ""
    """The measure that its metric has of every category too, as ``MEASURE/CATEGORY``; ``""``: of none."""

    name: str
    """The key of its targets in a batch and of its output."""

    @property
    def reads(self) -> tuple[str, ...]:
        """What a data set is asked for."""
        return (self.name,)

    @property
    @abstractmethod
    def terms(self) -> tuple[str, ...]:
        """The names of its loss terms."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Channels of the head's output."""

    @property
    def categories(self) -> tuple[str, ...]:
        """The names of what it tells apart, where :attr:`by_category` is a measure of each."""
        return ()

    def label_counts(self, target: Any) -> Tensor:
        """How many labels of each of the :attr:`categories` the targets of a batch hold, ``(categories,)``."""
        raise NotImplementedError

    @property
    def init_bias(self) -> tuple[float, ...] | None:
        """What a new head's classifier answers to every image, one number an output; ``None``: about zero."""
        return None

    def collate(self, samples: Sequence[Sample]) -> tuple[Any, Tensor]:
        """The targets of the samples that are labelled, and the rows of the output that they belong to, ``(n,)``.

        As they are, one behind the other; a task overrides this whose target is something else.
        """
        return labelled(samples, self.reads[0])

    @abstractmethod
    def losses(self, output: Tensor, target: Any) -> dict[str, Tensor]:
        """Its :attr:`terms`, unweighted scalars. Without a valid target a term is zero, not NaN."""

    def postprocess(self, output: Tensor) -> Any:
        """What a user of the network gets from an output, without a look at any truth; timed with the network."""
        return output

    @abstractmethod
    def prediction(self, output: Tensor, placement: Placement) -> Any:
        """What a user gets for one image: an answer in the image's own pixels, on the output's device.

        Args:
            output: of the network for this image, ``(1, ...)``, or ``(M, ...)`` for the ``M`` regions of the placement.
            placement: of the image on the network's canvas.
        """

    @abstractmethod
    def to_json(self, prediction: Any) -> Any:
        """A :meth:`prediction` as JSON types: all of it, or a summary of a map."""

    @abstractmethod
    def draw_on(self, image: np.ndarray, prediction: Any) -> np.ndarray:
        """A :meth:`prediction` as an image, uint8 ``(H, W, 3)``.

        Args:
            image: that it is of, uint8 ``(H, W, 3)``.
            prediction: of this image.
        """

    @abstractmethod
    def ensemble(self, outputs: Sequence[Tensor]) -> Tensor:
        """The outputs of several networks for the same images as one output: what an ensemble of them says."""

    def unmirrored(self, output: Tensor) -> Tensor:
        """The output for an image, given the output for its mirror image.

        Raises:
            InputError: The task does not define it.
        """
        raise InputError(f"No output of {self.name} is known from a mirror image's; score it without mirror images.")

    @abstractmethod
    def metric(self) -> "ImageMetric":
        """A fresh accumulator."""

    @abstractmethod
    def constant(self, train: Iterable[Any], test: Iterable[Any]) -> "ImageMetric":
        """A metric of the best prediction that never looks at the image, scored on all ``test`` targets.

        The constant is the one with the lowest loss on the ``train`` targets.
        """


class ClassTask(Task):
    """A task with a class for every image."""

    @abstractmethod
    def named(self, output: Tensor) -> Tensor:
        """The class of every image that ``output`` stands for, ``(N,)`` int64."""

    @abstractmethod
    def names(self, classes: Sequence[str]) -> tuple[str, ...]:
        """What the classes are called, given the data set's names."""


class DenseTask(Task):
    """A task with a target for every pixel."""

    loss_at: Literal["image", "output"] = "image"
    """``image``: the output is enlarged bilinearly to the target; ``output``: the target is reduced to the output
    by nearest neighbour, as NDDR-CNN's official code does."""

    @abstractmethod
    def draw(self, answer: Tensor) -> np.ndarray:
        """A target, or one image's :meth:`~Task.postprocess` output, as an RGB image, uint8 ``(H, W, 3)``."""

    def prediction(self, output: Tensor, placement: Placement) -> Tensor:
        """The decoded output at every pixel of the image: what a target of the image would be."""
        return placement.maps(output, self.postprocess)

    def draw_on(self, image: np.ndarray, prediction: Tensor) -> np.ndarray:
        """The map alone."""
        return self.draw(prediction)

    def matched(self, output: Tensor, target: Tensor, grid: Grid | None = None) -> tuple[Tensor, Tensor]:
        """Output and target at one size, by :attr:`loss_at`; the last two dimensions are height and width.

        Args:
            output: of the network.
            target: its pixels are the image's.
            grid: where the output's cells look; ``None``: taken for tiles of the image.

        Raises:
            InputError: they are not of as many images, or the output has not ``outputs`` channels.
        """
        check_shape(f"The output of {self.name}", output.shape, len(target), self.outputs, "h", "w")
        if output.shape[-2:] == target.shape[-2:]:
            return output, target
        if self.loss_at == "image":
            height, width = target.shape[-2:]
            return (grid.enlarged(output, (height, width)) if grid else enlarged(output, target)), target
        if grid:
            height, width = output.shape[-2:]
            return output, grid.sampled(target, (height, width))
        planes = target.unsqueeze(1) if target.ndim == 3 else target
        planes = F.interpolate(planes.float(), size=output.shape[-2:], mode="nearest-exact")
        return output, (planes.squeeze(1) if target.ndim == 3 else planes).to(target.dtype)
