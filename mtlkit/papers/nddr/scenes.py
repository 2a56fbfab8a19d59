"""Tables 4 to 6: the five methods on segmentation and surface normals, with DeepLab's heads."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mtlkit.backbones import aside, has_fc_layers, output_strides, staged
from mtlkit.data import Data
from mtlkit.data.transforms import Augmentation
from mtlkit.errors import InputError, unknown
from mtlkit.evaluations import Tilted
from mtlkit.heads import LargeFOV
from mtlkit.necks import Shortcut
from mtlkit.network import NetworkSettings, Weights
from mtlkit.papers.declaration import Extra, Profile, Row, Settled, Table
from mtlkit.papers.nddr.methods import (
    CONTROLS,
    CONTROLS_WITH_SHARED,
    DECAY_JOINT,
    DECAY_SINGLE,
    REVISION,
    Methods,
    NDDRSceneColumn,
    budget_line,
    fitted,
    nddr_line,
    rate_line,
    rated,
    sluice_line,
)
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.papers.scenes import TASKS, objective, resolution, scenes, training_size
from mtlkit.papers.weights import weights
from mtlkit.runs import Training
from mtlkit.sharing import HardSharing, SharingSettings, SoftSharing
from mtlkit.tasks import AnyTask, Depth, Normals, Segmentation
from mtlkit.training import Recipe

NORMALS_SINGLE, NORMALS_JOINT = 10.0, 20.0
"""Weight of the normals' loss alone and beside segmentation (``experiments/*/*.sh``), for the encoded space."""

DECODED_LOSS = 5.0
"""How much larger the normals' loss is in the decoded space: angles there are about 2.2 times as wide, and the loss
goes with the square. Weights are divided by it, so that the balance of the tasks stays the authors'."""


@dataclass(frozen=True)
class Budget:
    """What a profile stands for on the scene tables, beside their options."""

    images: tuple[int, int]
    width: int
    stride: int


BUDGETS: dict[Profile, Budget] = {
    "smoke": Budget((64, 32), 128, 16),
    "lite": Budget((800, 200), 256, 8),
    "paper": Budget((795, 654), 1024, 8),
}

FIVE = ("4", "5", "6")
"""The tables of the five methods; the others vary one of these."""

TILT = 30.0
"""Degrees of the row that shows what an error of a known angle scores."""

SCORING = 2
"""Of that row; raised when thresholds began to include themselves whatever float32 makes of an angle."""

SHORTCUT_RATE = 100.0
"""What multiplies the rate of a fused network's shortcuts and their batch norms: that of its NDDR layers, since the
names of both hold ``nddr`` (``ops/create_train_ops.py``, ``nets/vgg_deeplab_nddr.py``). Those of single-task and
multi-task networks, called ``shortcuts``, learn at the base rate."""

SHORTCUT_REVISION = REVISION + 1
"""Of trainings with shortcuts; raised when networks that share all stages got one for all tasks at the base rate."""

CROP = (321, 321)
"""The training crop at profile ``paper`` (``util/img_encoder_mt.py``)."""


def dilation(size: tuple[int, int], stride: int) -> int:
    """LargeFOV's 12 at 321 pixels and stride 8, kept as the same share of the image."""
    return max(1, round(12 * min(size) / 321 * 8 / stride))


SCENE_TASKS = ("segmentation", "normals", "depth")
"""What a network of a scene table can learn; the paper has the first two."""


def scene_tasks(column: NDDRSceneColumn) -> tuple[Segmentation | Normals | Depth, ...]:
    """The tasks of a scene table; the loss is taken at the output's size only at profile ``paper``."""
    loss_at: Literal["image", "output"] = "output" if column.profile == "paper" else "image"
    tasks = (Segmentation(classes=column.classes, loss_at=loss_at), Normals(loss_at=loss_at), Depth(loss_at=loss_at))
    return tuple(task for task in tasks if task.name in column.tasks)


def asked(options: NDDROptions) -> tuple[str, ...]:
    """The tasks that the reader wants, in the order of :data:`SCENE_TASKS`.

    Raises:
        InputError: one is unknown, or there are fewer than two.
    """
    wanted = options.tasks or TASKS
    for name in wanted:
        if name not in SCENE_TASKS:
            raise unknown("task of this table", name, SCENE_TASKS)
    if len(set(wanted)) < 2:
        raise InputError(f"Networks that share take two tasks at least, of {', '.join(SCENE_TASKS)}; not {wanted[0]}.")
    return tuple(name for name in SCENE_TASKS if name in wanted)


class ShortcutColumn(NDDRSceneColumn):
    """A column of Table 6.

    Attributes:
        neck: what every task's head stands on.
    """

    neck: Shortcut.Settings = Shortcut.Settings()

    @property
    def plain(self) -> NDDRSceneColumn:
        """The column of the networks without shortcuts that fused networks start from."""
        return NDDRSceneColumn(**{name: value for name, value in self if name != "neck"})


def scene_column(table: str, given: NDDROptions) -> NDDRSceneColumn:
    """A reader's options as a column of a scene table."""
    options, budget = given.filled(table), BUDGETS[given.profile]
    settled = Settled.of(options)
    backbone, size = settled.backbone, settled.size
    strides = output_strides(backbone)
    stride = options.output_stride or min((s for s in strides if s >= budget.stride), default=max(strides))
    if stride not in strides:
        raise InputError(f"{backbone} can be built at output stride {', '.join(map(str, strides))}, not {stride}.")
    if stride != 8 and 8 in strides and has_fc_layers(backbone):
        stride = options.output_stride or 8  # the printed network is DeepLab-LargeFOV, at stride 8
    tasks = asked(options)
    data, train = scenes(options, size, budget.images, options.split, tasks)
    return NDDRSceneColumn(
        paper="nddr",
        table=table,
        profile=options.profile,
        data=data,
        train_images=len(train),
        backbone=backbone,
        weights=weights(settled.weights),
        output_stride=stride,
        head=scene_head(options.profile, size, stride),
        recipe=scene_recipe(options.profile, settled, settled.steps(len(train)), training_size(data)),
        epochs=settled.epochs,
        fused_epochs=options.fused_epochs,
        units_lr=options.units_lr,
        sluice_penalty=options.sluice_penalty,
        seeds=settled.seeds,
        classes=train.classes,
        tasks=tasks,
        objective=objective(options.objective, options.precision),
        scoring=SCORING if table == "4" else 1,
    )


def scene_head(profile: Profile, size: tuple[int, int], stride: int) -> LargeFOV.Settings:
    """The LargeFOV head as wide as the profile allows, with the batch norm that the authors' code has in it."""
    crop = CROP if profile == "paper" else size
    return LargeFOV.Settings(width=BUDGETS[profile].width, dilation=dilation(crop, stride), batch_norm=True)


def scene_recipe(profile: Profile, settled: Settled, steps: int, whole_size: tuple[int, int] | None = None) -> Recipe:
    """SGD with momentum 0.9, a polynomial schedule, ten and twenty times the rate for the classifiers.

    Args:
        profile: the budget.
        settled: batch size, rate and the like.
        steps: of a training.
        whole_size: what whole images are brought to before they are scaled; ``None``: they have it.
    """
    small = profile != "paper"
    return Recipe(
        steps=steps,
        batch_size=settled.batch_size,
        accumulate=settled.accumulate,
        lr=settled.lr,
        lr_mult={"classifier": 10.0, "classifier_bias": 20.0},
        augmentation=Augmentation(
            size=settled.size if small else CROP, scale_min=0.75 if small else 0.5, whole=whole_size
        ),
        # Networks of depthwise convolutions train a seventh to two fifths faster so, on a processor too.
        channels_last=profile != "smoke",
        precision=settled.precision,
    )


def scene_network(
    column: NDDRSceneColumn, tasks: tuple[AnyTask, ...], sharing: SharingSettings, start: Weights
) -> NetworkSettings:
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


def revision(column: NDDRSceneColumn) -> int:
    """Of the column's trainings."""
    return SHORTCUT_REVISION if isinstance(column, ShortcutColumn) else REVISION


def single(column: NDDRSceneColumn, task: AnyTask, seed: int, start: Training | None = None) -> Training:
    """One task alone; or trained on from an earlier such training."""
    weight = NORMALS_SINGLE / DECODED_LOSS if task.name == "normals" else 1.0
    return Training(
        network=scene_network(column, (task,), HardSharing.Settings(), Weights() if start else column.weights),
        data=column.data,
        recipe=column.recipe_after(start).model_copy(
            update={"weight_decay": DECAY_SINGLE, "loss_weights": {f"{task.name}/{task.terms[0]}": weight}}
        ),
        seed=seed,
        starts={task.name: start} if start else {},
        revision=revision(column),
    )


def joint(
    column: NDDRSceneColumn,
    sharing: SharingSettings,
    seed: int,
    starts: Mapping[str, Training],
    lr_mult: Mapping[str, float],
) -> Training:
    """All tasks in one network, with multipliers of its units' rate.

    Shortcuts of fused networks learn at a rate of their own, whatever the units' is.
    """
    shortcut = (
        {"shortcut": SHORTCUT_RATE}
        if isinstance(column, ShortcutColumn) and isinstance(sharing, SoftSharing.Settings)
        else {}
    )
    return Training(
        network=scene_network(
            column, scene_tasks(column), fitted(sharing, column), Weights() if starts else column.weights
        ),
        data=column.data,
        recipe=column.recipe_after(starts).model_copy(
            update={
                "weight_decay": DECAY_JOINT,
                "objective": column.objective,
                "lr_mult": rated(column, lr_mult) | shortcut,
                "loss_weights": {"normals/cosine": NORMALS_JOINT / DECODED_LOSS} if "normals" in column.tasks else {},
            }
        ),
        seed=seed,
        starts=dict(starts),
        revision=revision(column),
    )


def methods(column: NDDRSceneColumn, seed: int) -> Methods:
    """What the rows of a scene table are made of."""
    return Methods(
        scene_tasks(column),
        column.data,
        single=lambda task, start: single(column, task, seed, start),
        joint=lambda sharing, starts, mult: joint(column, sharing, seed, starts, mult),
        start=(lambda task: single(column.plain, task, seed)) if isinstance(column, ShortcutColumn) else None,
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


def scene_protocol(column: NDDRSceneColumn) -> list[tuple[str, str]]:
    """What differs between the paper's measurement and ours."""
    data, head = column.data, column.head
    assert isinstance(head, LargeFOV.Settings)
    return [
        *([] if column.tasks == TASKS else [("Tasks", ", ".join(column.tasks))]),
        ("Data", f"{data.name} ({data.fingerprint}), {column.train_images} training images"),
        ("Classes", f"{len(column.classes)}, averaged over those that occur in the test truth"),
        ("Resolution", resolution(column)),
        (
            "Network",
            f"{column.backbone}, stride {column.output_stride}, "
            f"LargeFOV head of {head.width} channels, dilation {head.dilation}{_placed(column)}",
        ),
        *_shortcut_line(column),
        ("Units", f"the same; one cross-stitch matrix a layer, {sluice_line(column)}, {nddr_line(column)}"),
        ("Start", column.start_line),
        ("Metric space of normals", "encoded beside the print; the true angle in columns of its own"),
        ("Pooling", "all pixels of the test set; threshold included"),
        ("Budget", budget_line(column)),
        ("Learning rate", rate_line(column)),
        CONTROLS_WITH_SHARED if column.table in FIVE else CONTROLS,
    ]


def printed_scene_column(table: str) -> NDDRSceneColumn:
    """The column of a scene table's printed networks, without data: for counting and for building."""
    settled = Settled.of(NDDROptions(profile="paper").filled(table))
    data = Data(layout="nyuv2", name="nyuv2", fingerprint="", size=settled.size)
    return NDDRSceneColumn(
        paper="nddr",
        table=table,
        profile="paper",
        data=data,
        train_images=795,
        backbone=settled.backbone,
        output_stride=8,
        head=scene_head("paper", data.size, 8),
        recipe=scene_recipe("paper", settled, 20_001),
        epochs=settled.epochs,
        seeds=(0,),
        classes=tuple(map(str, range(40))),
    )


def shortcut_column(options: NDDROptions) -> ShortcutColumn:
    """As of any scene table, with shortcuts."""
    return with_shortcuts(scene_column("6", options))


def with_shortcuts(column: NDDRSceneColumn) -> ShortcutColumn:
    """The column of Table 6 that is else as ``column``.

    A shortcut's map has the last stage's channels, as in ``nets/vgg_deeplab_nddr.py``, so that the heads of single-task
    networks without shortcuts fit behind it.
    """
    size = column.recipe.augmentation.size
    with aside():
        channels = staged(column.backbone, output_stride=column.output_stride, image_size=size).channels
    return ShortcutColumn(**dict(column), neck=Shortcut.Settings(width=channels[-1]))


def _placed(column: NDDRSceneColumn) -> str:
    """Where the cells of maps lie on the image, for the protocol card."""
    if not has_fc_layers(column.backbone):
        return "; maps enlarged bilinearly, their cells taken for tiles of the image"
    return "; maps enlarged from where their cells look" + (
        ", a cell at every eighth pixel, as the authors' resize has it" if column.output_stride == 8 else ""
    )


def _shortcut_line(column: NDDRSceneColumn) -> list[tuple[str, str]]:
    if not isinstance(column, ShortcutColumn):
        return []
    return [
        (
            "Shortcut",
            f"{column.neck.width} channels; single-task and multi-task networks: one, at the base rate; all fused "
            f"networks: one a task, at {SHORTCUT_RATE:g} times the base rate, new in networks that start from "
            "single-task networks without shortcuts, as in the control by the joint recipe",
        )
    ]


def _table(identifier: str, systems: dict[str, str]) -> Table:
    return Table(
        paper="nddr",
        id=identifier,
        measures=SCENE_MEASURES,
        single_task="single",
        trained_longer="single_longer",
        extras=SCENE_EXTRAS,
        columns=NDDRSceneColumn,
        column=lambda options: scene_column(identifier, options),
        rows=lambda column, seed: methods(column, seed).five(),
        ours=scene_protocol,
        meta_column=lambda: printed_scene_column(identifier),
        systems=systems,
    )


def with_tilted(column: NDDRSceneColumn, seed: int) -> list[Row]:
    """Table 4, with what an error of a known angle scores in the space of the print."""
    rows = methods(column, seed).five()
    for task in scene_tasks(column):
        if isinstance(task, Normals):
            value = Tilted(task=task, data=column.data, degrees=TILT, revision=column.scoring)
            what = f"every true normal turned by {TILT:g} degrees in a random direction"
            rows.insert(1, Row("tilted", f"Truth, tilted by {TILT:g}°", (value,), what, printed=False))
    return rows


TABLE4 = replace(
    _table(
        "4",
        {"S17": "nddr", "S18": "nddr", "S22": "single", "S23": "multi", "S24": "cross_stitch", "S25": "sluice"}
        | {"S29": "nddr"},
    ),
    rows=with_tilted,
)
TABLE5 = _table("5", {"S19": "nddr"})
TABLE6 = replace(
    _table("6", {"S20": "nddr"}),
    columns=ShortcutColumn,
    column=shortcut_column,
    meta_column=lambda: with_shortcuts(printed_scene_column("6")),
)
