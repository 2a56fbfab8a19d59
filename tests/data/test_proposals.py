import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.ops import box_iou

from mtlkit.data.proposals import Proposals, SelectiveSearch
from mtlkit.errors import DamagedFile, InputError

OBJECTS = np.array([[12, 10, 44, 50], [60, 30, 100, 76]])


def picture(seed: int = 0, height: int = 84, width: int = 112) -> np.ndarray:
    """Two textured rectangles (:data:`OBJECTS`) and noise."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (60, 120, 40))
    for (left, top, right, bottom), colour in zip(OBJECTS, ((220, 40, 40), (40, 60, 220)), strict=True):
        image[top:bottom, left:right] = colour
        image[top : (top + bottom) // 2, left : (left + right) // 2] -= 30
    return (image + rng.integers(-25, 26, image.shape)).clip(0, 255).astype(np.uint8)


def found(boxes: np.ndarray, objects: np.ndarray = OBJECTS) -> float:
    """The lowest intersection over union of an object with its best box."""
    return float(box_iou(torch.tensor(objects).float(), torch.from_numpy(boxes)).max(1).values.min())


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    return SelectiveSearch().boxes(picture())


def test_boxes_are_found_within_the_image_and_differ(plain):
    assert plain.dtype == np.float32
    assert plain.ndim == 2
    assert plain.shape[1] == 4
    assert found(plain) > 0.85
    assert (plain[:, :2] >= 0).all()
    assert (plain[:, 2:] <= [112, 84]).all()
    assert (plain[:, 2:] - plain[:, :2] >= 16).all()
    assert len(np.unique(plain, axis=0)) == len(plain)
    assert [0, 0, 112, 84] in plain.tolist()


def test_the_same_boxes_in_the_same_order_every_time(plain):
    cv2.setRNGSeed(7)
    with ThreadPoolExecutor(2) as pool:
        for again in pool.map(SelectiveSearch().boxes, [picture()] * 3):
            np.testing.assert_array_equal(again, plain)


def test_the_limits_leave_the_rest_as_it_is(plain):
    np.testing.assert_array_equal(SelectiveSearch(most=5).boxes(picture()), plain[:5])
    every = SelectiveSearch(least_side=1).boxes(picture())
    assert len(every) > len(plain)
    assert {tuple(box) for box in plain} == {tuple(b) for b in every if min(b[2] - b[0], b[3] - b[1]) >= 16}
    assert SelectiveSearch(least_side=85).boxes(picture()).shape == (0, 4)


def test_large_boxes_come_earlier():
    boxes = SelectiveSearch(least_side=1).boxes(picture())
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    half = len(boxes) // 2
    assert np.median(areas[:half]) > np.median(areas[half:])
    assert (np.diff(areas) > 0).any()  # but not in order


def test_quality_finds_more():
    fast, quality = (SelectiveSearch(mode=mode, least_side=4).boxes(picture()) for mode in ("fast", "quality"))
    assert len(quality) > len(fast)
    assert found(quality) > 0.85


def test_a_reduced_image_has_boxes_at_its_own_size(plain):
    large = picture().repeat(3, axis=0).repeat(2, axis=1)  # not in proportion: both sides are scaled back
    stretch = np.array([2, 3, 2, 3])
    boxes = SelectiveSearch(longest=126).boxes(large)
    assert found(boxes, OBJECTS * stretch) > 0.8
    assert (boxes[:, 2:] <= [224, 252]).all()
    assert [0, 0, 224, 252] in boxes.tolist()
    unchanged = SelectiveSearch(longest=112).boxes(picture())
    np.testing.assert_array_equal(unchanged, plain)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 2), (30, 30)])
def test_tiny_and_flat_images(size):
    flat = np.full((*size, 3), 90, np.uint8)
    expected = [[0, 0, size[1], size[0]]] if min(size) >= 16 else []
    assert SelectiveSearch().boxes(flat).tolist() == expected
    assert SelectiveSearch(longest=1, least_side=1).boxes(flat).tolist() == [[0, 0, size[1], size[0]]]


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_something_else_than_an_image(image):
    with pytest.raises(InputError, match="images"):
        SelectiveSearch().boxes(image)


def test_missing_opencv_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.delattr(cv2.ximgproc.segmentation, "createSelectiveSearchSegmentation")
    with pytest.raises(InputError, match="pip install opencv-contrib-python-headless"):
        Proposals(SelectiveSearch(), tmp_path).boxes(picture())
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r'The package cv2 is not installed; pip install "mtlkit\[run\]" brings it'):
        Proposals(SelectiveSearch(), tmp_path).boxes(picture())
    assert list(tmp_path.rglob("*")) == []


@pytest.fixture
def searches(monkeypatch) -> list[np.ndarray]:
    """The images that are searched, by a search that costs nothing."""
    seen: list[np.ndarray] = []

    def boxes(self: SelectiveSearch, image: np.ndarray) -> np.ndarray:
        seen.append(image)
        return np.full((2, 4), len(seen), np.float32)

    monkeypatch.setattr(SelectiveSearch, "boxes", boxes)
    return seen


def test_an_image_is_searched_once_in_whatever_form(searches, tmp_path):
    proposals = Proposals(SelectiveSearch(), tmp_path)
    image = picture()
    tensor = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
    first = proposals.boxes(image)
    for again in (image.copy(), np.asfortranarray(image), tensor, {"image": tensor, "segmentation": tensor[0]}):
        np.testing.assert_array_equal(proposals.boxes(again), first)
    np.testing.assert_array_equal(Proposals(SelectiveSearch(), tmp_path).boxes(image), first)
    assert len(searches) == 1
    np.testing.assert_array_equal(searches[0], image)


def test_other_pixels_shapes_and_settings_are_searched_anew(searches, tmp_path):
    image = picture()
    other = image.copy()
    other[3, 4, 0] ^= 1
    for pixels in (image, other, image.reshape(42, 224, 3), image[:, ::-1]):
        Proposals(SelectiveSearch(), tmp_path).boxes(pixels)
    for settings in (SelectiveSearch(mode="quality"), SelectiveSearch(most=3), SelectiveSearch(longest=90)):
        Proposals(settings, tmp_path).boxes(image)
    assert len(searches) == len(list(tmp_path.rglob("*.npy"))) == 7


def test_a_file_is_written_whole_or_not_at_all(searches, tmp_path, monkeypatch):
    proposals = Proposals(SelectiveSearch(), tmp_path)

    def full(path, content):
        path.open("wb").write(content[:8])
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            proposals.boxes(picture())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    boxes = proposals.boxes(picture())
    (path,) = tmp_path.rglob("*.npy")
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[whole.index(b"\n") + 5] ^= 1
    for torn in (b"", whole[:40], whole[:-3], bytes(changed)):
        path.write_bytes(torn)
        with pytest.warns(DamagedFile, match=r"\.npy was damaged and is .*\.npy\.damaged now"):
            assert proposals.boxes(picture()).shape == boxes.shape
        assert len(path.read_bytes()) == len(whole)
    for odd in (os.mkfifo, os.mkdir):
        path.unlink()
        odd(path)
        with pytest.warns(DamagedFile, match="was damaged"):
            assert proposals.boxes(picture()).shape == boxes.shape
    np.save(path, boxes[:3])  # as earlier versions wrote it
    np.testing.assert_array_equal(proposals.boxes(picture()), boxes[:3])


class Pictures:
    """A data set in all that is asked of it here; like most, it cannot be iterated over by ``__iter__``."""

    classes = ()
    tasks = ()

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return {"image": tv_tensors.Image(torch.from_numpy(picture(index % 2)).permute(2, 0, 1))}  # no IndexError

    def name_of(self, index):
        return str(index)

    def fingerprint(self):
        return "0" * 12


def test_preparing_a_data_set_or_images_searches_what_is_missing(searches, tmp_path, capsys):
    proposals = Proposals(SelectiveSearch(), tmp_path)
    assert proposals.prepare(Pictures()) == len(searches) == 2
    assert proposals.prepare(Pictures()[index] for index in range(3)) == 0
    assert proposals.prepare([picture(1), picture(2)], progress=True) == 1
    assert "proposals: 100%" in capsys.readouterr().err
    assert proposals.prepare([], processes=2) == 0


@pytest.fixture
def threads(monkeypatch):
    """Threads in place of the processes, which take seconds to start."""
    monkeypatch.setattr("mtlkit.data.proposals.ProcessPoolExecutor", lambda processes, _: ThreadPoolExecutor(processes))
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def test_no_more_images_wait_than_keep_the_processes_busy(threads, searches, tmp_path):
    read = []

    def images():
        for seed in range(9):
            assert len(read) - len(searches) <= 4
            read.append(seed)
            yield picture(seed, 40, 40)

    assert Proposals(SelectiveSearch(), tmp_path).prepare(images(), processes=2) == 9
    assert len(searches) == len(list(tmp_path.rglob("*.npy"))) == 9


@pytest.mark.parametrize("place", [0, 4, 8])
def test_an_error_of_a_process_is_raised_here(threads, tmp_path, place):
    images = [picture(seed, 30, 30) for seed in range(9)]
    images[place] = np.zeros((8, 8), np.uint8)
    with pytest.raises(InputError, match="images"):
        Proposals(SelectiveSearch(), tmp_path).prepare(images, processes=2)


@pytest.mark.slow
def test_a_process_writes_the_same_boxes(plain, tmp_path):
    proposals = Proposals(SelectiveSearch(), tmp_path)
    assert proposals.prepare([picture()], processes=2) == 1  # the second process starts only if it has work
    (path,) = proposals.folder.iterdir()
    np.testing.assert_array_equal(np.load(path), plain)
    assert proposals.prepare([picture()], processes=2) == 0
