"""The command ``mtlkit``."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

import mtlkit
from mtlkit.errors import InputError, unknown
from mtlkit.files import at_home
from mtlkit.papers import SLUGS, options_of, printed
from mtlkit.papers.options import Described, Mapped, Option
from mtlkit.run_command import PLAIN, Papers, echo, print_comparisons
from mtlkit.work_command import Parameters, plan, work

app = typer.Typer(
    help="Multi-task vision, five papers reproduced: printed numbers beside measured ones.",
    no_args_is_help=True,
    **PLAIN,
)
run_app = typer.Typer(
    cls=Papers,
    help="Run a table, or find it in the ledger, and print it beside the paper's.",
    subcommand_metavar="PAPER TABLE [ROWS]... [OPTIONS]",
    rich_markup_mode=None,
)
app.add_typer(run_app, name="run")
data_app = typer.Typer(
    help="Embedded worlds, published data sets and your own data.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data_app, name="data")
results_app = typer.Typer(help="Folders of records.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(results_app, name="results")
app.command(cls=Parameters)(plan)
app.command(cls=Parameters)(work)

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
ResultsDir = Annotated[Path | None, typer.Option("--results-dir", help="Your own runs, read over the book's.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(mtlkit.__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    global _debug
    _debug = debug


_debug = False

MOST_SIDE = (8, 16_384)
"""Pixels of drawn images."""

GOING_ON = "What is finished is kept; the same command goes on from there, a training from its last checkpoint."


@app.command()
def tables(
    paper: Annotated[str | None, typer.Argument(help="A paper; all by default.")] = None, as_json: Json = False
) -> None:
    """List the printed tables, and which of them can be run."""
    listing: list[dict[str, Any]] = []
    for slug in [paper] if paper else SLUGS:
        for number, table in printed(slug).tables.items():
            listing.append(
                {
                    "paper": slug,
                    "table": number,
                    "title": table.title,
                    "rows": len(table.rows),
                    "cells": table.cells,
                    "runnable": number in options_of(slug).tables,
                }
            )
    if as_json:
        echo(json.dumps(listing, indent=1))
        return
    console, grid = _grid("paper", "table", "title", "rows", "cells", "run")
    for line in listing:
        row = [str(line[key]) for key in ("paper", "table", "title", "rows", "cells")]
        grid.add_row(*row, "yes" if line["runnable"] else "")
    console.print(grid)


@app.command()
def costs(
    paper: Annotated[str, typer.Argument(help="A paper's slug.")],
    table: Annotated[str, typer.Argument(help="A table as the paper numbers it.")],
    results_dir: ResultsDir = None,
) -> None:
    """Count what a table's printed networks hold and compute, beside the print; nothing is trained."""
    from mtlkit import papers
    from mtlkit.report.costs import Costs
    from mtlkit.reproduce import Results
    from mtlkit.reproduce import costs as counted

    echo(Costs(counted(papers.table(paper, table), Results.of(results_dir))).text())


@app.command()
def rows(
    paper: Annotated[str, typer.Argument(help="A paper's slug.")],
    table: Annotated[str, typer.Argument(help="A table as the paper numbers it.")],
    as_json: Json = False,
) -> None:
    """List a table's rows: ids that 'mtlkit run' takes, how each differs, and the rows it is compared with."""
    from mtlkit import papers

    declared = papers.table(paper, table)
    found = declared.rows(declared.meta_column(), 0)
    if as_json:
        listing = [
            {"row": r.id, "label": r.label, "what": r.what, "printed": r.printed, "controls": list(r.controls)}
            for r in found
        ]
        echo(json.dumps(listing, indent=1, ensure_ascii=False))
        return
    for r in found:
        mark = "" if r.printed else " (not in the paper)"
        echo(f"{r.id}: {r.label}{mark}")
        for what, text in (("", r.what), ("controls: ", ", ".join(r.controls))):
            if text:
                echo(f"    {what}{text}")


@app.command()
def show(
    paper: Annotated[str, typer.Argument(help="A paper's slug.")],
    table: Annotated[str, typer.Argument(help="A table as the paper numbers it.")],
    select: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, such as lr=0.003: only columns with this setting.")
    ] = None,
    results_dir: ResultsDir = None,
    output: Annotated[
        Literal["text", "csv", "markdown", "json"], typer.Option(help="How the table is printed.")
    ] = "text",
) -> None:
    """Print every column of a table that the ledger knows, under the settings that tell it apart; nothing is run."""
    from mtlkit import papers
    from mtlkit.report.settings import described, matching, settings_of, telling
    from mtlkit.reproduce import Results, stored

    declared, results = papers.table(paper, table), Results.of(results_dir)
    found = [*stored(declared, results), *stored(declared, results, part="development")]
    if not found:
        raise InputError(f"Nothing has been measured yet for table {table} of {paper}: mtlkit run {paper} {table}.")
    settings = [settings_of(comparison.column) for comparison in found]
    titles = list(map(described, telling(settings)))
    wanted = matching(settings, select or ())
    print_comparisons([found[at] for at in wanted], output, [titles[at] for at in wanted])


@app.command()
def coverage(
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table of the book's front page.")] = False,
    results_dir: ResultsDir = None,
) -> None:
    """Count what is declared, what can be run, and what has been measured: the book's cells + your own."""
    from mtlkit.report.coverage import coverage as count
    from mtlkit.report.coverage import status
    from mtlkit.results import Results

    counted = count(Results.of(results_dir))
    if markdown:
        echo(status(counted))
        return
    if as_json:
        echo(json.dumps(counted, indent=1))
        return
    console, grid = _grid("paper", "table", "rows", "runnable", "cells", "smoke", "lite", "paper")
    for slug, found in counted["papers"].items():
        for number, line in found["tables"].items():
            measured = line["measured"]
            each = [
                " + ".join(str(measured[whose][profile]) for whose in measured if measured[whose][profile]) or "0"
                for profile in measured["published"]
            ]
            values = (line["rows"], line["runnable"], line["cells"], *each)
            grid.add_row(slug, number, *map(str, values))
    console.print(grid)
    systems = counted["systems"]
    echo(f"systems that run: {sum(systems.values())} of {len(systems)}")


@app.command()
def pages(
    folder: Annotated[Path, typer.Argument(help="Where they are written, a Markdown file each.")],
    results_dir: ResultsDir = None,
) -> None:
    """Write the parts of the book that come from records: all results, all claims, what is decided, the state."""
    from mtlkit.pages import write
    from mtlkit.results import Results

    for path in write(at_home(folder), Results.of(results_dir)):
        echo(path)


@app.command()
def clean(
    what: Annotated[list[str] | None, typer.Argument(help="What to remove; everything by default.")] = None,
    results_dir: ResultsDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
) -> None:
    """Say how much your own runs keep beside their records, and remove it: weights, checkpoints, smoke records.

    Records at lite and paper stay, and so does what no run has written. What is removed can be computed again; weights
    by training again.
    """
    from mtlkit.results import Results, leftovers

    results = Results.of(results_dir)
    if not (found := leftovers(results.own)):
        echo(f"Nothing to remove in {results.own}.")
        return
    for word in what or ():
        if word not in found:
            raise unknown(f"thing to remove in {results.own}", word, found)
    chosen = {word: files for word, files in found.items() if word in (what or found)}
    for word, files in chosen.items():
        size = sum(file.stat().st_size for file in files)
        echo(f"{word}: {len(files)} file{'' if len(files) == 1 else 's'}, {size / 1e6:,.1f} MB")
    if yes or typer.confirm(f"Remove them from {results.own}?"):
        leftovers(results.own)  # something may have started since
        for file in (file for files in chosen.values() for file in files):
            file.unlink(missing_ok=True)


@results_app.command("verify")
def results_verify(
    folder: Annotated[Path | None, typer.Argument(help="A results folder; your own runs by default.")] = None,
) -> None:
    """Read every record and every kept tensor of a results folder, and name what is damaged or misplaced."""
    from mtlkit.results import Results, verify

    folder = Results.of(folder).own
    count, faults = verify(folder)
    for fault in faults:
        echo(fault, err=True)
    echo(f"{count} records in {folder}.")
    if faults:
        raise InputError(f"{len(faults)} files of {folder} are damaged or misplaced; see above what to do with each.")


@results_app.command("merge")
def results_merge(
    folders: Annotated[list[Path], typer.Argument(help="Results folders, such as those of colleagues.")],
    results_dir: ResultsDir = None,
) -> None:
    """Copy the records of other results folders into your own; what differs is named, and nothing is overwritten."""
    from mtlkit.results import Results, merge

    own = Results.of(results_dir).own
    count, conflicts = merge(map(at_home, folders), own)
    for conflict in conflicts:
        echo(conflict, err=True)
    echo(f"{count} records were copied into {own}.")
    if conflicts:
        raise InputError(f"{len(conflicts)} records differ from those in {own}; nothing was overwritten.")


Identity = Annotated[
    str,
    typer.Argument(
        help="A training: its record's name in runs/PROFILE/training, or as much of that as tells it apart; or a file "
        "of 'mtlkit export-weights'.",
        show_default=False,
    ),
]


@app.command()
def predict(
    identity: Identity,
    images: Annotated[list[Path], typer.Argument(help="Image files of any size.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder of the drawings and of predictions.json.", show_default=False)],
    results_dir: ResultsDir = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
) -> None:
    """Draw what a trained network predicts for images: IMAGE.TASK.png for each, and all in predictions.json.

    In --out nothing is replaced but what the same network, with the same weights, predicted earlier; the images that
    predictions.json lists stay listed.
    """
    from mtlkit.trained import load, write_predictions

    write_predictions(load(identity, results_dir).to(device), list(map(at_home, images)), at_home(out))
    echo(f"The predictions lie in {out}.")


@app.command()
def export_weights(
    identity: Identity,
    file: Annotated[Path, typer.Argument(help="A file that ends in .safetensors.", show_default=False)],
    results_dir: ResultsDir = None,
) -> None:
    """Write a trained network's weights, with its settings, as one file that 'mtlkit predict' and mtlkit.load take."""
    from mtlkit.trained import load

    load(identity, results_dir).save(at_home(file))
    echo(f"The weights of {identity} lie in {file}.")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this machine: versions, devices, free disk, a torch and torchvision that do not fit together."""
    from mtlkit.doctor import examine

    report = examine()
    if as_json:
        echo(json.dumps(report, indent=1))
    else:
        for name, value in report.items():
            typer.echo(f"{typer.style(name, bold=True)}: {value}")
    if report["problems"]:
        raise typer.Exit(1)


@data_app.command("list")
def data_list(
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table of the book's page on data.")] = False,
) -> None:
    """List embedded worlds and the folder layouts that can be read."""
    from mtlkit.worlds import listed

    if as_json:
        echo(json.dumps(listed(), indent=1))
        return
    if markdown:
        from mtlkit.pages import layouts

        echo(layouts(), nl=False)
        return
    for name, what in listed().items():
        typer.echo(f"{typer.style(f'{name:11}', bold=True)} {what}")


@data_app.command("make")
def data_make(
    world: Annotated[str, typer.Argument(help="An embedded world: see 'mtlkit data list'.")],
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    train: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Training images; of some worlds images of a class, or portions.")
    ] = 64,
    val: Annotated[int, typer.Option(min=1, max=1_000_000, help="Test images, or as above.")] = 32,
    size: Annotated[
        tuple[int, int] | None, typer.Option(help="Height and width, the world's own by default; some are square.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 0,
) -> None:
    """Draw an embedded world into a folder."""
    from mtlkit.worlds import WORLDS, drawer
    from mtlkit.worlds import world as described

    if world not in WORLDS:
        raise unknown("embedded world", world, WORLDS)
    if size is not None and not all(MOST_SIDE[0] <= side <= MOST_SIDE[1] for side in size):
        raise InputError(f"Images have {MOST_SIDE[0]} to {MOST_SIDE[1]} pixels a side, not {size[0]} x {size[1]}.")
    known = described(world)
    given: dict[str, Any] = {} if size is None else {"size": min(size) if known.square else size}
    drawer(world).write(at_home(folder), seed=seed, train=train, val=val, **given)
    echo(
        f"The world {world} lies in {folder}, {train} and {val} {known.counts}; "
        f"read it with --dataset {known.layout} --data-root {folder}"
    )


class Reading(Described):
    """How a data set is read where it is only checked."""

    columns: Annotated[Mapped | None, Option("what a table calls its columns", "field=name pairs")] = None


@data_app.command("check")
def data_check(
    layout: Annotated[str, typer.Argument(help="A layout: see 'mtlkit data list'.")],
    root: Annotated[Path, typer.Argument(help="The data set's folder.")],
    columns: Annotated[str | None, typer.Option(help="What a table calls its columns: FIELD=NAME,...")] = None,
    as_json: Json = False,
) -> None:
    """Read every sample of both splits with all their targets, and name what is wrong, up to 20 faults by kind."""
    from mtlkit.layouts import LAYOUTS as KNOWN

    if layout not in KNOWN:
        raise unknown("layout", layout, KNOWN)
    text: dict[str, Any] = {"columns": columns}
    named = Reading(**text).columns

    from mtlkit.data import LAYOUTS, Columns

    _check(layout, root, {"columns": Columns.named(named)} if "columns" in LAYOUTS[layout].settings else {}, as_json)


def _check(layout: str, root: Path, given: dict[str, Any], as_json: bool = False) -> None:
    """Prints what a data set holds and what is wrong with it.

    Raises:
        InputError: something is.
    """
    from mtlkit.data.check import check

    report = check(layout, at_home(root), given)
    if as_json:
        echo(json.dumps(report.to_json(), indent=1, ensure_ascii=False))
    else:
        for split, found in report.splits.items():
            targets = f"with {', '.join(found['targets'])}" if found["targets"] else "without targets"
            counts = f"{found['samples']} samples, {found['classes']} classes"
            echo(f"{split}: {counts}, {targets}, fingerprint {found['fingerprint']}")
        for note in report.notes:
            echo(note)
        for warning in report.warnings:
            echo(f"Warning: {warning}", err=True)
    every = [sentence for fault in report.faults.values() for sentence in fault.examples]
    count = sum(fault.count for fault in report.faults.values())
    if count > 1 and not as_json:
        for fault in report.faults.values():
            echo(f"{fault.count} of this kind:", err=True)
            for sentence in fault.examples:
                echo(f"  {sentence}", err=True)
    if count > 1:
        raise InputError(
            f"{root} has {count} faults of {len(report.faults)} kinds; put them right, and check it again."
        )
    if every:
        raise InputError(every[0])


@data_app.command("get")
def data_get(
    name: Annotated[str | None, typer.Argument(help="A published data set; without it, all are listed.")] = None,
    to: Annotated[Path | None, typer.Option(help="Its folder, ./NAME by default.", show_default=False)] = None,
    parts: Annotated[list[str] | None, typer.Option("--with", help="A part that is wanted besides.")] = None,
    accepted: Annotated[
        str | None, typer.Option("--i-accept", help="The terms that you accept, where the data set asks for it.")
    ] = None,
) -> None:
    """Fetch a published data set, verify, unpack and check it; nothing else ever downloads one."""
    from mtlkit.data.sources import overview

    if name is None:
        console, grid = _grid("name", "what it is", "size", "verified by", "terms")
        for line in overview():
            grid.add_row(*line)
        console.print(grid)
        return
    from mtlkit.data import LAYOUTS
    from mtlkit.data.obtain import get, verified

    folder = at_home(to or name)
    source = get(name, folder, accepted=accepted, parts=parts or (), say=typer.echo)
    if source.layout is None:
        typer.echo(f"The files lie in {folder}; no reader takes them as they are.")
        return
    typer.echo(f"The files lie in {folder}; now every sample is read once; Ctrl-C ends that without loss.")
    try:
        _check(source.layout, folder, {})
    except InputError as error:
        # Several published sets have faulty entries, which their readers can leave out.
        if not (verified(folder) and "faulty" in LAYOUTS[source.layout].settings):
            raise
        typer.echo(f"Warning: {error} All files are as published: leave such entries out with on_error=skip.", err=True)
    typer.echo(f"Read it with --dataset {source.layout} --data-root {folder}")


@data_app.command("verify")
def data_verify(
    folder: Annotated[Path, typer.Argument(help="A data set's folder, or one of its archives as published.")],
    name: Annotated[
        str | None, typer.Argument(help="Which data set it is; by default as the folder or the files' names say.")
    ] = None,
) -> None:
    """Compare the files of a published data set with its checksums and counts, whoever fetched them."""
    from mtlkit.data.obtain import verify

    folder = at_home(folder)
    lines, faults = verify(folder, name)
    for line in lines:
        typer.echo(line)
    if faults:
        raise InputError(f"{folder} differs from what is published: {' '.join(faults)}")


def _grid(*heads: str) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.table import Table

    return Console(), Table(*heads)


class Stopped(BaseException):
    """Ctrl-C, or SIGTERM; no exception that a library takes for its own."""


@contextmanager
def _stoppable() -> Iterator[None]:
    """Raises :class:`Stopped` for either signal, once: the second one ends the process where it stands."""
    process = os.getpid()

    def stop(number: int, frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        raise Stopped(number) if os.getpid() == process else KeyboardInterrupt  # which torch's readers know

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> None:
    """The command line: one sentence for anything a user can put right, and exit status 2.

    A value that no option checked and a setting refuses may be a fault of the program: the sentence names both, and the
    status is 1, as of a traceback. Where Ctrl-C or SIGTERM stops it, the sentence says how to go on, and the status is
    the shell's for that signal.
    """
    try:
        with _stoppable():
            app()
    except Stopped as stop:
        what = "Ctrl-C" if stop.args[0] == signal.SIGINT else "SIGTERM"
        echo(f"Stopped by {what}. {GOING_ON}", err=True)
        raise SystemExit(128 + stop.args[0]) from None
    except (InputError, OSError) as error:
        if _debug:
            raise
        sentence = str(error)
        if not isinstance(error, InputError):  # whatever the system refuses and nobody has put into words
            sentence = f"{error.filename or 'A file'} cannot be used ({error.strerror or error}); name another place."
        echo(f"Error: {sentence}", err=True)
        raise SystemExit(2) from None
    except ValidationError as error:
        if _debug:
            raise
        first = error.errors()[0]
        where = ".".join(map(str, (error.title, *first["loc"])))
        echo(
            f"Error: {where} refuses the value {first['input']!r} ({first['msg']}); unless it comes from your data or "
            "options, the program is at fault: --debug shows the traceback.",
            err=True,
        )
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
