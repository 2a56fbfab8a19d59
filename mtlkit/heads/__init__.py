"""Heads: what turns a trunk's stage features into a task's output. One file a kind."""

from typing import Annotated

from pydantic import Field

from mtlkit.heads.deeplab import LargeFOV
from mtlkit.heads.fcn import FCN32s

HeadSettings = Annotated[LargeFOV.Settings | FCN32s.Settings, Field(discriminator="kind")]
"""Any head's settings; ``settings.head(channels, outputs)`` builds it."""

__all__ = ["FCN32s", "HeadSettings", "LargeFOV"]
