"""Table A1: three fusing methods on the fully convolutional AlexNet, with the cross-stitch paper's settings.

So units stand after every pool and after fc6 and fc7, one per channel in cross-stitch networks, and losses are taken of
the enlarged map.
"""

from collections.abc import Mapping

from mtlkit.backbones import has_fc_layers
from mtlkit.data import Data
from mtlkit.heads import Conv1x1Head
from mtlkit.network import NetworkSettings, Weights
from mtlkit.papers.cross_stitch.scenes import BUDGETS, LENGTHS, fcn_line, fcn_stride, fcn_whole, stitch_recipe
from mtlkit.papers.declaration import Row, Settled, Table
from mtlkit.papers.nddr.methods import (
    CONTROLS,
    CROSS_STITCH,
    NDDR,
    REVISION,
    Methods,
    NDDRSceneColumn,
    fitted,
    nddr_line,
    rated,
    sluice_line,
)
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.papers.nddr.scenes import (
    DECODED_LOSS,
    NORMALS_JOINT,
    NORMALS_SINGLE,
    SCENE_EXTRAS,
    SCENE_MEASURES,
    scene_tasks,
)
from mtlkit.papers.scenes import resolution, scenes, training_size
from mtlkit.papers.weights import weights
from mtlkit.runs import Training
from mtlkit.sharing import HardSharing, SharingSettings
from mtlkit.tasks import AnyTask

A_CHANNEL = CROSS_STITCH._replace(unit=CROSS_STITCH.unit.model_copy(update={"per": "channel"}))
"""Cross-stitch units as their own paper has them on this network."""


def fcn_tasks(column: NDDRSceneColumn) -> tuple[AnyTask, ...]:
    """The tasks, their losses taken at the image's size."""
    return tuple(task.model_copy(update={"loss_at": "image"}) for task in scene_tasks(column))


def fcn_column(given: NDDROptions) -> NDDRSceneColumn:
    """A reader's options as a column of Table A1."""
    options = given.filled("A1")
    settled = Settled.of(options)
    stride = fcn_stride(settled.backbone, options.output_stride)
    whole = fcn_whole(settled.backbone, options.fully_connected)
    data, train = scenes(options, settled.size, BUDGETS[options.profile].images, options.split)
    return NDDRSceneColumn(
        paper="nddr",
        table="A1",
        profile=options.profile,
        data=data,
        train_images=len(train),
        backbone=settled.backbone,
        weights=weights(settled.weights, fc_of=settled.backbone if whole else None),
        output_stride=stride,
        head=Conv1x1Head.Settings(),
        recipe=stitch_recipe(settled, settled.steps(len(train)), training_size(data)),
        epochs=settled.epochs,
        sluice_penalty=options.sluice_penalty,
        seeds=settled.seeds,
        classes=train.classes,
        fully_connected=options.fully_connected,
    )


def trained(
    column: NDDRSceneColumn,
    tasks: tuple[AnyTask, ...],
    seed: int,
    sharing: SharingSettings,
    starts: Mapping[str, Training],
    lr_mult: Mapping[str, float],
) -> Training:
    """A network of Table A1; what starts from another one trains for the cross-stitch paper's shorter time."""
    steps = LENGTHS["fused" if starts else tasks[0].name if len(tasks) == 1 else "joint"] / LENGTHS["joint"]
    normals = NORMALS_SINGLE if len(tasks) == 1 else NORMALS_JOINT
    return Training(
        network=NetworkSettings(
            backbone=column.backbone,
            weights=Weights() if starts else column.weights,
            output_stride=column.output_stride,
            fully_connected="padded" if column.whole else "none",
            tasks=tasks,
            sharing=fitted(sharing, column),
            head=column.head,
            image_size=column.data.size,
        ),
        data=column.data,
        recipe=column.recipe.model_copy(
            update={
                "steps": max(1, round(column.recipe.steps * steps)),
                "lr_mult": rated(column, lr_mult),
                "loss_weights": {"normals/cosine": normals / DECODED_LOSS},
            }
        ),
        seed=seed,
        starts=dict(starts),
        revision=REVISION,
    )


def fcn_rows(column: NDDRSceneColumn, seed: int) -> list[Row]:
    """Table A1, with the baselines that it lacks."""
    methods = Methods(
        fcn_tasks(column),
        column.data,
        single=lambda task, start: trained(
            column, (task,), seed, HardSharing.Settings(), {task.name: start} if start else {}, {}
        ),
        joint=lambda sharing, starts, mult: trained(column, fcn_tasks(column), seed, sharing, starts, mult),
        cross_stitch=A_CHANNEL,
    )
    return [
        *methods.baselines(printed=False),
        methods.longer(),
        methods.joint_recipe("single_longer"),
        *methods.fusions(),
    ]


def fcn_protocol(column: NDDRSceneColumn) -> list[tuple[str, str]]:
    """What differs between the paper's measurement and ours."""
    recipe, data = column.recipe, column.data
    places = f"every pool{', fc6 and fc7' * column.whole}" if has_fc_layers(column.backbone) else "every stage"
    fused = round(recipe.steps * LENGTHS["fused"] / LENGTHS["joint"])
    return [
        ("Data", f"{data.name} ({data.fingerprint}), {column.train_images} training images"),
        ("Classes", f"{len(column.classes)}, averaged over those that occur in the test truth"),
        ("Resolution", resolution(column)),
        ("Network", fcn_line(column)),
        (
            "Units",
            f"after {places}; cross-stitch one a channel, as its own paper's; rates {CROSS_STITCH.lr_mult:g} and "
            f"{NDDR.lr_mult:g} (NDDR) times the base; {sluice_line(column)}; {nddr_line(column)}",
        ),
        ("Start", column.start_line),
        ("Metric space of normals", "encoded beside the print; the true angle in columns of its own"),
        (
            "Budget",
            f"{recipe.steps} steps of {recipe.images_a_step} (normals "
            f"{round(recipe.steps * LENGTHS['normals'] / LENGTHS['joint'])}; fused {fused} more)",
        ),
        ("Learning rate", f"{recipe.lr:g}, fixed"),
        CONTROLS,
    ]


def printed_fcn_column() -> NDDRSceneColumn:
    """The column of the printed networks, without data: for counting and for building."""
    settled = Settled.of(NDDROptions(profile="paper").filled("A1"))
    data = Data(layout="nyuv2", name="nyuv2", fingerprint="", size=settled.size)
    return NDDRSceneColumn(
        paper="nddr",
        table="A1",
        profile="paper",
        data=data,
        train_images=795,
        backbone=settled.backbone,
        output_stride=32,
        head=Conv1x1Head.Settings(),
        recipe=stitch_recipe(settled, LENGTHS["joint"]),
        epochs=settled.epochs,
        seeds=(0,),
        classes=tuple(map(str, range(40))),
    )


TABLEA1 = Table(
    paper="nddr",
    id="A1",
    measures=SCENE_MEASURES,
    single_task="single",
    trained_longer="single_longer",
    extras=SCENE_EXTRAS,
    columns=NDDRSceneColumn,
    column=fcn_column,
    rows=fcn_rows,
    ours=fcn_protocol,
    meta_column=printed_fcn_column,
    systems={"S21": "nddr"},
)
