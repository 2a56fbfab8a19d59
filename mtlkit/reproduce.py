"""From a table and a reader's options to the comparison: what notebooks and the command line both call."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

import mtlkit
from mtlkit.engine import Engine, Where
from mtlkit.errors import InputError
from mtlkit.ledger import Ledger, Record
from mtlkit.papers.declaration import Column, Table, chosen
from mtlkit.papers.options import PROFILES, Options
from mtlkit.report.side_by_side import SideBySide
from mtlkit.runs import Cost


def results_folder(given: Path | None = None) -> Path:
    """Where records lie: as given, else ``MTLKIT_RESULTS``, else ``results`` of the checkout mtlkit runs from, else
    ``results`` in the current folder."""
    if given is not None:
        return given.expanduser()
    if named := os.environ.get("MTLKIT_RESULTS"):
        return Path(named)
    checkout = Path(mtlkit.__file__).parents[1]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / "results"


def ledger(profile: str, results: Path | None = None) -> Ledger:
    """The ledger of a profile; each has a folder of its own, since smoke records are never committed."""
    return Ledger(results_folder(results) / profile)


def reproduce(
    table: Table,
    options: Options,
    *,
    where: Where | None = None,
    results: Path | None = None,
    methods: Sequence[str] | None = None,
) -> SideBySide:
    """Runs what the table still lacks and sets print and measurement side by side.

    Args:
        table: a declared table.
        options: what the reader decided.
        where: device and the like; the options' device by default.
        results: the results folder.
        methods: ids of the rows to run; all by default.

    Raises:
        InputError: for anything a reader can put right, in one sentence.
    """
    where = where or Where(device=options.device)
    check_device(where, options)
    column = table.column(options)
    rows = [row for seed in column.seeds for row in chosen(table, column, methods, seed)]
    book = _opened(column, results)
    Engine(book, where).run(evaluation for row in rows for evaluation in row.evaluations)
    return SideBySide.of(table, column, book, methods)


def check_device(where: Where, options: Options) -> None:
    """Checks that the device is there and trains at the precision, before anything is drawn or written.

    Raises:
        InputError: it is not, or does not.
    """
    # Fabric would train with bfloat16 in its place, and the record would say what did not happen.
    if where.fabric().device.type == "cpu" and options.precision == "16-mixed":
        raise InputError("The precision 16-mixed needs a GPU; the CPU trains at 32-true or bf16-mixed.")


def costs(table: Table, results: Path | None = None) -> SideBySide:
    """What the table's printed networks hold and compute: the evaluations that need neither data nor training.

    Raises:
        InputError: when the table declares none.
    """
    column = table.meta_column()
    counted = {row.id: value for row in chosen(table, column) for value in row.evaluations if isinstance(value, Cost)}
    if not counted:
        raise InputError(f"Table {table.id} of {table.paper} prints no parameters and no operations.")
    book = _opened(column, results)
    Engine(book).run(counted.values())
    return SideBySide.of(table, column, book, list(counted))


def _opened(column: Column, results: Path | None) -> Ledger:
    """The column's ledger, with a record of the column in it."""
    book = ledger(column.profile, results)
    if book.find("table", column.identity) is None:
        book.write(
            Record(kind="table", identity=column.identity, settings=column.model_dump(mode="json", by_alias=True))
        )
    return book


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
