"""The examples of docstrings and of the read-me run."""

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mtlkit
from mtlkit import fusion

ROOT = Path(mtlkit.__file__).parents[1]
MODULES = [
    info.name
    for info in pkgutil.walk_packages(mtlkit.__path__, "mtlkit.")
    if ">>> " in (ROOT / Path(*info.name.split("."), "__init__" if info.ispkg else "")).with_suffix(".py").read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name):
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted > 0
    assert failed == 0


@pytest.mark.parametrize("name", ["CrossStitch", "Sluice", "NDDR", "LayerMixing"])
def test_every_method_has_an_example_and_a_source(name):
    text = getattr(fusion, name).__doc__
    assert ">>> " in text
    assert re.search(r"\d{4}", text)


def test_the_script_of_the_read_me_runs_anywhere(tmp_path):
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script += """
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
    (tmp_path / "script.py").write_text(script)
    command, environment = [sys.executable, "script.py"], os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]
