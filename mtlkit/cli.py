"""The command ``mtlkit``."""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table as Grid

from mtlkit.errors import InputError
from mtlkit.papers.printed import SLUGS, printed

if TYPE_CHECKING:
    from mtlkit.report.side_by_side import SideBySide

app = typer.Typer(
    help="Multi-task vision, five papers reproduced: printed numbers beside measured ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain words, so that the last line on stderr is the sentence that says what is wrong
)
data_app = typer.Typer(help="Embedded worlds and your own data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
console = Console()

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Results = Annotated[Path | None, typer.Option("--results-dir", help="Where records lie.")]


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    global _debug
    _debug = debug


_debug = False


@app.command()
def tables(
    paper: Annotated[str | None, typer.Argument(help="A paper; all five by default.")] = None, as_json: Json = False
) -> None:
    """List the printed tables, and which of them can be run."""
    from mtlkit.papers import DECLARED

    listing: list[dict[str, Any]] = []
    for slug in [paper] if paper else SLUGS:
        runnable = {table.id for table in DECLARED.get(slug, ())}
        for number, table in printed(slug).tables.items():
            listing.append(
                {
                    "paper": slug,
                    "table": number,
                    "title": table.title,
                    "rows": len(table.rows),
                    "cells": table.cells,
                    "runnable": number in runnable,
                }
            )
    if as_json:
        typer.echo(json.dumps(listing, indent=1))
        return
    grid = Grid("paper", "table", "title", "rows", "cells", "run")
    for line in listing:
        row = [str(line[key]) for key in ("paper", "table", "title", "rows", "cells")]
        grid.add_row(*row, "yes" if line["runnable"] else "")
    console.print(grid)


@app.command()
def run(
    paper: Annotated[str, typer.Argument(help="A paper's slug, such as nddr.")],
    table: Annotated[str, typer.Argument(help="A table as the paper numbers it, such as 4.")],
    row: Annotated[list[str] | None, typer.Argument(help="Rows; all by default.")] = None,
    profile: Annotated[str, typer.Option(help="smoke, lite or paper.")] = "smoke",
    dataset: Annotated[
        list[str] | None, typer.Option(help="An embedded world or a layout: see 'mtlkit data list'; once a data set.")
    ] = None,
    data_root: Annotated[list[Path] | None, typer.Option(help="The folder of your own data; once a data set.")] = None,
    backbone: Annotated[str | None, typer.Option(help="A timm network, or alexnet.")] = None,
    weights: Annotated[str | None, typer.Option(help="none, timm or a safetensors file.")] = None,
    output_stride: Annotated[
        int | None, typer.Option(help="Scene tables: pixels a pixel of the last stage stands for.")
    ] = None,
    fractions: Annotated[
        str | None, typer.Option(help="multi_exit: shares of the training pictures, such as 0.05,0.5.")
    ] = None,
    keep: Annotated[str | None, typer.Option(help="mcn: the classes that count, such as dog,cat.")] = None,
    neck: Annotated[
        str | None, typer.Option(help="mcn: deconvolution, deformable_deconvolution, dla_up or upsampling.")
    ] = None,
    as_official: Annotated[
        bool | None, typer.Option(help="mcn: CenterNet's code where it differs from its paper.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="calorie: your table's columns, such as kcal=energy,category=food,group=portion.")
    ] = None,
    averaging: Annotated[
        str | None, typer.Option(help="calorie: over ten snapshots, estimates or scores; last: only the last.")
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help="calorie: losses of the first run that give the weights: all, or its end.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="nddr 1 to 6 and A2: such as segmentation,normals,depth.")] = None,
    part: Annotated[
        str | None, typer.Option(help="nddr, cross_stitch 5: all, or development to choose settings without the test.")
    ] = None,
    voc_weights: Annotated[
        Path | None, typer.Option(help="nddr 3: a backbone trained for segmentation on PASCAL VOC.")
    ] = None,
    faulty: Annotated[
        str | None,
        typer.Option(help="cross_stitch 6, mcn, nddr 7, calorie: refuse data with a faulty entry, or skip such."),
    ] = None,
    image_size: Annotated[tuple[int, int] | None, typer.Option(help="Height and width.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training images.")] = None,
    fused_epochs: Annotated[
        float | None, typer.Option(help="nddr 1 to 7 and A2: passes of networks that start from trained ones.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Base learning rate.")] = None,
    units_lr: Annotated[
        float | None, typer.Option(help="nddr 1 to 7 and A2: the rate that fusion units' multipliers multiply.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    workers: Annotated[int | None, typer.Option(help="Processes that read data.")] = None,
    retrain: Annotated[bool, typer.Option(help="Train anew where weights are gone.")] = False,
    rescore: Annotated[
        bool, typer.Option(help="Score again what has a record, with the weights that are kept.")
    ] = False,
    checkpoint_seconds: Annotated[float, typer.Option(help="Time between checkpoints.")] = 60.0,
    results_dir: Results = None,
    output: Annotated[
        Literal["text", "csv", "markdown", "json"], typer.Option(help="How the table is printed.")
    ] = "text",
) -> None:
    """Run a table, or find it in the ledger, and print it beside the paper's."""
    from mtlkit import papers
    from mtlkit.reproduce import reproduce
    from mtlkit.runtime import Runtime

    declared = papers.table(paper, table)
    given = {
        "profile": profile,
        "dataset": dataset or None,  # typer gives an empty list where nothing was said
        "data_root": data_root or None,
        "backbone": backbone,
        "weights": weights,
        "output_stride": output_stride,
        "fractions": _numbers(fractions),
        "keep": keep.split(",") if keep else None,
        "neck": neck,
        "as_official": as_official,
        "tasks": tasks.split(",") if tasks else None,
        "part": part,
        "voc_weights": voc_weights and str(voc_weights),
        "faulty": faulty,
        "columns": _pairs(columns),
        "averaging": averaging,
        "balance": balance,
        "image_size": image_size,
        "epochs": epochs,
        "fused_epochs": fused_epochs,
        "batch_size": batch_size,
        "lr": lr,
        "units_lr": units_lr,
        "seeds": _numbers(seeds),
        "device": device,
    }
    choices = declared.choices.of(**{name: value for name, value in given.items() if value is not None})
    runtime = Runtime(
        device=device,
        workers=workers,
        progress=sys.stderr.isatty(),
        checkpoint_seconds=checkpoint_seconds,
        retrain=retrain,
        rescore=rescore,
    )
    _print([reproduce(declared, choices, runtime=runtime, results=results_dir, methods=row)], output)


@app.command()
def costs(
    paper: Annotated[str, typer.Argument(help="A paper's slug.")],
    table: Annotated[str, typer.Argument(help="A table as the paper numbers it.")],
    results_dir: Results = None,
) -> None:
    """Count what a table's printed networks hold and compute, beside the print; nothing is trained."""
    from mtlkit import papers
    from mtlkit.report.costs import Costs
    from mtlkit.reproduce import costs as counted

    typer.echo(Costs(counted(papers.table(paper, table), results_dir)).text())


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
        typer.echo(json.dumps(listing, indent=1, ensure_ascii=False))
        return
    for r in found:
        mark = "" if r.printed else " (not in the print)"
        typer.echo(f"{r.id}: {r.label}{mark}")
        for what, text in (("", r.what), ("controls: ", ", ".join(r.controls))):
            if text:
                typer.echo(f"    {what}{text}")


@app.command()
def show(
    paper: Annotated[str, typer.Argument(help="A paper's slug.")],
    table: Annotated[str, typer.Argument(help="A table as the paper numbers it.")],
    select: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, such as lr=0.003: only columns with this setting.")
    ] = None,
    results_dir: Results = None,
    output: Annotated[
        Literal["text", "csv", "markdown", "json"], typer.Option(help="How the table is printed.")
    ] = "text",
) -> None:
    """Print every column of a table that the ledger knows, under the settings that tell it apart; nothing is run."""
    from mtlkit import papers
    from mtlkit.report.settings import described, matching, settings_of, telling
    from mtlkit.reproduce import stored

    declared = papers.table(paper, table)
    found = [*stored(declared, results_dir), *stored(declared, results_dir, part="development")]
    if not found:
        raise InputError(f"Nothing has been measured yet for table {table} of {paper}: mtlkit run {paper} {table}.")
    settings = [settings_of(comparison.column) for comparison in found]
    titles = list(map(described, telling(settings)))
    wanted = matching(settings, select or ())
    _print([found[at] for at in wanted], output, [titles[at] for at in wanted])


@app.command()
def coverage(
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table of the book's front page.")] = False,
    results_dir: Results = None,
) -> None:
    """Count what is declared, what can be run and what has been measured."""
    from mtlkit.report.coverage import coverage as count
    from mtlkit.report.coverage import status

    counted = count(results_dir)
    if markdown:
        typer.echo(status(counted))
        return
    if as_json:
        typer.echo(json.dumps(counted, indent=1))
        return
    grid = Grid("paper", "table", "rows", "runnable", "cells", "smoke", "lite", "paper")
    for slug, found in counted["papers"].items():
        for number, line in found["tables"].items():
            measured = line["measured"]
            values = (line["rows"], line["runnable"], line["cells"], *(measured[p] for p in ("smoke", "lite", "paper")))
            grid.add_row(slug, number, *map(str, values))
    console.print(grid)
    systems = counted["systems"]
    console.print(f"systems that run: {sum(systems.values())} of {len(systems)}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this machine: versions, devices, free disk, a torch and torchvision that do not fit together."""
    from mtlkit.doctor import examine

    report = examine()
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    else:
        for name, value in report.items():
            console.print(f"[bold]{name}[/bold]: {value}", highlight=False)
    if report["problems"]:
        raise typer.Exit(1)


@data_app.command("list")
def data_list(as_json: Json = False) -> None:
    """List embedded worlds and the folder layouts that can be read."""
    kinds = {
        "rooms": "embedded world: drawn rooms with classes, depth and surface normals; no download",
        "objects": "embedded world: drawn objects, a class a picture; no download",
        "places": "embedded world: drawn scenes, a class a picture; no download",
        "parts": "embedded world: drawn scenes whose objects have boxes and attributes; no download",
        "people": "embedded world: drawn people and things with boxes, masks and joints; no download",
        "faces": "embedded world: drawn faces with an age and a gender; no download",
        "folder": "image/ label/ normal/ splits/*.txt: your own data",
        "npy": "{train,val}/{image,label,depth,normal}/0.npy, ...: the layout multi-task repositories share",
        "nyuv2": "nyu_depth_v2_labeled.mat with splits.mat and classMapping40.mat: the official files",
        "imagefolder": "train/CLASS/* and val/CLASS/*: your own pictures with a class each",
        "imagenet": "torchvision's folders for ImageNet",
        "places365": "torchvision's folders for Places365-Standard",
        "oxford_pets": "torchvision's folders for Oxford-IIIT Pet",
        "caltech101": "torchvision's folders for Caltech-101, 30 training pictures a class",
        "apascal": "JPEGImages/ and attribute_data/: objects of PASCAL VOC 2008 with boxes and attributes",
        "plates": "embedded world: drawn dishes with calories and categories; no download",
        "manifest": "manifest.csv with image, kcal, category, group, split, and the pictures: your own dishes",
        "coco": "annotations/*.json and images/: boxes, masks and joints in COCO's format",
        "utkface": "image/AGE_GENDER_RACE_DATE.jpg, splits/*.txt: faces as in UTKFace",
        "imdb_wiki": "imdb_crop/imdb.mat and its pictures, or wiki_crop: faces as in IMDB-WIKI",
    }
    if as_json:
        typer.echo(json.dumps(kinds, indent=1))
        return
    for name, what in kinds.items():
        console.print(f"[bold]{name:11}[/bold] {what}", highlight=False)


@data_app.command("make")
def data_make(
    world: Annotated[str, typer.Argument(help="An embedded world: see 'mtlkit data list'.")],
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    train: Annotated[
        int, typer.Option(min=1, help="Training pictures; of objects and places: a class; of plates: portions.")
    ] = 64,
    val: Annotated[
        int, typer.Option(min=1, help="Test pictures; of objects and places: a class; of plates: portions.")
    ] = 32,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Height and width, the world's own by default; objects and places are square."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Draw an embedded world into a folder."""
    from mtlkit.errors import unknown
    from mtlkit.worlds import faces, objects, parts, people, places, plates, rooms

    worlds = {"rooms": (rooms, "npy"), "objects": (objects, "imagefolder"), "places": (places, "imagefolder")}
    worlds |= {"parts": (parts, "apascal"), "people": (people, "coco"), "plates": (plates, "manifest")}
    worlds |= {"faces": (faces, "utkface")}
    if world not in worlds:
        raise unknown("embedded world", world, worlds)
    module, layout = worlds[world]
    square = layout == "imagefolder"
    given: dict[str, Any] = {} if size is None else {"size": min(size) if square else size}
    module.write(folder, seed=seed, train=train, val=val, **given)
    typer.echo(f"The world {world} lies in {folder}; read it with --dataset {layout} --data-root {folder}")


@data_app.command("check")
def data_check(
    layout: Annotated[str, typer.Argument(help="A layout: see 'mtlkit data list'.")],
    root: Annotated[Path, typer.Argument(help="The data set's folder.")],
    columns: Annotated[str | None, typer.Option(help="Of a manifest: such as kcal=energy,category=food.")] = None,
) -> None:
    """Read every sample of both splits and name the first fault."""
    from mtlkit.data import LAYOUTS, TABLE_LAYOUTS
    from mtlkit.errors import unknown

    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    given: dict[str, Any] = {}
    if layout in TABLE_LAYOUTS:
        from mtlkit.papers.calorie.tables import CalorieChoices

        given["columns"] = CalorieChoices.of(columns=_pairs(columns)).mapping()
    for split in ("train", "val"):
        dataset = LAYOUTS[layout](root, split, **given)
        for index in range(len(dataset)):
            dataset[index]
        typer.echo(
            f"{split}: {len(dataset)} samples, {len(dataset.classes)} classes, fingerprint {dataset.fingerprint()}"
        )


def _pairs(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(sign and name.strip() for _, sign, name in pairs):
        raise InputError(f"Columns are given as field=name,field=name, not {text!r}.")
    return {field.strip(): name.strip() for field, _, name in pairs}


def _numbers(text: str | None) -> list[Any] | None:
    if text is None:
        return None
    return [_number(part.strip()) for part in text.split(",")]


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _print(comparisons: Sequence["SideBySide"], output: str, titles: Sequence[str] = ()) -> None:
    from mtlkit.report.side_by_side import tables_csv, tables_json

    if output == "json":
        typer.echo(tables_json(comparisons))
    elif output == "csv":
        typer.echo(tables_csv(comparisons), nl=False)
    else:
        blocks = [getattr(comparison, output)().rstrip("\n") for comparison in comparisons]
        pairs = zip_longest(titles, blocks, fillvalue="")
        typer.echo("\n\n".join(f"{title}\n\n{block}" if title else block for title, block in pairs))


def main() -> None:
    """The command line: one sentence and exit status 2 for anything a user can put right."""
    try:
        app()
    except InputError as error:
        if _debug:
            raise
        typer.echo(f"Error: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
