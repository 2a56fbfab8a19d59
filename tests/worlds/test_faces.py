"""The world `faces`: the images depend on age and gender, and the files are read as UTKFace."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mtlkit.data.faces import GENDERS
from mtlkit.data.utkface import UTKFace
from mtlkit.errors import InputError
from mtlkit.worlds import faces
from mtlkit.worlds._easel import Easel
from mtlkit.worlds._portraits import Person, person
from mtlkit.worlds.faces import Face


@pytest.fixture(scope="module")
def some() -> list[Face]:
    return [faces.draw(0, "train", index, (32, 32)) for index in range(450)]


def people(age: int, female: bool, count: int = 60) -> list[Person]:
    return [person(Easel(np.random.default_rng(seed), 32), age, female) for seed in range(count)]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**63),
    split=st.sampled_from(["train", "val"]),
    index=st.integers(0, 10**6),
    size=st.tuples(st.integers(32, 90), st.integers(32, 90)),
)
def test_every_face_keeps_its_promises(seed: int, split: str, index: int, size: tuple[int, int]) -> None:
    face = faces.draw(seed, split, index, size)
    assert (face.image.dtype.name, face.image.shape) == ("uint8", (*size, 3))
    assert (type(face.age), type(face.gender)) == (int, int)
    assert 0 <= face.age < 100
    assert face.gender in (0, 1)
    assert face.image.std() > 4, "nothing to see"
    again = faces.draw(seed, split, index, size)
    assert np.array_equal(face.image, again.image)
    assert face[1:] == again[1:]


def test_faces_differ_by_seed_split_and_index() -> None:
    cases = ((0, "train", 0), (1, "train", 0), (0, "val", 0), (0, "train", 1))
    assert len({faces.draw(*case).image.tobytes() for case in cases}) == 4


def test_another_size_is_the_same_face() -> None:
    for index in range(12):
        small, large = (faces.draw(3, "val", index, (side, side)) for side in (48, 96))
        assert small[1:] == large[1:]
        coarse = [each.image.reshape(12, s, 12, s, 3).mean((1, 3)).ravel() for each, s in ((small, 4), (large, 8))]
        assert np.corrcoef(coarse)[0, 1] > 0.95


def test_a_face_takes_a_few_milliseconds() -> None:
    faces.draw(0, "train", 0)
    times = []
    for index in range(30):
        start = time.process_time()
        faces.draw(0, "train", index)
        times.append(time.process_time() - start)
    assert np.median(times) < 0.025, "7 ms on one core"


def test_ages_are_spread_as_in_collections_of_photographs() -> None:
    rng = np.random.default_rng(0)
    ages = np.array([faces._age(rng) for _ in range(20000)])
    share = np.histogram(ages, bins=range(0, 101, 10))[0] / len(ages)
    assert (ages.min(), ages.max()) == (0, 99)
    assert 0.08 < (ages < 4).mean() < 0.16, "many small children"
    assert 0.4 < share[2:4].sum() < 0.6, "most people are between 20 and 40"
    assert 0.001 < share[9] < 0.01, "few above 90"
    assert (share[3:9] > share[4:]).all(), "from 30 on the older the fewer"
    assert (np.bincount(ages, minlength=100) > 0).all()


def test_genders_are_about_as_many(some: list[Face]) -> None:
    assert 0.44 < np.mean([face.gender for face in some]) < 0.54


# --- what a face shows ---


def test_children_grow() -> None:
    sizes = [np.mean([(p.grown, p.chin / p.wide, -p.apart) for p in people(age, False)], 0) for age in (0, 3, 8, 20)]
    assert (np.diff(sizes, axis=0) > 0).all(), "the face lengthens, the eyes come closer together"


def test_skin_wears_and_sexes_part() -> None:
    worn = [np.mean([p.worn for p in people(age, True)]) for age in (10, 35, 50, 65, 80, 95)]
    assert (np.diff(worn) > 0).all()
    assert worn[0] < 0.02
    assert worn[-1] > 0.75
    for female in (False, True):
        child, grown = people(7, female), people(30, female)
        assert max(p.man + p.woman for p in child) < 0.1, "children's faces do not tell"
        own, other = ([(p.man, p.woman)[female ^ k] for p in grown] for k in (0, 1))
        assert np.mean(own) > 0.4
        assert max(other) == 0


def test_people_seem_older_or_younger_than_they_are() -> None:
    for age, low, high in ((2, 0.5, 2), (30, 3, 7), (70, 7, 14)):
        seems = np.array([p.seems for p in people(age, False, 200)])
        assert low < seems.std() < high
        assert abs(seems.mean() - age) < 0.1 * age + 0.5
        assert seems.min() >= 0


def test_hair_greys() -> None:
    def colourless(age: int) -> float:
        hair = np.array([p.hair for p in people(age, True)])
        return float(np.mean((np.ptp(hair, axis=1) < 0.1) & (hair.mean(1) > 0.4)))

    assert [colourless(age) for age in (5, 25)] == [0, 0]
    assert 0.1 < colourless(52) < 0.9, "early or late"
    assert colourless(80) > 0.9


def test_images_tell_age_and_gender_but_not_exactly(some: list[Face]) -> None:
    """A linear map of grey pixels beats the best constant, and is far from the truth."""
    images = np.stack([face.image.reshape(16, 2, 16, 2, 3).mean((1, 3)) for face in some]).reshape(len(some), -1)
    pixels = np.c_[(images - images.mean(0)) / 255, np.ones(len(some))]
    cut = 330
    for values, least in (([face.age for face in some], 1.0), ([face.gender for face in some], 0.05)):
        truth = np.array(values, float)
        known = pixels[:cut]
        weights = known.T @ np.linalg.solve(known @ known.T + 8 * np.eye(cut), truth[:cut])
        error = np.abs(pixels[cut:] @ weights - truth[cut:]).mean()
        constant = np.abs(truth[:cut].mean() - truth[cut:]).mean()
        assert constant / 4 < error < constant - least


# --- files ---


def test_files_are_read_as_utkface(tmp_path: Path) -> None:
    root = tmp_path / "set"
    faces.write(root, seed=5, train=7, val=3, size=(48, 56))
    assert json.loads((root / "world.json").read_text()) == {
        "world": "faces", "revision": faces.REVISION, "seed": 5, "train": 7, "val": 3, "height": 48, "width": 56
    }  # fmt: skip
    assert len(list((root / "image").iterdir())) == 10
    for split, count in (("train", 7), ("val", 3)):
        data = UTKFace(root, split)
        assert (len(data), data.skipped) == (count, {})
        for index in range(count):
            face, sample = faces.draw(5, split, index, (48, 56)), data[index]
            assert data.name_of(index) == faces.file_name(face, split, index)
            assert (sample["age"].item(), sample["gender"].item()) == (face.age, face.gender)
            assert data.name_of(index).split("_")[2] == "4", "a drawn face has no race"
            error = sample["image"].permute(1, 2, 0).numpy().astype(float) - face.image
            assert np.abs(error).mean() < 5, "what a JPEG loses"
        with Image.open(root / "image" / data.name_of(0)) as image:
            assert (image.format, image.size) == ("JPEG", (56, 48))


def test_genders_are_coded_as_in_the_canon() -> None:
    """1 is female, and women are those with a woman's face."""
    assert GENDERS[1] == "female"
    assert max(p.man for p in people(30, True)) == max(p.woman for p in people(30, False)) == 0


def test_every_face_has_a_name_of_its_own() -> None:
    face = Face(np.zeros((1, 1, 3), np.uint8), 30, 1)
    names = {faces.file_name(face, split, index) for split in ("train", "val") for index in (0, 1, 59, 60, 10**6)}
    assert len(names) == 10
    assert faces.file_name(face, "train", 61) == "30_1_4_20160101000101000.jpg"


def test_a_smaller_set_begins_a_bigger_one(tmp_path: Path) -> None:
    for name, train, val in (("small", 2, 1), ("big", 3, 2)):
        faces.write(tmp_path / name, train=train, val=val, size=(32, 32))
    for path in (tmp_path / "small").rglob("*.*"):
        if path.name != "world.json":
            bigger = (tmp_path / "big" / path.relative_to(tmp_path / "small")).read_bytes()
            assert bigger.startswith(path.read_bytes()), path.name


def test_writing_again_changes_nothing_and_other_folders_are_refused(tmp_path: Path) -> None:
    folder, arguments = tmp_path / "deep" / "set", {"train": 1, "val": 1, "size": (32, 32)}
    faces.write(folder, **arguments)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    faces.write(folder, **arguments)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(InputError, match="another world"):
        faces.write(folder, **arguments, seed=1)
    assert [path.name for path in folder.parent.iterdir()] == ["set"], "something was left beside the set"


def test_what_cannot_be_drawn_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no split 'valid'; did you mean 'val'"):
        faces.draw(0, "valid", 0)
    with pytest.raises(InputError, match=r"in an image of 30 x 64; give at least 32 pixels a side\."):
        faces.write(tmp_path / "set", train=1, val=1, size=(30, 64))
    assert not any(tmp_path.iterdir())
