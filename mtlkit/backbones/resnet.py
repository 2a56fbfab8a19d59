"""ResNet (He et al., CVPR 2016, https://arxiv.org/abs/1512.03385) and its many variants, in timm's build and cut."""

from typing import ClassVar

from mtlkit.backbones.timm import Timm


class ResNet(Timm):
    """ResNets, those with squeeze-and-excitation and other variants among them."""

    name: ClassVar[str] = "resnet"
    default_neck: ClassVar[str] = "deformable_deconvolution"

    def handles(self, name: str) -> bool:
        """timm's names for them hold the word."""
        return "resnet" in name
