"""The places that name dependencies agree."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def requirement_names(lines: list[str]) -> set[str]:
    return {re.split(r"[\s<>=!~;\[]", line.strip(), maxsplit=1)[0].lower().replace("_", "-") for line in lines}


def test_the_lock_pins_every_dependency_exactly():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        asked += extra
    lock = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[A-Za-z0-9_.\-]+==[^+\s]+", line) for line in lock)  # no local versions, no files
    assert requirement_names(asked) - {"mtlkit"} <= requirement_names(lock)


def test_every_bound_has_its_reason_beside_it():
    text = (ROOT / "pyproject.toml").read_text()
    block = text.split("[project.scripts]")[0]
    bounds = [line for line in block.splitlines() if re.match(r'\s+"[\w\-]+[<>=!]', line)]
    assert len(bounds) > 20
    assert [line for line in bounds if "#" not in line] == []


def test_the_conda_environment_follows_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(item for item in conda["dependencies"] if isinstance(item, str) and item.startswith("python "))
    assert project["requires-python"] in python
    pip = next(item for item in conda["dependencies"] if isinstance(item, dict))["pip"]
    assert "-c constraints.txt" in pip
    assert "-e .[test]" in pip
