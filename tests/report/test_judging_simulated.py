"""How often claims are decided, by simulation: a slow sweep, whose table the book shows."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table():
    return runpy.run_path(str(ROOT / "benchmarks" / "power_of_verdicts.py"))["power_table"]()


def test_without_a_difference_at_most_6_per_cent_of_claims_are_decided(table):
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert {(seeds, comparisons.split(",")[0]) for _, seeds, comparisons, *_ in cells} == {
        (seeds, count) for seeds in "35" for count in ("1", "12")
    }
    assert max(float(decided.removesuffix("%")) for _, _, _, decided, *_ in cells) <= 6


def test_the_book_shows_this_table(table):
    assert table in (ROOT / "book" / "judging.md").read_text()
