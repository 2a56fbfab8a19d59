import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, jaccard_score
from torchmetrics.functional.classification import multiclass_jaccard_index

from mtlkit.data.samples import IGNORE
from mtlkit.errors import InputError
from mtlkit.metrics.confusion import Confusion
from mtlkit.tasks import Segmentation

TASK = Segmentation(classes=("a", "b", "c", "d"))


def random_case(seed: int, void: float = 0.2):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 4, 6, 7, generator=generator)
    target = torch.randint(0, 4, (3, 6, 7), generator=generator).to(torch.uint8)
    target[torch.rand(target.shape, generator=generator) < void] = IGNORE
    return logits, target


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_measures_equal_trusted_libraries(seed):
    logits, target = random_case(seed)
    metric = Confusion("abcd")
    for row in range(3):  # in parts: pooling over pixels, not a mean of batches
        metric.update(logits[row : row + 1], target[row : row + 1])
    found = metric.compute()
    valid = target != IGNORE
    true, predicted = target[valid].numpy(), logits.argmax(1)[valid].numpy()
    occurring = sorted(set(true.tolist()))
    assert found["miou"] == pytest.approx(100 * jaccard_score(true, predicted, labels=occurring, average="macro"))
    assert found["pixel_accuracy"] == pytest.approx(100 * accuracy_score(true, predicted))
    if len(occurring) == 4:
        other = multiclass_jaccard_index(logits.argmax(1), target.long(), 4, ignore_index=IGNORE)
        assert found["miou"] == pytest.approx(100 * float(other), rel=1e-5)
        weighted = jaccard_score(true, predicted, average="weighted")
        assert found["fwiou"] == pytest.approx(100 * weighted)


def test_a_class_that_never_occurs_is_left_out_and_counted():
    target = torch.zeros(1, 2, 2, dtype=torch.uint8)
    metric = Confusion("abcd")
    metric.update(torch.tensor([[[0, 0], [0, 1]]]), target)
    assert metric.compute()["classes_averaged"] == 1
    assert metric.compute()["miou"] == pytest.approx(75)


def test_computing_twice_gives_the_same():
    metric = Confusion("abcd")
    metric.update(*random_case(0))
    assert metric.compute() == metric.compute()


@pytest.mark.parametrize("label", [4, 5, 254])
def test_an_id_that_is_neither_a_class_nor_void_is_refused(label):
    logits, target = random_case(2)
    ids = logits.argmax(1)
    for place, what in ((target, "truth"), (ids, "predictions")):
        metric, before = Confusion("abcd"), place[0, 0].clone()
        place[0, 0] = label
        target[0, 0, 0] = IGNORE
        metric.update(ids, target)
        place[0, 0] = before
        with pytest.raises(InputError, match=f"6 pixels of the {what} .* 0 to 3, 255 in the truth is void"):
            metric.compute()
    with pytest.raises(IndexError):
        TASK.losses(logits, torch.full_like(target, label))


def test_logits_that_are_not_numbers_are_refused_where_they_count():
    logits, target = random_case(3)
    logits[0, 2, 1, 1] = torch.nan
    for label, refused in ((IGNORE, False), (0, True)):
        target[0, 1, 1] = label
        metric = Confusion("abcd")
        metric.update(logits, target)
        if refused:
            with pytest.raises(InputError, match="1 pixels of the predictions"):
                metric.compute()
        else:
            assert math.isfinite(metric.compute()["miou"])


def test_the_loss_is_the_mean_over_labelled_pixels():
    logits, target = random_case(1)
    reference = torch.nn.functional.cross_entropy(logits, target.long(), ignore_index=IGNORE)
    assert torch.allclose(TASK.losses(logits, target)["cross_entropy"], reference)


def test_without_a_labelled_pixel_the_loss_is_zero_and_measures_are_nan():
    logits, target = random_case(1, void=2.0)
    logits.requires_grad_()
    loss = TASK.losses(logits, target)["cross_entropy"]
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()
    assert math.isnan(Confusion("abcd").compute()["miou"])


def test_loss_sizes_follow_the_setting():
    logits = torch.randn(2, 4, 3, 4)
    target = torch.randint(0, 4, (2, 12, 16)).to(torch.uint8)
    reduced = TASK.model_copy(update={"loss_at": "output"})
    small = torch.nn.functional.interpolate(target[:, None].float(), size=(3, 4), mode="nearest-exact")[:, 0]
    assert torch.allclose(
        reduced.losses(logits, target)["cross_entropy"], torch.nn.functional.cross_entropy(logits, small.long())
    )
    large = torch.nn.functional.interpolate(logits, size=(12, 16), mode="bilinear", align_corners=False)
    assert torch.allclose(
        TASK.losses(logits, target)["cross_entropy"], torch.nn.functional.cross_entropy(large, target.long())
    )


def test_the_constant_predictor_is_the_commonest_training_class():
    train = [torch.tensor([[[1, 1, 2, IGNORE]]], dtype=torch.uint8)]
    test = [torch.tensor([[[1, 2, 2, 1]]], dtype=torch.uint8)]
    assert TASK.constant(train, test).compute()["pixel_accuracy"] == pytest.approx(50)


def test_drawing_an_answer_and_its_truth_use_the_same_colours():
    logits, _ = random_case(2, void=0)
    assert (TASK.draw(TASK.postprocess(logits)[0]) == TASK.draw(logits[0].argmax(0))).all()
    assert len({tuple(TASK.draw(torch.tensor([[c]]))[0, 0]) for c in range(4)}) == 4


def test_networks_that_are_sure_stay_sure_together_and_beside_each_other():
    """A probability too small for its logarithm would be minus infinity, and NaN once a map is enlarged."""
    sure = torch.tensor([110.0, 0.0]).view(1, 2, 1, 1).repeat(1, 1, 2, 2)
    sure[:, :, :, 1] = torch.tensor([0.0, 110.0]).view(1, 2, 1)
    task = Segmentation(classes=("a", "b"))
    together = task.ensemble([sure, sure])
    assert together.isfinite().all()
    large = F.interpolate(together, size=(6, 6), mode="bilinear", align_corners=False)
    assert torch.equal(large.argmax(1), F.interpolate(sure, size=(6, 6), mode="bilinear").argmax(1))
    mild = [torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)]
    naive = torch.stack([one.softmax(1) for one in mild]).mean(0).log()
    assert torch.allclose(task.ensemble(mild), naive, atol=1e-5)
