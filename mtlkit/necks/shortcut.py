"""The shortcut of NDDR-CNN: every stage straight to the head."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mtlkit.values import Value


class Shortcut(nn.Module):
    """All stages' maps at the size of the last, side by side, then one 1x1 convolution, batch norm and ReLU.

    Sect. 3.3 and Figure 2 of Gao et al., NDDR-CNN, CVPR 2019, https://arxiv.org/abs/1801.08297, as its official code
    has it (``nets/vgg_deeplab_nddr.py`` of https://github.com/ethanygao/NDDR-CNN): maps are resized bilinearly, and
    every task has a convolution of its own over the maps of its own encoder.

    Args:
        channels: of every stage.
        width: channels of its map, 512 on VGG-16.

    Attributes:
        channels: channels of its map.
        keeps_cells: whether that has a cell for every cell of the last stage's map.
    """

    keeps_cells = True

    class Settings(Value):
        """A :class:`Shortcut` as part of a network's identity."""

        kind: Literal["shortcut"] = "shortcut"
        width: int = Field(default=512, ge=1)

        def build(self, channels: Sequence[int], strides: Sequence[int]) -> "Shortcut":
            """The shortcut over stages of ``channels``; ``strides`` do not matter to it."""
            return Shortcut(channels, width=self.width)

    def __init__(self, channels: Sequence[int], *, width: int = 512):
        super().__init__()
        self.channels = width
        self.reduce = nn.Conv2d(sum(channels), width, 1, bias=False)
        nn.init.kaiming_normal_(self.reduce.weight, nonlinearity="relu")
        self.norm = nn.BatchNorm2d(width, eps=1e-3, momentum=0.05)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """One map ``(N, C_l, h_l, w_l)`` a stage, to ``(N, channels, h, w)`` at the last one's size."""
        size = features[-1].shape[-2:]
        same = [
            x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)
            for x in features
        ]
        return F.relu(self.norm(self.reduce(torch.cat(same, 1))))

    def parameter_group(self, name: str) -> str | None:
        """The optimiser group of the parameter ``name``, see :func:`mtlkit.network.parameter_groups`."""
        return "shortcut"
