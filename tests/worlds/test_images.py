"""The worlds `objects` and `places`: what their images promise, what they share, and the files they write."""

import errno
import hashlib
import json
import multiprocessing
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mtlkit.errors import DamagedFile, InputError
from mtlkit.files import mark
from mtlkit.worlds import _easel, _folder, cache_folder, objects, places

WORLDS = [objects, places]
SIZE = 32


def many(world: ModuleType, split: str, count: int) -> np.ndarray:
    """`(classes, count, SIZE, SIZE, 3)` uint8."""
    return np.array([[world.draw(name, 0, split, i, SIZE) for i in range(count)] for name in world.CLASSES])


@pytest.fixture(scope="module")
def drawn() -> dict[str, dict[str, np.ndarray]]:
    return {world.__name__: {"train": many(world, "train", 16), "val": many(world, "val", 4)} for world in WORLDS}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


@pytest.mark.parametrize("world", WORLDS)
def test_classes_are_names_of_folders(world: ModuleType) -> None:
    assert tuple(sorted(set(world.CLASSES))) == world.CLASSES, "the order in which a reader of folders counts them"
    assert all(name.replace("_", "").isalpha() for name in world.CLASSES)
    assert len(objects.CLASSES) == 20
    assert len(places.CLASSES) == 10


@pytest.mark.parametrize("world", WORLDS)
@settings(max_examples=20)
@given(data=st.data(), seed=st.integers(0, 2**63), index=st.integers(0, 10**6), size=st.integers(8, 70))
def test_every_image_keeps_its_promises(
    world: ModuleType, data: st.DataObject, seed: int, index: int, size: int
) -> None:
    name, split = data.draw(st.sampled_from(world.CLASSES)), data.draw(st.sampled_from(_easel.SPLITS))
    image = world.draw(name, seed, split, index, size)
    assert (image.dtype.name, image.shape) == ("uint8", (size, size, 3))
    assert image.std() > 4, "nothing to see"
    assert np.array_equal(image, world.draw(name, seed, split, index, size))


@pytest.mark.parametrize("world", WORLDS)
def test_images_differ_by_class_seed_split_and_index(world: ModuleType) -> None:
    first, second = world.CLASSES[:2]
    images = [
        world.draw(*case, 24)
        for case in ((first, 0, "train", 0), (second, 0, "train", 0), (first, 1, "train", 0), (first, 0, "val", 0),
                     (first, 0, "train", 1))
    ]  # fmt: skip
    assert len({image.tobytes() for image in images}) == 5


@pytest.mark.parametrize("world", WORLDS)
def test_no_two_images_of_a_class_are_alike(world: ModuleType, drawn: dict[str, dict[str, np.ndarray]]) -> None:
    for name, images in zip(world.CLASSES, drawn[world.__name__]["train"], strict=True):
        small = images.reshape(16, 8, 4, 8, 4, 3).mean((2, 4))
        apart = np.abs(small[:, None] - small[None]).mean((2, 3, 4))[np.triu_indices(16, 1)]
        assert apart.min() > 5, f"two of {name} are nearly the same"


@pytest.mark.parametrize("world", WORLDS)
def test_another_size_is_the_same_image(world: ModuleType) -> None:
    for index, name in enumerate(world.CLASSES):
        small, large = (world.draw(name, 0, "val", index, size).astype(float) for size in (24, 72))
        coarse = large.reshape(8, 9, 8, 9, 3).mean((1, 3))
        assert np.corrcoef(small.reshape(8, 3, 8, 3, 3).mean((1, 3)).ravel(), coarse.ravel())[0, 1] > 0.9, name


@pytest.mark.parametrize("world", WORLDS)
def test_an_unknown_name_is_one_sentence_with_a_suggestion(world: ModuleType, tmp_path: Path) -> None:
    wrong = world.CLASSES[0] + "s"
    with pytest.raises(InputError, match=f"no class '{wrong}'; did you mean '{world.CLASSES[0]}'"):
        world.draw(wrong, 0, "train", 0)
    with pytest.raises(InputError, match=f"did you mean '{world.CLASSES[0]}'"):
        world.write(tmp_path / "set", train=1, val=1, classes=[world.CLASSES[1], wrong])
    assert not any(tmp_path.iterdir())
    with pytest.raises(InputError, match="no split 'valid'; did you mean 'val'"):
        world.draw(world.CLASSES[0], 0, "valid", 0)


def test_one_object_in_twelve_has_no_colour(drawn: dict[str, dict[str, np.ndarray]]) -> None:
    def grey(images: np.ndarray) -> np.ndarray:
        return (images == images[..., :1]).all((-1, -2, -3))

    share = grey(drawn[objects.__name__]["train"])
    assert 0.04 < share.mean() < 0.14
    assert not grey(drawn[places.__name__]["train"]).any()


# --- what the two worlds share, and what parts their classes ---


def histogram(images: np.ndarray) -> np.ndarray:
    """How often gradients of each magnitude occur, a distribution over 12 bins."""
    light = images.astype(np.float64).mean(-1)
    size = np.hypot(light[:, :, 1:-1, 2:] - light[:, :, 1:-1, :-2], light[:, :, 2:, 1:-1] - light[:, :, :-2, 1:-1])
    counts, _ = np.histogram(size, [0, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 512])
    return counts / counts.sum()


def test_the_worlds_share_colours_and_gradients(drawn: dict[str, dict[str, np.ndarray]]) -> None:
    first, second = (drawn[world.__name__]["train"] for world in WORLDS)
    for of in (np.mean, np.std):
        assert np.abs(of(first, (0, 1, 2, 3)) - of(second, (0, 1, 2, 3))).max() < 26, "a tenth of the range"
    assert np.abs(histogram(first) - histogram(second)).sum() / 2 < 0.25


def features(images: np.ndarray) -> np.ndarray:
    """Strength of edges by place and direction, `(N, 4 * 8 * 8)`, each image's to length one."""
    light = images.reshape(-1, SIZE, SIZE, 3).astype(np.float64).mean(-1)
    down, across = np.gradient(light, axis=(1, 2))
    slanted = (down + across) / 2**0.5, (down - across) / 2**0.5
    edges = np.abs(np.stack([down, across, *slanted], 1)).reshape(-1, 4, 8, SIZE // 8, 8, SIZE // 8).mean((3, 5))
    flat = edges.reshape(len(light), -1)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


@pytest.mark.parametrize(("world", "times_chance"), [(objects, 2), (places, 4)])
def test_classes_can_be_learned(
    world: ModuleType, times_chance: float, drawn: dict[str, dict[str, np.ndarray]]
) -> None:
    classes = len(world.CLASSES)
    train, val = (features(drawn[world.__name__][split]) for split in ("train", "val"))
    target = np.repeat(np.eye(classes), 16, 0) - 1 / classes
    kernel = train @ train.T
    weights = train.T @ np.linalg.solve(kernel + 0.1 * np.eye(len(train)), target)
    right = (val @ weights).argmax(1) == np.repeat(np.arange(classes), 4)
    assert right.mean() > times_chance / classes


# --- files ---


@pytest.mark.parametrize("world", WORLDS)
def test_files_have_the_layout_of_an_image_folder(world: ModuleType, tmp_path: Path) -> None:
    names, modes = world.CLASSES[:3], set()
    world.write(tmp_path / "set", seed=7, train=12, val=2, size=16, classes=names)
    for split, count in (("train", 12), ("val", 2)):
        assert sorted(p.name for p in (tmp_path / "set" / split).iterdir()) == list(names)
        for name in names:
            files = sorted((tmp_path / "set" / split / name).iterdir())
            assert [p.name for p in files] == [f"{i:05}.png" for i in range(count)]
            for index, path in enumerate(files):
                with Image.open(path) as image:
                    modes.add(image.mode)
                    assert np.array_equal(np.asarray(image.convert("RGB")), world.draw(name, 7, split, index, 16))
    assert modes == ({"L", "RGB"} if world is objects else {"RGB"})
    assert json.loads((tmp_path / "set" / "world.json").read_text()) == {
        "world": world.__name__.rpartition(".")[2],
        "revision": world.REVISION,
        "seed": 7,
        "train": 12,
        "val": 2,
        "size": 16,
        "classes": list(names),
    }


@pytest.mark.parametrize("world", WORLDS)
def test_a_smaller_set_begins_a_bigger_one(world: ModuleType, tmp_path: Path) -> None:
    world.write(tmp_path / "small", train=2, val=1, size=16, classes=world.CLASSES[1:3])
    world.write(tmp_path / "big", train=3, val=2, size=16, classes=world.CLASSES[3::-1])
    assert contents(tmp_path / "small").items() <= contents(tmp_path / "big").items()


@pytest.mark.parametrize("world", WORLDS)
def test_writing_again_changes_nothing_and_other_folders_are_refused(world: ModuleType, tmp_path: Path) -> None:
    folder, few = tmp_path / "deep" / "set", world.CLASSES[:2]
    world.write(folder, train=1, val=1, size=16, classes=few)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    world.write(folder, train=1, val=1, size=16, classes=few[::-1])
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(InputError, match="another world"):
        world.write(folder, train=2, val=1, size=16, classes=few)
    assert [path.name for path in folder.parent.iterdir()] == ["set"], "something was left beside the set"
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no world"):
        world.write(tmp_path, train=1, val=1, size=16)


@pytest.mark.parametrize("world", WORLDS)
def test_processes_write_the_same_bytes_at_once(world: ModuleType, tmp_path: Path) -> None:
    arguments = {"train": 4, "val": 1, "size": 16}
    jobs = [
        multiprocessing.get_context("spawn").Process(target=world.write, args=(tmp_path / "set",), kwargs=arguments)
        for _ in range(2)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    world.write(tmp_path / "own", **arguments)
    digests = [hashlib.sha256(repr(sorted(contents(tmp_path / n).items())).encode()).digest() for n in ("set", "own")]
    assert digests[0] == digests[1]
    assert len(contents(tmp_path / "set")) == 5 * len(world.CLASSES)


def test_a_world_has_no_room_or_a_read_only_place_in_one_sentence_and_leaves_no_scratch(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    left = tmp_path / f".world.{mark()}.x.part"
    left.with_name(left.name.replace(f"-{os.getpid()}-", "-4194999-")).mkdir()  # beyond the numbers of processes
    left.mkdir()
    with pytest.raises(InputError, match=r"world cannot be written \(No space left on device\); free some space"):
        _folder.write(tmp_path / "world", {"world": "x"}, fill)
    assert list(tmp_path.iterdir()) == [left], "what a living process writes stays"
    _folder.write(tmp_path / "world", {"world": "x"}, lambda folder: None)
    killed = left.with_name(left.name.replace(f"-{os.getpid()}-", "-4194999-"))
    killed.mkdir()
    _folder.write(tmp_path / "world", {"world": "x"}, fill)
    assert not killed.exists(), "nor does it stay where another process drew the world"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"world cannot be written \(.*\); name a place that can be written\."):
        _folder.write(tmp_path / "file" / "world", {"world": "x"}, fill)


def test_a_world_that_is_not_what_was_drawn_is_set_aside_and_drawn_again(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    objects.write(folder, train=1, val=1, size=SIZE)
    drawn, image = contents(folder), next(folder.rglob("*.png"))
    sums = (folder / "SHA256SUMS").read_text()
    assert len(sums.splitlines()) == len(drawn) + 1
    for damage in (Path.unlink, lambda path: path.write_bytes(b"x"), lambda _: (folder / "SHA256SUMS").write_text("")):
        damage(image)
        with pytest.warns(DamagedFile, match="set was damaged and is set.damaged now"):
            objects.write(folder, train=1, val=1, size=SIZE)
        assert contents(folder) == drawn
    (folder / "SHA256SUMS").unlink()  # as earlier versions wrote it
    objects.write(folder, train=1, val=1, size=SIZE)
    assert contents(folder) == drawn


def test_a_cache_may_be_named_from_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MTLKIT_CACHE", "~/worlds")
    assert cache_folder() == tmp_path / "worlds"
