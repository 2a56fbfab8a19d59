"""Intervals and gains: from the draws that records hold, row against row."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mtlkit import papers
from mtlkit.ledger import Record
from mtlkit.papers.nddr.methods import NDDRChoices
from mtlkit.report.figures import gain_intervals
from mtlkit.report.intervals import gain, gains, gains_html, intervals_html
from mtlkit.report.selection import selection_html
from mtlkit.report.side_by_side import Cell, SideBySide
from mtlkit.reproduce import ledger, stored
from mtlkit.runs import Standard

TABLE = papers.table("nddr", "4")
BETTER = {"nddr": 4.0, "multi": 0.0, "constant": -90.0}
ROWS = ("single", "single_longer", *BETTER)


def cell(*seeds, noise=1.0):
    """Draws around each seed's value: the same draws for every cell."""
    drawn = noise * np.random.default_rng(0).normal(size=500)
    return Cell(tuple(map(float, seeds)), tuple(tuple(seed + drawn) for seed in seeds))


def test_what_all_draws_share_cancels():
    one = gain(cell(12, 13, 14), cell(10, 11, 12), 1)
    assert (one.mean, one.low, one.high) == pytest.approx((2, 2, 2))
    assert one.seeds == (2, 2, 2)
    assert one.clear
    # Less is better: the same cells the other way round.
    assert gain(cell(12, 13, 14), cell(10, 11, 12), -1).mean == -2


def test_a_gain_is_clear_only_where_seeds_and_draws_agree():
    assert not gain(cell(12, 9, 14), cell(10, 11, 12), 1).clear
    wide = gain(cell(12, 13, 14, noise=10), cell(10, 11, 12), 1)
    assert wide.low < 0 < wide.high
    assert not wide.clear


def test_nothing_is_compared_without_draws():
    assert gain(Cell((1.0,)), cell(1), 1) is None
    assert gain(Cell((1.0,), ((),)), cell(1), 1) is None
    assert gain(cell(1), cell(1, 2), 1) is None


@pytest.fixture
def filled(tmp_path):
    """Two columns of the table, one on a development part, with records of known values and draws."""
    rng = np.random.default_rng(0)
    for part in ("all", "development"):
        column = TABLE.column(NDDRChoices.of(profile="lite", weights="none", backbone="resnet18", part=part,
                                             image_size=(32, 40), output_stride=16, seeds=[0, 1, 2]))  # fmt: skip
        book = ledger("lite", tmp_path)
        book.write(Record(kind="table", identity=column.identity, settings=column.model_dump(mode="json")))
        drawn = rng.normal(size=500)
        for seed in column.seeds:
            for row in TABLE.rows(column, seed):
                for evaluation in row.evaluations if row.id in ROWS else ():
                    trained = isinstance(evaluation, Standard)
                    tasks = [task.name for task in (evaluation.subject.network if trained else evaluation).tasks]
                    names = [name for name in TABLE.measures.values() if name.split("/")[0] in tasks]
                    value = 20 + BETTER.get(row.id, 0) + 0.1 * seed * (row.id == "multi")
                    book.write(
                        Record(
                            kind="evaluation", identity=evaluation.identity, settings={},
                            metrics=dict.fromkeys(names, value),
                            resampled={name: (value + drawn).tolist() for name in names},
                        )
                    )  # fmt: skip
    return tmp_path


def test_gains_over_a_row_go_by_what_is_better(filled):
    (comparison,) = stored(TABLE, filled)
    found = gains(comparison, "single_longer")
    assert found.keys() == {"constant", "single", "multi", "nddr"}
    assert found["nddr"]["segmentation/miou"].mean == pytest.approx(4)
    assert found["nddr"]["normals/encoded/mean"].mean == pytest.approx(-4)
    assert not found["multi"]["segmentation/miou"].clear  # a seed gains nothing
    page = gains_html(comparison, "single_longer")
    assert "<b>+4.0</b>" in page
    assert "<b>\u22124.0</b>" in page
    assert page.count("<tr><th scope='row'>") == 4
    assert "20.0 <span class='spread'>18." in intervals_html(comparison)
    figure = gain_intervals(comparison, "single_longer")
    assert sum(axis.get_title() != "" for axis in figure.axes) == len(TABLE.printed.columns)
    assert "Constant" not in {label.get_text() for label in figure.axes[0].get_yticklabels()}
    plt.close(figure)


def test_columns_on_a_development_part_stand_apart(filled):
    (shown,), (tried,) = stored(TABLE, filled), stored(TABLE, filled, part="development")
    assert tried.column.train_images < shown.column.train_images
    assert "development part" in tried.caption
    assert "development part" not in shown.caption
    assert "--part development" in tried.column.command
    assert "--part" not in shown.column.command
    page = selection_html(shown, [tried])
    assert page.count("<tr><th scope='row'><b>rate 0.001, 60 epochs") == 1
    assert "20.0 ±0.0" in page
    assert selection_html(shown, []) == ""


def test_without_draws_there_is_nothing_to_show(tmp_path):
    column = TABLE.column(NDDRChoices.of(image_size=(32, 40)))
    comparison = SideBySide.of(TABLE, column, ledger("smoke", tmp_path))
    assert intervals_html(comparison) == gains_html(comparison, "single") == ""
