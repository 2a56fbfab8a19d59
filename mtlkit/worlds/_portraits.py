"""The people of the world :mod:`mtlkit.worlds.faces`: what follows from age and sex, and how it is drawn."""

import math
from typing import NamedTuple

import numpy as np

from mtlkit.worlds._easel import Easel, Outline, box, mix, oval, polygon
from mtlkit.worlds._paints import Colour, Paint
from mtlkit.worlds._pen import Pen, arc, band

_SKIN: tuple[Colour, ...] = (
    (0.97, 0.81, 0.7), (0.94, 0.75, 0.61), (0.9, 0.7, 0.53), (0.82, 0.6, 0.43), (0.68, 0.47, 0.32), (0.5, 0.33, 0.23),
)  # fmt: skip
_HAIR: tuple[Colour, ...] = (
    (0.1, 0.08, 0.08), (0.18, 0.12, 0.09), (0.3, 0.19, 0.11), (0.42, 0.27, 0.15), (0.8, 0.62, 0.32), (0.56, 0.26, 0.12),
)  # fmt: skip
_EYES: tuple[Colour, ...] = ((0.2, 0.12, 0.07), (0.28, 0.18, 0.1), (0.3, 0.45, 0.6), (0.33, 0.42, 0.25))
_DARK: Colour = (0.07, 0.05, 0.05)
_WHITE: Colour = (0.96, 0.95, 0.93)


def _up(value: float, low: float, high: float) -> float:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def _shade(colour: Colour, amount: float) -> Colour:
    return mix((0.0, 0.0, 0.0), colour, amount)


class Person(NamedTuple):
    """A person; lengths from the middle between the eyes, a grown head being about 1.4 high.

    Attributes:
        seems: how old they look.
        female: their sex.
        grown: from 0, newborn, to 1.
        man: how manly a grown face is, 0 for women and children; ``woman`` likewise.
        worn: how lined the skin is, from 0 to about 1.
        wide: half the width of the head; ``top`` and ``chin``: from the eyes to the crown and to the chin.
        apart: from the middle to an eye.
        yaw: how far the face turns to the right of the image.
        smile: from -0.3 to 1.
    """

    seems: float
    female: bool
    grown: float
    man: float
    woman: float
    worn: float
    skin: Colour
    hair: Colour
    wide: float
    top: float
    chin: float
    apart: float
    yaw: float
    smile: float


def person(e: Easel, age: int, female: bool) -> Person:
    """Somebody of this age and sex, who may look older or younger."""
    normal = e.rng.standard_normal(9).tolist()
    seems = max(0.0, age + (0.8 + 0.14 * age) * normal[0])
    grown = min((1 - math.exp(-(seems + 0.3) / 7.5)) / (1 - math.exp(-18 / 7.5)), 1.0)
    sexed = min(max(0.55 + 0.4 * normal[1], 0.0), 1.2) * _up(seems, 10, 19)
    man, woman = (0.0, sexed) if female else (sexed, 0.0)
    worn = max(0.0, _up(seems, 22, 92) * (1 + 0.25 * normal[2]))
    grey = _up(seems + 7 * normal[3], 36, 68)
    tone = e.within(0, len(_SKIN) - 1.001)
    skin = mix(_SKIN[int(tone)], _SKIN[int(tone) + 1], tone % 1)
    skin = mix(skin, (0.98, 0.72, 0.66), 0.16 * (1 - grown))
    skin = mix(skin, (0.8, 0.68, 0.58), 0.22 * worn)
    # Light hair is rare above dark skin, and commoner in children than later.
    light = tone < 2.5 and e.chance(0.35 - 0.15 * grown)
    hair = _HAIR[e.count(3, 5)] if light else _HAIR[e.count(0, 2)]
    hair = mix(hair, (0.75, 0.74, 0.73) if seems < 72 else (0.9, 0.9, 0.89), grey * e.within(0.75, 1.0))
    return Person(
        seems, female, grown, man, woman, worn, skin, hair,
        wide=0.575 - 0.06 * grown + 0.03 * man - 0.012 * woman + 0.02 * normal[4],
        top=0.7 + 0.02 * normal[5], chin=0.475 + 0.2 * grown + 0.045 * man - 0.01 * woman + 0.022 * normal[6],
        apart=0.235 - 0.012 * grown + 0.008 * normal[7],
        yaw=max(-1.0, min(1.0, 0.45 * normal[8])), smile=e.within(-0.3, 1.0),
    )  # fmt: skip


def _head(p: Person) -> Outline:
    """The outline of the head."""
    low = arc(p.wide, p.chin, 2.0 + 0.4 * p.man - 0.12 * p.woman, n=33)[::-1]
    s = low[:, 1] / p.chin
    plump = 0.05 * (1 - p.grown) * np.sin(math.pi * s) ** 2
    jowls = 0.055 * _up(p.worn, 0.35, 1.0) * np.exp(-(((s - 0.75) / 0.16) ** 2))
    hollow = -0.035 * _up(p.worn, 0.5, 1.0) * np.exp(-(((s - 0.35) / 0.16) ** 2))
    low[:, 0] += np.sign(low[:, 0]) * (plump + jowls + hollow)
    return np.concatenate([arc(p.wide, -p.top, 2.2), low])


# --- parts of an image, from back to front ---


def _backdrop(e: Easel) -> None:
    first, second = (mix(e.of(), (0.5, 0.5, 0.5), e.within(0.2, 0.6)) for _ in range(2))
    share = (0.5 + 0.3 * e.coarse + e.within(-0.4, 0.4) * e.y).clip(0, 1).astype(np.float32)
    e.fill(e.everywhere(), first)
    e.fill(e.everywhere()._replace(share=share), second)


def _shoulders(pen: Pen, p: Person) -> None:
    e = pen.e
    neck = 0.2 + 0.06 * p.grown + 0.075 * p.man - 0.01 * p.woman
    foot = p.chin + 0.16 + 0.1 * p.grown
    broad = 0.62 + 0.22 * p.grown + 0.12 * p.man
    skin = _shade(p.skin, 0.8)
    pen.put(box(-neck, 0.2, neck, foot + 0.25), skin, flat=True)
    for k in range(3):
        y = p.chin + 0.05 + 0.07 * k
        pen.line((-neck, 0, neck), (y, y + 0.04, y), 0.03, _shade(skin, 0.6), 0.5 * _up(p.worn, 0.3, 0.9))
    pen.paint()
    cloth = e.of("cloth")
    if p.seems < 14 and e.chance(0.55):  # clothes of boys and girls differ more often than not
        cloth = (0.93, 0.55, 0.68) if p.female != e.chance(0.15) else (0.35, 0.55, 0.85)
    if p.seems < 4 and e.chance(0.5):
        cloth = mix(cloth, (1.0, 1.0, 1.0), 0.55)
    cloth = mix(cloth, (0.4, 0.38, 0.4), 0.3 * _up(p.seems, 40, 75))
    pattern = ("stripes", "checks", "dots", "plaid")[e.count(0, 3)] if e.chance(0.3) else "plain"
    torso = np.concatenate([arc(broad, -0.42, 2.4, foot + 0.42), box(broad, foot + 0.42, -broad, 2.0)[2:]])
    pen.solid(torso, Paint(cloth, mix(cloth, _WHITE, 0.6), pattern, e.within(0.12, 0.2)), 0.12)
    deep = e.within(0.02, 0.08) + (0.12 if p.woman > 0.3 and e.chance(0.5) else 0.0)
    pen.put(arc(neck * 1.05, deep + 0.1, 2.0, foot - 0.03), skin, flat=True)
    if p.man > 0.3 and e.chance(0.45):  # a shirt's collar, perhaps with a tie
        for side in (-1, 1):
            flap = [(0.02, 0.14), (neck * 0.8, -0.1), (neck * 1.25, -0.02), (0.2, 0.22)]
            pen.put(polygon(*((side * x, foot + y) for x, y in flap)), _WHITE, flat=True)
        if e.chance(0.5):
            tie = polygon((-0.06, foot + 0.1), (0.06, foot + 0.1), (0.12, 1.8), (-0.12, 1.8))
            pen.put(tie, _shade(e.of("cloth"), 0.6), flat=True)


def _skin(pen: Pen, p: Person) -> None:
    e = pen.e
    ear = 0.09 + 0.025 * p.man + 0.03 * _up(p.seems, 50, 90)
    for side in (-1, 1):
        x = side * p.wide - 0.06 * p.yaw
        pen.put(oval(x, 0.08, 0.075, ear + 0.03), _shade(p.skin, 0.88), flat=True)
        pen.put(oval(x + side * 0.01, 0.09, 0.035, ear - 0.02), _shade(p.skin, 0.66), flat=True)
    pen.paint()
    head = pen.solid(_head(p), Paint(p.skin), 0.22)
    dark, red, light = (0.6, 0.6, 0.6), (1.0, 0.68, 0.66), (1.1, 1.13, 1.2)
    nose = 0.115 + 0.155 * p.grown
    rosy = 0.12 + 0.5 * (1 - p.grown) + 0.3 * p.woman * e.within(0, 1)
    for side in (-1, 1):
        pen.glow(side * p.apart, 0.0, 0.13, 0.1, 0.12 + 0.25 * p.worn, dark)  # sockets
        pen.glow(side * 0.32, nose + 0.03, 0.14, 0.12, rosy, red)
        pen.glow(side * 0.36, p.chin * 0.55, 0.12, 0.2, 0.35 * _up(p.worn, 0.25, 1.0), dark)  # hollow cheeks
        pen.glow(side * p.wide * 0.95, p.chin * 0.5, 0.12, 0.35, 0.1 + 0.3 * p.man * p.grown, dark)
    pen.glow(0, p.chin * 1.02, 0.3, 0.09, 0.3, dark)
    pen.glow(0, nose - 0.04, 0.06, 0.06, 0.7, light)
    if p.man > 0.3 and e.chance(0.5):  # a shaven beard
        pen.glow(0, p.chin * 0.85, 0.32, 0.17, 0.6, (0.6, 0.68, 0.75))
    spots = int(9 * _up(p.worn, 0.35, 1.0) * e.within(0.3, 1.4))
    for x, y in e.rng.uniform((-0.42, -0.55), (0.42, p.chin * 0.7), (12, 2))[:spots].tolist():
        pen.glow(x, y, 0.03, 0.025, 0.5, (0.55, 0.55, 0.55))
    pen.tint(head, 0.012 + 0.03 * p.worn)


def _lines(pen: Pen, p: Person) -> None:
    """What age and laughter leave in a face."""
    e = pen.e
    dark, wear = _shade(p.skin, 0.5), p.worn
    nose, mouth = 0.115 + 0.155 * p.grown, p.chin * 0.62
    begins = (0.1, 0.14, 0.05, 0.08, 0.3, 0.45)  # how worn a face is when they do
    forehead, crow, fold, bag, marionette, cheek = (0.65 * _up(wear * e.within(0.7, 1.3), x, x + 0.8) for x in begins)
    for k in range(4):
        y, half, x, rise = -0.26 - 0.085 * k, e.within(0.17, 0.32), e.within(-0.06, 0.06), e.within(-0.03, 0.01)
        pen.line((x - half, x, x + half), (y + 0.015, y + rise, y + 0.015), 0.035, dark, forehead * e.within(0.4, 1))
    for side in (-1, 1):
        pen.line((side * 0.045, side * 0.05, side * 0.045), (-0.19, -0.12, -0.06), 0.028, dark, forehead)
        out = side * (p.apart + 0.12)
        for way in (-0.06, 0.0, 0.06):
            end = out + side * 0.11
            pen.line((out, (out + end) / 2, end), (way * 0.3, way * 0.8, way * 1.5 + 0.01), 0.025, dark, crow)
        x = side * p.apart
        for drop, much in ((0.1, 1.0), (0.15, 0.6)):
            pen.line((x - 0.11, x, x + 0.11), (drop - 0.04, drop + 0.01, drop - 0.04), 0.03, dark, bag * much)
        laugh = min(0.8, fold + 0.25 * max(p.smile, 0) * p.grown)
        xs = (side * 0.12, side * 0.22, side * 0.235)
        pen.line(xs, (nose - 0.03, (nose + mouth) / 2 + 0.02, mouth + 0.05), 0.04, dark, laugh)
        xs = (side * 0.2, side * 0.225, side * 0.2)
        pen.line(xs, (mouth + 0.02, mouth + 0.09, mouth + 0.17), 0.035, dark, marionette)
        for x in (side * 0.33, side * 0.39):
            pen.line(
                (x - side * 0.04, x, x - side * 0.04), (mouth - 0.2, mouth - 0.06, mouth + 0.1), 0.025, dark, cheek
            )
    for x in (-0.1, -0.05, 0.0, 0.05, 0.1):
        pen.line((x, x, x), (mouth - 0.085, mouth - 0.06, mouth - 0.035), 0.018, dark, cheek)


def _nose(pen: Pen, p: Person) -> None:
    late = _up(p.seems, 40, 90)
    low = 0.115 + 0.155 * p.grown + 0.012 * p.man + 0.025 * late
    half = 0.06 + 0.02 * p.grown + 0.018 * p.man + 0.018 * late
    dark = _shade(p.skin, 0.5)
    x = -half * (0.6 if p.yaw > 0 else -0.6)
    pen.line((x * 0.8, x * 0.7, x * 1.3), (-0.02, low * 0.5, low), 0.035, dark, 0.15 + 0.25 * p.grown)
    pen.put(oval(0, low + 0.02, half * 1.1, 0.018), dark, 0.3)
    for side in (-1, 1):
        pen.put(oval(side * half * 0.5, low, 0.022, 0.014), _shade(p.skin, 0.25), 0.75)
        xs = side * half * 0.95, side * half * 1.2, side * half * 0.85
        pen.line(xs, (low - 0.06, low - 0.02, low + 0.012), 0.025, dark, 0.35 + 0.2 * p.grown)


def _beard(pen: Pen, p: Person) -> None:
    e = pen.e
    kind, mouth, colour = e.within(0, 1), p.chin * 0.62, _shade(p.hair, 0.85)
    if p.female or p.seems < 18:
        return
    if kind < 0.3:  # a beard, full or of some days
        full = kind < 0.16
        edge = _head(p)[17:]
        inner = np.stack([0.8 * edge[::-1, 0], 0.12 + 0.3 * np.cos(edge[::-1, 0] / p.wide * 1.4).clip(0) ** 0.7], 1)
        edge[:, 1] *= 1 + (e.within(0.02, 0.16) if full else 0.0)
        pen.put(np.concatenate([edge, inner]), colour, e.within(0.75, 0.92) if full else e.within(0.2, 0.4))
    if kind < 0.4:
        moustache = polygon((-0.2, mouth), (-0.1, 0.33), (0.1, 0.33), (0.2, mouth), (0, mouth - 0.05))
        pen.put(moustache, colour, 0.35 if 0.16 <= kind < 0.3 else 0.9)


def _mouth(pen: Pen, p: Person) -> None:
    e = pen.e
    y, half = p.chin * 0.62, 0.115 + 0.06 * p.grown + 0.03 * max(p.smile, 0)
    full = (0.04 + 0.012 * p.woman - 0.006 * p.man) * (1 - 0.6 * _up(p.worn, 0.15, 1.0)) * e.within(0.8, 1.25)
    lips = mix(p.skin, (0.72, 0.25, 0.27), 0.42 - 0.16 * p.man - 0.2 * p.worn)
    if p.woman > 0.2 and e.chance(0.55):
        lips = mix(lips, (0.8, 0.08, 0.18), e.within(0.3, 0.9))
    lift = -0.05 * p.smile + 0.03 * p.worn
    apart = e.within(0.02, 0.085) if p.smile > 0.2 and e.chance(0.6) else 0.0
    t = np.linspace(-1, 1, 11)
    middle, hump = y + lift * t**2 - lift * 0.3, 1 - t**2
    upper = middle - full * hump * (1 - 0.25 * np.exp(-((t / 0.2) ** 2)))
    pen.put(band(half * t, upper, middle + (apart + 1.3 * full) * hump), lips)
    if apart:
        pen.put(band(half * t, middle, middle + apart * hump), (0.3, 0.08, 0.09))
        if p.seems > 1.3:
            teeth = band(0.86 * half * t, middle, middle + 0.85 * apart * hump)
            pen.put(teeth, mix(_WHITE, (0.8, 0.7, 0.5), 0.4 * p.worn), 0.9)
    else:
        pen.line((-half, 0, half), (middle[0], middle[5], middle[-1]), 0.03, _shade(lips, 0.4), 0.85)
    pen.put(oval(0, y + full * 2 + apart + 0.05, 0.08, 0.018), _shade(p.skin, 0.55), 0.3)
    if p.seems < 1.8 and e.chance(0.14):  # a dummy
        pen.put(oval(0, y + 0.01, 0.17, 0.12), e.of("cloth"))
        pen.put(oval(0, y + 0.01, 0.07), _WHITE, 0.9)


def _eyes(pen: Pen, p: Person) -> None:
    e = pen.e
    half = 0.125 - 0.019 * p.grown + 0.006 * p.woman
    high = (0.08 - 0.027 * p.grown + 0.008 * p.woman) * (1 - 0.35 * _up(p.worn, 0.2, 1)) * e.within(0.85, 1.12)
    iris, colour, gaze = 0.072 - 0.02 * p.grown, _EYES[e.count(0, 3)], e.within(-0.02, 0.02)
    painted, shadow = p.woman * e.within(0, 1), e.of("cloth")
    over, weight = -0.135 - 0.015 * p.woman + 0.02 * p.man + e.within(-0.015, 0.01), e.within(0.8, 1.2)
    brow = mix(_shade(p.hair, 0.75), _shade(p.skin, 0.6), 0.2)
    droop = 0.03 * p.worn - 0.014 * p.woman
    white = mix(_WHITE, (0.9, 0.75, 0.65), 0.4 * p.worn)
    for side in (-1, 1):
        x = side * p.apart

        def lids(outline: Outline, side: int = side) -> Outline:
            """A part of the eye, as far as the lids let it be seen."""
            u = outline[:, 0] / half
            gap = np.sqrt((1 - u**2).clip(0))
            y = outline[:, 1].clip(-high * gap, 0.75 * high * gap) + droop * side * u
            return np.stack([outline[:, 0].clip(-half, half) + side * p.apart, y], 1)

        if painted > 0.4:
            pen.put(oval(x, -0.035, half, 0.06), mix(shadow, _shade(p.skin, 0.6), 0.5), 0.5)
        pen.put(lids(oval(0, 0, half, high)), white)
        for r, tone in ((iris, colour), (iris * 0.5, _DARK)):
            pen.put(lids(oval(gaze, -0.006, r)), tone)
        pen.put(lids(oval(gaze + 0.02, -0.028, 0.015)), _WHITE, 0.9)
        inner, outer = -droop - 0.004, droop - 0.004
        lid = (inner, -high - 0.006, outer) if side > 0 else (outer, -high - 0.006, inner)
        ends = x - half - 0.01, x, x + half + 0.01
        pen.line(ends, lid, 0.03 + 0.022 * painted, _DARK, 0.5 + 0.2 * p.grown + 0.3 * painted)
        pen.line(ends, [y - 0.035 for y in lid], 0.025, _shade(p.skin, 0.55), 0.2 + 0.4 * p.worn)
        pen.line(
            (x - side * 0.125, x + side * 0.02, x + side * 0.15),
            (over + 0.008, over - 0.018 - 0.016 * p.woman, over + 0.02 + 0.015 * p.worn),
            (0.034 + 0.03 * p.man - 0.006 * p.woman) * weight,
            brow,
            (0.25 + 0.62 * _up(p.seems, 0, 14)) * (1 - 0.35 * _up(p.worn, 0.3, 1)),
        )


class _Cut(NamedTuple):
    """A way to wear hair: ``volume`` around the head; how far it hangs ``behind``, from the eyes; where the ``line``
    over the forehead lies and how ``square`` it is; how far down the sides it covers; how much ``share`` of the skin
    is covered; ``bald``: at the sides only."""

    volume: float
    behind: float
    line: float
    square: float
    sides: float
    slant: float = 0.0
    curls: float = 0.0
    share: float = 1.0
    bald: bool = False


def _cut(e: Easel, p: Person) -> _Cut | None:
    """How a person wears their hair; ``None``: not at all."""
    if e.chance(1.1 - 1.6 * _up(p.seems, 0.2, 3.0)):
        return None if e.chance(0.45) else _Cut(0.015, 0, -0.5, 4, -0.2, share=e.within(0.2, 0.6))
    curls, slant = e.within(0.03, 0.08) if e.chance(0.22) else 0.0, e.within(-0.14, 0.14)
    long = 0.7 - 0.22 * _up(p.seems, 50, 72) if p.female else 0.1 + 0.06 * _up(p.seems, 14, 17)
    if p.seems < 3:
        long *= 0.4
    if e.chance(long):
        fringe = e.chance(0.42 - 0.15 * _up(p.seems, 15, 30))
        line = e.within(-0.27, -0.2) if fringe else e.within(-0.52, -0.4)
        behind = e.within(0.35, 1.3) if p.seems < 50 else e.within(0.25, 0.75)
        return _Cut(e.within(0.08, 0.17), behind, line, 7 if fringe else 2.6, e.within(0.1, 0.45), slant, curls)
    if p.female:
        return _Cut(e.within(0.08, 0.18), 0.0, e.within(-0.48, -0.28), 3.5, e.within(0.0, 0.2), slant, curls)
    gone = _up(p.seems + 16 * float(e.rng.standard_normal()), 30, 85)
    if gone > 0.62:
        return _Cut(0.03, 0, -0.78, 3.0, 0.06, share=0.9, bald=True)
    line = (e.within(-0.48, -0.34) if e.chance(0.75) else -0.27) - 0.3 * gone
    return _Cut(e.within(0.04, 0.11), 0, line, 5 - 2 * gone, e.within(-0.06, 0.1), slant * 0.7, curls * 0.7)


def _crown(p: Person, cut: _Cut) -> Outline:
    """The outer edge of the hair from left to right, down to where the sides begin."""
    edge = arc(p.wide + 0.75 * cut.volume, -p.top - cut.volume, 2.15, n=33)
    if cut.curls:
        edge *= 1 + cut.curls * (0.4 + np.sin(np.arange(33) * 1.9))[:, None]
    return edge


def _hair_behind(pen: Pen, p: Person, cut: _Cut) -> None:
    y = cut.behind
    x, side = (p.wide + cut.volume) * pen.e.within(0.9, 1.2), p.wide + cut.volume * 1.1
    sides = [(side, y * 0.4), (x, y * 0.85), (x * 0.8, y), (-x * 0.8, y), (-x, y * 0.85), (-side, y * 0.4)]
    pen.put(np.concatenate([_crown(p, cut), sides]), _shade(p.hair, 0.72), flat=True)


def _hair(pen: Pen, p: Person, cut: _Cut) -> None:
    if cut.bald:
        edge = polygon((0.97, -0.3), (1.03, -0.1), (1.0, 0.1), (0.9, 0.08), (0.9, -0.12), (0.86, -0.3), (0.9, -0.42))
        for side in (-1, 1):
            pen.put(edge * (side * (p.wide + 0.03), 1), p.hair, cut.share, flat=True)
        pen.put(oval(pen.e.within(-0.15, 0.15), -0.54, 0.14, 0.07), (1.0, 0.97, 0.93), 0.18)
        return
    t, out = np.linspace(1, -1, 25), p.wide + 0.5 * cut.volume
    line = cut.line + (cut.sides - cut.line) * np.abs(t) ** cut.square + cut.slant * t * (1 - t**2)
    inner = pen.turned(np.stack([0.97 * p.wide * t, line], 1))
    pen.paint()
    whole = np.concatenate([_crown(p, cut), [(out, cut.sides)], inner, [(-out, cut.sides)]])
    pen.solid(whole, Paint(p.hair), 0.1, cut.share, 0.08)


def _extras(pen: Pen, p: Person) -> None:
    """Glasses, earrings, hats: they say little about who wears them."""
    e = pen.e
    if e.chance(0.03 + 0.12 * _up(p.seems, 12, 25) + 0.28 * _up(p.seems, 40, 70)):
        frame = _DARK if e.chance(0.6) else mix(e.of(), _DARK, 0.4)
        wide, high, dark = e.within(0.155, 0.185), e.within(0.1, 0.14), e.chance(0.1)
        for side in (-1, 1):
            rim, glass = (oval(side * p.apart, 0.015, wide - k, high - k) for k in (0.0, 0.03))
            ring = np.concatenate([rim, rim[:1], glass[:1], glass[::-1]])
            pen.put(rim if dark else ring, frame, 0.9)
            start = side * (p.apart + wide)
            pen.line((start, (start + side * p.wide) / 2, side * p.wide), (-0.01, -0.01, 0.0), 0.03, frame, 0.8)
        pen.line((wide - p.apart, 0, p.apart - wide), (0.0, -0.015, 0.0), 0.03, frame, 0.9)
    if p.woman > 0.2 and e.chance(0.3):
        for side in (-1, 1):
            pen.put(oval(side * (p.wide + 0.01) - 0.06 * p.yaw, 0.25, 0.03, 0.045), (0.95, 0.85, 0.5), flat=True)
    pen.paint()
    if e.chance(0.12 if p.seems < 2 else 0.05):
        edge, colour = e.within(-0.36, -0.26), e.of("cloth")
        pen.solid(arc(p.wide + 0.06, -p.top - 0.12 - edge, 2.3, edge), Paint(colour), 0.1)
        pen.solid(box(-p.wide - 0.08, edge - 0.08, p.wide + 0.08, edge + 0.02), Paint(_shade(colour, 0.7)), 0.02)


def portray(e: Easel, p: Person) -> None:
    """Paint a person's head and shoulders before some backdrop."""
    at = (e.within(-0.06, 0.06), 0.04 - (p.chin - p.top) / 2 + e.within(-0.05, 0.05))
    pen, cut = Pen(e, at, p.wide, p.yaw), _cut(e, p)
    _backdrop(e)
    if cut and cut.behind:
        _hair_behind(pen, p, cut)
    for part in (_shoulders, _skin, _lines, _nose, _beard, _mouth, _eyes):
        part(pen, p)
    if cut:
        _hair(pen, p, cut)
    _extras(pen, p)
