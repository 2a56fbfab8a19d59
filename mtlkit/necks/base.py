"""What necks that lead to stride 4 have in common: the stages they take."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mtlkit.errors import InputError


class Neck(nn.Module):
    """From the maps of all stages of a backbone, ``(N, C, h, w)`` each, to one map ``(N, channels, H/4, W/4)``.

    Args:
        channels: of every stage.
        strides: of every stage.
        width: channels of its map.

    Attributes:
        stages: which stages it takes, finest first: of every stride from 4 on the last.
        sources: those of them that its map is made of.
        channels: channels of its map.
        stride: image pixels to one step of its map.

    Raises:
        InputError: the strides from 4 on are not 4, 8, and so on, or there are not as many channels.
    """

    stages: tuple[int, ...]
    sources: tuple[int, ...]
    channels: int
    stride: int = 4

    def __init__(self, channels: Sequence[int], strides: Sequence[int], width: int):
        super().__init__()
        if len(channels) != len(strides):
            raise InputError(
                f"A neck needs the channels and the stride of every stage, not {len(channels)} channels and "
                f"{len(strides)} strides."
            )
        last = {stride: stage for stage, stride in enumerate(strides) if stride >= self.stride}
        if len(last) < 2 or list(last) != [self.stride * 2**i for i in range(len(last))]:
            raise InputError(
                f"A neck joins stages at strides {self.stride}, {2 * self.stride} and on, each twice the one before; "
                f"this backbone's stages are at strides {', '.join(map(str, strides))}."
            )
        self.stages, self.channels = tuple(last.values()), width
        self.sources = self.stages

    def halving(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The maps of :attr:`stages`, of which each must be exactly half the size of the one before.

        Raises:
            InputError: they are not, because the image is no multiple of the last stride.
        """
        maps = [features[stage] for stage in self.stages]
        for finer, coarser in pairwise(maps):
            if finer.shape[-2:] != (2 * coarser.shape[-2], 2 * coarser.shape[-1]):
                raise InputError(
                    f"A {type(self).__name__} neck on this backbone takes images whose height and width are multiples "
                    f"of {self.stride * 2 ** (len(maps) - 1)}; stage maps of {tuple(finer.shape[-2:])} and "
                    f"{tuple(coarser.shape[-2:])} pixels follow each other."
                )
        return maps
