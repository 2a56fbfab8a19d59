import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from faster_coco_eval import COCO
from faster_coco_eval.core import mask as rle
from faster_coco_eval.core.cocoeval import Params
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from mtlkit.data.coco import COCO_JOINTS, COCO_SIGMAS, OTHER_SIGMA, Coco
from mtlkit.data.joints import Joints, mirror_of
from mtlkit.data.splits import check_pair
from mtlkit.data.transforms import Augmentation
from mtlkit.errors import InputError

TASKS = ("detection", "pose", "segmentation")
JOINTS = ["left_hand", "right_hand", "head"]


def test_the_constants_of_the_joints_are_the_official_ones():
    assert Params("keypoints").kpt_oks_sigmas.tolist() == list(COCO_SIGMAS)


def rectangle(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def code(top: int, left: int, bottom: int, right: int) -> dict:
    """A run-length code of a rectangle, not compressed."""
    mask = np.zeros((6, 8), bool)
    mask[top:bottom, left:right] = True
    flat = mask.flatten("F")
    ends = np.flatnonzero(np.diff(np.concatenate(([False], flat)))).tolist()
    return {"size": [6, 8], "counts": np.diff([0, *ends, 48]).tolist()}


def objects(
    number: int, image: int, category: int, box: list[float], area: float, segmentation, crowd: int = 0
) -> dict:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": area,
        "iscrowd": crowd,
        "segmentation": segmentation,
    }


def instances() -> dict:
    """Three images of 8 x 6 pixels: two with objects, one without. The ids have gaps, as in COCO."""
    files = {7: "b.jpg", 3: "a.jpg", 9: "c.jpg"}
    return {
        "images": [{"id": key, "file_name": name, "width": 8, "height": 6} for key, name in files.items()],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}, {"id": 90, "name": "brush"}],
        "annotations": [
            objects(10, 7, 18, [2, 1, 2, 3], 6, [rectangle(2, 1, 4, 4)]),
            objects(12, 3, 1, [0, 0, 8, 6], 48, code(0, 0, 6, 8), crowd=1),
            objects(11, 7, 1, [1, 0, 4, 5], 15, [rectangle(1, 0, 5, 5)]),
            objects(13, 3, 90, [4, 2, 2, 2], 4, [rectangle(4, 2, 5, 4), rectangle(5, 2, 6, 4)]),
        ],
    }


def persons() -> dict:
    content = instances()
    content["categories"] = [
        {"id": 1, "name": "person", "keypoints": JOINTS, "skeleton": [[1, 3], [2, 3]]},
    ]
    content["annotations"] = [each for each in content["annotations"] if each["category_id"] == 1]
    content["annotations"][0] |= {"keypoints": [0] * 9, "num_keypoints": 0}
    content["annotations"][1] |= {"keypoints": [1.5, 2, 2, 5, 4, 0, 2, 0.5, 1], "num_keypoints": 2}
    return content


def write(root: Path, name: str, content: object) -> None:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (root / f"annotations/{name}.json").write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "coco"
    (root / "images/train2017").mkdir(parents=True)
    for name in "abc":
        Image.new("RGB", (8, 6), (ord(name), 0, 0)).save(root / f"images/train2017/{name}.jpg")
    write(root, "instances_train2017", instances())
    write(root, "person_keypoints_train2017", persons())
    write(root, "captions_train2017", {"images": [], "annotations": []})
    return root


def test_reads_images_with_all_their_objects(root):
    data = Coco(root, "train", TASKS)
    assert (len(data), data.tasks, data.classes) == (3, TASKS, ("person", "dog", "brush"))
    assert [data.name_of(index) for index in range(3)] == ["b", "a", "c"], "in the order of the list"
    assert (data.joints, data.mirror, data.skeleton) == (tuple(JOINTS), (1, 0, 2), ((0, 2), (1, 2)))
    assert data.sigmas == (OTHER_SIGMA,) * 3
    sample = data[0]
    assert set(sample) == {"image", "boxes", "crowd", "cover", *TASKS}
    assert isinstance(sample["image"], tv_tensors.Image)
    assert (sample["image"].dtype, sample["image"].shape) == (torch.uint8, (3, 6, 8))
    boxes = sample["boxes"]
    assert (boxes.dtype, boxes.format, boxes.canvas_size) == (torch.float32, tv_tensors.BoundingBoxFormat.XYXY, (6, 8))
    assert boxes.tolist() == [[2, 1, 4, 4], [1, 0, 5, 5]]
    assert (sample["detection"].dtype, sample["detection"].tolist()) == (torch.int64, [1, 0])
    assert (sample["crowd"].dtype, sample["crowd"].tolist()) == (torch.bool, [False, False])
    assert (sample["cover"].dtype, sample["cover"].tolist()) == (torch.float32, [1, 0.75])
    pose = sample["pose"]
    assert isinstance(pose, Joints)
    assert (pose.dtype, pose.canvas_size, pose.mirror) == (torch.float32, (6, 8), (1, 0, 2))
    assert pose.tolist() == [[[0, 0, 0]] * 3, [[2, 2.5, 2], [0, 0, 0], [2.5, 1, 1]]], "no dog has joints here"
    assert sample["segmentation"].dtype == torch.uint8
    assert isinstance(sample["segmentation"], tv_tensors.Mask)
    expected = np.zeros((6, 8))
    expected[0:5, 1:5] = 1
    expected[1:4, 2:4] = 2  # the smaller one, though it is listed first
    assert np.array_equal(sample["segmentation"], expected)
    crowded = data[1]
    assert crowded["crowd"].tolist() == [True, False]
    expected = np.full((6, 8), 255)
    expected[2:4, 4:6] = 3
    assert np.array_equal(crowded["segmentation"], expected)
    assert data.skipped == {}
    assert data[-2]["boxes"].tolist() == crowded["boxes"].tolist()
    with pytest.raises(IndexError):
        data[3]


def test_an_image_without_objects_is_a_sample(root):
    sample = Coco(root, "train", TASKS)[2]
    assert {name: tuple(value.shape) for name, value in sample.items()} == {
        "image": (3, 6, 8),
        "boxes": (0, 4),
        "crowd": (0,),
        "cover": (0,),
        "detection": (0,),
        "pose": (0, 3, 3),
        "segmentation": (6, 8),
    }
    assert not sample["segmentation"].any()
    write(root, "instances_train2017", instances() | {"annotations": []})
    write(root, "person_keypoints_train2017", persons() | {"annotations": []})
    assert Coco(root, "train", TASKS)[0]["pose"].shape == (0, 3, 3)


@pytest.mark.parametrize("tasks", [(), ("detection",), ("pose",), ("segmentation", "detection")])
def test_only_the_asked_targets_are_read(root, tasks):
    data = Coco(root, "train", tasks)
    assert data.tasks == tasks
    assert set(data[0]) == {"image", "boxes", "crowd", "cover", *tasks}
    assert bool(data.joints) == ("pose" in tasks)


def test_classes_that_are_not_kept_are_background(root):
    data = Coco(root, "train", TASKS, classes=("brush", "person"))
    assert (len(data), data.classes) == (3, ("brush", "person"))
    assert data[0]["detection"].tolist() == [1], "ids are places among the kept"
    assert data[0]["boxes"].tolist() == [[1, 0, 5, 5]]
    assert sorted(np.unique(data[0]["segmentation"])) == [0, 2]
    assert data[0]["pose"].shape == (1, 3, 3)


def test_what_is_read_may_be_changed_in_place(root):
    data = Coco(root, "train", TASKS)
    before, again = data[0], data[0]
    for name in before:
        again[name].zero_()
    assert all(torch.equal(before[name], data[0][name]) for name in before)


@pytest.mark.parametrize("folder", ["images/train2017", "train2017", "images"])
def test_images_lie_in_one_of_three_places(root, folder):
    (root / "images").rename(root / "aside")
    (root / folder).parent.mkdir(exist_ok=True)
    (root / "aside/train2017").rename(root / folder)
    assert Coco(root, "train", ())[0]["image"].shape == (3, 6, 8)


@pytest.mark.parametrize("name", ["animals_train", "train", "person_keypoints_train2017", "instances_train2014"])
def test_any_single_file_of_the_split_is_read(root, name):
    shutil.rmtree(root / "annotations")
    (root / "images/train2017").rename(root / "aside")
    shutil.rmtree(root / "images")
    (root / "aside").rename(root / "images")
    content = persons()
    del content["annotations"][0]["keypoints"], content["annotations"][0]["iscrowd"]
    content["annotations"].reverse()
    write(root, name, content)
    write(root, "animals_val", instances())
    data = Coco(root, "train", ("pose",))
    assert data.classes == ("person",)
    assert data[0]["pose"][0, 0].tolist() == [2, 2.5, 2]
    assert data[1]["crowd"].tolist() == [False], "what is not said is no crowd"
    assert data[1]["pose"].tolist() == [[[0, 0, 0]] * 3]
    assert Coco(root, "val", TASKS[:1]).classes == ("person", "dog", "brush")


def test_a_compressed_code_is_the_same_mask(root):
    before = Coco(root, "train", TASKS)[1]["segmentation"]
    content = instances()
    short = rle.frPyObjects(code(0, 0, 6, 8), 6, 8)
    content["annotations"][1]["segmentation"] = {"size": [6, 8], "counts": short["counts"].decode()}
    write(root, "instances_train2017", content)
    assert torch.equal(Coco(root, "train", TASKS)[1]["segmentation"], before)


def test_fingerprint_knows_the_content_but_not_the_place_or_what_is_read(root, tmp_path):
    first = Coco(root, "train", TASKS).fingerprint()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(root, elsewhere)
    assert Coco(elsewhere, "train", (), ("dog",), "skip").fingerprint() == first
    assert len(first) == 12
    prints = {first}
    for change in (
        lambda: Image.new("RGB", (8, 6), (0, 255, 0)).save(elsewhere / "images/train2017/a.jpg"),
        lambda: write(elsewhere, "person_keypoints_train2017", json.dumps(persons()).replace("1.5", "1.6")),
        lambda: write(elsewhere, "instances_train2017", json.dumps(instances()).replace("48", "47.5")),
    ):
        change()
        prints.add(Coco(elsewhere, "train", ()).fingerprint())
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("names", "mirror"),
    [
        (("left_eye", "right_eye", "nose"), (1, 0, 2)),
        (("L_eye", "nose", "R_eye"), (2, 1, 0)),
        (("ear.l", "ear.r"), (1, 0)),
        (("FrontRight", "tail", "FrontLeft"), (2, 1, 0)),
        (("left_eye", "right_ear"), (0, 1)),
        (("upright", "tail"), (0, 1)),
        (("left", "right"), (1, 0)),
    ],
)
def test_the_mirror_is_read_from_names(names, mirror):
    assert mirror_of(names) == mirror


def test_the_sigmas_of_persons_are_the_official_ones():
    assert len(COCO_JOINTS) == len(COCO_SIGMAS) == 17
    assert COCO_SIGMAS[:4] == pytest.approx((0.026, 0.025, 0.025, 0.035))
    assert np.mean(COCO_SIGMAS) == pytest.approx(OTHER_SIGMA, abs=1e-4)


# --- transforms ---


def test_boxes_joints_and_masks_stay_together(root):
    sample = Coco(root, "train", TASKS)[0]
    turned = v2.RandomHorizontalFlip(1.0)(sample)
    assert turned["boxes"].tolist() == [[4, 1, 6, 4], [3, 0, 7, 5]]
    assert turned["pose"][1].tolist() == [[0, 0, 0], [6, 2.5, 2], [5.5, 1, 1]]
    assert torch.equal(turned["segmentation"], sample["segmentation"].flip(-1))
    assert torch.equal(turned["cover"], sample["cover"])
    torch.manual_seed(0)
    for _ in range(20):
        found = Augmentation(size=(16, 24), scale_min=2, scale_max=2)(sample)
        left, top, right, bottom = found["boxes"][1].int().tolist()
        assert (found["segmentation"][top:bottom, left:right] > 0).all()
        outside = found["segmentation"].clone()
        outside[top:bottom, left:right] = 0
        assert not ((outside > 0) & (outside < 255)).any()
        joint = found["pose"][1, :, 2].argmax()
        assert found["pose"][1, joint, 0].item() - left == pytest.approx(2 if joint == 0 else right - left - 2)


def test_a_joint_lies_in_its_pixel_mirrored_or_not(root):
    """It lay a pixel beside it in a mirror."""
    content = persons()
    content["annotations"][1] |= {"keypoints": [6, 4, 2, 7, 5, 2, 8, 6, 2], "num_keypoints": 3}
    write(root, "person_keypoints_train2017", content)
    sample = Coco(root, "train", ("pose",))[0]
    sample["image"].zero_()[:, 4, 6] = 255
    for found, joint in ((sample, 0), (v2.RandomHorizontalFlip(1.0)(sample), 1)):  # a left hand is a right one then
        x, y, _ = found["pose"][1, joint].tolist()
        assert [[int(y), int(x)]] == found["image"][0].nonzero().tolist()
        assert (x % 1, y % 1) == (0.5, 0.5)
    assert sample["pose"][1, 2].tolist() == [8, 6, 2], "none leaves the image"


# --- bad entries ---


def image(**changes):
    return lambda content: content["images"][1].update(changes)


def entry(**changes):
    return lambda content: content["annotations"][0].update(changes)


def without(what, key):
    return lambda content: content[what][0].pop(key)


FAULTS = [
    ("missing image", image(file_name="d.jpg"), r"image 3, is 'd\.jpg', which is not in .*train2017; add the file"),
    ("missing image", image(file_name="../train2017/a.jpg"), r"is '\.\./train2017/a\.jpg', which is not"),
    ("missing image", image(file_name="train/a.jpg"), r"which is not in .*; name it 'a\.jpg', without folders"),
    ("bad file_name", image(file_name=3), "image 3, has 3 for its 'file_name'; it should be a file's name"),
    ("bad width", image(width=0), "image 3, has 0 for its 'width'; it should be a whole number of pixels"),
    ("bad height", image(height="6"), "has '6' for its 'height'"),
    ("repeated id", image(id=7), "image 7, has an id that an earlier image has; give"),
    ("repeated id", entry(id=12), "annotation 12, has an id that an earlier annotation has; give"),
    ("bad id", entry(id=None), "annotation None, has None for its 'id'; it should be a whole number"),
    ("bad id", without("annotations", "id"), "annotation number 1, has no 'id'"),
    ("unknown image", entry(image_id=8), "annotation 10, belongs to the image 8, which is not listed; list it"),
    ("bad image_id", entry(image_id=[7]), r"annotation 10, has \[7\] for its 'image_id'; it should be a whole number"),
    ("bad image_id", entry(image_id=7.0), "has 7.0 for its 'image_id'; it should be a whole number"),
    ("bad category_id", entry(category_id="1"), "has '1' for its 'category_id'; it should be a whole number"),
    ("unknown category", entry(category_id=2), r"annotation 10, has the category 2, .* valid are 1, 18, 90"),
    ("bad category_id", entry(category_id={}), "has {} for its 'category_id'"),
    ("bad bbox", entry(bbox=[1, 2, 3]), r"has \[1, 2, 3\] for its 'bbox'; it should be left, top, width and height"),
    ("bad bbox", entry(bbox=[1, 2, 3, float("nan")]), "nan"),
    ("bad bbox", entry(bbox=[1, 2, 3, "4"]), "'4'"),
    ("bad bbox", entry(bbox=[1, 2, 3, 10**400]), "000"),
    ("bad bbox", without("annotations", "bbox"), "annotation 10, has no 'bbox'"),
    ("empty box", entry(bbox=[1, 2, 3, 0]), r"the box \[1, 2, 3, 0\], which covers nothing of its image of 8 x 6"),
    ("empty box", entry(bbox=[8, 2, 3, 2]), "covers nothing"),
    ("empty box", entry(bbox=[-4, 2, 3, 2]), "covers nothing"),
    ("empty box", entry(bbox=[4, 2, -3, 2]), "covers nothing"),
    ("bad area", entry(area=-1), "has -1 for its 'area'; it should be a number of pixels"),
    ("bad area", without("annotations", "area"), "has no 'area'"),
    ("bad iscrowd", entry(iscrowd=2), "has 2 for its 'iscrowd'; it should be 0 or 1"),
    ("no segmentation", entry(segmentation=[]), "annotation 10, has no 'segmentation'; give it a mask, or"),
    ("no segmentation", without("annotations", "segmentation"), "has no 'segmentation'"),
    ("bad segmentation", entry(segmentation=[[1, 1, 2, 2]]), "has a bad polygon in its 'segmentation'; each"),
    ("bad segmentation", entry(segmentation=[[1, 1, 2, 2, 3, 3, 4]]), "has a bad polygon"),
    ("bad segmentation", entry(segmentation=[[1, 1, 2, 2, 3, None]]), "has a bad polygon"),
    ("bad segmentation", entry(segmentation=[1, 1, 2, 2, 3, 3]), "has a bad polygon"),
    ("bad segmentation", entry(segmentation=[[1, 1, 2, 2, 3, 99999999]]), "far outside its image of 8 x 6 pixels"),
    ("bad segmentation", entry(segmentation={"size": [8, 6], "counts": [9]}), r"a size of \[8, 6\].* size \[6, 8\]"),
    ("bad segmentation", entry(segmentation={"size": [6, 8], "counts": [47]}), "run-length code that cannot be read"),
    ("bad segmentation", entry(segmentation={"size": [6, 8], "counts": [-1, 49]}), "whose sum is 48"),
    ("bad segmentation", entry(segmentation={"size": [6, 8], "counts": "abc"}), "run-length code that cannot be read"),
    ("bad segmentation", entry(segmentation={"size": [6, 8]}), "run-length code"),
    ("bad segmentation", entry(segmentation="all"), "run-length code"),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "damage", "sentence"), FAULTS)
def test_a_bad_entry_is_named_or_skipped(root, reason, damage, sentence):
    content = instances()
    damage(content)
    write(root, "instances_train2017", content)
    tasks = ("detection", "segmentation")
    with pytest.raises(InputError, match=rf"instances_train2017\.json, .*{sentence}") as caught:
        Coco(root, "train", tasks)
    assert str(caught.value).endswith((".", "?"))
    data = Coco(root, "train", tasks, faulty="skip")
    assert data.skipped.pop(reason) == 1
    assert sum(data.skipped.values()) <= 2, "the annotations of an image whose id is not known"
    for index in range(len(data)):
        data[index]


JOINT_FAULTS = [
    ("bad keypoints", entry(keypoints=[1, 2, 2]), r"annotation 11, has 3 values for its 'keypoints'; .* 9 num"),
    ("bad keypoints", entry(keypoints="no"), "annotation 11, has 'no' for"),
    ("bad keypoints", entry(keypoints=[1, 1, 3] * 3), r"the visibilities \[3.0, 3.0, 3.0\]; each should be 0, 1 or 2"),
    ("joint outside its image", entry(keypoints=[1, 1, 2, 8.1, 1, 1, 1, 1, 1]), "its right_hand at 8.1, 1, but"),
    ("joint outside its image", entry(keypoints=[1, 1, 2, 1, 1, 1, 1, -1, 1]), "its head at 1, -1"),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "damage", "sentence"), JOINT_FAULTS)
def test_bad_joints_are_named_or_skipped(root, reason, damage, sentence):
    content = persons()
    content["annotations"].reverse()
    damage(content)
    write(root, "person_keypoints_train2017", content)
    with pytest.raises(InputError, match=rf"instances_train2017\.json, .*{sentence}"):
        Coco(root, "train", ("pose",))
    data = Coco(root, "train", ("pose",), faulty="skip")
    assert data.skipped == {reason: 1}
    assert len(data[0]["boxes"]) == 1
    Coco(root, "train", ("detection",))


@pytest.mark.parametrize("change", [{"id": 99}, {"image_id": 3}, {"id": "11"}])
def test_joints_without_an_object_are_named_or_skipped(root, change):
    content = persons()
    content["annotations"].reverse()
    entry(**change)(content)
    write(root, "person_keypoints_train2017", content)
    with pytest.raises(InputError, match=r"person_keypoints_train2017\.json, annotation .*(counterpart|whole number)"):
        Coco(root, "train", ("pose",))
    data = Coco(root, "train", ("pose",), faulty="skip")
    assert sum(data.skipped.values()) == 1
    assert not data[0]["pose"].any()


def test_skipped_entries_are_counted_by_reason(root):
    content = instances()
    content["annotations"] += [
        each | {"id": 100 + n, "area": None} for n, each in enumerate(content["annotations"][:2])
    ]
    content["images"].append({"id": 4, "file_name": "gone.jpg", "width": 8, "height": 6})
    content["annotations"].append(content["annotations"][0] | {"id": 200, "image_id": 4})
    write(root, "instances_train2017", content)
    data = Coco(root, "train", ("detection",), faulty="skip")
    assert data.skipped == {"bad area": 2, "missing image": 1}
    assert len(data) == 3


def test_only_bad_entries_are_refused(root):
    content = instances()
    for each in content["annotations"]:
        del each["segmentation"]
    write(root, "instances_train2017", content)
    with pytest.raises(InputError, match=r"only bad annotations \({'no segmentation': 4}\); it needs good ones"):
        Coco(root, "train", ("segmentation",), faulty="skip")
    shutil.rmtree(root / "images/train2017")
    (root / "images/train2017").mkdir()
    with pytest.raises(InputError, match=r"lists only bad images \({'missing image': 3}\)"):
        Coco(root, "train", (), faulty="skip")
    write(root, "instances_train2017", content | {"images": []})
    with pytest.raises(InputError, match="belongs to the image"):
        Coco(root, "train", ())
    write(root, "instances_train2017", content | {"images": [], "annotations": []})
    with pytest.raises(InputError, match="lists no image; it needs an entry"):
        Coco(root, "train", ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "size", "counts"]), inner),
    max_leaves=6,
)


@settings(max_examples=30)
@given(
    what=st.sampled_from(["images", "annotations", "categories"]),
    key=st.sampled_from(
        [
            *("id", "file_name", "width", "height", "image_id", "category_id", "bbox", "area", "iscrowd"),
            *("segmentation", "name", "keypoints", "skeleton"),
        ]
    ),
    value=JSON,
)
def test_any_value_is_read_or_refused_in_one_sentence(tmp_path_factory, what, key, value):
    root = tmp_path_factory.mktemp("any")
    (root / "images").mkdir()
    for name in "abc":
        Image.new("RGB", (8, 6)).save(root / f"images/{name}.jpg")
    content = persons()
    content[what][0][key] = value
    write(root, "any_train", content)
    for faulty in ("refuse", "skip"):
        refusal = "any_train.json"
        try:
            data = Coco(root, "train", TASKS, faulty=faulty)
            for index in range(len(data)):
                data[index]
        except InputError as error:
            refusal = str(error)
        assert re.search(r"any_train\.json", refusal)


# --- bad files ---


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, "There is no folder .*coco; give"),
        (lambda root: shutil.rmtree(root / "annotations"), "There is no folder .*annotations; it should hold the JSON"),
        (lambda root: shutil.rmtree(root / "images"), "There is no folder .*train2017; it should hold the images"),
        (lambda root: write(root, "instances_train2017", "{"), r"instances_train2017\.json cannot be read as JSON"),
        (lambda root: write(root, "instances_train2017", "[" * 100000), "cannot be read as JSON"),
        (lambda root: write(root, "instances_train2017", []), "has no list of objects 'images'; COCO's format needs"),
        (lambda root: write(root, "instances_train2017", instances() | {"annotations": 1}), "objects 'annotations'"),
        (lambda root: write(root, "instances_train2017", instances() | {"categories": [1]}), "objects 'categories'"),
        (lambda root: write(root, "instances_train2017", instances() | {"categories": []}), "lists no category"),
        (
            lambda root: write(root, "instances_train2014", {}),
            "should have one JSON of the train split, but has several",
        ),
        (
            lambda root: write(root, "instances_train2017", instances() | {"categories": [{"id": 1, "name": "a"}] * 2}),
            "category number 2, has the id 1 and the name 'a'; it needs",
        ),
        (lambda root: write(root, "person_keypoints_train2017", "no"), r"person_keypoints_train2017\.json cannot be"),
        (
            lambda root: (root / "annotations/person_keypoints_train2017.json").unlink(),
            r"instances_train2017\.json names no joints of .*, and there is no .*person_keypoints_train2017\.json",
        ),
        (lambda root: write(root, "person_keypoints_train2017", instances()), r"train2017\.json names no joints of"),
        (
            lambda root: write(root, "person_keypoints_train2017", json.dumps(persons()).replace("right", "left")),
            "names the joints .*; each needs a name of its own",
        ),
        (
            lambda root: write(root, "person_keypoints_train2017", json.dumps(persons()).replace("[2, 3]", "[0, 3]")),
            "skeleton .*; it should be pairs of joints from 1 to 3",
        ),
    ],
)
@pytest.mark.parametrize("faulty", ["refuse", "skip"])
def test_what_is_missing_or_damaged_is_named_at_once(root, damage, sentence, faulty):
    damage(root)
    with pytest.raises(InputError, match=sentence):
        Coco(root, "train", TASKS, faulty=faulty)


def test_classes_with_other_joints_cannot_share_a_pose(root):
    content = persons()
    content["categories"].append({"id": 18, "name": "dog", "keypoints": ["tail"]})
    write(root, "person_keypoints_train2017", content)
    with pytest.raises(InputError, match="names other joints for 'dog' than for 'person'; keep"):
        Coco(root, "train", ("pose",))
    assert Coco(root, "train", ("pose",), classes=("person",)).joints == tuple(JOINTS)


def test_more_classes_than_a_map_holds_are_refused(root):
    content = instances()
    content["categories"] += [{"id": 100 + number, "name": f"class {number}"} for number in range(252)]
    write(root, "instances_train2017", content)
    with pytest.raises(InputError, match="has 255 classes, but a map has place for 254; keep fewer"):
        Coco(root, "train", ("segmentation",))
    assert len(Coco(root, "train", ("detection",)).classes) == 255


def test_an_image_that_is_damaged_or_of_another_size_is_named_when_it_is_read(root):
    data = Coco(root, "train", ())
    path = root / "images/train2017/a.jpg"
    Image.new("RGB", (9, 6)).save(path)
    with pytest.raises(InputError, match=r"a\.jpg is 9 x 6, but .*instances_train2017\.json says 8 x 6; annotations"):
        data[1]
    path.write_bytes(b"no")
    with pytest.raises(InputError, match=r"a\.jpg cannot be read as an image"):
        data[1]


def test_unknown_names_get_the_nearest(root):
    with pytest.raises(InputError, match="no split 'test'; valid are train, val"):
        Coco(root, "test", ())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no task in this data set 'poses'; did you mean 'pose'"):
        Coco(root, "train", ("poses",))
    with pytest.raises(InputError, match="no way with faulty entries 'skips'; did you mean 'skip'"):
        Coco(root, "train", (), faulty="skips")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"no class in .*train2017\.json 'persn'; did you mean 'person'"):
        Coco(root, "train", (), classes=("persn",))
    for classes in ((), ("dog", "dog")):
        with pytest.raises(InputError, match="cannot be kept; give at least one, and each once"):
            Coco(root, "train", (), classes=classes)


# --- the real data ---


def real(shared: Path, name: str) -> Path:
    root = shared / "data" / name
    if not root.is_dir():
        pytest.skip(f"SKIPPED LOUDLY: {root} is not there")
    return root


@pytest.mark.parametrize(("split", "count", "crowds", "posed"), [("train", 470, 5, 57), ("val", 382, 5, 46)])
def test_the_real_coco_equals_its_own_tools(shared, split, count, crowds, posed):
    root = real(shared, "tiny-coco")
    data = Coco(root, split, TASKS)
    tools = COCO(root / f"annotations/instances_{split}2017.json")
    poses = COCO(root / f"annotations/person_keypoints_{split}2017.json")
    assert (len(data), len(data.classes), data.joints, data.sigmas) == (50, 80, COCO_JOINTS, COCO_SIGMAS)
    assert data.mirror == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
    assert len(data.skeleton) == 19
    assert Coco(root, split, TASKS, faulty="skip").skipped == {}
    ids = tools.getCatIds()
    samples = [data[index] for index in range(50)]
    assert sum(len(sample["boxes"]) for sample in samples) == count
    assert sum(int(sample["crowd"].sum()) for sample in samples) == crowds
    assert sum(int(sample["pose"].any(2).any(1).sum()) for sample in samples) == posed
    for image, sample in zip(tools.dataset["images"], samples, strict=True):
        entries = tools.loadAnns(tools.getAnnIds(imgIds=[image["id"]]))
        assert [data.classes[label] for label in sample["detection"]] == [
            tools.cats[each["category_id"]]["name"] for each in entries
        ]
        boxes = torch.tensor([each["bbox"] for each in entries]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        assert torch.allclose(sample["boxes"], boxes)
        sides = sample["boxes"][:, 2:] - sample["boxes"][:, :2]
        areas = torch.tensor([float(each["area"]) for each in entries])
        assert torch.allclose(sample["cover"] * sides.prod(1), areas, rtol=1e-4)
        expected = np.zeros((image["height"], image["width"]), np.uint8)
        for each in sorted(entries, key=lambda each: -each["area"]):
            if each["iscrowd"]:
                expected[tools.annToMask(each) > 0] = 255
        for each in sorted(entries, key=lambda each: -each["area"]):
            if not each["iscrowd"]:
                expected[tools.annToMask(each) > 0] = ids.index(each["category_id"]) + 1
        assert np.array_equal(sample["segmentation"], expected)
        for pose, each in zip(sample["pose"].numpy(), entries, strict=True):
            told = np.reshape(poses.anns.get(each["id"], {"keypoints": [0] * 51})["keypoints"], (17, 3))
            assert np.allclose(pose, told + [0.5, 0.5, 0] * (told[:, 2:] > 0))


def test_only_persons_of_the_real_coco(shared):
    data = Coco(real(shared, "tiny-coco"), "val", ("detection", "pose", "segmentation"), classes=("person",))
    assert len(data) == 50
    labels = torch.cat([data[index]["detection"] for index in range(50)])
    assert (len(labels), labels.unique().tolist()) == (127, [0])
    assert {value for index in range(50) for value in data[index]["segmentation"].unique().tolist()} == {0, 1, 255}


@pytest.mark.parametrize(("split", "images", "count"), [("train", 240, 314), ("val", 60, 76)])
def test_the_real_animals(shared, split, images, count):
    root = real(shared, "animalpose")
    data = Coco(root, split, ("detection", "pose"))
    assert (len(data), data.classes) == (images, ("dog", "cat", "sheep", "horse", "cow"))
    assert (len(data.joints), data.joints[2], data.mirror[:4]) == (20, "nose", (1, 0, 2, 4))
    assert [data.mirror[place] for place in (17, 18, 19)] == [17, 18, 19]
    assert data.sigmas == (OTHER_SIGMA,) * 20
    samples = [data[index] for index in range(0, images, 4)]
    for sample in samples:
        labelled = sample["pose"][..., 2] == 2
        x, y = sample["pose"][..., 0], sample["pose"][..., 1]
        left, top, right, bottom = sample["boxes"].T[..., None]
        inside = (x >= left - 1) & (x <= right + 1) & (y >= top - 1) & (y <= bottom + 1)
        assert inside[labelled].float().mean() > 0.8
    assert len(data._labels) == count
    with pytest.raises(InputError, match=rf"_{split}\.json, annotation \d+, has no 'segmentation'; give"):
        Coco(root, split, ("segmentation",))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["images"][1].update(file_name=c["images"][0]["file_name"]), r"as an earlier image is; list each"),
        (lambda c: c["annotations"][0].update(bbox=[1, 1, 1e-30, 1e-30]), "which covers nothing of its image"),
        (lambda c: c["annotations"][0].update(bbox=[8 - 1e-9, 1, 4, 4]), "which covers nothing of its image"),
        (lambda c: c["annotations"][0].update(area=9e8), r"has an area of 9e\+08 pixels, but its image has 8 x 6"),
    ],
)
def test_what_would_shrink_a_set_or_give_absurd_scales_is_refused(root, change, sentence):
    content = instances()
    change(content)
    write(root, "instances_train2017", content)
    with pytest.raises(InputError, match=sentence):
        Coco(root, "train")


def test_joints_have_the_same_order_in_both_splits(root):
    shutil.copytree(root / "images/train2017", root / "images/val2017")
    write(root, "instances_val2017", instances())
    other = persons()
    for category in other["categories"]:
        category["keypoints"] = category["keypoints"][::-1]
    write(root, "person_keypoints_val2017", other)
    train, val = (Coco(root, split, ("pose",), classes=("person",)) for split in ("train", "val"))
    with pytest.raises(InputError, match=r"have different targets \('left_hand' and 'head', in place 0\)"):
        check_pair(train, val, root)
    write(root, "person_keypoints_val2017", persons())
    with pytest.raises(InputError, match=r"train and val in .* hold the same images"):
        check_pair(train, Coco(root, "val", ("pose",), classes=("person",)), root)
