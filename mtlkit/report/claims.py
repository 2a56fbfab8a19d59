"""What a paper claims, judged on its own print and on our runs."""

import html
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mtlkit.papers.printed import PrintedPaper, printed
from mtlkit.report.side_by_side import MISSING, SideBySide, plain_label

Verdict = Literal["holds", "fails", "undecided"]
Cell = tuple[str, str, str]
"""Table, row and column of a printed cell."""
Lookup = Callable[[Cell], Decimal | None]

FEWEST_SEEDS = 3
"""Below this many seeds nothing is judged on our runs."""

SURE = 0.975
"""Share of the draws of the test pictures on which a comparison must come out alike: one end of a 95 % interval."""


def on_print(paper: PrintedPaper, claim: dict[str, Any]) -> Verdict:
    """The verdict on the printed digits."""

    def cell(at: Cell) -> Decimal | None:
        table, row, column = at
        found = paper.tables[table].row(row)
        text = found.cells.get(column) if found else None
        return None if text is None else Decimal(text)

    return _together(claim["holds_if"], [_verdict(paper, comparison, cell) for comparison in claim["compare"]])


def on_runs(paper: PrintedPaper, claim: dict[str, Any], measured: Sequence[SideBySide]) -> Verdict:
    """The verdict on measured columns of one profile, data set and backbone, one a table.

    A comparison is decided when every seed says the same about it, seed by seed, and there are at least
    :data:`FEWEST_SEEDS`; where the records hold draws of the test pictures, the means over seeds must say the same
    on a share :data:`SURE` of them too. Nothing is judged at profile ``smoke``.
    """
    columns = {comparison.table.id: comparison for comparison in measured}
    if any(comparison.column.profile == "smoke" for comparison in measured):
        return "undecided"
    return _together(claim["holds_if"], [_decided(paper, one, columns) for one in claim["compare"]])


def _decided(paper: PrintedPaper, comparison: dict[str, Any], columns: Mapping[str, SideBySide]) -> Verdict:
    """The verdict on one comparison; see :func:`on_runs`."""
    wanted = {tuple(cell) for cell in (comparison["a"], comparison["b"], *comparison.get("by_from", []))}
    found = {
        (table, row, column): columns[table].cell(row, columns[table].table.measures[column])
        for table, row, column in wanted
        if table in columns
    }
    seeds = min((len(cell.values) for cell in found.values()), default=0)
    if len(found) < len(wanted) or seeds < FEWEST_SEEDS:
        return "undecided"
    by_seed = _said(paper, comparison, {at: cell.values for at, cell in found.items()})
    verdict, agreeing = by_seed.most_common(1)[0]
    drawn = {at: cell.draws for at, cell in found.items() if cell.draws is not None}
    if len(drawn) == len(found):
        by_draw = _said(paper, comparison, drawn)
        sure = by_draw[verdict] >= SURE * by_draw.total()
    else:
        sure = True
    return verdict if agreeing == by_seed.total() and sure else "undecided"


def _said(
    paper: PrintedPaper, comparison: dict[str, Any], several: Mapping[Cell, Sequence[float] | NDArray[np.float64]]
) -> Counter[Verdict]:
    """How many seeds, or draws of the test pictures, say what of a comparison."""
    return Counter(
        _verdict(paper, comparison, lambda at: Decimal(several[(at[0], at[1], at[2])][place]))  # noqa: B023
        for place in range(min(map(len, several.values())))
    )


def claims_html(slug: str, tables: Sequence[str], measured: Sequence[SideBySide] = ()) -> str:
    """The claims that only compare cells of ``tables``: text, the compared cells, the verdicts on print and runs."""
    paper = printed(slug)
    lines = []
    for claim in paper.claims:
        if {cell[0] for comparison in claim["compare"] for cell in (comparison["a"], comparison["b"])} <= set(tables):
            verdicts = on_print(paper, claim), on_runs(paper, claim, measured)
            cells = "".join(f"<td class='{verdict}'>{verdict}</td>" for verdict in verdicts)
            lines.append(
                f"<tr><th scope='row'>{html.escape(claim['text'])} ({html.escape(claim['where'])})"
                f"{_evidence(paper, claim, measured)}</th>{cells}</tr>"
            )
    head = "<tr><th>claim</th><th>on the print</th><th>on our runs</th></tr>"
    return (
        "<div class='mtl-scroll' tabindex='0' role='region' aria-label='Claims'>"
        f"<table class='mtl-table mtl-card mtl-claims'><thead>{head}</thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _evidence(paper: PrintedPaper, claim: dict[str, Any], measured: Sequence[SideBySide]) -> str:
    """Every comparison of a claim with its cells, printed and measured, folded away."""
    columns = {comparison.table.id: comparison for comparison in measured}

    def shown(at: Cell) -> tuple[str, str, str]:
        """Which cell it is, its printed text and its measured one."""
        table, row, column = at
        measure = next(one for one in paper.tables[table].columns if one.id == column)
        found = paper.tables[table].row(row)
        ours = columns[table].cell(row, columns[table].table.measures[column]) if table in columns else None
        return (
            f"Table {table}, {found.label if found else row}, {plain_label(measure)}",
            (found.cells.get(column) if found else None) or MISSING,
            ours.text(measure.unit) if ours is not None and ours.values else "",
        )

    lines = []
    for comparison in claim["compare"]:
        (first, a, our_a), (second, b, our_b) = shown(comparison["a"]), shown(comparison["b"])
        ours = f"; ours {our_a} and {our_b}" if our_a and our_b else ""
        lines.append(f"<li>{html.escape(f'{first}: {a}; {second}: {b}{ours}')}</li>")
    count = f"{len(lines)} comparison{'' if len(lines) == 1 else 's'}"
    return f"<details><summary>{count}</summary><ul>{''.join(lines)}</ul></details>"


def _verdict(paper: PrintedPaper, comparison: dict[str, Any], cell: Lookup) -> Verdict:
    gain = _gain(paper, comparison["a"], comparison["b"], cell)
    margin: Decimal | None = Decimal(str(comparison.get("by", 0)))
    if "by_from" in comparison:
        first, second = comparison["by_from"]
        margin = _gain(paper, first, second, cell)
    if gain is None or margin is None:
        return "undecided"
    strict = comparison["op"] == "better" or comparison.get("strict", False)
    return "holds" if gain > margin or (gain == margin and not strict) else "fails"


def _gain(paper: PrintedPaper, a: Cell, b: Cell, cell: Lookup) -> Decimal | None:
    """How much better a is than b, in the column's own direction."""
    first, second = cell(a), cell(b)
    if first is None or second is None:
        return None
    better = next(column.better for column in paper.tables[a[0]].columns if column.id == a[2])
    return first - second if better == "higher" else second - first


def _together(holds_if: str, verdicts: Sequence[Verdict]) -> Verdict:
    """All, most (more than half) or any of the comparisons; undecided while open ones could turn it."""
    needed = {"all": len(verdicts), "most": len(verdicts) // 2 + 1, "any": 1}[holds_if]
    holds, fails = verdicts.count("holds"), verdicts.count("fails")
    if holds >= needed:
        return "holds"
    return "fails" if len(verdicts) - fails < needed else "undecided"
