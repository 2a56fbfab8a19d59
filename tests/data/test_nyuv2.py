import math
import pickle
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from planes import PLANES, degrees, plane, write
from scipy.io import loadmat, savemat

from mtlkit.data import matlab
from mtlkit.data.nyuv2 import VALID, NYUv2, normals_from_depth
from mtlkit.data.sampling import grouped_by
from mtlkit.errors import InputError

META = Path(__file__).parents[3] / "shared" / "data" / "nyuv2-meta"
needs_meta = pytest.mark.skipif(not META.is_dir(), reason=f"REAL SPLITS NOT TESTED: {META} is not there")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("nyu")
    write(root)
    return root


@pytest.fixture
def root(written, tmp_path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "nyu"))


@pytest.mark.parametrize(("normal", "distance"), PLANES)
def test_a_plane_has_its_own_normal_everywhere(normal, distance):
    found = normals_from_depth(torch.from_numpy(plane(normal, distance)))
    angles = degrees(found, normal)
    assert len(angles) > 100_000
    assert angles.max() < 1


def test_noise_of_the_sensor_costs_a_few_degrees():
    normal, distance = PLANES[1]
    inverse = 1 / torch.from_numpy(plane(normal, distance))
    noisy = 1 / (inverse + 0.003 * torch.randn(480, 640, generator=torch.Generator().manual_seed(0)))
    angles = degrees(normals_from_depth(noisy), normal)
    assert angles.median() < 3
    assert len(angles) > 100_000


def test_edges_and_unknown_depth_have_no_normal():
    depth = torch.full((480, 640), 2.0)
    depth[:, 320:] = 3.0
    depth[100, 100] = 0
    depth[200, 500] = math.nan
    found = normals_from_depth(depth).norm(dim=0)
    assert found[:, 317:323].max() == 0
    assert found[95:105, 95:105].max() == 0
    assert found[195:205, 495:505].max() == 0
    assert found[300, 200] == found[300, 400] == 1
    assert found[0].max() == found[:, -1].max() == 0


def test_axes_splits_and_classes_are_those_of_the_files(root):
    train, val = NYUv2(root, "train"), NYUv2(root, "val")
    assert (len(train), len(val), train.classes) == (3, 1, ("wall", "floor", "bed"))
    assert [train.name_of(i) for i in range(3)] == ["0001", "0002", "0004"]
    sample = train[2]
    assert sample["image"].shape == (3, 480, 640)
    assert sample["image"][0, 7].unique().tolist() == [4]
    assert sample["image"][0, 8].unique().tolist() == [0]
    assert sample["segmentation"][100, 600] == 2  # raw 3 -> 3 of 1..40 -> 2
    assert sample["segmentation"][100, 599] == 1  # raw 1 -> 2 -> 1
    assert train[0]["segmentation"][100, 600] == 255  # raw 0
    assert val[0]["segmentation"][100, 600] == 0


def test_frames_of_consecutive_numbers_are_one_run(root):
    train = NYUv2(root, "train")
    assert train.groups == ["0000", "0000", "0003"]  # frames 1, 2 and 4, from 0
    assert grouped_by(train) == "run of frames"


def test_the_white_frame_has_no_targets(root):
    sample = NYUv2(root, "train")[0]
    inside = torch.zeros(480, 640, dtype=torch.bool)
    inside[VALID] = True
    assert inside.sum() == 427 * 561
    assert sample["segmentation"][~inside].unique().tolist() == [255]
    assert sample["normals"][:, ~inside].abs().max() == 0
    assert degrees(sample["normals"], PLANES[0][0]).max() < 1


def test_published_maps_replace_computed_ones(root):
    (root / "normals").mkdir()
    encoded = np.full((480, 640, 3), 255, np.uint8)
    encoded[60:300, 60:300] = (127, 51, 229)  # a floor that leans to the camera: n = (0, -0.6, 0.8)
    encoded[60:70, 60:70] = 127
    for frame in range(4):
        Image.fromarray(encoded).save(root / "normals" / f"{frame:04d}.png")
    before = NYUv2(root, "train").fingerprint()
    normals = NYUv2(root, "train")[0]["normals"]
    assert torch.allclose(normals[:, 100, 100], torch.tensor([0, 0.8, 0.6]), atol=0.01)
    assert normals[:, 65, 65].tolist() == normals[:, 400, 400].tolist() == [0, 0, 0]

    Image.fromarray(encoded[:100]).save(root / "normals/0000.png")
    assert NYUv2(root, "train").fingerprint() != before
    with pytest.raises(InputError, match=r"normals/0000\.png is 640 x 100 pixels of mode RGB"):
        NYUv2(root, "train")[0]
    (root / "normals/0003.png").unlink()
    with pytest.raises(InputError, match=r"normals/0003\.png is missing \(1 of 3 frames\)"):
        NYUv2(root, "train")
    NYUv2(root, "train", ("segmentation",))


def test_pickled_and_read_again(root):
    data = NYUv2(root, "train", ("segmentation",))
    first = data[0]
    again = pickle.loads(pickle.dumps(data))[0]
    assert set(again) == {"image", "segmentation"}
    assert torch.equal(first["image"], again["image"])


def test_fingerprints(root):
    train = NYUv2(root, "train").fingerprint()
    assert train == NYUv2(root, "train", ("normals",)).fingerprint() != NYUv2(root, "val").fingerprint()
    assert len(train) == 12


def member(root: Path) -> None:
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "a") as file:
        del file["depths"]


def frames(root: Path) -> None:
    savemat(root / "splits.mat", {"trainNdxs": np.array([[1], [9]]), "testNdxs": np.array([[3]])})


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, "There is no folder"),
        (lambda root: (root / "nyu_depth_v2_labeled.mat").unlink(), r"There is no .*labeled\.mat; it is the labelled"),
        (lambda root: (root / "nyu_depth_v2_labeled.mat").write_bytes(b"x"), r"labeled\.mat is not an HDF5 file"),
        (lambda root: (root / "splits.mat").unlink(), r"There is no .*splits\.mat; NYUv2 needs"),
        (lambda root: (root / "splits.mat").write_bytes(b"x" * 200), r"splits\.mat is not a MATLAB file"),
        (lambda root: savemat(root / "splits.mat", {"a": 1}), r"splits\.mat has no member 'trainNdxs'"),
        (member, r"labeled\.mat has no member 'depths'"),
        (frames, r"splits\.mat, 'trainNdxs', holds 9; it should hold whole numbers from 1 to 4"),
    ],
)
def test_what_is_missing_is_named_at_once(root, damage, sentence):
    damage(root)
    with pytest.raises(InputError, match=sentence):
        NYUv2(root, "train")


def test_labels_beyond_the_mapping_are_refused(root):
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "a") as file:
        file["labels"][0, 5, 5] = 900
    with pytest.raises(InputError, match=r"Frame 1 of .* has the raw label 900, .* maps 1 to 3"):
        NYUv2(root, "train")[0]


@needs_meta
def test_the_real_class_mapping(root):
    shutil.copy(META / "classMapping40.mat", root)
    data = NYUv2(root, "train", ("segmentation",))
    assert len(data.classes) == 40
    assert (data.classes[0], data.classes[39]) == ("wall", "otherprop")
    raw = loadmat(META / "classMapping40.mat")["mapClass"].ravel()
    assert data[2]["segmentation"][100, 600] == raw[3 - 1] - 1


@needs_meta
def test_the_real_split_asks_for_all_frames(root):
    shutil.copy(META / "splits.mat", root)
    with pytest.raises(InputError, match=r"'trainNdxs', holds 5; it should hold whole numbers from 1 to 4"):
        NYUv2(root, "train")
    with pytest.raises(InputError, match="holds 5; it should hold"):
        NYUv2(root, "val")


def mat(name: str, **fields):
    return lambda root: savemat(root / name, fields)


def with_member(name: str, value):
    def change(root: Path) -> None:
        with h5py.File(root / "nyu_depth_v2_labeled.mat", "r+") as file:
            del file[name]
            file[name] = value

    return change


def stored_elsewhere(root: Path) -> None:
    (root / "raw.bin").write_bytes(bytes(8 * 640 * 480))
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "r+") as file:
        del file["labels"]
        file.create_dataset("labels", (4, 640, 480), np.uint16, external=[(str(root / "raw.bin"), 0, 8 * 640 * 480)])


NAMES = np.array([["wall", "floor", "bed"]], dtype=object)
TWICE = np.array([["wall", "wall", "bed"]], dtype=object)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (mat("splits.mat", trainNdxs=[[1], [2], [4]], testNdxs=[[3], [4]]), r"splits\.mat names a frame twice"),
        (mat("splits.mat", trainNdxs=[[1], [2], [2]], testNdxs=[[3]]), r"splits\.mat names a frame twice"),
        (mat("splits.mat", trainNdxs=[[1.5]], testNdxs=[[3]]), r"splits\.mat, 'trainNdxs', holds 1\.5"),
        (mat("splits.mat", trainNdxs=[[np.nan]], testNdxs=[[3]]), r"splits\.mat, 'trainNdxs', holds nan"),
        (mat("classMapping40.mat", className=NAMES, mapClass=[[2, -1, 3]]), r"'mapClass', holds -1; .* from 1 to 3"),
        (mat("classMapping40.mat", className=NAMES, mapClass=[[2, 1.5, 3]]), r"'mapClass', holds 1\.5"),
        (mat("classMapping40.mat", className=NAMES, mapClass=[[2, np.nan, 3]]), r"'mapClass', holds nan"),
        (mat("classMapping40.mat", className=NAMES, mapClass=[[2, 1, 4]]), r"'mapClass', holds 4; .* from 1 to 3"),
        (mat("classMapping40.mat", className=TWICE, mapClass=[[2, 1, 3]]), r"names two classes 'wall'"),
        (mat("classMapping40.mat", className=[[1, 2, 3]], mapClass=[[2, 1, 3]]), "has no text in 'className'"),
        (with_member("labels", np.full((4, 640, 480), -1, np.int16)), r"Frame 1 of .* has the raw label -1"),
        (with_member("labels", np.full((4, 640, 480), 9, np.uint16)), r"Frame 1 of .* has the raw label 9"),
        (with_member("labels", np.ones((4, 640, 480))), r"of float64 \(4, 640, 480\), not \(4, 640, 480\) whole"),
        (
            with_member("labels", np.ones((3, 640, 480), np.uint16)),
            r"holds 'labels' of uint16 \(3, 640, 480\), not \(4,",
        ),
        (with_member("images", np.ones((4, 3, 640, 480), np.float32)), r"holds 'images' of float32"),
        (with_member("depths", np.ones((4, 480, 640), np.float32)), r"holds 'depths' of float32 \(4, 480, 640\), not"),
        (with_member("labels", h5py.ExternalLink("other.mat", "labels")), r"holds a link for 'labels', not the data"),
        (stored_elsewhere, r"holds a link for 'labels', not the data"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(root, damage, sentence):
    damage(root)
    with pytest.raises(InputError, match=sentence):
        NYUv2(root, "train")[0]


def test_a_file_that_ends_the_process_that_reads_it_is_one_sentence(root, monkeypatch, tmp_path):
    died = subprocess.CompletedProcess([], -11, b"", b"")
    monkeypatch.setattr(matlab.subprocess, "run", lambda *_, **__: died)
    with pytest.raises(InputError, match=r"classMapping40\.mat is not a MATLAB file: reading it ended the process"):
        NYUv2(root, "train")
