import csv
import html
import io
import json
import re

import pytest

from mtlkit import papers
from mtlkit.ledger import Ledger, Record
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.report.coverage import coverage, runnable, status
from mtlkit.report.side_by_side import MISSING, Cell, SideBySide
from mtlkit.reproduce import ledger, stored

TABLE = papers.table("nddr", "4")


@pytest.fixture
def filled(tmp_path):
    """A column of three seeds whose measured cells are known, as records in a ledger."""
    column = TABLE.column(NDDROptions(backbone="resnet18", seeds=[0, 1, 2], image_size=(32, 40)))
    book = ledger("smoke", tmp_path)
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


def test_mean_spread_and_n_come_from_the_records_alone(filled):
    column, book, _ = filled
    comparison = SideBySide.of(TABLE, column, book)
    multi = comparison.cell("multi", "segmentation/miou")
    assert multi.values == (30, 31, 32)
    assert (multi.mean, multi.spread) == (31, 1)
    assert comparison.cell("sluice", "segmentation/miou").values == ()
    assert Cell({0: 1.25}).text("%") == "1.2"
    assert Cell().text("%") == MISSING


def test_every_form_shows_the_same_cells(filled):
    column, book, _ = filled
    comparison = SideBySide.of(TABLE, column, book)
    head, *lines = comparison.records()
    assert [list(line) for line in csv.reader(io.StringIO(comparison.csv()))] == [head, *lines]
    assert comparison.markdown().splitlines()[2].startswith("| Constant | – |")
    by_label = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    assert by_label["NDDR (theirs)"]["Semantic Seg. mIoU printed"] == "36.2"
    assert by_label["Multi-task"]["Semantic Seg. mIoU measured"] == "31.0 ±1.0"
    assert by_label["Multi-task"]["n"] == "3"
    assert by_label["Sluice"]["n"] == "0"
    assert by_label["Constant"]["Semantic Seg. mIoU printed"] == MISSING
    page = comparison.html()
    for text in ("36.2", "31.0", "±1.0", "NDDR (theirs)", "3 seeds"):
        assert text in page
    assert page.count("<table") == 2
    assert "31.0 ±1.0" in comparison.text()


def test_the_print_is_that_of_the_backbone_or_it_says_there_is_none():
    book = Ledger(__import__("pathlib").Path("/nonexistent"))

    def shown(backbone):
        return SideBySide.of(TABLE, TABLE.column(NDDROptions(backbone=backbone, image_size=(32, 40))), book)

    assert shown("resnet101").print_of[0] == "5"
    assert shown("vgg16").print_of[0] == "4"
    assert shown("vgg16_bn").print_of[0] == "4"
    assert "prints nothing" not in shown("resnet101").caption
    assert "The paper prints nothing for resnet18." in shown("resnet18").caption


def test_stored_columns_are_found_again_without_the_data(filled):
    column, _, folder = filled
    (found,) = stored(TABLE, folder)
    assert found.column.identity == column.identity
    assert found.column.data.root is None
    assert found.cell("multi", "segmentation/miou").values == (30, 31, 32)
    assert all(name not in json.dumps(found.column.model_dump(mode="json")) for name in (str(folder), "/home", "cache"))


def test_a_column_of_another_version_is_left_out_with_a_warning(filled):
    column, book, folder = filled
    path = book.path("table", column.identity)
    path.write_text(path.read_text().replace('"scale_crop"', '"scale_and_crop"'))
    with pytest.warns(UserWarning, match="another version of mtlkit"):
        assert stored(TABLE, folder) == []


def test_coverage_counts_cells_once(filled):
    _, _, folder = filled
    counted = coverage(folder)
    line = counted["papers"]["nddr"]["tables"]["4"]
    assert line == {"rows": 5, "runnable": 5, "cells": 35, "measured": {"smoke": 28, "lite": 0, "paper": 0}}
    assert "| NDDR-CNN, 2019 | 9 | 43 of 43 |" in status(counted)


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


def test_runnable_builds_and_therefore_notices_what_does_not():
    column = TABLE.meta_column()
    rows = {row.id: row for row in TABLE.rows(column, 0)}
    assert runnable(rows["nddr"])
    broken = {row.id: row for row in TABLE.rows(column.model_copy(update={"output_stride": 16}), 0)}["single"]
    with pytest.raises(Exception, match="16"):
        runnable(broken)
