"""The last layer of a fully convolutional network whose encoder holds everything before it."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor

from mtlkit.heads.base import Head
from mtlkit.heads.dense import score
from mtlkit.values import Value


class Conv1x1Head(Head):
    """One 1x1 convolution on the last stage.

    Long, Shelhamer, Darrell, *Fully Convolutional Networks for Semantic Segmentation*, CVPR 2015: the score layer
    behind fc7. The fixed bilinear enlargement and the crop are the network's (:meth:`mtlkit.network.Network.predict`).

    Args:
        channels: of the last stage.
        outputs: of the task.
    """

    class Settings(Value):
        """Nothing to set."""

        tag: ClassVar[str] = "Score.Settings"

        kind: Literal["score"] = "score"

        def build(self, channels: Sequence[int], outputs: int) -> "Conv1x1Head":
            """The head on the last of stages with ``channels`` channels."""
            return Conv1x1Head(channels[-1], outputs)

    keeps_cells = True

    def __init__(self, channels: int, outputs: int):
        super().__init__()
        self.classifier = score(channels, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Stage features ``(N, C, h, w)`` to outputs ``(N, outputs, h, w)``."""
        output: Tensor = self.classifier(features)
        return output
