"""How far estimated calories lie from the true ones, and how sure that is where pictures come in groups.

The measures are those of Ege and Yanai's comparison of regression and retrieval (``papers/printed/calorie.yaml``,
Sect. 4.1.1 there), under the names of its columns, and two medians beside them: a mean of ratios is ruled by the
lightest dishes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtlkit.errors import InputError

FLOOR = 10.0
"""No relative error is taken of fewer kcal. Water and black coffee lie below, a dish does not."""

WITHIN = (20, 40)
"""Per cent of relative error up to which, itself included, an estimate counts as right."""

ROUNDING = 1e-12
"""A variance below this share of the mean square is that of equal numbers."""

_AT_ONCE = 2**22


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
        raise InputError(f"Estimates {y.shape} and true kcal {g.shape} do not match; give one of each a picture.")
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
            "rel_err_median": _median(100 * error / base, weights),
            "abs_err": absolute,
            "abs_err_median": _median(error, weights),
            "corr": np.clip((ab - ma * mb) / np.sqrt(va * vb), -1, 1),
            "within20": 100 * within20,
            "within40": 100 * within40,
            "floored": floored,
        }


def intervals(
    statistic: Callable[[NDArray[np.int64]], Mapping[str, NDArray[Any]]],
    groups: Sequence[Any],
    *,
    level: float = 95.0,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals by the bootstrap over groups: of G groups G are drawn with replacement, each as a whole.

    Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, Sect. 13.3. Pictures of one portion look alike:
    to draw them singly would promise more than the portions can hold.

    Args:
        statistic: from how often each picture was drawn, ``(B, n)``, to numbers ``(B,)`` by name, such as
            ``lambda times: measures(estimates, truths, times=times)``, or a difference of two of these for a paired
            comparison.
        groups: the group of every picture, ``n`` of them; their order changes nothing.
        level: per cent of the resamples inside an interval.
        resamples: how many.
        seed: of the draws.

    Returns:
        Lower and upper end by name; resamples in which a number is NaN are left out of its interval.

    Raises:
        InputError: there are fewer than two groups, or ``level`` or ``resamples`` make no interval.
    """
    if not 0 < level < 100 or resamples < 1:
        raise InputError(f"{resamples} resamples give no interval of {level:g} per cent; give 1 or more, and 0 to 100.")
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"An interval over groups needs at least two of them; there {'is one' * len(names) or 'are none'}."
        )
    chances, rng = np.full(len(names), 1 / len(names)), np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // len(group))
    drawn = [
        statistic(rng.multinomial(len(names), chances, size=min(rows, resamples - done))[:, group])
        for done in range(0, resamples, rows)
    ]
    ends = {}
    for name in drawn[0]:
        values = np.concatenate([part[name] for part in drawn])
        values = values[~np.isnan(values)]
        low, high = np.percentile(values, [50 - level / 2, 50 + level / 2]) if len(values) else (np.nan, np.nan)
        ends[name] = (float(low), float(high))
    return ends


def weighted_median(values: NDArray[Any], weights: NDArray[Any]) -> float:
    """The number with the lowest weighted sum of distances to values ``(n,)``; the middle one where many have it."""
    return float(_median(np.asarray(values, np.float64), np.asarray(weights, np.float64)))


def _median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Medians ``(...)`` of values ``(n,)`` that occur with weights ``(..., n)``; NaN of nothing."""
    if not len(values):
        return np.full(weights.shape[:-1], np.nan)
    order = np.argsort(values)
    below = weights[..., order].cumsum(-1)
    # As many weights lie below the lower of the two middle values as above the upper one.
    middle = [(reached).sum(-1) for reached in (2 * below < below[..., -1:], 2 * below <= below[..., -1:])]
    lower, upper = (values[order][np.minimum(place, len(values) - 1)] for place in middle)
    found: NDArray[np.float64] = np.where(below[..., -1] > 0, (lower + upper) / 2, np.nan)
    return found
