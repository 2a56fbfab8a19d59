"""What calorie tables are made of: the estimate for every test image."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtlkit.ledger import Ledger
from mtlkit.papers.declaration import chosen
from mtlkit.report.side_by_side import SideBySide


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
