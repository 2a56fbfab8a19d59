"""The check of a GPU, on the CPU; ``make gpu-check`` has the real one."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from builders import recipe, room_data, training

from mtlkit.reproduce import reproduce
from mtlkit.runtime import Runtime

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
QUIET = Runtime(device="cpu", progress=False)


@pytest.fixture(scope="module")
def checks():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import gpu_check

        yield gpu_check
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    return training(room_data(tmp_path_factory.mktemp("rooms") / "set"), recipe=recipe(steps=500))


@pytest.fixture
def one_network(checks, rooms, monkeypatch):
    """A paper of one network, which its table has at every profile."""
    found = [checks.Rehearsed(rooms, ["4/multi"])]
    for name in ("default_networks", "networks"):
        monkeypatch.setattr(checks, name, lambda paper: found)
    monkeypatch.setattr(checks, "on_tiny_folders", lambda training, root: training)
    monkeypatch.setattr(checks, "reproduce", lambda table, options, **more: None)
    return found[0]


def test_a_check_of_the_cpu_says_its_sizes_and_compares_its_precisions(checks, one_network, tmp_path, capsys):
    assert checks.main(["--device", "cpu", "--only", "nddr", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["reduced"]
    assert (report["failed"], report["left_out"], list(report["tables"])) == ([], [], ["nddr 4"])
    full, half = report["default"]
    assert (full["precision"], half["precision"]) == ("32-true", "bf16-mixed")
    assert full["off"] is None
    assert half["off"] <= checks.TOLERANCES["bf16-mixed"]
    assert half["cpu"] == full["losses"]
    for steps in report["printed"]:
        assert (steps["size"], steps["batch"], steps["gib"]) == ([64, 64], 2, None)
        assert 0 < steps["waiting"] < 1
    page = (tmp_path / "report.md").read_text()
    assert "see images of 64x64, 2 a step: these are no times of the printed sizes" in page
    assert "| nddr | 4/multi | mobilenetv3_small_050 shared (segmentation + normals) | 64x64 | 2 | 32-true |" in page
    assert "report.md: 0 faults." in capsys.readouterr().out


def test_what_the_minutes_do_not_allow_is_named(checks, one_network, tmp_path, capsys):
    assert checks.main(["--device", "cpu", "--only", "nddr", "--minutes", "0", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["left_out"]) == 4
    assert (report["default"], report["tables"], report["printed"]) == ([], {}, [])
    assert "- nddr table 4 at smoke" in (tmp_path / "report.md").read_text()
    assert "0 faults; 4 things were left out" in capsys.readouterr().out


def test_losses_that_are_far_from_the_cpus_are_a_fault(checks, one_network, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(checks.TOLERANCES, "bf16-mixed", 0.0)
    assert checks.main(["--device", "cpu", "--only", "nddr", "--out", str(tmp_path)]) == 1
    assert "a loss of ten steps is" in capsys.readouterr().err


def test_an_error_is_told_and_the_check_goes_on(checks, one_network, tmp_path, monkeypatch):
    def broken(table, options, **more):
        raise RuntimeError("CUDA error: an illegal memory access\nand a stack")

    monkeypatch.setattr(checks, "reproduce", broken)
    assert checks.main(["--device", "cpu", "--only", "nddr", "--out", str(tmp_path)]) == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["failed"] == ["nddr table 4 at smoke: RuntimeError: CUDA error: an illegal memory access"]
    assert len(report["printed"]) == 2


def test_batches_are_cut_where_memory_is_short(checks, one_network, monkeypatch):
    original, sizes = checks.train, []

    def short_of_memory(network, batches, recipe, **more):
        sizes.append((recipe.batch_size, recipe.accumulate))
        if recipe.batch_size > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(network, batches, recipe, **more)

    monkeypatch.setattr(checks, "train", short_of_memory)
    steps = checks.ten_steps("nddr", one_network, one_network.training, "32-true", QUIET)
    assert sizes == [(4, 1), (2, 2), (1, 4)]
    assert (steps.batch, steps.accumulate) == (1, 4)


def test_waiting_is_by_how_much_readers_are_too_slow(checks):
    steps = checks.Steps("nddr", ["4/multi"], "", (64, 64), 10, 1, "32-true", False, 100.0, 40.0, 0, None, {})
    assert steps.waiting == pytest.approx(0.8)  # 400 of 500 ms, one after the other
    for readers, share in ((1, 0.75), (2, 0.5), (4, 0.0), (8, 0.0)):
        steps.readers = readers
        assert steps.waiting == pytest.approx(share)


def test_backbones_take_turns(checks, rooms):
    other = rooms.model_copy(update={"network": rooms.network.model_copy(update={"backbone": "resnet10t"})})
    several = [checks.Rehearsed(one, [str(number)]) for number, one in enumerate([rooms, rooms, other])]
    assert [one.rows for _, one in checks.taking_turns(["nddr"], lambda paper: several)] == [["0"], ["2"], ["1"]]


@pytest.mark.parametrize("device", ["tpu", "cuda:99"])
def test_a_device_that_is_not_there_is_one_sentence(device, checks, capsys):
    with pytest.raises(SystemExit):
        checks.main(["--device", device])
    assert device in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow  # draws the world of a paper, runs a row of its table, and trains a network of full depth
def test_a_paper_from_its_tables_to_its_printed_networks(checks, tmp_path, monkeypatch):
    def first(paper, of):
        return of(paper)[:1]

    def shortened(table, options, **more):
        column = table.column(options)
        return reproduce(table, options, methods=[table.rows(column, column.seeds[0])[0].id], **more)

    for name in ("default_networks", "networks"):
        monkeypatch.setattr(checks, name, partial(first, of=getattr(checks, name)))
    monkeypatch.setattr(checks, "reproduce", shortened)
    assert checks.main(["--device", "cpu", "--only", "multi_exit", "--minutes", "60", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert [len(report[part]) for part in ("default", "tables", "printed")] == [2, 1, 2]
    assert (report["failed"], report["left_out"]) == ([], [])
