"""The embedded world ``parts``: drawn scenes of several things, whose parts, colours and textures are attributes.

Up to five things stand before a quiet wall and floor and hide each other in part. A pixel belongs to the thing that
its centre shows; boxes are tight around what is seen of a thing, and an attribute holds only where it is seen:

- a part when others leave at least half of what the thing has of it, and two pixels; ``Leaf`` of a tree is its crown,
- a texture when it covers a fifth of what is seen, a colour when parts of that colour cover a quarter,
- ``Round`` and ``Boxy`` by the outline of the thing's main part,
- ``Occluded`` when others hide more than a tenth of it.

A thing that others would hide by more than half is left out. Files lie as in aPascal (see
:mod:`mtlkit.data.apascal`); ``Checked``, ``Flag``, ``Leg`` and ``Pot`` are rare on purpose, 3 to 5 % of the things.
"""

import colorsys
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mtlkit.errors import InputError, unknown
from mtlkit.worlds import _easel, _folder, objects
from mtlkit.worlds._easel import FINER, SPLITS, Easel, Outline, Patch, box, moved, oval, polygon
from mtlkit.worlds._paints import Colour, Paint

REVISION = 1
"""Raised when the images change on purpose; part of the identity of whatever was trained on them."""

# Read by mtlkit.worlds.world without importing this module: literals.
DRAWS = "scenes whose objects have boxes and attributes"
LAYOUT = "apascal"

ATTRIBUTES = (
    "Occluded", "Round", "Boxy", "Wheel", "Window", "Door", "Wing", "Tail", "Beak", "Eye", "Fin", "Leg", "Sail",
    "Flag", "Handle", "Leaf", "Pot", "Striped", "Dotted", "Checked", "Shiny", "Red", "Blue", "Green",
)  # fmt: skip
"""The 24 attributes, in the order of their columns."""

PARTS = (
    "body", "crown", "petal", "wing", "tail", "fin", "roof", "wheel", "hub", "window", "door", "beak", "eye", "leg",
    "mast", "sail", "flag", "handle", "inside", "leaf", "stem", "heart", "pot", "shine",
)  # fmt: skip
"""What things are drawn from; the place of each, counted from 1, stands for it in :class:`Scene`."""

_GIVES = {"crown": "Leaf", "shine": "Shiny"}
_GIVES |= {part: part.capitalize() for part in PARTS if part.capitalize() in ATTRIBUTES}
_MAIN = ("body", "crown", "petal")  # in the thing's own colour and texture
_TINTED = {"wing": 0.72, "tail": 0.78, "fin": 0.7, "handle": 0.85}  # in a shade of it
_FIXED: dict[str, tuple[Colour, ...]] = {
    "roof": ((0.32, 0.3, 0.3), (0.5, 0.4, 0.3), (0.85, 0.8, 0.7)),
    "wheel": ((0.07, 0.07, 0.07),),
    "hub": ((0.8, 0.8, 0.78),),
    "window": ((0.92, 0.93, 0.88), (0.16, 0.17, 0.18)),
    "door": ((0.42, 0.27, 0.14), (0.9, 0.86, 0.76)),
    "beak": ((0.97, 0.68, 0.08),),
    "eye": ((0.03, 0.03, 0.03),),
    "leg": ((0.9, 0.6, 0.15), (0.15, 0.13, 0.12)),
    "mast": ((0.36, 0.24, 0.13),),
    "sail": ((0.97, 0.95, 0.88), (0.9, 0.8, 0.55)),
    "flag": ((0.98, 0.85, 0.1),),
    "inside": ((0.15, 0.1, 0.07), (0.96, 0.93, 0.86)),
    "leaf": ((0.12, 0.55, 0.14), (0.2, 0.48, 0.1)),
    "stem": ((0.36, 0.25, 0.14), (0.3, 0.27, 0.18)),
    "heart": ((0.98, 0.82, 0.15), (0.3, 0.18, 0.08)),
    "pot": ((0.7, 0.43, 0.28), (0.55, 0.52, 0.5)),
    "shine": ((1.0, 1.0, 1.0),),
}
_HUES = {
    "Red": ((0.98, 1.01), (0.85, 0.97), (0.65, 0.92)),
    "Blue": ((0.59, 0.64), (0.75, 0.95), (0.5, 0.9)),
    "Green": ((0.32, 0.38), (0.65, 0.9), (0.4, 0.7)),
    "yellow": ((0.13, 0.15), (0.75, 0.95), (0.85, 1.0)),
    "white": ((0.0, 1.0), (0.0, 0.05), (0.88, 1.0)),
    "brown": ((0.06, 0.09), (0.55, 0.7), (0.3, 0.45)),
    "black": ((0.0, 1.0), (0.0, 0.1), (0.08, 0.16)),
}
"""Ranges of hue, saturation and value; those with a capital letter are attributes."""
_TEXTURES = {"checks": ("Checked", 0.05), "dots": ("Dotted", 0.2), "stripes": ("Striped", 0.38)}
"""The attribute, and the chance of this texture or one before it."""

Pieces = list[tuple[str, Outline]]
"""Polygons laid over each other in turn, each of a part, or a ``hole`` in what came before."""


class Scene(NamedTuple):
    """An image and what it shows; ``R`` things from back to front.

    Attributes:
        image: uint8 ``(H, W, 3)``.
        boxes: int64 ``(R, 4)``: xmin, ymin, xmax, ymax in pixels, from 1, the last ones included.
        labels: int64 ``(R,)``, places in :data:`CLASSES`.
        attributes: uint8 ``(R, 24)``, 0 or 1.
        owner: uint8 ``(H, W)``, which thing a pixel shows, from 1; 0: none.
        part: uint8 ``(H, W)``, which of :data:`PARTS`, from 1; 0: none.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.int64]
    labels: NDArray[np.int64]
    attributes: NDArray[np.uint8]
    owner: NDArray[np.uint8]
    part: NDArray[np.uint8]


# --- things: outlines within about -1..1, upright, looking right ---


class _Drawn(NamedTuple):
    """What a thing is made of, and whether the outline of its main part is round or boxy."""

    pieces: Pieces
    round: bool = False
    boxy: bool = False


def _shine(x: float, y: float, size: float = 0.13) -> Pieces:
    """Where a polished surface reflects the light."""
    return [("shine", oval(x, y, size * 1.3, size * 0.8)), ("shine", oval(x + size * 2.3, y + 0.02, size * 0.45))]


def _wheels(e: Easel, y: float, *places: float) -> Pieces:
    r = e.within(0.2, 0.25)
    return [(part, oval(x, y, r * k)) for x in places for part, k in (("wheel", 1.0), ("hub", 0.45))]


def _flag(x: float, top: float, foot: float) -> Pieces:
    return [("mast", box(x - 0.04, top, x + 0.04, foot)), ("flag", box(x + 0.04, top, x + 0.48, top + 0.3))]


def _bird(e: Easel) -> _Drawn:
    plump = e.chance(0.4)
    deep = e.within(0.46, 0.52) if plump else e.within(0.28, 0.34)
    pieces: Pieces = [("tail", polygon((-0.35, -0.12), (-1, -0.22), (-0.95, 0.2), (-0.35, 0.22)))]
    if e.chance(0.35):
        pieces += [("leg", box(x - 0.045, 0.2, x + 0.045, 0.88)) for x in (-0.1, 0.16)]
        pieces += [("leg", box(x - 0.05, 0.82, x + 0.17, 0.9)) for x in (-0.1, 0.16)]
    head = 0.14 - deep
    pieces += [
        ("body", oval(0, 0.1, 0.52, deep)),
        ("body", oval(0.46, head, 0.26)),
        ("beak", polygon((0.66, head - 0.12), (1.0, head + 0.04), (0.66, head + 0.14))),
        ("eye", oval(0.53, head - 0.06, 0.075)),
    ]
    if e.chance(0.5):
        pieces.append(("wing", polygon((-0.3, 0.05), (0.2, 0.05), (0.0, -0.85), (-0.4, -0.7))))
    elif e.chance(0.7):
        pieces.append(("wing", polygon((0.25, 0.0), (0.1, 0.22), (-0.5, 0.3), (-0.2, 0.0))))
    return _Drawn(pieces, round=plump)


def _boat(e: Easel) -> _Drawn:
    pieces: Pieces = []
    if e.chance(0.6):
        high, wide = e.within(0.8, 0.95), e.within(0.6, 0.85)
        pieces += [("mast", box(-0.06, -1, 0.04, 0.4)), ("sail", polygon((0.08, -high), (0.08, 0.2), (wide, 0.2)))]
        if e.chance(0.6):
            pieces.append(("sail", polygon((-0.1, -high * 0.8), (-0.1, 0.2), (-wide * 0.8, 0.2))))
    else:
        pieces += [*_flag(0.15, -0.85, 0.0)] if e.chance(0.45) else []
        pieces.append(("roof", box(-0.5, -0.3, 0.35, 0.35)))
        if e.chance(0.7):
            pieces += [("window", box(x, -0.17, x + 0.22, 0.1)) for x in (-0.38, 0.02)]
    pieces.append(("body", polygon((-0.98, 0.26), (0.98, 0.26), (0.66, 0.84), (-0.62, 0.84))))
    return _Drawn(pieces + (_shine(-0.45, 0.46, 0.1) if e.chance(0.15) else []))


def _bus(e: Easel) -> _Drawn:
    top, door = e.within(-0.62, -0.48), e.chance(0.6)
    pieces: Pieces = [("body", box(-1, top, 1, 0.45))]
    places = np.linspace(-0.88, 0.28 if door else 0.62, e.count(3, 4) if door else 4)
    pieces += [("window", box(x, top + 0.14, x + 0.27, top + 0.44)) for x in places]
    if door:
        pieces.append(("door", box(0.64, top + 0.14, 0.88, 0.42)))
    if e.chance(0.35):
        pieces += _shine(-0.35, 0.16, 0.1)
    return _Drawn(pieces + _wheels(e, 0.45, -0.55, 0.42), boxy=True)


def _car(e: Easel) -> _Drawn:
    jeep, high = e.chance(0.35), e.within(-0.58, -0.48)
    slope = 0.0 if jeep else e.within(0.2, 0.32)
    back, front = (-0.98, 0.35) if jeep else (-0.62, 0.5)
    pieces: Pieces = [
        ("body", box(-1, -0.1, 1, 0.36)),
        ("body", polygon((back, -0.08), (back + slope, high), (front - slope, high), (front, -0.08))),
    ]
    middle = (back + front) / 2
    for low, top_low, top_high, far in (
        (back + 0.1, back + slope + 0.06, middle - 0.05, middle - 0.05),
        (middle + 0.05, middle + 0.05, front - slope - 0.06, front - 0.1),
    ):
        pieces.append(("window", polygon((low, -0.12), (top_low, high + 0.12), (top_high, high + 0.12), (far, -0.12))))
    if e.chance(0.4):
        pieces.append(("door", box(middle - 0.2, -0.04, middle + 0.2, 0.3)))
    if e.chance(0.45):
        pieces += _shine(0.58, 0.06, 0.1)
    return _Drawn(pieces + _wheels(e, 0.36, -0.55, 0.55), boxy=jeep)


def _cup(e: Easel) -> _Drawn:
    kind = e.count(0, 2)  # a bowl, a mug with upright sides, a beaker
    pieces: Pieces = []
    if e.chance(0.65):
        pieces += [("handle", oval(0.55, 0.05, 0.42, 0.4)), ("hole", oval(0.55, 0.05, 0.22, 0.2))]
    if kind == 0:
        pieces += [("body", oval(-0.1, 0.05, 0.72, 0.75)), ("inside", oval(-0.1, -0.5, 0.5, 0.17))]
    elif kind == 1:
        pieces += [("body", box(-0.75, -0.7, 0.55, 0.8)), ("inside", box(-0.67, -0.64, 0.47, -0.48))]
    else:
        foot = e.within(0.3, 0.4)
        pieces += [
            ("body", polygon((-0.75, -0.65), (0.55, -0.65), (foot - 0.1, 0.8), (-foot - 0.1, 0.8))),
            ("body", oval(-0.1, -0.65, 0.65, 0.18)),
            ("inside", oval(-0.1, -0.65, 0.56, 0.12)),
        ]
    return _Drawn(pieces + (_shine(-0.42, -0.1) if e.chance(0.4) else []), round=kind == 0, boxy=kind == 1)


def _fish(e: Easel) -> _Drawn:
    deep_one, fins = e.chance(0.4), e.chance(0.75)
    across, deep = (0.62, e.within(0.56, 0.64)) if deep_one else (0.74, e.within(0.34, 0.42))
    fork = e.within(0.42, 0.58)
    pieces: Pieces = [("tail", polygon((-0.35, 0), (-1, -fork), (-0.8, 0), (-1, fork)))]
    if fins:
        pieces += [
            ("fin", polygon((-0.2, 0.1 - deep), (0.0, -deep - 0.34), (0.5, 0.12 - deep))),
            ("fin", polygon((0.0, deep - 0.1), (0.0, deep + 0.28), (0.38, deep - 0.14))),
        ]
    pieces += [("body", oval(0.2, 0, across, deep)), ("eye", oval(0.58, -deep * 0.25, 0.085))]
    return _Drawn(pieces + (_shine(0.0, -deep * 0.5, 0.11) if e.chance(0.3) else []), round=deep_one)


def _flower(e: Easel) -> _Drawn:
    potted = e.chance(0.35)
    pieces: Pieces = [("stem", box(-0.055, -0.1, 0.055, 1.0))]
    if e.chance(0.7):
        for side in (-1, 1):
            leaf = [(0, 0.5), (0.25, 0.2), (0.6, 0.12), (0.45, 0.42), (0, 0.62)]
            pieces.append(("leaf", polygon(*((side * x, y) for x, y in leaf))))
    head = moved(objects.THINGS["flower"].shape(e), 0, -0.42, 0.62)
    pieces += [("petal" if kind == "body" else "heart", outline) for kind, outline in head]
    if potted:
        pieces.append(("pot", polygon((-0.42, 0.55), (0.42, 0.55), (0.3, 1.0), (-0.3, 1.0))))
    return _Drawn(pieces, round=True)


def _house(e: Easel) -> _Drawn:
    eaves, wall, door = e.within(-0.2, 0.0), e.within(0.66, 0.78), e.within(-0.3, 0.3)
    pieces: Pieces = [*_flag(-0.35, -1.0, 0.0)] if e.chance(0.22) else []
    if e.chance(0.5):
        pieces.append(("roof", box(0.32, -0.85, 0.52, eaves)))
    pieces += [
        ("body", box(-wall, eaves, wall, 0.9)),
        ("roof", polygon((-wall - 0.2, eaves + 0.02), (0, -0.85), (wall + 0.2, eaves + 0.02))),
    ]
    if e.chance(0.75):
        pieces.append(("door", box(door - 0.15, 0.34, door + 0.15, 0.9)))
        places = [-0.48] if door > 0 else [0.48]
    else:
        places = [-0.4, 0.4]
    if e.chance(0.8):
        pieces += [("window", box(x - 0.16, 0.14, x + 0.16, 0.46)) for x in places]
    return _Drawn(pieces, boxy=True)


def _plane(e: Easel) -> _Drawn:
    pieces: Pieces = _wheels(e, 0.42, 0.45)[:2] if e.chance(0.35) else []
    pieces += [
        ("tail", polygon((-0.95, -0.02), (-1.0, -0.58), (-0.76, -0.58), (-0.45, -0.02))),
        ("wing", polygon((0.0, 0.0), (0.36, 0.0), (-0.05, -0.62), (-0.28, -0.62))),
        ("body", oval(0, 0.08, 1.0, e.within(0.24, 0.3))),
    ]
    if e.chance(0.75):
        pieces += [("window", box(x - 0.07, -0.07, x + 0.07, 0.07)) for x in (-0.25, 0.02, 0.29, 0.56)]
    pieces.append(("wing", polygon((-0.1, 0.12), (0.34, 0.12), (-0.2, 0.72), (-0.48, 0.72))))
    return _Drawn(pieces + (_shine(0.5, 0.2, 0.08) if e.chance(0.3) else []))


def _tree(e: Easel) -> _Drawn:
    potted, kind = e.chance(0.1), e.count(0, 3)
    if kind == 0:  # without leaves
        pieces: Pieces = [("stem", polygon((-0.09, -0.7), (0.09, -0.7), (0.14, 1.0), (-0.14, 1.0)))]
        for side, y in ((-1, 0.25), (1, 0.05), (-1, -0.3), (1, -0.45)):
            reach = side * e.within(0.45, 0.75)
            pieces.append(("stem", polygon((0, y), (reach, y - 0.5), (reach + 0.09, y - 0.44), (0, y + 0.16))))
    elif kind == 1:
        pieces = [("stem", box(-0.12, 0.1, 0.12, 1.0)), ("crown", oval(0, -0.32, 0.66))]
    else:
        shape = objects.THINGS["tree"].shape(e)
        pieces = [("crown" if part == "body" else "stem", outline) for part, outline in shape]
    if potted:
        pieces.append(("pot", polygon((-0.4, 0.62), (0.4, 0.62), (0.3, 1.05), (-0.3, 1.05))))
    return _Drawn(pieces, round=kind == 1)


THINGS: dict[str, Callable[[Easel], _Drawn]] = {
    "bird": _bird, "boat": _boat, "bus": _bus, "car": _car, "cup": _cup, "fish": _fish, "flower": _flower,
    "house": _house, "plane": _plane, "tree": _tree,
}  # fmt: skip
CLASSES = tuple(THINGS)
"""The 10 classes, in the order of their names."""


# --- scenes ---


class _Thing(NamedTuple):
    """A thing in its place: outlines in the scene and their corners, its own colour, by name too, and texture."""

    label: int
    drawn: _Drawn
    low: Outline
    high: Outline
    hue: str
    paint: Paint
    turn: float


class _Cast(NamedTuple):
    """A thing alone on a grid :data:`FINER` than the image: its rows and columns of the image, and the part that
    each point shows, from 1 (0: none)."""

    rows: slice
    columns: slice
    part: NDArray[np.uint8]

    def fine(self) -> tuple[slice, slice]:
        """The rows and columns of the fine grid."""
        rows, columns = (slice(each.start * FINER, each.stop * FINER) for each in (self.rows, self.columns))
        return rows, columns

    def patch(self, number: int) -> Patch:
        """Where part ``number`` shows; where anything does for 0."""
        shows = (self.part == number if number else self.part > 0).view(np.uint8)
        share = np.asarray(Image.fromarray(shows * np.uint8(255)).reduce(FINER))
        return Patch((self.rows, self.columns), share * np.float32(1 / 255))


def _placed(e: Easel, room: Outline, others: list[_Thing]) -> _Thing | None:
    """Any thing somewhere within ``-room..room`` of x and y, if there is a place where the others leave it clear."""
    label = e.count(0, len(CLASSES) - 1)
    drawn = THINGS[CLASSES[label]](e)
    reach, turn = e.within(0.36, 0.58) * room.min(), math.radians(e.within(-8, 8))
    c, s = reach * math.cos(turn), reach * math.sin(turn)
    matrix = np.array([[c, -s], [s, c]]) @ np.diag([-1 if e.chance(0.5) else 1, 1])
    outlines = [outline @ matrix.T for _, outline in drawn.pieces]
    corners = np.concatenate(outlines)
    low, high = corners.min(0), corners.max(0)
    hue, paint = _coloured(e, CLASSES[label], {part for part, _ in drawn.pieces}, reach)
    for _ in range(10):
        at = np.array([e.within(-1, 1), e.within(-1, 1)]) * room
        if others and e.chance(0.6):  # beside another, in part before or behind it
            other = others[e.count(0, len(others) - 1)]
            apart = np.array([e.within(0.5, 0.95) * (-1 if e.chance(0.5) else 1), e.within(-0.4, 0.4)])
            at = (other.low + other.high) / 2 + apart * (other.high - other.low + high - low) / 2
        at = np.clip(at, -room - low, room - high)
        if all(_clear(at + low, at + high, other) for other in others):
            pieces = [(part, outline + at) for (part, _), outline in zip(drawn.pieces, outlines, strict=True)]
            return _Thing(label, drawn._replace(pieces=pieces), at + low, at + high, hue, paint, turn)
    return None


def _coloured(e: Easel, name: str, parts: set[str], reach: float) -> tuple[str, Paint]:
    """The name of a thing's colour and its paint."""
    hues = list(_HUES)
    hue = hues[e.count(0, 2)] if e.chance(0.62) else hues[e.count(3, len(hues) - 1)]
    if name == "tree" and e.chance(0.5):
        hue = "Green"
    # What is drawn must be seen: petals before leaves, eyes in a head, light on a polished side.
    unseen = (
        ("petal", ("Green", "brown", "black")), ("crown", ("black",)), ("eye", ("black",)), ("shine", ("white",)),
    )  # fmt: skip
    while any(part in parts and hue in avoid for part, avoid in unseen):
        hue = hues[e.count(0, len(hues) - 1)]
    turn, saturation, value = (e.within(*each) for each in _HUES[hue])
    kind, scale = e.within(0, 1), reach * e.within(0.3, 0.4)
    pattern = "plain"
    if parts & {"body", "crown"} and "shine" not in parts:  # a light among dots would be one more
        pattern = next((name for name, (_, upto) in _TEXTURES.items() if kind < upto), "plain")
    second = (0.2, 0.13, 0.1) if hue in ("white", "yellow") else (0.95, 0.93, 0.85)
    return hue, Paint(colorsys.hsv_to_rgb(turn % 1, saturation, value), second, pattern, scale)


def _clear(low: Outline, high: Outline, other: _Thing) -> bool:
    """Whether no more than two fifths of the smaller extent are shared."""
    wide, tall = np.minimum(high, other.high) - np.maximum(low, other.low)
    smaller = min(np.prod(high - low), np.prod(other.high - other.low))
    return bool(wide <= 0 or tall <= 0 or wide * tall <= 0.4 * smaller)


def _cast(thing: _Thing, size: tuple[int, int]) -> _Cast:
    """The thing alone, as an image of ``size`` shows it."""
    height, width = size
    half = max(size) / 2
    middle = np.array([width, height]) / 2
    left, top = np.maximum(np.floor(thing.low * half + middle).astype(int), 0)
    right, bottom = np.minimum(np.ceil(thing.high * half + middle).astype(int), (width, height))
    image = Image.new("L", ((right - left) * FINER, (bottom - top) * FINER))
    pen = ImageDraw.Draw(image)
    for part, outline in thing.drawn.pieces:
        path = ((outline * half + middle - (left, top)) * FINER - 0.5).ravel().tolist()
        pen.polygon(path, fill=0 if part == "hole" else 1 + PARTS.index(part))
    return _Cast(slice(top, bottom), slice(left, right), np.asarray(image))


def _counts(part: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many points show each part, ``(1 + parts,)``; the first those that show none."""
    return np.bincount(part.ravel(), minlength=1 + len(PARTS))


def _seen(
    casts: list[_Cast], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[NDArray[np.int64]]]:
    """Owners and parts on the fine grid, later things before earlier ones, and what is left of each thing's parts."""
    owner, part = (np.zeros((size[0] * FINER, size[1] * FINER), np.uint8) for _ in range(2))
    for number, cast in enumerate(casts, 1):
        shows = cast.part > 0
        owner[cast.fine()][shows] = number
        part[cast.fine()][shows] = cast.part[shows]
    left = [_counts(part[cast.fine()][owner[cast.fine()] == number]) for number, cast in enumerate(casts, 1)]
    return owner, part, left


def _attributes(thing: _Thing, own: NDArray[np.int64], seen: NDArray[np.int64]) -> NDArray[np.uint8]:
    """What holds of a thing, ``(24,)``, from how much it has of each part and how much of that is seen."""
    own, seen = own[1:], seen[1:]
    shown = (2 * seen >= own) & (seen >= 2 * FINER**2)
    holds = {_GIVES[part] for part, there in zip(PARTS, shown, strict=True) if there and part in _GIVES}
    whole, main = seen.sum(), shown[[PARTS.index(part) for part in _MAIN]].any()
    if 10 * whole < 9 * own.sum():
        holds.add("Occluded")
    if main:
        holds |= {name for name, so in (("Round", thing.drawn.round), ("Boxy", thing.drawn.boxy)) if so}
    amount: dict[str, int] = {}
    for part, share in zip(PARTS, seen.tolist(), strict=True):
        hue = "Green" if part == "leaf" else thing.hue if part in (*_MAIN, *_TINTED) else ""
        amount[hue] = amount.get(hue, 0) + share
    holds |= {hue for hue, share in amount.items() if 4 * share >= whole}
    textured = sum(int(seen[PARTS.index(part)]) for part in _MAIN)
    if thing.paint.pattern in _TEXTURES and 5 * textured >= whole:
        holds.add(_TEXTURES[thing.paint.pattern][0])
    return np.array([name in holds for name in ATTRIBUTES], np.uint8)


def _backdrop(e: Easel) -> None:
    """A pale or dim wall and a floor, of quiet colours."""
    for floor in (False, True):
        first = _easel.mix(e.of("sand", "stone", "lime"), (0.5, 0.5, 0.5), e.within(0.35, 0.7))
        quiet = Paint(first, _easel.mix(first, (0.45, 0.42, 0.4), e.within(0.1, 0.3)), "plain", e.within(0.2, 0.4))
        paint = quiet._replace(pattern=("plain", "plain", "planks", "tiles", "bricks")[e.count(0, 4)])
        whole = e.everywhere()
        if floor:
            line = e.within(-0.2, 0.35) + e.within(-0.1, 0.1) * e.x
            whole = whole._replace(share=np.clip((e.y - line) / np.float32(e.pixel) + 0.5, 0, 1).astype(np.float32))
        e.lay(whole, paint, e.flat(), e.within(0.02, 0.08))


def _paint(e: Easel, thing: _Thing, cast: _Cast) -> None:
    """Paint a thing over what is there."""
    whole, own = cast.patch(0), _counts(cast.part)
    e.light[whole.box] += (1 - e.light[whole.box]) * whole.share
    parts = sorted(np.flatnonzero(own[1:]).tolist(), key=lambda number: -int(own[1 + number]))
    for place, number in enumerate(parts):
        part = PARTS[number]
        if part in _MAIN:
            paint = thing.paint
        elif part in _TINTED:
            paint = Paint(_easel.mix((0.0, 0.0, 0.0), thing.paint.first, _TINTED[part]))
        else:
            paint = Paint(_FIXED[part][e.count(0, len(_FIXED[part]) - 1)])
        # The largest part lies under all, or the backdrop would shine through where parts meet.
        patch = cast.patch(1 + number) if place else whole
        e.lay(patch, paint, e.flat(thing.turn) if paint.pattern != "plain" else None, 0.04)
    e.emboss(whole, e.within(0.04, 0.08), e.within(0.2, 0.45))


def draw(seed: int, split: str, index: int, size: tuple[int, int] = (96, 128)) -> Scene:
    """Scene ``index`` of ``split`` in the world of ``seed``; it depends on its arguments alone.

    Raises:
        InputError: there is no such split, or a side of ``size`` is less than 48 pixels.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if min(size) < 48:
        raise InputError(f"Parts cannot be seen in an image of {size[0]} x {size[1]}; give at least 48 pixels a side.")
    e = Easel(np.random.default_rng([seed, SPLITS.index(split), index, *b"parts"]), max(size))
    top, left = ((max(size) - side) // 2 for side in size)
    e.cut(slice(top, top + size[0]), slice(left, left + size[1]))
    room = np.array([size[1], size[0]]) / max(size) - 0.03
    things: list[_Thing] = []
    for _ in range(e.count(2, 5)):
        if (thing := _placed(e, room, things)) is not None:
            things.append(thing)
    things.sort(key=lambda thing: float(thing.high[1]))  # what stands lower is nearer
    casts = [_cast(thing, size) for thing in things]
    owner, part, seen = _seen(casts, size)
    own = [_counts(cast.part) for cast in casts]
    while (hidden := next((i for i in range(len(own)) if 2 * seen[i][1:].sum() < own[i][1:].sum()), None)) is not None:
        for each in (things, casts, own):
            del each[hidden]
        owner, part, seen = _seen(casts, size)
    _backdrop(e)
    # One shadow of them all: one for each costs a third of the scene's time.
    shade = _Cast(slice(0, size[0]), slice(0, size[1]), owner).patch(0)
    e.shadow(shade, e.within(0.03, 0.08), e.within(0.25, 0.5))
    for thing, cast in zip(things, casts, strict=True):
        _paint(e, thing, cast)
    owner, part = (fine[FINER // 2 :: FINER, FINER // 2 :: FINER].copy() for fine in (owner, part))
    return Scene(
        e.develop(vivid=0.8),
        np.stack([_box(owner == number) for number in range(1, 1 + len(things))]),
        np.array([thing.label for thing in things]),
        np.stack([_attributes(*each) for each in zip(things, own, seen, strict=True)]),
        owner,
        part,
    )


def _box(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first and last columns and rows of ``mask``, ``(4,)``: xmin, ymin, xmax, ymax, from 1."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return 1 + np.array([columns[0], rows[0], columns[-1], rows[-1]])


# --- files ---


def write(folder: Path, *, seed: int = 0, train: int, val: int, size: tuple[int, int] = (96, 128)) -> None:
    """Write ``folder/JPEGImages`` and ``folder/attribute_data`` as aPascal has them, and ``folder/world.json``, whole
    or not at all; the val list has the name of aPascal's test list.

    Does nothing where the same world already lies; processes that write it at the same time all succeed.

    Raises:
        InputError: ``folder`` holds something else, or a side of ``size`` is less than 48 pixels.
    """
    world = {"world": "parts", "revision": REVISION, "seed": seed, "train": train, "val": val,
             "height": size[0], "width": size[1]}  # fmt: skip

    def fill(root: Path) -> None:
        lists = root / "attribute_data"
        for place in (root / "JPEGImages", lists):
            place.mkdir()
        for name, names in (("class_names", CLASSES), ("attribute_names", ATTRIBUTES)):
            (lists / f"{name}.txt").write_text("\n".join(names) + "\n")
        for split, count, name in zip(SPLITS, (train, val), ("train", "test"), strict=True):
            rows: list[str] = []
            for index in range(count):
                scene, file = draw(seed, split, index, size), f"{split}_{index:05}.jpg"
                # Full colour resolution: parts are a few pixels wide.
                Image.fromarray(scene.image).save(root / "JPEGImages" / file, quality=95, subsampling=0)
                for label, numbers in zip(scene.labels, np.hstack([scene.boxes, scene.attributes]), strict=True):
                    rows.append(" ".join([file, CLASSES[label], *map(str, numbers.tolist())]) + "\n")
            (lists / f"apascal_{name}.txt").write_text("".join(rows))

    _folder.write(folder, world, fill)
