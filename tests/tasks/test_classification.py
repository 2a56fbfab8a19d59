import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassAccuracy

from mtlkit.errors import InputError
from mtlkit.tasks import Classification, Segmentation

TASK = Classification(name="places", classes=9)


@given(seed=st.integers(0, 999), batches=st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_accuracies_equal_torchmetrics(seed, batches):
    torch.manual_seed(seed)
    ours = TASK.metric()
    theirs = {
        "accuracy": MulticlassAccuracy(9, average="micro"),
        "top5": MulticlassAccuracy(9, average="micro", top_k=5),
    }
    by_class = MulticlassAccuracy(9, average="none")
    targets = []
    for size in batches:
        output, target = torch.randn(size, 9), torch.randint(0, 9, (size,))
        ours.update(output, target)
        targets.append(target)
        for metric in (*theirs.values(), by_class):
            metric.update(output, target)
    found = ours.compute()
    for name, metric in theirs.items():
        assert found[name] == pytest.approx(100 * float(metric.compute()), abs=1e-4)
    occurs = torch.cat(targets).unique()
    assert found["class_accuracy"] == pytest.approx(100 * float(by_class.compute()[occurs].mean()), abs=1e-4)


def test_the_loss_is_the_mean_over_the_labelled_and_zero_without_any():
    output, target = torch.randn(6, 9, requires_grad=True), torch.randint(0, 9, (6,))
    torch.testing.assert_close(TASK.losses(output, target)["cross_entropy"], F.cross_entropy(output, target))
    assert set(TASK.losses(output, target)) == set(TASK.terms)
    empty = TASK.losses(output[:0], target[:0])["cross_entropy"]
    empty.backward()
    assert empty.item() == 0
    assert (output.grad == 0).all()


def test_the_constant_is_the_commonest_training_class():
    train = [torch.tensor([3, 3, 1]), torch.tensor([3, 2])]
    test = [torch.tensor([3, 0]), torch.tensor([3, 3, 1])]
    found = TASK.constant(train, test).compute()
    assert found["accuracy"] == pytest.approx(60)
    assert found["class_accuracy"] == pytest.approx(100 / 3)


@pytest.mark.parametrize("label", [-100, -1, 9, 300])
def test_a_label_outside_the_classes_is_refused(label):
    output, target, metric = torch.randn(3, 9), torch.tensor([0, label, 8]), TASK.metric()
    metric.update(output, target)
    with pytest.raises(InputError, match=f"class id {label}; of 9 classes ids should be 0 to 8"):
        metric.compute()
    with pytest.raises(IndexError):
        TASK.losses(output, target)


def test_nothing_labelled_is_not_a_number():
    assert all(math.isnan(value) for value in TASK.metric().compute().values())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Classification(name="a", classes=-1), "at least 1 class, not -1"),
        (lambda: Segmentation(classes=()), "at least 1 class"),
        (lambda: Segmentation(classes=("a", "b", "a")), "called 'a'; give each a name of its own"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()
