"""How tasks share encoders: all or part of one, or an encoder per task with fusion layers between them.

Hard sharing covers the single-task network (one task), the multi-task baseline of the papers (all stages shared) and
every split in between; soft sharing is the family of cross-stitch, sluice and NDDR networks.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mtlkit.backbones import RegionPooling, StagedBackbone, last_weight
from mtlkit.errors import InputError, check_choice, unknown
from mtlkit.fusion import FusionLayer, FusionSettings, LayerMixing
from mtlkit.fusion.base import order_statistics
from mtlkit.grid import Grid
from mtlkit.values import Value

StageFeatures = list[Tensor]
Norms = Literal["shared", "own"]


def checked_names(tasks: Iterable[str]) -> tuple[str, ...]:
    """Names of tasks, which are to be parts of names of parameters.

    Raises:
        InputError: They are one string, which is a sequence too, or none; one is there twice, or cannot be such a part.
    """
    if isinstance(tasks, str):
        raise InputError(f"Tasks are given as a list of names, such as [{tasks!r}], not as {tasks!r}.")
    names = tuple(tasks)
    if not names:
        raise InputError("A network needs at least one task; give the tasks' names.")
    for name in names:
        if not isinstance(name, str) or not name or "." in name:
            raise InputError(f"A task's name is a string of one character or more, none of them a dot, not {name!r}.")
        if hasattr(nn.ModuleDict(), name):
            raise InputError(f"No task can be called {name!r}, which torch.nn.ModuleDict has a use for; rename it.")
        if names.count(name) > 1:
            raise InputError(f"Several tasks are called {name!r}; give each a name of its own.")
    return names


def _checked_encoder(encoder: object) -> StagedBackbone:
    """The encoder; raises :class:`~mtlkit.errors.InputError` where it is a network that is not cut into stages."""
    if not isinstance(encoder, StagedBackbone):
        raise InputError(
            f"An encoder is a StagedBackbone, not an object of {type(encoder).__name__}: staged(name) returns one, and "
            "StagedBackbone(name, stages, ...) makes one of stages of your own."
        )
    return encoder


def _check_apart(parts: Mapping[str, nn.Module]) -> None:
    """Raises :class:`~mtlkit.errors.InputError` where parts of several tasks are trained as one."""
    whose: dict[int, str] = {}
    for task, part in parts.items():
        for parameter in part.parameters():
            if (other := whose.setdefault(id(parameter), task)) != task:
                raise InputError(f"The encoders of {other} and {task} are one, or share parameters; make one for each.")


class TaskNorms(nn.Module):
    """A batch norm per task, with statistics, scales and shifts of its own, where all else of an encoder is shared.

    Chang et al., Domain-Specific Batch Normalization for Unsupervised Domain Adaptation, CVPR 2019,
    https://arxiv.org/abs/1906.03950; there for domains, here for tasks that each have a data set of their own.

    Args:
        norm: what every task has a copy of.
        tasks: their names.

    Attributes:
        task: whose norm the next maps pass.

    Raises:
        InputError: As of :class:`HardSharing`, of the names.

    >>> norms = TaskNorms(nn.BatchNorm2d(8), ["objects", "places"])
    >>> norms.task = "places"
    >>> _ = norms(torch.rand(4, 8, 6, 6) + 3)
    >>> [bool(norm.running_mean.any()) for norm in norms.norms.values()]
    [False, True]
    """

    def __init__(self, norm: nn.Module, tasks: Sequence[str]):
        super().__init__()
        names = checked_names(tasks)
        self.norms = nn.ModuleDict({task: copy.deepcopy(norm) for task in names})
        self.task = names[0]

    def forward(self, x: Tensor) -> Tensor:
        """The map ``(N, C, h, w)`` through the norm of :attr:`task`."""
        normalised: Tensor = self.norms[self.task](x)
        return normalised


class Sharing(nn.Module):
    """Images in ``[0, 1]`` in, which it normalises; stage features for every task out.

    Attributes:
        tasks: the tasks' names, in order.
        channels: channels of every stage.
        strides: image pixels a feature pixel stands for, of every stage.
        grid: where the cells of the last stage look; ``None``: not known.
        regions: where the stages go over from images to regions of them; ``None``: nowhere.
        own_rows: whether a task's features in training are to be those of its own rows of a batch alone; its
            ``forward`` then takes them.
    """

    own_rows = False
    tasks: tuple[str, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    grid: Grid | None
    regions: RegionPooling | None

    def __init__(self, tasks: Iterable[str], encoder: StagedBackbone):
        super().__init__()
        self.tasks, self.channels, self.strides = checked_names(tasks), encoder.channels, encoder.strides
        self.grid, self.regions = encoder.grid, encoder.regions
        # Buffers go to a device with the module. They are not in its state: an encoder has them once it is built.
        self.register_buffer("mean", torch.tensor(encoder.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(encoder.std).view(3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def normalised(self, images: Tensor) -> Tensor:
        """Images in ``[0, 1]`` as the encoder's weights expect them: less the mean, divided by the deviation.

        Raises:
            InputError: They are integers.
        """
        if not images.is_floating_point():
            raise InputError(f"Images are float in [0, 1], not {images.dtype}; divide those of uint8 by 255.")
        return (images - self.mean) / self.std

    def step(self, index: int, stage: nn.Module, x: Tensor, regions: Tensor | None) -> Tensor:
        """A stage's map, of the regions from where they are pooled on."""
        x = stage(x)
        if self.regions is None or index != self.regions.after:
            return x
        if regions is None:
            raise InputError("This network looks at regions of its images; the batch has none.")
        return self.regions.pooled(x, regions)

    def penalty(self) -> Tensor | None:
        """What the sharing adds to the loss, weighted; ``None`` where it adds nothing."""
        return None

    def own_parameters(self) -> list[nn.Parameter]:
        """Those of layers that are one task's own by construction; none where tasks exchange what they compute.

        In soft sharing all encoders count as shared, those behind the last fusion layer among them.
        """
        return []

    def mixing_weights(self) -> dict[str, list[float]]:
        """``STAGE/TASK/SOURCE`` -> the sorted weights by which the layer behind a stage takes ``SOURCE``'s map, channel
        by channel, for ``TASK``'s; at most :data:`mtlkit.fusion.base.LISTED` of them. Nothing where no layer has such
        weights."""
        return {}

    def prefix(self, task: str) -> str:
        """Where the state dictionary has the encoder that is ``task``'s alone: the beginning of its keys.

        Raises:
            InputError: The task has no encoder of its own.
        """
        raise NotImplementedError


class HardSharing(Sharing):
    """Hard sharing: all tasks share the first stages of one encoder, and the rest are copied for every task.

    It takes images in ``[0, 1]`` and normalises them as the encoder expects.

    Args:
        encoder: what is shared. Where the network splits, every task's branch is a copy of its later stages; a function
            that makes an encoder is called once for the shared stages and once a branch, so that each starts anew.
        tasks: the tasks' names.
        split_after: how many stages are shared; ``None``: all, so that only the heads are the tasks' own. A negative
            number counts from the end, as in a list: -1 gives every task a last stage of its own.
        norms: ``"own"``: in the shared stages every task has batch norms of its own, see :class:`TaskNorms`. Its maps
            are then computed apart from the other tasks'.

    Raises:
        InputError: The encoder is no :class:`~mtlkit.backbones.StagedBackbone`, or has no such stage; there is no task,
            two have one name, or a name is no string, has a dot or is that of a method of
            :class:`torch.nn.ModuleDict`; the function returned one encoder twice; there are no such ``norms``; or,
            where tasks are to have norms of their own, the encoder has no batch norm or looks at regions.

    >>> from mtlkit.backbones import staged
    >>> net = HardSharing(staged("resnet10t"), ["seg", "normals"], split_after=-1)
    >>> {task: tuple(maps[-1].shape) for task, maps in net(torch.rand(2, 3, 96, 128)).items()}
    {'seg': (2, 512, 3, 4), 'normals': (2, 512, 3, 4)}
    """

    class Settings(Value):
        """:class:`HardSharing` as part of a network's identity."""

        tag: ClassVar[str] = "Shared"

        kind: Literal["shared"] = "shared"
        split_after: int | None = None
        norms: Norms = "shared"

        @property
        def label(self) -> str:
            """``shared``."""
            return self.kind

        def build(self, encoder: Callable[[], StagedBackbone], tasks: Sequence[str]) -> "HardSharing":
            """The module; ``encoder`` makes an encoder."""
            return HardSharing(encoder, tasks, split_after=self.split_after, norms=self.norms)

    def __init__(
        self,
        encoder: StagedBackbone | Callable[[], StagedBackbone],
        tasks: Sequence[str],
        *,
        split_after: int | None = None,
        norms: Norms = "shared",
    ):
        # A module that is no encoder can be called too, and is refused as what it is.
        first = _checked_encoder(encoder if isinstance(encoder, nn.Module) or not callable(encoder) else encoder())
        super().__init__(tasks, first)
        check_choice("norms of hard sharing", norms, Norms)
        count = len(first.stages)
        split = count if split_after is None else split_after
        if not -count <= split <= count:
            raise InputError(f"{first.name} has {count} stages, so it cannot split after stage {split}.")
        split += count if split < 0 else 0
        self.shared = nn.ModuleList(first.stages[:split])
        self.branches = nn.ModuleDict()
        for task in self.tasks if split < count else ():
            other = copy.deepcopy(first) if encoder is first else encoder()
            self.branches[task] = nn.ModuleList(other.stages[split:])
        _check_apart(dict(self.branches.items()))
        self.own_rows = norms == "own"
        if self.own_rows and self.regions is not None:
            raise InputError("Norms of each task's own need a network that looks at whole images, not at regions.")
        self.task_norms = _own_norms(self.shared, self.tasks) if self.own_rows else []
        if self.own_rows and not self.task_norms:
            raise InputError(f"{first.name} has no batch norm in shared stages that tasks could have of their own.")

    def own_parameters(self) -> list[nn.Parameter]:
        """Those of branches and of norms that are a task's own."""
        return [parameter for part in (self.branches, *self.task_norms) for parameter in part.parameters()]

    def forward(
        self, images: Tensor, regions: Tensor | None = None, rows: Mapping[str, Tensor] | None = None
    ) -> dict[str, StageFeatures]:
        """Task -> one map per stage: ``(N, C, h, w)``, and ``(M, C, h, w)`` from the pooling of regions on.

        Args:
            images: ``(N, 3, H, W)`` in ``[0, 1]``.
            regions: ``(M, 5)``: a row of ``images``, then left, top, right, bottom in pixels.
            rows: where tasks have norms of their own, task -> its rows of ``images``, ``(n,)``; its maps are
                ``(n, C, h, w)`` then. ``None``: the maps of all images for every task.

        Raises:
            InputError: The images are integers, ``rows`` are of another task, or regions are missing.
        """
        if others := [task for task in rows or () if task not in self.tasks]:
            raise unknown("task", others[0], self.tasks)
        if not self.own_rows:
            return self._features(images, regions, self.tasks)
        features: dict[str, StageFeatures] = {}
        for task in self.tasks:
            for norm in self.task_norms:
                norm.task = task
            own = images if rows is None else images[rows[task]] if task in rows else images[:0]
            features |= self._features(own, regions, [task])
        return features

    def _features(self, images: Tensor, regions: Tensor | None, tasks: Iterable[str]) -> dict[str, StageFeatures]:
        features, x = [], self.normalised(images)
        for index, stage in enumerate(self.shared):
            features.append(x := self.step(index, stage, x, regions))
        by_task = {}
        for task in tasks:
            own, y = list(features), x
            branch: Iterable[nn.Module] = self.branches[task] if self.branches else ()  # type: ignore[assignment]
            for index, stage in enumerate(branch, len(features)):
                own.append(y := self.step(index, stage, y, regions))
            by_task[task] = own
        return by_task

    def prefix(self, task: str) -> str:
        """As of :class:`Sharing`."""
        if len(self.tasks) > 1:
            raise InputError("Only a network with an encoder per task can start from single-task networks.")
        return "shared."


def _own_norms(module: nn.Module, tasks: Sequence[str]) -> list[TaskNorms]:
    """Puts a norm per task in the place of every batch norm inside a module."""
    found = []
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            found.append(TaskNorms(child, tasks))
            setattr(module, name, found[-1])
        else:
            found += _own_norms(child, tasks)
    return found


class SoftSharing(Sharing):
    """Soft sharing: an encoder per task, and fusion layers between them.

    It takes images in ``[0, 1]`` and normalises them as the encoders expect. The features of a stage are what the
    fusion layer behind it returns.

    Args:
        encoders: task -> its encoder, for at least two tasks; all with stages of the same channels and strides.
        fusion: called with the number of tasks and of channels, makes a layer: a class of :mod:`mtlkit.fusion`, or
            ``functools.partial(NDDR, norm="input")`` and the like.
        after: the stages that a layer stands after, counted as in a list; ``None``: every one.
        last: makes the layer after the last stage, where that is of another form.
        penalty: weight of what the layers add to the loss, see :meth:`penalty`; 0.1 in the README of the sluice
            networks' authors.
        layer_mixing: whether every task's last features are a :class:`~mtlkit.fusion.LayerMixing` of all its stages.

    Raises:
        InputError: There are fewer than two encoders, they differ, one is no :class:`~mtlkit.backbones.StagedBackbone`,
            or two are one object or share parameters; a task has a name that it cannot have, see :class:`HardSharing`;
            ``fusion`` or ``last`` is a layer and makes none; there is no such stage; layers of images and of regions
            are to be mixed.

    >>> from mtlkit.backbones import staged
    >>> from mtlkit.fusion import NDDR
    >>> encoders = {task: staged("resnet10t") for task in ("seg", "normals", "depth")}
    >>> net = SoftSharing(encoders, NDDR, after=(2, 3, 4))
    >>> {task: tuple(maps[-1].shape) for task, maps in net(torch.rand(2, 3, 96, 128)).items()}
    {'seg': (2, 512, 3, 4), 'normals': (2, 512, 3, 4), 'depth': (2, 512, 3, 4)}
    """

    class Settings(Value):
        """:class:`SoftSharing` as part of a network's identity."""

        tag: ClassVar[str] = "Fused"

        kind: Literal["fused"] = "fused"
        unit: FusionSettings
        after: tuple[int, ...] | None = None
        last: FusionSettings | None = None

        @property
        def label(self) -> str:
            """The kind of its layers."""
            return self.unit.kind

        def build(self, encoder: Callable[[], StagedBackbone], tasks: Sequence[str]) -> "SoftSharing":
            """The module; ``encoder`` is called once a task.

            Raises:
                InputError: As of :class:`SoftSharing`; or ``unit`` and ``last`` ask for it to be built differently.
            """
            own = self.unit.sharing()
            for name, value in ({} if self.last is None else self.last.sharing()).items():
                if own.setdefault(name, value) != value:
                    raise InputError(f"A network has one {name}, not {own[name]} and, for the last layer, {value}.")
            encoders = {task: encoder() for task in tasks}
            last = None if self.last is None else self.last.build
            return SoftSharing(encoders, self.unit.build, after=self.after, last=last, **own)

    def __init__(
        self,
        encoders: Mapping[str, StagedBackbone],
        fusion: Callable[[int, int], FusionLayer],
        *,
        after: Sequence[int] | None = None,
        last: Callable[[int, int], FusionLayer] | None = None,
        penalty: float = 0.1,
        layer_mixing: bool = False,
    ):
        if not isinstance(encoders, Mapping):
            raise InputError(f"Encoders are given as {{task: encoder}}, not as a {type(encoders).__name__}.")
        for encoder in encoders.values():
            _checked_encoder(encoder)
        for make in (fusion, last or fusion):
            if isinstance(make, nn.Module) or not callable(make):
                raise InputError(
                    "Soft sharing makes a layer for every stage: give it a class of mtlkit.fusion or a function of the "
                    f"numbers of tasks and of channels, not an object of {type(make).__name__}."
                )
        if isinstance(after, int):
            raise InputError(f"The stages that layers stand after are a list, such as [{after}], not {after}.")
        if len(encoders) < 2:
            raise InputError(f"Soft sharing needs the encoders of at least two tasks, not {len(encoders)}.")
        (name, first), *others = encoders.items()
        for other, encoder in others:
            for fact in ("channels", "strides", "mean", "std", "regions"):
                one, another = getattr(first, fact), getattr(encoder, fact)
                if one != another:
                    raise InputError(f"The encoders of {name} and {other} cannot be fused: {fact} {one} and {another}.")
        _check_apart(encoders)
        super().__init__(encoders, first)
        count = len(self.channels)
        after = range(count) if after is None else after
        for stage in after:
            if not -count <= stage < count:
                raise InputError(f"{first.name} has stages 0 to {count - 1}, so no layer can stand after {stage}.")
        if layer_mixing and self.regions:
            raise InputError("Layers of images and of regions cannot be mixed; set layer_mixing to false.")
        # Their names are those of the tensors in trained networks' weights.
        self.towers = nn.ModuleDict({task: encoder.stages for task, encoder in encoders.items()})
        forms = {count - 1: last or fusion}
        places = dict.fromkeys(stage % count for stage in after)
        self.units = nn.ModuleDict({str(s): forms.get(s, fusion)(len(encoders), self.channels[s]) for s in places})
        self.mixing = nn.ModuleDict({task: LayerMixing(self.channels) for task in encoders} if layer_mixing else {})
        self.penalty_weight = penalty

    def forward(self, images: Tensor, regions: Tensor | None = None) -> dict[str, StageFeatures]:
        """As :meth:`HardSharing.forward`; a layer after the stage whose regions are pooled mixes the regions' maps."""
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
        """The layers' penalties, weighted: of sluice layers how far subspaces are from orthogonal; else ``None``."""
        if not self.penalty_weight:
            return None
        terms = []
        for index, layer in self.units.items():
            stages = [self.towers[task][int(index)] for task in self.tasks]  # type: ignore[index]
            # A generator: a layer without a penalty asks no stage for its last weight, which not all have.
            weights = (last_weight(stage, self.channels[int(index)]) for stage in stages)
            terms.append(layer.penalty(weights))  # type: ignore[operator]
        given = [term for term in terms if term is not None]
        return self.penalty_weight * torch.stack(given).sum() if given else None

    def mixing_weights(self) -> dict[str, list[float]]:
        """As of :class:`Sharing`."""
        found = {}
        for stage, layer in self.units.items():
            if (weights := layer.mixing_weights()) is not None:  # type: ignore[operator]
                for place, task in enumerate(self.tasks):
                    for other, source in enumerate(self.tasks):
                        found[f"{stage}/{task}/{source}"] = order_statistics(weights[:, place, other])
        return found

    def prefix(self, task: str) -> str:
        """As of :class:`Sharing`."""
        return f"towers.{task}."


SharingSettings = Annotated[HardSharing.Settings | SoftSharing.Settings, Field(discriminator="kind")]
"""How a network's tasks share; ``settings.build(encoder, tasks)`` makes the module."""
