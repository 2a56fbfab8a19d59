import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlkit.errors import InputError
from mtlkit.objectives import inverse_means


def test_loss_weights_are_inverse_means():
    losses = {"calories/relative": [0.5, 0.1], "calories/absolute": [150.0, 50.0], "category/cross_entropy": [2.0, 1.0]}
    plain = inverse_means(losses)
    assert plain == pytest.approx(
        {"calories/relative": 1 / 0.3, "calories/absolute": 0.01, "category/cross_entropy": 2 / 3}
    )
    one = inverse_means(losses, "calories/relative")
    assert one["calories/relative"] == 1
    assert one["calories/absolute"] == pytest.approx(0.003)
    assert inverse_means(losses, "calories/relative", last=1)["calories/absolute"] == pytest.approx(0.002)


@settings(max_examples=25)
@given(values=st.dictionaries(st.text(min_size=1), st.lists(st.floats(1e-6, 1e6), min_size=1), min_size=1))
def test_weighted_terms_of_the_first_run_have_one_mean(values):
    one = next(iter(values))
    weights = inverse_means(values, one)
    sizes = [weights[name] * math.fsum(each) / len(each) for name, each in values.items()]
    assert sizes == pytest.approx([sizes[0]] * len(sizes))
    assert weights[one] == 1


def test_a_run_without_usable_losses_is_refused():
    with pytest.raises(InputError, match="did you mean 'calories/relative'"):
        inverse_means({"calories/relative": [1.0]}, "calorie/relative")
    for values in ([], [0.0], [math.nan], [math.inf]):
        with pytest.raises(InputError, match="The loss x"):
            inverse_means({"x": values})
    with pytest.raises(InputError, match="last 0"):
        inverse_means({"x": [1.0]}, last=0)
