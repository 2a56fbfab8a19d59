"""The embedded world ``rooms``: furnished rooms, ray-cast, with exact labels, depth and surface normals.

Every solid is a box, an upright cylinder or a ball, carried to its unit shape by an affine map. A ray keeps its
parameter under such a map, so one formula meets them all: a unit shape is an intersection of unit balls over groups
of coordinates (box: three groups of one; cylinder: ``y`` and ``xz``; ball: ``xyz``).

World frame: metres, x right, y up, the floor at ``y = 0``; the camera looks roughly along -z. Camera frame: the
canonical one of :mod:`mtlkit.data.samples`. Labels follow NYU's mapping of 40 classes to 13 (a pillow and a lamp are
objects, a rug is floor, a curtain window, a door wall).
"""

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtlkit.worlds import _folder
from mtlkit.worlds._furniture import FACES, SHAPES, Carpenter, Piece, Point, Solid, moved, put
from mtlkit.worlds._paints import GLOW, PATTERNS, Array, Paint, Spots

REVISION = 1
"""Raised when the images change on purpose; part of the identity of whatever was trained on them."""

# Read by mtlkit.worlds.world without importing this module: literals.
DRAWS = "rooms with classes, depth and surface normals"
LAYOUT = "npy"

CLASSES = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects",
    "picture", "sofa", "table", "tv", "wall", "window",
)  # fmt: skip
"""The 13 classes of NYU v2 in the order of ``class13Mapping.mat`` (ankurhanda/nyuv2-meta-data)."""

SPLITS = ("train", "val")
AXES = "x right, y up, z towards the camera"


class Frame(NamedTuple):
    """One image: ``image`` uint8 ``(H, W, 3)`` RGB; ``label`` int8 ``(H, W)``, an index of :data:`CLASSES` or -1
    for void; ``depth`` float32 ``(H, W)``, metres along the optical axis; ``normal`` float32 ``(H, W, 3)``, unit
    vectors in the canonical camera frame. Depth and normals have no gaps."""  # fmt: skip

    image: NDArray[np.uint8]
    label: NDArray[np.int8]
    depth: NDArray[np.float32]
    normal: NDArray[np.float32]


# --- a scene ---


class Scene(NamedTuple):
    """Solids, lamps as ``(position, power)``, and the camera: its place and its rotation, camera to world."""

    solids: Piece
    lamps: list[tuple[Point, float]]
    eye: NDArray[np.float64]
    turn: NDArray[np.float64]


def _turns(yaw: Any, tilt: Any) -> NDArray[np.float64]:
    """Rotations ``(..., 3, 3)``: about x by ``tilt``, then about the vertical by ``yaw``."""
    cy, sy, cx, sx = np.cos(yaw), np.sin(yaw), np.cos(tilt), np.sin(tilt)
    rows = [cy, sy * sx, sy * cx, 0 * cy, cx, -sx, -sy, cy * sx, cy * cx]
    turns: NDArray[np.float64] = np.stack(rows, -1).reshape(*np.shape(cy), 3, 3)
    return turns


THEMES = (
    (("bed",), ("cupboard", "shelf", "desk", "heap"), ()),
    (("sofa", "media"), ("sofa", "shelf", "cupboard", "heap"), ("coffee",)),
    (("cupboard",), ("shelf", "cupboard", "sofa", "media"), ("dining",)),
    (("desk", "shelf"), ("shelf", "sofa", "bed", "heap"), ()),
    (("sofa", "shelf"), ("media", "desk", "heap"), ("coffee",)),
    (("bed", "media"), ("chair", "desk", "heap"), ()),
)
"""What a room is for, as the pieces it must try, those it may have, and those in its middle."""


def _furnish(rng: np.random.Generator) -> Scene:
    """A room: shell, furniture along the three walls in view, things on the walls, lamps and a camera."""
    make = Carpenter(rng)
    half_x, half_z, high = make.within(1.5, 3.0), make.within(1.7, 3.5), make.within(2.4, 2.8)
    solids = _shell(make, half_x, half_z, high)
    taken: list[tuple[float, float, float, float]] = []  # footprints: x, z, half sizes

    def free(x: float, z: float, hx: float, hz: float) -> bool:
        return all(abs(x - a) >= hx + b or abs(z - c) >= hz + d for a, c, b, d in taken)

    # Wall k stands at distance away[k] from the middle and is turned by k quarter turns; wall 0 faces the camera.
    away, reach = (half_z, half_x, half_z, half_x), (half_x, half_z, half_x, half_z)
    used: dict[int, list[tuple[float, float, float]]] = {0: [], 1: [], 3: []}  # along the wall: middle, width, height
    must, may, middle = THEMES[make.below(len(THEMES))]
    for kind in (*must, *(may[make.below(len(may))] for _ in range(4))):
        piece, w, d, h = getattr(make, kind)()
        for _ in range(6):
            wall = (0, 0, 1, 3)[make.below(4)]
            if 2 * reach[wall] < w + 0.1:
                continue
            along, yaw = make.within(-1, 1) * (reach[wall] - w / 2 - 0.05), wall * math.pi / 2
            out = d / 2 + 0.03 - away[wall]
            x, z = (along, out) if wall == 0 else (out, -along) if wall == 1 else (-out, along)
            hx, hz = (w / 2, d / 2) if wall == 0 else (d / 2, w / 2)
            if free(x, z, hx, hz) and z + hz < half_z - 1.2:  # the near end of the room stays free for the camera
                taken.append((x, z, hx, hz))
                used[wall].append((along, w, h))
                solids += moved(piece, (x, 0, z), yaw)
                break
    for kind in (*middle, *(("chair", "heap")[make.below(2)] for _ in range(2))):
        piece, w, d, _ = getattr(make, kind)()
        r = max(w, d) / 2
        for _ in range(8):
            x, z = make.within(-1, 1) * max(half_x - r - 0.1, 0), make.within(-0.8, 0.35) * half_z
            if free(x, z, r, r) and z + r < half_z - 1.2:
                taken.append((x, z, r, r))
                solids += moved(piece, (x, 0, z), make.within(-0.4, 0.4) + make.below(4) * math.pi / 2)
                break
    lamps = [((make.within(-0.4, 0.4) * half_x, high - 0.35, make.within(-0.5, 0.5) * half_z), make.within(1.2, 2.4))]
    if make.chance(0.7):
        x, y, z = lamps[0][0]
        solids.append(put("objects", Paint((1.0, 0.97, 0.9)), (x, y + 0.1, z), (0.35, 0.18, 0.35), "ball"))
    for kind in ("window", "picture", "picture", "door", "picture", "window", "screen", "picture"):
        piece, w, h, low = getattr(make, kind)()
        for _ in range(4):
            wall = (0, 1, 3)[make.below(3)]
            along = make.within(-1, 1) * (reach[wall] - w / 2 - 0.1)
            clear = all(abs(along - a) > (w + b) / 2 + 0.05 or top <= low for a, b, top in used[wall])
            if clear and 2 * reach[wall] > w + 0.2 and low + h < high - 0.1 and make.chance(0.85):
                used[wall].append((along, w, 9.0))
                hung = moved(moved(piece, (along, low, -away[wall])), (0, 0, 0), wall * math.pi / 2)
                solids += hung
                if kind == "window":
                    x, y, z = hung[0].centre
                    lamps.append(((x * 0.85, y + 0.2, z * 0.85), make.within(0.6, 1.6)))
                break
    spots = [(make.within(-0.8, 0.8) * half_x, make.within(0.35, 0.92) * half_z) for _ in range(12)]
    gaps = [
        min([math.hypot(max(abs(x - a) - b, 0), max(abs(z - c) - d, 0)) for a, c, b, d in taken] or [1])
        for x, z in spots
    ]
    x, z = spots[int(np.argmax(np.array(gaps) + 0.15 * np.array([z for _, z in spots])))]
    # Yaw about the middle of what stands there, so that few frames look at a bare wall.
    goal_x, goal_z = make.within(-0.6, 0.6) * half_x, -make.within(0.3, 0.9) * half_z
    yaw, pitch, roll = math.atan2(x - goal_x, z - goal_z), make.within(-0.3, 0.06), make.within(-0.04, 0.04)
    c, s = math.cos(roll), math.sin(roll)
    turn = _turns(yaw, pitch) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return Scene(solids, lamps, np.array([x, make.within(1.2, 1.65), z]), turn)


def _shell(make: Carpenter, half_x: float, half_z: float, high: float) -> Piece:
    """Floor, ceiling, four walls with skirting boards, at times a rug."""
    thick, x, z = 0.2, 2 * half_x, 2 * half_z
    wood = make.planks(make.wood(), make.within(0.1, 0.2))
    stone = Paint(make.hue(0.25, 0.9), (0.35, 0.33, 0.3), "tiles", make.within(0.3, 0.6), make.below(999))
    carpet = make.plain(0.3, 0.8)
    floor = (wood, wood, stone, carpet)[make.below(4)]
    ceiling, base = Paint(make.hue(0.06, 1.0)), make.lime() if make.chance(0.65) else make.plain(0.22, 0.97)
    if make.chance(0.15):
        ceiling = ceiling._replace(pattern="tiles", second=(0.6, 0.6, 0.6), scale=0.6)
    shell = [
        Solid("floor", floor, (0, -thick / 2, 0), (x + 1, thick, z + 1)),
        Solid("ceiling", ceiling, (0, high + thick / 2, 0), (x + 1, thick, z + 1)),
    ]
    skirting = Paint((0.92, 0.92, 0.9)) if make.chance(0.6) else Paint(make.timber)
    for k in range(4):
        away, length = (half_z, x) if k % 2 == 0 else (half_x, z)
        paint = base if make.chance(0.7) else make.plain(0.35, 0.9)
        if make.chance(0.25):
            red, green, blue = paint.first
            tone = 1 - make.within(0.06, 0.2)
            darker = (tone * red, tone * green, tone * blue)
            paint = Paint(paint.first, darker, ("stripes", "dots")[make.below(2)], make.within(0.08, 0.16))
        wall = [
            put("wall", paint, (0, 0, -away - thick / 2), (length + 1, high, thick)),
            put("wall", skirting, (0, 0, -away), (length, 0.1, 0.03)),
        ]
        shell += moved(wall, (0, 0, 0), k * math.pi / 2)
    if make.chance(0.5):
        at = (make.within(-0.3, 0.3) * half_x, 0, make.within(-0.5, 0.2) * half_z)
        size = (make.within(1.2, 2.0), 0.012, make.within(1.0, 1.6))
        shell.append(put("floor", make.cloth(), at, size, yaw=make.within(-0.2, 0.2)))
    return shell


# --- rays and light ---


def camera(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """``fx, fy, cx, cy`` in pixels for an image ``(height, width)``; pixel centres at whole numbers.

    The horizontal field of view, 56.8 degrees, is that of NYU v2's valid crop (fx 518.858 over 561 columns).
    A point at ``depth`` in pixel ``(row, column)`` is ``depth * ((column - cx) / fx, (cy - row) / fy, -1)``.
    """
    height, width = size
    focal = 518.858 / 561 * width
    return focal, focal, (width - 1) / 2, (height - 1) / 2


def _chord(shape: str, start: Array, along: Array) -> tuple[Array, Array]:
    """Where the rays ``start + t along`` (both ``(3, ...)``, unit-shape frame) enter and leave the unit shape.

    A ray misses when it leaves before it enters.
    """
    flat, round_ = SHAPES[shape]
    if flat is not None:
        inverse = 1 / along[flat]
        middle, reach = -start[flat] * inverse, np.abs(inverse)
        near, far = functools.reduce(np.maximum, middle - reach), functools.reduce(np.minimum, middle + reach)
        if round_ is None:
            return near, far
    o, d = start[round_], along[round_]
    square = 1 / np.maximum((d * d).sum(0), np.float32(1e-12))
    middle = -(o * d).sum(0) * square
    nearest = o + middle * d  # better conditioned than the discriminant when the ball is small and far
    inside = (1 - (nearest * nearest).sum(0)) * square
    reach = np.sqrt(np.maximum(inside, 0))
    reach[inside < 0] = -np.inf
    if flat is None:
        return middle - reach, middle + reach
    return np.maximum(near, middle - reach), np.minimum(far, middle + reach)


CASTS = ("bed", "chair", "furniture", "objects", "sofa", "table")
"""Whose larger parts throw shadows."""


class _Traced(NamedTuple):
    """Solids as affine maps ``unit = A @ camera + b``, and what each pixel sees."""

    A: Array
    b: Array
    which: NDArray[np.intp]
    depth: Array


def _trace(scene: Scene, size: tuple[int, int]) -> _Traced:
    """The nearest solid of every pixel; each solid meets only the rays in the rectangle its corners project to."""
    height, width = size
    fx, fy, cx, cy = camera(size)
    x = ((np.arange(width) - cx) / fx).astype(np.float32)
    y = ((cy - np.arange(height)) / fy).astype(np.float32)[:, None]
    half = np.array([s.size for s in scene.solids]) / 2
    turns = _turns(np.array([s.yaw for s in scene.solids]), np.array([s.tilt for s in scene.solids]))
    offset = np.array([s.centre for s in scene.solids]) - scene.eye
    to_camera = scene.turn.T @ turns  # (S, 3, 3)
    corners = np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(8, 3)
    seen = np.einsum("sij,skj->ski", to_camera, half[:, None] * corners) + (offset @ scene.turn)[:, None]
    A = (np.swapaxes(to_camera, 1, 2) / half[..., None]).astype(np.float32)
    b = (-np.einsum("sij,si->sj", turns, offset) / half).astype(np.float32)
    ahead = -seen[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = fx * seen[..., 0] / ahead + cx, cy - fy * seen[..., 1] / ahead
    behind = ahead.min(1) < 0.05
    left = np.where(behind, 0, np.clip(np.floor(u.min(1)), 0, width)).astype(int)
    right = np.where(behind, width, np.clip(np.ceil(u.max(1)) + 1, 0, width)).astype(int)
    top = np.where(behind, 0, np.clip(np.floor(v.min(1)), 0, height)).astype(int)
    bottom = np.where(behind, height, np.clip(np.ceil(v.max(1)) + 1, 0, height)).astype(int)
    depth = np.full(size, np.inf, np.float32)
    which = np.zeros(size, np.intp)
    visible = (ahead.max(1) > 0.05) & (left < right) & (top < bottom)
    for k in np.flatnonzero(visible):
        box = slice(top[k], bottom[k]), slice(left[k], right[k])
        a = A[k, :, :, None, None]
        along = a[:, 0] * x[box[1]] + (a[:, 1] * y[box[0]] - a[:, 2])
        near, far = _chord(scene.solids[k].shape, b[k, :, None, None], along)
        closer = (near <= far) & (near > 0.02) & (near < depth[box])
        np.copyto(depth[box], near, where=closer)
        np.copyto(which[box], k, where=closer)
    return _Traced(A, b, which.ravel(), depth)


def render(seed: int, index: int, size: tuple[int, int], split: str = "train") -> Frame:
    """Frame ``index`` of ``split`` in the world of ``seed``, at ``size`` (height, width).

    The scene depends on ``(seed, split, index)`` alone, so no scene is in both splits, a small set begins a bigger
    one, and another size is the same room with finer pixels.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    scene = _furnish(rng)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _develop(scene, size, rng)


def _develop(scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> Frame:
    A, b, which, depth = _trace(scene, size)
    fx, fy, cx, cy = camera(size)
    rows, columns = np.indices(size, np.float32).reshape(2, -1)
    rays = np.stack([(columns - cx) / fx, (cy - rows) / fy, -np.ones_like(rows)])
    point = rays.astype(np.float32) * depth.ravel()

    # On a unit shape, the group of coordinates that has length one is the face, and its gradient the normal.
    names = list(FACES)
    shape = np.array([names.index(s.shape) for s in scene.solids])[which]
    groups = np.array(list(FACES.values()), np.float32)
    maps = A[which]
    unit = np.einsum("nij,jn->ni", maps, point) + b[which]
    face = np.einsum("nij,nj->ni", groups[shape], unit * unit).argmax(1)
    normal = np.einsum("nij,ni->jn", maps, unit * groups[shape, face])
    normal /= np.sqrt((normal * normal).sum(0))

    glow, colour = _colour(scene, which, unit, face, depth.ravel() / np.float32(fx))
    image = (_light(scene, A, b, point, normal) + glow).T * np.square(colour)
    label = np.array([CLASSES.index(s.label) for s in scene.solids], np.int8)[which].reshape(size)
    normals = np.ascontiguousarray(normal.T, np.float32).reshape(*size, 3)
    return Frame(_expose(image.reshape(*size, 3), rng), _void(label, rng), depth, normals)


def _colour(scene: Scene, which: NDArray[np.intp], unit: Array, face: Array, pixel: Array) -> tuple[Array, Array]:
    """Own light ``(N,)`` and display colour ``(N, 3)``; ``pixel`` is the size of one in metres, where it looks."""
    half = np.array([s.size for s in scene.solids], np.float32)[which] / 2
    flat = np.array([s.shape == "box" for s in scene.solids])[which]
    n, across, upward = np.arange(len(which)), np.array([2, 0, 0])[face], np.array([1, 2, 1])[face]
    round_ = np.arctan2(unit[:, 0], unit[:, 2]) / np.float32(np.pi)
    s, t = np.where(flat, unit[n, across], round_), np.where(flat, unit[n, upward], unit[:, 1])
    # Measured from a corner: shelves and doors begin at an edge, not in the middle.
    u = np.where(flat, (s + 1) * half[n, across], s * np.float32(np.pi) * half[:, 0])
    v = (t + 1) * np.where(flat, half[n, upward], half[:, 1])

    colour = np.array([s.paint.first for s in scene.solids], np.float32)[which]
    patterned = np.array([s.paint.pattern != "plain" for s in scene.solids])[which]
    order = np.flatnonzero(patterned)
    order = order[np.argsort(which[order], kind="stable")]
    solids, starts = np.unique(which[order], return_index=True)
    for k, pixels in zip(solids, np.split(order, starts[1:]), strict=False):
        paint = scene.solids[k].paint
        scale = np.float32(1 / paint.scale)
        grain = np.maximum(pixel[pixels] * scale, np.float32(1e-3))
        colour[pixels] = PATTERNS[paint.pattern](
            Spots(u[pixels] * scale, v[pixels] * scale, s[pixels], t[pixels], grain), paint
        )
    glow = np.array([GLOW.get(s.paint.pattern, 0) for s in scene.solids], np.float32)[which]
    return glow, np.clip(colour, 0, 1)


def _light(scene: Scene, A: Array, b: Array, point: Array, normal: Array) -> Array:
    """Light that reaches every pixel, ``(3, N)``: ambient, and every lamp's by Lambert's law; lamp 0 throws shadows."""
    up = scene.turn[1].astype(np.float32)  # the world's y axis as the camera sees it
    height, upward = up @ point + np.float32(scene.eye[1]), up @ normal
    contact = 1 - 0.3 * np.exp(-np.maximum(height, 0) / 0.12) * (upward < 0.9)
    light: Array = np.array([[0.96], [0.98], [1.04]], np.float32) * ((0.32 + 0.08 * upward) * contact)
    for i, (place, power) in enumerate(scene.lamps):
        away = ((np.array(place) - scene.eye) @ scene.turn).astype(np.float32)[:, None] - point
        square = (away * away).sum(0)
        distance = np.sqrt(square)
        reach = power * np.maximum((away * normal).sum(0) / distance, 0) / (square + 0.6)
        if i == 0:
            lit = np.flatnonzero(reach > 0)
            lit = lit[np.argsort(height[lit])]  # what lies higher than a solid is not in its shadow: a prefix is enough
            low, start, along, far_off = height[lit], point[:, lit], away[:, lit], distance[lit]
            share = np.ones_like(low)
            for k, solid in enumerate(scene.solids):
                if solid.label not in CASTS or sorted(solid.size)[1] < 0.4:
                    continue
                under = slice(np.searchsorted(low, solid.centre[1] + solid.size[1] / 2))
                enter, leave = _chord(solid.shape, A[k] @ start[:, under] + b[k][:, None], A[k] @ along[:, under])
                # The longer the way through a solid, the darker: shadows with soft rims at no cost.
                way = (np.minimum(leave, 1) - np.maximum(enter, 0)) * far_off[under]
                share[under] *= 1 - np.minimum(np.maximum(way * (0.9 / min(0.15, *solid.size)), 0), 0.9)
            reach[lit] *= share
        light += np.array([[1.06], [1.0], [0.9]] if i == 0 else [[0.94], [1.0], [1.1]], np.float32) * reach
    return light


def _expose(light: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A camera: exposure, white balance, fall-off to the corners, a soft shoulder, sensor noise."""
    height, width = light.shape[:2]
    gain = rng.uniform(0.2, 0.3) / np.median(light[..., 1]) * rng.uniform(0.95, 1.05, 3)
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    light = light * (gain.astype(np.float32) * (1 - 0.1 * (x * x + y * y))[..., None])
    shown = np.sqrt(light / (1 + np.maximum(light - 0.4, 0) * 0.6))
    shown += rng.standard_normal(shown.shape, np.float32) * np.float32(rng.uniform(0.004, 0.014))
    developed: NDArray[np.uint8] = (np.clip(shown, 0, 1) * 255 + 0.5).astype(np.uint8)
    return developed


def _void(label: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.int8]:
    """Stretches along borders between classes become -1, as annotators leave them."""
    height, width = label.shape
    edge = np.zeros(label.shape, bool)
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    edge[1:] |= label[1:] != label[:-1]
    careless = rng.random((6, 8)) < 0.35
    patch = careless[np.arange(height)[:, None] * 6 // height, np.arange(width) * 8 // width]
    return np.where(edge & patch, np.int8(-1), label)


# --- files ---


def write(folder: Path, *, seed: int = 0, train: int = 96, val: int = 32, size: tuple[int, int] = (64, 80)) -> None:
    """Write ``folder/{train,val}/{image,label,depth,normal}/{i}.npy`` and ``folder/world.json``, whole or not at all.

    Files: image uint8 ``(H, W, 3)``; label int8 ``(H, W)``, -1 void; depth float32 ``(H, W, 1)``, metres; normal
    float16 ``(H, W, 3)`` in the canonical frame. Does nothing where the same world already lies; processes that
    write it at the same time all succeed.

    Raises:
        InputError: ``folder`` holds something else.
    """
    world = {"world": "rooms", "revision": REVISION, "seed": seed, "train": train, "val": val,
             "height": size[0], "width": size[1], "axes": AXES}  # fmt: skip

    def fill(root: Path) -> None:
        for split, count in zip(SPLITS, (train, val), strict=True):
            for kind in Frame._fields:
                (root / split / kind).mkdir(parents=True)
            for index in range(count):
                frame = render(seed, index, size, split)
                stored = frame._replace(depth=frame.depth[..., None], normal=frame.normal.astype(np.float16))
                for kind in Frame._fields:
                    np.save(root / split / kind / f"{index}.npy", getattr(stored, kind))

    _folder.write(folder, world, fill)
