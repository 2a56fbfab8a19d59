"""How sure a measure is: what it would be on other draws of the same test images.

The bootstrap of Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, over groups: of G groups G are drawn
with replacement, each as a whole. Images of one portion, person or room look alike: to draw them singly would promise
more than the groups can hold.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from mtlkit.errors import InputError

RESAMPLES = 500
"""Kept in a record. An end of a 95 % interval then has a dozen resamples beyond it."""

_AT_ONCE = 2**22


class Drawn(BaseModel):
    """What the draws behind :attr:`mtlkit.ledger.Record.resampled` were made of.

    Attributes:
        of: what was drawn as a whole: an image, or all images of a portion, a person, a run of frames.
        groups: how many of them the test split has.
        key: of the groups, image by image; measures with the same key were taken on the same draws and are compared
            draw by draw.
        too_narrow: whether images that belong together were drawn singly, as early records had it; such intervals are
            too narrow to decide anything.
    """

    of: str
    groups: int
    key: str
    too_narrow: bool = False


def draws(groups: Sequence[Any], resamples: int = RESAMPLES, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """How often each image is in a resample, ``(b, n)``, for a few resamples at a time.

    The same groups give the same draws: measures of two networks on the same images are paired, resample by
    resample.

    Args:
        groups: the group of every image, ``n`` of them; their order changes nothing.
        resamples: how many in all.
        seed: of the draws.

    Raises:
        InputError: there are fewer than two groups.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"An interval over groups needs at least two of them; there {'is one' * len(names) or 'are none'}."
        )
    chances, rng = np.full(len(names), 1 / len(names)), np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // len(group))
    for done in range(0, resamples, rows):
        yield rng.multinomial(len(names), chances, size=min(rows, resamples - done))[:, group]


def group_key(groups: Sequence[Any]) -> str:
    """Twelve hexadecimal digits of the groups, image by image: the same key means the same :func:`draws`."""
    return hashlib.sha256("\0".join(map(str, groups)).encode(errors="surrogatepass")).hexdigest()[:12]


def interval(values: NDArray[Any], level: float = 95.0) -> tuple[float, float]:
    """Percentile interval (section 13.3) of a number's resamples; those that are NaN are left out.

    Args:
        values: ``(B,)``.
        level: per cent of the resamples inside.

    Returns:
        Lower and upper end; NaN of nothing.
    """
    kept = values[~np.isnan(values)]
    low, high = np.percentile(kept, [50 - level / 2, 50 + level / 2]) if len(kept) else (np.nan, np.nan)
    return float(low), float(high)


def medians(values: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Medians ``(...)`` of values ``(n,)`` that occur with weights ``(..., n)``; NaN of nothing.

    A median has the lowest weighted sum of distances to the values; it is the middle number where many have it.
    """
    order = np.argsort(values, kind="stable")
    return middles(values[order], weights[..., order].cumsum(-1))


def middles(values: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Medians ``(...)`` of ascending values ``(n,)`` with cumulative weights ``(..., n)``; NaN of nothing."""
    if not len(values):
        return np.full(below.shape[:-1], np.nan)
    rows, last = below.reshape(-1, len(values)), len(values) - 1
    # As many weights lie below the lower of the two middle values as above the upper one.
    places = [[row.searchsorted(row[-1] / 2, side) for side in ("left", "right")] for row in rows]
    middle = values[np.minimum(places, last)].mean(1)
    return np.where(rows[:, -1] > 0, middle, np.nan).reshape(below.shape[:-1])
