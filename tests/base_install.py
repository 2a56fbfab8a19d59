"""A Python in which only the base install of mtlkit, without an extra, can be imported."""

import os
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

ABSENT = """
from importlib.machinery import PathFinder

find, absent = PathFinder.find_spec, {absent}
PathFinder.find_spec = lambda name, *where: None if name.partition(".")[0] in absent else find(name, *where)
"""

SNIPPET = (
    re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    + """
assert {task: [tuple(x.shape) for x in maps] for task, maps in features.items()} == dict.fromkeys(
    ("seg", "normals"),
    [(2, 64, 48, 64), (2, 64, 24, 32), (2, 128, 12, 16), (2, 256, 6, 8), (2, 512, 3, 4)],
)
assert {group["name"]: group["lr"] for group in optimiser.param_groups} == {
    "trunk": 1e-3, "norm": 1e-3, "fusion": 0.1, "fusion_undecayed": 0.1
}
sum(maps[-1].square().mean() for maps in features.values()).backward()
optimiser.step()
"""
)
"""The script of the read-me, and what it must come to."""


def plain(name: str) -> str:
    """The name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def base() -> set[str]:
    """The distributions of the base install: what ``dependencies`` names, and all that these require."""
    found: set[tuple[str, str]] = set()
    asked = [(Requirement(line), "") for line in PROJECT["dependencies"]]
    while asked:
        requirement, of = asked.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": of}):
            continue
        name = plain(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in found:
                found.add((name, extra))
                with suppress(PackageNotFoundError):  # of another system
                    asked += [(Requirement(line), extra) for line in requires(name) or []]
    return {name for name, _ in found}


def absent() -> set[str]:
    """Top-level modules of this environment that the base install would not have."""
    names, kept = packages_distributions(), base() | {"mtlkit", "pip"}
    return {module for module, owners in names.items() if not {plain(owner) for owner in owners} & kept}


def run(script: str, folder: Path, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a script in an empty folder, mtlkit from ``path``, without what the base install lacks."""
    (folder / "script.py").write_text(ABSENT.format(absent=absent()) + script)
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
