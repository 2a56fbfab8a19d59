"""The furniture of :mod:`mtlkit.worlds.rooms`, put together from solids."""

import colorsys
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mtlkit.worlds._paints import Colour, Paint

Point = tuple[float, float, float]


SHAPES: dict[str, tuple[slice | None, slice | None]] = {
    "box": (slice(0, 3), None),
    "cylinder": (slice(1, 2), slice(0, 3, 2)),
    "ball": (None, slice(0, 3)),
}
"""Coordinates that are each between -1 and 1 in a unit shape; coordinates that together have length one at most."""

FACES = {
    "box": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "cylinder": ((0, 1, 0), (1, 0, 1), (0, 0, 0)),
    "ball": ((1, 1, 1), (0, 0, 0), (0, 0, 0)),
}
"""The same groups of coordinates as masks: each group is a kind of face."""


class Solid(NamedTuple):
    """``size`` metres along its own axes, turned about x by ``tilt`` and then about the vertical by ``yaw``."""

    label: str
    paint: Paint
    centre: Point
    size: Point
    shape: str = "box"
    yaw: float = 0.0
    tilt: float = 0.0


Piece = list[Solid]


def put(
    label: str, paint: Paint, at: Point, size: Point, shape: str = "box", yaw: float = 0.0, tilt: float = 0.0
) -> Solid:
    """A solid that stands on ``at``: its lowest face is there, so that pieces are stacked by adding heights."""
    return Solid(label, paint, (at[0], at[1] + size[1] / 2, at[2]), size, shape, yaw, tilt)


def moved(piece: Iterable[Solid], to: Point, yaw: float = 0.0) -> Piece:
    c, s = math.cos(yaw), math.sin(yaw)
    return [
        solid._replace(
            centre=(
                to[0] + c * solid.centre[0] + s * solid.centre[2],
                to[1] + solid.centre[1],
                to[2] - s * solid.centre[0] + c * solid.centre[2],
            ),
            yaw=solid.yaw + yaw,
        )
        for solid in piece
    ]


class Carpenter:
    """Makes pieces of furniture from one generator: backs at negative z, fronts towards positive z, feet at y = 0.

    A piece of furniture comes with its footprint ``(width, depth)`` and height.
    """

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        # The colours overlap between classes on purpose: where and what shape a thing is must matter too.
        self.timber = self.wood()

    def within(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.rng.random())

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def below(self, n: int) -> int:
        return int(self.rng.integers(n))

    def hue(self, saturation: float, value: float) -> Colour:
        return colorsys.hsv_to_rgb(self.within(0, 1), saturation * self.within(0.6, 1), value * self.within(0.8, 1))

    def wood(self) -> Colour:
        return colorsys.hsv_to_rgb(self.within(0.04, 0.1), self.within(0.3, 0.7), self.within(0.3, 0.8))

    def planks(self, colour: Colour | None = None, scale: float = 0.12) -> Paint:
        base = colour or self.timber
        return Paint(base, (base[0] * 0.72, base[1] * 0.68, base[2] * 0.64), "planks", scale, self.below(999))

    def cloth(self) -> Paint:
        pattern = ("plain", "plain", "plaid", "stripes", "dots", "checks")[self.below(6)]
        return Paint(self.hue(0.55, 0.85), self.hue(0.3, 0.95), pattern, self.within(0.08, 0.2))

    def plain(self, saturation: float = 0.7, value: float = 0.9) -> Paint:
        return Paint(self.hue(saturation, value))

    def lime(self) -> Paint:
        """What most walls are washed with: white to cream."""
        return Paint(colorsys.hsv_to_rgb(self.within(0.06, 0.16), self.within(0.02, 0.22), self.within(0.82, 0.97)))

    def joinery(self) -> Paint:
        """What furniture, tables and chairs are made of: timber mostly, lacquer at times."""
        return Paint(self.timber) if self.chance(0.6) else self.plain(0.3, 0.95)

    # Small things ---------------------------------------------------------------------------------------------

    def trinket(self, reach: float = 0.3) -> Piece:
        """Something below ``reach`` metres high: vase, ball, carton, lamp, plant, or books lying in a stack."""
        kind, h = self.below(6), self.within(0.55, 1) * reach
        if kind == 0:
            vase = self.plain()
            body = put("objects", vase, (0, 0, 0), (0.6 * h, 0.7 * h, 0.6 * h), "ball")
            return [body, put("objects", vase, (0, 0.6 * h, 0), (0.25 * h, 0.4 * h, 0.25 * h), "cylinder")]
        if kind == 1:
            return [put("objects", self.cloth()._replace(scale=0.1), (0, 0, 0), (0.7 * h, 0.7 * h, 0.7 * h), "ball")]
        if kind == 2:
            return [put("objects", self.plain(), (0, 0, 0), (h, 0.6 * h, 0.7 * h), yaw=self.within(-0.6, 0.6))]
        if kind == 3:
            foot = put("objects", self.plain(0.4), (0, 0, 0), (0.12 * h, 0.6 * h, 0.12 * h), "cylinder")
            shade = Paint((0.98, 0.92, 0.75))
            return [foot, put("objects", shade, (0, 0.5 * h, 0), (0.6 * h, 0.5 * h, 0.6 * h), "cylinder")]
        if kind == 4:
            leaf = colorsys.hsv_to_rgb(self.within(0.25, 0.4), 0.6, self.within(0.35, 0.6))
            leaves = Paint(leaf, (leaf[0] * 0.5, leaf[1] * 0.6, leaf[2] * 0.5), "dots", 0.07)
            pot = put("objects", self.plain(0.8, 0.7), (0, 0, 0), (0.5 * h, 0.4 * h, 0.5 * h), "cylinder")
            return [pot] + [
                put("objects", leaves, (x * h, y * h, z * h), (0.5 * h, 0.5 * h, 0.5 * h), "ball")
                for x, y, z in ((-0.12, 0.3, 0), (0.14, 0.35, 0.08), (0, 0.5, -0.05))
            ]
        return [
            put("books", self.plain(0.8), (0, 0.045 * i, 0), (0.3, 0.042, 0.21), yaw=self.within(-0.4, 0.4))
            for i in range(2 + self.below(4))
        ]

    def on_top(self, width: float, depth: float, height: float, count: int, reach: float = 0.32) -> Piece:
        """Up to ``count`` trinkets side by side on a top of that width and depth."""
        step = width / max(count, 1)
        spots = [(-width / 2 + step * (i + 0.5), height, self.within(-0.2, 0.2) * depth) for i in range(count)]
        return [solid for at in spots if self.chance(0.75) for solid in moved(self.trinket(min(reach, step)), at)]

    def legs(self, label: str, paint: Paint, width: float, depth: float, height: float, thick: float) -> Piece:
        return [
            put(label, paint, (x, 0, z), (thick, height, thick), "cylinder")
            for x in (-width / 2 + thick, width / 2 - thick)
            for z in (-depth / 2 + thick, depth / 2 - thick)
        ]

    def telly(self, width: float) -> Piece:
        screen = Paint(self.hue(0.6, 0.9), self.hue(0.6, 0.9), "screen", 1.0, self.below(999))
        h = 0.58 * width
        return [
            put("tv", Paint((0.05, 0.05, 0.06)), (0, 0, 0), (width, h, 0.05)),
            put("tv", screen, (0, 0.02, 0.018), (width - 0.05, h - 0.05, 0.03)),
        ]

    # Furniture: (piece, width, depth, height) -----------------------------------------------------------------

    def bed(self) -> tuple[Piece, float, float, float]:
        w, d, h, linen, cover = self.within(1.0, 1.9), 2.0, self.within(0.42, 0.55), self.plain(0.15, 1.0), self.cloth()
        piece = [
            put("bed", self.joinery(), (0, 0, 0), (w, h - 0.2, d)),
            put("bed", linen, (0, h - 0.2, 0), (w - 0.06, 0.2, d - 0.06)),
            put("bed", cover, (0, 0.12, 0.32), (w + 0.04, h - 0.09, d - 0.6)),
            put("bed", self.joinery(), (0, 0, -d / 2 + 0.02), (w + 0.06, self.within(0.75, 0.95), 0.06)),
        ]
        pillow, n = self.cloth() if self.chance(0.5) else linen, 1 if w < 1.3 else 2
        for i in range(n):
            at = ((i - (n - 1) / 2) * w / n, h - 0.02, -d / 2 + 0.3)
            piece.append(put("objects", pillow, at, (0.85 * w / n, 0.17, 0.45), "ball", tilt=0.35))
        return piece, w + 0.1, d, 0.9

    def sofa(self) -> tuple[Piece, float, float, float]:
        seats = 1 + self.below(3)
        w, d, fabric = 0.4 + 0.62 * seats, self.within(0.8, 0.95), self.cloth()
        piece = [
            put("sofa", fabric, (0, 0.06, 0), (w, 0.24, d)),
            put("sofa", fabric, (0, 0.06, -d / 2 + 0.12), (w, self.within(0.72, 0.85), 0.22)),
            *(put("sofa", fabric, (x, 0.06, 0.01), (0.18, 0.54, d)) for x in (-w / 2 + 0.09, w / 2 - 0.09)),
            *(
                put("sofa", fabric, ((i - (seats - 1) / 2) * 0.62, 0.3, 0.12), (0.6, 0.15, d - 0.28))
                for i in range(seats)
            ),
        ]
        for i in range(seats):
            if self.chance(0.4):
                at = ((i - (seats - 1) / 2) * 0.62, 0.44, -d / 2 + 0.32)
                piece.append(put("objects", self.cloth(), at, (0.42, 0.4, 0.16), "ball", tilt=-0.3))
        return piece, w, d, 0.9

    def chair(self, paint: Paint | None = None) -> tuple[Piece, float, float, float]:
        paint, h = paint or (self.joinery() if self.chance(0.6) else self.plain()), self.within(0.43, 0.48)
        back = put("chair", paint, (0, h + 0.12, -0.2), (0.42, self.within(0.3, 0.45), 0.035), tilt=-0.12)
        posts = [put("chair", paint, (x, 0, -0.19), (0.035, h + 0.2, 0.035)) for x in (-0.19, 0.19)]
        seat = put("chair", self.cloth() if self.chance(0.3) else paint, (0, h - 0.05, 0), (0.44, 0.06, 0.44))
        return [seat, back, *posts, *self.legs("chair", paint, 0.44, 0.44, h, 0.04)], 0.5, 0.5, 0.9

    def table(self, w: float, d: float, h: float, things: int = 3) -> tuple[Piece, float, float, float]:
        paint = self.planks(scale=0.15) if self.chance(0.4) else self.joinery()
        piece = [put("table", paint, (0, h - 0.05, 0), (w, 0.05, d)), *self.legs("table", paint, w, d, h - 0.05, 0.06)]
        return piece + self.on_top(w, d, h, things), w, d, h

    def dining(self) -> tuple[Piece, float, float, float]:
        w, d, wood = self.within(1.1, 1.7), self.within(0.8, 1.0), self.joinery()
        piece, *_ = self.table(w, d, 0.75)
        for x, side in ((-w / 4, -1), (w / 4, -1), (-w / 4, 1), (w / 4, 1)):
            if self.chance(0.7):  # a chair's back points away from the table
                at = (x, 0.0, side * (d / 2 + self.within(0.0, 0.25)))
                piece += moved(self.chair(wood)[0], at, (0 if side < 0 else math.pi) + self.within(-0.25, 0.25))
        return piece, w, d + 1.0, 0.9

    def desk(self) -> tuple[Piece, float, float, float]:
        w, d = self.within(1.1, 1.6), self.within(0.6, 0.75)
        piece, *_ = self.table(w, d, 0.74)
        chair = moved(self.chair()[0], (self.within(-0.2, 0.2), 0, d / 2 + 0.2), math.pi + self.within(-0.6, 0.6))
        return moved(piece + chair, (0, 0, -0.3)), w, d + 0.6, 0.95

    def coffee(self) -> tuple[Piece, float, float, float]:
        return self.table(self.within(0.8, 1.2), self.within(0.5, 0.7), self.within(0.38, 0.45), 2)

    def cupboard(self) -> tuple[Piece, float, float, float]:
        low = self.chance(0.5)
        w, d, h = self.within(0.8, 1.5), self.within(0.4, 0.6), self.within(0.7, 1.0) if low else self.within(1.6, 2.1)
        made = self.joinery()
        doors = made._replace(pattern="doors", second=(0.8, 0.75, 0.6), scale=self.within(0.35, 0.5))
        piece = [
            put("furniture", doors, (0, 0, 0), (w, h, d)),
            put("furniture", made, (0, h, 0), (w + 0.04, 0.03, d + 0.04)),
        ]
        return piece + (self.on_top(w, d, h + 0.03, 3) if low else []), w, d, h + (0.4 if low else 0)

    def shelf(self) -> tuple[Piece, float, float, float]:
        w, d, n, paint = self.within(0.7, 1.3), 0.3, 3 + self.below(3), self.joinery()
        gap, inner = 0.36, w - 0.06
        h = n * gap + 0.06
        piece = [
            put("furniture", paint, (0, 0, -d / 2 + 0.01), (w, h, 0.02)),
            *(put("furniture", paint, (x, 0, 0), (0.03, h, d)) for x in (-w / 2, w / 2)),
            *(put("furniture", paint, (0, 0.03 + i * gap, 0), (w, 0.03, d)) for i in range(n + 1)),
        ]
        for i in range(n):
            floor = 0.06 + i * gap
            if self.chance(0.75):
                long = inner * self.within(0.5, 1)
                spines = Paint((0.5, 0.4, 0.3), pattern="spines", scale=self.within(0.04, 0.065), phase=self.below(999))
                at = (self.within(-0.5, 0.5) * (inner - long), floor, -0.02)
                piece.append(put("books", spines, at, (long, self.within(0.24, 0.31), 0.22)))
            else:
                piece += self.on_top(inner, d, floor, 3, 0.28)
        return piece, w, d, h

    def media(self) -> tuple[Piece, float, float, float]:
        w, d, h = self.within(1.2, 1.8), 0.42, self.within(0.4, 0.6)
        doors = self.joinery()._replace(pattern="doors", second=(0.7, 0.7, 0.7), scale=w / 3)
        tv = self.within(0.75, 1.0) * min(w, 1.4)
        foot = put("tv", Paint((0.06, 0.06, 0.07)), (0, h, 0), (0.4 * tv, 0.06, 0.2))
        return (
            [put("furniture", doors, (0, 0, 0), (w, h, d)), foot, *moved(self.telly(tv), (0, h + 0.06, 0))],
            w,
            d,
            h + 0.9,
        )

    def heap(self) -> tuple[Piece, float, float, float]:
        """One large thing that stands on the floor."""
        return self.trinket(self.within(0.45, 0.9)), 0.6, 0.6, 0.9

    # On the wall: (piece, width, height, lowest height), the wall at z = 0 ---------------------------------------

    def window(self) -> tuple[Piece, float, float, float]:
        w, h, frame = self.within(0.9, 1.9), self.within(0.9, 1.25), Paint((0.9, 0.9, 0.88))
        sky = colorsys.hsv_to_rgb(self.within(0.52, 0.62), self.within(0.1, 0.5), 0.98)
        pane = Paint(sky, (0.3, 0.42, 0.25), "sky", 1.0, self.below(999))
        piece = [
            put("window", frame, (0, 0, 0), (w, h, 0.06)),
            put("window", pane, (0, 0.05, 0), (w - 0.1, h - 0.1, 0.08)),
        ]
        if self.chance(0.5):
            cloth = self.hue(0.6, 0.9)
            folds = Paint(cloth, (cloth[0] * 0.6, cloth[1] * 0.6, cloth[2] * 0.6), "folds", 0.11)
            piece += [
                put("window", folds, (x, -0.15, 0.05), (0.34, h + 0.3, 0.08)) for x in (-w / 2 - 0.1, w / 2 + 0.1)
            ]
            w += 0.5
        return piece, w, h, self.within(0.92, 1.05)

    def picture(self) -> tuple[Piece, float, float, float]:
        w, h = self.within(0.35, 1.0), self.within(0.35, 0.75)
        art = Paint(self.hue(0.8, 0.9), self.hue(0.6, 0.95), "canvas", 1.0, self.below(999))
        frame = Paint(self.wood()) if self.chance(0.6) else Paint((0.08, 0.08, 0.08))
        piece = [
            put("picture", frame, (0, 0, 0), (w, h, 0.05)),
            put("picture", art, (0, 0.03, 0), (w - 0.06, h - 0.06, 0.06)),
        ]
        return piece, w, h, self.within(1.2, 1.5)

    def screen(self) -> tuple[Piece, float, float, float]:
        w = self.within(0.8, 1.3)
        return moved(self.telly(w), (0, 0, 0.03)), w, 0.58 * w, self.within(1.0, 1.2)

    def door(self) -> tuple[Piece, float, float, float]:
        leaf = self.joinery()._replace(pattern="doors", second=(0.8, 0.75, 0.5), scale=0.9)
        return [put("wall", leaf, (0, 0, 0), (0.9, 2.02, 0.06))], 0.95, 2.02, 0.0
