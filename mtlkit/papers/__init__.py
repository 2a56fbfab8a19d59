"""The papers: what they print, and the declarations that answer it. One file a declaration."""

from mtlkit.errors import InputError, unknown
from mtlkit.papers import calorie, cross_stitch, mcn, multi_exit, nddr
from mtlkit.papers.declaration import Table
from mtlkit.papers.printed import SLUGS, printed

DECLARED: dict[str, tuple[Table, ...]] = {
    "cross_stitch": cross_stitch.TABLES,
    "nddr": nddr.TABLES,
    "multi_exit": multi_exit.TABLES,
    "mcn": mcn.TABLES,
    "calorie": calorie.TABLES,
}
"""Paper -> its declared tables."""


def table(paper: str, identifier: str) -> Table:
    """A declared table.

    Raises:
        InputError: when the paper or the table is unknown, or the table is printed but not declared yet.
    """
    tables = printed(paper).tables
    if identifier not in tables:
        raise unknown(f"table of {paper}", identifier, tables)
    declared = {table.id: table for table in DECLARED.get(paper, ())}
    if identifier not in declared:
        known = ", ".join(f"{slug} {table.id}" for slug, found in DECLARED.items() for table in found)
        raise InputError(
            f"Table {identifier} of {paper} is printed data only, nothing here runs it yet; runnable: {known}."
        )
    return declared[identifier]


__all__ = ["DECLARED", "SLUGS", "Table", "printed", "table"]
