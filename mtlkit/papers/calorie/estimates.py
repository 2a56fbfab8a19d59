"""What calorie tables are made of: the estimate for every test image."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtlkit.ledger import Ledger
from mtlkit.metrics.calorie_errors import measures
from mtlkit.papers.declaration import chosen
from mtlkit.report.side_by_side import SideBySide
from mtlkit.report.table import ReportTable, Text


class Estimates(NamedTuple):
    """A row's answers on the test images.

    Attributes:
        estimates: kcal, ``(seeds, n)``.
        truths: kcal, ``(n,)``.
        groups: which portion each image shows, ``(n,)``.
    """

    estimates: NDArray[np.float64]
    truths: NDArray[np.float64]
    groups: NDArray[np.float64]


BANDS = (0.0, 200.0, 400.0, 600.0, 800.0)
"""kcal at which bands of true calories begin; the last has no end."""


def errors_by_band(found: Mapping[str, Estimates], bands: Sequence[float] = BANDS) -> ReportTable:
    """How far estimates lie from the truth, by what the truth is: two columns per row, means over images and seeds.

    Args:
        found: label -> answers of a row, all on the same images.
        bands: kcal at which each begins, rising; a truth below the first is in none.
    """
    truths = next(iter(found.values())).truths
    lines = []
    for low, high in zip(bands, [*bands[1:], np.inf], strict=True):
        there = (truths >= low) & (truths < high)
        cells: list[Text] = [Text(f"{there.sum()}")]
        for answers in found.values():
            each = [measures(one[there], truths[there]) for one in answers.estimates]
            means = [float(np.mean([one[name] for one in each])) for name in ("abs_err", "rel_err")]
            cells += [Text(f"{mean:.1f}") if there.any() else Text() for mean in means]
        label = f"{low:g} and more" if np.isinf(high) else f"{low:g} to {high:g}"
        lines.append((Text(label), *cells))
    sides = [
        (Text(label), Text(name, unit)) for label in found for name, unit in (("error", "kcal"), ("relative", "%"))
    ]
    columns = ((Text(""), Text("images")), *sides)
    return ReportTable("Errors by true calories", "true kcal", columns, tuple(lines))


def estimates(comparison: SideBySide, ledger: Ledger) -> dict[str, Estimates]:
    """Label -> answers of every row whose records hold them for all seeds."""
    column, found = comparison.column, {}
    ids = [row.id for row in comparison.rows]
    for row in comparison.rows:
        seeds = []
        for seed in column.seeds:
            (same,) = (one for one in chosen(comparison.table, column, ids, seed) if one.id == row.id)
            records = [ledger.find("evaluation", evaluation.identity) for evaluation in same.evaluations]
            seeds += [record.samples for record in records if record and "calories/estimate" in record.samples]
        if len(seeds) == len(column.seeds):
            found[row.label] = Estimates(
                np.array([samples["calories/estimate"] for samples in seeds]),
                np.array(seeds[0]["calories/truth"]),
                np.array(seeds[0]["group"]),
            )
    return found
