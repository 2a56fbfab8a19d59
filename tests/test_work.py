"""Workers: what is open is taken once, in order; what fails, is held, is slow or must be alone is left."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from nodes import Diverging, Reading, Task, Timed, runs

from mtlkit import work as work_module
from mtlkit.crew import Crew, _work
from mtlkit.display import Display
from mtlkit.engine import Engine
from mtlkit.errors import InputError
from mtlkit.ledger import Ledger
from mtlkit.results import Results
from mtlkit.runtime import Runtime
from mtlkit.work import Event, Job, Worker

RUNTIME = Runtime(device="cpu", progress=False, renew=True)


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def chain(log, **more):
    """Two that need a first one, one that needs both, and one alone."""
    first = Task(name="a", log=log, **more.get("a", {}))
    second, third = (Task(name=name, after=(first,), log=log, **more.get(name, {})) for name in "bc")
    return first, second, third, Task(name="d", after=(second, third), log=log), Task(name="e", log=log)


def worker(tmp_path, *goals, **more):
    events = []
    made = Worker([Job("smoke", goals)], Results(tmp_path / "results"), RUNTIME, events.append, **more)
    return made, events


def told(events, what):
    return [event for event in events if event.what == what]


def values(tmp_path):
    ledger = Ledger(tmp_path / "results" / "smoke")
    return {record.settings["name"]: record.metrics["sum"] for record in ledger.all("evaluation")}


def test_everything_runs_once_prerequisites_first_and_is_told(tmp_path, log):
    made, events = worker(tmp_path, *chain(log)[3:])
    assert made.run() == {}
    assert values(tmp_path) == {"a": 1.0, "b": 2.0, "c": 2.0, "d": 5.0, "e": 1.0}
    assert runs(log) == ["a", "b", "c", "d", "e"]
    order = [event.node for event in told(events, "done")]
    assert order == [event.node for event in told(events, "start")]
    assert order[:1] + order[-1:] == [chain(log)[0].identity, chain(log)[4].identity]
    again, events = worker(tmp_path, *chain(log)[3:])
    assert again.run() == {}
    assert events == []


def test_a_failure_leaves_its_sentence_and_stops_only_what_needs_it(tmp_path, log):
    nodes = chain(log, b={"fails": True})
    made, events = worker(tmp_path, *nodes[3:])
    assert made.run() == {nodes[1].identity: "b cannot be had."}
    assert [event.sentence for event in told(events, "failed")] == ["b cannot be had."]
    assert values(tmp_path).keys() == {"a", "c", "e"}
    assert (tmp_path / "results/smoke/.state/failed" / f"{nodes[1].identity}.txt").read_text() == "b cannot be had."
    # Who starts later tries again.
    later, _ = worker(tmp_path, *chain(log)[3:])
    assert later.run() == {}
    assert values(tmp_path)["d"] == 5.0
    assert not list((tmp_path / "results/smoke/.state/failed").iterdir())


def test_a_sentence_with_a_name_that_is_no_utf_8_stops_nothing(tmp_path, log, monkeypatch):
    def unread(self, context):
        raise InputError("/data/caf\udce9.jpg cannot be read; copy it again.")

    monkeypatch.setattr(Reading, "run", unread)
    made, _ = worker(tmp_path, Reading(name="a", log=log), Task(name="b", log=log))
    assert list(made.run().values()) == ["/data/caf\udce9.jpg cannot be read; copy it again."]
    assert values(tmp_path) == {"b": 1.0}
    (note,) = (tmp_path / "results/smoke/.state/failed").iterdir()
    assert note.read_text() == "/data/caf\\udce9.jpg cannot be read; copy it again."


def test_a_damaged_record_stops_only_what_it_belongs_to(tmp_path, log):
    first, *_, last, alone = chain(log)
    made, events = worker(tmp_path, last, alone)
    ledger = Ledger(tmp_path / "results" / "smoke")
    path = ledger.path("evaluation", first.identity)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    found = made.run()
    assert found.keys() == {last.identity}
    assert str(path) in found[last.identity]
    assert [event.node for event in told(events, "failed")] == [last.identity]
    assert runs(log) == ["e"]


def test_what_failed_meanwhile_in_another_process_is_not_tried_here(tmp_path, log):
    nodes = chain(log)
    made, events = worker(tmp_path, *nodes[3:])
    note = tmp_path / "results/smoke/.state/failed" / f"{nodes[0].identity}.txt"
    note.parent.mkdir(parents=True)
    note.write_text("no room")
    os.utime(note, (time.time() + 60, time.time() + 60))
    assert made.run() == {nodes[0].identity: "no room"}
    assert runs(log) == ["e"]
    assert told(events, "failed") == []


def test_a_folder_that_cannot_be_written_is_a_sentence_a_node(tmp_path, log):
    (tmp_path / "results").write_text("no folder")
    made, _ = worker(tmp_path, Task(name="a", log=log))
    assert list(made.run().values()) == [
        f"{tmp_path / 'results' / 'smoke'} cannot be written (Not a directory); name a place that can be written."
    ]


def test_what_others_hold_is_skipped_and_waited_for_at_the_end(tmp_path, log, monkeypatch):
    nodes = chain(log)
    book = Ledger(tmp_path / "results" / "smoke")
    lock = book.lock(nodes[1].identity)
    lock.acquire()
    slept = []

    def sleep(seconds):
        if seconds != work_module.WAIT_SECONDS:
            return
        slept.append(runs(log))
        lock.release()

    monkeypatch.setattr(work_module.time, "sleep", sleep)
    made, _ = worker(tmp_path, *nodes[3:])
    assert made.run() == {}
    assert slept[0] == ["a", "c", "e"], "all that could be done meanwhile"
    assert values(tmp_path)["d"] == 5.0


def test_nothing_is_taken_that_does_not_end_in_time(tmp_path, log):
    nodes = chain(log)
    seconds = {nodes[0].identity: 1000.0}
    made, events = worker(
        tmp_path, *nodes[3:], deadline=time.time() + 100, seconds=lambda node: seconds.get(node.identity)
    )
    assert made.run() == {}
    assert runs(log) == ["e"]
    assert [event.sentence for event in told(events, "later")] == ["it takes some 17 min"]


def test_what_this_machine_is_slow_at_is_left_to_another(tmp_path, log):
    made, events = worker(tmp_path, *chain(log)[3:], unfit=lambda node: "slow here" * (node.name == "c"))
    made.run()
    assert runs(log) == ["a", "b", "e"]
    assert [event.sentence for event in told(events, "later")] == ["slow here"]


def test_weights_that_are_gone_are_made_anew_and_the_record_stays(tmp_path, log):
    first, second, *_ = chain(log)
    worker(tmp_path, first)[0].run()
    book = Ledger(tmp_path / "results" / "smoke")
    before = book.path("evaluation", first.identity).read_bytes()
    book.tensors_path("numbers", first.identity).unlink()
    made, _ = worker(tmp_path, second)
    assert made.run() == {}
    assert runs(log) == ["a", "a", "b"]
    assert book.path("evaluation", first.identity).read_bytes() == before


def test_weights_that_others_let_go_again_and_again_are_a_failure_and_no_endless_loop(tmp_path, log, monkeypatch):
    *_, last, _ = chain(log)
    monkeypatch.setattr(Ledger, "needed", property(lambda self: (), lambda self, needed: None), raising=False)
    results = Results(tmp_path / "results", kept_limit=10)
    failed = Worker([Job("smoke", (last,))], results, RUNTIME, lambda event: None).run()
    assert set(failed.values()) == {"Its weights are let go before they are used; give --weights-limit more room."}


def test_workers_side_by_side_do_everything_once_and_times_last(tmp_path, log):
    first = [Task(name=f"a{place}", seconds=0.3, log=log) for place in range(4)]
    goals = [Task(name=f"b{place}", after=(one,), seconds=0.3, log=log) for place, one in enumerate(first)]
    alone = Timed(name="t", log=log)
    events = []
    crew = Crew([Job("smoke", (alone, *goals))], Results(tmp_path / "results"), [RUNTIME] * 3, threads=1)
    assert crew.run(lambda number, event: events.append((number, event))) == {}
    assert runs(log) == sorted([*(f"{name}{place}" for name in "ab" for place in range(4)), "t"])
    assert values(tmp_path) == {f"a{n}": 1.0 for n in range(4)} | {f"b{n}": 2.0 for n in range(4)} | {"t": 1.0}
    done = [event.node for _, event in events if event.what == "done"]
    assert done[-1] == alone.identity
    assert len({path.read_text() for path in log.iterdir()}) > 1, "several processes worked"


def test_killed_workers_lose_nothing(tmp_path, log):
    """One worker after the other is killed without grace; the parent does what is left."""
    goals = [Task(name=f"n{place}", seconds=0.2, log=log) for place in range(12)]
    crew = Crew([Job("smoke", tuple(goals))], Results(tmp_path / "results"), [RUNTIME] * 2, threads=1)
    lost, others = [], set(multiprocessing.active_children())

    def tell(number, event):
        if event.what == "start" and len(lost) < 2:
            victim = min({*multiprocessing.active_children()} - others, key=lambda process: process.pid)
            os.kill(victim.pid, signal.SIGKILL)
        if event.what == "lost":
            lost.append(number)

    assert crew.run(tell) == {}
    assert len(lost) == 2
    assert values(tmp_path) == {f"n{place}": 1.0 for place in range(12)}


def test_a_claim_without_a_name_is_free_after_a_while(tmp_path, log, monkeypatch):
    """A process was killed between making the file and writing into it."""
    monkeypatch.setattr("mtlkit.ledger.UNSIGNED_SECONDS", 0.3)
    goal = Task(name="a", log=log)
    work, _ = worker(tmp_path, goal)
    claim = Path(Results(tmp_path / "results").ledger("smoke").lock(goal.identity).lock_file)
    claim.touch()
    assert work.run() == {}
    assert values(tmp_path) == {"a": 1.0}
    ledger = Results(tmp_path / "results").ledger("smoke")
    claim.touch()
    assert ledger.held(goal.identity), "it may be about to be written"
    with ledger.hold(goal.identity, "a"):  # waits for it
        assert claim.read_text()


def test_workers_may_start_processes_that_read_data(tmp_path, log):
    goals = tuple(Reading(name=name, log=log) for name in "ab")
    crew = Crew([Job("smoke", goals)], Results(tmp_path / "results"), [RUNTIME] * 2, threads=1)
    assert crew.run(lambda number, event: None) == {}
    assert values(tmp_path) == {"a": 1.0, "b": 1.0}


def test_what_fails_or_diverges_is_tried_once_however_many_workers_there_are(tmp_path, log):
    diverging = Diverging(name="d", log=log)
    worker(tmp_path, diverging)[0].run()
    goals = (diverging, Task(name="f", fails=True, log=log))
    crew = Crew([Job("smoke", goals)], Results(tmp_path / "results"), [replace(RUNTIME, retrain=True)] * 3, threads=1)
    assert list(crew.run(lambda number, event: None).values()) == ["f cannot be had."]
    assert runs(log) == ["d", "d", "f"]


def test_a_worker_whose_parent_is_gone_ends_and_its_node_has_not_failed(tmp_path, log):
    crew = Crew([Job("smoke", (Task(name="a", log=log),))], Results(tmp_path / "results"), [RUNTIME], threads=1)
    here, there = multiprocessing.Pipe(duplex=False)
    here.close()
    with pytest.raises(SystemExit):
        _work(crew, 0, there)
    assert not list((tmp_path / "results").rglob("failed/*"))
    assert not list((tmp_path / "results").rglob("*.lock")), "others may take it at once"


def test_a_log_has_a_line_for_every_start_tenth_and_end(tmp_path, capsys):
    display = Display({"x": 30.0, "y": None}, workers=1)
    with display:
        display.tell(0, Event("start", "x", "net"))
        display.tell(0, Event("step", "x", "net", 40, 100))
        display._shown_at = float("-inf")
        for done in (41, 49, 50, 60):
            display.tell(0, Event("step", "x", "net", done, 100))
        display.tell(0, Event("done", "x", "net", seconds=70))
        display.tell(0, Event("failed", "y", "other", sentence="no file"))
    lines = [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "net (x) starts",
        "net (x) resumed at step 40 of 100",
        "net (x) step 50 of 100",
        "net (x) done in 70 s; 1 done, 0 running, 1 open",
        "other (y) failed: no file",
    ]
    assert display.state() == "1 done, 0 running, 0 open, 1 failed"


def test_a_display_counts_what_was_not_open_at_first_and_says_once_what_is_left(capsys):
    display = Display({"x": None}, workers=2)
    display.tell(0, Event("start", "gone", "weights again"))
    assert display.state() == "0 done, 1 running, 1 open"
    for number in range(2):
        display.tell(number, Event("later", "x", "net", sentence="slow here"))
    assert capsys.readouterr().err.count("slow here") == 1


def test_a_worker_can_be_given_time_alone(tmp_path, log):
    made, _ = worker(tmp_path, Timed(name="t", log=log), alone=False)
    assert made.run() == {}
    assert runs(log) == []
    assert Engine(Results(tmp_path / "results").ledger("smoke"), RUNTIME).plan([Timed(name="t", log=log)])


def test_what_failed_in_another_process_just_before_the_node_was_taken_is_not_tried_again(tmp_path, log, monkeypatch):
    task = Task(name="a", log=log)
    made, _ = worker(tmp_path, task)
    found = iter(["", "no room"])  # at the look before, and with the node in hand
    monkeypatch.setattr(work_module, "failure", lambda *_: next(found, "no room"))
    assert made.run() == {task.identity: "no room"}
    assert runs(log) == []
