"""How far estimated calories lie from the true ones.

The measures are those of Ege and Yanai's comparison of regression and retrieval (``papers/calorie/printed.yaml``,
Sect. 4.1.1 there), under the names of its columns, and two medians beside them: a mean of ratios is ruled by the
lightest dishes.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtlkit.errors import InputError, check_shape
from mtlkit.metrics.base import ImageMetric, Measures, Weights
from mtlkit.metrics.bootstrap import medians
from mtlkit.metrics.floor import FLOOR

WITHIN = (20, 40)
"""Per cent of relative error up to which, itself included, an estimate counts as right."""

ROUNDING = 1e-12
"""A variance below this share of the mean square is that of equal numbers."""


def measures(
    estimates: NDArray[Any], truths: NDArray[Any], floor: float = FLOOR, times: NDArray[Any] | None = None
) -> dict[str, NDArray[np.float64]]:
    """The measures of ``n`` estimates, or of many samples drawn from them at once.

    The error of estimate y of truth g is ``|y - g|`` kcal, its relative error ``|y - g| / max(g, floor)``; the paper
    divides by g, which has no meaning at 0 kcal.

    Args:
        estimates: kcal ``(n,)``.
        truths: kcal ``(n,)``, not negative.
        floor: kcal, positive.
        times: how often each estimate is in the sample, ``(..., n)``; ``None``: once.

    Returns:
        Arrays ``(...)``: ``rel_err`` and ``rel_err_median`` in per cent, ``abs_err`` and ``abs_err_median`` in kcal,
        ``corr`` (Pearson; NaN where all estimates or all truths are equal), ``within20`` and ``within40`` in per cent
        of the estimates, and ``floored``, the number of truths below ``floor``. All but that NaN for an empty sample.

    Raises:
        InputError: there is not one estimate a truth, or ``floor`` is not positive.
    """
    y, g = np.asarray(estimates, np.float64), np.asarray(truths, np.float64)
    if y.shape != g.shape or y.ndim != 1:
        raise InputError(f"Estimates {y.shape} and true kcal {g.shape} do not match; give one of each an image.")
    if not floor > 0:
        raise InputError(f"The floor of relative errors is {floor:g} kcal; it should be above 0.")
    weights = np.ones(len(y)) if times is None else np.asarray(times, np.float64)
    error, base = np.abs(y - g), np.maximum(g, floor)
    # Pearson's sums are taken around the medians, so that those of equal numbers are exactly 0.
    a, b = (x - np.median(x) if len(x) else x for x in (y, g))
    shares = [100 * error <= limit * base for limit in WITHIN]  # 20 per cent of 200 is 40, which 0.2 need not say
    columns = np.stack([np.ones_like(y), 100 * error / base, error, *shares, a, b, a * a, b * b, a * b, g < floor], 1)
    total, *sums, floored = np.moveaxis(weights @ columns, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative, absolute, within20, within40, ma, mb, aa, bb, ab = (each / total for each in sums)
        va, vb = (
            np.where(square - mean**2 > ROUNDING * square, square - mean**2, np.nan)
            for square, mean in ((aa, ma), (bb, mb))
        )
        return {
            "rel_err": relative,
            "rel_err_median": medians(100 * error / base, weights),
            "abs_err": absolute,
            "abs_err_median": medians(error, weights),
            "corr": np.clip((ab - ma * mb) / np.sqrt(va * vb), -1, 1),
            "within20": 100 * within20,
            "within40": 100 * within40,
            "floored": floored,
        }


class CalorieErrors(ImageMetric):
    """:func:`measures` over the whole set.

    Args:
        floor: kcal; no relative error is taken of less.
    """

    def __init__(self, floor: float = FLOOR):
        super().__init__()
        self.floor = floor
        self.keeps("estimates", (), torch.float64)
        self.keeps("truths", (), torch.float64)

    def update(self, estimates: Tensor, truths: Tensor, image: Tensor | None = None) -> None:
        """Takes kcal ``(N,)``, estimated and true.

        Raises:
            InputError: there is not one estimate a truth.
        """
        check_shape("The truth for CalorieErrors", truths.shape, "N")
        check_shape("The estimate for CalorieErrors", estimates.shape, len(truths))
        self.add(image, estimates=estimates.detach().cpu(), truths=truths.cpu())

    def samples(self) -> dict[str, list[float]]:
        """``estimate`` and ``truth``, kcal, image by image in the order they came."""
        return {name: self.gathered(f"{name}s").round(2).tolist() for name in ("estimate", "truth")}

    def measures(self, weights: Weights) -> Measures:
        """The measures by name; NaN without an image."""
        times = weights[:, self.gathered("image")]
        return measures(self.gathered("estimates"), self.gathered("truths"), self.floor, times)

    def resamples(self, measure: str) -> bool:
        """All but the number of truths below the floor."""
        return measure != "floored"
