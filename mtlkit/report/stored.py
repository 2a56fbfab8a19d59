"""The columns that a results folder holds."""

import os
import warnings
from pathlib import Path

from pydantic import ValidationError

import mtlkit
from mtlkit.ledger import Ledger
from mtlkit.papers.declaration import PROFILES, Table
from mtlkit.report.side_by_side import SideBySide


def results_folder(given: Path | None = None) -> Path:
    """Where records lie: as given, else ``MTLKIT_RESULTS``, else ``results`` of the checkout mtlkit runs from, else
    ``results`` in the current folder."""
    if given is not None:
        return Path(os.path.expanduser(given))
    if named := os.environ.get("MTLKIT_RESULTS"):
        return Path(named)
    checkout = Path(mtlkit.__file__).parents[1]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / "results"


def ledger(profile: str, results: Path | None = None) -> Ledger:
    """The ledger of a profile; each has a folder of its own, since smoke records are never committed."""
    return Ledger(results_folder(results) / profile)


def stored(table: Table, results: Path | None = None, *, part: str = "all") -> list[SideBySide]:
    """Every column of the table that the results folder knows, smoke first.

    Columns on a development part are of training pictures only and never stand among the others; they are asked for
    by ``part``.

    A column that another version of mtlkit wrote and this one cannot read is left out with a warning.
    """
    found = []
    for profile in PROFILES:
        book = ledger(profile, results)
        for record in book.all("table"):
            if (record.settings.get("paper"), record.settings.get("table")) != (table.paper, table.id):
                continue
            try:
                column = table.columns.model_validate(record.settings)
            except ValidationError:
                path = book.path("table", record.identity)
                warnings.warn(f"{path} is a column of another version of mtlkit; it is left out.", stacklevel=2)
                continue
            if column.data.part == part:
                found.append(SideBySide.of(table, column, book))
    return [comparison for comparison in found if comparison.cells]
