"""Where the cells of a network's map look on the image, and the map brought to the image from there.

To enlarge a map as if its cells were tiles of the image is right only where they look at the middles of such tiles.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Grid(NamedTuple):
    """Cell ``i`` of a row or a column looks around pixel ``offset + stride * i``, counted from 0.

    Attributes:
        offset: the middle of what the first cell looks at; negative where that lies in the padding.
        stride: pixels from one cell to the next.
    """

    offset: float = 0.0
    stride: int = 1

    def enlarged(self, cells: Tensor, size: tuple[int, int]) -> Tensor:
        """A map ``(N, C, h, w)`` at the image's ``size``: between cells bilinear, beyond the outermost as these are.

        The fixed deconvolution and the crop of fully convolutional networks give the same numbers between cells; at
        the border they let all channels fade alike.
        """
        cells = cells.to(torch.promote_types(cells.dtype, torch.float32))
        with torch.autocast(cells.device.type, enabled=False):
            down = self._weights(cells, size[0], cells.shape[2])
            across = self._weights(cells, size[1], cells.shape[3])
            return down @ (cells @ across.T)

    def sampled(self, target: Tensor, cells: tuple[int, int]) -> Tensor:
        """A target ``(..., H, W)`` at the pixels that ``cells`` (height, width) look around, ``(..., h, w)``."""
        for dim, count in zip((-2, -1), cells, strict=True):
            places = (self.offset + self.stride * torch.arange(count, device=target.device)).round().long()
            target = target.index_select(dim, places.clamp(0, target.shape[dim] - 1))
        return target

    def _weights(self, like: Tensor, pixels: int, cells: int) -> Tensor:
        """What every pixel of a line takes of every cell, ``(pixels, cells)``; rows sum to 1."""
        places = (torch.arange(pixels, device=like.device, dtype=like.dtype) - self.offset) / self.stride
        steps = places.clamp(0, cells - 1)[:, None] - torch.arange(cells, device=like.device, dtype=like.dtype)
        return (1 - steps.abs()).clamp(min=0)


def grid_of(stages: Iterable[nn.Module]) -> Grid:
    """The grid behind a chain of layers: convolutions and pools one after the other, without branches."""
    offset, stride = 0.0, 1
    for layer in (layer for stage in stages for layer in stage.modules()):
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            wide, pad, step = (_one(each) for each in (layer.kernel_size, layer.padding, layer.stride))
            dilation = 1 if isinstance(layer, nn.AvgPool2d) else _one(layer.dilation)
            offset += (dilation * (wide - 1) / 2 - pad) * stride
            stride *= step
    return Grid(offset, stride)


def _one(number: Any) -> int:
    """The number of both directions."""
    return int(number[0] if isinstance(number, tuple) else number)
