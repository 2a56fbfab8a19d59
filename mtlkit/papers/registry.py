"""The papers, a line each; what they declare is imported on first use."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from mtlkit.errors import unknown
from mtlkit.papers.options import Options

if TYPE_CHECKING:
    from mtlkit.papers.declaration import Table

PAPERS = {
    "cross_stitch": "mtlkit.papers.cross_stitch:CrossStitchOptions",
    "nddr": "mtlkit.papers.nddr:NDDROptions",
    "multi_exit": "mtlkit.papers.multi_exit:MultiExitOptions",
    "mcn": "mtlkit.papers.mcn:MCNOptions",
    "calorie": "mtlkit.papers.calorie:CalorieOptions",
}
"""Slug -> ``PACKAGE:OPTIONS``, the paper's package, and the class of its options in ``PACKAGE.options``.

The tables are in the module ``tables`` beside it, and what the paper prints is in ``printed.yaml``. The package may be
one of another project.
"""

SLUGS = PAPERS.keys()
"""The registered papers."""


def package_of(slug: str) -> str:
    """The package of a paper.

    Raises:
        InputError: when there is no such paper.
    """
    if slug not in PAPERS:
        raise unknown("paper", slug, SLUGS)
    return PAPERS[slug].partition(":")[0]


def options_of(slug: str) -> type[Options]:
    """The class of a paper's options; nothing that needs torch is imported.

    Raises:
        InputError: when there is no such paper.
    """
    module = import_module(f"{package_of(slug)}.options")
    found: type[Options] = getattr(module, PAPERS[slug].partition(":")[2])
    return found


class Declared(Mapping[str, tuple["Table", ...]]):
    """Paper -> its declared tables, imported when they are asked for."""

    def __getitem__(self, slug: str) -> tuple["Table", ...]:
        if slug not in PAPERS:
            raise KeyError(slug)
        found: tuple[Table, ...] = import_module(f"{package_of(slug)}.tables").TABLES
        return found

    def __contains__(self, slug: object) -> bool:
        return slug in PAPERS

    def __iter__(self) -> Iterator[str]:
        return iter(PAPERS)

    def __len__(self) -> int:
        return len(PAPERS)
