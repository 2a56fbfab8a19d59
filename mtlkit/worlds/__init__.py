"""Embedded worlds: drawn data sets, each written in the layout of a real one. One file a world."""

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType


@dataclass(frozen=True)
class World:
    """A drawn data set.

    Attributes:
        what: is drawn, in a line.
        layout: the layout in which it is written.
        square: whether its images are square, so that a size is one number.
        counts: what ``train`` and ``val`` count.
    """

    what: str
    layout: str
    square: bool = False
    counts: str = "images"


WORLDS = {
    "rooms": World("rooms with classes, depth and surface normals", "npy"),
    "objects": World("objects, a class an image", "imagefolder", square=True, counts="images of a class"),
    "places": World("scenes, a class an image", "imagefolder", square=True, counts="images of a class"),
    "parts": World("scenes whose objects have boxes and attributes", "apascal"),
    "people": World("people and things with boxes, masks and joints", "coco"),
    "plates": World("dishes with calories and categories", "manifest", counts="portions"),
    "faces": World("faces with an age and a gender", "utkface"),
}
"""World -> what it is; the module of the same name in this package draws it."""


def drawer(world: str) -> ModuleType:
    """The module that draws ``world``, with ``REVISION`` and ``write``."""
    return import_module(f"mtlkit.worlds.{world}")


def cache_folder() -> Path:
    """Where embedded worlds are drawn to: ``MTLKIT_CACHE``, else ``~/.cache/mtlkit``."""
    return Path(os.environ.get("MTLKIT_CACHE") or Path.home() / ".cache" / "mtlkit")
