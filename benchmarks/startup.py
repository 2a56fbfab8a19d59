"""Start-up: seconds and peak memory of commands that train nothing, medians of alternating runs.

    python benchmarks/startup.py [--against DIR] [--rounds 5]

Every command runs in a process of its own, in an empty folder, from this checkout and from another one (``--against``)
in turns, so that a machine that changes its pace changes it for both. Results are read from the folder ``results`` of
the checkout that runs. A first round, which fills the disk's cache and compiles, is not counted. A command that a
checkout does not know has no numbers.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
CALL = "import sys; from mtlkit.cli import main; sys.argv[0] = 'mtlkit'; main()"
COMMANDS = {
    "mtlkit --help": [CALL, "--help"],
    "mtlkit --version": [CALL, "--version"],
    "mtlkit tables": [CALL, "tables"],
    "mtlkit data list": [CALL, "data", "list"],
    "mtlkit show nddr 4": [CALL, "show", "nddr", "4"],
    "import mtlkit.notebook": ["import mtlkit.notebook"],
}


def run(command: list[str], checkout: Path, folder: str) -> tuple[float, float] | None:
    """Seconds and peak MiB of one process; ``None`` where it fails."""
    environment = os.environ | {
        "PYTHONPATH": str(checkout),
        "MTLKIT_RESULTS": str(checkout / "results"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return None if process.returncode else (seconds, usage.ru_maxrss / unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    checkouts = [HERE, *([arguments.against.resolve()] if arguments.against else [])]
    titles = ["s", "MiB", *(["s, other", "MiB, other", "ratio s", "ratio MiB"] if arguments.against else [])]
    print(f"{'medians of ' + str(arguments.rounds):<24}" + "".join(f"{title:>12}" for title in titles))
    with tempfile.TemporaryDirectory() as folder:
        for name, command in COMMANDS.items():
            known = [run(command, checkout, folder) is not None for checkout in checkouts]
            found: list[list[tuple[float, float]]] = [[] for _ in checkouts]
            for _ in range(arguments.rounds):
                for place, checkout in enumerate(checkouts):
                    if known[place] and (measured := run(command, checkout, folder)):
                        found[place].append(measured)
            medians = [
                [statistics.median(each) for each in zip(*runs, strict=True)] if runs else [None, None]
                for runs in found
            ]
            cells: list[str] = []
            for seconds, memory in medians:
                cells += ["-", "-"] if seconds is None or memory is None else [f"{seconds:.2f}", f"{memory:.0f}"]
            if len(medians) == 2:
                for ours, other in zip(*medians, strict=True):
                    cells.append("-" if ours is None or other is None else f"{ours / other:.2f}")
            print(f"{name:<24}" + "".join(f"{cell:>12}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
