"""The places that name dependencies agree."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import yaml

import mtlkit

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


def test_containers_and_workflows_call_what_is_there():
    docker = (ROOT / "Dockerfile").read_text()
    dev = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    (folder,) = re.findall(r"^WORKDIR (.*)", docker, re.MULTILINE)
    (environment,) = re.findall(r"VENV=(\S+)", docker)
    assert dev["workspaceFolder"] == folder
    assert f"target={folder}," in dev["workspaceMount"]
    assert dev["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"] == f"{environment}/bin/python"
    assert (ROOT / ".devcontainer" / dev["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert set(re.findall(r"--build-arg (\w+)=", docker)) == set(re.findall(r"^ARG (\w+)=", docker, re.MULTILINE))
    targets = re.findall(r"make \$VENV/(\S+)", docker)
    assert targets == [".installed"]
    workflows = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.yml")}
    steps = [step for one in workflows.values() for job in one["jobs"].values() for step in job["steps"]]
    commands = [step["run"].split() for step in steps if "run" in step]
    assert sorted(words[1] for words in commands) == ["book", "site", "test"]
    for words in commands:
        assert subprocess.run(["make", "-n", words[1]], cwd=ROOT, capture_output=True).returncode == 0
    published = [step["with"]["path"] for step in steps if "upload-pages-artifact" in step.get("uses", "")]
    assert f"--path-output {published[0].removesuffix('/_build/html')}" in (ROOT / "Makefile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tried = {one.rsplit(" ", 1)[1] for one in project["classifiers"] if re.search(r":: 3\.\d+$", one)}
    assert set(workflows["test.yml"]["jobs"]["test"]["strategy"]["matrix"]["python"]) == tried
    (image,) = re.findall(r"^FROM python:(\d\.\d+)", docker, re.MULTILINE)
    assert image in tried


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == mtlkit.__version__
    assert f"\n## {mtlkit.__version__}" in (ROOT / "CHANGELOG.md").read_text()
