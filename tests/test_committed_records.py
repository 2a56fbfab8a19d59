"""Every committed record is found by the values that today's code makes of the stored columns, and prints as it did.

An identity that moved would leave a record behind that nothing reaches: its numbers would vanish from the book. What
is pinned here changes only with a revision. After records were added: ``python tests/test_committed_records.py``.
"""

from pathlib import Path

import pytest

from mtlkit.campaign import Campaign, goal
from mtlkit.evaluations import Tilted
from mtlkit.graph import ordered
from mtlkit.ledger import Ledger
from mtlkit.papers import DECLARED
from mtlkit.reproduce import Results, stored

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
PINNED = ROOT / "tests" / "pinned"
"""``records.txt``, a committed record a line, and the text of every stored column under the column's identity."""


def columns():
    """Every stored column, those on development parts included."""
    for table in [table for several in DECLARED.values() for table in several]:
        for part in ("all", "development"):
            yield from (one for one in stored(table, Results(RESULTS), part=part) if one.column.profile != "smoke")


def records():
    """``profile/kind/identity`` of every record."""
    paths = (path for profile in ("lite", "paper") for path in (RESULTS / profile).glob("[!.]*/*.json"))
    return {path.relative_to(RESULTS).with_suffix("").as_posix() for path in paths}


def reached(comparison):
    """The same of every record that a column's rows name."""
    column = comparison.column
    rows = [row for seed in column.seeds for row in comparison.table.rows(column, seed)]
    nodes = ordered(value for row in rows for value in row.evaluations)
    found = {f"{column.profile}/{node.kind}/{identity}" for identity, node in nodes.items()}
    return found | {f"{column.profile}/table/{column.identity}"}


@pytest.fixture(scope="module")
def stored_columns():
    return list(columns())


def test_the_truth_tilted_by_an_angle_lies_within_it(stored_columns):
    seen = 0
    for comparison in stored_columns:
        for row in comparison.rows:
            for value in row.evaluations:
                if isinstance(value, Tilted) and (cell := comparison.cell(row.id, "normals/decoded/30")).values:
                    seen += 1
                    assert (value.degrees, cell.mean) == (30, 100), comparison.column.identity
    assert seen


def test_every_record_is_reached(stored_columns, request):
    """By a stored column, or by one that the campaign has begun and that is stored when all of it is there."""
    left = records() - set().union(*map(reached, stored_columns))
    if left:
        request.getfixturevalue("shared")  # whose data the campaign's identities hang on
    for wanted in Campaign.read(RESULTS / "lite.toml").wanted if left else ():
        left -= {f"lite/{node.kind}/{identity}" for identity, node in ordered(goal(wanted).nodes).items()}
        if not left:
            break
    assert left == set()


def test_every_stored_column_is_declared_and_whole(stored_columns):
    """By the campaign's settings, which need no data. One was published that was only begun, under settings that had
    changed since; on a development part a column may be begun."""
    wanted, ledger, found = Campaign.read(RESULTS / "lite.toml").wanted, Ledger(RESULTS / "lite"), {}
    for column in [one.column for one in stored_columns if one.column.profile == "lite"]:
        declared = [one for one in wanted if one.gives(column)]
        nodes = {node.identity: node for one in declared for node in goal(one, column=column).nodes}
        missing = [node.title for node in nodes.values() if ledger.find(node.kind, node.identity) is None]
        if not declared or (missing and column.data.part == "all"):
            found[column.identity] = missing
    assert found == {}


def test_every_record_is_read_from_where_it_lies():
    read = {
        f"{profile}/{kind}/{record.identity}"
        for profile in ("lite", "paper")
        for kind in ("training", "evaluation", "table")
        for record in Ledger(RESULTS / profile).all(kind)
    }
    assert read == records()


def test_no_pinned_record_has_moved():
    assert set((PINNED / "records.txt").read_text().split()) <= records()


def test_every_pinned_column_prints_the_same_text(stored_columns):
    shown = {one.column.identity: one.text() + "\n" for one in stored_columns}
    pinned = {path.stem: path.read_text() for path in PINNED.glob("*.txt") if path.stem != "records"}
    assert len(pinned) >= 20
    assert {identity: shown.get(identity) for identity in pinned} == pinned


if __name__ == "__main__":
    PINNED.mkdir(exist_ok=True)
    (PINNED / "records.txt").write_text("\n".join(sorted(records())) + "\n")
    for comparison in columns():
        (PINNED / f"{comparison.column.identity}.txt").write_text(comparison.text() + "\n")
