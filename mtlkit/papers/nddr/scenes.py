"""NDDR-CNN (Gao et al., CVPR 2019): the declaration of its tables.

What print leaves open follows the authors' code (ethanygao/NDDR-CNN) at profile ``paper``; the smaller profiles
keep its optimiser, multipliers and weight decays and shrink images, head and length.
"""

from dataclasses import dataclass
from typing import Literal

from mtlkit.backbones import output_strides
from mtlkit.data import Data
from mtlkit.data.transforms import Augmentation
from mtlkit.errors import InputError
from mtlkit.fusion import CrossStitchSettings, NDDRSettings, SluiceSettings
from mtlkit.heads import LargeFOV
from mtlkit.network import NetworkSettings, Weights
from mtlkit.papers.declaration import Extra, Profile, Row, Table
from mtlkit.papers.scenes import SceneChoices, SceneColumn, scenes
from mtlkit.papers.weights import weights
from mtlkit.runs import Constant, Standard, Training
from mtlkit.tasks import AnyTask, Normals, Segmentation
from mtlkit.training import Recipe
from mtlkit.trunks import Fused, Shared, Sharing

DECAY_SINGLE, DECAY_JOINT = 5e-4, 2.5e-4
"""Weight decay of networks with one task and with two (``train_single_task.py``, ``train_multiple_tasks.py``)."""

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
    "smoke": Budget("mobilenetv3_small_050", "rooms", (64, 32), (64, 80), "none", 128, 5, 8, 1e-2, 16, (0,)),
    "lite": Budget(None, "rooms", (800, 200), (120, 160), "timm", 256, 60, 8, 1e-3, 8, (0, 1, 2)),
    # 20,001 steps of 10 images are 251.6 passes over the 795 training frames.
    "paper": Budget(None, "nyuv2", (795, 654), (480, 640), "timm", 1024, 251.6, 10, 1e-3, 8, (0, 1, 2)),
}
SMOKE_EPOCHS_NAMED = 2
"""Epochs at ``smoke`` for a backbone that the reader names: it may be fifty times the default's size, and a first look
should stay within ten minutes on two cores."""

CROP = (321, 321)
"""The training crop at profile ``paper`` (``util/img_encoder_mt.py``)."""

BATCH_NORM = {"vgg16": "vgg16_bn"}
"""At profile ``paper`` a VGG-16 carries batch norm after every convolution, as the authors' does."""


def dilation(size: tuple[int, int], stride: int) -> int:
    """LargeFOV's 12 at 321 pixels and stride 8, kept as the same share of the picture."""
    return max(1, round(12 * min(size) / 321 * 8 / stride))


def scene_tasks(column: SceneColumn) -> tuple[Segmentation, Normals]:
    """The two tasks of the scene tables; the loss is taken at the output's size only at profile ``paper``."""
    loss_at: Literal["image", "output"] = "output" if column.profile == "paper" else "image"
    return Segmentation(classes=column.classes, loss_at=loss_at), Normals(loss_at=loss_at)


def scene_column(table: str, own_backbone: str, choices: SceneChoices) -> SceneColumn:
    """Choices and the profile's budget as a column of a scene table."""
    budget = BUDGETS[choices.profile]
    backbone = choices.backbone or budget.backbone or own_backbone
    if choices.profile == "paper" and choices.backbone is None:
        backbone = BATCH_NORM.get(backbone, backbone)
    strides = output_strides(backbone)
    stride = choices.output_stride or min((s for s in strides if s >= budget.stride), default=max(strides))
    if stride not in strides:
        raise InputError(f"{backbone} can be built at output stride {', '.join(map(str, strides))}, not {stride}.")
    if stride != 8 and 8 in strides and own_backbone.startswith("vgg") and backbone.startswith("vgg"):
        stride = choices.output_stride or 8  # the printed network is DeepLab-LargeFOV, at stride 8
    size = choices.image_size or budget.size
    data, train = scenes(choices, budget.dataset, size, budget.images)
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
        seeds=choices.seeds or budget.seeds,
        classes=train.classes,
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
        classifier_lr=(10.0, 20.0),
        augmentation=Augmentation(size=size if small else CROP, scale_min=0.75 if small else 0.5),
    )


def scene_network(column: SceneColumn, tasks: tuple[AnyTask, ...], sharing: Sharing, start: Weights) -> NetworkSettings:
    """A network of a scene table."""
    return NetworkSettings(
        backbone=column.backbone,
        weights=start,
        output_stride=column.output_stride,
        tasks=tasks,
        sharing=sharing,
        head=column.head,
        image_size=column.recipe.augmentation.size,
    )


def single(column: SceneColumn, task: Segmentation | Normals, seed: int, start: Training | None = None) -> Training:
    """One task alone; or trained on from an earlier such training."""
    weight = 1.0 if task.name == "segmentation" else NORMALS_SINGLE / DECODED_LOSS
    return Training(
        network=scene_network(column, (task,), Shared(), Weights() if start else column.weights),
        data=column.data,
        recipe=column.recipe.model_copy(
            update={"weight_decay": DECAY_SINGLE, "loss_weights": {f"{task.name}/{task.terms[0]}": weight}}
        ),
        seed=seed,
        starts={task.name: start} if start else {},
    )


def joint(column: SceneColumn, sharing: Sharing, seed: int, starts: dict[str, Training]) -> Training:
    """Both tasks in one network."""
    segmentation, normals = scene_tasks(column)
    return Training(
        network=scene_network(column, (segmentation, normals), sharing, Weights() if starts else column.weights),
        data=column.data,
        recipe=column.recipe.model_copy(
            update={
                "weight_decay": DECAY_JOINT,
                "loss_weights": {"normals/cosine": NORMALS_JOINT / DECODED_LOSS},
            }
        ),
        seed=seed,
        starts=starts,
    )


def five_methods(column: SceneColumn, seed: int) -> list[Row]:
    """The rows of Tables 4 to 6, with the two rows an honest reader would miss."""
    tasks, data = scene_tasks(column), column.data
    alone = {task.name: single(column, task, seed) for task in tasks}
    longer = [single(column, task, seed, start=alone[task.name]) for task in tasks]
    fused: dict[str, CrossStitchSettings | SluiceSettings | NDDRSettings] = {
        "cross_stitch": CrossStitchSettings(per="layer", alpha=0.9, beta=0.1, lr_scale=1000),
        "sluice": SluiceSettings(subspaces=2, alpha=0.9, beta=0.1, lr_scale=1000),
        "nddr": NDDRSettings(norm="output", init="diagonal", alpha=0.9, beta=0.1, lr_scale=100),
    }
    labels = {"cross_stitch": "Cross-stitch", "sluice": "Sluice", "nddr": "NDDR (theirs)"}
    what = {
        "cross_stitch": "a tower a task, four scalars after every stage",
        "sluice": "a tower a task in two subspaces, sixteen scalars after every stage",
        "nddr": "a tower a task, a 1x1 convolution over both towers' channels after every stage",
    }

    def scored(training: Training) -> Standard:
        return Standard(subject=training, data=data)

    return [
        Row("constant", "Constant", (Constant(tasks=tasks, data=data),), "never looks at the image", printed=False),
        Row("single", "Single task", tuple(map(scored, alone.values())), "one network a task"),
        Row(
            "single_longer",
            "Single task, trained on",
            tuple(map(scored, longer)),
            "as many images seen as the fused rows",
            printed=False,
        ),
        Row("multi", "Multi-task", (scored(joint(column, Shared(), seed, {})),), "one trunk, two heads"),
        *(
            Row(key, labels[key], (scored(joint(column, Fused(unit=unit), seed, alone)),), what[key])
            for key, unit in fused.items()
        ),
    ]


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
)


def scene_protocol(column: SceneColumn) -> list[tuple[str, str, str]]:
    """What differs between the paper's measurement and ours."""
    recipe, data = column.recipe, column.data
    head = column.head
    assert isinstance(head, LargeFOV.Settings)
    return [
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
            "DeepLab VGG-16, stride 8",
            f"{column.backbone}, stride {column.output_stride}, "
            f"LargeFOV head of {head.width} channels, dilation {head.dilation}",
        ),
        (
            "Start",
            "unstated (Sect. 4.3: VOC or single-task weights)",
            {"none": "random", "timm": "ImageNet (timm)", "file": f"ImageNet (file {column.weights.sha256[:12]})"}[
                column.weights.source
            ],
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
            f"{recipe.steps} steps of {recipe.batch_size}; fused rows start from single-task networks trained as long",
        ),
        ("Learning rate", "0.001, poly 0.9 (authors' code)", f"{recipe.lr:g}, poly {recipe.power:g}"),
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


TABLES = (
    Table(
        paper="nddr",
        id="4",
        measures=SCENE_MEASURES,
        extras=SCENE_EXTRAS,
        choices=SceneChoices,
        columns=SceneColumn,
        column=lambda choices: scene_column("4", "vgg16", choices),
        rows=five_methods,
        protocol=scene_protocol,
        meta_column=lambda: printed_scene_column("4", "vgg16_bn"),
        systems={"S17": "nddr", "S18": "nddr", "S22": "single", "S23": "multi", "S24": "cross_stitch", "S25": "sluice"},
    ),
)
