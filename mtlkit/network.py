"""A whole network: trunk and heads, from a description to ``{task: output}``."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mtlkit.backbones import Cut, FullyConnected, StagedBackbone, revision, staged
from mtlkit.errors import InputError, unknown
from mtlkit.fusion import Unit
from mtlkit.grid import Grid
from mtlkit.heads import Exit, FeatureFilter, HeadSettings
from mtlkit.necks import NeckSettings, Shortcut
from mtlkit.tasks import AnyTask, DenseTask
from mtlkit.trunks import FusedTrunk, Shared, SharedTrunk, Sharing
from mtlkit.values import Value


class Weights(Value):
    """What a backbone starts from: nothing, timm's download, or a safetensors file known by its hash."""

    source: Literal["none", "timm", "file"] = "none"
    sha256: str = ""
    path: Path | None = Field(default=None, exclude=True)


class NetworkSettings(Value):
    """Everything that shapes a network. ``settings.network()`` builds it."""

    backbone: str
    weights: Weights = Weights()
    output_stride: int | None = None
    fully_connected: FullyConnected = "none"
    cut: Cut = "pools"
    tasks: tuple[AnyTask, ...]
    sharing: Sharing = Shared()
    neck: NeckSettings | None = None
    """Adds a last map, made of all stages' maps, for the heads; one for all tasks where they share all stages."""
    head: HeadSettings
    heads: dict[str, HeadSettings] = {}
    """The heads of tasks that have another than ``head``."""
    regions: bool = False
    """Whether the last part of the network looks at regions of the pictures, each with an output of its own."""
    image_size: tuple[int, int] | None = None
    """Height and width, only for backbones whose parameters depend on them."""

    def canonical(self) -> dict[str, Any]:
        """With the revision of its backbone where that was raised."""
        kept = self.neck is None or isinstance(self.neck, Shortcut.Settings)
        maps = kept and any(isinstance(task, DenseTask) for task in self.tasks)
        raised = revision(self.backbone, self.fully_connected, maps)
        return super().canonical() | ({"revision": raised} if raised > 1 else {})

    def network(self, *, weights: bool = True) -> "Network":
        """The network, its backbones with their weights unless ``weights`` is false (they will be overwritten)."""
        return Network(self, weights=weights)


GROUPS = ("trunk", "bias", "norm", "classifier", "classifier_bias", "fusion", "shortcut")
"""Groups of parameters that may have a multiplier of the learning rate."""


@dataclass
class ParameterGroup:
    """Parameters that share a multiplier of the learning rate and a weight-decay switch."""

    name: str
    parameters: list[nn.Parameter]
    lr_mult: float = 1.0
    decay: bool = True


class Network(nn.Module):
    """Images to ``{task: output}``: a trunk, then a head a task over the stages that the head names."""

    def __init__(self, settings: NetworkSettings, *, weights: bool = True):
        super().__init__()
        self.settings = settings
        self.tasks = {task.name: task for task in settings.tasks}
        self.trunk = settings.sharing.trunk(lambda: self._backbone(weights), list(self.tasks))
        channels = self.trunk.channels
        self.necks = nn.ModuleDict()
        if settings.neck is not None:
            for name in ["all"] if settings.sharing == Shared() else self.tasks:
                self.necks[name] = settings.neck.neck(self.trunk.channels, self.trunk.strides)
                channels = (*self.trunk.channels, self.necks[name].channels)  # type: ignore[arg-type]
        self.heads = nn.ModuleDict(
            {
                name: settings.heads.get(name, settings.head).head(channels, task.outputs)
                for name, task in self.tasks.items()
            }
        )
        for name, task in self.tasks.items():
            if task.start is not None:
                with torch.no_grad():
                    self.heads[name].classifier.bias.copy_(torch.tensor(task.start))  # type: ignore[union-attr,operator]

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
        )

    def forward(self, images: Tensor, regions: Tensor | None = None) -> dict[str, Tensor]:
        """Every task's output at its head's resolution.

        Args:
            images: ``(N, 3, H, W)`` float in ``[0, 1]``.
            regions: for a network that looks at regions: ``(M, 5)``, a row of ``images``, then left, top, right,
                bottom in pixels. Its outputs are the regions', ``(M, ...)``.
        """
        features = self.trunk(images, regions)
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

    def load_single_task(self, task: str, state: Mapping[str, Tensor], *, classifier: bool = True) -> None:
        """Puts a trained single-task network's weights into ``task``'s tower, neck and head.

        A neck that the single-task network lacks keeps the start that it has.

        Args:
            task: the task whose parts start from ``state``.
            state: the state of a network of one task with all stages shared.
            classifier: whether its classifier is taken too, as it is where that one task is ``task``.

        Raises:
            InputError: when the parts do not take every tensor of the state, or the trunk has no tower a task.
        """
        if isinstance(self.trunk, SharedTrunk) and len(self.tasks) > 1:
            raise InputError("Only a network with a tower a task can start from single-task networks.")
        tower = f"trunk.towers.{task}." if isinstance(self.trunk, FusedTrunk) else "trunk.shared."
        parts = {"trunk": tower, "necks": f"necks.{'all' if 'all' in self.necks else task}.", "heads": f"heads.{task}."}
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

    def parameter_groups(
        self, lr_mult: Mapping[str, float] | None = None, *, decay_all: bool = False
    ) -> list[ParameterGroup]:
        """The optimiser's groups: weights and biases of the trunk, norms, classifiers, fusion units, shortcuts.

        Args:
            lr_mult: one of :data:`GROUPS` -> what multiplies its learning rate (the official NDDR code has 10 for
                ``classifier`` and 20 for ``classifier_bias``); 1 where none is given. Groups that this network lacks
                may be named. ``trunk`` and ``bias`` are of all convolutions and linear layers that are in no other
                group, those of heads and necks among them; the scales and shifts of norms are ``norm``.
            decay_all: weight decay on every parameter, as an optimiser that is told nothing has it.

        Raises:
            InputError: there is no group of that name.

        Otherwise weight decay acts on the weights of convolutions and linear layers, on NDDR's 1x1 weights, and on
        nothing else: decay pulls a mixing scalar towards "no exchange, no signal", which is no prior anybody means.
        """
        groups = [
            ParameterGroup("trunk", []),
            ParameterGroup("bias", [], decay=False),
            ParameterGroup("norm", [], decay=False),
            ParameterGroup("classifier", []),
            ParameterGroup("classifier_bias", [], decay=False),
        ]
        trunk, bias, norm, classifier, classifier_bias = (group.parameters for group in groups)
        shortcuts = [neck for neck in self.necks.values() if isinstance(neck, Shortcut)]
        scaled = {id(parameter) for parameter in self._fusion_parameters()}
        scaled |= {id(parameter) for neck in shortcuts for parameter in neck.parameters()}
        modules = [(getattr(one, "weight", None), getattr(one, "bias", None)) for one in self.modules()]
        biases = {id(own) for weight, own in modules if isinstance(weight, Tensor) and weight.ndim > 1}
        last = {id(p) for head in self.heads.values() for p in head.classifier.parameters()}  # type: ignore[union-attr]
        for parameter in self.parameters():
            if id(parameter) in scaled:
                continue
            if id(parameter) in last:
                (classifier if parameter.ndim > 1 else classifier_bias).append(parameter)
            else:
                (trunk if parameter.ndim > 1 else bias if id(parameter) in biases else norm).append(parameter)
        if isinstance(self.trunk, FusedTrunk):
            units = [module for module in self.trunk.modules() if isinstance(module, Unit)]
            decayed = [parameter for unit in units for parameter in unit.decayed()]
            rest = [p for p in self._fusion_parameters() if not any(p is d for d in decayed)]
            groups += [
                ParameterGroup("fusion", decayed),
                ParameterGroup("fusion_undecayed", rest, decay=False),
            ]
        groups += [
            ParameterGroup("shortcut", [p for neck in shortcuts for p in neck.reduce.parameters()]),
            ParameterGroup(
                "shortcut_undecayed", [p for neck in shortcuts for p in neck.norm.parameters()], decay=False
            ),
        ]
        given = lr_mult or {}
        for name in given:
            if name not in GROUPS:
                raise unknown("group of parameters", name, GROUPS)
        return [
            replace(
                group,
                lr_mult=given.get(group.name.removesuffix("_undecayed"), 1.0),
                decay=group.decay or decay_all,
            )
            for group in groups
            if group.parameters
        ]

    def _fusion_parameters(self) -> Iterator[nn.Parameter]:
        if isinstance(self.trunk, FusedTrunk):
            yield from self.trunk.units.parameters()
            for mixing in self.trunk.mixing.values():
                yield mixing.beta  # type: ignore[misc]  # its projections are ordinary convolutions


def parameter_count(module: nn.Module) -> int:
    """Trainable numbers in ``module``."""
    return sum(parameter.numel() for parameter in module.parameters())


def cost(settings: NetworkSettings, size: tuple[int, int]) -> dict[str, int]:
    """What a network holds and computes for one image of ``size`` (height, width); on the meta device.

    Returns:
        ``parameters``; ``macs``, multiply-accumulates of convolutions and matrix products only (torch's flop counter
        halved); ``normalised``, values that leave a batch norm; ``pooled/TASK``, values that an exit's average
        pooling takes in, and ``gated/TASK``, those that pass its feature filter. Tools for counting differ in which
        of these they add, and with what factor.
    """
    from torch.utils.flop_counter import FlopCounterMode

    counts: Counter[str] = Counter()

    def count(name: str, module: nn.Module) -> None:
        module.register_forward_pre_hook(lambda module, inputs: counts.update({name: inputs[0].numel()}))

    with torch.device("meta"):
        network = settings.network(weights=False).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            count("normalised", module)  # a batch norm gives as many values as it takes
    for task, head in network.heads.items():
        if isinstance(head, Exit):
            count(f"pooled/{task}", head.pool)
            if isinstance(head.filter, FeatureFilter):
                count(f"gated/{task}", head.filter)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.empty(1, 3, *size, device="meta"))
    return {"parameters": parameter_count(network), "macs": counter.get_total_flops() // 2, "normalised": 0} | counts
