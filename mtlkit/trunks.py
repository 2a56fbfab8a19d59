"""How towers share: all or part of one backbone, or a tower a task with units between them.

A trunk turns images into every task's stage features. ``Shared`` covers the single-task network (one task), the
multi-task baseline of the papers (all stages shared) and every split in between; ``Fused`` is the family of
cross-stitch, sluice and NDDR networks.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mtlkit.backbones import RegionPooling, StagedBackbone, last_weight
from mtlkit.errors import InputError
from mtlkit.fusion import Fusion, LayerMixing, SluiceSettings
from mtlkit.grid import Grid
from mtlkit.values import Value

StageFeatures = list[Tensor]


class Shared(Value):
    """Hard sharing: the first ``split_after`` stages are one backbone's, the rest are copied for every task.

    ``None`` shares all stages, so that only the heads are the tasks' own; a negative number counts from the end, as
    in a list: -1 gives every task a last stage of its own.
    """

    kind: Literal["shared"] = "shared"
    split_after: int | None = None

    @property
    def label(self) -> str:
        """``shared``."""
        return self.kind

    def trunk(self, backbone: Callable[[], StagedBackbone], tasks: Sequence[str]) -> "SharedTrunk":
        """The trunk; ``backbone`` is called once for the shared part and once for every branch."""
        return SharedTrunk(backbone, tasks, self.split_after)


class Fused(Value):
    """One tower a task, a unit between the towers after each of the stages ``after`` (``None``: after every one).

    ``last`` is the unit after the last stage, of the same kind, where it is of another form than the others.
    """

    kind: Literal["fused"] = "fused"
    unit: Fusion
    after: tuple[int, ...] | None = None
    last: Fusion | None = None

    @property
    def label(self) -> str:
        """The kind of its units."""
        return self.unit.kind

    def trunk(self, backbone: Callable[[], StagedBackbone], tasks: Sequence[str]) -> "FusedTrunk":
        """The trunk; ``backbone`` is called once for every tower."""
        return FusedTrunk(backbone, tasks, self)


Sharing = Annotated[Shared | Fused, Field(discriminator="kind")]
"""How a network's tasks share; ``sharing.trunk(backbone, tasks)`` builds it."""


class Trunk(nn.Module):
    """Images in, stage features for every task out.

    Attributes:
        tasks: the tasks' names, in order.
        channels: channels of every stage.
        strides: image pixels a feature pixel stands for, of every stage.
        grid: where the cells of the last stage look; ``None``: not known.
        regions: where the trunk goes over from pictures to regions of them; ``None``: nowhere.
    """

    tasks: tuple[str, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    grid: Grid | None
    regions: RegionPooling | None

    def __init__(self, tasks: Sequence[str], backbone: StagedBackbone):
        super().__init__()
        self.tasks, self.channels, self.strides = tuple(tasks), backbone.channels, backbone.strides
        self.grid, self.regions = backbone.grid, backbone.regions
        # The colours a backbone expects are a fact about its weights, so they travel with it.
        self.register_buffer("mean", torch.tensor(backbone.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def normalised(self, images: Tensor) -> Tensor:
        """Images in ``[0, 1]`` as the backbone's weights expect them."""
        return (images - self.mean) / self.std

    def step(self, index: int, stage: nn.Module, x: Tensor, regions: Tensor | None) -> Tensor:
        """A stage's map, of the regions from where they are pooled on."""
        x = stage(x)
        if self.regions is None or index != self.regions.after:
            return x
        if regions is None:
            raise InputError("This network looks at regions of its pictures; the batch has none.")
        return self.regions.pooled(x, regions)

    def penalty(self) -> Tensor | None:
        """What the sharing adds to the loss, weighted; ``None`` where it adds nothing."""
        return None


class SharedTrunk(Trunk):
    """See :class:`Shared`."""

    def __init__(self, backbone: Callable[[], StagedBackbone], tasks: Sequence[str], split_after: int | None):
        first = backbone()
        super().__init__(tasks, first)
        count = len(first.stages)
        split = count if split_after is None else split_after
        if not -count <= split <= count:
            raise InputError(f"{first.name} has {count} stages, so it cannot split after stage {split}.")
        split += count if split < 0 else 0
        self.shared = nn.ModuleList(first.stages[:split])
        self.branches = nn.ModuleDict(
            {task: nn.ModuleList(backbone().stages[split:]) for task in tasks} if split < count else {}
        )

    def forward(self, images: Tensor, regions: Tensor | None = None) -> dict[str, StageFeatures]:
        """Task -> one map a stage: ``(N, C, h, w)``, and ``(M, C, h, w)`` from the pooling of regions on.

        Args:
            images: ``(N, 3, H, W)`` in ``[0, 1]``.
            regions: ``(M, 5)``: a row of ``images``, then left, top, right, bottom in pixels.
        """
        features, x = [], self.normalised(images)
        for index, stage in enumerate(self.shared):
            features.append(x := self.step(index, stage, x, regions))
        by_task = {}
        for task in self.tasks:
            own, y = list(features), x
            branch: Iterable[nn.Module] = self.branches[task] if self.branches else ()  # type: ignore[assignment]
            for index, stage in enumerate(branch, len(features)):
                own.append(y := self.step(index, stage, y, regions))
            by_task[task] = own
        return by_task


class FusedTrunk(Trunk):
    """See :class:`Fused`. The features of a stage are what its unit returns."""

    def __init__(self, backbone: Callable[[], StagedBackbone], tasks: Sequence[str], sharing: Fused):
        towers = [backbone() for _ in tasks]
        super().__init__(tasks, towers[0])
        count = len(self.channels)
        after = range(count) if sharing.after is None else sharing.after
        for stage in after:
            if not 0 <= stage < count:
                raise InputError(f"{towers[0].name} has stages 0 to {count - 1}, so no unit can stand after {stage}.")
        self.towers = nn.ModuleDict({task: tower.stages for task, tower in zip(tasks, towers, strict=True)})
        forms = {count - 1: sharing.last} if sharing.last else {}
        self.units = nn.ModuleDict(
            {str(s): forms.get(s, sharing.unit).unit(len(towers), self.channels[s]) for s in after}
        )
        self.mixing = nn.ModuleDict()
        self.penalty_weight = 0.0
        if isinstance(sharing.unit, SluiceSettings):
            self.penalty_weight = sharing.unit.penalty
            if sharing.unit.layer_mixing:
                if self.regions:
                    raise InputError("Layers of pictures and of regions cannot be mixed; set layer_mixing to false.")
                self.mixing = nn.ModuleDict({task: LayerMixing(self.channels) for task in tasks})

    def forward(self, images: Tensor, regions: Tensor | None = None) -> dict[str, StageFeatures]:
        """As :meth:`SharedTrunk.forward`; a unit after the stage whose regions are pooled mixes the regions' maps."""
        maps = [self.normalised(images)] * len(self.tasks)
        by_task: dict[str, StageFeatures] = {task: [] for task in self.tasks}
        for index in range(len(self.channels)):
            maps = [
                self.step(index, self.towers[task][index], x, regions)  # type: ignore[index]
                for task, x in zip(self.tasks, maps, strict=True)
            ]
            if str(index) in self.units:
                maps = self.units[str(index)](maps)
            for task, x in zip(self.tasks, maps, strict=True):
                by_task[task].append(x)
        for task, mixing in self.mixing.items():
            by_task[task][-1] = mixing(by_task[task])
        return by_task

    def penalty(self) -> Tensor | None:
        """The sluice units' orthogonality penalty, weighted; ``None`` for units without one."""
        if not self.penalty_weight or not self.units:
            return None
        terms = [
            unit.penalty([last_weight(self.towers[task][int(index)], self.channels[int(index)]) for task in self.tasks])  # type: ignore[index, operator]
            for index, unit in self.units.items()
        ]
        return self.penalty_weight * torch.stack(terms).sum()
