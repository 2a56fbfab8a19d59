"""COCO: objects with boxes, joints and masks in JSON (Lin et al., ECCV 2014), and any data set in its format.

::

    annotations/instances_train2017.json, instances_val2017.json
    annotations/person_keypoints_train2017.json, person_keypoints_val2017.json   where joints are wanted
    images/train2017/, images/val2017/                                           or train2017/, val2017/

Without an ``instances_*`` file the only ``annotations/*train.json`` (``*val.json``) is read; joints then lie in it.
Images lie in a folder named as the file's last word, in ``images/`` or beside it, or in ``images/`` itself. Other files
are left alone. The format is described at https://cocodataset.org/#format-data.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from mtlkit.data.base import ObjectReader
from mtlkit.data.faults import Fault, Faults, Faulty
from mtlkit.data.images import read_image
from mtlkit.data.joints import Joints, mirror_of
from mtlkit.data.samples import IGNORE, Sample, Split, checked, contents, digest, evenly_spaced
from mtlkit.errors import InputError, extra, suggestion, unknown
from mtlkit.files import regular

_TASKS = ("detection", "pose", "segmentation")
_LEAST = 0.01  # of a pixel; float32 still tells the edges of such a box apart

COCO_JOINTS = (
    "nose",
    *("left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
    *("left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)
"""The joints of COCO's persons."""

COCO_SIGMAS: tuple[float, ...] = tuple(
    tenths / 10
    for tenths in (0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89)
)
"""How far annotators of :data:`COCO_JOINTS` disagree, as a share of an object's scale; the official constants."""

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""The 80 classes of COCO's 2017 files, in their order."""

OTHER_SIGMA = 0.067
"""The same for joints that nobody measured, the mean of :data:`COCO_SIGMAS`."""


_Entry = dict[str, Any]


class _Image(NamedTuple):
    file: str
    width: int
    height: int


class _Object(NamedTuple):
    box: tuple[float, float, float, float]
    label: int
    crowd: bool
    area: float
    joints: NDArray[np.float32] | None
    shape: Any  # polygons or a run-length code


class Coco(ObjectReader):
    """One split in COCO's format (see the module): one sample per image, in the order of the JSON's list.

    A sample is ``image`` (``tv_tensors.Image``, uint8, ``(3, H, W)``), ``boxes`` (``tv_tensors.BoundingBoxes``,
    float32, ``(R, 4)``, XYXY: the edges of the R objects, in pixels), ``crowd`` (bool, ``(R,)``: one box around many
    objects), ``cover`` (float32, ``(R,)``: the annotation's ``area``, which is its mask's, by the box's: that keeps its
    meaning when the image changes its size), and by task

    - ``detection``: class ids, int64, ``(R,)``;
    - ``pose``: :class:`~mtlkit.data.joints.Joints`, ``(R, J, 3)``, zero for objects without joints. COCO gives the
      numbers of pixels, whose middles lie half a pixel further;
    - ``segmentation``: ``tv_tensors.Mask``, uint8, ``(H, W)``: 0 for the background, else the class id and 1. Smaller
      objects (by ``area``) lie on larger ones; crowds lie below all objects and are void (255).

    Images without an object are samples too. Objects of classes that are not kept are background. Boxes that reach over
    an image's edge are kept as they are.

    Every entry is checked here; an image is decoded, and masks are drawn, when a sample is read. COCO's 2017 training
    list has two boxes without a height (cocodataset/cocoapi issue 355), so it asks for ``faulty="skip"``.

    Args:
        root: the folder that holds ``annotations/``.
        split: train or val.
        tasks: the targets to read; boxes, crowd and cover are always read.
        classes: the names of the classes to keep, in the order of their ids; ``None``: all that are listed.
        faulty: refuse the file for its first bad entry, or skip such images and annotations. An image's annotations
            go with it.

    Attributes:
        classes: the classes' names; the place of each is its id.
        tasks: as given.
        joints: the J joints' names; this and the next three are empty unless poses are read.
        mirror: for each joint the one of the other side (``left_eye`` and ``right_eye``, ``L_eye`` and ``R_eye``), or
            itself.
        skeleton: pairs of joints that a bone connects, counted from 0.
        sigmas: for object keypoint similarity: ``COCO_SIGMAS`` for ``COCO_JOINTS``, else ``OTHER_SIGMA``.
        objects: how many objects every sample has, crowds among them.
        posed: how many of them have a labelled joint.
        skipped: reason -> images or annotations that were left out for it.
        faults: reason -> a sentence about each of them.

    Raises:
        InputError: a file or folder is missing, is no JSON or lacks a list, there are several files to choose from, a
            class is unknown or listed twice, the classes' joints differ, there are no joints for the pose, more than
            254 classes for the segmentation, or no image is left. Unless they are skipped: an image is not there, has
            no size, or an id that was used; an annotation has an id that was used, an unknown image or category, a
            value of the wrong kind, a box that covers nothing of its image, a joint outside its image, or a bad mask.
            Reading a sample: the image is damaged or not of the size that the JSON says.
    """

    description = "annotations/*.json and images/: boxes, masks and joints in COCO's format"
    settings = {"classes": "keep", "faulty": "faulty"}

    def __init__(
        self,
        root: Path,
        split: Split,
        tasks: Sequence[str] = ("detection",),
        classes: Sequence[str] | None = None,
        faulty: Faulty = "refuse",
    ) -> None:
        self._root = Path(root)
        self.tasks = checked(self._root, split, tasks, _TASKS)
        self._faults = Faults(faulty, "entries")
        self.skipped, self.faults = self._faults.skipped, self._faults.sentences
        self._path = _objects_file(self._root / "annotations", split)
        word = re.split("[_-]", self._path.stem)[-1]
        folders = [self._root / name for name in (f"images/{word}", word, "images")]
        if not any(folder.is_dir() for folder in folders):
            raise InputError(f"There is no folder {folders[0]}; it should hold the images.")
        self._folder = next(folder for folder in folders if folder.is_dir())
        twin = self._path.with_name(self._path.name.replace("instances_", "person_keypoints_", 1))
        self._files = [self._path] + [twin] * (twin != self._path and twin.is_file())
        content = _load(self._path)
        self._masks = any(one.get("segmentation") for one in content["annotations"])
        names = _categories(self._path, content)
        self.classes = tuple(names.values()) if classes is None else tuple(classes)
        for name in self.classes:
            if name not in names.values():
                raise unknown(f"class in {self._path}", name, names.values())
        if len(set(self.classes)) != len(self.classes) or not self.classes:
            raise InputError(f"The classes {list(self.classes)} cannot be kept; give at least one, and each once.")
        if "segmentation" in tasks and len(self.classes) >= IGNORE:
            raise InputError(
                f"{self._path} has {len(self.classes)} classes, but a map has place for {IGNORE - 1}; keep fewer."
            )
        self.joints: tuple[str, ...] = ()
        self.mirror: tuple[int, ...] = ()
        self.skeleton: tuple[tuple[int, int], ...] = ()
        self.sigmas: tuple[float, ...] = ()
        poses = self._poses(content, twin) if "pose" in tasks else {}
        self._fill(content, names, poses)

    @classmethod
    def offered(cls, root: Path) -> tuple[str, ...]:
        """Boxes, and joints and masks where the training split has some."""
        train = cls(root, "train", faulty="skip")
        return tuple(task for task in _TASKS if train.offers(task))

    def offers(self, task: str) -> bool:
        """Whether the files hold what a task needs: joints of a class that is kept, or masks."""
        if task == "pose":
            listed = _load(self._files[-1])["categories"]
            return any(one.get("keypoints") and one.get("name") in self.classes for one in listed)
        return self._masks if task == "segmentation" else task in _TASKS

    # --- reading the JSON ---

    def _each(self, path: Path, content: _Entry, what: str, read: Callable[[_Entry], None]) -> int:
        """Reads the entries of one list; hands back how many are faulty, where that is allowed."""
        before = len(self._faults)
        for number, entry in enumerate(content[what], 1):
            try:
                read(entry)
            except Fault as fault:
                self._faults.add(f"{path}, {what[:-1]} {entry.get('id', f'number {number}')},", fault)
        return len(self._faults) - before

    def _poses(self, content: _Entry, twin: Path) -> dict[int, Any]:
        """The annotations' keypoints by their ids; sets the joints' names, mirror, skeleton and sigmas.

        Raises:
            InputError: there are no joints, or kept classes have different ones.
        """
        path = self._files[-1]
        source = content if path == self._path else _load(path)
        described = [one for one in source["categories"] if one.get("keypoints") and one.get("name") in self.classes]
        if not described:
            missing = "" if path == twin else f", and there is no {twin}"
            raise InputError(
                f"{path} names no joints of {', '.join(self.classes)}{missing}; a pose needs 'keypoints' in a category."
            )
        for category in described:
            if category["keypoints"] != described[0]["keypoints"]:
                raise InputError(
                    f"{path} names other joints for {category['name']!r} than for {described[0]['name']!r}; "
                    "keep classes with the same joints."
                )
        joints, bones = described[0]["keypoints"], described[0].get("skeleton") or []
        named = isinstance(joints, list) and all(isinstance(name, str) for name in joints)
        if not named or len(set(joints)) != len(joints):
            raise InputError(f"{path} names the joints {joints!r}; each needs a name of its own.")
        ends = range(1, len(joints) + 1)
        if not isinstance(bones, list) or not all(_is_numbers(bone, 2) and set(bone) <= set(ends) for bone in bones):
            raise InputError(f"{path} has the skeleton {bones}; it should be pairs of joints from 1 to {len(joints)}.")
        self.joints, self.mirror = tuple(joints), mirror_of(joints)
        self.skeleton = tuple((int(one) - 1, int(other) - 1) for one, other in bones)
        self.sigmas = COCO_SIGMAS if self.joints == COCO_JOINTS else (OTHER_SIGMA,) * len(joints)
        images = {one["id"]: one.get("image_id") for one in content["annotations"] if _is_id(one.get("id"))}
        poses: dict[int, Any] = {}

        def read(entry: _Entry) -> None:
            key = _take(entry, "id", _is_id, "a whole number")
            if key not in images or images[key] != entry.get("image_id"):
                raise Fault(
                    "joints without an object",
                    f"has no counterpart of that id and image in {self._path.name}; add it or remove the joints.",
                )
            poses[key] = entry.get("keypoints")

        if source is content:
            return {one["id"]: one.get("keypoints") for one in content["annotations"] if _is_id(one.get("id"))}
        self._each(path, source, "annotations", read)
        return poses

    def _fill(self, content: _Entry, names: dict[int, str], poses: dict[int, Any]) -> None:
        """Reads images and annotations; into arrays, for every worker would copy lists of small objects."""
        images, left_out = self._listed(content)
        labels = {key: self.classes.index(name) for key, name in names.items() if name in self.classes}
        objects: dict[int, list[_Object]] = {key: [] for key in images}
        used: set[int] = set()

        def read(entry: _Entry) -> None:
            key = _take(entry, "id", _is_id, "a whole number")
            if key in used:
                raise Fault("repeated id", "has an id that an earlier annotation has; give it another one.")
            used.add(key)
            image, category = (_take(entry, one, _is_id, "a whole number") for one in ("image_id", "category_id"))
            if image not in images and image not in left_out:
                raise Fault(
                    "unknown image", f"belongs to the image {image!r}, which is not listed; list it under 'images'."
                )
            if category not in names:
                raise Fault(
                    "unknown category",
                    f"has the category {category!r}, which is not listed; {suggestion(str(category), map(str, names))}",
                )
            if image in images and category in labels:
                objects[image].append(self._object(entry, poses.get(key), images[image], labels[category]))

        faults = self._each(self._path, content, "annotations", read)
        if not images:
            raise InputError(f"{self._path} lists {self._faults.only('image')}; it needs an entry for every image.")
        if 0 < faults == len(content["annotations"]):
            raise InputError(f"{self._path} holds only bad annotations ({self.skipped}); it needs good ones.")
        flat = [each for key in images for each in objects[key]]
        ends = list(accumulate((len(objects[key]) for key in images), initial=0))
        self._images, self._rows = list(images.values()), [slice(*pair) for pair in pairwise(ends)]
        self.objects = [rows.stop - rows.start for rows in self._rows]
        self._boxes = torch.tensor([each.box for each in flat], dtype=torch.float32).reshape(-1, 4)
        self._labels = torch.tensor([each.label for each in flat], dtype=torch.int64)
        self._crowds = torch.tensor([each.crowd for each in flat], dtype=torch.bool)
        self._areas = torch.tensor([each.area for each in flat], dtype=torch.float64)
        joints = np.zeros((len(flat), len(self.joints), 3), np.float32)
        for row, each in enumerate(flat):
            if each.joints is not None:
                joints[row] = each.joints
        self._joints, self._shapes = torch.from_numpy(joints), [each.shape for each in flat]
        self.posed = [int((joints[rows, :, 2] > 0).any(1).sum()) for rows in self._rows]

    def _listed(self, content: _Entry) -> tuple[dict[int, _Image], set[int]]:
        """The images by their ids, and the ids of those that are skipped."""
        # One listing instead of a look-up a file: a hundred thousand look-ups are slow on network drives.
        there = set(os.listdir(self._folder))
        images: dict[int, _Image] = {}
        used: set[int] = set()
        named: set[str] = set()

        def read(entry: _Entry) -> None:
            key = _take(entry, "id", _is_id, "a whole number")
            if key in used:
                raise Fault("repeated id", "has an id that an earlier image has; give it another one.")
            used.add(key)
            name = _take(entry, "file_name", lambda value: isinstance(value, str), "a file's name")
            width, height = (_take(entry, side, _is_size, "a whole number of pixels") for side in ("width", "height"))
            if name not in there:
                plain = name.replace("\\", "/").rpartition("/")[2]
                mend = f"name it {plain!r}, without folders" if plain in there else "add the file"
                raise Fault("missing image", f"is {name!r}, which is not in {self._folder}; {mend}.")
            if name in named:
                raise Fault("repeated image", f"is {name!r}, as an earlier image is; list each file once.")
            named.add(name)
            images[key] = _Image(name, width, height)

        self._each(self._path, content, "images", read)
        return images, used - set(images)

    def _object(self, entry: _Entry, keypoints: Any, image: _Image, label: int) -> _Object:
        """One annotation.

        Raises:
            Fault: it is none.
        """
        left, top, width, height = _take(entry, "bbox", _is_box, "left, top, width and height in pixels")
        right, bottom = left + width, top + height
        across = min(right, image.width) - max(left, 0), min(bottom, image.height) - max(top, 0)
        if min(width, height, *across) < _LEAST:
            raise Fault(
                "empty box",
                f"has the box {[left, top, width, height]}, which covers nothing of its image of {image.width} x "
                f"{image.height} pixels; give it a width and a height inside, remove it, or skip faulty entries.",
            )
        crowd = "iscrowd" in entry and _take(entry, "iscrowd", lambda value: value in (0, 1), "0 or 1")
        area = _take(entry, "area", lambda value: _is_number(value) and value >= 0, "a number of pixels")
        if area > max(width * height, image.width * image.height):
            raise Fault(
                "bad area",
                f"has an area of {area:g} pixels, but its image has {image.width} x {image.height}; give the mask's or "
                "the box's area.",
            )
        joints = None if keypoints is None else self._pose(keypoints, image)
        shape = _shape(entry.get("segmentation"), image) if "segmentation" in self.tasks else None
        return _Object((left, top, right, bottom), label, bool(crowd), area, joints, shape)

    def _pose(self, values: Any, image: _Image) -> NDArray[np.float32]:
        """Joints ``(J, 3)``.

        Raises:
            Fault: they are none, or outside of their image.
        """
        count = len(self.joints)
        if not _is_numbers(values, 3 * count):
            found = f"{len(values)} values" if isinstance(values, list) else repr(values)
            raise Fault(
                "bad keypoints",
                f"has {found} for its 'keypoints'; it should be {3 * count} numbers: x, y and a visibility for each of "
                f"{count} joints.",
            )
        joints = np.array(values, np.float32).reshape(count, 3)
        x, y, visibility = joints.T
        if not np.isin(visibility, (0, 1, 2)).all():
            raise Fault("bad keypoints", f"has the visibilities {visibility.tolist()}; each should be 0, 1 or 2.")
        outside = (visibility > 0) & ((x < 0) | (y < 0) | (x > image.width) | (y > image.height))
        if outside.any():
            joint = int(outside.argmax())
            raise Fault(
                "joint outside its image",
                f"has its {self.joints[joint]} at {x[joint]:g}, {y[joint]:g}, but its image is {image.width} x "
                f"{image.height}; move the joint inside or give it the visibility 0.",
            )
        # The middle of the pixel: a mirror, which keeps edges, would else put it a pixel beside the unmirrored one.
        joints[:, :2] = np.minimum(joints[:, :2] + 0.5, (image.width, image.height))
        joints[visibility == 0] = 0
        return joints

    # --- samples ---

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        known = self._images[index]
        image = read_image(self._folder / known.file, self._root)
        height, width = image.shape[-2:]
        if (width, height) != (known.width, known.height):
            raise InputError(
                f"{self._folder / known.file} is {width} x {height}, but {self._path} says {known.width} x "
                f"{known.height}; annotations of another size would not fit."
            )
        rows = self._rows[index]
        boxes, areas = self._boxes[rows].clone(), self._areas[rows]
        sides = boxes[:, 2:] - boxes[:, :2]
        sample: Sample = {
            "image": image,
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width)),
            "crowd": self._crowds[rows].clone(),
            "cover": (areas / sides.prod(1)).float(),
        }
        if "detection" in self.tasks:
            sample["detection"] = self._labels[rows].clone()
        if "pose" in self.tasks:
            sample["pose"] = Joints(self._joints[rows].clone(), canvas_size=(height, width), mirror=self.mirror)
        if "segmentation" in self.tasks:
            sample["segmentation"] = self._painted(range(rows.start, rows.stop), height, width)
        return sample

    def _painted(self, rows: Iterable[int], height: int, width: int) -> tv_tensors.Mask:
        rle, classes = _rle(), np.zeros((height, width), np.uint8)
        # An object that was marked alone is known even where a crowd is drawn over it.
        for row in sorted(rows, key=lambda row: (not self._crowds[row], -float(self._areas[row]))):
            shape = self._shapes[row]
            code = rle.merge(rle.frPyObjects(shape, height, width)) if isinstance(shape, list) else shape
            classes[rle.decode(code) > 0] = IGNORE if self._crowds[row] else int(self._labels[row]) + 1
        return tv_tensors.Mask(torch.from_numpy(classes))

    def name_of(self, index: int) -> str:
        """The image's file name without its ending."""
        return Path(self._images[index].file).stem

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over the split's JSON and at most 512 evenly spaced images.

        Whatever tasks and classes are read: the joints' file counts if it is there.
        """
        sha = hashlib.sha256()
        for path in self._files:
            sha.update(path.name.encode() + contents(path.parent, [path.name]))
        sha.update(digest(self._folder, evenly_spaced([image.file for image in self._images])).encode())
        return sha.hexdigest()[:12]


def _take(entry: _Entry, key: str, is_good: Callable[[Any], bool], should: str) -> Any:
    """A value of an entry.

    Raises:
        Fault: it is missing or not good.
    """
    value = entry.get(key)
    if not is_good(value):
        found = f"has {value!r:.200} for its {key!r}" if key in entry else f"has no {key!r}"
        raise Fault(f"bad {key}", f"{found}; it should be {should}.")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e9 < value < 1e9  # nor NaN


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    return _is_id(value) and value > 0


def _is_numbers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(map(_is_number, value))


def _rle() -> Any:
    """COCO's own code for masks, imported where a mask is read: nothing else here needs it."""
    with extra("run"):
        from faster_coco_eval.core import mask  # type: ignore[import-untyped]
    return mask


def _is_box(value: Any) -> bool:
    return _is_numbers(value, 4)


def _shape(value: Any, image: _Image) -> Any:
    """A mask as it is kept: polygons as they are, run-length codes compressed.

    Raises:
        Fault: it is none. COCO's own code would hang or crash on many of these.
    """
    width, height = image.width, image.height
    if not value:
        raise Fault("no segmentation", "has no 'segmentation'; give it a mask, or read other tasks.")
    if isinstance(value, list):
        for polygon in value:
            if not isinstance(polygon, list) or len(polygon) < 6 or not _is_numbers(polygon, len(polygon) // 2 * 2):
                raise Fault(
                    "bad segmentation",
                    "has a bad polygon in its 'segmentation'; each is a list of x and y, and at least three points.",
                )
            far = np.abs(np.reshape(polygon, (-1, 2)) / (width, height) - 0.5).max()
            if far > 1.5:
                raise Fault(
                    "bad segmentation",
                    f"has a polygon far outside its image of {width} x {height} pixels; give it points inside.",
                )
        return value
    rle, counts = _rle(), value.get("counts") if isinstance(value, dict) else None
    try:
        if value.get("size") != [height, width]:
            raise ValueError(f"a size of {value.get('size')}")
        code = rle.frPyObjects(value, height, width) if isinstance(counts, list) else value
        rle.decode(code)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise Fault(
            "bad segmentation",
            f"has a run-length code that cannot be read ({error}); it needs the size [{height}, {width}] and counts "
            f"whose sum is {height * width}.",
        ) from error
    return code


def _objects_file(folder: Path, split: str) -> Path:
    """The file that lists a split's objects.

    Raises:
        InputError: there is none, or several.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; it should hold the JSON of the annotations.")
    files = [path for path in sorted(folder.glob("*.json")) if re.search(rf"(^|[_-]){split}(\d{{4}})?$", path.stem)]
    chosen = [path for path in files if path.name.startswith("instances_")] or files
    if len(chosen) != 1:
        found = f"has several ({', '.join(path.name for path in chosen)})" if chosen else "has none"
        raise InputError(
            f"{folder} should have one JSON of the {split} split, but {found}; name it instances_{split}2017.json."
        )
    return chosen[0]


def _load(path: Path) -> _Entry:
    """A file with its lists of images, annotations and categories.

    Raises:
        InputError: it is damaged.
    """
    regular(path)
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); copy or write it again.") from error
    for what in ("images", "annotations", "categories"):
        entries = content.get(what) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InputError(f"{path} has no list of objects {what!r}; COCO's format needs one.")
    assert isinstance(content, dict)
    return content


def _categories(path: Path, content: _Entry) -> dict[int, str]:
    """id -> name of each category."""
    names: dict[int, str] = {}
    for number, category in enumerate(content["categories"], 1):
        key, name = category.get("id"), category.get("name")
        if not _is_id(key) or not isinstance(name, str) or key in names or name in names.values():
            raise InputError(
                f"{path}, category number {number}, has the id {key!r} and the name {name!r}; it needs a whole number "
                "and a name that no other has."
            )
        names[key] = name
    if not names:
        raise InputError(f"{path} lists no category; it needs one for every class.")
    return names
