"""What a staged backbone is, and what a family of networks says of itself."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision.ops import roi_pool

from mtlkit.errors import InputError
from mtlkit.grid import Grid

FullyConnected = Literal["none", "plain", "padded"]
Cut = Literal["pools", "layers", "convolutions"]


class RegionPooling(NamedTuple):
    """Where a backbone goes over from the map of an image to maps of regions of it.

    Attributes:
        after: the stage whose map is pooled.
        side: rows and columns of every region's map.
        stride: image pixels to one step of the pooled map.
        offset: the image pixel around which the map's first cell looks: 0 where every layer pads by half its
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
            regions: ``(M, 5)``: a row of ``x``, then left, top, right, bottom in image pixels.
        """
        height, width = x.shape[-2:]
        # A region at the far edge may round to a cell behind the last, where there is nothing to pool.
        last = regions.new_tensor([width - 1, height - 1, width - 1, height - 1]) * self.stride
        places = (regions[:, 1:] - self.offset).clamp(min=0).minimum(last)
        # In full precision: half of it knows pixels above 256 only by twos and fours.
        found: Tensor = roi_pool(x.float(), torch.cat([regions[:, :1], places], 1), self.side, 1 / self.stride)
        return found.to(x.dtype)


class StagedBackbone(nn.Module):
    """A network as a list of stages: one of :func:`mtlkit.backbones.staged`, or an encoder of one's own.

    Every stage takes the map of the stage before it, ``(N, C, H, W)``, and may be called from outside::

        for stage in backbone.stages:
            x = stage(x)

    All arguments are attributes too.

    Args:
        name: The network, as given to :func:`mtlkit.backbones.staged`; what messages call it.
        stages: The stages in order.
        channels: Channels of every stage's output.
        strides: Input pixels to one step of every stage's output, nominal: a convolution without padding (AlexNet)
            loses some border. Fully connected stages repeat the last stride.
        mean: What its weights want subtracted from RGB in [0, 1], and
        std: what they want the rest divided by. :mod:`mtlkit.sharing` does both, :meth:`forward` neither.

    Attributes:
        grid: where the cells of the last stage look, for VGG and AlexNet, which are chains of layers; ``None``: not
            known, so that its cells are taken for tiles of the image.
        regions: where regions are pooled, for a network that looks at regions; the stages behind take region maps.

    Raises:
        InputError: There are not as many channels and strides as stages, or not three numbers in ``mean`` and ``std``.

    >>> half = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
    >>> same = (0.5, 0.5, 0.5)
    >>> backbone = StagedBackbone("one stage", [half], channels=[8], strides=[2], mean=same, std=same)
    >>> [tuple(x.shape) for x in backbone(torch.rand(2, 3, 64, 96) * 2 - 1)]
    [(2, 8, 32, 48)]
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
        counts = len(self.stages), len(self.channels), len(self.strides)
        if len({*counts}) > 1:
            raise InputError(
                f"{name} needs channels and a stride for every stage, not {counts[1]} channels and {counts[2]} strides "
                f"for {counts[0]} stages."
            )
        for what, numbers in (("mean", mean), ("std", std)):
            if torch.as_tensor(numbers).shape != (3,):
                raise InputError(f"The {what} of {name} is three numbers, for red, green and blue, not {numbers}.")

    def forward(self, images: Tensor) -> list[Tensor]:
        """The outputs of all stages, each ``(N, C, H, W)``.

        Args:
            images: ``(N, 3, H, W)``, normalised with ``mean`` and ``std`` by the caller.
        """
        outputs, x = [], images
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs


class Family(ABC):
    """Networks that are cut into stages in one way. A file a family, and a line in ``mtlkit.backbones.FAMILIES``.

    What is asked about a network before it is built is asked here, so that no other module tests its name.
    """

    name: ClassVar[str]
    """What messages call it."""

    fc_layers: ClassVar[tuple[str, ...]] = ()
    """How names of the tensors of fc6 and fc7 begin in files of weights, of a family that has them."""

    pools: ClassVar[int] = 0
    """How many stages end in a pool where stages are cut there; 0 where the family is cut elsewhere."""

    stitched_after: ClassVar[tuple[int, ...] | None] = None
    """The stages that the cross-stitch paper's units stand after, with ``cut="layers"`` and fully connected stages;
    ``None``: the paper does not say."""

    default_neck: ClassVar[str] = "upsampling"
    """The neck behind it, for heads that predict maps, where the reader names none; for families in CenterNet's code
    (https://github.com/xingyizhou/CenterNet) the one there."""

    default_head_width: ClassVar[int] = 64
    """Channels inside such heads where the reader names none; of DLA and ResNets the width in CenterNet's code."""

    @property
    def has_fc_layers(self) -> bool:
        """Whether it is a chain of convolutions, then fc6 and fc7, which takes ``fully_connected`` and ``cut``."""
        return bool(self.fc_layers)

    @abstractmethod
    def handles(self, name: str) -> bool:
        """Whether a network of this name would be one of the family; the name alone decides, at no cost."""

    @abstractmethod
    def names(self) -> list[str]:
        """The networks that there are."""

    def knows(self, name: str) -> bool:
        """Whether there is a network of this name, which may have a tag of weights."""
        return name in self.names()

    def weights_tag(self, name: str) -> str:
        """The tag of the weights that are fetched for a name without one, where a release of timm may change that."""
        return ""

    @abstractmethod
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
        """The network, see :func:`mtlkit.backbones.staged`; ``output_stride`` of ``None`` is its own.

        Raises:
            InputError: It cannot be built this way.
        """

    @abstractmethod
    def classifier(self, name: str) -> nn.Module:
        """The whole network, whose tensors a file of weights may hold beside those of the stages."""

    def converted(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors of a file by the names and in the shapes that the stages have."""
        return tensors

    def reach_weights(self, name: str) -> None:
        """Raises an :class:`InputError` at once where published weights would be tried for most of a minute."""
        return

    def input_size(self, name: str) -> tuple[int, int, int]:
        """Channels, height and width of the images that the network was made for."""
        return (3, 224, 224)

    def fixed_input_size(self, name: str) -> bool:
        """Whether the network takes images of one size only, the one that it is built for."""
        return False

    def has_norm(self, name: str) -> bool:
        """Whether normalisation, or scaled weights in its place, lets the network train at a rate of 0.1."""
        return True

    def rectified(self, name: str) -> bool:
        """Whether no stage puts out a negative number; found by showing noise to the untrained network."""
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(0)
            noise = torch.randn(1, *self.input_size(name))
            return all(bool((output >= 0).all()) for output in self.build(name).eval()(noise))

    def revision(self, fully_connected: FullyConnected, maps: bool) -> int:
        """See :func:`mtlkit.backbones.revision`."""
        return 1

    def for_regions(self, backbone: StagedBackbone) -> StagedBackbone:
        """The backbone with a place for the pooling of regions: its last stage takes region maps of 7x7."""
        after = len(backbone.stages) - 2
        backbone.regions = RegionPooling(after, 7, backbone.strides[after])
        return backbone


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


def cut_after(parts: Iterable[tuple[str, nn.Module]], ends: list[str]) -> Iterator[nn.Sequential]:
    """``parts`` as one sequence a stage, cut after every name in ``ends``; what follows the last is dropped."""
    stage = nn.Sequential()
    for part, layer in parts:
        stage.add_module(spelled(part), layer)
        if part in ends:
            yield stage
            stage = nn.Sequential()


def spelled(name: str) -> str:
    """A tensor's name in the one spelling that whole networks and timm's ``features_only`` share."""
    return name.replace(".", "_")


_DRAWS = {
    Tensor.normal_,
    Tensor.uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
}


class _Undrawn(TorchFunctionMode):
    """Leaves out the draws of start weights, which take most of a build even where there is no memory to fill."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def aside() -> Iterator[None]:
    """Build for facts only: no memory, no start weights, and the random numbers of the run stay where they were.

    >>> with aside():
    ...     layer = nn.Conv2d(3, 8, kernel_size=3)
    >>> layer.weight.device, layer.weight.shape
    (device(type='meta'), torch.Size([8, 3, 3, 3]))
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"), _Undrawn():
        yield
