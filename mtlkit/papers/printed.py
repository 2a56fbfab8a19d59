"""The papers' printed tables, as data: every digit as printed, with bold marks, spreads, gains and doubts.

The file ``printed.yaml`` in a paper's package is the only place where its printed numbers stand.
"""

from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from mtlkit.papers.registry import package_of


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measure(_Part):
    """A column of a printed table."""

    id: str
    label: str
    group: str
    subgroup: str | None = None
    unit: str
    better: Literal["lower", "higher"]


class PrintedRow(_Part):
    """A row: column id -> the cell's text, ``None`` where the print has none or it is unreadable."""

    id: str
    label: str
    what: str
    settings: dict[str, Any]
    cells: dict[str, str | None]
    bold: tuple[str, ...]
    block: str | None = None
    spread: dict[str, str | None] = Field(default_factory=dict)
    delta: dict[str, str | None] = Field(default_factory=dict)
    delta_of: dict[str, str | None] = Field(default_factory=dict)


class PrintedTable(_Part):
    """A table as printed."""

    title: str
    dataset: str
    backbone: str | None
    variant: dict[str, Any] = Field(default_factory=dict)
    tasks: tuple[str, ...]
    columns: tuple[Measure, ...]
    rows: tuple[PrintedRow, ...]
    doubts: tuple[str, ...]

    def row(self, identifier: str) -> PrintedRow | None:
        """The row of that id."""
        return next((row for row in self.rows if row.id == identifier), None)

    @property
    def cells(self) -> int:
        """Cells that hold a number; the others are empty or unreadable."""
        return sum(text is not None for row in self.rows for text in row.cells.values())


class Protocol(_Part):
    """How some tables were measured: what -> how it is in the paper."""

    tables: tuple[str, ...]
    lines: dict[str, str]


class PrintedTraining(_Part):
    """What a paper prints of its trainings: setting -> its value there, and why it may be another one here."""

    tables: tuple[str, ...]
    settings: dict[str, str] = Field(default_factory=dict)
    reasons: dict[str, str] = Field(default_factory=dict)


class PrintedPaper(_Part):
    """A paper's tables and what else it prints that can be checked."""

    slug: str
    title: str
    authors: tuple[str, ...]
    venue: str | None
    year: int | None
    code: str | None
    summary: str
    tables: dict[str, PrintedTable]
    figures: dict[str, str]
    settings: dict[str, Any]
    text_numbers: tuple[dict[str, Any], ...]
    claims: tuple[dict[str, Any], ...]
    systems: tuple[dict[str, Any], ...]
    doubts: tuple[str, ...]
    ocr_repairs: tuple[dict[str, Any], ...] = ()
    protocols: tuple[Protocol, ...] = ()
    trainings: tuple[PrintedTraining, ...] = ()

    @property
    def name(self) -> str:
        """The title up to its colon, with the year where it is known."""
        short = self.title.split(":")[0].split("]")[-1].strip()
        return f"{short}, {self.year}" if self.year else short

    def protocol(self, table: str, what: str) -> str:
        """How something is in a table of the paper; ``unstated`` where it does not say."""
        found = (one.lines[what] for one in self.protocols if table in one.tables and what in one.lines)
        return next(found, "unstated")

    def training(self, table: str, what: str) -> tuple[str, str]:
        """A setting of a table's trainings in the paper, or ``unstated``, and why it may be another one here."""
        of = [one for one in self.trainings if table in one.tables]
        theirs = next((one.settings[what] for one in of if what in one.settings), "unstated")
        return theirs, next((one.reasons[what] for one in of if what in one.reasons), "")


@cache
def printed(slug: str) -> PrintedPaper:
    """The printed content of the paper ``slug``.

    Raises:
        InputError: when there is no such paper.
    """
    text = files(package_of(slug)).joinpath("printed.yaml").read_text(encoding="utf-8")
    return PrintedPaper.model_validate(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
