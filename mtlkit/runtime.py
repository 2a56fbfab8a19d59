"""Where and how visibly runs happen: device, data readers, checkpoints."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import torch

from mtlkit.devices import Device
from mtlkit.errors import InputError

if TYPE_CHECKING:
    from lightning.fabric import Fabric

DEVICES = get_args(Device)


@dataclass(frozen=True)
class Runtime:
    """Where and how visibly runs happen; none of it changes what a run is.

    Attributes:
        device: one of :data:`DEVICES`; ``auto`` takes CUDA, then MPS, then the CPU.
        workers: processes that read data beside the training; ``None``: four beside a GPU, none on the CPU, whose
            cores the training needs itself.
        progress: whether trainings show a bar.
        checkpoint_seconds: time between two checkpoints of a training.
        retrain: whether a training whose weights are gone, or that diverged, may be run anew.
        renew: whether one whose weights are gone may; its record stays.
        watch: told a training's title and how many of its steps are done of how many, before the first and after each.
        rescore: whether evaluations that have a record are scored again, as after a change of what records hold.
    """

    device: str = "auto"
    workers: int | None = None
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
        return self.workers if self.workers is not None else 4 if device.type == "cuda" else 0

    def fabric(self, precision: str = "32-true") -> "Fabric":
        """Lightning's Fabric on the device.

        Raises:
            InputError: when this machine has no such device, or the device does not compute at the precision.
        """
        from lightning.fabric import Fabric  # with torchmetrics two seconds, which only what is computed needs

        available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        if self.device not in DEVICES:
            raise InputError(f"There is no device {self.device!r}; valid are {', '.join(DEVICES)}.")
        if self.device != "auto" and not available[self.device]:
            raise InputError(f"This machine has no {self.device} device; device=auto takes the best there is.")
        accelerator = next(name for name, there in available.items() if there) if self.device == "auto" else self.device
        if accelerator == "cpu" and precision == "16-mixed":
            # Fabric would compute with bfloat16 in its place, and the record would say what did not happen.
            raise InputError("The precision 16-mixed needs a GPU; the CPU trains at 32-true or bf16-mixed.")
        return Fabric(accelerator=accelerator, devices=1, precision=precision)  # type: ignore[arg-type]


def hardware(device: torch.device) -> dict[str, Any]:
    """What numbers are computed on, as records hold it."""
    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
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
