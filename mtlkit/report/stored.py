"""The columns that a reader's and the published results hold."""

import warnings

from pydantic import ValidationError

from mtlkit.errors import ExtraMissing, InputError
from mtlkit.papers.declaration import PROFILES, Table
from mtlkit.report.side_by_side import SideBySide
from mtlkit.results import Results


def stored(table: Table, results: Results, *, part: str = "all") -> list[SideBySide]:
    """Every column of the table that the results hold, smoke first.

    Columns on a development part are of training images only and never stand among the others; they are asked for
    by ``part``.

    A column that another version of mtlkit wrote and this one cannot read is left out with a warning.
    """
    found = []
    for profile in PROFILES:
        book = results.ledger(profile)
        for record in book.all("table"):
            if (record.settings.get("paper"), record.settings.get("table")) != (table.paper, table.id):
                continue
            try:
                column = table.columns.model_validate(record.settings)
            except ExtraMissing as missing:
                warnings.warn(f"{book.path('table', record.identity)} is left out. {missing}", stacklevel=2)
                continue
            except (ValidationError, InputError):
                path = book.path("table", record.identity)
                warnings.warn(f"{path} is a column of another version of mtlkit; it is left out.", stacklevel=2)
                continue
            if column.data.part == part:
                found.append(SideBySide.of(table, column, book))
    return [comparison for comparison in found if comparison.cells]
