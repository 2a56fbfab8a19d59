"""Table 7: the five methods on age and gender of faces.

Nothing of the authors' code is about faces; what print leaves open is as in their code for scenes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mtlkit import fusion
from mtlkit.backbones import FullyConnected, has_fc_layers
from mtlkit.data import FACE_LAYOUTS, Data, Faces, IMDBWiki
from mtlkit.data.faces import OUTSIDE
from mtlkit.data.samples import Split
from mtlkit.data.splits import some
from mtlkit.data.transforms import ResizedCrop
from mtlkit.errors import InputError
from mtlkit.heads import Exit
from mtlkit.network import NetworkSettings, Weights
from mtlkit.papers.declaration import (
    FAULTY,
    PARTS,
    Extra,
    Profile,
    Row,
    Settled,
    Table,
    on_error_of,
)
from mtlkit.papers.nddr.methods import (
    CONTROLS_WITH_SHARED,
    CROSS_STITCH,
    DECAY_JOINT,
    DECAY_SINGLE,
    NDDR,
    Methods,
    NDDRColumn,
    budget_line,
    fitted,
    nddr_line,
    pools,
    rate_line,
    rated,
    sluice_line,
    start_of,
)
from mtlkit.papers.nddr.options import NDDROptions, Normed
from mtlkit.papers.printed import printed
from mtlkit.papers.sources import source
from mtlkit.papers.weights import weights
from mtlkit.runs import Training
from mtlkit.sharing import HardSharing, SharingSettings, SoftSharing
from mtlkit.tasks import Age, AnyTask, Classification
from mtlkit.training import Recipe
from mtlkit.worlds import faces

TASKS: tuple[AnyTask, AnyTask] = (Age(), Classification(name="gender", classes=2))

STEPS = 20_001
"""Of the authors' code for scenes; for faces nothing is known."""

IMAGES, FIRST_LOOK = (4000, 1000), (96, 32)
"""Drawn images for training and for testing, and those at ``smoke``."""

LEAST_SIDE = 32
"""Pixels below which the world ``faces`` draws nothing."""

SPLITS: tuple[Split, Split] = ("train", "val")


class FaceColumn(NDDRColumn):
    """A column of Table 7.

    Attributes:
        data: one data set.
        counts: ``train`` and ``val`` -> images and, where the data set names people, people; where it lists more
            than it keeps, ``listed`` and ``kept`` too.
        left_out: reason -> images left out for it.
        faulty: what is wrong with images that were skipped, with the names of some.
        fully_connected: whether fc6 and fc7 of VGG and AlexNet stand between the last pool and the classifiers.
        nddr_norm: which NDDR layers have a batch norm.
    """

    data: Data
    counts: dict[str, tuple[int, int | None]]
    left_out: dict[str, int] = {}
    faulty: tuple[str, ...] = ()
    fully_connected: FullyConnected = "none"
    nddr_norm: Normed = "every"

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        own = {"on_error": on_error_of(self.data), "nddr_norm": self.nddr_norm}
        return super().decided() | own


def face_column(given: NDDROptions) -> FaceColumn:
    """A reader's options as a column of Table 7."""
    options = given.filled("7")
    settled, faulty = Settled.of(options), FAULTY[options.on_error]
    backbone, size, smoke = settled.backbone, settled.size, options.profile == "smoke"
    full = options.profile == "paper" and has_fc_layers(backbone)
    if full and options.nddr_norm == "inner":
        raise InputError(
            f"Between its last NDDR layer and the classifiers {backbone} has fc6 and fc7, so all layers are inner "
            "ones; take nddr_norm every or none."
        )
    drawn = tuple(max(LEAST_SIDE, side) for side in size)
    images = FIRST_LOOK if smoke else IMAGES
    found = source(options, faces, FACE_LAYOUTS, images=images, size=drawn)
    splits: list[Faces] = [FACE_LAYOUTS[found.layout](found.root, which, faulty=faulty) for which in SPLITS]
    data = found.data(splits, size=size, faulty=faulty, part=PARTS[options.split])
    train = len(data.split("train", ()))
    # A first look takes the same time whatever the data: smoke is a number of images seen.
    share = min(1.0, images[0] / train) if smoke else 1.0
    epochs = given.epochs or settled.epochs * share
    return FaceColumn(
        paper="nddr",
        table="7",
        profile=options.profile,
        data=data,
        counts=counts(splits, data),
        left_out=left_out(splits),
        faulty=tuple(f"{reason}: {some(names)}" for reason, names in faults(splits).items()),
        backbone=backbone,
        weights=weights(settled.weights, fc_of=backbone if full else None),
        fully_connected="plain" if full else "none",
        nddr_norm=options.nddr_norm,
        recipe=face_recipe(options.profile, settled, settled.steps(train, epochs)),
        epochs=epochs,
        fused_epochs=options.fused_epochs,
        units_lr=options.units_lr,
        sluice_penalty=options.sluice_penalty,
        seeds=settled.seeds,
    )


def counts(splits: Sequence[Faces], data: Data) -> dict[str, tuple[int, int | None]]:
    """As :attr:`FaceColumn.counts`, of the splits train and val of ``data``."""
    if data.part == "development":
        return {name: (len(data.split(name, ())), None) for name in SPLITS}
    found: dict[str, tuple[int, int | None]] = {}
    for name, split in zip(SPLITS, splits, strict=True):
        if isinstance(split, IMDBWiki):
            found |= {which: split.counts[which] for which in ("listed", "kept", name)}
        else:
            found[name] = len(split), None
    return found


def faults(splits: Sequence[Faces]) -> dict[str, tuple[str, ...]]:
    """Reason -> names of faulty images, each once: where a split is drawn, both sides look at all images."""
    found: dict[str, dict[str, None]] = {}
    for split in splits:
        for reason, names in split.faults.items():
            found.setdefault(reason, {}).update(dict.fromkeys(names))
    return {reason: tuple(names) for reason, names in found.items()}


def left_out(splits: Sequence[Faces]) -> dict[str, int]:
    """Reason -> images left out for it, each counted once."""
    outside = {name for split in splits for name in split.outside}
    named = {reason: len(names) for reason, names in faults(splits).items()} | {OUTSIDE: len(outside)}
    # Reasons without names are IMDB-WIKI's, whose splits both count over all that is listed.
    return {reason: named.get(reason, count) for split in splits for reason, count in split.skipped.items()}


def face_recipe(profile: Profile, settled: Settled, steps: int) -> Recipe:
    """As for scenes, with random crops of half the image at least."""
    return Recipe(
        steps=steps,
        batch_size=settled.batch_size,
        accumulate=settled.accumulate,
        lr=settled.lr,
        lr_mult={"classifier": 10.0, "classifier_bias": 20.0},
        augmentation=ResizedCrop(size=settled.size, area_min=0.5),
        # Networks of depthwise convolutions train a seventh to two fifths faster so, on a processor too.
        channels_last=profile != "smoke",
        precision=settled.precision,
    )


def trained(
    column: FaceColumn,
    tasks: tuple[AnyTask, ...],
    seed: int,
    sharing: SharingSettings,
    starts: Mapping[str, Training],
    lr_mult: Mapping[str, float],
) -> Training:
    """A network of Table 7."""
    decay = DECAY_SINGLE if len(tasks) == 1 else DECAY_JOINT
    return Training(
        network=NetworkSettings(
            backbone=column.backbone,
            weights=Weights() if starts else column.weights,
            fully_connected=column.fully_connected,
            tasks=tasks,
            sharing=normed(fitted(sharing, column), column.nddr_norm),
            head=Exit.Settings(),
            image_size=column.data.size,
        ),
        data=column.data,
        recipe=column.recipe_after(starts).model_copy(
            update={"weight_decay": decay, "lr_mult": rated(column, lr_mult)}
        ),
        seed=seed,
        starts=dict(starts),
    )


def normed(sharing: SharingSettings, which: Normed) -> SharingSettings:
    """``sharing`` with a batch norm in these of its NDDR layers; without one a layer is a plain 1x1 convolution."""
    unit = sharing.unit if isinstance(sharing, SoftSharing.Settings) else None
    if which == "every" or not isinstance(unit, fusion.NDDR.Settings):
        return sharing
    plain = unit.model_copy(update={"norm": "none"})
    return sharing.model_copy(update={"unit": plain} if which == "none" else {"last": plain})


def face_rows(column: FaceColumn, seed: int) -> list[Row]:
    """Table 7."""
    full = column.fully_connected != "none"
    return Methods(
        TASKS,
        column.data,
        single=lambda task, start: trained(
            column, (task,), seed, HardSharing.Settings(), {task.name: start} if start else {}, {}
        ),
        joint=lambda sharing, starts, mult: trained(column, TASKS, seed, sharing, starts, mult),
        # "All convolutional layers shared" (Sect. 5): fc6 and fc7 are the tasks' own, in front of their classifiers.
        shared=HardSharing.Settings(split_after=-2) if full else HardSharing.Settings(),
        after=pools(column.backbone) if full else None,
    ).five()


MEASURES = {"age_mean_ae": "age/mean_error", "age_median_ae": "age/median_error", "gender_acc": "gender/accuracy"}

EXTRAS = (
    Extra("age/accuracy", "Exact year", "Age", "%", "higher"),
    Extra("gender/class_accuracy", "Mean per class", "Gender", "%", "higher"),
)


def norm_line(column: FaceColumn) -> str:
    """The form of the NDDR layers, for the protocol card."""
    if column.nddr_norm == "none":
        return "NDDR without batch norm, a 1x1 convolution and no more"
    inner = "; right in front of the classifiers without both, a 1x1 convolution and no more"
    return nddr_line(column) + inner * (column.nddr_norm == "inner")


def face_protocol(column: FaceColumn) -> list[tuple[str, str]]:
    """What differs between the paper's measurement and ours."""
    data = column.data
    ours = {which: _counted(*found) for which, found in column.counts.items()}
    named = all(people is not None for _, people in column.counts.values())
    full = column.fully_connected != "none"
    return [
        ("Data", f"{data.name} ({data.fingerprint})"),
        ("Faces", f"{ours['listed']} listed, {ours['kept']} kept" if "kept" in ours else "all but those left out"),
        ("Training", ours["train"]),
        ("Test", ours["val"]),
        ("Split", "by person" if named else "by image: the data set names no people, so one may be on both sides"),
        ("Left out", ", ".join(f"{count:,} {reason}" for reason, count in column.left_out.items()) or "nothing"),
        (
            "Faulty images",
            "; ".join(column.faulty) or ("none" if data.faulty == "refuse" else "none among those that may be skipped"),
        ),
        ("Resolution", f"{data.size[0]}x{data.size[1]}"),
        (
            "Network",
            f"{column.backbone}, {'fc6 and fc7' if full else 'average pooling'}, then one linear layer per task",
        ),
        (
            "Units",
            f"after every {'pool' if full else 'stage'}; start {start_of(NDDR)}; rate "
            f"{CROSS_STITCH.lr_mult:g} (cross-stitch), {NDDR.lr_mult:g} (NDDR); {sluice_line(column)}; "
            f"{norm_line(column)}",
        ),
        ("Start", column.start_line),
        ("Losses", "the same, added with equal weights"),
        ("Age read out", "expectation of the softmax"),
        ("Budget", budget_line(column)),
        ("Learning rate, augmentation", f"{rate_line(column)}; random crops and mirrors"),
        CONTROLS_WITH_SHARED,
    ]


def _counted(images: int, people: int | None) -> str:
    return f"{images:,} images" + (f" of {people:,} people" if people is not None else "")


def printed_face_column() -> FaceColumn:
    """The column of the printed networks, without data: for counting and for building."""
    settled, said = Settled.of(NDDROptions(profile="paper").filled("7")), printed("nddr").settings
    return FaceColumn(
        paper="nddr",
        table="7",
        profile="paper",
        data=Data(layout="imdb_wiki", name="imdb_wiki", fingerprint="", size=settled.size),
        counts={
            "train": (said["face_train_images"], said["face_train_subjects"]),
            "val": (said["face_eval_images"], said["face_eval_subjects"]),
        },
        backbone=settled.backbone,
        fully_connected="plain",
        recipe=face_recipe("paper", settled, STEPS),
        epochs=settled.epochs,
        seeds=(0,),
    )


TABLE7 = Table(
    paper="nddr",
    id="7",
    measures=MEASURES,
    single_task="single",
    trained_longer="single_longer",
    extras=EXTRAS,
    columns=FaceColumn,
    column=face_column,
    rows=face_rows,
    ours=face_protocol,
    meta_column=printed_face_column,
    systems={"S30": "nddr"},
)
