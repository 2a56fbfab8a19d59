"""Backbones: networks cut into stages that can be stepped one by one. One file a family.

A family says how its networks are cut and what is known of them; a new one is a file and a line in :data:`FAMILIES`.
"""

import functools
from contextlib import suppress
from pathlib import Path

import torch

from mtlkit.backbones.alexnet import AlexNet
from mtlkit.backbones.base import (
    Cut,
    Family,
    FullyConnected,
    RegionPooling,
    StagedBackbone,
    aside,
    last_weight,
    spelled,
)
from mtlkit.backbones.dla import DLA
from mtlkit.backbones.resnet import ResNet
from mtlkit.backbones.timm import Timm
from mtlkit.backbones.vgg import VGG
from mtlkit.backbones.weights import load, opened
from mtlkit.errors import InputError, check_choice, unknown

__all__ = [
    "FAMILIES",
    "Cut",
    "Family",
    "FullyConnected",
    "RegionPooling",
    "StagedBackbone",
    "aside",
    "ends_with_convolutions",
    "family",
    "has_fc_layers",
    "last_weight",
    "output_strides",
    "rectified",
    "revision",
    "staged",
]

FAMILIES: tuple[Family, ...] = (
    VGG(),
    AlexNet(),
    DLA(),
    ResNet(),
    Timm(),
)
"""All families; the first that handles a name is the network's."""


def family(name: str) -> Family:
    """The family of a network, whether or not the network exists."""
    return next(each for each in FAMILIES if each.handles(name))


def has_fc_layers(name: str) -> bool:
    """Whether ``name`` is a plain chain of layers (VGG, AlexNet), which takes ``fully_connected`` and ``cut``."""
    return family(name).has_fc_layers


def staged(
    name: str,
    *,
    weights: str = "none",
    output_stride: int | None = None,
    fully_connected: FullyConnected = "none",
    cut: Cut = "pools",
    image_size: tuple[int, int] | None = None,
    regions: bool = False,
    convolutions_only: bool = False,
) -> StagedBackbone:
    """The network ``name``, cut into stages, which take images normalised with its ``mean`` and ``std``.

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
        cut: VGG and AlexNet only: ``layers`` ends a stage after every convolution, its activation and pool with it;
            ``convolutions`` leaves the pool to the next stage, the last one to fc6.
        image_size: Height and width, for networks built for one size (Swin); the others take any and ignore it.
        regions: The last part of the network looks at regions (Fast R-CNN, https://arxiv.org/abs/1504.08083). The
            pooling of regions takes the place of the last pool of VGG and AlexNet, whose fully connected stages it
            needs; of any other network the last stage looks at regions of 7x7, much as in a ResNet
            (https://arxiv.org/abs/1512.03385, appendix A). Whoever steps the stages does the pooling.
        convolutions_only: Fully connected stages start at random: many files of weights of VGG and AlexNet end with the
            convolutions, see :func:`ends_with_convolutions`.

    Raises:
        InputError: The name, or a word for ``fully_connected`` or ``cut``, is unknown, the network cannot be stepped or
            not built this way, or the weights do not fit or cannot be had.

    >>> backbone = staged("resnet18")
    >>> x = torch.rand(1, 3, 64, 96)
    >>> for stage in backbone.stages:
    ...     x = stage(x)
    >>> x.shape, backbone.channels[-1], backbone.strides[-1]
    (torch.Size([1, 512, 2, 3]), 512, 32)
    """
    of = _known(name)
    check_choice("fully_connected", fully_connected, FullyConnected)
    check_choice("cut", cut, Cut)
    chains = " and ".join(each.name for each in FAMILIES if each.has_fc_layers)
    if fully_connected != "none" and not of.has_fc_layers:
        raise InputError(f"{name} has no fully connected stages; only {chains} take fully_connected.")
    if cut != "pools" and not of.has_fc_layers:
        raise InputError(f"{name} is cut where timm cuts it; only {chains} take cut={cut!r}.")
    if cut == "convolutions" and (regions or fully_connected == "none"):
        raise InputError(
            f"With cut='convolutions' fc6 of {name} begins with the last pool: set fully_connected, and no regions."
        )
    if regions and of.has_fc_layers and fully_connected != "plain":
        raise InputError(f"Regions of {name} go through its fully connected layers; set fully_connected='plain'.")
    if output_stride is not None and output_stride not in (possible := output_strides(name)):
        listed = " or ".join(map(str, possible)) or "none but its own stride"
        raise InputError(f"{name} cannot be built at output_stride={output_stride}; possible is {listed}.")
    if output_stride == _own_stride(name):
        output_stride = None  # many networks refuse to be told
    build = functools.partial(
        of.build,
        name,
        output_stride=output_stride,
        fully_connected=fully_connected,
        cut=cut,
        image_size=image_size,
    )
    if convolutions_only and (weights in ("none", "timm") or fully_connected == "none"):
        raise InputError("convolutions_only is for a file of weights and a network with fully connected stages.")
    backbone = build()
    if image_size is None and of.fixed_input_size(name):
        raise InputError(f"{name} is built for one input size; give image_size=(height, width).")
    if weights == "timm":
        of.reach_weights(name)
        with torch.random.fork_rng(devices=[]):  # the run goes on as if no second network had been drawn
            backbone = build(pretrained=True)
    elif weights != "none":
        load(backbone, of, Path(weights), list(backbone.stages[-2:]) if convolutions_only else [])
    return of.for_regions(backbone) if regions else backbone


def ends_with_convolutions(name: str, weights: Path) -> bool:
    """Whether a file of weights of ``name``, a VGG or AlexNet, has nothing of fc6 and fc7.

    Raises:
        InputError: There is no such file, or it cannot be read.
    """
    layers = tuple(map(spelled, family(name).fc_layers))
    with opened(weights, name) as file:
        return not any(spelled(key).startswith(layers) for key in file.keys())  # noqa: SIM118, it is no mapping


@functools.cache
def output_strides(name: str) -> tuple[int, ...]:
    """Which of 8, 16 and 32 ``name`` can be built at as ``output_stride``; found by building, without memory.

    Raises:
        InputError: The name is unknown or the network cannot be stepped.
    """
    of = _known(name)
    own, possible = _own_stride(name), []
    for stride in (8, 16, 32):
        with suppress(InputError), aside():
            if stride == own or of.build(name, output_stride=stride).strides[-1] == stride:
                possible.append(stride)
    return tuple(possible)


@functools.cache
def rectified(name: str) -> bool:
    """Whether no stage of ``name`` puts out a negative number: VGG's and ResNet's end in a ReLU, MobileNet's do not.

    Raises:
        InputError: The name is unknown or the network cannot be stepped.
    """
    return _known(name).rectified(name)


def revision(name: str, fully_connected: FullyConnected, maps: bool) -> int:
    """How often what a network of ``name`` computes was changed on purpose, counted from 1; part of its identity.

    2: the cells of VGG's and AlexNet's maps are brought to where they look, the image is padded with
    ``fully_connected="padded"``, and AlexNet's dropout stands behind fc6 and fc7.

    Args:
        name: of the backbone.
        fully_connected: as of :func:`staged`.
        maps: whether an output has a value for every pixel, made of the last stage's map.
    """
    return family(name).revision(fully_connected, maps)


def _known(name: str) -> Family:
    found = family(name)
    if not found.knows(name):
        raise unknown("backbone", name, {known for each in FAMILIES for known in each.names()})
    return found


@functools.cache
def _own_stride(name: str) -> int:
    with aside():
        return family(name).build(name).strides[-1]
