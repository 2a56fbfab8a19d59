"""The up path of deep layer aggregation."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mtlkit.necks.base import Neck
from mtlkit.necks.layers import bilinear, block
from mtlkit.values import Value


class Aggregation(nn.Module):
    """Iterative deep aggregation: ``a_0 = x_0``, ``a_i = node_i(enlarge_i(project_i(x_i)) + a_(i-1))``.

    Sect. 3.1 of Yu et al., *Deep Layer Aggregation*, CVPR 2018, from fine to coarse as in its Sect. 4.2. All ``a_i``
    have the size and the channels of the finest map ``x_0``.

    Args:
        channels: channels of every map, the finest first.
        factors: how many times every map but the finest is enlarged to the finest's size; even.
        deformable: deformable 3x3 convolutions as ``project`` and ``node``, else plain ones.
    """

    def __init__(self, channels: Sequence[int], factors: Sequence[int], *, deformable: bool):
        super().__init__()
        width, *coarser = channels
        self.project = nn.ModuleList(block(before, width, deformable=deformable) for before in coarser)
        self.enlarge = nn.ModuleList(enlarging(width, factor) for factor in factors)
        self.node = nn.ModuleList(block(width, width, deformable=deformable) for _ in coarser)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """The maps ``x_i``, the finest first, to as many ``a_i``."""
        joined = maps[:1]
        for x, project, enlarge, node in zip(maps[1:], self.project, self.enlarge, self.node, strict=True):
            joined.append(node(enlarge(project(x)) + joined[-1]))
        return joined


class DLAUp(Neck):
    """Every stage is joined with all coarser ones, then the joined maps with each other.

    Sect. 4.2 of Yu et al., *Deep Layer Aggregation*, CVPR 2018, https://arxiv.org/abs/1707.06484, with the changes of
    Zhou et al., *Objects as Points*, 2019, https://arxiv.org/abs/1904.07850, and its official code
    (https://github.com/xingyizhou/CenterNet): deformable convolutions throughout, and the coarsest stage itself not in
    the last aggregation. Made for ``dla34``; every backbone with the strides will do.

    Args:
        channels: of every stage.
        strides: of every stage.
        deformable: deformable 3x3 convolutions, else plain ones.

    Raises:
        InputError: as of :class:`~mtlkit.necks.Neck`.
    """

    class Settings(Value):
        """A :class:`DLAUp` neck as part of a network's identity."""

        kind: Literal["dla_up"] = "dla_up"
        deformable: bool = True

        def build(self, channels: Sequence[int], strides: Sequence[int]) -> "DLAUp":
            """The neck on stages with ``channels`` and ``strides``."""
            return DLAUp(channels, strides, deformable=self.deformable)

    def __init__(self, channels: Sequence[int], strides: Sequence[int], *, deformable: bool = True):
        super().__init__(channels, strides, 0)
        widths = [channels[stage] for stage in self.stages]
        self.channels = widths[0]
        last = len(widths) - 1
        self.steps = nn.ModuleList(
            Aggregation([widths[i]] + [widths[i + 1]] * (last - i), [2] * (last - i), deformable=deformable)
            for i in reversed(range(last))
        )
        self.final = Aggregation(widths[:-1], [2**i for i in range(1, last)], deformable=deformable)

    def forward(self, features: list[Tensor]) -> Tensor:
        """One map per stage to ``(N, channels, H/4, W/4)``."""
        *finer, coarsest = self.halving(features)
        maps, ends = [coarsest], []
        for step, x in zip(self.steps, reversed(finer), strict=True):
            maps = step([x, *maps])
            ends.append(maps[-1])
        output: Tensor = self.final(ends[::-1])[-1]
        return output


def enlarging(channels: int, factor: int) -> nn.ConvTranspose2d:
    """A learned enlargement of every channel for itself that starts out bilinear."""
    layer = nn.ConvTranspose2d(
        channels, channels, 2 * factor, stride=factor, padding=factor // 2, groups=channels, bias=False
    )
    with torch.no_grad():
        layer.weight.copy_(bilinear(factor))
    return layer
