"""DLA, deep layer aggregation (Yu et al., CVPR 2018, https://arxiv.org/abs/1707.06484), in timm's build and cut."""

from typing import ClassVar

from mtlkit.backbones.timm import Timm


class DLA(Timm):
    """DLA of any depth."""

    name: ClassVar[str] = "dla"
    default_neck: ClassVar[str] = "dla_up"
    default_head_width: ClassVar[int] = 256

    def handles(self, name: str) -> bool:
        """timm's names for them begin so."""
        return name.startswith("dla")
