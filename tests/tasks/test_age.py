import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mtlkit.errors import InputError
from mtlkit.metrics.accuracy import Accuracy
from mtlkit.metrics.age_errors import expected
from mtlkit.tasks.age import Age

TASK = Age()


def certain(*ages: int) -> torch.Tensor:
    """Logits that leave no doubt."""
    return torch.full((len(ages), 100), -math.inf).scatter(1, torch.tensor(ages)[:, None], 0.0)


@pytest.mark.parametrize(
    ("chances", "age"),
    [
        ({7: 1.0}, 7.0),
        ({0: 1.0}, 0.0),
        ({99: 1.0}, 99.0),
        ({20: 0.5, 40: 0.5}, 30.0),
        ({10: 0.75, 50: 0.25}, 20.0),
        (dict.fromkeys(range(100), 0.01), 49.5),
    ],
)
def test_the_expected_age_of_known_distributions(chances, age):
    output = torch.full((1, 100), -math.inf)
    for year, chance in chances.items():
        output[0, year] = math.log(chance)
    assert expected(output).item() == pytest.approx(age, abs=1e-4)
    assert expected(output + 12.5).item() == pytest.approx(age, abs=1e-4), "logits are known up to a constant"


def test_what_a_network_needs_to_know():
    assert (TASK.name, TASK.kind, TASK.outputs, TASK.terms) == ("age", "age", 100, ("cross_entropy",))
    assert Age(classes=7).outputs == 7


def test_errors_by_hand():
    metric = TASK.metric()
    metric.update(certain(30, 30), torch.tensor([30, 34]))
    metric.update(certain(10, 50), torch.tensor([20, 49]))
    assert metric.compute() == pytest.approx({"mean_error": 15 / 4, "median_error": 2.5, "accuracy": 25.0})


@given(seed=st.integers(0, 999), batches=st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_errors_equal_numpys_whatever_the_batches(seed, batches):
    torch.manual_seed(seed)
    outputs, targets = torch.randn(sum(batches), 100) * 4, torch.randint(0, 100, (sum(batches),))
    metric, accuracy = TASK.metric(), Accuracy(100)
    for output, target in zip(outputs.split(batches), targets.split(batches), strict=True):
        metric.update(output, target)
        accuracy.update(output, target)
    if not len(targets):
        assert all(math.isnan(value) for value in metric.compute().values())
        return
    chances = np.exp(outputs.double().numpy())
    errors = np.abs(chances @ np.arange(100) / chances.sum(1) - targets.numpy())
    found = metric.compute()
    assert found["mean_error"] == pytest.approx(errors.mean(), abs=1e-3)
    assert found["median_error"] == pytest.approx(np.median(errors), abs=1e-3)
    assert found["accuracy"] == accuracy.compute()["accuracy"]


def test_the_loss_is_the_mean_over_the_labelled_and_zero_without_any():
    output, target = torch.randn(6, 100, requires_grad=True), torch.randint(0, 100, (6,))
    torch.testing.assert_close(TASK.losses(output, target)["cross_entropy"], F.cross_entropy(output, target))
    assert set(TASK.losses(output, target)) == set(TASK.terms)
    empty = TASK.losses(output[:0], target[:0])["cross_entropy"]
    empty.backward()
    assert empty.item() == 0
    assert (output.grad == 0).all()


def test_an_ensemble_answers_the_mean_of_its_expected_ages():
    outputs = [torch.randn(5, 100) * 3 for _ in range(3)]
    mean = torch.stack([expected(output) for output in outputs]).mean(0)
    torch.testing.assert_close(expected(TASK.ensemble(outputs)), mean, atol=1e-3, rtol=0)


def test_the_constant_is_the_distribution_of_training_ages():
    train = [torch.tensor([20, 20, 30]), torch.tensor([50])]
    test = [torch.tensor([20, 40]), torch.tensor([30])]
    found = TASK.constant(train, test).compute()
    assert found == pytest.approx({"mean_error": 20 / 3, "median_error": 10.0, "accuracy": 100 / 3}, abs=1e-3)
    frequencies = torch.full((100,), -math.inf).index_put(
        (torch.tensor([20, 30, 50]),), torch.tensor([0.5, 0.25, 0.25]).log()
    )
    targets = torch.cat(train)

    def loss(output: torch.Tensor) -> float:
        return TASK.losses(output.expand(4, -1), targets)["cross_entropy"].item()

    for seed in range(20):
        torch.manual_seed(seed)
        assert loss(frequencies + 0.3 * torch.randn(100)) > loss(frequencies), "no other has a lower loss"


def test_nothing_labelled_is_not_a_number():
    assert all(math.isnan(value) for value in TASK.metric().compute().values())
    with pytest.raises(InputError, match="No training image has a label of age"):
        TASK.constant([], [torch.tensor([3])])
