"""AlexNet in torchvision's build ("One weird trick", https://arxiv.org/abs/1404.5997), cut after its pools."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
import torchvision
from torch import Tensor, nn

from mtlkit.backbones.base import Cut, FullyConnected, StagedBackbone, aside, cut_after
from mtlkit.backbones.chain import AtLeast, Chain, cover, features, last_pool, sizes
from mtlkit.backbones.weights import reach, reshaped
from mtlkit.errors import InputError
from mtlkit.grid import grid_of

WEIGHTS = torchvision.models.AlexNet_Weights.IMAGENET1K_V1


class AlexNet(Chain):
    """torchvision's AlexNet, which timm lacks."""

    name: ClassVar[str] = "alexnet"
    fc_layers: ClassVar[tuple[str, ...]] = ("classifier.1.", "classifier.4.")
    pools: ClassVar[int] = 3
    stitched_after: ClassVar[tuple[int, ...] | None] = (0, 1, 4, 5, 6)
    """pool1, pool2, pool5, fc6 and fc7 (Misra et al., CVPR 2016, Sect. 5)."""

    def handles(self, name: str) -> bool:
        """There is one, without tags."""
        return name == "alexnet"

    def names(self) -> list[str]:
        """The one."""
        return ["alexnet"]

    def has_norm(self, name: str) -> bool:
        """It has none: torchvision's lacks the local response normalisation of the paper's."""
        return False

    def revision(self, fully_connected: FullyConnected, maps: bool) -> int:
        """2 also since dropout stands behind fc6 and fc7."""
        return 2 if fully_connected != "none" else super().revision(fully_connected, maps)

    def build(
        self,
        name: str,
        *,
        output_stride: int | None = None,
        fully_connected: FullyConnected = "none",
        cut: Cut = "pools",
        image_size: tuple[int, int] | None = None,
        pretrained: bool = False,
    ) -> StagedBackbone:
        """At stride 32, for images of any size.

        Raises:
            InputError: It cannot be built at this stride.
        """
        if output_stride not in (None, 32):
            raise InputError(f"alexnet cannot be built at output_stride={output_stride}.")
        net = torchvision.models.alexnet()
        if pretrained:
            net.load_state_dict(WEIGHTS.get_state_dict(progress=False))
        stages = features(net.features, cut)
        channels, strides = sizes(stages)
        pool = last_pool(net.features, cut)
        if fully_connected != "none":
            if fully_connected == "padded":
                cover([*stages, [layer for _, layer in pool]])
            drop1, linear1, act1, drop2, linear2, act2, _ = net.classifier
            before = [("before", AtLeast(6))] if fully_connected == "plain" else []
            fc6 = [*pool, *before, ("classifier.1", _convolution(linear1, 6)), ("classifier.2", act1), ("drop6", drop1)]
            fc7 = [("classifier.4", _convolution(linear2, 1)), ("classifier.5", act2), ("drop7", drop2)]
            stages += cut_after([*fc6, *fc7], ["drop6", "drop7"])
            channels, strides = [*channels, 4096, 4096], [*strides, 32, 32]
        transform = WEIGHTS.transforms()
        backbone = StagedBackbone(
            name, stages, channels=channels, strides=strides, mean=tuple(transform.mean), std=tuple(transform.std)
        )
        backbone.grid = grid_of(stages)
        return backbone

    def classifier(self, name: str) -> nn.Module:
        """torchvision's."""
        net: nn.Module = torchvision.models.alexnet()
        return net

    def converted(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """torchvision's linear fc6 and fc7 as convolutions."""
        return reshaped(tensors, {"classifier.1.weight": (-1, 256, 6, 6), "classifier.4.weight": (-1, 4096, 1, 1)})

    def reach_weights(self, name: str) -> None:
        """Asks torchvision's host, unless the file is cached."""
        if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(WEIGHTS.url).name).exists():
            reach(WEIGHTS.url, name)


def _convolution(linear: nn.Linear, kernel: int) -> nn.Conv2d:
    """A linear layer over a map of ``kernel`` by ``kernel`` pixels, as the convolution that it is."""
    with aside():
        layer = nn.Conv2d(linear.in_features // kernel**2, linear.out_features, kernel)
    layer.weight = nn.Parameter(linear.weight.detach().view(layer.weight.shape))
    layer.bias = linear.bias
    return layer
