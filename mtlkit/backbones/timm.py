"""Networks of timm, cut where its ``features_only`` has its outputs.

Fusion layers stand between stages and change what the next stage gets. Hooks, and timm's ``forward_intermediates``,
only look; so a network is taken apart here, or refused by name.

timm registers every network it knows and takes half a second for it; it is imported where one is looked up or built, so
that naming a backbone costs nothing.
"""

from typing import Any, ClassVar

import torchvision
from torch import nn

from mtlkit.backbones.base import Cut, Family, FullyConnected, StagedBackbone, cut_after
from mtlkit.backbones.weights import reach, reason
from mtlkit.errors import InputError, unknown

USABLE = "resnet50, mobilenetv2_100, convnext_tiny, regnety_004 or vgg16"


class Timm(Family):
    """Every network that timm can build as a chain of modules; the last family asked, which takes any name."""

    name: ClassVar[str] = "timm"

    def handles(self, name: str) -> bool:
        """Any name."""
        return True

    def names(self) -> list[str]:
        """As timm lists them, without tags."""
        return listed()

    def knows(self, name: str) -> bool:
        """Whether timm knows the network; its tag is looked up when it is built."""
        return is_network(name)

    def weights_tag(self, name: str) -> str:
        """timm's default."""
        return default_tag(name)

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
        """The network as timm has it; ``fully_connected`` and ``cut`` do not apply.

        Raises:
            InputError: timm cannot build it so, or it is no chain of modules to stop between.
        """
        from timm.layers.format import Format
        from timm.models import EfficientNetFeatures, FeatureListNet, MobileNetV3Features
        from timm.models.selecsls import SelecSlsBlock

        facts = config(name)
        settings: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
        if facts.fixed_input_size and image_size not in (None, facts.input_size[1:]):
            settings["img_size"] = image_size
        net: Any = create(name, features_only=True, pretrained=pretrained, **settings)
        if any(isinstance(part, SelecSlsBlock) for part in net.modules()):
            raise InputError(
                f"{name} cannot be stepped: its blocks hand on several maps at once; take for example {USABLE}."
            )
        if isinstance(net, FeatureListNet):
            parts, ends = list(net.items()), list(net.return_layers)
        elif isinstance(net, EfficientNetFeatures | MobileNetV3Features):
            stem = [(part, layer) for part, layer in net.named_children() if part != "blocks"]
            parts = [*stem, *((f"blocks.{i}", block) for i, block in enumerate(net.blocks))]
            ends = list(net.feature_info.module_name())
            if ends[0] == "bn1":  # timm's name for the end of the stem, whose activation may be a module of its own
                ends[0] = stem[-1][0]
        else:
            raise InputError(
                f"{name} cannot be stepped: timm's {type(net).__name__} is no chain of modules to stop between; "
                f"take for example {USABLE}."
            )
        stages = list(cut_after(parts, ends))
        if getattr(net, "output_fmt", Format.NCHW) == Format.NHWC:
            stages = [_channels_first(stage, takes_images=i == 0) for i, stage in enumerate(stages)]
        channels, strides = net.feature_info.channels(), net.feature_info.reduction()
        return StagedBackbone(name, stages, channels=channels, strides=strides, mean=facts.mean, std=facts.std)

    def classifier(self, name: str) -> nn.Module:
        """The network with timm's head."""
        return create(name)

    def reach_weights(self, name: str) -> None:
        """Asks the hub, unless it must not be asked: timm then looks at what is cached and fails quickly by itself."""
        reach_hub(name)

    def input_size(self, name: str) -> tuple[int, int, int]:
        """Of the pretrained network."""
        size: tuple[int, int, int] = config(name).input_size
        return size

    def fixed_input_size(self, name: str) -> bool:
        """True for Swin and its like, whose parameters depend on the size."""
        return bool(config(name).fixed_input_size)


def listed(pattern: str = "") -> list[str]:
    """The networks of timm that match a pattern such as ``vgg*``."""
    import timm

    return list(timm.list_models(pattern))


def is_network(name: str) -> bool:
    """Whether timm knows the network, whatever its tag."""
    import timm

    return bool(timm.is_model(name.partition(".")[0]))


def config(name: str) -> Any:
    """timm's pretrained configuration of a network: input size and normalisation.

    Raises:
        InputError: The network has no weights of this tag.
    """
    import timm

    try:
        return timm.models.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    except RuntimeError:
        base, _, tag = name.partition(".")
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{base}.*")]
        raise unknown(f"{base} tag", tag, tags) from None


def default_tag(name: str) -> str:
    """The tag of the weights that timm fetches for a name without one; empty where the name has one."""
    return "" if "." in name else config(name).tag or ""


def create(name: str, **settings: Any) -> nn.Module:
    """``timm.create_model`` with its complaints in one sentence."""
    import timm

    try:
        return timm.create_model(name, **settings)
    except (AssertionError, AttributeError, OSError, RuntimeError, TypeError, ValueError) as error:
        if settings.get("pretrained"):
            raise InputError(f"No weights for {name} ({reason(error)}); give a .safetensors file.") from error
        raise InputError(
            f"{name} cannot be built as asked (timm: {reason(error)}); take for example {USABLE}."
        ) from error


def reach_hub(name: str) -> None:
    """See :meth:`Timm.reach_weights`."""
    import huggingface_hub

    if not huggingface_hub.constants.is_offline_mode():
        reach(huggingface_hub.constants.ENDPOINT, name)


def _channels_first(stage: nn.Sequential, takes_images: bool) -> nn.Sequential:
    """``stage`` of a network that works on ``(N, H, W, C)``, between maps ``(N, C, H, W)``."""
    around = nn.Sequential()
    if not takes_images:
        around.add_module("to_channels_last", torchvision.ops.Permute([0, 2, 3, 1]))
    for part, layer in stage.named_children():
        around.add_module(part, layer)
    around.add_module("to_channels_first", torchvision.ops.Permute([0, 3, 1, 2]))
    return around
