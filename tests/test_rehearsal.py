"""The dress rehearsal of profile ``paper``, at a small size; ``make rehearse`` has the large one."""

import sys
from pathlib import Path

import pytest

from mtlkit import papers
from mtlkit.runs import trainings

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def rehearsal():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import rehearse

        yield rehearse
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("slug", papers.SLUGS)
def test_what_is_printed_of_trainings_is_of_declared_tables_and_known_settings(slug, rehearsal):
    training = next(iter(rehearsal.declared(slug)))[2]
    known = set(rehearsal.settings(training))
    for one in papers.printed(slug).trainings:
        assert set(one.tables) <= set(papers.options_of(slug).tables)
        assert set(one.settings) | set(one.reasons) <= known


@pytest.mark.slow  # builds every declared network once, without numbers
@pytest.mark.parametrize("slug", papers.SLUGS)
def test_every_difference_from_the_print_has_its_reason(slug, rehearsal):
    assert rehearsal.unexplained(slug) == []


def test_settings_are_those_of_the_optimiser(rehearsal):
    table = papers.table("nddr", "4")
    row = next(row for row in table.rows(table.meta_column(), 0) if row.id == "nddr")
    (fused,) = (one for one in trainings(row.evaluations).values() if len(one.network.tasks) > 1)
    found = rehearsal.settings(fused)
    assert found["Optimiser"] == "SGD, momentum 0.9"
    assert found["Learning rate"] == "0.001"
    assert "fusion x100" in found["Rates of groups"]
    assert found["Weight decay"] == "0.00025 on trunk, classifier, fusion"
    assert found["Schedule"] == "poly 0.9"
    changed = fused.model_copy(update={"recipe": fused.recipe.model_copy(update={"lr": 0.5, "weight_decay": 0.0})})
    assert rehearsal.settings(changed)["Learning rate"] == "0.5"
    assert rehearsal.settings(changed)["Weight decay"] == "none"


@pytest.mark.slow  # draws and reads tiny folders, and trains networks of full depth
@pytest.mark.parametrize(
    ("slug", "table", "row"),
    [("multi_exit", "1", "mtl_5"), ("mcn", "X1", "mixed"), ("cross_stitch", "6", "mtl_shared")],
)
def test_a_network_takes_two_steps_on_images_in_the_official_layout(slug, table, row, rehearsal, tmp_path):
    declared = papers.table(slug, table)
    (found,) = (one for one in declared.rows(declared.meta_column(), 0) if one.id == row)
    training = next(one for one in trainings(found.evaluations).values() if len(one.network.tasks) > 1)
    assert rehearsal.rehearse(training, tmp_path, (64, 64)) > 0


def test_the_page_is_the_settings_of_today(rehearsal):
    page = rehearsal.PAGE.read_text(encoding="utf-8")
    assert rehearsal.WRITTEN_BY in page
    for what, theirs, ours, why in (line[1:] for line in rehearsal.lines("mcn")):
        assert f"| {what} | {theirs} | {ours} | {why} |" in page
