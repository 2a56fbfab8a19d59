"""Chains of layers, cut after their pools or their layers: what VGG and AlexNet share."""

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn

from mtlkit.backbones.base import Cut, Family, FullyConnected, RegionPooling, StagedBackbone, cut_after
from mtlkit.grid import grid_of

FCN_PADDING = 100
"""Pixels around the image of a fully convolutional network (``voc-fcn-alexnet/net.py``)."""


class Chain(Family):
    """Convolutions, activations and pools one after the other, then fc6 and fc7."""

    def rectified(self, name: str) -> bool:
        """Always: stages are cut behind their ReLUs."""
        return True

    def revision(self, fully_connected: FullyConnected, maps: bool) -> int:
        """2 for maps: where their cells look is known."""
        return 2 if maps else 1

    def for_regions(self, backbone: StagedBackbone) -> StagedBackbone:
        """The backbone with the pooling of regions in place of its last pool; fc6 and fc7 look at regions."""
        strides, after = list(backbone.strides), len(backbone.stages) - 3
        convolutions, fc6 = (cast(nn.Sequential, stage) for stage in backbone.stages[after : after + 2])
        backbone.stages[after] = convolutions[:-1]
        strides[after:] = [strides[after] // 2] * 3
        backbone.strides = tuple(strides)
        side = next(layer.kernel_size[0] for layer in fc6 if isinstance(layer, nn.Conv2d))
        backbone.regions = RegionPooling(after, side, strides[after], grid_of(backbone.stages[: after + 1]).offset)
        backbone.grid = None
        return backbone


class AtLeast(nn.Module):
    """Pools a map that is smaller than ``size`` up to it, as timm's VGG does before its first full layer."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to at least ``(N, C, size, size)``."""
        height, width = x.shape[-2:]
        if min(height, width) >= self.size:
            return x
        return nn.functional.adaptive_avg_pool2d(x, (max(height, self.size), max(width, self.size)))


def features(layers: nn.Sequential, cut: Cut) -> list[nn.Sequential]:
    """The convolutions with what belongs to them, cut after the pools, in front of every convolution, or in front of
    pools too; then the last pool is in no stage, see :func:`last_pool`."""
    parts = [(f"features.{i}", layer) for i, layer in enumerate(layers)]
    following = [layer for _, layer in parts[1:]] + [None]

    def ends(layer: nn.Module, after: nn.Module | None) -> bool:
        if cut == "pools":
            return isinstance(layer, nn.MaxPool2d)
        if cut == "layers":
            return after is None or isinstance(after, nn.Conv2d)
        return isinstance(after, nn.Conv2d | nn.MaxPool2d) and not isinstance(layer, nn.MaxPool2d)

    named = [part for (part, layer), after in zip(parts, following, strict=True) if ends(layer, after)]
    return list(cut_after(parts, named))


def last_pool(layers: nn.Sequential, cut: Cut) -> list[tuple[str, nn.Module]]:
    """What :func:`features` leaves to the stage behind it, by its name."""
    return [(f"features.{len(layers) - 1}", layers[-1])] if cut == "convolutions" else []


def sizes(stages: Iterable[nn.Sequential]) -> tuple[list[int], list[int]]:
    """Channels and nominal strides after each stage."""
    channels, strides, stride = [], [], 1
    for stage in stages:
        last = next(layer for layer in reversed(stage) if isinstance(layer, nn.Conv2d))
        for layer in stage:
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                step = layer.stride
                stride *= step if isinstance(step, int) else step[0]
        channels.append(last.out_channels)
        strides.append(stride)
    return channels, strides


def cover(stages: Iterable[Iterable[nn.Module]]) -> None:
    """A fully convolutional network's changes to the stages; no tensor changes its name."""
    layers = [layer for stage in stages for layer in stage]
    next(layer for layer in layers if isinstance(layer, nn.Conv2d)).padding = (FCN_PADDING, FCN_PADDING)
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True  # as all pools of Caffe: a window that sticks out counts
