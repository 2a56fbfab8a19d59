"""Pages of the book that are written from records."""

import json
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from cells import cell

from mtlkit import papers
from mtlkit.campaign import Campaign, Wanted, goal
from mtlkit.ledger import Record
from mtlkit.pages import behind, status, write
from mtlkit.papers import SLUGS, printed
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.report.found import MEASURES
from mtlkit.report.intervals import gain
from mtlkit.report.judging import combined, deciding
from mtlkit.report.pages import claims_page, compared, findings, judged_claims, named, results_page
from mtlkit.report.side_by_side import Measured, SideBySide, parts
from mtlkit.results import Results

TABLE = papers.table("nddr", "7")
RESULTS = Path(__file__).parents[2] / "results"


def measured(cells, seeds=(0, 1, 2), **decided):
    """A column of Table 7 at lite with these cells."""
    column = TABLE.meta_column().model_copy(update={"profile": "lite", "seeds": seeds, **decided})
    held = {(row, TABLE.measures[name]): one for (row, name), one in cells.items()}
    return SideBySide(TABLE, column, tuple(TABLE.rows(column, 0)), held, 0.0)


def around(value):
    return {0: value - 0.1, 1: value, 2: value + 0.1}


@pytest.fixture(scope="module")
def ahead():
    """A column in which one row is far ahead of all others in every measure, and every cell is known."""
    ids = ("single", "multi", "cross_stitch", "sluice", "joint_recipe")
    columns = TABLE.printed.columns

    def value(row, column):
        better = 10.0 if row == "nddr" else 0.0
        return 50 + better if column.better == "higher" else 50 - better

    return measured(
        {
            (row, column.id): cell(around(value(row, column)), stream=place)
            for place, row in enumerate((*ids, "nddr"))
            for column in columns
        }
    )


@pytest.fixture(scope="module")
def claims(published):
    return judged_claims(published)


def none_but(column):
    return {slug: [column] if slug == "nddr" else [] for slug in SLUGS}


# --- results ---


def test_columns_that_agree_in_every_option_are_told_apart(ahead):
    """A recipe had changed between two versions: both columns had one name, and their tables one label."""
    recipe = ahead.column.recipe.model_copy(update={"weight_decay": 0.1})
    earlier = replace(ahead, column=ahead.column.model_copy(update={"recipe": recipe}))
    names = [name for name, _ in named([ahead, earlier])]
    assert names[0].endswith(ahead.column.identity)
    assert names[1].endswith(earlier.column.identity)


def test_a_column_has_its_cells_its_print_its_gains_and_its_claims(ahead):
    columns = none_but(ahead)
    page = unescape(results_page(columns, judged_claims(columns)))
    assert f"(column-{ahead.column.identity})=" in page
    assert f"3 seeds; record `lite/table/{ahead.column.identity}.json`." in page
    first = TABLE.printed.columns[0]
    own = 40.0 if first.better == "lower" else 60.0
    printed_ = TABLE.printed.row("nddr").cells[first.id]
    assert f"<div>{own:.1f} <span class='spread'>±0.1</span></div>" in page
    assert f"paper {printed_}" in page.replace("<b>", "").replace("</b>", "")
    assert "gain over Single task, joint recipe" in page
    assert "<b>+10.0</b> <span class='spread'>+" in page
    assert "claims.html#claim-nddr-age-beats-all'>" in page
    assert "NDDR, no exchange" in re.search(r"Rows not measured: ([^<]*?)\n", page)[1]


def test_every_stored_column_that_may_be_compared_stands_on_the_page_once(published, claims):
    page = results_page(published, claims)
    assert "lead over “Single task, trained longer”" in page
    records = [Record.model_validate_json(path.read_text()) for path in RESULTS.glob("*/table/*.json")]
    there = {one.column.identity for several in published.values() for one in several}
    for record in records:
        developed = '"part": "development"' in json.dumps(record.settings)
        assert page.count(f"(column-{record.identity})=") == (0 if developed else 1), record.identity
        assert developed == (record.identity not in there)
    assert len(records) > len(there) > 5


def test_a_column_says_by_how_much_methods_lead_the_single_task_networks(ahead):
    page = unescape(results_page(none_but(ahead), []))
    shown = [part.partition("</table>")[0] for part in page.split("<table")[1:]]
    table = next(part for part in shown if "lead over “Single task”" in part)
    lines = [re.sub(r"<[^>]*>", " ", line).split() for line in table.split("<tr>")[2:]]
    leads = {line[0]: [one for one in line if re.fullmatch(r"[+−]\d+\.\d|0\.0", one)] for line in lines}
    assert "Single task" not in {" ".join(line[:2]) for line in lines}
    first = [leads["NDDR"][place] for place in (0, 3, 6)]
    assert first == ["+10.0"] * 3
    assert all(float(leads["Multi-task"][place].replace("−", "-")) == pytest.approx(0, abs=0.05) for place in (0, 3, 6))


def test_the_single_task_row_of_a_table_is_one_of_its_rows():
    named = [table for slug in SLUGS for table in papers.DECLARED.get(slug, ()) if table.single_task]
    assert {table.paper for table in named} == {"nddr", "cross_stitch"}
    for table in named:
        rows = {row.id for row in table.rows(table.meta_column(), 0)}
        assert table.single_task in rows
        assert not table.trained_longer or table.trained_longer in rows


def test_no_number_of_a_column_at_smoke_is_compared(filled):
    _, _, folder = filled
    assert not any(compared(Results(folder, folder)).values())


@pytest.mark.parametrize(
    ("groups", "sizes"),
    [("aaabb", [5]), ("aaabbb", [3, 3]), ("aaaaaaaab", [5, 4]), ("a", [1]), ("", []), ("aabbccdd", [4, 4])],
)
def test_tables_are_cut_between_groups_where_they_can(groups, sizes):
    measures = [Measured(f"m{place}", group, "x", "%", "higher") for place, group in enumerate(groups)]
    cut = parts(measures, MEASURES)
    assert [one for part in cut for one in part] == measures
    assert [len(part) for part in cut] == sizes
    assert all(len(part) <= MEASURES for part in cut)


# --- claims ---


def test_every_claim_stands_on_the_page_once_and_the_counts_add_up(claims):
    page = claims_page(claims)
    wanted = [(slug, claim) for slug in SLUGS for claim in printed(slug).claims]
    assert len(claims) == len(wanted)
    for one in claims:
        assert page.count(f"id='{one.anchor}'") == 1
    table = page[: page.index("</table>")]
    lines = [re.findall(r"<(?:th|td)[^>]*>([^<]*)</", line) for line in table.split("<tr>")[2:]]
    counts = {name: list(map(int, numbers)) for name, *numbers in lines}
    for numbers in counts.values():
        assert numbers[0] == sum(numbers[1:])
    total = counts.pop("all")
    assert total == [sum(column) for column in zip(*counts.values(), strict=True)]
    assert total[0] == len(wanted)
    assert len(counts) == len(SLUGS)


def test_every_link_from_page_to_page_leads_somewhere(published, claims):
    results, judged = results_page(published, claims), claims_page(claims)
    for page, start in ((results, judged), (judged, results)):
        name = "results" if page is results else "claims"
        targets = set(re.findall(r"id='([\w-]+)'|^\(([\w-]+)\)=", page, re.MULTILINE))
        found = set(re.findall(rf"{name}\.html#([\w-]+)", start))
        assert found
        assert found <= {one for pair in targets for one in pair}


def test_a_claim_that_nothing_was_measured_of_says_so(ahead):
    one = next(one for one in judged_claims(none_but(ahead)) if one.claim["id"] == "beats_all_vgg16")
    assert (one.outcome, one.judged) == ("not measured yet", ())


def test_what_is_decided_is_found_with_its_difference_its_interval_and_its_column(ahead):
    text = findings([one for one in judged_claims(none_but(ahead)) if one.claim["id"] == "age_beats_all"])
    line = next(line for line in text.splitlines() if "claim-nddr-age-beats-all" in line)
    assert line.startswith("- **Holds** on [")
    assert re.search(r"“NDDR” 40\.0 ±0\.1 against “.*?” 50\.0 ±0\.1, \*\*difference \+10\.0 ", line)
    found = re.search(r"difference \+10\.0 \(\+(.*?) to \+(.*?)\), p", line)
    assert 9 < float(found[1]) < 10 < float(found[2]) < 11
    assert f"](#column-{ahead.column.identity})" in line


def test_what_a_reader_should_know_of_a_column_stands_beside_its_numbers(ahead):
    columns, cautions = none_but(ahead), {ahead.column.identity: "Its length was settled *late*."}
    claims = [one for one in judged_claims(columns) if one.claim["id"] == "age_beats_all"]
    for page in (results_page(columns, claims, cautions), findings(claims, cautions=cautions)):
        assert page.count(r"Its length was settled \*late\*.") == 1
    assert claims_page(claims, cautions).count("Its length was settled *late*.") == 1
    assert "late" not in claims_page(claims, {"another": "Its length was settled late."})


def test_of_two_tables_with_one_caution_it_is_said_once(published):
    (claim,) = (one for one in judged_claims(published) if one.claim["id"] == "fc6_better_than_fc7_15")
    setting = claim.judged[0].setting
    assert len(setting) == 2
    cautions = {one.column.identity: "No rate was tried." for one in setting.values()}
    assert claims_page([replace(claim, judged=claim.judged[:1])], cautions).count("No rate was tried.") == 1


def test_nothing_is_found_where_nothing_is_decided():
    claims = judged_claims({slug: [] for slug in SLUGS})
    assert findings(claims) == f"Of {len(claims)} claims our runs decide none so far.\n"


def test_a_paper_has_one_finding_and_a_count_is_none(claims):
    decided = [one for one in claims if one.outcome in ("holds", "fails")]
    trained = [one for one in decided if not one.judged[0].comparisons[one.judged[0].deciding].exact]
    papers_ = dict.fromkeys(one.paper.slug for one in trained)
    text = findings(claims)
    assert f"Of {len(claims)} claims our runs decide {len(decided)} so far." in text
    assert all(one.link in text for one in trained) == (len(trained) == len(papers_))
    for most in (1, 2, 5):
        lines = [line for line in findings(claims, most).splitlines() if line.startswith("- ")]
        assert len(lines) == min(most, len(papers_))
        for line, slug in zip(lines, papers_, strict=False):
            (link,) = re.findall(r"href='([^']*)'", line)
            assert {one.paper.slug for one in trained if one.link == link} == {slug}
            assert re.search(r"(difference|ratio) .* \(.* to .*\), p", line)
    assert all((f"{slug}.ipynb" in text) == (slug not in papers_) for slug in SLUGS)


@pytest.mark.parametrize(
    ("above", "needed", "place"),
    [([0.9, 0.001, 0.01], 2, 2), ([0.9, 0.001, 0.01], 1, 1), ([0.9, 0.001, 0.01], 3, 0), ([0.5, 0.4, 0.9999], 3, 2)],
)
def test_a_verdict_turns_with_the_comparison_that_decides_it(above, needed, place):
    below = [1 - p for p in above]
    assert deciding(above, below, needed) == place
    verdict = combined(above, below, needed)
    if verdict != "undecided":
        open_ = [p if at != place else 0.5 for at, p in enumerate(above)]
        assert combined(open_, [1 - p for p in open_], needed) == "undecided"


# --- status ---


def test_a_column_is_wanted_by_the_options_that_gave_it_and_by_no_others():
    options = NDDROptions(profile="lite", seeds=[0, 1], lr=0.003, epochs=1, image_size=(32, 40), weights="none")
    table = papers.table("nddr", "4")
    column = table.column(options)
    assert Wanted(table, options).gives(column)
    assert goal(Wanted(table, options), column=column) == goal(Wanted(table, options))
    for change in ({"lr": 0.001}, {"seeds": (0,)}, {"precision": "bf16-mixed"}, {"split": "development"}):
        assert not Wanted(table, options.model_copy(update=change)).gives(column), change
    assert not Wanted(TABLE, NDDROptions(profile="lite")).gives(column)


def test_the_state_of_a_campaign_counts_records(tmp_path):
    options = NDDROptions(profile="lite", seeds=[0, 1], lr=0.003, epochs=1, image_size=(32, 40), weights="none")
    table = papers.table("nddr", "4")
    wanted = Wanted(table, options, ("constant", "single"), "rates")
    aim, results = goal(wanted), Results(tmp_path, tmp_path)
    book = results.ledger("lite")
    book.write(Record(kind="table", identity=aim.column.identity, settings=aim.column.model_dump(mode="json")))
    metrics = dict.fromkeys(table.measures.values(), 1.0)
    for node in aim.nodes[:2]:
        book.write(Record(kind=node.kind, identity=node.identity, settings={}, metrics=metrics))
    columns = compared(results)
    (column,) = columns["nddr"]
    assert {record.identity for record in behind(column, results)} == {node.identity for node in aim.nodes[:2]}
    other = Wanted(table, options.model_copy(update={"lr": 0.1}), None, "rates")
    page = status(columns, {slug: [] for slug in SLUGS}, results, {"ours": Campaign((wanted, other))})
    assert "## The campaign `ours`" in page
    assert f"2 columns, of which 1 are begun; of these 2 of {len(aim.nodes)} evaluations are there." in page
    assert "lr 0.003</span></th><td headers" in page
    assert f">2 of {len(aim.nodes)}</td>" in page
    assert ">none yet</td>" in page


def test_all_pages_are_written_and_the_book_includes_each(tmp_path, monkeypatch):
    monkeypatch.setattr("mtlkit.pages.coverage", lambda results: {"papers": {}})
    files = write(tmp_path / "new", Results(RESULTS, RESULTS))
    assert all(path.read_text().endswith("\n") for path in files)
    pages = "".join(path.read_text() for path in (RESULTS.parent / "book").glob("*.md"))
    assert {path.name for path in files} == set(re.findall(r"\{include\} _generated/(\S+)", pages))
    cautioned = [one for one in Campaign.read(RESULTS / "lite.toml").wanted if one.caution]
    beside = (tmp_path / "new/results.md").read_text()
    stored_ = [one.column for columns in compared(Results(RESULTS)).values() for one in columns]
    texts = Counter(one.caution for one in cautioned if any(map(one.gives, stored_)))
    assert texts.total() > 5
    assert {text: beside.count(text) for text in texts} == texts
    state = (tmp_path / "new/status.md").read_text()
    columns_of = [compared(Results(RESULTS), part=part) for part in ("all", "development")]
    every = sum(len(several) for columns in columns_of for several in columns.values())
    stubs = re.findall(r"<th id='\w+-r\d+' scope='row'>(?:<a href='[^']*'>)?Table \w+(?:</a>)? <span", state)
    assert len(stubs) == every > 20


def test_what_the_first_page_says_of_exchanging_features(published):
    (column,) = (one for one in published["nddr"] if one.column.identity == "af658bfb4602")
    signs = {one.measure: one.sign for one in column.measures}
    for row in ("cross_stitch", "sluice", "nddr"):
        for measure in ("normals/decoded/mean", "segmentation/miou"):
            found = gain(column.cell(row, measure), column.cell("joint_recipe", measure), signs[measure])
            assert found.interval[0] < 0, (row, measure)


def test_a_label_that_says_its_unit_is_not_followed_by_it():
    said = {("Time, ms", "ms"): "", ("within 20% of it", "%"): "", ("mean error", "m"): "m", ("F-score", "-"): ""}
    for (label, unit), shown in said.items():
        assert Measured("x", "G", label, unit, "lower").head[1].note == shown
