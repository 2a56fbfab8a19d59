"""Embedded worlds: drawn data sets, each written in the layout of a real one. One file a world."""

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mtlkit.errors import InputError
from mtlkit.files import at_home
from mtlkit.layouts import described
from mtlkit.literals import literals

WORLDS = (
    "rooms",
    "objects",
    "places",
    "parts",
    "people",
    "plates",
    "faces",
)
"""The worlds; the module of the same name in this package draws each and says what it is."""


@dataclass(frozen=True)
class World:
    """A drawn data set.

    Attributes:
        what: is drawn, in a line; ``DRAWS`` of its module.
        layout: the layout in which it is written; ``LAYOUT``.
        square: whether its images are square, so that a size is one number; ``SQUARE``.
        counts: what ``train`` and ``val`` count; ``COUNTS``.
    """

    what: str
    layout: str
    square: bool
    counts: str


def world(name: str) -> World:
    """What a world's module says of it, read without importing the module, and numpy with it.

    >>> world("rooms").layout
    'npy'
    """
    found = literals(f"{__name__}.{name}")
    for constant in ("DRAWS", "LAYOUT"):
        if constant not in found:
            raise InputError(f"{__name__}.{name} has no {constant} that is one literal string.")
    return World(found["DRAWS"], found["LAYOUT"], found.get("SQUARE", False), found.get("COUNTS", "images"))


def drawer(name: str) -> ModuleType:
    """The module that draws a world, with ``LAYOUT``, ``REVISION`` and ``write``."""
    return import_module(f"{__name__}.{name}")


def cache_folder() -> Path:
    """Where embedded worlds are drawn to: ``MTLKIT_CACHE``, else ``~/.cache/mtlkit``."""
    return at_home(os.environ.get("MTLKIT_CACHE") or Path.home() / ".cache" / "mtlkit")


def listed() -> dict[str, str]:
    """Name -> what it is, of all that a table can be asked to read: the worlds, then the layouts."""
    return {name: f"embedded world: drawn {world(name).what}; no download" for name in WORLDS} | described()
