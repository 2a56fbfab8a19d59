"""The embedded world ``people``: drawn scenes of people and a few things, with boxes, masks and joints.

Up to five things stand on a floor or in a street and hide each other in part; now and then one of them is a far crowd.
A figure is a skeleton in space, turned any way and seen from a little above, so that limbs hide the body and the body
limbs. ``left`` is the figure's own left: its face, the back of its head and its feet tell which that is.

- A pixel belongs to the thing that its centre shows; boxes are tight around what is seen of a thing.
- A joint is 2, seen, where the limb that it is on shows; 1, hidden, behind the figure itself or another thing; and 0
  outside the image.

Files lie as in COCO 2017, with the numbers and names that its classes have there.
"""

import colorsys
import json
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mtlkit.errors import InputError, unknown
from mtlkit.worlds import _easel, _folder, parts
from mtlkit.worlds._easel import FINER, SPLITS, Easel, Outline, Patch, View, box, oval, polygon
from mtlkit.worlds._paints import Array, Colour, Paint

REVISION = 1
"""Raised when the images change on purpose; part of the identity of whatever was trained on them."""

# Read by mtlkit.worlds.world without importing this module: literals.
DRAWS = "people and things with boxes, masks and joints"
LAYOUT = "coco"

CATEGORIES = {
    "person": (1, "person"), "car": (3, "vehicle"), "bench": (15, "outdoor"), "dog": (18, "animal"),
    "sports ball": (37, "sports"), "kite": (38, "sports"), "potted plant": (64, "furniture"),
}  # fmt: skip
"""The number and the supercategory that COCO gives each class."""
CLASSES = tuple(CATEGORIES)
"""The 7 classes, in the order of COCO's numbers."""

JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""The 17 joints, in COCO's order."""
SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
"""COCO's bones, pairs of joints, counted from 1."""


class Scene(NamedTuple):
    """An image and what it shows; ``R`` things from back to front.

    Attributes:
        image: uint8 ``(H, W, 3)``.
        owner: uint8 ``(H, W)``, which thing a pixel shows, from 1; 0: none.
        labels: int64 ``(R,)``, places in :data:`CLASSES`.
        boxes: int64 ``(R, 4)``: left, top, width, height in pixels, as in COCO.
        joints: int64 ``(R, 17, 3)``: column, row and visibility 0, 1 or 2; all 0 for what is no single person.
        crowd: bool ``(R,)``, whether the thing is a crowd.
    """

    image: NDArray[np.uint8]
    owner: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: NDArray[np.int64]
    joints: NDArray[np.int64]
    crowd: NDArray[np.bool_]


_TORSO, _HEAD, _LEFT_ARM, _RIGHT_ARM, _LEFT_LEG, _RIGHT_LEG = range(6)
"""Which limb a piece belongs to; where two meet, a dark line parts them."""


class _Piece(NamedTuple):
    limb: int
    colour: Colour
    outline: Outline


class _Thing(NamedTuple):
    """A thing whose pieces, from back to front, have these ``limbs``, ``colours`` and numbers of ``corners`` each.

    ``near`` is how long a metre is where it stands, half images. Of the ``joints`` ``(17, 2)`` one is seen where a
    limb shows whose bit is set in ``shown_by``. Pieces of the very colour that ``paint`` begins with have its pattern.
    ``ground`` is where it darkens the floor: the middle and the half axes of an ellipse.
    """

    label: int
    near: float
    limbs: list[int]
    colours: list[Colour]
    lengths: list[int]
    corners: Outline
    ground: Outline
    joints: Outline | None = None
    shown_by: Sequence[int] = ()
    paint: Paint | None = None
    crowd: bool = False

    def moved(self, x: float, y: float) -> "_Thing":
        """The thing elsewhere."""
        at = np.array([x, y])
        joints = None if self.joints is None else self.joints + at
        ground = self.ground + np.array([x, y, 0, 0])
        return self._replace(corners=self.corners + at, ground=ground, joints=joints)

    def scaled(self, near: float, metres: float = 1.0) -> "_Thing":
        """The thing, made one long, ``metres`` long where a metre is ``near``."""
        k = near * metres
        joints = None if self.joints is None else self.joints * k
        paint = self.paint and self.paint._replace(scale=self.paint.scale * k)
        return self._replace(near=near, corners=self.corners * k, ground=self.ground * k, joints=joints, paint=paint)

    def extent(self) -> Outline:
        """Its least and greatest x and y, ``(2, 2)``."""
        return np.stack([self.corners.min(0), self.corners.max(0)])


def _thing(name: str, pieces: Sequence[_Piece], *ground: float) -> _Thing:
    """A thing of these pieces."""
    limbs, colours, outlines = (list(each) for each in zip(*pieces, strict=True))
    return _Thing(
        CLASSES.index(name), 1.0, limbs, colours, [len(each) for each in outlines], np.concatenate(outlines),
        np.array(ground).reshape(-1, 4),
    )  # fmt: skip


# --- people: lengths in body heights ---

_DOWN, _UP = math.cos(math.radians(8)), math.sin(math.radians(8))
"""The camera looks down by 8 degrees: what is nearer lies lower in the image."""

_Ranges = tuple[tuple[float, float], ...]
_ARMS: dict[str, _Ranges] = {
    "hanging": ((4, 20), (-12, 12), (0, 12), (0, 30)),
    "bent": ((8, 30), (-15, 15), (-30, 10), (60, 110)),
    "on the hip": ((38, 52), (-20, -5), (-58, -42), (0, 15)),
    "aside": ((55, 95), (-10, 20), (55, 130), (-10, 30)),
    "raised": ((115, 165), (-10, 15), (135, 190), (-10, 15)),
}
"""Ranges, in degrees, of how far the upper arm leans out and ahead, and the forearm; 0 hangs down."""
_STANDING: _Ranges = ((2, 9), (-4, 5), (0, 6), (-7, 0))
_SITTING: _Ranges = ((4, 18), (72, 88), (-4, 8), (-12, 10))

_SKIN: tuple[Colour, ...] = (
    (0.95, 0.77, 0.62), (0.9, 0.69, 0.53), (0.84, 0.63, 0.45), (0.7, 0.48, 0.32), (0.52, 0.34, 0.22), (0.4, 0.26, 0.18),
)  # fmt: skip
_HAIR: tuple[Colour, ...] = (
    (0.08, 0.06, 0.06), (0.22, 0.13, 0.08), (0.42, 0.25, 0.12), (0.85, 0.68, 0.35), (0.62, 0.25, 0.1), (0.7, 0.7, 0.7),
)  # fmt: skip
_DARK: Colour = (0.06, 0.05, 0.06)


_Put = Callable[[float, int, Colour, Outline], None]
"""Adds a piece: how near it is, its limb, its colour and its outline."""


def _shade(colour: Colour, amount: float) -> Colour:
    return _easel.mix((0.0, 0.0, 0.0), colour, amount)


_HALF_TURN = np.linspace(-np.pi / 2, np.pi / 2, 7)


def _tubes(ends: Any, radii: Any) -> Outline:
    """Round tapered limbs, ``(N, 14, 2)``, between ``ends`` ``(N, 2, 2)`` with ``radii`` ``(N, 2)`` there."""
    ends, radii = np.asarray(ends, np.float64), np.asarray(radii, np.float64)
    along = ends[:, 1] - ends[:, 0]
    turn = np.arctan2(along[:, 1], along[:, 0])[:, None] + _HALF_TURN
    ring = np.stack([np.cos(turn), np.sin(turn)], -1)
    caps = [ends[:, None, 0] - radii[:, 0, None, None] * ring, ends[:, None, 1] + radii[:, 1, None, None] * ring]
    return np.concatenate(caps, 1)


def _pose(e: Easel, sitting: bool) -> Outline:
    """How far upper arm, forearm, thigh and calf, left and right, lean out and ahead, ``(2, 4, 2)``, in degrees."""
    kinds, leg = tuple(_ARMS.values()), _SITTING if sitting else _STANDING
    arm = kinds[e.count(0, 4)]
    ranges = [[*(arm if e.chance(0.5) else kinds[e.count(0, 1)]), *leg] for _ in range(2)]
    pose = np.array([[e.within(*each) for each in side] for side in ranges]).reshape(2, 4, 2)
    if not sitting and e.chance(0.45):  # walking: arms swing against the legs
        stride, first = e.within(14, 32), e.count(0, 1)
        for side, way in ((first, 1), (1 - first, -1)):
            thigh, swing = way * stride * e.within(0.7, 1.0), -way * stride * e.within(0.6, 1.2)
            pose[side, 2:, 1] = thigh, thigh - (e.within(2, 10) if way > 0 else e.within(12, 45))
            if e.chance(0.75):
                pose[side, :2] = (e.within(3, 12), swing), (e.within(-4, 8), swing + e.within(10, 60))
    return pose


def _skeleton(e: Easel, yaw: float, young: float, build: float, sitting: bool) -> tuple[Outline, Array]:
    """Where the joints from the shoulders on, hands, toes, pelvis, neck and skull lie, ``(19, 2)``, and how near."""
    out, ahead = np.moveaxis(np.radians(_pose(e, sitting)), -1, 0)
    side = np.array([[1.0], [-1.0]])
    way = np.stack([side * np.sin(out), -np.cos(out) * np.cos(ahead), np.cos(out) * np.sin(ahead)], -1)
    lean, bow = math.radians(e.within(-5, 5)), math.radians(e.within(-3, 9))
    spine = np.array([math.sin(lean), 1.0, math.sin(bow)])
    neck, across = 0.3 * spine, side * (build, 0, 0)

    # In space: to the left, up and ahead of the middle of the hips.
    shoulder, hip = 0.97 * neck + 0.106 * across, 0.052 * across
    elbow, knee = shoulder + 0.165 * way[:, 0], hip + (0.235 - 0.025 * young) * way[:, 2]
    wrist, ankle = elbow + 0.145 * way[:, 1], knee + (0.225 - 0.02 * young) * way[:, 3]
    hand, toe = wrist + 0.03 * way[:, 1], ankle + 0.03 * across + np.array([0, -0.02, 0.075])
    trunk = [np.zeros(3), neck, neck + (0.11 - 0.022 * young) * spine]
    left, up, ahead = np.concatenate([shoulder, elbow, wrist, hip, knee, ankle, hand, toe, trunk]).T
    up = up + 0.04 - up[10:12].min()  # one foot at least is on the floor
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    near = ahead * c - left * s
    return np.stack([left * c + ahead * s, near * _UP - up * _DOWN], 1), near


def _figure(e: Easel, young: float, back: bool | None = None) -> _Thing:
    """A person one long on the origin; ``young`` goes from 0, grown up, to 1. One that sits shows its ``back`` or not;
    others turn any way, from the front most often."""
    turn = (0, 0, 0, 90, -90, 180, 180)[e.count(0, 6)] if back is None else 180 * back
    yaw, build = turn + e.within(-42, 42), e.within(0.9, 1.2)
    flat, near = _skeleton(e, yaw, young, build, back is not None)
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    skin, shirt, lower = _SKIN[e.count(0, 5)], e.of("cloth"), e.of("cloth")
    lower, shoes = _shade(lower, e.within(0.4, 1.2)), _shade(e.of("cloth"), e.within(0.2, 1.0))
    sleeves, long, skirt = e.count(0, 2), e.chance(0.65), back is None and e.chance(0.2)
    placed: list[tuple[float, _Piece]] = []

    def put(depth: float, limb: int, colour: Colour, outline: Outline) -> None:
        placed.append((depth, _Piece(limb, colour, outline)))

    # Limbs: the ends, counted among the left ones, the radii there, how much nearer than it is, and the colour.
    bones = (
        (3, 4, 0.052, 0.038, -0.05, skin if skirt else lower),
        (4, 5, 0.036, 0.024, -0.05, lower if long and not skirt else skin),
        (5, 7, 0.026, 0.02, -0.04, shoes),
        (0, 1, 0.034, 0.027, 0.02, shirt if sleeves else skin),
        (1, 2, 0.027, 0.02, 0.02, shirt if sleeves == 2 else skin),
        (2, 6, 0.018, 0.024, 0.025, skin),
    )
    ends = np.array([(2 * bone[0] + side, 2 * bone[1] + side) for side in (0, 1) for bone in bones])
    outlines = _tubes(flat[ends], np.array([bone[2:4] for bone in bones] * 2) * math.sqrt(build))
    for place, depth in enumerate(near[ends].mean(1).tolist()):
        side, bone = place // 6, bones[place % 6]
        put(depth + bone[4], (_LEFT_ARM if bone[4] > 0 else _LEFT_LEG) + side, bone[5], outlines[place])

    # The trunk: half widths across and from front to back, at heights along the spine.
    pelvis, neck, skull = flat[-3:]
    spine = neck - pelvis
    across = np.array([-spine[1], spine[0]]) / math.hypot(spine[0], spine[1])

    def trunk(*levels: tuple[float, float, float]) -> Outline:
        at, wide, deep = np.array(levels).T
        half = build * np.hypot(wide * c, deep * s)[:, None] * across
        middle = pelvis + at[:, None] * spine
        return np.concatenate([middle - half, (middle + half)[::-1]])

    put(-0.01, _TORSO, lower, trunk((-0.16, 0.06, 0.05), (-0.08, 0.092, 0.07), (0.12, 0.092, 0.068)))
    if skirt:  # over both thighs
        hem, flare = e.within(-0.75, -0.5), e.within(0.12, 0.16)
        put(0.04, _TORSO, lower, trunk((hem, flare, flare * 1.2), (0.0, 0.095, 0.07), (0.25, 0.08, 0.06)))
    put(-0.005, _HEAD, _shade(skin, 0.88), _tubes([(neck, skull)], [(0.03, 0.03)])[0])
    chest = (0.3, 0.087, 0.062), (0.7, 0.108, 0.072), (0.97, 0.12, 0.062), (1.06, 0.105, 0.05), (1.1, 0.04, 0.035)
    put(0.005, _TORSO, shirt, trunk((-0.06, 0.096, 0.073), *chest))
    if c > 0.5:  # an open collar: this is the front
        put(0.006, _TORSO, _shade(skin, 0.94), oval(neck[0] + 0.03 * s, neck[1] + 0.005, 0.032 * c, 0.04))
    face, seen = _head(e, put, skull, near[-1], 0.08 + 0.022 * young, yaw + e.within(-25, 25), skin)

    shown_by = [on << _HEAD for on in seen]
    for place, away in enumerate(near[:12]):  # shoulders and hips lie under the clothes of the side that shows
        own = 1 << (_LEFT_ARM if place < 6 else _LEFT_LEG) + place % 2
        shown_by.append(own | (place % 6 < 2 and away > -0.04) << _TORSO)
    pattern = ("stripes", "checks", "dots", "plaid")[e.count(0, 3)] if e.chance(0.35) else "plain"
    paint = Paint(shirt, (0.95, 0.93, 0.88) if sum(shirt) < 1.7 else (0.15, 0.13, 0.2), pattern, e.within(0.07, 0.1))
    (x, y), apart = (flat[10] + flat[11]) / 2, abs(flat[10, 0] - flat[11, 0])
    pieces = [piece for _, piece in sorted(placed, key=lambda each: each[0])]
    thing = _thing("person", pieces, x, y + 0.03, apart / 2 + 0.1, 0.035)
    return thing._replace(joints=np.concatenate([face, flat[:12]]), shown_by=shown_by, paint=paint)


def _head(
    e: Easel, put: _Put, at: Outline, near: float, r: float, look: float, skin: Colour
) -> tuple[Outline, list[bool]]:
    """Put a head of radius ``r`` that looks ``look`` degrees past the viewer; the joints of its face ``(5, 2)``, and
    whether the side that each is on shows."""
    look = (look + 180) % 360 - 180
    c, s = math.cos(math.radians(look)), math.sin(math.radians(look))
    hair, kind = _HAIR[e.count(0, 5)], ("short", "short", "long", "long", "hat", "short", "long", "bald")[e.count(0, 7)]
    front = max(near, 0.0) + 0.03  # a head that is bowed is still above the shoulders

    def on(azimuth: Any, elevation: Any, k: float = 1.0) -> Outline:
        """Points of the head, ``(N, 3)``: x, y and how near; 0 azimuth is straight ahead of it."""
        a, b = np.radians(azimuth) + math.radians(look), np.radians(elevation)
        x, y, z = 0.88 * np.sin(a) * np.cos(b), np.sin(b) + 0 * a, np.cos(a) * np.cos(b)
        return np.stack([at[0] + r * k * x, at[1] + r * k * (z * _UP - y * _DOWN), z], -1)

    def cap(low: float, k: float) -> Outline:
        """The head above an elevation."""
        turn = np.radians(np.linspace(low, 180 - low, 20))
        return np.stack([at[0] + 0.88 * r * k * np.cos(turn), at[1] - r * k * np.sin(turn)], 1)

    def spot(place: Outline, colour: Colour, wide: float, high: float) -> None:
        put(front, _HEAD, colour, oval(place[0], place[1], wide * r, high * r))

    places = on(np.array([0, 24, -24, 88, -88]), np.array([-12, 5, 5, -6, -6]), 1.02)
    seen = (places[:, 2] > (-0.25, 0.15, 0.15, -0.1, -0.1)).tolist()
    if kind == "long":
        seen[3:] = False, False
        low = np.array([at[0] - 0.3 * r * s, at[1] + r * e.within(1.0, 1.9)])
        put(near - 0.07 if c > 0 else front + 0.01, _HEAD, _shade(hair, 0.85), _tubes([(at, low)], [(r, r * 0.85)])[0])
    spot(at, skin, 0.88, 1.0)
    if kind != "bald":
        put(front, _HEAD, hair, cap(-60 if kind == "long" else -25, 1.1))
    left, right = max(-90 - look, -70.0), min(90 - look, 70.0)
    if right - left > 12:  # the face, as far round as it shows
        az, el = np.linspace(left, right, 9), np.linspace(36, -80, 9)
        rim = [on(az, 36), on(right + 0 * el, el), on(az[::-1], -80), on(left + 0 * el, el[::-1])]
        put(front, _HEAD, skin, np.concatenate(rim)[:, :2])
    for ear, there in zip(places[3:], seen[3:], strict=True):
        if there:
            spot(ear, _shade(skin, 0.85), 0.17, 0.26)
    for eye, there in zip(places[1:3], seen[1:3], strict=True):
        if there:
            spot(eye, (0.97, 0.97, 0.95), 0.2 * eye[2] ** 0.5, 0.18)
            spot(eye + np.array([0.05 * r * s, 0, 0]), _DARK, 0.13 * eye[2] ** 0.5, 0.15)
    if seen[0]:
        spot(places[0], _shade(skin, 0.8), 0.12, 0.16)
    mouth = on(0.0, -44)
    if mouth[2] > 0.1:
        spot(mouth, (0.6, 0.2, 0.2), 0.28 * mouth[2], 0.07)
    if kind == "hat":
        colour = e.of("cloth")
        put(front, _HEAD, colour, cap(18, 1.18))
        if c > -0.35:
            brim = on(np.array([-50, 50]), np.array([24, 24]), 1.2)[:, :2]
            put(front, _HEAD, _shade(colour, 0.75), _tubes([brim], [(0.14 * r, 0.14 * r)])[0])
    return places[:, :2], seen


# --- other things: in metres, standing on the origin ---


def _vivid(e: Easel) -> Colour:
    return colorsys.hsv_to_rgb(e.within(0, 1), e.within(0.6, 0.95), e.within(0.6, 1.0))


def _ball(e: Easel) -> _Thing:
    r, first = e.within(0.15, 0.26), _vivid(e) if e.chance(0.7) else (0.95, 0.95, 0.93)
    second = _DARK if sum(first) > 2.5 else (0.97, 0.96, 0.9)
    pieces, start = [_Piece(0, first, oval(0, -r, r))], e.within(0, 6)
    if e.chance(0.5):  # spots, smaller toward the rim
        pieces.append(_Piece(0, second, oval(0, -r, r * 0.3)))
        for k in range(5):
            x, y = 0.72 * math.cos(start + k * math.tau / 5), 0.72 * math.sin(start + k * math.tau / 5)
            pieces.append(_Piece(0, second, oval(r * x, r * (y - 1), r * 0.2)))
    else:  # gores
        for k in range(3):
            a = start + k * math.tau / 3 + np.linspace(0, math.tau / 6, 6)
            rim = np.stack([r * np.cos(a), r * np.sin(a)], 1)
            pieces.append(_Piece(0, second, np.concatenate([[(0.0, 0.0)], rim]) * 0.98 - (0, r)))
    return _thing("sports ball", pieces, 0, 0, r, r * 0.3)


def _bench(e: Easel, seat: float = 0.45, back: bool | None = None) -> _Thing:
    """A bench seen from the front, or from the back, where its rest is nearer than its seat."""
    back = e.chance(0.3) if back is None else back
    wood = _easel.mix(e.of("wood"), _vivid(e), 0.5 * e.chance(0.4))
    iron, half = _shade(e.of("stone"), 0.35), e.within(0.7, 0.95)

    rear = 0.24 if back else -0.24

    def plank(low: float, high: float, z: float, left: float = -1.0, right: float = 1.0) -> Outline:
        return box(left * half, z * _UP - high * _DOWN, right * half, z * _UP - low * _DOWN)

    legs = [[_Piece(1, iron, plank(0, seat, z, x - 0.05, x + 0.05)) for x in (-0.8, 0.8)] for z in (-0.2, 0.2)]
    rest = [_Piece(1, iron, plank(seat, seat + 0.45, rear, x - 0.04, x + 0.04)) for x in (-0.65, 0.65)]
    rest += [_Piece(0, wood, plank(seat + low, seat + low + 0.13, rear)) for low in (0.12, 0.32)]
    front, top = plank(seat - 0.07, seat, 0.24), 0.24 * _UP
    board = [
        _Piece(0, wood, box(-half, -top - seat * _DOWN, half, top - seat * _DOWN)),
        _Piece(2, _shade(wood, 0.7), front),
    ]
    pieces = [*legs[0], *([] if back else rest), *legs[1], *board, *(rest if back else [])]
    return _thing("bench", pieces, 0, 0, half, 0.1)


_CAR: dict[str, Colour] = {
    "window": (0.62, 0.78, 0.86), "wheel": (0.07, 0.07, 0.08), "hub": (0.75, 0.75, 0.73), "shine": (1.0, 1.0, 0.97),
}  # fmt: skip


def _car(e: Easel) -> _Thing:
    first, way = _vivid(e) if e.chance(0.75) else e.of("stone"), 1 if e.chance(0.5) else -1
    glass = _shade(_CAR["window"], e.within(0.35, 1.0))
    colours = _CAR | {"body": first, "door": _shade(first, 0.85), "window": glass}
    drawn = parts.THINGS["car"](e).pieces
    foot = max(float(outline[:, 1].max()) for _, outline in drawn)
    pieces = [_Piece(0, colours[part], (outline - (0, foot)) * (1.8 * way, 1.55)) for part, outline in drawn]
    return _thing("car", pieces, 0, -0.03, 1.9, 0.16)


def _dog(e: Easel) -> _Thing:
    coat = _easel.mix(e.of("wood"), _HAIR[e.count(0, 5)], 0.5)
    patch, way = _HAIR[e.count(0, 5)] if e.chance(0.5) else _shade(coat, 0.8), 1 if e.chance(0.5) else -1
    stride, tail = e.within(-0.12, 0.12), e.within(-1.1, -0.7)
    bones = [  # from, to, radii, limb, colour: the far legs first
        ((-0.3, -0.5), (-0.3 - stride, -0.05), 0.08, 0.045, 1, _shade(coat, 0.65)),
        ((0.3, -0.5), (0.3 + stride, -0.05), 0.07, 0.045, 1, _shade(coat, 0.65)),
        ((-0.42, -0.6), (-0.68, tail), 0.05, 0.035, 0, coat),
        ((-0.32, -0.55), (0.3, -0.57), 0.16, 0.18, 0, coat),
        ((-0.34, -0.5), (-0.36 + stride, -0.05), 0.1, 0.05, 2, coat),
        ((0.32, -0.5), (0.32 - stride, -0.05), 0.085, 0.05, 2, coat),
        ((0.34, -0.62), (0.52, -0.86), 0.12, 0.1, 0, coat),
        ((0.54, -0.88), (0.6, -0.87), 0.15, 0.13, 3, coat),
        ((0.62, -0.84), (0.8, -0.81), 0.09, 0.065, 3, _easel.mix(coat, (1.0, 1.0, 1.0), 0.25)),
        ((0.48, -0.98), (0.42, -0.8), 0.06, 0.07, 3, patch),
        ((0.85, -0.84), (0.86, -0.84), 0.04, 0.04, 3, _DARK),
        ((0.62, -0.93), (0.625, -0.93), 0.03, 0.03, 3, _DARK),
    ]
    if e.chance(0.5):
        bones.insert(4, ((-0.15, -0.6), (0.05, -0.58), 0.11, 0.09, 0, patch))
    k = e.within(0.6, 0.9)
    outlines = _tubes(np.array([bone[:2] for bone in bones]), [bone[2:4] for bone in bones]) * (way * k, k)
    pieces = [_Piece(bone[4], bone[5], outline) for bone, outline in zip(bones, outlines, strict=True)]
    return _thing("dog", pieces, 0, 0, 0.55 * k, 0.08 * k)


def _kite(e: Easel) -> _Thing:
    wide, lean, colours = e.within(0.3, 0.42), math.radians(e.within(-35, 35)), (_vivid(e), _vivid(e))
    c, s = math.cos(lean), math.sin(lean)
    turn = np.array([[c, s], [-s, c]])
    tail = [(0.04 * math.sin(3 * k), 0.6 + 0.11 * k) for k in range(6)]
    line = _tubes(list(pairwise(tail)), [(0.014, 0.014)] * 5)
    pieces = [_Piece(0, (0.9, 0.9, 0.85), each @ turn) for each in line]
    for k in (1, 3, 5):
        bow = [polygon((0, 0), (way * 0.1, -0.06), (way * 0.1, 0.06)) + tail[k] for way in (-1, 1)]
        pieces += [_Piece(0, colours[0], each @ turn) for each in bow]
    corners = [(0.0, -0.5), (wide, -0.1), (0.0, 0.6), (-wide, -0.1)]
    for k in range(4):
        sail = polygon((0, -0.1), corners[k], corners[(k + 1) % 4])
        pieces.append(_Piece(0, colours[k % 2], sail @ turn))
    return _thing("kite", pieces)


def _plant(e: Easel) -> _Thing:
    pot, tall = _easel.mix(e.of("brick"), _vivid(e), 0.4), e.within(0.35, 0.5)
    green = colorsys.hsv_to_rgb(e.within(0.25, 0.4), e.within(0.5, 0.85), e.within(0.4, 0.75))
    pieces = []
    for k in range(e.count(7, 10)):  # leaves that bend over
        way, long = e.within(-1, 1), e.within(0.55, 0.85)
        tip, bend = (way * long * 0.75, -tall - long * (1.1 - 0.5 * abs(way))), (way * long * 0.3, -tall - long * 0.75)
        blade = polygon((-0.03, -tall), (bend[0] - 0.08, bend[1]), tip, (bend[0] + 0.08, bend[1]), (0.03, -tall))
        pieces.append(_Piece(k % 3, _shade(green, e.within(0.7, 1.15)), blade))
    foot = e.within(0.15, 0.2)
    pieces.append(_Piece(4, pot, polygon((-0.26, -tall), (0.26, -tall), (foot, 0), (-foot, 0))))
    pieces.append(_Piece(4, _shade(pot, 0.8), box(-0.29, -tall - 0.03, 0.29, -tall + 0.07)))
    return _thing("potted plant", pieces, 0, 0, 0.3, 0.06)


_THINGS: dict[str, tuple[Callable[[Easel], _Thing], float, float]] = {
    "car": (_car, 0.2, 0.36), "bench": (_bench, 0.38, 0.8), "dog": (_dog, 0.42, 0.85),
    "sports ball": (_ball, 0.5, 1.1), "kite": (_kite, 0.45, 0.8), "potted plant": (_plant, 0.4, 0.9),
}  # fmt: skip
"""How each is made, and how long a metre of it may be, half images."""


# --- scenes ---


class _Stage(NamedTuple):
    """Where things stand: half the image's width and height, the half that they are drawn to (less in a narrow
    image), its horizon, and how high the camera is, metres."""

    wide: float
    tall: float
    room: float
    horizon: float
    camera: float

    def floor(self, near: float) -> float:
        """The y of the floor where a metre is ``near`` long."""
        return self.horizon + self.camera * near


def _backdrop(e: Easel, stage: _Stage, outdoors: bool) -> None:
    """A sky over what is far and a ground, or a wall and a floor; quieter than what stands before them."""
    whole, soft = e.everywhere(), np.float32(e.pixel)

    def under(line: Any) -> Patch:
        return Patch(whole.box, np.clip((e.y - line) / soft + np.float32(0.5), 0, 1).astype(np.float32))

    def quiet(*kinds: str) -> Colour:
        return _easel.mix(e.of(*kinds), (0.55, 0.55, 0.53), e.within(0.3, 0.65))

    if outdoors:
        zenith, low = _easel.mix((0.35, 0.55, 0.85), (0.75, 0.76, 0.78), e.within(0, 1)), (0.92, 0.9, 0.86)
        share = np.clip((e.y + stage.tall) / (stage.horizon + stage.tall), 0, 1)
        e.fill(whole, np.stack([a + (b - a) * share for a, b in zip(zenith, low, strict=True)]))
        across, line = np.linspace(-1.1, 1.1, 23), stage.horizon + 0.02
        kind = e.count(0, 3)
        if kind == 0:  # hills
            bumps: Array = e.within(0.05, 0.2) * (1 + np.sin(e.within(2, 5) * across + e.within(0, 6)))
            e.lay(under(line - np.interp(e.x, across, bumps)), Paint(quiet("leaf", "stone")), rough=0.02)
        elif kind == 1:  # trees or rocks
            bumps = e.some(23, 0.02, 0.3)
            e.lay(under(line - np.interp(e.x, across, bumps)), Paint(quiet("leaf", "stone")), rough=0.12)
        elif kind == 2:  # houses
            roofs = e.some(12, 0.15, 0.7)[np.clip((e.x * 5 + 6).astype(int), 0, 11)]
            first = quiet("brick", "stone", "lime")
            paint = Paint(first, _shade(first, 0.75), "panes", e.within(0.07, 0.12), e.count(0, 99))
            e.lay(under(line - roofs), paint, rough=0.03)
        line, ground = stage.horizon, quiet("leaf", "sand", "stone", "leaf")
        patterns = ("plain", "plain", "plain", "tiles")
    else:
        wall = quiet("lime", "sand", "stone", "cloth")
        pattern = ("plain", "plain", "stripes", "bricks", "tiles")[e.count(0, 4)]
        e.lay(whole, Paint(wall, _shade(wall, e.within(0.82, 0.93)), pattern, e.within(0.12, 0.3)), rough=0.03)
        line, ground = stage.floor(0.26 * stage.room), quiet("wood", "stone", "cloth")
        e.lay(under(line - 0.04), Paint(_easel.mix(wall, (0.9, 0.9, 0.88), 0.5)))
        patterns = ("plain", "planks", "tiles", "checks")
    near = np.maximum(e.y - np.float32(stage.horizon), np.float32(0.04)) / np.float32(stage.camera)
    floor = View(e.x / near, 1.5 / near, np.float32(1.2 * e.pixel) / near**2)
    paint = Paint(ground, _shade(ground, e.within(0.75, 0.9)), patterns[e.count(0, 3)], e.within(0.4, 0.9))
    e.lay(under(line), paint, floor, e.within(0.02, 0.05))


def _height(e: Easel) -> tuple[float, float]:
    """How tall a person is, metres, and how young, 0 to 1."""
    young = e.within(0, 1) if e.chance(0.25) else 0.0
    return e.within(1.62, 1.9) - 0.65 * young, young


def _crowd(e: Easel, stage: _Stage) -> _Thing:
    """A far group of people."""
    near, count = e.within(0.13, 0.17) * stage.room, e.count(5, 9)
    gap = e.within(0.35, 0.6) * near
    people: list[_Thing] = []
    for depth, k in sorted((e.within(0.85, 1.1), k) for k in range(count)):
        tall, young = _height(e)
        one = _figure(e, young).scaled(near * depth, tall)
        people.append(one.moved((k - count / 2) * gap, stage.floor(near * depth)))
    return people[0]._replace(
        near=near,
        limbs=[k % 6 for k, each in enumerate(people) for _ in each.limbs],  # lines part the people
        colours=[colour for each in people for colour in each.colours],
        lengths=[length for each in people for length in each.lengths],
        corners=np.concatenate([each.corners for each in people]),
        ground=np.concatenate([each.ground for each in people]),
        joints=None,
        paint=None,
        crowd=True,
    )


def _group(e: Easel, stage: _Stage, name: str) -> list[_Thing]:
    """A thing, or a sitter and their bench, in the middle of the image."""
    if name == "crowd":
        return [_crowd(e, stage)]
    if name == "person":
        (tall, young), share = _height(e), math.exp(e.within(math.log(0.28), math.log(0.9)))
        near = 2 * stage.room * share / tall
        # Neither the head nor the larger part of the body is cut off.
        y = min(max(stage.floor(near), near * tall - 0.98 * stage.tall), stage.tall * (1 + 0.4 * share))
        if near * 1.6 < 1.6 * stage.wide and e.chance(0.18):
            back = e.chance(0.25)
            sitter, bench = _figure(e, young, back).scaled(near, tall), _bench(e, 0.235 * tall, back).scaled(near)
            return [each.moved(0, y) for each in (sitter, bench._replace(near=near * (1.001 if back else 0.999)))]
        return [_figure(e, young).scaled(near, tall).moved(0, y)]
    make, low, high = _THINGS[name]
    near = e.within(low, high) * stage.room
    y = min(stage.floor(near), stage.tall * 1.02)
    if name == "kite":
        y = e.within(-0.65, -0.1) * stage.tall
    elif name == "sports ball" and e.chance(0.3):
        y -= e.within(0.1, 0.9) * stage.tall
    return [make(e).scaled(near).moved(0, y)]


def _placed(e: Easel, stage: _Stage, group: list[_Thing], others: list[_Thing]) -> list[_Thing]:
    """The group somewhere along the floor where most of it shows and no one hides too much of another; else nothing."""
    bounds = np.array([(-stage.wide, -stage.tall), (stage.wide, stage.tall)])
    extents, there = [thing.extent() for thing in group], [thing.extent() for thing in others]
    for _ in range(12):
        x = e.within(-1, 1) * stage.wide
        if others and e.chance(0.6):  # beside another, in part before or behind it
            other = there[e.count(0, len(others) - 1)]
            x = float(other[:, 0].mean()) + e.within(-0.5, 0.5) * np.ptp(np.concatenate([other, extents[0]])[:, 0])
        own = [extent + np.array([x, 0]) for extent in extents]
        pairs = [
            (its, mine) if thing.near > other.near else (mine, its)
            for thing, mine in zip(group, own, strict=True)
            for other, its in zip(others, there, strict=True)
        ]
        if all(_shared(mine, bounds) > 0.62 for mine in own) and all(_shared(*pair) < 0.5 for pair in pairs):
            return [thing.moved(x, 0) for thing in group]
    return []


def _shared(first: Outline, second: Outline) -> float:
    """How much of the extent ``first`` lies within ``second``."""
    wide, tall = np.minimum(first[1], second[1]) - np.maximum(first[0], second[0])
    return float(max(wide, 0) * max(tall, 0) / np.prod(first[1] - first[0]))


class _Cast(NamedTuple):
    """Which tint each point of the fine grid shows, from 1 (0: nothing); the colour of each tint, and 8 times the
    number of its thing plus its limb, ``(T + 1,)``; and the latter on the fine grid."""

    tint: NDArray[np.uint8]
    colours: list[Colour]
    owns: NDArray[np.uint8]
    own: NDArray[np.uint8]


def _cast(things: list[_Thing], size: tuple[int, int]) -> _Cast:
    """The things alone, as an image of ``size`` shows them, later ones before earlier ones."""
    image = Image.new("L", (size[1] * FINER, size[0] * FINER))  # a crowd has 120 tints at most, a person 23
    pen, start = ImageDraw.Draw(image), 0
    path = (_pixels(np.concatenate([thing.corners for thing in things]), size) * FINER - 0.5).ravel().tolist()
    tints: dict[tuple[int, Colour], int] = {(0, (0.0, 0.0, 0.0)): 0}
    for number, thing in enumerate(things, 1):
        for limb, colour, length in zip(thing.limbs, thing.colours, thing.lengths, strict=True):
            fill = tints.setdefault((8 * number + limb, colour), len(tints))
            pen.polygon(path[start : start + 2 * length], fill=fill)
            start += 2 * length
    tint, owns = np.asarray(image), np.array([own for own, _ in tints], np.uint8)
    return _Cast(tint, [colour for _, colour in tints], owns, np.take(owns, tint))


def _pixels(places: Outline, size: tuple[int, int]) -> Outline:
    """Where in an image of ``size`` places ``(N, 2)`` lie, in pixels from its corner."""
    return (places * max(size) + size[::-1]) / 2


def _share(mask: NDArray[np.bool_]) -> Array:
    """How much of each pixel of the image a mask on the fine grid covers."""
    return np.asarray(Image.fromarray(mask.view(np.uint8) * np.uint8(255)).reduce(FINER)) * np.float32(1 / 255)


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is true."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


def _joints(thing: _Thing, number: int, own: NDArray[np.uint8], owner: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The joints of a thing and whether they are seen, ``(17, 3)``."""
    size = (owner.shape[0], owner.shape[1])
    found = np.zeros((len(JOINTS), 3), np.int64)
    if thing.joints is not None:
        for row, (x, y), limbs in zip(found, _pixels(thing.joints, size).tolist(), thing.shown_by, strict=True):
            if 0 <= x < size[1] and 0 <= y < size[0]:
                left, top = max(int(x * FINER) - 1, 0), max(int(y * FINER) - 1, 0)
                around = own[top : top + 3, left : left + 3].ravel().tolist()
                seen = any(each >> 3 == number and limbs >> (each & 7) & 1 for each in around)
                # A limb may be so thin that no pixel's centre shows it.
                beside = owner[max(int(y) - 1, 0) : int(y) + 2, max(int(x) - 1, 0) : int(x) + 2] == number
                row[:] = int(x), int(y), 2 if seen and beside.any() else 1
    return found


def draw(seed: int, split: str, index: int, size: tuple[int, int] = (128, 128)) -> Scene:
    """Scene ``index`` of ``split`` in the world of ``seed``, ``size`` pixels high and wide; it depends on its
    arguments alone.

    Raises:
        InputError: there is no such split, or a side of ``size`` is less than 48 pixels.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if min(size) < 48:
        raise InputError(f"People cannot be seen in an image of {size[0]} x {size[1]}; give at least 48 pixels a side.")
    e = Easel(np.random.default_rng([seed, SPLITS.index(split), index, *b"people"]), max(size))
    top, left = ((max(size) - side) // 2 for side in size)
    e.cut(slice(top, top + size[0]), slice(left, left + size[1]))
    tall, wide, outdoors = size[0] / max(size), size[1] / max(size), e.chance(0.7)
    stage = _Stage(wide, tall, min(tall, 1.5 * wide), tall * e.within(-0.45, 0.0), e.within(0.9, 1.4))

    things: list[_Thing] = []
    names = [name for name in _THINGS if outdoors or name not in ("car", "kite")]
    for turn in range(e.count(1, 5)):
        name = "person" if e.chance(0.45 if turn else 0.94) else names[e.count(0, len(names) - 1)]
        if turn == 1 and outdoors and e.chance(0.25):
            name = "crowd"
        group = _group(e, stage, name)
        if len(things) + len(group) <= 5:
            things += _placed(e, stage, group, things)
    while not things:  # what was wanted did not fit
        things = _placed(e, stage, _group(e, stage, "person"), things)
    things.sort(key=lambda thing: thing.near)
    while True:
        cast = _cast(things, size)
        owner = cast.own[FINER // 2 :: FINER, FINER // 2 :: FINER] >> np.uint8(3)
        seen = np.bincount(owner.ravel(), minlength=1 + len(things))[1:]
        if 500 * seen.min() >= owner.size or len(things) == 1:
            break
        del things[int(seen.argmin())]  # too little of it shows

    _backdrop(e, stage, outdoors)
    _paint(e, things, cast, owner)
    return Scene(
        e.develop(vivid=0.75),
        owner,
        np.array([thing.label for thing in things]),
        np.array([_box(owner == number) for number in range(1, 1 + len(things))]),
        np.stack([_joints(thing, number, cast.own, owner) for number, thing in enumerate(things, 1)]),
        np.array([thing.crowd for thing in things]),
    )


def _paint(e: Easel, things: list[_Thing], cast: _Cast, owner: NDArray[np.uint8]) -> None:
    """Paint things over the backdrop: what they darken, their colours, patterns, roundness and the lines in them."""
    size = (owner.shape[0], owner.shape[1])
    ground = Image.new("L", size[::-1])
    pen = ImageDraw.Draw(ground)
    for x, y, wide, high in np.concatenate([thing.ground for thing in things]).tolist():
        pen.polygon(_pixels(oval(x, y, wide, high), size).ravel().tolist(), fill=255)
    e.shadow(e.everywhere()._replace(share=np.asarray(ground) * np.float32(1 / 255)), 0.0, e.within(0.35, 0.6))

    # Red, green, blue and whether there is anything: four bytes that are looked up and averaged as one.
    table = np.array([(*colour, 1.0) for colour in cast.colours])
    table[0] = 0
    bytes_ = np.take((table.clip(0, 1) * 255 + 0.5).astype(np.uint8).view(np.uint32).ravel(), cast.tint)
    image = Image.frombuffer("RGBX", bytes_.shape[::-1], bytes_).reduce(FINER)
    *mean, share = np.asarray(image).transpose(2, 0, 1) * np.float32(1 / 255)
    e.light += (1 - e.light) * share
    e.colour *= 1 - share
    e.colour += np.stack(mean) * (1 + np.float32(0.02) * (e.fine + e.coarse))
    for number, thing in enumerate(things, 1):
        x, y, wide, high = _box(owner == number)
        where = slice(y, y + high), slice(x, x + wide)
        inside = slice(y * FINER, (y + high) * FINER), slice(x * FINER, (x + wide) * FINER)
        if thing.paint is not None and thing.paint.pattern != "plain":
            same = [colour == thing.paint.first for colour in cast.colours] & (cast.owns >> 3 == number)
            e.lay(Patch(where, _share(np.take(same, cast.tint[inside]))), thing.paint, e.flat(), 0.03)
        e.emboss(Patch(where, _share(cast.own[inside] >> 3 == number)), min(0.1 * thing.near, 0.08), 0.4)
    line = np.zeros(cast.own.shape, bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        first, second = cast.own[one], cast.own[other]
        line[one] |= (first != second) & (first > 0) & (second > 0)
    e.light *= 1 - np.float32(0.75) * _share(line)


# --- files ---


def _rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's run lengths, column after column, beginning with those outside."""
    flat = mask.ravel(order="F")
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff([0, *ends, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def _annotations(scene: Scene, image: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What COCO says of the things in image number ``image``, and of the people among them with their joints."""
    things: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    rows = zip(scene.labels.tolist(), scene.boxes.tolist(), scene.joints, scene.crowd.tolist(), strict=True)
    for number, (label, box_, joints, crowd) in enumerate(rows, 1):
        mask = scene.owner == number
        thing = {
            "id": image * 10 + number, "image_id": image, "category_id": CATEGORIES[CLASSES[label]][0], "bbox": box_,
            "area": int(mask.sum()), "iscrowd": int(crowd), "segmentation": _rle(mask),
        }  # fmt: skip
        things.append(thing)
        if label == 0:
            count = int((joints[:, 2] > 0).sum())
            people.append(thing | {"keypoints": joints.ravel().tolist(), "num_keypoints": count})
    return things, people


def write(folder: Path, *, seed: int = 0, train: int, val: int, size: tuple[int, int] = (128, 128)) -> None:
    """Write ``folder/{train,val}2017``'s images and ``folder/annotations`` as COCO 2017 has them, and
    ``folder/world.json``, whole or not at all.

    Numbers of images are odd in train and even in val; those of annotations are the same in both files.
    Does nothing where the same world already lies; processes that write it at the same time all succeed.

    Raises:
        InputError: ``folder`` holds something else, or a side of ``size`` is less than 48 pixels.
    """
    world = {"world": "people", "revision": REVISION, "seed": seed, "train": train, "val": val,
             "height": size[0], "width": size[1]}  # fmt: skip
    categories = [{"id": number, "name": name, "supercategory": above} for name, (number, above) in CATEGORIES.items()]
    person = categories[0] | {"keypoints": JOINTS, "skeleton": SKELETON}

    def fill(root: Path) -> None:
        (root / "annotations").mkdir()
        for split, count in zip(SPLITS, (train, val), strict=True):
            place = root / "images" / f"{split}2017"
            place.mkdir(parents=True)
            images: list[dict[str, Any]] = []
            things: list[dict[str, Any]] = []
            people: list[dict[str, Any]] = []
            for index in range(count):
                scene, number = draw(seed, split, index, size), 2 * index + 1 + SPLITS.index(split)
                name = f"{number:012}.jpg"
                # Full colour resolution: limbs are a few pixels wide.
                Image.fromarray(scene.image).save(place / name, quality=95, subsampling=0)
                images.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
                for kept, more in zip((things, people), _annotations(scene, number), strict=True):
                    kept.extend(more)
            for kind, annotations, known in (
                ("instances", things, categories), ("person_keypoints", people, [person]),
            ):  # fmt: skip
                lists = {"info": world, "images": images, "annotations": annotations, "categories": known}
                (root / "annotations" / f"{kind}_{split}2017.json").write_text(json.dumps(lists, separators=(",", ":")))

    _folder.write(folder, world, fill)
