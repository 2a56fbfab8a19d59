"""The command ``mtlkit run PAPER TABLE``: a command a table, made from the options of its paper."""

import inspect
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from mtlkit import papers
from mtlkit.errors import InputError, terminal
from mtlkit.papers.cell import defaults
from mtlkit.papers.options import Described, Option, Options, Places, Rate, Seconds, kind_of, renames_told

if TYPE_CHECKING:
    from mtlkit.report.side_by_side import SideBySide
    from mtlkit.results import Results

PLAIN: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}
"""Plain words, so that the last line on stderr is the sentence that says what is wrong."""


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Prints text as :func:`mtlkit.errors.terminal` makes it."""
    typer.echo(terminal(text), err=err, nl=nl)


class Running(Places):
    """How a table is run from the command line.

    Attributes:
        retrain: whether a training whose weights are gone, or that diverged, is run anew.
        rescore: whether what has a record is scored again.
        checkpoint_seconds: time between checkpoints.
        weights_limit: room for weights and other tensors; the oldest go where it is reached.
    """

    retrain: Annotated[
        bool, Option("train anew where weights are gone or a training diverged", "true or false", running=True)
    ] = False
    rescore: Annotated[
        bool, Option("score again what has a record, with the weights that are kept", "true or false", running=True)
    ] = False
    checkpoint_seconds: Annotated[
        Seconds, Option("time between checkpoints", "a number of seconds from 0", running=True)
    ] = 60.0
    weights_limit: Annotated[
        Rate, Option("GiB of weights and other tensors that are kept; the oldest go", "a number above 0", running=True)
    ] = 8.0

    @property
    def results(self) -> "Results":
        """Where records are looked up and written."""
        from mtlkit.ledger import GIB
        from mtlkit.results import Results

        return Results.of(self.results_dir, round(self.weights_limit * GIB))


class Papers(TyperGroup):
    """The papers, whose options are imported only for the one that is asked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Asks for a paper where none is given."""
        if not args:
            ctx.fail("Missing argument 'PAPER': see 'mtlkit run --help'.")
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """The papers' slugs."""
        return list(papers.SLUGS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The group of a paper's tables."""
        paper = papers.printed(cmd_name)

        class Tables(TyperGroup):
            def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
                if not args:
                    ctx.fail(f"Missing argument 'TABLE': see 'mtlkit run {cmd_name} --help'.")
                return super().parse_args(ctx, args)

            def list_commands(self, ctx: Any) -> list[str]:
                return list(papers.options_of(cmd_name).tables)

            def get_command(self, ctx: Any, table: str) -> Any:
                papers.check(cmd_name, table)
                return table_command(cmd_name, table)

        app = typer.Typer(
            cls=Tables, name=cmd_name, help=paper.title, subcommand_metavar="TABLE [ROWS]... [OPTIONS]", **PLAIN
        )
        return typer.main.get_group(app)


def table_command(paper: str, table: str) -> Any:
    """The command that runs a table; its help shows the options that apply to it."""
    options = papers.options_of(paper)
    kinds: dict[str, tuple[type[Described], str]] = {
        **{name: (options, name) for name in options.model_fields},
        **{name: (Running, name) for name in Running.model_fields},
        **{old: (options, name) for old, name in options.former().items()},
    }

    class Arguments(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            return super().parse_args(ctx, one_spelling(kinds, args))

    def command(**given: Any) -> None:
        rows, parameters = given.pop("rows"), given.pop("parameter") or ()
        output = "json" if given.pop("json") else given.pop("output", "text")
        given.pop("output", None)
        texts = {name: list(values) for name, values in given.items() if values}
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            options.known(name, tuple(Running.model_fields))
            texts.setdefault(name, []).append(value)
        values = {name: value_of(*kinds[name], found) for name, found in texts.items()}
        with renames_told(lambda sentence: echo(sentence, err=True)):
            chosen = options(**{name: value for name, value in values.items() if kinds[name][0] is options})
        running = Running(**{name: value for name, value in values.items() if kinds[name][0] is Running})
        chosen.check(table)
        run(paper, table, chosen, running, rows, output)

    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [_rows(), *(_option(kinds, name, table) for name in kinds), *_others()]
    )
    app = typer.Typer(**PLAIN)
    title = papers.printed(paper).tables[table].title
    app.command(table, cls=Arguments, help=title, short_help=title, options_metavar="[OPTIONS]")(command)
    return typer.main.get_command(app)


def run(paper: str, table: str, options: Options, running: Running, rows: list[str] | None, output: str) -> None:
    """Runs a table, or finds it in the ledger, and prints it beside the paper's."""
    from mtlkit.reproduce import reproduce
    from mtlkit.runtime import Runtime

    runtime = Runtime(
        device=options.device,
        workers=running.workers,
        progress=sys.stderr.isatty(),
        checkpoint_seconds=running.checkpoint_seconds,
        retrain=running.retrain,
        rescore=running.rescore,
    )
    found = reproduce(papers.table(paper, table), options, runtime=runtime, results=running.results, methods=rows)
    print_comparisons([found], output)
    for sentence in found.diverged.values():
        echo(f"{sentence} Cells that need it say so; --retrain tries again.", err=True)


def print_comparisons(comparisons: "Sequence[SideBySide]", output: str, titles: Sequence[str] = ()) -> None:
    """Prints comparisons as text or Markdown, each under its title, or as one CSV or JSON document."""
    from mtlkit.report.side_by_side import tables_csv, tables_json
    from mtlkit.report.table import markdown

    if output == "json":
        echo(tables_json(comparisons))
    elif output == "csv":
        echo(tables_csv(comparisons), nl=False)
    else:
        blocks = [getattr(comparison, output)().rstrip("\n") for comparison in comparisons]
        pairs = zip_longest(titles, blocks, fillvalue="")
        heading = markdown if output == "markdown" else str
        echo("\n\n".join(f"{heading(title)}\n\n{block}" if title else block for title, block in pairs))


# --- from the arguments to one text a value ---


def one_spelling(kinds: dict[str, tuple[type[Described], str]], arguments: list[str]) -> list[str]:
    """The arguments with a value after every option: ``-p NAME VALUE``, ``--flag`` and ``--size 64 80`` have others."""
    found: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name = word.removeprefix("--").replace("-", "_")
        kind = kinds[name][0].kind(kinds[name][1]) if word.startswith("--") and name in kinds else None
        if word == "--":
            return [*found, word, *rest]
        if word == "-p":
            apart = bool(rest) and "=" not in rest[0]  # no name of an option holds one
            if len(rest) < 1 + apart:
                raise InputError("-p takes a name and a value, such as -p lr 0.01.")
            found += ["-p", f"{rest.pop(0)}={rest.pop(0)}" if apart else rest.pop(0)]
        elif word.startswith("--no-") and _flag(kinds, name.removeprefix("no_")):
            found += [f"--{word.removeprefix('--no-')}", "false"]
        elif kind is bool:
            given = rest and rest[0].lower() in ("true", "false")
            found += [word, rest.pop(0) if given else "true"]
        elif get_origin(kind) is tuple and Ellipsis not in get_args(kind) and len(rest) > 1:
            # Two numbers apart, as the version before took them.
            apart = all(side.lstrip("-").isdigit() for side in rest[:2])
            found += [word, ",".join([rest.pop(0), rest.pop(0)]) if apart else rest.pop(0)]
        else:
            found.append(word)
    return found


def value_of(kind: type[Described], name: str, texts: list[str]) -> Any:
    """The value of an option from what was typed for it, once or, for a list, several times.

    Raises:
        InputError: several values for an option that takes one.
    """
    if len(texts) == 1:
        return kind.read(name, texts[0])
    if get_origin(kind.kind(name)) is tuple:
        return [kind.read(name, text) for text in texts]
    if get_origin(kind.kind(name)) is dict:
        return ",".join(texts)
    raise InputError(f"The parameter {name} takes one value, not {len(texts)}: {' and '.join(texts)}.")


def _flag(kinds: dict[str, tuple[type[Described], str]], name: str) -> bool:
    return name in kinds and kinds[name][0].kind(kinds[name][1]) is bool


# --- parameters for typer ---


def _rows() -> inspect.Parameter:
    return _parameter("rows", list[str] | None, typer.Argument(help="Rows; all by default.", metavar="ROWS"))


def _others() -> list[inspect.Parameter]:
    parameter = typer.Option("-p", metavar="NAME VALUE", help="An option as papermill spells it; repeatable.")
    output = typer.Option("--output", help="How the table is printed.")
    as_json = typer.Option("--json", help="Machine-readable output, as --output json.")
    return [
        _parameter("parameter", list[str] | None, parameter),
        _parameter("output", Literal["text", "csv", "markdown", "json"], output, "text"),
        _parameter("json", bool, as_json, False),
    ]


def _option(kinds: dict[str, tuple[type[Described], str]], spelled: str, table: str) -> inspect.Parameter:
    owner, name = kinds[spelled]
    about = owner.about(name)
    applies = spelled == name
    text = about.help
    if issubclass(owner, Options):
        applies &= owner.takes(table, name)
        default = defaults(owner, name, (table,)) if applies else ""
        text = f"{text} [{default}]" if default and name != "profile" else text
    declared = typer.Option(
        f"--{spelled.replace('_', '-')}",
        help=text,
        hidden=not applies,
        show_default=False,
        metavar=_metavar(owner, name),
    )
    return _parameter(spelled, list[str] | None, declared)


def _metavar(owner: type[Described], name: str) -> str:
    kind = owner.kind(name)
    if get_origin(kind) is Literal:
        return f"[{'|'.join(get_args(kind))}]"
    if get_origin(kind) is tuple:
        inner = _WORDS[kind_of(get_args(kind)[0])]
        return f"{inner},..." if Ellipsis in get_args(kind) else f"{inner},{inner}"
    if get_origin(kind) is dict:
        return "FIELD=NAME,..."
    return _WORDS.get(kind, "TEXT")


_WORDS: dict[Any, str] = {bool: "[true|false]", int: "NUMBER", float: "NUMBER", Path: "FOLDER", str: "NAME"}


def _parameter(name: str, kind: Any, declared: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, declared]
    )
