import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from mtlkit.data.apascal import APascal
from mtlkit.data.sampling import Part
from mtlkit.errors import InputError

TRAIN = """\
b.jpg car 3 2 6 4 1 0 1
a.jpg dog 1 1 8 6 0 0 0

b.jpg dog 5 5 5 5 0 1 0
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two training images of 8 x 6 pixels with three objects, one validation image; 20 classes and one more."""
    root = tmp_path / "apascal"
    for folder in ("JPEGImages", "attribute_data"):
        (root / folder).mkdir(parents=True)
    for name in "abc":
        Image.new("RGB", (8, 6), (ord(name), 0, 0)).save(root / f"JPEGImages/{name}.jpg")
    lists = root / "attribute_data"
    (lists / "apascal_train.txt").write_text(TRAIN)
    (lists / "apascal_test.txt").write_text("c.jpg cat 1 1 2 2 1 1 1\n")
    (lists / "attribute_names.txt").write_text("2D Boxy\nFurn. Leg\nWheel\n")
    others = [f"class{number}" for number in range(17)]
    (lists / "class_names.txt").write_text("\n".join(["car", "cat", "dog", *others, "donkey"]) + "\n")
    return root


def test_an_image_lies_in_one_list(root):
    with (root / "attribute_data/apascal_test.txt").open("a") as file:
        file.write("a.jpg cat 1 1 2 2 1 1 1\n")
    for split in ("train", "val"):
        with pytest.raises(
            InputError, match=r"apascal_test\.txt, line 2, repeats 'a\.jpg', which apascal_train\.txt has in"
        ):
            APascal(root, split)


def test_a_number_is_spelled_as_files_spell_it(root):
    replace_row(root, "a.jpg dog 0_1 1 8 6 0 0 0")
    with pytest.raises(InputError, match="line 2, has the coordinate '0_1'; it should be a number of pixels"):
        APascal(root, "train")


def replace_row(root: Path, row: str) -> None:
    """Another second row of the training list."""
    (root / "attribute_data/apascal_train.txt").write_text(TRAIN.replace("a.jpg dog 1 1 8 6 0 0 0", row))


def test_reads_an_image_with_all_its_objects(root):
    data = APascal(root, "train")
    assert (len(data), data.tasks, len(data.classes)) == (2, ("detection", "attributes"), 20)
    assert data.attributes == ("2D Boxy", "Furn. Leg", "Wheel")
    assert [data.name_of(index) for index in range(2)] == ["b", "a"], "in the order of the list"
    sample = data[0]
    assert set(sample) == {"image", "boxes", "detection", "attributes"}
    assert isinstance(sample["image"], tv_tensors.Image)
    assert (sample["image"].dtype, sample["image"].shape) == (torch.uint8, (3, 6, 8))
    boxes = sample["boxes"]
    assert isinstance(boxes, tv_tensors.BoundingBoxes)
    assert (boxes.dtype, boxes.format, boxes.canvas_size) == (torch.float32, tv_tensors.BoundingBoxFormat.XYXY, (6, 8))
    assert boxes.tolist() == [[2, 1, 6, 4], [4, 4, 5, 5]], "the edges of the pixels, the last ones included"
    assert (sample["detection"].dtype, sample["detection"].tolist()) == (torch.int64, [0, 2])
    assert (sample["attributes"].dtype, sample["attributes"].tolist()) == (torch.uint8, [[1, 0, 1], [0, 1, 0]])
    assert data[1]["boxes"].tolist() == [[0, 0, 8, 6]], "the whole image"
    assert data[1]["attributes"].tolist() == [[0, 0, 0]], "an object may have no attribute"
    assert data.skipped == {}
    assert APascal(root, "val")[0]["detection"].tolist() == [1]


@pytest.mark.parametrize("tasks", [("detection",), ("attributes",), ("attributes", "detection")])
def test_only_the_asked_targets_are_read(root, tasks):
    data = APascal(root, "train", tasks)
    assert data.tasks == tasks
    assert set(data[0]) == {"image", "boxes", *tasks}


def test_counts_of_the_split_need_no_images(root):
    data = APascal(root, "train")
    shutil.rmtree(root / "JPEGImages")
    counts = data.counts()
    assert {name: count for name, count in counts.classes.items() if count} == {"car": 1, "dog": 2}
    assert list(counts.classes) == list(data.classes)
    assert sum(data.objects) == sum(counts.classes.values())
    part = Part(data, [0])
    assert part.objects == data.objects[:1]
    assert len(part.values) == 0
    assert counts.attributes == {"2D Boxy": 1, "Furn. Leg": 1, "Wheel": 1}


def test_grey_images_have_three_channels(root):
    Image.new("L", (8, 6), 7).save(root / "JPEGImages/b.jpg")
    image = APascal(root, "train")[0]["image"]
    assert image.shape == (3, 6, 8)
    assert (image == image[:1]).all()


def test_fingerprint_knows_the_content_but_not_the_place_or_the_tasks(root, tmp_path):
    first = APascal(root, "train").fingerprint()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(root, elsewhere)
    assert APascal(elsewhere, "train", ("detection",), "skip").fingerprint() == first
    assert len(first) == 12
    prints = {first, APascal(root, "val").fingerprint()}
    replace_row(elsewhere, "a.jpg dog 1 1 8 6 0 0 1")
    prints.add(APascal(elsewhere, "train").fingerprint())
    Image.new("RGB", (8, 6), (0, 255, 0)).save(elsewhere / "JPEGImages/a.jpg")
    prints.add(APascal(elsewhere, "train").fingerprint())
    (elsewhere / "attribute_data/attribute_names.txt").write_text("2D Boxy\nFurn. Leg\nWhale\n")
    prints.add(APascal(elsewhere, "train").fingerprint())
    assert len(prints) == 5


def test_fingerprint_knows_every_row_of_a_long_list(root):
    path = root / "attribute_data/apascal_train.txt"
    rows = ["a.jpg dog 1 1 8 6 0 0 0"] * 6000
    path.write_text("\n".join(rows))
    first = APascal(root, "train").fingerprint()
    rows[3500] = "a.jpg dog 1 1 8 6 0 1 0"
    path.write_text("\n".join(rows))
    assert APascal(root, "train").fingerprint() != first


# --- bad rows ---

FAULTS = [
    ("number of fields", "a.jpg dog 1 1 8 6 0 0", "has 8 fields; a row has 9: an image, .* and 3 zeros or ones"),
    ("number of fields", "a.jpg dog 1 1 8 6 0 0 0 1", "has 10 fields; a row has 9"),
    ("number of fields", "a", "has 1 fields"),
    ("unknown class", "a.jpg dgo 1 1 8 6 0 0 0", r"class 'dgo', .* the first 20 of .*\.txt; did you mean 'dog'"),
    ("unknown class", "a.jpg donkey 1 1 8 6 0 0 0", "class 'donkey', which is not among the first 20"),
    ("coordinate that is no number", "a.jpg dog 1 1 x 6 0 0 0", "the coordinate 'x'; it should be a number"),
    ("coordinate that is no number", "a.jpg dog nan 1 8 6 0 0 0", "the coordinate 'nan'"),
    ("coordinate that is no number", "a.jpg dog 1 1 8 inf 0 0 0", "the coordinate 'inf'"),
    ("empty box", "a.jpg dog 5 1 4 6 0 0 0", "the empty box 5 1 4 6; xmin must not be above xmax"),
    ("empty box", "a.jpg dog 1 6 8 5 0 0 0", "the empty box 1 6 8 5"),
    ("box outside its image", "a.jpg dog 0 1 8 6 0 0 0", r"box 0 1 8 6, but JPEGImages/a\.jpg is 8 x 6; x must lie"),
    ("box outside its image", "a.jpg dog 1 1 9 6 0 0 0", "the box 1 1 9 6"),
    ("box outside its image", "a.jpg dog 1 1 8 7 0 0 0", "y in 1 to 6"),
    ("box outside its image", "a.jpg dog 1 -2 8 6 0 0 0", "the box 1 -2 8 6"),
    ("attribute neither 0 nor 1", "a.jpg dog 1 1 8 6 0 2 0", "'2' for the attribute 'Furn. Leg'; it should be 0 or 1"),
    ("attribute neither 0 nor 1", "a.jpg dog 1 1 8 6 01 0 0", "'01' for the attribute '2D Boxy'"),
    ("missing image", "d.jpg dog 1 1 8 6 0 0 0", r"the image 'd\.jpg', but there is no JPEGImages/d\.jpg"),
    ("missing image", "../a.jpg dog 1 1 8 6 0 0 0", r"the image '\.\./a\.jpg', but there is no"),
]


@pytest.mark.parametrize(("reason", "row", "sentence"), FAULTS)
def test_a_bad_row_is_named_or_skipped(root, reason, row, sentence):
    replace_row(root, row)
    with pytest.raises(InputError, match=rf"apascal_train\.txt, line 2, .*{sentence}") as caught:
        APascal(root, "train")
    assert str(caught.value).endswith((".", "?"))
    data = APascal(root, "train", faulty="skip")
    assert data.skipped == {reason: 1}
    assert [data.name_of(index) for index in range(len(data))] == ["b"], "no object is left in the other"
    assert APascal(root, "val").skipped == {}, "the other list is not read"


def test_skipped_rows_are_counted_by_reason(root):
    path = root / "attribute_data/apascal_train.txt"
    path.write_text(TRAIN + "\n".join(row for _, row, _ in FAULTS))
    data = APascal(root, "train", faulty="skip")
    assert data.skipped == {reason: [fault[0] for fault in FAULTS].count(reason) for reason, _, _ in FAULTS}
    assert sum(data.counts().classes.values()) == 3
    assert len(data) == 2


def test_a_list_of_bad_rows_alone_is_refused(root):
    (root / "attribute_data/apascal_train.txt").write_text("a.jpg\nb.jpg\n")
    with pytest.raises(InputError, match=r"holds only bad rows \({'number of fields': 2}\); it needs"):
        APascal(root, "train", faulty="skip")


@settings(max_examples=40)
@given(st.text(alphabet="a.jpg dog 01 68 \t-", max_size=40))
def test_any_row_is_read_or_refused_in_one_sentence(tmp_path_factory, row):
    root = tmp_path_factory.getbasetemp() / "any"
    if not root.exists():
        (root / "JPEGImages").mkdir(parents=True)
        (root / "attribute_data").mkdir()
        Image.new("RGB", (8, 6)).save(root / "JPEGImages/a.jpg")
        (root / "attribute_data/class_names.txt").write_text("dog\n")
        (root / "attribute_data/attribute_names.txt").write_text("Wheel\n")
    (root / "attribute_data/apascal_train.txt").write_text(row)
    data, refusal = None, "apascal_train.txt, line 1, "
    try:
        data = APascal(root, "train")
    except InputError as error:
        refusal = str(error)
    assert re.search(r"apascal_train\.txt(, line 1, | holds no row)", refusal)
    if data:
        left, top, right, bottom = data[0]["boxes"][0].tolist()
        assert 0 <= left < right <= 8
        assert 0 <= top < bottom <= 6


# --- bad files ---


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, "There is no folder .*apascal; give"),
        (lambda root: shutil.rmtree(root / "JPEGImages"), "There is no folder .*JPEGImages; it should hold the images"),
        (
            lambda root: (root / "attribute_data/apascal_train.txt").unlink(),
            r"There is no .*apascal_train\.txt; it should hold a row for every object",
        ),
        (lambda root: (root / "attribute_data/apascal_train.txt").write_text("\n"), "holds no row; it needs"),
        (lambda root: (root / "attribute_data/apascal_train.txt").write_bytes(b"\xff"), "cannot be read as text"),
        (lambda root: (root / "attribute_data/class_names.txt").unlink(), r"There is no .*class_names\.txt"),
        (lambda root: (root / "attribute_data/class_names.txt").write_text(""), r"class_names\.txt is empty; it needs"),
        (
            lambda root: (root / "attribute_data/attribute_names.txt").write_text("Wheel\nLeg\nWheel\n"),
            r"attribute_names\.txt, line 3, repeats the name 'Wheel'; every line needs another one",
        ),
        (lambda root: (root / "JPEGImages/a.jpg").write_bytes(b"no"), r"a\.jpg cannot be read as an image"),
    ],
)
@pytest.mark.parametrize("faulty", ["refuse", "skip"])
def test_what_is_missing_or_damaged_is_named_at_once(root, damage, sentence, faulty):
    damage(root)
    with pytest.raises(InputError, match=sentence):
        APascal(root, "train", faulty=faulty)


def test_a_cut_image_is_named_when_it_is_read(root):
    path = root / "JPEGImages/a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    data = APascal(root, "train")
    data[0]
    with pytest.raises(InputError, match=r"a\.jpg cannot be read as an image"):
        data[1]


def test_unknown_names_get_the_nearest(root):
    with pytest.raises(InputError, match="no split 'test'; valid are train, val"):
        APascal(root, "test")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no task in this data set 'attribute'; did you mean 'attributes'"):
        APascal(root, "train", ("attribute",))
    with pytest.raises(InputError, match="no way with faulty rows 'skips'; did you mean 'skip'"):
        APascal(root, "train", faulty="skips")  # type: ignore[arg-type]


# --- transforms ---


def test_a_mirror_keeps_boxes_on_their_objects(root):
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[1:4, 2:6] = 255  # the car of b.jpg
    Image.fromarray(pixels).save(root / "JPEGImages/b.jpg", quality=100, subsampling=0)
    sample = APascal(root, "train")[0]
    turned = v2.RandomHorizontalFlip(1.0)(sample)
    assert turned["boxes"].tolist() == [[2, 1, 6, 4], [3, 4, 4, 5]]
    for each in (sample, turned):
        left, top, right, bottom = map(int, each["boxes"][0].tolist())
        assert each["image"][:, top:bottom, left:right].min() > 200
        assert (each["image"] > 200).sum() == 3 * 3 * 4
    assert torch.equal(turned["detection"], sample["detection"])
    assert torch.equal(turned["attributes"], sample["attributes"])
    assert torch.equal(v2.RandomHorizontalFlip(1.0)(turned)["boxes"], sample["boxes"])
    wide = F.resize(sample["boxes"], [12, 24])
    assert wide.tolist() == [[6, 2, 18, 8], [12, 8, 15, 10]]


# --- the real data ---

REAL_CLASSES = {
    "train": [18, 7, 18, 18, 31, 19, 61, 58, 48, 98, 7, 72, 62, 0, 169, 27, 67, 22, 3, 12],
    "val": [5, 3, 15, 10, 2, 8, 30, 38, 41, 81, 5, 66, 43, 3, 124, 32, 93, 25, 1, 7],
}
"""Objects a class, from aeroplane to tvmonitor."""


@pytest.mark.parametrize(("split", "images", "objects"), [("train", 260, 817), ("val", 220, 632)])
def test_the_real_copy(shared, split, images, objects):
    root = shared / "data" / "apascal"
    if not root.is_dir():
        pytest.skip(f"SKIPPED LOUDLY: {root} is not there")
    data = APascal(root, split)
    counts = data.counts()
    assert (len(data), len(data.classes), len(data.attributes)) == (images, 20, 64)
    assert sum(counts.classes.values()) == objects
    assert list(counts.classes.values()) == REAL_CLASSES[split]
    assert (data.classes[0], data.classes[-1]) == ("aeroplane", "tvmonitor")
    assert data.attributes[:3] == ("2D Boxy", "3D Boxy", "Round")
    assert APascal(root, split, faulty="skip").skipped == {}
    assert len({data.name_of(index) for index in range(images)}) == images
    for index in range(0, images, 20):
        sample = data[index]
        height, width = sample["image"].shape[1:]
        left, top, right, bottom = sample["boxes"].unbind(1)
        assert sample["boxes"].canvas_size == (height, width)
        assert 288 <= max(height, width) <= 320
        assert (left >= 0).all()
        assert (left < right).all()
        assert (right <= width).all()
        assert (top < bottom).all()
        assert (bottom <= height).all()
        assert len(sample["boxes"]) == len(sample["detection"]) == len(sample["attributes"])


def test_the_real_copy_as_a_whole(shared):
    root = shared / "data" / "apascal"
    if not root.is_dir():
        pytest.skip(f"SKIPPED LOUDLY: {root} is not there")
    train, val = APascal(root, "train"), APascal(root, "val")
    assert train.fingerprint() != val.fingerprint()
    each = [train.counts().attributes[name] + val.counts().attributes[name] for name in train.attributes]
    assert min(each) == 4
    assert round(sum(each) / 1449, 1) == 7.1
