"""How often claims are decided: where there is no difference at all, and where there is one.

Simulated differences of two rows, ``d[s, i] = mu + a[s] + b[i] + c[s, i]`` for seeds s and images i, judged as measured
ones are (:mod:`mtlkit.report.judging`). Seeds and images move a mean over one seed alike where both do. An effect is in
standard deviations of that mean. Claims of several comparisons need all of them.

    python benchmarks/power_of_verdicts.py

prints the table of ``book/judging.md``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtlkit.report.judging import FEWEST_DRAWS, one_sided, several_hold

IMAGES = 60
AT_ONCE, TIMES = 1000, 8
COMPARISONS = 12
EFFECTS = (1.0, 2.0)
CORRELATION = 0.9
"""Of the noise of the comparisons of one claim, where it is not independent."""


@dataclass(frozen=True)
class Noise:
    """Standard deviations of a mean over the images of one seed, by source."""

    name: str
    seeds: float
    images: float
    both: float = 0.0

    @property
    def deviation(self) -> float:
        return float(np.hypot(np.hypot(self.seeds, self.images), self.both))


NOISES = (
    Noise("seeds and images", 1, 1),
    Noise("and their interaction", 1, 1, 1),
    Noise("seeds alone", 1, 0),
    Noise("images alone", 0, 1),
)


def simulated(
    noise: Noise, seeds: int, correlation: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], ...]:
    """Means of the comparisons of claims without a difference, `(R, n)`, their variance over seeds and over images."""

    def normal(*shape: int) -> NDArray[np.float64]:
        shared, own = rng.normal(size=(AT_ONCE, 1, *shape)), rng.normal(size=(AT_ONCE, COMPARISONS, *shape))
        return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own

    one = np.sqrt(IMAGES)
    d = noise.seeds * normal(seeds, 1) + noise.images * one * normal(1, IMAGES)
    if noise.both:
        d = d + noise.both * one * normal(seeds, IMAGES)
    over_seeds = d.mean(-1).var(-1, ddof=1) / seeds
    # The variance that the bootstrap of a mean tends to, as rough as so many draws leave it.
    over_images = d.mean(-2).var(-1) / IMAGES * rng.chisquare(FEWEST_DRAWS - 1, over_seeds.shape) / (FEWEST_DRAWS - 1)
    return d.mean((-2, -1)), over_seeds, over_images


def decided(noise: Noise, seeds: int, count: int, correlation: float) -> NDArray[np.float64]:
    """Shares of claims that hold and that fail in per cent, without an effect and with each of :data:`EFFECTS`.

    Args:
        noise: of a difference.
        seeds: how many.
        count: comparisons of a claim, 1 or :data:`COMPARISONS`.
        correlation: of their noise.

    Returns:
        `(2, 1 + effects)`: holds, then fails.
    """
    rng = np.random.default_rng(0)
    shares = np.zeros((2, 1 + len(EFFECTS)))
    for _ in range(TIMES):
        mean, over_seeds, over_images = simulated(noise, seeds, correlation, rng)
        sources = ((over_seeds, seeds - 1), (over_images, IMAGES - 1))
        for place, effect in enumerate((0.0, *EFFECTS)):
            above = one_sided(mean + effect * noise.deviation, sources).reshape(-1, count)
            holds = several_hold(above, count)
            shares[:, place] += holds.mean(), (~holds & several_hold(1 - above, 1)).mean()
    return 100 * shares / TIMES


CLAIMS = {"1": (1, 0.0), "12, independent": (COMPARISONS, 0.0), "12, alike": (COMPARISONS, CORRELATION)}
"""Comparisons of a claim -> their number and the correlation of their noise."""


def power_table() -> str:
    """The shares as a Markdown table."""
    head = ["noise", "seeds", "comparisons", "no difference: decided", *(f"{effect:g} sd: holds" for effect in EFFECTS)]
    lines = [head, ["---", *["--:"] * 5]]
    for noise in NOISES:
        for seeds in (3, 5):
            for name, (count, correlation) in CLAIMS.items():
                found = decided(noise, seeds, count, correlation)
                shares = [f"{found[:, 0].sum():.1f} %", *(f"{share:.0f} %" for share in found[0, 1:])]
                lines.append([noise.name, str(seeds), name, *shares])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    print(power_table(), end="")
