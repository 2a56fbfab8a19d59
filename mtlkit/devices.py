"""Names of devices and of the numbers that networks are trained with; nothing here imports torch."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
