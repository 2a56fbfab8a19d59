"""The papers: what they print, what a reader may choose, and the declarations that answer the print.

A package a paper, here or in another project. Importing this one imports no torch; a paper's tables are imported on
first use.
"""

from typing import TYPE_CHECKING

from mtlkit.errors import InputError, unknown
from mtlkit.papers.printed import printed
from mtlkit.papers.registry import SLUGS, Declared, options_of

if TYPE_CHECKING:
    from mtlkit.papers.declaration import Table

DECLARED = Declared()
"""Paper -> its declared tables."""


def check(paper: str, identifier: str) -> None:
    """Checks that a table is declared; what the paper prints is enough to say so.

    Raises:
        InputError: when the paper or the table is unknown, or the table is printed but not declared.
    """
    tables = printed(paper).tables
    if identifier not in tables:
        raise unknown(f"table of {paper}", identifier, tables)
    if identifier not in options_of(paper).tables:
        known = ", ".join(f"{slug} {number}" for slug in SLUGS for number in options_of(slug).tables)
        raise InputError(
            f"Table {identifier} of {paper} is printed data only, nothing here runs it; runnable: {known}."
        )


def table(paper: str, identifier: str) -> "Table":
    """A declared table.

    Raises:
        InputError: when the paper or the table is unknown, or the table is printed but not declared.
    """
    check(paper, identifier)
    return next(table for table in DECLARED[paper] if table.id == identifier)


__all__ = ["DECLARED", "SLUGS", "check", "options_of", "printed", "table"]
