"""``data check``: all that a run reads, and all that is wrong with it."""

import csv
import json
import re
import resource
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mtlkit.cli import app
from mtlkit.data.check import MOST, check
from mtlkit.data.manifest import Manifest
from mtlkit.errors import InputError
from mtlkit.files import SUMS
from mtlkit.worlds import drawer


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    for world, layout, size in (
        ("rooms", "npy", (24, 32)),
        ("people", "coco", (64, 64)),
        ("plates", "manifest", (48, 48)),
    ):
        drawer(world).write(folder / layout, train=6, val=3, size=size)
    drawer("objects").write(folder / "imagefolder", train=1, val=1, size=24)
    return folder


@pytest.fixture
def rooms(drawn, tmp_path):
    return Path(shutil.copytree(drawn / "npy", tmp_path / "npy"))


@pytest.mark.parametrize("layout", ["npy", "coco", "manifest", "imagefolder"])
def test_a_good_set_has_no_fault_and_no_warning(drawn, layout):
    report = check(layout, drawn / layout)
    assert (dict(report.faults), report.warnings, list(report.splits)) == ({}, [], ["train", "val"])


def test_all_targets_are_read(rooms, drawn, tmp_path):
    np.save(rooms / "train/depth/4.npy", np.full((24, 32), np.nan, np.float32))
    (fault,) = check("npy", rooms).faults.values()
    assert fault.count == 1
    assert "depth/4.npy holds values from nan to nan" in fault.examples[0]
    shutil.copytree(drawn / "coco", tmp_path / "coco")
    path = tmp_path / "coco/annotations/person_keypoints_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["keypoints"] = [1, 2]
    path.write_text(json.dumps(content))
    assert "bad keypoints" in check("coco", tmp_path / "coco").faults


def test_all_faults_are_counted_by_kind_and_twenty_of_them_told(rooms, drawn, tmp_path):
    for number in range(6):
        np.save(rooms / f"train/label/{number}.npy", np.full((24, 32), 77))
        np.save(rooms / f"train/image/{number}.npy", np.full((24, 32, 3), 2.5))
    report = check("npy", rooms)
    assert [fault.count for fault in report.faults.values()] == [6], "of a sample the first"
    folder = Path(shutil.copytree(drawn / "manifest", tmp_path / "manifest"))
    head, *rows = (folder / "manifest.csv").read_text().splitlines()
    column = head.split(",").index("kcal")
    for at, row in enumerate(rows):
        cells = row.split(",")
        cells[column] = ("1_0", "-3", "100", "100")[at % 4]
        rows[at] = ",".join(cells)
    (folder / "manifest.csv").write_text("\n".join([head, *rows]))
    faults = check("manifest", folder).faults
    assert {"kcal that are no number", "negative kcal"} <= faults.keys()
    assert sum(len(fault.examples) for fault in faults.values()) == min(MOST, sum(f.count for f in faults.values()))


def test_what_is_readable_and_no_use_is_a_warning(rooms):
    np.save(rooms / "val/label/0.npy", np.full((24, 32), -1))
    np.save(rooms / "val/normal/1.npy", np.tile(np.float32([0, 0, 1]), (24, 32, 1)))
    shutil.copy(rooms / "train/image/3.npy", rooms / "val/image/2.npy")
    report = check("npy", rooms)
    assert not report.faults
    assert sorted(report.warnings) == [
        "1 of 3 images of val are in train too (2); what is scored should not be trained on.",
        "1 of 3 samples of val have no labelled pixel for segmentation (0).",
        "1 of 3 samples of val have one value everywhere for normals (1).",
        f"3 files are not those that {rooms / SUMS} lists (val/image/2.npy, val/label/0.npy, val/normal/1.npy).",
    ]


def test_the_command_says_which_targets_were_read_and_which_folder_may_be_one(rooms):
    words = ["data", "check", "npy", str(rooms)]
    assert (
        "train: 6 samples, 13 classes, with segmentation, normals, depth, fing" in CliRunner().invoke(app, words).stdout
    )
    (rooms / SUMS).unlink()
    for split in ("train", "val"):
        (rooms / split / "normal").rename(rooms / split / "normals")
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "val: 3 samples, 13 classes, with segmentation, depth, fing" in done.stdout) == (0, True)
    assert f"Warning: {rooms / 'val/normals'} is not read; did you mean normal/?" in done.stderr
    for split in ("train", "val"):
        for target in ("normals", "depth", "label"):
            shutil.rmtree(rooms / split / target)
    done = CliRunner().invoke(app, words)
    assert "train: 6 samples, 13 classes, without targets, fing" in done.stdout
    assert "Warning: train has no target; the layout is {train,val}/{image,label,depth,normal}/" in done.stderr


def test_the_command_says_what_absent_columns_of_a_table_mean(drawn, tmp_path):
    folder = Path(shutil.copytree(drawn / "manifest", tmp_path / "manifest"))
    (folder / SUMS).unlink()
    words = ["data", "check", "manifest", str(folder)]
    assert "no column" not in CliRunner().invoke(app, words).output
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["image", "kcal", "category"], extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    done = CliRunner().invoke(app, words)
    held = len(Manifest(folder, "val"))
    assert done.exit_code == 0, done.output
    assert f"no column 'split': {held} of {len(rows)} images are held out by a draw.\n" in done.stdout
    assert done.stdout.count("no column 'group': every image is its own.\n") == 1
    report = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert len(report["notes"]) == 2


def test_images_that_are_left_out_are_a_warning(drawn, tmp_path):
    root = Path(shutil.copytree(drawn / "imagefolder", tmp_path / "imagefolder"))
    (root / "val/loose.gif").touch()
    (warning,) = check("imagefolder", root).warnings
    assert "val holds 1 image files that are not read (loose.gif)" in warning


def test_a_full_disk_asks_for_space_where_a_world_is_made(tmp_path):
    """A limit on the size of files, which the system answers as it does a full disk; NumPy hands no reason on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(InputError) as raised:
            drawer("rooms").write(tmp_path / "rooms", train=1, val=1, size=(64, 64))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert re.fullmatch(r"/\S+ cannot be written \(\d+ requested and \d+ written\); free some .*", str(raised.value))
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_a_folder_is_one_fault(tmp_path):
    (tmp_path / "classes.txt").write_text("0 wall\n")
    report = check("folder", tmp_path / "classes.txt")
    assert [fault.examples for fault in report.faults.values()] == [
        [f"There is no folder {tmp_path / 'classes.txt'}; give the data set's root folder."]
    ]
    assert report.warnings == []


def test_a_link_to_nowhere_is_a_fault_and_the_other_split_is_read(rooms):
    (rooms / "train/image/3.npy").unlink()
    (rooms / "train/image/3.npy").symlink_to("nowhere.npy")
    report = check("npy", rooms)
    (fault,) = report.faults.values()
    assert "image/3.npy cannot be read" in fault.examples[0]
    assert report.splits.keys() == {"val"}


@pytest.mark.parametrize("layout", ["npy", "imagefolder"])
def test_train_under_the_name_of_val_is_a_fault(drawn, layout, tmp_path):
    root = Path(shutil.copytree(drawn / layout, tmp_path / layout))
    shutil.rmtree(root / "val")
    shutil.copytree(root / "train", root / "val")
    (fault,) = check(layout, root).faults.values()
    assert "hold the same images; what is scored must not be trained on" in fault.examples[0]


def test_the_command_says_it_as_lines_and_as_json(rooms):
    words = ["data", "check", "npy", str(rooms)]
    good = CliRunner().invoke(app, [*words, "--json"])
    assert (good.exit_code, json.loads(good.stdout)["faults"]) == (0, {})
    np.save(rooms / "val/label/0.npy", np.full((24, 32), 77))
    bad = CliRunner().invoke(app, words)
    assert isinstance(bad.exception, InputError)
    assert "label/0.npy holds the class id 77" in str(bad.exception)
    assert "train: 6 samples" in bad.stdout
    np.save(rooms / "val/label/1.npy", np.full((24, 32), 77))
    worse = CliRunner().invoke(app, words)
    assert str(worse.exception).endswith("has 2 faults of 1 kinds; put them right, and check it again.")
    assert "label/1.npy holds the class id 77" in worse.stderr
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert [fault["count"] for fault in found["faults"].values()] == [2]
