"""The five papers, a line each; what they declare is imported on first use."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from mtlkit.errors import unknown
from mtlkit.papers.options import Options

if TYPE_CHECKING:
    from mtlkit.papers.declaration import Table

PAPERS = {
    "cross_stitch": "CrossStitchOptions",
    "nddr": "NDDROptions",
    "multi_exit": "MultiExitOptions",
    "mcn": "MCNOptions",
    "calorie": "CalorieOptions",
}
"""Slug -> the class of the paper's options, in ``mtlkit.papers.SLUG.options``; its tables are in the module ``tables``
beside it, and what it prints is in ``printed/SLUG.yaml``."""

SLUGS = tuple(PAPERS)
"""The five papers."""


def options_of(slug: str) -> type[Options]:
    """The class of a paper's options; nothing that needs torch is imported.

    Raises:
        InputError: when there is no such paper.
    """
    if slug not in PAPERS:
        raise unknown("paper", slug, SLUGS)
    found: type[Options] = getattr(import_module(f"mtlkit.papers.{slug}.options"), PAPERS[slug])
    return found


class Declared(Mapping[str, tuple["Table", ...]]):
    """Paper -> its declared tables, imported when they are asked for."""

    def __getitem__(self, slug: str) -> tuple["Table", ...]:
        if slug not in PAPERS:
            raise KeyError(slug)
        found: tuple[Table, ...] = import_module(f"mtlkit.papers.{slug}.tables").TABLES
        return found

    def __contains__(self, slug: object) -> bool:
        return slug in PAPERS

    def __iter__(self) -> Iterator[str]:
        return iter(PAPERS)

    def __len__(self) -> int:
        return len(PAPERS)
