import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mtlkit.errors import InputError
from mtlkit.tasks import Embedding
from mtlkit.tasks.embedding import agreement, ranking, triplets

SEEDS = st.integers(0, 999)


def batch(seed, n=7, length=5, categories=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, length, generator=generator), torch.randint(categories, (n,), generator=generator)


@given(seed=SEEDS, n=st.integers(1, 7), above=st.floats(0.4, 1), below=st.floats(0, 0.4))
def test_triplets_are_all_rows_beyond_both_thresholds(seed, n, above, below):
    alike = torch.rand(n, n, generator=torch.Generator().manual_seed(seed))
    every = range(n)
    expected = [
        [i, p, m] for i in every for p in every for m in every
        if len({i, p, m}) == 3 and alike[i, p] > above and alike[i, m] < below
    ]  # fmt: skip
    assert triplets(alike, above, below).nonzero().tolist() == expected


@given(seed=SEEDS, above=st.floats(0.5, 0.99), below=st.floats(0.01, 0.5))
def test_by_labels_any_thresholds_mean_the_same_and_another_category(seed, above, below):
    _, labels = batch(seed)
    rows = triplets(agreement(labels), above, below)
    assert torch.equal(rows, triplets(agreement(labels)))
    for i, p, m in rows.nonzero().tolist():
        assert i != p
        assert labels[i] == labels[p] != labels[m]


@given(seed=SEEDS, margin=st.floats(0, 3), squared=st.booleans())
def test_the_ranking_loss_is_equation_6_averaged_over_triplets(seed, margin, squared):
    features, labels = batch(seed)
    chosen = triplets(agreement(labels))
    found = ranking(features, chosen, margin=margin, squared=squared)
    rows = chosen.nonzero()
    reference, similar, dissimilar = features[rows].unbind(1)
    near, far = (similar - reference).norm(dim=1), (dissimilar - reference).norm(dim=1)
    if squared:
        near, far = near.square(), far.square()
    else:
        theirs = F.triplet_margin_loss(
            reference, similar, dissimilar, margin=max(margin, 1e-9), eps=0, reduction="none"
        )
        torch.testing.assert_close((margin + near - far).clamp(min=0), theirs, rtol=1e-4, atol=1e-5)
    expected = sum((margin + near - far).clamp(min=0).tolist()) / max(len(rows), 1)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_equal_images_have_finite_gradients():
    features = torch.ones(3, 4, requires_grad=True)
    loss = ranking(features, triplets(agreement(torch.tensor([0, 0, 1]))), margin=0.5)
    assert loss.item() == 0.5
    loss.backward()
    assert features.grad.isfinite().all()


def test_training_pulls_categories_together():
    torch.manual_seed(0)
    features, labels = torch.randn(12, 4, requires_grad=True), torch.arange(12) % 3
    optimiser = torch.optim.SGD([features], lr=0.5)
    chosen = triplets(agreement(labels))
    for _ in range(200):
        optimiser.zero_grad()
        ranking(features, chosen).backward()
        optimiser.step()
    distance = torch.cdist(features, features).fill_diagonal_(torch.inf)
    assert torch.equal(labels[distance.argmin(1)], labels)


def test_without_a_triplet_the_ranking_loss_is_zero_and_so_are_its_gradients():
    for labels in (torch.zeros(4, dtype=torch.int64), torch.arange(4), torch.zeros(0, dtype=torch.int64)):
        features = torch.randn(len(labels), 3, requires_grad=True)
        loss = ranking(features, triplets(agreement(labels)))
        loss.backward()
        assert loss.item() == 0
        assert (features.grad == 0).all()


@given(seed=SEEDS, normalised=st.booleans())
def test_joint_learning_is_the_ranking_and_the_cross_entropy_of_one_output(seed, normalised):
    features, labels = batch(seed)
    logits = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(seed))
    task = Embedding(name="category", classes=3, margin=0.3, normalised=normalised)
    output = torch.cat([features, logits], 1)
    found, compared = task.losses(output, labels), F.normalize(features) if normalised else features
    assert tuple(found) == task.terms
    torch.testing.assert_close(task.features(output), compared)
    torch.testing.assert_close(found["ranking"], ranking(compared, triplets(agreement(labels)), margin=0.3))
    torch.testing.assert_close(found["cross_entropy"], F.cross_entropy(logits, labels))
    assert [float(term) for term in task.losses(output[:0], labels[:0]).values()] == [0, 0]
    assert torch.equal(task.named(output), logits.argmax(1))
    metric = task.metric()
    metric.update(output, labels)
    assert metric.compute()["accuracy"] == pytest.approx(100 * float((logits.argmax(1) == labels).float().mean()))


def test_an_image_cannot_be_similar_and_dissimilar():
    with pytest.raises(InputError, match=r"above 0.3 and dissimilar below 0.5"):
        triplets(torch.eye(3), 0.3, 0.5)
