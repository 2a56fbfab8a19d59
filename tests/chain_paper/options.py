"""What may be chosen for the chain paper's table."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from mtlkit.papers.options import Names, OnePath, Option, Options, Seconds


class ChainOptions(Options):
    """What may be chosen for the chain paper's table.

    Attributes:
        log: folder where every run leaves a file.
        slow: seconds of every run.
        fails: the names of those that fail.
        crashes: the names of those whose process ends without a word.
    """

    paper: ClassVar[str] = "chain"
    tables: ClassVar[tuple[str, ...]] = ("1",)
    first_tables: ClassVar[tuple[str, ...]] = ("1",)

    log: Annotated[OnePath, Option("where runs leave a file", "a folder", path="FOLDER")] = Path("log")
    slow: Annotated[Seconds, Option("seconds of a run", "a number from 0")] = 0.0
    fails: Annotated[Names, Option("runs that fail", "names")] = ()
    crashes: Annotated[Names, Option("runs that end their process", "names")] = ()

    def defaults(self, table: str) -> dict[str, Any]:
        """What the table takes for options that are not given."""
        return {"backbone": "none", "seeds": (0,)}
