"""The objective as an option of the scene tables."""

import pytest

from mtlkit import papers
from mtlkit.errors import InputError
from mtlkit.objectives import FixedWeights, JacobianDescent, UncertaintyWeighting
from mtlkit.runs import trainings

TABLES = [("nddr", "4"), ("nddr", "6"), ("cross_stitch", "5")]


def trained(paper, table, **given):
    found = papers.table(paper, table)
    column = found.column(found.options(**given))
    nodes = (node for row in found.rows(column, 0) for node in row.evaluations)
    return column, found, trainings(nodes)


@pytest.mark.parametrize(("paper", "table"), TABLES)
def test_only_networks_of_several_tasks_are_trained_by_it(paper, table):
    _, _, plain = trained(paper, table)
    column, _, other = trained(paper, table, objective="UPGrad")
    for training in other.values():
        several = len(training.network.tasks) > 1
        expected = JacobianDescent.Settings(aggregator="UPGrad") if several else FixedWeights.Settings()
        assert training.recipe.objective == expected
    alone = {key for key, training in plain.items() if len(training.network.tasks) == 1}
    assert alone == {key for key, training in other.items() if len(training.network.tasks) == 1}
    assert len(plain) == len(other)
    assert column.decided()["objective"] == "UPGrad"


def test_what_it_is_is_said_on_the_card_and_in_the_command():
    column, found, _ = trained("nddr", "4", objective="uncertainty")
    assert column.objective == UncertaintyWeighting.Settings()
    assert "inverse variances" in column.generic_lines()["Objective"]
    assert "--objective uncertainty" in found.options(objective="uncertainty").command("4")
    plain, _, _ = trained("nddr", "4")
    assert "Objective" not in plain.generic_lines()
    assert "objective" not in plain.canonical()


def test_an_unknown_one_is_one_sentence():
    with pytest.raises(InputError, match=r"'uncertainy'.*uncertainty"):
        trained("nddr", "4", objective="uncertainy")
    for paper, table in TABLES:
        with pytest.raises(InputError, match="16-mixed scales losses, which UPGrad cannot have"):
            trained(paper, table, objective="UPGrad", precision="16-mixed")
    with pytest.raises(InputError, match="Table 7 has one way to join its losses and takes no objective"):
        papers.table("nddr", "7").options(objective="UPGrad").check("7")
