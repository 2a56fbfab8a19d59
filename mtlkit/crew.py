"""Several workers on this machine, spread over its cores and devices."""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait

import torch

from mtlkit.graph import Node
from mtlkit.processes import clean
from mtlkit.results import Results
from mtlkit.runtime import Runtime
from mtlkit.work import Event, Job, Seconds, Worker, fit, unknown


@dataclass(frozen=True)
class Crew:
    """Workers on one machine.

    Attributes:
        jobs: what is wanted.
        results: where records lie.
        runtimes: of each worker, with its device.
        threads: of each.
        deadline: as of a :class:`~mtlkit.work.Worker`.
        seconds: likewise.
        unfit: likewise.
        since: likewise, the same for all.
    """

    jobs: Sequence[Job]
    results: Results
    runtimes: Sequence[Runtime]
    threads: int
    deadline: float | None = None
    seconds: Seconds = unknown
    unfit: Callable[[Node], str] = fit
    since: float = field(default_factory=time.time)

    def run(self, tell: Callable[[int, Event], None]) -> dict[str, str]:
        """Works until nothing is open; what measures times comes last, when the others have ended.

        Args:
            tell: told the worker's number, from 0, and what it did.

        Returns:
            Identity -> the sentence, of what failed.
        """
        failed = self._side_by_side(tell) if len(self.runtimes) > 1 else {}
        # This process does what is left, also where all workers were killed.
        last = self.worker(0, lambda event: tell(0, event), alone=True)
        last.failed |= failed
        return last.run()

    def worker(self, number: int, tell: Callable[[Event], None], *, alone: bool) -> Worker:
        """One of them, in this process."""
        torch.set_num_threads(self.threads)
        return Worker(
            self.jobs,
            self.results,
            self.runtimes[number],
            tell,
            self.deadline,
            self.seconds,
            self.unfit,
            alone,
            self.since,
        )

    def _side_by_side(self, tell: Callable[[int, Event], None]) -> dict[str, str]:
        context = clean()
        pipes: dict[Connection, int] = {}
        processes = []
        for number in range(len(self.runtimes)):
            # A pipe for each: what a killed process left half written in it stops nobody else.
            here, there = context.Pipe(duplex=False)
            # No daemon, since those may not start processes that read data.
            processes.append(context.Process(target=_work, args=(self, number, there)))
            processes[-1].start()
            there.close()
            pipes[here] = number
        failed: dict[str, str] = {}
        try:
            while pipes:
                for pipe in wait(list(pipes)):
                    assert isinstance(pipe, Connection)
                    try:
                        event: Event = pipe.recv()
                    except (EOFError, OSError):
                        number = pipes.pop(pipe)
                        processes[number].join()
                        if code := processes[number].exitcode:
                            tell(number, Event("lost", "", "", sentence=f"ended with {code}; the others go on"))
                        continue
                    if event.what == "failed":
                        failed[event.node] = event.sentence
                    tell(pipes[pipe], event)
        finally:
            for process in processes:
                process.terminate()
        return failed


def _work(crew: Crew, number: int, told: Connection) -> None:
    # Ctrl-C reaches every process of a terminal; the one that started this ends it, and says how to go on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def tell(event: Event) -> None:
        try:
            told.send(event)
        except OSError:
            # Who started this process is gone; the node has not failed, and goes on from its checkpoint elsewhere.
            raise SystemExit(1) from None

    crew.worker(number, tell, alone=False).run()
