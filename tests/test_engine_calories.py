"""What the calorie tables added to the graph of runs: snapshots, balances, retrieval, category means."""

from pathlib import Path

import numpy as np
import pytest
import torch
from builders import network_of, plate_data, recipe, record_of

from mtlkit import runs
from mtlkit.data.samples import collate
from mtlkit.data.transforms import Augmentation
from mtlkit.engine import Engine
from mtlkit.errors import InputError, WeightsMissing
from mtlkit.evaluations import CategoryMean, FeatureExtraction, Retrieval, SnapshotEnsemble, TestEvaluation, snapshots
from mtlkit.evaluations.features import by_split
from mtlkit.heads import Embedding as EmbeddingHead
from mtlkit.heads import Exit
from mtlkit.ledger import Ledger
from mtlkit.metrics.calorie_errors import measures
from mtlkit.network import NetworkSettings
from mtlkit.runs import EarlierLosses, Training
from mtlkit.runtime import Runtime
from mtlkit.tasks import Calories, Classification, Embedding

QUIET = Runtime(device="cpu", progress=False)
CALORIES = Calories(unit=300)
CATEGORY = Classification(name="category", classes=15)
BOTH = ("calories", "category")
HOW = recipe(
    steps=6,
    lr=1e-3,
    schedule="constant",
    loss_weights={"calories/absolute": 1 / 300},
    augmentation=Augmentation(size=(48, 48), scale_min=1, scale_max=1),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return plate_data(tmp_path_factory.mktemp("plates") / "set")


def network(*tasks, head=None):
    return NetworkSettings(backbone="mobilenetv3_small_050", tasks=tasks, head=head or Exit.Settings(width=8))


def pictures(data, split):
    (dataset,) = data.splits(split, BOTH)
    return dataset, collate([data.view(dataset[index]) for index in range(len(dataset))])


def estimates(record):
    return np.array(record.samples["calories/estimate"])


def found_by(engine, features):
    return by_split(engine.tensors(features))


def test_averaged_estimates_are_those_of_the_networks_at_those_steps(data, tmp_path):
    shape, engine = network(CALORIES, CATEGORY), Engine(Ledger(tmp_path), QUIET)
    training = Training(network=shape, data=data, recipe=HOW)
    taken = snapshots(training, data, count=3, every=2)
    # At a constant rate a shorter training is the beginning of a longer one.
    stopped = [Training(network=shape, data=data, recipe=HOW.model_copy(update={"steps": n})) for n in (2, 4, 6)]
    alone = [TestEvaluation(subject=one, data=data) for one in stopped]
    averaged, scores = SnapshotEnsemble(snapshots=taken), SnapshotEnsemble(snapshots=taken, average="scores")
    found = engine.run([*alone, averaged, scores])
    each = [found[value.identity] for value in alone]
    np.testing.assert_allclose(
        estimates(found[averaged.identity]), np.mean([estimates(one) for one in each], axis=0), atol=0.02
    )
    truths = np.array(each[0].samples["calories/truth"])
    direct = measures(np.mean([estimates(one) for one in each], axis=0), truths)
    assert found[averaged.identity].metrics["calories/rel_err"] == pytest.approx(float(direct["rel_err"]), rel=1e-3)
    assert found[scores.identity].samples.keys() <= {"group"}, "estimates of images are not behind averaged scores"
    for name, value in found[scores.identity].metrics.items():
        if not name.startswith("last/"):
            assert value == pytest.approx(np.mean([one.metrics[name] for one in each]), rel=1e-5)
        assert found[averaged.identity].metrics["last/" + name.removeprefix("last/")] == pytest.approx(
            each[-1].metrics[name.removeprefix("last/")], rel=1e-5
        )


def test_two_images_of_a_portion_are_one_group_in_the_record(data, tmp_path):
    value = CategoryMean(subject=None, data=data)
    record = Engine(Ledger(tmp_path), QUIET).run([value])[value.identity]
    assert record.samples["group"] == [number for number in range(15) for _ in range(2)]


def test_a_snapshot_changes_no_training(data, tmp_path):
    plain, watched = (Engine(Ledger(tmp_path / name), QUIET) for name in ("plain", "watched"))
    training = Training(network=network(CALORIES), data=data, recipe=HOW)
    record_of(watched, SnapshotEnsemble(snapshots=snapshots(training, data, count=3, every=1)))
    assert record_of(plain, training).weights == record_of(watched, training).weights


def test_other_snapshots_train_nothing_while_theirs_are_there(data, tmp_path, monkeypatch):
    done = []
    original = runs.train
    monkeypatch.setattr(runs, "train", lambda *a, **k: (done.append(sorted(k["snapshots"])), original(*a, **k))[1])
    engine = Engine(Ledger(tmp_path), QUIET)
    training = Training(network=network(CALORIES), data=data, recipe=HOW)
    five = SnapshotEnsemble(snapshots=snapshots(training, data, count=5, every=1))
    three = SnapshotEnsemble(snapshots=snapshots(training, data, count=3, every=2))
    one = SnapshotEnsemble(snapshots=snapshots(training, data, count=1))
    engine.run([five, TestEvaluation(subject=training, data=data)])
    assert done == [[2, 3, 4, 5]]  # the sixth is the trained network
    engine.run([three, one])
    assert len(done) == 1
    first = SnapshotEnsemble(snapshots=snapshots(training, data, count=6, every=1))
    with pytest.raises(WeightsMissing, match="The predictions of training"):
        engine.run([first])
    told = Engine(Ledger(tmp_path), Runtime(device="cpu", progress=False, retrain=True))
    told.run([first])
    assert done[1:] == [[1]]


def test_a_checkpoint_behind_a_snapshot_to_be_taken_is_not_used(data, tmp_path):
    ledger = Ledger(tmp_path)
    hasty = Runtime(device="cpu", progress=False, checkpoint_seconds=0)
    training = Training(network=network(CALORIES), data=data, recipe=HOW.model_copy(update={"steps": 25}))
    value = SnapshotEnsemble(snapshots=snapshots(training, data, count=2, every=20))
    checkpoint, unlink = ledger.checkpoint(training.identity), Path.unlink
    with pytest.MonkeyPatch.context() as patch:  # locks go, the checkpoint stays
        patch.setattr(Path, "unlink", lambda path, **how: None if path == checkpoint else unlink(path, **how))
        record_of(Engine(ledger, hasty), training)
    assert checkpoint.exists()  # of step 20; the snapshot is of step 5
    ledger.path("training", training.identity).rename(tmp_path / "aside.json")
    assert record_of(Engine(ledger, QUIET), value).metrics


def test_predictions_that_are_gone_are_said_and_made_again_only_when_told(data, tmp_path):
    ledger = Ledger(tmp_path)
    training = Training(network=network(CALORIES), data=data, recipe=HOW)
    first, _ = snapshots(training, data, count=2, every=1)
    before = Engine(ledger, QUIET).tensors(first)
    ledger.tensors_path("predictions", first.identity).unlink()
    with pytest.raises(WeightsMissing, match="--retrain"):
        Engine(ledger, QUIET).tensors(first)
    again = Engine(ledger, Runtime(device="cpu", progress=False, retrain=True)).tensors(first)
    assert torch.equal(before["calories"], again["calories"])


def test_too_many_snapshots_are_refused_before_the_first_step(data):
    training = Training(network=network(CALORIES), data=data, recipe=HOW)
    with pytest.raises(InputError, match="10 snapshots 100 steps apart do not fit into a training of 6 steps"):
        snapshots(training, data)


def test_balanced_weights_are_the_inverse_means_of_the_first_run(data, tmp_path):
    shape, engine = network(CALORIES, CATEGORY), Engine(Ledger(tmp_path), QUIET)
    first = Training(network=shape, data=data, recipe=HOW.model_copy(update={"steps": 20}))
    balanced = Training(network=shape, data=data, recipe=HOW, balance=EarlierLosses(run=first, one="calories/relative"))
    record = record_of(engine, balanced)
    losses = record_of(engine, first).history.losses
    means = {name: sum(values) / len(values) for name, values in losses.items()}
    weights = {name: means["calories/relative"] / mean for name, mean in means.items()}
    assert record.data["loss_weights"] == pytest.approx(weights)
    assert record.data["loss_weights"]["calories/relative"] == 1
    by_hand = Training(
        network=shape, data=data, recipe=HOW.model_copy(update={"loss_weights": record.data["loss_weights"]})
    )
    assert record_of(engine, by_hand).weights == record.weights
    last = EarlierLosses(run=first, one="calories/relative", last=1)
    found = record_of(engine, balanced.model_copy(update={"balance": last})).data["loss_weights"]
    ends = {name: values[-1] for name, values in losses.items()}
    assert found == pytest.approx({name: ends["calories/relative"] / end for name, end in ends.items()})
    assert balanced.needs == (first,)
    assert len({t.identity for t in (balanced, by_hand, balanced.model_copy(update={"balance": last}))}) == 3


def test_retrieval_is_the_mean_of_the_nearest_by_brute_force(data, tmp_path):
    engine = Engine(Ledger(tmp_path), QUIET)
    learning = Training(
        network=network(Embedding(name="category", classes=15), head=EmbeddingHead.Settings(stage=-1)),
        data=data,
        recipe=recipe(steps=3, samples_per_class=2, augmentation=Augmentation(size=(48, 48))),
    )
    features = FeatureExtraction(subject=learning, data=data, reads=BOTH)
    value = Retrieval(features=features, k=3)
    record = engine.run([value])[value.identity]
    net, (_, train), (_, test) = network_of(engine, learning), pictures(data, "train"), pictures(data, "val")
    with torch.no_grad():
        stages = [net.trunk(batch.images)["category"][-1].mean((2, 3)) for batch in (train, test)]
    near = torch.cdist(stages[1].double(), stages[0].double()).topk(3, largest=False).indices
    answers = train.targets["calories"][near].mean(1)
    np.testing.assert_allclose(estimates(record), answers.numpy(), atol=0.02)
    hits = train.targets["category"][near[:, 0]] == test.targets["category"]
    assert record.metrics["retrieval/top1"] == pytest.approx(100 * float(hits.float().mean()))
    assert record.data["database_images"] == 30


def test_an_image_is_at_distance_0_of_itself_and_is_its_own_answer(data, tmp_path):
    engine = Engine(Ledger(tmp_path), QUIET)
    subject = network(Embedding(name="category", classes=1), head=EmbeddingHead.Settings(stage=-2))
    found = found_by(engine, FeatureExtraction(subject=subject, data=data, reads=BOTH))
    from mtlkit.evaluations.retrieval import retrieval
    from mtlkit.retrieval import nearest

    distances, indices = nearest(found["train"]["features"], found["train"]["features"], 1)
    assert (distances == 0).all()
    assert indices[:, 0].tolist() == list(range(30))
    scores = retrieval(found["train"], found["train"], 1, CALORIES.floor, torch.device("cpu"))
    assert scores.metrics["calories/abs_err"] == 0
    again = found_by(engine, FeatureExtraction(subject=subject, data=data, reads=BOTH))
    assert torch.equal(again["val"]["features"], found["val"]["features"])


def test_features_of_an_untrained_network_are_the_same_wherever_they_are_computed(data, tmp_path):
    subject = network(Embedding(name="category", classes=1), head=EmbeddingHead.Settings())
    value = FeatureExtraction(subject=subject, data=data, reads=BOTH)
    first = found_by(Engine(Ledger(tmp_path / "one"), QUIET), value)
    torch.rand(5)
    again = found_by(Engine(Ledger(tmp_path / "two"), QUIET), value)
    assert all(torch.equal(first[split]["features"], again[split]["features"]) for split in ("train", "val"))


def test_more_neighbours_than_images_are_refused(data, tmp_path):
    subject = network(Embedding(name="category", classes=1), head=EmbeddingHead.Settings())
    value = Retrieval(features=FeatureExtraction(subject=subject, data=data, reads=BOTH), k=31)
    with pytest.raises(InputError, match="31 nearest neighbours cannot be found among 30; ask for 1 to 30"):
        Engine(Ledger(tmp_path), QUIET).run([value])


def test_the_true_categories_mean_is_a_direct_computation(data, tmp_path):
    value = CategoryMean(subject=None, data=data)
    record = Engine(Ledger(tmp_path), QUIET).run([value])[value.identity]
    (train, _), (test, _) = pictures(data, "train"), pictures(data, "val")
    kcal, labels = np.array(train.values, np.float64), np.array(train.labels)
    answers = np.array([kcal[labels == label].mean() for label in test.labels])
    expected = measures(answers, test.values)
    assert {name: record.metrics[f"calories/{name}"] for name in expected} == pytest.approx(
        {name: float(number) for name, number in expected.items()}
    )


def test_a_named_category_has_its_mean_for_an_answer(data, tmp_path):
    engine = Engine(Ledger(tmp_path), QUIET)
    naming = Training(network=network(CATEGORY), data=data, recipe=HOW)
    value = CategoryMean(subject=naming, data=data)
    record = engine.run([value])[value.identity]
    (train, _), (_, batch) = pictures(data, "train"), pictures(data, "val")
    with torch.no_grad():
        names = network_of(engine, naming)(batch.images)["category"].argmax(1).numpy()
    kcal, labels = np.array(train.values, np.float64), np.array(train.labels)
    np.testing.assert_allclose(estimates(record), [kcal[labels == name].mean() for name in names], atol=0.02)
    assert record.metrics["category/accuracy"] == pytest.approx(
        100 * np.mean(names == batch.targets["category"].numpy())
    )
