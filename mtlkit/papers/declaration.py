"""What a paper declares: tables of rows of evaluations.

A reader's :class:`~mtlkit.papers.options.Options` and a table become a :class:`Column`: everything that was decided, as
a typed value. Rows follow from a column and a seed alone, so a stored column is enough to find its numbers again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from mtlkit.data import AnyData, Data, Mixture
from mtlkit.devices import Precision
from mtlkit.errors import InputError, unknown
from mtlkit.graph import Node
from mtlkit.network import Weights
from mtlkit.papers.options import PROFILES, OnError, Options, Profile, SplitName
from mtlkit.papers.printed import PrintedTable, printed
from mtlkit.papers.registry import options_of
from mtlkit.training import Recipe
from mtlkit.values import Value

__all__ = [
    "FAULTY",
    "PARTS",
    "PROFILES",
    "Column",
    "Extra",
    "Profile",
    "Row",
    "Settled",
    "Table",
    "TrainedColumn",
    "chosen",
    "named_weights",
    "on_error_of",
    "one",
    "sets_of",
    "split_of",
]

T = TypeVar("T")

FAULTY: dict[OnError, Literal["refuse", "skip"]] = {"raise": "refuse", "skip": "skip"}
PARTS: dict[SplitName, Literal["all", "development"]] = {"test": "all", "development": "development"}
"""Values of options -> those of :class:`mtlkit.data.Data`, which are part of identities and keep their names."""


def on_error_of(data: Data) -> OnError:
    """The option that gives :attr:`mtlkit.data.Data.faulty`."""
    return next(option for option, value in FAULTY.items() if value == data.faulty)


def split_of(data: AnyData) -> SplitName:
    """The option that gives :attr:`mtlkit.data.Data.part`."""
    return next(option for option, value in PARTS.items() if value == data.part)


class Column(Value):
    """A column of the report: (data set, profile, backbone) and every other decision behind its numbers.

    Papers add what their rows need to know.

    Attributes:
        paper: the paper's slug.
        table: the declared table.
        profile: the budget it was made under.
        data: what is trained and tested on.
        backbone: its name.
        weights: what single-task and shared backbones start from.
        seeds: one run of every row each.
    """

    paper: str
    table: str
    profile: Profile
    data: AnyData
    backbone: str
    weights: Weights = Weights()
    seeds: tuple[int, ...] = (0,)

    @property
    def network(self) -> str:
        """The backbone by its name, and what it lacks as it is built here."""
        return self.backbone

    @property
    def printed_backbone(self) -> str:
        """The backbone by the name that the paper prints for it."""
        return self.backbone

    @property
    def networks(self) -> str:
        """The backbone as it is built, or the names where a table compares several."""
        return self.network

    @property
    def machine(self) -> str:
        """What its times are of, where it holds times of a machine; else empty."""
        return ""

    @property
    def start_line(self) -> str:
        """What backbones start from, for the protocol card."""
        random = ", which ends with the convolutions; fc6 and fc7 random" * self.weights.convolutions_only
        file = f"weights of the file {self.weights.sha256[:12]}{random}"
        return {"none": "random", "timm": "published weights (timm)", "file": file}[self.weights.source]

    def generic_lines(self) -> dict[str, str]:
        """Lines of the protocol card that need no words of the paper's own: what -> how it is here."""
        return {}

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column; of options that the table does not take, whatever comes."""
        return {"profile": self.profile, "backbone": self.backbone, "image_size": self.data.size}

    def options(self) -> Options:
        """The options that give this column, every decision filled in.

        A folder or a file that is not at hand is what stands for it in a printed command.
        """
        kind = options_of(self.paper)
        names = [name for name in kind.model_fields if kind.takes(self.table, name)]
        return kind(**{name: value for name, value in self.decided().items() if name in names})

    def spelled(self) -> dict[str, str]:
        """The options that give this column, as they are typed."""
        return self.options().spelled_out(self.table)

    @property
    def command(self) -> str:
        """What to type to get this column."""
        return self.options().command(self.table)


class TrainedColumn(Column):
    """A column of a table whose networks are trained.

    Attributes:
        recipe: of every training, before what a row says of its own.
        epochs: passes over the training images that the recipe's steps come from.
        fused_epochs: passes of a network that starts from trained ones; ``None``: as many.
        units_lr: the rate that fusion units' multipliers multiply; ``None``: the recipe's.
    """

    recipe: Recipe
    epochs: float
    fused_epochs: float | None = None
    units_lr: float | None = None
    seeds: tuple[int, ...]

    def recipe_after(self, starts: object) -> Recipe:
        """The recipe of a network that starts from trained ones, or from none where ``starts`` is empty."""
        if not starts or self.fused_epochs is None:
            return self.recipe
        steps = max(1, round(self.recipe.steps * self.fused_epochs / self.epochs))
        return self.recipe.model_copy(update={"steps": steps})

    def generic_lines(self) -> dict[str, str]:
        """What all trainings have."""
        runs, recipe = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}", self.recipe
        lines = {"Precision": recipe.precision, "Checkpoint scored": "the last", "Runs": runs}
        if recipe.accumulate > 1:
            lines["Accumulated gradient"] = (
                f"of {recipe.accumulate} batches of {recipe.batch_size} a step; norms and losses are over a batch"
            )
        if split_of(self.data) == "development":
            lines["Scored on"] = "a fifth of the training images, on which nothing is trained"
        return lines

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | {
            **sets_of(self.data),
            "weights": named_weights(self.weights),
            "epochs": self.epochs,
            "fused_epochs": self.fused_epochs,
            "batch_size": self.recipe.images_a_step,
            "accumulate": self.recipe.accumulate,
            "lr": self.recipe.lr,
            "units_lr": self.units_lr,
            "seeds": self.seeds,
            "split": split_of(self.data),
            "precision": self.recipe.precision,
        }


def named_weights(weights: Weights) -> str:
    """The option that gives these start weights."""
    return str(weights.path or "FILE.safetensors") if weights.source == "file" else weights.source


def sets_of(*data: AnyData) -> dict[str, Any]:
    """The options that name data sets; a world needs no folder."""
    sets = [one for some in data for one in (some.sets.values() if isinstance(some, Mixture) else [some])]
    names = tuple(one.name if one.drawn else one.layout for one in sets)
    folders = tuple(one.root or Path("FOLDER") for one in sets if not one.drawn)
    return {"dataset": names, "data_root": folders or None}


def steps_of(epochs: float, images: float, images_a_step: int) -> int:
    """Steps of a training that sees ``epochs`` times as many images as ``images``."""
    return max(1, round(epochs * images / images_a_step))


@dataclass(frozen=True)
class Settled:
    """The options that every trained table has a value for, once they are filled.

    Attributes:
        batch_size: images a batch, of which a step has ``accumulate``.
    """

    backbone: str
    weights: str
    size: tuple[int, int]
    epochs: float
    batch_size: int
    accumulate: int
    lr: float
    seeds: tuple[int, ...]
    precision: Precision

    @classmethod
    def of(cls, options: Options) -> "Settled":
        """Of filled options.

        Raises:
            InputError: the images of a step cannot be cut into as many batches.
        """
        batch_size, rest = divmod(options.batch_size or 1, options.accumulate)
        if rest:
            raise InputError(
                f"A step of {options.batch_size} images cannot be cut into {options.accumulate} equal batches; "
                "give accumulate a number that divides batch_size."
            )
        names = ("backbone", "weights", "epochs", "accumulate", "lr", "seeds", "precision")
        given: dict[str, Any] = {name: getattr(options, name) for name in names}
        return cls(**given, size=options.image_size or (0, 0), batch_size=batch_size)

    def steps(self, images: float, epochs: float | None = None) -> int:
        """Steps of a training over ``images``, for other ``epochs`` where they are given."""
        return steps_of(epochs or self.epochs, images, self.batch_size * self.accumulate)


def one(given: tuple[T, ...] | None, what: str) -> T | None:
    """The single element of an option, or ``None``.

    Raises:
        InputError: for a table that takes one ``what`` and was given several.
    """
    if given is not None and len(given) != 1:
        raise InputError(f"This table takes one {what}, not {len(given)}.")
    return given[0] if given else None


@dataclass(frozen=True)
class Row:
    """A row: the evaluations whose measures fill it, for one seed.

    Attributes:
        id: the printed row's id where there is one.
        label: shown at the left.
        evaluations: each fills the columns whose measure it has.
        what: how it differs from the row above, in a line.
        printed: whether the paper has this row.
        controls: ids of the rows that a gain of this one is measured against, the strictest first.
    """

    id: str
    label: str
    evaluations: tuple[Node, ...]
    what: str = ""
    printed: bool = True
    controls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extra:
    """A measured column that the print lacks; an optional one is shown only where it has a value."""

    measure: str
    label: str
    group: str
    unit: str
    better: Literal["lower", "higher"]
    optional: bool = False


@dataclass(frozen=True)
class Table:
    """A declared table.

    Attributes:
        paper: slug.
        id: as printed.
        measures: printed column id -> the measure that answers it.
        columns: the class of its columns.
        column: a reader's options to column.
        rows: column and seed to rows.
        extras: further measured columns.
        ours: lines of the protocol card in their order: what, and how it is here.
        meta_column: the column of the printed networks, for counting and building without data.
    """

    paper: str
    id: str
    measures: dict[str, str]
    columns: type[Column]
    column: Callable[[Any], Column]
    rows: Callable[[Any, int], list[Row]]
    ours: Callable[[Any], list[tuple[str, str]]]
    meta_column: Callable[[], Column]
    extras: tuple[Extra, ...] = ()
    counts: dict[str, str] = field(default_factory=dict)
    """Where operations are printed, the measures that may stand behind them -> what is counted, the narrowest first."""
    systems: dict[str, str] = field(default_factory=dict)
    """System id of the printed file -> the row that shows it."""
    pace: tuple[str, str] | None = None
    """A time, and its ratio to that of a reference timed in turns with it, where rows are timed one after the other."""
    single_task: str = ""
    """Id of the row with a network of its own for every task, where one row has them all."""
    trained_longer: str = ""
    """Id of the row with the same networks, trained for as many images as the joint rows."""

    def options(self, **given: Any) -> Options:
        """What a reader chooses for this table, checked; what is not given stays open.

        Raises:
            InputError: one sentence about the first thing that is wrong.
        """
        options = options_of(self.paper)(**given)
        options.check(self.id)
        return options

    def protocol(self, column: Column) -> list[tuple[str, str, str]]:
        """The protocol card: what, how it is in the paper, how it is here."""
        ours = dict(self.ours(column))
        lines = ours | {what: line for what, line in column.generic_lines().items() if what not in ours}
        return [(what, printed(self.paper).protocol(self.id, what), ours) for what, ours in lines.items()]

    @property
    def printed(self) -> PrintedTable:
        """The table as the paper has it."""
        return printed(self.paper).tables[self.id]

    def printed_for(self, backbone: str) -> tuple[str, PrintedTable] | None:
        """The printed table of the same rows and tasks for another backbone, or ``None`` when the paper has none."""
        own = self.printed
        rows = {row.id for row in own.rows}
        if own.backbone == backbone:
            return self.id, own
        for identifier, table in printed(self.paper).tables.items():
            if any(column.id not in self.measures for column in table.columns):
                continue
            same = {row.id for row in table.rows} == rows and (table.tasks, table.variant) == (own.tasks, own.variant)
            if same and table.backbone == backbone:
                return identifier, table
        return None


def chosen(table: Table, column: Column, methods: Sequence[str] | None = None, seed: int | None = None) -> list[Row]:
    """The rows of the table with these ids, in the table's order; all by default.

    Raises:
        InputError: when the table has no such row.
    """
    rows = table.rows(column, column.seeds[0] if seed is None else seed)
    for method in methods or ():
        if method not in {row.id for row in rows}:
            raise unknown(f"row of table {table.id} of {table.paper}", method, [row.id for row in rows])
    return [row for row in rows if not methods or row.id in methods]
