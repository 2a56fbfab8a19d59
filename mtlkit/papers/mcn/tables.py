"""The declared tables; see the package for what they follow."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from mtlkit.backbones import family
from mtlkit.data import Coco, Data, DataSet
from mtlkit.data.coco import COCO_CLASSES, COCO_JOINTS, COCO_SIGMAS
from mtlkit.data.sampling import objects_of
from mtlkit.data.transforms import CentredCrop
from mtlkit.errors import InputError, unknown
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
from mtlkit.papers.mcn.class_subset import OF_ALL, ClassSubset
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

PAIR = ("only_seg", "only_det", "seg_det")
"""The rows of Tables 1 and 3."""

EVERY_CLASS = ("1", "X1")
"""Tables whose networks are about all classes of the data, unless the reader names some."""

READS: dict[str, tuple[str, ...]] = {
    "1": ("detection", "segmentation"),
    "2": ("detection", "pose", "segmentation"),
    "3": ("detection", "segmentation"),
    "X1": ("detection", "pose", "segmentation"),
}
"""Table -> what its networks learn, as far as the data has it."""


@dataclass(frozen=True)
class Budget:
    """What a profile stands for on the tables of quality, beside its options."""

    images: tuple[int, int]
    head_width: int | None  # None: the official code's for the backbone


BUDGETS: dict[Profile, Budget] = {
    "smoke": Budget((64, 24), 32),
    "lite": Budget((2000, 500), None),
    "paper": Budget((2000, 500), None),
}


POSES = 2
"""Of trainings with joints; raised when labelled joints moved to the middle of their pixel, where a mirror leaves them.
Until 1, a mirrored joint lay a pixel beside the unmirrored one."""


class CenterColumn(TrainedColumn):
    """A column of Table 1, 2, 3 or X1.

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
        poses: revision of trainings with joints; columns that were stored keep theirs.
        masks: whether the data has masks.
        crowds: what a crowd's box is in training; see :class:`mtlkit.tasks.CenterDetection`.
        as_official: see :class:`mtlkit.papers.mcn.options.MCNOptions`.
        every: all classes of the data, where a table's networks are about them.
        flip_test, original_resolution: see :class:`mtlkit.papers.mcn.options.MCNOptions`.
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
    poses: int = 1
    masks: bool
    crowds: Literal["background", "object"] = "background"
    as_official: bool = False
    every: tuple[str, ...] = ()
    flip_test: bool = False
    original_resolution: bool = False

    @property
    def scoring(self) -> dict[str, bool]:
        """How trained networks are scored."""
        return {"mirrored": self.flip_test, "native": self.original_resolution}

    @property
    def of_all(self) -> "CenterColumn":
        """The column of networks that are about all classes of the same data."""
        data = self.data.model_copy(update={"keep": self.every})
        return self.model_copy(update={"data": data, "classes": self.every})

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        default = self.table in EVERY_CLASS and self.classes == self.every
        return super().decided() | {
            "classes": None if default else self.classes,
            "neck": neck_name(self.neck),
            "as_official": self.as_official,
            "flip_test": self.flip_test,
            "original_resolution": self.original_resolution,
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

    @property
    def machine(self) -> str:
        """The machine that is timed."""
        return self.hardware

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | {"neck": neck_name(self.neck)}


def neck_of(backbone: str, name: NeckName | None) -> NeckSettings:
    """A neck by its name, or the one that goes with the backbone."""
    match name or family(backbone).default_neck:
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
    """The name by which :func:`neck_of` gives such a neck.

    Raises:
        InputError: It gives none.
    """
    match neck:
        case DLAUp.Settings():
            return "dla_up"
        case Deconvolution.Settings():
            return "deformable_deconvolution" if neck.deformable else "deconvolution"
        case Upsampling.Settings():
            return "upsampling"
    raise InputError(f"The options of these tables name no neck {neck.kind}.")


def center_column(table: str, given: MCNOptions) -> CenterColumn:
    """A reader's options as a column of a table of quality."""
    options, budget = given.filled(table), BUDGETS[given.profile]
    settled, faulty = Settled.of(options), FAULTY[options.on_error]
    backbone = settled.backbone
    found = source(options, people, ("coco",), images=budget.images)
    read = partial(Coco, found.root, faulty=faulty)
    every = read("train")
    persons = "person" in every.classes and table not in EVERY_CLASS
    keep = options.classes or (("person",) if persons else every.classes)
    wanted = tuple(task for task in READS[table] if every.offers(task))
    train, val = (read(split, wanted, keep) for split in ("train", "val"))
    data = found.data((train, val), size=settled.size, keep=keep, faulty=faulty, part=PARTS[options.split])
    used, tested = (train, val) if options.split == "test" else (data.split(part, wanted) for part in ("train", "val"))
    check_objects(data, keep, {"train on": used, "score": tested})
    return CenterColumn(
        paper="mcn",
        table=table,
        profile=options.profile,
        data=data,
        train_images=len(used),
        empty_images=objects_of(used).count(0),
        skipped=Counter(train.skipped) + Counter(val.skipped),
        backbone=backbone,
        weights=weights(settled.weights),
        neck=neck_of(backbone, options.neck),
        head_width=budget.head_width or family(backbone).default_head_width,
        recipe=center_recipe(settled, settled.steps(len(used))),
        epochs=settled.epochs,
        seeds=settled.seeds,
        classes=keep,
        joints=train.joints,
        sigmas=train.sigmas,
        poses=POSES if train.joints else 1,
        masks="segmentation" in wanted,
        crowds="object",
        as_official=options.as_official,
        every=() if table == "2" else every.classes,
        flip_test=options.flip_test,
        original_resolution=options.original_resolution,
    )


def check_objects(data: Data, classes: tuple[str, ...], uses: dict[str, DataSet]) -> None:
    """Refuses images without any object: a network would learn from them, or be scored by, background alone.

    Args:
        data: the data set.
        classes: of the objects.
        uses: what is done with images of it -> the images.

    Raises:
        InputError: those for one use hold none.
    """
    some = ", ".join(classes[:5]) + ", ..." * (len(classes) > 5)
    for use, images in uses.items():
        if not any(objects_of(images)):
            raise InputError(
                f"The {len(images)} images of {data.name} to {use} hold no object of {some}; annotate some, or give "
                "classes that both splits have objects of."
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


def center_training(column: CenterColumn, predicted: tuple[str, ...], seed: int) -> Training:
    """The training of a network that predicts this."""
    network = center_network(column, center_tasks(column, predicted), column.data.size)
    revision = column.poses if "pose" in predicted else 1
    return Training(network=network, data=column.data, recipe=column.recipe, seed=seed, revision=revision)


def there(column: CenterColumn) -> set[str]:
    """What the data has labels of."""
    return {"detection"} | ({"segmentation"} if column.masks else set()) | ({"pose"} if column.joints else set())


def constant_row(column: CenterColumn) -> Row:
    """The constant predictor of all that the data has labels of."""
    tasks = center_tasks(column, tuple(sorted(there(column))))
    return Row(
        "constant",
        "Constant",
        tuple(Constant(tasks=(task,), data=column.data) for task in tasks),
        "each class's mean object in every image; background everywhere",
        printed=False,
    )


def network_row(column: CenterColumn, seed: int, name: str, label: str, predicted: tuple[str, ...]) -> Row:
    """A trained network, scored on its own classes."""
    training = center_training(column, predicted, seed)
    what = f"one backbone, heads for {', '.join(predicted)}"
    return Row(name, label, (TestEvaluation(subject=training, data=column.data, **column.scoring),), what)


def center_rows(column: CenterColumn, seed: int) -> list[Row]:
    """Tables 1 and 2, as far as the data has masks and joints, and the constant predictor."""
    names = ROWS if column.table == "2" else PAIR
    rows = [network_row(column, seed, name, *ROWS[name]) for name in names if there(column).issuperset(ROWS[name][1])]
    return [constant_row(column), *rows]


def person_rows(column: CenterColumn, seed: int) -> list[Row]:
    """Table 3: the networks of Table 1, scored on the classes of those of Table 2, and these; it trains no other."""
    rows = [constant_row(column)]
    for name in PAIR:
        label, predicted = ROWS[name]
        if there(column).issuperset(predicted):
            several, single = (center_training(one, predicted, seed) for one in (column.of_all, column))
            values = (
                ClassSubset(subject=several, data=column.data, classes=column.classes, **column.scoring),
                TestEvaluation(subject=single, data=column.data, **column.scoring),
            )
            what = f"heads for {', '.join(predicted)}: a network of all classes, and one of {', '.join(column.classes)}"
            rows.append(Row(name, label, values, what))
    return rows


def mixed_rows(column: CenterColumn, seed: int) -> list[Row]:
    """X1: boxes and masks of all classes and the poses of those that have joints, where the data has them."""
    predicted = ROWS["seg_det_pose"][1]
    found = there(column).issuperset(predicted)
    return [constant_row(column), *([network_row(column, seed, "mixed", "Mixed", predicted)] if found else [])]


MEASURES = {"seg_iou": "segmentation/iou/person", "det_ap": "detection/ap", "pose_map": "detection/pose_ap"}

EXTRAS = (
    Extra("segmentation/miou", "mean IoU", "Segmentation", "%", "higher"),
    Extra("detection/ap50", "AP at 0.5", "Detection", "%", "higher"),
    Extra("detection/pose_ap50", "AP at 0.5", "Pose", "%", "higher"),
)

EVERY_MEASURES = {"seg_miou": "segmentation/miou", "det_map": "detection/ap", "pose_map": "detection/pose_ap"}

EVERY_EXTRAS = (
    Extra("segmentation/foreground_miou", "mean IoU without background", "Segmentation", "%", "higher"),
    Extra("detection/ap50", "AP at 0.5", "Detection", "%", "higher"),
    Extra("detection/pose_ap50", "AP at 0.5", "Pose", "%", "higher", optional=True),
)
"""Of Tables 1 and X1, whose print does not say whether its mean counts the background."""

PERSON_MEASURES = {
    "seg_iou_multi": f"segmentation/{OF_ALL}/iou/person",
    "seg_iou_single": "segmentation/iou/person",
    "det_ap_multi": f"detection/{OF_ALL}/ap",
    "det_ap_single": "detection/ap",
}

PERSON_EXTRAS = (
    Extra(f"segmentation/{OF_ALL}/miou", "mean IoU, multi-class", "Segmentation", "%", "higher"),
    Extra("segmentation/miou", "mean IoU, single-class", "Segmentation", "%", "higher"),
    Extra(f"detection/{OF_ALL}/ap50", "AP at 0.5, multi-class", "Detection", "%", "higher"),
    Extra("detection/ap50", "AP at 0.5, single-class", "Detection", "%", "higher"),
)


CROWDS = {"object": "in training the box of one object, in scoring neither right nor wrong",
          "background": "in training background, in scoring neither right nor wrong"}  # fmt: skip


def center_protocol(column: CenterColumn) -> list[tuple[str, str]]:
    """What differs between the paper's measurement and ours."""
    recipe, data = column.recipe, column.data
    height, width = data.size
    skipped = ", ".join(f"{count} ({reason})" for reason, count in column.skipped.items()) or "none"
    wanted = {"segmentation": "masks", "pose": "joints"}
    lacking = [name for task, name in wanted.items() if task in READS[column.table] and task not in there(column)]
    return [
        ("Data", f"{data.name} ({data.fingerprint}), {column.train_images} training images"),
        ("Classes", ", ".join(column.classes)),
        *extra_lines(column),
        ("Not in the data", f"{' and '.join(lacking)}: the rows that need them are left out" if lacking else "–"),
        ("Entries left out", skipped),
        (
            "Resolution",
            f"fitted into {height}x{width}" + ("; scored at the images' own" if column.original_resolution else ""),
        ),
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
        ("Test-time augmentation", "mirror images, outputs averaged" if column.flip_test else "none"),
    ]


def extra_lines(column: CenterColumn) -> list[tuple[str, str]]:
    """What the cards of Tables 1, 3 and X1 say beside those of Table 2."""
    if column.table == "2":
        return []
    if column.table == "3":
        truth = "the same images and truths for both; of all classes' detections, those of the class"
        return [("Trained", "nothing: the networks of Tables 1 and 2"), ("Scored", truth)]
    lines = [("Mean IoU", "over the classes that occur, with the background and, beside it, without")]
    if column.table == "X1":
        lines.append(("Poses", "of classes with joints; other objects add nothing to the joints' losses"))
    return lines


def printed_center_column(table: str) -> CenterColumn:
    """The column of the printed networks, without data: for counting and for building."""
    settled = Settled.of(MCNOptions(profile="paper").filled(table))
    classes = COCO_CLASSES if table in EVERY_CLASS else ("person",)
    posed = "pose" in READS[table]
    return CenterColumn(
        paper="mcn",
        table=table,
        profile="paper",
        data=Data(layout="coco", name="coco", fingerprint="", size=settled.size, keep=classes),
        train_images=118_287,
        backbone=settled.backbone,
        neck=neck_of(settled.backbone, None),
        head_width=family(settled.backbone).default_head_width,
        recipe=center_recipe(settled, settled.steps(118_287)),
        epochs=settled.epochs,
        seeds=(0,),
        classes=classes,
        joints=COCO_JOINTS if posed else (),
        sigmas=COCO_SIGMAS if posed else (),
        masks=True,
        crowds="object",
        every=() if table == "2" else COCO_CLASSES,
    )


def quality(table: str, rows: Callable[[CenterColumn, int], list[Row]], **given: Any) -> Table:
    """A table of quality."""
    return Table(
        paper="mcn",
        id=table,
        columns=CenterColumn,
        column=partial(center_column, table),
        rows=rows,
        ours=center_protocol,
        meta_column=partial(printed_center_column, table),
        **given,
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
        head_width=budget.head_width or family(backbone).default_head_width,
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
    quality(
        "1",
        center_rows,
        measures={name: EVERY_MEASURES[name] for name in ("seg_miou", "det_map")},
        extras=EVERY_EXTRAS,
        systems={"S46": "only_det", "S47": "seg_det"},
    ),
    quality(
        "2",
        center_rows,
        measures=MEASURES,
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
            "S58": "seg_det_pose",
        },
    ),
    quality("3", person_rows, measures=PERSON_MEASURES, extras=PERSON_EXTRAS, systems={"S59": "seg_det"}),
    quality("X1", mixed_rows, measures=EVERY_MEASURES, extras=EVERY_EXTRAS, systems={"S52": "mixed"}),
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
        pace=("speed/ms", "speed/ratio"),
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
        pace=("speed/ms", "speed/ratio"),
    ),
)
