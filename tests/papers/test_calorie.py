"""The declaration of the calorie tables."""

import csv

import pytest
import torch
from builders import plate_data

from mtlkit import papers
from mtlkit.campaign import Wanted
from mtlkit.engine import Engine
from mtlkit.errors import InputError
from mtlkit.evaluations import Retrieval, SnapshotEnsemble, TestEvaluation
from mtlkit.ledger import Ledger
from mtlkit.network import Weights
from mtlkit.papers.calorie.options import CalorieOptions
from mtlkit.papers.calorie.tables import fully_connected, joint_learning, regression
from mtlkit.papers.printed import printed
from mtlkit.runs import trainings
from mtlkit.runtime import Runtime

TABLES = {number: papers.table("calorie", number) for number in "12345"}
SMALL = {"image_size": (48, 48), "epochs": 0.1}


@pytest.fixture(scope="module")
def column():
    return TABLES["4"].column(CalorieOptions(**SMALL))


@pytest.fixture
def own(tmp_path):
    """Plates as a reader's own table, with other names for its columns."""
    plate_data(tmp_path / "own")
    file = tmp_path / "own/manifest.csv"
    rows = list(csv.DictReader(file.open()))
    names = {"image": "image", "kcal": "energy", "category": "food", "group": "dish", "split": "split"}
    with file.open("w", newline="") as out:
        table = csv.DictWriter(out, list(names.values()))
        table.writeheader()
        table.writerows({names[key]: value for key, value in row.items()} for row in rows)
    return tmp_path / "own", {"kcal": "energy", "category": "food", "group": "dish"}


@pytest.mark.parametrize(("kcal", "mean"), [("0", "0"), ("0.04", "0"), ("3e38", "inf")])
@pytest.mark.parametrize("number", ["4", "5"])
def test_energies_whose_mean_is_no_unit_are_refused(kcal, mean, number, own):
    folder, columns = own
    file = folder / "manifest.csv"
    rows = list(csv.DictReader(file.open()))
    with file.open("w", newline="") as out:
        table = csv.DictWriter(out, rows[0])
        table.writeheader()
        table.writerows(row | {"energy": kcal} for row in rows)
    with pytest.raises(InputError) as caught:
        TABLES[number].column(CalorieOptions(dataset="manifest", data_root=folder, columns=columns, **SMALL))
    assert f"The mean of column 'energy' over the 30 training images of own is {mean};" in str(caught.value)


def test_every_printed_row_is_declared_and_builds(counted):
    lines = counted["papers"]["calorie"]["tables"]
    assert {name: (line["rows"], line["runnable"]) for name, line in lines.items()} == {
        "1": (6, 6), "2": (3, 3), "3": (9, 9), "4": (6, 6), "5": (3, 3),
    }  # fmt: skip


def test_the_print_has_the_measures():
    for table in TABLES.values():
        assert {column.id for column in printed("calorie").tables[table.id].columns} == table.measures.keys()


def test_rows_that_the_paper_repeats_are_the_same_runs():
    """Table 4 repeats rows of Tables 1 and 3; what is trained for one is there for the other."""
    rows = {}
    for number in "34":
        table = TABLES[number]
        column = table.column(CalorieOptions(**SMALL))
        rows[number] = {row.id: row.evaluations[0].identity for row in table.rows(column, 0)}
    for k in (5, 10, 15):
        assert rows["3"][f"uecfood100_fc6_k{k}"] == rows["4"][f"joint_k{k}"]
    assert rows["3"]["imagenet_fc6_k10"] == rows["4"]["untrained_k10"]


def test_the_printed_network_is_vgg_16_with_fc7_a_task_and_printed_steps():
    table = TABLES["4"]
    rows = {row.id: row.evaluations[0] for row in table.rows(table.meta_column(), 0)}
    multi = rows["vgg16_multi"]
    assert isinstance(multi, SnapshotEnsemble)
    training = multi.subject
    assert (training.recipe.steps, training.recipe.batch_size, training.recipe.lr) == (70_000, 8, 1e-3)
    assert [training.recipe.lr_factor(step) for step in (0, 49_999, 50_001)] == [1, 1, pytest.approx(0.1)]
    assert [one.step for one in multi.snapshots] == list(range(69_100, 70_001, 100))
    assert rows["baseline"].subject.recipe.steps == 20_000
    learning = rows["joint_k5"].features.subject
    assert (learning.recipe.steps, learning.recipe.batch_size, learning.recipe.lr) == (10_000, 24, 1e-4)
    with torch.device("meta"):
        network = training.network.build(weights=False)
        embedded = learning.network.build(weights=False)
    assert set(network.trunk.branches) == {"calories", "category"}
    own = dict(network.trunk.branches["calories"][0].named_children())
    assert own["pre_logits_fc2"].weight.shape == (4096, 4096, 1, 1)
    assert embedded.heads["category"].classifier.in_features == 4096


def test_both_tasks_reach_the_trunk_and_neither_the_others_layers(column):
    training = regression(column, 0, category=True).subject
    network = training.network.build()
    outputs = network(torch.rand(4, 3, 48, 48))
    for task, target in (("calories", torch.rand(4) * 300), ("category", torch.arange(4))):
        network.zero_grad()
        sum(network.tasks[task].losses(outputs[task], target).values()).backward(retain_graph=True)
        reached = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        other = {"calories": "category", "category": "calories"}[task]
        assert any(name.startswith("trunk.shared.") for name in reached)
        assert any(name.startswith(f"heads.{task}.hidden") for name in reached)
        assert not any(name.startswith(f"heads.{other}.") for name in reached)


def test_fully_connected_layers_are_used_where_the_weights_have_them(shared):
    assert fully_connected("vgg16", Weights(source="timm")) == "plain"
    assert fully_connected("resnet50", Weights(source="timm")) == "none"
    assert fully_connected("vgg16", Weights()) == "none"
    path = shared / "weights" / "vgg16.tv_in1k.features.fp16.safetensors"
    assert fully_connected("vgg16", Weights(source="file", sha256="", path=path)) == "none"


def test_a_readers_table_with_other_columns_runs_and_spells_its_command(own, tmp_path):
    folder, columns = own
    options = CalorieOptions(data_root=folder, columns=columns, averaging="last", balance="end", **SMALL)
    table = TABLES["4"]
    column = table.column(options)
    assert (column.data.name, column.other.name, column.portions) == ("own", "own", (15, 15))
    assert table.columns.model_validate(column.model_dump(mode="json")).identity == column.identity
    for option in ("--columns kcal=energy,category=food,group=dish", "--averaging last", "--dataset manifest"):
        assert option in column.command
    assert column.command.count("--dataset") == column.command.count("--data-root") == 1
    rows = {row.id: row.evaluations[0] for row in table.rows(column, 0)}
    assert isinstance(rows["vgg16_single"], TestEvaluation)
    assert isinstance(rows["joint_k5"], Retrieval)
    engine = Engine(Ledger(tmp_path / "ledger"), Runtime(device="cpu", progress=False))
    found = engine.run([rows["given"], rows["untrained_k10"], rows["joint_k15"]])
    assert all(record.metrics["calories/abs_err"] > 0 for record in found.values())


def test_a_readers_folder_may_be_called_as_the_world(own, tmp_path):
    folder, columns = own
    folder = folder.rename(tmp_path / "plates")
    column = TABLES["4"].column(CalorieOptions(data_root=folder, columns=columns, **SMALL))
    assert column.other == column.data


def test_joint_learning_takes_another_layout(own, tmp_path):
    from mtlkit.worlds import places

    folder, columns = own
    places.write(tmp_path / "places", train=2, val=1, classes=places.CLASSES[:3])
    options = CalorieOptions(
        dataset=("manifest", "imagefolder"), data_root=(folder, tmp_path / "places"), columns=columns, **SMALL
    )
    column = TABLES["3"].column(options)
    training = joint_learning(column, 0)
    assert (column.other.name, column.other_categories, training.recipe.samples_per_class) == ("places", 3, 2)
    named = [ours for name, _, ours in TABLES["3"].protocol(column) if name == "Joint learning"]
    assert "stand-in: places" in named[0]
    assert "--dataset manifest,imagefolder --data-root FOLDER,FOLDER" in column.command
    Engine(Ledger(tmp_path / "ledger"), Runtime(device="cpu", progress=False)).run([training])


def test_drawn_portions_are_named_once_and_found_by_their_campaign(column):
    """The set that joint learning learns from by default was spelled out, so no settings gave the column."""
    assert column.options().dataset == ("plates",)
    assert Wanted(TABLES[column.table], CalorieOptions(dataset="plates", **SMALL)).gives(column)


def test_the_first_run_is_one_for_all_seeds(column):
    several = column.model_copy(update={"seeds": (0, 1, 2)})
    needed = trainings(regression(several, seed, category=False) for seed in several.seeds)
    assert len(needed) == 4
    # A seed's training is the same whichever others are asked for.
    alone = several.model_copy(update={"seeds": (2,)})
    assert trainings([regression(alone, 2, category=False)]).keys() < needed.keys()


def test_rows_of_joint_learning_say_what_they_learn_from(column, tmp_path):
    def said(one):
        return next(row.what for row in papers.table("calorie", "4").rows(one, 0) if row.id == "joint_k5")

    assert said(column.model_copy(update={"other": column.data})).endswith("trained on these very images")
    elsewhere = column.model_copy(update={"other": column.data.model_copy(update={"fingerprint": "another"})})
    assert said(elsewhere).endswith("trained on another set")


def test_table_5_reads_no_categories(own):
    folder, columns = own
    column = TABLES["5"].column(CalorieOptions(data_root=folder, columns=columns, **SMALL))
    assert column.categories == ()
    assert column.other is None
    assert {row.id for row in TABLES["5"].rows(column, 0)} == {
        "constant", "imagenet_fc6_k10", "imagenet_fc7_k10", "vgg16_single",
    }  # fmt: skip


def test_table_5_has_the_large_sets_length_drop_and_card():
    table = TABLES["5"]
    column = table.meta_column()
    (value,) = {row.id: row for row in table.rows(column, 0)}["vgg16_single"].evaluations
    recipe = value.subject.recipe
    assert (recipe.steps, recipe.batch_size, recipe.lr) == (200_000, 8, 1e-3)
    assert [recipe.lr_factor(step) for step in (149_999, 150_001)] == [1, pytest.approx(0.1)]
    assert [one.step for one in value.snapshots] == list(range(199_100, 200_001, 100))
    # The passes of the profile are the printed steps on the printed images; of the small set's tables 70,000.
    for number, images, steps in (("5", 55_019, 200_000), ("4", 3_414, 70_000)):
        options = CalorieOptions(profile="paper").filled(number)
        assert options.epochs * images / options.batch_size == pytest.approx(steps, rel=1e-3)
    lines = {what: (print_, ours) for what, print_, ours in table.protocol(column)}
    assert lines["Budget"][0] == "150k steps at 0.001, 50k at 0.0001; batch unstated"
    assert lines["Budget"][1].startswith("200000 steps of 8 at 0.001, the last 25% at a tenth")


@pytest.mark.parametrize(("number", "share"), [("5", 0.2), ("1", 0.3)])
def test_a_table_without_a_split_is_cut_as_the_papers_set_was(number, share, tmp_path):
    plate_data(tmp_path / "own", train=30, val=30)
    file = tmp_path / "own/manifest.csv"
    rows = list(csv.DictReader(file.open()))
    with file.open("w", newline="") as out:
        table = csv.DictWriter(out, [name for name in rows[0] if name != "split"], extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    column = TABLES[number].column(CalorieOptions(data_root=tmp_path / "own", **SMALL))
    train, test = column.portions
    assert test / (train + test) == pytest.approx(share, abs=0.01)
    # Networks train and are scored on the same two sides.
    sides = [set(column.data.split(split, ("calories",)).groups) for split in ("train", "val")]
    assert (len(sides[0]), len(sides[1])) == (train, test)
    assert not sides[0] & sides[1]


def test_joint_learning_sees_no_dish_of_the_development_part(tmp_path):
    plate_data(tmp_path / "own", train=45)
    given = {"data_root": tmp_path / "own", "split": "development"} | SMALL
    plain = TABLES["4"].column(CalorieOptions(**given))
    assert plain.other == plain.data
    (scored,) = {row.id: row for row in TABLES["4"].rows(plain, 0)}["joint_k5"].evaluations
    assert scored.features.subject.data.part == scored.features.data.part == "development"


@pytest.mark.parametrize(
    ("table", "given", "sentence"),
    [
        ("4", {"dataset": "plate"}, "did you mean 'plates'"),
        ("4", {"dataset": ("plates", "platse")}, "did you mean 'plates'"),
        ("4", {"dataset": ("plates", "imagefolder")}, "take 1 folder in data_root, not 0|needs a folder"),
        ("4", {"dataset": "manifest"}, "needs a folder"),
        ("4", {"data_root": "/nowhere"}, "There is no folder /nowhere"),
        ("4", {"data_root": ("/a", "/b")}, "take 1 folder in data_root, not 2"),
        ("4", {"columns": {"kcals": "energy"}}, "did you mean 'kcal'"),
        ("4", {"columns": "kcal"}, "The parameter columns must be"),
        ("4", {"averaging": "mean"}, "There is no averaging 'mean'"),
        ("4", {"balance": "some"}, "There is no balance 'some'"),
        ("4", {"profile": "paper"}, "needs a folder"),
        ("1", {"backbone": "resnet18"}, "Table 1 compares three backbones"),
        ("1", {"weights": "some.safetensors"}, "no single file holds"),
        ("5", {"dataset": ("plates", "plates")}, "Table 5 takes one data set"),
        ("1", {"dataset": ("plates", "plates")}, "Table 1 takes one data set"),
    ],
)
def test_a_wrong_choice_is_one_sentence(table, given, sentence):
    with pytest.raises(InputError, match=sentence):
        TABLES[table].column(CalorieOptions(**given))


def test_a_faulty_row_is_named_or_skipped(own, tmp_path):
    folder, columns = own
    file = folder / "manifest.csv"
    lines = file.read_text().splitlines()
    fields = lines[3].split(",")
    lines[3] = ",".join([fields[0], "-5", *fields[2:]])
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"manifest.csv, row 4, has -5 kcal"):
        TABLES["4"].column(CalorieOptions(data_root=folder, columns=columns, **SMALL))
    column = TABLES["4"].column(CalorieOptions(data_root=folder, columns=columns, on_error="skip", **SMALL))
    assert column.train_images == 29


def test_real_portions_are_on_one_side(shared):
    columns = {"kcal": "energy_kcal", "category": "food", "group": "portion"}
    column = TABLES["4"].column(CalorieOptions(data_root=shared / "data" / "ecustfd", columns=columns, **SMALL))
    assert (column.train_images, column.portions, len(column.categories)) == (836, (108, 38), 19)
    assert column.unit == pytest.approx(125, abs=1)
    parts = column.data.model_copy(update={"part": "development"})
    train, held = (parts.split(split, ("calories", "category")) for split in ("train", "val"))
    assert not set(train.groups) & set(held.groups)
    assert len(train) + len(held) == 836
