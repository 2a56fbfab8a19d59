"""What a chapter says of a stored column, and that it never says it of another one."""

import ast
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from mtlkit import notebook, papers
from mtlkit.errors import InputError
from mtlkit.notebook import Reproduction
from mtlkit.report import found
from mtlkit.report.intervals import gains
from mtlkit.report.side_by_side import SideBySide

ROOT = Path(__file__).parents[2]
MEASURE = "normals/encoded/mean"


@pytest.fixture
def column(filled):
    known, book, _ = filled
    return SideBySide.of(papers.table("nddr", "4"), known, book)


def test_places_are_filled_with_the_columns_own_numbers(column):
    (measure,) = [one for one in column.measures if one.measure == MEASURE]
    text = found.filled(column, f"{{mean nddr {MEASURE}}}|{{gain nddr over single {MEASURE}}}|braces {{stay}} {{}}")
    mean, gain, rest = text.split("|")
    assert float(mean) == round(column.cell("nddr", MEASURE).mean, 1)
    assert gain.startswith(f"{gains(column, 'single')['nddr'][MEASURE].mean:+.1f}".replace("-", "\u2212"))
    assert rest == "braces {stay} {}"
    assert measure.unit == "deg"


def test_a_printed_number_is_that_of_the_print(column):
    name = "normals/encoded/mean"
    (at,) = [one.column for one in column.printed if one.measure == name]
    assert found.filled(column, f"{{print nddr {name}}}") == column.printed_cell("nddr", at)[0]


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (f"{{mean ndr {MEASURE}}}", "row"),
        ("{mean nddr normals/mean}", "measure"),
        (f"{{mean sluice {MEASURE}}}", f"Table 4 has no mean of {MEASURE} in row sluice."),
        (f"{{gain nddr over sluice {MEASURE}}}", f"Table 4 has no gain of {MEASURE} in row nddr."),
    ],
)
def test_a_place_without_a_number_is_told(column, place, sentence):
    with pytest.raises(InputError, match=sentence):
        found.filled(column, place)


def test_the_digest_is_another_when_any_value_or_interval_is(column):
    key = ("nddr", MEASURE)
    cell = column.cells[key]
    value = {seed: one + 0.01 for seed, one in cell.by_seed.items()}
    drawn = dict.fromkeys(cell.by_seed, (1.0, 2.0, 3.0))
    others = [replace(cell, by_seed=value), replace(cell, resampled=drawn)]
    digests = {found.digest(replace(column, cells={**column.cells, key: one})) for one in (cell, *others)}
    assert len(digests) == 3
    assert found.digest(column) in digests


def said(monkeypatch, **given):
    blocks = []
    monkeypatch.setattr(notebook, "_markdown", blocks.append)
    monkeypatch.setattr(notebook, "_html", lambda *several: None)
    monkeypatch.setattr(notebook, "show", lambda what: None)
    Reproduction("nddr", {"device": "cpu"}).found("4", "These very words.", **given)
    return any("These very words" in block for block in blocks)


def test_words_stand_beside_the_numbers_that_they_were_written_about_and_no_others(monkeypatch, published):
    column = found.headline([one for one in published["nddr"] if one.table.id == "4"])
    assert said(monkeypatch, of=found.digest(column))
    assert not said(monkeypatch, of="00000000")
    assert not said(monkeypatch)


def ties():
    """Notebook, paper and digest of all words in the chapters that are tied to a column."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type != "code":
                continue
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Call):
                    yield from ((path.stem, one.value.value) for one in node.keywords if one.arg == "of")


@pytest.mark.parametrize(("paper", "digest"), list(ties()))
def test_words_in_the_chapters_are_about_what_is_published_today(published, paper, digest):
    assert digest in map(found.digest, published[paper]), "read these numbers again, then put in the new digest"


def test_the_column_shown_first_is_of_real_images_and_the_newest(published):
    several = [one for one in published["calorie"] if one.table.id == "4"]
    assert any(one.column.data.drawn for one in several)
    assert found.headline(several) is [one for one in several if not one.column.data.drawn][-1]
    assert found.headline([]) is None
