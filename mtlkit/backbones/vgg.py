"""VGG (Simonyan and Zisserman, ICLR 2015, https://arxiv.org/abs/1409.1556) in timm's build, cut after its pools."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from mtlkit.backbones import deeplab
from mtlkit.backbones.base import Cut, FullyConnected, StagedBackbone, cut_after
from mtlkit.backbones.chain import AtLeast, Chain, cover, features, last_pool, sizes
from mtlkit.backbones.timm import config, create, default_tag, is_network, listed, reach_hub
from mtlkit.backbones.weights import reshaped
from mtlkit.errors import InputError
from mtlkit.grid import grid_of


class VGG(Chain):
    """VGG of 11 to 19 layers, with batch norm (``_bn``) or without."""

    name: ClassVar[str] = "vgg"
    fc_layers: ClassVar[tuple[str, ...]] = ("classifier.0.", "classifier.3.", "pre_logits.")
    pools: ClassVar[int] = 5

    def handles(self, name: str) -> bool:
        """timm's names for them begin so."""
        return name.startswith("vgg")

    def names(self) -> list[str]:
        """As timm lists them, without tags."""
        return listed("vgg*")

    def knows(self, name: str) -> bool:
        """Whether timm knows the network; its tag is looked up when it is built."""
        return is_network(name)

    def weights_tag(self, name: str) -> str:
        """timm's default."""
        return default_tag(name)

    def has_norm(self, name: str) -> bool:
        """Whether batch norm follows every convolution."""
        return name.partition(".")[0].endswith("_bn")

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
        """At stride 32, or at 8 as :mod:`mtlkit.backbones.deeplab` has it; for images of any size.

        Raises:
            InputError: It cannot be built at this stride, or not with these stages.
        """
        if output_stride not in (None, 8, 32):
            raise InputError(f"{name} cannot be built at output_stride={output_stride}.")
        full = fully_connected != "none"
        if output_stride == 8 and (full or cut != "pools"):
            raise InputError(
                f"{name} at output_stride=8 is the trunk of DeepLab-LargeFOV, cut after its pools, with fc6 and fc7 in "
                "the head; leave out fully_connected and cut."
            )
        dropout = 0.5 if full else 0.0  # timm's default is 0; the papers of VGG and Fast R-CNN have 0.5
        settings: dict[str, Any] = {"num_classes": 0, "pretrained": pretrained, "drop_rate": dropout}
        if not (full or pretrained):
            settings["mlp_ratio"] = 1 / 4096  # drawing 120 million weights to drop them takes seconds
        net: Any = create(name, **settings)
        stages = features(net.features, cut)
        channels, strides = sizes(stages)
        if output_stride == 8:
            deeplab.largefov(stages)
            strides = list(deeplab.STRIDES)
        if full:
            head, pool = net.pre_logits, last_pool(net.features, cut)
            if fully_connected == "padded":
                cover([*stages, [layer for _, layer in pool]])
            before = [("before", AtLeast(head.input_kernel_size))] if fully_connected == "plain" else []
            fc6 = [*pool, *before, ("pre_logits.fc1", head.fc1), ("act1", head.act1)]
            fc7 = [("pre_logits.fc2", head.fc2), ("act2", head.act2)]
            drops = [("drop1", head.drop), ("drop2", nn.Dropout(dropout))]
            stages += cut_after([*fc6, drops[0], *fc7, drops[1]], ["drop1", "drop2"])
            channels, strides = [*channels, head.fc1.out_channels, head.fc2.out_channels], [*strides, 32, 32]
        facts = config(name)
        backbone = StagedBackbone(name, stages, channels=channels, strides=strides, mean=facts.mean, std=facts.std)
        backbone.grid = grid_of(stages)
        return backbone

    def classifier(self, name: str) -> nn.Module:
        """timm's, whose fully connected layers are convolutions."""
        return create(name)

    def converted(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """torchvision's linear fc6 to fc8 under timm's names and as timm's convolutions."""
        names = {"classifier.0.": "pre_logits.fc1.", "classifier.3.": "pre_logits.fc2.", "classifier.6.": "head.fc."}
        shapes = {"pre_logits.fc1.weight": (-1, 512, 7, 7), "pre_logits.fc2.weight": (-1, 4096, 1, 1)}
        return reshaped({names.get(key[:13], key[:13]) + key[13:]: tensor for key, tensor in tensors.items()}, shapes)

    def reach_weights(self, name: str) -> None:
        """As of timm's networks."""
        reach_hub(name)
