"""A timm or torchvision network cut into stages that can be stepped one by one.

Fusion layers stand between stages and change what the next stage gets. Hooks, and timm's
``forward_intermediates``, only look; so a network is taken apart here, or refused by name.

timm registers every network it knows and takes half a second for it; it is imported where one is looked up or built, so
that naming a backbone costs nothing.
"""

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import safetensors
import torch
import torchvision
from torch import Tensor, nn
from torchvision.ops import roi_pool

from mtlkit.errors import InputError, unknown
from mtlkit.grid import Grid, grid_of

__all__ = [
    "RegionPooling",
    "StagedBackbone",
    "has_layers",
    "last_weight",
    "output_strides",
    "rectified",
    "revision",
    "staged",
]

USABLE = "resnet50, mobilenetv2_100, convnext_tiny, dla34, regnety_004 or vgg16"
FullyConnected = Literal["none", "plain", "padded"]
Cut = Literal["pools", "layers"]

FCN_PADDING = 100
"""Pixels around the image of a fully convolutional network (``voc-fcn-alexnet/net.py``)."""

ALEXNET = torchvision.models.AlexNet_Weights.IMAGENET1K_V1


class RegionPooling(NamedTuple):
    """Where a backbone goes over from the map of a picture to maps of regions of it.

    Attributes:
        after: the stage whose map is pooled.
        side: rows and columns of every region's map.
        stride: picture pixels to one step of the pooled map.
        offset: the picture pixel around which the map's first cell looks: 0 where every layer pads by half its
            kernel; AlexNet's map lacks a border of 15 pixels.
    """

    after: int
    side: int
    stride: int
    offset: float = 0.0

    def pooled(self, x: Tensor, regions: Tensor) -> Tensor:
        """The largest values of a map ``(N, C, h, w)`` in the bins of regions: ``(M, C, side, side)``.

        Args:
            x: the map of the stage that regions are pooled after.
            regions: ``(M, 5)``: a row of ``x``, then left, top, right, bottom in picture pixels.
        """
        height, width = x.shape[-2:]
        # A region at the far edge may round to a cell behind the last, where there is nothing to pool.
        last = regions.new_tensor([width - 1, height - 1, width - 1, height - 1]) * self.stride
        places = (regions[:, 1:] - self.offset).clamp(min=0).minimum(last)
        # In full precision: half of it knows pixels above 256 only by twos and fours.
        found: Tensor = roi_pool(x.float(), torch.cat([regions[:, :1], places], 1), self.side, 1 / self.stride)
        return found.to(x.dtype)


class StagedBackbone(nn.Module):
    """A network as a list of stages, built by :func:`staged`.

    Every stage takes the map of the stage before it, ``(N, C, H, W)``, and may be called from outside::

        for stage in backbone.stages:
            x = stage(x)

    Attributes:
        name: The network, as given to :func:`staged`.
        stages: The stages in order.
        channels: Channels of every stage's output.
        strides: Input pixels to one step of every stage's output, nominal: a convolution without padding (AlexNet)
            loses some border. Fully connected stages repeat the last stride.
        mean: What the pretrained weights subtract from RGB in [0, 1], and
        std: what they then divide by.
        grid: where the cells of the last stage look, for VGG and AlexNet, which are chains of layers; ``None``: not
            known, so that its cells are taken for tiles of the image.
        regions: where regions are pooled, for a network that looks at regions; the stages behind take region maps.
    """

    grid: Grid | None = None
    regions: RegionPooling | None = None

    def __init__(
        self,
        name: str,
        stages: Iterable[nn.Module],
        *,
        channels: Iterable[int],
        strides: Iterable[int],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        super().__init__()
        self.name = name
        self.stages = nn.ModuleList(stages)
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.mean, self.std = mean, std

    def forward(self, images: Tensor) -> list[Tensor]:
        """The outputs of all stages for ``images`` ``(N, 3, H, W)``, each ``(N, C, H, W)``."""
        outputs, x = [], images
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs


def staged(
    name: str,
    *,
    weights: str = "none",
    output_stride: int | None = None,
    fully_connected: FullyConnected = "none",
    cut: Cut = "pools",
    image_size: tuple[int, int] | None = None,
    regions: bool = False,
) -> StagedBackbone:
    """The network ``name``, cut into stages.

    Stages end where timm's ``features_only`` has its outputs, and equal them bit for bit. VGG's and AlexNet's end
    after the pools instead, where the papers put their units. VGG at ``output_stride=8`` is the trunk of
    DeepLab-LargeFOV (https://arxiv.org/abs/1412.7062) as NDDR-CNN's official code has it
    (https://github.com/ethanygao/NDDR-CNN): 3x3 pools, the fourth and fifth at stride 1, the fifth followed by an
    average pool, conv5 dilated by 2; its fc6 and fc7 belong to the head.

    Args:
        name: A timm name, with or without a tag (``resnet50.a1_in1k``), or ``alexnet`` (torchvision's).
        weights: ``none``; ``timm`` for the published ones (of torchvision for AlexNet); or a ``.safetensors`` file
            with the tensor names of the whole network or of timm's ``features_only``. What lies beyond the last
            stage is left out. Drawing the initial weights consumes the same random numbers in all three cases.
        output_stride: Stride of the last stage where that is not the network's own, see :func:`output_strides`.
        fully_connected: VGG and AlexNet only: fc6 and fc7 (activation and dropout with them) become two further
            stages, as convolutions ``(N, 4096, H, W)``. ``plain``: fc6 has no padding, so that H = W = 1 for the 7x7
            (VGG) or 6x6 (AlexNet) map of a 224-pixel image, and the outputs are the classifier network's; a smaller
            map is pooled up to that first. ``padded``: the image has 100 zeros around it and no pool drops a border,
            so that the cells of the unpadded fc6 cover the image from edge to edge, as in fully convolutional
            networks (https://github.com/shelhamer/fcn.berkeleyvision.org). Dropout stands behind fc6 and fc7 in both
            networks, as there and in Fast R-CNN; torchvision's AlexNet has it before them.
        cut: VGG and AlexNet only: ``layers`` ends a stage after every convolution, its activation and pool with it.
        image_size: Height and width, for networks built for one size (Swin); the others take any and ignore it.
        regions: The last part of the network looks at regions (Fast R-CNN, https://arxiv.org/abs/1504.08083). The
            pooling of regions takes the place of the last pool of VGG and AlexNet, whose fully connected stages it
            needs; of any other network the last stage looks at regions of 7x7, much as in a ResNet
            (https://arxiv.org/abs/1512.03385, appendix A). Whoever steps the stages does the pooling.

    Raises:
        InputError: The name is unknown, the network cannot be stepped or not built this way, or the weights do not
            fit or cannot be had.
    """
    _known(name)
    if fully_connected != "none" and not has_layers(name):
        raise InputError(f"{name} has no fully connected stages; only vgg and alexnet take fully_connected.")
    if cut != "pools" and not has_layers(name):
        raise InputError(f"{name} is cut where timm cuts it; only vgg and alexnet take cut={cut!r}.")
    if (fully_connected != "none" or cut != "pools") and output_stride not in (None, 32):
        raise InputError(
            f"{name} at output_stride={output_stride} is the trunk of DeepLab-LargeFOV, cut after its pools, with fc6 "
            "and fc7 in the head; leave out fully_connected and cut."
        )
    if regions and has_layers(name) and fully_connected != "plain":
        raise InputError(f"Regions of {name} go through its fully connected layers; set fully_connected='plain'.")
    if output_stride is not None and output_stride not in (possible := output_strides(name)):
        listed = " or ".join(map(str, possible)) or "none but its own stride"
        raise InputError(f"{name} cannot be built at output_stride={output_stride}; possible is {listed}.")
    if output_stride == _own_stride(name):
        output_stride = None  # many networks refuse to be told
    backbone = _build(name, output_stride, fully_connected, cut, image_size)
    if image_size is None and name != "alexnet" and _facts(name).fixed_input_size:
        raise InputError(f"{name} is built for one input size; give image_size=(height, width).")
    if weights == "timm":
        _reach_weights(name)
        with torch.random.fork_rng(devices=[]):  # the run goes on as if no second network had been drawn
            backbone = _build(name, output_stride, fully_connected, cut, image_size, pretrained=True)
    elif weights != "none":
        _load(backbone, Path(weights))
    if has_layers(name):
        backbone.grid = grid_of(backbone.stages)
    return _for_regions(backbone) if regions else backbone


@functools.cache
def output_strides(name: str) -> tuple[int, ...]:
    """Which of 8, 16 and 32 ``name`` can be built at as ``output_stride``; found by building, without memory.

    Raises:
        InputError: The name is unknown or the network cannot be stepped.
    """
    _known(name)
    own, possible = _own_stride(name), []
    for stride in (8, 16, 32):
        with suppress(InputError), _aside():
            if stride == own or _build(name, stride).strides[-1] == stride:
                possible.append(stride)
    return tuple(possible)


@functools.cache
def rectified(name: str) -> bool:
    """Whether no stage of ``name`` puts out a negative number: VGG's and ResNet's end in a ReLU, MobileNet's do not.

    Found by showing noise to the untrained network.

    Raises:
        InputError: The name is unknown or the network cannot be stepped.
    """
    _known(name)
    if has_layers(name):
        return True  # cut behind their ReLUs here
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        noise = torch.randn(1, *_facts(name).input_size)
        return all(bool((output >= 0).all()) for output in _build(name).eval()(noise))


def revision(name: str, fully_connected: FullyConnected, maps: bool) -> int:
    """How often what a network of ``name`` computes was changed on purpose, counted from 1; part of its identity.

    2: the cells of VGG's and AlexNet's maps are brought to where they look, the image is padded with
    ``fully_connected="padded"``, and AlexNet's dropout stands behind fc6 and fc7.

    Args:
        name: of the backbone.
        fully_connected: as of :func:`staged`.
        maps: whether an output has a value for every pixel, made of the last stage's map.
    """
    return 2 if (maps and has_layers(name)) or (name == "alexnet" and fully_connected != "none") else 1


def last_weight(stage: nn.Module, channels: int) -> Tensor:
    """The weight of the last convolution or linear layer of ``stage`` that puts out ``channels`` channels.

    Normalisation is not it, nor are gates (squeeze-and-excitation) and the projection of a residual's other path.

    Raises:
        InputError: No layer puts out that many (DenseNet's stages end by joining maps).
    """
    # timm's names for what is registered behind the last layer
    beside = {"se", "se_module", "attn", "attn_last", "downsample", "shortcut", "project"}
    for path, layer in reversed(list(stage.named_modules())):
        out = getattr(layer, "out_channels", None) or getattr(layer, "out_features", None)
        if isinstance(layer, nn.Conv2d | nn.Linear) and out == channels and beside.isdisjoint(path.split(".")):
            return layer.weight
    raise InputError(f"No layer of this stage puts out {channels} channels; it has no last weight to penalise.")


def _for_regions(backbone: StagedBackbone) -> StagedBackbone:
    """The backbone with a place for the pooling of regions, and without the pool that it stands for."""
    strides, after = list(backbone.strides), len(backbone.stages) - 2
    if not has_layers(backbone.name):
        backbone.regions = RegionPooling(after, 7, strides[after])
        return backbone
    after -= 1
    convolutions, fc6 = (cast(nn.Sequential, stage) for stage in backbone.stages[after : after + 2])
    backbone.stages[after] = convolutions[:-1]
    strides[after:] = [strides[after] // 2] * 3
    backbone.strides = tuple(strides)
    side = next(layer.kernel_size[0] for layer in fc6 if isinstance(layer, nn.Conv2d))
    backbone.regions = RegionPooling(after, side, strides[after], grid_of(backbone.stages[: after + 1]).offset)
    backbone.grid = None
    return backbone


def has_layers(name: str) -> bool:
    """Whether ``name`` is a plain chain of layers (VGG, AlexNet), which takes ``fully_connected`` and ``cut``."""
    return _is_vgg(name) or name == "alexnet"


def _known(name: str) -> None:
    import timm

    if name != "alexnet" and not timm.is_model(name.partition(".")[0]):
        raise unknown("backbone", name, [*timm.list_models(), "alexnet"])


def _is_vgg(name: str) -> bool:
    return name.startswith("vgg")


@functools.cache
def _own_stride(name: str) -> int:
    with _aside():
        return _build(name).strides[-1]


def _facts(name: str) -> Any:
    """timm's pretrained configuration of a network: input size and normalisation."""
    import timm

    try:
        return timm.models.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    except RuntimeError:
        base, _, tag = name.partition(".")
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{base}.*")]
        raise unknown(f"{base} tag", tag, tags) from None


@contextmanager
def _aside() -> Iterator[None]:
    """Build for facts only: no memory, and the random numbers of the run stay where they were."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        yield


def _create(name: str, **settings: Any) -> nn.Module:
    """``timm.create_model`` with its complaints in one sentence."""
    import timm

    try:
        return timm.create_model(name, **settings)
    except (AssertionError, AttributeError, OSError, RuntimeError, TypeError, ValueError) as error:
        if settings.get("pretrained"):
            raise InputError(f"No weights for {name} ({_reason(error)}); give a .safetensors file.") from error
        raise InputError(
            f"{name} cannot be built as asked (timm: {_reason(error)}); take for example {USABLE}."
        ) from error


def _reason(error: BaseException) -> str:
    """The first sentence of somebody else's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")


def _build(
    name: str,
    output_stride: int | None = None,
    fully_connected: FullyConnected = "none",
    cut: Cut = "pools",
    image_size: tuple[int, int] | None = None,
    pretrained: bool = False,
) -> StagedBackbone:
    if name == "alexnet":
        return _alexnet(output_stride, fully_connected, cut, pretrained)
    if _is_vgg(name):
        return _vgg(name, output_stride, fully_connected, cut, pretrained)
    return _from_timm(name, output_stride, image_size, pretrained)


def _from_timm(
    name: str, output_stride: int | None, image_size: tuple[int, int] | None, pretrained: bool
) -> StagedBackbone:
    from timm.layers.format import Format
    from timm.models import EfficientNetFeatures, FeatureListNet, MobileNetV3Features
    from timm.models.selecsls import SelecSlsBlock

    facts = _facts(name)
    settings: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
    if facts.fixed_input_size and image_size not in (None, facts.input_size[1:]):
        settings["img_size"] = image_size
    net: Any = _create(name, features_only=True, pretrained=pretrained, **settings)
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
    stages = list(_cut(parts, ends))
    if getattr(net, "output_fmt", Format.NCHW) == Format.NHWC:
        stages = [_channels_first(stage, takes_images=i == 0) for i, stage in enumerate(stages)]
    channels, strides = net.feature_info.channels(), net.feature_info.reduction()
    return StagedBackbone(name, stages, channels=channels, strides=strides, mean=facts.mean, std=facts.std)


def _vgg(
    name: str, output_stride: int | None, fully_connected: FullyConnected, cut: Cut, pretrained: bool
) -> StagedBackbone:
    if output_stride not in (None, 8, 32):
        raise InputError(f"{name} cannot be built at output_stride={output_stride}.")
    full = fully_connected != "none"
    dropout = 0.5 if full else 0.0  # timm's default is 0; the papers of VGG and Fast R-CNN have 0.5
    settings: dict[str, Any] = {"num_classes": 0, "pretrained": pretrained, "drop_rate": dropout}
    if not (full or pretrained):
        settings["mlp_ratio"] = 1 / 4096  # drawing 120 million weights to drop them takes seconds
    net: Any = _create(name, **settings)
    stages = _features(net.features, cut)
    channels, strides = _sizes(stages)
    if output_stride == 8:
        _largefov(stages)
        strides = [2, 4, 8, 8, 8]
    if full:
        head = net.pre_logits
        if fully_connected == "padded":
            _cover(stages)
        before = [("before", _AtLeast(head.input_kernel_size))] if fully_connected == "plain" else []
        fc6 = [*before, ("pre_logits.fc1", head.fc1), ("act1", head.act1)]
        fc7 = [("pre_logits.fc2", head.fc2), ("act2", head.act2)]
        drops = [("drop1", head.drop), ("drop2", nn.Dropout(dropout))]
        stages += _cut([*fc6, drops[0], *fc7, drops[1]], ["drop1", "drop2"])
        channels, strides = [*channels, head.fc1.out_channels, head.fc2.out_channels], [*strides, 32, 32]
    facts = _facts(name)
    return StagedBackbone(name, stages, channels=channels, strides=strides, mean=facts.mean, std=facts.std)


def _largefov(stages: list[nn.Sequential]) -> None:
    """DeepLab-LargeFOV's changes to the five stages of a VGG; no tensor changes its name."""
    for i, stage in enumerate(stages):
        pool: nn.Module = nn.MaxPool2d(3, stride=2 if i < 3 else 1, padding=1)
        stage[-1] = pool if i < 4 else nn.Sequential(pool, nn.AvgPool2d(3, stride=1, padding=1))
    for layer in stages[-1]:
        if isinstance(layer, nn.Conv2d):
            layer.dilation = layer.padding = (2, 2)


def _alexnet(output_stride: int | None, fully_connected: FullyConnected, cut: Cut, pretrained: bool) -> StagedBackbone:
    if output_stride not in (None, 32):
        raise InputError(f"alexnet cannot be built at output_stride={output_stride}.")
    net = torchvision.models.alexnet()
    if pretrained:
        net.load_state_dict(ALEXNET.get_state_dict(progress=False))
    stages = _features(net.features, cut)
    channels, strides = _sizes(stages)
    if fully_connected != "none":
        if fully_connected == "padded":
            _cover(stages)
        drop1, linear1, act1, drop2, linear2, act2, _ = net.classifier
        before = [("before", _AtLeast(6))] if fully_connected == "plain" else []
        fc6 = [*before, ("classifier.1", _convolution(linear1, 6)), ("classifier.2", act1), ("drop6", drop1)]
        fc7 = [("classifier.4", _convolution(linear2, 1)), ("classifier.5", act2), ("drop7", drop2)]
        stages += _cut([*fc6, *fc7], ["drop6", "drop7"])
        channels, strides = [*channels, 4096, 4096], [*strides, 32, 32]
    transform = ALEXNET.transforms()
    return StagedBackbone(
        "alexnet",
        stages,
        channels=channels,
        strides=strides,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
    )


class _AtLeast(nn.Module):
    """Pools a map that is smaller than ``size`` up to it, as timm's VGG does before its first full layer."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if min(height, width) >= self.size:
            return x
        return nn.functional.adaptive_avg_pool2d(x, (max(height, self.size), max(width, self.size)))


def _cover(stages: Iterable[nn.Sequential]) -> None:
    """A fully convolutional network's changes to the stages of a VGG or AlexNet; no tensor changes its name."""
    layers = [layer for stage in stages for layer in stage]
    next(layer for layer in layers if isinstance(layer, nn.Conv2d)).padding = (FCN_PADDING, FCN_PADDING)
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True  # as all pools of Caffe: a window that sticks out counts


def _convolution(linear: nn.Linear, kernel: int) -> nn.Conv2d:
    """A linear layer over a map of ``kernel`` by ``kernel`` pixels, as the convolution that it is."""
    with _aside():
        layer = nn.Conv2d(linear.in_features // kernel**2, linear.out_features, kernel)
    layer.weight = nn.Parameter(linear.weight.detach().view(layer.weight.shape))
    layer.bias = linear.bias
    return layer


def _features(features: nn.Sequential, cut: Cut) -> list[nn.Sequential]:
    """The layers of a VGG or AlexNet, cut after its pools or in front of every convolution."""
    parts = [(f"features.{i}", layer) for i, layer in enumerate(features)]
    following = [layer for _, layer in parts[1:]] + [None]
    ends = [
        part
        for (part, layer), after in zip(parts, following, strict=True)
        if (isinstance(layer, nn.MaxPool2d) if cut == "pools" else after is None or isinstance(after, nn.Conv2d))
    ]
    return list(_cut(parts, ends))


def _sizes(stages: Iterable[nn.Sequential]) -> tuple[list[int], list[int]]:
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


def _cut(parts: Iterable[tuple[str, nn.Module]], ends: list[str]) -> Iterator[nn.Sequential]:
    """``parts`` as one sequence a stage, cut after every name in ``ends``; what follows the last is dropped."""
    stage = nn.Sequential()
    for part, layer in parts:
        stage.add_module(_plain(part), layer)
        if part in ends:
            yield stage
            stage = nn.Sequential()


def _channels_first(stage: nn.Sequential, takes_images: bool) -> nn.Sequential:
    """``stage`` of a network that works on ``(N, H, W, C)``, between maps ``(N, C, H, W)``."""
    around = nn.Sequential()
    if not takes_images:
        around.add_module("to_channels_last", torchvision.ops.Permute([0, 2, 3, 1]))
    for part, layer in stage.named_children():
        around.add_module(part, layer)
    around.add_module("to_channels_first", torchvision.ops.Permute([0, 3, 1, 2]))
    return around


def _reach_weights(name: str) -> None:
    """Refuse at once what would otherwise be retried for most of a minute.

    With ``HF_HUB_OFFLINE`` set timm looks at what is cached and fails quickly by itself.
    """
    import huggingface_hub

    offline = huggingface_hub.constants.is_offline_mode()
    where = ALEXNET.url if name == "alexnet" else huggingface_hub.constants.ENDPOINT
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(ALEXNET.url).name
    if cached.exists() if name == "alexnet" else offline:
        return
    try:
        if offline:
            raise ConnectionError("HF_HUB_OFFLINE is set")
        huggingface_hub.get_session().head(where, timeout=5)
    except Exception as error:  # the session's own kinds differ between releases of huggingface_hub
        raise InputError(
            f"No weights for {name}: {where} cannot be reached ({_reason(error)}); "
            "give a .safetensors file, or set HF_HUB_OFFLINE=1 to use only what is cached."
        ) from error


def _plain(name: str) -> str:
    """A tensor's name in the one spelling that whole networks and timm's ``features_only`` share."""
    return name.replace(".", "_")


def _load(backbone: StagedBackbone, path: Path) -> None:
    """Copy the tensors of ``path`` into ``backbone``.

    Every tensor of the stages must be there. Others may be, if the whole network (as a classifier) has them: more
    than that means a file of another network.
    """
    name = backbone.name
    if path.suffix != ".safetensors":
        raise InputError(f"The weights of {name} are 'none', 'timm' or a .safetensors file, not {str(path)!r}.")
    if not path.is_file():
        raise InputError(f"The weights file {path} for {name} does not exist.")
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            given = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, it is no mapping
    except safetensors.SafetensorError as error:
        raise InputError(f"The weights file {path} for {name} cannot be read ({_reason(error)}).") from error
    if _is_vgg(name):
        given = _vgg_as_convolutions(given)
    elif name == "alexnet":
        shapes = {"classifier.1.weight": (-1, 256, 6, 6), "classifier.4.weight": (-1, 4096, 1, 1)}
        given = {key: tensor.reshape(shapes.get(key, tensor.shape)) for key, tensor in given.items()}

    with _aside():
        whole = torchvision.models.alexnet() if name == "alexnet" else _create(name)
    spelling = {_plain(key): key for key in whole.state_dict()}
    found = {_plain(key): (key, tensor) for key, tensor in given.items()}
    # "stages.<i>." comes off
    own = {_plain(key.split(".", 2)[2]): tensor for key, tensor in backbone.state_dict().items()}
    counter = "num_batches_tracked"  # files written before PyTorch 0.4.1 lack it
    faults = {
        "missing": [spelling.get(key, key) for key in own if key not in found and not key.endswith(counter)],
        "of the wrong shape": [
            f"{found[key][0]} is {tuple(found[key][1].shape)} and not {tuple(tensor.shape)}"
            for key, tensor in own.items()
            if key in found and found[key][1].shape != tensor.shape
        ],
        "unexpected": [found[key][0] for key in found.keys() - own.keys() - spelling.keys()],
    }
    if any(faults.values()):
        listed = "; ".join(
            f"{len(tensors)} tensor(s) {fault} ({', '.join(sorted(tensors)[:3])}{', ...' if len(tensors) > 3 else ''})"
            for fault, tensors in faults.items()
            if tensors
        )
        raise InputError(f"The weights file {path} does not fit {name}: {listed}.")
    for key in own.keys() & found.keys():
        own[key].copy_(found[key][1])


def _vgg_as_convolutions(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's linear fc6 to fc8 under timm's names and as timm's convolutions."""
    names = {"classifier.0.": "pre_logits.fc1.", "classifier.3.": "pre_logits.fc2.", "classifier.6.": "head.fc."}
    shapes = {"pre_logits.fc1.weight": (-1, 512, 7, 7), "pre_logits.fc2.weight": (-1, 4096, 1, 1)}
    renamed = {names.get(key[:13], key[:13]) + key[13:]: tensor for key, tensor in tensors.items()}
    return {key: tensor.reshape(shapes.get(key, tensor.shape)) for key, tensor in renamed.items()}
