"""What the drawn worlds :mod:`mtlkit.worlds.objects` and :mod:`mtlkit.worlds.places` share: colours, textures, light,
a camera with its noise, and the files.

A scene is laid out in a plane, x right and y down, of which the image shows about -1..1 both ways. Outlines are
drawn finer than the image and averaged; textures are blurred to the pixel by their own formula.
"""  # fmt: skip

import colorsys
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from mtlkit.errors import unknown
from mtlkit.worlds import _folder
from mtlkit.worlds._paints import PATTERNS, Array, Colour, Paint, Spots

SPLITS = ("train", "val")
FINER = 3
"""Outlines are drawn on a grid this many times finer than the image."""

Outline = NDArray[np.float64]
"""Corners ``(N, 2)`` of a polygon."""
Shape = list[tuple[str, Outline]]
"""Polygons laid over each other in turn: of the ``body``, of its ``trim``, or a ``hole`` in what came before."""


class Patch(NamedTuple):
    """How much of each pixel something covers, ``share`` in 0..1, over the rows and columns ``box`` of the image."""

    box: tuple[slice, slice]
    share: Array


class View(NamedTuple):
    """Where in its texture each pixel looks, ``u, v``, and its extent there, ``grain``: ``(size, size)`` each."""

    u: Array
    v: Array
    grain: Array


# --- outlines ---


def polygon(*corners: tuple[float, float]) -> Outline:
    """The polygon through ``corners``."""
    return np.array(corners, np.float64)


def box(left: float, top: float, right: float, bottom: float) -> Outline:
    """An upright rectangle."""
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


_TURN = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_ROUND = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)


def oval(x: float, y: float, across: float, down: float | None = None) -> Outline:
    """An ellipse around ``(x, y)`` with the given half axes; a circle with one."""
    return _ROUND * (across, down or across) + (x, y)


def below(x: Array, y: Array, floor: float = 1.6) -> Outline:
    """All that lies under the line through ``(x, y)``, both ``(N,)``, down to ``floor``."""
    line = np.stack([x, y], 1)
    return np.concatenate([line, [(x[-1], floor), (x[0], floor)]])


def moved(shape: Shape, x: float, y: float, across: float, down: float | None = None) -> Shape:
    """``shape`` scaled and put at ``(x, y)``."""
    return [(kind, outline * (across, down or across) + (x, y)) for kind, outline in shape]


STUFF = {
    "leaf": ((0.17, 0.42), (0.25, 0.75), (0.25, 0.75)),
    "sand": ((0.05, 0.15), (0.2, 0.6), (0.6, 0.95)),
    "water": ((0.46, 0.66), (0.2, 0.7), (0.35, 0.8)),
    "stone": ((0.0, 1.0), (0.02, 0.18), (0.35, 0.85)),
    "wood": ((0.03, 0.11), (0.3, 0.7), (0.2, 0.7)),
    "brick": ((-0.05, 0.08), (0.3, 0.75), (0.35, 0.75)),
    "lime": ((0.06, 0.16), (0.02, 0.25), (0.8, 1.0)),
    "cloth": ((0.0, 1.0), (0.35, 0.9), (0.4, 0.95)),
}
"""Ranges of hue, saturation and value."""

SURFACES = ("plain", "plain", "planks", "tiles", "checks", "plaid", "dots", "stripes", "bricks", "zigzag", "folds")


class Easel:
    """An image ``(size, size)`` in the making; all its chances come from ``rng``.

    The draws do not depend on ``size``: another size is the same image with finer pixels, but for its noise.
    """

    def __init__(self, rng: np.random.Generator, size: int, *, roll: float = 0.0, zoom: float = 1.0):
        self.rng, self.size = rng, size
        c, s = zoom * math.cos(roll), zoom * math.sin(roll)
        self.camera = np.array([[c, -s], [s, c]])  # from the scene to the image
        line = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
        inverse = np.linalg.inv(self.camera).astype(np.float32)
        self.x = inverse[0, 0] * line + inverse[0, 1] * line[:, None]
        self.y = inverse[1, 0] * line + inverse[1, 1] * line[:, None]
        self.pixel = 2 / (size * zoom)
        self.colour = np.full((3, size, size), 0.5, np.float32)
        self.light = np.ones((size, size), np.float32)
        toward = self.within(-1.1, 1.1) - math.pi / 2  # the light comes from above, within 63 degrees
        self.sun = (math.cos(toward), math.sin(toward))
        self.fine, self.coarse = self.field(28), self.field(7)

    # Chances --------------------------------------------------------------------------------------------------

    def within(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``."""
        return low + (high - low) * float(self.rng.random())

    def chance(self, share: float) -> bool:
        """True for a ``share`` of the calls."""
        return bool(self.rng.random() < share)

    def count(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return low + int((high + 1 - low) * self.rng.random())

    def some(self, n: int, low: float, high: float) -> Array:
        """``n`` numbers between ``low`` and ``high``."""
        return self.rng.uniform(low, high, n)

    def of(self, *kinds: str) -> Colour:
        """The colour of one of these :data:`STUFF`, of any if none is named; now and then another colour altogether."""
        names = tuple(STUFF) if not kinds or self.chance(0.18) else kinds
        hue, saturation, value = STUFF[names[self.count(0, len(names) - 1)]]
        return colorsys.hsv_to_rgb(self.within(*hue) % 1, self.within(*saturation), self.within(*value))

    def paint(self, first: Colour | None = None, patterns: Sequence[str] = SURFACES) -> Paint:
        """A texture: one of ``patterns`` around the colour ``first``."""
        first = first or self.of()
        pattern = patterns[self.count(0, len(patterns) - 1)]
        if self.chance(0.5):
            tone = self.within(0.45, 0.8) if sum(first) > 1 else self.within(1.3, 1.8)
            second = (min(first[0] * tone, 1.0), min(first[1] * tone, 1.0), min(first[2] * tone, 1.0))
        else:
            second = mix(first, self.of(), self.within(0.3, 0.7))
        return Paint(first, second, pattern, self.within(0.13, 0.34), self.count(0, 998))

    def field(self, cells: int) -> Array:
        """Smooth noise ``(size, size)`` of mean about 0 and deviation about 1, ``cells`` bumps across."""
        seeds = self.rng.standard_normal((cells, cells), np.float32)
        smooth = np.asarray(Image.fromarray(seeds).resize((self.size, self.size), Image.Resampling.BICUBIC))
        return smooth * np.float32(1.25)

    # Painting -------------------------------------------------------------------------------------------------

    def cut(self, rows: slice, columns: slice) -> None:
        """Keep a part of the image only, before anything is painted; outlines can no longer be drawn by it."""
        self.x, self.y, self.light = (plane[rows, columns] for plane in (self.x, self.y, self.light))
        self.fine, self.coarse = self.fine[rows, columns], self.coarse[rows, columns]
        self.colour = self.colour[:, rows, columns]

    def cover(self, outlines: Iterable[Outline], holes: Iterable[Outline] = ()) -> Patch:
        """Where polygons lie, less the ``holes``."""
        return self.covers([*(("body", o) for o in outlines), *(("hole", o) for o in holes)])[0]

    def covers(self, shape: Shape) -> tuple[Patch, Patch]:
        """Where the body and the trim of ``shape`` show."""
        nothing = Patch((slice(0), slice(0)), self.light[:0, :0])
        if not shape:
            return nothing, nothing
        corners = np.concatenate([outline for _, outline in shape])
        corners = corners @ (self.camera.T * (self.size / 2)) + self.size / 2
        left, top = (max(int(low), 0) for low in corners.min(0))
        right, bottom = (min(int(high) + 2, self.size) for high in corners.max(0))
        if left >= right or top >= bottom:
            return nothing, nothing
        # Only the part of the image that the outlines reach is drawn.
        wide, high = (right - left) * FINER, (bottom - top) * FINER
        masks = [Image.new("L", (wide, high)) for _ in range(1 + any(kind == "trim" for kind, _ in shape))]
        pens = [ImageDraw.Draw(mask) for mask in masks]
        path, start = ((corners - (left, top)) * FINER - 0.5).ravel().tolist(), 0
        for kind, outline in shape:
            end = start + 2 * len(outline)
            for pen, own in zip(pens, ("body", "trim"), strict=False):
                pen.polygon(path[start:end], fill=255 if kind == own else 0)
            start = end
        where = slice(top, bottom), slice(left, right)
        patches = [Patch(where, np.asarray(mask.reduce(FINER)) * np.float32(1 / 255)) for mask in masks]
        return patches[0], patches[1] if len(patches) > 1 else nothing

    def union(self, body: Patch, trim: Patch) -> Patch:
        """Where either lies, of the two that :meth:`covers` gives."""
        return body._replace(share=np.minimum(body.share + trim.share, 1)) if trim.share.size else body

    def everywhere(self) -> Patch:
        """The whole image."""
        return Patch((slice(None), slice(None)), np.ones_like(self.light))

    def flat(self, turn: float = 0.0) -> View:
        """A texture that lies in the image plane, turned by ``turn`` radians."""
        c, s = np.float32(math.cos(turn)), np.float32(math.sin(turn))
        return View(c * self.x + s * self.y, c * self.y - s * self.x, np.full_like(self.x, self.pixel))

    def fill(self, patch: Patch, colour: Any) -> None:
        """Lay ``colour``, ``(3,)`` or ``(3, size, size)``, over ``patch``."""
        under = self.colour[:, *patch.box]
        colour = np.asarray(colour, np.float32)
        under += ((colour[:, *patch.box] if colour.ndim == 3 else colour[:, None, None]) - under) * patch.share

    def lay(self, patch: Patch, paint: Paint, view: View | None = None, rough: float = 0.1) -> None:
        """Lay a texture over ``patch``; ``rough`` is how much its tone varies from spot to spot."""
        where, share = patch
        if not share.size:
            return
        tone = 1 + np.float32(rough) * (self.fine[where] + self.coarse[where])
        under = self.colour[:, *where]
        if paint.pattern == "plain":
            colour: Array = np.array(paint.first, np.float32)[:, None, None]
        else:
            per = np.float32(1 / paint.scale)
            u, v, grain = (part[where].ravel() * per for part in view or self.flat())
            spots = Spots(u, v, u, v, np.maximum(grain, np.float32(1e-3)))
            colour = PATTERNS[paint.pattern](spots, paint).T.reshape(3, *share.shape)
        under += (colour * tone - under) * share

    def emboss(self, patch: Patch, round_: float, depth: float = 0.5) -> None:
        """Shade ``patch`` as if it bulged: edges within ``round_`` that face the light are lit, the others dark."""
        if not patch.share.size:
            return
        bulge = np.pad(patch.share, 1)
        bulge = np.asarray(_blurred(bulge, round_ / self.pixel / 2)) * np.float32(1.25 * round_ / self.pixel / 255)
        across, down = bulge[1:-1, :-2] - bulge[1:-1, 2:], bulge[:-2, 1:-1] - bulge[2:, 1:-1]
        slope = across * np.float32(self.sun[0]) + down * np.float32(self.sun[1])
        self.light[patch.box] *= 1 + (np.float32(depth) * np.clip(slope, -1.2, 1.2)) * patch.share

    def shadow(self, patch: Patch, reach: float, depth: float) -> None:
        """Darken what lies behind ``patch``, away from the light by ``reach``."""
        shift, whole = reach / self.pixel, np.zeros_like(self.light)
        whole[patch.box] = patch.share
        soft = _blurred(whole, 0.04 / self.pixel)
        to = (1, 0, shift * self.sun[0], 0, 1, shift * self.sun[1])
        cast = soft.transform(soft.size, Image.Transform.AFFINE, to, Image.Resampling.BILINEAR)
        self.light *= 1 - np.float32(depth / 255) * np.asarray(cast)

    # The camera -----------------------------------------------------------------------------------------------

    def develop(self, grey: bool = False, vivid: float = 0.45) -> NDArray[np.uint8]:
        """The image, uint8 ``(size, size, 3)``: uneven light, white balance, exposure, a soft shoulder, noise.

        ``vivid`` is the least share of its saturation that a colour keeps.
        """
        slope, pool = self.within(0, 0.45), self.within(0, 0.5)
        at_x, at_y = self.within(-0.7, 0.7), self.within(-0.7, 0.7)
        light = self.light * (1 + np.float32(slope) * (self.x * self.sun[0] + self.y * self.sun[1]))
        light *= 1 - np.float32(pool / 3) * ((self.x - at_x) ** 2 + (self.y - at_y) ** 2)
        linear = np.square(np.clip(self.colour, 0, 1)) * np.maximum(light, np.float32(0.08))
        mean = (linear[0] + linear[1] + linear[2]) * np.float32(1 / 3)
        linear = mean + (linear - mean) * np.float32(0 if grey else self.within(vivid, 1.15))
        balance = np.ones(3) if grey else self.rng.uniform(0.85, 1.15, 3)
        # A camera that lifts a dark scene most of the way, so that day and night do not part the classes.
        gain = self.within(0.17, 0.3) * (0.3 / max(float(np.median(mean)), 0.02)) ** 0.8 / 0.3 * balance
        linear = np.maximum(linear, 0) * gain.astype(np.float32)[:, None, None]
        shown = np.sqrt(linear / (1 + np.maximum(linear - np.float32(0.4), 0) * np.float32(0.6)))
        noise = self.rng.standard_normal((1 if grey else 3, *self.light.shape), np.float32)
        shown += noise * np.float32(self.within(0.006, 0.028))
        developed = (np.clip(shown, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        return np.ascontiguousarray(developed.transpose(1, 2, 0))


def _blurred(share: Array, radius: float) -> Image.Image:
    """An 8-bit grey image of ``share`` in 0..1, blurred over ``radius`` pixels."""
    return Image.fromarray((share * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))


def mix(first: Colour, second: Colour, amount: float) -> Colour:
    """The colour ``amount`` of the way from ``first`` to ``second``."""
    red, green, blue = (a + (b - a) * amount for a, b in zip(first, second, strict=True))
    return red, green, blue


def chances(name: str, classes: Sequence[str], seed: int, split: str, index: int) -> np.random.Generator:
    """The chances of one image of a world with these ``classes``: those of no other class, split or index.

    Raises:
        InputError: there is no such class or split.
    """
    if name not in classes:
        raise unknown("class", name, classes)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    return np.random.default_rng([seed, SPLITS.index(split), index, *name.encode()])


# --- files ---


def write(
    folder: Path,
    identity: tuple[str, int],
    draw: Callable[[str, int, str, int, int], NDArray[np.uint8]],
    classes: tuple[Sequence[str], Sequence[str]],
    seed: int,
    counts: tuple[int, int],
    size: int,
) -> None:
    """Write ``folder/{train,val}/CLASS/00000.png`` and so on and ``folder/world.json``, whole or not at all.

    Args:
        folder: where to; may be missing or empty, or hold the very world already.
        identity: name and revision of the world.
        draw: makes the image of ``(class, seed, split, index, size)``; one without colour is stored in grey.
        classes: those wanted, and those there are.
        seed: of the world.
        counts: images of each class in ``train`` and in ``val``.
        size: of each image, pixels.
    """
    wanted, there = classes
    for name in wanted:
        if name not in there:
            raise unknown("class", name, there)
    names = sorted(set(wanted))
    world = {"world": identity[0], "revision": identity[1], "seed": seed, "train": counts[0], "val": counts[1],
             "size": size, "classes": names}  # fmt: skip

    def fill(root: Path) -> None:
        for split, count in zip(SPLITS, counts, strict=True):
            for name in names:
                place = root / split / name
                place.mkdir(parents=True)
                for index in range(count):
                    image = draw(name, seed, split, index, size)
                    stored = image[..., 0] if (image == image[..., :1]).all() else image
                    Image.fromarray(stored).save(place / f"{index:05}.png", compress_level=1)

    _folder.write(folder, world, fill)
