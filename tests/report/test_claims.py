import re
from types import SimpleNamespace

import numpy as np
import pytest

from mtlkit import papers
from mtlkit.papers.printed import SLUGS, printed
from mtlkit.report.claims import claims_html, on_print, on_runs
from mtlkit.report.side_by_side import Cell

PAPER = printed("nddr")
CLAIMS = {claim["id"]: claim for claim in PAPER.claims}


@pytest.mark.parametrize(
    ("slug", "claim"), [pytest.param(s, c, id=f"{s}-{c['id']}") for s in SLUGS for c in printed(s).claims]
)
def test_the_verdict_on_the_print_is_the_transcribers(slug, claim):
    assert (on_print(printed(slug), claim) == "holds") == claim["printed_verdict"]


def test_eight_of_the_25_claims_fail_on_the_print_itself():
    assert [on_print(PAPER, claim) for claim in PAPER.claims].count("fails") == 8


def column(profile, **rows):
    """A measured column with the same value in every measure of a row, a list of seeds each."""
    table = papers.table("nddr", "4")
    higher = {table.measures[c.id]: c.better == "higher" for c in table.printed.columns}

    def cell(row, measure):
        return Cell(tuple(v if higher[measure] else 100 - v for v in rows.get(row, ())))

    return SimpleNamespace(table=table, column=SimpleNamespace(profile=profile), cell=cell)


LOW = {row: [30, 31, 32] for row in ("single", "multi", "cross_stitch", "sluice")}


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        ([], "undecided"),
        ([column("lite", **LOW, nddr=[40, 41, 42])], "holds"),
        ([column("lite", **LOW, nddr=[20, 21, 22])], "fails"),
        ([column("lite", **LOW, nddr=[31, 30, 33])], "undecided"),  # a seed says otherwise
        ([column("lite", **LOW, nddr=[40, 41])], "undecided"),  # too few seeds
        ([column("smoke", **LOW, nddr=[40, 41, 42])], "undecided"),  # smoke is never judged
    ],
)
def test_our_runs_are_judged_seed_by_seed(measured, verdict):
    assert on_runs(PAPER, CLAIMS["beats_all_vgg16"], measured) == verdict


def test_the_page_lists_the_claims_of_its_tables_only():
    page = claims_html("nddr", ["4"])
    assert page.count("<tr><th scope='row'>") == 2
    assert "holds" in page
    assert "undecided" in page


def test_the_evidence_names_every_compared_cell_with_its_print_and_our_mean():
    claim = CLAIMS["beats_all_vgg16"]
    page = claims_html("nddr", ["4"], [column("lite", nddr=[60.0, 62.0, 64.0], single=[50.0, 50.0, 50.0])])
    lines = re.findall(r"<li>(.*?)</li>", page)
    assert len(lines) == sum(len(c["compare"]) for c in PAPER.claims if _tables(c) == {"4"})
    one = next(c for c in claim["compare"] if c["b"][1] == "single" and c["a"][2] == "seg_miou")
    texts = [PAPER.tables["4"].row(one[side][1]).cells["seg_miou"] for side in "ab"]
    label = PAPER.tables["4"].row("single").label
    (line,) = [line for line in lines if f"{label}, mIoU" in line]
    assert all(f": {text}" in line for text in texts)
    assert line.endswith("ours 62.0 ±2.0 and 50.0 ±0.0")


def _tables(claim):
    return {cell[0] for comparison in claim["compare"] for cell in (comparison["a"], comparison["b"])}


def test_every_claim_is_decided_where_every_table_is_measured():
    """On columns that repeat the print for three seeds the verdicts are the print's."""
    measured = []
    for table in papers.DECLARED["nddr"]:
        ids = {measure: column for column, measure in table.measures.items()}

        def cell(row, measure, table=table, ids=ids):
            return Cell((float(table.printed.row(row).cells[ids[measure]]),) * 3)

        measured.append(SimpleNamespace(table=table, column=SimpleNamespace(profile="paper"), cell=cell))
    found = {claim["id"]: on_runs(PAPER, claim, measured) for claim in PAPER.claims}
    assert "undecided" not in found.values()
    # A margin that is met exactly in decimals, as the print is judged, may be missed in binary fractions.
    margins = {c["id"] for c in PAPER.claims if any({"by", "by_from"} & one.keys() for one in c["compare"])}
    assert {name for name, verdict in found.items() if verdict != on_print(PAPER, CLAIMS[name])} <= margins


@pytest.mark.parametrize(("noise", "verdict"), [(1.0, "holds"), (30.0, "undecided")])
def test_where_records_hold_draws_they_must_agree_too(noise, verdict):
    rng = np.random.default_rng(0)
    measured = column("lite", **LOW, nddr=[40, 41, 42])
    plain = measured.cell

    def cell(row, measure):
        values = plain(row, measure).values
        return Cell(values, tuple(tuple(value + noise * rng.normal(size=200)) for value in values))

    measured.cell = cell
    assert on_runs(PAPER, CLAIMS["beats_all_vgg16"], [measured]) == verdict
