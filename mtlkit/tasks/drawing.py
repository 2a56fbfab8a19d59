"""Predictions over images, as pixels; what needs axes and headings is in :mod:`mtlkit.report.figures`."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Point = Sequence[float]

# Hues a golden angle apart, three levels of light: neighbours in the class list are told apart at a glance.
_HUES = (np.arange(256) * 0.61803398875) % 1.0


def palette(classes: int) -> np.ndarray:
    """One colour a class, uint8 ``(classes, 3)``."""
    hue = _HUES[:classes, None] + np.array([0.0, 1 / 3, 2 / 3])
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * hue)
    light = np.array([1.0, 0.72, 0.5])[np.arange(classes) % 3, None]
    colours: np.ndarray = (255 * (0.15 + 0.85 * wave) * light).astype(np.uint8)
    return colours


def captioned(image: np.ndarray, text: str) -> np.ndarray:
    """An image, uint8 ``(H, W, 3)``, with a line of text in its lower left corner."""
    canvas = Image.fromarray(image)
    _label(ImageDraw.Draw(canvas), (0, canvas.height), text, (0, 0, 0), "lb")
    return np.array(canvas)


def boxed(
    image: np.ndarray,
    boxes: Sequence[Point],
    classes: Sequence[int],
    names: Sequence[str],
    points: Sequence[Sequence[Point]] = (),
) -> np.ndarray:
    """An image, uint8 ``(H, W, 3)``, with boxes in the colours of their classes.

    Args:
        image: at the size that boxes and points are in.
        boxes: left, top, right, bottom.
        classes: of the boxes.
        names: what is written at each.
        points: x and y of several for each, drawn as dots; none: no dots.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    line = max(1, round(max(canvas.size) / 320))
    # The surest come first and are drawn last.
    for place in reversed(range(len(boxes))):
        colour = tuple(palette(256)[classes[place] % 256].tolist())
        left, top, right, bottom = boxes[place]
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=line)
        for x, y in points[place] if points else ():
            draw.ellipse((x - 1.5 * line, y - 1.5 * line, x + 1.5 * line, y + 1.5 * line), fill=colour)
        _label(draw, (left, top), names[place], colour, "la")
    return np.array(canvas)


def _label(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, colour: tuple[int, ...], anchor: str) -> None:
    """White text on a colour; its size follows the image's."""
    font = ImageFont.load_default(max(10, round(max(draw.im.size) / 40)))
    draw.rectangle(draw.textbbox(at, text, font=font, anchor=anchor), fill=colour)
    draw.text(at, text, fill="white", font=font, anchor=anchor)
