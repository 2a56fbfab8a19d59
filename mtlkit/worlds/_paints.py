"""Patterns on the surfaces of the worlds: looked up at a point of a face, blurred to the pixel."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]


class Paint(NamedTuple):
    """A pattern of :data:`PATTERNS` in two colours; ``scale`` is its period in metres."""

    first: Colour
    second: Colour = (0.5, 0.5, 0.5)
    pattern: str = "plain"
    scale: float = 1.0
    phase: int = 0


class Spots(NamedTuple):
    """Where a paint is looked up, ``(N,)`` each: ``u, v`` in periods, ``s, t`` in -1..1 over the face, ``grain`` the
    pixel's size in periods, by which patterns are blurred so that they do not alias."""

    u: Array
    v: Array
    s: Array
    t: Array
    grain: Array


def _bars(x: Array, width: float, grain: Array) -> Array:
    """How much of each pixel lies on bars of ``width`` periods, one a period: a pulse train under a box filter."""

    def area(at: Array) -> Array:
        whole = np.floor(at)
        return whole * np.float32(width) + np.minimum(at - whole, np.float32(width))

    return (area(x + grain / 2) - area(x - grain / 2)) / grain


def _hash(n: Array, phase: int) -> Array:
    """A value in 0..1 for every integer, the same on every machine."""
    mixed = (n.astype(np.int64) * 2654435761 + phase * 40503 + 12345) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
    return ((mixed >> 12) & 0xFFFF).astype(np.float32) / np.float32(65535)


def _blend(first: Any, second: Any, amount: Array) -> Array:
    first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
    mixed: Array = first + (second - first) * amount[:, None]
    return mixed


def _planks(at: Spots, paint: Paint) -> Array:
    row = np.floor(at.v)
    tone = 0.7 * _hash(row * 31 + np.floor(at.u / 7 + _hash(row, paint.phase)), paint.phase)
    return _blend(_blend(paint.first, paint.second, tone), (0.1, 0.06, 0.03), 0.6 * _bars(at.v, 0.06, at.grain))


def _tiles(at: Spots, paint: Paint) -> Array:
    joint = np.maximum(_bars(at.u, 0.05, at.grain), _bars(at.v, 0.05, at.grain))
    shade = 1 + 0.12 * (_hash(np.floor(at.u) * 57 + np.floor(at.v), paint.phase) - 0.5)
    return _blend(np.multiply(shade[:, None], paint.first), paint.second, joint)


def _checks(at: Spots, paint: Paint) -> Array:
    across, along = _bars(at.u, 0.5, at.grain), _bars(at.v, 0.5, at.grain)
    return _blend(paint.first, paint.second, across + along - 2 * across * along)


def _plaid(at: Spots, paint: Paint) -> Array:
    return _blend(paint.first, paint.second, (_bars(at.u, 0.3, at.grain) + _bars(at.v, 0.3, at.grain)) / 2)


def _dots(at: Spots, paint: Paint) -> Array:
    u, v = at.u - np.floor(at.u) - 0.5, at.v - np.floor(at.v) - 0.5
    edge = np.clip((0.3 - np.sqrt(u * u + v * v)) / np.maximum(at.grain, 0.05) + 0.5, 0, 1)
    sharp = np.clip(1.6 - 1.5 * at.grain, 0, 1)  # far away a dot is its mean, pi 0.3^2
    return _blend(paint.first, paint.second, edge * sharp + 0.28 * (1 - sharp))


def _bricks(at: Spots, paint: Paint) -> Array:
    row = np.floor(2 * at.v)
    across = at.u + 0.5 * (row % 2)
    joint = np.maximum(_bars(across, 0.1, at.grain), _bars(2 * at.v, 0.2, 2 * at.grain))
    shade = 1 + 0.3 * (_hash(row * 57 + np.floor(across), paint.phase) - 0.5)
    return _blend(np.multiply(shade[:, None], paint.first), paint.second, joint)


def _zigzag(at: Spots, paint: Paint) -> Array:
    tooth = np.abs(at.v - np.floor(at.v) - 0.5)
    return _blend(paint.first, paint.second, _bars(at.u + tooth, 0.5, at.grain))


def _panes(at: Spots, paint: Paint) -> Array:
    pane = _bars(at.u, 0.5, at.grain) * _bars(at.v, 0.55, at.grain)
    lit = 0.35 + 0.65 * _hash(np.floor(at.u) * 57 + np.floor(at.v), paint.phase)
    return _blend(paint.first, paint.second, pane * lit)


def _spines(at: Spots, paint: Paint) -> Array:
    which = np.floor(at.u)
    hue, light = _hash(which, paint.phase), 0.3 + 0.6 * _hash(which, paint.phase + 1)
    cover = light[:, None] * (0.55 + 0.45 * np.cos(2 * np.pi * (hue[:, None] + np.array([0, 0.33, 0.67], np.float32))))
    cover = _blend(cover, (0.85, 0.8, 0.6), 0.7 * (np.abs(at.t - 0.3) < 0.12) * (hue > 0.4))
    top = 0.35 + 0.6 * _hash(which, paint.phase + 2)  # books of different heights: the dark shelf shows above
    return _blend(cover, (0.06, 0.05, 0.05), np.maximum(_bars(at.u, 0.12, at.grain), at.t > top))


def _doors(at: Spots, paint: Paint) -> Array:
    gap = np.maximum(_bars(at.u + 0.02, 0.04, at.grain), _bars(at.v + 0.02, 0.04, at.grain))
    u, v = at.u - np.floor(at.u), at.v - np.floor(at.v)
    knob = (np.abs(u - 0.5) < 0.1) & (np.abs(v - 0.75) < 0.05)
    return _blend(_blend(paint.first, paint.second, knob.astype(np.float32)), (0.1, 0.08, 0.06), 0.75 * gap)


def _canvas(at: Spots, paint: Paint) -> Array:
    turn = paint.phase % 7
    hills = np.sin(2.5 * at.s + turn) * 0.35 + np.sin(6 * at.s + 2 * turn) * 0.1
    art = _blend(
        _blend(paint.second, (0.95, 0.93, 0.85), (at.t + 1) / 2), paint.first, np.clip((hills - at.t) * 9, 0, 1)
    )
    sun = (at.s - 0.4 * math.cos(turn)) ** 2 + (at.t - 0.45) ** 2 < 0.05
    art = _blend(art, paint.first[::-1], sun.astype(np.float32))
    border = np.maximum(np.abs(at.s), np.abs(at.t)) > (0.72 if paint.pattern == "canvas" and paint.phase % 2 else 2)
    return _blend(art, (0.93, 0.92, 0.88), border.astype(np.float32))


def _sky(at: Spots, paint: Paint) -> Array:
    view = _blend((0.97, 0.98, 1.0), paint.first, np.clip(0.5 + 0.5 * at.t, 0, 1))
    trees = np.sin(5 * at.s + paint.phase % 6) * 0.15 + np.sin(13 * at.s) * 0.05 - 0.45
    view = _blend(view, paint.second, np.clip((trees - at.t) * 8, 0, 1) * 0.75)
    bars = np.minimum(np.abs(at.s), np.abs(at.t - 0.25) if paint.phase % 2 else np.inf)
    return _blend(view, (0.8, 0.8, 0.78), np.clip(1.5 - bars * 25, 0, 1))


def _screen(at: Spots, paint: Paint) -> Array:
    glare = np.clip(1 - np.abs(at.s * 0.7 + at.t - 0.6) * 1.5, 0, 1) * 0.25
    return _blend(_canvas(at, paint) * 0.8 if paint.phase % 3 == 0 else (0.03, 0.03, 0.04), (0.6, 0.7, 0.8), glare)


PATTERNS: dict[str, Callable[[Spots, Paint], Array]] = {
    "plain": lambda at, paint: np.tile(np.array(paint.first, np.float32), (len(at.u), 1)),
    "planks": _planks,
    "tiles": _tiles,
    "checks": _checks,
    "plaid": _plaid,
    "dots": _dots,
    "stripes": lambda at, paint: _blend(paint.first, paint.second, _bars(at.u, 0.5, at.grain)),
    "folds": lambda at, paint: _blend(paint.first, paint.second, 0.5 + 0.5 * np.sin(2 * np.pi * at.u)),
    "bricks": _bricks,
    "zigzag": _zigzag,
    "panes": _panes,
    "spines": _spines,
    "doors": _doors,
    "canvas": _canvas,
    "sky": _sky,
    "screen": _screen,
}
GLOW = {"sky": 1.0, "screen": 0.25}
"""Patterns that shine by themselves, in display units."""
