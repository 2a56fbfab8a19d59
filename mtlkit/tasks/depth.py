"""Depth along the optical axis."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mtlkit.errors import check_shape
from mtlkit.tasks.base import DenseTask

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric

LONGEST = 100.0
"""Metres up to which the best constant is looked for, in steps of a millimetre."""


class Depth(DenseTask):
    """A depth a pixel. Output ``(N, 1, h, w)``, metres; target ``(N, H, W)``, metres, 0 or not finite where
    unknown."""

    terms: ClassVar = ("l1",)

    kind: Literal["depth"] = "depth"
    name: str = "depth"

    @property
    def outputs(self) -> int:
        """One number."""
        return 1

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The absolute error in metres, averaged over the known pixels of the batch.

        Raises:
            InputError: the shapes are others than the task's.
        """
        check_shape(f"The target of {self.name}", target.shape, len(output), "H", "W")
        output, target = self.matched(output, target)
        known = _known(target)
        error = torch.where(known, output[:, 0].float() - target, 0).abs()
        return {"l1": error.sum() / known.sum().clamp(min=1)}

    def ensemble(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean."""
        return torch.stack([output.float() for output in outputs]).mean(0)

    def metric(self) -> "ImageMetric":
        """A fresh :class:`DepthErrors`."""
        from mtlkit.metrics.depth_errors import DepthErrors

        return DepthErrors()

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> "ImageMetric":
        """Scores of the median depth of the training pixels, to a millimetre."""
        counts = torch.zeros(int(1000 * LONGEST) + 1, dtype=torch.int64)
        for target in train:
            millimetres = (1000 * target[_known(target)]).round().long().clamp(max=len(counts) - 1)
            counts += torch.bincount(millimetres, minlength=len(counts))
        median = float((counts.cumsum(0) < counts.sum() / 2).sum()) / 1000
        metric = self.metric()
        for target in test:
            metric.update(torch.full_like(target, median)[:, None], target)
        return metric

    def postprocess(self, output: Tensor) -> Tensor:
        """The depth of every pixel of the output, ``(N, h, w)``, metres."""
        return output[:, 0].float()

    def to_json(self, prediction: Tensor) -> dict[str, float]:
        """The nearest, the median and the farthest depth, metres."""
        found = {"nearest": prediction.min(), "median": prediction.median(), "farthest": prediction.max()}
        return {name: round(float(value), 3) for name, value in found.items()}

    def draw(self, answer: Tensor) -> np.ndarray:
        """Grey from near (light) to far (dark), by the reciprocal of the depth; black where it is unknown."""
        depth = answer.detach().float().cpu()
        light = torch.where(depth > 0, 255 / depth.clamp(min=1), 0)
        image: np.ndarray = light[..., None].expand(-1, -1, 3).numpy().astype(np.uint8)
        return image


def _known(target: Tensor) -> Tensor:
    return (target > 0) & target.isfinite()
