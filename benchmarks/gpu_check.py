"""A short look at what a GPU does with this suite: losses against the CPU's, step times, memory, waiting for data.

Nothing is downloaded. Three parts, the next one with what the one before has left of the minutes:

1. every distinct network of the notebooks' default tables takes ten steps at profile ``smoke`` on the device and on the
   CPU, from the same weights on the same images and without dropout, whose draws differ from device to device;
2. one default table of every paper is run on the device, as a reader would;
3. every distinct network of the declared tables takes ten steps at its printed size on tiny folders in the official
   layouts, at ``32-true`` and ``bf16-mixed``, its batches cut in halves where memory is short. Rates are a hundredth of
   the printed ones, for untrained networks would diverge at those. Backbones take turns, so that a part that ends early
   has seen all of them.

    python benchmarks/gpu_check.py                        the best device, six minutes, build/gpu_check
    python benchmarks/gpu_check.py --device cpu           at reduced sizes: does it run
    python benchmarks/gpu_check.py --only nddr --minutes 2
"""

import argparse
import gc
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count, zip_longest
from pathlib import Path
from typing import Any

import torch
from rehearse import Rehearsed, alone, distinct, label, networks, on_tiny_folders, resized
from torch import nn

from mtlkit import papers
from mtlkit.data.samples import Batch
from mtlkit.data.sampling import loader
from mtlkit.devices import Precision, device_name
from mtlkit.errors import InputError, unknown
from mtlkit.graph import reads
from mtlkit.ledger import versions
from mtlkit.reproduce import reproduce
from mtlkit.results import Results
from mtlkit.runs import Training, trainings
from mtlkit.runtime import Runtime, cores, hardware, machine
from mtlkit.training import Recipe, memory_format, train

STEPS, WARM_UP = 10, 3
"""Steps of a network, and how many of them go before the clock starts: kernels are loaded, readers begin."""

PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed")

TOLERANCES: dict[Precision, float] = {"32-true": 0.02, "bf16-mixed": 0.1}
"""How far the mean of a loss over the ten steps may lie from the CPU's at 32-true, as a share of that. float32 sums in
another order are 1e-6 apart, and ten steps of a network with batch norms at the rates of ``smoke`` make up to some
thousandths of that; bfloat16 keeps 8 bits (``tests/test_precision.py``)."""

SHARES = (0.35, 0.65, 1.0)
"""Of the minutes: by when the three parts end."""

REDUCED_SIDE, REDUCED_BATCH = 64, 2
"""Printed networks on the CPU: the side of their images, and images per step."""


@dataclass
class Steps:
    """Ten steps of a network.

    Attributes:
        paper: its slug.
        rows: ``table/row`` of all that have this network.
        network: backbone, what is shared, tasks.
        size: height and width of the images.
        batch: images a batch; ``accumulate`` batches a step.
        precision: of the training.
        channels_last: whether maps lay with the channels innermost.
        ms: a step's time without waiting for data, the device waited for; without the warm-up.
        image_ms: what one process needs to read and augment an image.
        readers: processes that do; 0: the training's own.
        gib: the most memory that tensors had, GiB; ``None`` on the CPU, where nothing counts it.
        losses: ``task/term`` -> mean over the steps.
        cpu: the same on the CPU at 32-true, where it was compared.
    """

    paper: str
    rows: list[str]
    network: str
    size: tuple[int, int]
    batch: int
    accumulate: int
    precision: Precision
    channels_last: bool
    ms: float
    image_ms: float
    readers: int
    gib: float | None
    losses: dict[str, float]
    cpu: dict[str, float] | None = None

    @property
    def waiting(self) -> float:
        """The share of a long training's time that would be spent waiting for data.

        By arithmetic: with a reader for each of ten batches no reader ever makes a second one, so that none is seen
        to be late.
        """
        data = self.image_ms * self.batch * self.accumulate / max(self.readers, 1)
        return data / (data + self.ms) if self.readers == 0 else max(0.0, 1 - self.ms / data)

    @property
    def off(self) -> float | None:
        """The largest difference from the CPU's losses, as a share of these; ``None`` where not compared."""
        if self.cpu is None:
            return None
        return max(abs(self.losses[term] - value) / max(abs(value), 1e-6) for term, value in self.cpu.items())


@dataclass
class Report:
    """What was seen.

    Attributes:
        device: its name as asked for.
        machine: the processor or GPU in a line.
        hardware: as records hold it.
        versions: of libraries.
        cores: that readers share.
        reduced: whether sizes are those of a trial on the CPU.
        minutes: allowed.
        default: networks of default tables.
        tables: ``paper table`` -> seconds.
        printed: networks of declared tables.
        left_out: what the minutes did not allow.
        failed: a sentence for each fault.
    """

    device: str
    machine: str
    hardware: dict[str, Any]
    versions: dict[str, str]
    cores: int
    reduced: bool
    minutes: float
    default: list[Steps] = field(default_factory=list)
    tables: dict[str, float] = field(default_factory=dict)
    printed: list[Steps] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Clock:
    """Batches on their way to a training, and the time between them."""

    def __init__(self, device: torch.device, first: int):
        """Counts from batch ``first`` on."""
        self.device, self.first = device, first
        self.began = self.waited = 0.0

    def watched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches. The device is waited for before each, or the host would ask for batches ahead of it."""
        stream = iter(batches)
        for number in count():
            synchronize(self.device)
            asked = time.perf_counter()
            if number == self.first:
                self.began, self.waited = asked, 0.0
            batch = next(stream, None)
            if batch is None:
                return
            self.waited += time.perf_counter() - asked
            yield batch

    def seconds(self) -> float:
        """Since the first counted batch was asked for, without waiting for batches."""
        synchronize(self.device)
        return time.perf_counter() - self.began - self.waited


def synchronize(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def called(training: Training) -> str:
    """A network in a few words."""
    tasks = " + ".join(task.name for task in training.network.tasks)
    return f"{training.network.backbone} {label(training)}" + (f" ({tasks})" if len(training.network.tasks) > 1 else "")


def fed(training: Training, recipe: Recipe, workers: int, device: torch.device, steps: int = STEPS) -> Iterable[Batch]:
    """The batches of a training's first steps."""
    return loader(
        training.data.splits("train", reads(training.network.tasks)),
        recipe.augmentation,
        batch_size=recipe.batch_size,
        steps=steps * recipe.accumulate,
        seed=training.seed,
        workers=workers,
        pin=device.type == "cuda",
        samples_per_class=recipe.samples_per_class,
        tasks=training.network.tasks,
    )


def image_seconds(training: Training) -> float:
    """What one process needs to read and augment an image, from the second of two batches of a few."""
    few = max(min(training.recipe.batch_size, 16), training.recipe.samples_per_class)
    recipe = training.recipe.model_copy(update={"batch_size": few, "accumulate": 1})
    stream = iter(fed(training, recipe, 0, torch.device("cpu"), steps=2))
    next(stream)
    began = time.perf_counter()
    next(stream)
    return (time.perf_counter() - began) / few


def _these(batches: Iterable[Batch], first: int) -> Iterable[Batch]:
    """Batches of a training that starts at its first one."""
    return batches


def ten_steps(
    paper: str, found: Rehearsed, training: Training, precision: Precision, runtime: Runtime, dropout: bool = True
) -> Steps:
    """Ten steps of a training, its batches cut in halves until they fit into memory."""
    fabric = runtime.fabric(precision)
    device = fabric.device
    readers = runtime.readers(device)
    recipe = training.recipe.model_copy(update={"steps": STEPS, "precision": precision})
    while True:
        torch.manual_seed(training.seed)
        network = training.network.build(weights=False)
        for module in network.modules():
            if isinstance(module, nn.Dropout) and not dropout:
                module.p = 0.0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        clock = Clock(device, WARM_UP * recipe.accumulate)
        batches = clock.watched(fed(training, recipe, readers, device))
        try:
            with tempfile.TemporaryDirectory() as folder:
                checkpoint = Path(folder) / "none.pt"
                history, _ = train(
                    network,
                    partial(_these, batches),
                    recipe,
                    seed=training.seed,
                    fabric=fabric,
                    checkpoint=checkpoint,
                )
            seconds = clock.seconds()
        except torch.OutOfMemoryError:
            if recipe.batch_size % 2 or recipe.batch_size // 2 < recipe.samples_per_class:
                raise
            halves = {"batch_size": recipe.batch_size // 2, "accumulate": 2 * recipe.accumulate}
            recipe = recipe.model_copy(update=halves)
            continue
        finally:
            del network
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
        return Steps(
            paper,
            found.rows,
            called(training),
            recipe.augmentation.size,
            recipe.batch_size,
            recipe.accumulate,
            precision,
            memory_format(recipe, device) is torch.channels_last,
            1000 * seconds / (STEPS - WARM_UP),
            1000 * image_seconds(training),
            readers,
            torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None,
            {term: values[-1] for term, values in history.losses.items()},
        )


class Budget:
    """What of the minutes is left for a part; a thing is begun where as long as its longest kin took is left."""

    def __init__(self, seconds: float, report: Report):
        self.began, self.seconds, self.report = time.perf_counter(), seconds, report
        self.longest: dict[str, float] = defaultdict(float)

    def spend(self, share: float, kin: str, name: str, do: Callable[[], None]) -> None:
        """Does something in the part that ends at a ``share`` of the time, unless that is over."""
        began = time.perf_counter()
        if began - self.began + self.longest[kin] > share * self.seconds:
            self.report.left_out.append(name)
            return
        try:
            do()
        except Exception as error:  # the check goes on and tells all that fails
            text = str(error).strip().splitlines() or [""]
            self.report.failed.append(f"{name}: {type(error).__name__}: {text[0]}")
        seconds = time.perf_counter() - began
        self.longest[kin] = max(self.longest[kin], seconds)
        print(f"{name}: {seconds:.1f} s", flush=True)


def default_networks(paper: str) -> list[Rehearsed]:
    """The distinct networks of the tables that a paper's notebook runs by itself."""

    def every() -> Iterator[tuple[str, str, Training]]:
        for identifier in papers.options_of(paper).first_tables:
            table = papers.table(paper, identifier)
            column = table.column(table.options())
            for row in table.rows(column, column.seeds[0]):
                for training in trainings(row.evaluations).values():
                    yield identifier, row.id, training

    return distinct(every())


def taking_turns(slugs: Iterable[str], of: Callable[[str], list[Rehearsed]]) -> list[tuple[str, Rehearsed]]:
    """The networks of papers, one of every paper and backbone before the second of any."""
    kinds: dict[tuple[str, str], list[tuple[str, Rehearsed]]] = defaultdict(list)
    for paper in slugs:
        for found in of(paper):
            kinds[paper, found.training.network.backbone].append((paper, found))
    return [one for round_ in zip_longest(*kinds.values()) for one in round_ if one is not None]


def check(device: str, minutes: float, slugs: Iterable[str], root: Path) -> Report:
    """The three parts.

    Args:
        device: as :class:`~mtlkit.runtime.Runtime` takes it.
        minutes: about as long as it may take.
        slugs: of the papers.
        root: a folder for tiny data sets and results.
    """
    slugs = list(slugs)
    runtime = Runtime(device=device, progress=False, retrain=True)
    on_cpu = Runtime(device="cpu", progress=False)
    place = runtime.fabric().device
    reduced = place.type == "cpu"
    found = hardware(place)
    report = Report(str(place), machine(found), found, versions(), cores(), reduced, minutes)
    budget = Budget(60 * minutes, report)

    def compared(paper: str, one: Rehearsed) -> None:
        training = alone(one.training)
        truth = ten_steps(paper, one, training, "32-true", on_cpu, dropout=False)
        for precision in PRECISIONS:
            # On the CPU itself the first precision is what the other one is compared with.
            same = reduced and precision == "32-true"
            steps = truth if same else ten_steps(paper, one, training, precision, runtime, dropout=False)
            steps.cpu = None if same else truth.losses
            report.default.append(steps)
            if steps.off is not None and not steps.off <= TOLERANCES[precision]:
                report.failed.append(
                    f"{paper} {one.rows[0]} {steps.network} at {precision}: a loss of ten steps is "
                    f"{100 * steps.off:.2g} % off the CPU's, more than {100 * TOLERANCES[precision]:g} %"
                )

    def run(paper: str, identifier: str) -> None:
        began = time.perf_counter()
        table = papers.table(paper, identifier)
        reproduce(table, table.options(device=device), runtime=runtime, results=Results(root / "results"))
        report.tables[f"{paper} {identifier}"] = time.perf_counter() - began

    def printed(paper: str, one: Rehearsed, precision: Precision) -> None:
        training = on_tiny_folders(one.training, root)
        recipe = training.recipe.model_copy(update={"lr": training.recipe.lr / 100})
        if reduced:
            small = {"batch_size": max(REDUCED_BATCH, recipe.samples_per_class), "accumulate": 1}
            recipe = resized(recipe, (REDUCED_SIDE, REDUCED_SIDE)).model_copy(update=small)
        training = training.model_copy(update={"recipe": recipe})
        report.printed.append(ten_steps(paper, one, training, precision, runtime))

    first, second, third = SHARES
    for paper, one in taking_turns(slugs, default_networks):
        name = f"{paper} {one.rows[0]} {called(one.training)} at smoke, ten steps beside the CPU's"
        budget.spend(first, "compared", name, partial(compared, paper, one))
    for paper in slugs:
        identifier = papers.options_of(paper).first_tables[0]
        budget.spend(second, "tables", f"{paper} table {identifier} at smoke", partial(run, paper, identifier))
    for paper, one in taking_turns(slugs, networks):
        for precision in PRECISIONS:
            name = f"{paper} {one.rows[0]} {called(one.training)} as printed, {precision}"
            budget.spend(third, f"printed {precision}", name, partial(printed, paper, one, precision))
    return report


# --- the report ---


def markdown(report: Report) -> str:
    """The report as a page."""
    size = (
        f"On the CPU the networks of declared tables see images of {REDUCED_SIDE}x{REDUCED_SIDE}, {REDUCED_BATCH} a "
        "step: these are no times of the printed sizes."
        if report.reduced
        else "Networks of declared tables run at their printed sizes."
    )
    text = [
        "# Check of a device",
        "",
        f"{report.device}: {report.machine}; {report.cores} cores; "
        + ", ".join(f"{name} {version}" for name, version in report.versions.items())
        + ".",
        "",
        f"{size} {STEPS} steps each, times without the first {WARM_UP} and without waiting for data; the device "
        "is waited for after every step. Waiting is what a long training would do, computed from the time that one "
        "process takes to read and augment an image and the number of readers.",
        "",
        "## Faults",
        "",
        *([f"- {sentence}" for sentence in report.failed] or ["None."]),
        "",
        "## Default tables, their networks at smoke",
        "",
        "Losses: the largest difference from the CPU's at 32-true, of means over ten steps; allowed are "
        + ", ".join(f"{100 * share:g} % at {precision}" for precision, share in TOLERANCES.items())
        + ".",
        "",
        *grid(report.default),
        "",
        "## Default tables at smoke",
        "",
        "| table | seconds |",
        "|---|---|",
        *(f"| {name} | {seconds:.1f} |" for name, seconds in report.tables.items()),
        "",
        "## Networks of declared tables",
        "",
        *grid(report.printed),
        "",
        f"## Left out, after {report.minutes:g} minutes",
        "",
        *([f"- {name}" for name in report.left_out] or ["Nothing."]),
    ]
    return "\n".join(text) + "\n"


def grid(steps: Iterable[Steps]) -> list[str]:
    """A line a network and precision."""
    lines = ["| paper | rows | network | size | batch | precision | ms a step | GiB | waiting | losses off |"]
    lines.append("|" + "---|" * 10)
    for one in steps:
        batch = f"{one.batch}" + (f" x {one.accumulate}" if one.accumulate > 1 else "")
        layout = ", channels last" if one.channels_last else ""
        gib, off = "" if one.gib is None else f"{one.gib:.1f}", "" if one.off is None else f"{100 * one.off:.2g} %"
        rows = one.rows[0] + (f" and {len(one.rows) - 1} more" if len(one.rows) > 1 else "")
        cells = (
            one.paper,
            rows,
            one.network,
            f"{one.size[0]}x{one.size[1]}",
            batch,
            one.precision + layout,
            f"{one.ms:.1f}",
            gib,
            f"{100 * one.waiting:.0f} %",
            off,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main(given: list[str] | None = None) -> int:
    """Checks the device and writes the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... or mps")
    parser.add_argument("--minutes", type=float, default=6.0, help="about as long as it may take; the rest is left out")
    parser.add_argument("--only", metavar="PAPER", help="one paper")
    parser.add_argument("--out", type=Path, default=Path("build/gpu_check"), help="folder of the report")
    options = parser.parse_args(given)
    if options.only and options.only not in papers.SLUGS:
        parser.error(str(unknown("paper", options.only, papers.SLUGS)))
    try:
        device_name(options.device)
        Runtime(device=options.device).fabric()
    except InputError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as root:
        report = check(options.device, options.minutes, [options.only] if options.only else papers.SLUGS, Path(root))
    options.out.mkdir(parents=True, exist_ok=True)
    document = asdict(report)
    for part, steps in (("default", report.default), ("printed", report.printed)):
        for line, one in zip(document[part], steps, strict=True):
            line |= {"waiting": one.waiting, "off": one.off}
    (options.out / "report.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    (options.out / "report.md").write_text(markdown(report), encoding="utf-8")
    for sentence in report.failed:
        print(sentence, file=sys.stderr)
    left = f"; {len(report.left_out)} things were left out" if report.left_out else ""
    print(f"{options.out / 'report.md'}: {len(report.failed)} faults{left}.")
    return bool(report.failed)


if __name__ == "__main__":
    sys.exit(main())
