"""What a paper declares: tables of rows of evaluations, and the choices a reader has over them.

A reader's :class:`Choices` and a table's defaults become a :class:`Column`: everything that was decided, as a typed
value. Rows follow from a column and a seed alone, so a stored column is enough to find its numbers again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from mtlkit.data import AnyData, Mixture
from mtlkit.errors import InputError, suggestion, unknown
from mtlkit.graph import Node
from mtlkit.network import Weights
from mtlkit.papers.printed import PrintedTable, printed
from mtlkit.training import Recipe
from mtlkit.values import Value

Profile = Literal["smoke", "lite", "paper"]
PROFILES: tuple[Profile, ...] = ("smoke", "lite", "paper")

T = TypeVar("T")


def numeric(value: object) -> object:
    """Text and truth values are no numbers."""
    # pydantic takes "3" and True for numbers; a reader who wrote them meant something else.
    if isinstance(value, (str, bool)):
        raise ValueError("must be a number")
    return value


Count = Annotated[PositiveInt, BeforeValidator(numeric)]
Rate = Annotated[PositiveFloat, BeforeValidator(numeric)]
Index = Annotated[int, Field(ge=0), BeforeValidator(numeric)]


class Choices(BaseModel):
    """What a reader may choose for any paper; ``None`` leaves it to the table and the profile.

    A paper whose tables leave more to choose has a class of its own on top of this one.

    Attributes:
        profile: the budget: ``smoke`` (does it run), ``lite`` (a real comparison), ``paper`` (the reproduction).
        dataset: an embedded world, or a layout of the reader's own folder; one a data set where a table has several.
        data_root: that folder; one a data set where a table has several.
        backbone: any backbone that can be cut into stages.
        weights: ``none``, ``timm`` or a safetensors file.
        image_size: height and width.
        epochs: passes over the training images.
        batch_size: images a step.
        lr: base learning rate.
        seeds: one run each.
        device: auto, cpu, cuda or mps; where it runs, and no part of a column but where times are measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Profile = "smoke"
    dataset: tuple[str, ...] | None = None
    data_root: tuple[Path, ...] | None = None
    backbone: str | None = None
    weights: str | None = None
    image_size: tuple[Count, Count] | None = None
    epochs: Rate | None = None
    batch_size: Count | None = None
    lr: Rate | None = None
    seeds: tuple[Index, ...] | None = None
    device: str = "auto"

    @field_validator("seeds", "dataset", "data_root", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return value if value is None or isinstance(value, (list, tuple)) else [value]

    @field_validator("seeds")
    @classmethod
    def _no_seed_twice(cls, seeds: tuple[int, ...] | None) -> tuple[int, ...] | None:
        given = seeds or ()
        for seed in given:
            if (times := given.count(seed)) > 1:
                raise InputError(f"Seed {seed} is named {times} times; a run with the same seed tells nothing new.")
        return seeds

    @classmethod
    def of(cls, **given: Any) -> Self:
        """The choices, checked.

        Raises:
            InputError: one sentence about the first thing that is wrong.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            raise explained(error, cls) from None


def explained(error: ValidationError, model: type[BaseModel]) -> InputError:
    """The first fault of a validation as one sentence."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return InputError(f"There is no parameter {name!r}; {suggestion(name, model.model_fields)}")
    if first["type"] == "literal_error":
        return unknown(
            name, first["input"], first["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        )
    wanted = {
        "image_size": "height and width, two whole numbers",
        "seeds": "whole numbers from 0",
        "epochs": "a number above 0",
        "fused_epochs": "a number above 0",
        "units_lr": "a number above 0",
        "lr": "a number above 0",
        "batch_size": "a whole number above 0",
        "output_stride": "a whole number above 0",
        "fractions": "numbers above 0, at most 1",
        "workers": "a whole number from 0",
        "tables": "a name or a list of names",
        "tasks": "a name or a list of names",
        "methods": "a name or a list of names",
        "columns": "field: name pairs, each field to the name of a column",
    }.get(name, "text")
    return InputError(f"The parameter {name} must be {wanted}, not {first['input']!r}.")


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
    def networks(self) -> str:
        """The backbone's name, or the names where a table compares several."""
        return self.backbone

    def options(self) -> dict[str, object]:
        """The command line's options that give this column, every decision spelled out."""
        height, width = self.data.size
        return {"profile": self.profile, "backbone": self.backbone, "image-size": f"{height} {width}"}

    @property
    def command(self) -> str:
        """What to type to get this column."""
        spelled = " ".join(
            f"--{name} {value}"
            for name, given in self.options().items()
            for value in (given if isinstance(given, list) else [given])
        )
        return f"mtlkit run {self.paper} {self.table} {spelled}"


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

    def options(self) -> dict[str, object]:
        """The command line's options that give this column, every decision spelled out."""
        found = super().options()
        return {
            "profile": found.pop("profile"),
            **located(self.data),
            "backbone": found.pop("backbone"),
            "weights": {"none": "none", "timm": "timm", "file": "FILE.safetensors"}[self.weights.source],
            **found,
            "epochs": f"{self.epochs:.6g}",
            **({} if self.fused_epochs is None else {"fused-epochs": f"{self.fused_epochs:.6g}"}),
            "batch-size": self.recipe.batch_size,
            "lr": f"{self.recipe.lr:g}",
            **({} if self.units_lr is None else {"units-lr": f"{self.units_lr:g}"}),
            "seeds": ",".join(map(str, self.seeds)),
        }


def located(data: AnyData) -> dict[str, object]:
    """The options that name the data sets; a world needs no folder."""
    sets = list(data.sets.values()) if isinstance(data, Mixture) else [data]
    names = [one.name if one.drawn else one.layout for one in sets]
    folders = ["FOLDER" for one, name in zip(sets, names, strict=True) if name != one.name]
    return {"dataset": names, "data-root": folders}


def one(chosen: tuple[T, ...] | None, what: str) -> T | None:
    """The single element of a choice, or ``None``.

    Raises:
        InputError: for a table that takes one ``what`` and was given several.
    """
    if chosen is not None and len(chosen) != 1:
        raise InputError(f"This table takes one {what}, not {len(chosen)}.")
    return chosen[0] if chosen else None


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
        choices: what a reader may choose.
        columns: the class of its columns.
        column: choices to column.
        rows: column and seed to rows.
        extras: further measured columns.
        protocol: lines of the protocol card: what, the paper's, ours.
        meta_column: the column of the printed networks, for counting and building without data.
    """

    paper: str
    id: str
    measures: dict[str, str]
    choices: type[Choices]
    columns: type[Column]
    column: Callable[[Any], Column]
    rows: Callable[[Any, int], list[Row]]
    protocol: Callable[[Any], list[tuple[str, str, str]]]
    meta_column: Callable[[], Column]
    extras: tuple[Extra, ...] = ()
    systems: dict[str, str] = field(default_factory=dict)
    """System id of the printed file -> the row that shows it."""

    @property
    def printed(self) -> PrintedTable:
        """The table as the paper has it."""
        return printed(self.paper).tables[self.id]

    def printed_for(self, backbone: str) -> tuple[str, PrintedTable] | None:
        """The printed table of the same rows and tasks for another backbone, or ``None`` when the paper has none."""
        own = self.printed
        rows = {row.id for row in own.rows}
        for identifier, table in printed(self.paper).tables.items():
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
