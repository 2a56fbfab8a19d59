"""How a column's settings were chosen: single-task networks on a development part of the training images."""

import statistics
from collections.abc import Sequence

from mtlkit.papers.declaration import TrainedColumn
from mtlkit.report.found import measured_rows
from mtlkit.report.side_by_side import PAIRS, SideBySide, parts
from mtlkit.report.table import ReportTable, Text
from mtlkit.runs import outermost, trainings


def tried(column: TrainedColumn, developed: Sequence[SideBySide]) -> list[tuple[TrainedColumn, SideBySide]]:
    """Of columns on development parts those that tried settings for this one: same data, size, backbone and start."""

    def sought(one: TrainedColumn) -> tuple[object, ...]:
        return one.data.fingerprint, one.data.size, one.network, one.weights.identity

    found = [(one.column, one) for one in developed if isinstance(one.column, TrainedColumn)]
    alike = [pair for pair in found if sought(pair[0]) == sought(column)]
    return sorted(alike, key=lambda pair: (pair[0].epochs, pair[0].recipe.lr))


def relative(settings: Sequence[SideBySide], rows: Sequence[str]) -> list[float | None]:
    """How good each setting is beside the others: the mean over all measures of some rows of a ratio.

    A measure's ratio is its value by its mean over the settings, turned round where less is better, so that 1 is the
    mean and more is better. A measure counts where every setting has it and its mean is above 0; where less is better,
    all its values.

    Args:
        settings: the same rows, measured with each setting.
        rows: ids of the rows.

    Returns:
        A number a setting; ``None`` where no measure counts, and of a setting with which a training of these rows
        diverged, which the others are ranked without.
    """
    measures = [(row, measure) for row in rows for measure in settings[0].measures]
    diverged = [any(one.cell(row, m.measure).diverged for row, m in measures) for one in settings]
    whole = [one for one, without in zip(settings, diverged, strict=True) if not without]
    ratios: list[list[float]] = []
    for row, measure in measures:
        cells = [one.cell(row, measure.measure) for one in whole]
        if not cells or not all(cell.values for cell in cells):
            continue
        values = [cell.mean for cell in cells]
        mean = statistics.fmean(values)
        if (mean if measure.sign > 0 else min(values)) > 0:
            ratios.append([(value / mean) ** measure.sign for value in values])
    means = iter([statistics.fmean(of) for of in zip(*ratios, strict=True)])
    return [None if without else next(means, None) for without in diverged]


def _steps(comparison: SideBySide, row: str) -> str:
    """The steps of a row's own trainings: the networks of a row may learn from sets of different sizes."""
    evaluations = next((one.evaluations for one in comparison.rows if one.id == row), ())
    counts = sorted({training.recipe.steps for training in outermost(evaluations)})
    return " and ".join(f"{count:,}" for count in counts) + " steps"


def selection_html(comparison: SideBySide, developed: Sequence[SideBySide], row: str) -> str:
    """What single-task networks scored on the development part, a line a setting, as HTML; empty if nothing was tried.

    Args:
        comparison: the column whose settings were chosen.
        developed: columns on development parts.
        row: id of the row of single-task networks.
    """
    taken = comparison.column
    if not isinstance(taken, TrainedColumn):
        return ""
    found = tried(taken, developed)
    columns = [c for c in comparison.measures if any(one.cell(row, c.measure).values for _, one in found)]
    label, tables = next((one.label for one in comparison.rows if one.id == row), row), []
    for part in parts(columns, 2 * PAIRS):
        lines = []
        for column, one in found:
            name = f"rate {column.recipe.lr:g}, {column.epochs:g} epochs"
            best = (column.epochs, column.recipe.lr) == (taken.epochs, taken.recipe.lr)
            cells = (one.cell(row, c.measure).shown(c.unit) for c in part)
            lines.append((Text(name, _steps(one, row), bold=best), *cells))
        of = f"Settings tried, {', '.join(dict.fromkeys(c.group for c in part))}"
        tables.append(ReportTable(of, label, tuple(c.head for c in part), tuple(lines), stacks=True))
    return "".join(table.html() for table in tables)


def selections_html(comparison: SideBySide, developed: Sequence[SideBySide]) -> str:
    """The same for every trained row that was measured on the development part, one table under the other."""
    there = [
        row.id for one in developed for row in one.rows if trainings(row.evaluations) and row.id in measured_rows(one)
    ]
    return "".join(selection_html(comparison, developed, row) for row in dict.fromkeys(there))
