"""How far expected ages lie from the true ones."""

import numpy as np
import torch
from torch import Tensor

from mtlkit.errors import check_shape
from mtlkit.metrics.base import ImageMetric, Measures, Weights
from mtlkit.metrics.bootstrap import medians


def expected(output: Tensor) -> Tensor:
    """The mean age ``(N,)`` under the softmax of logits ``(N, classes)``, years: DEX, Rothe et al. 2015."""
    years = torch.arange(output.shape[1], dtype=torch.float32, device=output.device)
    return output.float().softmax(1) @ years


class AgeErrors(ImageMetric):
    """``mean_error`` and ``median_error`` of the expected age, in years, and ``accuracy``, the share of images whose
    very year has the highest logit, in per cent."""

    def __init__(self) -> None:
        super().__init__()
        self.keeps("errors", (), torch.float32)
        self.keeps("hits", (), torch.bool)

    def update(self, output: Tensor, target: Tensor, image: Tensor | None = None) -> None:
        """Takes logits ``(N, classes)`` and ages ``(N,)``.

        Raises:
            InputError: the shapes are others.
        """
        check_shape("The target for AgeErrors", target.shape, "N")
        check_shape("The output for AgeErrors", output.shape, len(target), "classes")
        # Of equal logits the lower age ranks first, on every device.
        first = output.float().sort(dim=1, descending=True, stable=True).indices[:, 0]
        self.add(image, errors=(expected(output) - target).abs(), hits=first == target)

    def measures(self, weights: Weights) -> Measures:
        """``mean_error``, ``median_error``, ``accuracy``; NaN when no age was given."""
        errors, hits = self.gathered("errors").astype(np.float64), self.gathered("hits")
        weights = weights[:, self.gathered("image")]
        count = weights.sum(1)
        with np.errstate(invalid="ignore"):
            return {
                "mean_error": weights @ errors / count,
                "median_error": medians(errors, weights),
                "accuracy": 100 * (weights @ hits) / count,
            }
