"""Every committed record is found by the values that today's code makes of the stored columns.

An identity that moved would leave a record behind that nothing reaches: its numbers would vanish from the book.
"""

from pathlib import Path

import pytest

from mtlkit.ledger import Ledger
from mtlkit.papers import DECLARED
from mtlkit.reproduce import stored
from mtlkit.runs import trainings

RESULTS = Path(__file__).parents[1] / "results"


@pytest.fixture(scope="module")
def reached():
    """Profile and kind -> identities that the rows of all stored columns name."""
    found: dict[tuple[str, str], set[str]] = {}
    tables = [table for several in DECLARED.values() for table in several]
    for comparison in [
        one for table in tables for part in ("all", "development") for one in stored(table, RESULTS, part=part)
    ]:
        column = comparison.column
        rows = [row for seed in column.seeds for row in comparison.table.rows(column, seed)]
        values = [value for row in rows for value in row.evaluations]
        found.setdefault((column.profile, "evaluation"), set()).update(value.identity for value in values)
        found.setdefault((column.profile, "training"), set()).update(trainings(values))
        found.setdefault((column.profile, "table"), set()).add(column.identity)
    return found


@pytest.mark.parametrize("profile", ["lite", "paper"])
@pytest.mark.parametrize("kind", ["training", "evaluation", "table"])
def test_every_record_is_reached(reached, profile, kind):
    records = Ledger(RESULTS / profile).all(kind)
    assert {record.identity for record in records} <= reached.get((profile, kind), set())
    for record in records:
        assert Ledger(RESULTS / profile).path(kind, record.identity).stem == record.identity
