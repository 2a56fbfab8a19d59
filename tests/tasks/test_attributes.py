import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from mtlkit.errors import InputError
from mtlkit.metrics.average_precision import LabelAP
from mtlkit.tasks import Attributes

SEEDS = st.integers(0, 999)


def task(count: int = 64) -> Attributes:
    return Attributes(attributes=tuple(f"a{number}" for number in range(count)))


def drawn(seed: int, rows: int, count: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    output = torch.randn(rows, count, generator=generator) * 3
    return output, torch.randint(0, 2, (rows, count), generator=generator).to(torch.uint8)


@settings(max_examples=20)
@given(seed=SEEDS, rows=st.integers(1, 9))
def test_the_loss_is_the_sum_over_64_attributes_over_64_averaged_over_regions(seed, rows):
    output, target = drawn(seed, rows)
    total = 0.0
    for logits, flags in zip(output.double().tolist(), target.tolist(), strict=True):
        for logit, flag in zip(logits, flags, strict=True):
            total += math.log1p(math.exp(-logit if flag else logit))
    (loss,) = task().losses(output, target).values()
    assert float(loss) == pytest.approx(total / 64 / rows, rel=1e-5)
    theirs = log_loss(target.flatten(), output.double().sigmoid().flatten(), labels=[0, 1])
    assert float(loss) == pytest.approx(theirs, rel=1e-5)


def test_no_region_is_no_loss_and_no_gradient():
    output = torch.zeros(0, 64, requires_grad=True)
    (name, loss), *others = task().losses(output, torch.zeros(0, 64, dtype=torch.uint8)).items()
    assert (name, others) == ("binary_cross_entropy", [])
    assert loss == 0
    loss.backward()
    assert output.grad.shape == (0, 64)


def test_half_precision_is_scored_in_single():
    output, target = drawn(0, 4)
    (loss,) = task().losses(output.bfloat16(), target).values()
    assert loss.dtype == torch.float32


@given(seed=SEEDS)
def test_two_equal_answers_are_one_and_two_others_their_mean_probability(seed):
    output, _ = drawn(seed, 6)
    assert torch.allclose(task().ensemble([output, output]).float(), output, atol=1e-4)
    other, _ = drawn(seed + 1, 6)
    mean = (output.double().sigmoid() + other.double().sigmoid()) / 2
    assert torch.allclose(task().ensemble([output, other]).sigmoid(), mean)
    assert torch.equal(task().ensemble([output, other]), task().ensemble([other, output]))


def test_sure_answers_stay_ranked_when_combined():
    sure = torch.tensor([[40.0], [50.0]])
    combined = task(1).ensemble([sure, sure])
    assert combined.isfinite().all()
    assert combined[0] < combined[1]


def test_a_perfect_answer_scores_100():
    _, target = drawn(3, 12)
    metric = task().metric()
    assert isinstance(metric, LabelAP)
    metric.update(target.float() * 2 - 1, target)
    assert metric.compute()["map"] == metric.compute()["map_all"] == 100


def test_the_constant_ranks_every_object_alike():
    """Of equal scores the earlier ranks first: each precision is that of the test objects in their order."""
    train = [torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0]])]
    test = [torch.tensor([[1, 0], [0, 1]]), torch.tensor([[0, 1]])]
    found = task(2).constant(train, test).compute()
    assert found["map_all"] == pytest.approx((100 + 100 * 2 / 3) / 2)  # found at 1; at 2 and 3 of 3
    assert found["attributes_averaged"] == 2


@pytest.mark.parametrize("train", [[], [torch.zeros(0, 2)]])
def test_of_no_training_object_there_is_no_share(train):
    with pytest.raises(InputError, match="No training image holds an object with attributes"):
        task(2).constant(train, [torch.tensor([[1, 0]])])


def test_an_output_an_attribute():
    assert task(5).outputs == 5
    assert set(task(5).terms) == set(task(5).losses(*drawn(0, 2, 5)))
