"""Where and how visibly runs happen: device, data readers, checkpoints."""

import logging
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mtlkit.devices import device_name
from mtlkit.errors import InputError, extra

if TYPE_CHECKING:
    from lightning.fabric import Fabric

MOST_READERS = 16
"""Processes that read data for one run, each with the libraries of a few hundred megabytes in memory."""


@dataclass(frozen=True)
class Runtime:
    """Where and how visibly runs happen; none of it changes what a run is.

    Attributes:
        device: see :data:`mtlkit.devices.Device`; ``auto`` takes the first of :func:`devices`.
        workers: processes that read data beside the training; ``None``: beside a GPU one for every core but one of
            this process's share, at most :data:`MOST_READERS`; none on the CPU, whose cores the training needs itself.
        processes: how many processes on this machine train at a time and share its cores.
        progress: whether trainings show a bar.
        checkpoint_seconds: time between two checkpoints of a training.
        retrain: whether a training whose weights are gone, or that diverged, may be run anew.
        renew: whether one whose weights are gone may; its record stays.
        watch: told a training's title and how many of its steps are done of how many, before the first and after each.
        rescore: whether evaluations that have a record are scored again, as after a change of what records hold.
    """

    device: str = "auto"
    workers: int | None = None
    processes: int = 1
    progress: bool = True
    checkpoint_seconds: float = 60.0
    retrain: bool = False
    renew: bool = False
    watch: Callable[[str, int, int], None] | None = None
    rescore: bool = False

    @property
    def renews(self) -> bool:
        """Whether a training whose weights are gone may be run anew."""
        return self.retrain or self.renew

    def readers(self, device: torch.device) -> int:
        """Processes that read data for a run on ``device``."""
        if self.workers is not None:
            return self.workers
        return min(max(cores() // self.processes - 1, 1), MOST_READERS) if device.type == "cuda" else 0

    def fabric(self, precision: str = "32-true") -> "Fabric":
        """Lightning's Fabric on the device.

        Raises:
            InputError: when this machine has no such device, or the device does not compute at the precision.
        """
        accelerator, _, number = device_here(self.device).partition(":")
        if accelerator == "cpu" and precision == "16-mixed":
            # Fabric would compute with bfloat16 in its place, and the record would say what did not happen.
            raise InputError("The precision 16-mixed needs a GPU; the CPU trains at 32-true or bf16-mixed.")
        # With torchmetrics two seconds, which only what is computed needs.
        with extra("run"):
            from lightning.fabric import Fabric
            from lightning_utilities.core import rank_zero

        rank_zero.log.setLevel(logging.WARNING)  # it advises TF32, for one
        return Fabric(
            accelerator=accelerator,
            devices=[int(number)] if number else 1,
            precision=precision,  # type: ignore[arg-type]
        )


def devices() -> tuple[str, ...]:
    """The devices of this machine, the best first: GPUs by number, ``mps``, ``cpu``."""
    gpus = tuple(f"cuda:{number}" for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0))
    return (*gpus, *(("mps",) if torch.backends.mps.is_available() else ()), "cpu")


def device_here(name: str) -> str:
    """The device of this machine that a name stands for, see :data:`mtlkit.devices.Device`, set up for what runs there.

    Raises:
        InputError: when there is no such device, here or anywhere.
    """
    here = devices()
    found = {"auto": here[0], "cuda": "cuda:0"}.get(name := device_name(name), name)
    if found not in here:
        raise InputError(f"This machine has no device {name}; it has {' and '.join(here)}.")
    if found.startswith("cuda"):
        settle_cuda()
    return found


def wait(device: torch.device) -> None:
    """Until a device, which is told its work long before it does it, has done it; a CPU has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def cores() -> int:
    """Cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux alone
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def settle_cuda() -> None:
    """How every run on a GPU computes, whatever the defaults of the day; records hold it (:func:`hardware`).

    TF32 is off: it leaves products 10 of the 23 bits of float32, so that ``32-true`` would be true of no convolution,
    and a column at that name would mix two precisions; who wants tensor cores takes ``bf16-mixed``. cuDNN takes the
    algorithm that its heuristics name, and only one that adds up in a fixed order: chosen by trial (``benchmark``) it
    would depend on what else the machine does. Runs on one GPU still differ in the last bits, for the backward passes
    of enlarging a map and of pooling regions add up in any order; bit for bit equal are only runs on one model of
    CPU with as many threads.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def hardware(device: torch.device) -> dict[str, Any]:
    """What numbers are computed on, as records hold it, and on a GPU how."""
    if device.type == "cuda":
        cudnn = torch.backends.cudnn
        return {
            "device": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "cudnn": cudnn.version(),  # type: ignore[no-untyped-call]
            "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
            "cudnn_tf32": cudnn.allow_tf32,
            "cudnn_benchmark": cudnn.benchmark,
            "cudnn_deterministic": cudnn.deterministic,
        }
    found = {"device": device.type, "machine": platform.machine(), "processor": _processor()}
    return {name: value for name, value in found.items() if value} | {"threads": torch.get_num_threads()}


def machine(hardware: dict[str, Any]) -> str:
    """The same in a line, for reports and for the identity of a timing."""
    threads = (
        [f"{hardware['threads']} thread{'' if hardware['threads'] == 1 else 's'}"] if "threads" in hardware else []
    )
    named = (str(hardware[key]) for key in ("device", "machine", "processor", "cuda") if key in hardware)
    return ", ".join([*named, *threads])


def _processor() -> str:
    """The processor's model name, empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
