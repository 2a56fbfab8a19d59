"""Works missing nodes off on the machines of a Ray cluster: a node of the graph is a Ray task.

What is sent is text: the column, the node's identity, the results folder. The process that gets it makes the column
again, finds the node in it and runs it through the ledger as any :class:`~mtlkit.work.Worker` does. Nothing is kept in
the process that started it all: killed and started again, it skips what the ledger has.
"""

import hashlib
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

import mtlkit
from mtlkit.campaign import Goal, Wanted, goal
from mtlkit.devices import device_name
from mtlkit.engine import Engine, Step
from mtlkit.errors import InputError, extra
from mtlkit.files import written_whole
from mtlkit.graph import Node, ordered
from mtlkit.ledger import Ledger, versions
from mtlkit.planning import jobs
from mtlkit.results import Results, checkout
from mtlkit.runtime import Runtime, cores
from mtlkit.work import WAIT_SECONDS, Event, Seconds, What, Worker, unknown

RETRIES = 2
"""How often a node is run again whose process or machine was lost."""
CONNECT_SECONDS = 10.0
"""Until a cluster has to answer."""
BOARD_SECONDS = 5.0
"""Until the board has to answer; else it is asked again at the next look."""
LOOK_SECONDS = 0.5
"""Between two looks at what the tasks tell."""


class Undone(Exception):
    """A node was not run, so that nothing that needs it can be.

    Attributes:
        what: it ``failed``, or was left for ``later``.
        node: its identity.
        title: its title.
        sentence: why.
    """

    def __init__(self, what: What, node: str, title: str, sentence: str):
        super().__init__(what, node, title, sentence)  # all of them, for an exception is pickled by its arguments
        self.what, self.node, self.title, self.sentence = what, node, title, sentence


@dataclass(frozen=True)
class Setup:
    """What all tasks are told.

    Attributes:
        own: the results folder, which all machines share.
        published: what is read underneath; ``None``: nothing.
        kept_limit: as of :class:`~mtlkit.results.Results`.
        token: a file of the results folder that shows that it is the same one.
        versions: of the libraries that decide numbers, and a digest of mtlkit's code, where the work was started.
        threads: of a node.
        gpus: that it holds.
        device: of a node, of those that Ray gives it.
        checkpoint_seconds: as of :class:`~mtlkit.runtime.Runtime`.
        began: when the work began, in seconds: what failed since is not tried again.
        deadline: as of a :class:`~mtlkit.work.Worker`.
    """

    own: str
    published: str | None
    kept_limit: int
    token: str
    versions: dict[str, str]
    threads: int
    gpus: float
    device: str
    checkpoint_seconds: float
    began: float
    deadline: float | None

    @property
    def results(self) -> Results:
        """Where records lie; what is published lies elsewhere on a machine with a checkout of its own."""
        published = None if self.published is None else Path(self.published)
        if published is not None and not published.is_dir() and (root := checkout()) is not None:
            published = root / "results"
        return Results(Path(self.own), published, self.kept_limit)


@dataclass(frozen=True)
class Order:
    """What one task is told.

    Attributes:
        wanted: a column that needs the node, as text.
        profile: the column's.
        node: the node's identity.
        title: its title.
        riders: identities of nodes that are made with it.
        tensors: whether its tensors are wanted.
        retrain: whether it is run again because it diverged.
        seconds: that it will take; ``None``: unknown.
    """

    wanted: str
    profile: str
    node: str
    title: str
    riders: tuple[str, ...] = ()
    tensors: bool = False
    retrain: bool = False
    seconds: float | None = None


# --- in the process that starts the work ---


@dataclass(frozen=True)
class RayExecutor:
    """Nodes of columns, run by a Ray cluster.

    Attributes:
        goals: the columns.
        results: where records lie: on a disk that all machines share, at the same path.
        runtime: ``device`` (``auto``, ``cpu`` or ``cuda``), time between checkpoints, whether to train anew.
        threads: of each node, which holds as many of Ray's CPUs.
        gpus: that each node holds, such as 0.5; ``None``: one where the cluster has any and the device is not ``cpu``.
        address: of the cluster, ``HOST:PORT`` or ``auto``; ``None``: the one that ``RAY_ADDRESS`` names, else one that
            is started here and ends with the work.
        deadline: as of a :class:`~mtlkit.work.Worker`.
        seconds: likewise.
        attempts: identity -> the process and host of every start of a node that was heard of.

    Raises:
        InputError: Ray is not installed, or an argument makes no sense with it.
    """

    goals: Sequence[Goal]
    results: Results
    runtime: Runtime
    threads: int
    gpus: float | None = None
    address: str | None = None
    deadline: float | None = None
    seconds: Seconds = unknown
    attempts: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if device_name(self.runtime.device) not in ("auto", "cpu", "cuda"):
            raise InputError(
                f"Ray gives every run its GPU, so the device cannot be {self.runtime.device}; take auto, cpu or cuda."
            )
        if self.gpus is not None and not 0 <= self.gpus <= 1:
            raise InputError(f"A run takes one device, of which Ray can give it 0 to 1, not {self.gpus:g}.")
        if self.gpus and self.runtime.device == "cpu":
            raise InputError("On the device cpu a run holds no GPU; leave out --device or --gpus-per-run.")
        if self.address is not None and self.address.startswith("ray://"):
            raise InputError(
                "The address of a Ray client is not enough, since the results folder has to be at hand; start mtlkit "
                "work on a machine of the cluster, with --address auto."
            )
        if self.address not in (None, "auto", "local") and not re.fullmatch(r".+:\d+", str(self.address)):
            raise InputError(f"The address of a Ray cluster is HOST:PORT or auto, not {self.address!r}.")
        _ray()

    def run(
        self, tell: Callable[[int, Event], None], sized: Callable[[int], None] = lambda number: None
    ) -> dict[str, str]:
        """Works until nothing is open; what measures times comes last and alone.

        Args:
            tell: told the number of a place in the cluster, from 0, and what happened there.
            sized: told how many places there are, before anything runs.

        Returns:
            Identity -> the sentence, of what failed.

        Raises:
            InputError: there is no such cluster, no machine of it can run a node, or one has other versions or another
                results folder.
        """
        with self._connected(), self._token() as token:
            gpus = self._gpus()
            sized(self._places(gpus))
            setup = self._setup(gpus, token)
            _probe(setup)
            session = Session(setup, self.results, Places(tell, self.attempts, len(_machines()) > 1))
            for steps in self._plan():
                for profile, step, order in steps:
                    session.send(profile, step, order)
                session.wait()
            return session.failed

    def _plan(self) -> "tuple[list[Work], list[Work]]":
        """What is missing, prerequisites first; apart from the rest what measures times and what needs that."""
        wanted: dict[Key, str] = {}
        for one in self.goals:
            text = one.wanted.to_json()
            for identity in ordered(one.nodes):
                wanted.setdefault((one.column.profile, identity), text)
        early: list[Work] = []
        late: list[Work] = []
        for job in jobs(self.goals):
            after: set[str] = set()
            ledger = self.results.ledger(job.profile)
            for step in Engine(ledger, self.runtime).plan(job.goals):
                node = step.node
                apart = node.alone or any(need.identity in after for need in node.needs)
                if apart:
                    after |= {one.identity for one in (node, *step.riders)}
                record = ledger.find(node.kind, node.identity) if node.recorded else None
                order = Order(
                    wanted=wanted[job.profile, node.identity],
                    profile=job.profile,
                    node=node.identity,
                    title=node.title,
                    riders=tuple(rider.identity for rider in step.riders),
                    tensors=step.tensors,
                    retrain=self.runtime.retrain and record is not None and record.diverged is not None,
                    seconds=None if self.deadline is None else self.seconds(node),
                )
                (late if apart else early).append((job.profile, step, order))
        return early, late

    def _setup(self, gpus: float, token: str) -> Setup:
        published = self.results.published
        return Setup(
            own=str(self.results.own.resolve()),
            published=None if published is None else str(published.resolve()),
            kept_limit=self.results.kept_limit,
            token=token,
            versions=here(),
            threads=self.threads,
            gpus=gpus,
            device="cuda:0" if gpus else "cpu",  # of the GPUs that Ray lets the process see
            checkpoint_seconds=self.runtime.checkpoint_seconds,
            began=time.time(),
            deadline=self.deadline,
        )

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Ray, connected, and disconnected in the end where it was not before."""
        ray = _ray()
        if ray.is_initialized():
            yield ray
            return
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        size: dict[str, Any] = {"num_cpus": cores()} if address == "local" else {}
        try:
            if ":" in address:  # Ray itself would try for minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
            ray.init(
                address=address,
                runtime_env=None,  # the libraries are installed on every machine; nothing is uploaded
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
                **size,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"The Ray cluster {address} cannot be used: {_line(error)}") from error
        try:
            yield ray
        finally:
            ray.shutdown()

    @contextmanager
    def _token(self) -> Iterator[str]:
        """A file in the results folder by which other machines know that theirs is the same one."""
        # In a folder of a profile, where "mtlkit clean" finds what a killed process leaves.
        profile = next((one.column.profile for one in self.goals), "smoke")
        path = self.results.ledger(profile).state / "ray" / f"{uuid.uuid4().hex}.txt"
        with written_whole(path) as part:
            part.write_text(path.stem, encoding="utf-8")
        try:
            yield str(path.relative_to(self.results.own))
        finally:
            path.unlink(missing_ok=True)

    def _gpus(self) -> float:
        """That each node holds."""
        there = any(resources.get("GPU") for resources in _machines().values())
        if self.runtime.device == "cuda" and not there:
            raise InputError("The Ray cluster has no GPU; take --device cpu, or auto.")
        if self.gpus is not None:
            return self.gpus
        return 1.0 if there and self.runtime.device != "cpu" else 0.0

    def _places(self, gpus: float) -> int:
        """How many nodes the cluster can run at a time.

        Raises:
            InputError: none.
        """
        found = sum(
            int(min(one.get("CPU", 0) / self.threads, one.get("GPU", 0) / gpus if gpus else float("inf")))
            for one in _machines().values()
        )
        if not found:
            more = f" and {gpus:g} GPUs" if gpus else ""
            raise InputError(f"No machine of the Ray cluster has {self.threads} CPUs{more} for a node.")
        return found


Key = tuple[str, str]
"""Profile and identity of a node."""
Work = tuple[str, Step, Order]
"""Profile, what has to be done, and what its task is told."""


@dataclass
class Sent:
    """A node that Ray was handed.

    Attributes:
        node: the node.
        ref: the reference to what its task returns; ``None``: it has none, and is undone.
        needs: what it needs of what was sent.
        ended: whether it is known how its task ended.
        undone: whether it, or something that it needs, was not run.
    """

    node: Node
    ref: Any
    needs: tuple[Key, ...]
    ended: bool = False
    undone: bool = False


class Session:
    """Nodes that a cluster was handed.

    Attributes:
        setup: what all tasks are told.
        results: where records lie.
        show: told what happens.
        failed: identity -> the sentence, of what failed.
    """

    def __init__(self, setup: Setup, results: Results, show: "Places"):
        ray = _ray()
        self.setup, self.results, self.show = setup, results, show
        self.failed: dict[str, str] = {}
        self._here = ray.get_runtime_context().get_node_id()
        self._task = ray.remote(max_retries=RETRIES, retry_exceptions=False)(run)
        self._board = ray.remote(Board).options(num_cpus=0, scheduling_strategy=_only(self._here)).remote()
        self._text = json.dumps(asdict(setup))
        self._asked: Any = None
        self._sent: dict[Key, Sent] = {}

    def send(self, profile: str, step: Step, order: Order) -> None:
        """Hands a node to Ray, unless something that it needs is known to be undone."""
        node, gpus = step.node, self.setup.gpus
        needs = tuple(key for need in node.needs if (key := (profile, need.identity)) in self._sent)
        made = Sent(node, None, needs)
        # What is made while the node runs is there when it is.
        self._sent |= {(profile, one.identity): made for one in (node, *step.riders)}
        options: dict[str, Any] = {
            "num_cpus": self.setup.threads,
            "num_gpus": gpus,
            "scheduling_strategy": "SPREAD",
        }
        if any(self._sent[key].undone for key in needs):
            made.ended = made.undone = True
            return
        if node.alone:
            # Where the column was made, whose hardware is part of what a time is; with all its CPUs, so that nothing
            # else runs there.
            mine = _machines()[self._here]
            if mine.get("CPU", 0) < self.setup.threads or mine.get("GPU", 0) < float(gpus > 0):
                made.ended = made.undone = True
                why = "times are taken on the machine where the work is started, and Ray has no place for them there"
                self.show.ended(Event("later", node.identity, node.title, sentence=why))
                return
            whole = {"num_cpus": mine["CPU"], "num_gpus": float(gpus > 0), "scheduling_strategy": _only(self._here)}
            options |= whole
        refs = dict.fromkeys(self._sent[key].ref for key in needs)
        task = self._task.options(name=node.title, **options)
        made.ref = task.remote(self._text, json.dumps(asdict(order)), self._board, *refs)

    def wait(self) -> None:
        """Until all that was sent has ended."""
        ray = _ray()
        open_ = {one.ref: (profile, one) for (profile, _), one in self._sent.items() if not one.ended}
        while open_:
            ready, _ = ray.wait(list(open_), num_returns=len(open_), timeout=LOOK_SECONDS, fetch_local=False)
            for text in self._heard():
                self.show.heard(json.loads(text))
            for ref in ready:
                self._settle(*open_.pop(ref))

    def _heard(self) -> list[str]:
        """What nodes have told; nothing where the board, which is there for the display alone, does not answer."""
        ray = _ray()
        if self._asked is None:
            self._asked = self._board.taken.remote()
        if not ray.wait([self._asked], timeout=BOARD_SECONDS)[0]:
            return []
        asked, self._asked = self._asked, None
        try:
            heard: list[str] = ray.get(asked)
        except ray.exceptions.RayError:
            return []
        return heard

    def _settle(self, profile: str, one: Sent) -> None:
        """Tells how a node ended whose task has."""
        if one.ended:
            return
        one.ended = True
        for key in one.needs:  # they have ended too, and what failed first is told first
            self._settle(profile, self._sent[key])
        ray, node = _ray(), one.node
        try:
            ran = json.loads(ray.get(one.ref))
        except ray.exceptions.RayError as error:
            one.undone = True
            if any(self._sent[key].undone for key in one.needs):
                return
            cause = getattr(error, "cause", None)
            undone = cause if isinstance(cause, Undone) else _lost(error, node)
            if undone.node not in self.failed:
                self.show.ended(Event(undone.what, undone.node, undone.title, sentence=undone.sentence))
            if undone.what == "failed":
                self.failed[undone.node] = undone.sentence
        else:
            there = Engine(self.results.ledger(profile)).there(node, tensors=False)
            if there or node.identity in ran:
                seconds = ran.get(node.identity, 0.0)
                self.show.ended(Event("done", node.identity, node.title, seconds=seconds))


class Places:
    """Numbers what runs at a time, as a display wants it, and tells what happens there.

    Attributes:
        tell: told the number and what happened.
        attempts: identity -> the process and host of every start.
        several: whether there are several machines, whose names are then told.
    """

    def __init__(self, tell: Callable[[int, Event], None], attempts: dict[str, list[str]], several: bool):
        self.tell, self.attempts, self.several = tell, attempts, several
        self._running: dict[str, tuple[int, str, str]] = {}
        self._ended: set[str] = set()

    def heard(self, told: dict[str, Any]) -> None:
        """Takes what a node told while it ran; it may come late."""
        event, who, host = Event(**told["event"]), told["who"], told["host"]
        if event.what not in ("start", "step") or event.node in self._ended:
            return
        title = f"{event.title} on {host}" if self.several else event.title
        event = replace(event, title=title)
        if event.what == "start":
            known = self._running.pop(event.node, None)
            if known is not None and known[1] != who:
                sentence = f"was lost with {known[2]} ({event.node}), which starts again"
                self.tell(known[0], Event("lost", "", "", sentence=sentence))
            self.attempts.setdefault(event.node, []).append(who)
            taken = {number for number, *_ in self._running.values()}
            number = next(number for number in range(len(taken) + 1) if number not in taken)
            self._running[event.node] = number, who, title
        if event.node in self._running:
            self.tell(self._running[event.node][0], event)

    def ended(self, event: Event) -> None:
        """Tells how a node ended."""
        number, _, title = self._running.pop(event.node, (0, "", event.title))
        self._ended.add(event.node)
        self.tell(number, replace(event, title=title))


class Board:
    """An actor on which nodes write what they do, until somebody takes it."""

    def __init__(self) -> None:
        self._told: list[str] = []

    def write(self, text: str) -> None:
        """Takes a line of JSON."""
        self._told.append(text)

    def taken(self) -> list[str]:
        """All since the last call."""
        told, self._told = self._told, []
        return told


def here() -> dict[str, str]:
    """Versions that have to be the same on all machines, without what only says how a library was built."""
    found = {name: text.partition("+")[0] for name, text in versions().items()}
    # Not the commit: records and pages are committed while others work.
    root, code = Path(mtlkit.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        code.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return found | {"mtlkit's code": code.hexdigest()[:12]}


def _ray() -> Any:
    """The library.

    Raises:
        InputError: it is not installed.
    """
    # Read when it is imported: it sends no statistics, and starts no other Python than this one.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    with extra("ray"):
        import ray
    return ray


def _machines() -> dict[str, dict[str, float]]:
    """Number -> resources, of all machines that are there."""
    return {one["NodeID"]: one["Resources"] for one in _ray().nodes() if one["Alive"]}


def _only(machine: str) -> Any:
    """The strategy by which a task or an actor runs on one machine alone."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(machine, soft=False)


def _probe(setup: Setup) -> None:
    """Asks every machine whether it can run nodes.

    Raises:
        InputError: a sentence for each that cannot.
    """
    ray = _ray()
    task, text = ray.remote(refusal), json.dumps(asdict(setup))
    asked = [
        task.options(num_cpus=0, max_retries=0, scheduling_strategy=_only(name)).remote(text)
        for name, one in _machines().items()
        if one.get("CPU")
    ]
    found = []
    for ref in asked:
        try:
            found.append(ray.get(ref))
        except ray.exceptions.RayTaskError as error:
            found.append(f"A machine of the Ray cluster cannot run mtlkit: {_line(error.cause)}.")
        except ray.exceptions.RayError:  # it has gone meanwhile
            continue
    if refused := sorted({sentence for sentence in found if sentence}):
        raise InputError("\n".join(refused))


def _lost(error: Exception, node: Node) -> Undone:
    """What became of a node whose task ended with no word of its own."""
    sentence = f"The processes or machines that ran it were lost {RETRIES + 1} times ({type(error).__name__})."
    return Undone("failed", node.identity, node.title, sentence)


def _line(error: BaseException) -> str:
    """An error in a line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


# --- in a process of the cluster ---


def run(setup: str, order: str, board: Any, *needs: str) -> str:
    """Runs a node whose prerequisites have been run.

    Args:
        setup: a :class:`Setup`, as JSON.
        order: an :class:`Order`, likewise.
        board: the actor that is told what happens.
        needs: what came of the prerequisites; they are here so that Ray waits for them.

    Returns:
        Identity -> seconds of what ran, as JSON.

    Raises:
        Undone: it failed, or was left for later.
    """
    every, mine = Setup(**json.loads(setup)), Order(**json.loads(order))
    try:
        return json.dumps(_run(every, mine, setup, board))
    except Undone:
        raise
    except Exception as error:
        raise Undone("failed", mine.node, mine.title, f"On {socket.gethostname()}: {_line(error)}") from error


def _run(every: Setup, mine: Order, setup: str, board: Any) -> dict[str, float]:
    torch.set_num_threads(every.threads)
    if sentence := refusal(setup):
        raise InputError(sentence)
    nodes = _nodes(mine.wanted)
    if mine.node not in nodes:
        raise InputError(
            f"{Wanted.from_json(mine.wanted)} has no {mine.title} ({mine.node}) here; this machine has another version "
            "of mtlkit, other data or, where times are taken, other hardware than the one where the work was started."
        )
    ran: dict[str, float] = {}
    host = socket.gethostname()

    def tell(event: Event) -> None:
        if event.what in ("failed", "later"):
            raise Undone(event.what, event.node, event.title, event.sentence)
        if event.what == "done":
            ran[event.node] = event.seconds
        board.write.remote(json.dumps({"who": f"{os.getpid()}@{host}", "host": host, "event": asdict(event)}))

    runtime = Runtime(
        device=every.device,
        processes=_neighbours(every.gpus),
        progress=False,
        checkpoint_seconds=every.checkpoint_seconds,
        retrain=mine.retrain,
        renew=True,
    )
    worker = OneNode((), every.results, runtime, tell, every.deadline, lambda node: mine.seconds)
    goals = [nodes[identity] for identity in (*mine.riders, mine.node)]
    worker.one(every.results.ledger(mine.profile), goals, mine.tensors, every.began)
    return ran


class OneNode(Worker):
    """A worker of one node, which waits for a process that runs it already."""

    def one(self, ledger: Ledger, goals: Sequence[Node], tensors: bool, began: float) -> None:
        """Runs it and, where their tensors were let go meanwhile, what it needs.

        Args:
            ledger: where its record is to be.
            goals: what is made while it runs, and the node.
            tensors: whether their tensors are wanted.
            began: when the work began; what failed since is not tried again.

        Raises:
            Undone: it failed, or was left for later.
        """
        self.since = began
        engine = Engine(ledger, self.runtime, self.since)
        while steps := engine.plan(goals, tensors=tensors):
            ledger.needed = {need.identity for step in steps for need in step.node.loads}
            node, may = steps[0].node, self._may(steps[0], engine)
            if node.identity in self.failed:  # meanwhile, in a process that is none of Ray's
                raise Undone("failed", node.identity, node.title, self.failed[node.identity])
            if may and not self._attempt(engine, steps[0]):
                time.sleep(WAIT_SECONDS)


@lru_cache(maxsize=64)
def _nodes(wanted: str) -> dict[str, Node]:
    """Identity -> node, of a column: its data's listing is read once by a process."""
    return ordered(goal(Wanted.from_json(wanted)).nodes)


def refusal(setup: str) -> str:
    """Why this machine cannot run nodes; empty where it can.

    Args:
        setup: a :class:`Setup`, as JSON.
    """
    return _refusal(setup)


@lru_cache(maxsize=1)
def _refusal(setup: str) -> str:
    told, host = Setup(**json.loads(setup)), socket.gethostname()
    mine = here()
    for name, version in told.versions.items():
        if mine.get(name, version) != version:
            return (
                f"{host} has {name} {mine[name]} and the machine where the work was started {version}; install the "
                "same versions on all machines."
            )
    path = Path(told.own) / told.token
    try:
        same = path.read_text(encoding="utf-8") == path.stem
    except OSError:
        same = False
    return (
        ""
        if same
        else (
            f"{host} has another folder {told.own}, or none; --results-dir has to name a folder on a disk that all "
            "machines share, at the same path."
        )
    )


def _neighbours(gpus: float) -> int:
    """How many nodes may run on this machine at a time and share its cores to read data."""
    mine = _machines()[_ray().get_runtime_context().get_node_id()]
    return max(1, int(mine.get("GPU", 0) / gpus)) if gpus else 1
