"""Works a list of nodes off, beside other processes that do the same: whoever is free takes what is open.

A worker takes the first open node whose needs are met and that nobody holds, and goes on from a checkpoint where a
killed one left it. A node that fails leaves its sentence, and only what needs it is left undone.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from filelock import Timeout

from mtlkit.engine import Engine, Step
from mtlkit.errors import InputError, WeightsMissing, terminal
from mtlkit.files import written_whole
from mtlkit.graph import Node
from mtlkit.ledger import Ledger
from mtlkit.results import Results
from mtlkit.runtime import Runtime

What = Literal["start", "step", "done", "failed", "later", "lost"]
WAIT_SECONDS = 1.0
"""Between two looks for a node that others do not hold."""
MOST_TIMES = 3
"""How often a worker runs one node, whose weights others may let go."""
TELL_SECONDS = 1.0
"""Between two messages about the steps of a training."""


Seconds = Callable[[Node], float | None]


def unknown(node: Node) -> None:
    """Seconds of a node of which nothing is known."""


def fit(node: Node) -> str:
    """Nothing speaks against a node on this machine."""
    return ""


def duration(seconds: float) -> str:
    """In two units at most: ``3 s``, ``4 min``, ``2 h 5 min``.

    >>> duration(3.2), duration(250), duration(7500)
    ('3 s', '4 min', '2 h 5 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


@dataclass(frozen=True)
class Event:
    """What a worker tells.

    Attributes:
        what: a node starts, has done steps, is done or failed; is left for ``later``, or another machine; or the worker
            itself is ``lost``.
        node: its identity.
        title: its title.
        done: steps that are done, from those of a checkpoint on.
        total: steps; 0 where it has none.
        seconds: that it took.
        sentence: why it failed, or is left for later.
    """

    what: What
    node: str
    title: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    sentence: str = ""


@dataclass(frozen=True)
class Job:
    """Nodes of one profile, the most wanted first."""

    profile: str
    goals: tuple[Node, ...]


@dataclass
class Worker:
    """One process of several, or the only one.

    Attributes:
        jobs: what is wanted.
        results: where records lie.
        runtime: device and the like.
        tell: told all that happens.
        deadline: of ``time.time()``, after which nothing may run; ``None``: none.
        seconds: how long a node takes, for the deadline; ``None`` where that is unknown, and it is taken.
        unfit: why this machine should leave a node to others; empty where it need not.
        alone: whether nothing else runs on this machine, so that times may be measured.
        since: as ``time.time()``; what failed or diverged later, here or in another process, is not tried again.
    """

    jobs: Sequence[Job]
    results: Results
    runtime: Runtime
    tell: Callable[[Event], None]
    deadline: float | None = None
    seconds: Seconds = unknown
    unfit: Callable[[Node], str] = fit
    alone: bool = True
    since: float = field(default_factory=time.time)
    failed: dict[str, str] = field(default_factory=dict)
    _later: set[str] = field(default_factory=set)
    _missed: set[str] = field(default_factory=set)
    _times: Counter[str] = field(default_factory=Counter)
    _running: Node | None = None
    _told: float = 0.0

    def __post_init__(self) -> None:
        self.runtime = replace(self.runtime, progress=False, watch=self._step)

    def run(self) -> dict[str, str]:
        """Works until nothing is open that it could do.

        Returns:
            Identity -> the sentence, of what failed here or meanwhile in another process.
        """
        engines = [
            (Engine(self.results.ledger(job.profile), self.runtime, self.since), list(job.goals)) for job in self.jobs
        ]
        for engine, _ in engines:
            engine.ledger.sweep()
        while True:
            taken = held = False
            for engine, goals in engines:
                steps = self._open(engine, goals)
                engine.ledger.needed = {need.identity for step in steps for need in step.node.loads}
                pending = {node.identity for step in steps for node in (step.node, *step.riders)}
                for step in steps:
                    if any(need.identity in pending for need in step.node.needs) or not self._may(step, engine):
                        continue
                    if self._attempt(engine, step):
                        taken = True
                        break
                    held = True
                if taken:
                    break
            if not taken and not held:
                return self.failed
            if not taken:
                time.sleep(WAIT_SECONDS)

    def _open(self, engine: Engine, goals: list[Node]) -> list[Step]:
        """The steps to goals that are still open, which alone stay; one with a record that cannot be read fails."""
        try:
            goals[:] = [goal for goal in goals if not engine.there(goal, tensors=False)]
            return engine.plan(goals)
        except InputError:
            sound = []
            for goal in goals:
                try:
                    if not engine.there(goal, tensors=False):
                        engine.plan([goal])
                        sound.append(goal)
                except InputError as error:
                    self._fail(engine, goal, str(error))
            goals[:] = sound
            return engine.plan(goals)

    def _may(self, step: Step, engine: Engine) -> bool:
        """Whether a node whose needs are met may be taken."""
        identity = step.node.identity
        if identity not in self.failed and (sentence := failure(engine.ledger, identity, self.since)):
            self.failed[identity] = sentence
        if identity in self.failed or identity in self._later or (step.node.alone and not self.alone):
            return False
        why = self.unfit(step.node)
        seconds = 0.0 if self.deadline is None else self.seconds(step.node) or 0.0
        if not why and self.deadline is not None and time.time() + seconds > self.deadline:
            why = f"it takes some {duration(seconds)}"
        if why:
            self._later.add(identity)
            self.tell(Event("later", identity, step.node.title, sentence=why))
        return not why

    def _step(self, title: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self._running is not None and (now - self._told >= TELL_SECONDS or done == total):
            self._told = now
            self.tell(Event("step", self._running.identity, title, done, total))

    def _attempt(self, engine: Engine, step: Step) -> bool:
        """Runs a node; ``False`` where another process holds it."""
        identity = step.node.identity
        try:
            with engine.ledger.hold(identity, step.node.title, wait=False):
                # Its failure in another process is on record by now: it was noted while that held the node.
                if sentence := failure(engine.ledger, identity, self.since):
                    self.failed[identity] = sentence
                    return True
                self._run(engine, step)
        except Timeout:
            return False
        except InputError as error:  # there can be no locks
            self._fail(engine, step.node, str(error))
        return True

    def _run(self, engine: Engine, step: Step) -> None:
        """Runs a node that this process holds."""
        node, began = step.node, time.perf_counter()
        if self._times[node.identity] == MOST_TIMES:
            self._fail(engine, node, "Its weights are let go before they are used; give --weights-limit more room.")
            return

        def start() -> None:
            self._running, self._told = node, 0.0
            self._times[node.identity] += 1
            self.tell(Event("start", node.identity, node.title))

        try:
            engine.execute(step, start=start)
        except WeightsMissing as error:
            # Weights that it needs were let go since the plan was made: they are in the next one, once.
            if node.identity not in self._missed:
                self._missed.add(node.identity)
                return
            self._fail(engine, node, str(error))
        except Exception as error:  # whatever it is, the other nodes go on
            self._fail(
                engine, node, str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            )
        else:
            _note(engine.ledger, node.identity).unlink(missing_ok=True)
            if self._running is not None:
                self.tell(Event("done", node.identity, node.title, seconds=time.perf_counter() - began))
        finally:
            self._running = None

    def _fail(self, engine: Engine, node: Node, sentence: str) -> None:
        self.failed[node.identity] = sentence
        # Where nothing can be written the sentence is told all the same.
        with suppress(OSError), written_whole(_note(engine.ledger, node.identity)) as part:
            part.write_text(terminal(sentence), encoding="utf-8")  # names of files need not be UTF-8
        self.tell(Event("failed", node.identity, node.title, sentence=sentence))


def _note(ledger: Ledger, identity: str) -> Path:
    return ledger.state / "failed" / f"{identity}.txt"


def failure(ledger: Ledger, identity: str, since: float) -> str:
    """The sentence that a node left when it failed, since a time of ``time.time()``; else empty.

    Who starts later tries again.
    """
    path = _note(ledger, identity)
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_mtime >= since else ""
    except OSError:
        return ""
