"""Table 5: segmentation and surface normals; Tables 1, 2 and 3 are on its networks (:mod:`.sweeps`).

The text that could be read lacks the paper's section on data and base networks. What it leaves open follows the
fully convolutional AlexNet that it names (https://github.com/shelhamer/fcn.berkeleyvision.org, ``voc-fcn-alexnet``)
and the first author's code for normals (https://github.com/imisra/semantic-segmentation-pytorch).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from typing import Any

from mtlkit.backbones import aside, family, has_fc_layers, output_strides, staged
from mtlkit.data import AnyData, Data
from mtlkit.data.transforms import Augmentation, resized
from mtlkit.errors import InputError
from mtlkit.evaluations import BestOnValidation, Constant
from mtlkit.fusion import CrossStitch
from mtlkit.graph import Node
from mtlkit.heads import Conv1x1Head
from mtlkit.network import NetworkSettings, Weights
from mtlkit.objectives import JacobianDescent
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
from mtlkit.papers.cross_stitch.options import CrossStitchOptions, UnitsAfter
from mtlkit.papers.declaration import Profile, Row, Settled, Table
from mtlkit.papers.scenes import TASKS, SceneColumn, objective, resolution, scenes, training_size
from mtlkit.papers.weights import weights
from mtlkit.runs import Training
from mtlkit.sharing import HardSharing, SharingSettings, SoftSharing
from mtlkit.tasks import AnyTask, CodedNormals, Normals, Segmentation
from mtlkit.tasks.coded_normals import Direction, codebook
from mtlkit.training import Recipe

BRANCHES_OWN = 2
"""Revision of networks with branches under combined gradients: until 1 branches counted as shared parameters."""

LENGTHS = {"segmentation": 25_000, "normals": 15_000, "joint": 25_000, "fused": 10_000, "fused_at_once": 30_000}
"""Printed steps of the one-task networks and of a cross-stitch network that starts from them (Sect. 5) or from what
they start from (Sect. 5.3); for splits and the shared network nothing is printed, so they get as many as
segmentation."""

DECODED = 2
"""Revision of scores of coded normals; raised when logits began to be enlarged before they are decoded."""

FRAMES_OF_A_CODEBOOK = 64
"""Training frames, evenly spaced, whose normals make the codebook."""


@dataclass(frozen=True)
class Budget:
    """What a profile stands for on the scene table, beside its options."""

    images: tuple[int, int]
    unit_scale: float  # what the units' rate is, in base rates
    words: int


BUDGETS: dict[Profile, Budget] = {
    "smoke": Budget((64, 32), 100, 20),
    "lite": Budget((800, 200), 100, 40),
    "paper": Budget((795, 654), 1000, 40),
}
"""The paper calls 100 to 1000 times the base rate best for the units. With the higher base rates of short trainings a
thousand times would throw them far off."""


class StitchColumn(SceneColumn):
    """A column of Table 1, 2, 3 or 5.

    Attributes:
        stages: of the backbone.
        words: the codebook of the normals.
        units_after: where the units of its cross-stitch networks stand; in Table 5 of those that are printed.
    """

    stages: int
    words: tuple[Direction, ...]
    units_after: UnitsAfter = "pools"

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | {"units_after": self.units_after}


def fcn_stride(backbone: str, given: int | None) -> int:
    """The output stride of a fully convolutional backbone; by default its own.

    Raises:
        InputError: the backbone cannot be built at the one that is given.
    """
    strides = output_strides(backbone)
    stride = given or max(strides)
    if stride not in strides or (has_fc_layers(backbone) and stride != 32):
        possible = "32" if has_fc_layers(backbone) else ", ".join(map(str, strides))
        raise InputError(f"{backbone} can be built at output stride {possible} here, not {stride}.")
    return stride


def fcn_whole(backbone: str, fully_connected: bool) -> bool:
    """Whether a fully convolutional backbone has fc6 and fc7.

    Raises:
        InputError: they are to be left out of a backbone without them.
    """
    if not (fully_connected or has_fc_layers(backbone)):
        raise InputError(
            f"{backbone} has no fc6 and fc7 to leave out; fully_connected=false is for alexnet and the vgg networks."
        )
    return fully_connected and has_fc_layers(backbone)


def fcn_line(column: SceneColumn) -> str:
    """The network, for the protocol card."""
    if column.whole:
        maps = (
            "image padded by 100 pixels, maps enlarged bilinearly and cropped, dropout behind fc6 and fc7 (FCN's code)"
        )
    elif has_fc_layers(column.backbone):
        maps = "no fc6 and fc7, image not padded; maps enlarged bilinearly from where their cells look"
    else:
        maps = "maps enlarged bilinearly, their cells taken for tiles of the image"
    return f"{column.backbone}, stride {column.output_stride}, one 1x1 layer per task; {maps}"


def stitch_column(table: str, given: CrossStitchOptions) -> StitchColumn:
    """A reader's options as a column of one of the tables."""
    options, budget = given.filled(table), BUDGETS[given.profile]
    settled = Settled.of(options)
    backbone, size = settled.backbone, settled.size
    stride = fcn_stride(backbone, options.output_stride)
    if options.units_after == "convolutions" and not has_fc_layers(backbone):
        raise InputError(
            f"{backbone} is cut where timm cuts it, and its units stand after every stage; units_after=convolutions is "
            "for alexnet and the vgg networks."
        )
    whole = fcn_whole(backbone, options.fully_connected)
    if options.units_after == "convolutions" and not whole:
        raise InputError("With units_after=convolutions the last pool belongs to fc6; leave fully_connected as it is.")
    start = weights(settled.weights, fc_of=backbone if whole else None)
    if start.convolutions_only and table == "3":
        raise InputError(
            f"Table 3 is about the weights that encoders start from, and the file {settled.weights} has none of fc6 "
            "and fc7; set fully_connected=false, or give a file of the whole network."
        )
    data, train = scenes(options, size, budget.images, options.split)
    return StitchColumn(
        paper="cross_stitch",
        table=table,
        profile=options.profile,
        data=data,
        train_images=len(train),
        backbone=backbone,
        stages=stages(backbone, size, whole),
        weights=start,
        output_stride=stride,
        head=Conv1x1Head.Settings(),
        recipe=stitch_recipe(settled, settled.steps(len(train)), training_size(data)),
        epochs=settled.epochs,
        seeds=settled.seeds,
        classes=train.classes,
        words=words(data, budget.words),
        units_after=options.units_after,
        fully_connected=options.fully_connected,
        objective=objective(options.objective, options.precision),
    )


def stages(backbone: str, size: tuple[int, int], whole: bool) -> int:
    """How many stages the backbone has here; counted without drawing AlexNet's sixty million weights."""
    with aside():
        return len(staged(backbone, **built_as(backbone, whole), image_size=size).stages)


def built_as(backbone: str, whole: bool) -> dict[str, Any]:
    """A stage a layer of AlexNet and VGG, fc6 and fc7 among them if ``whole``; any other network as it comes."""
    return {
        "fully_connected": "padded" if whole else "none",
        "cut": "layers" if has_fc_layers(backbone) else "pools",
    }


@cache  # most of the time that a column takes, and the same for all tables of these frames
def words(data: Data, count: int) -> tuple[Direction, ...]:
    """The codebook of some evenly spaced training frames."""
    train = data.split("train", TASKS)
    frames = range(0, len(train), max(1, len(train) // FRAMES_OF_A_CODEBOOK))
    found = (resized(train[index], data.size).get("normals") for index in islice(frames, FRAMES_OF_A_CODEBOOK))
    return codebook((normals for normals in found if normals is not None), count)


def stitch_recipe(settled: Settled, steps: int, whole_size: tuple[int, int] | None = None) -> Recipe:
    """SGD with momentum 0.9, decay 5e-4 and a fixed rate, twice as high for the classifiers' biases.

    No other bias has another rate in ``voc-fcn-alexnet/net.py``, where Fast R-CNN has twice the rate for all.

    Args:
        settled: batch size, rate and the like.
        steps: of a training.
        whole_size: what whole images are brought to; ``None``: they have it.
    """
    return Recipe(
        steps=steps,
        batch_size=settled.batch_size,
        accumulate=settled.accumulate,
        lr=settled.lr,
        lr_mult={"classifier_bias": 2.0},
        weight_decay=5e-4,
        schedule="constant",
        # A mirrored normal is another word: the first author's code has no flips, nor scales.
        augmentation=Augmentation(size=settled.size, scale_min=1.0, scale_max=1.0, flip=0.0, whole=whole_size),
        precision=settled.precision,
    )


def stitch_tasks(column: StitchColumn) -> tuple[Segmentation, CodedNormals]:
    """Both tasks by classification, as the paper says (Sect. 6)."""
    return Segmentation(classes=column.classes), CodedNormals(words=column.words)


def trained(
    column: StitchColumn,
    tasks: tuple[AnyTask, ...],
    seed: int,
    data: AnyData,
    sharing: SharingSettings,
    length: str,
    starts: dict[str, Training],
) -> Training:
    """A network of these tables, as long as the print's ratio to the segmentation network's steps says."""
    network = NetworkSettings(
        backbone=column.backbone,
        weights=Weights() if starts else column.weights,
        output_stride=column.output_stride,
        **built_as(column.backbone, column.whole),
        tasks=tasks,
        sharing=sharing,
        head=column.head,
        image_size=column.data.size,
    )
    steps = max(1, round(column.recipe.steps * LENGTHS[length] / LENGTHS["segmentation"]))
    units = {"fusion": float(BUDGETS[column.profile].unit_scale)} if isinstance(sharing, SoftSharing.Settings) else {}
    joined = {"objective": column.objective} if len(tasks) > 1 else {}
    branched = isinstance(sharing, HardSharing.Settings) and sharing.split_after is not None
    combined = branched and len(tasks) > 1 and isinstance(column.objective, JacobianDescent.Settings)
    return Training(
        network=network,
        data=data,
        recipe=column.recipe.model_copy(update={"steps": steps, "lr_mult": column.recipe.lr_mult | units} | joined),
        seed=seed,
        starts=starts,
        revision=BRANCHES_OWN if combined else 1,
    )


def unit_places(column: StitchColumn) -> tuple[int, ...] | None:
    """After pool1, pool2, pool5, fc6 and fc7 of AlexNet (Sect. 5); after every stage of any other backbone."""
    named = family(column.backbone).stitched_after
    return named and tuple(stage for stage in named if stage < column.stages)


def networks_of(column: StitchColumn, seed: int, sorted_by_labels: str = "") -> Networks:
    """The networks of these tables."""
    tasks = stitch_tasks(column)
    lengths = {task.name: task.name for task in tasks}
    return Networks(tasks, column.data, seed, partial(trained, column), lengths, sorted_by_labels)


def constant_of(column: StitchColumn) -> Constant:
    """The best prediction that never looks at an image; of normals the vector, not the nearest word."""
    return Constant(tasks=(stitch_tasks(column)[0], Normals()), data=column.data)


def stitched(
    column: StitchColumn, identifier: str, label: str, what: str, *, alpha: float = 0.9, beta: float = 0.1, **more: Any
) -> Stitch:
    """A row with a cross-stitch network that has a unit per channel, which starts at ``alpha`` and ``beta``."""
    unit = CrossStitch.Settings(per="channel", alpha=alpha, beta=beta)
    if column.units_after == "convolutions":
        return Stitch(identifier, label, what, SoftSharing.Settings(unit=unit), cut="convolutions", **more)
    return Stitch(identifier, label, what, SoftSharing.Settings(unit=unit, after=unit_places(column)), **more)


def read_out(column: StitchColumn) -> dict[str, int]:
    """Name -> stage of the places whose weights Figure 4 of the paper shows: pool1, pool5 and fc7 of AlexNet; of any
    other backbone the first stage, the middle one and the last."""
    if unit_places(column) is not None:
        layer = "conv" if column.units_after == "convolutions" else "pool"
        return {f"{layer}1": 0, f"{layer}5": 4} | ({"fc7": 6} if column.whole else {})
    return {f"stage {stage}": stage for stage in (0, column.stages // 2, column.stages - 1)}


def in_front_of_pools(column: StitchColumn) -> list[Stitch]:
    """Rows with units after convolutions, which the paper speaks of without numbers (Sect. 5): the printed ones moved
    in front of their pools, and one after every convolution. A network without fc6, which begins with the last of these
    pools, has none."""
    if not column.whole:
        return []
    moved = column.model_copy(update={"units_after": "convolutions"})
    every = stitched(
        moved,
        "cross_stitch_convolutions",
        "Cross-stitch, every convolution",
        "units after every convolution, in front of its pool, and after fc6 and fc7",
        printed=False,
    )
    places = unit_places(column)
    if places is None:  # then they stand after every layer anyway
        return [every]
    same = replace(
        every,
        id="cross_stitch_before_pools",
        label="Cross-stitch, before pools",
        what="as many units as in the printed network, those of pools in front of them",
        sharing=every.sharing.model_copy(update={"after": places}),
    )
    return [same, every]


def stitch_rows(column: StitchColumn, seed: int) -> list[Row]:
    """Table 5, every split of the trunk, and for each task the split that scores best on a development part."""
    networks = networks_of(column, seed, sorted_by_labels="segmentation")
    # Three of AlexNet's seven stages lie before its conv4.
    missing = 2 if has_fc_layers(column.backbone) and not column.whole else 0
    every = splits(column.stages, {"split_conv4": 3}, missing)
    what = "an encoder per task, a 2x2 matrix for every channel"
    return revised(
        compared(
            networks,
            blind=constant_of(column),
            splits=every,
            after_splits=best_split(networks.tasks, column.data, seed, networks.train, every, CHOICES),
            stitches=(stitched(column, "cross_stitch", "Cross-stitch", what), *in_front_of_pools(column)),
        )
    )


def revised(rows: Iterable[Row]) -> list[Row]:
    """Rows with the revision of their scores."""
    return [replace(row, evaluations=tuple(map(_revised, row.evaluations))) for row in rows]


def _revised(value: Node) -> Node:
    """An evaluation with the revision of its scores, where it scores coded normals; of a choice those that it needs."""
    if isinstance(value, BestOnValidation):
        revised = {name: tuple(map(_revised, getattr(value, name))) for name in ("candidates", "subjects")}
        return value.model_copy(update=revised)
    trained = (need for need in value.needs if isinstance(need, Training))
    coded = any(isinstance(task, CodedNormals) for training in trained for task in training.network.tasks)
    return value.model_copy(update={"revision": DECODED}) if coded else value


MEASURES = {
    "normals_mean": "normals/decoded/mean",
    "normals_median": "normals/decoded/median",
    "normals_11": "normals/decoded/11.25",
    "normals_22": "normals/decoded/22.5",
    "normals_30": "normals/decoded/30",
    "seg_pacc": "segmentation/pixel_accuracy",
    "seg_miou": "segmentation/miou",
    "seg_fwiou": "segmentation/fwiou",
}


CHOICES = (
    Choice("segmentation/miou", "mean IoU"),
    Choice("normals/decoded/mean", "mean angle", "lower"),
)
"""Of a task's measures the one that all its classes, or pixels, count in."""


def network_lines(column: StitchColumn) -> list[tuple[str, str]]:
    """What these tables have in common of what differs between the paper's measurement and ours."""
    data = column.data
    places = f"pool1, pool2, pool5{', fc6, fc7' * column.whole}" if unit_places(column) else "every stage"
    if column.units_after == "convolutions":
        places = "every convolution, in front of its pool, fc6, fc7"
    return [
        ("Data", f"{data.name} ({data.fingerprint}), {column.train_images} training images"),
        ("Classes", f"{len(column.classes)}, averaged over those that occur in the test truth"),
        ("Resolution", resolution(column)),
        ("Network", fcn_line(column)),
        ("Units", f"after {places}, one per channel"),
        (
            "Normals",
            f"classification over {len(column.words)} words, answered by their mean weighted by probability; logits "
            "are enlarged before that (first author's code)",
        ),
    ]


def stitch_protocol(column: StitchColumn) -> list[tuple[str, str]]:
    """What differs between the paper's measurement and ours."""
    recipe = column.recipe
    normals, segmentation = (LENGTHS[task] + LENGTHS["fused"] for task in ("normals", "segmentation"))
    return [
        *network_lines(column),
        ("Start", f"{column.start_line}; cross-stitch networks from one-task networks"),
        ("Rarest classes", "by pixels of the training set; gains are over the one-task network of the same seed"),
        ("MTL-shared", "one trunk, a classifier per task"),
        ("Ensemble", "two networks per task, of seeds of their own, probabilities averaged"),
        ("Budget", f"{recipe.steps} steps of {recipe.images_a_step}, the others in the same ratio"),
        ("Learning rate", f"{recipe.lr:g}, fixed; {BUDGETS[column.profile].unit_scale:g} times that for the units"),
        *([best_split_line(CHOICES)] if column.data.part == "all" else []),
        (
            CONTROLS[0],
            f"{CONTROLS[1]} have seen for segmentation (for normals: {normals / segmentation:.0%} of these)",
        ),
    ]


def printed_stitch_column(table: str) -> StitchColumn:
    """The column of the printed networks, without data: for counting and for building."""
    settled = Settled.of(CrossStitchOptions(profile="paper").filled(table))
    data = Data(layout="nyuv2", name="nyuv2", fingerprint="", size=settled.size)
    return StitchColumn(
        paper="cross_stitch",
        table=table,
        profile="paper",
        data=data,
        train_images=795,
        backbone=settled.backbone,
        stages=7,
        output_stride=32,
        head=Conv1x1Head.Settings(),
        recipe=stitch_recipe(settled, LENGTHS["segmentation"]),
        epochs=settled.epochs,
        seeds=(0,),
        classes=tuple(map(str, range(40))),
        words=tuple((0.0, 0.0, 1.0) for _ in range(BUDGETS["paper"].words)),
    )


TABLE5 = Table(
    paper="cross_stitch",
    id="5",
    measures=MEASURES,
    single_task="one_task",
    trained_longer=TRAINED_LONGER,
    columns=StitchColumn,
    extras=label_extras("segmentation", "Segmentation", "classes"),
    column=partial(stitch_column, "5"),
    rows=stitch_rows,
    ours=stitch_protocol,
    meta_column=partial(printed_stitch_column, "5"),
    systems={
        "S61": "cross_stitch",
        "S63": "cross_stitch",
        "S64": "cross_stitch_convolutions",
        "S69": "one_task",
        "S70": "ensemble",
        "S71": "split_conv4",
        "S72": "mtl_shared",
        "S73": "one_task",
    },
)
