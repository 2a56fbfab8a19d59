"""Kills runs of tables at random moments, and checks that the next run ends as one that nobody disturbed.

``python benchmarks/kills.py --kills 200`` kills one process at a time: a fresh folder, kill -9 at a moment drawn from
half the length of an undisturbed run, the same command again, killed likewise, up to four times in a row; then it is
let alone. Its records must equal the undisturbed run's in all that is measured, and no file may be left that it does
not have. ``--crowd 8`` starts that many processes on one folder and kills all but two of them.
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
from contextlib import redirect_stderr, redirect_stdout
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
    ("calorie", "4", "constant", "untrained_k10", "--image-size", "48,48", "--epochs", "0.05"),
)
IN_A_ROW = 4


def command(table: Sequence[str], folder: Path) -> int:
    """Runs a table in a folder; the exit status."""
    os.environ |= {"MTLKIT_CACHE": str(folder / "cache")}
    sys.argv = ["mtlkit", "run", *table, "--device", "cpu", "--checkpoint-seconds", "0"]
    sys.argv += ["--results-dir", str(folder / "runs")]
    try:
        main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def start(table: Sequence[str], folder: Path) -> int:
    """A process that runs a table in a folder, forked so that no time goes into imports; its number."""
    if number := os.fork():
        return number
    with (folder / "log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    status = 1
    try:
        status = command(table, folder)
    finally:
        sys.stdout.flush()
        os._exit(status)


def ended(number: int, folder: Path, wait: bool = True) -> bool:
    """Whether a process that nobody killed has come to its end, which must be a good one."""
    gone, status = os.waitpid(number, 0 if wait else os.WNOHANG)
    if gone and os.waitstatus_to_exitcode(status):
        raise SystemExit(f"A run that was not killed failed in {folder}:\n{(folder / 'log').read_text()}")
    return bool(gone)


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


def killed_in_a_row(table: Sequence[str], folder: Path, seconds: float, draw: random.Random, most: int) -> int:
    """Kills a run, and those that go on from it; how many before one came to its end."""
    for count in range(most):
        number, moment = start(table, folder), time.perf_counter() + draw.uniform(0, seconds / 2)
        while time.perf_counter() < moment:
            if ended(number, folder, wait=False):
                return count
            time.sleep(0.01)
        kill(number)
    return most


def killed_of_a_crowd(table: Sequence[str], folder: Path, seconds: float, draw: random.Random, crowd: int) -> int:
    """Kills all but two of a crowd; how many while they ran."""
    numbers = [start(table, folder) for _ in range(crowd)]
    killed, began = 0, time.perf_counter()
    moments = sorted(draw.uniform(0, seconds * crowd / 2) for _ in range(crowd - 2))
    for moment, number in zip(moments, numbers, strict=False):
        time.sleep(max(0.0, began + moment - time.perf_counter()))
        if not ended(number, folder, wait=False):
            kill(number)
            killed += 1
    for number in numbers[len(moments) :]:
        ended(number, folder)
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
            with (whole / "log").open("w") as log, redirect_stdout(log), redirect_stderr(log):
                command(table, whole / "warm")  # imports what only this table needs
            shutil.rmtree(whole / "warm")
            began = time.perf_counter()
            ended(start(table, whole), whole)
            seconds = time.perf_counter() - began
            reference = found(whole)
            left = given.kills // len(TABLES) + (at < given.kills % len(TABLES))
            crowds = [given.crowd] if given.crowd > 2 else []
            while left or crowds:
                folder = Path(scratch) / f"{at}"
                folder.mkdir()
                if left:
                    killed = killed_in_a_row(table, folder, seconds, draw, min(left, IN_A_ROW))
                    left, what = left - killed, "in a row"
                else:
                    crowd = crowds.pop()
                    killed, what = killed_of_a_crowd(table, folder, seconds, draw, crowd), f"of {crowd}"
                ended(start(table, folder), folder)
                total += killed
                wrong = differing(folder, reference)
                faults += wrong
                said = "; ".join(wrong[:5]) or "as undisturbed"
                print(f"{' '.join(table[:2])}: {killed} {what} killed, {said}", flush=True)
                shutil.rmtree(folder)
            print(f"{' '.join(table)}: {len(reference)} files, {seconds:.1f} s undisturbed", flush=True)
    print(f"{total} processes killed while they ran; {len(faults)} differences")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    run()
