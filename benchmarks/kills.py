"""Kills runs of tables at random moments, and checks that the next run ends as one that nobody disturbed.

``python benchmarks/kills.py --kills 200`` kills one process at a time: a fresh folder, kill -9 at a moment drawn from
the length of an undisturbed run, then the same command again. Its records must equal the undisturbed run's in all that
is measured, and no file may be left that it does not have. ``--crowd 8`` starts that many processes on one folder and
kills all but two of them.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the number of threads is part of what is compared
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from mtlkit.cli import main
from mtlkit.engine import Engine  # noqa: F401
from mtlkit.reproduce import reproduce  # noqa: F401
from mtlkit.results import measured
from mtlkit.runtime import Runtime

TABLES = (
    ("nddr", "4", "single", "--image-size", "32,40", "--epochs", "0.2"),
    ("nddr", "7", "single", "--image-size", "32,32", "--epochs", "0.05"),
    ("calorie", "4", "--image-size", "48,48", "--epochs", "0.1"),
)


def start(table: Sequence[str], folder: Path) -> int:
    """A process that runs a table in a folder, forked so that no time goes into imports; its number."""
    if number := os.fork():
        return number
    os.environ |= {"MTLKIT_CACHE": str(folder / "cache")}
    with (folder / "log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.argv = ["mtlkit", "run", *table, "--device", "cpu", "--checkpoint-seconds", "0"]
    sys.argv += ["--results-dir", str(folder / "runs")]
    status = 1
    try:
        main()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    finally:
        sys.stdout.flush()
        os._exit(status)


def end(number: int, folder: Path) -> None:
    """Waits for a process that nobody kills."""
    if os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]):
        raise SystemExit(f"A run that was not killed failed in {folder}:\n{(folder / 'log').read_text()}")


def kill(number: int) -> None:
    """Ends a process where it stands."""
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)


def found(folder: Path) -> dict[str, object]:
    """Every file below a folder; of records what was measured."""
    files = [path for path in folder.rglob("*") if path.is_file() and path != folder / "log"]
    return {str(path.relative_to(folder)): measured(path) if path.match("runs/*/*/*.json") else None for path in files}


def differing(folder: Path, reference: dict[str, object]) -> list[str]:
    """What is not as after an undisturbed run."""
    mine = found(folder)
    return [
        f"{name} {'is left' if name not in reference else 'is missing' if name not in mine else 'differs'}"
        for name in sorted(mine.keys() | reference.keys())
        if name not in mine or name not in reference or mine[name] != reference[name]
    ]


def trial(table: Sequence[str], folder: Path, seconds: float, draw: random.Random, crowd: int) -> int:
    """Kills one run, or all but two of a crowd, and runs the table once more; how many were killed while they ran."""
    folder.mkdir()
    numbers = [start(table, folder) for _ in range(crowd)]
    killed = 0
    moments = sorted(draw.uniform(0, seconds) for _ in range(max(1, crowd - 2)))
    began = time.perf_counter()
    for moment, number in zip(moments, numbers, strict=False):
        time.sleep(max(0.0, began + moment - time.perf_counter()))
        running = os.waitpid(number, os.WNOHANG)[0] == 0
        killed += running
        if running:
            kill(number)
    for number in numbers[len(moments) :]:
        end(number, folder)
    end(start(table, folder), folder)
    return killed


def run() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of single runs, spread over the tables")
    parser.add_argument("--crowd", type=int, default=0, help="processes on one folder, of which two are left alive")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    Runtime(device="cpu").fabric()  # imports what every run imports
    draw, faults, total = random.Random(given.seed), [], 0
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        for at, table in enumerate(TABLES):
            whole = Path(scratch) / f"{at}-undisturbed"
            whole.mkdir()
            began = time.perf_counter()
            end(start(table, whole), whole)
            seconds = time.perf_counter() - began
            reference = found(whole)
            trials = [1] * (given.kills // len(TABLES) + (at < given.kills % len(TABLES)))
            trials += [given.crowd] if given.crowd > 2 else []
            for number, crowd in enumerate(trials):
                folder = Path(scratch) / f"{at}-{number}"
                killed = trial(table, folder, seconds * max(1, crowd / 2), draw, crowd)
                total += killed
                wrong = differing(folder, reference)
                faults += wrong
                print(
                    f"{' '.join(table[:2])}: {killed} of {crowd} killed, {'; '.join(wrong[:5]) or 'as undisturbed'}",
                    flush=True,
                )
                shutil.rmtree(folder)
            print(f"{' '.join(table)}: {len(reference)} files, {seconds:.1f} s undisturbed", flush=True)
    print(f"{total} processes killed while they ran; {len(faults)} differences")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    run()
