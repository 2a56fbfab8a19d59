"""Where runs happen: devices by name, readers from the cores, what is settled on a GPU."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from builders import recipe

from mtlkit import runtime
from mtlkit.errors import InputError
from mtlkit.papers.options import Options
from mtlkit.runtime import Runtime, hardware, machine
from mtlkit.training import memory_format

GPU = torch.device("cuda", 1)


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine with two GPUs as far as names go, and what Fabric was asked for."""
    asked: list[dict[str, object]] = []
    monkeypatch.setattr("lightning.fabric.Fabric", lambda **given: asked.append(given))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "version", lambda: 92000)
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    yield asked
    torch.set_float32_matmul_precision(before[0])
    cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before[1:]


@pytest.mark.parametrize(
    ("device", "accelerator", "numbers"),
    [("auto", "cuda", [0]), ("cuda", "cuda", [0]), ("cuda:1", "cuda", [1]), ("cpu", "cpu", 1)],
)
def test_a_device_is_chosen_by_its_name(device, accelerator, numbers, two_gpus):
    Runtime(device=device).fabric("bf16-mixed")
    assert two_gpus == [{"accelerator": accelerator, "devices": numbers, "precision": "bf16-mixed"}]


def test_a_device_that_is_not_there_names_those_that_are(two_gpus):
    with pytest.raises(InputError, match="This machine has no device cuda:2; it has cuda:0 and cuda:1 and cpu"):
        Runtime(device="cuda:2").fabric()
    assert two_gpus == []


@pytest.mark.parametrize("name", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:11"])
def test_names_of_devices(name):
    assert Options(device=name).device == name


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:1", "cuda:1 ", 1])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(InputError, match=r"There is no device .*; valid are auto, cpu, cuda, cuda:0"):
        Options(device=name)
    with pytest.raises(InputError, match="There is no device"):
        Runtime(device=str(name)).fabric()


def test_names_of_devices_need_no_torch():
    code = "import sys, mtlkit.devices; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_on_a_gpu_says_how_it_computes_and_one_on_the_cpu_what_it_said(two_gpus):
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    Runtime(device="cpu").fabric()
    assert torch.backends.cudnn.benchmark
    Runtime(device="cuda:1").fabric()
    found = hardware(GPU)
    assert found["device"] == "GPU 1"
    settled = ("matmul_tf32", "cudnn_tf32", "cudnn_benchmark", "cudnn_deterministic")
    assert [found[name] for name in settled] == [False, False, False, True]
    assert set(hardware(torch.device("cpu"))) <= {"device", "machine", "processor", "threads"}
    # The identity of a time names the machine as before.
    assert machine(found) == machine({"device": "GPU 1", "cuda": torch.version.cuda})


@pytest.mark.parametrize(
    ("cores", "processes", "readers"), [(1, 1, 1), (2, 1, 1), (16, 1, 15), (16, 4, 3), (8, 16, 1), (128, 1, 16)]
)
def test_readers_beside_a_gpu_are_the_share_of_the_cores(cores, processes, readers, monkeypatch):
    monkeypatch.setattr(runtime, "cores", lambda: cores)
    assert Runtime(processes=processes).readers(GPU) == readers
    assert Runtime(processes=processes).readers(torch.device("cpu")) == 0
    assert Runtime(processes=processes, workers=3).readers(GPU) == 3


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(
        runtime, "os", SimpleNamespace(sched_getaffinity=lambda process: {3, 5, 7}, cpu_count=os.cpu_count)
    )
    assert runtime.cores() == 3
    monkeypatch.setattr(runtime, "os", SimpleNamespace(cpu_count=lambda: None))
    assert runtime.cores() == 1


@pytest.mark.parametrize(
    ("device", "precision", "asked", "last"),
    [
        ("cpu", "32-true", False, False),
        ("cpu", "bf16-mixed", False, False),
        ("cpu", "32-true", True, True),
        ("cuda", "32-true", False, False),
        ("cuda", "bf16-mixed", False, True),
        ("cuda", "16-mixed", False, True),
    ],
)
def test_channels_lie_last_where_tensor_cores_want_them_or_a_recipe_does(device, precision, asked, last):
    how = recipe(precision=precision, channels_last=asked)
    expected = torch.channels_last if last else torch.contiguous_format
    assert memory_format(how, torch.device(device)) is expected
