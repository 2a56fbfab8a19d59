import csv
import html
import io
import json
import re
from pathlib import Path

import pytest

from mtlkit import papers
from mtlkit.ledger import Drawn, Ledger
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.report.intervals import gain
from mtlkit.report.side_by_side import Cell, SideBySide, tables_csv, tables_json
from mtlkit.report.table import MISSING
from mtlkit.reproduce import Results, stored

TABLE = papers.table("nddr", "4")
MEXIT = papers.table("multi_exit", "4")
DRAWN = Drawn(of="image", groups=10, key="images", too_narrow=True)


def test_mean_spread_and_n_come_from_the_records_alone(filled):
    column, book, _ = filled
    comparison = SideBySide.of(TABLE, column, book)
    multi = comparison.cell("multi", "segmentation/miou")
    assert multi.values == (30, 31, 32)
    assert (multi.mean, multi.spread) == (31, 1)
    assert comparison.cell("sluice", "segmentation/miou").values == ()
    assert Cell({0: 1.25}).text("%") == "1.2"
    assert Cell().text("%") == MISSING


def test_what_rounds_to_nothing_has_no_sign_and_a_minus_is_one():
    assert Cell({0: -0.04}).text("%") == "0.0"
    assert Cell({0: -0.0004, 1: -0.0002}).text("-") == "0.000 ±0.000"
    assert Cell({0: -0.038}).text("-") == "−0.038"


def test_a_cell_says_how_many_seeds_are_missing_and_has_no_mean_without_a_value_of_one(filled):
    column, book, _ = filled
    last = {row.id: row.evaluations for row in TABLE.rows(column, 2)}
    for evaluation in last["nddr"]:
        book.path(evaluation.kind, evaluation.identity).unlink()
    (joint,) = last["multi"]
    record = book.find("evaluation", joint.identity)
    book.write(record.model_copy(update={"metrics": record.metrics | {"segmentation/miou": None}}))
    comparison = SideBySide.of(TABLE, column, book)
    assert comparison.cell("nddr", "segmentation/miou").text("%").endswith("±0.7, 2 of 3 seeds")
    assert comparison.cell("single", "segmentation/miou").text("%").endswith("±1.0")
    multi = comparison.cell("multi", "segmentation/miou")
    assert (multi.text("%"), multi.values) == ("undefined 1 of 3 seeds", ())
    outcomes = [line["outcome"] for line in comparison.frame() if line["row"] == "multi"]
    assert outcomes.count("undefined") == 1
    assert gain(comparison.cell("nddr", "segmentation/miou"), multi, 1) is None


def test_the_card_says_which_controls_were_not_measured(filled):
    column, book, _ = filled
    (controls,) = (ours for what, _, ours in SideBySide.of(TABLE, column, book).card() if what == "Controls")
    assert controls.endswith(
        "; not measured here: “Single task, joint recipe”, “Multi-task, trained longer”, “Cross-stitch, no exchange”, "
        "“Sluice, no exchange”, “NDDR, no exchange”"
    )


def test_every_form_shows_the_same_cells(filled):
    column, book, _ = filled
    comparison = SideBySide.of(TABLE, column, book)
    head, _, *lines = [
        [text.strip() for text in line.strip("|").split(" | ")] for line in comparison.markdown().splitlines()[:-2]
    ]
    assert lines[0][:2] == ["Constant", MISSING]
    by_label = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    assert by_label["NDDR"]["Semantic Seg. mIoU printed"] == "36.2"
    assert by_label["Multi-task"]["Semantic Seg. mIoU measured"] == "31.0 ±1.0"
    assert by_label["Multi-task"]["n"] == "3"
    assert by_label["Sluice"]["n"] == "0"
    assert by_label["Constant"]["Semantic Seg. mIoU printed"] == MISSING
    page = comparison.html()
    for text in ("36.2", "31.0", "±1.0", "NDDR", "3 seeds"):
        assert text in page
    # Seven printed columns in two parts that fit the page, and so the measures that the print lacks.
    assert page.count("<table") == 4
    assert "31.0 ±1.0" in comparison.text()


def test_a_cell_of_the_frame_is_one_seed_in_the_unit_of_the_print(filled):
    column, book, _ = filled
    lines = SideBySide.of(TABLE, column, book).frame()
    multi = [line for line in lines if (line["row"], line["measure"]) == ("multi", "segmentation/miou")]
    assert [(line["seed"], line["measured"], line["printed"]) for line in multi] == [
        (0, 30, "33.4"), (1, 31, "33.4"), (2, 32, "33.4"),
    ]  # fmt: skip
    (sluice,) = [line for line in lines if (line["row"], line["measure"]) == ("sluice", "segmentation/miou")]
    assert (sluice["seed"], sluice["measured"], sluice["printed"]) == (None, None, "34.9")
    (millions,) = [
        line
        for line in SideBySide(MEXIT, MEXIT.meta_column(), tuple(MEXIT.rows(MEXIT.meta_column(), 0))[:1], {
            ("stl_imagenet", "cost/parameters"): Cell({0: 25_557_032.0}, {0: (25e6,) * 500}, DRAWN)}, 0.0).frame()
        if line["measured"] is not None
    ]  # fmt: skip
    assert (millions["measured"], millions["unit"], millions["low"]) == (25.557032, "M", 25.0)
    assert millions["drawn"] == "image, too narrow"
    assert float(millions["printed"]) == 25.557


def test_no_two_columns_of_a_table_share_a_header():
    for table in (table for tables in papers.DECLARED.values() for table in tables):
        column = table.meta_column()
        heads = [measure.head for measure in SideBySide(table, column, tuple(table.rows(column, 0)), {}, 0.0).printed]
        assert len(set(heads)) == len(heads), (table.paper, table.id)


def test_stored_columns_together_are_one_csv_and_one_json_document(records):
    text = tables_csv(records)
    lines = list(csv.DictReader(io.StringIO(text), strict=True))
    assert len(lines) == sum(len(one.frame()) for one in records)
    keys = [tuple(line[name] for name in ("paper", "table", "row", "measure", "seed", "settings")) for line in lines]
    assert len(set(keys)) == len(keys)
    assert {(line["paper"], line["table"]) for line in lines} == {("nddr", "4"), ("multi_exit", "1")}
    assert all(None not in line and None not in line.values() for line in lines)
    found = json.loads(tables_json(records))
    assert [len(one["cells"]) for one in found] == [len(one.frame()) for one in records]
    assert found[0]["settings"]["backbone"] == "mobilenetv2_100"
    measured = [line["measured"] for line in lines]
    assert measured == ["" if c["measured"] is None else str(c["measured"]) for one in found for c in one["cells"]]


def test_a_single_column_is_a_csv_too(records):
    assert records[0].csv() == tables_csv(records[:1])


@pytest.fixture(scope="module")
def records():
    """Committed columns of two papers."""
    results = Results(Path(__file__).parents[2] / "results")
    found = [*stored(TABLE, results), *stored(TABLE, results, part="development")]
    return [*found, *stored(papers.table("multi_exit", "1"), results)]


def test_the_print_is_that_of_the_backbone_or_it_says_there_is_none():
    book = Ledger(Path("/nonexistent"))

    def shown(backbone):
        return SideBySide.of(TABLE, TABLE.column(NDDROptions(backbone=backbone, image_size=(32, 40))), book)

    assert shown("resnet101").print_of[0] == "5"
    assert shown("vgg16").print_of[0] == "4"
    assert shown("vgg16_bn").print_of[0] == "4"
    assert "prints nothing" not in shown("resnet101").caption
    assert "The paper prints nothing for resnet18." in shown("resnet18").caption


def test_stored_columns_are_found_again_without_the_data(filled):
    column, _, folder = filled
    (found,) = stored(TABLE, Results(folder))
    assert found.column.identity == column.identity
    assert found.column.data.root is None
    assert found.cell("multi", "segmentation/miou").values == (30, 31, 32)
    assert all(name not in json.dumps(found.column.model_dump(mode="json")) for name in (str(folder), "/home", "cache"))


def test_a_column_of_another_version_is_left_out_with_a_warning(filled):
    column, book, folder = filled
    path = book.path("table", column.identity)
    path.write_text(path.read_text().replace('"scale_crop"', '"scale_and_crop"'))
    with pytest.warns(UserWarning, match="another version of mtlkit"):
        assert stored(TABLE, Results(folder)) == []


@pytest.mark.parametrize("epochs", [0.7, 3, 10.3])
def test_the_command_on_the_card_gives_the_same_column(epochs):
    column = TABLE.column(NDDROptions(backbone="resnet18", seeds=[2, 5], image_size=(32, 40), epochs=epochs, lr=3e-4))
    words = column.command.split()
    assert words[:4] == ["mtlkit", "run", "nddr", "4"]
    names = [word.removeprefix("--").replace("-", "_") for word in words[4::2]]
    again = NDDROptions(**{name: NDDROptions.read(name, text) for name, text in zip(names, words[5::2], strict=True)})
    assert TABLE.column(again).identity == column.identity


def test_the_card_names_both_sides(filled):
    column, book, _ = filled
    card = {what: (theirs, ours) for what, theirs, ours in SideBySide.of(TABLE, column, book).card()}
    assert card["Runs"] == ("unstated", "3 seeds")
    assert "resnet18" in card["Network"][1]
    assert "encoded" in card["Metric space of normals"][0]
    assert all(theirs and ours for theirs, ours in card.values())


def test_the_card_never_breaks_an_option(filled):
    column, book, _ = filled
    comparison = SideBySide.of(TABLE, column, book)
    page = comparison.card_html()
    command = {what: ours for what, _, ours in comparison.card()}["Command"]
    options = [word for word in command.split() if word.startswith("--")]
    assert options
    assert all(f"<span style='white-space: nowrap'>{option}</span>" in page for option in options)
    assert command in html.unescape(re.sub(r"</?span[^>]*>", "", page))
