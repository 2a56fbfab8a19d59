"""The embedded world ``plates``: drawn dishes whose energy follows from what lies on them.

A portion is a vessel with items of food, laid out in centimetres; all that is drawn of an item follows from bodies of
known volume, and its energy is ``volume x density x energy per gram`` (:data:`FOODS`). Portions of one category differ
in size and ingredients by a factor of about two either way. Every portion is photographed several times, in turn from
nearly above and from the side, each time with another turn, distance, table and light; the cutlery beside the vessel
has one length always and tells the scale. Files lie as :mod:`mtlkit.data.manifest` reads them, and a portion is a
group.
"""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtlkit.errors import InputError, unknown
from mtlkit.worlds import _easel, _folder
from mtlkit.worlds._dishes import CATEGORIES, DISHES, FOODS, Item, Vessel, corners, shade, turned
from mtlkit.worlds._easel import SPLITS, Easel, Outline, Patch, View, box, oval, polygon
from mtlkit.worlds._paints import Paint

__all__ = ["CATEGORIES", "FOODS", "REVISION", "Dish", "Portion", "draw", "portion", "write"]

REVISION = 1
"""Raised when the images change on purpose; part of the identity of whatever was trained on them."""

# Read by mtlkit.worlds.world without importing this module: literals.
DRAWS = "dishes with calories and categories"
LAYOUT = "manifest"
COUNTS = "portions"


class Portion(NamedTuple):
    """What lies on a table.

    Attributes:
        category: one of :data:`CATEGORIES`.
        vessel: what it lies on.
        items: from the lowest to the uppermost.
    """

    category: str
    vessel: Vessel
    items: list[Item]

    @property
    def kcal(self) -> float:
        """The energy of all items."""
        return sum(item.kcal for item in self.items)


class Dish(NamedTuple):
    """An image of a portion.

    Attributes:
        image: uint8 ``(H, W, 3)``.
        portion: what is drawn.
        owner: uint8 ``(H, W)``, which of the portion's items a pixel shows, from 1; 0: none.
        scale: pixels a centimetre, of what lies flat and across the image.
    """

    image: NDArray[np.uint8]
    portion: Portion
    owner: NDArray[np.uint8]
    scale: float


def portion(seed: int, split: str, index: int) -> Portion:
    """Portion ``index`` of ``split`` in the world of ``seed``; it depends on its arguments alone.

    Categories take turns, so that any 15 portions in a row hold each once.

    Raises:
        InputError: there is no such split.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    category = CATEGORIES[index % len(CATEGORIES)]
    return Portion(category, *DISHES[category](np.random.default_rng([seed, SPLITS.index(split), index, *b"plates"])))


# --- images ---

_FORK = [
    box(-0.4, -1, 0.4, 12), polygon((-0.4, 4), (0.4, 4), (0.75, 12), (-0.75, 12)),
    polygon((-1.3, -4), (1.3, -4), (1.2, -2), (0.4, -0.6), (-0.4, -0.6), (-1.2, -2)),
    *(box(x - 0.25, -8, x + 0.25, -3.5) for x in (-1.05, -0.35, 0.35, 1.05)),
]  # fmt: skip
_KNIFE = [
    polygon((-0.6, 0), (0.6, 0), (0.8, 12), (-0.8, 12)),
    polygon((-0.7, 0.5), (0.7, 0.5), (0.95, -5), (0.6, -8), (-0.7, -8)),
]
_STICKS = [
    polygon((-0.95, -11), (-0.6, -11), (-0.3, 11), (-0.9, 11)),
    polygon((0.45, -11), (0.8, -11), (0.9, 11), (0.3, 11)),
]


class _Camera:
    """Where centimetres on the table and above it lie in the scene of an :class:`Easel`."""

    def __init__(self, e: Easel, view: int, share: float):
        self.tilt = math.radians(e.within(4, 18) if view % 2 == 0 else e.within(42, 56))
        self.spin = e.within(-math.pi, math.pi)
        self.scale = share * 2 / e.within(27, 33)  # the image's shorter side shows that many centimetres
        self.at = np.array([e.within(-0.05, 0.05), e.within(-0.05, 0.05) + 0.1 * math.sin(self.tilt)])
        c, s = math.cos(self.spin), math.sin(self.spin)
        matrix = np.array([[c, -s], [s * math.cos(self.tilt), c * math.cos(self.tilt)]])
        self.flat, self.lift = matrix.T * self.scale, math.sin(self.tilt) * self.scale

    def seen(self, outline: Outline, height: float = 0.0) -> Outline:
        """A polygon at a height above the table, in the scene."""
        placed: Outline = outline @ self.flat + np.array((self.at[0], self.at[1] - height * self.lift))
        return placed

    def depth(self, outline: Outline) -> float:
        """How near to the viewer something on the table is."""
        return float(outline.mean(0) @ self.flat[:, 1])


def _table(e: Easel, camera: _Camera) -> None:
    first = e.of("wood", "wood", "cloth", "stone", "lime")
    first = _easel.mix(first, (0.45, 0.42, 0.4), e.within(0.5, 0.8))
    pattern = ("plain", "planks", "planks", "plaid", "checks", "tiles")[e.count(0, 5)]
    paint = Paint(first, _easel.mix(first, (0.5, 0.45, 0.4), e.within(0.15, 0.4)), pattern, e.within(0.25, 0.5))
    flat = e.flat(camera.spin)
    near = np.float32(1 / math.cos(camera.tilt))
    c, s = np.float32(math.cos(camera.spin)), np.float32(math.sin(camera.spin))
    e.lay(e.everywhere(), paint, View(c * e.x + s * e.y * near, c * e.y * near - s * e.x, flat.grain), 0.03)


def _cutlery(e: Easel, camera: _Camera, vessel: Vessel, category: str) -> None:
    """Beside the vessel, within the image wherever it is turned to."""
    asian = category in ("dumplings", "rice", "sushi", "noodles", "soup") and e.chance(0.6)
    gap = (vessel.reach if vessel.kind != "bowl" else vessel.reach * 0.95) + e.within(1.2, 2.2)
    wood = ((0.35, 0.16, 0.1), (0.75, 0.55, 0.33), (0.1, 0.08, 0.08))[e.count(0, 2)]
    outlines = []
    for shape, side in ((_STICKS, 1),) if asian else ((_FORK, -1), (_KNIFE, 1)):
        tip, y = e.within(-0.06, 0.06), e.within(-1.5, 1.5)
        outlines += [camera.seen(turned(outline, tip, side * (gap + 0.8), y)) for outline in shape]
    patch = e.cover(outlines)
    e.shadow(patch, 0.02, 0.45)
    e.fill(patch, wood if asian else (0.76, 0.76, 0.78))
    e.emboss(patch, 0.03, 0.5)


def _vessel(e: Easel, camera: _Camera, vessel: Vessel) -> Patch:
    """Paint a vessel; where one looks into it."""
    kind, reach, height, china, band = vessel

    def ring(share: float) -> Outline:
        return corners(reach * share, 0.68) if kind == "tray" else oval(0, 0, reach * share)

    foot = {"plate": 0.6, "bowl": 0.5, "tray": 1.0}[kind]
    steps = [(foot + (1 - foot) * math.sqrt(t), t * height) for t in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)]
    whole = e.cover([camera.seen(ring(share), z) for share, z in steps])
    e.shadow(whole, 0.03 + 0.015 * height, 0.6)
    e.light[whole.box] += (1 - e.light[whole.box]) * whole.share
    e.lay(whole, Paint(shade(china, 0.8 if kind == "bowl" else 0.9)), None, 0.02)
    e.emboss(whole, 0.08, 0.5)
    rim = e.cover([camera.seen(ring(1.0), height)])
    e.fill(rim, china)
    if band:
        e.fill(e.cover([camera.seen(ring(0.97), height)]), band)
        e.fill(e.cover([camera.seen(ring(0.92), height)]), china)
    if kind == "bowl":
        inside = e.cover([camera.seen(ring(0.93), height)])
        e.fill(inside, shade(china, 0.68))
        return inside
    well = e.cover([camera.seen(ring(0.72 if kind == "plate" else 0.94), height * 0.4)])
    e.fill(well, shade(china, 0.94 if kind == "plate" else 0.85))
    e.emboss(well, 0.05, -0.35)
    return rim


def _serve(e: Easel, camera: _Camera, item: Item, base: float, clip: Patch | None) -> Patch:
    """Paint an item whose heights count from ``base``; where it shows."""

    def cover(slices: list[tuple[Outline, float]]) -> Patch:
        patch = e.cover([camera.seen(outline, base + z) for outline, z in slices])
        if clip is None or not patch.share.size:
            return patch
        opening = np.zeros_like(e.light)
        opening[clip.box] = clip.share
        return patch._replace(share=patch.share * opening[patch.box])

    # Back to front, or a near piece would lie behind a far one.
    bodies = sorted(item.bodies, key=lambda body: camera.depth(body.slices[0][0]))
    whole = cover([each for body in bodies for each in body.slices])
    if not whole.share.size:
        return whole
    thick = max(body.slices[-1][1] - body.slices[0][1] for body in bodies)
    if clip is None:
        e.light[whole.box] += (1 - e.light[whole.box]) * whole.share
    flat = bodies[0].flat and thick > 0
    e.lay(whole, Paint(shade(item.colour, 0.72) if flat else item.colour), None, 0.06)
    if flat:
        e.lay(cover([body.slices[-1] for body in bodies]), Paint(item.colour), None, 0.06)
    for colour, polygons in item.marks:
        e.fill(cover(polygons), colour)
    e.emboss(whole, item.round * camera.scale, 0.45)
    return whole


def draw(seed: int, split: str, index: int, size: tuple[int, int] = (96, 96), *, view: int = 0) -> Dish:
    """Image ``view`` of portion ``index`` of ``split`` in the world of ``seed``; it depends on its arguments alone.

    Args:
        seed: of the world.
        split: train or val.
        index: which portion, see ``portion``.
        size: height and width, pixels.
        view: which of its images; even ones are taken from nearly above, odd ones from the side.

    Raises:
        InputError: there is no such split, or a side of ``size`` is less than 48 pixels.
    """
    _big_enough(size)
    return _photograph(portion(seed, split, index), (seed, split, index, view), size)


def _photograph(served: Portion, which: tuple[int, str, int, int], size: tuple[int, int]) -> Dish:
    """A portion, seen as the seed, split, index and view in ``which`` say."""
    seed, split, index, view = which
    rng = np.random.default_rng([seed, SPLITS.index(split), index, 1 + view, *b"view of plates"])
    e = Easel(rng, max(size))
    camera = _Camera(e, view, min(size) / max(size))
    _table(e, camera)
    _cutlery(e, camera, served.vessel, served.category)
    opening = _vessel(e, camera, served.vessel)
    bowl = served.vessel.kind == "bowl"
    owner = np.zeros(e.light.shape, np.uint8)
    if not bowl:
        # One shadow of them all: one for each costs a quarter of the image's time.
        bodies = [body for item in served.items for body in item.bodies]
        foots = [camera.seen(*body.slices[place]) for body in bodies for place in (0, len(body.slices) // 2)]
        e.shadow(e.cover(foots), 0.04, 0.55)
    for number, item in enumerate(served.items, 1):
        # Only what lies below a bowl's rim is hidden by it.
        sunk = bowl and len(item.bodies[0].slices) == 1
        shows = _serve(e, camera, item, 0.0 if bowl else 0.4, opening if sunk else None)
        owner[shows.box][shows.share > 0.5] = number
    top, left = ((max(size) - side) // 2 for side in size)
    part = slice(top, top + size[0]), slice(left, left + size[1])
    scale = camera.scale * max(size) / 2
    return Dish(np.ascontiguousarray(e.develop(vivid=0.8)[part]), served, owner[part].copy(), scale)


def _big_enough(size: tuple[int, int]) -> None:
    if min(size) < 48:
        raise InputError(
            f"Dishes cannot be told apart in an image of {size[0]} x {size[1]}; give at least 48 pixels a side."
        )


# --- files ---


def write_boxes(folder: Path, *, seed: int = 0, photographs: int, side: int = 128) -> None:
    """Write dishes with boxes as UECFOOD-100 has them (:mod:`mtlkit.data.uecfood`), whole or not at all.

    Every other photograph shows two portions side by side, and lies in the folders of both categories. A box is tight
    around what is served.

    Args:
        folder: where to; may be missing or empty.
        seed: of the world.
        photographs: how many.
        side: height of a photograph, and width of a portion's part of it, pixels.

    Raises:
        InputError: ``folder`` holds something else, or ``side`` is less than 48 pixels.
    """
    _big_enough((side, side))
    world = {"world": "plates with boxes", "revision": REVISION, "seed": seed, "photographs": photographs, "side": side}

    def fill(root: Path) -> None:
        boxes: dict[str, list[str]] = {name: [] for name in CATEGORIES}
        numbers = {name: place for place, name in enumerate(CATEGORIES, 1)}
        for number in range(photographs):
            shown = [2 * number + place for place in range(1 + number % 2)]
            served = [portion(seed, "train", index) for index in shown]
            parts = [
                _photograph(one, (seed, "train", index, number), (side, side))
                for one, index in zip(served, shown, strict=True)
            ]
            photograph = Image.fromarray(np.concatenate([dish.image for dish in parts], axis=1))
            for place, dish in enumerate(parts):
                rows, columns = (np.flatnonzero((dish.owner > 0).any(axis)) for axis in (1, 0))
                left, right = (int(column) + place * side for column in (columns[0], columns[-1] + 1))
                boxes[dish.portion.category].append(f"{number + 1} {left} {rows[0]} {right} {rows[-1] + 1}")
                path = root / str(numbers[dish.portion.category]) / f"{number + 1}.jpg"
                path.parent.mkdir(exist_ok=True)
                photograph.save(path, quality=95, subsampling=0)
        (root / "category.txt").write_text("id\tname\n" + "".join(f"{n}\t{name}\n" for name, n in numbers.items()))
        for name, lines in boxes.items():
            (root / str(numbers[name])).mkdir(exist_ok=True)
            (root / str(numbers[name]) / "bb_info.txt").write_text("\n".join(["img x1 y1 x2 y2", *lines]) + "\n")

    _folder.write(folder, world, fill)


def write(
    folder: Path, *, seed: int = 0, train: int, val: int, size: tuple[int, int] = (96, 96), views: int = 2
) -> None:
    """Write ``folder/images``, ``folder/manifest.csv`` and ``folder/world.json``, whole or not at all.

    The manifest's columns are image, kcal, category, group and split; a group is the images of one portion.

    Does nothing where the same world already lies; processes that write it at the same time all succeed.

    Args:
        folder: where to; may be missing or empty.
        seed: of the world.
        train: portions in the training part; there are ``views`` images of each.
        val: portions in the validation part.
        size: height and width of an image, pixels.
        views: images of each portion.

    Raises:
        InputError: ``folder`` holds something else, a side of ``size`` is less than 48 pixels, there is no view, or
            the validation part would have a category that the training part lacks.
    """
    _big_enough(size)
    if views < 1:
        raise InputError(f"{views} views of a portion are impossible; give at least 1.")
    if train < min(val, len(CATEGORIES)):
        raise InputError(
            f"{train} training portions lack a category that {val} validation portions have; "
            f"give at least {min(val, len(CATEGORIES))}."
        )
    world = {"world": "plates", "revision": REVISION, "seed": seed, "train": train, "val": val,
             "height": size[0], "width": size[1], "views": views}  # fmt: skip

    def fill(root: Path) -> None:
        (root / "images").mkdir()
        with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["image", "kcal", "category", "group", "split"])
            for split, count in zip(SPLITS, (train, val), strict=True):
                for index in range(count):
                    group = f"{split}_{index:05}"
                    served = portion(seed, split, index)
                    for view in range(views):
                        dish, name = _photograph(served, (seed, split, index, view), size), f"images/{group}_{view}.jpg"
                        # Full colour resolution: pieces are a few pixels wide.
                        Image.fromarray(dish.image).save(root / name, quality=95, subsampling=0)
                        table.writerow([name, f"{served.kcal:.1f}", served.category, group, split])

    _folder.write(folder, world, fill)
