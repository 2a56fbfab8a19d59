"""The commands ``mtlkit plan`` and ``mtlkit work``: many tables, or a campaign, with one command."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from mtlkit import papers
from mtlkit.errors import InputError, unknown
from mtlkit.files import at_home
from mtlkit.run_command import echo, one_spelling

if TYPE_CHECKING:
    from mtlkit.campaign import Campaign, Goal
    from mtlkit.estimates import Estimates
    from mtlkit.planning import Plan
    from mtlkit.results import Results
    from mtlkit.work import Event

Targets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CAMPAIGN.toml | PAPER [TABLE...]]...", help="What is wanted; every table by default."),
]
Chosen = Annotated[
    list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="An option of the tables, as papermill spells it.")
]
Variables = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A variable of the campaign.")]
ResultsDir = Annotated[Path | None, typer.Option("--results-dir", help="Your own runs, read over the book's.")]
Devices = Annotated[str, typer.Option("--device", help="auto, or devices of the workers in turn: cuda:0,cuda:1.")]
Threads = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Of each worker; by default the cores by the workers.")
]


class Parameters(TyperCommand):
    """A command whose ``-p`` takes a name and a value, as that of ``mtlkit run`` and papermill's do."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads them."""
        return super().parse_args(ctx, one_spelling({}, args))


def plan(
    targets: Targets = None,
    parameter: Chosen = None,
    variables: Variables = None,
    results_dir: ResultsDir = None,
    device: Devices = "auto",
    threads: Threads = None,
    measure: Annotated[
        bool, typer.Option(help="Time a few steps of networks of which no record is of this machine.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="The columns and the graph of missing nodes.")] = False,
) -> None:
    """Say what is missing of tables and what it costs on this machine; nothing is trained."""
    found = Selection(targets, parameter, variables, results_dir, threads=threads)
    estimates = found.estimates(device.partition(",")[0], measure=measure)
    planned = found.plan(estimates)
    if as_json:
        echo(json.dumps(planned.graph() | {"machine": estimates.machine}, indent=1))
    else:
        echo(text(planned, estimates))
    found.missing += planned.refused
    found.complain()


def work(
    targets: Targets = None,
    parameter: Chosen = None,
    variables: Variables = None,
    results_dir: ResultsDir = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes on this machine.")] = 1,
    device: Devices = "auto",
    threads: Threads = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, max=1e6, help="Take nothing that will not end in this time.")
    ] = None,
    seed_major: Annotated[bool, typer.Option("--seed-major", help="One seed of a table before the next.")] = False,
    any_precision: Annotated[
        bool, typer.Option("--any-precision", help="Take trainings too whose precision is slower here than float32.")
    ] = False,
    retrain: Annotated[bool, typer.Option("--retrain", help="Try again what diverged.")] = False,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, max=1e9, help="Between two checkpoints of a training.")
    ] = 60.0,
    weights_limit: Annotated[float, typer.Option(min=0, max=1e6, help="GiB of weights that are kept.")] = 8.0,
    executor: Annotated[
        Literal["local", "ray"], typer.Option(help="Processes here, or the machines of a Ray cluster.")
    ] = "local",
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster, HOST:PORT or auto; one here else.")] = None,
    gpus_per_run: Annotated[
        float | None, typer.Option(min=0, max=1, help="That Ray gives each run, such as 0.5; 1 where there are any.")
    ] = None,
) -> None:
    """Run what is missing of tables, beside other processes that do the same; may be killed and started again."""
    deadline = None if minutes is None else time.time() + 60 * minutes
    from mtlkit.processes import clean

    if workers > 1:
        clean()  # loads what workers need while this process looks columns up
    from mtlkit.runtime import Runtime, cores

    ray = executor == "ray"
    if ray and workers > 1:
        raise InputError("Ray runs as many nodes at a time as it has CPUs and GPUs for; leave out --workers.")
    if not ray and (address is not None or gpus_per_run is not None):
        raise InputError("--address and --gpus-per-run are for --executor ray.")
    # On several machines one thread is a number that all have; --threads says another.
    processes = cores() if ray else workers
    found = Selection(targets, parameter, variables, results_dir, weights_limit, seed_major, threads, processes)

    from mtlkit.crew import Crew
    from mtlkit.display import Display
    from mtlkit.planning import jobs
    from mtlkit.reproduce import opened
    from mtlkit.work import fit

    devices = [device] if ray else spread(device)
    runtimes = [
        Runtime(
            device=devices[number % len(devices)],
            processes=workers,
            progress=False,
            checkpoint_seconds=checkpoint_seconds,
            retrain=retrain,
            renew=True,
        )
        for number in range(workers)
    ]
    for runtime in [] if ray else runtimes[: len(devices)]:
        runtime.fabric()  # a device that is not there should stop before anything is written
    estimates = found.estimates("auto" if ray else devices[0], measure=minutes is not None)
    planned = found.plan(estimates)
    users: dict[str, list[Goal]] = {}
    for at, (goal, there) in enumerate(zip(found.goals, planned.there, strict=True)):
        # A column whose numbers are all there may have been stored under an earlier revision: not once more.
        if there and planned.of_goal(at):
            opened(goal.column, found.results)
        for node in goal.nodes:
            users.setdefault(node.identity, []).append(goal)

    open_ = {one.node.identity: one.seconds for one in planned.missing}
    display = Display(open_, workers)

    def tell(worker: int, event: "Event") -> None:
        if event.what == "done":
            for goal in users.get(event.node, ()):  # a column is on record once it has a number
                opened(goal.column, found.results)
        display.tell(worker, event)

    estimates.measure = False  # what comes up later would be timed beside trainings
    if not any_precision and not ray:
        for one in planned.missing:  # once, for all workers, while the machine is quiet
            estimates.slow(one.node)
    unfit = fit if any_precision else estimates.slow
    run = Crew(jobs(found.goals), found.results, runtimes, found.threads, deadline, estimates.seconds, unfit).run
    if ray:
        from mtlkit.ray_executor import RayExecutor

        cluster = RayExecutor(
            found.goals, found.results, runtimes[0], found.threads, gpus_per_run, address, deadline, estimates.seconds
        )
        run = partial(cluster.run, sized=lambda number: setattr(display, "workers", number))
    with display:
        there = sum(planned.there)
        if there:
            display.say(f"{there} of {sum(len(goal.nodes) for goal in found.goals)} evaluations found in the ledger")
        failed = run(tell)
    echo(display.state(), err=True)
    for identity, sentence in failed.items():
        echo(f"{identity} failed: {sentence}", err=True)
    found.complain()
    if failed:
        raise typer.Exit(1)


class Selection:
    """What the arguments name.

    Attributes:
        campaign: the columns.
        results: where records lie.
        goals: the columns that could be looked up.
        missing: a sentence for each that could not.
        threads: that each process computes with, this one too.
    """

    def __init__(
        self,
        targets: Sequence[str] | None,
        parameter: Sequence[str] | None,
        variables: Sequence[str] | None,
        results_dir: Path | None,
        weights_limit: float = 8.0,
        by_seed: bool = False,
        threads: int | None = None,
        processes: int = 1,
    ):
        self.campaign = campaign(targets or (), parameter or (), variables or ())
        from mtlkit.campaign import goal
        from mtlkit.ledger import GIB

        self.results: Results = self.campaign.found_in(results_dir, round(weights_limit * GIB))
        # Before columns are looked up: how many threads compute is part of what a time is.
        self.threads = self._use(threads, processes)
        self.goals: list[Goal] = []
        self.missing: list[str] = []
        for wanted in self.campaign.wanted:
            try:
                self.goals.append(goal(wanted, by_seed=by_seed))
            except InputError as error:
                self.missing.append(f"{wanted} is left out: {error}")

    def _use(self, threads: int | None, workers: int) -> int:
        """Sets how many threads this process computes with, and returns it."""
        import torch

        from mtlkit.runtime import cores

        if threads is None:
            threads = self.campaign.threads
        if threads is None:
            outer = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # of nested ones the first
            threads = int(outer) if outer.isdigit() and int(outer) else max(1, cores() // workers)
        torch.set_num_threads(threads)
        return threads

    def estimates(self, device: str, *, measure: bool) -> "Estimates":
        """What nodes cost here."""
        from mtlkit.estimates import Estimates
        from mtlkit.runtime import Runtime

        profiles = dict.fromkeys(goal.column.profile for goal in self.goals)
        ledgers = [self.results.ledger(profile) for profile in profiles]
        return Estimates(ledgers, Runtime(device=device, progress=False), measure=measure)

    def plan(self, estimates: "Estimates") -> "Plan":
        """What is missing."""
        from mtlkit.planning import Plan
        from mtlkit.runtime import Runtime

        return Plan.of(self.goals, self.results, Runtime(progress=False, renew=True), estimates)

    def complain(self) -> None:
        """Ends with the sentences about columns that could not be looked up.

        Raises:
            InputError: there are some.
        """
        if self.missing:
            raise InputError("\n".join(self.missing))


def campaign(targets: Sequence[str], parameter: Sequence[str], variables: Sequence[str]) -> "Campaign":
    """The columns that arguments name.

    Raises:
        InputError: for the first thing that is wrong.
    """
    from mtlkit.campaign import Campaign

    if targets and (targets[0].endswith(".toml") or at_home(targets[0]).is_file()):
        if len(targets) > 1:
            raise InputError(f"A campaign stands alone; {targets[0]} is followed by {' '.join(targets[1:])}.")
        if parameter:
            raise InputError("A campaign says its options itself; -p is for tables that are named.")
        # A shell's folders go from where it is, those in the file from the file.
        given = {name: os.path.abspath(at_home(value)) for name, value in _pairs(variables).items()}
        return Campaign.read(at_home(targets[0]), given)
    if variables:
        raise InputError("Only a campaign has variables; options of tables are given by -p.")
    return Campaign(tuple(_named(targets, _pairs(parameter))))


def _named(targets: Sequence[str], texts: dict[str, str]) -> "Iterator[Any]":
    """The columns of papers and tables: a paper's name stands before its tables."""
    from mtlkit.campaign import Wanted, not_running

    several: list[tuple[str, list[str]]] = [] if targets else [(slug, []) for slug in papers.SLUGS]
    for word in targets:
        if word in papers.SLUGS:
            several.append((word, []))
        elif several:
            several[-1][1].append(word)
        else:
            raise unknown("paper", word, papers.SLUGS)
    for paper, tables in several:
        kind = papers.options_of(paper)
        not_running(kind, texts)
        options = kind(**{kind.known(name): kind.read(name, value) for name, value in texts.items()})
        for identifier in tables or kind.tables:
            papers.check(paper, identifier)
            try:
                options.check(identifier)
            except InputError as error:
                if tables:
                    raise
                echo(f"Table {identifier} of {paper} is left out: {error}", err=True)
                continue
            yield Wanted(papers.table(paper, identifier), options)


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise InputError(f"{text!r} is no NAME=VALUE.")
        if (name := name.strip()) in found:
            raise InputError(f"{name} is given twice: {found[name]} and {value}; a list is written with commas.")
        found[name] = value
    return found


def spread(device: str) -> list[str]:
    """The devices that workers take in turn: those that are named; for ``auto`` every GPU, where there are any."""
    from mtlkit.runtime import devices

    gpus = [name for name in devices() if name.startswith("cuda")]
    return gpus if device == "auto" and gpus else device.split(",")


def text(planned: "Plan", estimates: "Estimates") -> str:
    """A plan as a table: a line a column, and what all need, each node once."""
    from mtlkit.planning import Total
    from mtlkit.report.table import ReportTable, Text, heads
    from mtlkit.work import duration

    def line(name: str, there: int, of: int, total: Total) -> tuple[Text, ...]:
        more = f" + {total.unknown} unknown" if total.unknown else ""
        took = f"{duration(total.seconds)}{more}" if total.seconds or more else "–"
        memory = "–" if total.memory is None else f"{total.memory / 1e9:.1f} GB"
        cells = (f"{there} of {of}", total.trainings, total.evaluations, f"{total.images:,}", took, memory)
        return (Text(name), *(Text(str(cell)) for cell in cells))

    goals = planned.goals
    names = labels(goals)
    lines = [
        line(f"{at + 1} {names[at]}", planned.there[at], len(goal.nodes), Total.of(planned.of_goal(at)))
        for at, goal in enumerate(goals)
    ]
    evaluations = {(goal.column.profile, node.identity) for goal in goals for node in goal.nodes}
    total = Total.of(planned.missing)
    lines.append(line("all, each node once", planned.all_there, len(evaluations), total))
    columns = heads(("there", "trainings", "others", "images", "time", "memory"))
    faster = ", ".join(f"{name} {rate:.1f}" for name, rate in estimates.precisions.items())
    return "\n".join(
        [
            ReportTable("", "column", columns, tuple(lines)).text(),
            f"Time with one worker on {estimates.machine}. Speed of a convolution's training by precision: {faster}.",
        ]
    )


def labels(goals: "Sequence[Goal]") -> list[str]:
    """What columns are about, or paper and table, and the options that tell apart those that are about the same."""
    from mtlkit.report.settings import described, settings_of, telling

    names = [goal.wanted.about or f"{goal.column.paper} {goal.column.table}" for goal in goals]
    found = list(names)
    for name in names:
        alike = [at for at, other in enumerate(names) if other == name]
        for at, settings in zip(alike, telling([settings_of(goals[at].column) for at in alike]), strict=True):
            found[at] = f"{name}; {described(settings)}" if settings else name
    return found
