"""Tiny folders in the official layouts of data sets: a few images each, for a rehearsal of profile ``paper``.

Where an embedded world has the layout of the official release, it is drawn; the others are written here.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from mtlkit.data.coco import COCO_CLASSES
from mtlkit.worlds import parts, people, plates

SIDE = 256

ATTRIBUTES = 64
"""Of an object of aPascal."""


def image(path: Path, seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> None:
    """Noise of 8 by 8 cells, enlarged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(cells).resize((size[1], size[0]), Image.Resampling.BILINEAR).save(path)


def nyuv2(root: Path) -> None:
    """Frames with two labels and a slanted plane of depths."""
    frames = 4
    cells = np.random.default_rng(0).integers(0, 256, (frames, 3, 640, 480), dtype=np.uint8)
    labels = np.ones((frames, 640, 480), np.uint16)
    labels[:, 320:] = 2
    depths = np.broadcast_to(np.linspace(1, 4, 480, dtype=np.float32), (frames, 640, 480))
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"], file["labels"], file["depths"] = cells, labels, depths
    savemat(root / "splits.mat", {"trainNdxs": np.array([[1], [2], [3]]), "testNdxs": np.array([[4]])})
    names = np.array([["wall", "floor"]], dtype=object)
    savemat(root / "classMapping40.mat", {"className": names, "mapClass": np.array([[1, 2]], np.uint8)})


def imagenet(root: Path) -> None:
    wnids = {"n01440764": ("tench",), "n02012849": ("crane",)}
    for label, wnid in enumerate(wnids):
        for number in range(2):
            image(root / f"train/{wnid}/{wnid}_{number}.JPEG", label)
        image(root / f"val/{wnid}/ILSVRC2012_val_{label:08d}.JPEG", label)
    torch.save((wnids, list(wnids)), root / "meta.bin")


def places365(root: Path) -> None:
    """torchvision takes the official lists alone, so it is told that these are."""
    names = ("airfield", "alley")
    lists = {"categories_places365.txt": "".join(f"/a/{name} {label}\n" for label, name in enumerate(names))}
    for file, folder, count in (
        ("places365_train_standard.txt", "data_256_standard", 2),
        ("places365_val.txt", "val_256", 1),
    ):
        found = [(f"/a/{name}/{number}.jpg", label) for label, name in enumerate(names) for number in range(count)]
        if folder == "val_256":
            found = [(f"Places365_val_{label}.jpg", label) for _, label in found]
        lists[file] = "".join(f"{name} {label}\n" for name, label in found)
        for name, label in found:
            image(root / folder / name.lstrip("/"), label)
    md5 = {}
    for name, text in lists.items():
        (root / name).write_text(text)
        md5[name] = hashlib.md5(text.encode()).hexdigest()
    categories, train, val = lists
    datasets.Places365._CATEGORIES_META = (categories, md5[categories])
    datasets.Places365._FILE_LIST_META = {"train-standard": (train, md5[train]), "val": (val, md5[val])}


def oxford_pets(root: Path) -> None:
    folder, breeds = root / "oxford-iiit-pet", ("Abyssinian", "american_bulldog")
    (folder / "annotations").mkdir(parents=True)
    for split, numbers in (("trainval", (1, 2)), ("test", (3,))):
        lines = [f"{breed}_{n} {label + 1} {label + 1} 1" for label, breed in enumerate(breeds) for n in numbers]
        (folder / f"annotations/{split}.txt").write_text("\n".join(lines) + "\n")
        for label, breed in enumerate(breeds):
            for number in numbers:
                image(folder / f"images/{breed}_{number}.jpg", label)


def caltech101(root: Path) -> None:
    folder = root / "caltech101/101_ObjectCategories"
    for label, name in enumerate(("Faces", "ant", "BACKGROUND_Google")):
        for number in range(1, 32):
            image(folder / f"{name}/image_{number:04d}.jpg", label)


def imdb_wiki(root: Path) -> None:
    """Two people, a photograph each, and a third to hold out."""
    born = date(1950, 1, 1).toordinal() + 366
    people = [(f"0{n}/nm{n}_rm{n}_1950-1-1_1980.jpg", born, 1980, n % 2, 3.0, float("nan"), n) for n in range(1, 9)]
    paths, born_on, taken, gender, score, second, number = zip(*people, strict=True)
    struct: dict[str, Any] = {
        "dob": np.array([born_on], float),
        "photo_taken": np.array([taken], np.uint16),
        "full_path": _cells(paths),
        "gender": np.array([gender], float),
        "name": _cells([f"person {n}" for n in number]),
        "face_location": _cells([np.array([[1.0, 1.0, 8.0, 6.0]])] * len(people)),
        "face_score": np.array([score], float),
        "second_face_score": np.array([second], float),
        "celeb_names": _cells([f"person {n}" for n in number]),
        "celeb_id": np.array([number], float),
    }
    (root / "imdb_crop").mkdir()
    savemat(root / "imdb_crop/imdb.mat", {"imdb": struct})
    for place, path in enumerate(paths):
        image(root / "imdb_crop" / path, place)


def apascal(root: Path) -> None:
    """Drawn scenes whose objects have as many attributes as the official ones; those that are not drawn are zero."""
    parts.write(root, train=4, val=2, size=(375, 500))
    names = root / "attribute_data/attribute_names.txt"
    drawn = names.read_text().splitlines()
    more = ATTRIBUTES - len(drawn)
    names.write_text("\n".join([*drawn, *(f"attribute {number}" for number in range(more))]) + "\n")
    for split in ("train", "test"):
        listed = root / f"attribute_data/apascal_{split}.txt"
        listed.write_text("".join(f"{row}{' 0' * more}\n" for row in listed.read_text().splitlines()))


def coco(root: Path) -> None:
    """Drawn scenes, with all classes of the official files in their lists."""
    people.write(root, train=4, val=2, size=(480, 640))
    more = [
        {"id": 100 + number, "name": name} for number, name in enumerate(COCO_CLASSES) if name not in people.CLASSES
    ]
    for path in (root / "annotations").glob("*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"categories": content["categories"] + more}))


def _cells(values: Sequence[Any]) -> np.ndarray:
    row = np.empty((1, len(values)), object)
    row[0] = list(values)
    return row


WRITERS: dict[str, Callable[[Path], None]] = {
    "nyuv2": nyuv2,
    "imagenet": imagenet,
    "places365": places365,
    "oxford_pets": oxford_pets,
    "caltech101": caltech101,
    "imdb_wiki": imdb_wiki,
    "apascal": apascal,
    "coco": coco,
    "manifest": lambda root: plates.write(root, train=30, val=15, size=(SIDE, SIDE)),
}
"""Layout -> what writes a folder in it."""


def folder(layout: str, root: Path) -> Path:
    """The folder of a layout under ``root``, written on first use."""
    path = root / layout
    if not path.exists():
        if layout in ("apascal", "coco", "manifest"):
            WRITERS[layout](path)
        else:
            path.mkdir(parents=True)
            WRITERS[layout](path)
    return path
