"""Intervals and gains: from the draws that records hold, row against row."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from builders import room_data
from cells import cell

from mtlkit import papers
from mtlkit.evaluations import TestEvaluation
from mtlkit.ledger import Drawn, Record
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.report.figures import gain_intervals
from mtlkit.report.intervals import DAGGER, TOO_NARROW, Gain, dagger_note, gain, gain_text, gains
from mtlkit.report.judging import difference
from mtlkit.report.selection import relative, selection_html
from mtlkit.report.side_by_side import Cell, SideBySide
from mtlkit.report.table import Text
from mtlkit.reproduce import Results, stored

TABLE = papers.table("nddr", "4")
BETTER = {"nddr": 4.0, "multi": 0.0, "constant": -90.0}
ROWS = ("single", "single_longer", *BETTER)


DRAWN = Drawn(of="scene", groups=120, key="scenes")


def seeds(*values):
    return dict(enumerate(values))


def test_a_gain_has_the_interval_of_both_sources_of_noise():
    better, worse = cell(seeds(12, 13.2, 14), stream=1), cell(seeds(10, 11, 12.1), stream=2)
    one = gain(better, worse, 1)
    assert one.seeds == pytest.approx((2, 2.2, 1.9))
    assert one.interval == difference(better, worse).interval
    assert one.interval[0] < one.mean < one.interval[1]
    assert one.clear
    # Less is better: the same cells the other way round.
    assert gain(better, worse, -1).mean == -one.mean
    assert gain(better, worse, -1).clear


def test_a_gain_is_clear_only_off_what_seeds_and_images_change():
    worse = cell(seeds(10, 11, 12), stream=2)
    assert not gain(cell(seeds(12, 9, 14), stream=1), worse, 1).clear
    wide = gain(cell(seeds(12, 13, 14.1), 10, stream=1), worse, 1)
    assert wide.interval[0] < 0 < wide.interval[1]
    assert not wide.clear


def test_a_gain_that_rounds_to_nothing_has_no_sign():
    for mean, text in {0.04: "0.0", -0.04: "0.0", 0.06: "+0.1", -0.06: "\u22120.1", 0.0: "0.0"}.items():
        shown = gain_text(Gain(mean, (mean, 2.0), (mean,), clear=False), "%")
        assert (shown.text, shown.note) == (text, f"{text} to +2.0")


def test_seeds_of_a_gain_are_paired_by_number_though_one_is_missing():
    assert gain(cell({0: 1, 1: 2, 2: 3}), cell({1: 2, 2: 3, 3: 4}), 1).seeds == (0, 0)


def test_without_draws_a_gain_has_no_interval_and_is_never_clear():
    one = gain(Cell({0: 5.0, 1: 6.0, 2: 7.0}), cell(seeds(1, 2, 3)), 1)
    assert (one.mean, one.interval, one.clear) == (4, None, False)
    assert gain(Cell(), cell(seeds(1)), 1) is None


def test_too_narrow_an_interval_is_shown_and_decides_nothing():
    narrow = DRAWN.model_copy(update={"too_narrow": True})
    better, worse = (cell(seeds(*s), stream=s[0], drawn=narrow) for s in ((12, 13, 14.1), (10, 11, 12)))
    one = gain(better, worse, 1)
    assert one.interval[0] > 0
    assert (one.clear, one.too_narrow) == (False, True)


@pytest.fixture
def filled(tmp_path, request):
    """Two columns of the table, one on a development part, with records of known values and draws."""
    rng = np.random.default_rng(0)
    rooms = room_data(tmp_path / "rooms", train=60)  # the world would draw a thousand at lite
    for split in ("test", "development"):
        options = NDDROptions(
            profile="lite", weights="none", backbone="resnet18", split=split, dataset="npy", data_root=rooms.root,
            image_size=(32, 40), output_stride=16, seeds=[0, 1, 2],
        )  # fmt: skip
        column = TABLE.column(options)
        book = Results(tmp_path).ledger("lite")
        book.write(Record(kind="table", identity=column.identity, settings=column.model_dump(mode="json")))
        shared = rng.normal(size=500)
        drawn = DRAWN.model_copy(update=getattr(request, "param", {}))
        for seed in column.seeds:
            for row in TABLE.rows(column, seed):
                for evaluation in row.evaluations if row.id in ROWS else ():
                    trained = isinstance(evaluation, TestEvaluation)
                    tasks = [task.name for task in (evaluation.subject.network if trained else evaluation).tasks]
                    names = [name for name in TABLE.measures.values() if name.split("/")[0] in tasks]
                    value = 20 + BETTER.get(row.id, 0) + 0.1 * (seed - 1) * (row.id == "multi")
                    own = rng.normal(size=500)
                    book.write(
                        Record(
                            kind="evaluation", identity=evaluation.identity, settings={},
                            metrics=dict.fromkeys(names, value),
                            resampled={name: (value + shared + 0.1 * own).tolist() for name in names},
                            drawn=dict.fromkeys(tasks, drawn), data={"test_images": 240},
                        )
                    )  # fmt: skip
    return tmp_path


def test_gains_over_a_row_go_by_what_is_better(filled):
    (comparison,) = stored(TABLE, Results(filled))
    found = gains(comparison, "single_longer")
    assert found.keys() == {"constant", "single", "multi", "nddr"}
    assert found["nddr"]["segmentation/miou"].mean == pytest.approx(4)
    assert found["nddr"]["normals/encoded/mean"].mean == pytest.approx(-4)
    assert not found["multi"]["segmentation/miou"].clear
    better, worse = (gain_text(found["nddr"][name], "") for name in ("segmentation/miou", "normals/encoded/mean"))
    assert (better.text, better.bold, worse.text, worse.bold) == ("+4.0", True, "\u22124.0", True)
    assert DAGGER not in better.note
    assert dagger_note([(Text("NDDR"), better, worse)]) == ""
    figure = gain_intervals(comparison, "single_longer")
    assert sum(axis.get_title() != "" for axis in figure.axes) == len(TABLE.printed.columns)
    assert "Constant" not in {label.get_text() for label in figure.axes[0].get_yticklabels()}
    plt.close(figure)


@pytest.mark.parametrize("filled", [{"too_narrow": True}], indirect=True)
def test_draws_of_single_frames_are_marked_and_nothing_is_bold(filled):
    (comparison,) = stored(TABLE, Results(filled))
    for several in gains(comparison, "single_longer").values():
        shown = [gain_text(one, "") for one in several.values()]
        assert all(one.note.endswith(DAGGER) and not one.bold for one in shown)
        assert dagger_note([(Text("a row"), *shown)]) == f"{DAGGER} {TOO_NARROW}"


def test_every_row_is_measured_against_its_strictest_control_that_was_measured(filled):
    (comparison,) = stored(TABLE, Results(filled))
    controls = {"nddr": ("tilted", "multi", "single"), "multi": ("single",)}
    rows = tuple(replace(row, controls=controls.get(row.id, ())) for row in comparison.rows)
    comparison = replace(comparison, rows=rows)
    found = gains(comparison)
    assert {row: {one.over for one in several.values()} for row, several in found.items()} == {
        "nddr": {"multi"},  # nothing was measured for the strictest
        "multi": {"single"},
    }
    assert found["nddr"]["segmentation/miou"].mean == pytest.approx(4)
    labels = {row.id: row.label for row in rows}
    figure = gain_intervals(comparison)
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(ticks) == sorted(labels[row] for row in found)
    assert "over each row's control, named in the table" in figure._supxlabel.get_text()
    plt.close(figure)


def test_columns_on_a_development_part_stand_apart(filled):
    (shown,), (tried,) = stored(TABLE, Results(filled)), stored(TABLE, Results(filled), part="development")
    assert tried.column.train_images < shown.column.train_images
    assert "development part" in tried.caption
    assert "development part" not in shown.caption
    assert "--split development" in tried.column.command
    assert "--split" not in shown.column.command
    page = selection_html(shown, [tried], "single")
    assert page.count(" scope='row'><b>rate 0.001, 60 epochs") == 1
    assert "20.0 <span class='spread'>±0.0</span>" in page
    assert selection_html(shown, [], "single") == ""


def test_settings_tried_name_the_steps_of_the_networks_of_a_row():
    """Two sets of different size, a network each: neither takes the steps of a network of both."""
    published = Results.of()
    (tried, *_) = stored(papers.table("multi_exit", "1"), published, part="development")
    (shown, *_) = (one for one in stored(papers.table("multi_exit", "1"), published) if one.column.profile == "lite")
    for row in ("stl_in_20", "stl_pl_20"):
        (evaluations,) = (one.evaluations for one in tried.rows if one.id == row)
        steps = evaluations[0].subject.recipe.steps
        assert steps < tried.column.recipe.steps
        assert f"{steps:,} steps" in selection_html(shown, [tried], row)


def test_without_draws_there_is_nothing_to_show(tmp_path):
    column = TABLE.column(NDDROptions(image_size=(32, 40)))
    comparison = SideBySide.of(TABLE, column, Results(tmp_path).ledger("smoke"))
    assert gains(comparison, "single") == {}


def test_settings_are_ranked_by_the_mean_ratio_of_their_measures(filled):
    (shown,) = stored(TABLE, Results(filled))

    class Setting:
        measures = shown.measures

        def __init__(self, **values):
            self.values = values

        def cell(self, row, measure):
            value = self.values.get(measure)
            if value == "diverged":
                return Cell(diverged=(0,))
            return Cell({0: value}) if row == "single" and value is not None else Cell()

    one = Setting(**{"segmentation/miou": 30.0, "normals/encoded/mean": 10.0, "normals/encoded/median": 0.0})
    two = Setting(**{"segmentation/miou": 10.0, "normals/encoded/mean": 30.0, "normals/encoded/median": 9.0})
    # 30 of 20 and 20 of 10; 10 of 20 and 20 of 30; an error of 0 has no ratio.
    assert relative([one, two], ["single"]) == [pytest.approx(1.75), pytest.approx((0.5 + 2 / 3) / 2)]
    # Of what is the more the better, 0 has one.
    three = Setting(**{"segmentation/miou": 0.0})
    assert relative([one, three], ["single"]) == [2, 0]
    assert relative([one, two], ["multi"]) == [None, None]
    # A rate at which segmentation diverged does not win by its normals; the others are ranked without it.
    four = Setting(**{"segmentation/miou": "diverged", "normals/encoded/mean": 1.0})
    (first, second), ranked = relative([one, two], ["single"]), relative([one, four, two], ["single"])
    assert ranked == [first, None, second]
    assert relative([four, four], ["single"]) == [None, None]
