"""The embedded world ``faces``: drawn heads and shoulders of people of all ages, one image a person.

A face is built from what changes with age and sex, each trait with a chance of its own:

- growth: a baby's head is round, with large eyes low in it, a short nose, hardly a brow; then the face lengthens;
- sex: brow, jaw, lips, beard and make-up from the teens on, before that hair and clothes, and those not reliably;
- wear: folds beside nose and mouth, lines on the forehead and around the eyes, bags, jowls, spots, thin lips;
- hair: thin in babies, receding in many men, grey from an age that differs from person to person.

A person looks some years older or younger than they are, and lines and grey hair come early or late, so that ages
cannot be told exactly. Pose, light, colours, glasses, hats and the camera say little or nothing.

Files lie as in UTKFace (see :mod:`mtlkit.data.utkface`); the field for race is 4, "other", throughout.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtlkit.errors import InputError, unknown
from mtlkit.worlds import _folder
from mtlkit.worlds._easel import SPLITS, Easel
from mtlkit.worlds._portraits import person, portray

REVISION = 1
"""Raised when the images change on purpose; part of the identity of whatever was trained on them."""

# Read by mtlkit.worlds.world without importing this module: literals.
DRAWS = "faces with an age and a gender"
LAYOUT = "utkface"

AGES = 100
"""Ages are 0 to 99."""


class Face(NamedTuple):
    """An image and whom it shows.

    Attributes:
        image: uint8 ``(H, W, 3)``.
        age: whole years, 0 to 99.
        gender: 0 male, 1 female.
    """

    image: NDArray[np.uint8]
    age: int
    gender: int


def _age(rng: np.random.Generator) -> int:
    """An age as in collections of photographs: many small children, most between 20 and 40, few above 90."""
    while True:
        kind = rng.random()
        if kind < 0.11:
            age = rng.exponential(2.2)
        elif kind < 0.23:
            age = rng.uniform(2, 20)
        elif kind < 0.65:
            age = rng.normal(29, 7)
        else:
            age = rng.normal(50, 19)
        if 0 <= age < AGES:
            return int(age)


def draw(seed: int, split: str, index: int, size: tuple[int, int] = (64, 64)) -> Face:
    """Face ``index`` of ``split`` in the world of ``seed``; it depends on its arguments alone.

    Raises:
        InputError: there is no such split, or a side of ``size`` is less than 32 pixels.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if min(size) < 32:
        raise InputError(f"No face can be seen in an image of {size[0]} x {size[1]}; give at least 32 pixels a side.")
    rng = np.random.default_rng([seed, SPLITS.index(split), index, *b"faces"])
    age, female = _age(rng), bool(rng.random() < 0.48)
    roll, zoom = 0.09 * rng.standard_normal(), rng.uniform(0.84, 1.0) * min(size) / max(size)
    e = Easel(rng, max(size), roll=float(roll), zoom=float(zoom))
    portray(e, person(e, age, female))
    top, left = ((max(size) - side) // 2 for side in size)
    e.cut(slice(top, top + size[0]), slice(left, left + size[1]))
    return Face(e.develop(e.chance(0.07), vivid=0.7), age, int(female))


# --- files ---


def file_name(face: Face, split: str, index: int) -> str:
    """``[age]_[gender]_[race]_[datetime].jpg``: seconds of a year of the split's own tell people apart."""
    taken = datetime(2016 + SPLITS.index(split), 1, 1) + timedelta(seconds=index)
    return f"{face.age}_{face.gender}_4_{taken:%Y%m%d%H%M%S}000.jpg"


def write(folder: Path, *, seed: int = 0, train: int, val: int, size: tuple[int, int] = (64, 64)) -> None:
    """Write ``folder/image/*.jpg``, ``folder/splits/{train,val}.txt`` with the file names of each split, and
    ``folder/world.json``, whole or not at all.

    Does nothing where the same world already lies; processes that write it at the same time all succeed.

    Raises:
        InputError: ``folder`` holds something else, or a side of ``size`` is less than 32 pixels.
    """
    world = {"world": "faces", "revision": REVISION, "seed": seed, "train": train, "val": val,
             "height": size[0], "width": size[1]}  # fmt: skip

    def fill(root: Path) -> None:
        for place in (root / "image", root / "splits"):
            place.mkdir()
        for split, count in zip(SPLITS, (train, val), strict=True):
            names: list[str] = []
            for index in range(count):
                face = draw(seed, split, index, size)
                names.append(file_name(face, split, index))
                # Full colour resolution: eyes are a few pixels wide.
                Image.fromarray(face.image).save(root / "image" / names[-1], quality=95, subsampling=0)
            (root / "splits" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))

    _folder.write(folder, world, fill)
