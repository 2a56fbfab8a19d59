import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mtlkit.data.npy import CANONICAL_AXES, Npy
from mtlkit.errors import InputError
from mtlkit.worlds import drawer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three samples of 4 x 5 pixels; the sample's number is in the label; a floor in the published axes."""
    for split in ("train", "val"):
        for folder in ("image", "label", "normal", "depth"):
            (tmp_path / split / folder).mkdir(parents=True)
        for i in range(3):
            label = np.full((4, 5), i, np.int64)
            label[0, 0] = -1
            normal = np.tile(np.float32([0, -0.6, 0.8]), (4, 5, 1))
            normal[0, 0] = 0
            np.save(tmp_path / split / "image" / f"{i}.npy", np.full((4, 5, 3), i / 2, np.float32))
            np.save(tmp_path / split / "label" / f"{i}.npy", label)
            np.save(tmp_path / split / "normal" / f"{i}.npy", normal)
    return tmp_path


def test_reads_the_shared_layout(root):
    data = Npy(root, "train")
    assert len(data) == 3
    assert data.classes[0] == "bed"
    assert data.classes[12] == "window"
    sample = data[2]
    assert sample["image"].dtype == torch.uint8
    assert sample["image"].unique().tolist() == [255]
    assert sample["segmentation"][0].tolist() == [255, 2, 2, 2, 2]
    assert sample["normals"][:, 0, 0].tolist() == [0, 0, 0]


def test_both_systems_of_axes_arrive_in_the_canonical_frame(root):
    assert torch.allclose(Npy(root, "train")[0]["normals"][:, 1, 1], torch.tensor([0, 0.8, 0.6]))
    (root / "world.json").write_text(json.dumps({"axes": CANONICAL_AXES}))
    assert torch.allclose(Npy(root, "train")[0]["normals"][:, 1, 1], torch.tensor([0, -0.6, 0.8]))


def test_classes_are_those_that_the_folder_names(root):
    first = Npy(root, "train").fingerprint()
    (root / "classes.txt").write_text("0 wall\n1 floor\n2 night stand\n")
    data = Npy(root, "train")
    assert data.classes == ("wall", "floor", "night stand")
    assert data[2]["segmentation"].unique().tolist() == [2, 255]
    assert data.fingerprint() != first
    (root / "classes.txt").write_text("0 wall\n1 floor\n")
    with pytest.raises(InputError, match=r"label/2\.npy holds the class id 2; valid are 0 to 1, and -1 for void"):
        Npy(root, "train")[2]
    (root / "classes.txt").unlink()
    assert Npy(root, "train").fingerprint() == first == "f6ea8815cdbe"


def test_a_folder_under_a_name_like_a_targets_is_told(root):
    shutil.rmtree(root / "train/depth")
    data = Npy(root, "train")
    assert data.overlooked() == []
    (root / "train/depths").mkdir()
    assert data.overlooked() == [f"{root / 'train/depths'} is not read; did you mean depth/?"]


def test_bytes_and_trailing_axes_are_read_too(root):
    np.save(root / "train/image/0.npy", np.full((4, 5, 3), 200, np.uint8))
    np.save(root / "train/label/0.npy", np.full((4, 5, 1), 3.0, np.float32))
    sample = Npy(root, "train")[0]
    assert sample["image"].unique().tolist() == [200]
    assert sample["segmentation"].unique().tolist() == [3]


def test_depths_are_read_in_metres_with_zero_for_unknown(root):
    for i in range(3):
        depth = np.full((4, 5, 1), 1.5 + i, np.float32)
        depth[0, 0] = 0
        np.save(root / "train/depth" / f"{i}.npy", depth)
    sample = Npy(root, "train", ("depth",))[1]
    assert set(sample) == {"image", "depth"}
    assert (sample["depth"].dtype, sample["depth"].shape) == (torch.float32, (4, 5))
    assert sample["depth"][0].tolist() == [0, 2.5, 2.5, 2.5, 2.5]
    np.save(root / "train/depth/0.npy", np.full((4, 5), 2500.0))
    with pytest.raises(InputError, match=r"depth/0\.npy holds values from 2500"):
        Npy(root, "train", ("depth",))[0]
    for unknown in (np.nan, np.inf):
        np.save(root / "train/depth/0.npy", np.full((4, 5), unknown))
        sentence = r"they should lie between 0 and 1000 metres; 0 stands for unknown\.$"
        with pytest.raises(InputError, match=rf"depth/0\.npy holds values from (nan|inf) .*{sentence}"):
            Npy(root, "train", ("depth",))[0]


def test_only_the_asked_targets_are_read(root):
    for file in (root / "train/normal").iterdir():
        file.unlink()
    data = Npy(root, "train", ("segmentation",))
    assert set(data[0]) == {"image", "segmentation"}
    assert set(pickle.loads(pickle.dumps(data))[0]) == {"image", "segmentation"}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda root: (root / "train/image/2.npy").unlink(), r"image/2\.npy is missing; .* numbered from 0 to 2"),
        (lambda root: (root / "train/image/2.npy").rename(root / "train/image/02.npy"), r"image/2\.npy is missing"),
    ],
    ids=["removed", "renamed"],
)
@pytest.mark.parametrize("tasks", [(), ("segmentation",), ("segmentation", "normals")])
def test_a_set_without_its_last_image_is_not_a_smaller_set(root, damage, sentence, tasks):
    damage(root)
    with pytest.raises(InputError, match=sentence):
        Npy(root, "train", tasks)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.ones((4, 5, 3), np.int64), r"0\.npy is an array of int64; whole numbers need uint8"),
        (np.ones((0, 5, 3), np.float32), r"0\.npy is an array \(0, 5, 3\) of float32; it should be"),
    ],
)
def test_an_image_of_unknown_white_or_without_pixels_is_refused(root, array, sentence):
    np.save(root / "train/image/0.npy", array)
    with pytest.raises(InputError, match=sentence):
        Npy(root, "train")[0]


def test_fingerprints_differ_by_split_and_content_only(root):
    first = Npy(root, "train").fingerprint()
    assert Npy(root, "train", ("segmentation",)).fingerprint() == first
    np.save(root / "train/depth/0.npy", np.ones((4, 5, 1)))
    assert Npy(root, "train").fingerprint() != first


def test_a_fingerprint_knows_a_pixel_far_into_a_large_array(root):
    label = np.zeros((300, 400), np.int64)
    np.save(root / "train/label/0.npy", label)
    first = Npy(root, "train").fingerprint()
    label[250, 7] = 3
    np.save(root / "train/label/0.npy", label)
    assert Npy(root, "train").fingerprint() != first


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda root: (root / "train/image/1.npy").unlink(), r"image/1\.npy is missing; .* from 0 to 2 without a gap"),
        (lambda root: (root / "train/normal/2.npy").unlink(), r"normal/2\.npy is missing"),
        (lambda root: [f.unlink() for f in (root / "train/image").iterdir()], r"train/image holds no array"),
        (lambda root: (root / "train/label").rename(root / "labels"), r"There is no folder .*train/label"),
        (lambda root: (root / "world.json").write_text('{"axes": "x left"}'), "There is no system of axes"),
        (
            lambda root: (root / "world.json").write_text('{"axis": "x right, y up, z towards the camera"}'),
            r"no key in .*world\.json 'axis'; did you mean 'axes'\?",
        ),
        (
            lambda root: (root / "world.json").write_text('{"seed": 0}'),
            r'world\.json has no axes; add "axes": "x right',
        ),
        (lambda root: (root / "classes.txt").write_text("wall\n"), r"classes\.txt, line 1, is 'wall'; it should be 0"),
        (lambda root: (root / "world.json").write_text("[]"), r"world\.json is not a JSON object"),
        (lambda root: (root / "world.json").write_text("[" * 100_000), r"world\.json is not a JSON object"),
        (lambda root: (root / "world.json").mkdir(), r"world\.json is not a JSON object"),
        (lambda root: os.mkfifo(root / "world.json"), r"world\.json is no regular file but a pipe"),
    ],
)
def test_what_is_missing_is_named_at_once(root, damage, sentence):
    damage(root)
    with pytest.raises(InputError, match=sentence):
        Npy(root, "train")


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("image", np.full((4, 5, 3), 7.0), r"image/0\.npy holds values from 7 to 7; they should lie between 0 and 1"),
        ("image", np.full((4, 5, 3), np.nan), r"image/0\.npy holds values from nan"),
        ("image", np.zeros((3, 4, 5, 3)), r"image/0\.npy is an array \(3, 4, 5, 3\) of float64; it should be"),
        ("label", np.full((4, 5), 13), r"label/0\.npy holds the class id 13; valid are 0 to 12, and -1 for void"),
        ("label", np.zeros((4, 6), int), r"label/0\.npy is an array \(4, 6\) of int64; it should be \(4, 5\)"),
        ("normal", np.full((4, 5, 3), 128), r"normal/0\.npy holds values from 128 to 128"),
        ("normal", np.full((4, 5, 3), np.nan), r"holds values from nan to nan; .*; \(0, 0, 0\) stands for unknown\."),
        ("normal", np.zeros((4, 4, 3)), r"normal/0\.npy is an array \(4, 4, 3\) .* \(4, 5\) x 3 channels"),
    ],
)
def test_a_bad_array_is_named_when_it_is_read(root, file, content, sentence):
    np.save(root / f"train/{file}/0.npy", content)
    data = Npy(root, "train")
    data[1]
    with pytest.raises(InputError, match=sentence):
        data[0]


def test_a_drawn_world_without_what_says_its_axes_is_refused(tmp_path):
    drawer("rooms").write(tmp_path / "rooms", train=2, val=2, size=(24, 32))
    (tmp_path / "rooms/world.json").unlink()
    with pytest.raises(InputError, match=r"rooms is a drawn world without world\.json; draw it again\."):
        Npy(tmp_path / "rooms", "train")


def test_an_archive_under_an_arrays_name_is_named(root):
    with (root / "train/label/0.npy").open("wb") as file:
        np.savez(file, label=np.zeros((4, 5)))
    with pytest.raises(InputError, match=r"label/0\.npy cannot be read as an array \(the magic string is not correct"):
        Npy(root, "train")[0]


def test_a_damaged_file_is_named(root):
    (root / "train/label/0.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"label/0\.npy cannot be read as an array"):
        Npy(root, "train")[0]
