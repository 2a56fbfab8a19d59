"""UECFOOD-100's folders: a photograph may lie in several, and never on both sides of the split."""

import shutil

import pytest
import torch

from mtlkit.data import Data, UECFood, UECFoodBoxes
from mtlkit.data.sampling import groups_of
from mtlkit.errors import InputError
from mtlkit.worlds import plates

PHOTOGRAPHS = 24


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uecfood") / "uecfood"
    plates.write_boxes(folder, photographs=PHOTOGRAPHS, side=48)
    return folder


@pytest.fixture
def copy(root, tmp_path):
    return shutil.copytree(root, tmp_path / "copy")


def names(dataset):
    return [dataset.name_of(index) for index in range(len(dataset))]


def test_every_photograph_lies_on_one_side_whatever_folders_it_is_in(root):
    train, val = (UECFood(root, split) for split in ("train", "val"))
    assert not set(train.groups) & set(val.groups)
    assert len({*train.groups, *val.groups}) == PHOTOGRAPHS
    # Every other one shows two dishes, most of two categories.
    assert len(train) + len(val) > PHOTOGRAPHS * 5 // 4
    assert sorted(names(train) + names(val)) == sorted(
        f"{path.parent.name}/{path.name}" for path in root.rglob("*.jpg")
    )
    assert round(0.3 * PHOTOGRAPHS) == len(set(val.groups))
    assert groups_of(train) == train.groups


def test_both_readers_split_alike(root):
    for split in ("train", "val"):
        assert set(names(UECFoodBoxes(root, split))) == set(UECFood(root, split).groups)
        assert set(names(UECFoodBoxes(root, split, classes=("dish",)))) == set(UECFood(root, split).groups)
    shares = [len(UECFoodBoxes(root, "val", test_share=share)) for share in (0.2, 0.3)]
    assert shares == [round(share * PHOTOGRAPHS) for share in (0.2, 0.3)]


def test_labels_are_the_folders_and_boxes_those_of_the_lists(root):
    train = UECFood(root, "train", ("category",))
    assert train.classes == plates.CATEGORIES
    number, _, photograph = train.name_of(3).partition("/")
    assert train.classes[train.labels[3]] == plates.CATEGORIES[int(number) - 1]
    boxes = UECFoodBoxes(root, "train")
    index = names(boxes).index(photograph.removesuffix(".jpg"))
    sample = boxes[index]
    listed = sorted(
        (*map(float, line.split()[1:]), int(path.parent.name) - 1)
        for path in root.glob("*/bb_info.txt")
        for line in path.read_text().splitlines()[1:]
        if line.split()[0] == names(boxes)[index]
    )
    found = zip(sample["boxes"].tolist(), sample["detection"].tolist(), strict=True)
    assert sorted((*box, label) for box, label in found) == listed
    assert sample["image"].shape[1] == 48
    assert boxes.objects[index] == len(listed)


def test_one_class_takes_a_box_of_two_lists_once(copy):
    first = (copy / "1/bb_info.txt").read_text().splitlines()[1]
    photograph = first.split()[0]
    other = copy / "2/bb_info.txt"
    other.write_text(f"{other.read_text()}{first}\n")
    shutil.copy(copy / f"1/{photograph}.jpg", copy / f"2/{photograph}.jpg")

    def count(**given):
        for split in ("train", "val"):
            dataset = UECFoodBoxes(copy, split, **given)
            if photograph in names(dataset):
                return dataset.objects[names(dataset).index(photograph)]

    assert count() == count(classes=("dish",)) + 1
    data = Data(layout="uecfood_boxes", name="x", fingerprint="y", size=(64, 64), keep=("dish",), root=copy)
    sample = data.split("train", ("detection",))[0]
    assert sample["detection"].unique().tolist() == [0]
    assert torch.equal(data.view(sample)["crowd"], sample["crowd"])


def test_fingerprints_follow_the_content(root, copy):
    for reader in (UECFood, UECFoodBoxes):
        assert reader(root, "train").fingerprint() == reader(copy, "train").fingerprint()
        assert reader(root, "train").fingerprint() != reader(root, "val").fingerprint()
    before = [UECFoodBoxes(copy, split).fingerprint() for split in ("train", "val")]
    path = copy / "1/bb_info.txt"
    head, first, *rest = path.read_text().splitlines()
    moved = first.split()
    moved[3] = str(int(moved[3]) + 1)
    path.write_text("\n".join([head, " ".join(moved), *rest]) + "\n")
    assert before != [UECFoodBoxes(copy, split).fingerprint() for split in ("train", "val")]


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("category.txt", "id\tname\n1 plate\n", "line 2, is '1 plate'; it should be a number, a tab and a name"),
        ("category.txt", "id\tname\n", "names no category"),
        ("1/bb_info.txt", "img x1 y1 x2 y2\n1 9 9 5 20\n", "line 2, is '1 9 9 5 20'"),
        ("1/bb_info.txt", "img x1 y1 x2 y2\n1 9 9\n", "line 2, is '1 9 9'"),
        ("1/bb_info.txt", "img x1 y1 x2 y2\n999 1 1 5 5\n", "names 999.jpg, which is not there"),
        ("1/bb_info.txt", "img x1 y1 x2 y2\n1 0 0 inf 9\n", "line 2, is '1 0 0 inf 9'"),
        ("category.txt", f"id\tname\n{'9' * 5000}\tplate\n", "line 2, is '9999"),
        ("1/bb_info.txt", None, "There is no"),
    ],
)
def test_what_is_wrong_is_one_sentence(copy, file, text, says):
    (copy / file).unlink()
    if text is not None:
        (copy / file).write_text(text)
    for reader in (UECFood, UECFoodBoxes):
        with pytest.raises(InputError, match=says):
            reader(copy, "train")


def test_a_box_outside_of_its_photograph_is_named_when_it_is_read(copy):
    for path in copy.glob("*/bb_info.txt"):
        head, *rows = path.read_text().splitlines()
        path.write_text("\n".join([head, *(f"{row.split()[0]} 900 0 960 9" for row in rows)]))
    with pytest.raises(InputError, match=r"but a bb_info\.txt has the box 900 0 960 9, which covers nothing of it"):
        UECFoodBoxes(copy, "train")[0]


def test_other_classes_are_refused(root):
    with pytest.raises(InputError, match="did you mean 'dish'"):
        UECFoodBoxes(root, "train", classes=("dishes",))
