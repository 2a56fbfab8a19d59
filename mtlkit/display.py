"""What a terminal, or a log, shows of workers."""

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from mtlkit.errors import terminal
from mtlkit.work import Event, duration

QUIET_SECONDS = 10.0
"""Between two lines of a log about the steps of trainings."""


class Display:
    """Lines of what happens; on a terminal above a bar for each worker.

    Attributes:
        open: identity -> seconds that a node will take, of those that are not there yet; ``None``: unknown.
        workers: how many there are.
        file: where it is shown.
    """

    def __init__(self, open: dict[str, float | None], workers: int, file: TextIO | None = None):
        self.open, self.workers = dict(open), workers
        self.file = file or sys.stderr
        self.done = self.failed = 0
        self._running: dict[int, tuple[str, str]] = {}
        self._tenths: dict[str, int] = {}
        self._later: set[str] = set()
        self._bars: dict[int, TaskID] = {}
        self._shown_at = 0.0
        self._progress: Progress | None = None
        if self.file.isatty():
            columns = TextColumn("{task.description}", markup=False), BarColumn(20), TextColumn("{task.fields[count]}")
            self._progress = Progress(*columns, console=Console(file=self.file))

    def __enter__(self) -> "Display":
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._progress is not None:
            for bar in self._bars.values():
                self._progress.remove_task(bar)
            self._progress.stop()

    def say(self, text: str) -> None:
        """Shows a line."""
        self._line(0, text)

    def tell(self, worker: int, event: Event) -> None:
        """Shows what a worker did."""
        name = f"{event.title} ({event.node})"
        if event.what == "start":
            self._running[worker] = event.node, event.title
            self._tenths.pop(event.node, None)
            self._line(worker, f"{name} starts")
        elif event.what == "step":
            self._step(worker, event)
        elif event.what == "done":
            self._end(worker, event)
            self.done += 1
            self._line(worker, f"{name} done in {duration(event.seconds)}; {self.state()}")
        elif event.what == "failed":
            self._end(worker, event)
            self.failed += 1
            self._line(worker, f"{name} failed: {event.sentence}")
        elif event.what == "later":
            if event.node not in self._later:  # each worker finds it so
                self._later.add(event.node)
                self._line(worker, f"{name} is left for later: {event.sentence}")
        else:
            self._end(worker, event)
            self._line(worker, f"worker {worker + 1} {event.sentence}")

    def state(self) -> str:
        """How far everything is, on one line."""
        known = [seconds for seconds in self.open.values() if seconds is not None]
        more = len(self.open) - len(known)
        # What was not open at first may run too: a training whose weights have gone since.
        waiting = self.open.keys() - {node for node, _ in self._running.values()}
        left = f"{duration(sum(known) / self.workers)} left" if sum(known) else ""
        if more and left:
            left += f" and {more} nodes of unknown length"
        parts = [f"{self.done} done", f"{len(self._running)} running", f"{len(waiting)} open"]
        return ", ".join([*parts, *([f"{self.failed} failed"] if self.failed else []), *([left] if left else [])])

    def _step(self, worker: int, event: Event) -> None:
        known, now = self._tenths.get(event.node), time.monotonic()
        tenth = 10 * event.done // max(event.total, 1)
        self._tenths[event.node] = tenth
        if known is None and event.done:
            self._line(worker, f"{event.title} ({event.node}) resumed at step {event.done} of {event.total}")
        elif (
            known is not None
            and known < tenth < 10
            and self._progress is None
            and now - self._shown_at >= QUIET_SECONDS
        ):
            self._line(worker, f"{event.title} ({event.node}) step {event.done} of {event.total}")
        if self._progress is not None:
            if worker not in self._bars:
                self._bars[worker] = self._progress.add_task("", count="")
            count = f"{event.done}/{event.total}"
            description = Text(event.title, overflow="ellipsis").plain
            self._progress.update(
                self._bars[worker], description=description, completed=event.done, total=event.total, count=count
            )

    def _end(self, worker: int, event: Event) -> None:
        self._running.pop(worker, None)
        self.open.pop(event.node, None)
        if self._progress is not None and (bar := self._bars.pop(worker, None)) is not None:
            self._progress.remove_task(bar)

    def _line(self, worker: int, text: str) -> None:
        self._shown_at = time.monotonic()
        who = f"[{worker + 1}] " if self.workers > 1 else ""
        line = terminal(f"{time.strftime('%H:%M:%S')} {who}{text}")
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=self.file, flush=True)
