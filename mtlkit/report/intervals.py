"""How sure measured cells are, and differences between rows: by the bootstrap over test pictures.

Every record of a test split holds its measures on the same draws of its pictures (:mod:`mtlkit.metrics.bootstrap`), so that two
rows can be compared draw by draw. A cell is the mean over seeds, on every draw as in the table: the intervals say what
other pictures would change, the spread over seeds beside them what other seeds would.
"""

import html
from dataclasses import dataclass
from typing import Literal

from mtlkit.metrics.bootstrap import interval
from mtlkit.report.side_by_side import MISSING, SCALES, Cell, SideBySide


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
        low: end of the 95 % interval of that mean over draws of the test pictures.
        high: its other end.
        seeds: the gain of every seed.
    """

    mean: float
    low: float
    high: float
    seeds: tuple[float, ...]

    @property
    def clear(self) -> bool:
        """Whether every seed and the interval say the same."""
        ends = (self.low, self.high, *self.seeds)
        return all(end > 0 for end in ends) or all(end < 0 for end in ends)


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


def gain(better: Cell, worse: Cell, sign: int) -> Gain | None:
    """How much the first cell gains over the second; ``None`` where one of them was not measured on draws."""
    if better.draws is None or worse.draws is None or len(better.values) != len(worse.values):
        return None
    low, high = interval(sign * (better.draws - worse.draws))
    seeds = tuple(sign * (a - b) for a, b in zip(better.values, worse.values, strict=True))
    return Gain(sign * (better.mean - worse.mean), low, high, seeds)


def gains(comparison: SideBySide, against: str) -> dict[str, dict[str, Gain]]:
    """Row -> measure -> its gain over the row ``against``, where both were measured."""
    found: dict[str, dict[str, Gain]] = {}
    for row in comparison.rows:
        for column in measured(comparison):
            one = gain(comparison.cell(row.id, column.measure), comparison.cell(against, column.measure), column.sign)
            if row.id != against and one is not None:
                found.setdefault(row.id, {})[column.measure] = one
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
            if cell.draws is not None:
                some = True
                low, high = (_number(end, column.unit) for end in interval(cell.draws))
                text = f"{_number(cell.mean, column.unit)} <span class='spread'>{low} to {high}</span>"
            cells += f"<td>{text}</td>"
        body += f"<tr><th scope='row'>{html.escape(row.label)}</th>{cells}</tr>" if some else ""
    return table_html("Intervals", "", columns, body)


def gains_html(comparison: SideBySide, against: str) -> str:
    """What every row gains over the row ``against``, with the interval of the difference, as an HTML table.

    A gain is in bold where every seed and the interval have the same sign. Empty where nothing can be compared.
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
            mean, low, high = (_number(value, column.unit, signed=True) for value in (one.mean, one.low, one.high))
            mean = f"<b>{mean}</b>" if one.clear else mean
            cells += f"<td>{mean} <span class='spread'>{low} to {high}</span></td>"
        body += f"<tr><th scope='row'>{html.escape(labels[row])}</th>{cells}</tr>"
    return table_html("Gains", f"gain over <i>{html.escape(labels.get(against, against))}</i>", columns, body)


def _number(value: float, unit: str, *, signed: bool = False) -> str:
    """As the table writes it, with a true minus."""
    scale, digits = SCALES.get(unit, (1, 1))
    return f"{value / scale:{'+' if signed else ''}.{digits}f}".replace("-", "\u2212")
