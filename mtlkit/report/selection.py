"""How a column's settings were chosen: single-task networks on a development part of the training pictures."""

import html
from collections.abc import Sequence

from mtlkit.papers.declaration import TrainedColumn
from mtlkit.report.intervals import measured, table_html
from mtlkit.report.side_by_side import SideBySide


def tried(column: TrainedColumn, developed: Sequence[SideBySide]) -> list[tuple[TrainedColumn, SideBySide]]:
    """Of columns on development parts those that tried settings for this one: same data, size, backbone and start."""

    def sought(one: TrainedColumn) -> tuple[object, ...]:
        return one.data.fingerprint, one.data.size, one.backbone, one.weights.sha256

    found = [(one.column, one) for one in developed if isinstance(one.column, TrainedColumn)]
    alike = [pair for pair in found if sought(pair[0]) == sought(column)]
    return sorted(alike, key=lambda pair: (pair[0].epochs, pair[0].recipe.lr))


def selection_html(comparison: SideBySide, developed: Sequence[SideBySide]) -> str:
    """What single-task networks scored on the development part, a line a setting, as HTML; empty if nothing was tried.

    Args:
        comparison: the column whose settings were chosen.
        developed: columns on development parts.
    """
    taken = comparison.column
    lines = tried(taken, developed) if isinstance(taken, TrainedColumn) else []
    columns = [
        column for column in measured(comparison) if any(one.cell("single", column.measure).values for _, one in lines)
    ]
    body = ""
    for column, one in lines:
        name = f"rate {column.recipe.lr:g}, {column.epochs:g} epochs ({column.recipe.steps:,} steps)"
        if isinstance(taken, TrainedColumn) and (column.epochs, column.recipe.lr) == (taken.epochs, taken.recipe.lr):
            name = f"<b>{name}</b>"
        cells = "".join(f"<td>{html.escape(one.cell('single', c.measure).text(c.unit))}</td>" for c in columns)
        body += f"<tr><th scope='row'>{name}</th>{cells}</tr>"
    return table_html("Settings tried", "single-task networks", columns, body)
