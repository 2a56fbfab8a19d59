"""A plain top-down path."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from mtlkit.necks.base import Neck
from mtlkit.necks.layers import block
from mtlkit.values import Value


class Upsampling(Neck):
    """A 1x1 convolution on every stage, summed from the coarsest up, each sum enlarged to the next; a 3x3 one then.

    Lin et al., *Feature Pyramid Networks for Object Detection*, CVPR 2017, https://arxiv.org/abs/1612.03144, of whose
    maps only the finest is made. Batch norm and ReLU behind the last convolution are added, for the heads expect what
    the other necks give. Takes images of any size: the map has that of the stage at stride 4.

    Args:
        channels: of every stage.
        strides: of every stage.
        width: channels of all layers (256 in the paper).
        mode: how a map is enlarged (``nearest`` in the paper).

    Raises:
        InputError: as of :class:`~mtlkit.necks.Neck`.
    """

    class Settings(Value):
        """An :class:`Upsampling` neck as part of a network's identity."""

        kind: Literal["upsampling"] = "upsampling"
        width: int = 64
        mode: Literal["nearest", "bilinear"] = "nearest"

        def build(self, channels: Sequence[int], strides: Sequence[int]) -> "Upsampling":
            """The neck on stages with ``channels`` and ``strides``."""
            return Upsampling(channels, strides, width=self.width, mode=self.mode)

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        width: int = 64,
        mode: Literal["nearest", "bilinear"] = "nearest",
    ):
        super().__init__(channels, strides, width)
        self.mode = mode
        self.lateral = nn.ModuleList(nn.Conv2d(channels[stage], width, 1) for stage in self.stages)
        self.smooth = block(width, width, deformable=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        """One map per stage to ``(N, channels, H/4, W/4)``."""
        maps = [lateral(features[stage]) for lateral, stage in zip(self.lateral, self.stages, strict=True)]
        joined = maps.pop()
        for finer in reversed(maps):
            joined = finer + F.interpolate(joined, finer.shape[-2:], mode=self.mode)
        output: Tensor = self.smooth(joined)
        return output
