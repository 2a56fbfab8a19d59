"""Every command that pages, notebooks and the read-me print is understood."""

import re
import shlex
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from mtlkit import reproduce, work_command
from mtlkit.cli import app
from mtlkit.errors import InputError
from mtlkit.notebook import parameters
from mtlkit.papers.options import resolved

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "results/README.md", *sorted((ROOT / "book").glob("*.md"))]


def texts():
    for path in PAGES:
        yield path.name, path.read_text()
    for path in sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "book/learn").glob("*.ipynb")]):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "markdown":
                yield path.name, cell.source


def commands(start):
    found = {}
    for name, text in texts():
        for variable, value in re.findall(r'^(\w+)="([^"]*)"', text, re.MULTILINE):
            text = text.replace(f"${variable}", " ".join(value.split()))
        for line in re.findall(rf"{start}[^`#\n;]*", text):
            found.setdefault(re.sub(r"\$\w+", "1", line).strip(), name)
    return [pytest.param(line, id=f"{name}: {line[:60]}") for line, name in found.items()]


@pytest.mark.parametrize("line", commands("mtlkit run (?!PAPER)"))
def test_a_command_of_mtlkit_is_understood(line, monkeypatch):
    found = []

    def caught(table, options, **_):
        found.append(options.filled(table.id))
        raise InputError("nothing is run here")

    monkeypatch.setattr(reproduce, "reproduce", caught)
    words = shlex.split(line)[1:]
    result = CliRunner().invoke(app, words)
    assert found or ("--help" in words and result.exit_code == 0), result.output or result.exception


@pytest.mark.parametrize("line", commands("mtlkit (?:plan|work) (?!CAMPAIGN|PAPER)"))
def test_a_command_over_many_tables_is_understood(line, monkeypatch):
    found = []

    class Caught(work_command.Selection):
        def __init__(self, targets, parameter, variables, *_, **__):
            found.append(work_command.campaign(targets or (), parameter or (), variables or ()))
            raise InputError("nothing is run here")

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(work_command, "Selection", Caught)
    result = CliRunner().invoke(app, shlex.split(line)[1:])
    assert found, result.output or result.exception


@pytest.mark.parametrize("line", commands("ray (?:start|stop) ?(?=-|\n|`)"))
def test_a_command_of_ray_is_understood(line):
    scripts = pytest.importorskip("ray.scripts.scripts", reason="SKIPPED LOUDLY: Ray is not installed")
    _, name, *words = shlex.split(line)
    assert scripts.cli.commands[name].make_context(name, words)


@pytest.mark.parametrize("line", commands("papermill notebooks/"))
def test_a_command_of_papermill_is_understood(line):
    words = shlex.split(line)
    assert "-y" not in words
    given = {words[place + 1]: resolved(words[place + 2]) for place, word in enumerate(words) if word == "-p"}
    options, selection = parameters(Path(words[1]).stem, given)
    for table in selection.tables or ():
        options.check(table)
