"""Names of devices and of the numbers that networks are trained with; nothing here imports torch."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator

from mtlkit.errors import InputError

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


def device_name(name: object) -> str:
    """The name of a device, of this machine or another one.

    Raises:
        InputError: no device is called that.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(name)):
        raise InputError(f"There is no device {str(name)!r}; valid are auto, cpu, cuda, cuda:0, cuda:1, ..., mps.")
    return str(name)


Device = Annotated[str, BeforeValidator(device_name)]
"""``auto``, ``cpu``, ``mps``, ``cuda`` (the first GPU) or ``cuda:N`` (the one of number N, counted from 0)."""
