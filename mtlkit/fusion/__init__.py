"""Fusion layers between the encoders of several tasks. One file per method.

A layer stands after a stage. It takes one map per task and gives one map per task, of the same shape and memory
format, for any number of tasks from two. ``benchmarks/fusion_units.py`` compares each forward with its equivalents.
"""

from typing import Annotated

from pydantic import Field

from mtlkit.fusion.base import FusionLayer
from mtlkit.fusion.cross_stitch import CrossStitch
from mtlkit.fusion.nddr import NDDR
from mtlkit.fusion.sluice import LayerMixing, Sluice

FusionSettings = Annotated[CrossStitch.Settings | Sluice.Settings | NDDR.Settings, Field(discriminator="kind")]
"""Any fusion layer's settings; ``settings.build(tasks, channels)`` makes it."""

__all__ = ["NDDR", "CrossStitch", "FusionLayer", "FusionSettings", "LayerMixing", "Sluice"]
