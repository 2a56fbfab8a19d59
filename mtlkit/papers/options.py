"""What a reader may choose for a table: every option with its type, its help and the words of its errors, once.

The command line, a notebook's parameters cell, the command on a card and the sentence about a wrong value all follow
from the fields of a paper's :class:`Options`. Nothing here reads data or imports torch.
"""

import types
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mtlkit.devices import Device, Precision
from mtlkit.errors import InputError, suggestion, unknown
from mtlkit.files import at_home

Profile = Literal["smoke", "lite", "paper"]
PROFILES: tuple[Profile, ...] = ("smoke", "lite", "paper")


class RenamedOption(FutureWarning):
    """An option was given by the name that it had in an earlier version."""


@contextmanager
def renames_told(tell: Callable[[str], None]) -> Iterator[None]:
    """Hands each sentence about a renamed option to ``tell``, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RenamedOption)
        try:
            yield
        finally:
            own = [warning for warning in caught if issubclass(warning.category, RenamedOption)]
            for sentence in dict.fromkeys(str(warning.message) for warning in own):
                tell(sentence)
    for warning in caught:
        if warning not in own:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


class Option(NamedTuple):
    """What there is to say about an option beside its type.

    Attributes:
        help: in a line, without a full stop.
        words: what a value must be, for the sentence about a wrong one.
        tables: the tables that have a use for it; ``None``: all of the paper.
        reasons: other table -> what is the case there, as in "Table 7 REASON and takes no output_stride".
        path: what stands in a printed command for a path that the reader has to provide; ``""``: not a path.
        keywords: values of such an option that are no paths.
        former: its name in the version before.
        former_values: value in the version before -> value.
        running: whether it says where or how a run happens and never what it is; such options are in no command.
    """

    help: str
    words: str = "text"
    tables: tuple[str, ...] | None = None
    reasons: Mapping[str, str] | None = None
    path: str = ""
    keywords: tuple[str, ...] = ()
    former: str = ""
    former_values: Mapping[str, Any] | None = None
    running: bool = False

    def __repr__(self) -> str:
        # Pages show a field's type with its metadata, which there is the name alone.
        return type(self).__name__

    def only(self, *tables: str, **reasons: str) -> "Option":
        """The same option for these tables alone; ``reasons`` by table, whose numbers lead with ``t``, as in ``t7``."""
        return self._replace(tables=tables, reasons={name.removeprefix("t"): why for name, why in reasons.items()})

    def says(self, help: str) -> "Option":
        """The same option with another help."""
        return self._replace(help=help)


# --- what values may be spelled as ---


def resolved(text: str) -> Any:
    """A value as papermill reads it from the command line: True, False, None, a number, else the text itself."""
    if text in (constants := {"True": True, "False": False, "None": None}):
        return constants[text]
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def numeric(value: object) -> object:
    """Text and truth values are no numbers."""
    # pydantic takes "3" and True for numbers; a reader who wrote them meant something else.
    if isinstance(value, (str, bool)):
        raise ValueError("must be a number")
    return value


def _text(value: object) -> object:
    if value == "":
        raise ValueError("must not be empty")
    # papermill makes a number of a name such as 2024.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _several(value: object) -> object:
    """One value is a list of one; text is separated at its commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value if value is None or isinstance(value, (list, tuple)) else [value]


def _folders(value: object) -> object:
    if isinstance(value, str) and value and at_home(value).exists():
        return [value]
    return _several(value)


def _numbers(value: object) -> object:
    if isinstance(value, str):
        return [resolved(part.strip()) for part in value.split(",")]
    return _several(value)


def _pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",")]
    if not all(sign and name.strip() for _, sign, name in pairs):
        raise ValueError("must be pairs")
    found: dict[str, str] = {}
    for field, name in ((field.strip(), name.strip()) for field, _, name in pairs):
        if field in found:
            raise InputError(f"{field} is named twice, as {found[field]} and as {name}; name it once.")
        found[field] = name
    return found


def _named(value: object) -> object:
    several = _several(value)
    if not isinstance(several, (list, tuple)) or any(isinstance(item, bool) for item in several):
        raise ValueError("must be names")
    return [_text(item) for item in several]


# Upper limits are beyond anything that can be run, and below what overflows or never ends.
Count = Annotated[int, Field(gt=0, le=1_000_000), BeforeValidator(numeric)]
Rate = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False), BeforeValidator(numeric)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False), BeforeValidator(numeric)]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False), BeforeValidator(numeric)]
Index = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(numeric)]
Readers = Annotated[int, Field(ge=0, le=1024), BeforeValidator(numeric)]
Side = Annotated[int, Field(ge=8, le=16_384), BeforeValidator(numeric)]
Fraction = Annotated[float, Field(gt=0, le=1), BeforeValidator(numeric)]
Text = Annotated[str, BeforeValidator(_text)]
OnePath = Annotated[Path, BeforeValidator(_text)]
Pair = Annotated[tuple[Side, Side], BeforeValidator(_numbers)]
Counts = Annotated[tuple[Index, ...], BeforeValidator(_numbers)]
Fractions = Annotated[tuple[Fraction, ...], BeforeValidator(_numbers)]
Names = Annotated[tuple[Text, ...], BeforeValidator(_named)]
Folders = Annotated[tuple[OnePath, ...], BeforeValidator(_folders)]
Mapped = Annotated[dict[str, str], BeforeValidator(_pairs)]

OnError = Literal["raise", "skip"]
SplitName = Literal["test", "development"]

PROFILE = Option("budget: smoke (does it run), lite (a real comparison) or paper (the reproduction)")
DATASET = Option("a drawn world, or a layout of your own folder: see 'mtlkit data list'", "a name or a list of names")
DATA_ROOT = Option("folder of your own data", "a folder or a list of folders", path="FOLDER")
BACKBONE = Option("a timm network", "a name")
WEIGHTS = Option(
    "none, timm (download) or a safetensors file",
    "none, timm or the path of a file",
    path="FILE.safetensors",
    keywords=("none", "timm"),
)
IMAGE_SIZE = Option("height and width, such as 96,128", "height and width, two whole numbers from 8")
EPOCHS = Option("passes over the training images", "a number above 0")
BATCH_SIZE = Option("images per step", "a whole number above 0")
ACCUMULATE = Option(
    "batches that the images of a step are cut into, for less memory; batch norms see one at a time",
    "a whole number above 0 that divides batch_size",
)
LR = Option("base learning rate", "a number above 0")
SEEDS = Option("one run each, such as 0,1,2", "whole numbers from 0")
PRECISION = Option("numbers that networks are trained with: 32-true, 16-mixed or bf16-mixed")
DEVICE = Option("auto, cpu, cuda, cuda:1 (the second GPU) or mps", running=True)
OUTPUT_STRIDE = Option("image pixels a pixel of the last stage stands for: 8, 16 or 32", "a whole number above 0")
SPLIT = Option(
    "images to score: test, or development, a part of the training images, to choose settings",
    former="part",
    former_values={"all": "test"},
)
OBJECTIVE = Option(
    "what joins tasks: fixed (loss weights), uncertainty, or gradients combined by UPGrad, PCGrad, MGDA, ...", "a name"
)
ON_ERROR = Option(
    "a faulty entry of the data: raise an error, or skip the entry",
    former="faulty",
    former_values={"refuse": "raise"},
)


# --- classes of options ---


def kind_of(annotation: Any) -> Any:
    """A field's type without ``None`` and metadata: a type, ``Literal[...]``, ``tuple[...]`` or ``dict[...]``."""
    if get_origin(annotation) is Annotated:
        return kind_of(get_args(annotation)[0])
    if get_origin(annotation) in (typing.Union, types.UnionType):
        (inner,) = (one for one in get_args(annotation) if one is not type(None))
        return kind_of(inner)
    return annotation


class Described(BaseModel):
    """Fields that each carry an :class:`Option`; a wrong value is one sentence.

    Raises:
        InputError: for the first thing that is wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **given: Any) -> None:
        given = self._today(given)
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise self._explained(error) from None

    @classmethod
    def about(cls, name: str) -> Option:
        """What there is to say about the field ``name``."""
        return next(found for found in cls.model_fields[name].metadata if isinstance(found, Option))

    @classmethod
    def kind(cls, name: str) -> Any:
        """The type of the field ``name``; see :func:`mtlkit.papers.options.kind_of`."""
        return kind_of(cls.model_fields[name].annotation)

    @classmethod
    def former(cls) -> dict[str, str]:
        """Name in the version before -> name."""
        return {old: name for name in cls.model_fields if (old := cls.about(name).former)}

    @classmethod
    def known(cls, name: str, others: Sequence[str] = ()) -> str:
        """Today's name of the option ``name``.

        Raises:
            InputError: there is no such option, nor is it among ``others``.
        """
        if name in cls.model_fields or name in others:
            return name
        if name in cls.former():
            return cls.former()[name]
        raise InputError(f"There is no parameter {name!r}; {suggestion(name, [*cls.model_fields, *others])}")

    @classmethod
    def read(cls, name: str, text: str) -> Any:
        """The value that ``text`` stands for on a command line; lists are separated by commas."""
        kind = cls.kind(cls.known(name))
        plain = get_args(kind)[0] if get_origin(kind) is tuple else kind
        return (None if text == "None" else text) if kind_of(plain) in (str, Path) else resolved(text)

    @classmethod
    def spelled(cls, name: str, value: Any) -> str:
        """A value as a command line takes it; paths by what stands for them."""
        about = cls.about(name)
        if isinstance(value, dict):
            return ",".join(f"{key}={one}" for key, one in value.items())
        if isinstance(value, tuple):
            return ",".join(cls.spelled(name, one) for one in value)
        if about.path and value not in about.keywords:
            return about.path
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, float):
            return short if float(short := f"{value:.6g}") == value else repr(value)
        return str(value)

    @classmethod
    def _today(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The same with today's names and values."""
        for old, name in cls.former().items():
            if old not in given or old in cls.model_fields:
                continue
            if name in given:
                raise InputError(f"The parameter {old} is now called {name}; both are given.")
            value = given[old]
            with suppress(TypeError):
                value = (cls.about(name).former_values or {}).get(value, value)
            given = {key: one for key, one in given.items() if key != old} | {name: value}
            warnings.warn(
                f"The parameter {old} is now called {name}: write {name}={cls.spelled(name, value)}; "
                "the former name goes with the next version.",
                RenamedOption,
                stacklevel=4,
            )
        return given

    @classmethod
    def _explained(cls, error: ValidationError) -> InputError:
        """The first fault of a validation as one sentence."""
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            return InputError(f"There is no parameter {name!r}; {suggestion(name, cls.model_fields)}")
        if first["type"] == "literal_error":
            return unknown(name, first["input"], get_args(cls.kind(name)))
        if first["type"] == "less_than_equal":
            return InputError(f"The parameter {name} must be at most {first['ctx']['le']}, not {first['input']!r}.")
        return InputError(f"The parameter {name} must be {cls.about(name).words}, not {first['input']!r}.")


def _auto(value: object) -> object:
    return "auto" if value is None else value


class Options(Described):
    """What a reader may choose for any paper; ``None`` leaves it to the table and the profile.

    A paper has a class of its own on top of this one: with the options that its tables leave beside these, and with
    what the tables take where the reader chooses nothing.

    Attributes:
        profile: the budget: ``smoke`` (does it run), ``lite`` (a real comparison), ``paper`` (the reproduction).
        dataset: an embedded world, or a layout of the reader's own folder; one a data set where a table has several.
        data_root: that folder; one a data set where a table has several.
        backbone: any backbone that can be cut into stages.
        weights: ``none``, ``timm`` or a safetensors file.
        image_size: height and width.
        epochs: passes over the training images.
        batch_size: images per step.
        accumulate: into how many batches of equal size the images of a step are cut; the gradient is their mean.
        lr: base learning rate.
        seeds: one run each.
        split: ``development`` trains and scores on parts of the training images, for what must be chosen without the
            test images; see :class:`mtlkit.data.Data`.
        precision: of the trainings' numbers.
        device: where to run; no part of what a run is.
    """

    paper: ClassVar[str] = ""
    """The paper's slug."""
    tables: ClassVar[tuple[str, ...]] = ()
    """The tables that are declared, as printed."""
    first_tables: ClassVar[tuple[str, ...]] = ()
    """The tables that the paper's notebook runs where the reader names none."""
    tables_help: ClassVar[str] = "tables to run, a number or a list"
    rows_help: ClassVar[str] = "rows to run"

    profile: Annotated[Profile, PROFILE] = "smoke"
    dataset: Annotated[Names | None, DATASET] = None
    data_root: Annotated[Folders | None, DATA_ROOT] = None
    backbone: Annotated[Text | None, BACKBONE] = None
    weights: Annotated[Text | None, WEIGHTS] = None
    image_size: Annotated[Pair | None, IMAGE_SIZE] = None
    epochs: Annotated[Rate | None, EPOCHS] = None
    batch_size: Annotated[Count | None, BATCH_SIZE] = None
    accumulate: Annotated[Count, ACCUMULATE] = 1
    lr: Annotated[Rate | None, LR] = None
    seeds: Annotated[Counts | None, SEEDS] = None
    split: Annotated[SplitName, SPLIT] = "test"
    precision: Annotated[Precision, PRECISION] = "32-true"
    device: Annotated[Device, BeforeValidator(_auto), DEVICE] = "auto"

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for seed in self.seeds or ():
            if (times := (self.seeds or ()).count(seed)) > 1:
                raise InputError(f"Seed {seed} is named {times} times; a run with the same seed tells nothing new.")

    @classmethod
    def takes(cls, table: str, name: str) -> bool:
        """Whether ``table`` has a use for the option ``name``."""
        tables = cls.about(name).tables
        return tables is None or table in tables

    def check(self, table: str) -> None:
        """Refuses choices that ``table`` has no use for; what it takes anyway may be named.

        Raises:
            InputError: one of them was made.
        """
        for name, field in type(self).model_fields.items():
            if self.takes(table, name) or getattr(self, name) in (field.default, self.defaults(table).get(name)):
                continue
            about = self.about(name)
            why = (about.reasons or {}).get(table)
            where = f", or choose table {', '.join(one for one in self.tables if self.takes(one, name))}"
            raise InputError(f"Table {table} {f'{why} and ' if why else ''}takes no {name}; leave it out{where}.")

    def defaults(self, table: str) -> dict[str, Any]:
        """What ``table`` takes at this profile for options that are not given; the paper's class says it."""
        return {}

    def filled(self, table: str) -> Self:
        """The options of ``table``, with its defaults where the reader chose nothing.

        An option stays ``None`` where it follows from the data or the network.

        Raises:
            InputError: an option is given that the table has no use for.
        """
        self.check(table)
        defaults = self.defaults(table)
        return self.model_copy(update={name: defaults[name] for name in defaults if getattr(self, name) is None})

    def source(self, drawn: tuple[str, ...], layout: str, printed: tuple[str, ...]) -> tuple[str, ...]:
        """A default for ``dataset``: the printed sets at ``paper``, else ``layout`` for a folder, else drawn ones."""
        if self.profile == "paper":
            return printed
        return (layout,) if self.data_root else drawn

    def spelled_out(self, table: str) -> dict[str, str]:
        """Option -> its text on a command line, of those that are chosen for ``table``.

        Left out are options that say where a run happens, and values that hold anyway, whatever table and profile.
        """
        return {
            name: self.spelled(name, value)
            for name, field in type(self).model_fields.items()
            if not self.about(name).running and self.takes(table, name)
            if (value := getattr(self, name)) is not None and (name == "profile" or value != field.default)
        }

    def command(self, table: str) -> str:
        """What to type to run ``table`` with these options."""
        spelled = " ".join(f"--{name.replace('_', '-')} {text}" for name, text in self.spelled_out(table).items())
        return f"mtlkit run {self.paper} {table} {spelled}"


class Places(Described):
    """Where a run happens, beside the device, on the command line and in a notebook.

    Attributes:
        workers: processes that read data.
        results_dir: the reader's own runs, read over the book's.
    """

    workers: Annotated[
        Readers | None,
        Option(
            "processes that read data; None: as many as there are cores beside a GPU, else none",
            "a whole number from 0",
            running=True,
        ),
    ] = None
    results_dir: Annotated[
        OnePath | None,
        Option("folder of your own runs, read over the book's", "a folder", path="FOLDER", running=True),
    ] = None
