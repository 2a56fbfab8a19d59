"""The declaration of the cross-stitch paper's Table 6: detection and attributes by regions."""

import shlex
from pathlib import Path

import pytest
import torch
from builders import record_of
from typer.testing import CliRunner

from mtlkit import papers, reproduce
from mtlkit.backbones import staged
from mtlkit.cli import app
from mtlkit.data import Data
from mtlkit.data.proposals import Proposals, SelectiveSearch
from mtlkit.data.regions import RegionSampling
from mtlkit.engine import Engine
from mtlkit.errors import InputError
from mtlkit.evaluations import BestOnValidation, Ensemble, SnapshotEnsemble, snapshots
from mtlkit.ledger import Ledger, Record
from mtlkit.network import parameter_groups
from mtlkit.papers.cross_stitch.methods import ENSEMBLE_SEEDS
from mtlkit.papers.cross_stitch.objects import regions_of
from mtlkit.papers.cross_stitch.options import CrossStitchOptions
from mtlkit.papers.printed import printed
from mtlkit.runs import trainings
from mtlkit.runtime import Runtime
from mtlkit.worlds import parts

TABLE = papers.table("cross_stitch", "6")
COLUMN = TABLE.meta_column()
ROWS = {row.id: row for row in TABLE.rows(COLUMN, 3)}
BEST = ROWS["best_split"].evaluations


def network(row: str):
    return ROWS[row].evaluations[0].subject.network


def small(folder: Path, **more):
    """Options for a column over a folder of a reader's own that is quick to train on."""
    return CrossStitchOptions(**{"data_root": folder, "image_size": (48, 64), "batch_size": 2, "epochs": 0.5} | more)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("objects") / "own"
    parts.write(folder, seed=0, train=20, val=4, size=(48, 64))
    return folder


@pytest.fixture
def spoilt(tmp_path) -> Path:
    """The same with three bad rows behind the training list, and one behind the test list."""
    folder = tmp_path / "spoilt"
    parts.write(folder, seed=0, train=6, val=3, size=(48, 64))
    zeros = " 0" * len(parts.ATTRIBUTES) + "\n"
    bad = {
        "train": [
            "train_00000.jpg dragon 1 1 9 9",
            "train_00000.jpg car 9 9 1 1",
            "train_00000.jpg car 1 1 65 9",
        ],
        "test": ["nowhere.jpg car 1 1 9 9"],
    }
    for split, rows in bad.items():
        with (folder / f"attribute_data/apascal_{split}.txt").open("a") as list_:
            list_.writelines(row + zeros for row in rows)
    return folder


def test_every_printed_row_is_declared_and_builds(counted):
    assert {row.id for row in ROWS.values() if row.printed} == {r.id for r in printed("cross_stitch").tables["6"].rows}
    line = counted["papers"]["cross_stitch"]["tables"]["6"]
    assert (line["rows"], line["runnable"]) == (6, 6)
    assert all(counted["systems"][system] for system in TABLE.systems)
    assert set(TABLE.measures) == {column.id for column in TABLE.printed.columns}


def test_the_stages_are_alexnets_layers_and_regions_are_pooled_instead_of_pool5():
    with torch.device("meta"):
        built = staged("alexnet", fully_connected="plain", cut="layers", regions=True)
    assert (COLUMN.stages, COLUMN.pooled_after) == (len(built.stages), built.regions.after) == (7, 4)
    assert regions_of("resnet10t", (96, 128)) == (5, 3)
    for row in ROWS.values():
        for training in trainings(row.evaluations).values():
            assert training.network.regions
            assert isinstance(training.recipe.augmentation, RegionSampling)
            assert training.recipe.augmentation.size == training.data.size


def test_units_stand_after_pool1_pool2_and_the_pooling_of_regions_one_a_layer():
    with torch.device("meta"):
        channels = staged("alexnet", fully_connected="plain", cut="layers", regions=True).channels
    places = {row: network(row).sharing.after for row in ("cross_stitch", "cross_stitch_regions")}
    assert [channels[stage] for stage in places["cross_stitch"]] == [64, 192, 256]
    assert places["cross_stitch"][-1] == COLUMN.pooled_after
    assert set(places["cross_stitch_regions"]) == {*places["cross_stitch"], 5, 6}  # fc6, fc7
    assert all(network(row).sharing.unit.per == "layer" for row in places)
    with torch.device("meta"):
        units = network("cross_stitch").build(weights=False).trunk.units
    assert [tuple(unit.alpha.shape) for unit in units.values()] == [(2, 2)] * 3
    other = COLUMN.model_copy(update={"backbone": "resnet10t", "stages": 5, "pooled_after": 3})
    after = {row.id: row for row in TABLE.rows(other, 0)}["cross_stitch"].evaluations[0].subject.network.sharing.after
    assert after == (0, 1, 2, 3)


def test_all_biases_learn_twice_as_fast_as_in_fast_r_cnn_and_none_decays():
    for row in ("one_task", "mtl_shared", "cross_stitch"):
        subject = ROWS[row].evaluations[0].subject
        with torch.device("meta"):
            built = subject.network.build(weights=False)
        for group in parameter_groups(built, lr=1, weight_decay=0.1, lr_mult=subject.recipe.lr_mult):
            if any(parameter.ndim == 1 for parameter in group["params"]):
                assert (group["lr"], group["weight_decay"]) == (2, 0), group["name"]
            elif group["name"] != "fusion_undecayed":
                assert (group["lr"], group["weight_decay"]) == (1, 0.1), group["name"]


def layers(row: str) -> list[str]:
    with torch.device("meta"):
        shared = network(row).build(weights=False).trunk.shared
    return [name for name, _ in shared.named_parameters() if name.endswith("weight")]


def test_a_split_is_called_by_the_first_layer_that_is_not_shared():
    splits = [row for row in ROWS.values() if row.id.startswith("split") and not row.id.endswith("_longer")]
    assert [network(row.id).sharing.split_after for row in splits] == [1, 2, 3, 4, 5, 6]
    assert [row.id for row in splits if row.printed] == ["split_conv2", "split_fc7"]
    assert layers("split_conv2") == ["0.features_0.weight"]
    up_to_fc6 = [f"{i}.features_{n}.weight" for i, n in enumerate((0, 3, 6, 8, 10))] + ["5.classifier_1.weight"]
    assert layers("split_fc7") == up_to_fc6
    assert len(layers("mtl_shared")) == 7


@pytest.mark.parametrize("backbone", ["alexnet", "vgg11", "vgg16"])
def test_split_fc7_shares_all_but_fc7(backbone):
    stages, pooled_after = regions_of(backbone, (224, 224))
    column = COLUMN.model_copy(update={"backbone": backbone, "stages": stages, "pooled_after": pooled_after})
    rows = {row.id: row for row in TABLE.rows(column, 0)}
    assert rows["split_fc7"].evaluations[0].subject.network.sharing.split_after == stages - 1
    tried = [
        row.evaluations[0].subject.network.sharing.split_after for row in rows.values() if row.id.startswith("split_")
    ]
    assert sorted(tried) == sorted([*range(1, stages)] * 2), "each as long as one-task networks, and longer"


def test_the_ensembles_share_no_network_with_any_row():
    members = {training.identity for value in ROWS["ensemble"].evaluations for training in value.subjects}
    assert len(members) == 4
    assert all(isinstance(value, Ensemble) for value in ROWS["ensemble"].evaluations)
    assert all(t.seed >= ENSEMBLE_SEEDS for value in ROWS["ensemble"].evaluations for t in value.subjects)
    for seed in range(5):
        others = [row for row in TABLE.rows(COLUMN, seed) if not row.id.startswith("ensemble")]
        assert members.isdisjoint(trainings(value for row in others for value in row.evaluations))
    next_seed = {row.id: row for row in TABLE.rows(COLUMN, 4)}["ensemble"]
    assert members.isdisjoint(training.identity for value in next_seed.evaluations for training in value.subjects)


def test_a_cross_stitch_network_starts_from_the_one_task_row_and_trains_a_quarter_as_long():
    alone = {value.subject.network.tasks[0].name: value.subject for value in ROWS["one_task"].evaluations}
    for row in ("cross_stitch", "cross_stitch_regions"):
        value = ROWS[row].evaluations[0]
        assert {task: start.identity for task, start in value.subject.starts.items()} == {
            task: one.identity for task, one in alone.items()
        }
        assert value.subject.recipe.steps == COLUMN.recipe.steps / 4
    assert {value.subject.recipe.steps for value in ROWS["one_task"].evaluations} == {40_000}
    longer = {value.subject.images_seen for value in ROWS["one_task_longer"].evaluations}
    assert longer == {ROWS["cross_stitch"].evaluations[0].subject.images_seen}


def test_the_rows_that_the_paper_lacks():
    splits = {"split_conv2", "split_fc7", *(f"split_{after}" for after in (2, 3, 4, 5))}
    longer = {f"{row}_longer" for row in (*splits, "best_split", "mtl_shared")}
    assert {row.id for row in ROWS.values() if not row.printed} == {
        "constant", "one_task_longer", "ensemble_longer", "best_split", "cross_stitch_regions",
        "cross_stitch_no_exchange", "cross_stitch_regions_no_exchange", *splits - {"split_conv2", "split_fc7"}, *longer,
    }  # fmt: skip
    for row in ("cross_stitch", "cross_stitch_regions"):
        assert ROWS[row].controls == (f"{row}_no_exchange", "one_task_longer")
    assert {ROWS[row].controls for row in longer} == {("one_task_longer",)}
    assert network("mtl_shared_longer") == network("mtl_shared")


def test_the_best_split_is_looked_for_among_all_and_its_networks_are_the_rows_own():
    assert all(isinstance(best, BestOnValidation) for best in BEST)
    assert [(best.measure, best.better) for best in BEST] == [("detection/map", "higher"), ("attributes/map", "higher")]
    assert BEST[0].candidates == BEST[1].candidates
    assert BEST[0].subjects == BEST[1].subjects
    rows = [row.evaluations[0] for row in ROWS.values() if row.id.startswith("split") and "longer" not in row.id]
    assert [value.identity for value in BEST[0].subjects] == [value.identity for value in rows]
    for candidate, subject in zip(BEST[0].candidates, BEST[0].subjects, strict=True):
        assert candidate.data.part == candidate.subject.data.part == "development"
        assert subject.data.part == subject.subject.data.part == "all"
        held = subject.data.model_copy(update={"part": "development"})
        same = subject.subject.model_copy(update={"data": held})
        assert candidate.subject.identity == same.identity, "they differ in their data alone"
        assert candidate.data.identity == held.identity


def test_no_test_image_chooses_the_split(scenes):
    whole = TABLE.column(small(scenes)).data
    held = whole.model_copy(update={"part": "development"})

    def names(data: Data, split: str) -> list[str]:
        dataset = data.split(split, ("detection", "attributes"))
        return [dataset.name_of(index) for index in range(len(dataset))]

    train, chosen_on = names(held, "train"), names(held, "val")
    assert train
    assert chosen_on
    assert set(train).isdisjoint(chosen_on)
    assert {*train, *chosen_on} <= set(names(whole, "train"))
    assert set(names(whole, "val")).isdisjoint(names(whole, "train"))


def record(kind: str, identity: str, **more) -> Record:
    return Record(kind=kind, identity=identity, settings={}, **more)


def scores(detection: float, attributes: float) -> dict[str, float]:
    return {"detection/map": detection, "attributes/map": attributes}


NAN = float("nan")


@pytest.mark.parametrize(
    ("given", "best"),
    [
        ([(10, 10), (30, 5), (20, 16), (0, 0), (1, 1), (9, 9)], (1, 2)),  # a split a task, not the best mean of both
        ([(10, 10), (10, 15), (0, 0), (0, 0), (0, 15), (0, 0)], (0, 1)),  # of equals the first
        ([(NAN, 10), (1, 10), (0, 0), (0, 0), (0, 0), (0, 0)], (1, 0)),
    ],
)
def test_each_tasks_best_candidate_is_chosen_and_its_subject_scored(tmp_path, given, best):
    ledger = Ledger(tmp_path)
    for identity in trainings(BEST):
        ledger.write(record("training", identity))
    for place, (candidate, subject) in enumerate(zip(BEST[0].candidates, BEST[0].subjects, strict=True)):
        ledger.write(record("evaluation", candidate.identity, metrics=scores(*given[place])))
        ledger.write(record("evaluation", subject.identity, metrics=scores(place, 90 - place), data={"test_images": 7}))
    engine = Engine(ledger, Runtime(device="cpu", progress=False))
    detection, attributes = engine.run(BEST).values()
    assert detection.metrics == {"detection/map": best[0]}
    assert attributes.metrics == {"attributes/map": 90 - best[1]}
    assert [found.data for found in (detection, attributes)] == [{"test_images": 7, "chosen": one} for one in best]


def test_a_column_finds_its_proposals_and_is_the_same_again(scenes):
    column = TABLE.column(small(scenes))
    assert column.identity == TABLE.column(small(scenes)).identity
    again = TABLE.columns.model_validate(column.model_dump(mode="json"))
    assert again.identity == column.identity
    for one, other in zip(TABLE.rows(column, 0), TABLE.rows(again, 0), strict=True):
        assert [value.identity for value in one.evaluations] == [value.identity for value in other.evaluations]
    assert str(scenes) not in column.model_dump_json()
    assert (column.classes, column.attributes) == (parts.CLASSES, parts.ATTRIBUTES)
    assert (column.train_images, column.recipe.steps) == (20, 5)
    assert column.skipped == {}
    (test,) = column.data.splits("val", ("detection",))
    assert column.data.kept_proposals.prepare(test) == 0, "they were found when the column was made"
    assert len(test[0]["proposals"])


def test_too_few_images_for_a_development_part_are_refused_before_proposals_are_looked_for(tmp_path, monkeypatch):
    parts.write(tmp_path / "own", seed=0, train=4, val=2, size=(48, 64))
    looked = []
    monkeypatch.setattr(Proposals, "prepare", lambda *given, **more: looked.append(given))
    with pytest.raises(InputError, match=r"needs at least 10 training images, .* there are 4"):
        TABLE.column(small(tmp_path / "own", split="development"))
    assert looked == []


def test_what_a_world_draws_follows_from_its_profile():
    column = TABLE.column(CrossStitchOptions(epochs=1))
    assert (column.data.layout, column.data.name, column.train_images) == ("apascal", "parts", 24)
    assert column.data.proposals == SelectiveSearch(least_side=8)
    assert column.data.fingerprint == f"parts-r{parts.REVISION}-s0-24-12"


def test_rows_left_out_are_on_the_card(spoilt):
    with pytest.raises(InputError, match=r"apascal_train\.txt, line \d+, has the class 'dragon'"):
        TABLE.column(small(spoilt))
    column = TABLE.column(small(spoilt, on_error="skip"))
    assert column.skipped == {"unknown class": 1, "empty box": 1, "box outside its image": 1, "missing image": 1}
    card = {what: ours for what, _, ours in TABLE.protocol(column)}
    for reason in column.skipped:
        assert f"1 ({reason})" in card["Rows left out"]
    assert column.data.faulty == "skip"
    assert len(column.data.split("train", ("detection",))) == column.train_images == 6
    again = TABLE.columns.model_validate(column.model_dump(mode="json"))
    assert again.identity == column.identity
    assert TABLE.protocol(again) == TABLE.protocol(column)


def test_the_card_names_both_sides():
    for column in (COLUMN, TABLE.column(CrossStitchOptions(epochs=1))):
        card = {what: (theirs, ours) for what, theirs, ours in TABLE.protocol(column)}
        assert all(theirs and ours for theirs, ours in card.values())
        assert card["Rows left out"][1] == "none"
    card = {what: ours for what, _, ours in TABLE.protocol(COLUMN)}
    assert "pool1, pool2" in card["Units"]
    assert "21 classes" in card["Losses"]
    assert "64 attributes" in card["Losses"]
    assert "at most 25%" in card["Regions a step"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"output_stride": 16}, "takes no output_stride; leave it out"),
        ({"dataset": "apascl"}, "apascl"),
        ({"dataset": "rooms"}, "valid are apascal, parts"),
        ({"dataset": "apascal"}, "needs a folder: set data_root"),
        ({"dataset": "parts", "data_root": "/tmp"}, "parts needs no data_root"),
        ({"data_root": "/nowhere"}, "no folder /nowhere"),
        ({"data_root": ["a", "b"]}, "takes one data set, not 2"),
        ({"profile": "paper"}, "needs a folder: set data_root"),
        ({"backbone": "alexnat"}, "alexnat"),
    ],
)
def test_a_wrong_choice_is_one_sentence(given, says):
    with pytest.raises(InputError, match=says) as caught:
        TABLE.column(CrossStitchOptions(**given))
    assert "\n" not in str(caught.value)


def test_an_unknown_way_with_faulty_rows_is_refused():
    with pytest.raises(InputError, match="raise, skip"):
        CrossStitchOptions(on_error="ignore")


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": 1.25, "seeds": (2, 5)},
        {"on_error": "skip", "lr": 3e-4, "backbone": "resnet10t"},
        {"image_size": (64, 80), "batch_size": 3},
    ],
    ids=lambda given: "+".join(given),
)
def test_the_command_on_the_card_gives_the_same_column(given, spoilt, scenes, monkeypatch):
    column = TABLE.column(small(spoilt if "on_error" in given else scenes, **given))
    typed = []

    def caught(table, options, **_):
        typed.append(table.column(options))
        raise InputError("nothing is run here")

    monkeypatch.setattr(reproduce, "reproduce", caught)
    folder = str(spoilt if "on_error" in given else scenes)
    command, *words = shlex.split(column.command.replace("FOLDER", folder))
    assert command == "mtlkit"
    assert words[:3] == ["run", "cross_stitch", "6"]
    result = CliRunner().invoke(app, words)
    assert typed, result.output
    assert typed[0].identity == column.identity


def test_rows_run_on_a_folder_of_ones_own(scenes, tmp_path):
    column = TABLE.column(small(scenes))
    runtime = Runtime(device="cpu", progress=False)
    found = reproduce.reproduce(
        TABLE,
        small(scenes),
        runtime=runtime,
        results=reproduce.Results(tmp_path),
        methods=["constant", "split_conv2", "cross_stitch"],
    )
    for row in ("constant", "split_conv2", "cross_stitch"):
        for measure in TABLE.measures.values():
            (value,) = found.cell(row, measure).values
            assert 0 <= value <= 100
    rows = {row.id: row for row in TABLE.rows(column, 0)}
    ledger = Ledger(tmp_path / "smoke")
    (evaluation,) = rows["split_conv2"].evaluations
    assert ledger.find("evaluation", evaluation.identity).data["test_images"] == 4
    assert ledger.find("training", evaluation.subject.identity).data["train_images"] == 20


def test_the_record_of_a_candidate_says_which_images_it_had(scenes, tmp_path):
    column = TABLE.column(small(scenes))
    best, _ = {row.id: row for row in TABLE.rows(column, 0)}["best_split"].evaluations
    candidate = best.candidates[0].subject
    found = record_of(Engine(Ledger(tmp_path), Runtime(device="cpu", progress=False)), candidate)
    train = candidate.data.split("train", ("detection", "attributes"))
    assert found.data["train_images"] == len(train) < 20
    assert len(found.data["parts"]) == 1


def test_networks_that_look_at_regions_are_ensembled_and_snapshotted(scenes, tmp_path):
    column = TABLE.column(small(scenes))
    (value,) = {row.id: row for row in TABLE.rows(column, 0)}["mtl_shared"].evaluations
    training, data = value.subject, value.data
    several = snapshots(training, data, count=2, every=1)
    ensembled = [SnapshotEnsemble(snapshots=some) for some in (several[-1:], several)]
    goals = [value, Ensemble(subjects=(training,), data=data), *ensembled]
    found = Engine(Ledger(tmp_path), Runtime(device="cpu", progress=False)).run(goals)
    scored, alone, last, both = (found[goal.identity].metrics for goal in goals)
    assert {"detection/map", "attributes/map"} <= set(scored)
    assert alone == scored
    assert {name: score for name, score in last.items() if not name.startswith("last/")} == pytest.approx(scored)
    assert {name.removeprefix("last/") for name in both if name.startswith("last/")} == set(scored)
