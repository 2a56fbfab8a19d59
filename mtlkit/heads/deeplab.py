"""DeepLab's large-field-of-view head."""

from collections.abc import Sequence
from typing import Literal

from mtlkit.heads.dense import DenseHead, convolution
from mtlkit.values import Value


class LargeFOV(DenseHead):
    """DeepLab-LargeFOV: a dilated 3x3 convolution ``fc6``, a 1x1 ``fc7``, a 1x1 classifier.

    Chen et al., *Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs*, ICLR 2015;
    width 1024 and dilation 12 at output stride 8, as NDDR-CNN's official code has it. The dilation should shrink
    with the map: a kernel wider than the map sees padding only.

    Args:
        channels: of the last stage.
        outputs: of the task.
        width: channels of ``fc6`` and ``fc7``.
        dilation: of ``fc6``.
        dropout: after each.
        batch_norm: in each, in front of the ReLU.
    """

    class Settings(Value):
        """A :class:`LargeFOV` as part of a network's identity."""

        kind: Literal["largefov"] = "largefov"
        width: int = 1024
        dilation: int = 12
        dropout: float = 0.5
        batch_norm: bool = False

        def build(self, channels: Sequence[int], outputs: int) -> "LargeFOV":
            """The head on the last of stages with ``channels`` channels."""
            return LargeFOV(channels[-1], outputs, **self.model_dump(exclude={"kind"}))

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        width: int = 1024,
        dilation: int = 12,
        dropout: float = 0.5,
        batch_norm: bool = False,
    ):
        super().__init__(
            convolution(channels, width, 3, dilation=dilation, batch_norm=batch_norm),
            convolution(width, width, 1, batch_norm=batch_norm),
            width,
            outputs,
            dropout,
        )
