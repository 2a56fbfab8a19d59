"""The head of fully convolutional networks at stride 32."""

from collections.abc import Sequence
from typing import Literal

from mtlkit.heads.dense import DenseHead, convolution
from mtlkit.values import Value


class FCN32s(DenseHead):
    """FCN-32s: the classifier network's ``fc6`` and ``fc7`` as convolutions, then a 1x1 score layer.

    Long, Shelhamer, Darrell, *Fully Convolutional Networks for Semantic Segmentation*, CVPR 2015, for any backbone,
    with layers of its own: ``fc6`` keeps the map's size. The original takes the classifier network's layers and pads
    the image by 100 pixels; so do VGG and AlexNet with ``fully_connected="padded"`` and a
    :class:`mtlkit.heads.Conv1x1Head`.

    Args:
        channels: of the last stage.
        outputs: of the task.
        width: channels of ``fc6`` and ``fc7``.
        kernel: of ``fc6``, odd (7 for VGG, 6 for AlexNet there).
        dropout: after each.
    """

    class Settings(Value):
        """An :class:`FCN32s` as part of a network's identity."""

        kind: Literal["fcn32s"] = "fcn32s"
        width: int = 4096
        kernel: int = 7
        dropout: float = 0.5

        def build(self, channels: Sequence[int], outputs: int) -> "FCN32s":
            """The head on the last of stages with ``channels`` channels."""
            return FCN32s(channels[-1], outputs, **self.model_dump(exclude={"kind"}))

    def __init__(self, channels: int, outputs: int, *, width: int = 4096, kernel: int = 7, dropout: float = 0.5):
        super().__init__(convolution(channels, width, kernel), convolution(width, width, 1), width, outputs, dropout)
