"""What the world :mod:`mtlkit.worlds.faces` draws with: many small outlines, strokes and soft spots at once."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from mtlkit.worlds._easel import FINER, Easel, Outline, Patch
from mtlkit.worlds._paints import Array, Colour, Paint


class Pen:
    """Paints a face on an easel: places are relative to the middle between the eyes, as if seen from the front; what
    lies on the face is turned with it.

    Outlines, strokes and soft spots are collected and laid down together: one by one they would cost five times more.

    Args:
        e: where to paint.
        at: the middle between the eyes.
        wide: half the width of the face.
        yaw: how far the face turns to the right of the image, -1 to 1.
    """

    def __init__(self, e: Easel, at: tuple[float, float], wide: float, yaw: float) -> None:
        self.e, self.at, self.wide, self.yaw = e, np.array(at), wide, yaw
        self._outlines: list[Outline | None] = []  # None: the next stroke
        self._turns: list[bool] = []
        self._strokes: list[tuple[Sequence[float], Sequence[float]]] = []
        self._widths: list[float] = []
        self._fills: list[tuple[int, ...]] = []
        self._spots: list[tuple[float, ...]] = []

    def turned(self, points: Outline) -> Outline:
        """Points ``(N, 2)`` of the face after its turn: those in the middle are nearest and move most."""
        ahead = (1 - (points[:, :1] / self.wide) ** 2).clip(0)
        return points + ahead * (0.13 * self.yaw, 0.0)

    def put(self, outline: Outline, colour: Colour, share: float = 1.0, *, flat: bool = False) -> None:
        """Lay a colour over an outline, by ``share``; ``flat``: one that is not on the face."""
        self._outlines.append(outline)
        self._turns.append(not flat)
        self._fills.append(_fill(colour, share))

    def line(self, x: Sequence[float], y: Sequence[float], width: float, colour: Colour, share: float) -> None:
        """Lay a stroke on the face through three points, thickest in its middle."""
        if share > 0.02:
            self._outlines.append(None)
            self._turns.append(True)
            self._strokes.append((x, y))
            self._widths.append(width)
            self._fills.append(_fill(colour, share))

    def paint(self) -> None:
        """Lay down outlines and strokes in the order of their calls."""
        if not self._outlines:
            return
        e = self.e
        strokes = iter(_strokes(np.array(self._strokes), np.array(self._widths)) if self._strokes else ())
        outlines = [next(strokes) if each is None else each for each in self._outlines]
        flat = np.concatenate(outlines)
        turns = np.repeat(self._turns, [len(each) for each in outlines])[:, None]
        corners = np.where(turns, self.turned(flat), flat) + self.at
        path = ((corners @ (e.camera.T * (e.size / 2)) + e.size / 2) * FINER - 0.5).ravel().tolist()
        shown = (e.colour.clip(0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8).transpose(1, 2, 0)
        fine = Image.fromarray(np.ascontiguousarray(shown)).resize((e.size * FINER,) * 2, Image.Resampling.NEAREST)
        pen, start = ImageDraw.Draw(fine, "RGBA"), 0
        for outline, fill in zip(outlines, self._fills, strict=True):
            end = start + 2 * len(outline)
            pen.polygon(path[start:end], fill=fill)
            start = end
        e.colour = np.asarray(fine.reduce(FINER)).transpose(2, 0, 1) * np.float32(1 / 255)
        self._outlines, self._turns, self._strokes, self._widths, self._fills = [], [], [], [], []

    def glow(self, x: float, y: float, across: float, down: float, share: float, tone: Colour) -> None:
        """Tint a soft spot of the face: its colour times ``tone``, by ``share``."""
        self._spots.append((x, y, across, down, *(share * (each - 1) for each in tone)))

    def tint(self, face: Patch, rough: float) -> None:
        """Lay down the soft spots where the ``face`` is, whose tone varies by ``rough``."""
        e, spots = self.e, np.array(self._spots)
        places = (self.turned(spots[:, :2]) + self.at) @ e.camera.T
        line = np.linspace(-1, 1, 2 * e.size + 1)[1::2]
        zoom = math.sqrt(abs(np.linalg.det(e.camera)))
        # Upright bells: a head leans too little for the lean of its soft spots to show.
        across, down = (np.exp(-(((line - places[:, k, None]) / (zoom * spots[:, 2 + k, None])) ** 2)) for k in (0, 1))
        tints = (spots[:, 4:].T[:, None] * down.T) @ across
        share = tints[:, *face.box].clip(-0.75, 0.75).astype(np.float32) + np.float32(rough) * e.fine[face.box]
        e.colour[:, *face.box] *= 1 + share * face.share
        self._spots = []

    def solid(self, outline: Outline, paint: Paint, round_: float, share: float = 1.0, rough: float = 0.0) -> Patch:
        """Paint something that bulges at once; what was put before must have been painted."""
        patch = self.e.cover([outline + self.at])
        patch = patch._replace(share=patch.share * np.float32(share))
        self.e.lay(patch, paint, rough=rough)
        self.e.emboss(patch, round_, 0.4)
        return patch


def _fill(colour: Colour, share: float) -> tuple[int, ...]:
    return tuple(int(255 * min(max(value, 0.0), 1.0) + 0.5) for value in (*colour, share))


# The curve through the points at 0, 1/2 and 1, and how thick a stroke is along it.
_ALONG = np.linspace(0, 1, 7)
_CURVE = np.stack([(1 - _ALONG) * (1 - 2 * _ALONG), 4 * _ALONG * (1 - _ALONG), _ALONG * (2 * _ALONG - 1)], 1)
_THICK = 0.5 * np.sqrt(np.sin(math.pi * _ALONG.clip(0.04, 0.96)))[:, None]


def _strokes(through: Array, widths: Array) -> Outline:
    """Outlines ``(N, 14, 2)`` of strokes of ``widths`` ``(N,)`` through x and y of three points, ``(N, 2, 3)``."""
    points = _CURVE @ through.swapaxes(1, 2)
    along = np.gradient(points, axis=1)
    across = along[..., ::-1] * (-1, 1) / (np.hypot(along[..., 0], along[..., 1])[..., None] + 1e-9)
    half = across * _THICK * widths[:, None, None]
    return np.concatenate([points - half, (points + half)[:, ::-1]], 1)


def arc(wide: float, high: float, power: float, y: float = 0.0, n: int = 17) -> Outline:
    """Half an oval of ``n`` points from ``(-wide, y)`` by ``(0, y + high)`` to ``(wide, y)``; 2 is round, more boxy."""
    turn = np.linspace(-math.pi / 2, math.pi / 2, n)
    s = np.cos(turn).clip(0)
    return np.stack([wide * np.sign(turn) * (1 - s**power).clip(0) ** (1 / power), y + high * s], 1)


def band(x: Array, upper: Array, lower: Array) -> Outline:
    """What lies between two curves."""
    return np.concatenate([np.stack([x, upper], 1), np.stack([x, lower], 1)[::-1]])
