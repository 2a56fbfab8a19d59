"""Every printed number is there; the counts were taken from the papers."""

from pathlib import Path

import pytest

import mtlkit.papers
from mtlkit.errors import InputError
from mtlkit.papers import SLUGS, options_of, printed

COUNTS = {  # paper -> table -> (rows, cells that hold a number)
    "cross_stitch": {"1": (4, 32), "2": (4, 32), "3": (2, 16), "5": (5, 40), "6": (6, 12)},
    "nddr": {
        "1": (6, 42), "2": (4, 28), "3": (3, 21), "4": (5, 35), "5": (5, 35),
        "6": (5, 35), "7": (5, 15), "A1": (3, 21), "A2": (7, 49),
    },
    "multi_exit": {"1": (12, 18), "2": (7, 11), "3": (8, 12), "4": (8, 30)},
    "mcn": {"1": (3, 4), "2": (5, 9), "3": (3, 8), "4": (7, 21), "F7": (2, 4), "X1": (1, 3)},
    "calorie": {"1": (6, 27), "2": (3, 9), "3": (9, 36), "4": (6, 24), "5": (3, 15)},
}  # fmt: skip


PAPERS = Path(mtlkit.papers.__file__).parent


@pytest.mark.parametrize("slug", SLUGS)
def test_counts(slug):
    found = {number: (len(table.rows), table.cells) for number, table in printed(slug).tables.items()}
    assert found == COUNTS[slug]


@pytest.mark.parametrize("slug", SLUGS)
def test_tables_are_consistent(slug):
    for table in printed(slug).tables.values():
        columns = {column.id for column in table.columns}
        assert len({row.id for row in table.rows}) == len(table.rows)
        for row in table.rows:
            assert set(row.cells) <= columns
            assert set(row.bold) <= columns
            assert set(row.spread) | set(row.delta) <= columns


@pytest.mark.parametrize("slug", SLUGS)
def test_claims_and_recomputed_numbers_point_at_printed_cells(slug):
    paper = printed(slug)
    comparisons = [c for claim in paper.claims for c in claim["compare"]]
    comparisons += [c for number in paper.text_numbers for c in number.get("recompute", [])]
    assert comparisons or slug != "nddr"
    for comparison in comparisons:
        for side in ("a", "b"):
            if side in comparison:
                table, row, column = comparison[side]
                assert column in paper.tables[table].row(row).cells


def test_digits_are_kept_as_printed():
    ours = printed("nddr").tables["4"].row("nddr")
    assert ours.cells["normals_mean"] == "13.9"
    assert printed("multi_exit").tables["1"].rows[0].cells["imagenet_acc"].count(".") == 1
    assert len(printed("nddr").claims) == 25


def test_an_unknown_paper_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'nddr'"):
        printed("ndr")


@pytest.mark.parametrize("slug", SLUGS)
def test_every_line_of_a_printed_protocol_stands_on_a_card(slug):
    """A line that no declared table asks for would be lost: the card would say ``unstated``."""
    sources = (
        "".join(path.read_text() for path in (PAPERS / slug).glob("*.py")) + (PAPERS / "declaration.py").read_text()
    )
    for protocol in printed(slug).protocols:
        assert set(protocol.tables) <= set(options_of(slug).tables)
        assert [what for what in protocol.lines if f'"{what}"' not in sources] == []
