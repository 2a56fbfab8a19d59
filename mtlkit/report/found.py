"""What a stored column found: its cells with print and gains, and sentences that stand beside these numbers alone."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from mtlkit.errors import InputError, unknown
from mtlkit.report.claims import order
from mtlkit.report.intervals import Gain, dagger_note, gain_text, gains
from mtlkit.report.side_by_side import Measured, SideBySide, parts
from mtlkit.report.table import MISSING, Place, ReportTable, Text

MEASURES = 5
"""That fit beside each other in the width of a page."""

_PLACE = re.compile(r"{(mean|print|gain) (\w+)(?: over (\w+))? ([^{} ]+)}")


def headline(columns: Sequence[SideBySide]) -> SideBySide | None:
    """The column that is shown first: at profile ``paper``, then of real images, then of drawn worlds, the newest."""
    return min(reversed(columns), key=lambda one: order({one.table.id: one}), default=None)


def digest(column: SideBySide) -> str:
    """Eight characters of a column's settings and of its values with their intervals.

    Sentences about a column name it, so that they never stand beside other numbers.
    """
    cells = sorted(
        (row, measure, seed, *(f"{number:.4g}" for number in (value, *cell.interval(seed))))
        for (row, measure), cell in column.cells.items()
        for seed, value in cell.by_seed.items()
    )
    text = json.dumps([column.column.identity, cells, sorted(column.diverged)])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def filled(column: SideBySide, text: str) -> str:
    """``text`` with the numbers that its places name.

    A place is ``{mean ROW MEASURE}``, ``{print ROW MEASURE}``, or with its 95 % interval ``{gain ROW MEASURE}`` over
    the row's own control or ``{gain ROW over OTHER MEASURE}``.

    Raises:
        InputError: a place names what the column does not have.
    """
    measures = {one.measure: one for one in column.measures}
    rows = [row.id for row in column.rows]

    def value(found: re.Match[str]) -> str:
        what, row, over, name = found.groups()
        for one in filter(None, (row, over)):
            if one not in rows:
                raise unknown("row", one, rows)
        if name not in measures:
            raise unknown("measure", name, list(measures))
        measure = measures[name]
        if what == "gain":
            one = gain_text(gains(column, over).get(row, {}).get(name), measure.unit)
            shown = one.text if one.note in ("", MISSING) else f"{one.text} ({one.note})"
        elif what == "mean":
            shown = column.cell(row, name).shown(measure.unit).text
        else:
            shown = column.printed_cell(row, measure.column)[0] if measure.column else MISSING
        if shown == MISSING:
            raise InputError(f"Table {column.table.id} has no {what} of {name} in row {row}.")
        return shown

    return _PLACE.sub(value, text)


def measured_rows(column: SideBySide) -> list[str]:
    """Ids of the rows that have a value."""
    return [row.id for row in column.rows if any(_has(column, row.id, one) for one in column.measures)]


def tables(column: SideBySide, measures: Sequence[Measured], against: str | None = None, *, of: str = "") -> list[str]:
    """Measured cells with print and gain under each, as HTML tables that fit a page.

    Args:
        column: whose cells.
        measures: those to show; one that no row has is left out.
        against: id of the row that each leads; by default each gains over its own control.
        of: what tells the tables from others of the page for those who hear their names.
    """
    there, gained = measured_rows(column), gains(column, against)
    shown = [one for one in measures if any(_has(column, row, one) for row in there)]
    what = "lead" if against else "gain"
    return [_cells(of, column, part, gained, what).html() for part in parts(shown, MEASURES)]


def grouped(measures: Sequence[Measured], *, short: bool = False) -> str:
    """The groups of some measures, each once; ``short``: what stands in front of a comma."""
    groups = (one.group.split(", ")[0] if short else one.group for one in measures)
    return ", ".join(dict.fromkeys(groups))


def _has(column: SideBySide, row: str, measure: Measured) -> bool:
    cell = column.cell(row, measure.measure)
    return bool(cell.values or cell.lost)


def _cells(
    of: str, column: SideBySide, measures: Sequence[Measured], gained: Mapping[str, Mapping[str, Gain]], what: str
) -> ReportTable:
    """Rows of cells that have, one under the other, what was measured, what is printed and the gain or lead."""
    labels = {row.id: row.label for row in column.rows}
    lines = []
    for row in column.rows:
        if not any(_has(column, row.id, one) for one in measures):
            continue
        own = gained.get(row.id, {})
        over = dict.fromkeys(labels[own[one.measure].over] for one in measures if one.measure in own)
        notes = [Text("", f"{what} over {label}") for label in over]
        places: list[Place] = [(Text(row.label, kind="" if row.printed else "ours", title=row.what), *notes)]
        for one in measures:
            texts = [column.cell(row.id, one.measure).shown(one.unit)]
            text, bold = column.printed_cell(row.id, one.column) if one.column else (MISSING, False)
            if text != MISSING:
                texts.append(Text(f"paper {text}", bold=bold, kind="printed"))
            if one.measure in own:
                found = gain_text(own[one.measure], one.unit)
                texts.append(Text(found.text, found.note if found.note != MISSING else "", found.bold, "gain"))
            places.append(tuple(texts))
        lines.append(tuple(places))
    name, title = (f"Table {column.table.id}, {grouped(measures, short=short)}" for short in (False, True))
    region, columns = f"{name}, {of}" if of else name, tuple(one.head for one in measures)
    return ReportTable(region, "row", columns, tuple(lines), title, dagger_note(lines), kind="results", stacks=True)
