"""Table 6: detection and attributes of objects, by Fast R-CNN.

Girshick, *Fast R-CNN*, ICCV 2015; https://github.com/rbgirshick/fast-rcnn gives the numbers that the paper's own text
leaves open.
"""

import os
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

from mtlkit.backbones import aside, family, has_fc_layers, staged
from mtlkit.data import AnyData, APascal, Data
from mtlkit.data.proposals import SelectiveSearch
from mtlkit.data.regions import RegionSampling
from mtlkit.evaluations import Constant
from mtlkit.fusion import CrossStitch
from mtlkit.heads import Exit
from mtlkit.network import NetworkSettings, Weights
from mtlkit.papers.cross_stitch.methods import (
    CONTROLS,
    TRAINED_LONGER,
    Choice,
    Networks,
    Stitch,
    best_split,
    best_split_line,
    compared,
    label_extras,
    splits,
)
from mtlkit.papers.cross_stitch.options import CrossStitchOptions
from mtlkit.papers.declaration import FAULTY, PARTS, Extra, Profile, Row, Settled, Table, TrainedColumn, on_error_of
from mtlkit.papers.sources import source
from mtlkit.papers.weights import weights
from mtlkit.runs import Training
from mtlkit.sharing import SharingSettings, SoftSharing
from mtlkit.tasks import AnyTask, Attributes, RegionDetection
from mtlkit.training import Recipe
from mtlkit.worlds import cache_folder, parts

TASKS = ("detection", "attributes")

FUSED_SHARE = 1 / 4
"""Steps of a cross-stitch network that starts from one-task networks, of theirs: 10,000 (Sect. 5) of the 40,000 that
Fast R-CNN's code trains for. The paper prints neither for this table."""

UNIT_SCALE = 100
"""Rate of the units in base rates: the lower end of what the paper calls best (Sect. 5.2)."""

MANY = 100
"""Images from which on several processes look for proposals; below that, starting them takes longer."""


@dataclass(frozen=True)
class Budget:
    """What a profile stands for on the table of objects, beside its options."""

    images: tuple[int, int]
    regions: int
    proposals: SelectiveSearch


BUDGETS: dict[Profile, Budget] = {
    "smoke": Budget((24, 12), 12, SelectiveSearch(least_side=8)),
    "lite": Budget((800, 200), 64, SelectiveSearch(least_side=8, most=500)),
    "paper": Budget((800, 200), 64, SelectiveSearch(mode="quality")),
}


class ObjectColumn(TrainedColumn):
    """A column of Table 6.

    Attributes:
        data: one data set.
        train_images: how many images that is for training.
        skipped: what is wrong with a row of the lists -> rows left out for it, of both lists.
        stages: of the backbone.
        pooled_after: the stage whose regions are pooled.
        classes: of the objects.
        attributes: of the objects.
    """

    data: Data
    train_images: int
    skipped: dict[str, int] = {}
    stages: int
    pooled_after: int
    classes: tuple[str, ...]
    attributes: tuple[str, ...]

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | {"on_error": on_error_of(self.data)}


def object_column(given: CrossStitchOptions) -> ObjectColumn:
    """A reader's options as a column of Table 6; finds the proposals of all images, once."""
    options, budget = given.filled("6"), BUDGETS[given.profile]
    settled, faulty = Settled.of(options), FAULTY[options.on_error]
    stages, pooled_after = regions_of(settled.backbone, settled.size)
    found = source(options, parts, ("apascal",), images=budget.images)
    splits = [APascal(found.root, split, TASKS, faulty) for split in ("train", "val")]
    data = found.data(
        splits,
        size=settled.size,
        faulty=faulty,
        part=PARTS[options.split],
        proposals=budget.proposals,
        proposals_folder=cache_folder() / "proposals",
    )
    images = len(data.split("train", TASKS))  # before the search: a list may be too short for a development part
    for split in splits:
        processes = (os.cpu_count() or 1) if len(split) > MANY else 1
        data.kept_proposals.prepare(split, processes, progress=options.profile != "smoke")
    train, _ = splits
    return ObjectColumn(
        paper="cross_stitch",
        table="6",
        profile=options.profile,
        data=data,
        train_images=images,
        skipped=Counter(splits[0].skipped) + Counter(splits[1].skipped),
        backbone=settled.backbone,
        stages=stages,
        pooled_after=pooled_after,
        weights=weights(settled.weights, fc_of=settled.backbone if has_fc_layers(settled.backbone) else None),
        recipe=object_recipe(settled, budget.regions, settled.steps(images)),
        epochs=settled.epochs,
        seeds=settled.seeds,
        classes=train.classes,
        attributes=train.attributes,
    )


def regions_of(backbone: str, size: tuple[int, int]) -> tuple[int, int]:
    """How many stages the backbone has here, and after which of them regions are pooled."""
    with aside():
        built = staged(backbone, **built_as(backbone), image_size=size, regions=True)
    assert built.regions is not None
    return len(built.stages), built.regions.after


def built_as(backbone: str) -> dict[str, Any]:
    """A stage a layer, fc6 and fc7 among them, of AlexNet and VGG; any other network as it comes."""
    return {"fully_connected": "plain", "cut": "layers"} if has_fc_layers(backbone) else {}


def object_recipe(settled: Settled, regions: int, steps: int) -> Recipe:
    """SGD with momentum 0.9, decay 5e-4, a tenth of the rate after three quarters, twice the rate for all biases: Fast
    R-CNN's (``models/CaffeNet/train.prototxt``), which also keeps conv1 as it is; here all layers are trained."""
    return Recipe(
        steps=steps,
        batch_size=settled.batch_size,
        accumulate=settled.accumulate,
        lr=settled.lr,
        lr_mult={"bias": 2.0, "classifier_bias": 2.0},
        weight_decay=5e-4,
        schedule="step",
        milestones=(0.75,),
        augmentation=RegionSampling(size=settled.size, count=regions),
        precision=settled.precision,
    )


def trained(
    column: ObjectColumn,
    tasks: tuple[AnyTask, ...],
    seed: int,
    data: AnyData,
    sharing: SharingSettings,
    length: str,
    starts: dict[str, Training],
) -> Training:
    """A network of Table 6."""
    network = NetworkSettings(
        backbone=column.backbone,
        weights=Weights() if starts else column.weights,
        **built_as(column.backbone),
        tasks=tasks,
        sharing=sharing,
        head=Exit.Settings(),
        regions=True,
        image_size=column.data.size,
    )
    steps = max(1, round(column.recipe.steps * (FUSED_SHARE if length == "fused" else 1)))
    units = {"fusion": float(UNIT_SCALE)} if isinstance(sharing, SoftSharing.Settings) else {}
    return Training(
        network=network,
        data=data,
        recipe=column.recipe.model_copy(update={"steps": steps, "lr_mult": column.recipe.lr_mult | units}),
        seed=seed,
        starts=starts,
    )


def object_rows(column: ObjectColumn, seed: int) -> list[Row]:
    """Table 6, every split of the trunk, and for each task the split that scores best on a development part."""
    tasks = (RegionDetection(classes=column.classes), Attributes(attributes=column.attributes))
    train, data = partial(trained, column), column.data
    # AlexNet's conv2 is the second and fc7 the last of its seven stages; a split's name is the first layer not shared.
    every = splits(column.stages, {"split_conv2": 1, "split_fc7": 6})
    unit = CrossStitch.Settings(per="layer", alpha=0.9, beta=0.1)
    return compared(
        Networks(tasks, data, seed, train, dict.fromkeys(TASKS, "alone"), sorted_by_labels="attributes"),
        blind=Constant(tasks=tasks, data=data),
        splits=every,
        after_splits=best_split(tasks, data, seed, train, every, CHOICES),
        stitches=(
            Stitch(
                "cross_stitch",
                "Cross-stitch",
                "an encoder per task, a 2x2 matrix per layer, up to the pooling of regions",
                SoftSharing.Settings(unit=unit, after=unit_places(column)),
            ),
            Stitch(
                "cross_stitch_regions",
                "Cross-stitch, regions too",
                "units behind the pooling of regions as well",
                SoftSharing.Settings(
                    unit=unit, after=(*unit_places(column), *range(column.pooled_after + 1, column.stages))
                ),
                printed=False,
            ),
        ),
    )


def unit_places(column: ObjectColumn) -> tuple[int, ...]:
    """After pool1, pool2 and the pooling of regions of AlexNet (Sect. 5: after every pooling layer); of any other
    backbone after every stage up to that pooling."""
    named = family(column.backbone).stitched_after or range(column.stages)
    return tuple(stage for stage in named if stage <= column.pooled_after)


MEASURES = {"det_map": "detection/map", "attr_map": "attributes/map"}

CHOICES = tuple(Choice(measure, "mAP") for measure in MEASURES.values())

EXTRAS = (
    Extra("detection/map_all", "mAP, whole area", "Detection", "%", "higher"),
    Extra("attributes/map_all", "mAP, whole area", "Attributes", "%", "higher"),
    *label_extras("attributes", "Attributes", "attributes"),
)


def object_protocol(column: ObjectColumn) -> list[tuple[str, str]]:
    """What differs between the paper's measurement and ours."""
    recipe, data = column.recipe, column.data
    sampling, search = recipe.augmentation, data.proposals
    assert isinstance(sampling, RegionSampling)
    assert search is not None
    height, width = data.size
    skipped = ", ".join(f"{count} ({reason})" for reason, count in column.skipped.items()) or "none"
    places = (
        "pool1, pool2 and the pooling of regions"
        if family(column.backbone).stitched_after
        else f"stages 1 to {column.pooled_after + 1}, the last of them pooled"
    )
    return [
        ("Data", f"{data.name} ({data.fingerprint}), {column.train_images} training images"),
        ("Rows left out", skipped),
        ("Resolution", f"fitted into {height}x{width}"),
        (
            "Network",
            f"{column.backbone}, Fast R-CNN"
            + (", dropout behind fc6 and fc7 (Fast R-CNN's code)" if has_fc_layers(column.backbone) else ""),
        ),
        ("Start", column.start_line),
        ("Proposals", f"selective search, {search.mode}, at most {search.most}, sides from {search.least_side} pixels"),
        (
            "Regions a step",
            f"{sampling.count} an image, at most {sampling.foreground:.0%} on objects, the same for both tasks",
        ),
        ("Units", f"after {places}, one a layer, from 0.9 and 0.1, {UNIT_SCALE} times the base rate"),
        (
            "Losses",
            f"{len(column.classes) + 1} classes and box moves; the mean over {len(column.attributes)} attributes, on "
            "foreground regions",
        ),
        ("Average precision", "11 points, as in VOC until 2009; over classes and attributes with a test object"),
        ("Attributes scored on", "the true boxes"),
        ("Rarest attributes", "by objects of the training set; gains are over the one-task network of the same seed"),
        (
            "Budget",
            f"{recipe.steps} steps of {recipe.images_a_step} images; cross-stitch networks start from one-task "
            f"networks and train {FUSED_SHARE:.0%} as long",
        ),
        ("Learning rate", f"{recipe.lr:g}, a tenth after three quarters; twice as high for all biases"),
        ("Layers trained", "all"),
        *([best_split_line(CHOICES)] if data.part == "all" else []),
        CONTROLS,
    ]


def printed_object_column() -> ObjectColumn:
    """The column of the printed networks, without data: for counting and for building."""
    budget, settled = BUDGETS["paper"], Settled.of(CrossStitchOptions(profile="paper").filled("6"))
    stages, pooled_after = regions_of(settled.backbone, settled.size)
    return ObjectColumn(
        paper="cross_stitch",
        table="6",
        profile="paper",
        data=Data(layout="apascal", name="apascal", fingerprint="", size=settled.size, proposals=budget.proposals),
        train_images=2113,
        backbone=settled.backbone,
        stages=stages,
        pooled_after=pooled_after,
        recipe=object_recipe(settled, budget.regions, 40_000),
        epochs=settled.epochs,
        seeds=(0,),
        classes=tuple(map(str, range(20))),
        attributes=tuple(map(str, range(64))),
    )


TABLE6 = Table(
    paper="cross_stitch",
    id="6",
    measures=MEASURES,
    single_task="one_task",
    trained_longer=TRAINED_LONGER,
    columns=ObjectColumn,
    column=object_column,
    rows=object_rows,
    ours=object_protocol,
    meta_column=printed_object_column,
    extras=EXTRAS,
    systems={"S62": "cross_stitch", "S71": "split_fc7", "S74": "one_task", "S75": "cross_stitch"},
)
