"""How sure measured cells are, and differences between rows.

Every record of a test split holds its measures on the same draws of its images (:mod:`mtlkit.metrics.bootstrap`), so
that two rows can be compared draw by draw. The interval of a cell says what other images would change, the spread over
seeds beside it what other seeds would; the interval of a gain has both (:mod:`mtlkit.report.judging`).
"""

import html
from dataclasses import dataclass
from typing import Literal

from mtlkit.metrics.bootstrap import interval
from mtlkit.report.judging import LEVEL, difference
from mtlkit.report.side_by_side import MISSING, SCALES, Cell, SideBySide

DAGGER = "\u2020"

TOO_NARROW = "drawn by single frames, which run in sequences: too narrow, decides nothing"


@dataclass(frozen=True)
class Measured:
    """A measured column of a table, printed or not.

    Attributes:
        measure: its name in records.
        group: the printed group of columns.
        label: of the column.
        unit: as printed.
        better: which way is better.
        printed: whether the paper has it.
    """

    measure: str
    group: str
    label: str
    unit: str
    better: Literal["lower", "higher"]
    printed: bool

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.better == "higher" else -1


@dataclass(frozen=True)
class Gain:
    """How much better one row is than another, in a measure's own unit; positive is better whichever way that is.

    Attributes:
        mean: of the seeds.
        interval: 95 % of what it may be with other seeds and other test images; ``None`` where that is not known.
        seeds: the gain of every seed.
        clear: whether the mean is off 0 by more than chance.
        over: id of the row it is measured against.
        too_narrow: whether the interval is, and so decides nothing; see :class:`mtlkit.ledger.Drawn`.
    """

    mean: float
    interval: tuple[float, float] | None
    seeds: tuple[float, ...]
    clear: bool
    over: str = ""
    too_narrow: bool = False


def measured(comparison: SideBySide) -> list[Measured]:
    """The columns that are printed and measured, then those that the print lacks."""
    printed = [
        Measured(comparison.table.measures[c.id], group, label, c.unit, c.better, printed=True)
        for c, (group, label, _, _) in zip(comparison.print_of[1].columns, comparison.header, strict=True)
    ]
    return printed + [
        Measured(extra.measure, extra.group, extra.label, extra.unit, extra.better, printed=False)
        for extra in comparison.extras
    ]


def gain(better: Cell, worse: Cell, sign: int, over: str = "") -> Gain | None:
    """How much the first cell gains over the second; ``None`` where no seed has both."""
    lead = difference(better, worse, sign)
    if lead is None:
        return None
    clear = min(lead.above(), lead.below()) <= LEVEL
    return Gain(lead.mean, lead.interval, lead.values, clear, over, lead.too_narrow)


def gains(comparison: SideBySide, against: str | None = None) -> dict[str, dict[str, Gain]]:
    """Row -> measure -> its gain, where both rows were measured.

    Args:
        comparison: a table's measured column.
        against: id of the row that all gains are over; by default each row has its own, the strictest of
            :attr:`~mtlkit.papers.declaration.Row.controls` that was measured.
    """
    ids, columns = {row.id for row in comparison.rows}, measured(comparison)
    found: dict[str, dict[str, Gain]] = {}
    for row in comparison.rows:
        controls = row.controls if against is None else (against,)
        for control in (one for one in controls if one in ids - {row.id}):
            pairs = {c: [comparison.cell(each, c.measure) for each in (row.id, control)] for c in columns}
            several = {c.measure: gain(better, worse, c.sign, control) for c, (better, worse) in pairs.items()}
            if there := {measure: one for measure, one in several.items() if one is not None}:
                found[row.id] = there
                break
    return found


def table_html(name: str, corner: str, columns: list[Measured], body: str) -> str:
    """Measured columns over lines that are HTML already; empty without a line."""
    if not body:
        return ""
    head = "".join(
        f"<th scope='col'>{html.escape(c.group)}<br>{html.escape(c.label)} "
        f"<span class='unit'>{html.escape(c.unit)}</span></th>"
        for c in columns
    )
    return (
        f"<div class='mtl-scroll' tabindex='0' role='region' aria-label='{name}'><table class='mtl-table'>"
        f"<thead><tr><th scope='col'>{corner}</th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def intervals_html(comparison: SideBySide) -> str:
    """Every measured cell with its 95 % interval, as an HTML table; empty where no record has draws."""
    columns, body = measured(comparison), ""
    for row in comparison.rows:
        cells, some = "", False
        for column in columns:
            cell = comparison.cell(row.id, column.measure)
            text = MISSING
            if cell.draws is not None and cell.drawn is not None:
                some = True
                low, high = (_number(end, column.unit) for end in interval(cell.draws))
                mark = DAGGER if cell.drawn.too_narrow else ""
                text = f"{_number(cell.mean, column.unit)} <span class='spread'>{low} to {high}{mark}</span>"
            cells += f"<td>{text}</td>"
        body += f"<tr><th scope='row'>{html.escape(row.label)}</th>{cells}</tr>" if some else ""
    what = "95 % intervals over draws of the test images: what other images would change, not what other seeds would"
    return _captioned(comparison, what, table_html("Intervals", "", columns, body))


def gains_html(comparison: SideBySide, against: str | None = None) -> str:
    """What every row gains, with the interval of the difference, as an HTML table; see :func:`gains`.

    A gain is in bold where its interval lies on one side of 0. Empty where nothing can be compared.
    """
    found, columns = gains(comparison, against), measured(comparison)
    labels = {row.id: row.label for row in comparison.rows}
    body = ""
    for row, measures in found.items():
        cells = ""
        for column in columns:
            one = measures.get(column.measure)
            if one is None:
                cells += f"<td>{MISSING}</td>"
                continue
            mean = _number(one.mean, column.unit, signed=True)
            spread = MISSING
            if one.interval is not None:
                ends = (_number(end, column.unit, signed=True) for end in one.interval)
                spread = " to ".join(ends) + (DAGGER if one.too_narrow else "")
            cells += f"<td>{f'<b>{mean}</b>' if one.clear else mean} <span class='spread'>{spread}</span></td>"
        over = next(labels[one.over] for one in measures.values())
        body += (
            f"<tr><th scope='row'>{html.escape(labels[row])} "
            f"<span class='spread'>over <i>{html.escape(over)}</i></span></th>{cells}</tr>"
        )
    what = "95 % intervals of the mean gain, over seeds and over draws of the test images; bold where off 0"
    return _captioned(comparison, what, table_html("Gains", "gain", columns, body))


def _captioned(comparison: SideBySide, what: str, table: str) -> str:
    """A table of intervals under what was drawn for them, with what its daggers mean; empty without a table."""
    if not table:
        return ""
    drawn = [cell.drawn for cell in comparison.cells.values() if cell.drawn is not None and cell.resampled]
    how = "; ".join(dict.fromkeys(f"drawn by {one.of}, {one.groups:,} in all" for one in drawn))
    caption = html.escape(f"{what}{f' ({how})' if how else ''}.")
    note = f"<p class='mtl-caption'>{DAGGER} {TOO_NARROW}</p>" if DAGGER in table else ""
    return f"<p class='mtl-caption'>{caption}</p>{table}{note}"


def _number(value: float, unit: str, *, signed: bool = False) -> str:
    """As the table writes it, with a true minus."""
    scale, digits = SCALES.get(unit, (1, 1))
    return f"{value / scale:{'+' if signed else ''}.{digits}f}".replace("-", "\u2212")
