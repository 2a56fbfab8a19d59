"""A dress rehearsal of profile ``paper``: every declared network takes two steps, every setting stands by the print.

Each network behind a row of a declared table is built as at profile ``paper``, without start weights, and trained for
two optimiser steps on two images of its training size, read from a tiny folder in the layout of the official data set.
Networks that differ in what they start from alone are rehearsed once. What the settings table shows is read from
recipes and optimisers; what the papers print, and why something differs, is read from their ``printed.yaml``.

    python benchmarks/rehearse.py                     all papers, and book/rehearsal.md
    python benchmarks/rehearse.py --only PAPER        one paper, on the terminal
"""

import argparse
import gc
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from official_folders import folder

from mtlkit import papers
from mtlkit.backbones import aside
from mtlkit.data import Data, Mixture
from mtlkit.engine import Engine
from mtlkit.errors import unknown
from mtlkit.ledger import Ledger
from mtlkit.network import Weights
from mtlkit.runs import Training, trainings
from mtlkit.runtime import Runtime
from mtlkit.training import Recipe, optimizer, set_rates

PAGE = Path(__file__).parents[1] / "book" / "rehearsal.md"
STEPS, IMAGES = 2, 2
WRITTEN_BY = "<!-- written by benchmarks/rehearse.py -->"

INTRODUCTION = f"""# Rehearsal of the full runs

{WRITTEN_BY}

Numbers at profile `paper` take official data and days of a GPU. What can be checked without either is checked by
`make rehearse`: every network behind a declared row is built at its full size and takes two optimiser steps on two
images, which the reader of the full run reads from a tiny folder in the layout of the official data set.

Below stand the settings of these trainings, read from recipes and optimisers, beside what the papers print, and where
the two differ, the reason. Where networks of a table have several values, the networks that have each stand behind
it: a task's name is its single-task network, `shared` the joint one, the others are named by their fusion layer.
"""


@dataclass
class Rehearsed:
    """A network and the trainings that have it."""

    training: Training
    rows: list[str] = field(default_factory=list)
    seconds: float = 0.0


def declared(paper: str) -> Iterator[tuple[str, str, Training]]:
    """Table, row and training of everything that a paper declares, at its printed settings."""
    for table in papers.DECLARED[paper]:
        column = table.meta_column()
        for row in table.rows(column, column.seeds[0]):
            for training in trainings(row.evaluations).values():
                yield table.id, row.id, training


def networks(paper: str) -> list[Rehearsed]:
    """The distinct networks of a paper; those that differ in what they start from alone are one."""
    return distinct(declared(paper))


def distinct(several: Iterable[tuple[str, str, Training]]) -> list[Rehearsed]:
    """The same of any trainings, each with its table and row."""
    found: dict[str, Rehearsed] = {}
    for table, row, training in several:
        plain = training.network.canonical()
        plain.pop("weights", None)
        for number in ("init", "alpha", "beta"):
            plain.get("sharing", {}).get("unit", {}).pop(number, None)
        key = json.dumps([plain, training.recipe.augmentation.size], sort_keys=True)
        found.setdefault(key, Rehearsed(training)).rows.append(f"{table}/{row}")
    return list(found.values())


def local(data: Data, root: Path) -> Data:
    """The data set with a tiny folder of its layout."""
    update: dict[str, object] = {"root": folder(data.layout, root), "fraction": 1.0}
    if data.proposals is not None:
        update["proposals_folder"] = root / "proposals"
    return data.model_copy(update=update)


def alone(training: Training) -> Training:
    """A training that needs no other one and no file of weights."""
    network = training.network.model_copy(update={"weights": Weights()})
    return training.model_copy(update={"network": network, "starts": {}, "balance": None})


def on_tiny_folders(training: Training, root: Path) -> Training:
    """A training alone, on tiny folders in the layouts of its data sets under ``root``."""
    data = training.data
    if isinstance(data, Mixture):
        data = data.model_copy(update={"sets": {role: local(one, root) for role, one in data.sets.items()}})
    else:
        data = local(data, root)
        if data.proposals is not None:
            data.kept_proposals.prepare(data.model_copy(update={"proposals": None}).split("train", ()), 1)
    return alone(training).model_copy(update={"data": data})


def resized(recipe: Recipe, size: tuple[int, int] | None) -> Recipe:
    """A recipe with images of another size, where one is given."""
    if size is None:
        return recipe
    return recipe.model_copy(update={"augmentation": recipe.augmentation.model_copy(update={"size": size})})


def rehearse(training: Training, root: Path, size: tuple[int, int] | None = None) -> float:
    """Two steps of a training, alone and without start weights; the seconds that they took.

    Args:
        training: as declared.
        root: of the tiny folders.
        size: of the images, where it is not that of the training.
    """
    rehearsed = on_tiny_folders(training, root)
    small = {"steps": STEPS, "batch_size": max(IMAGES, training.recipe.samples_per_class), "accumulate": 1}
    recipe = resized(training.recipe, size).model_copy(update=small)
    engine = Engine(Ledger(root / "ledger"), Runtime(device="cpu", workers=0, progress=False))
    began = time.perf_counter()
    content = rehearsed.model_copy(update={"recipe": recipe}).run(engine.context())
    assert content.history is not None
    assert content.history.steps == [STEPS]
    return time.perf_counter() - began


# --- settings ---


def settings(training: Training) -> dict[str, str]:
    """The settings of a training in words, read from its recipe and from the optimiser of its network."""
    recipe = training.recipe
    with aside():
        network = training.network.model_copy(update={"weights": Weights()}).build(weights=False)
    made = optimizer(network, recipe)
    set_rates(made, recipe, 0)
    groups = made.param_groups
    momentum = groups[0].get("momentum")
    multiples = {group["name"]: group["lr"] / recipe.lr for group in groups}
    decays: dict[float, list[str]] = {}
    for group in groups:
        decays.setdefault(group["weight_decay"], []).append(group["name"])
    decayed = {decay: names for decay, names in decays.items() if decay}
    images = recipe.batch_size * recipe.accumulate
    size = recipe.augmentation.size
    return {
        "Optimiser": type(made).__name__ + (f", momentum {momentum:g}" if momentum is not None else ""),
        "Learning rate": f"{groups[0]['lr'] / multiples[groups[0]['name']]:g}",
        "Rates of groups": ", ".join(f"{name} x{times:g}" for name, times in multiples.items() if times != 1) or "one",
        "Weight decay": " / ".join(
            f"{decay:g}" + (f" on {', '.join(names)}" if len(decays) > 1 else "") for decay, names in decayed.items()
        )
        or "none",
        "Schedule": schedule(training),
        "Batch": f"{images}" + (f" ({recipe.accumulate} of {recipe.batch_size})" if recipe.accumulate > 1 else ""),
        "Steps": f"{recipe.steps:,}",
        "Training images": f"{size[0]}x{size[1]}, {recipe.augmentation.kind}",
        "Precision": recipe.precision,
    }


def schedule(training: Training) -> str:
    """The learning rate's course."""
    recipe = training.recipe
    if recipe.schedule == "poly":
        return f"poly {recipe.power:g}"
    if recipe.schedule == "step":
        at = " and ".join(f"{100 * milestone:.3g} %" for milestone in recipe.milestones)
        return f"x{recipe.gamma:g} after {at} of the steps"
    return recipe.schedule


def label(training: Training) -> str:
    """What a network is, in a word or two."""
    tasks = [task.name for task in training.network.tasks]
    return f"{training.network.sharing.label if len(tasks) > 1 else tasks[0]}"


def merged(values: Iterable[tuple[str, str]]) -> str:
    """Values of several networks: one, or each with the networks that have it."""
    found: dict[str, list[str]] = {}
    for name, value in values:
        names = found.setdefault(value, [])
        if name not in names:
            names.append(name)
    return next(iter(found)) if len(found) == 1 else "; ".join(f"{v} ({', '.join(n)})" for v, n in found.items())


def lines(paper: str) -> list[tuple[str, str, str, str, str]]:
    """Tables, setting, the paper's, ours and the reason of a difference, tables with the same lines together."""
    by_table: dict[str, dict[str, list[tuple[str, str]]]] = {}
    known: dict[tuple[str, str], dict[str, str]] = {}
    for table, _, training in declared(paper):
        key = training.network.model_copy(update={"weights": Weights()}).identity, training.recipe.identity
        if key not in known:
            known[key] = settings(training)
        for what, value in known[key].items():
            by_table.setdefault(table, {}).setdefault(what, []).append((label(training), value))
    print_ = papers.printed(paper)
    together: dict[tuple[str, str, str, str], list[str]] = {}
    for table, found in by_table.items():
        for what, values in found.items():
            ours = merged(values)
            theirs, reason = print_.training(table, what)
            if theirs == ours:
                reason = ""
            together.setdefault((what, theirs, ours, reason), []).append(table)
    order = list(dict.fromkeys(what for found in by_table.values() for what in found))
    several = [(", ".join(tables), *key) for key, tables in together.items()]
    return sorted(several, key=lambda line: order.index(line[1]))


def unexplained(paper: str) -> list[str]:
    """Settings that differ from the print without a reason."""
    return [
        f"{paper} {tables}: {what} ({theirs} / {ours})"
        for tables, what, theirs, ours, why in lines(paper)
        if theirs != ours and not why
    ]


def markdown(paper: str) -> str:
    """A section of the page."""
    text = [f"## {papers.printed(paper).title.split(']')[-1].strip()}", ""]
    text += ["| tables | setting | the paper's | here | why it differs |", "|---|---|---|---|---|"]
    text += [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines(paper)]
    return "\n".join(text)


def main(given: list[str] | None = None) -> int:
    """Rehearses and writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", metavar="PAPER", help="one paper, printed on the terminal")
    parser.add_argument("--size", type=int, metavar="SIDE", help="square images of this side, to try the rehearsal out")
    parser.add_argument("--settings", action="store_true", help="the page alone; no network takes a step")
    options = parser.parse_args(given)
    if options.only and options.only not in papers.SLUGS:
        parser.error(str(unknown("paper", options.only, papers.SLUGS)))
    page = [INTRODUCTION]
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as root:
        for paper in [options.only] if options.only else papers.SLUGS:
            found = networks(paper)
            for one in found if not options.settings else ():
                try:
                    one.seconds = rehearse(one.training, Path(root), options.size and (options.size, options.size))
                except Exception as error:  # the rehearsal goes on and tells all that fails
                    failed.append(f"{paper} {one.rows[0]}: {type(error).__name__}: {error}")
                gc.collect()
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
                print(f"{paper} {one.rows[0]} {label(one.training)}: {one.seconds:.1f} s, {memory:.1f} GB", flush=True)
            failed += unexplained(paper)
            page.append(markdown(paper))
    text = "\n".join(section + "\n" for section in page)
    if options.only or options.size:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")
    for sentence in failed:
        print(sentence, file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
