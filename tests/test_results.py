"""Published records and a reader's own: who reads what, and where it is written."""

from pathlib import Path

from mtlkit import papers, results
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.report.coverage import coverage
from mtlkit.reproduce import reproduce, stored
from mtlkit.results import Results
from mtlkit.runtime import Runtime

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
    assert ("Records", "–", "2 of your own runs, 5 published") in more.card()
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
