"""Measured cells of known values, with draws whose noise is known too."""

from collections.abc import Mapping

import numpy as np

from mtlkit.ledger import Drawn
from mtlkit.report.side_by_side import Cell

DRAWN = Drawn(of="image", groups=200, key="images")


def cell(
    by_seed: Mapping[int, float], noise: float = 0.1, *, stream: int = 0, drawn: Drawn = DRAWN, seeded: bool = True
) -> Cell:
    """Values by seed, each with 500 draws around it: another stream, other images that turn out well."""
    around = noise * np.random.default_rng(stream).normal(size=500)
    return Cell(
        {seed: float(value) for seed, value in by_seed.items()},
        {seed: tuple(value + around) for seed, value in by_seed.items()},
        drawn,
        seeded=seeded,
    )


def fixed(value: float, noise: float = 0.1, *, stream: int = 0) -> Cell:
    """A cell that no seed changes."""
    return cell({0: value}, noise, stream=stream, seeded=False)


def counted(value: float) -> Cell:
    """Parameters or operations."""
    return Cell({0: float(value)}, seeded=False, sampled=False)


def timed(*rounds: float) -> Cell:
    """Milliseconds, one a round."""
    return Cell({0: float(np.median(rounds))}, rounds={0: rounds}, seeded=False, sampled=False)
