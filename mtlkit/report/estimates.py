"""What calorie tables are made of, the estimate for every test picture, and how sure measures of these are."""

import html
import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtlkit.bootstrap import intervals
from mtlkit.ledger import Ledger
from mtlkit.papers.declaration import chosen
from mtlkit.report.side_by_side import MISSING, SCALES, SideBySide, plain_label
from mtlkit.tasks.calorie_measures import measures


class Estimates(NamedTuple):
    """A row's answers on the test pictures.

    Attributes:
        estimates: kcal, ``(seeds, n)``.
        truths: kcal, ``(n,)``.
        groups: which portion each picture shows, ``(n,)``.
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


def intervals_html(comparison: SideBySide, found: dict[str, Estimates]) -> str:
    """Every printed measure with its 95 % interval by bootstrap over portions, as an HTML table.

    A measure is the mean over seeds, in the table as in every resample: the interval says what other portions would
    change, not what other seeds would.
    """
    measured = comparison.table.measures
    columns = [column for column in comparison.print_of[1].columns if measured[column.id].startswith("calories/")]
    head = "".join(
        f"<th scope='col'>{html.escape(plain_label(column))} <span class='unit'>{html.escape(column.unit)}</span></th>"
        for column in columns
    )
    body = ""
    for label, (answers, truths, groups) in found.items():
        statistic = partial(_over_seeds, answers, truths)
        value, ends = statistic(None), intervals(statistic, groups.tolist())
        cells = ""
        for column in columns:
            name = measured[column.id].removeprefix("calories/")
            _, digits = SCALES.get(column.unit, (1, 1))
            mean, (low, high) = float(value[name]), ends[name]
            if any(map(math.isnan, (mean, low, high))):
                cells += f"<td>{MISSING}</td>"  # no correlation where all answers are equal
                continue
            cells += f"<td>{mean:.{digits}f} <span class='spread'>{low:.{digits}f} to {high:.{digits}f}</span></td>"
        body += f"<tr><th scope='row'>{html.escape(label)}</th>{cells}</tr>"
    any_row = next(iter(found.values()))
    portions, pictures = len(np.unique(any_row.groups)), len(any_row.truths)
    return (
        f"<p class='mtl-caption'>95 % intervals by bootstrap over the {portions} test portions ({pictures} pictures); "
        "each value is the mean over seeds.</p>"
        "<div class='mtl-scroll' tabindex='0' role='region' aria-label='Intervals'><table class='mtl-table'>"
        f"<thead><tr><th scope='col'></th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _over_seeds(
    answers: NDArray[np.float64], truths: NDArray[np.float64], times: NDArray[np.int64] | None
) -> dict[str, NDArray[np.float64]]:
    """The measures, averaged over seeds; ``times`` as in :func:`mtlkit.tasks.calorie_measures.measures`."""
    seeds = [measures(each, truths, times=times) for each in answers]
    return {name: np.mean([seed[name] for seed in seeds], axis=0) for name in seeds[0]}
