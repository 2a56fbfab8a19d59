"""Tables 1, 3 and X1 of MultiTask-CenterNet: networks of all classes, and their scores on persons."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from faster_coco_eval import COCO
from faster_coco_eval.core import COCOeval_faster

from mtlkit import papers
from mtlkit.data.samples import collate
from mtlkit.engine import Engine
from mtlkit.ledger import Ledger
from mtlkit.papers.mcn.class_subset import segmented
from mtlkit.papers.mcn.counts import counts_table, image_counts
from mtlkit.papers.mcn.options import MCNOptions
from mtlkit.report.side_by_side import SideBySide
from mtlkit.runs import Training, trainings
from mtlkit.runtime import Runtime
from mtlkit.worlds import people

ALL, PERSONS, BOTH, MIXED = (papers.table("mcn", number) for number in ("1", "2", "3", "X1"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people") / "people"
    people.write(folder, train=24, val=10, size=(64, 64))
    return folder


@pytest.fixture(scope="module")
def columns(root):
    options = MCNOptions(data_root=root, image_size=(64, 64), epochs=2, batch_size=4)
    return {table.id: table.column(options) for table in (ALL, PERSONS, BOTH, MIXED)}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return Engine(Ledger(tmp_path_factory.mktemp("results")), Runtime(device="cpu", progress=False))


def test_every_printed_row_is_declared_and_builds(counted):
    lines = counted["papers"]["mcn"]["tables"]
    found = {name: (lines[name]["rows"], lines[name]["runnable"]) for name in ("1", "3", "X1")}
    assert found == {"1": (3, 3), "3": (3, 3), "X1": (1, 1)}
    assert all(counted["systems"][f"S{number}"] for number in range(46, 61))


def test_all_classes_by_default_and_a_command_that_says_so(columns):
    assert columns["1"].classes == columns["X1"].classes == people.CLASSES
    assert columns["2"].classes == columns["3"].classes == ("person",)
    assert "--classes" not in columns["1"].command
    assert "--classes person" in columns["3"].command
    assert columns["X1"].joints
    assert not columns["1"].joints
    for table in (ALL, BOTH, MIXED):
        column = columns[table.id]
        assert table.columns.model_validate(column.model_dump(mode="json")).identity == column.identity
        again = MCNOptions(
            **{name: value for name, value in column.decided().items() if name in MCNOptions.model_fields}
        )
        assert table.column(again).identity == column.identity


def test_nothing_is_trained_for_table_3(columns):
    def needed(table):
        rows = table.rows(columns[table.id], 0)
        return trainings(value for row in rows for value in row.evaluations).keys()

    assert needed(BOTH) < needed(ALL) | needed(PERSONS)
    assert len(needed(BOTH)) == 6


def test_ways_of_scoring_train_nothing_anew(root, columns):
    given = {"data_root": root, "image_size": (64, 64), "epochs": 2, "batch_size": 4}
    column = BOTH.column(MCNOptions(**given, flip_test=True, original_resolution=True))
    assert BOTH.column(column.options()).identity == column.identity != columns["3"].identity
    rows, plain = (BOTH.rows(one, 0) for one in (column, columns["3"]))
    every = [[value for row in some if row.printed for value in row.evaluations] for some in (rows, plain)]
    assert trainings(every[0]).keys() == trainings(every[1]).keys()
    assert all(value.mirrored and value.native for value in every[0])
    lines = {what: ours for what, _, ours in BOTH.protocol(column)}
    assert lines["Test-time augmentation"] == "mirror images, outputs averaged"
    assert lines["Resolution"].endswith("scored at the images' own")


def test_the_mixed_network_has_a_heat_map_a_class_and_joints(columns):
    (row,) = (row for row in MIXED.rows(columns["X1"], 0) if row.printed)
    detection, segmentation = row.evaluations[0].subject.network.tasks
    assert (detection.classes, len(detection.joints)) == (people.CLASSES, 17)
    assert segmentation.classes == ("background", *people.CLASSES)


def test_pixels_of_other_classes_are_background():
    ids = torch.tensor([[0, 1], [2, 3]])
    assert segmented(ids, ("background", "a", "b", "c"), ("c", "a")).tolist() == [[0, 2], [0, 1]]


@pytest.fixture
def lively(monkeypatch):
    """Trained networks that name every class somewhere, which a dozen steps do not bring about."""
    trained = Training.trained

    def normalised(training, context):
        network = trained(training, context)
        network.heads["segmentation"].register_forward_hook(lambda head, given, output: F.instance_norm(output))
        return network

    monkeypatch.setattr(Training, "trained", normalised)


def scored_by_hand(network, data, view):
    """The IoU and the AP of persons, of all images one after the other."""
    detection, hits, union, truth, found = network.tasks["detection"], 0, 0, [], []
    person = detection.classes.index("person")
    for index in range(len(data)):
        sample = view(data[index])
        with torch.inference_mode():
            output = network(collate([{"image": sample["image"]}]).images)
        mask = sample["segmentation"].as_subclass(torch.Tensor)
        maps = F.interpolate(output["segmentation"], mask.shape, mode="bilinear", align_corners=False)
        predicted, true, labelled = maps[0].argmax(0) == person + 1, mask == 1, mask != 255
        hits += int((predicted & true & labelled).sum())
        union += int(((predicted | true) & labelled).sum())
        image = {"image_id": index + 1, "category_id": 1}
        columns = (sample["boxes"], sample["cover"], sample["crowd"])
        for (left, top, right, bottom), cover, crowd in zip(*(column.tolist() for column in columns), strict=True):
            box = [left, top, right - left, bottom - top]
            more = {"area": cover * box[2] * box[3], "iscrowd": crowd, "id": len(truth) + 1}
            truth.append(image | {"bbox": box} | more)
        objects = [part[0].tolist() for part in detection.postprocess(output["detection"])[:3]]
        for (left, top, right, bottom), score, label in zip(*objects, strict=True):
            if label == person:
                found.append(image | {"bbox": [left, top, right - left, bottom - top], "score": score})
    images = [{"id": index + 1} for index in range(len(data))]
    coco = COCO({"images": images, "categories": [{"id": 1, "name": "person"}], "annotations": truth})
    scorer = COCOeval_faster(coco, coco.loadRes(found), "bbox")
    for step in (scorer.evaluate, scorer.accumulate, scorer.summarize):
        step()
    return 100 * hits / union, 100 * float(scorer.stats[0])


def test_table_3_equals_scoring_by_hand(columns, engine, lively):
    column = columns["3"]
    (row,) = (row for row in BOTH.rows(column, 0) if row.id == "seg_det")
    engine.run(row.evaluations)
    found, data = SideBySide.of(BOTH, column, engine.ledger), column.data.split("val", ("detection", "segmentation"))
    for value, kind in zip(row.evaluations, ("multi", "single"), strict=True):
        network = value.subject.trained(engine.context())
        iou, ap = scored_by_hand(network, data, column.data.view)
        assert iou > 0
        assert found.cell("seg_det", BOTH.measures[f"seg_iou_{kind}"]).mean == pytest.approx(iou)
        assert found.cell("seg_det", BOTH.measures[f"det_ap_{kind}"]).mean == pytest.approx(ap, abs=1e-6)


def test_persons_of_table_3_are_those_of_table_1(columns, engine):
    """Boxes of other classes neither help nor hurt: the person's own AP of the network of all classes."""
    (own,) = (row for row in ALL.rows(columns["1"], 0) if row.id == "only_det")
    (row,) = (row for row in BOTH.rows(columns["3"], 0) if row.id == "only_det")
    records = engine.run([*own.evaluations, row.evaluations[0]])
    every, subset = (records[one.identity] for one in (own.evaluations[0], row.evaluations[0]))
    assert subset.metrics["detection/of_all/ap50"] == pytest.approx(every.metrics["detection/ap50/person"])
    assert len(subset.resampled["detection/of_all/ap"]) == 500
    assert subset.drawn["detection"].groups == 10


def test_means_with_and_without_the_background(columns, engine):
    (row,) = (row for row in MIXED.rows(columns["X1"], 0) if row.id == "mixed")
    metrics = engine.run(row.evaluations)[row.evaluations[0].identity].metrics
    own = {name: value for name, value in metrics.items() if name.startswith("segmentation/iou/") and value is not None}
    known = {name: value for name, value in own.items() if not np.isnan(value)}
    objects = [value for name, value in known.items() if not name.endswith("/background")]
    assert metrics["segmentation/miou"] == pytest.approx(np.mean(list(known.values())))
    assert metrics["segmentation/foreground_miou"] == pytest.approx(np.mean(objects))
    assert metrics["detection/pose_classes_averaged"] == 1


def test_images_with_persons_and_with_joints_are_counted(tmp_path):
    people.write(tmp_path / "people", train=5, val=2, size=(48, 48))
    (file,) = (tmp_path / "people/annotations").glob("person_keypoints_train*")
    content = json.loads(file.read_text())
    first, second = (one["id"] for one in content["images"][:2])
    for one in content["annotations"]:
        if one["image_id"] == first:
            one["keypoints"] = [0] * 51
    file.write_text(json.dumps(content))
    (file,) = (tmp_path / "people/annotations").glob("instances_train*")
    content = json.loads(file.read_text())
    there = {one["image_id"] for one in content["annotations"] if one["category_id"] == 1}
    gone = [one["id"] for one in content["annotations"] if one["image_id"] == second]
    for path in (tmp_path / "people/annotations").glob("*_train*"):
        listed = json.loads(path.read_text())
        listed["annotations"] = [one for one in listed["annotations"] if one["id"] not in gone]
        path.write_text(json.dumps(listed))
    counts = image_counts(tmp_path / "people")
    assert counts["train"].images == 5
    assert counts["train"].objects == len(there - {second})
    assert counts["train"].joints <= len(there - {first, second})
    assert image_counts(tmp_path / "people", splits=("val",))["val"] == counts["val"]
    grid = counts_table(counts).grid()
    assert [line[0] for line in grid] == ["split", "train", "val", "together", "print"]
    assert grid[-2][1:] == [f"{one + other:,}" for one, other in zip(counts["train"], counts["val"], strict=True)]
    assert grid[-1][1:] == ["118k", "–", "66k"]
