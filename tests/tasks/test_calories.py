import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mtlkit.errors import InputError
from mtlkit.metrics.bootstrap import draws, interval, medians
from mtlkit.metrics.calorie_errors import measures
from mtlkit.tasks.calories import Calories

TASK = Calories(unit=250)
SEEDS = st.integers(0, 999)


def dishes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and truths, some of them below the floor."""
    rng = np.random.default_rng(seed)
    truths = rng.uniform(0, 60, n) ** 1.6
    return truths * rng.lognormal(0, 0.4, n), truths


@given(seed=SEEDS, n=st.integers(1, 9))
def test_the_terms_are_the_papers_equations(seed, n):
    generator = torch.Generator().manual_seed(seed)
    output, target = torch.randn(n, 1, generator=generator), torch.rand(n, generator=generator) * 500
    found = TASK.losses(output, target)
    assert tuple(found) == TASK.terms
    pairs = [(250 + 250 * o, g) for (o,), g in zip(output.tolist(), target.tolist(), strict=True)]
    # The terms are in single precision, where a small error of a large estimate has few digits.
    assert found["relative"].item() == pytest.approx(
        sum(abs(y - g) / max(g, 10) for y, g in pairs) / n, rel=1e-4, abs=1e-4
    )
    assert found["absolute"].item() == pytest.approx(sum(abs(y - g) for y, g in pairs) / n, rel=1e-4, abs=1e-3)


def test_without_a_target_the_terms_are_zero_with_zero_gradients():
    output = torch.randn(4, 1, requires_grad=True)
    terms = TASK.losses(output[:0], torch.zeros(0))
    sum(terms.values()).backward()
    assert [term.item() for term in terms.values()] == [0, 0]
    assert (output.grad == 0).all()


def test_a_dish_of_nothing_has_a_finite_gradient():
    output = torch.zeros(1, 1, requires_grad=True)
    sum(TASK.losses(output, torch.zeros(1)).values()).backward()
    assert output.grad.item() == 250 / TASK.floor + 250


def test_an_untrained_output_of_0_is_the_unit_and_the_task_learns_from_there():
    assert TASK.estimates(torch.zeros(2, 1)).tolist() == [250, 250]
    torch.manual_seed(0)
    features = torch.randn(200, 8)
    truth = 250 * (1 + 0.3 * torch.tanh(features[:, 0]))
    layer = torch.nn.Linear(8, 1)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9)
    for _ in range(100):
        optimiser.zero_grad()
        terms = TASK.losses(layer(features), truth)
        (terms["relative"] + terms["absolute"] / TASK.unit).backward()
        optimiser.step()
    assert TASK.losses(layer(features), truth)["relative"] < 0.06


@given(seed=SEEDS, count=st.integers(1, 10))
def test_what_several_say_is_the_mean_of_their_estimates(seed, count):
    generator = torch.Generator().manual_seed(seed)
    outputs = [torch.randn(5, 1, generator=generator) for _ in range(count)]
    mean = torch.stack([TASK.estimates(output) for output in outputs]).mean(0)
    torch.testing.assert_close(TASK.estimates(TASK.ensemble(outputs)), mean, rtol=1e-4, atol=1e-3)


@given(seed=SEEDS, n=st.integers(2, 60))
def test_the_measures_equal_numpy_and_scipy(seed, n):
    estimates, truths = dishes(n, seed)
    found = measures(estimates, truths)
    error = np.abs(estimates - truths)
    relative = 100 * error / np.where(truths < 10, 10, truths)
    expected = {
        "rel_err": relative.mean(),
        "rel_err_median": np.median(relative),
        "abs_err": error.mean(),
        "abs_err_median": np.median(error),
        "corr": stats.pearsonr(estimates, truths).statistic,
        "within20": 100 * (relative <= 20).mean(),
        "within40": 100 * (relative <= 40).mean(),
        "floored": (truths < 10).sum(),
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(seed=SEEDS, n=st.integers(2, 20))
def test_a_sample_with_repetitions_equals_the_repeated_arrays(seed, n):
    estimates, truths = dishes(n, seed)
    times = np.random.default_rng(seed).integers(0, 4, (5, n))
    times[:, 0] += 1
    found = measures(estimates, truths, times=times)
    for row, counts in enumerate(times):
        each = measures(estimates.repeat(counts), truths.repeat(counts))
        for name, value in each.items():
            assert found[name][row] == pytest.approx(float(value), rel=1e-8, abs=1e-8, nan_ok=True)


def test_a_limit_is_within_itself_in_whole_numbers():
    truths = np.arange(10.0, 500, 10)
    for limit in (20, 40):
        assert measures(truths * (100 + limit) / 100, truths)[f"within{limit}"] == 100
        assert measures(truths * (100 + limit) / 100 + 1e-9, truths)[f"within{limit}"] == 0


def test_values_near_0_are_floored_and_counted():
    estimates, truths = np.array([5.0, 2.0, 9.0, 120.0]), np.array([0.0, 0.5, 9.9, 100.0])
    found = measures(estimates, truths)
    assert found["floored"] == 3
    assert found["rel_err"] == pytest.approx((50 + 15 + 9 + 20) / 4)
    assert measures(estimates, truths, floor=0.1)["rel_err"] == pytest.approx((5000 + 300 + 100 / 11 + 20) / 4)


def test_no_correlation_of_equal_numbers():
    truths = np.array([100.1, 200.7, 300.3])
    assert math.isnan(measures(np.full(3, 0.1), truths)["corr"])
    assert math.isnan(measures(truths, np.full(3, 300.1))["corr"])
    assert math.isnan(measures(truths, truths, times=np.array([0, 7, 0]))["corr"])
    assert measures(3 * truths + 1, truths)["corr"] == pytest.approx(1)


def test_the_metric_pools_batches():
    estimates, truths = (torch.from_numpy(each).float() for each in dishes(23, 0))
    metric = TASK.metric()
    for part in (slice(0, 5), slice(5, 5), slice(5, 23)):
        metric.update((estimates[part] / 250 - 1)[:, None], truths[part])
    expected = measures(estimates.numpy(), truths.numpy())
    assert metric.compute() == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-4)
    assert len(metric.samples()["estimate"]) == len(metric.samples()["truth"]) == 23


def test_nothing_seen_is_not_a_number():
    found = TASK.metric().compute()
    assert found.pop("floored") == 0
    assert all(math.isnan(value) for value in found.values())


@settings(max_examples=25)
@given(seed=SEEDS)
def test_the_constant_has_the_lowest_loss_on_training(seed):
    _, truths = dishes(15, seed)
    train = torch.from_numpy(truths).float()

    def loss(y):
        terms = TASK.losses(torch.full((15, 1), float(y) / 250 - 1), train)
        return float(terms["relative"] + terms["absolute"] / 250)

    answer = float(medians(train.numpy(), 1 / np.maximum(train.numpy(), 10) + 1 / 250))
    assert loss(answer) <= min(loss(y) for y in [*truths, *np.linspace(0, 700, 20)]) * (1 + 1e-5)
    found = TASK.constant([train[:7], train[7:]], [train[:4]]).compute()
    assert found["abs_err"] == pytest.approx(float((train[:4] - answer).abs().mean()), rel=1e-5)


@given(seed=SEEDS, n=st.integers(1, 12))
def test_the_weighted_median_of_whole_weights_is_numpys_of_repeated_values(seed, n):
    rng = np.random.default_rng(seed)
    values, counts = rng.integers(0, 9, n), rng.integers(0, 4, n) + (np.arange(n) == 0)
    assert medians(values, counts) == np.median(values.repeat(counts))


def intervals(statistic, groups, resamples=2000, seed=0):
    """The interval of every number that a function of the draws finds."""
    drawn = [statistic(times) for times in draws(list(groups), resamples, seed)]
    return {name: interval(np.concatenate([part[name] for part in drawn])) for name in drawn[0]}


def test_intervals_equal_scipys_bootstrap_of_group_means():
    """Groups of one size: the mean over images is the mean of the groups' means, which scipy can resample."""
    rng = np.random.default_rng(0)
    groups = np.repeat([f"p{i}" for i in range(30)], 4)
    truths = np.repeat(rng.uniform(100, 400, 30), 4)
    estimates = truths + np.repeat(rng.normal(0, 60, 30), 4)
    low, high = intervals(lambda times: measures(estimates, truths, times=times), groups, resamples=9000)["abs_err"]
    means = np.abs(estimates - truths).reshape(30, 4).mean(1)
    other = stats.bootstrap((means,), np.mean, method="percentile", rng=1, n_resamples=9000).confidence_interval
    assert (low, high) == pytest.approx(tuple(other), rel=0.02)
    # Images drawn one by one would promise about half the width.
    alone = intervals(lambda times: measures(estimates, truths, times=times), range(120))["abs_err"]
    assert (alone[1] - alone[0]) < 0.7 * (high - low)


def test_intervals_draw_groups_as_wholes_and_repeat_themselves():
    groups = ["b", "a", "b", "c", "a", "b"]

    def whole(times):
        assert (times[:, 0] == times[:, 2]).all()
        assert (times[:, 1] == times[:, 4]).all()
        assert (times[:, [0, 1, 3]].sum(1) == 3).all()
        return {"mean": times @ np.arange(6) / times.sum(1)}

    assert intervals(whole, groups) == intervals(whole, groups)
    many = [
        intervals(lambda times: {"x": times @ np.arange(40) ** 2.0}, range(40), seed=seed)["x"] for seed in (0, 0, 1)
    ]
    assert many[0] == many[1] != many[2]


def test_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch):
    def some(times):
        return {"x": times[:, 0] + 0.1 * times[:, 3]}

    expected = intervals(some, range(20), resamples=100)
    monkeypatch.setattr("mtlkit.metrics.bootstrap._AT_ONCE", 70)
    assert intervals(some, range(20), resamples=100) == expected


def test_resamples_without_a_number_are_left_out():
    estimates, truths = np.array([1.0, 2, 30]), np.array([10.0, 20, 30])
    low, high = intervals(lambda times: measures(estimates, truths, times=times), [*"abc"])["corr"]
    assert -1 <= low <= high <= 1
    constant = intervals(lambda times: measures(estimates * 0, truths, times=times), [*"abc"])["corr"]
    assert all(map(math.isnan, constant))


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="do not match"):
        measures(np.zeros(3), np.zeros(2))
    with pytest.raises(InputError, match="floor"):
        measures(np.zeros(3), np.zeros(3), floor=0)
    with pytest.raises(InputError, match="at least two of them; there is one"):
        intervals(lambda times: {}, ["a", "a"])
    with pytest.raises(InputError, match="there are none"):
        intervals(lambda times: {}, [])
    for field in ("unit", "floor"):
        with pytest.raises(ValueError, match=field):
            Calories(**{field: 0})
