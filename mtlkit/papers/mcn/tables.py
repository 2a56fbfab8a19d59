"""The declared tables; see the package for what they follow."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from mtlkit.backbones import family
from mtlkit.data import Coco, Data
from mtlkit.data.coco import COCO_JOINTS, COCO_SIGMAS
from mtlkit.data.sampling import objects_of
from mtlkit.data.transforms import CentredCrop
from mtlkit.errors import unknown
from mtlkit.evaluations import Constant, Speed, TestEvaluation
from mtlkit.heads import Branches, HeadSettings
from mtlkit.necks import Deconvolution, DLAUp, NeckSettings, Upsampling
from mtlkit.network import NetworkSettings
from mtlkit.papers.declaration import (
    FAULTY,
    PARTS,
    Column,
    Extra,
    Profile,
    Row,
    Settled,
    Table,
    TrainedColumn,
    on_error_of,
)
from mtlkit.papers.mcn.options import MCNOptions, NeckName
from mtlkit.papers.sources import source
from mtlkit.papers.weights import weights
from mtlkit.runs import Training
from mtlkit.runtime import Runtime, hardware, machine
from mtlkit.tasks import AnyTask, CenterDetection, Segmentation
from mtlkit.training import Recipe
from mtlkit.worlds import people

LOSS_WEIGHTS = {"detection/size": 0.1, "segmentation/cross_entropy": 5.0}
"""As printed: all other terms weigh 1."""

ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "only_seg": ("Only Seg", ("segmentation",)),
    "only_det": ("Only Det", ("detection",)),
    "seg_det": ("Seg + Det", ("segmentation", "detection")),
    "det_pose": ("Det + Pose", ("detection", "pose")),
    "seg_det_pose": ("Seg + Det + Pose", ("segmentation", "detection", "pose")),
}
"""Row of Table 2 -> its label, and what its network predicts."""


@dataclass(frozen=True)
class Budget:
    """What a profile stands for on Table 2, beside its options."""

    images: tuple[int, int]
    head_width: int | None  # None: the official code's for the backbone


BUDGETS: dict[Profile, Budget] = {
    "smoke": Budget((64, 24), 32),
    "lite": Budget((2000, 300), None),
    "paper": Budget((2000, 300), None),
}


class CenterColumn(TrainedColumn):
    """A column of Table 2.

    Attributes:
        data: one data set.
        train_images: how many images that is for training.
        empty_images: those of them that hold no object of the classes.
        skipped: what is wrong with an entry of the annotations -> entries left out for it.
        neck: between backbone and heads.
        head_width: channels inside every branch of the heads.
        classes: of the objects.
        joints: their names, none where the data has none.
        sigmas: of the joints.
        masks: whether the data has masks.
        crowds: what a crowd's box is in training; see :class:`mtlkit.tasks.CenterDetection`.
        as_official: see :class:`mtlkit.papers.mcn.options.MCNOptions`.
    """

    data: Data
    train_images: int
    empty_images: int | None = None
    skipped: dict[str, int] = {}
    neck: NeckSettings
    head_width: int
    classes: tuple[str, ...]
    joints: tuple[str, ...]
    sigmas: tuple[float, ...]
    masks: bool
    crowds: Literal["background", "object"] = "background"
    as_official: bool = False

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | {
            "classes": self.classes,
            "neck": neck_name(self.neck),
            "as_official": self.as_official,
            "on_error": on_error_of(self.data),
        }


class SpeedColumn(Column):
    """A column of Table 4 or Figure 7: no data is read, nothing is trained.

    Attributes:
        neck: between backbone and heads.
        head_width: channels inside every branch of the heads.
        enlarged: how many times the segmentation's map is enlarged by the network.
        hardware: the machine that is timed.
    """

    neck: NeckSettings
    head_width: int
    enlarged: int
    hardware: str

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | {"neck": neck_name(self.neck)}


def neck_of(backbone: str, name: NeckName | None) -> NeckSettings:
    """A neck by its name, or the one that goes with the backbone."""
    match name or family(backbone).centernet_neck:
        case "dla_up":
            return DLAUp.Settings()
        case "deconvolution":
            return Deconvolution.Settings()
        case "deformable_deconvolution":
            return Deconvolution.Settings(widths=(256, 128, 64), deformable=True)
        case "upsampling":
            return Upsampling.Settings()
    raise unknown("neck", name or "", get_args(NeckName))


def neck_name(neck: NeckSettings) -> NeckName:
    """The name by which :func:`neck_of` gives such a neck."""
    match neck:
        case DLAUp.Settings():
            return "dla_up"
        case Deconvolution.Settings():
            return "deformable_deconvolution" if neck.deformable else "deconvolution"
        case _:
            return "upsampling"


def center_column(given: MCNOptions) -> CenterColumn:
    """A reader's options as a column of Table 2."""
    options, budget = given.filled("2"), BUDGETS[given.profile]
    settled, faulty = Settled.of(options), FAULTY[options.on_error]
    backbone = settled.backbone
    found = source(options, people, ("coco",), images=budget.images)
    read = partial(Coco, found.root, faulty=faulty)
    every = read("train")
    keep = options.classes or (("person",) if "person" in every.classes else every.classes)
    wanted = ("detection", *(task for task in ("pose", "segmentation") if every.offers(task)))
    train, val = (read(split, wanted, keep) for split in ("train", "val"))
    data = found.data((train, val), size=settled.size, keep=keep, faulty=faulty, part=PARTS[options.split])
    used = train if options.split == "test" else data.split("train", wanted)
    return CenterColumn(
        paper="mcn",
        table="2",
        profile=options.profile,
        data=data,
        train_images=len(used),
        empty_images=objects_of(used).count(0),
        skipped=Counter(train.skipped) + Counter(val.skipped),
        backbone=backbone,
        weights=weights(settled.weights),
        neck=neck_of(backbone, options.neck),
        head_width=budget.head_width or family(backbone).centernet_width,
        recipe=center_recipe(settled, settled.steps(len(used))),
        epochs=settled.epochs,
        seeds=settled.seeds,
        classes=keep,
        joints=train.joints,
        sigmas=train.sigmas,
        masks="segmentation" in wanted,
        crowds="object",
        as_official=options.as_official,
    )


def center_recipe(settled: Settled, steps: int) -> Recipe:
    """Adam without decay, a tenth of the rate after 90 and 120 of 140 epochs; crops of random size
    and centre, mirrors and colours."""
    return Recipe(
        steps=steps,
        batch_size=settled.batch_size,
        accumulate=settled.accumulate,
        optimizer="adam",
        lr=settled.lr,
        schedule="step",
        milestones=(90 / 140, 120 / 140),
        loss_weights=LOSS_WEIGHTS,
        augmentation=CentredCrop(size=settled.size),
        precision=settled.precision,
    )


def center_tasks(column: CenterColumn, predicted: tuple[str, ...]) -> tuple[AnyTask, ...]:
    """The tasks of a row's network; a pose comes with the boxes."""
    tasks: list[AnyTask] = []
    if "detection" in predicted:
        posed = "pose" in predicted
        tasks.append(
            CenterDetection(
                classes=column.classes,
                joints=column.joints if posed else (),
                sigmas=column.sigmas if posed else (),
                crowds=column.crowds,
                as_official=column.as_official,
            )
        )
    if "segmentation" in predicted:
        tasks.append(Segmentation(classes=("background", *column.classes)))
    return tuple(tasks)


def center_network(
    column: CenterColumn | SpeedColumn, tasks: tuple[AnyTask, ...], size: tuple[int, int], enlarged: int = 1
) -> NetworkSettings:
    """One backbone, one neck, a branch for every map; the segmentation's map ``enlarged`` times by the network."""
    plain = Branches.Settings(width=column.head_width)
    heads: dict[str, HeadSettings] = {
        task.name: plain.model_copy(update={"maps": task.maps, "heat_maps": task.heat_maps})
        for task in tasks
        if isinstance(task, CenterDetection)
    }
    return NetworkSettings(
        backbone=column.backbone,
        weights=column.weights,
        tasks=tasks,
        neck=column.neck,
        head=plain.model_copy(update={"upsample": enlarged}),
        heads=heads,
        image_size=size,
    )


def center_rows(column: CenterColumn, seed: int) -> list[Row]:
    """Table 2, as far as the data has masks and joints, and the constant predictor."""
    there = {"detection"} | ({"segmentation"} if column.masks else set()) | ({"pose"} if column.joints else set())
    rows = [
        Row(
            "constant",
            "Constant",
            tuple(Constant(tasks=(task,), data=column.data) for task in center_tasks(column, tuple(sorted(there)))),
            "each class's mean object in every image; background everywhere",
            printed=False,
        )
    ]
    for name, (label, predicted) in ROWS.items():
        if there.issuperset(predicted):
            network = center_network(column, center_tasks(column, predicted), column.data.size)
            training = Training(network=network, data=column.data, recipe=column.recipe, seed=seed)
            what = f"one backbone, heads for {', '.join(predicted)}"
            rows.append(Row(name, label, (TestEvaluation(subject=training, data=column.data),), what))
    return rows


MEASURES = {"seg_iou": "segmentation/iou/person", "det_ap": "detection/ap", "pose_map": "detection/pose_ap"}

EXTRAS = (
    Extra("segmentation/miou", "mean IoU", "Segmentation", "%", "higher"),
    Extra("detection/ap50", "AP at 0.5", "Detection", "%", "higher"),
    Extra("detection/pose_ap50", "AP at 0.5", "Pose", "%", "higher"),
)


CROWDS = {"object": "in training the box of one object, in scoring neither right nor wrong",
          "background": "in training background, in scoring neither right nor wrong"}  # fmt: skip


def center_protocol(column: CenterColumn) -> list[tuple[str, str]]:
    """What differs between the paper's measurement and ours."""
    recipe, data = column.recipe, column.data
    height, width = data.size
    skipped = ", ".join(f"{count} ({reason})" for reason, count in column.skipped.items()) or "none"
    lacking = [name for name, there in (("masks", column.masks), ("joints", column.joints)) if not there]
    return [
        ("Data", f"{data.name} ({data.fingerprint}), {column.train_images} training images"),
        ("Classes", ", ".join(column.classes)),
        ("Not in the data", f"{' and '.join(lacking)}: the rows that need them are left out" if lacking else "–"),
        ("Entries left out", skipped),
        ("Resolution", f"fitted into {height}x{width}"),
        ("Network", f"{column.backbone}, {neck_name(column.neck)}"),
        ("Heads", f"a 3x3 convolution of {column.head_width} and a 1x1 a map, as CenterNet"),
        (
            "Loss",
            "the same, and the joints' displacements from the centre, which CenterNet has and the print lacks"
            + ("; with the official code's radius and half weights" if column.as_official else ""),
        ),
        ("Crowds", CROWDS[column.crowds]),
        (
            "Images without an object",
            "kept, so that all rows train on the same images"
            + ("" if column.empty_images is None else f": {column.empty_images} of {column.train_images}"),
        ),
        (
            "Augmentation",
            "crops of 0.6 to 1.3 longer sides around a random centre, mirrors, colours by up to 40 %; grey outside of "
            "the image",
        ),
        (
            "Budget",
            f"{recipe.steps} steps of {recipe.images_a_step}, Adam at {recipe.lr:g}, a tenth after 64 % and 86 %",
        ),
        ("Test-time augmentation", "none"),
    ]


def printed_center_column() -> CenterColumn:
    """The column of the printed networks, without data: for counting and for building."""
    settled = Settled.of(MCNOptions(profile="paper").filled("2"))
    return CenterColumn(
        paper="mcn",
        table="2",
        profile="paper",
        data=Data(layout="coco", name="coco", fingerprint="", size=settled.size, keep=("person",)),
        train_images=118_287,
        backbone=settled.backbone,
        neck=neck_of(settled.backbone, None),
        head_width=family(settled.backbone).centernet_width,
        recipe=center_recipe(settled, settled.steps(118_287)),
        epochs=settled.epochs,
        seeds=(0,),
        classes=("person",),
        joints=COCO_JOINTS,
        sigmas=COCO_SIGMAS,
        masks=True,
        crowds="object",
    )


@dataclass(frozen=True)
class SpeedBudget:
    """What a profile stands for on the tables of speed, beside their options."""

    head_width: int | None
    rounds: int


SPEED_BUDGETS: dict[Profile, SpeedBudget] = {
    "smoke": SpeedBudget(32, 15),
    "lite": SpeedBudget(None, 30),
    "paper": SpeedBudget(None, 200),
}


def speed_column(table: str, enlarged: int, given: MCNOptions) -> SpeedColumn:
    """A reader's options as a column of a table of speed, which reads no data."""
    options, budget = given.filled(table), SPEED_BUDGETS[given.profile]
    backbone, size = options.backbone or "", options.image_size or (0, 0)
    return SpeedColumn(
        paper="mcn",
        table=table,
        profile=options.profile,
        data=Data(layout="coco", name="one image of noise", fingerprint="", size=size),
        backbone=backbone,
        neck=neck_of(backbone, options.neck),
        head_width=budget.head_width or family(backbone).centernet_width,
        enlarged=enlarged,
        hardware=machine(hardware(Runtime(options.device).fabric().device)),
    )


def speed_rows(column: SpeedColumn, composites: dict[str, tuple[str, ...]], labels: dict[str, str]) -> list[Row]:
    """Rows of networks that are timed one after the other, each beside the network of all three tasks."""
    person = ("person",)
    detection = CenterDetection(classes=person)
    pose = CenterDetection(classes=person, joints=COCO_JOINTS, sigmas=COCO_SIGMAS)
    segmentation = Segmentation(classes=("background", *person))
    tasks: dict[str, tuple[AnyTask, ...]] = {
        "only_seg": (segmentation,),
        "only_det": (detection,),
        "det_pose": (pose,),
        "seg_det": (segmentation, detection),
        "seg_det_pose": (segmentation, pose),
    }
    built = {name: center_network(column, some, column.data.size, column.enlarged) for name, some in tasks.items()}
    rounds = SPEED_BUDGETS[column.profile].rounds
    return [
        Row(
            name,
            labels[name],
            (
                Speed(
                    networks=tuple(built[each] for each in parts),
                    reference=(built["seg_det_pose"],),
                    size=column.data.size,
                    rounds=rounds,
                    hardware=column.hardware,
                ),
            ),
            "one after the other: " + ", ".join(parts) if len(parts) > 1 else "one network",
        )
        for name, parts in composites.items()
    ]


def table4_rows(column: SpeedColumn, seed: int) -> list[Row]:
    """Table 4; of the third network of three the print has no row, and a pose never runs without boxes (Sect. 4)."""
    composites: dict[str, tuple[str, ...]] = {
        name: (name,) for name in ("only_seg", "only_det", "det_pose", "seg_det", "seg_det_pose")
    }
    composites |= {"stn_two": ("only_seg", "only_det"), "stn_three": ("only_seg", "only_det", "det_pose")}
    labels = {name: label for name, (label, _) in ROWS.items()}
    labels |= {"stn_two": "Two networks: Seg, Det", "stn_three": "Three networks: Seg, Det, Det + Pose"}
    return speed_rows(column, composites, labels)


def figure7_rows(column: SpeedColumn, seed: int) -> list[Row]:
    """Figure 7: the composite of three networks and the network of three tasks."""
    composites: dict[str, tuple[str, ...]] = {
        "composite_stn": ("only_seg", "only_det", "det_pose"),
        "triple_mcn": ("seg_det_pose",),
    }
    return speed_rows(column, composites, {"composite_stn": "Three networks", "triple_mcn": "One network"})


SPEED_MEASURES = {"ms": "speed/ms", "fps": "speed/fps", "params": "speed/parameters"}

SPEED_EXTRAS = (
    Extra("speed/decoded_ms", "with decoding, ms", "Inference", "ms", "lower"),
    Extra("speed/ratio", "times the network of three tasks", "Inference", "x", "lower"),
)


def speed_protocol(column: SpeedColumn) -> list[tuple[str, str]]:
    """What differs between the paper's measurement and ours."""
    rounds, (height, width) = SPEED_BUDGETS[column.profile].rounds, column.data.size
    return [
        ("Machine", "see below"),
        ("Image", f"{height}x{width}, one at a time"),
        ("Network", f"{column.backbone}, {neck_name(column.neck)}, branches of {column.head_width}"),
        ("Timed", f"the median of {rounds} forward passes after a warm-up, device waited for; with decoding beside it"),
        ("Pose alone", "boxes and joints, as the text says a pose is always run"),
        ("Ratio", "median over rounds in which both were timed in turns"),
    ]


def printed_speed_column(table: str, enlarged: int) -> SpeedColumn:
    """The column of the printed networks."""
    return speed_column(table, enlarged, MCNOptions(profile="paper"))


TABLES = (
    Table(
        paper="mcn",
        id="2",
        measures=MEASURES,
        columns=CenterColumn,
        column=center_column,
        rows=center_rows,
        ours=center_protocol,
        meta_column=printed_center_column,
        extras=EXTRAS,
        systems={
            "S48": "only_det",
            "S49": "seg_det",
            "S50": "det_pose",
            "S51": "seg_det_pose",
            "S53": "seg_det_pose",
            "S54": "only_det",
            "S55": "det_pose",
            "S56": "only_seg",
            "S57": "seg_det_pose",
        },
    ),
    Table(
        paper="mcn",
        id="4",
        measures=SPEED_MEASURES,
        columns=SpeedColumn,
        column=partial(speed_column, "4", 4),
        rows=table4_rows,
        ours=speed_protocol,
        meta_column=partial(printed_speed_column, "4", 4),
        extras=SPEED_EXTRAS,
        systems={"S60": "stn_three"},
    ),
    Table(
        paper="mcn",
        id="F7",
        measures=SPEED_MEASURES,
        columns=SpeedColumn,
        column=partial(speed_column, "F7", 1),
        rows=figure7_rows,
        ours=speed_protocol,
        meta_column=partial(printed_speed_column, "F7", 1),
        extras=SPEED_EXTRAS,
    ),
)
