"""How far predicted depths lie from the true ones."""

import numpy as np
import torch
from torch import Tensor

from mtlkit.errors import check_shape
from mtlkit.metrics.base import ImageMetric, Measures, Weights, exact
from mtlkit.metrics.resize import enlarged


class DepthErrors(ImageMetric):
    """Errors with known pixels pooled: ``rmse`` and ``mean`` (absolute) in metres, ``relative`` (absolute error over
    true depth) and ``within_1.25`` (ratio of the two at most 1.25) in per cent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keeps("sums", (5,), torch.float64)

    def update(self, output: Tensor, target: Tensor, image: Tensor | None = None) -> None:
        """Takes depths ``(N, 1, h, w)``, enlarged to the target ``(N, H, W)``, in which what is not positive or
        not finite is no value.

        Raises:
            InputError: the shapes are others.
        """
        check_shape("The target for DepthErrors", target.shape, "N", "H", "W")
        check_shape("The output for DepthErrors", output.shape, len(target), 1, "h", "w")
        predicted = enlarged(output.float(), target)[:, 0]
        known = (target > 0) & target.isfinite()
        true = torch.where(known, target, 1.0)
        error = (predicted - true).abs()
        near = torch.maximum(predicted / true, true / predicted.clamp(min=1e-6)) <= 1.25
        each = torch.stack([torch.ones_like(true), error**2, error, error / true, near.float()])
        self.add(image, sums=torch.where(known, each, 0).flatten(2).sum(2, dtype=exact(target)).T)

    def measures(self, weights: Weights) -> Measures:
        """``rmse``, ``mean``, ``relative``, ``within_1.25``; NaN when no depth was known."""
        count, *sums = (weights[:, self.gathered("image")] @ self.gathered("sums")).T
        with np.errstate(invalid="ignore"):
            square, mean, relative, near = (each / count for each in sums)
        return {"rmse": square**0.5, "mean": mean, "relative": 100 * relative, "within_1.25": 100 * near}
