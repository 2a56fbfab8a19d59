"""The best of several is chosen where it may be, and none where nothing can be compared."""

from types import SimpleNamespace

import pytest

from mtlkit.errors import InputError
from mtlkit.evaluations import BestOnValidation
from mtlkit.ledger import Record


def found(values, better="higher"):
    """What is found of candidates with these values, of which each subject scores its own number."""
    records = [
        Record(kind="evaluation", identity=str(number), settings={}, metrics={"a/b": value, "a/c": 1.0, "d/b": 2.0})
        for number, value in enumerate(values)
    ]
    scored = [one.model_copy(update={"metrics": one.metrics | {"a/b": float(one.identity)}}) for one in records]
    node = BestOnValidation.model_construct(
        candidates=tuple(records), subjects=tuple(scored), measure="a/b", better=better
    )
    return node.run(SimpleNamespace(record=lambda one: one))


@pytest.mark.parametrize(("better", "best"), [("higher", 2), ("lower", 1)])
def test_the_best_candidates_subject_is_found_in_its_task_alone(better, best):
    content = found([None, 3.0, 5.0, 5.0], better)
    assert content.metrics == {"a/b": best, "a/c": 1.0}
    assert content.data["chosen"] == best


def test_without_a_value_none_is_the_best():
    with pytest.raises(InputError, match="No candidate has a value of a/b"):
        found([None, None])
