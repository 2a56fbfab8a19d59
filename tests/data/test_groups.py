"""What is drawn together: runs of frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlkit.data.folder import Folder
from mtlkit.data.groups import runs
from mtlkit.data.sampling import Part, grouped_by, groups_of


def test_a_run_ends_where_a_frame_of_the_other_split_lies_between():
    assert runs([1, 2, 9, 14, 15], [3, 4, 10]) == ["0001", "0001", "0009", "0014", "0014"]
    assert runs([15, 1], []) == ["0001", "0001"]  # in any order; nothing tells them apart


@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), unique_by=lambda pair: pair[0], min_size=1))
def test_two_frames_are_in_one_run_where_nothing_lies_between(frames):
    own, others = ([frame for frame, held in frames if held is side] for side in (True, False))
    found = dict(zip(own, runs(own, others), strict=True))
    for a in own:
        for b in own:
            between = any(min(a, b) < other < max(a, b) for other in others)
            assert (found[a] == found[b]) == (not between)


def folder(root, train, val):
    (root / "splits").mkdir(parents=True)
    (root / "image").mkdir()
    for name in {*train, *val}:
        (root / f"image/{name}.png").touch()
    for split, names in (("train", train), ("val", val)):
        (root / f"splits/{split}.txt").write_text("\n".join(names))
    (root / "classes.txt").write_text("0 wall\n")
    return [Folder(root, split, ()) for split in ("train", "val")]


def test_a_folder_of_numbered_frames_has_runs(tmp_path):
    train, val = folder(tmp_path, ["3", "4", "10"], ["1", "2", "9", "14", "15"])
    assert val.groups == ["0001", "0001", "0009", "0014", "0014"]
    assert train.groups == ["0003", "0003", "0010"]
    assert grouped_by(val) == grouped_by(Part(val, [0, 1])) == "run of frames"
    assert grouped_by(Part(val, [0, 2])) == "image"
    assert groups_of(Part(val, [2, 4])) == ["0009", "0014"]


@pytest.mark.parametrize(
    ("train", "val"),
    [
        (["a", "b"], ["c", "d"]),
        (["1", "2"], ["3", "x"]),
        (["1", "2"], ["3", "4"]),  # one run would leave nothing to draw
    ],
)
def test_where_names_tell_nothing_each_image_is_its_own(tmp_path, train, val):
    _, held = folder(tmp_path, train, val)
    assert held.groups == val
    assert grouped_by(held) == "image"


def test_frames_of_the_small_copy_of_nyu_v2(shared):
    root = shared / "data" / "nyuv2-small"
    if not root.is_dir():
        pytest.skip(f"SKIPPED LOUDLY: {root} is not there")
    data = Folder(root, "val")
    assert (len(data), len(set(data.groups))) == (230, 111)
    # The official test split has runs of consecutive numbers: none of ours splits one.
    numbers = [int(line) for line in (shared / "data/nyuv2-meta/test_index.txt").read_text().split()]
    official, run = {}, -1
    for number, before in zip(sorted(numbers), [-1, *sorted(numbers)], strict=False):
        run += number != before + 1
        official[number] = run
    names = [int(data.name_of(index)) for index in range(len(data))]
    assert len({official[name] for name in names}) == 117
    for a, one in zip(names, data.groups, strict=True):
        for b, other in zip(names, data.groups, strict=True):
            assert official[a] != official[b] or one == other
