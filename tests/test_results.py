"""Published records and a reader's own: who reads what, and where it is written."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mtlkit import checkpoints, papers, results
from mtlkit.cli import app
from mtlkit.data.proposals import Proposals, SelectiveSearch
from mtlkit.errors import DamagedFile, InputError, WeightsMissing
from mtlkit.ledger import Ledger, Record
from mtlkit.papers import options
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.report.coverage import coverage
from mtlkit.reproduce import reproduce, stored
from mtlkit.results import PROFILES, Results, leftovers, merge, profiles, verify
from mtlkit.runtime import Runtime
from mtlkit.values import hash_of
from mtlkit.worlds import drawer, objects

TABLE = papers.table("nddr", "4")
GIVEN = {"backbone": "resnet10t", "image_size": (32, 40), "epochs": 0.02}
QUIET = Runtime(device="cpu", progress=False)


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_readers_runs_lie_in_the_checkout_apart_from_what_is_published(monkeypatch, tmp_path):
    monkeypatch.delenv("MTLKIT_RESULTS", raising=False)
    root = Path(__file__).parents[1]
    assert Results.of() == Results(root / "runs", root / "results")
    assert Results.of(tmp_path).published == root / "results"
    assert Results.of(root / "results").ledger("lite").under is None
    assert list(Results.of(root / "results").layers()) == ["published"]
    monkeypatch.setenv("MTLKIT_RESULTS", str(tmp_path / "named"))
    assert Results.of().own == tmp_path / "named"
    monkeypatch.delenv("MTLKIT_RESULTS")
    monkeypatch.setattr(results, "checkout", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert Results.of() == Results(tmp_path / "runs", None)


def test_runs_lie_over_published_ones_and_are_told_apart(tmp_path):
    published, both = Results(tmp_path / "published"), Results(tmp_path / "own", tmp_path / "published")
    reproduce(TABLE, NDDROptions(**GIVEN), runtime=QUIET, results=published, methods=["constant", "single"])
    before = files(tmp_path / "published")
    (found,) = stored(TABLE, both)
    assert found.origin == ""
    assert found.cell("single", "segmentation/miou").values
    more = reproduce(TABLE, NDDROptions(**GIVEN), runtime=QUIET, results=both, methods=["constant", "single", "multi"])
    assert files(tmp_path / "published") == before
    kinds = sorted(path.parent.name for path in (tmp_path / "own").rglob("*.json"))
    assert kinds == ["evaluation", "training"], "the shared network alone, and no second record of the column"
    assert ("Records", "–", "2 of your own runs, 5 of the book") in more.card()
    assert more.cell("multi", "segmentation/miou").values
    counts = coverage(both)["papers"]["nddr"]["tables"]["4"]["measured"]
    assert (counts["published"]["smoke"], counts["own"]["smoke"]) == (7, 7)


def test_other_weights_than_those_first_measured_are_said_on_the_card(tmp_path):
    where = Results(tmp_path)
    made = reproduce(TABLE, NDDROptions(**GIVEN), runtime=QUIET, results=where, methods=["single"])
    assert not made.renewed
    book = where.ledger("smoke")
    first, *_ = book.all("training")
    book.write(first.model_copy(update={"weights": "others"}))
    (found,) = stored(TABLE, where)
    assert found.renewed == {first.identity}
    assert any(what == "Trained again" and ours.startswith("1 network, ") for what, _, ours in found.card())


def measured(folder, metrics):
    """A results folder with a record for each of these metrics."""
    ledger = Ledger(folder / "lite")
    for number, value in metrics.items():
        settings = {"is": "Constant", "number": number}
        ledger.write(Record(kind="evaluation", identity=hash_of(settings), settings=settings, metrics={"a": value}))
    return folder


def test_verify_names_every_record_and_tensor_that_is_damaged(tmp_path):
    folder = measured(tmp_path / "runs", {1: 0.5, 2: 0.25, 3: 0.125})
    assert verify(folder) == (3, [])
    first, second, _ = sorted(folder.glob("lite/evaluation/*.json"))
    first.write_bytes(second.read_bytes())
    second.write_bytes(b"{")
    ledger = Ledger(folder / "lite")
    ledger.save("weights", "a", {"x": torch.zeros(3)})
    ledger.save("weights", "b", {"x": torch.zeros(3)}).encode()
    ledger.tensors_path("weights", "b").write_bytes(ledger.tensors_path("weights", "a").read_bytes())
    count, faults = verify(folder)
    assert (count, len(faults)) == (3, 3)
    for name, sentence in (
        (first.name, "holds the record of"),
        (second.name, "is not a record"),
        ("b.safetens", "another"),
    ):
        assert [fault for fault in faults if name in fault and sentence in fault]
    done = CliRunner().invoke(app, ["results", "verify", str(folder)])
    assert str(done.exception).startswith(f"3 files of {folder} are damaged")


def test_merge_joins_records_names_conflicts_and_overwrites_nothing(tmp_path):
    one, two = measured(tmp_path / "one", {1: 0.5, 2: 0.25}), measured(tmp_path / "two", {2: 0.25, 3: 0.125})
    own = measured(tmp_path / "own", {1: 0.5})
    before = files(own)
    assert merge([one, two], own) == (2, [])
    assert before.items() <= files(own).items()
    assert len(files(own)) == 3
    before = files(own)
    other = measured(tmp_path / "other", {3: 0.75, 4: 1.0})
    count, (conflict,) = merge([other], own)
    assert count == 1
    assert "holds other numbers than" in conflict
    threads = Ledger(tmp_path / "threads" / "lite")
    for record in Ledger(own / "lite").all("evaluation"):
        told = {"metrics": {"a": 0.3}, "hardware": {"threads": 2}}
        threads.write(record.model_copy(update=told))
    assert "holds other numbers (computed with 2 threads, not None) than" in merge([threads.root.parent], own)[1][0]
    assert before.items() <= files(own).items()
    done = CliRunner().invoke(app, ["results", "merge", str(other), "--results-dir", str(own)])
    assert "1 records differ" in str(done.exception)
    for source, sentence in ((own, "cannot be merged into itself"), (tmp_path, "holds no records")):
        with pytest.raises(InputError, match=sentence):
            merge([source], own)
    next(other.glob("lite/evaluation/*.json")).write_text("")
    with pytest.raises(InputError, match="is not a record"):
        merge([other], own)


def test_profiles_have_one_set_of_names():
    assert PROFILES == options.PROFILES


def annotated(folder, *places):
    """A data set with annotations in folders that could be a profile's or a kind's."""
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text('{"boxes": []}')
    return folder


@pytest.mark.parametrize("places", [["smoke/labels/1.json", "smoke/labels/2.json"], ["set/annotations/train.json"]])
def test_a_folder_of_something_else_is_no_results_folder_and_loses_nothing(places, tmp_path):
    fires = annotated(tmp_path / "fires", *places, "smoke/labels.json.a.part", "set/.state/weights/a.safetensors")
    before = files(fires)
    sentence = f"{fires} is no results folder; it holds no records in PROFILE/KIND/"
    calls = {
        "clean": ["clean", "--yes", "--results-dir", str(fires)],
        "verify": ["results", "verify", str(fires)],
        "merge": ["results", "merge", str(fires), "--results-dir", str(tmp_path / "own")],
    }
    for name, words in calls.items():
        error = CliRunner().invoke(app, words).exception
        assert isinstance(error, InputError), name
        assert str(error).startswith(sentence), name
        assert "remove" not in str(error)
    assert files(fires) == before


def test_files_of_something_else_beside_records_stay(tmp_path):
    folder = measured(tmp_path / "runs", {1: 0.5})
    smoke = Ledger(folder / "smoke")
    record = smoke.write(Record(kind="evaluation", identity="0123456789ab", settings={}))
    smoke.save("numbers", "a", {"x": torch.zeros(3)})  # of another project's node
    smoke.checkpoint("u").parent.mkdir()
    smoke.checkpoint("u").write_bytes(b"half")
    # A record that was copied elsewhere is no run's in that place.
    (folder / "smoke/copies").mkdir()
    (folder / "smoke/copies/0123456789ab.json").write_bytes(smoke.path("evaluation", record.identity).read_bytes())
    annotated(folder, "smoke/labels/1.json", "smoke/labels/abcdefabcdef.json", "smoke/.state/notes/mine.txt")
    annotated(folder, "set/train/1.json", "set/train/1.json.a.part", "set/.state/weights/a.safetensors")
    found = leftovers(folder)
    assert set(found) == {"smoke", "numbers", "checkpoints"}
    assert found["smoke"] == [smoke.path("evaluation", record.identity)]
    before = files(folder)
    assert CliRunner().invoke(app, ["clean", "--yes", "--results-dir", str(folder)]).exit_code == 0
    gone = [path for paths in found.values() for path in paths]
    assert files(folder) == {path: content for path, content in before.items() if path not in gone}
    stray = [fault for fault in verify(folder)[1] if "labels/1.json" in fault]
    assert stray == [f"{folder}/smoke/labels/1.json is not a record of this version; keep it in another folder."]


def test_a_results_folder_is_known_by_a_damaged_record_and_by_the_state_of_runs(tmp_path):
    assert leftovers(tmp_path / "none") == {}
    for place in ("one/lite/training/0123456789ab.json", "two/smoke/.state/locks/a.lock"):
        annotated(tmp_path, place)
    assert profiles(tmp_path / "one") == [tmp_path / "one/lite"]
    assert len(verify(tmp_path / "one")[1]) == 1
    assert profiles(tmp_path / "two") == [tmp_path / "two/smoke"]
    (tmp_path / "three/smoke/evaluation").mkdir(parents=True)
    assert (leftovers(tmp_path / "three"), verify(tmp_path / "three")) == ({}, (0, []))


def test_what_tensors_were_made_from_is_read_or_the_file_is_damaged(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.save("features", "a", {"x": torch.zeros(3)}, {"b": "0123"})
    path = ledger.tensors_path("features", "a")
    path.write_bytes(path.read_bytes().replace(rb"{\"b\"", rb"[\"b\""))
    with pytest.raises(WeightsMissing, match="is damaged or that of another run"):
        ledger.load("features", "a")
    with pytest.warns(DamagedFile):
        assert not ledger.keeps("features", "a")


def test_what_another_user_keeps_private_is_not_damaged(tmp_path, monkeypatch):
    folder = measured(tmp_path / "runs", {1: 0.5})
    ledger = Ledger(folder / "lite")
    ledger.save("weights", "a", {"x": torch.zeros(3)})
    checkpoints.save(ledger.checkpoint("b"), {"step": 1})
    Proposals(SelectiveSearch(), tmp_path).boxes(np.zeros((30, 40, 3), np.uint8))
    drawer("objects").write(tmp_path / "set", train=1, val=1, size=24, classes=objects.CLASSES[:2])
    before = files(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may read all
    for read in (
        lambda: ledger.keeps("weights", "a"),
        lambda: checkpoints.load(ledger.checkpoint("b"), torch.device("cpu")),
        lambda: Proposals(SelectiveSearch(), tmp_path).boxes(np.zeros((30, 40, 3), np.uint8)),
        lambda: drawer("objects").write(tmp_path / "set", train=1, val=1, size=24, classes=objects.CLASSES[:2]),
    ):
        with pytest.raises(InputError, match="cannot be read by this user; have it made readable, or name"):
            read()
    assert len(verify(folder)[1]) == 1
    assert files(tmp_path) == before
