"""A whole network: encoders, necks and heads, from a description to ``{task: output}``, and parameter groups."""

import functools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mtlkit.backbones import Cut, FullyConnected, StagedBackbone, aside, family, revision, staged
from mtlkit.errors import InputError, unknown
from mtlkit.grid import Grid
from mtlkit.heads import HeadSettings
from mtlkit.heads.base import Head
from mtlkit.necks import NeckSettings, Shortcut
from mtlkit.sharing import HardSharing, SharingSettings, checked_names
from mtlkit.tasks import AnyTask, DenseTask
from mtlkit.values import Value


class Weights(Value):
    """What a backbone starts from: nothing, timm's download, or a safetensors file known by its hash."""

    source: Literal["none", "timm", "file"] = "none"
    sha256: str = ""
    convolutions_only: bool = False
    """Whether fully connected stages start at random, since the file has none of their tensors."""
    path: Path | None = Field(default=None, exclude=True)


class NetworkSettings(Value):
    """Everything that shapes a network. ``settings.build()`` makes it.

    Raises:
        InputError: There is no task, two have one name, a name is none that :class:`~mtlkit.sharing.HardSharing` takes,
            or ``heads`` has one of a task that is not there.
    """

    backbone: str
    weights: Weights = Weights()
    output_stride: int | None = None
    fully_connected: FullyConnected = "none"
    cut: Cut = "pools"
    tasks: tuple[AnyTask, ...]
    sharing: SharingSettings = HardSharing.Settings()
    neck: NeckSettings | None = None
    """Adds a last map, made of all stages' maps, for the heads; one for all tasks where they share all stages."""
    head: HeadSettings
    heads: dict[str, HeadSettings] = {}
    """The heads of tasks that have another than ``head``."""
    regions: bool = False
    """Whether the last part of the network looks at regions of the images, each with an output of its own."""
    image_size: tuple[int, int] | None = None
    """Height and width, only for backbones whose parameters depend on them."""

    @model_validator(mode="after")
    def _of_its_tasks(self) -> "NetworkSettings":
        names = checked_names(task.name for task in self.tasks)
        for name in self.heads:
            if name not in names:
                raise unknown("task for the head of", name, names)
        return self

    def canonical(self) -> dict[str, Any]:
        """With the revision of its backbone where that was raised, and the tag of the weights that timm picks."""
        kept = self.neck is None or isinstance(self.neck, Shortcut.Settings)
        maps = kept and any(isinstance(task, DenseTask) for task in self.tasks)
        raised = revision(self.backbone, self.fully_connected, maps)
        tag = family(self.backbone).weights_tag(self.backbone) if self.weights.source == "timm" else ""
        own = {"revision": raised if raised > 1 else None, "weights_tag": tag or None}
        return super().canonical() | {name: value for name, value in own.items() if value is not None}

    def build(self, *, weights: bool = True) -> "Network":
        """The network, its backbones with their weights unless ``weights`` is false (they will be overwritten)."""
        return Network(self, weights=weights)


class Network(nn.Module):
    """Images to ``{task: output}``: encoders, shared or fused, then a head per task on the stages that it names."""

    def __init__(self, settings: NetworkSettings, *, weights: bool = True):
        super().__init__()
        self.settings = settings
        self.tasks = {task.name: task for task in settings.tasks}
        self.trunk = settings.sharing.build(lambda: self._backbone(weights), list(self.tasks))
        channels = self.trunk.channels
        self.necks = nn.ModuleDict()
        if settings.neck is not None:
            for name in ["all"] if settings.sharing == HardSharing.Settings() else self.tasks:
                self.necks[name] = settings.neck.build(self.trunk.channels, self.trunk.strides)
                channels = (*self.trunk.channels, self.necks[name].channels)  # type: ignore[arg-type]
        self.heads = nn.ModuleDict(
            {
                name: settings.heads.get(name, settings.head).build(channels, task.outputs)
                for name, task in self.tasks.items()
            }
        )
        for name, task in self.tasks.items():
            if task.init_bias is not None:
                with torch.no_grad():
                    self.heads[name].classifier.bias.copy_(torch.tensor(task.init_bias))  # type: ignore[union-attr,operator]

    def grid(self, task: str) -> Grid | None:
        """Where the cells of a task's output look on the image; ``None``: not known, or the output is no map.

        A fact of the backbone that holds for what keeps the cells of its last map.
        """
        parts = [self.heads[task], *([self.necks["all" if "all" in self.necks else task]] if self.necks else [])]
        kept = all(getattr(part, "keeps_cells", False) for part in parts)
        return self.trunk.grid if kept and isinstance(self.tasks[task], DenseTask) else None

    def _backbone(self, weights: bool) -> StagedBackbone:
        source = self.settings.weights
        if source.source == "file" and weights and source.path is None:
            raise InputError(
                f"The weights file of {self.settings.backbone} (SHA-256 {source.sha256[:12]}) is not at hand; "
                "name it with the parameter weights."
            )
        start = str(source.path) if source.source == "file" else source.source
        return staged(
            self.settings.backbone,
            weights=start if weights else "none",
            output_stride=self.settings.output_stride,
            fully_connected=self.settings.fully_connected,
            cut=self.settings.cut,
            image_size=self.settings.image_size,
            regions=self.settings.regions,
            convolutions_only=weights and source.convolutions_only,
        )

    def forward(
        self, images: Tensor, regions: Tensor | None = None, rows: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Every task's output at its head's resolution.

        Args:
            images: ``(N, 3, H, W)`` float in ``[0, 1]``.
            regions: for a network that looks at regions: ``(M, 5)``, a row of ``images``, then left, top, right,
                bottom in pixels. Its outputs are the regions', ``(M, ...)``.
            rows: where tasks have norms of their own, task -> its rows of ``images``, which alone it then has outputs
                of; see :meth:`mtlkit.sharing.HardSharing.forward`.
        """
        features = self.trunk(images, regions, rows) if self.trunk.own_rows else self.trunk(images, regions)
        if "all" in self.necks:
            last = self.necks["all"](next(iter(features.values())))
            features = {task: [*maps, last] for task, maps in features.items()}
        elif self.necks:
            features = {task: [*maps, self.necks[task](maps)] for task, maps in features.items()}
        return {
            task: head(*(features[task][stage] for stage in head.stages))  # type: ignore[union-attr]
            for task, head in self.heads.items()
        }

    def predict(self, images: Tensor, regions: Tensor | None = None) -> dict[str, Tensor]:
        """As :meth:`forward`, with every map at the image's size whose cells are known to look somewhere.

        Maps of other networks stay as they are: metrics take their cells for tiles of the image.
        """
        height, width = images.shape[-2:]
        outputs = self(images, regions)
        grids = {task: self.grid(task) for task in outputs}
        return {
            task: grid.enlarged(output, (height, width)) if (grid := grids[task]) else output
            for task, output in outputs.items()
        }

    def losses(self, task: str, output: Tensor, target: Any) -> dict[str, Tensor]:
        """A task's loss terms, unweighted; a map meets its target where its cells look."""
        of, grid = self.tasks[task], self.grid(task)
        if grid and isinstance(of, DenseTask):
            output, target = of.matched(output, target, grid)
        return of.losses(output, target)

    def penalty(self) -> Tensor | None:
        """What the sharing adds to the loss, weighted; ``None`` where it adds nothing."""
        return self.trunk.penalty()

    def mixing_weights(self) -> dict[str, list[float]]:
        """What fusion layers weigh the tasks' maps by; see :meth:`mtlkit.sharing.Sharing.mixing_weights`."""
        return self.trunk.mixing_weights()

    def shared_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters that tasks may share, of the encoders with their fusion layers and of a neck for all,
        and all others, each of one task: heads, branches, norms of its own."""
        parts = [self.trunk, *([self.necks["all"]] if "all" in self.necks else [])]
        own = {id(parameter) for parameter in self.trunk.own_parameters()}
        shared = [one for part in parts for one in part.parameters() if id(one) not in own]
        known = {id(parameter) for parameter in shared}
        return shared, [parameter for parameter in self.parameters() if id(parameter) not in known]

    def load_single_task(self, task: str, state: Mapping[str, Tensor], *, classifier: bool = True) -> None:
        """Puts a trained single-task network's weights into ``task``'s encoder, neck and head.

        A neck that the single-task network lacks keeps the start that it has.

        Args:
            task: the task whose parts start from ``state``.
            state: the state of a network of one task with all stages shared.
            classifier: whether its classifier is taken too, as it is where that one task is ``task``.

        Raises:
            InputError: when the parts do not take every tensor of the state, or the task has no encoder of its own.
        """
        encoder = f"trunk.{self.trunk.prefix(task)}"
        parts = {
            "trunk": encoder,
            "necks": f"necks.{'all' if 'all' in self.necks else task}.",
            "heads": f"heads.{task}.",
        }
        renamed = {}
        for key, value in state.items():
            room, part, rest = key.split(".", 2)
            renamed[key if part == "branches" else parts[room] + rest] = value
        mine = self.state_dict()
        if not any(key.startswith("necks.") for key in state):
            del parts["necks"]
        own = {key for key in mine if key.startswith(tuple(parts.values()))}
        if not classifier:
            last = f"heads.{task}.classifier."
            own = {key for key in own if not key.startswith(last)}
            renamed = {key: value for key, value in renamed.items() if not key.startswith(last)}
        if own != set(renamed) or any(mine[key].shape != value.shape for key, value in renamed.items()):
            raise InputError(f"The single-task network that {task} should start from has another shape.")
        self.load_state_dict(renamed, strict=False)


GROUPS = ("trunk", "bias", "norm", "classifier", "classifier_bias", "fusion", "shortcut", "objective")
"""Groups of parameters that may have a multiplier of the learning rate, in the order of the optimiser's."""

UNDECAYED = ("bias", "norm", "classifier_bias")
"""Those of them that weight decay does not act on; of any other group it spares what is named ``GROUP_undecayed``."""


def parameter_groups(
    network: nn.Module,
    *,
    lr: float,
    weight_decay: float | None = None,
    lr_mult: Mapping[str, float] | None = None,
    decay_all: bool = False,
) -> list[dict[str, Any]]:
    """The parameters of a network in groups, as every optimiser of ``torch.optim`` takes them.

    A module says of its parameters, those of its own modules included, what they are: ``parameter_group(name)`` returns
    the group of the parameter ``name``, or ``None`` for that of any other layer's; ``no_weight_decay()``, as timm has
    it, returns the names of the parameters without weight decay. What no module speaks for belongs to ``trunk``, where
    it has two dimensions or more (weights of convolutions and linear layers), ``bias`` (of these) or ``norm`` (scales,
    shifts and other vectors). Weight decay acts on no parameter of one dimension.

    Args:
        network: any module.
        lr: the learning rate.
        weight_decay: of the groups that have it; ``None``: the optimiser's own.
        lr_mult: group -> what multiplies its learning rate (the official NDDR code has 10 for ``classifier`` and 20 for
            ``classifier_bias``); 1 where none is given. :data:`GROUPS` that the network lacks may be named.
        decay_all: weight decay on every parameter, as an optimiser that is told nothing has it.

    Returns:
        Groups with ``params``, ``name``, ``lr``, ``lr_mult``, for a scheduler that sets rates anew, and
        ``weight_decay``.

    Raises:
        InputError: There is no group of a name in ``lr_mult``, or ``network`` is no module.

    >>> from mtlkit.fusion import NDDR
    >>> [(group["name"], group["lr"]) for group in parameter_groups(NDDR(2, 64), lr=0.01, lr_mult={"fusion": 100})]
    [('fusion', 1.0), ('fusion_undecayed', 1.0)]
    """
    if not isinstance(network, nn.Module):
        raise InputError(f"A module says what its parameters are: give the network, not a {type(network).__name__}.")
    named: dict[int, str] = {}
    biases: set[int] = set()
    spared: set[int] = set()
    module: Any
    for module in network.modules():  # from the outermost inwards: the inner one has the last word
        if hasattr(module, "parameter_group"):
            named |= {id(p): group for name, p in module.named_parameters() if (group := module.parameter_group(name))}
        if hasattr(module, "no_weight_decay"):
            own = dict(module.named_parameters())
            spared |= {id(own[name]) for name in module.no_weight_decay() if name in own}
        if isinstance(weight := getattr(module, "weight", None), Tensor) and weight.ndim > 1:
            biases.add(id(getattr(module, "bias", None)))
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        matrix, key = parameter.ndim > 1, id(parameter)
        group = named.get(key, "trunk" if matrix else "bias" if key in biases else "norm")
        groups.setdefault((group, matrix and key not in spared), []).append(parameter)
    known = [*GROUPS, *sorted({group for group, _ in groups} - {*GROUPS})]
    given = lr_mult or {}
    for name in given:
        if name not in known:
            raise unknown("group of parameters", name, known)
    made: list[dict[str, Any]] = []
    for group, decays in sorted(groups, key=lambda key: (known.index(key[0]), not key[1])):
        mult = given.get(group, 1.0)
        name = group if decays or group in UNDECAYED else f"{group}_undecayed"
        made.append({"params": groups[group, decays], "name": name, "lr": lr * mult, "lr_mult": mult})
        if not (decays or decay_all):
            made[-1]["weight_decay"] = 0.0
        elif weight_decay is not None:
            made[-1]["weight_decay"] = weight_decay
    return made


def parameter_count(module: nn.Module) -> int:
    """Trainable numbers in ``module``."""
    return sum(parameter.numel() for parameter in module.parameters())


def check_size(settings: NetworkSettings, size: tuple[int, int]) -> None:
    """Refuses images that a network's backbone, or the neck behind it, cannot take, before anything is trained.

    One image is tried on the meta device, once for all networks with this backbone and neck.

    Args:
        settings: of the network.
        size: height and width of its images.

    Raises:
        InputError: it cannot; the sentence names a size that it takes.
    """
    built = settings.image_size
    parts = settings.fully_connected, settings.cut, settings.regions, settings.neck
    takes = functools.partial(_takes, settings.backbone, settings.output_stride, *parts)
    if takes(built, size):
        return
    behind = "" if settings.neck is None else f" with the neck {settings.neck.kind}"
    behind += " whose last stage looks at regions" if settings.regions else ""
    what = f"{settings.backbone}{behind} cannot take images of {size[0]} x {size[1]} pixels"
    rounded = [(-(-size[0] // step) * step, -(-size[1] // step) * step) for step in (32, 64, 128, 256)]
    own = family(settings.backbone).input_size(settings.backbone)
    for other in dict.fromkeys([*rounded, own[1:], built or size]):
        if takes(other if built == size else built, other):
            raise InputError(
                f"{what}, but those of {other[0]} x {other[1]}: give image_size={other[0]},{other[1]}, or another "
                "backbone."
            )
    # A network may have a layer that the meta device does not know.
    if not takes(built, size, "cpu"):
        raise InputError(f"{what}, nor those of any other size that was tried; take another backbone.")


@functools.cache
def _takes(
    backbone: str,
    output_stride: int | None,
    fully_connected: FullyConnected,
    cut: Cut,
    regions: bool,
    neck: NeckSettings | None,
    built: tuple[int, int] | None,
    size: tuple[int, int],
    device: str = "meta",
) -> bool:
    """Whether a backbone that is built for images of one size takes one of another, and the neck its maps."""
    options: dict[str, Any] = {"fully_connected": fully_connected, "cut": cut, "regions": regions}
    try:
        with aside(), torch.device(device), torch.no_grad():
            encoder = staged(backbone, output_stride=output_stride, image_size=built, **options)
            trunk = HardSharing(encoder, ["any"]).eval()
            region = torch.zeros(1, 5) if regions else None
            maps = trunk(torch.zeros(1, 3, *size), region)["any"]
            if neck is not None:
                neck.build(trunk.channels, trunk.strides).eval()(maps)
    except Exception:  # a network fails as it likes: what it takes at one size and not at another is the size's
        return False
    return True


def cost(settings: NetworkSettings, size: tuple[int, int]) -> dict[str, int]:
    """What a network holds and computes for one image of ``size`` (height, width); on the meta device.

    Returns:
        ``parameters``; ``macs``, multiply-accumulates of convolutions and matrix products only (torch's flop counter
        halved); ``normalised``, values that leave a batch norm; and ``NAME/TASK``, values that reach the layers that
        a task's head names (:meth:`mtlkit.heads.base.Head.counted`), such as ``pooled`` and ``gated`` of an exit. Tools
        for counting differ in which of these they add, and with what factor.
    """
    from torch.utils.flop_counter import FlopCounterMode

    counts: Counter[str] = Counter()

    def count(name: str, module: nn.Module) -> None:
        module.register_forward_pre_hook(lambda module, inputs: counts.update({name: inputs[0].numel()}))

    with aside():
        network = settings.build(weights=False).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            count("normalised", module)  # a batch norm gives as many values as it takes
    for task, head in network.heads.items():
        assert isinstance(head, Head)
        for name, module in head.counted().items():
            count(f"{name}/{task}", module)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.empty(1, 3, *size, device="meta"))
    return {"parameters": parameter_count(network), "macs": counter.get_total_flops() // 2, "normalised": 0} | counts
