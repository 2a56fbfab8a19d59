"""The embedded world ``objects``: one drawn thing an image, for image classification.

The thing lies anywhere, at any size from half to most of the image, turned as far as it can still be told, in any
colour and texture, lit from one side, before a textured wall or table. About one image in twelve has no colour.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtlkit.worlds import _easel
from mtlkit.worlds._easel import Easel, Outline, Shape, box, oval, polygon
from mtlkit.worlds._paints import Paint

REVISION = 1
"""Raised when the images change on purpose; part of the identity of whatever was trained on them."""

# Read by mtlkit.worlds.world without importing this module: literals.
DRAWS = "objects, one class per image"
LAYOUT = "imagefolder"
SQUARE = True
COUNTS = "images of a class"


# --- things: outlines within about -1..1, upright ---


def _mirrored(*right: tuple[float, float]) -> Outline:
    """A symmetric outline from its right half, from the top down."""
    return polygon(*right, *((-x, y) for x, y in reversed(right)))


def _rays(n: int, radii: Sequence[float], width: float = 0.5) -> Outline:
    """``n`` points or teeth around the middle; ``radii`` are met in turn, spread over ``width`` of each period."""
    turns = np.arange(n)[:, None] + np.linspace(0, width, len(radii))
    turns, r = turns.ravel() * (2 * np.pi / n), np.tile(radii, n)
    return np.stack([r * np.sin(turns), -r * np.cos(turns)], 1)


def _arrow(e: Easel) -> Shape:
    head, shaft, wing = e.within(-0.1, 0.35), e.within(0.12, 0.25), e.within(0.5, 0.75)
    right = [(-1, -shaft), (head, -shaft), (head - e.within(0, 0.15), -wing), (1, 0)]
    return [("body", polygon(*right, *((x, -y) for x, y in right[-2::-1])))]


def _bell(e: Easel) -> Shape:
    wide, waist = e.within(0.7, 0.85), e.within(0.4, 0.5)
    dome = _mirrored(
        (0.15, -0.78), (0.3, -0.7), (waist - 0.05, -0.5), (waist, -0.2), (waist + 0.06, 0.2), (wide - 0.1, 0.45),
        (wide, 0.55),
    )  # fmt: skip
    return [
        ("body", oval(0, -0.8, 0.16)),
        ("trim", oval(e.within(-0.15, 0.15), 0.7, 0.19)),
        ("body", dome),
        ("trim", box(-wide, 0.48, wide, 0.62)),
    ]


def _boat(e: Easel) -> Shape:
    high, wide = e.within(0.7, 0.95), e.within(0.55, 0.8)
    sails = [polygon((0.08, -high), (0.08, 0.22), (wide, 0.22))]
    if e.chance(0.7):
        sails.append(polygon((-0.1, -high * 0.8), (-0.1, 0.22), (-wide * 0.85, 0.22)))
    hull = polygon((-0.95, 0.32), (0.95, 0.32), (0.62, 0.82), (-0.6, 0.82))
    return [*(("trim", sail) for sail in sails), ("body", box(-0.06, -0.95, 0.04, 0.4)), ("body", hull)]


def _bolt(e: Easel) -> Shape:
    a, b = e.within(0.05, 0.25), e.within(0.5, 0.65)
    half = [(a, -1.0), (-b, 0.16), (-0.06, 0.12)]
    return [("body", polygon(*half, (-a - 0.1, 1.0), (b, -0.2), (0.08, -0.16), (a + 0.42, -1.0)))]


def _crescent(e: Easel) -> Shape:
    away, other = e.within(0.35, 0.55), e.within(0.72, 0.85)
    return [("body", oval(0, 0, 0.95)), ("hole", oval(away, 0, other))]


def _cross(e: Easel) -> Shape:
    arm, long = e.within(0.17, 0.3), e.within(0.75, 0.95)
    return [("body", box(-arm, -0.95, arm, 0.95)), ("body", box(-long, -arm, long, arm))]


def _cup(e: Easel) -> Shape:
    top, foot, grip = e.within(0.55, 0.7), e.within(0.35, 0.6), e.within(0.28, 0.36)
    shape: Shape = [
        ("body", oval(top - 0.1, 0.0, grip + 0.12, grip + 0.16)),
        ("hole", oval(top - 0.1, 0.0, grip - 0.08, grip - 0.04)),
        ("body", polygon((-top, -0.6), (top - 0.1, -0.6), (foot - 0.1, 0.75), (-foot, 0.75))),
        ("body", oval(-0.05, 0.74, foot - 0.05, 0.1)),
        ("trim", oval(-0.05, -0.6, top - 0.05, 0.16)),
    ]
    if e.chance(0.4):
        shape.append(("trim", box(-top + 0.06, -0.1, top - 0.16, e.within(0.05, 0.25))))
    return shape


def _disc(e: Easel) -> Shape:
    return [("body", oval(0, 0, 0.9))]


def _fish(e: Easel) -> Shape:
    deep, tail = e.within(0.36, 0.52), e.within(0.4, 0.6)
    return [
        ("trim", polygon((-0.25, -deep + 0.06), (0.1, -deep - 0.28), (0.35, -deep + 0.14))),
        ("trim", polygon((-0.05, deep - 0.08), (0.2, deep + 0.2), (0.25, deep - 0.12))),
        ("trim", polygon((0.35, 0), (1, -tail), (0.8, 0), (1, tail))),
        ("body", oval(-0.2, 0, 0.75, deep)),
        ("trim", oval(-0.6, -deep * 0.25, 0.11)),
    ]


def _flower(e: Easel) -> Shape:
    n, heart = e.count(5, 8), e.within(0.24, 0.34)
    petal, out = math.pi / n * 0.6, 0.62
    round_ = [oval(out * math.cos(2 * math.pi * k / n), out * math.sin(2 * math.pi * k / n), petal) for k in range(n)]
    return [*(("body", each) for each in round_), ("body", oval(0, 0, 0.5)), ("trim", oval(0, 0, heart))]


def _gear(e: Easel) -> Shape:
    n, root, bore = e.count(7, 11), e.within(0.68, 0.76), e.within(0.2, 0.36)
    return [("body", _rays(n, (1, 1, root, root), 0.8)), ("hole", oval(0, 0, bore))]


def _heart(e: Easel) -> Shape:
    t, wide = np.linspace(0, 2 * np.pi, 48, endpoint=False), e.within(0.9, 1.05)
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16 - 0.12
    return [("body", np.stack([wide * np.sin(t) ** 3, y], 1))]


def _house(e: Easel) -> Shape:
    eaves, wall, door = e.within(-0.2, 0.05), e.within(0.6, 0.75), e.within(-0.35, 0.35)
    return [
        ("body", box(0.3, -0.8, 0.52, eaves)),
        ("body", box(-wall, eaves, wall, 0.85)),
        ("trim", polygon((-wall - 0.22, eaves + 0.02), (0, -0.95), (wall + 0.22, eaves + 0.02))),
        ("trim", box(door - 0.14, 0.32, door + 0.14, 0.85)),
        ("trim", box(*((-0.48, 0.2, -0.22, 0.45) if door > 0 else (0.22, 0.2, 0.48, 0.45)))),
    ]


def _key(e: Easel) -> Shape:
    bow, thick, bit = e.within(0.34, 0.44), e.within(0.08, 0.12), e.within(0.3, 0.45)
    return [
        ("body", oval(-0.6, 0, bow)),
        ("hole", oval(-0.6, 0, bow * e.within(0.4, 0.6))),
        ("body", box(bow - 0.68, -thick, 1, thick)),
        ("body", box(0.82, 0, 1, bit)),
        ("body", box(0.48, 0, 0.64, bit * e.within(0.7, 1))),
    ]


def _leaf(e: Easel) -> Shape:
    t, wide = np.linspace(-1, 1, 25), e.within(0.36, 0.5)
    edge = wide * np.cos(t * np.pi / 2) * (1 - 0.35 * t)
    blade = np.concatenate([np.stack([t, edge], 1), np.stack([t, -edge], 1)[::-1]]) * (0.9, 1) + (0.1, 0)
    ribs = [polygon((-0.95, -0.05), (0.85, -0.015), (0.85, 0.015), (-0.95, 0.05))]
    for x in (-0.45, -0.1, 0.25):
        for side in (-1, 1):
            tip = side * wide * 0.62
            ribs.append(polygon((x, 0), (x + 0.09, 0), (x + 0.36, tip), (x + 0.3, tip)))
    return [("trim", box(-1.15, -0.055, -0.7, 0.055)), ("body", blade), *(("trim", rib) for rib in ribs)]


def _mushroom(e: Easel) -> Shape:
    t, wide, tall = np.linspace(np.pi, 2 * np.pi, 20), e.within(0.8, 0.98), e.within(0.75, 1.0)
    cap = np.stack([wide * np.cos(t), 0.12 + tall * np.sin(t)], 1)
    foot = e.within(0.2, 0.34)
    stalk = polygon((-foot * 0.8, 0.05), (foot * 0.8, 0.05), (foot, 0.9), (-foot, 0.9))
    spots = [oval(x, 0.1 - y * tall, r) for x, y, r in ((-0.45, 0.3, 0.13), (0.05, 0.62, 0.16), (0.45, 0.25, 0.12))]
    return [("trim", stalk), ("body", cap), *(("trim", spot) for spot in spots[: e.count(0, 1) * 3])]


def _ring(e: Easel) -> Shape:
    return [("body", oval(0, 0, 0.95)), ("hole", oval(0, 0, e.within(0.5, 0.72)))]


def _star(e: Easel) -> Shape:
    n = (5, 5, 5, 6)[e.count(0, 3)]
    return [("body", _rays(n, (1, e.within(0.38, 0.48))))]


def _tree(e: Easel) -> Shape:
    stem, foot = e.within(0.09, 0.15), ("trim", box(-0.12, 0.2, 0.12, 0.95))
    if e.chance(0.5):
        tiers = [(-1.0, -0.3, 0.42), (-0.65, 0.15, 0.6), (-0.25, 0.65, 0.78)]
        wide = e.within(0.8, 1.1)
        return [foot, *(("body", _mirrored((0, top), (wide * w, low))) for top, low, w in tiers)]
    crown = [oval(x, y, r) for x, y, r in ((-0.38, -0.15, 0.4), (0.38, -0.1, 0.42), (0, -0.5, 0.46), (0, 0.0, 0.4))]
    return [("trim", box(-stem, 0.1, stem, 0.95)), *(("body", each) for each in crown)]


def _umbrella(e: Easel) -> Shape:
    t = np.linspace(np.pi, 2 * np.pi, 24)
    n, low, tall = e.count(3, 4), 0.05, e.within(0.75, 0.95)
    wide = 0.98 / n
    top = np.stack([0.98 * np.cos(t), low + tall * np.sin(t)], 1)
    bites = [oval(-0.98 + wide * (2 * k + 1), low + 0.05, wide * 0.92, 0.2) for k in range(n)]
    gore = polygon((0, low - tall), (-0.98 + 2 * wide, low), (-0.98 + 2 * wide * (n - 1), low))
    hook = oval(0.16, 0.7, 0.22)
    return [
        ("body", top),
        ("trim", gore),
        *(("hole", bite) for bite in bites),
        ("trim", box(-0.05, low - tall - 0.1, 0.05, 0.7)),
        ("trim", hook[:17]),
        ("hole", oval(0.16, 0.7, 0.12)[:17]),
    ]


class _Thing:
    """An outline, how far it may be turned either way, in degrees, and whether its mirror image is the same thing."""

    def __init__(self, shape: Callable[[Easel], Shape], turn: float, flips: bool = False):
        self.shape, self.turn, self.flips = shape, math.radians(turn), flips


THINGS = {
    "arrow": _Thing(_arrow, 180),
    "bell": _Thing(_bell, 35),
    "boat": _Thing(_boat, 20, True),
    "bolt": _Thing(_bolt, 30, True),
    "crescent": _Thing(_crescent, 180),
    "cross": _Thing(_cross, 180),
    "cup": _Thing(_cup, 25, True),
    "disc": _Thing(_disc, 180),
    "fish": _Thing(_fish, 40, True),
    "flower": _Thing(_flower, 180),
    "gear": _Thing(_gear, 180),
    "heart": _Thing(_heart, 50),
    "house": _Thing(_house, 20, True),
    "key": _Thing(_key, 180, True),
    "leaf": _Thing(_leaf, 180),
    "mushroom": _Thing(_mushroom, 35),
    "ring": _Thing(_ring, 180),
    "star": _Thing(_star, 180),
    "tree": _Thing(_tree, 20),
    "umbrella": _Thing(_umbrella, 40, True),
}
CLASSES = tuple(THINGS)
"""The 20 classes, in the order of their names."""


# --- images ---


def _backdrop(e: Easel) -> None:
    """A wall, and at times a table or another wall that meets it in a straight or wavy line."""
    e.lay(e.everywhere(), e.paint(), e.flat(e.within(0, math.pi)), e.within(0.03, 0.13))
    if e.chance(0.6):
        x, tilt = np.linspace(-1.6, 1.6, 24), e.within(-0.5, 0.5)
        y = e.within(-0.4, 0.7) + tilt * x
        if e.chance(0.4):
            y = y + e.within(0.02, 0.12) * np.sin(x * e.within(3, 9) + e.within(0, 6))
        e.lay(e.cover([_easel.below(x, y)]), e.paint(), e.flat(e.within(0, math.pi)), e.within(0.03, 0.13))


def _seen(e: Easel, grey: bool, *others: Sequence[float]) -> Paint:
    """A texture that stands out from all of the colours ``others``, by its tone alone if the image is ``grey``."""
    best, most = e.paint(), -1.0
    for _ in range(6):
        paint = e.paint()._replace(scale=e.within(0.1, 0.2))
        red, green, blue = paint.first if paint.pattern == "plain" else _easel.mix(paint.first, paint.second, 0.4)
        apart = [(0.4 * (red - r), 0.4 * (green - g), 0.2 * (blue - b)) for r, g, b in others]
        contrast = min(abs(sum(each)) if grey else sum(map(abs, each)) for each in apart)
        if contrast > most:
            best, most = paint, contrast
        if most > 0.32:
            break
    return best


def draw(name: str, seed: int, split: str, index: int, size: int = 48) -> NDArray[np.uint8]:
    """Image ``index`` of the class ``name`` in ``split`` of the world of ``seed``, uint8 ``(size, size, 3)`` RGB.

    An image depends on its arguments alone, so no image is in both splits and a small set begins a bigger one.

    Raises:
        InputError: there is no such class or split.
    """
    e = Easel(_easel.chances(name, CLASSES, seed, split, index), size)
    _backdrop(e)
    thing, grey = THINGS[name], e.chance(1 / 12)
    reach, turn = e.within(0.5, 0.85), e.within(-thing.turn, thing.turn)
    squeeze, shear = e.within(0.82, 1.2), e.within(-0.14, 0.14)
    mirror = -1 if thing.flips and e.chance(0.5) else 1
    c, s = reach * math.cos(turn), reach * math.sin(turn)
    matrix = np.array([[c, -s], [s, c]]) @ np.array([[squeeze, shear], [0, 1 / squeeze]]) @ np.diag([mirror, 1])
    room = max(1 - reach, 0.05)
    centre = (e.within(-room, room), e.within(-room, room))
    shape = [(kind, outline @ matrix.T + centre) for kind, outline in thing.shape(e)]
    body, trim = e.covers(shape)
    whole = e.union(body, trim)
    behind = e.colour[:, *whole.box].mean((1, 2)).tolist()
    e.shadow(whole, e.within(0.06, 0.2), e.within(0.25, 0.7))
    paint = _seen(e, grey, behind)
    e.light[whole.box] += (1 - e.light[whole.box]) * whole.share
    e.lay(body, paint, e.flat(turn + e.within(-0.2, 0.2)), e.within(0.03, 0.12))
    if trim.share.size:
        second = _seen(e, grey, paint.first, behind)
        e.lay(trim, second._replace(pattern="plain"), rough=0.05)
    e.emboss(whole, e.within(0.08, 0.2), e.within(0.2, 0.6))
    return e.develop(grey)


def write(
    folder: Path, *, seed: int = 0, train: int, val: int, size: int = 48, classes: Sequence[str] = CLASSES
) -> None:
    """Write ``folder/{train,val}/CLASS/00000.png`` and so on and ``folder/world.json``, whole or not at all.

    ``train`` and ``val`` are images of each class. A PNG is RGB, or 8-bit grey where the image has no colour.
    Does nothing where the same world already lies; processes that write it at the same time all succeed.

    Raises:
        InputError: ``folder`` holds something else, or there is no such class.
    """
    _easel.write(folder, ("objects", REVISION), draw, (classes, CLASSES), seed, (train, val), size)
