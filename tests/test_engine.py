import errno
import hashlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from builders import NORMALS, SEGMENTATION, fused, network, network_of, recipe, room_data, training
from safetensors.torch import save_file

from mtlkit import checkpoints, files
from mtlkit import runs as runs_module
from mtlkit import training as training_module
from mtlkit.data.sampling import eval_loader
from mtlkit.data.transforms import Augmentation
from mtlkit.engine import Engine, Step
from mtlkit.errors import DamagedFile, InputError, WeightsMissing
from mtlkit.evaluations import Constant, Ensemble, SnapshotEnsemble, TestEvaluation, snapshots
from mtlkit.history import TrainingDiverged
from mtlkit.ledger import Ledger, Record
from mtlkit.runs import Training
from mtlkit.runtime import Runtime
from mtlkit.tasks import Segmentation

QUIET = Runtime(device="cpu", progress=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return room_data(tmp_path_factory.mktemp("rooms") / "set")


@pytest.fixture
def trained(monkeypatch):
    """Titles of the trainings that were done."""
    done = []
    original = runs_module.train
    monkeypatch.setattr(runs_module, "train", lambda *a, **k: (done.append(k["title"]), original(*a, **k))[1])
    monkeypatch.setattr(Training, "title", property(lambda t: "+".join(x.name for x in t.network.tasks)))
    return done


def pending(engine, goals):
    """The trainings that are still to be done."""
    return [step.node for step in engine.plan(goals) if isinstance(step.node, Training)]


def graph(data):
    """A fused network on two single-task networks, and the evaluations of all three."""
    how = recipe(steps=2)
    alone = {t.name: training(data, network=network((t,)), recipe=how) for t in (SEGMENTATION, NORMALS)}
    both = training(data, network=network(sharing=fused("nddr")), recipe=how, starts=alone)
    return [TestEvaluation(subject=t, data=data) for t in (*alone.values(), both)], both


def test_prerequisites_come_first_and_nothing_is_run_twice(data, tmp_path, trained):
    evaluations, _ = graph(data)
    engine = Engine(Ledger(tmp_path), Runtime(device="cpu", progress=True))
    assert len(pending(engine, evaluations)) == 3
    first = engine.run(reversed(evaluations))
    assert sorted(trained) == ["normals", "segmentation", "segmentation+normals"]
    assert trained[-1] == "segmentation+normals"
    again = Engine(Ledger(tmp_path), Runtime(device="cpu", progress=True)).run(evaluations)
    assert len(trained) == 3
    assert {k: r.model_dump() for k, r in again.items()} == {k: r.model_dump() for k, r in first.items()}
    assert pending(engine, evaluations) == []


def test_scoring_another_way_trains_nothing(data, tmp_path, trained):
    evaluations, _ = graph(data)
    engine = Engine(Ledger(tmp_path), Runtime(device="cpu", progress=True))
    engine.run(evaluations[:1])
    engine.run([evaluations[0].model_copy(update={"revision": 2})])
    assert len(trained) == 1


def test_a_network_that_cannot_take_its_images_is_refused_before_any_is_trained(data, tmp_path, trained):
    sound = training(data, recipe=recipe(steps=2))
    wrong = training(data, network=network(backbone="dla34"), recipe=recipe(steps=2))
    engine = Engine(Ledger(tmp_path), QUIET)
    with pytest.raises(InputError, match="dla34 cannot take images of 32 x 40 pixels, but those of 32 x 64"):
        engine.run(TestEvaluation(subject=each, data=data) for each in (sound, wrong))
    assert trained == []
    # Scored at another size than it is trained at; and one that a worker comes to by itself.
    crops = recipe(steps=2, augmentation=Augmentation(size=(32, 64)))
    with pytest.raises(InputError, match="of 32 x 40 pixels"):
        engine.run([training(data, network=network(backbone="dla34"), recipe=crops)])
    with pytest.raises(InputError, match="of 32 x 40 pixels"):
        engine.execute(Step(wrong, tensors=True))


def test_a_task_of_a_single_class_is_refused(data, tmp_path, trained):
    alone = training(data, network=network((Segmentation(classes=("all",)), NORMALS)))
    with pytest.raises(InputError, match=r"^All that segmentation could name is one class, .* or leave the task out"):
        Engine(Ledger(tmp_path), QUIET).run([alone])
    assert trained == []


def test_an_ensemble_of_one_is_its_network_and_of_two_the_mean_of_their_probabilities(data, tmp_path, trained):
    how = recipe(steps=2)
    members = tuple(training(data, network=network((SEGMENTATION,)), recipe=how, seed=seed) for seed in (7, 8))
    engine = Engine(Ledger(tmp_path), Runtime(device="cpu", progress=True))
    one, same, two = engine.run(
        [TestEvaluation(subject=members[0], data=data), *(Ensemble(subjects=members[:n], data=data) for n in (1, 2))]
    ).values()
    assert one.metrics == same.metrics
    assert len(trained) == 2
    nets = [network_of(engine, member) for member in members]
    by_hand = SEGMENTATION.metric()
    (test,) = data.splits("val", ("segmentation",))
    for batch in eval_loader([test], data.view, 4):
        with torch.inference_mode():
            mean = sum(net(batch.images)["segmentation"].softmax(1) for net in nets) / 2
        by_hand.update(mean.log(), batch.targets["segmentation"])
    expected = {f"segmentation/{key}": value for key, value in by_hand.compute().items()}
    assert two.metrics == pytest.approx(expected)


def test_a_fused_training_starts_from_exactly_its_prerequisites(data, tmp_path):
    _, both = graph(data)
    engine = Engine(Ledger(tmp_path), QUIET)
    engine.run(both.starts.values())
    started = both.started(engine.context()).state_dict()
    for task, start in both.starts.items():
        for key, value in network_of(engine, start).state_dict().items():
            assert (started[key.replace("trunk.shared.", f"trunk.towers.{task}.")] == value).all()


def test_the_record_says_what_ran(data, tmp_path):
    evaluations, both = graph(data)
    ledger = Ledger(tmp_path)
    Engine(ledger, QUIET).run(evaluations)
    record = ledger.find("training", both.identity)
    assert record.settings["starts"] == {task: start.identity for task, start in both.starts.items()}
    assert record.data["train_images"] == 8
    assert record.data["images_seen"] == 2 * 2 * 4
    assert record.history.steps == [2]
    assert set(record.history.losses) == {"segmentation/cross_entropy", "normals/cosine"}
    assert record.versions["torch"]
    assert record.hardware["device"] == "cpu"
    text = ledger.path("training", both.identity).read_text()
    assert str(tmp_path) not in text
    assert str(data.root) not in text


def test_the_constant_row_needs_no_network(data, tmp_path, trained):
    value = Constant(tasks=(SEGMENTATION, NORMALS), data=data)
    record = Engine(Ledger(tmp_path), QUIET).run([value])[value.identity]
    assert trained == []
    assert 0 < record.metrics["normals/encoded/mean"] < record.metrics["normals/decoded/mean"] < 90


@pytest.fixture
def poisoned(monkeypatch):
    """Names of the tasks of single-task networks whose loss is not a number."""
    tasks, original = set(), training_module.loss_terms

    def terms(net, outputs, batch):
        factor = float("nan") if len(net.tasks) == 1 and tasks & set(net.tasks) else 1.0
        return {name: loss * factor for name, loss in original(net, outputs, batch).items()}

    monkeypatch.setattr(training_module, "loss_terms", terms)
    return tasks


def test_a_training_that_diverges_leaves_a_record_and_the_rest_goes_on(data, tmp_path, trained, poisoned):
    poisoned.add("segmentation")
    evaluations, both = graph(data)
    one, other, fused_one = evaluations
    ledger = Ledger(tmp_path)
    runtime = Runtime(device="cpu", progress=True)
    found = Engine(ledger, runtime).run(evaluations)
    assert set(found) == {other.identity}, "what needs the training is left out"
    assert sorted(trained) == ["normals", "segmentation"], "no network starts from what diverged"
    record = ledger.find("training", one.subject.identity)
    assert (record.diverged.step, record.diverged.value, record.weights) == (1, "nan", None)
    assert record.diverged.loss == "segmentation/cross_entropy"
    assert record.timing.training > 0
    assert ledger.find("training", both.identity) is None
    assert not ledger.checkpoint(one.subject.identity).exists()
    assert "diverged" not in ledger.path("training", other.subject.identity).read_text()

    again = Engine(ledger, runtime)
    assert again.plan(evaluations) == []
    assert set(again.run(evaluations)) == {other.identity}
    assert len(trained) == 2, "it is not run again and again"
    for node in (one.subject, both):
        with pytest.raises(
            TrainingDiverged, match="segmentation/cross_entropy is nan at step 1; run again with --retr"
        ):
            again.tensors(node)
    assert len(trained) == 2

    told = Runtime(device="cpu", progress=True, retrain=True)
    assert set(Engine(ledger, told).run([fused_one])) == set()
    assert trained[2:] == ["segmentation"], "once, however many need it"
    poisoned.clear()
    assert set(Engine(ledger, told).run(evaluations)) == {value.identity for value in evaluations}
    assert trained[3:] == ["segmentation", "segmentation+normals"]
    assert ledger.find("training", one.subject.identity).diverged is None


def test_snapshots_of_a_training_that_diverges_are_not_asked_for_again(data, tmp_path, trained, poisoned):
    poisoned.add("normals")
    subject = training(data, network=network((NORMALS,)), recipe=recipe(steps=2))
    value = SnapshotEnsemble(snapshots=snapshots(subject, data, count=2, every=1))
    for _ in range(2):
        assert Engine(Ledger(tmp_path), Runtime(device="cpu", progress=True)).run([value]) == {}
    assert trained == ["normals"]


def test_two_processes_that_planned_the_same_snapshots_train_once(data, tmp_path, trained):
    subject = training(data, network=network((NORMALS,)), recipe=recipe(steps=2))
    value = SnapshotEnsemble(snapshots=snapshots(subject, data, count=2, every=1))
    engines = [Engine(Ledger(tmp_path), QUIET) for _ in range(2)]
    plans = [engine.plan([value]) for engine in engines]
    for engine, plan in zip(engines, plans, strict=True):
        for step in plan:
            engine.execute(step)
    assert len(trained) == 1
    assert engines[1].there(value, tensors=False)


def test_what_diverges_again_in_another_process_is_not_tried_a_third_time(data, tmp_path, trained, poisoned):
    poisoned.add("normals")
    value = TestEvaluation(subject=training(data, network=network((NORMALS,)), recipe=recipe(steps=2)), data=data)
    Engine(Ledger(tmp_path), QUIET).run([value])
    told = Runtime(device="cpu", progress=True, retrain=True)
    time.sleep(0.02)  # a file's time is that of the last tick of the clock
    engines = [Engine(Ledger(tmp_path), told) for _ in range(2)]
    time.sleep(0.02)
    for engine in engines:
        engine.run([value])
    assert len(trained) == 2


def test_gone_weights_are_said_and_retrained_only_when_told(data, tmp_path, trained):
    evaluations, _ = graph(data)
    ledger = Ledger(tmp_path)
    subject = evaluations[0].subject
    before = Engine(ledger, QUIET).run(evaluations[:1])[evaluations[0].identity].metrics
    ledger.tensors_path("weights", subject.identity).unlink()
    ledger.path("evaluation", evaluations[0].identity).unlink()
    with pytest.raises(WeightsMissing, match="--retrain"):
        Engine(ledger, QUIET).run(evaluations[:1])
    told = Runtime(device="cpu", progress=False, retrain=True)
    assert Engine(ledger, told).run(evaluations[:1])[evaluations[0].identity].metrics == before
    assert len(trained) == 2


def test_scoring_again_adds_what_early_records_lack_and_trains_nothing(data, tmp_path, trained):
    evaluations, _ = graph(data)
    ledger = Ledger(tmp_path)
    ((identity, whole),) = Engine(ledger, QUIET).run(evaluations[:1]).items()
    assert whole.drawn["segmentation"].groups == 4
    ledger.write(whole.model_copy(update={"resampled": {}, "drawn": {}}))
    assert not Engine(ledger, QUIET).run(evaluations[:1])[identity].drawn
    again = Engine(ledger, Runtime(device="cpu", progress=False, rescore=True)).run(evaluations[:1])[identity]
    assert (again.metrics, again.resampled, again.drawn) == (whole.metrics, whole.resampled, whole.drawn)
    assert len(trained) == 1


def test_weights_of_another_run_and_damaged_ones_are_set_aside(data, tmp_path, trained):
    evaluations, _ = graph(data)
    ledger = Ledger(tmp_path)
    Engine(ledger, QUIET).run(evaluations[:2])
    one, other = (e.subject.identity for e in evaluations[:2])
    path = ledger.tensors_path("weights", one)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[-1] ^= 1
    for content in (ledger.tensors_path("weights", other).read_bytes(), bytes(changed), whole[:-8], b""):
        path.write_bytes(content)
        with pytest.raises(WeightsMissing, match=f"{one}.safetensors is damaged or that of another run"):
            ledger.load("weights", one)
        with (
            pytest.warns(DamagedFile, match=f"{one}.safetensors was damaged and is {one}.safetensors.damaged now"),
            pytest.raises(
                WeightsMissing, match=f"weights of training {one} are no longer kept; run again with --retrain"
            ),
        ):
            network_of(Engine(Ledger(tmp_path), QUIET), evaluations[0].subject)
        assert not path.exists()
    assert len(trained) == 2
    network_of(Engine(ledger, Runtime(device="cpu", progress=False, retrain=True)), evaluations[0].subject)
    assert len(trained) == 3
    assert ledger.load("weights", one)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda text, other: other, "holds the record of evaluation"),
        (lambda text, other: text.replace('"is": "Constant"', '"is": "Constants"'), "holds other settings than those"),
        (lambda text, other: json.dumps(json.loads(text) | {"metrics": {}}), "holds no result"),
        (
            lambda text, other: text.replace('"kind": "evaluation"', '"kind": "training"'),
            "holds the record of training",
        ),
        (lambda text, other: text[:100], "is not a record of this version"),
        (lambda text, other: text.replace("0", "\udcff"), "is not a record of this version"),
    ],
    ids=["another's", "settings", "empty", "kind", "truncated", "no UTF-8"],
)
def test_a_record_that_does_not_fit_its_name_is_refused(data, tmp_path, damage, sentence):
    nodes = [Constant(tasks=(task,), data=data) for task in (SEGMENTATION, NORMALS)]
    ledger = Ledger(tmp_path)
    Engine(ledger, QUIET).run(nodes)
    path, other = (ledger.path(node.kind, node.identity) for node in nodes)
    path.write_bytes(damage(path.read_text(), other.read_text()).encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=f"{path.name} {sentence}.*; remove it to run its node again"):
        ledger.find(nodes[0].kind, nodes[0].identity)


def test_the_digest_of_kept_tensors_is_that_of_a_file_without_metadata(tmp_path):
    tensors = {"b": torch.arange(3.0), "a": torch.arange(4)}
    ledger = Ledger(tmp_path)
    digest = ledger.save("weights", "x", tensors)
    plain = tmp_path / "plain.safetensors"
    save_file(tensors, plain)
    assert digest == hashlib.sha256(plain.read_bytes()).hexdigest()
    plain.replace(ledger.tensors_path("weights", "x"))  # as earlier versions kept them
    assert ledger.load("weights", "x")[1] == digest


def test_the_oldest_tensors_go_when_room_is_needed_whatever_they_are_of(tmp_path):
    ledger = Ledger(tmp_path, kept_limit=3200)
    for folder, name in (("weights", "a"), ("features", "b"), ("weights", "c")):
        ledger.save(folder, name, {"x": torch.zeros(300)})
        time.sleep(0.02)
    assert sorted(file.stem for file, *_ in ledger.kept()) == ["b", "c"]


def test_a_ledger_reads_the_one_underneath_and_never_writes_there(tmp_path):
    under = Ledger(tmp_path / "under")
    under.write(Record(kind="evaluation", identity="a", settings={}, metrics={"x": 1.0}))
    digest = under.save("weights", "t", {"x": torch.ones(2)})
    before = {path: path.read_bytes() for path in under.root.rglob("*") if path.is_file()}
    over = Ledger(tmp_path / "over", under)
    assert over.find("evaluation", "a").metrics == {"x": 1.0}
    assert not over.own("evaluation", "a")
    assert over.load("weights", "t")[1] == digest
    assert not over.root.exists()
    over.write(Record(kind="evaluation", identity="a", settings={}, metrics={"x": 2.0}))
    over.write(Record(kind="evaluation", identity="b", settings={}))
    over.save("weights", "t", {"x": torch.zeros(2)})
    assert [record.metrics.get("x") for record in over.all("evaluation")] == [2.0, None]
    assert over.load("weights", "t")[1] != digest
    assert {path: path.read_bytes() for path in under.root.rglob("*") if path.is_file()} == before


def test_what_is_trained_anew_for_its_weights_keeps_its_record_and_is_named_where_it_is_read(data, tmp_path, trained):
    evaluations, _ = graph(data)
    ledger = Ledger(tmp_path)
    one = evaluations[0]
    Engine(ledger, QUIET).run([one])
    record = ledger.find("training", one.subject.identity)
    assert ledger.find("evaluation", one.identity).loaded == {one.subject.identity: record.weights}
    ledger.write(record.model_copy(update={"weights": "of another machine"}))
    other = ledger.find("training", one.subject.identity)
    ledger.tensors_path("weights", one.subject.identity).unlink()
    ledger.path("evaluation", one.identity).unlink()
    Engine(ledger, Runtime(device="cpu", progress=False, retrain=True)).run([one])
    assert len(trained) == 2
    assert ledger.find("training", one.subject.identity) == other
    assert ledger.find("evaluation", one.identity).loaded == {one.subject.identity: record.weights}


KILLED = """
import os, signal, sys
from pathlib import Path
from mtlkit.files import written_whole
from mtlkit.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.lock("b").acquire()
paths = ledger.checkpoint("a"), ledger.tensors_path("weights", "a"), ledger.path("training", "a")
writing = [written_whole(path) for path in paths]
for file in writing:
    file.__enter__().write_text("half")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_killed_processes_left_goes_with_the_next_run_and_nothing_of_others(tmp_path):
    ledger = Ledger(tmp_path)
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    left = [path for path in tmp_path.rglob("*") if path.suffix in (".part", ".lock")]
    assert len(left) == 4
    ledger.save("weights", "done", {"x": torch.zeros(1)})
    ledger.write(Record(kind="training", identity="done", settings={}))
    ledger.save("weights", "redone", {"x": torch.zeros(1)})
    ledger.write(Record(kind="training", identity="redone", settings={}))
    for identity in ("done", "redone", "unfinished"):
        ledger.checkpoint(identity).write_bytes(b"state")
    os.utime(ledger.checkpoint("done"), (time.time() - 60,) * 2)  # before its record; the other's came after it
    assert ledger.load("weights", "redone") is not None  # which marks the weights as used just now
    old, young = ledger.state / "weights/x.0123456789ab.part", ledger.state / "weights/y.0123456789ab.part"
    for path, age in ((old, 2 * files.FOREIGN_SECONDS), (young, 600.0)):
        path.write_bytes(b"half, of another machine")
        os.utime(path, (time.time() - age,) * 2)
    with files.written_whole(ledger.path("training", "c")) as mine, ledger.lock("d"):
        mine.write_text("whole")
        Engine(ledger, QUIET).run([])
        assert mine.exists()
        assert ledger.lock("d").is_locked
    rest = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    redone = {"redone.json", "redone.safetensors", "redone.pt"}
    assert rest == redone | {"done.json", "done.safetensors", "unfinished.pt", "c.json", young.name}


@pytest.mark.parametrize("room", [0, 2000])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(data, tmp_path, room):
    """A limit on the size of files, which the system answers as it does a full disk."""
    subject = training(data, network=network((NORMALS,)), recipe=recipe(steps=2))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(files.NotWritten) as raised:
            Engine(Ledger(tmp_path), replace(QUIET, checkpoint_seconds=0)).run([subject])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert re.fullmatch(r"/\S+ cannot be written \(File too large\); free some space there\.", str(raised.value))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_read_only_folder_is_a_sentence(data, tmp_path, monkeypatch):
    def refuse(*given, **more):
        raise PermissionError(errno.EACCES, "Permission denied")

    subject = training(data, network=network((NORMALS,)), recipe=recipe(steps=2))
    ledger = Ledger(tmp_path)
    ledger.lock("a")  # its folder
    monkeypatch.setattr("filelock._soft.os.open", refuse)
    with pytest.raises(InputError, match=r"cannot be written \(Permission denied\); name a place that can be written"):
        Engine(ledger, QUIET).run([subject])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_files_of_a_shared_folder_follow_the_umask(tmp_path):
    ledger, before = Ledger(tmp_path), os.umask(0o002)
    try:
        ledger.save("weights", "a", {"x": torch.zeros(3)})
        ledger.write(Record(kind="training", identity="a", settings={}))
        checkpoints.save(ledger.checkpoint("a"), {"step": 1})
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("a.safetensors", "a.json", "a.pt"), 0o664)


def test_what_a_run_needs_is_never_let_go(data, tmp_path, trained):
    evaluations, _ = graph(data)
    ledger = Ledger(tmp_path, kept_limit=1)
    Engine(ledger, QUIET).run(evaluations)
    assert len(trained) == 3
    assert ledger.needed == ()
    ledger.save("features", "x", {"x": torch.zeros(3)})
    assert [file.stem for file, *_ in ledger.kept()] == ["x"]


def test_who_waits_says_once_for_whom(data, tmp_path, capsys):
    subject = training(data, network=network((NORMALS,)), recipe=recipe(steps=2))
    held = threading.Event()

    def other():
        with Ledger(tmp_path).lock(subject.identity):
            held.set()
            time.sleep(0.5)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    Engine(Ledger(tmp_path), QUIET).run([subject])
    thread.join()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Waiting")]
    host = socket.gethostname()
    assert lines == [f"Waiting for process {os.getpid()} on {host}, which runs {subject.title} ({subject.identity})."]


def test_a_training_that_goes_on_with_other_threads_says_so(tmp_path):
    device = torch.device("cpu")
    checkpoints.save(tmp_path / "a.pt", {"step": 1})
    assert checkpoints.load(tmp_path / "a.pt", device)["threads"] == 1
    torch.set_num_threads(2)
    try:
        with pytest.warns(RuntimeWarning, match="began with 1 threads and goes on with 2; its numbers will not equal"):
            checkpoints.load(tmp_path / "a.pt", device)
    finally:
        torch.set_num_threads(1)


def test_two_checkpoints_of_one_training_never_share_a_part(tmp_path, monkeypatch):
    parts = []
    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda part, content: (parts.append(part), write(part, content)))
    for _ in range(2):
        checkpoints.save(tmp_path / "a.pt", {})
    assert len(set(parts)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_weights_behind_features_and_predictions_are_named_where_these_are_read(data, tmp_path):
    subject = training(data, network=network((NORMALS,)), recipe=recipe(steps=2))
    value = SnapshotEnsemble(snapshots=snapshots(subject, data, count=2, every=1))
    ledger = Ledger(tmp_path)
    Engine(ledger, QUIET).run([value])
    loaded = ledger.find("evaluation", value.identity).loaded
    assert loaded[subject.identity] == ledger.find("training", subject.identity).weights
    assert loaded.keys() == {subject.identity, *(one.identity for one in value.snapshots)}


def test_a_record_is_whole_or_not_there(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.write(Record(kind="evaluation", identity="a", settings={}, metrics={"x": float("nan"), "y": 1.5}))
    found = ledger.find("evaluation", "a")
    assert found.metrics == {"x": None, "y": 1.5}
    assert json.loads(ledger.path("evaluation", "a").read_text())["identity"] == "a"
    assert ledger.find("evaluation", "b") is None
    ledger.path("evaluation", "c").write_text('{"kind": "eval')
    with pytest.raises(InputError, match=r"c\.json is not a record"):
        ledger.find("evaluation", "c")
    assert not list(tmp_path.glob("**/*.part"))


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no device 'gpu'; valid are"):
        Runtime(device="gpu").fabric()


COMMAND = [sys.executable, "-m", "mtlkit.cli", "run", "nddr", "4", "single", "nddr", "--image-size", "32", "40"]
COMMAND += ["--epochs", "4", "--device", "cpu", "--checkpoint-seconds", "0", "--output", "csv"]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def metrics(folder: Path) -> dict[str, dict]:
    files = (folder / "smoke" / "evaluation").glob("*.json")
    return {file.stem: json.loads(file.read_text())["metrics"] for file in files}


@pytest.mark.slow  # over a minute; every other property of resume has a quick test
def test_killed_in_a_step_and_run_again_and_two_at_once(tmp_path):
    """Kill -9 while a training runs, run again; the same metrics, bit for bit, as two undisturbed runs side by side."""
    disturbed, shared = tmp_path / "disturbed", tmp_path / "shared"
    running = subprocess.Popen([*COMMAND, "--results-dir", disturbed], stdout=subprocess.DEVNULL, env=ONE_THREAD)
    deadline = time.time() + 120
    while not list(disturbed.glob("smoke/.state/checkpoints/*.pt")) and time.time() < deadline:
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert list(disturbed.glob("smoke/.state/checkpoints/*.pt")), "killed before the first checkpoint"
    assert not metrics(disturbed)
    subprocess.run([*COMMAND, "--results-dir", disturbed], check=True, stdout=subprocess.DEVNULL, env=ONE_THREAD)

    both = [
        subprocess.Popen([*COMMAND, "--results-dir", shared], stdout=subprocess.PIPE, text=True, env=ONE_THREAD)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=400)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0] == outputs[1]
    assert "NDDR" in outputs[0]
    assert len(list((shared / "smoke/training").glob("*.json"))) == 3  # each training once
    assert metrics(shared) == metrics(disturbed)
