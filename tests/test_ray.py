"""Runs on a Ray cluster: the same records as without one, whatever is killed; what fails stops only what needs it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from nodes import runs
from typer.testing import CliRunner

from mtlkit import papers, ray_executor
from mtlkit.campaign import Wanted, goal
from mtlkit.cli import app
from mtlkit.errors import InputError
from mtlkit.papers import registry
from mtlkit.planning import jobs
from mtlkit.ray_executor import RETRIES, RayExecutor
from mtlkit.results import Results
from mtlkit.runtime import Runtime
from mtlkit.work import Event, Worker

HERE = find_spec("ray") is not None and sys.platform != "win32"  # where Ray starts no cluster of several nodes

TESTS = Path(__file__).parent
CHAIN = "chain_paper:ChainOptions"
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
RUNTIME = Runtime(device="cpu", progress=False, renew=True)


def on_a_cluster(test):
    """Slow, since a cluster takes a quarter of a minute to start, and each process of it seconds."""
    reason = "SKIPPED LOUDLY: Ray is not installed, or starts no cluster of several nodes on this system"
    return pytest.mark.slow(pytest.mark.skipif(not HERE, reason=reason)(test))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(registry.PAPERS, "chain", CHAIN)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A head and two nodes on this machine, that reach each other by its loopback alone."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Short, since sockets lie below it whose paths have a limit.
        folder = Path("/tmp") / f"mtlkit-ray-{os.getpid()}"
        (folder / "ray").mkdir(parents=True)
        patch.setenv("RAY_TMPDIR", str(folder))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        made = Cluster(initialize_head=True, head_node_args=NODE)
        for _ in range(2):
            made.add_node(**NODE)
        yield made
        made.shutdown()
        subprocess.run(["rm", "-rf", folder], check=True)


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def chain(log, **given):
    table = papers.table("chain", "1")
    return goal(Wanted(table, table.options(log=log, **given)))


def executor(cluster, results, *goals, **more):
    return RayExecutor(goals, results, RUNTIME, threads=1, address=cluster.address, **more)


def values(results):
    ledger = results.ledger("smoke")
    return {record.settings["name"]: record.metrics["sum"] for record in ledger.all("evaluation")}


def sums(*seeds):
    one = {"a": 1.0, "b": 2.0, "c": 2.0, "d": 5.0, "e": 1.0, "t": 1.0}
    return {f"{name}{seed}": value for seed in seeds for name, value in one.items()}


def told(events, what):
    return [event for _, event in events if event.what == what]


# --- what needs no cluster ---


def test_a_column_is_text_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = papers.table("nddr", "4")
    given = {"dataset": "folder", "data_root": "pictures", "weights": "w.safetensors", "seeds": "0,1", "lr": 0.02}
    wanted = Wanted(table, table.options(**given), ("single",), "rates")
    back = Wanted.from_json(wanted.to_json())
    assert (back.table, back.rows, back.about) == (table, ("single",), "rates")
    assert back.options == table.options(
        **given | {"data_root": str(tmp_path / "pictures"), "weights": str(tmp_path / "w.safetensors")}
    )
    assert Wanted.from_json(back.to_json()) == back
    plain = Wanted(table, table.options(weights="none"))
    assert Wanted.from_json(plain.to_json()) == plain


def test_a_paper_that_is_not_registered_there_is(log, monkeypatch):
    text = chain(log, seeds=(0, 1)).wanted.to_json()
    monkeypatch.delitem(registry.PAPERS, "chain")
    back = goal(Wanted.from_json(text))
    assert [node.identity for node in back.nodes] == [node.identity for node in chain(log, seeds=(0, 1)).nodes]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"runtime": replace(RUNTIME, device="cuda:1")}, "take auto, cpu or cuda"),
        ({"gpus": 2.0}, "can give it 0 to 1, not 2"),
        ({"gpus": 0.5}, "leave out --device or --gpus-per-run"),
        ({"address": "ray://host:10001"}, "start mtlkit work on a machine of the cluster"),
        ({"address": "localhost"}, "HOST:PORT or auto, not 'localhost'"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(more, says, tmp_path):
    given = {"goals": (), "results": Results(tmp_path), "runtime": RUNTIME, "threads": 1}
    with pytest.raises(InputError, match=says):
        RayExecutor(**given | more)


def test_without_ray_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'pip install "mtlkit\[ray\]"'):
        RayExecutor((), Results(tmp_path), RUNTIME, threads=1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--executor", "ray", "--workers", "2"], "leave out --workers"),
        (["--address", "auto"], "are for --executor ray"),
        (["--gpus-per-run", "0.5"], "are for --executor ray"),
    ],
)
def test_options_that_belong_to_another_executor_are_refused(words, says):
    result = CliRunner().invoke(app, ["work", "chain", "1", *words])
    assert isinstance(result.exception, InputError)
    assert says in str(result.exception)


def test_what_was_lost_is_said_and_its_place_is_taken_again():
    events, attempts = [], {}
    show = ray_executor.Places(lambda number, event: events.append((number, event)), attempts, several=True)

    def hear(what, who):
        event = {"what": what, "node": "x", "title": "net"}
        show.heard({"who": who, "host": who.partition("@")[2], "event": event})

    hear("start", "1@one")
    show.heard({"who": "3@one", "host": "one", "event": {"what": "start", "node": "y", "title": "net"}})
    hear("start", "2@two")
    hear("step", "2@two")
    show.ended(Event("done", "x", "net"))
    hear("step", "2@two")
    assert [(number, event.what) for number, event in events] == [
        (0, "start"), (1, "start"), (0, "lost"), (0, "start"), (0, "step"), (0, "done")
    ]  # fmt: skip
    assert events[2][1].sentence == "was lost with net on one (x), which starts again"
    assert events[-1][1].title == "net on two"
    assert attempts == {"x": ["1@one", "2@two"], "y": ["3@one"]}


# --- on a cluster ---


@pytest.fixture
def serial(tmp_path):
    """Nothing is the same but time and place."""

    def records(results, profile="smoke"):
        ledger, found = results.ledger(profile), {}
        for kind in ("training", "evaluation"):
            for record in ledger.all(kind):
                dumped = record.model_dump(exclude={"created", "seconds", "rounds"})
                dumped["timing"] = record.timing is not None
                found[record.identity] = dumped
        return found

    return records


@on_a_cluster
def test_records_of_a_real_table_are_those_of_a_serial_run(cluster, tmp_path, serial):
    table = papers.table("nddr", "4")
    given = {"backbone": "resnet10t", "image_size": (32, 40), "epochs": 0.02}
    one = goal(Wanted(table, table.options(**given), ("constant", "single", "multi", "nddr")))
    alone, shared = Results(tmp_path / "alone"), Results(tmp_path / "shared")
    assert Worker(jobs([one]), alone, RUNTIME, lambda event: None).run() == {}
    events = []
    made = executor(cluster, shared, one)
    places = []
    assert made.run(lambda number, event: events.append((number, event)), places.append) == {}
    assert places == [3]
    assert serial(shared) == serial(alone)
    assert len(serial(shared)) == 9
    assert all(len(attempts) == 1 for attempts in made.attempts.values()), "nothing ran twice"
    assert {event.node for event in told(events, "done")} == serial(shared).keys()
    again = executor(cluster, shared, one)
    assert again.run(lambda number, event: None) == {}
    assert again.attempts == {}


@on_a_cluster
def test_what_fails_or_crashes_leaves_a_sentence_and_stops_only_what_needs_it(cluster, tmp_path, log):
    results, events = Results(tmp_path / "results"), []
    one = chain(log, seeds=(0, 1, 2), fails=("b0",), crashes=("c1",))
    nodes = {node.name: node.identity for node in one.nodes}
    failed = executor(cluster, results, one).run(lambda number, event: events.append((number, event)))
    assert failed[nodes["b0"]] == "b0 cannot be had."
    assert failed.keys() == {nodes["b0"], nodes["c1"]}
    assert f"lost {RETRIES + 1} times" in failed[nodes["c1"]]
    assert {event.node for event in told(events, "failed")} == failed.keys()
    lacking = {"b0", "d0", "c1", "d1"}
    assert values(results) == {name: value for name, value in sums(0, 1, 2).items() if name not in lacking}
    assert runs(log).count("c1") == RETRIES + 1
    assert runs(log).count("b0") == 1
    note = results.ledger("smoke").state / "failed" / f"{nodes['b0']}.txt"
    assert note.read_text() == "b0 cannot be had."
    assert not list(results.ledger("smoke").state.glob("ray/*"))
    # Times are taken last, when nothing else runs.
    done = [event.node for event in told(events, "done")]
    assert set(done[-3:]) == {nodes[f"t{seed}"] for seed in range(3)}


@on_a_cluster
def test_a_node_that_is_killed_loses_nothing(cluster, tmp_path, log):
    results, events, killed = Results(tmp_path / "results"), [], []
    seeds = (0, 1, 2)
    one = chain(log, seeds=seeds, slow=4.0)
    made = executor(cluster, results, one)

    def tell(number, event):
        events.append((number, event))
        if event.what != "start" or len(told(events, "start")) <= 3 or killed:
            return
        # A node whose process is in the middle of a run, the newest first, unless the driver is connected to it.
        ended = {one.node for _, one in events if one.what != "start"}
        for run in reversed([one.node for one in told(events, "start") if one.node not in ended]):
            process = made.attempts[run][-1].partition("@")[0]
            parent = subprocess.run(["ps", "-o", "ppid=", "-p", process], capture_output=True, text=True).stdout.strip()
            for node in list(cluster.worker_nodes):
                if not killed and str(node.all_processes["raylet"][0].process.pid) == parent:
                    killed.append(run)
                    cluster.remove_node(node, allow_graceful=False)

    try:
        assert made.run(tell) == {}
    finally:
        if killed:
            cluster.add_node(**NODE)
    assert values(results) == sums(*seeds)
    assert killed
    # What is told comes late, so that another node may have run by then; what is lost has run twice, unless it was
    # lost before its first run left its file or was heard of.
    names = {node.identity: node.name for goal_node in one.nodes for node in (goal_node, *goal_node.after)}
    repeated = {name: number for name, number in Counter(runs(log)).items() if number > 1}
    lost = [event.sentence.rpartition("(")[2].partition(")")[0] for event in told(events, "lost")]
    assert all(event.sentence.endswith("), which starts again") for event in told(events, "lost"))
    assert list(repeated.values()) in ([], [2])
    assert len(lost) <= 1
    assert not (repeated and lost) or set(repeated) == {names[lost[0]]}


@on_a_cluster
def test_work_that_is_killed_goes_on_where_it_is_started_again(cluster, tmp_path, log):
    program = (
        f"from mtlkit.papers import registry; registry.PAPERS['chain'] = {CHAIN!r}; from mtlkit.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "work", "chain", "1", "--results-dir", str(tmp_path / "results")]
    command += ["-p", f"log={log}", "-p", "seeds=0,1,2", "-p", "slow=1", "--executor", "ray"]
    command += ["--address", cluster.address]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.time() + 200
    while len(list(log.iterdir())) < 8 and first.poll() is None and time.time() < deadline:
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = values(Results(tmp_path / "results"))
    assert before, "killed before the first record"
    assert len(before) < len(sums(0, 1, 2)), "killed too late"
    second = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    assert values(Results(tmp_path / "results")) == sums(0, 1, 2)
    counts = Counter(runs(log))
    assert max(counts.values()) <= 2
    assert all(counts[name] == 1 for name in before), "what was there was not run again"
    assert "found in the ledger" in second.stderr
    assert len(list((tmp_path / "results/smoke/table").glob("*.json"))) == 1


@on_a_cluster
def test_machines_that_do_not_fit_are_refused_before_anything_runs(cluster, tmp_path, log, monkeypatch):
    results = Results(tmp_path / "results")
    made = executor(cluster, results, chain(log))

    def nothing(number, event):
        raise AssertionError(event)

    with monkeypatch.context() as patch:
        patch.setattr(ray_executor, "here", lambda: {"python": "3.11.0", "torch": "1.0"})
        with pytest.raises(
            InputError, match=r"^\S+ has python \S+ and the machine .* 3.11.0; install the same versions"
        ):
            made.run(nothing)

    @contextmanager
    def elsewhere(self):
        yield "smoke/.state/ray/another.txt"

    with monkeypatch.context() as patch:
        patch.setattr(RayExecutor, "_token", elsewhere)
        with pytest.raises(InputError, match=r"has another folder .*results, or none; --results-dir has to name"):
            made.run(nothing)
    with pytest.raises(InputError, match=r"No machine of the Ray cluster has 1 CPUs and 0.5 GPUs"):
        replace(made, gpus=0.5, runtime=replace(RUNTIME, device="auto")).run(nothing)
    with pytest.raises(InputError, match="has no GPU"):
        replace(made, runtime=replace(RUNTIME, device="cuda")).run(nothing)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError, match=f"The Ray cluster {address} cannot be used"):
        replace(made, address=address).run(nothing)
    assert not list(log.iterdir())


@on_a_cluster
def test_weights_that_are_gone_are_made_anew_and_what_takes_too_long_is_left(cluster, tmp_path, log):
    results = Results(tmp_path / "results")
    one = chain(log)
    nodes = {node.name: node for node in one.nodes}
    late = executor(
        cluster, results, one, deadline=time.time() + 1000, seconds=lambda node: 5000.0 * (node.name == "b0")
    )
    events = []
    assert late.run(lambda number, event: events.append((number, event))) == {}
    assert [event.sentence for event in told(events, "later")] == ["it takes some 1 h 23 min"]
    assert values(results).keys() == {"a0", "c0", "e0", "t0"}
    ledger = results.ledger("smoke")
    first = nodes["b0"].after[0].identity
    before = ledger.path("evaluation", first).read_bytes()
    ledger.tensors_path("numbers", first).unlink()
    assert executor(cluster, results, one).run(lambda number, event: None) == {}
    assert values(results) == sums(0)
    assert Counter(runs(log)) == Counter(["a0", "a0", "b0", "c0", "d0", "e0", "t0"])
    assert ledger.path("evaluation", first).read_bytes() == before
