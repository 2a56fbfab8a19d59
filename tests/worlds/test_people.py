"""The world `people`: masks, boxes and joints say what is drawn, and the files are read as COCO."""

import json
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval import COCO
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mtlkit.errors import InputError
from mtlkit.worlds import people
from mtlkit.worlds.people import CATEGORIES, CLASSES, JOINTS, SKELETON, Scene

NUMBER = {joint: number for number, joint in enumerate(JOINTS)}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [people.draw(0, "train", index) for index in range(80)]


@pytest.fixture(scope="module")
def figures(scenes: list[Scene]) -> list[tuple[Scene, np.ndarray, np.ndarray]]:
    """Every single person of every scene: the scene, their pixels and their joints."""
    return [
        (scene, scene.owner == number, joints)
        for scene in scenes
        for number, (label, joints, crowd) in enumerate(zip(scene.labels, scene.joints, scene.crowd, strict=True), 1)
        if CLASSES[label] == "person" and not crowd
    ]


def near(mask: np.ndarray) -> np.ndarray:
    """The mask and the eight pixels around each of its pixels."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    return np.any([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)


def test_names_are_those_of_coco() -> None:
    assert list(CATEGORIES.values()) == sorted(CATEGORIES.values())
    assert CATEGORIES["person"] == (1, "person")
    assert len(JOINTS) == len(set(JOINTS)) == 17
    mirrored = [name.replace("left", "?").replace("right", "left").replace("?", "right") for name in JOINTS]
    assert sorted(mirrored) == sorted(JOINTS)
    assert {joint for bone in SKELETON for joint in bone} == set(range(1, 18))


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**63),
    split=st.sampled_from(["train", "val"]),
    index=st.integers(0, 10**6),
    size=st.tuples(st.integers(48, 160), st.integers(48, 160)),
)
def test_every_scene_keeps_its_promises(seed: int, split: str, index: int, size: tuple[int, int]) -> None:
    scene = people.draw(seed, split, index, size)
    count = len(scene.labels)
    assert 1 <= count <= 5
    assert (scene.image.dtype.name, scene.image.shape) == ("uint8", (*size, 3))
    assert (scene.owner.dtype.name, scene.owner.shape) == ("uint8", size)
    assert (scene.boxes.shape, scene.joints.shape, scene.crowd.shape) == ((count, 4), (count, 17, 3), (count,))
    assert scene.image.std() > 4, "nothing to see"
    assert set(np.unique(scene.owner)) - {0} == set(range(1, count + 1)), "every thing is seen"
    assert scene.crowd.sum() <= 1
    assert not scene.labels[scene.crowd].any(), "a crowd is of people"
    for number, (left, top, width, height) in enumerate(scene.boxes, 1):
        rows, columns = np.nonzero(scene.owner == number)
        assert (left, top) == (columns.min(), rows.min())
        assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
        joints = scene.joints[number - 1]
        if scene.labels[number - 1] or scene.crowd[number - 1]:
            assert not joints.any()
        outside = joints[:, 2] == 0
        assert not joints[outside].any()
        assert (joints[:, :2] >= 0).all()
        assert (joints[:, :2] < size[::-1]).all()
        x, y, _ = joints[joints[:, 2] == 2].T
        assert near(scene.owner == number)[y, x].all(), "a joint that is seen lies on its figure"
    for first, second in zip(scene, people.draw(seed, split, index, size), strict=True):
        assert np.array_equal(first, second)


def test_scenes_differ_by_seed_split_and_index() -> None:
    cases = ((0, "train", 0), (1, "train", 0), (0, "val", 0), (0, "train", 1))
    assert len({people.draw(*case, (48, 64)).image.tobytes() for case in cases}) == 4


def test_another_size_is_the_same_scene(scenes: list[Scene]) -> None:
    moved, agree = [], []
    for index, scene in enumerate(scenes[:10]):
        large = people.draw(0, "train", index, (256, 256))
        assert np.array_equal(scene.labels, large.labels)
        moved.extend(np.abs(2 * scene.boxes - large.boxes).ravel())
        both = (scene.joints[..., 2] > 0) & (large.joints[..., 2] > 0)
        assert np.abs(2 * scene.joints[both][:, :2] - large.joints[both][:, :2]).max(initial=0) <= 1
        agree.extend((scene.joints[..., 2] == large.joints[..., 2]).ravel())
        coarse = large.image.reshape(16, 16, 16, 16, 3).mean((1, 3))
        assert np.corrcoef(scene.image.reshape(16, 8, 16, 8, 3).mean((1, 3)).ravel(), coarse.ravel())[0, 1] > 0.95
    assert np.quantile(moved, 0.9) <= 3
    assert np.mean(agree) > 0.97


def test_masks_lie_on_what_is_painted(scenes: list[Scene]) -> None:
    def step(scene: Scene, shift: int) -> float:
        """Mean change of the image from column to column where the owner changes, ``shift`` pixels further on."""
        change = np.abs(np.diff(scene.image.astype(float), axis=1)).mean(-1)
        return float(change[np.roll(np.diff(scene.owner, axis=1) != 0, shift, 1)].mean())

    here, left, right = (np.mean([step(scene, shift) for scene in scenes[:40]]) for shift in (0, -3, 3))
    assert here > 1.5 * max(left, right)


# --- figures ---


def test_what_is_drawn_varies(scenes: list[Scene], figures: list[tuple[Scene, np.ndarray, np.ndarray]]) -> None:
    labels = np.bincount(np.concatenate([scene.labels for scene in scenes]), minlength=len(CLASSES))
    assert labels.min() >= 4
    assert np.mean([0 in scene.labels for scene in scenes]) > 0.9
    assert 0.05 < np.mean([scene.crowd.any() for scene in scenes]) < 0.3
    heights = [np.ptp(np.nonzero(mask.any(1))[0]) / len(mask) for _, mask, _ in figures]
    assert np.quantile(heights, 0.1) < 0.35
    assert np.quantile(heights, 0.9) > 0.6
    seen = np.bincount(np.concatenate([joints[:, 2] for _, _, joints in figures]), minlength=3)
    assert (seen / seen.sum() > (0.01, 0.15, 0.5)).all(), seen


def test_left_is_the_figures_own_left(figures: list[tuple[Scene, np.ndarray, np.ndarray]]) -> None:
    """Whose eyes are both seen shows us the front, with its left on our right; who hides its face, the back."""
    front, back = [], []
    for _, _, joints in figures:
        if (joints[5:7, 2] == 0).any():
            continue
        apart = joints[NUMBER["left_shoulder"], 0] - joints[NUMBER["right_shoulder"], 0]
        if (joints[:3, 2] == 2).all() and (joints[5:7, 2] == 2).all():
            front.append(apart)
            assert joints[NUMBER["left_eye"], 0] >= joints[NUMBER["right_eye"], 0]
        elif (joints[:3, 2] == 1).all() and (joints[5:7, 2] == 2).all():
            back.append(apart)
    assert min(len(front), len(back)) >= 7
    assert np.mean(np.array(front) > 0) > 0.95
    assert np.mean(np.array(back) < 0) > 0.8, "some faces are hidden by other things"


def test_figures_hang_together(figures: list[tuple[Scene, np.ndarray, np.ndarray]]) -> None:
    """No bone is longer than its body allows, and who stands has the head above the hips and these above the feet."""
    for _, _, joints in figures:
        if (joints[:, 2] == 0).any():
            continue
        places = joints[:, :2].astype(float)
        head, hips, feet = places[0, 1], places[11:13, 1].mean(), places[15:, 1].max()
        assert head < hips < feet
        tall = feet - head
        for first, second in SKELETON:
            assert np.hypot(*(places[first - 1] - places[second - 1])) < 0.5 * tall + 2


def test_hidden_joints_are_hidden_by_something(figures: list[tuple[Scene, np.ndarray, np.ndarray]]) -> None:
    """A joint is behind its own figure or another thing, or so near an edge that its limb falls between pixels."""
    for scene, mask, joints in figures:
        x, y, _ = joints[joints[:, 2] == 1].T
        assert near(near(mask) | (scene.owner > 0))[y, x].mean() > 0.85 if len(x) > 6 else True


# --- files ---


def test_files_are_read_as_coco(tmp_path: Path) -> None:
    root, size = tmp_path / "set", (64, 80)
    people.write(root, seed=5, train=8, val=3, size=size)
    assert json.loads((root / "world.json").read_text()) == {
        "world": "people", "revision": people.REVISION, "seed": 5, "train": 8, "val": 3, "height": 64, "width": 80
    }  # fmt: skip
    ids: set[int] = set()
    for split, count in (("train", 8), ("val", 3)):
        things, persons = (
            COCO(str(root / "annotations" / f"{kind}_{split}2017.json")) for kind in ("instances", "person_keypoints")
        )
        assert {each["name"]: (each["id"], each["supercategory"]) for each in things.cats.values()} == CATEGORIES
        assert [each["keypoints"] for each in persons.cats.values()] == [list(JOINTS)]
        assert not ids & set(things.imgs), "no image has the number of another split's"
        ids |= set(things.imgs)
        assert sorted(things.imgs) == sorted(persons.imgs)
        assert len(things.imgs) == len(list((root / "images" / f"{split}2017").iterdir())) == count
        for index, (image, facts) in enumerate(sorted(things.imgs.items())):
            scene = people.draw(5, split, index, size)
            with Image.open(root / "images" / f"{split}2017" / facts["file_name"]) as picture:
                assert (picture.format, picture.size) == ("JPEG", (facts["width"], facts["height"]))
                assert np.abs(np.asarray(picture).astype(float) - scene.image).mean() < 5, "what a JPEG loses"
            found = things.loadAnns(sorted(things.getAnnIds(imgIds=[image])))
            assert len(found) == len(scene.labels)
            for number, (thing, label) in enumerate(zip(found, scene.labels, strict=True), 1):
                mask = scene.owner == number
                assert np.array_equal(things.annToMask(thing), mask)
                assert thing["area"] == mask.sum()
                assert thing["bbox"] == scene.boxes[number - 1].tolist()
                assert thing["category_id"] == CATEGORIES[CLASSES[label]][0]
                assert thing["iscrowd"] == scene.crowd[number - 1]
                assert (thing["id"] in persons.anns) == (label == 0)
                if label == 0:
                    person = persons.anns[thing["id"]]
                    assert person["keypoints"] == scene.joints[number - 1].ravel().tolist()
                    assert person["num_keypoints"] == (scene.joints[number - 1, :, 2] > 0).sum()
                    assert all(person[key] == value for key, value in thing.items())
        assert len(persons.anns) == sum(each["category_id"] == 1 for each in things.anns.values())


def test_run_lengths_begin_outside() -> None:
    mask = np.zeros((3, 4), bool)
    assert people._rle(mask)["counts"] == [12]
    mask[1:, 0] = True
    assert people._rle(mask)["counts"] == [1, 2, 9]
    mask[0, 0] = True
    assert people._rle(mask) == {"size": [3, 4], "counts": [0, 3, 9]}


def test_writing_again_changes_nothing_and_other_folders_are_refused(tmp_path: Path) -> None:
    folder, arguments = tmp_path / "deep" / "set", {"train": 1, "val": 1, "size": (48, 64)}
    people.write(folder, **arguments)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    people.write(folder, **arguments)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(InputError, match="another world"):
        people.write(folder, **arguments, seed=1)
    assert [path.name for path in folder.parent.iterdir()] == ["set"], "something was left beside the set"


def test_a_smaller_set_begins_a_bigger_one(tmp_path: Path) -> None:
    for name, train in (("small", 2), ("big", 4)):
        people.write(tmp_path / name, train=train, val=1, size=(48, 64))
    for path in (tmp_path / "small" / "images").rglob("*.jpg"):
        assert (tmp_path / "big" / path.relative_to(tmp_path / "small")).read_bytes() == path.read_bytes()
    small, big = (
        json.loads((tmp_path / name / "annotations" / "instances_train2017.json").read_text())["annotations"]
        for name in ("small", "big")
    )
    assert big[: len(small)] == small


def test_what_cannot_be_drawn_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no split 'valid'; did you mean 'val'"):
        people.draw(0, "valid", 0)
    with pytest.raises(InputError, match=r"in an image of 40 x 64; give at least 48 pixels a side\."):
        people.write(tmp_path / "set", train=1, val=1, size=(40, 64))
    assert not any(tmp_path.iterdir())
