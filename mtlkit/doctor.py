"""What this machine offers and what is wrong with it."""

import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "timm", "lightning", "torchmetrics", "h5py", "jupyter-book", "papermill")


def examine() -> dict[str, Any]:
    """Versions, devices, free disk, and a list of problems, each one sentence; empty when all is well.

    torch and torchvision are imported in a process of their own: a pair that does not fit fails on import.
    """
    report: dict[str, Any] = {"python": f"{platform.python_version()} on {platform.system()} {platform.machine()}"}
    problems = []
    for package in PACKAGES:
        try:
            report[package] = version(package)
        except PackageNotFoundError:
            report[package] = "not installed"
    probe = (
        "import torch, torchvision; torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5);"
        "print('cuda' if torch.cuda.is_available() else 'mps' if torch.backends.mps.is_available() else 'cpu',"
        "torch.get_num_threads())"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    if found.returncode == 0:
        device, threads = found.stdout.split()
        report["device"], report["threads"] = device, int(threads)
    elif "nms" in found.stderr or "torchvision" in found.stderr:
        problems.append(
            f"torch {report['torch']} and torchvision {report['torchvision']} were built for different machines; "
            "install both from one index, for instance pip install --force-reinstall torch==2.12.1 torchvision==0.27.1."
        )
    else:
        last = (found.stderr.strip().splitlines() or ["no message"])[-1]
        problems.append(f"torch cannot be imported ({last}); reinstall it with torchvision from one index.")
    free = shutil.disk_usage(Path.cwd()).free / 1024**3
    report["free disk"] = f"{free:.0f} GiB"
    if free < 1:
        problems.append(f"Only {free:.1f} GiB of disk are free here; trainings keep their weights, so make some room.")
    report["problems"] = problems
    return report
