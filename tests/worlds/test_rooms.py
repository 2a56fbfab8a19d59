"""The world `rooms`: what its labels, depth and normals promise, and the files it writes."""

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtlkit.errors import InputError
from mtlkit.worlds import rooms

SIZE = (48, 64)


@pytest.fixture(scope="module")
def frames() -> list[rooms.Frame]:
    return [rooms.render(0, index, SIZE) for index in range(48)]


def points(depth: np.ndarray) -> np.ndarray:
    """Every pixel's place in the camera frame, `(H, W, 3)`."""
    fx, fy, cx, cy = rooms.camera(depth.shape)
    rows, columns = np.indices(depth.shape)
    return depth[..., None] * np.stack([(columns - cx) / fx, (cy - rows) / fy, -np.ones(depth.shape)], -1)


def same(a: rooms.Frame, b: rooms.Frame) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**63),
    index=st.integers(0, 10_000),
    height=st.integers(1, 50),
    width=st.integers(1, 50),
    split=st.sampled_from(rooms.SPLITS),
)
@example(seed=770567, index=120, height=29, width=36, split="train")
def test_every_frame_keeps_its_promises(seed: int, index: int, height: int, width: int, split: str) -> None:
    frame = rooms.render(seed, index, (height, width), split)
    assert [(values.dtype.name, values.shape) for values in frame] == [
        ("uint8", (height, width, 3)),
        ("int8", (height, width)),
        ("float32", (height, width)),
        ("float32", (height, width, 3)),
    ]
    assert set(np.unique(frame.label)) <= {-1, *range(13)}
    assert np.isfinite(frame.depth).all()
    assert frame.depth.min() > 0
    assert frame.depth.max() < 12
    np.testing.assert_allclose(np.linalg.norm(frame.normal, axis=-1), 1, atol=1e-4)
    sight = points(frame.depth)
    # Rounding may give a pixel on the edge of a solid the face beyond it, one in millions.
    behind = (frame.normal * sight).sum(-1) >= 1e-3 * np.linalg.norm(sight, axis=-1)
    assert behind.sum() <= 1, "a surface seen from behind"
    assert same(frame, rooms.render(seed, index, (height, width), split))


def test_depth_and_normals_are_one_geometry() -> None:
    errors = []
    for frame in (rooms.render(0, index, (120, 160)) for index in range(12)):
        place, normal = points(frame.depth), frame.normal
        across, down = place[1:-1, 2:] - place[1:-1, :-2], place[2:, 1:-1] - place[:-2, 1:-1]
        estimate = np.cross(down, across)
        estimate /= np.linalg.norm(estimate, axis=-1, keepdims=True)
        middle = normal[1:-1, 1:-1]
        around = (normal[1:-1, 2:], normal[1:-1, :-2], normal[2:, 1:-1], normal[:-2, 1:-1])
        inside = np.min([(middle * other).sum(-1) for other in around], axis=0) > 0.99
        errors.append(np.degrees(np.arccos(np.clip((estimate * middle).sum(-1), -1, 1)))[inside])
    pooled = np.concatenate(errors)
    assert np.median(pooled) < 0.5
    assert np.mean(pooled < 2) > 0.85


def test_floor_is_up_and_level_ground_lies_at_one_height() -> None:
    scene = rooms._furnish(np.random.default_rng([0, 0, 3]))
    frame = rooms.render(0, 3, (120, 160))
    up = scene.turn[1]
    floor = (frame.label == rooms.CLASSES.index("floor")) & (frame.normal @ up > 0.999)
    assert floor.any()
    height = points(frame.depth)[floor] @ up + scene.eye[1]
    assert ((np.abs(height) < 2e-3) | (np.abs(height - 0.012) < 2e-3)).all()  # the ground, or the rug on it


def test_a_wall_seen_head_on_looks_at_the_camera() -> None:
    wall = rooms.Solid("wall", rooms.Paint((0.5, 0.5, 0.5)), (0, 0, -3), (20, 20, 1))
    scene = rooms.Scene([wall], [((0.0, 1.0, 0.0), 1.0)], np.zeros(3), np.eye(3))
    frame = rooms._develop(scene, SIZE, np.random.default_rng(0))
    np.testing.assert_allclose(frame.depth, 2.5, rtol=1e-5)
    np.testing.assert_allclose(frame.normal, np.broadcast_to([0, 0, 1], frame.normal.shape), atol=1e-6)


@pytest.mark.parametrize("shape", ["ball", "cylinder"])
def test_round_solids_by_their_formula(shape: str) -> None:
    back = rooms.Solid("wall", rooms.Paint((0.5, 0.5, 0.5)), (0, 0, -5), (30, 30, 1))
    solid = rooms.Solid("objects", rooms.Paint((0.9, 0.1, 0.1)), (0, 0, -3), (1.0, 1.0, 1.0), shape)
    scene = rooms.Scene([back, solid], [((0.0, 2.0, 0.0), 1.0)], np.zeros(3), np.eye(3))
    frame = rooms._develop(scene, (96, 96), np.random.default_rng(0))
    out = points(frame.depth) - [0, 0, -3]
    seen = np.linalg.norm(out[..., [0, 2]], axis=-1) < 0.51
    assert seen.sum() > 100
    if shape == "cylinder":
        out[..., 1] = 0  # its mantle; the caps lie edge-on to this camera
    np.testing.assert_allclose(np.linalg.norm(out[seen], axis=-1), 0.5, atol=1e-3)
    np.testing.assert_allclose(frame.normal[seen], 2 * out[seen], atol=4e-3)


def test_all_classes_occur_and_void_is_little(frames: list[rooms.Frame]) -> None:
    labels = np.stack([frame.label for frame in frames])
    share = np.bincount(labels[labels >= 0], minlength=13) / labels.size
    assert share.min() > 0.002, dict(zip(rooms.CLASSES, share.round(4).tolist(), strict=True))
    assert 0.005 < (labels < 0).mean() < 0.1
    assert (labels < 0).mean((1, 2)).max() < 0.25


def test_frames_differ_by_seed_split_and_index() -> None:
    four = [
        rooms.render(0, 0, SIZE),
        rooms.render(1, 0, SIZE),
        rooms.render(0, 0, SIZE, "val"),
        rooms.render(0, 1, SIZE),
    ]
    assert len({frame.depth.tobytes() for frame in four}) == 4


def test_another_size_is_the_same_room() -> None:
    small, large = rooms.render(0, 5, (21, 31)), rooms.render(0, 5, (63, 93))
    assert np.median(np.abs(small.depth - large.depth[1::3, 1::3])) < 1e-3  # three pixels in one: the same ray


def test_files_have_the_layout(tmp_path: Path) -> None:
    rooms.write(tmp_path / "set", seed=7, train=3, val=2, size=(24, 32))
    for split, count in (("train", 3), ("val", 2)):
        for kind, shape, dtype in (
            ("image", (24, 32, 3), "uint8"),
            ("label", (24, 32), "int8"),
            ("depth", (24, 32, 1), "float32"),
            ("normal", (24, 32, 3), "float16"),
        ):
            assert sorted(p.name for p in (tmp_path / "set" / split / kind).iterdir()) == [
                f"{i}.npy" for i in range(count)
            ]
            values = np.load(tmp_path / "set" / split / kind / "1.npy")
            assert (values.shape, values.dtype.name) == (shape, dtype)
        stored = np.load(tmp_path / "set" / split / "depth" / "1.npy")[..., 0]
        assert np.array_equal(stored, rooms.render(7, 1, (24, 32), split).depth)
    world = json.loads((tmp_path / "set" / "world.json").read_text())
    assert world == {
        "world": "rooms",
        "revision": rooms.REVISION,
        "seed": 7,
        "train": 3,
        "val": 2,
        "height": 24,
        "width": 32,
        "axes": "x right, y up, z towards the camera",
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.npy")}


def test_a_smaller_set_begins_a_bigger_one(tmp_path: Path) -> None:
    rooms.write(tmp_path / "small", train=2, val=1, size=(24, 32))
    rooms.write(tmp_path / "big", train=3, val=2, size=(24, 32))
    assert contents(tmp_path / "small").items() <= contents(tmp_path / "big").items()


def test_writing_again_changes_nothing_and_another_world_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "set"
    rooms.write(folder, train=1, val=1, size=(24, 32))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    rooms.write(folder, train=1, val=1, size=(24, 32))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(InputError, match="another world"):
        rooms.write(folder, train=2, val=1, size=(24, 32))
    assert [path.name for path in folder.parent.iterdir()] == ["set"], "something was left beside the set"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no world"):
        rooms.write(tmp_path, train=1, val=1, size=(24, 32))


def test_processes_may_write_the_same_set_at_once(tmp_path: Path) -> None:
    jobs = [
        multiprocessing.get_context("spawn").Process(
            target=rooms.write, args=(tmp_path / "set",), kwargs={"train": 8, "val": 2, "size": (24, 32)}
        )
        for _ in range(3)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert len(contents(tmp_path / "set")) == 40
