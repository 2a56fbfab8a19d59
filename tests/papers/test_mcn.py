"""The declaration of MultiTask-CenterNet's tables."""

import json

import pytest
import torch

from mtlkit import papers
from mtlkit.data.transforms import CentredCrop
from mtlkit.engine import Engine
from mtlkit.errors import InputError
from mtlkit.evaluations import Speed, TestEvaluation
from mtlkit.ledger import Ledger
from mtlkit.necks import Deconvolution, DLAUp, Shortcut, Upsampling
from mtlkit.papers.mcn.options import MCNOptions
from mtlkit.papers.mcn.tables import LOSS_WEIGHTS, ROWS, CenterColumn, neck_name, neck_of
from mtlkit.papers.printed import printed
from mtlkit.runs import trainings
from mtlkit.runtime import Runtime
from mtlkit.worlds import people

TABLE2, TABLE4, FIGURE7 = (papers.table("mcn", number) for number in ("2", "4", "F7"))


def test_every_printed_row_is_declared_and_builds(counted):
    lines = counted["papers"]["mcn"]["tables"]
    assert {name: (lines[name]["rows"], lines[name]["runnable"]) for name in ("2", "4", "F7")} == {
        "2": (5, 5), "4": (7, 7), "F7": (2, 2),
    }  # fmt: skip


def test_each_row_has_the_heads_of_its_name():
    rows = {row.id: row for row in TABLE2.rows(TABLE2.meta_column(), 0)}
    for name, (_, predicted) in ROWS.items():
        network = rows[name].evaluations[0].subject.network
        found = {read for task in network.tasks for read in task.reads}
        assert found == set(predicted)
        assert network.neck == DLAUp.Settings()
        assert all(head.width == 256 for head in (network.head, *network.heads.values()))


def test_the_loss_is_weighted_as_printed():
    recipe = TABLE2.meta_column().recipe
    assert recipe.loss_weights == LOSS_WEIGHTS == {"detection/size": 0.1, "segmentation/cross_entropy": 5.0}


@pytest.mark.parametrize(
    ("backbone", "name", "neck"),
    [
        ("dla34", "dla_up", DLAUp.Settings()),
        ("resnet18", "deformable_deconvolution", Deconvolution.Settings(widths=(256, 128, 64), deformable=True)),
        ("mobilenetv2_100", "upsampling", Upsampling.Settings()),
    ],
)
def test_a_neck_goes_with_the_backbone_and_can_be_named(backbone, name, neck):
    assert neck_of(backbone, None) == neck_of("anything", name) == neck
    assert neck_name(neck) == name


def test_a_neck_that_no_option_names_has_no_name():
    with pytest.raises(InputError, match="no neck shortcut"):
        neck_name(Shortcut.Settings())


def test_sums_of_networks_are_sums():
    rows = {row.id: row.evaluations[0] for row in TABLE4.rows(TABLE4.meta_column(), 0)}
    assert all(isinstance(value, Speed) for value in rows.values())
    single = {name: rows[name].networks for name in ("only_seg", "only_det", "det_pose")}
    assert rows["stn_two"].networks == single["only_seg"] + single["only_det"]
    assert rows["stn_three"].networks == single["only_seg"] + single["only_det"] + single["det_pose"]
    assert all(value.reference == rows["seg_det_pose"].networks for value in rows.values())
    assert len(rows["seg_det_pose"].networks) == 1


def test_the_segmentation_of_table_4_leaves_the_network_at_512():
    networks = {row.id: row.evaluations[0].networks[0] for table in (TABLE4, FIGURE7)
                for row in table.rows(table.meta_column(), 0)}  # fmt: skip
    for name, side in (("only_seg", 512), ("triple_mcn", 128)):
        with torch.device("meta"):
            network = networks[name].build(weights=False).eval()
            assert network(torch.empty(1, 3, 512, 512))["segmentation"].shape == (1, 2, side, side)


def test_a_column_is_the_same_again_and_spells_its_command():
    options = MCNOptions(image_size=(64, 64), epochs=1, neck="upsampling", as_official=True)
    column = TABLE2.column(options)
    assert column.identity == TABLE2.column(options).identity
    assert TABLE2.columns.model_validate(column.model_dump(mode="json")).identity == column.identity
    for option in ("--neck upsampling", "--classes person", "--as-official true", "--dataset people"):
        assert option in column.command
    speed = TABLE4.column(MCNOptions())
    assert TABLE4.columns.model_validate(speed.model_dump(mode="json")).identity == speed.identity


def test_rows_without_masks_or_joints_are_left_out_and_named(tmp_path):
    people.write(tmp_path / "people", train=3, val=2, size=(48, 48))
    for file in (tmp_path / "people/annotations").glob("instances*"):
        content = json.loads(file.read_text())
        for annotation in content["annotations"]:
            del annotation["segmentation"]
        file.write_text(json.dumps(content))
    column = TABLE2.column(MCNOptions(data_root=tmp_path / "people", image_size=(64, 64)))
    assert [row.id for row in TABLE2.rows(column, 0)] == ["constant", "only_det", "det_pose"]
    (line,) = [ours for name, _, ours in TABLE2.protocol(column) if name == "Not in the data"]
    assert line == "masks: the rows that need them are left out"


def test_trainings_with_joints_have_a_revision_that_stored_columns_keep():
    column = TABLE2.column(MCNOptions())

    def revisions(column):
        rows = [row for row in TABLE2.rows(column, 0) if row.id != "constant"]
        return {row.id: training.revision for row in rows for training in trainings(row.evaluations).values()}

    assert {row for row, revision in revisions(column).items() if revision == 2} == {"det_pose", "seg_det_pose"}
    stored = CenterColumn(**{k: v for k, v in column.model_dump().items() if k != "poses"})
    assert set(revisions(stored).values()) == {1}
    assert papers.table("mcn", "3").column(MCNOptions()).poses == 1, "no joints are read"


def test_other_classes_are_kept_where_there_is_no_person(shared):
    column = TABLE2.column(MCNOptions(data_root=shared / "data" / "animalpose", image_size=(64, 64)))
    assert column.classes == ("dog", "cat", "sheep", "horse", "cow")
    assert len(column.joints) == 20
    assert not column.masks


@pytest.mark.parametrize(
    ("profile", "batch_size", "lr"), [("paper", None, 5e-4), ("paper", 32, 1.25e-4), ("paper", 96, 3.75e-4)]
)
def test_the_rate_follows_the_batch_as_in_the_official_code(profile, batch_size, lr):
    # src/lib/opts.py: 1.25e-4 for a batch of 32; experiments/: 5e-4 for 128, 3.75e-4 for 96.
    assert MCNOptions(profile=profile, batch_size=batch_size).filled("2").lr == pytest.approx(lr)
    assert MCNOptions(profile=profile, batch_size=batch_size, lr=0.1).filled("2").lr == 0.1


def test_crops_and_crowds_are_those_of_the_official_code():
    column = TABLE2.meta_column()
    augmentation = column.recipe.augmentation
    assert isinstance(augmentation, CentredCrop)
    assert augmentation.lengths == pytest.approx([0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3])
    detectors = [task for row in TABLE2.rows(column, 0) if row.id in ROWS
                 for task in row.evaluations[0].subject.network.tasks if task.name == "detection"]  # fmt: skip
    assert {task.crowds for task in detectors} == {"object"}
    lines = {what: (print_, ours) for what, print_, ours in TABLE2.protocol(column)}
    assert "one object" in lines["Crowds"][0]
    assert "one object" in lines["Crowds"][1]
    assert "kept" in lines["Images without an object"][1]


def test_images_without_a_person_are_counted_on_the_card(tmp_path):
    people.write(tmp_path / "people", train=6, val=2, size=(48, 48))
    for file in (tmp_path / "people/annotations").glob("*train*"):
        content = json.loads(file.read_text())
        first = content["images"][0]["id"]
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] != first]
        file.write_text(json.dumps(content))
    column = TABLE2.column(MCNOptions(data_root=tmp_path / "people", image_size=(64, 64)))
    (line,) = [ours for name, _, ours in TABLE2.protocol(column) if name == "Images without an object"]
    assert line.endswith("1 of 6")


@pytest.mark.parametrize(
    ("empty", "part", "images", "use"),
    [("train", "test", 20, "train on"), ("val", "test", 4, "score"), ("train", "development", 15, "train on")],
)
@pytest.mark.parametrize("kept", [None, ("dog", "person")])
def test_a_split_without_any_object_of_the_classes_is_no_column(empty, part, images, use, kept, tmp_path):
    people.write(tmp_path / "people", train=20, val=4, size=(48, 48))
    for file in (tmp_path / "people/annotations").glob(f"*{empty}*"):
        content = json.loads(file.read_text())
        file.write_text(json.dumps(content | {"annotations": []}))
    options = MCNOptions(data_root=tmp_path / "people", image_size=(64, 64), split=part, classes=kept)
    of = "person" if kept is None else "dog, person"
    with pytest.raises(InputError, match=rf"^The {images} images of people to {use} hold no object of {of}; annotate"):
        TABLE2.column(options)


def test_three_tasks_take_fewer_parameters_than_is_printed():
    row = {row.id: row for row in TABLE4.rows(TABLE4.meta_column(), 0)}["seg_det_pose"]
    with torch.device("meta"):
        network = row.evaluations[0].networks[0].build(weights=False)
    assert sum(p.numel() for p in network.parameters()) == 20_218_844  # 20.52 M in print


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"classes": ("persn",)}, "persn"),
        ({"dataset": "peple"}, "peple"),
        ({"neck": "dlaup"}, "dlaup"),
    ],
)
def test_wrong_choices_are_one_sentence(wrong, says):
    with pytest.raises(InputError, match=says):
        TABLE2.column(MCNOptions(**wrong))


def test_a_row_runs_and_a_network_is_timed(tmp_path):
    engine = Engine(Ledger(tmp_path / "ledger"), Runtime(device="cpu", progress=False))
    column = TABLE2.column(MCNOptions(image_size=(64, 64), epochs=0.2))
    rows = {row.id: row for row in TABLE2.rows(column, 0)}
    (value,) = rows["seg_det_pose"].evaluations
    assert isinstance(value, TestEvaluation)
    metrics = engine.run([value])[value.identity].metrics
    assert {"segmentation/iou/person", "detection/ap", "detection/pose_ap"} <= metrics.keys()
    fast = TABLE4.column(MCNOptions(image_size=(64, 64)))
    (timed,) = {row.id: row for row in TABLE4.rows(fast, 0)}["stn_two"].evaluations
    timed = timed.model_copy(update={"rounds": 3})
    found = engine.run([timed])[timed.identity].metrics
    assert found["speed/ms"] > 0
    assert found["speed/fps"] == pytest.approx(1000 / found["speed/ms"])
    networks = [one.build(weights=False) for one in timed.networks]
    assert found["speed/parameters"] == sum(p.numel() for net in networks for p in net.parameters())


def test_the_print_has_the_measures():
    for table in (TABLE2, TABLE4, FIGURE7):
        assert {column.id for column in printed("mcn").tables[table.id].columns} <= table.measures.keys()
