"""The chain paper's table: of every seed a number, two that need it, one that needs both, and others."""

import os
import signal
import uuid
from pathlib import Path
from typing import ClassVar

from nodes import Task, Timed
from pydantic import Field

from chain_paper.options import ChainOptions
from mtlkit.data import Data
from mtlkit.papers.declaration import Column, Row, Table


class ChainColumn(Column):
    """A column of the table."""

    log: Path = Field(exclude=True)
    slow: float = Field(exclude=True)
    fails: tuple[str, ...] = Field(exclude=True)
    crashes: tuple[str, ...] = Field(exclude=True)


class Crashing(Task):
    """One that ends its process where it is chosen."""

    tag: ClassVar[str] = Task.tag

    crashes: bool = Field(exclude=True)

    def run(self, context):
        if self.crashes:
            (self.log / f"{self.name}-{uuid.uuid4().hex}").write_text("crash")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(context)


def column(given: ChainOptions) -> ChainColumn:
    """Options as a column."""
    options = given.filled("1")
    return ChainColumn(
        paper="chain", table="1", profile=options.profile, backbone="none", seeds=options.seeds, log=options.log,
        data=Data(layout="imagefolder", name="objects", fingerprint="", size=(1, 1)), slow=options.slow,
        fails=options.fails, crashes=options.crashes,
    )  # fmt: skip


def rows(column: ChainColumn, seed: int) -> list[Row]:
    """The runs of a seed, named by a letter and the seed."""

    def made(letter: str, *after: Task) -> Task:
        name = f"{letter}{seed}"
        given = {"name": name, "after": after, "seconds": column.slow, "fails": name in column.fails}
        if letter == "t":
            return Timed(**given, log=column.log)
        return Crashing(**given, log=column.log, crashes=name in column.crashes)

    first = made("a")
    second, third = made("b", first), made("c", first)
    several = second, third, made("d", second, third), made("e"), made("t")
    return [Row(one.name[0], one.name, (one,), printed=False) for one in several]


TABLES = (
    Table(
        paper="chain",
        id="1",
        measures={},
        columns=ChainColumn,
        column=column,
        rows=rows,
        ours=lambda column: [],
        meta_column=lambda: column(ChainOptions()),
    ),
)
