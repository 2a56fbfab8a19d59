"""The world `parts`: boxes and attributes say what is drawn, and the files are read as aPascal."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from mtlkit.data.apascal import APascal
from mtlkit.errors import InputError
from mtlkit.worlds import parts
from mtlkit.worlds.parts import ATTRIBUTES, CLASSES, PARTS, Scene

RARE = {"Checked", "Flag", "Leg", "Pot"}
NUMBER = {part: number for number, part in enumerate(PARTS, 1)}
MAIN = [NUMBER[part] for part in ("body", "crown", "petal")]
GIVEN_BY = {"Leaf": ("leaf", "crown"), "Shiny": ("shine",)} | {
    name: (name.lower(),) for name in ATTRIBUTES if name.lower() in PARTS and name != "Leaf"
}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [parts.draw(0, "train", index) for index in range(120)]


@pytest.fixture(scope="module")
def things(scenes: list[Scene]) -> list[tuple[Scene, np.ndarray, str, set[str]]]:
    """Every thing of every scene: the scene, the thing's pixels, its class and its attributes."""
    return [
        (scene, scene.owner == number, CLASSES[label], {n for n, has in zip(ATTRIBUTES, row, strict=True) if has})
        for scene in scenes
        for number, (label, row) in enumerate(zip(scene.labels, scene.attributes, strict=True), 1)
    ]


def near(mask: np.ndarray) -> np.ndarray:
    """The mask and what is next to it."""
    padded = np.pad(mask, 1)
    return padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:] | mask


def alone(scene: Scene, mask: np.ndarray) -> bool:
    """Whether no other thing touches this one."""
    around = scene.owner[near(near(mask))]
    return set(around[around > 0]) == {scene.owner[mask][0]}


def test_names_are_names() -> None:
    assert tuple(sorted(set(CLASSES))) == CLASSES
    assert (len(CLASSES), len(set(ATTRIBUTES)), len(ATTRIBUTES)) == (10, 24, 24)
    assert all(name.isalpha() for name in (*CLASSES, *ATTRIBUTES)), "a row is split at its spaces"


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**63),
    split=st.sampled_from(["train", "val"]),
    index=st.integers(0, 10**6),
    size=st.tuples(st.integers(48, 110), st.integers(48, 110)),
)
def test_every_scene_keeps_its_promises(seed: int, split: str, index: int, size: tuple[int, int]) -> None:
    scene = parts.draw(seed, split, index, size)
    count = len(scene.labels)
    assert 1 <= count <= 5
    assert (scene.image.dtype.name, scene.image.shape) == ("uint8", (*size, 3))
    assert (scene.boxes.shape, scene.attributes.shape) == ((count, 4), (count, 24))
    assert scene.image.std() > 4, "nothing to see"
    assert scene.owner.shape == scene.part.shape == size
    assert np.array_equal(scene.owner > 0, scene.part > 0)
    assert set(np.unique(scene.owner)) - {0} == set(range(1, count + 1)), "every thing is seen"
    assert set(np.unique(scene.attributes)) <= {0, 1}
    for number, (left, top, right, bottom) in enumerate(scene.boxes, 1):
        inside = np.zeros(size, bool)
        inside[top - 1 : bottom, left - 1 : right] = True
        mask = scene.owner == number
        assert not (mask & ~inside).any()
        assert mask[top - 1].any() and mask[bottom - 1].any() and mask[:, left - 1].any() and mask[:, right - 1].any()  # noqa: PT018
    for first, second in zip(scene, parts.draw(seed, split, index, size), strict=True):
        assert np.array_equal(first, second)


def test_scenes_differ_by_seed_split_and_index() -> None:
    cases = ((0, "train", 0), (1, "train", 0), (0, "val", 0), (0, "train", 1))
    assert len({parts.draw(*case, (48, 64)).image.tobytes() for case in cases}) == 4


def test_another_size_is_the_same_scene(scenes: list[Scene]) -> None:
    moved = []
    for index, scene in enumerate(scenes[:12]):
        large = parts.draw(0, "train", index, (192, 256))
        assert np.array_equal(scene.labels, large.labels)
        moved.extend(np.abs(2 * (scene.boxes - 0.5) - (large.boxes - 0.5)).ravel())
        coarse = large.image.reshape(12, 16, 16, 16, 3).mean((1, 3))
        assert np.corrcoef(scene.image.reshape(12, 8, 16, 8, 3).mean((1, 3)).ravel(), coarse.ravel())[0, 1] > 0.95
    assert np.quantile(moved, 0.9) <= 3, "only the tip of a thing is too thin for the larger pixels"


def test_masks_lie_on_what_is_painted(scenes: list[Scene]) -> None:
    def step(scene: Scene, shift: int) -> float:
        """Mean change of the image from row to row where the owner changes, ``shift`` pixels further down."""
        change = np.abs(np.diff(scene.image.astype(float), axis=0)).mean(-1)
        return float(change[np.roll(np.diff(scene.owner, axis=0) != 0, shift, 0)].mean())

    here, above, below = (np.mean([step(scene, shift) for scene in scenes[:40]]) for shift in (0, -3, 3))
    assert here > 1.5 * max(above, below)


# --- attributes ---


def test_parts_are_there_where_their_attribute_holds(things: list[tuple[Scene, np.ndarray, str, set[str]]]) -> None:
    for scene, mask, name, holds in things:
        counts, single = np.bincount(scene.part[mask], minlength=1 + len(PARTS)), alone(scene, mask)
        for attribute, of in GIVEN_BY.items():
            seen = sum(int(counts[NUMBER[part]]) for part in of)
            if attribute in holds:
                assert seen >= 1, (name, attribute)
            elif single:
                assert seen <= 3, f"{seen} pixels of {attribute} in a {name} that nothing hides"


def test_each_class_has_what_it_cannot_lack(things: list[tuple[Scene, np.ndarray, str, set[str]]]) -> None:
    always = {
        "bird": {"Beak", "Eye", "Tail"}, "bus": {"Wheel", "Window", "Boxy"}, "car": {"Wheel", "Window"},
        "fish": {"Tail", "Eye"}, "flower": {"Round"}, "house": {"Boxy"}, "plane": {"Wing", "Tail"},
    }  # fmt: skip
    never = {"bird": {"Wheel", "Leaf"}, "fish": {"Window", "Boxy"}, "tree": {"Eye", "Boxy"}, "cup": {"Wheel", "Door"}}
    for scene, mask, name, holds in things:
        if alone(scene, mask):
            assert always.get(name, set()) <= holds, name
        assert not never.get(name, set()) & holds, name
        assert not {"Round", "Boxy"} <= holds


def test_occluded_things_touch_what_hides_them(things: list[tuple[Scene, np.ndarray, str, set[str]]]) -> None:
    hidden = [alone(scene, mask) for scene, mask, _, holds in things if "Occluded" in holds]
    assert hidden
    assert not any(hidden)


def test_colours_are_those_painted(things: list[tuple[Scene, np.ndarray, str, set[str]]]) -> None:
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        found = []
        for scene, mask, name, holds in things:
            own = mask & np.isin(scene.part, MAIN)
            if own.sum() < 30 or {"Striped", "Dotted", "Checked"} & holds or name == "flower":
                continue
            mean = scene.image[own].mean(0)
            found.append((colour in holds, mean[channel] - np.delete(mean, channel).max()))
        has, lead = (np.array(each) for each in zip(*found, strict=True))
        assert lead[has].min() > 10, colour
        if colour == "Blue":
            assert lead[~has].max() < lead[has].min()


def test_textures_are_those_painted(things: list[tuple[Scene, np.ndarray, str, set[str]]]) -> None:
    spread: dict[bool, list[float]] = {False: [], True: []}
    for scene, mask, _, holds in things:
        own = mask & np.isin(scene.part, MAIN[:2])
        inner = ~near(~own)
        if inner.sum() >= 60:
            textured = {"Striped", "Dotted", "Checked"} & holds
            assert len(textured) <= 1
            spread[bool(textured)].append(float(scene.image[inner].astype(float).std(0).max()))
    assert np.quantile(spread[True], 0.05) > np.quantile(spread[False], 0.95)


def test_what_shines_is_lighter(things: list[tuple[Scene, np.ndarray, str, set[str]]]) -> None:
    for scene, mask, name, holds in things:
        if "Shiny" in holds:
            light, own = mask & (scene.part == NUMBER["shine"]), mask & np.isin(scene.part, MAIN)
            assert scene.image[light].mean() > scene.image[own].mean() + 20, name


def test_round_fish_are_deeper(things: list[tuple[Scene, np.ndarray, str, set[str]]]) -> None:
    shapes: dict[bool, list[float]] = {False: [], True: []}
    for scene, mask, name, holds in things:
        if name == "fish" and alone(scene, mask):
            rows, columns = np.nonzero(mask & (scene.part == NUMBER["body"]))
            shapes["Round" in holds].append((np.ptp(rows) + 1) / (np.ptp(columns) + 1))
    assert min(shapes[True]) > max(shapes[False])


def test_some_are_rare_on_purpose_and_all_occur(scenes: list[Scene]) -> None:
    rows = np.concatenate([scene.attributes for scene in scenes])
    share = dict(zip(ATTRIBUTES, rows.mean(0).tolist(), strict=True))
    assert len(rows) > 350
    for name in RARE:
        assert 0.015 < share[name] < 0.06, name
    assert all(0.06 < share[name] < 0.5 for name in ATTRIBUTES if name not in RARE), share
    labels = np.bincount(np.concatenate([scene.labels for scene in scenes]), minlength=len(CLASSES))
    assert labels.min() > 0.6 * labels.mean()
    apart = np.abs(np.corrcoef(rows.T)[np.triu_indices(len(ATTRIBUTES), 1)])
    assert apart.max() < 0.95, "two columns say the same"


# --- files ---


def test_files_are_read_as_apascal(tmp_path: Path) -> None:
    root = tmp_path / "set"
    parts.write(root, seed=5, train=6, val=3, size=(64, 80))
    assert json.loads((root / "world.json").read_text()) == {
        "world": "parts", "revision": parts.REVISION, "seed": 5, "train": 6, "val": 3, "height": 64, "width": 80
    }  # fmt: skip
    assert sorted(path.name for path in (root / "attribute_data").iterdir()) == [
        "apascal_test.txt", "apascal_train.txt", "attribute_names.txt", "class_names.txt"
    ]  # fmt: skip
    for split, count in (("train", 6), ("val", 3)):
        data = APascal(root, split)
        assert (len(data), data.classes, data.attributes, data.skipped) == (count, CLASSES, ATTRIBUTES, {})
        things = 0
        for index in range(count):
            scene, sample = parts.draw(5, split, index, (64, 80)), data[index]
            assert data.name_of(index) == f"{split}_{index:05}"
            assert torch.equal(sample["detection"], torch.from_numpy(scene.labels))
            assert torch.equal(sample["attributes"], torch.from_numpy(scene.attributes))
            assert sample["boxes"].canvas_size == (64, 80)
            error = sample["image"].permute(1, 2, 0).numpy().astype(float) - scene.image
            assert np.abs(error).mean() < 5, "what a JPEG loses"
            mirrored = v2.RandomHorizontalFlip(1.0)(sample)
            for each, owner in ((sample, scene.owner), (mirrored, scene.owner[:, ::-1])):
                for number, box in enumerate(each["boxes"].tolist(), 1):
                    rows, columns = np.nonzero(owner == number)
                    edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                    assert box == edges, "the edges of its pixels"
            things += len(scene.labels)
        assert sum(data.counts().classes.values()) == things
        with Image.open(root / "JPEGImages" / f"{split}_00000.jpg") as image:
            assert (image.format, image.size) == ("JPEG", (80, 64))


def test_a_smaller_set_begins_a_bigger_one(tmp_path: Path) -> None:
    for name, train, val in (("small", 2, 1), ("big", 3, 2)):
        parts.write(tmp_path / name, train=train, val=val, size=(48, 64))
    for path in (tmp_path / "small").rglob("*.*"):
        if path.name != "world.json":
            bigger = (tmp_path / "big" / path.relative_to(tmp_path / "small")).read_bytes()
            assert bigger.startswith(path.read_bytes()), path.name


def test_writing_again_changes_nothing_and_other_folders_are_refused(tmp_path: Path) -> None:
    folder, arguments = tmp_path / "deep" / "set", {"train": 1, "val": 1, "size": (48, 64)}
    parts.write(folder, **arguments)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    parts.write(folder, **arguments)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(InputError, match="another world"):
        parts.write(folder, **arguments, seed=1)
    assert [path.name for path in folder.parent.iterdir()] == ["set"], "something was left beside the set"


def test_what_cannot_be_drawn_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no split 'valid'; did you mean 'val'"):
        parts.draw(0, "valid", 0)
    with pytest.raises(InputError, match=r"in an image of 40 x 64; give at least 48 pixels a side\."):
        parts.write(tmp_path / "set", train=1, val=1, size=(40, 64))
    assert not any(tmp_path.iterdir())
