"""The embedded world ``places``: one drawn scene an image, for image classification.

What makes a class is its layout: where the horizon lies, what stands upright, what runs to a vanishing point. Colours,
textures, light and noise are those of :mod:`mtlkit.worlds.objects`, and things from there stand about in the scenes.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtlkit.worlds import _easel
from mtlkit.worlds._easel import Easel, Outline, Shape, View, below, box, mix, moved, oval, polygon
from mtlkit.worlds._paints import Array, Colour, Paint
from mtlkit.worlds.objects import THINGS

REVISION = 1
"""Raised when the images change on purpose; part of the identity of whatever was trained on them."""

# Read by mtlkit.worlds.world without importing this module: literals.
DRAWS = "scenes, one class per image"
LAYOUT = "imagefolder"
SQUARE = True
COUNTS = "images of a class"

EDGE = 1.35
"""How far a scene is laid out to either side, so that no camera sees its end."""


# --- what several scenes have ---


def _line(e: Easel, y: float, rough: float, bumps: float = 3.0, n: int = 40) -> tuple[Array, Array]:
    """A wavy line across the image around the height ``y``."""
    x = np.linspace(-EDGE, EDGE, n)
    wave = np.sin(x * bumps * e.within(0.7, 1.4) + e.within(0, 6)) + 0.5 * np.sin(x * bumps * 2.7 + e.within(0, 6))
    return x, y + rough * wave


def _sky(e: Easel, horizon: float, hour: str = "") -> Colour:
    """A sky down to ``horizon``, with clouds and at times a sun; gives the colour of the haze at its foot."""
    hour = hour or ("day", "day", "day", "dull", "dusk", "dusk", "night")[e.count(0, 6)]
    top = e.of("water")
    low = mix(e.of("lime"), top, e.within(0, 0.4))
    if hour == "dull":
        top = mix(e.of("stone"), top, 0.2)
    if hour == "dusk":
        low = mix(e.of("brick", "sand"), e.of("cloth"), 0.3)
    if hour == "night":
        top, low = mix(top, (0.02, 0.02, 0.06), 0.8), mix(low, (0.05, 0.06, 0.12), e.within(0.55, 0.85))
    down = np.clip((e.y + 1.1) / (horizon + 1.1), 0, 1)
    e.colour[:] = np.array(top, np.float32)[:, None, None]
    e.fill(e.everywhere()._replace(share=down), low)
    if hour != "night" and e.chance(0.3):
        x, y, r = e.within(-0.9, 0.9), e.within(-0.9, horizon - 0.1), e.within(0.08, 0.16)
        e.fill(e.cover([oval(x, y, r)]), mix((1, 0.95, 0.8), low, 0.25))
    if hour != "night" and e.chance(0.7):
        cloud = np.clip(e.coarse + 0.4 * e.fine - e.within(-0.3, 0.8), 0, 1) * np.float32(e.within(0.3, 0.9))
        e.fill(e.everywhere()._replace(share=cloud * (1 - np.square(down * down))), mix(low, (1, 1, 1), 0.6))
    return low


def _ground(e: Easel, x: float, horizon: float, *, along: bool) -> View:
    """A plane that runs to the horizon; ``along`` says which way its pattern is not to alias, towards it or across."""
    depth = 1 / np.maximum(e.y - np.float32(horizon), np.float32(0.02))
    return View((e.x - np.float32(x)) * depth, depth, e.pixel * (depth * depth if along else depth))


def _side(e: Easel, x: float, horizon: float, away: float) -> View:
    """An upright plane parallel to the sight, ``away`` to the right of it: ``u`` runs in depth, ``v`` down."""
    side = (e.x - np.float32(x)) * np.float32(math.copysign(1, away))
    depth = abs(away) / np.maximum(side, np.float32(0.03))
    return View(depth, (e.y - np.float32(horizon)) * depth, e.pixel * depth * depth / abs(away) * 0.7)


def _panel(x: float, horizon: float, away: float, near: float, far: float, top: float, foot: float) -> Outline:
    """Part of such a plane, from the depth ``near`` to ``far`` and from ``top`` down to ``foot``."""
    return polygon(
        (x + away / near, horizon + top / near),
        (x + away / far, horizon + top / far),
        (x + away / far, horizon + foot / far),
        (x + away / near, horizon + foot / near),
    )


def _strip(x: float, horizon: float, half: float, height: float, near: float, far: float) -> Outline:
    """A level strip straight ahead, ``height`` below the eye, ``half`` to either side, between two depths."""
    foot, head = horizon + height / near, horizon + height / far
    return polygon((x - half / near, foot), (x - half / far, head), (x + half / far, head), (x + half / near, foot))


def _put(e: Easel, shape: Shape, first: Colour, second: Colour, bulge: float = 0.35) -> None:
    """Something that stands in the scene, in two colours."""
    body, trim = e.covers(shape)
    e.lay(body, e.paint(first, ("plain", "plain", "dots", "stripes"))._replace(scale=0.1), rough=0.08)
    e.lay(trim, Paint(second), rough=0.08)
    e.emboss(e.union(body, trim), 0.08, bulge)


def _trees(e: Easel, n: int, y: float, size: float, haze: Colour, far: float) -> None:
    """``n`` trees with their feet around ``y``, ``far`` of the way into the haze."""
    leaf, wood = mix(e.of("leaf"), haze, far), mix(e.of("wood"), haze, far)
    shapes: Shape = []
    for x in e.some(n, -1.1, 1.1):
        high = size * e.within(0.7, 1.3)
        shapes += moved(THINGS["tree"].shape(e), x, y - 0.9 * high + e.within(-0.02, 0.04), 0.7 * high, high)
    _put(e, shapes, leaf, wood)


# --- the scenes ---


def _beach(e: Easel) -> None:
    horizon, side = e.within(-0.45, 0.0), 1 if e.chance(0.5) else -1
    haze = _sky(e, horizon)
    water = e.of("water")
    e.lay(e.cover([box(-EDGE, horizon, EDGE, 1.6)]), Paint(mix(water, haze, 0.3)), rough=0.03)
    waves = Paint(
        mix(water, (0, 0, 0.1), 0.1), mix(water, (1, 1, 1), e.within(0.2, 0.5)), "stripes", e.within(0.3, 0.6)
    )
    sea, plane = e.cover([box(-EDGE, horizon + 0.03, EDGE, 1.6)]), _ground(e, 0, horizon, along=True)
    crests = plane._replace(u=plane.v + 0.12 * np.sin(7 * plane.u) + 0.1 * e.coarse, v=plane.u)
    e.lay(sea, waves, crests, 0.05)
    if e.chance(0.5):
        at = e.within(-0.8, 0.8)
        _put(e, moved(THINGS["boat"].shape(e), at, horizon - 0.02, e.within(0.1, 0.2)), e.of(), e.of("lime"))
    x = np.linspace(-EDGE, EDGE, 48)
    shore = e.within(0.3, 0.5) + side * x * e.within(0.25, 0.55)
    shore = shore + e.within(0.04, 0.1) * np.sin(x * e.within(3, 6) + e.within(0, 6))
    shore = np.maximum(shore, horizon + 0.04)
    sand = e.of("sand", "lime")
    e.fill(e.cover([below(x, shore - e.within(0.06, 0.12))]), (0.97, 0.98, 0.98))
    e.lay(e.cover([below(x, shore)]), Paint(mix(sand, (0.2, 0.15, 0.1), 0.35)), rough=0.05)
    dry = Paint(sand, mix(sand, (0.4, 0.3, 0.2), 0.3), "dots", 0.12)
    e.lay(e.cover([below(x, shore + e.within(0.08, 0.16))]), dry, rough=0.1)
    for _ in range(e.count(0, 3)):
        at = side * e.within(0.0, 0.9)
        low = float(np.interp(at, x, shore)) + e.within(0.15, 0.3)
        big = e.within(0.2, 0.32)
        _put(e, moved(THINGS["umbrella"].shape(e), at, low - big, big), e.of("cloth"), e.of("lime"))
    if e.chance(0.4):
        _palm(e, side * e.within(0.5, 0.9), e.within(0.6, 0.95), e.within(0.7, 1.1))


def _palm(e: Easel, x: float, y: float, high: float) -> None:
    """A palm tree with its foot at ``(x, y)``."""
    lean, crown = e.within(-0.25, 0.25), []
    top = (x + lean, y - high)
    stem = polygon(
        (x - 0.05, y), (x + lean / 3 - 0.04, y - high / 2), top, (x + lean / 3 + 0.04, y - high / 2), (x + 0.05, y)
    )
    for turn in e.some(7, -0.4, math.pi + 0.4):
        c, s, r = math.cos(turn), -0.6 * math.sin(turn), e.within(0.3, 0.42)
        mid = (top[0] + 0.6 * r * c, top[1] + 0.6 * r * s - 0.05)
        crown.append(polygon(top, mid, (top[0] + r * c, top[1] + r * s + 0.1), (mid[0], mid[1] + 0.09)))
    _put(e, [("trim", stem), *(("body", frond) for frond in crown)], e.of("leaf"), e.of("wood"))


def _corridor(e: Easel) -> None:
    x, eye, end = e.within(-0.3, 0.3), e.within(-0.25, 0.2), e.within(3.2, 6.0)
    wide, up, down = e.within(0.7, 1.0), -e.within(0.6, 0.85), e.within(0.6, 0.85)
    near = 0.25
    wall, ceiling = e.paint(e.of("lime", "stone", "cloth"))._replace(scale=e.within(0.3, 0.6)), e.of("lime", "stone")
    floor = e.paint(e.of("wood", "stone", "brick"), ("tiles", "checks", "planks", "plain"))
    floor = floor._replace(scale=e.within(0.3, 0.6))
    left, right = x - wide / end, x + wide / end
    top, foot = eye + up / end, eye + down / end
    e.lay(e.everywhere(), Paint(ceiling), rough=0.04)
    ground = polygon(
        (x - wide / near, eye + down / near), (left, foot), (right, foot), (x + wide / near, eye + down / near)
    )
    e.lay(e.cover([ground]), floor, _ground(e, x, eye, along=True), 0.05)
    doors = e.of("wood", "cloth")
    for away in (-wide, wide):
        patch = e.cover([_panel(x, eye, away, near, end, up, down)])
        e.lay(patch, wall, _side(e, x, eye, away), 0.05)
        e.light[patch.box] *= 1 - np.float32(0.3 if away * e.sun[0] > 0 else 0.08) * patch.share
        e.lay(e.cover([_panel(x, eye, away, near, end, down * 0.88, down)]), Paint(mix(doors, (0, 0, 0), 0.3)))
        at, step = e.within(0.9, 1.4), e.within(0.9, 1.5)
        high = up * e.within(0.4, 0.65)
        leaves = [_panel(x, eye, away, z, min(z + 0.45, end), high, down) for z in np.arange(at, end, step)]
        e.lay(e.cover(leaves), Paint(doors), rough=0.04)
    lamp = e.within(0.12, 0.3) * wide
    depths = np.arange(e.within(0.6, 1.1), end - 0.4, e.within(0.8, 1.2))
    lamps = [_strip(x, eye, lamp, up, z, z + 0.4) for z in depths]
    e.fill(e.cover(lamps), (1, 1, 0.95))
    e.lay(e.cover([box(left, top, right, foot)]), Paint(mix(wall.first, (1, 1, 1), e.within(0, 0.5))))
    if e.chance(0.7):
        half = (right - left) * e.within(0.2, 0.3)
        e.fill(e.cover([box(x - half, top + 0.35 * (foot - top), x + half, foot)]), e.of("wood", "lime", "water"))


def _desert(e: Easel) -> None:
    horizon = e.within(-0.25, 0.2)
    haze = _sky(e, horizon)
    sand = e.of("sand", "sand", "brick")
    for k, near in enumerate(np.linspace(0, 1, e.count(3, 4))):
        # A dune rises gently and falls steeply behind a sharp crest: a skewed triangle wave.
        x = np.linspace(-EDGE, EDGE, 60)
        period, skew = e.within(0.9, 1.5) * (1 + near), e.within(0.6, 0.8)
        if e.sun[0] > 0:
            skew = 1 - skew
        phase = (x / period + e.within(0, 1)) % 1
        rise = np.where(phase < skew, phase / skew, (1 - phase) / (1 - skew))
        high = e.within(0.14, 0.26) * (0.6 + 0.5 * near)
        y = horizon + 0.9 * near * near + 0.12 * near + 0.1 - high * rise * rise * (1.4 - 0.4 * rise)
        tone = mix(mix(sand, haze, 0.5 * (1 - near)), e.of("sand"), 0.15)
        patch = e.cover([below(x, y)])
        ripple = Paint(tone, mix(tone, (0.25, 0.12, 0.05), 0.14), "folds", e.within(0.12, 0.2) * (0.5 + near))
        plane = e.flat(e.within(1.2, 1.9))
        e.lay(patch, ripple, plane._replace(u=plane.u + 0.06 * e.coarse), 0.04)
        steep = (phase > skew) if skew > 0.5 else (phase < skew)
        dark = np.interp(e.x, x, steep.astype(np.float64)).astype(np.float32)[patch.box] * patch.share
        crest = np.interp(e.x, x, y).astype(np.float32)[patch.box]
        e.light[patch.box] *= 1 - np.float32(0.6) * dark * np.clip(1.3 - (e.y[patch.box] - crest) / 0.35, 0, 1)
        if k and e.chance(0.35):
            _cactus(e, e.within(-0.9, 0.9), horizon + 0.9 * near * near + 0.2, e.within(0.2, 0.3) * (0.6 + near))


def _cactus(e: Easel, x: float, y: float, high: float) -> None:
    """A cactus with its foot at ``(x, y)``."""
    w, a, b = 0.14 * high, e.within(0.35, 0.6) * high, e.within(0.35, 0.6) * high
    limbs = [box(x - w, y - high, x + w, y), oval(x, y - high, w), box(x - 4 * w, y - a, x, y - a + 1.5 * w)]
    limbs += [box(x - 4 * w, y - a - 0.3 * high, x - 2.5 * w, y - a + w), box(x, y - b, x + 4 * w, y - b + 1.5 * w)]
    limbs.append(box(x + 2.5 * w, y - b - 0.3 * high, x + 4 * w, y - b + w))
    _put(e, [("body", limb) for limb in limbs], mix(e.of("leaf"), (0, 0.1, 0), 0.3), (0, 0, 0), 0.6)


def _field(e: Easel) -> None:
    horizon, x = e.within(-0.35, 0.1), e.within(-0.7, 0.7)
    haze = _sky(e, horizon)
    if e.chance(0.5):
        e.lay(e.cover([below(*_line(e, horizon - 0.06, 0.04, 2))]), Paint(mix(e.of("leaf"), haze, 0.5)))
    _trees(e, e.count(0, 7), horizon + 0.01, e.within(0.06, 0.14), haze, 0.35)
    crop, soil = e.of("leaf", "sand"), mix(e.of("wood"), (0.2, 0.1, 0.05), 0.3)
    rows = Paint(crop, mix(soil, crop, e.within(0.0, 0.3)), "stripes", e.within(0.3, 0.6))
    land = e.cover([box(-1.5, horizon, 1.5, 1.6)])
    e.lay(land, rows, _ground(e, x, horizon, along=False), 0.1)
    if e.chance(0.35):
        house = moved(THINGS["house"].shape(e), e.within(-0.8, 0.8), horizon - 0.05, e.within(0.1, 0.17))
        _put(e, house, e.of("lime", "brick"), e.of("brick", "wood"))
    if e.chance(0.4):
        big = e.within(0.3, 0.5)
        foot = e.within(horizon + 0.1, horizon + 0.4)
        _put(
            e,
            moved(THINGS["tree"].shape(e), e.within(-0.8, 0.8), foot - 0.9 * big, big * 0.9, big),
            e.of("leaf"),
            e.of("wood"),
        )
    bale = e.of("sand")
    for _ in range(e.count(0, 3)):
        y = e.within(horizon + 0.15, 0.9)
        r = 0.12 * (y - horizon) + 0.03
        at = e.within(-0.9, 0.9)
        patch = e.cover([oval(at, y, r)])
        e.shadow(patch, 0.1, 0.5)
        e.lay(patch, Paint(bale, mix(bale, (0.3, 0.2, 0), 0.5), "folds", r / 2))
        e.emboss(patch, 0.1, 0.5)


def _forest(e: Easel) -> None:
    haze = mix(e.of("leaf", "lime", "water"), (1, 1, 0.9), e.within(0.2, 0.6))
    foot = e.within(0.1, 0.4)
    e.fill(e.everywhere(), haze)
    leaf, wood, floor = e.of("leaf"), e.of("wood", "stone", "wood"), e.of("leaf", "wood", "sand")
    e.lay(e.cover([below(*_line(e, foot - 0.15, 0.03))]), Paint(mix(floor, haze, 0.4)), rough=0.15)
    for near, n, wide in ((0.25, 12, 0.025), (0.5, 8, 0.05), (0.75, 5, 0.09), (1.0, e.count(2, 3), 0.15)):
        low = foot - 0.15 + 0.9 * near * near
        trunks = []
        for x in np.linspace(-1.2, 1.2, n) + e.some(n, -1.0, 1.0) / n:
            lean, w, y = e.within(-0.08, 0.08), wide * e.within(0.6, 1.2), low + e.within(-0.08, 0.08)
            trunks.append(
                polygon(
                    (x + lean - w * 0.7, -1.5),
                    (x + lean + w * 0.7, -1.5),
                    (x + w, y - 0.1),
                    (x + 1.4 * w, y),
                    (x - 1.4 * w, y),
                    (x - w, y - 0.1),
                )
            )
            if e.chance(0.5):
                h, out = e.within(-0.9, low - 0.5), e.within(0.15, 0.4) * (0.5 + near) * (1 if e.chance(0.5) else -1)
                trunks.append(polygon((x, h), (x + out, h - 0.25), (x + out, h - 0.25 + 0.3 * w), (x, h + w)))
        tone = mix(haze, mix(wood, (0.05, 0.03, 0.02), e.within(0.1, 0.5)), near)
        patch = e.cover(trunks)
        e.lay(patch, Paint(tone, mix(tone, (0, 0, 0), 0.4), "stripes" if near > 0.6 else "plain", 0.07), rough=0.15)
        if near > 0.6:
            e.emboss(patch, wide, 0.5)
        if near < 1:
            e.lay(
                e.cover([below(*_line(e, low - 0.02, 0.02, 9))]), Paint(mix(haze, floor, 0.4 + 0.6 * near)), rough=0.2
            )
    crown = [
        oval(x, -1.05 + e.within(-0.1, 0.12), e.within(0.15, 0.35), e.within(0.12, 0.3)) for x in e.some(9, -1.2, 1.2)
    ]
    e.lay(e.cover(crown), Paint(leaf, mix(leaf, haze, 0.5), "dots", 0.12), e.flat(0.6), 0.25)
    if e.chance(0.6):
        ferns = [
            polygon((x - 0.03, 1.2), (x + lean, 1.2 - high), (x + 0.03, 1.2))
            for x, lean, high in zip(
                e.some(24, -1.1, 1.1), e.some(24, -0.15, 0.15), e.some(24, 0.25, 0.65), strict=True
            )
        ]
        e.lay(e.cover(ferns), Paint(mix(leaf, (0, 0, 0), 0.3)), rough=0.2)


def _peaks(e: Easel, n: int, foot: float, high: float) -> tuple[Array, Array, list[Outline]]:
    """A jagged ridge and the sides of its peaks that face away from the light."""
    tops = np.linspace(-0.95, 0.95, n) + e.some(n, -0.5, 0.5) / n
    heights = foot - high * e.some(n, 0.65, 1.0)
    saddles = np.concatenate([[-1.7], (tops[1:] + tops[:-1]) / 2, [1.7]])
    lows = foot - high * e.some(n + 1, 0.05, 0.4)
    x, y = np.empty(2 * n + 1), np.empty(2 * n + 1)
    x[0::2], x[1::2], y[0::2], y[1::2] = saddles, tops, lows, heights
    fine = np.unique(np.concatenate([np.linspace(-1.7, 1.7, 45), x]))
    ridge = np.interp(fine, x, y)
    jag = e.some(len(fine), -0.035, 0.035)
    jag[np.isin(fine, x)] = 0
    ridge = ridge + jag
    dark = []
    for k in range(n):
        side = 2 * k + (2 if e.sun[0] < 0 else 0)
        between = (fine >= min(x[side], tops[k])) & (fine <= max(x[side], tops[k]))
        slope = np.stack([fine[between], ridge[between]], 1)
        inner = np.linspace(0, 1, 5)[:, None]
        spur = np.array([x[side], foot + 0.2]) * (1 - inner) + np.array([tops[k], heights[k]]) * inner
        spur = spur + np.stack([e.some(5, -0.06, 0.06) + 0.15 * (tops[k] - x[side]), np.zeros(5)], 1) * (1 - inner)
        dark.append(np.concatenate([slope if x[side] < tops[k] else slope[::-1], spur[::-1]]))
    return fine, ridge, dark


def _mountain(e: Easel) -> None:
    foot = e.within(0.35, 0.7)
    haze = _sky(e, foot)
    rock = e.of("stone", "stone", "wood", "water")
    if e.chance(0.7):
        x, y, _ = _peaks(e, e.count(3, 5), foot, e.within(0.7, 1.0))
        e.lay(e.cover([below(x, y)]), Paint(mix(rock, haze, 0.65)), rough=0.05)
    high = e.within(0.95, 1.35)
    x, y, dark = _peaks(e, e.count(2, 3), foot, high)
    patch = e.cover([below(x, y)])
    e.lay(patch, Paint(mix(rock, haze, 0.15)), rough=0.15)
    snow = foot - high * e.within(0.35, 0.65) - 0.06 * (e.fine + e.coarse)
    white = np.clip((snow - e.y) / np.float32(0.06), 0, 1)[patch.box] * patch.share
    e.lay(patch._replace(share=white), Paint((0.97, 0.98, 1.0)), rough=0.03)
    shade = e.cover(dark)
    e.light[shade.box] *= 1 - np.float32(e.within(0.4, 0.65)) * shade.share
    meadow = e.of("leaf", "leaf", "stone", "sand")
    for down in (0.0, 0.25):
        x, y = _line(e, foot + down, 0.05, 2.5)
        e.lay(e.cover([below(x, y)]), Paint(mix(meadow, haze, 0.3 - down)), rough=0.15)
        _trees(e, e.count(0, 6), foot + down + 0.08, e.within(0.08, 0.13) * (1 + 3 * down), haze, 0.2)


def _lake(e: Easel) -> None:
    horizon = e.within(-0.12, 0.18)
    haze = _sky(e, horizon)
    if e.chance(0.6):
        x, y, dark = _peaks(e, e.count(2, 4), horizon, e.within(0.35, 0.65))
        rock = e.of("stone", "wood", "water")
        e.lay(e.cover([below(x, y, horizon)]), Paint(mix(rock, haze, 0.3)), rough=0.1)
        shade = e.cover(dark)
        e.light[shade.box] *= 1 - np.float32(0.35) * shade.share
    for k in range(2):
        x, y = _line(e, horizon - 0.17 + 0.1 * k, 0.05 - 0.02 * k, 2.5)
        e.lay(e.cover([below(x, y, horizon)]), Paint(mix(e.of("leaf"), haze, 0.35 - 0.3 * k)), rough=0.15)
    _trees(e, e.count(3, 9), horizon, e.within(0.1, 0.18), haze, 0.1)
    _mirror(e, horizon)
    if e.chance(0.5):
        _put(
            e,
            moved(THINGS["boat"].shape(e), e.within(-0.8, 0.8), e.within(horizon, 0.45), e.within(0.16, 0.26)),
            e.of(),
            e.of("lime"),
        )
    shore = e.of("leaf", "sand", "stone")
    if e.chance(0.75):
        x, y = _line(e, e.within(0.75, 0.95), 0.06, 2)
        e.lay(e.cover([below(x, y + e.within(-0.3, 0.3) * x)]), Paint(shore), rough=0.2)
    if e.chance(0.6):
        at, n = e.within(-0.9, 0.9), e.count(8, 16)
        reeds = [
            polygon((x - 0.02, 1.3), (x + lean, 1.0 - high), (x + 0.02, 1.3))
            for x, lean, high in zip(
                at + e.some(n, -0.35, 0.35), e.some(n, -0.1, 0.1), e.some(n, 0.1, 0.5), strict=True
            )
        ]
        e.lay(e.cover(reeds), Paint(mix(e.of("leaf"), (0, 0, 0), 0.3)))


def _mirror(e: Easel, horizon: float) -> None:
    """All that lies above ``horizon`` is seen again below it, in rippled water."""
    ripple = np.float32(e.within(0.01, 0.04)) * np.sin((e.y - horizon) * e.within(40, 70) + 2 * e.coarse)
    seen = np.stack([e.x + ripple, 2 * np.float32(horizon) - e.y + ripple], -1) @ e.camera.T.astype(np.float32)
    at = np.clip(((seen + 1) * (e.size / 2)).astype(np.intp), 0, e.size - 1)
    water = np.array(mix(e.of("water"), (0.1, 0.15, 0.2), 0.3), np.float32)
    depth = np.clip((e.y - horizon) / (1 - horizon), 0, 1)
    image = (e.colour * np.sqrt(np.maximum(e.light, 0)))[:, at[..., 1], at[..., 0]]
    image += (water[:, None, None] - image) * (np.float32(0.15) + np.float32(0.5) * depth)
    e.fill(e.cover([box(-1.5, horizon, 1.5, 1.6)]), image)
    patch = e.cover([box(-1.5, horizon, 1.5, horizon + 0.025)])
    e.fill(patch, mix((1, 1, 1), e.of("water"), 0.4))


def _night_sky(e: Easel) -> None:
    horizon = e.within(0.55, 0.85)
    _sky(e, horizon, "night")
    if e.chance(0.6):  # the Milky Way
        turn, off = e.within(0, math.pi), e.within(-0.4, 0.4)
        across = e.x * math.sin(turn) - e.y * math.cos(turn) - off
        band = np.exp(-np.square(across + 0.06 * e.coarse) * e.within(8, 20)) * (0.5 + 0.25 * e.fine + 0.2 * e.coarse)
        band = np.clip(band, 0, 1) * np.float32(e.within(0.2, 0.5))
        e.colour += band * np.array(e.of(), np.float32)[:, None, None]
    n = e.count(25, 70)
    stars = [
        oval(x, y, r)[::4]
        for x, y, r in zip(
            e.some(n, -1.1, 1.1), e.some(n, -1.1, horizon), 0.012 + 0.03 * e.some(n, 0, 1) ** 3, strict=True
        )
    ]
    e.fill(e.cover(stars), mix((1, 1, 1), e.of(), 0.15))
    if e.chance(0.55):
        x, y, r = e.within(-0.75, 0.75), e.within(-0.75, 0.1), e.within(0.13, 0.26)
        turn, phase = e.within(-0.6, 0.6), e.count(0, 1)
        moon: Shape = [("body", oval(0, 0, 1))] if phase else THINGS["crescent"].shape(e)
        c, s = math.cos(turn), math.sin(turn)
        moon = [(kind, outline @ np.array([[c, s], [-s, c]])) for kind, outline in moved(moon, 0, 0, r)]
        if not phase:
            e.fill(e.cover([oval(x, y, r)]), e.colour.mean((1, 2)))
        e.lay(e.covers(moved(moon, x, y, 1))[0], Paint(mix((1, 1, 0.9), e.of(), 0.1)), rough=0.08)
    dark = mix(e.of(), (0.01, 0.01, 0.02), 0.85)
    e.fill(e.cover([below(*_line(e, horizon, 0.04, 3))]), dark)
    kind = e.count(0, 2)
    if kind == 0:
        _trees(e, e.count(3, 10), horizon + 0.08, e.within(0.12, 0.22), dark, 0.95)
    elif kind == 1:
        _put(
            e,
            moved(THINGS["house"].shape(e), e.within(-0.8, 0.8), horizon - 0.1, e.within(0.15, 0.22)),
            dark,
            mix(dark, (1, 0.9, 0.5), 0.4),
        )
    e.light[:] = 1


def _skyline(e: Easel) -> None:
    foot = e.within(0.45, 0.85)
    haze = _sky(e, foot)
    night = sum(haze) < 1
    stone = e.of("stone", "brick", "lime", "water")
    for near in (0.0, 0.5, 1.0):
        x, tall = -1.4, e.within(0.55, 1.25) - 0.3 * near
        wall = mix(mix(stone, e.of("stone", "brick"), 0.3), haze, 0.55 * (1 - near))
        wall = mix(wall, (0.03, 0.03, 0.06), 0.6 if night else 0.1 + 0.4 * near)
        towers = []
        while x < EDGE:
            wide, high = e.within(0.12, 0.34), tall * e.within(0.35, 1.0)
            towers.append(box(x, foot - high, x + wide, foot))
            roof = e.count(0, 4)
            if roof == 0:
                towers.append(
                    polygon((x, foot - high), (x + wide / 2, foot - high - wide * 0.6), (x + wide, foot - high))
                )
            elif roof == 1:
                towers.append(box(x + wide * 0.25, foot - high - 0.12, x + wide * 0.75, foot - high))
            elif roof == 2:
                towers.append(box(x + wide * 0.46, foot - high - 0.2, x + wide * 0.54, foot - high))
            x += wide + (e.within(0, 0.15) if e.chance(0.6) else 0)
        glass = (1.0, 0.88, 0.5) if night else mix(wall, mix(e.of("water"), (1, 1, 1), 0.3), 0.75)
        panes = Paint(wall, glass if near else mix(wall, glass, 0.4), "panes", e.within(0.09, 0.14), e.count(0, 998))
        e.lay(e.cover(towers), panes, rough=0.05)
    if e.chance(0.45):
        _mirror(e, foot)
    else:
        front = e.of("leaf", "stone", "wood")
        e.lay(
            e.cover([box(-1.5, foot, 1.5, 1.6)]),
            e.paint(front)._replace(scale=0.5),
            _ground(e, 0, foot - 0.1, along=True),
        )
        if e.chance(0.7):
            _trees(e, e.count(3, 8), foot + 0.04, e.within(0.06, 0.12), haze, 0.1)


def _street(e: Easel) -> None:
    x, eye = e.within(-0.3, 0.3), e.within(-0.1, 0.25)
    haze = _sky(e, eye)
    down, kerb, wide, near = e.within(0.4, 0.6), e.within(0.4, 0.6), e.within(0.75, 1.0), 0.3
    pavement = e.paint(e.of("stone", "sand", "lime"), ("tiles", "plain"))._replace(scale=0.4)
    e.lay(e.cover([box(-1.5, eye, 1.5, 1.6)]), pavement, _ground(e, x, eye, along=True), 0.05)
    road = polygon((x - kerb / near, eye + down / near), (x, eye), (x + kerb / near, eye + down / near))
    e.lay(e.cover([road]), Paint(mix(e.of("stone"), (0.2, 0.2, 0.22), 0.6)), rough=0.08)
    gap = e.within(0.5, 0.8)
    marks = [_strip(x, eye, 0.03, down, z, z + gap / 2) for z in np.arange(e.within(0.4, 0.8), 6, gap)]
    e.fill(e.cover(marks), mix((1, 1, 1), e.of("sand"), 0.3))
    for away in (-wide, wide):
        view, ends, tops = _side(e, x, eye, away), [0.25], []
        while ends[-1] < 3.5:
            ends.append(ends[-1] + e.within(0.4, 0.9) * (0.6 + 0.35 * len(ends)))
        for z0, z1 in list(itertools.pairwise(ends))[::-1]:
            wall, high = mix(e.of("brick", "lime", "stone", "sand"), haze, min(0.08 * z0, 0.5)), -e.within(0.6, 1.5)
            glass = mix(mix(wall, (0, 0, 0.05), 0.6), e.of("water"), 0.3)
            panes = Paint(wall, glass, "panes", e.within(0.25, 0.4), e.count(0, 998))
            tops.append(_panel(x, eye, away, z0, z1, high, down))
            e.lay(e.cover(tops[-1:]), panes, view, 0.05)
        shops = e.cover([_panel(x, eye, away, ends[0], ends[-1], down * 0.35, down)])
        e.lay(shops, Paint(e.of(), e.of("wood"), "stripes", e.within(0.4, 0.7)), view, 0.05)
        row = e.cover(tops)
        e.light[row.box] *= 1 - np.float32(0.4 if away * e.sun[0] > 0 else 0.05) * row.share
    for z in np.arange(e.within(0.9, 1.6), 4, e.within(1.2, 1.8))[::-1] if e.chance(0.5) else ():
        side = (kerb + 0.08) * (1 if e.chance(0.5) else -1)
        shape = moved(THINGS["tree"].shape(e), x + side / z, eye + (down - 0.45) / z, 0.3 / z, 0.5 / z)
        _put(e, shape, mix(e.of("leaf"), haze, 0.08 * z), e.of("wood"))


SCENES = {
    "beach": _beach,
    "corridor": _corridor,
    "desert": _desert,
    "field": _field,
    "forest": _forest,
    "lake": _lake,
    "mountain": _mountain,
    "night_sky": _night_sky,
    "skyline": _skyline,
    "street": _street,
}
CLASSES = tuple(SCENES)
"""The 10 classes, in the order of their names."""


def draw(name: str, seed: int, split: str, index: int, size: int = 64) -> NDArray[np.uint8]:
    """Image ``index`` of the class ``name`` in ``split`` of the world of ``seed``, uint8 ``(size, size, 3)`` RGB.

    An image depends on its arguments alone, so no image is in both splits and a small set begins a bigger one.

    Raises:
        InputError: there is no such class or split.
    """
    rng = _easel.chances(name, CLASSES, seed, split, index)
    e = Easel(rng, size, roll=float(rng.uniform(-0.06, 0.06)), zoom=float(rng.uniform(1.0, 1.2)))
    SCENES[name](e)
    return e.develop()


def write(
    folder: Path, *, seed: int = 0, train: int, val: int, size: int = 64, classes: Sequence[str] = CLASSES
) -> None:
    """Write ``folder/{train,val}/CLASS/00000.png`` and so on and ``folder/world.json``, whole or not at all.

    ``train`` and ``val`` are images of each class; every PNG is RGB. Does nothing where the same world already
    lies; processes that write it at the same time all succeed.

    Raises:
        InputError: ``folder`` holds something else, or there is no such class.
    """
    _easel.write(folder, ("places", REVISION), draw, (classes, CLASSES), seed, (train, val), size)
