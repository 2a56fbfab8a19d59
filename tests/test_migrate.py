"""Records of the first version are found by today's identities after ``results/migrate.py``."""

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest
from builders import fused, network, recipe

from mtlkit.data import Data
from mtlkit.evaluations import (
    Ensemble,
    FeatureExtraction,
    Retrieval,
    SnapshotEnsemble,
    Speed,
    TestEvaluation,
    snapshots,
)
from mtlkit.heads import Embedding as EmbeddingHead
from mtlkit.network import NetworkSettings
from mtlkit.runs import EarlierLosses, Training
from mtlkit.tasks import Embedding

ROOT = Path(__file__).parents[1]
DATA = Data(layout="npy", name="rooms", fingerprint="r", size=(32, 40))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("migrate", ROOT / "results" / "migrate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(folder, kind, settings, **more):
    """Writes a record of these settings under the identity that they had."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    identity = hashlib.sha256(text.encode()).hexdigest()[:12]
    record = {"kind": kind, "identity": identity, "settings": settings, "metrics": {"a": 0.1}} | more
    (folder / kind).mkdir(parents=True, exist_ok=True)
    (folder / kind / f"{identity}.json").write_text(json.dumps(record))
    return identity


def early(training, mult=None, biases=None, **more):
    """A training's settings as they were at first: the multiplier in the network, snapshots in the training."""
    settings = training.canonical()
    del settings["recipe"]["lr_mult"]
    if mult is not None:
        settings["network"]["sharing"]["unit"]["lr_scale"] = mult
    if biases is not None:
        settings["recipe"]["classifier_lr"] = biases
    return settings | more


def test_every_kind_of_record_is_found_again(script, tmp_path):
    one = Training(network=network(), data=DATA, recipe=recipe(steps=10, lr_mult={"classifier_bias": 2.0}))
    balance = EarlierLosses(run=one, one="normals/cosine")
    watched = Training(network=network(), data=DATA, recipe=recipe(steps=10, lr_mult={}), balance=balance)
    mult = {"classifier": 10.0, "classifier_bias": 20.0, "fusion": 100.0}
    both = Training(
        network=network(sharing=fused("nddr")),
        data=DATA,
        recipe=recipe(steps=10, lr_mult=mult),
        starts={"normals": one},
    )
    fast = both.model_copy(update={"recipe": both.recipe.model_copy(update={"lr_mult": mult | {"fusion": 10.0}})})
    subject = NetworkSettings(
        backbone="resnet10t", tasks=(Embedding(name="category", classes=1),), head=EmbeddingHead.Settings()
    )
    features = FeatureExtraction(subject=subject, data=DATA, reads=("calories",))
    taken = {"snapshots": {"is": "Snapshots", "data": DATA.canonical(), "count": 3, "every": 2}}
    old = {"one": written(tmp_path, "training", early(one, biases=[1.0, 2.0]))}
    balanced = watched.canonical()
    balanced["balance"]["run"] = old["one"]
    old["watched"] = written(tmp_path, "training", balanced | taken)
    starts = {"starts": {"normals": old["one"]}}
    old["both"] = written(tmp_path, "training", early(both, biases=[10.0, 20.0]) | starts)  # 100 was the default
    old["fast"] = written(tmp_path, "training", early(fast, 10, [10.0, 20.0]) | starts)
    data = DATA.canonical()
    for settings in (
        {"is": "Standard", "subject": old["both"], "data": data},
        {"is": "Ensemble", "subjects": [old["both"], old["fast"]], "data": data},
        {"is": "Averaged", "subject": old["watched"], "of": "scores"},
        {"is": "Retrieval", "features": features.canonical(), "k": 3},
    ):
        written(tmp_path, "evaluation", settings)
    written(
        tmp_path,
        "evaluation",
        {"is": "Speed", "networks": [], "reference": [], "size": [32, 32]},
        hardware={"device": "cpu", "machine": "x86_64", "threads": 2},
    )
    weights = tmp_path / ".state" / "weights" / f"{old['fast']}.safetensors"
    weights.parent.mkdir(parents=True)
    weights.touch()
    orphan = written(tmp_path, "evaluation", {"is": "Standard", "subject": "0" * 12, "data": data})

    renamed = script.migrate(tmp_path)
    assert {path.stem for path in (tmp_path / "training").glob("*")} == {
        node.identity for node in (one, watched, both, fast)
    }
    expected = [
        TestEvaluation(subject=both, data=DATA),
        Ensemble(subjects=(both, fast), data=DATA),
        SnapshotEnsemble(snapshots=snapshots(watched, DATA, count=3, every=2), average="scores"),
        Retrieval(features=features, k=3),
        Speed(networks=(), reference=(), size=(32, 32), hardware="cpu, x86_64, 2 threads"),
    ]
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "evaluation").glob("*")}
    assert found.keys() == {node.identity for node in expected} | {orphan}
    for node in (one, watched, both, fast, *expected):
        record = json.loads((tmp_path / node.kind / f"{node.identity}.json").read_text())
        assert (record["settings"], record["identity"]) == (json.loads(json.dumps(node.canonical())), node.identity)
        assert record["metrics"] == {"a": 0.1}
    assert weights.with_stem(renamed[old["fast"]]).exists()
    again = script.migrate(tmp_path)
    assert all(before == after for before, after in again.items())
