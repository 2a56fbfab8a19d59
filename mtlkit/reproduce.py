"""From a table and a reader's options to the comparison: what notebooks and the command line both call."""

from collections.abc import Sequence

from mtlkit.engine import Engine
from mtlkit.errors import InputError
from mtlkit.evaluations import Cost
from mtlkit.ledger import Ledger, Record
from mtlkit.papers.declaration import Column, Table, chosen
from mtlkit.papers.options import Options
from mtlkit.report.side_by_side import SideBySide
from mtlkit.report.stored import stored
from mtlkit.results import Results
from mtlkit.runtime import Runtime

__all__ = ["Results", "costs", "reproduce", "stored"]


def reproduce(
    table: Table,
    options: Options,
    *,
    runtime: Runtime | None = None,
    results: Results | None = None,
    methods: Sequence[str] | None = None,
) -> SideBySide:
    """Runs what the table still lacks and sets print and measurement side by side.

    Args:
        table: a declared table.
        options: what the reader decided.
        runtime: device and the like; the options' device by default.
        results: where records lie; by default as :meth:`mtlkit.results.Results.of` finds them.
        methods: ids of the rows to run; all by default.

    Raises:
        InputError: for anything a reader can put right, in one sentence.
    """
    runtime = runtime or Runtime(device=options.device)
    runtime.fabric(options.precision)  # a device that is not there should stop before anything is drawn or written
    column = table.column(options)
    rows = [row for seed in column.seeds for row in chosen(table, column, methods, seed)]
    book = opened(column, results)
    Engine(book, runtime).run(evaluation for row in rows for evaluation in row.evaluations)
    return SideBySide.of(table, column, book, methods)


def costs(table: Table, results: Results | None = None) -> SideBySide:
    """What the table's printed networks hold and compute: the evaluations that need neither data nor training.

    Raises:
        InputError: when the table declares none.
    """
    column = table.meta_column()
    counted = {row.id: value for row in chosen(table, column) for value in row.evaluations if isinstance(value, Cost)}
    if not counted or not table.counts:
        raise InputError(f"Table {table.id} of {table.paper} prints no parameters and no operations.")
    book = opened(column, results)
    Engine(book).run(counted.values())
    return SideBySide.of(table, column, book, list(counted))


def opened(column: Column, results: Results | None) -> Ledger:
    """The column's ledger, with a record of the column in it."""
    book = (results or Results.of()).ledger(column.profile)
    if book.find("table", column.identity) is None:
        with book.hold(column.identity, f"table {column.table} of {column.paper}"):
            if book.find("table", column.identity) is None:  # still
                settings = column.model_dump(mode="json", by_alias=True)
                book.write(Record(kind="table", identity=column.identity, settings=settings))
    return book
