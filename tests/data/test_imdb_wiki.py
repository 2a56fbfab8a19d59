from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from mtlkit.data.faces import GENDERS
from mtlkit.data.imdb_wiki import VAL_SHARE, Counts, IMDBWiki, _ages
from mtlkit.data.utkface import UTKFace
from mtlkit.errors import InputError

NAN, NONE = float("nan"), -float("inf")


def day(year: int, month: int = 1, of_month: int = 1) -> int:
    """Matlab's number of a day."""
    return date(year, month, of_month).toordinal() + 366


# full_path, dob, photo_taken, gender, face_score, second_face_score, celeb_id, name
ROWS: list[tuple[Any, ...]] = [
    ("01/nm1_rm1_1950-1-1_1980.jpg", day(1950), 1980, 0, 3.5, NAN, 1, "Ada"),
    ("01/nm1_rm2_1950-1-1_1990.jpg", day(1950), 1990, 0, 0.4, NAN, 1, "Ada"),
    ("02/nm2_rm3_1950-7-1_1980.jpg", day(1950, 7), 1980, 1, 2.0, NAN, 2, "Bob"),
    ("02/nm3_rm4_1970-6-30_1980.jpg", day(1970, 6, 30), 1980, 1, 2.0, NAN, 3, "Cy"),
    ("03/nm4_rm5_1970-1-1_1970.jpg", day(1970), 1970, 0, 1.0, NAN, 4, "Di"),
    ("03/noface.jpg", day(1970), 1999, 0, NONE, NAN, 4, "Di"),
    ("03/two.jpg", day(1970), 1999, 0, 2.0, 1.5, 5, "Ed"),
    ("03/unknown.jpg", day(1970), 1999, NAN, 2.0, NAN, 5, "Ed"),
    ("03/unborn.jpg", day(2000), 1999, 1, 2.0, NAN, 6, "Flo"),
    ("03/old.jpg", day(1900), 2000, 1, 2.0, NAN, 6, "Flo"),
    ("03/ancient.jpg", 47, 2014, 1, 2.0, NAN, 6, "Flo"),
    ("03/undated.jpg", NAN, 2014, 1, 2.0, NAN, 6, "Flo"),
    ("03/both.jpg", NAN, 2014, NAN, NONE, NAN, 7, "Gus"),
]
REASONS = {"no face": 2, "second face": 1, "no gender": 1, "no date": 1, "age outside 0 to 99": 3}


def cells(values: list[Any]) -> np.ndarray:
    """A Matlab cell array of one row."""
    row = np.empty((1, len(values)), object)
    row[0] = values
    return row


def write(root: Path, rows: list[tuple[Any, ...]] = ROWS, part: str = "imdb", **others: Any) -> Path:
    """``root/PART_crop`` as released; fields given as ``None`` are left out."""
    folder = root / f"{part}_crop"
    folder.mkdir(parents=True, exist_ok=True)
    paths, born, taken, gender, score, second, number, name = (list(column) for column in zip(*rows, strict=True))
    struct = {
        "dob": np.array([born], float), "photo_taken": np.array([taken], np.uint16), "full_path": cells(paths),
        "gender": np.array([gender], float), "name": cells(name),
        "face_location": cells([np.array([[1.0, 1.0, 8.0, 6.0]])] * len(rows)),
        "face_score": np.array([score], float), "second_face_score": np.array([second], float),
    }  # fmt: skip
    if part == "imdb":
        struct |= {"celeb_names": cells(sorted(set(name))), "celeb_id": np.array([number], float)}
    struct = {key: value for key, value in (struct | others).items() if value is not None}
    savemat(folder / f"{part}.mat", {part: struct})
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6), (number, 0, 0)).save(folder / path)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Thirteen images of seven people, of which five of four people can be used."""
    write(tmp_path / "set")
    return tmp_path / "set"


def both(root: Path, **settings: Any) -> dict[str, tuple[int, str]]:
    """Age and gender by name, of both sides."""
    found = {}
    for split in ("train", "val"):
        data = IMDBWiki(root, split, **settings)
        for index in range(len(data)):
            sample = data[index]
            found[data.name_of(index)] = (sample["age"].item(), GENDERS[sample["gender"]])
    return found


def test_what_is_kept_has_its_age_and_gender(root):
    assert both(root) == {
        "01/nm1_rm1_1950-1-1_1980.jpg": (30, "female"),
        "01/nm1_rm2_1950-1-1_1990.jpg": (40, "female"),
        "02/nm2_rm3_1950-7-1_1980.jpg": (29, "male"),  # the birthday is in the other half of the year
        "02/nm3_rm4_1970-6-30_1980.jpg": (10, "male"),
        "03/nm4_rm5_1970-1-1_1970.jpg": (0, "female"),
    }
    data = IMDBWiki(root, "train")
    sample = data[0]
    assert set(sample) == {"image", "age", "gender"}
    assert (sample["image"].dtype, sample["image"].shape) == (torch.uint8, (3, 6, 8))
    assert all((sample[task].dtype, sample[task].shape) == (torch.int64, ()) for task in ("age", "gender"))
    assert set(IMDBWiki(root, "train", ("gender",))[0]) == {"image", "gender"}


def test_what_is_left_out_is_counted_by_its_first_reason(root):
    for split in ("train", "val"):
        data = IMDBWiki(root, split)
        assert data.skipped == REASONS
        assert data.counts["listed"] == Counts(13, 7)
        assert data.counts["kept"] == Counts(5, 4)
        assert sum(data.skipped.values()) + data.counts["kept"].images == data.counts["listed"].images
        sides = data.counts["train"], data.counts["val"]
        assert [sum(each) for each in zip(*sides, strict=True)] == [5, 4]
        assert data.counts["val"].people == 1
        assert len(data) == data.counts[split].images


def test_a_least_score_is_a_setting(root):
    data = IMDBWiki(root, "train", least_score=1.0)
    assert data.skipped == REASONS | {"face score below 1": 1}
    assert data.counts["kept"] == Counts(4, 4)


def test_the_same_person_has_the_same_gender_id_in_both_data_sets(tmp_path):
    """The files code it the other way round."""
    for gender, (in_imdb, in_utkface) in {"male": (1, 0), "female": (0, 1)}.items():
        rows = [(f"01/{n}.jpg", day(1950), 1980, in_imdb, 1.0, NAN, n, f"{n}") for n in range(4)]
        folder = write(tmp_path / gender, rows)
        (tmp_path / f"utk {gender}").mkdir()
        for n in range(4):
            image = (folder / f"01/{n}.jpg").read_bytes()
            (tmp_path / f"utk {gender}" / f"30_{in_utkface}_0_{n}.jpg").write_bytes(image)
        first, second = IMDBWiki(folder, "train"), UTKFace(tmp_path / f"utk {gender}", "train")
        assert first.classes == second.classes
        assert set(first.genders.tolist()) == set(second.genders.tolist()) == {GENDERS.index(gender)}
        assert set(first.ages.tolist()) == set(second.ages.tolist()) == {30}


def people(count: int, photos: int, part: str = "imdb") -> list[tuple[Any, ...]]:
    """Rows of ``count`` people with up to ``photos`` photos each, in no order; wiki's last one has no name."""
    rng = np.random.default_rng(0)
    rows = []
    for person in range(count):
        name = "" if part == "wiki" and person == count - 1 else f"P{person}"
        for photo in range(1 + person % photos):
            path = f"{person % 10:02}/{person}_{photo}.jpg"
            rows.append((path, day(1950), 1960 + photo, person % 2, 1.0, NAN, person + 1, name))
    return [rows[place] for place in rng.permutation(len(rows))]


@pytest.mark.parametrize("part", ["imdb", "wiki"])
def test_nobody_is_on_both_sides(tmp_path, part):
    rows = people(60, 5, part)
    folder = write(tmp_path, rows, part)
    data = {split: IMDBWiki(folder, split) for split in ("train", "val")}
    on = {split: {each.name_of(i)[3:].split("_")[0] for i in range(len(each))} for split, each in data.items()}
    assert not on["train"] & on["val"]
    assert (len(on["train"]), len(on["val"])) == (50, 10)
    assert data["train"].counts["val"] == Counts(len(data["val"]), 10)
    assert sum(map(len, data.values())) == len(rows)
    write(tmp_path, rows[::-1], part)
    again = IMDBWiki(folder, "val")
    assert sorted(again._names) == sorted(data["val"]._names), "the order of rows changes nothing"
    assert again.fingerprint() == data["val"].fingerprint() != data["train"].fingerprint()
    assert IMDBWiki(folder, "val", share=0.5).counts["val"].people == 30


def test_the_papers_split_is_the_default():
    assert round(VAL_SHARE * 12325) == 2000


@given(
    born=st.dates(date(1000, 1, 1), date(2030, 12, 31)),
    hours=st.floats(0, 0.99),
    taken=st.integers(1900, 2030),
)
def test_ages_are_those_on_the_middle_of_the_year(born, hours, taken):
    """From Python's calendar: whole years on 30 June."""
    by_hand = taken - born.year - ((born.month, born.day) > (6, 30))
    (found,) = _ages(np.array([born.toordinal() + 366 + hours]), np.array([float(taken)]))
    assert found == by_hand


# --- bad input ---


def test_missing_and_empty_files_are_named_or_skipped(root):
    names = [IMDBWiki(root, "train").name_of(index) for index in range(2)]
    (root / "imdb_crop" / names[0]).unlink()
    (root / "imdb_crop" / names[1]).write_bytes(b"")
    with pytest.raises(InputError, match=r"^2 of \d images in .*imdb_crop cannot be used") as caught:
        IMDBWiki(root, "train")
    assert f"{names[0]}: missing image; {names[1]}: empty file" in str(caught.value)
    before = IMDBWiki(root, "val").counts["train"].images
    data = IMDBWiki(root, "train", faulty="skip")
    assert data.faults == {"missing image": (names[0],), "empty file": (names[1],)}
    assert data.skipped == REASONS | {"missing image": 1, "empty file": 1}
    assert len(data) == data.counts["train"].images == before - 2


def test_a_damaged_image_is_refused_when_it_is_read(root):
    data = IMDBWiki(root, "train")
    (root / "imdb_crop" / data.name_of(0)).write_bytes(b"no image")
    with pytest.raises(InputError, match=rf"{data.name_of(0)} cannot be read as an image"):
        data[0]


def test_bad_folders_and_files_are_one_sentence(root, tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        IMDBWiki(tmp_path / "nowhere", "train")
    with pytest.raises(InputError, match="no way with faulty images 'drop'"):
        IMDBWiki(root, "train", faulty="drop")
    with pytest.raises(InputError, match=r"share of 1 of the groups"):
        IMDBWiki(root, "train", share=1.0)
    with pytest.raises(InputError, match=r"none of which can be used \({.*'face score below 9': 11"):
        IMDBWiki(root, "train", least_score=9)
    write(root, part="wiki")
    with pytest.raises(InputError, match=r"holds both .*imdb\.mat and .*wiki\.mat; give the folder imdb_crop or wiki"):
        IMDBWiki(root, "train")
    assert len(IMDBWiki(root / "wiki_crop", "train"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds neither imdb_crop/imdb\.mat nor wiki_crop/wiki\.mat"):
        IMDBWiki(tmp_path / "empty", "train")
    write(root, celeb_id=None)
    with pytest.raises(InputError, match=r"imdb\.mat has no member 'celeb_id'"):
        IMDBWiki(root / "imdb_crop", "train")
    write(root, dob=np.zeros((1, 2)))
    with pytest.raises(InputError, match="are of unequal lengths"):
        IMDBWiki(root / "imdb_crop", "train")
    for content in (b"", b"MATLAB 5.0 MAT-file, but no more"):
        (root / "imdb_crop/imdb.mat").write_bytes(content)
        with pytest.raises(InputError, match=r"imdb\.mat is not a MATLAB file \("):
            IMDBWiki(root / "imdb_crop", "train")
    savemat(root / "imdb_crop/imdb.mat", {"other": 1})
    with pytest.raises(InputError, match="has no member 'dob'"):
        IMDBWiki(root / "imdb_crop", "train")
    savemat(root / "imdb_crop/imdb.mat", {"imdb": 1})
    with pytest.raises(InputError, match="has no member 'dob'"):
        IMDBWiki(root / "imdb_crop", "train")


def test_a_path_out_of_the_folder_is_named_with_its_row(root):
    Image.new("RGB", (8, 6)).save(root / "secret.jpg")
    write(root, [("../secret.jpg", *ROWS[0][1:]), *ROWS[1:]])
    with pytest.raises(
        InputError, match=r"imdb\.mat, row 1, names '\.\./secret\.jpg'; a path should lead to a file inside"
    ):
        both(root)
