"""Tables 4 to 6: the five methods on segmentation and surface normals, with DeepLab's heads."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mtlkit.backbones import output_strides
from mtlkit.data import Data
from mtlkit.data.transforms import Augmentation
from mtlkit.errors import InputError, unknown
from mtlkit.evaluations import Tilted
from mtlkit.heads import LargeFOV
from mtlkit.necks import Shortcut
from mtlkit.network import NetworkSettings, Weights
from mtlkit.papers.declaration import Extra, Profile, Row, Table
from mtlkit.papers.nddr.methods import (
    BATCH_NORM,
    CONTROLS,
    CONTROLS_WITH_SHARED,
    CROSS_STITCH,
    DECAY_JOINT,
    DECAY_SINGLE,
    NDDR,
    REVISION,
    SLUICE,
    START,
    Methods,
    NDDRChoices,
    budget_line,
    fitted,
    nddr_line,
    rate_line,
    rated,
    start_of,
)
from mtlkit.papers.printed import printed
from mtlkit.papers.scenes import TASKS, SceneColumn, scenes
from mtlkit.papers.weights import weights
from mtlkit.runs import Training
from mtlkit.tasks import AnyTask, Depth, Normals, Segmentation
from mtlkit.training import Recipe
from mtlkit.trunks import Shared, Sharing

NORMALS_SINGLE, NORMALS_JOINT = 10.0, 20.0
"""Weight of the normals' loss alone and beside segmentation (``experiments/*/*.sh``), for the encoded space."""

DECODED_LOSS = 5.0
"""How much larger the normals' loss is in the decoded space: angles there are about 2.2 times as wide, and the loss
goes with the square. Weights are divided by it, so that the balance of the tasks stays the authors'."""


@dataclass(frozen=True)
class Budget:
    """What a profile stands for on the scene tables."""

    backbone: str | None  # None: the table's own
    dataset: str
    images: tuple[int, int]
    size: tuple[int, int]
    weights: Literal["none", "timm"]
    width: int
    epochs: float
    batch_size: int
    lr: float
    stride: int
    seeds: tuple[int, ...]


BUDGETS: dict[Profile, Budget] = {
    "smoke": Budget("mobilenetv3_small_050", "rooms", (64, 32), (64, 80), "none", 128, 2, 8, 1e-2, 16, (0,)),
    "lite": Budget(None, "rooms", (800, 200), (120, 160), "timm", 256, 60, 8, 1e-3, 8, (0, 1, 2)),
    # 20,001 steps of 10 images are 251.6 passes over the 795 training frames.
    "paper": Budget(None, "nyuv2", (795, 654), (480, 640), "timm", 1024, 251.6, 10, 1e-3, 8, (0, 1, 2)),
}
SMOKE_EPOCHS_NAMED = 2
"""Epochs at ``smoke`` for a backbone that the reader names: it may be fifty times the default's size, and a first look
should stay within ten minutes on two cores."""

FIVE = ("4", "5", "6")
"""The tables of the five methods; the others vary one of these."""

TILT = 30.0
"""Degrees of the row that shows what an error of a known angle scores."""

SHORTCUT_RATE = 100.0
"""What multiplies the rate of shortcuts and their batch norms (``nets/vgg_deeplab_nddr.py``)."""

CROP = (321, 321)
"""The training crop at profile ``paper`` (``util/img_encoder_mt.py``)."""


def dilation(size: tuple[int, int], stride: int) -> int:
    """LargeFOV's 12 at 321 pixels and stride 8, kept as the same share of the picture."""
    return max(1, round(12 * min(size) / 321 * 8 / stride))


SCENE_TASKS = ("segmentation", "normals", "depth")
"""What a network of a scene table can learn; the paper has the first two."""


def scene_tasks(column: SceneColumn) -> tuple[Segmentation | Normals | Depth, ...]:
    """The tasks of a scene table; the loss is taken at the output's size only at profile ``paper``."""
    loss_at: Literal["image", "output"] = "output" if column.profile == "paper" else "image"
    tasks = (Segmentation(classes=column.classes, loss_at=loss_at), Normals(loss_at=loss_at), Depth(loss_at=loss_at))
    return tuple(task for task in tasks if task.name in column.tasks)


def asked(choices: NDDRChoices) -> tuple[str, ...]:
    """The tasks that the reader wants, in the order of :data:`SCENE_TASKS`.

    Raises:
        InputError: one is unknown, or there are fewer than two.
    """
    wanted = choices.tasks or TASKS
    for name in wanted:
        if name not in SCENE_TASKS:
            raise unknown("task of this table", name, SCENE_TASKS)
    if len(set(wanted)) < 2:
        raise InputError(f"Networks that share take two tasks at least, of {', '.join(SCENE_TASKS)}; not {wanted[0]}.")
    return tuple(name for name in SCENE_TASKS if name in wanted)


class ShortcutColumn(SceneColumn):
    """A column of Table 6.

    Attributes:
        neck: what every task's head stands on.
    """

    neck: Shortcut.Settings = Shortcut.Settings()


def scene_column(table: str, own_backbone: str, choices: NDDRChoices) -> SceneColumn:
    """Choices and the profile's budget as a column of a scene table."""
    budget = BUDGETS[choices.profile]
    backbone = choices.backbone or budget.backbone or own_backbone
    if choices.profile == "paper" and choices.backbone is None:
        backbone = BATCH_NORM.get(backbone, backbone)
    strides = output_strides(backbone)
    stride = choices.output_stride or min((s for s in strides if s >= budget.stride), default=max(strides))
    if stride not in strides:
        raise InputError(f"{backbone} can be built at output stride {', '.join(map(str, strides))}, not {stride}.")
    if stride != 8 and 8 in strides and backbone.startswith("vgg"):
        stride = choices.output_stride or 8  # the printed network is DeepLab-LargeFOV, at stride 8
    size = choices.image_size or budget.size
    tasks = asked(choices)
    data, train = scenes(choices, budget.dataset, size, budget.images, tasks)
    batch_size = choices.batch_size or budget.batch_size
    named = choices.profile == "smoke" and choices.backbone is not None
    epochs = choices.epochs or (SMOKE_EPOCHS_NAMED if named else budget.epochs)
    steps = max(1, round(epochs * len(train) / batch_size))
    return SceneColumn(
        paper="nddr",
        table=table,
        profile=choices.profile,
        data=data,
        train_images=len(train),
        backbone=backbone,
        weights=weights(choices.weights or budget.weights),
        output_stride=stride,
        head=scene_head(choices.profile, size, stride),
        recipe=scene_recipe(choices.profile, size, steps, batch_size, choices.lr or budget.lr),
        epochs=epochs,
        fused_epochs=choices.fused_epochs,
        units_lr=choices.units_lr,
        seeds=choices.seeds or budget.seeds,
        classes=train.classes,
        tasks=tasks,
    )


def scene_head(profile: Profile, size: tuple[int, int], stride: int) -> LargeFOV.Settings:
    """The LargeFOV head as wide as the profile allows, with the batch norm that the authors' code has in it."""
    crop = CROP if profile == "paper" else size
    return LargeFOV.Settings(width=BUDGETS[profile].width, dilation=dilation(crop, stride), batch_norm=True)


def scene_recipe(profile: Profile, size: tuple[int, int], steps: int, batch_size: int, lr: float) -> Recipe:
    """SGD with momentum 0.9, a polynomial schedule, ten and twenty times the rate for the classifiers."""
    small = profile != "paper"
    return Recipe(
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        lr_mult={"classifier": 10.0, "classifier_bias": 20.0},
        augmentation=Augmentation(size=size if small else CROP, scale_min=0.75 if small else 0.5),
        # Networks of depthwise convolutions train a seventh to two fifths faster so, on a processor too.
        channels_last=profile != "smoke",
    )


def scene_network(column: SceneColumn, tasks: tuple[AnyTask, ...], sharing: Sharing, start: Weights) -> NetworkSettings:
    """A network of a scene table."""
    return NetworkSettings(
        backbone=column.backbone,
        weights=start,
        output_stride=column.output_stride,
        tasks=tasks,
        sharing=sharing,
        neck=column.neck if isinstance(column, ShortcutColumn) else None,
        head=column.head,
        image_size=column.recipe.augmentation.size,
    )


def single(column: SceneColumn, task: AnyTask, seed: int, start: Training | None = None) -> Training:
    """One task alone; or trained on from an earlier such training."""
    weight = NORMALS_SINGLE / DECODED_LOSS if task.name == "normals" else 1.0
    return Training(
        network=scene_network(column, (task,), Shared(), Weights() if start else column.weights),
        data=column.data,
        recipe=column.recipe_after(start).model_copy(
            update={"weight_decay": DECAY_SINGLE, "loss_weights": {f"{task.name}/{task.terms[0]}": weight}}
        ),
        seed=seed,
        starts={task.name: start} if start else {},
        revision=REVISION,
    )


def joint(
    column: SceneColumn,
    sharing: Sharing,
    seed: int,
    starts: Mapping[str, Training],
    lr_mult: Mapping[str, float],
) -> Training:
    """All tasks in one network, with multipliers of its units' rate."""
    return Training(
        network=scene_network(
            column, scene_tasks(column), fitted(sharing, column), Weights() if starts else column.weights
        ),
        data=column.data,
        recipe=column.recipe_after(starts).model_copy(
            update={
                "weight_decay": DECAY_JOINT,
                "lr_mult": rated(column, lr_mult),
                "loss_weights": {"normals/cosine": NORMALS_JOINT / DECODED_LOSS} if "normals" in column.tasks else {},
            }
        ),
        seed=seed,
        starts=dict(starts),
        revision=REVISION,
    )


def methods(column: SceneColumn, seed: int) -> Methods:
    """What the rows of a scene table are made of."""
    return Methods(
        scene_tasks(column),
        column.data,
        single=lambda task, start: single(column, task, seed, start),
        joint=lambda sharing, starts, mult: joint(column, sharing, seed, starts, mult),
    )


SCENE_MEASURES = {
    "normals_mean": "normals/encoded/mean",
    "normals_median": "normals/encoded/median",
    "normals_11": "normals/encoded/11.25",
    "normals_22": "normals/encoded/22.5",
    "normals_30": "normals/encoded/30",
    "seg_miou": "segmentation/miou",
    "seg_pacc": "segmentation/pixel_accuracy",
}
"""Printed column -> measure: the print's normals are scored in the encoded space (see the chapter)."""

_TRUE = "Surface normals, true angle"
SCENE_EXTRAS = (
    Extra("normals/decoded/mean", "Mean", _TRUE, "deg", "lower"),
    Extra("normals/decoded/median", "Med.", _TRUE, "deg", "lower"),
    Extra("normals/decoded/11.25", "11.25", _TRUE, "%", "higher"),
    Extra("normals/decoded/22.5", "22.5", _TRUE, "%", "higher"),
    Extra("normals/decoded/30", "30", _TRUE, "%", "higher"),
    Extra("segmentation/fwiou", "fwIoU", "Semantic Seg.", "%", "higher"),
    Extra("depth/rmse", "RMSE", "Depth", "m", "lower", optional=True),
    Extra("depth/relative", "Rel. error", "Depth", "%", "lower", optional=True),
    Extra("depth/within_1.25", "1.25", "Depth", "%", "higher", optional=True),
)


def scene_protocol(column: SceneColumn) -> list[tuple[str, str, str]]:
    """What differs between the paper's measurement and ours."""
    recipe, data = column.recipe, column.data
    head, own = column.head, printed("nddr").tables[column.table].backbone
    assert isinstance(head, LargeFOV.Settings)
    return [
        *([] if column.tasks == TASKS else [("Tasks", ", ".join(TASKS), ", ".join(column.tasks))]),
        (
            "Data",
            "NYU v2, 795 / 654 frames",
            f"{data.name} ({data.fingerprint}), {column.train_images} training images",
        ),
        (
            "Classes",
            "40, averaged over all",
            f"{len(column.classes)}, averaged over those that occur in the test truth",
        ),
        (
            "Resolution",
            "crops of 321, scored at 480x640",
            f"{data.size[0]}x{data.size[1]} throughout"
            if recipe.augmentation.size == data.size
            else f"crops of {recipe.augmentation.size[0]}, scored at {data.size[0]}x{data.size[1]}",
        ),
        (
            "Network",
            f"DeepLab {'ResNet-101' if own == 'resnet101' else 'VGG-16'}, stride 8; pyramid pooling by the print, "
            "LargeFOV by the authors' code for VGG-16",
            f"{column.backbone}, stride {column.output_stride}, "
            f"LargeFOV head of {head.width} channels, dilation {head.dilation}",
        ),
        *_shortcut_line(column),
        (
            "Units",
            f"after every stage; start {start_of(CROSS_STITCH)}; rate {CROSS_STITCH.lr_mult:g} "
            f"(cross-stitch) and {NDDR.lr_mult:g} (NDDR) times the base; of sluice two subspaces are printed",
            f"the same; one cross-stitch matrix a layer, sluice at rate {SLUICE.lr_mult:g}, {nddr_line(column)}",
        ),
        (
            "Start",
            "unstated (Sect. 4.3: VOC or single-task weights)",
            START.get(column.weights.source, f"ImageNet (file {column.weights.sha256[:12]})"),
        ),
        (
            "Metric space of normals",
            "encoded: 0-255 vectors, by the authors' code",
            "encoded beside the print; the true angle in columns of its own",
        ),
        ("Pooling", "all pixels of the test set (authors' code)", "all pixels of the test set; threshold included"),
        (
            "Budget",
            "20,001 steps of 10 (authors' code)",
            budget_line(column),
        ),
        ("Learning rate", "0.001, poly 0.9 (authors' code)", rate_line(column)),
        CONTROLS_WITH_SHARED if column.table in FIVE else CONTROLS,
        ("Checkpoint scored", "the last", "the last"),
        ("Runs", "unstated", f"{len(column.seeds)} seed{'s' if len(column.seeds) > 1 else ''}"),
    ]


def printed_scene_column(table: str, backbone: str) -> SceneColumn:
    """The column of a scene table's printed networks, without data: for counting and for building."""
    data = Data(layout="nyuv2", name="nyuv2", fingerprint="", size=BUDGETS["paper"].size)
    return SceneColumn(
        paper="nddr",
        table=table,
        profile="paper",
        data=data,
        train_images=795,
        backbone=backbone,
        output_stride=8,
        head=scene_head("paper", data.size, 8),
        recipe=scene_recipe("paper", data.size, 20_001, 10, 1e-3),
        epochs=BUDGETS["paper"].epochs,
        seeds=(0,),
        classes=tuple(map(str, range(40))),
    )


def shortcut_column(choices: NDDRChoices) -> ShortcutColumn:
    """As of any scene table, with shortcuts."""
    return with_shortcuts(scene_column("6", "vgg16", choices))


def with_shortcuts(column: SceneColumn) -> ShortcutColumn:
    """The column of Table 6 that is else as ``column``."""
    fields = dict(column)
    lr_mult = column.recipe.lr_mult | {"shortcut": SHORTCUT_RATE}
    return ShortcutColumn(**fields | {"recipe": column.recipe.model_copy(update={"lr_mult": lr_mult})})


def _shortcut_line(column: SceneColumn) -> list[tuple[str, str, str]]:
    if not isinstance(column, ShortcutColumn):
        return []
    return [
        (
            "Shortcut",
            "512 channels; one a task, bilinear, batch norm and ReLU behind the 1x1 convolution, at 100 times the base "
            "rate (authors' code); how single-task and shared networks get theirs is unstated",
            f"{column.neck.width} channels; the same in every row, at {column.recipe.lr_mult['shortcut']:g} times the "
            "base rate",
        )
    ]


def _table(identifier: str, own: str, systems: dict[str, str]) -> Table:
    return Table(
        paper="nddr",
        id=identifier,
        measures=SCENE_MEASURES,
        extras=SCENE_EXTRAS,
        choices=NDDRChoices,
        columns=SceneColumn,
        column=lambda choices: scene_column(identifier, own, choices),
        rows=lambda column, seed: methods(column, seed).five(),
        protocol=scene_protocol,
        meta_column=lambda: printed_scene_column(identifier, BATCH_NORM.get(own, own)),
        systems=systems,
    )


def with_tilted(column: SceneColumn, seed: int) -> list[Row]:
    """Table 4, with what an error of a known angle scores in the space of the print."""
    rows = methods(column, seed).five()
    for task in scene_tasks(column):
        if isinstance(task, Normals):
            value = Tilted(task=task, data=column.data, degrees=TILT)
            what = f"every true normal turned by {TILT:g} degrees in a random direction"
            rows.insert(1, Row("tilted", f"Truth, tilted by {TILT:g}°", (value,), what, printed=False))
    return rows


TABLE4 = replace(
    _table(
        "4",
        "vgg16",
        {"S17": "nddr", "S18": "nddr", "S22": "single", "S23": "multi", "S24": "cross_stitch", "S25": "sluice"}
        | {"S29": "nddr"},
    ),
    rows=with_tilted,
)
TABLE5 = _table("5", "resnet101", {"S19": "nddr"})
TABLE6 = replace(
    _table("6", "vgg16", {"S20": "nddr"}),
    columns=ShortcutColumn,
    column=shortcut_column,
    meta_column=lambda: with_shortcuts(printed_scene_column("6", BATCH_NORM["vgg16"])),
)
