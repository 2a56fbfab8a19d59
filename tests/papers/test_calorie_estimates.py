"""Estimates of test images out of records."""

import numpy as np
import pytest
from builders import plate_data

from mtlkit import papers
from mtlkit.engine import Engine
from mtlkit.ledger import Ledger
from mtlkit.papers.calorie.estimates import estimates
from mtlkit.papers.calorie.figures import against_truth
from mtlkit.papers.calorie.options import CalorieOptions
from mtlkit.report.side_by_side import SideBySide
from mtlkit.runtime import Runtime


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("estimates")
    plate_data(folder / "plates")
    table = papers.table("calorie", "4")
    options = CalorieOptions(data_root=folder / "plates", image_size=(48, 48), seeds=(0, 1))
    column, book = table.column(options), Ledger(folder / "ledger")
    rows = [
        row for seed in (0, 1) for row in table.rows(column, seed) if row.id in ("constant", "given", "untrained_k10")
    ]
    Engine(book, Runtime(device="cpu", progress=False)).run(value for row in rows for value in row.evaluations)
    return SideBySide.of(table, column, book), book


def test_every_row_with_answers_has_them_for_all_seeds(scored):
    comparison, book = scored
    found = estimates(comparison, book)
    assert list(found) == ["Category mean, category given", "Retrieval, features as they come (k=10)"]
    for answers in found.values():
        assert answers.estimates.shape == (2, 30)
        assert len(np.unique(answers.groups)) == 15
        relative = 100 * np.abs(answers.estimates[0] - answers.truths) / np.maximum(answers.truths, 10)
        label = next(row for row in comparison.rows if found.get(row.label) is answers)
        assert comparison.cell(label.id, "calories/rel_err").values[0] == pytest.approx(relative.mean(), rel=1e-3)


def test_the_plot_has_a_panel_a_row(scored):
    comparison, book = scored
    figure = against_truth(estimates(comparison, book))
    assert [axis.get_title() for axis in figure.axes[:2]] == list(estimates(comparison, book))
