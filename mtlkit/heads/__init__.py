"""Heads: from stage features to a task's output. One file per kind."""

from typing import Annotated

from pydantic import Field

from mtlkit.heads.base import Head
from mtlkit.heads.branches import Branches
from mtlkit.heads.conv1x1 import Conv1x1Head
from mtlkit.heads.deeplab import LargeFOV
from mtlkit.heads.embedding import Embedding
from mtlkit.heads.exits import Exit, FeatureFilter
from mtlkit.heads.fcn import FCN32s

HeadSettings = Annotated[
    LargeFOV.Settings | FCN32s.Settings | Conv1x1Head.Settings | Exit.Settings | Branches.Settings | Embedding.Settings,
    Field(discriminator="kind"),
]
"""Any head's settings; ``settings.build(channels of every stage, outputs)`` makes it."""

__all__ = [
    "Branches",
    "Conv1x1Head",
    "Embedding",
    "Exit",
    "FCN32s",
    "FeatureFilter",
    "Head",
    "HeadSettings",
    "LargeFOV",
]
