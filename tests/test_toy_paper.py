"""A paper and a kind of evaluation of another project: one line each makes them run, print and show like the others.

The paper is the package ``toy_paper`` beside this file; CONTRIBUTING.md shows the same as a diff.
"""

import json

import pytest
from typer.testing import CliRunner

from mtlkit import papers
from mtlkit.cli import app
from mtlkit.notebook import Reproduction
from mtlkit.papers import registry
from mtlkit.papers.cell import parameters_cell
from mtlkit.papers.options import PROFILES
from mtlkit.report.claims import claims_html, on_print
from mtlkit.report.coverage import coverage
from mtlkit.report.stored import stored
from mtlkit.results import Results


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(registry.PAPERS, "toy", "toy_paper:ToyOptions")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


def typed(*words):
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output or result.exception
    return result.output


def test_it_is_listed_with_the_others():
    assert "toy" in typed("run", "--help")
    assert json.loads(typed("tables", "toy", "--json")) == [
        {"paper": "toy", "table": "1", "title": "Objects told apart by their colours", "rows": 2, "cells": 2,
         "runnable": True}
    ]  # fmt: skip
    assert "nearest: Nearest mean" in typed("rows", "toy", "1")
    assert "--grid" in (told := typed("run", "toy", "1", "--help"))
    assert "cells a side of an image [2 at smoke; 4 at lite and paper]" in " ".join(told.split())
    assert "--grid" not in typed("run", "multi_exit", "1", "--help")


def test_the_command_line_runs_it(results):
    text = typed("run", "toy", "1", "--results-dir", str(results), "--grid", "3")
    assert "97.25" in text
    assert "Nearest mean" in text
    (comparison,) = stored(papers.table("toy", "1"), Results(results))
    assert comparison.column.grid == 3
    cell = comparison.cell("nearest", "objects/accuracy")
    assert cell.sampled
    assert not cell.seeded
    assert cell.draws.shape == (500,)
    assert comparison.cell("network", "objects/accuracy").seeded
    shown = typed("show", "toy", "1", "--results-dir", str(results), "--output", "csv")
    assert "grid 3" in shown


def test_the_notebook_runs_it(results):
    cell = parameters_cell("toy")
    assert "grid: Optional[int] = None  # cells a side of an image; None: 2 at smoke; 4 at lite and paper" in cell
    scope = {}
    exec(cell, scope)
    scope.pop("Optional")
    scope |= {"results_dir": str(results), "methods": ["constant", "nearest"]}
    reproduction = Reproduction("toy", scope)
    comparison = reproduction.table("1")
    assert [row.id for row in comparison.rows] == ["constant", "nearest"]
    assert "97.25" in comparison.html()
    card = {what: (theirs, ours) for what, theirs, ours in comparison.card()}
    assert card["Cells"] == ("4x4", "2x2")
    assert "mtlkit run toy 1" in card["Command"][1]
    assert "--grid 2" in card["Command"][1]
    assert "4x4" in comparison.card_html()
    assert claims_html("toy", ("1",), [comparison])


def test_its_printed_networks_are_built_and_its_claims_read(results, monkeypatch):
    for slug in set(papers.SLUGS) - {"toy"}:
        monkeypatch.delitem(registry.PAPERS, slug)
    line = coverage(Results(results))["papers"]["toy"]["tables"]["1"]
    assert (line["runnable"], line["rows"]) == (2, 2)
    (claim,) = papers.printed("toy").claims
    assert on_print(papers.printed("toy"), claim) == "holds"
    assert [papers.options_of("toy")(profile=profile).filled("1").grid for profile in PROFILES] == [2, 4, 4]


def test_without_the_line_it_is_unknown_and_the_others_stay(monkeypatch):
    monkeypatch.delitem(registry.PAPERS, "toy")
    assert "toy" not in papers.SLUGS
    assert CliRunner().invoke(app, ["rows", "toy", "1"]).exit_code != 0
