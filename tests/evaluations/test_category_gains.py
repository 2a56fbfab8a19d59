"""Gains by category against their definitions."""

import numpy as np
import pytest
import torch
from builders import SEGMENTATION, network, recipe, record_of, room_data, training
from scipy.stats import spearmanr

from mtlkit.data.samples import IGNORE
from mtlkit.engine import Engine
from mtlkit.evaluations import CategoryGains, TestEvaluation
from mtlkit.evaluations.category_gains import rank_correlation
from mtlkit.ledger import Ledger
from mtlkit.metrics.average_precision import LabelAP, average_precision
from mtlkit.runtime import Runtime
from mtlkit.tasks import Attributes
from mtlkit.worlds import rooms


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A record, those of its two networks, and their data."""
    folder = tmp_path_factory.mktemp("gains")
    engine = Engine(Ledger(folder / "ledger"), Runtime(device="cpu", progress=False))
    data = room_data(folder / "rooms", train=6, val=6)
    control, subject = (
        training(data, network=network((SEGMENTATION,)), recipe=recipe(steps=1, lr=1e-6), seed=seed) for seed in (3, 4)
    )
    gains = CategoryGains(subject=subject, control=control, data=data, task="segmentation", rarest=(2, 3))
    alone = [record_of(engine, TestEvaluation(subject=one, data=data)) for one in (subject, control)]
    return gains, record_of(engine, gains), alone, data


def test_a_gain_is_the_difference_of_what_both_networks_score_on_a_category(found):
    _, record, (subject, control), _ = found
    differences = []
    for name in rooms.CLASSES:
        iou = [one.metrics[f"segmentation/iou/{name}"] for one in (subject, control)]
        gain = record.metrics[f"segmentation/gain/{name}"]
        if None in iou:
            assert gain is None
        else:
            assert gain == pytest.approx(iou[0] - iou[1])
            differences.append(gain)
    assert any(differences)


def test_labels_are_the_pixels_of_the_training_set(found):
    _, record, _, data = found
    counts = np.zeros(256, int)
    (train,) = data.splits("train", ("segmentation",))
    for index in range(len(train)):
        counts += np.bincount(data.view(train[index])["segmentation"].numpy().ravel(), minlength=256)
    assert list(record.data["labels"].values()) == counts[: len(rooms.CLASSES)].tolist()
    assert sum(record.data["labels"].values()) == 6 * 32 * 40 - counts[IGNORE]


def test_the_summary_is_a_mean_of_the_rarest_and_spearmans_correlation(found):
    _, record, _, _ = found
    labels = {name: count for name, count in record.data["labels"].items() if count}
    gain = {name: record.metrics[f"segmentation/gain/{name}"] for name in labels}
    gain = {name: value for name, value in gain.items() if value is not None}
    rarest = sorted(gain, key=lambda name: labels[name])
    for n in (2, 3):
        mean = np.mean([gain[name] for name in rarest[:n]])
        assert record.metrics[f"segmentation/gain_rarest_{n}"] == pytest.approx(mean)
    wanted = spearmanr([gain[name] for name in rarest], [labels[name] for name in rarest]).statistic
    assert record.metrics["segmentation/rank_correlation"] == pytest.approx(wanted)
    draws = record.resampled["segmentation/gain_rarest_2"]
    assert len(draws) == 500
    assert record.drawn["segmentation"].groups == 6
    assert min(draws) <= record.metrics["segmentation/gain_rarest_2"] <= max(draws)


def test_a_network_gains_nothing_over_itself(found, tmp_path):
    gains, *_ = found
    labels, known = np.arange(1, 5), np.ones(4, bool)
    summary = gains.summary(np.zeros((3, 4)), labels, known)
    assert summary["gain_rarest_2"].tolist() == [0, 0, 0]
    assert np.isnan(summary["rank_correlation"]).all(), "all have one rank"
    assert "gain_rarest_3" not in gains.summary(np.zeros((1, 3)), labels[:3], known[:3]), "three are all there are"


def test_rank_correlations_are_spearmans_with_and_without_ties_and_gaps():
    rng = np.random.default_rng(0)
    values, counts = rng.normal(size=(6, 12)).round(1), rng.integers(1, 6, 12)
    for row, got in zip(values, rank_correlation(values, counts), strict=True):
        assert got == pytest.approx(spearmanr(row, counts).statistic)
    distinct = np.array([[5.0, 1.0, 4.0, 2.0]])
    ranks = np.array([4, 1, 3, 2]) - np.array([1, 2, 3, 4])
    assert rank_correlation(distinct, np.array([1, 2, 3, 4]))[0] == pytest.approx(1 - 6 * (ranks**2).sum() / (4 * 15))
    values[0, 3] = np.nan
    assert rank_correlation(values, counts)[0] == pytest.approx(
        spearmanr(np.delete(values[0], 3), np.delete(counts, 3)).statistic
    )
    assert np.isnan(rank_correlation(values[:, :2], counts[:2])).all()


def test_labels_and_scores_of_attributes_are_counted_one_by_one():
    task = Attributes(attributes=("wheel", "fur", "beak"))
    targets = [torch.tensor([[1, 0, 0], [1, 1, 0]]), torch.tensor([[0, 1, 0]])]
    assert sum(task.label_counts(target) for target in targets).tolist() == [2, 2, 0]
    metric = LabelAP(task.attributes)
    outputs = [torch.randn(2, 3), torch.randn(1, 3)]
    for output, target in zip(outputs, targets, strict=True):
        metric.update(output, target)
    scores, hits = torch.cat(outputs).numpy(), torch.cat(targets).numpy()
    measured = metric.compute()
    for place, name in enumerate(task.attributes[:2]):
        wanted = average_precision(scores[:, place], hits[:, place], int(hits[:, place].sum()), 11)
        assert measured[f"ap/{name}"] == pytest.approx(float(wanted[0]))
    assert np.isnan(measured["ap/beak"])
    assert measured["map"] == pytest.approx(np.mean([measured["ap/wheel"], measured["ap/fur"]]))
