"""What the dishes of :mod:`mtlkit.worlds.plates` are made of: foods, bodies of known volume, and a recipe a category.

Lengths are centimetres: outlines lie on the table around the middle of the vessel, heights count from the table.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtlkit.worlds import _easel
from mtlkit.worlds._easel import Outline, box, oval
from mtlkit.worlds._paints import Colour

Chances = np.random.Generator


class Food(NamedTuple):
    """What one kind of food weighs and holds, and its colour.

    Attributes:
        density: g/ml, with the air between its pieces.
        energy: kcal/g.
        colour: of its surface.
    """

    density: float
    energy: float
    colour: Colour


FOODS = {
    "apple": Food(0.8, 0.52, (0.78, 0.16, 0.12)),
    "bacon": Food(0.9, 4.6, (0.62, 0.2, 0.14)),
    "banana": Food(0.95, 0.89, (0.96, 0.88, 0.6)),
    "beans": Food(1.0, 0.95, (0.72, 0.3, 0.1)),
    "beef": Food(1.05, 2.5, (0.36, 0.2, 0.13)),
    "blueberry": Food(0.9, 0.57, (0.16, 0.17, 0.4)),
    "bread": Food(0.28, 2.7, (0.82, 0.6, 0.33)),
    "broccoli": Food(0.45, 0.35, (0.2, 0.46, 0.14)),
    "broth": Food(1.0, 0.2, (0.8, 0.6, 0.25)),
    "butter": Food(0.95, 7.2, (0.99, 0.88, 0.45)),
    "carrot": Food(0.95, 0.41, (0.95, 0.5, 0.1)),
    "cheese": Food(1.05, 3.6, (0.98, 0.76, 0.2)),
    "chocolate cake": Food(0.55, 3.9, (0.32, 0.18, 0.1)),
    "cream": Food(0.6, 3.3, (0.98, 0.95, 0.88)),
    "crouton": Food(0.35, 4.1, (0.8, 0.55, 0.25)),
    "cucumber": Food(0.95, 0.15, (0.72, 0.85, 0.52)),
    "curry sauce": Food(1.05, 1.3, (0.62, 0.35, 0.07)),
    "dressing": Food(1.0, 4.2, (0.99, 0.96, 0.86)),
    "dumpling": Food(0.9, 2.0, (0.93, 0.85, 0.68)),
    "egg": Food(1.03, 1.5, (0.99, 0.97, 0.92)),
    "feta": Food(1.0, 2.7, (0.98, 0.97, 0.93)),
    "fried rice": Food(0.75, 1.7, (0.86, 0.7, 0.4)),
    "fries": Food(0.36, 3.1, (0.95, 0.76, 0.32)),
    "grape": Food(0.95, 0.69, (0.42, 0.6, 0.2)),
    "ketchup": Food(1.1, 1.0, (0.72, 0.07, 0.04)),
    "lettuce": Food(0.15, 0.5, (0.36, 0.62, 0.18)),
    "mash": Food(1.0, 1.1, (0.96, 0.87, 0.58)),
    "meatball": Food(1.0, 2.3, (0.45, 0.24, 0.13)),
    "noodles": Food(0.6, 1.5, (0.95, 0.82, 0.5)),
    "nori roll": Food(0.9, 1.5, (0.1, 0.14, 0.11)),
    "orange": Food(0.9, 0.47, (0.98, 0.6, 0.12)),
    "pancake": Food(0.55, 2.3, (0.85, 0.58, 0.27)),
    "peas": Food(0.7, 0.8, (0.35, 0.62, 0.16)),
    "pea soup": Food(1.05, 0.8, (0.48, 0.6, 0.2)),
    "pepperoni": Food(1.0, 4.8, (0.7, 0.15, 0.1)),
    "pesto": Food(1.0, 4.4, (0.25, 0.42, 0.1)),
    "pizza": Food(0.62, 2.6, (0.96, 0.78, 0.38)),
    "potato": Food(1.0, 0.9, (0.93, 0.78, 0.42)),
    "pumpkin soup": Food(1.0, 0.6, (0.95, 0.58, 0.12)),
    "rice": Food(0.8, 1.3, (0.97, 0.95, 0.9)),
    "salmon": Food(1.05, 2.0, (0.98, 0.55, 0.36)),
    "shrimp": Food(1.0, 0.95, (0.98, 0.72, 0.58)),
    "sponge cake": Food(0.45, 3.4, (0.95, 0.8, 0.48)),
    "strawberry": Food(0.9, 0.33, (0.85, 0.1, 0.12)),
    "syrup": Food(1.3, 2.6, (0.55, 0.27, 0.05)),
    "tomato": Food(0.95, 0.18, (0.87, 0.15, 0.08)),
    "tomato sauce": Food(1.0, 0.9, (0.76, 0.16, 0.06)),
    "tomato soup": Food(1.0, 0.5, (0.84, 0.24, 0.08)),
    "tuna": Food(1.05, 1.3, (0.75, 0.12, 0.18)),
    "yolk": Food(1.03, 3.4, (0.99, 0.7, 0.08)),
}
"""Rounded from common food tables, as they are served."""


class Body(NamedTuple):
    """A piece of food or a part of a vessel.

    Attributes:
        volume: ml.
        slices: its sections, from the foot up: a polygon on the table, cm, and its height above it, cm.
        flat: whether the last section is a face of its own, seen against darker sides.
    """

    volume: float
    slices: list[tuple[Outline, float]]
    flat: bool = False


class Item(NamedTuple):
    """All bodies of one food that lie at one place, and marks without a volume on their surface.

    Attributes:
        food: a key of :data:`FOODS`.
        bodies: what there is of it.
        colour: of its surface.
        marks: a colour, and polygons with their heights.
        round: how far its edges curve in, cm.
    """

    food: str
    bodies: list[Body]
    colour: Colour
    marks: list[tuple[Colour, list[tuple[Outline, float]]]]
    round: float = 1.0

    @property
    def volume(self) -> float:
        """In ml."""
        return sum(body.volume for body in self.bodies)

    @property
    def kcal(self) -> float:
        """The energy of all bodies."""
        return self.volume * FOODS[self.food].density * FOODS[self.food].energy


class Vessel(NamedTuple):
    """What the food lies on.

    Attributes:
        kind: its shape.
        reach: half its width, cm; a tray's depth is 0.68 of its width.
        height: of its rim, cm.
        colour: of what it is made of.
        band: of its rim's inlay, if it has one.
    """

    kind: Literal["plate", "bowl", "tray"]
    reach: float
    height: float
    colour: Colour
    band: Colour | None = None


# --- bodies ---


def _area(outline: Outline) -> float:
    x, y = outline.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _scaled(outline: Outline, factor: float) -> Outline:
    middle = outline.mean(0)
    scaled: Outline = (outline - middle) * factor + middle
    return scaled


def _slab(outline: Outline, height: float, foot: float = 0.0) -> Body:
    """Upright sides and a flat face."""
    steps = np.linspace(0, height, 2 + int(height / 0.5))
    return Body(_area(outline) * height, [(outline, foot + z) for z in steps.tolist()], flat=True)


def _dome(outline: Outline, height: float, foot: float = 0.0) -> Body:
    """The upper half of an ellipsoid."""
    steps = [0.0, 0.25, 0.5, 0.7, 0.85, 0.96]
    middle = outline.mean(0)
    edge = outline - middle
    slices = [(edge * math.sqrt(1 - t * t) + middle, foot + t * height) for t in steps]
    return Body(2 / 3 * _area(outline) * height, slices)


def _ball(x: float, y: float, radius: float, foot: float = 0.0) -> Body:
    turns = [-0.9, -0.6, -0.2, 0.2, 0.6, 0.9]
    slices = [(oval(x, y, radius * math.sqrt(1 - t * t)), foot + radius * (1 + t)) for t in turns]
    return Body(4 / 3 * math.pi * radius**3, slices)


def _filling(vessel: Vessel, level: float) -> Body:
    """What fills a bowl up to ``level``, a height in cm."""
    low, high = _inside(vessel, 0.6), _inside(vessel, level)
    volume = math.pi / 3 * (level - 0.6) * (low * low + low * high + high * high)
    return Body(volume, [(oval(0, 0, high), level)], flat=True)


def _inside(vessel: Vessel, height: float) -> float:
    """The radius inside a bowl at a height, cm."""
    return vessel.reach * (0.5 + 0.43 * math.sqrt(height / vessel.height))


_ANGLE = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1)
_WAVES = np.concatenate([(np.cos(n * _ANGLE), np.sin(n * _ANGLE)) for n in (2, 3, 5)])


def _blob(r: Chances, x: float, y: float, across: float, down: float, wobble: float = 0.06) -> Outline:
    """An uneven ellipse, turned at random."""
    # The waves n = 2, 3, 5 of a circle's points, each of random height and place.
    waves = r.uniform(-0.7 * wobble, 0.7 * wobble, 6) @ _WAVES
    outline = _CIRCLE * (across, down) * (1 + waves)[:, None]
    return turned(outline, math.pi * r.random(), x, y)


def turned(outline: Outline, angle: float, x: float = 0.0, y: float = 0.0) -> Outline:
    """A polygon turned about the origin, then moved."""
    c, s = math.cos(angle), math.sin(angle)
    turned: Outline = outline @ np.array([[c, s], [-s, c]]) + np.array([x, y])
    return turned


def _spread(r: Chances, count: int, reach: float, jitter: float = 0.12) -> list[tuple[float, float]]:
    """Places within a circle, evenly apart: a sunflower's seeds."""
    first = r.uniform(0, 6.3)
    rho = reach * np.sqrt((np.arange(count) + 0.5) / max(count, 1))
    angle = first + 2.39996 * np.arange(count)
    shift = r.uniform(-jitter, jitter, (count, 2)) * reach
    return [(float(a), float(b)) for a, b in np.stack([rho * np.cos(angle), rho * np.sin(angle)], 1) + shift]


def _ring(r: Chances, count: int, radius: float) -> list[tuple[float, float]]:
    """Places on a circle, one in its middle where there are more than five."""
    around = count - (count > 5)
    angle = r.uniform(0, 6.3) + 2 * np.pi * np.arange(around) / max(around, 1)
    places = [(radius * math.cos(a), radius * math.sin(a)) for a in angle] if around > 1 else [(0.0, 0.0)] * around
    return places + [(0.0, 0.0)] * (count > 5)


def _item(r: Chances, food: str, *bodies: Body, colour: Colour | None = None, round_: float = 1.0) -> Item:
    """An item in a colour a little off its food's."""
    own = colour or FOODS[food].colour
    red, green, blue = (min(c * k, 1.0) for c, k in zip(own, r.uniform(0.92, 1.06, 3).tolist(), strict=True))
    return Item(food, list(bodies), (red, green, blue), [], round_)


def _marked(item: Item, colour: Colour, *polygons: tuple[Outline, float]) -> Item:
    return item._replace(marks=[*item.marks, (colour, list(polygons))])


def _surface(outline: Outline, height: float, foot: float = 0.0) -> Callable[[float, float], float]:
    """The height of a dome's surface above a place."""
    middle = outline.mean(0)
    (at_x, at_y), (across, down) = middle.tolist(), np.abs(outline - middle).max(0).tolist()

    def above(x: float, y: float) -> float:
        return foot + height * math.sqrt(max(1 - ((x - at_x) / across) ** 2 - ((y - at_y) / down) ** 2, 0.0))

    return above


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made lighter or darker."""
    red, green, blue = (min(c * factor, 1.0) for c in colour)
    return red, green, blue


def corners(reach: float, share: float) -> Outline:
    """A rectangle with rounded corners."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    return np.stack([np.sign(c) * np.abs(c) ** 0.25 * reach, np.sign(s) * np.abs(s) ** 0.25 * reach * share], 1)


def _line(points: Sequence[tuple[float, float]], width: float) -> Outline:
    """A band along a path."""
    path = np.array(points)
    along = np.gradient(path, axis=0)
    side = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    return np.concatenate([path + side * width / 2, (path - side * width / 2)[::-1]])


def _strands(r: Chances, places: list[tuple[float, float]]) -> list[Outline]:
    """A bent noodle at each place."""
    first, bend = r.uniform(0, 6.3, (len(places), 1)), r.uniform(1.2, 2.4, (len(places), 1))
    angle = first + r.uniform(1.2, 2.6, (len(places), 1)) * np.linspace(-0.5, 0.5, 6)
    angle, far = np.hstack([angle, angle[:, ::-1]]), bend + np.repeat([0.27, -0.27], 6)
    arcs = np.stack([far * np.cos(angle) - bend * np.cos(first), far * np.sin(angle) - bend * np.sin(first)], 2)
    return list(arcs + np.array(places).reshape(-1, 1, 2))


def _heap(r: Chances, food: str, at: tuple[float, float], reach: float, height: float, foot: float = 0.0) -> Item:
    """A heap of grains or small pieces, darker and lighter ones on its surface."""
    outline = _blob(r, *at, reach, reach * r.uniform(0.85, 1.0))
    item, above = _item(r, food, _dome(outline, height, foot), round_=min(height, 2.5)), _surface(outline, height, foot)
    grain = {"peas": 0.45, "beans": 0.6, "broccoli": 0.8}.get(food, 0.36)
    places = _spread(r, int(min(reach * reach / grain, 90)), reach * 0.9, 0.06)
    for tone, part in ((0.8, places[::2]), (1.12, places[1::2])):
        spots = [(oval(x + at[0], y + at[1], grain), above(x + at[0], y + at[1])) for x, y in part]
        item = _marked(item, shade(item.colour, tone), *spots)
    return item


# --- categories ---


_CHINA = (
    (0.96, 0.95, 0.92), (0.96, 0.95, 0.92), (0.93, 0.92, 0.9), (0.9, 0.87, 0.8), (0.9, 0.87, 0.8),
    (0.25, 0.35, 0.5), (0.55, 0.68, 0.66), (0.2, 0.2, 0.22), (0.72, 0.42, 0.32),
)  # fmt: skip
_BANDS = (None, None, (0.2, 0.3, 0.6), (0.7, 0.25, 0.2), (0.75, 0.62, 0.3))


def _plate(r: Chances, low: float, high: float) -> Vessel:
    return Vessel("plate", r.uniform(low, high), 1.6, _CHINA[r.integers(9)], _BANDS[r.integers(5)])


def _bowl(r: Chances, low: float, high: float) -> Vessel:
    reach = r.uniform(low, high)
    return Vessel("bowl", reach, reach * r.uniform(0.62, 0.75), _CHINA[r.integers(9)], _BANDS[r.integers(5)])


def _fries_heap(r: Chances, at: tuple[float, float], reach: float, height: float) -> Item:
    outline = _blob(r, *at, reach, reach * r.uniform(0.85, 1.0), 0.1)
    item, above = _item(r, "fries", _dome(outline, height), round_=1.5), _surface(outline, height)
    for tone in (0.68, 0.86, 1.0, 1.1):
        sticks = []
        for x, y in _spread(r, int(4 + reach * 1.6), reach * 0.82, 0.2):
            long = r.uniform(1.6, 3.2)
            stick = turned(box(-long, -0.42, long, 0.42), r.uniform(0, math.pi), x + at[0], y + at[1])
            sticks.append((stick, above(x + at[0], y + at[1])))
        item = _marked(item, shade(item.colour, tone), *sticks)
    return item


def _burger(r: Chances) -> tuple[Vessel, list[Item]]:
    vessel, reach = _plate(r, 11.5, 13.5), r.uniform(4.0, 6.0)
    beside = r.random() < 0.5
    x = -4.2 if beside else 0.0
    items = [_item(r, "bread", _slab(oval(x, 0, reach), 1.2))]
    foot = 1.2
    for _ in range(1 + (r.random() < 0.4)):
        items.append(_item(r, "beef", _slab(_blob(r, x, 0, reach * 1.04, reach * 1.04, 0.015), 1.3, foot)))
        foot += 1.3
        if r.random() < 0.6:
            square = turned(box(-reach, -reach, reach, reach) * 0.86, r.uniform(0, 1.5), x)
            items.append(_item(r, "cheese", _slab(square, 0.3, foot)))
            foot += 0.3
    items.append(_item(r, "lettuce", _slab(_blob(r, x, 0, reach * 1.1, reach * 1.1, 0.05), 0.4, foot)))
    foot += 0.4
    lid = oval(x, 0, reach)
    top = _item(r, "bread", _dome(lid, r.uniform(2.4, 3.2), foot), colour=(0.8, 0.5, 0.2), round_=3.0)
    above = _surface(lid, 2.6, foot)
    seeds = [(oval(x + a, b, 0.3), above(x + a, b)) for a, b in _spread(r, 16, reach * 0.7)]
    items.append(_marked(top, (0.98, 0.92, 0.72), *seeds))
    if beside:
        items.insert(0, _fries_heap(r, (5.4, r.uniform(-1, 1)), r.uniform(2.6, 4.4), r.uniform(1.8, 3.0)))
    return vessel, items


def _cake(r: Chances) -> tuple[Vessel, list[Item]]:
    reach, wide = r.uniform(8.5, 12.5), r.uniform(0.42, 0.95)
    arc = np.linspace(-wide / 2, wide / 2, 9)
    wedge = np.concatenate([[(0.0, 0.0)], np.stack([reach * np.cos(arc), reach * np.sin(arc)], 1)])
    wedge = wedge - (reach * 0.6, 0)
    sponge = ("chocolate cake", "sponge cake", "sponge cake")[r.integers(3)]
    items, foot = [], 0.0
    for _ in range(int(r.integers(2, 4))):
        deep, thick = r.uniform(1.6, 2.3), r.uniform(0.5, 1.0)
        items.append(_item(r, sponge, _slab(wedge, deep, foot)))
        colour = (0.97, 0.72, 0.76) if r.random() < 0.3 else None
        items.append(_item(r, "cream", _slab(wedge, thick, foot + deep), colour=colour))
        foot += deep + thick
    if r.random() < 0.6:
        place = reach * 0.15, 0.0
        items.append(_item(r, "strawberry", _ball(*place, r.uniform(1.1, 1.5), foot)))
    return _plate(r, 9, 11), items


def _curry(r: Chances) -> tuple[Vessel, list[Item]]:
    vessel, reach, size = _plate(r, 11.5, 13.5), r.uniform(3.6, 6.4), r.uniform(0.6, 1.15)
    pool = _blob(r, 3.4, 0, 6.0 * size, 6.2 * size, 0.06)
    sauce = FOODS["curry sauce"].colour
    colour = (sauce, (0.78, 0.52, 0.08), (0.62, 0.22, 0.06), (0.45, 0.5, 0.12))[r.integers(4)]
    items = [
        _item(r, "curry sauce", _slab(pool, 1.5), colour=colour, round_=0.6),
        _heap(r, "rice", (-4.2, 0.0), reach, reach * r.uniform(0.45, 0.65)),
    ]
    for food in ("potato", "carrot", "beef"):
        count = int(r.integers(0, 6)) if food != "beef" else int(r.integers(0, 8))
        spots = _spread(r, count, 4.2 * size, 0.2)
        bodies = [_dome(_blob(r, x + 3.8, y, 1.25, 1.0, 0.1), 1.1, 1.3) for x, y in spots]
        if bodies:
            items.append(_item(r, food, *bodies, round_=0.8))
    return vessel, items


def _dumplings(r: Chances) -> tuple[Vessel, list[Item]]:
    count, size = int(r.integers(3, 10)), r.uniform(0.85, 1.15)
    bodies, folds, backs = [], [], []
    for x, y in _ring(r, count, 6.6):
        turn = math.atan2(y, x) + math.pi / 2 + r.uniform(-0.2, 0.2)
        half = np.stack([3.1 * np.cos(_HALF), 2.4 * np.sin(_HALF) - 0.8], 1) * size
        corners = [(-2.2 * size, -1.3 * size), (2.2 * size, -1.3 * size)]
        outline = turned(np.concatenate([half, corners]), turn, x, y)
        height = 2.4 * size
        above = _surface(outline, height)
        bodies.append(_dome(outline, height))
        ridge = np.stack([2.6 * np.cos(_HALF), 1.7 * np.sin(_HALF) - 0.7], 1)[1:-1] * size
        for dx, dy in turned(ridge, turn)[::2].tolist():
            folds.append((oval(x + dx, y + dy, 0.32 * size), above(x + dx, y + dy)))
        belly = turned(np.array([(0.0, -0.55 * size)]), turn)[0] + (x, y)
        backs.append((turned(oval(0, 0, 1.7 * size, 0.45 * size), turn, *belly), height * 0.8))
    item = _item(r, "dumpling", *bodies, round_=1.6)
    item = _marked(item, shade(item.colour, 0.76), *folds)
    if r.random() < 0.5:  # fried on one side
        item = _marked(item, (0.74, 0.46, 0.18), *backs)
    return _plate(r, 11, 13.5), [item]


_HALF = np.linspace(0, np.pi, 13)


def _eggs(r: Chances) -> tuple[Vessel, list[Item]]:
    vessel, items = _plate(r, 11.5, 13.5), []
    for number in range(int(r.integers(0, 3))):
        half, off = r.uniform(3.6, 4.2), 1.3 * number
        bread = turned(corners(half, 0.95), r.uniform(-0.3, 0.3), off - 5.2, off - 3.4)
        crust = _item(r, "bread", _slab(bread, 1.4, 1.4 * number))
        items.append(_marked(crust, (0.95, 0.82, 0.58), (_scaled(bread, 0.86), 1.4 * (number + 1))))
    if r.random() < 0.4:
        items.append(_heap(r, "beans", (5.6, -4.2), r.uniform(2.4, 3.8), r.uniform(1.2, 2.0)))
    strips = int(r.integers(0, 5))
    for number in range(strips):
        along = np.linspace(-5.5, 5.5, 12)
        path = [(float(a), 4.2 + 1.9 * (number - (strips - 1) / 2) + 0.35 * math.sin(1.7 * a + number)) for a in along]
        strip = _item(r, "bacon", _slab(_line(path, 1.9), 0.5))
        items.append(_marked(strip, (0.95, 0.75, 0.6), (_line(path, 0.5), 0.55)))
    count = int(r.integers(1, 4))
    for x, y in ((3.4, -1.2), (-2.0, 0.8), (0.8, -6.0))[:count]:
        white = _blob(r, x + r.uniform(-0.6, 0.6), y, r.uniform(3.3, 4.2), r.uniform(3.2, 3.8), 0.1)
        items.append(_item(r, "egg", _slab(white, 0.7, 0.3), round_=0.7))
        middle = white.mean(0) + r.uniform(-0.5, 0.5, 2)
        items.append(_item(r, "yolk", _dome(oval(float(middle[0]), float(middle[1]), 1.6), 1.3, 0.8), round_=1.2))
    return vessel, items


def _fries(r: Chances) -> tuple[Vessel, list[Item]]:
    reach = r.uniform(4.8, 8.2)
    items = [_fries_heap(r, (-1.2, 0.0), reach, r.uniform(0.4, 0.6) * reach)]
    if r.random() < 0.6:
        dip = ("ketchup", "dressing")[r.integers(2)]
        size = r.uniform(1.6, 2.6)
        items.append(_item(r, dip, _dome(_blob(r, reach + 0.5, 1.0, size, size), 1.2), round_=0.8))
    return _plate(r, 11, 13), items


def _fruit(r: Chances) -> tuple[Vessel, list[Item]]:
    vessel, items = _plate(r, 11, 13), []
    kinds = r.permutation(["apple", "banana", "blueberry", "grape", "orange", "strawberry"])[: r.integers(2, 5)]
    for kind, at in zip(kinds.tolist(), _ring(r, len(kinds), 4.8), strict=True):
        count, big = int(r.integers(4, 11)), r.uniform(0.85, 1.15)
        if kind in ("blueberry", "grape", "strawberry"):
            size, more = {"blueberry": (0.75, 8), "grape": (1.05, 4), "strawberry": (1.35, 0)}[kind]
            size, count = size * big, count + more
            places = [(x + at[0], y + at[1]) for x, y in _spread(r, count, size * 1.3 * math.sqrt(count), 0.04)]
            item = _item(r, kind, *(_ball(x, y, size) for x, y in places), round_=size)
            item = _marked(item, shade(item.colour, 0.6), *((oval(x, y, size * 0.25), 1.9 * size) for x, y in places))
        elif kind == "banana":
            places = [(x + at[0], y + at[1]) for x, y in _spread(r, count, 1.65 * big * math.sqrt(count), 0.05)]
            item = _item(r, kind, *(_slab(oval(x, y, 1.4 * big), 0.9) for x, y in places), round_=0.5)
            item = _marked(item, (0.75, 0.62, 0.35), *((oval(x, y, 0.4), 0.95) for x, y in places))
        else:  # wedges like a fan
            count = min(count, 7)
            angle, bodies, flesh = r.uniform(0, 6.3), [], []
            for number in range(count):
                shift = np.array(at) + turned(np.array([(0.0, 1.5 * (number - (count - 1) / 2))]), angle)[0]
                moon = np.concatenate([_ROUND_TOP * (2.9, 1.5), _ROUND_TOP[::-1] * (2.9, 0.35)]) * big
                bodies.append(_slab(turned(moon, angle, *shift), 1.5))
                inner = np.concatenate([_ROUND_TOP * (2.5, 0.95), _ROUND_TOP[::-1] * (2.5, 0.35)]) * big
                flesh.append((turned(inner, angle, *shift), 1.55))
            item = _item(r, kind, *bodies, round_=0.6)
            item = _marked(item, (0.98, 0.94, 0.76) if kind == "apple" else (0.99, 0.74, 0.3), *flesh)
        items.append(item)
    return vessel, items


_ROUND_TOP = np.stack([np.cos(_HALF), np.sin(_HALF)], 1)


def _noodles(r: Chances) -> tuple[Vessel, list[Item]]:
    reach = r.uniform(5.6, 8.8)
    height, outline = r.uniform(0.34, 0.5) * reach, _blob(r, 0, 0, reach, reach * 0.95, 0.05)
    item, above = _item(r, "noodles", _dome(outline, height), round_=2.5), _surface(outline, height)
    for tone, count in ((0.62, 24), (0.82, 24), (1.12, 26)):
        places = _spread(r, count, reach * 0.8, 0.1)
        strands = zip(_strands(r, places), (above(x, y) for x, y in places), strict=True)
        item = _marked(item, shade(item.colour, tone), *strands)
    items = [item]
    sauce = ("tomato sauce", "pesto", "cream", "")[r.integers(4)]
    if sauce:
        size = r.uniform(0.35, 0.52) * reach
        items.append(_item(r, sauce, _dome(_blob(r, 0, 0, size, size, 0.09), 1.2, height * 0.85), round_=0.8))
    count = int(r.integers(0, 8)) if r.random() < 0.6 else 0
    balls = [_ball(x, y, 1.55, above(x, y) - 0.6) for x, y in _spread(r, count, reach * 0.62)]
    if balls:
        items.append(_item(r, "meatball", *balls, round_=1.2))
    return _plate(r, 11.5, 14), items


def _pancakes(r: Chances) -> tuple[Vessel, list[Item]]:
    count, reach, items = int(r.integers(1, 6)), r.uniform(5.0, 7.4), []
    for number in range(count):
        x, y = r.uniform(-0.5, 0.5, 2).tolist()
        cake = _item(r, "pancake", _slab(_blob(r, x, y, reach, reach, 0.02), 1.2, 1.2 * number), round_=0.5)
        items.append(_marked(cake, shade(cake.colour, 1.18), (oval(x, y, reach * 0.9), 1.2 * (number + 1))))
        items[-1] = _marked(items[-1], cake.colour, (oval(x, y, reach * 0.82), 1.2 * (number + 1)))
    top = 1.2 * count
    if r.random() < 0.6:
        items.append(_item(r, "syrup", _slab(_blob(r, 0, 0, reach * 0.62, reach * 0.5, 0.16), 0.25, top), round_=0.3))
    if r.random() < 0.6:
        items.append(_item(r, "butter", _slab(turned(box(-1.1, -1.1, 1.1, 1.1), r.uniform(0, 1.5)), 0.8, top + 0.2)))
    if r.random() < 0.5:
        berry = ("blueberry", "strawberry")[r.integers(2)]
        spots = [(x, y) for x, y in _spread(r, int(r.integers(4, 11)), reach * 0.8) if math.hypot(x, y) > 1.8]
        items.append(_item(r, berry, *(_ball(x, y, 0.85, top) for x, y in spots), round_=0.8))
    return _plate(r, 10.5, 13), items


def _pizza(r: Chances) -> tuple[Vessel, list[Item]]:
    count, reach = int(r.integers(2, 9)), r.uniform(9.5, 12.5)
    slices, crusts, gaps = [], [], r.uniform(0, 6.3)
    topping = [kind for kind in ("pepperoni", "tomato", "olive", "basil") if r.random() < 0.5]
    spots: dict[str, list[tuple[float, float]]] = {kind: [] for kind in topping}
    for number in range(count):
        first = gaps + number * math.pi / 4
        arc = np.linspace(first + 0.03, first + math.pi / 4 - 0.03, 7)
        rim = np.stack([np.cos(arc), np.sin(arc)], 1)
        apart = 0.35 * np.array([math.cos(first + math.pi / 8), math.sin(first + math.pi / 8)])
        slices.append(_slab(np.concatenate([[(0.0, 0.0)], rim * reach]) + apart, 1.1))
        crusts.append((np.concatenate([rim * reach, rim[::-1] * (reach * 0.88)]) + apart, 1.15))
        for kind in topping:
            for _ in range(3):
                far, angle = reach * math.sqrt(r.uniform(0.08, 0.66)), first + r.uniform(0.12, math.pi / 4 - 0.12)
                spots[kind].append((far * math.cos(angle), far * math.sin(angle)))
    base = _item(r, "pizza", *slices, round_=0.5)
    sauce = [(_blob(r, *place, 1.1, 0.7, 0.15), 1.12) for place in _spread(r, 14, reach * 0.8)]
    sauce = [each for each in sauce if any(_within(each[0].mean(0), body.slices[0][0]) for body in slices)]
    base = _marked(_marked(base, (0.86, 0.42, 0.16), *sauce), (0.78, 0.5, 0.22), *crusts)
    for kind, colour, size in (("olive", (0.15, 0.14, 0.12), 0.55), ("basil", (0.16, 0.4, 0.1), 0.85)):
        if kind in spots:
            base = _marked(base, colour, *((_blob(r, *place, size, size * 0.7), 1.2) for place in spots[kind]))
    items = [base]
    for kind, size in (("pepperoni", 1.3), ("tomato", 1.15)):
        if kind in spots:
            items.append(_item(r, kind, *(_slab(oval(*place, size), 0.4, 1.1) for place in spots[kind]), round_=0.4))
    return _plate(r, 13, 14), items


def _within(point: NDArray[np.float64], convex: Outline) -> bool:
    """Whether a point lies in a polygon whose corners turn one way."""
    edge, off = np.roll(convex, -1, 0) - convex, point - convex
    side = edge[:, 0] * off[:, 1] - edge[:, 1] * off[:, 0]
    return bool((side > 0).all() or (side < 0).all())


def _rice(r: Chances) -> tuple[Vessel, list[Item]]:
    vessel = _bowl(r, 6.2, 8.8)
    level = vessel.height * r.uniform(0.5, 0.9)
    reach, food = _inside(vessel, level) * 0.97, ("rice", "fried rice")[r.integers(2)]
    hidden = _item(r, food, _filling(vessel, level))
    heap = _heap(r, food, (0.0, 0.0), reach, r.uniform(0.6, 2.6), level)
    heap = heap._replace(colour=hidden.colour)
    items, outline = [hidden, heap], heap.bodies[0].slices[0][0]
    above = _surface(outline, 1.5 * heap.volume / _area(outline), level)
    for topping in ("salmon", "peas", "egg", "beef", "shrimp"):
        if r.random() < 0.35:
            count, size = int(r.integers(4, 12)), 0.6 if topping == "peas" else r.uniform(0.9, 1.25)
            places = [(x, y) for x, y in _spread(r, count, reach * 0.75, 0.2)]
            bodies = [_dome(_blob(r, x, y, size, size * 0.7, 0.1), size * 0.8, above(x, y) - 0.1) for x, y in places]
            colour = (0.99, 0.82, 0.28) if topping == "egg" else None  # scrambled
            items.append(_item(r, topping, *bodies, colour=colour, round_=0.6))
    return vessel, items


def _salad(r: Chances) -> tuple[Vessel, list[Item]]:
    vessel, reach = _plate(r, 11, 13.5), r.uniform(6.2, 9.2)
    outline, height = _blob(r, 0, 0, reach, reach * 0.95, 0.1), r.uniform(2.8, 4.5)
    leaves, above = _item(r, "lettuce", _dome(outline, height), round_=2.0), _surface(outline, height)
    for tone in (0.6, 0.8, 1.1, 1.3):
        spots = _spread(r, 9, reach * 0.86, 0.2)
        shapes = [(_blob(r, x, y, 2.2, 1.2, 0.2), above(x, y)) for x, y in spots]
        leaves = _marked(leaves, shade(leaves.colour, tone), *shapes)
    items = [leaves]
    for food, share, size, most in (
        ("cucumber", 0.6, 1.5, 8), ("tomato", 0.7, 1.3, 8), ("feta", 0.45, 0.9, 14), ("crouton", 0.4, 0.9, 14),
        ("egg", 0.35, 1.9, 4), ("shrimp", 0.25, 1.2, 9),
    ):  # fmt: skip
        if r.random() > share:
            continue
        places = _spread(r, int(r.integers(2, most + 1)), reach * 0.74, 0.18)
        feet = [above(x, y) for x, y in places]
        if food in ("feta", "crouton"):
            cube = box(-size, -size, size, size)
            bodies = [
                _slab(turned(cube, r.uniform(0, 1.5), *place), size * 1.5, foot - 0.4)
                for place, foot in zip(places, feet, strict=True)
            ]
        elif food == "cucumber":
            bodies = [_slab(oval(*place, size), 0.5, foot) for place, foot in zip(places, feet, strict=True)]
        else:
            bodies = [
                _dome(_blob(r, *place, size, size * 0.8, 0.03), size * 0.9, foot - 0.2)
                for place, foot in zip(places, feet, strict=True)
            ]
        item = _item(r, food, *bodies, round_=0.6)
        if food == "egg":
            yolks = [(oval(*place, 0.95), foot + 1.4) for place, foot in zip(places, feet, strict=True)]
            item = _marked(item, FOODS["yolk"].colour, *yolks)
        elif food == "cucumber":
            skins = [(oval(*place, size), foot + 0.5) for place, foot in zip(places, feet, strict=True)]
            hearts = [(_scaled(skin, 0.78), z) for skin, z in skins]
            item = _marked(_marked(item, (0.2, 0.42, 0.14), *skins), item.colour, *hearts)
        items.append(item)
    if r.random() < 0.4:
        path = [(x, 0.45 * reach * math.sin(2.2 * x)) for x in np.linspace(-0.7 * reach, 0.7 * reach, 26)]
        items.append(_item(r, "dressing", _slab(_line(path, 0.7), 0.5, height * 0.85), round_=0.3))
    return vessel, items


def _soup(r: Chances) -> tuple[Vessel, list[Item]]:
    vessel = _bowl(r, 7.0, 9.8)
    level = vessel.height * r.uniform(0.45, 0.88)
    food = ("broth", "tomato soup", "pumpkin soup", "pea soup")[r.integers(4)]
    items, reach = [_item(r, food, _filling(vessel, level), round_=0.2)], _inside(vessel, level)
    if food == "broth":
        noodles = _strands(r, _spread(r, 12, reach * 0.7))
        items[0] = _marked(items[0], (0.97, 0.88, 0.6), *((strand, level) for strand in noodles))
        for more in ("carrot", "peas", "egg"):
            if r.random() < 0.5:
                places = _spread(r, int(r.integers(3, 9)), reach * 0.7, 0.2)
                size = 1.7 if more == "egg" else 0.8
                places = places[:2] if more == "egg" else places
                bodies = [_dome(oval(*place, size), size * 0.5, level) for place in places]
                items.append(_item(r, more, *bodies, round_=0.5))
    elif r.random() < 0.55:
        turn = np.linspace(0, 11, 40)
        swirl = [(0.055 * reach * t * math.cos(t), 0.055 * reach * t * math.sin(t)) for t in turn]
        items.append(_item(r, "cream", _slab(_line(swirl, 0.8), 0.4, level), round_=0.2))
    if food != "broth" and r.random() < 0.5:
        cube = box(-0.7, -0.7, 0.7, 0.7)
        spots = _spread(r, int(r.integers(4, 13)), reach * 0.7, 0.15)
        cubes = [_slab(turned(cube, r.uniform(0, 1.5), *place), 0.9, level) for place in spots]
        items.append(_item(r, "crouton", *cubes, round_=0.4))
    return vessel, items


def _steak(r: Chances) -> tuple[Vessel, list[Item]]:
    vessel = _plate(r, 12, 13.8)
    size = r.uniform(0.75, 1.2)
    meat = _blob(r, -2.6, 1.6, 6.2 * size, 4.3 * size, 0.06)
    items = [_item(r, "beef", _slab(meat, r.uniform(1.4, 2.4)), round_=0.9)]
    top = items[0].bodies[0].slices[-1][1]
    middle, tilt = meat.mean(0), r.uniform(0, 3)
    grill = [turned(box(-3.2, 1.5 * n - 0.22, 3.2, 1.5 * n + 0.22) * size, tilt) + middle for n in (-1, 0, 1)]
    items[0] = _marked(items[0], (0.16, 0.08, 0.05), *((line, top) for line in grill))
    if r.random() < 0.4:
        items.append(_item(r, "butter", _slab(turned(box(-1, -0.8, 1, 0.8), tilt) + middle, 0.9, top), round_=0.4))
    sides = r.permutation(["mash", "peas", "potato", "broccoli", "fries", "carrot"])[: r.integers(1, 3)]
    for side, at in zip(sides.tolist(), ((4.4, -5.2), (6.8, 2.2)), strict=False):
        reach, high = r.uniform(2.6, 4.2), r.uniform(1.6, 2.8)
        if side == "fries":
            items.append(_fries_heap(r, at, reach, high))
        elif side in ("potato", "carrot"):
            spots = [(x + at[0], y + at[1]) for x, y in _spread(r, int(r.integers(3, 8)), reach, 0.06)]
            bodies = [_dome(_blob(r, *place, 1.3, 1.0, 0.06), 1.5) for place in spots]
            items.append(_item(r, side, *bodies, round_=1.0))
        elif side == "mash":
            items.append(_item(r, side, _dome(_blob(r, *at, reach, reach * 0.9, 0.08), high), round_=2.0))
        else:
            items.append(_heap(r, side, at, reach, high))
    return vessel, items


def _sushi(r: Chances) -> tuple[Vessel, list[Item]]:
    wood = ((0.16, 0.1, 0.09), (0.5, 0.3, 0.17), (0.3, 0.33, 0.33))[r.integers(3)]
    vessel = Vessel("tray", r.uniform(12, 13.5), 1.4, wood)
    rolls, rows, size = int(r.integers(0, 7)), int(r.integers(2, 9)), r.uniform(0.85, 1.1)
    blocks: dict[str, list[Body]] = {}
    rice: list[Body] = []
    for number in range(rows):
        x, y = -7.6 + 5.1 * (number % 4), -4.4 + 4.6 * (number // 4)
        turn = r.uniform(0.95, 1.25)
        rice.append(_dome(turned(oval(0, 0, 2.9 * size, 1.5 * size), turn, x, y), 2.6))
        kind = ("salmon", "tuna", "shrimp", "egg")[r.integers(4)]
        blocks.setdefault(kind, []).append(_slab(turned(oval(0, 0, 3.1 * size, 1.45 * size), turn, x, y), 0.7, 2.0))
    items = [_item(r, "rice", *rice, round_=1.0)]
    for kind, bodies in blocks.items():
        item = _item(r, kind, *bodies, colour=(0.99, 0.84, 0.36) if kind == "egg" else None, round_=0.8)
        stripes = []
        for body in bodies:
            top, z = body.slices[-1]
            for share in (-0.45, 0.0, 0.45):
                a, b = (top.mean(0) + (top[0] - top.mean(0)) * share).tolist()
                stripes.append((_line([(a - 0.5, b - 0.7), (a + 0.5, b + 0.7)], 0.22), z + 0.05))
        light = (0.15, 0.2, 0.15) if kind == "egg" else _easel.mix(item.colour, (1.0, 0.95, 0.9), 0.55)
        items.append(_marked(item, light, *stripes))
    centres = [(-9.0 + 3.6 * number, 5.0 if rows > 4 else 2.4) for number in range(rolls)]
    if centres:
        rolled = _item(r, "nori roll", *(_slab(oval(*place, 1.65 * size), 2.2) for place in centres), round_=0.3)
        rolled = _marked(rolled, (0.96, 0.95, 0.9), *((oval(*place, 1.35 * size), 2.22) for place in centres))
        heart = ((0.98, 0.5, 0.3), (0.5, 0.7, 0.25), (0.75, 0.12, 0.18))[r.integers(3)]
        items.append(_marked(rolled, heart, *((oval(*place, 0.6), 2.24) for place in centres)))
    return vessel, items


DISHES: dict[str, Callable[[Chances], tuple[Vessel, list[Item]]]] = {
    "burger": _burger, "cake": _cake, "curry": _curry, "dumplings": _dumplings, "eggs": _eggs, "fries": _fries,
    "fruit": _fruit, "noodles": _noodles, "pancakes": _pancakes, "pizza": _pizza, "rice": _rice, "salad": _salad,
    "soup": _soup, "steak": _steak, "sushi": _sushi,
}  # fmt: skip
"""A recipe for each category: chances to a vessel and its items, from the lowest to the uppermost."""

CATEGORIES = tuple(DISHES)
"""The 15 categories, in the order of their names."""
