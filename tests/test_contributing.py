"""The diffs of CONTRIBUTING.md apply to this tree, one after the other, and the tests that they bring pass."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.M))
DIFFS = {title: text for title, text in SECTIONS.items() if "```diff" in text}


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.M)


def run(tree, *command):
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy with all diffs applied."""
    copy = tmp_path_factory.mktemp("contributed") / "mtlkit"
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for folder in ("mtlkit", "tests", "notebooks", "book"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    for file in ("pyproject.toml", ".importlinter"):
        shutil.copy(ROOT / file, copy)
    for title, text in DIFFS.items():
        for block in blocks(text, "diff"):
            command = ["git", "apply", "--whitespace=error"]
            applied = subprocess.run(command, cwd=copy, input=block, capture_output=True, text=True, check=False)
            assert applied.returncode == 0, f"{title}: {applied.stderr}"
    return copy


def test_each_kind_of_addition_has_its_diff():
    kinds = {"backbone family", "fusion layer", "task", "data format", "drawn world", "paper"}
    assert set(DIFFS) == {f"A {kind}" for kind in kinds} | {"An evaluation", "An objective"}


def test_what_is_added_passes_its_own_tests_and_its_examples_run(tree):
    added = {
        title: re.findall(r"^\+\+\+ b/(\S+\.py)$", "".join(blocks(text, "diff")), re.M) for title, text in DIFFS.items()
    }
    for title, files in added.items():
        assert [file for file in files if file.startswith("tests/")], title
    files = dict.fromkeys(itertools.chain(*added.values()))
    run(tree, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--doctest-modules", *files)


def test_it_passes_the_lint(tree):
    run(tree, "-m", "ruff", "check", "--no-cache", "mtlkit", "tests")
    run(tree, "-m", "ruff", "format", "--no-cache", "--check", "mtlkit", "tests")
    run(tree, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")


def test_the_papers_notebook_runs(tree):
    for block in blocks(SECTIONS["A paper"], "python"):
        run(tree, "-c", block)
    papermill = ["-m", "papermill", "-k", "python3", "--no-progress-bar"]
    run(tree, *papermill, "notebooks/thumbnails.ipynb", "out.ipynb", "-p", "results_dir", str(tree / "runs"))
    assert "97.25" in (tree / "out.ipynb").read_text()
