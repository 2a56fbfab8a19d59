import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors

from mtlkit.data.faces import AGES, GENDERS
from mtlkit.data.samples import collate
from mtlkit.data.utkface import VAL_SHARE, UTKFace, _labels
from mtlkit.errors import InputError

DATE = "20170109150557335"
NAMES = {
    "train": [f"30_1_0_{DATE}.jpg", f"0_0_4_{DATE}.jpg", f"99_1_2_{DATE}.jpg", f"100_0_1_{DATE}.jpg"],
    "val": [f"7_0_3_{DATE}.jpg"],
}


def paint(path: Path, red: int = 200) -> None:
    Image.new("RGB", (8, 6), (red, 0, 0)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four training images of 8 x 6 pixels, one of somebody of 100 years, and one validation image."""
    root = tmp_path / "utkface"
    for folder in ("image", "splits"):
        (root / folder).mkdir(parents=True)
    for split, names in NAMES.items():
        for name in names:
            paint(root / "image" / name)
        (root / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n\n")
    return root


def with_name(root: Path, name: str) -> None:
    """One more training image."""
    paint(root / "image" / name)
    path = root / "splits/train.txt"
    path.write_text(path.read_text() + name + "\n")


def test_reads_ages_and_genders_in_the_order_of_the_list(root):
    data = UTKFace(root, "train")
    assert (len(data), data.tasks, data.classes) == (3, ("age", "gender"), GENDERS)
    assert data.skipped == {"age outside 0 to 99": 1}
    assert data.faults == {}
    sample = data[0]
    assert set(sample) == {"image", "age", "gender"}
    assert isinstance(sample["image"], tv_tensors.Image)
    assert (sample["image"].dtype, sample["image"].shape) == (torch.uint8, (3, 6, 8))
    for task in ("age", "gender"):
        assert (sample[task].dtype, sample[task].shape) == (torch.int64, ())
    assert [data[index]["age"].item() for index in range(3)] == data.ages.tolist() == [30, 0, 99]
    assert [GENDERS[data[index]["gender"]] for index in range(3)] == ["female", "male", "female"]
    assert (data.ages.dtype, data.genders.dtype) == (np.int64, np.int64)
    assert data.name_of(0) == f"30_1_0_{DATE}.jpg"
    batch = collate([data[0], data[1]])
    assert (batch.targets["age"].tolist(), batch.targets["gender"].tolist()) == ([30, 0], [1, 0])
    assert UTKFace(root, "val").ages.tolist() == [7]


@pytest.mark.parametrize("tasks", [("age",), ("gender",), ("gender", "age")])
def test_only_the_asked_targets_are_read(root, tasks):
    data = UTKFace(root, "train", tasks)
    assert data.tasks == tasks
    assert set(data[0]) == {"image", *tasks}


@pytest.mark.parametrize("folder", ["UTKFace", "."])
def test_other_folders_and_the_original_ending(root, tmp_path, folder):
    place = tmp_path / "other" / folder
    place.mkdir(parents=True)
    for number in range(40):
        age = number if number < 30 else 30
        shutil.copy(
            root / "image" / NAMES["val"][0], place / f"{age}_{number % 2}_0_201701091505573{number:02}.jpg.chip.jpg"
        )
    (place / "README.md").write_text("left alone")
    train, val = (UTKFace(tmp_path / "other", split) for split in ("train", "val"))
    assert (len(train), len(val)) == (32, 8), f"{VAL_SHARE} of the images are held out"
    assert train[0]["age"].item() == train.ages[0]
    assert {train.name_of(i) for i in range(32)}.isdisjoint({val.name_of(i) for i in range(8)})
    assert {age // 10 for age in val.ages.tolist()} == {0, 1, 2, 3}, "of every ten years"
    for path in list(place.glob("*.chip.jpg")):
        path.rename(place / path.name.replace(".chip.jpg", ""))
    again = UTKFace(tmp_path / "other", "val")
    assert again.ages.tolist() == val.ages.tolist(), "the ending changes nothing"


def test_images_of_other_formats_are_counted(root):
    data = UTKFace(root, "val")
    assert data.overlooked() == []
    for suffix in ("png", "JPEG"):
        paint(root / f"image/31_0_0_{DATE}.{suffix}")
    (root / "image/31_0_0_notes.txt").touch()
    (sentence,) = UTKFace(root, "val").overlooked()
    assert f"2 image files that are not read (31_0_0_{DATE}.JPEG, 31_0_0_{DATE}.png); what is read ends in" in sentence


def test_fingerprint_knows_the_content_but_not_the_place_or_the_tasks(root, tmp_path):
    first = UTKFace(root, "train").fingerprint()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(root, elsewhere)
    assert UTKFace(elsewhere, "train", ("age",), "skip").fingerprint() == first
    assert len(first) == 12
    prints = {first, UTKFace(root, "val").fingerprint()}
    paint(elsewhere / "image" / NAMES["train"][1], 100)
    prints.add(UTKFace(elsewhere, "train").fingerprint())
    with_name(elsewhere, f"31_0_0_{DATE}.jpg")
    prints.add(UTKFace(elsewhere, "train").fingerprint())
    assert len(prints) == 4


@settings(max_examples=60)
@given(age=st.integers(0, 116), gender=st.integers(0, 1), race=st.integers(0, 4), date=st.integers(0, 10**17 - 1))
def test_names_are_read_back(age, gender, race, date):
    for ending in ("jpg", "jpg.chip.jpg", "JPG"):
        assert _labels(f"{age}_{gender}_{race}_{date:017}.{ending}") == (age, gender)


# --- bad input ---

FAULTS = [
    ("file name that is not [age]_[gender]_[race]_[date].jpg", f"39_1_{DATE}.jpg"),
    ("file name that is not [age]_[gender]_[race]_[date].jpg", f"39_1_0_0_{DATE}.jpg"),
    ("file name that is not [age]_[gender]_[race]_[date].jpg", f"39_1_0_{DATE}.jpg.jpg"),
    ("file name that is not [age]_[gender]_[race]_[date].jpg", f"39_1_0_{DATE}jpg"),
    ("field that is no number in the file name", f"39_1_0_{DATE} .jpg"),
    ("field that is no number in the file name", f"-3_1_0_{DATE}.jpg"),
    ("field that is no number in the file name", f"_1_0_{DATE}.jpg"),
    ("gender neither 0 nor 1 in the file name", f"39_3_0_{DATE}.jpg"),
    ("race not 0 to 4 in the file name", f"39_1_5_{DATE}.jpg"),
]


@pytest.mark.parametrize(("reason", "name"), FAULTS)
def test_a_mislabelled_name_is_named_or_skipped(root, reason, name):
    image = Image.new("RGB", (8, 6))
    image.save(root / "image" / name, format="JPEG")
    path = root / "splits/train.txt"
    path.write_text(path.read_text() + name + "\n")
    with pytest.raises(InputError, match=r"^1 of 5 images in .*image cannot be used") as caught:
        UTKFace(root, "train")
    assert f"({name}: {reason})" in str(caught.value)
    data = UTKFace(root, "train", faulty="skip")
    assert data.faults == {reason: (name,)}
    assert data.skipped == {reason: 1, "age outside 0 to 99": 1}
    assert len(data) == 3


def test_many_faults_are_counted_and_some_named(root):
    for number in range(5):
        with_name(root, f"3{number}_7_0_{DATE}.jpg")
    (root / "image" / NAMES["train"][0]).write_bytes(b"no image")
    (root / "image" / NAMES["train"][1]).unlink()
    with pytest.raises(InputError) as caught:
        UTKFace(root, "train")
    message = str(caught.value)
    assert message.startswith(f"7 of 9 images in {root / 'image'} cannot be used (")
    assert f"30_7_0_{DATE}.jpg, 31_7_0_{DATE}.jpg, 32_7_0_{DATE}.jpg and 2 more: gender neither 0 nor 1" in message
    assert f"{NAMES['train'][0]}: unreadable image" in message
    assert f"{NAMES['train'][1]}: missing image" in message
    assert "\n" not in message
    data = UTKFace(root, "train", faulty="skip")
    assert data.ages.tolist() == [99]
    assert data.skipped == {
        "gender neither 0 nor 1 in the file name": 5, "unreadable image": 1, "missing image": 1,
        "age outside 0 to 99": 1,
    }  # fmt: skip


def test_a_cut_off_image_is_skipped_or_refused_when_it_is_read(root):
    path = root / "image" / NAMES["train"][0]
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(InputError, match=rf"{path.name} cannot be read as an image"):
        UTKFace(root, "train")[0]
    assert UTKFace(root, "train", faulty="skip").faults == {"unreadable image": (path.name,)}


def test_bad_folders_lists_and_arguments_are_one_sentence(root, tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        UTKFace(tmp_path / "nowhere", "train")
    with pytest.raises(InputError, match="no split 'valid'"):
        UTKFace(root, "valid")
    with pytest.raises(InputError, match="no task in this data set 'race'"):
        UTKFace(root, "train", ("race",))
    with pytest.raises(InputError, match="no way with faulty images 'drop'"):
        UTKFace(root, "train", faulty="drop")
    lists = root / "splits"
    (lists / "val.txt").write_text(NAMES["train"][0])
    with pytest.raises(
        InputError, match=rf"val.txt, line 1, repeats '{NAMES['train'][0]}', which train.txt has in line 1"
    ):
        UTKFace(root, "train")
    (lists / "val.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"val\.txt cannot be read as text"):
        UTKFace(root, "train")
    (lists / "val.txt").unlink()
    with pytest.raises(
        InputError, match=r"There is no .*val\.txt; it should hold one file name per line; without both lists, remove"
    ):
        UTKFace(root, "train")
    (lists / "val.txt").write_text(NAMES["train"][3])
    (lists / "train.txt").write_text("")
    with pytest.raises(InputError, match=r"No face is left in .*image \(1 age outside 0 to 99\)"):
        UTKFace(root, "val")
    with pytest.raises(InputError, match=r"No face is left in .*image; a split needs"):
        UTKFace(root, "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no \*\.jpg"):
        UTKFace(tmp_path / "empty", "train")


# --- the real data ---


@pytest.mark.parametrize(("split", "listed", "old", "men"), [("train", 2994, 13, 1559), ("val", 598, 1, 314)])
def test_the_real_copy(shared, split, listed, old, men):
    root = shared / "data" / "utkface"
    if not root.is_dir():
        pytest.skip(f"SKIPPED LOUDLY: {root} is not there")
    data = UTKFace(root, split)
    assert (len(data), data.skipped) == (listed - old, {"age outside 0 to 99": old})
    assert men - old <= (data.genders == GENDERS.index("male")).sum() <= men
    assert 0 <= data.ages.min() < data.ages.max() < AGES
    assert 32 < data.ages.mean() < 34
    for index in range(0, len(data), 100):
        assert data[index]["image"].shape == (3, 80, 80)
