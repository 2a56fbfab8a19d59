"""Columns of known values."""

from pathlib import Path

import pytest

from mtlkit import papers
from mtlkit.ledger import Record
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.report.pages import compared
from mtlkit.results import Results

TABLE = papers.table("nddr", "4")


@pytest.fixture(scope="session")
def published():
    return compared(Results(Path(__file__).parents[2] / "results"))


@pytest.fixture
def filled(tmp_path):
    """A column of three seeds whose measured cells are known, as records in a ledger."""
    column = TABLE.column(NDDROptions(backbone="resnet18", seeds=[0, 1, 2], image_size=(32, 40)))
    book = Results(tmp_path).ledger("smoke")
    book.write(Record(kind="table", identity=column.identity, settings=column.model_dump(mode="json")))
    for seed in column.seeds:
        rows = [row for row in TABLE.rows(column, seed) if row.printed or row.id in ("constant", "single_longer")]
        for place, row in enumerate(rows):
            if row.id == "sluice":
                continue  # not run yet, as tilted and the controls
            for evaluation in row.evaluations:
                metrics = dict.fromkeys(TABLE.measures.values(), 10 * place + seed)
                tasks = getattr(evaluation, "subject", None)
                if tasks is not None:
                    names = [task.name for task in tasks.network.tasks]
                    metrics = {k: v for k, v in metrics.items() if k.split("/")[0] in names}
                book.write(Record(kind="evaluation", identity=evaluation.identity, settings={}, metrics=metrics))
    return column, book, tmp_path
