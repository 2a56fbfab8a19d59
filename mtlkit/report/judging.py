"""Whether one row is better than another by more than chance.

The mean difference over S seeds would be another one with other seeds, by the variance ``s^2 / S``, and with other test
images, by the variance ``v`` that draws of them give. A t distribution with the degrees of freedom of all the noise
together (Welch, Satterthwaite) is too liberal at three seeds, so the p-value is a mixture of one t distribution a
source, each with its share of the variance. A difference that interacts with seed and image is then counted in both
variances: intervals are a little wide.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtlkit.errors import extra
from mtlkit.report.side_by_side import Cell

Verdict = Literal["holds", "fails", "undecided"]

FEWEST_SEEDS = 3
"""Below this many seeds, or rounds of timing, nothing is decided."""

FEWEST_DRAWS = 500
"""Below this many draws of the test images their variance is too rough."""

LEVEL = 0.025
"""Of one side, 5 % of both."""

ROUNDING = 1e-9
"""A standard error that is a smaller share of the values than this comes from binary fractions alone."""

Noise = tuple[tuple[Any, int], ...]
"""For every source of noise its variance of the mean, a number or an array, and its degrees of freedom."""


def one_sided(mean: ArrayLike, noise: Noise) -> NDArray[np.float64]:
    """The p-value that a mean is above 0 by chance: the sources' t distributions, each with its share of the variance.

    Args:
        mean: of any shape, as the variances are.
        noise: its sources; their variances must not all be 0.
    """
    with extra("run"):
        from scipy.stats import t as student  # most of a second, which only judged numbers need

    total = sum(np.asarray(variance, float) for variance, _ in noise)
    t = np.asarray(mean, float) / np.sqrt(total)
    found: NDArray[np.float64] = sum(
        (variance / total * student.sf(t, freedom) for variance, freedom in noise), np.zeros_like(t)
    )
    return found


def several_hold(p: ArrayLike, needed: int) -> NDArray[np.bool_]:
    """Whether ``needed`` of ``n`` comparisons hold, at :data:`LEVEL` however many of them do not.

    Args:
        p: one-sided p-values `(..., n)`.
        needed: from 1 to ``n``.
    """
    ordered = np.sort(np.asarray(p, float), -1)
    found: NDArray[np.bool_] = ordered[..., needed - 1] <= LEVEL / (ordered.shape[-1] - needed + 1)
    return found


def combined(above: Sequence[float], below: Sequence[float], needed: int) -> Verdict:
    """The verdict on a claim that ``needed`` of its comparisons hold.

    Args:
        above: p-values that each comparison's difference lies above its margin.
        below: that it lies below; a comparison that cannot be tested has 1 on both sides.
        needed: how many must hold.
    """
    if several_hold(above, needed):
        return "holds"
    return "fails" if several_hold(below, len(below) - needed + 1) else "undecided"


def deciding(above: Sequence[float], below: Sequence[float], needed: int) -> int:
    """The place of the comparison whose p-value the verdict of :func:`combined` rests on.

    Of a claim that is undecided it is the one that would have to come out more clearly for the claim to hold.

    Args:
        above: as :func:`combined` takes them.
        below: likewise.
        needed: likewise.

    >>> deciding([0.9, 0.001, 0.01], [0.1, 0.999, 0.99], 2)  # holds: the second smallest p-value is 0.01
    2
    """
    fails = combined(above, below, needed) == "fails"
    p, rank = (below, len(below) - needed + 1) if fails else (above, needed)
    return sorted(range(len(p)), key=lambda place: p[place])[rank - 1]


@dataclass(frozen=True)
class Difference:
    """How much better one cell is than another.

    Attributes:
        mean: over seeds, or over rounds of timing.
        values: one a seed, by the seeds' numbers; one in all where no seed changes either cell.
        noise: of the mean; empty where it is not known well enough.
        too_narrow: whether images that belong together were drawn singly, so that nothing may be decided.
    """

    mean: float
    values: tuple[float, ...]
    noise: Noise = ()
    too_narrow: bool = False

    def above(self, margin: float = 0.0) -> float:
        """The p-value that it lies above the margin; 1 where it cannot be tested."""
        return float(one_sided(self.mean - margin, self.noise)) if self.noise and not self.too_narrow else 1.0

    def below(self, margin: float = 0.0) -> float:
        """The p-value that it lies below the margin; 1 where it cannot be tested."""
        return float(one_sided(margin - self.mean, self.noise)) if self.noise and not self.too_narrow else 1.0

    @property
    def interval(self) -> tuple[float, float] | None:
        """The margins that are refused on neither side, 95 % of what may be; ``None`` without :attr:`noise`."""
        if not self.noise:
            return None
        with extra("run"):
            from scipy.optimize import brentq
            from scipy.stats import t as student

        error = math.sqrt(sum(variance for variance, _ in self.noise))
        widest = student.isf(LEVEL, min(freedom for _, freedom in self.noise))
        # One more than the widest of the quantiles, so that rounding cannot leave the root outside.
        quantile = brentq(lambda t: float(one_sided(t * error, self.noise)) - LEVEL, 0, widest + 1)
        return self.mean - quantile * error, self.mean + quantile * error


def difference(
    better: Cell, worse: Cell, sign: int = 1, *, beyond: tuple[Cell, Cell, int] | None = None, log: bool = False
) -> Difference | None:
    """The first cell's lead over the second, with its noise; ``None`` where they share no seed or one lost a seed.

    Seeds are paired by their numbers, and a cell that no seed changes stands against every seed of the other. The
    noise is unknown below :data:`FEWEST_SEEDS`, without the same draws of the test images for both cells, and where
    it is 0. Cells that were timed are paired round by round, and their rounds are all the noise.

    Args:
        better: the cell whose lead it is.
        worse: the other one.
        sign: 1 where more is better, else -1.
        beyond: two further cells and their sign, whose own difference is subtracted seed by seed and draw by draw.
            Where the test images of these were drawn differently (another data set, say), each difference is paired
            within itself, the two variances add up and the smaller number of groups counts.
        log: take logarithms first, so that the difference is that of a ratio; ``None`` where a value is not above 0,
            and the noise is unknown where a draw is not.
    """
    pairs = [(better, worse, sign)]
    if beyond is not None:
        pairs.append((beyond[1], beyond[0], beyond[2]))
    cells = [cell for first, second, _ in pairs for cell in (first, second)]
    if any(cell.lost for cell in cells):
        return None  # the seeds that are left are those that went well
    seeds = _common(cells)
    by_seed = _differences(pairs, "by_seed", seeds, log)
    if by_seed is None:
        return None
    values = np.sum(by_seed, axis=0)
    narrow = any(cell.drawn is not None and cell.drawn.too_narrow for cell in cells)
    noise: Noise = ()
    mean = values.mean()
    if all(cell.rounds for cell in cells):
        by_round = _differences(pairs, "rounds", seeds, log)
        if by_round is not None and by_round[0].size >= FEWEST_SEEDS:
            rounds = np.sum(by_round, axis=0).ravel()
            mean, noise = rounds.mean(), (_between(rounds),)
    elif images := _over_images(pairs, seeds, log):
        if seeds == (None,):
            noise = (images,)
        elif len(seeds) >= FEWEST_SEEDS:
            noise = (_between(values), images)
    size = 1.0 if log else max(abs(value) for cell in cells for value in cell.values)
    known = sum(variance for variance, _ in noise) > (ROUNDING * size) ** 2
    return Difference(float(mean), tuple(values.tolist()), noise if known else (), narrow)


def _seeded(cell: Cell) -> bool:
    return cell.seeded or len(cell.by_seed) > 1


def _common(cells: Sequence[Cell]) -> tuple[int | None, ...]:
    """The seeds of all cells that seeds change, in order; ``(None,)`` where seeds change none of them."""
    several = [set(cell.by_seed) for cell in cells if _seeded(cell)]
    return tuple(sorted(set.intersection(*several))) if several else (None,)


def _taken(cell: Cell, held: Mapping[int, Any], seeds: tuple[int | None, ...], log: bool) -> NDArray[np.float64] | None:
    """What a cell holds for these seeds, `(S, ...)`; ``None`` where it lacks one, or its logarithm does not exist."""
    wanted: Sequence[Any] = seeds if _seeded(cell) else list(held)[:1] * len(seeds)
    found = [held[seed] for seed in wanted if seed in held]
    if not found or len(found) < len(seeds) or len({np.shape(each) for each in found}) > 1:
        return None
    numbers = np.asarray(found, float)
    if not np.isfinite(numbers).all() or (log and (numbers <= 0).any()):
        return None
    return np.log(numbers) if log else numbers


def _differences(
    pairs: Sequence[tuple[Cell, Cell, int]], what: str, seeds: tuple[int | None, ...], log: bool
) -> list[NDArray[np.float64]] | None:
    """A pair's lead in what its cells hold for these seeds, pair by pair, all of one shape."""
    found = []
    for first, second, sign in pairs:
        one, other = (_taken(cell, getattr(cell, what), seeds, log) for cell in (first, second))
        if one is None or other is None or one.shape != other.shape:
            return None
        found.append(sign * (one - other))
    return found if len({each.shape for each in found}) == 1 else None


def _between(values: NDArray[np.float64]) -> tuple[float, int]:
    """The variance of the mean of independent values, with its degrees of freedom."""
    return float(values.var(ddof=1)) / values.size, values.size - 1


def _over_images(
    pairs: Sequence[tuple[Cell, Cell, int]], seeds: tuple[int | None, ...], log: bool
) -> tuple[float, int] | None:
    """The variance over draws of the test images of the mean over seeds, with its degrees of freedom.

    Draws of G groups with replacement vary by (G - 1) / G of what other groups would, which is made up for.
    """
    by_draw = _differences(pairs, "resampled", seeds, log)
    if by_draw is None or by_draw[0].shape[1] < FEWEST_DRAWS:
        return None
    together: dict[str, NDArray[np.float64]] = {}
    groups: dict[str, int] = {}
    for (first, second, _), lead in zip(pairs, by_draw, strict=True):
        if first.drawn is None or second.drawn is None or first.drawn.key != second.drawn.key:
            return None
        key = first.drawn.key
        together[key] = together.get(key, 0.0) + lead.mean(0)
        groups[key] = first.drawn.groups
    if min(groups.values()) < 2:
        return None
    variance = sum(float(lead.var(ddof=1)) * groups[key] / (groups[key] - 1) for key, lead in together.items())
    return variance, min(groups.values()) - 1
