"""Tables of images with calories, and splits that keep groups whole."""

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors

from mtlkit.data.groups import held_out
from mtlkit.data.manifest import Columns, Manifest
from mtlkit.data.samples import collate
from mtlkit.errors import InputError

TABLE = """\
image,kcal,category,group,split
images/b.jpg,250.5,soup,p1,train
images/a.jpg,100,curry,p2,train
images/c.jpg,0,curry,p2,train

images/d.jpg,80,curry,p3,val
"""
SECOND = "images/a.jpg,100,curry,p2,train"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three training images of two portions and one validation image, 6 x 4 pixels each."""
    root = tmp_path / "food"
    (root / "images").mkdir(parents=True)
    for name in "abcdef":
        Image.new("RGB", (6, 4), (ord(name), 0, 0)).save(root / f"images/{name}.jpg", quality=100)
    (root / "manifest.csv").write_text(TABLE)
    return root


def rewrite(root: Path, change: Callable[[str], str]) -> None:
    (root / "manifest.csv").write_text(change((root / "manifest.csv").read_text()))


def test_reads_images_with_their_calories_and_category(root):
    data = Manifest(root, "train")
    assert (len(data), data.classes, data.tasks) == (3, ("curry", "soup"), ("calories", "category"))
    assert [data.name_of(index) for index in range(3)] == ["images/b.jpg", "images/a.jpg", "images/c.jpg"]
    assert (data.labels, data.groups, data.drawn, data.skipped) == ([1, 0, 0], ["p1", "p2", "p2"], False, {})
    assert (data.values.dtype, data.values.tolist()) == (np.float32, [250.5, 100, 0])
    sample = data[0]
    assert set(sample) == {"image", "calories", "category"}
    assert isinstance(sample["image"], tv_tensors.Image)
    assert (sample["image"].dtype, sample["image"].shape, int(sample["image"][0, 0, 0])) == (torch.uint8, (3, 4, 6), 98)
    assert (sample["calories"].dtype, sample["calories"].shape, float(sample["calories"])) == (torch.float32, (), 250.5)
    assert (sample["category"].dtype, sample["category"].shape, int(sample["category"])) == (torch.int64, (), 1)
    batch = collate([data[0], data[1]])
    assert batch.targets["calories"].tolist() == [250.5, 100]
    val = Manifest(root, "val")
    assert (len(val), val.classes, val.labels) == (1, ("curry", "soup"), [0]), "the categories of both splits"
    with pytest.raises(IndexError):
        data[3]


@pytest.mark.parametrize("tasks", [(), ("calories",), ("category",), ("category", "calories")])
def test_only_the_asked_targets_are_read(root, tasks):
    data = Manifest(root, "train", tasks)
    assert data.tasks == tasks
    assert set(data[0]) == {"image", *tasks}


def test_columns_may_have_other_names_and_any_order(root):
    first = Manifest(root, "train").fingerprint()
    with (root / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    names = dict(zip(rows[0], ("file", "energy_kcal", "food", "portion", "part"), strict=True))
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8-sig") as file:  # as a spreadsheet saves it
        table = csv.writer(file, quoting=csv.QUOTE_ALL)
        table.writerow(["note", *(names[name] for name in reversed(rows[0]))])
        table.writerows([["two\nlines", *(f" {cell} " for cell in reversed(row))] for row in rows[1:]])
    columns = Columns(image="file", kcal="energy_kcal", category="food", group="portion", split="part")
    assert Manifest(root, "train", columns=columns).fingerprint() == first
    with pytest.raises(InputError, match=r"manifest\.csv, row 1, has no column 'image', .* hold the image; valid are"):
        Manifest(root, "train")
    with pytest.raises(InputError, match="no column 'fod', which should hold the category; did you mean 'food'"):
        Manifest(root, "train", columns=Columns(**{**columns.model_dump(), "category": "fod"}))


def test_columns_that_no_task_needs_may_be_missing(root):
    (root / "manifest.csv").write_text("image,split,kcal\nimages/a.jpg,train,5\nimages/b.jpg,val,7\n")
    data = Manifest(root, "train", ("calories",))
    assert (data.classes, data.labels, data.groups) == ((), [], ["images/a.jpg"]), "each image is its own group"
    with pytest.raises(InputError, match="no column 'category', which should hold the category; valid are image, kcal"):
        Manifest(root, "train")
    with pytest.raises(InputError, match="no column 'portion', which should hold the group"):
        Manifest(root, "train", ("calories",), Columns(group="portion"))
    (root / "manifest.csv").write_text("image,split,category\nimages/a.jpg,train,5\nimages/b.jpg,val,5\n")
    assert Manifest(root, "train", ("category",)).values.shape == (0,)


def test_a_column_set_to_none_is_not_read(root):
    rewrite(root, lambda text: text.replace("100", "?"))
    assert len(Manifest(root, "train", ("category",), Columns(kcal=None))) == 3
    with pytest.raises(InputError, match="no column 'kcal'"):
        Manifest(root, "train", ("calories",), Columns(kcal=None))


def test_without_a_column_for_the_split_whole_groups_are_held_out(root):
    rows = [f"images/{name}.jpg,{ord(name)},{'xy'[n % 2]},g{n // 2}" for n, name in enumerate("abcdef")]
    (root / "manifest.csv").write_text("\n".join(["image,kcal,category,group", *rows]))
    train, val = Manifest(root, "train"), Manifest(root, "val")
    assert train.drawn
    assert (len(train), len(val)) == (4, 2)
    assert not set(train.groups) & set(val.groups)
    (root / "manifest.csv").write_text("\n".join(["image,kcal,category,group", *rows[::-1]]))
    assert set(Manifest(root, "val").groups) == set(val.groups), "the order of rows is no matter"
    assert len({tuple(Manifest(root, "val", seed=seed).groups) for seed in range(20)}) > 1
    assert len(Manifest(root, "val", val_share=0.6)) == 4
    (root / "manifest.csv").write_text("image,kcal,category,group\nimages/a.jpg,1,x,g\nimages/b.jpg,1,x,g\n")
    with pytest.raises(
        InputError, match=r"manifest\.csv has no column for the split, .*: No group can be held out of 1"
    ):
        Manifest(root, "val")


@pytest.mark.parametrize(
    ("header", "tasks", "columns", "sentence"),
    [
        (
            "group,Split",
            ("calories", "category"),
            None,
            "no column 'split', but 'Split'; say --columns split=Split",
        ),
        ("Group,spilt", ("calories", "category"), None, "'group' or 'split', but 'Group' and 'spilt'; say --columns g"),
        ("groups,split", ("calories",), Columns(kcal="kcal"), "say --columns kcal=kcal,group=groups, or give what"),
    ],
)
def test_a_misspelt_column_is_refused_and_not_ignored(root, header, tasks, columns, sentence):
    rewrite(root, lambda text: text.replace("group,split", header))
    with pytest.raises(InputError, match=rf"manifest\.csv, row 1, has .*{re.escape(sentence)}"):
        Manifest(root, "train", tasks, columns)
    named = Columns.named(dict(zip(("group", "split"), header.split(","), strict=True)))
    assert Manifest(root, "train", tasks, named).groups == ["p1", "p2", "p2"]


def test_a_column_under_a_name_of_its_own_or_of_another_field_is_left_alone(root):
    rewrite(root, lambda text: text.replace("group,split", "salt,portion"))
    assert Manifest(root, "train").drawn
    assert Manifest(root, "train", columns=Columns(split=None)).drawn
    rewrite(root, lambda text: text.replace("salt,portion", "Group,split").replace("p3", "p1"))
    assert Manifest(root, "train", columns=Columns(category="Group")).classes == ("p1", "p2")
    assert len(Manifest(root, "train", columns=Columns(group=None)).groups) == 3


def test_fingerprint_knows_the_content_but_not_the_place_the_tasks_or_the_order(root, tmp_path):
    first = Manifest(root, "train").fingerprint()
    assert re.fullmatch("[0-9a-f]{12}", first)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(root, elsewhere)
    lines = TABLE.splitlines()
    (elsewhere / "manifest.csv").write_text("\n".join([lines[0], *sorted(lines[1:])]))
    assert Manifest(elsewhere, "train", ("category",), faulty="skip").fingerprint() == first
    prints = {first, Manifest(root, "val").fingerprint()}
    for old, new in (("100", "101"), (",soup", ",stew"), ("p1", "p9")):
        (elsewhere / "manifest.csv").write_text(TABLE.replace(old, new))
        prints.add(Manifest(elsewhere, "train").fingerprint())
    (elsewhere / "manifest.csv").write_text(TABLE)
    Image.new("RGB", (6, 4), (0, 255, 0)).save(elsewhere / "images/a.jpg")
    prints.add(Manifest(elsewhere, "train").fingerprint())
    assert len(prints) == 6


# --- groups ---


@st.composite
def portions(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """The group and the stratum of every sample; a group is of one stratum."""
    strata = draw(st.lists(st.sampled_from("abc"), min_size=2, max_size=40))
    counts = draw(st.lists(st.integers(1, 4), min_size=len(strata), max_size=len(strata)))
    each = [(f"p{n}", name) for n, (name, count) in enumerate(zip(strata, counts, strict=True)) for _ in range(count)]
    return [group for group, _ in each], [name for _, name in each]


@settings(max_examples=150)
@given(portions(), st.floats(0.05, 0.6), st.integers(0, 99), st.randoms(use_true_random=False))
def test_no_group_is_on_both_sides_and_every_stratum_gives_its_share(samples, share, seed, order):
    groups, strata = samples
    of = dict(zip(groups, strata, strict=True))
    if len(set(of.values())) == len(of):
        with pytest.raises(InputError, match="one of each stays; give more groups"):
            held_out(groups, share, strata, seed=seed)
        return
    held = held_out(groups, share, strata, seed=seed)
    assert (held.dtype, held.shape) == (bool, (len(groups),))
    out = {group for group, there in zip(groups, held, strict=True) if there}
    assert not out & {group for group, there in zip(groups, held, strict=True) if not there}
    wanted, most = max(1, int(share * len(of) + 0.5)), len(of) - len(set(of.values()))
    assert len(out) == min(wanted, most)
    assert {of[group] for group in set(of) - out} == set(strata), "of every stratum something is left to train on"
    sizes = {name: sum(each == name for each in of.values()) for name in set(strata)}
    if min(sizes.values()) >= 1 / (1 - share) + 1 and wanted > 1:
        for name, size in sizes.items():
            assert abs(sum(of[group] == name for group in out) - share * size) < 2, "within a group, and the rounding"
    # Neither the order nor the number of samples counts.
    pairs = list(zip(groups, strata, strict=True))
    mixed = [*order.sample(pairs, len(pairs)), pairs[0]]
    again = held_out([group for group, _ in mixed], share, [name for _, name in mixed], seed=seed)
    assert {group for (group, _), there in zip(mixed, again, strict=True) if there} == out


def test_a_split_is_the_same_on_every_machine():
    names = [f"p{n}" for n in range(12)]
    assert [n for n, out in enumerate(held_out(names, 0.25)) if out] == [0, 1, 7]
    assert held_out(names, 0.25, seed=1).sum() == 3
    assert held_out(["a", "a", "b"], 0.01).sum() in (1, 2), "at least one group"


def test_a_group_of_several_strata_stays_whole():
    groups, strata = list("aabbccdd"), list("xyyxxyxy")
    held = held_out(groups, 0.5, strata)
    assert held.sum() == 4
    assert (held[::2] == held[1::2]).all()


@pytest.mark.parametrize("share", [0, 1, -0.1, 30, float("nan")])
def test_impossible_shares_are_refused(share):
    with pytest.raises(InputError, match="cannot be held out; give one between 0 and 1"):
        held_out(["a", "b"], share)


# --- bad rows ---

FAULTS = [
    ("number of fields", "images/a.jpg,100,curry,p2", "has 4 fields; the header has 5"),
    ("number of fields", "images/a.jpg,1,100,curry,p2,train", "has 6 fields; the header has 5"),
    ("empty image", ",100,curry,p2,train", "has no image in the column 'image'"),
    ("missing image", "images/x.jpg,100,curry,p2,train", r"image 'images/x\.jpg', but there is no such file in .*food"),
    ("missing image", "../food/images/a.jpg,100,curry,p2,train", "there is no such file"),
    ("missing image", "a.jpg,100,curry,p2,train", "there is no such file"),
    ("missing image", "images/a.JPG,100,curry,p2,train", "there is no such file"),
    ("missing image", "/etc/passwd,100,curry,p2,train", "there is no such file"),
    ("missing image", "images/a.jpg/x.jpg,100,curry,p2,train", "there is no such file"),
    ("repeated image", "images/b.jpg,100,curry,p2,train", r"the image 'images/b\.jpg', as row 2 does"),
    ("repeated image", "./images//b.jpg,100,curry,p2,train", "as row 2 does; each needs one row"),
    ("empty kcal", "images/a.jpg,,curry,p2,train", "has no kcal; give"),
    ("empty kcal", "images/a.jpg, ,curry,p2,train", "has no kcal"),
    ("kcal that are no number", "images/a.jpg,many,curry,p2,train", "has 'many' for its kcal; it should be a number"),
    ("kcal that are no number", 'images/a.jpg,"1,5",curry,p2,train', "has '1,5' for its kcal"),
    ("kcal that are no number", "images/a.jpg,1_0,curry,p2,train", "has '1_0'"),
    ("kcal that are no number", "images/a.jpg,nan,curry,p2,train", "has 'nan'"),
    ("negative kcal", "images/a.jpg,-1,curry,p2,train", "has -1 kcal; energy cannot be negative"),
    ("negative kcal", "images/a.jpg,-inf,curry,p2,train", "has -inf kcal"),
    ("infinite kcal", "images/a.jpg,inf,curry,p2,train", "has inf kcal; energy must be finite"),
    ("infinite kcal", "images/a.jpg,1e39,curry,p2,train", "has 1e39 kcal"),
    ("empty category", "images/a.jpg,100,,p2,train", "has no category in the column 'category'"),
    ("empty group", "images/a.jpg,100,curry,,train", "has no group in the column 'group'"),
    ("unknown split", "images/a.jpg,100,curry,p2,test", "has the split 'test'; it should be train or val"),
    ("group in both splits", "images/a.jpg,100,curry,p1,val", "the group 'p1' into val, but row 2 has it in train"),
    (
        "category absent from training",
        "images/a.jpg,100,pie,p2b,val",
        "the category 'pie', of which no row is in train",
    ),
]


@pytest.mark.parametrize(("reason", "row", "sentence"), FAULTS)
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_bad_row_is_named_or_skipped(root, split, reason, row, sentence):
    rewrite(root, lambda text: text.replace(SECOND, row))
    with pytest.raises(InputError, match=rf"manifest\.csv, row 3, .*{sentence}") as caught:
        Manifest(root, split)
    assert str(caught.value).endswith(".")
    assert caught.value.__cause__ is None
    data = Manifest(root, split, faulty="skip")
    assert data.skipped == {reason: 1}, "of the whole table, whichever split is asked for"
    names = ["images/b.jpg", "images/c.jpg"] if split == "train" else ["images/d.jpg"]
    assert [data.name_of(index) for index in range(len(data))] == names


def test_rows_are_counted_as_a_spreadsheet_does(root):
    """Blank rows count, cells of several lines are one row, and a row of empty cells is blank."""
    head, *rows = TABLE.splitlines()
    table = [head, "", ",,,,", rows[0].replace("soup", '"soup\nof the day"'), rows[1].replace("100", "")]
    (root / "manifest.csv").write_text("\n".join([*table, rows[4]]))
    with pytest.raises(InputError, match=r"manifest\.csv, row 5, has no kcal"):
        Manifest(root, "train")


def test_skipped_rows_are_counted_by_reason(root):
    faults = [row if "p2," in row else row.replace("images/a", "images/e") for _, row, _ in FAULTS]
    faults[-1] = faults[-1].replace("images/a", "images/f")  # or it would be a repeated image, as the others are not
    rewrite(root, lambda text: text + "\n".join(faults))
    data = Manifest(root, "train", faulty="skip")
    reasons = [reason for reason, _, _ in FAULTS]
    assert data.skipped == {reason: reasons.count(reason) for reason in reasons}
    assert len(data) == 3


@settings(max_examples=60)
@given(st.text(alphabet='a.jpg,01x"\n -', max_size=30))
def test_any_row_is_read_or_refused_in_one_sentence(tmp_path_factory, row):
    root = tmp_path_factory.getbasetemp() / "any table"
    if not root.exists():
        root.mkdir()
        for name in ("a.jpg", "b.jpg"):
            Image.new("RGB", (8, 6)).save(root / name)
    (root / "manifest.csv").write_text("image,kcal,group,split\nb.jpg,1,g,val\n" + row + ",p,train")
    data, refusal = None, "manifest.csv, row 3, "
    try:
        data = Manifest(root, "train", ("calories",))
    except InputError as error:
        refusal = str(error)
    assert re.search(r"manifest\.csv(, row [2-9]\d?, | cannot be read as a CSV)", refusal)
    if data:
        assert (data.values >= 0).all()
        assert data[0]["image"].shape == (3, 6, 8)


# --- bad files ---


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, "There is no folder .*food; give"),
        (lambda root: (root / "manifest.csv").unlink(), r"There is no .*manifest\.csv; it should hold a row for every"),
        (lambda root: (root / "manifest.csv").write_text(""), "row 1, has no column 'image', .*; it is empty"),
        (lambda root: (root / "manifest.csv").write_text(TABLE[:32]), r"manifest\.csv holds no row; it needs"),
        (lambda root: (root / "manifest.csv").write_bytes(b"\xff\xfe"), "cannot be read as a CSV table .*; save it as"),
        (lambda root: rewrite(root, lambda text: text + '"'), "cannot be read as a CSV table"),
        (lambda root: rewrite(root, lambda text: text.replace(",", ";")), "no column 'image'"),
        (
            lambda root: rewrite(root, lambda text: text.replace("group", "kcal")),
            "row 1, has 2 columns 'kcal'; it needs",
        ),
        (lambda root: rewrite(root, lambda text: text.replace("val", "train")), "holds no row of the split val"),
    ],
)
@pytest.mark.parametrize("faulty", ["refuse", "skip"])
def test_what_is_missing_or_damaged_is_named_at_once(root, damage, sentence, faulty):
    damage(root)
    with pytest.raises(InputError, match=sentence):
        Manifest(root, "train", faulty=faulty)


def test_bad_rows_alone_are_refused(root):
    rewrite(root, lambda text: re.sub(r"jpg,\d+", "jpg,x", text))
    with pytest.raises(InputError, match=r"holds only bad rows \({'kcal that are no number': 4}\); it needs"):
        Manifest(root, "train", faulty="skip")
    (root / "manifest.csv").write_text(TABLE.replace(",80,", ",x,"))
    with pytest.raises(InputError, match="holds no good row of the split val"):
        Manifest(root, "train", faulty="skip")


def test_a_damaged_image_is_named_when_it_is_read(root):
    (root / "images/a.jpg").write_bytes(b"no")
    data = Manifest(root, "train")
    data[0]
    with pytest.raises(InputError, match=r"a\.jpg cannot be read as an image"):
        data[1]


def test_unknown_names_get_the_nearest(root):
    with pytest.raises(InputError, match="no split 'test'; valid are train, val"):
        Manifest(root, "test")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no task in this data set 'calorie'; did you mean 'calories'"):
        Manifest(root, "train", ("calorie",))
    with pytest.raises(InputError, match="no way with faulty rows 'skips'; did you mean 'skip'"):
        Manifest(root, "train", faulty="skips")  # type: ignore[arg-type]


# --- the real data ---


@pytest.mark.parametrize(("split", "images", "groups"), [("train", 836, 108), ("val", 291, 38)])
def test_the_real_copy(shared, split, images, groups):
    root = shared / "data" / "ecustfd"
    if not root.is_dir():
        pytest.skip(f"SKIPPED LOUDLY: {root} is not there")
    columns = Columns(kcal="energy_kcal", category="food", group="portion")
    data = Manifest(root, split, columns=columns)
    assert (len(data), len(set(data.groups)), len(data.classes), data.drawn) == (images, groups, 19, False)
    assert set(data.labels) == set(range(19))
    assert (data.classes[0], data.classes[-1]) == ("apple", "tomato")
    assert data.values.min() >= 25
    assert data.values.max() <= 567.1
    portion = {(group, float(kcal)) for group, kcal in zip(data.groups, data.values, strict=True)}
    assert len(portion) == groups, "all images of a portion have its energy"
    sample = data[images // 2]
    assert max(sample["image"].shape) == 192
    assert float(sample["calories"]) == data.values[images // 2]


def test_a_split_of_the_real_copy_by_hash(shared):
    root = shared / "data" / "ecustfd"
    if not root.is_dir():
        pytest.skip(f"SKIPPED LOUDLY: {root} is not there")
    columns = Columns(kcal="energy_kcal", category="food", group="portion", split=None)
    train, val = (Manifest(root, split, columns=columns) for split in ("train", "val"))
    assert not set(train.groups) & set(val.groups)
    assert (len(set(val.groups)), len(train) + len(val)) == (44, 1127)
    assert set(train.labels) == set(range(19))
