"""A table in which a training diverged: every form says so, no mean leaves it out, nothing is decided by it."""

import csv
import io
import json

import pytest
from cells import cell
from typer.testing import CliRunner

from mtlkit import papers, runs
from mtlkit.cli import app
from mtlkit.history import Divergence, TrainingDiverged
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.papers.printed import printed
from mtlkit.report.claims import on_runs
from mtlkit.report.intervals import gain, gains
from mtlkit.report.judging import difference
from mtlkit.report.side_by_side import Cell, SideBySide, tables_csv, tables_json
from mtlkit.report.table import MISSING
from mtlkit.reproduce import Results, reproduce, stored
from mtlkit.runtime import Runtime

TABLE = papers.table("nddr", "4")
GIVEN = {"image_size": (32, 40), "epochs": 0.2, "seeds": (0, 1)}
ROWS = ["constant", "single", "multi"]
MIOU, MEAN = "segmentation/miou", "normals/encoded/mean"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of three rows and two seeds; the multi-task network of the second diverged."""
    original = runs.train

    def train(network, *rest, seed, **more):
        if seed == 1 and len(network.tasks) == 2:
            raise TrainingDiverged("", Divergence(step=7, loss="normals/cosine", value="inf"))
        return original(network, *rest, seed=seed, **more)

    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "train", train)
        reproduce(
            TABLE, NDDROptions(**GIVEN), runtime=Runtime("cpu", progress=False), results=Results(results), methods=ROWS
        )
    return results


@pytest.fixture(scope="module")
def table(folder):
    (found,) = stored(TABLE, Results(folder))
    return found


def test_the_cells_say_so_and_have_no_mean(table):
    for measure in (MIOU, MEAN):
        found = table.cell("multi", measure)
        assert (found.diverged, tuple(found.by_seed), found.values) == ((1,), (0,), ())
        assert found.draws is None
        assert found.text("%") == "diverged 1 of 2 seeds"
        assert len(table.cell("single", measure).values) == 2
    assert Cell(diverged=(0,)).text("%") == "diverged"
    assert table.cell("multi", "depth/rmse") == Cell(), "only what the network would have been scored in"


def test_every_form_says_so(table):
    (line,) = (line for line in table.markdown().splitlines() if line.startswith("| Multi-task |"))
    assert line.count("diverged 1 of 2 seeds") == len(table.measures)
    assert line.endswith("| 2 |")
    assert "diverged 1 of 2 seeds" in table.text()
    assert "<td headers" in table.html()
    assert "class='diverged'>diverged <span class='spread'>1 of 2 seeds</span>" in table.html()
    sentence = (
        "(mobilenetv3_small_050 shared segmentation+normals seed 1) diverged: the loss normals/cosine is inf at step 7."
    )
    for shown in (table.text(), table.html(), table.markdown(), table.caption):
        assert sentence in shown.replace("\\", "")
    for lines in (list(csv.DictReader(io.StringIO(tables_csv([table])))), json.loads(tables_json([table]))[0]["cells"]):
        multi = [one for one in lines if (one["row"], one["measure"]) == ("multi", MIOU)]
        assert [(int(one["seed"]), one["outcome"]) for one in multi] == [(0, "measured"), (1, "diverged")]
        assert multi[0]["measured"]
        assert not multi[1]["measured"]
        missing = [one for one in lines if (one["row"], one["measure"]) == ("nddr", MIOU)]
        assert [one["outcome"] or None for one in missing] == [None]


def test_the_command_says_it_in_a_sentence_and_trains_nothing_again(folder, monkeypatch):
    monkeypatch.setattr(runs, "train", None)
    options = NDDROptions(**GIVEN).command("4").split()[4:]
    found = CliRunner().invoke(
        app, ["run", "nddr", "4", *ROWS, *options, "--device", "cpu", "--results-dir", str(folder)]
    )
    assert found.exit_code == 0
    assert "diverged 1 of 2 seeds" in found.stdout
    assert "the loss normals/cosine is inf at step 7. Cells that need it say so; --retrain tries again." in found.stderr


def test_nothing_is_decided_by_the_seeds_that_are_left():
    good, worse = cell({0: 50, 1: 51, 2: 52}), cell({0: 40, 1: 41.5, 2: 42}, stream=1)
    assert difference(good, worse).above() < 0.025
    broken = Cell({0: 40.0, 1: 41.0}, worse.resampled, worse.drawn, diverged=(2,))
    for pair in ((good, broken), (broken, good)):
        assert difference(*pair) is None
        assert gain(*pair, 1) is None
    assert difference(good, worse, beyond=(good, broken, 1)) is None


def test_a_claim_on_it_stays_open_and_no_weaker_control_takes_its_place():
    column = TABLE.column(NDDROptions(image_size=(32, 40), seeds=(0, 1, 2))).model_copy(update={"profile": "lite"})
    rows = tuple(row for row in TABLE.rows(column, 0) if row.id in ("nddr", "no_exchange", "joint_recipe", "multi"))
    good, worse = cell({0: 50, 1: 51, 2: 52}), cell({0: 40, 1: 41.5, 2: 42}, stream=1)
    broken = Cell({0: 40.0, 1: 41.0}, diverged=(2,))
    cells = {("nddr", MIOU): good, ("no_exchange", MIOU): worse, ("joint_recipe", MIOU): worse, ("multi", MIOU): worse}
    claim = {
        "compare": [{"a": ["4", "nddr", "seg_miou"], "op": "better", "b": ["4", "multi", "seg_miou"]}],
        "holds_if": "all",
    }

    def judged(**changed):
        shown = SideBySide(TABLE, column, rows, cells | {(row, MIOU): one for row, one in changed.items()}, 0.0)
        (found,) = on_runs(printed("nddr"), claim, [shown])
        return found.verdict, found.comparisons[0].status, gains(shown).get("nddr", {}).get(MIOU)

    verdict, status, over = judged()
    assert (verdict, status, over.over) == ("holds", "hold", "no_exchange")
    assert judged(multi=broken)[:2] == ("undecided", "open")
    assert judged(no_exchange=broken)[2] is None
    assert broken.text("%") != MISSING
