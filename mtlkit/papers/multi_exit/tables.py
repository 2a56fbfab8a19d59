"""The declared tables; see the package for what they follow."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from mtlkit.backbones import aside, has_fc_layers, staged
from mtlkit.data import IMAGE_LAYOUTS, Data, Mixture
from mtlkit.data.splits import check_pair
from mtlkit.data.transforms import ResizedCrop
from mtlkit.errors import InputError, unknown
from mtlkit.evaluations import Constant, Cost, TestEvaluation
from mtlkit.files import at_home
from mtlkit.heads import Exit
from mtlkit.heads.exits import Gate
from mtlkit.network import NetworkSettings
from mtlkit.papers.declaration import PARTS, Extra, Profile, Row, Settled, Table, TrainedColumn, steps_of
from mtlkit.papers.multi_exit.options import (
    FRACTIONS,
    PRINTED_BACKBONES,
    PRINTED_FRACTIONS,
    SMALL_BACKBONES,
    MultiExitOptions,
)
from mtlkit.papers.options import SplitName
from mtlkit.papers.weights import weights
from mtlkit.runs import Training
from mtlkit.sharing import HardSharing, SharingSettings
from mtlkit.tasks import Classification
from mtlkit.training import Recipe
from mtlkit.worlds import cache_folder, objects, places

SETS = 2
"""Sets that a joint network learns from."""

PRINTED_CLASSES = {"objects": 1000, "places": 365}
"""Classes of ImageNet and Places365, which the printed costs are for."""

PRINTED_SIZE = (224, 224)
"""Pixels that the printed costs are for."""

HIDDEN = 4096
"""Width of the layer in front of each classifier where the backbone's own has fully connected layers (VGG-16)."""

WORLDS: dict[str, tuple[ModuleType, tuple[str, ...]]] = {
    "objects": (objects, objects.CLASSES[:12]),
    "other_objects": (objects, objects.CLASSES[12:]),
    "places": (places, places.CLASSES),
}
"""Embedded world -> the module that draws it, and its classes."""


@dataclass(frozen=True)
class Budget:
    """What a profile stands for here, beside its options; ``images`` are drawn a class for training and testing."""

    images: tuple[int, int]
    crop: float
    area_min: float


BUDGETS: dict[Profile, Budget] = {
    "smoke": Budget((40, 12), 1.0, 0.25),
    "lite": Budget((400, 50), 1.0, 0.25),
    "paper": Budget((400, 50), 0.875, 0.08),
}
"""At ``lite`` crops are milder than at ``paper``, since 8 % of the area of a 64-pixel image are 18 pixels."""


class ExitColumn(TrainedColumn):
    """A column of a multi-exit table.

    Attributes:
        data: role (objects, places, pets, caltech) -> its data set.
        images: role -> its training images, without those of a development part, before any fraction is taken.
        classes: role -> how many classes it has.
        fractions: shares of the training images.
        second_backbone: Table 3's other one.
        second_lr: its base learning rate; ``None``: the recipe's.
        recipe: of a joint training on all images of the first two sets; rows train as many epochs on theirs.
    """

    data: Mixture
    images: dict[str, int]
    classes: dict[str, int]
    fractions: tuple[float, ...]
    second_backbone: str = ""
    second_lr: float | None = None

    @property
    def networks(self) -> str:
        """The backbone's name; both of Table 3's."""
        return " and ".join(filter(None, (self.backbone, self.second_backbone)))

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | {"fractions": self.fractions, "second_lr": self.second_lr}

    def rate(self, backbone: str | None) -> float:
        """The base learning rate of a backbone of the table."""
        return self.second_lr if self.second_lr and backbone == self.second_backbone else self.recipe.lr

    def part(self, role: str, fraction: float = 1.0) -> Data:
        """A role's data set with a fraction of its training images."""
        return self.data.sets[role].model_copy(update={"fraction": fraction})


@dataclass(frozen=True)
class Source:
    """A data set of a table: its role, and what the paper has there."""

    role: str
    printed: str


IMAGENET = Source("objects", "imagenet")
PLACES = Source("places", "places365")
PETS = Source("pets", "oxford_pets")
CALTECH = Source("caltech", "caltech101")


def image_set(
    name: str, root: Path | None, profile: Profile, size: tuple[int, int], split: SplitName = "test"
) -> tuple[Data, int, int]:
    """A classification data set by the name a reader may give, its training images and its classes.

    Raises:
        InputError: for a missing folder, or one that is not what the layout asks for.
    """
    budget = BUDGETS[profile]
    if name in WORLDS:
        world, classes = WORLDS[name]
        train, val = budget.images
        content = f"{name}-r{world.REVISION}-{train}-{val}"
        folder = cache_folder() / content
        world.write(folder, seed=0, train=train, val=val, classes=classes)
        data = Data(
            layout=world.LAYOUT, name=name, fingerprint=f"{content}-s0", size=size, crop=budget.crop,
            part=PARTS[split], root=folder,
        )  # fmt: skip
        images = train * len(classes) if split == "test" else len(data.split("train", ("label",)))
        return data, images, len(classes)
    if root is None:
        raise InputError(f"The layout {name} needs a folder: set data_root.")
    root = at_home(root)
    train_set, val_set = (IMAGE_LAYOUTS[name](root, split, ("label",)) for split in ("train", "val"))
    check_pair(train_set, val_set, root)
    data = Data(
        layout=name,
        name=root.resolve().name,
        fingerprint=f"{train_set.fingerprint()}-{val_set.fingerprint()}",
        size=size,
        crop=budget.crop,
        part=PARTS[split],
        root=root,
    )
    used = train_set if split == "test" else data.split("train", ("label",))
    return data, len(used), len(train_set.classes)


def named(
    sources: tuple[Source, ...], given: MultiExitOptions, options: MultiExitOptions
) -> list[tuple[str, Path | None]]:
    """The reader's data sets, one a source: a world or a layout, and the folder of the latter.

    Args:
        sources: of the table.
        given: the reader's options as they were given.
        options: and filled.

    Raises:
        InputError: for an unknown name, or when there are more or fewer names or folders than data sets.
    """
    names, roots = options.dataset or (), list(options.data_root or ())
    for name in names:
        if name not in WORLDS and name not in IMAGE_LAYOUTS:
            raise unknown("data set", name, [*WORLDS, *IMAGE_LAYOUTS])
    if len(names) == 1:
        names = names * len(sources)
    roles = ", ".join(source.role for source in sources)
    if len(names) != len(sources):
        raise InputError(f"This table takes {len(sources)} data sets ({roles}), not {len(names)}.")
    folders = sum(name not in WORLDS for name in names)
    if len(roots) != folders and (roots or given.dataset):
        raise InputError(
            f"The data sets {', '.join(names)} ({roles}) take {folders} {'folder' if folders == 1 else 'folders'} in "
            f"data_root, in this order, not {len(roots)}."
        )
    return [(name, None if name in WORLDS else roots.pop(0) if roots else None) for name in names]


def exit_column(table: str, sources: tuple[Source, ...], given: MultiExitOptions) -> ExitColumn:
    """A reader's options as a column of a multi-exit table."""
    options, budget = given.filled(table), BUDGETS[given.profile]
    settled, fractions = Settled.of(options), options.fractions or ()
    if settled.batch_size % SETS:
        # A batch with more images of one set would weigh its loss, step by step another one's.
        raise InputError(
            f"Joint networks see as many images of each of {SETS} sets in a batch, so batch_size divided by accumulate "
            f"must be a multiple of {SETS}, not {settled.batch_size}."
        )
    if table != "1" and len(fractions) > 1:
        raise InputError(f"Table {table} takes one fraction, not {len(fractions)}.")
    found = {
        source.role: image_set(name, root, options.profile, settled.size, options.split)
        for source, (name, root) in zip(sources, named(sources, given, options), strict=True)
    }
    images = {role: count for role, (_, count, _) in found.items()}
    return ExitColumn(
        paper="multi_exit",
        table=table,
        profile=options.profile,
        data=Mixture(sets={role: data for role, (data, _, _) in found.items()}),
        images=images,
        classes={role: classes for role, (_, _, classes) in found.items()},
        fractions=fractions,
        backbone=settled.backbone,
        second_backbone=second_backbone(table, options.profile),
        second_lr=options.second_lr,
        weights=weights(settled.weights),
        recipe=exit_recipe(settled, budget.area_min, settled.steps(2 * max(list(images.values())[:2]))),
        epochs=settled.epochs,
        seeds=settled.seeds,
    )


def second_backbone(table: str, profile: Profile) -> str:
    """The other backbone of a table that compares two."""
    own = PRINTED_BACKBONES[table]
    return "" if len(own) == 1 else SMALL_BACKBONES[1] if profile == "smoke" else own[1]


def printed_exit_column(table: str, sources: tuple[Source, ...]) -> ExitColumn:
    """The column of a table's printed networks, without data: for counting and for building."""
    counts = {
        "imagenet": (1_281_167, 1000),
        "places365": (1_803_460, 365),
        "oxford_pets": (3_680, 37),
        "caltech101": (3_030, 101),
    }
    budget, options = BUDGETS["paper"], MultiExitOptions(profile="paper").filled(table)
    settled = Settled.of(options)
    images = {source.role: counts[source.printed][0] for source in sources}
    return ExitColumn(
        paper="multi_exit",
        table=table,
        profile="paper",
        data=Mixture(
            sets={
                source.role: Data(
                    layout=source.printed,
                    name=source.printed,
                    fingerprint="",
                    size=PRINTED_SIZE,
                    crop=budget.crop,
                )
                for source in sources
            }
        ),
        images=images,
        classes={source.role: counts[source.printed][1] for source in sources},
        fractions=PRINTED_FRACTIONS[table],
        backbone=settled.backbone,
        second_backbone=second_backbone(table, "paper"),
        second_lr=options.second_lr,
        recipe=exit_recipe(settled, budget.area_min, settled.steps(2 * max(list(images.values())[:2]))),
        epochs=settled.epochs,
        seeds=(0,),
    )


def exit_recipe(settled: Settled, area_min: float, steps: int) -> Recipe:
    """SGD with momentum 0.9, decay 1e-4 on everything, a tenth of the rate after 30 and after 60 of 90 epochs."""
    return Recipe(
        steps=steps,
        batch_size=settled.batch_size,
        accumulate=settled.accumulate,
        lr=settled.lr,
        weight_decay=1e-4,
        decay_all=True,
        schedule="step",
        milestones=(1 / 3, 2 / 3),
        augmentation=ResizedCrop(size=settled.size, area_min=area_min),
        precision=settled.precision,
    )


def exit_order(classes: Mapping[str, int]) -> dict[str, int]:
    """Task -> stage of its exit, counted from the end: sets with fewer classes leave earlier (Sect. 3.2).

    Of sets with equally many classes the later one leaves earlier.
    """
    tasks = list(classes)
    order = sorted(tasks, key=lambda task: (classes[task], -tasks.index(task)))
    return {task: place - len(order) for place, task in enumerate(order)}


def exit_network(
    column: ExitColumn,
    classes: Mapping[str, int],
    stages: Mapping[str, int],
    gate: Gate | None = None,
    sharing: SharingSettings | None = None,
    backbone: str | None = None,
    size: tuple[int, int] | None = None,
) -> NetworkSettings:
    """A network with an exit per task: ``stages`` says where, ``gate`` whether a feature filter stands before each."""
    backbone = backbone or column.backbone
    last = Exit.Settings(filter=gate, width=HIDDEN if has_fc_layers(backbone) else None)
    return NetworkSettings(
        backbone=backbone,
        weights=column.weights,
        tasks=tuple(Classification(name=name, classes=count) for name, count in classes.items()),
        sharing=sharing or HardSharing.Settings(),
        head=last,
        heads={task: last.model_copy(update={"stage": stage}) for task, stage in stages.items() if stage != -1},
        image_size=size or column.data.size,
    )


def trained(
    column: ExitColumn,
    seed: int,
    sets: Mapping[str, tuple[str, float]],
    *,
    stages: Mapping[str, int] | None = None,
    gate: Gate | None = None,
    sharing: SharingSettings | None = None,
    backbone: str | None = None,
    as_long_as: Training | None = None,
) -> TestEvaluation:
    """A network trained on one or several sets, scored on their test images.

    Args:
        column: of the report.
        seed: of the start weights and every draw.
        sets: task -> role and fraction of its training images.
        stages: task -> stage of its exit; by the number of classes where not given.
        gate: of the feature filters; none where not given.
        sharing: of the trunk.
        backbone: where it is not the column's.
        as_long_as: a training whose number of images seen this one has too.
    """
    classes = {task: column.classes[role] for task, (role, _) in sets.items()}
    parts = {task: column.part(role, fraction) for task, (role, fraction) in sets.items()}
    # An epoch is one pass over the largest set; smaller ones are gone through more often meanwhile.
    images = len(sets) * max(fraction * column.images[role] for role, fraction in sets.values())
    count = as_long_as.recipe.steps if as_long_as else steps_of(column.epochs, images, column.recipe.images_a_step)
    data = next(iter(parts.values())) if len(parts) == 1 else Mixture(sets=parts)
    training = Training(
        network=exit_network(column, classes, stages or exit_order(classes), gate, sharing, backbone),
        data=data,
        recipe=column.recipe.model_copy(update={"steps": count, "lr": column.rate(backbone)}),
        seed=seed,
    )
    return TestEvaluation(subject=training, data=data)


CONTROLS = (
    "Controls",
    "alone, trained longer: networks of one set trained for as many images as the joint ones",
)
"""Line of the protocol card for the rows that gains of joint networks are measured against."""

GATES = (CONTROLS[0], f"{CONTROLS[1]}; filters: one value per channel (Figure 4), and half the map without learning")
"""The same where filters are told from scaling."""


def longer(
    column: ExitColumn,
    seed: int,
    sets: Mapping[str, tuple[str, float]],
    joint: TestEvaluation,
    identifier: str,
    label: str,
    backbone: str | None = None,
) -> Row:
    """Every set alone, each network trained for as many images as the joint one sees of all sets."""
    each = (
        trained(column, seed, {task: part}, backbone=backbone, as_long_as=joint.subject) for task, part in sets.items()
    )
    what = "two networks, each trained for as many images as the joint one"
    return Row(identifier, label, tuple(each), what, printed=False)


def filters(
    column: ExitColumn, seed: int, sets: Mapping[str, tuple[str, float]], key: str, label: str, printed: bool = True
) -> list[Row]:
    """The joint network of the row ``mtl_KEY`` with a filter at its exits: the paper's, and two that tell what it does.

    Args:
        column: of the report.
        seed: of the networks.
        sets: as of :func:`trained`.
        key: of these rows.
        label: of that row.
        printed: whether the paper has the first.
    """
    together, half = f"mtl_{key}", f"mtl_half_{key}"

    def row(identifier: str, name: str, gate: Gate, what: str, *controls: str) -> Row:
        value = trained(column, seed, sets, gate=gate)
        return Row(identifier, f"{label}, {name}", (value,), what, printed and gate == "input", controls)

    return [
        row(f"mtl_filter_{key}", "filter", "input", "a feature filter in front of each exit", half, together),
        row(
            f"mtl_fixed_{key}", "fixed filter", "fixed", "a value per channel, the same for all images", half, together
        ),
        row(half, "halved", "half", "half of every map in front of each exit, without learning", together),
    ]


def own_norms(column: ExitColumn, seed: int, sets: Mapping[str, tuple[str, float]], key: str, label: str) -> list[Row]:
    """The joint network of the row ``mtl_KEY`` with a batch norm per set in the place of each shared one.

    No row where the backbone has no batch norm.
    """
    if not has_batch_norm(column.backbone, column.data.size):
        return []
    value = trained(column, seed, sets, sharing=HardSharing.Settings(norms="own"))
    what = "one trunk with batch norms per set, an exit per set"
    return [Row(f"mtl_norms_{key}", f"{label}, own norms", (value,), what, False, (f"mtl_{key}",))]


@functools.cache
def has_batch_norm(backbone: str, size: tuple[int, int]) -> bool:
    """Whether a backbone has batch norms."""
    with aside():
        return any(isinstance(module, nn.BatchNorm2d) for module in staged(backbone, image_size=size).modules())


def _percent(fraction: float) -> str:
    return f"{100 * fraction:g}"


def data_sizes(column: ExitColumn, seed: int) -> list[Row]:
    """Table 1: alone, together, and together with the filter, for every share of the training images."""
    rows = []
    for fraction in column.fractions:
        share, in_print = _percent(fraction), fraction in FRACTIONS
        both = {"objects": ("objects", fraction), "places": ("places", fraction)}
        joint = trained(column, seed, both)
        alone = {task: trained(column, seed, {task: both[task]}) for task in both}
        data = Mixture(sets={task: column.part(role, part) for task, (role, part) in both.items()})
        tasks = tuple(Classification(name=name, classes=column.classes[name]) for name in both)
        rows += [
            Row(
                f"constant_{share}", f"{share} %: constant", (Constant(tasks=tasks, data=data),),
                "the commonest class of the training images", printed=False,
            ),
            Row(f"stl_in_{share}", f"{share} %: objects alone", (alone["objects"],), "one network", in_print),
            Row(f"stl_pl_{share}", f"{share} %: places alone", (alone["places"],), "one network", in_print),
            longer(column, seed, both, joint, f"longer_{share}", f"{share} %: alone, trained longer"),
            Row(
                f"mtl_{share}", f"{share} %: together", (joint,), "one trunk, an exit per set", in_print,
                (f"longer_{share}",),
            ),
            *own_norms(column, seed, both, share, f"{share} %: together"),
            *filters(column, seed, both, share, f"{share} %: together", in_print),
        ]  # fmt: skip
    return rows


def partners(column: ExitColumn, seed: int) -> list[Row]:
    """Table 2: a small share of ImageNet with all of another, smaller set."""
    (fraction,) = column.fractions
    objects_part = {"objects": ("objects", fraction)}
    rows = [
        Row("stl_in_5", f"{_percent(fraction)} % objects alone", (trained(column, seed, objects_part),), "one network")
    ]
    for short, role, label in (("op", "pets", "Pets"), ("ca", "caltech", "Caltech")):
        partner = {"partner": (role, 1.0)}
        both = objects_part | partner
        joint = trained(column, seed, both)
        rows += [
            Row(f"stl_{short}", f"{label} alone", (trained(column, seed, partner),), "one network"),
            longer(column, seed, both, joint, f"longer_{short}", f"alone, trained longer (with {label})"),
            Row(f"mtl_{short}", f"with {label}", (joint,), "one trunk, an exit per set", controls=(f"longer_{short}",)),
            *filters(column, seed, both, short, f"with {label}"),
        ]
    return rows


def backbones(column: ExitColumn, seed: int) -> list[Row]:
    """Table 3: two other backbones on the smallest share."""
    (fraction,) = column.fractions
    both = {"objects": ("objects", fraction), "places": ("places", fraction)}
    rows = []
    for short, label, name in (("se", "SE", column.backbone), ("vgg", "VGG", column.second_backbone)):
        alone = {task: trained(column, seed, {task: part}, backbone=name) for task, part in both.items()}
        joint = trained(column, seed, both, backbone=name)
        filtered = trained(column, seed, both, gate="input", backbone=name)
        rows += [
            Row(f"{short}_stl_in", f"{label}: objects alone", (alone["objects"],), name),
            Row(f"{short}_stl_pl", f"{label}: places alone", (alone["places"],), name),
            longer(column, seed, both, joint, f"{short}_longer", f"{label}: alone, trained longer", backbone=name),
            Row(
                f"{short}_mtl", f"{label}: together", (joint,), f"{name}, an exit per set",
                controls=(f"{short}_longer",),
            ),
            Row(
                f"{short}_mtl_filter", f"{label}: together, filter", (filtered,),
                "a filter before each exit, half open at first", controls=(f"{short}_mtl",),
            ),
        ]  # fmt: skip
    return rows


def placements(column: ExitColumn, seed: int) -> list[Row]:
    """Table 4: where the second exit goes, with what the printed networks hold and compute."""
    (fraction,) = column.fractions
    both = {"objects": ("objects", fraction), "places": ("places", fraction)}

    def row(
        key: str,
        label: str,
        what: str,
        stages: dict[str, int],
        gate: Gate | None = None,
        sharing: SharingSettings | None = None,
        controls: tuple[str, ...] = ("longer",),
    ) -> Row:
        classes = {task: PRINTED_CLASSES[task] for task in stages}
        network = exit_network(column, classes, stages, gate, sharing, size=PRINTED_SIZE)
        sets = {task: both[task] for task in stages}
        scored = trained(column, seed, sets, stages=stages, gate=gate, sharing=sharing)
        return Row(key, label, (scored, Cost(network=network, size=PRINTED_SIZE)), what, controls=controls)

    return [
        row("stl_imagenet", "objects alone", "one network", {"objects": -1}, controls=()),
        row("stl_places", "places alone", "one network", {"places": -1}, controls=()),
        longer(column, seed, both, trained(column, seed, both), "longer", "both alone, trained longer"),
        *(
            row(f"mtl_layer{4 - early}", label, f"objects leave after the last stage, places {early} earlier",
                {"objects": -1, "places": -1 - early}, controls=("mtl_layer4", "longer") if early else ("longer",))
            for early, label in enumerate(("both at the end", "places 1 stage earlier", "places 2 stages earlier",
                                           "places 3 stages earlier"))
        ),
        row("mtl_big_head", "big head", "a last stage of its own for each set", {"objects": -1, "places": -1},
            sharing=HardSharing.Settings(split_after=-1), controls=("mtl_layer4", "longer")),
        row("mtl_layer3_filter", "1 stage earlier, filter", "a filter in front of each exit, half open at first",
            {"objects": -1, "places": -2}, gate="input", controls=("mtl_layer3",)),
    ]  # fmt: skip


def rates(column: ExitColumn) -> str:
    """The rate of every backbone, for the protocol card."""
    if column.second_lr is None:
        return f"rate {column.recipe.lr:g}"
    return (
        f"rate {column.recipe.lr:g} for {column.backbone} and {column.second_lr:g} for {column.second_backbone}, which "
        "without batch norm does not learn at the other's"
    )


def exit_protocol(column: ExitColumn) -> list[tuple[str, str]]:
    """What differs between the paper's measurement and ours."""
    recipe, size = column.recipe, column.data.size
    ours = "; ".join(
        f"{role}: {data.name} ({data.fingerprint}), {column.images[role]} training images, "
        f"{column.classes[role]} classes"
        for role, data in column.data.sets.items()
    )
    return [
        ("Data", ours),
        (
            "Share of the training images",
            f"{', '.join(map(_percent, column.fractions))} %, class proportions kept; one fixed draw for all "
            "methods and seeds",
        ),
        ("Resolution", f"{size[0]}x{size[1]}, smaller images enlarged bilinearly"),
        ("Network", f"{column.networks}, an exit is average pooling and one linear layer"),
        ("Start", column.start_line),
        ("Batch", f"{recipe.images_a_step} in all, equally many of each set"),
        ("Loss", "sum over the exits of the mean over that set's images in the batch"),
        ("Budget", f"{column.epochs:g} epochs of the largest set, {rates(column)}, a tenth after each third"),
        ("Optimiser, augmentation", "SGD, momentum 0.9, decay 1e-4 on everything; random resized crops and mirrors"),
        ("Filter", "alpha = beta = 0, so that every gate starts at 1/2"),
        ("Accuracy", "top-1, the middle crop of all test images"),
        GATES if column.table in ("1", "2") else CONTROLS,
    ]


def _accuracies(first: str, second: str) -> tuple[Extra, ...]:
    groups = {first: first.capitalize(), second: second.capitalize()}
    return tuple(
        Extra(f"{task}/{measure}", label, group, "%", "higher")
        for task, group in groups.items()
        for measure, label in (("top5", "Top-5"), ("class_accuracy", "Mean per class"))
    )


def _table(
    identifier: str,
    measures: dict[str, str],
    rows: Callable[[ExitColumn, int], list[Row]],
    sources: tuple[Source, ...],
    systems: dict[str, str],
    extras: tuple[Extra, ...],
    counts: Mapping[str, str] | None = None,
) -> Table:
    return Table(
        paper="multi_exit",
        id=identifier,
        measures=measures,
        columns=ExitColumn,
        column=lambda options: exit_column(identifier, sources, options),
        rows=rows,
        ours=exit_protocol,
        meta_column=lambda: printed_exit_column(identifier, sources),
        extras=extras,
        counts=dict(counts or {}),
        systems=systems,
    )


COUNTS = {
    "cost/macs": "conv. + linear",
    "cost/macs_norms": "+ norms",
    "cost/macs_norms_exits": "+ exits' pooling",
}
"""What may be counted: multiply-accumulates; two a batch-norm value more; one a value that further exits pool."""

_BOTH = {"imagenet_acc": "objects/accuracy", "places_acc": "places/accuracy"}

TABLES = (
    _table(
        "1", _BOTH, data_sizes, (IMAGENET, PLACES),
        {"S32": "stl_in_5", "S33": "mtl_5", "S34": "mtl_filter_5", "S35": "mtl_filter_5", "S41": "stl_in_5",
         "S42": "mtl_5", "S43": "mtl_5", "S45": "mtl_filter_5"},
        _accuracies("objects", "places"),
    ),
    _table(
        "2", {"imagenet_acc": "objects/accuracy", "integration_acc": "partner/accuracy"}, partners,
        (IMAGENET, PETS, CALTECH), {"S40": "mtl_op"}, _accuracies("objects", "partner"),
    ),
    _table(
        "3", _BOTH, backbones, (IMAGENET, PLACES),
        {"S38": "se_mtl_filter", "S39": "vgg_mtl_filter"}, _accuracies("objects", "places"),
    ),
    _table(
        "4", _BOTH | {"macs": "cost/macs_norms_exits", "params": "cost/parameters"}, placements, (IMAGENET, PLACES),
        {"S36": "mtl_layer1", "S37": "mtl_big_head", "S44": "mtl_layer3"},
        (*_accuracies("objects", "places"),
         Extra("cost/macs", "MACs, conv. and linear only", "Cost", "G", "lower")),
        COUNTS,
    ),
)  # fmt: skip
