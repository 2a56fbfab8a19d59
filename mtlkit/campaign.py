"""What is to be run: columns of tables in the order of their worth, from a TOML file or from the command line."""

import itertools
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from mtlkit import papers
from mtlkit.errors import InputError, unknown
from mtlkit.files import at_home
from mtlkit.graph import Node
from mtlkit.papers import registry
from mtlkit.papers.declaration import Column, Table, chosen
from mtlkit.papers.options import Described, Option, Options
from mtlkit.report.settings import data_sets
from mtlkit.results import Results


@dataclass(frozen=True)
class Wanted:
    """Rows of a column that are wanted.

    Attributes:
        table: the declared table.
        options: what was decided.
        rows: ids; ``None``: all.
        about: what for, in a line.
        caution: what a reader of its numbers should know, a sentence; empty: nothing.
    """

    table: Table
    options: Options
    rows: tuple[str, ...] | None = None
    about: str = ""
    caution: str = ""

    def __str__(self) -> str:
        return self.options.command(self.table.id).removeprefix("mtlkit run ")

    def gives(self, column: Column) -> bool:
        """Whether a stored column is this one, as far as options and names of data tell; its data may be away."""
        if (column.paper, column.table) != (self.table.paper, self.table.id):
            return False
        wanted, stored, table = self.options.filled(self.table.id), column.options(), self.table.id
        named = {folder.name for folder in wanted.data_root or ()}
        return named <= {data.name for data in data_sets(column).values()} and all(
            wanted.spelled(name, value) == stored.spelled(name, getattr(stored, name))
            for name, value in wanted
            if value is not None and wanted.takes(table, name) and not wanted.about(name).running
        )

    def to_json(self) -> str:
        """All of it as text, from which a process on another machine makes the same column."""
        options = {
            name: _absolute(self.options.about(name), value)
            for name, value in self.options.model_dump(mode="json").items()
            if value is not None
        }
        paper = self.table.paper
        package = registry.PAPERS[paper]
        return json.dumps(
            {"paper": paper, "package": package, "table": self.table.id, "options": options, "rows": self.rows}
            | {"about": self.about, "caution": self.caution},
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> "Wanted":
        """What :meth:`to_json` wrote; a paper that is not registered here is.

        Raises:
            InputError: the version of mtlkit, or of the paper's package, knows no such column.
        """
        told = json.loads(text)
        registry.PAPERS.setdefault(told["paper"], told["package"])
        table = papers.table(told["paper"], told["table"])
        rows = None if told["rows"] is None else tuple(told["rows"])
        return cls(table, table.options(**told["options"]), rows, told["about"], told["caution"])


@dataclass(frozen=True)
class Campaign:
    """Columns in the order of their worth.

    Attributes:
        wanted: the columns, not yet looked up: their data may not be at hand.
        results: the folder that it writes; ``None``: the reader's own.
        threads: of every process; ``None``: the cores by the number of workers.
    """

    wanted: tuple[Wanted, ...]
    results: Path | None = None
    threads: int | None = None

    @classmethod
    def read(cls, path: Path, given: Mapping[str, str] | None = None) -> "Campaign":
        """The campaign of a TOML file.

        Args:
            path: the file.
            given: variable -> value, in the place of the file's own.

        Raises:
            InputError: the file is not there, no TOML, or names what there is not; the column is named by its number.
        """
        if not path.is_file():  # a named pipe would be waited for
            raise InputError(f"The campaign {path} cannot be read (there is no such file).")
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The campaign {path} cannot be read ({error}).") from error
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"The campaign {path} is no TOML: {error}.") from error
        if "path" in content:
            raise InputError(f"The campaign {path}: path: a campaign has no such entry.")
        try:
            file = File(path=path, **content)
        except (ValidationError, TypeError) as error:
            raise InputError(f"The campaign {path}: {_first(error)}") from error
        for name in given or {}:
            if name not in file.variables:
                raise unknown(f"variable of {path}", name, file.variables)
        variables = {name: file.path_of(value) for name, value in file.variables.items()} | dict(given or {})
        wanted = [one for at, entry in enumerate(file.columns, 1) for one in file.wanted(at, entry, variables)]
        if not wanted:
            raise InputError(f"The campaign {path} names no columns.")
        return cls(tuple(wanted), None if file.results is None else Path(file.path_of(file.results)), file.threads)

    def found_in(self, own: Path | None, kept_limit: int) -> Results:
        """Where its records lie.

        Args:
            own: the reader's choice, which goes before the campaign's.
            kept_limit: see :class:`~mtlkit.results.Results`.
        """
        return Results.of(self.results if own is None else own, kept_limit)


class Entry(BaseModel):
    """Columns of one table, as they are written; what has no name here is an option."""

    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True)

    paper: str
    table: str
    about: str = ""
    caution: str = ""
    rows: Annotated[list[str], Field(min_length=1)] | None = None
    use: list[str] = []
    each: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}


class File(BaseModel):
    """A campaign as it is written.

    Attributes:
        path: the file.
        results: the folder that it writes, from the file's own folder.
        threads: of every process.
        variables: name -> value, by default a path from the file's own folder; ``$name`` in an option stands for it.
        options: name -> options that columns may ``use``.
        columns: each with a paper, a table and options; what it is ``about``; a ``caution``, which stands beside its
            numbers; its ``rows``, by default all; sets of options that it may ``use``; and ``each``: option -> values,
            of which every combination is a column.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    results: str | None = None
    threads: PositiveInt | None = None
    variables: dict[str, str] = {}
    options: dict[str, dict[str, Any]] = {}
    columns: list[Entry] = []

    @property
    def folder(self) -> Path:
        """The file's folder."""
        return self.path.resolve().parent

    def path_of(self, text: str) -> str:
        """A path that goes from the file's folder; ``~`` is the reader's."""
        return str(self.folder / at_home(text))

    def wanted(self, at: int, entry: Entry, variables: Mapping[str, str]) -> Iterator[Wanted]:
        """The columns of the entry number ``at``, from 1."""
        try:
            table, kind = papers.table(entry.paper, entry.table), papers.options_of(entry.paper)
            given: dict[str, Any] = {}
            for name in entry.use:
                if name not in self.options:
                    raise unknown("set of options", name, self.options)
                given |= self.options[name]
            given |= entry.model_extra or {}
            not_running(kind, [*given, *entry.each])
            for values in itertools.product(*entry.each.values()):
                several = given | dict(zip(entry.each, values, strict=True))
                options = {name: self._value(kind, name, value, variables) for name, value in several.items()}
                rows = None if entry.rows is None else tuple(entry.rows)
                yield Wanted(table, table.options(**options), rows, entry.about, entry.caution)
        except InputError as error:
            raise InputError(f"{self.path}, column {at}: {error}") from error

    def _value(self, kind: type[Described], name: str, value: Any, variables: Mapping[str, str]) -> Any:
        """An option's value with variables filled in, paths from the file's folder."""
        if isinstance(value, list):
            return [self._value(kind, name, one, variables) for one in value]
        if not isinstance(value, str):
            return value
        try:
            text = Template(value).substitute(variables)
        except (KeyError, ValueError) as error:
            raise InputError(f"{value!r} names a variable that the file does not have: {error}.") from error
        about = kind.about(kind.known(name))
        return self.path_of(text) if about.path and text not in about.keywords else text


@dataclass(frozen=True)
class Goal:
    """A column that was looked up, with what its rows need.

    Attributes:
        wanted: what was asked for.
        column: the column.
        nodes: the evaluations of its rows and seeds, in the order in which they are wanted.
    """

    wanted: Wanted
    column: Column
    nodes: tuple[Node, ...]


def goal(wanted: Wanted, *, by_seed: bool = False, column: Column | None = None) -> Goal:
    """Looks a column up, which reads its data's listing, or draws it.

    Args:
        wanted: the column.
        column: it, where a stored one is known; then nothing is read.
        by_seed: one seed of all rows after the other, instead of one row of all seeds.

    Raises:
        InputError: its data is not at hand, or it has no such row.
    """
    column = column or wanted.table.column(wanted.options)
    seeds = [chosen(wanted.table, column, wanted.rows, seed) for seed in column.seeds]
    rows = itertools.chain(*(seeds if by_seed else zip(*seeds, strict=True)))
    nodes = {node.identity: node for row in rows for node in row.evaluations}
    return Goal(wanted, column, tuple(nodes.values()))


def _absolute(about: Option, value: Any) -> Any:
    """An option's value with paths that hold in any folder."""
    if isinstance(value, list):
        return [_absolute(about, one) for one in value]
    if not about.path or value in about.keywords:
        return value
    return os.path.abspath(at_home(value))


def not_running(kind: type[Described], names: Iterable[str]) -> None:
    """Refuses options that say where a run happens and not what it is: a command has its own for these.

    Raises:
        InputError: one of them is named.
    """
    for name in names:
        if name == "results_dir" or kind.about(kind.known(name)).running:
            raise InputError(f"{name} is no part of what is run; plan and work take --{name.replace('_', '-')}.")


def _first(error: ValidationError | TypeError) -> str:
    """What is wrong first, and where: ``columns 3, table``, with numbers from 1."""
    if isinstance(error, TypeError):
        return f"{error}."
    first = error.errors()[0]
    where = " ".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
    return f"{where}: {first['msg'].lower()}."
