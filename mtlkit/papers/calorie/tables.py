"""The declared tables; see the package for what they follow."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mtlkit.backbones import FullyConnected, ends_with_convolutions, has_fc_layers
from mtlkit.data import IMAGE_LAYOUTS, TABLE_LAYOUTS, Columns, Data, DataSet
from mtlkit.data.manifest import Manifest
from mtlkit.data.sampling import groups_of, values_of
from mtlkit.data.transforms import Augmentation
from mtlkit.errors import InputError, unknown
from mtlkit.evaluations import (
    CategoryMean,
    Constant,
    FeatureExtraction,
    Retrieval,
    SnapshotEnsemble,
    TestEvaluation,
    snapshots,
)
from mtlkit.graph import Node
from mtlkit.heads import Embedding as EmbeddingHead
from mtlkit.heads import Exit
from mtlkit.history import CHECK_EVERY
from mtlkit.metrics.floor import FLOOR
from mtlkit.network import NetworkSettings, Weights
from mtlkit.papers.calorie.options import LARGE_SET, SMALL_TRUNKS, TRUNKS, Averaging, Balancing, CalorieOptions
from mtlkit.papers.declaration import (
    FAULTY,
    PARTS,
    Extra,
    Profile,
    Row,
    Settled,
    Table,
    TrainedColumn,
    on_error_of,
    sets_of,
)
from mtlkit.papers.sources import source
from mtlkit.papers.weights import weights
from mtlkit.runs import EarlierLosses, Training
from mtlkit.sharing import HardSharing
from mtlkit.tasks import AnyTask, Calories, Classification, Embedding
from mtlkit.training import Recipe
from mtlkit.worlds import plates

LAYERS: tuple[Literal["fc6"], Literal["fc7"]] = ("fc6", "fc7")

NEIGHBOURS = (5, 10, 15)
"""The printed k."""

PRINTED_STEPS = {"15": 70_000, "all": 200_000}
"""Steps of a regression on the small and on the large set; of the former's 50,000 and 20,000 the leading 5 is lost in
the source, the latter's are 150,000 and 50,000."""

FIRST_PHASE = {"15": 5 / 7, "all": 3 / 4}
"""Share of these at the full rate."""

TEST_SHARE = {"15": 0.3, "all": 0.2}
"""Share of a set's portions that is for testing where its table does not say: 70 to 30 and 80 to 20 in print."""

BASELINE, JOINT = 2 / 7, 1 / 7
"""Steps of the category network and of joint learning as shares of the regression's: 20,000 and 10,000 of 70,000."""

IMAGES_A_TRIPLET = 3

SAMPLES_PER_CLASS = 2
"""Images of a category that stand next to each other in joint learning, so that every batch has triplets."""

SPLITS: tuple[Literal["train"], Literal["val"]] = ("train", "val")

CALORIE_SETS = {"plates"} | TABLE_LAYOUTS.keys()
"""What a set with calories may be called."""

WITH_JOINT_LEARNING, SEVERAL_TRUNKS = ("2", "3", "4"), ("1",)
"""Tables that look at features of joint learning, that compare backbones."""

SNAPSHOTS = 10
"""As printed, and 100 steps apart in a training of printed length; shorter ones have them closer together."""

PRINTED_IMAGES = {"15": (3414, 1463), "all": (55_019, 13_755)}
"""Training and test images of the small and of the large set."""


@dataclass(frozen=True)
class Budget:
    """What a profile stands for here, beside its options; a portion of the world has two images."""

    portions: tuple[int, int]
    width: int
    optimizer: Literal["sgd", "adam"]
    jitter: float
    joint_lr: float
    shares: tuple[float, float]


BUDGETS: dict[Profile, Budget] = {
    "smoke": Budget((75, 20), 64, "adam", 0.0, 1e-3, (1.0, 1.0)),
    "lite": Budget((1500, 300), 256, "sgd", 0.2, 1e-3, (1.0, 1.0)),
    "paper": Budget((1500, 300), 4096, "sgd", 0.2, 1e-4, (BASELINE, JOINT)),
}
"""Below ``paper`` every network trains for as many images as the regression, so that no row is poorer for its
budget; at ``paper`` for the printed shares of that."""


class CalorieColumn(TrainedColumn):
    """A column of a calorie table.

    Attributes:
        data: with calories and, but for the large set, categories.
        train_images: how many training images it has.
        portions: groups among its training and its test images.
        unit: mean kcal of the training images.
        categories: their names.
        other: the set that joint learning learns from.
        other_images: its training images.
        other_categories: how many categories it has.
        backbones: all of a table that compares some.
        fully_connected: whether the backbone has fc6 and fc7.
        width: of the layer that each task has for itself where the backbone has none.
        shares: steps of the category network and of joint learning, as shares of the regression's.
        joint_lr: rate of joint learning.
        averaging: see :class:`mtlkit.papers.calorie.options.CalorieOptions`.
        balance: see there.
    """

    data: Data
    train_images: int
    portions: tuple[int, int]
    unit: float
    categories: tuple[str, ...]
    other: Data | None = None
    other_images: int = 0
    other_categories: int = 0
    backbones: tuple[str, ...] = ()
    fully_connected: FullyConnected = "none"
    width: int
    shares: tuple[float, float]
    joint_lr: float
    averaging: Averaging = "estimates"
    balance: Balancing = "all"

    @property
    def networks(self) -> str:
        """The backbone's name, or all of Table 1's."""
        return ", ".join(self.backbones) or self.backbone

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        # By default joint learning learns from the same set, or from other drawn portions; then one set is named.
        others = [] if self.other is None else [self.other]
        second = [one for one in others if one != self.data and not (one.drawn and self.data.drawn)]
        columns = self.data.columns and self.data.columns.model_dump(exclude_none=True, exclude_unset=True)
        return super().decided() | {
            **sets_of(self.data, *second),
            "columns": columns or None,
            "averaging": self.averaging,
            "balance": self.balance,
            "on_error": on_error_of(self.data),
        }


def which_set(table: str) -> Literal["15", "all"]:
    """The paper's small set of 15 categories, or its large one of all kinds of food."""
    return "all" if table in LARGE_SET else "15"


def named(options: CalorieOptions) -> list[tuple[str, Path | None]]:
    """The reader's data sets, each a name and its folder: the one with calories, then the one that joint learning
    learns from, if there is one.

    Raises:
        InputError: for an unknown name, or when there are more or fewer names or folders than data sets.
    """
    names, roots = options.dataset or (), list(options.data_root or ())
    for name, known in zip(names, (CALORIE_SETS, CALORIE_SETS | IMAGE_LAYOUTS.keys()), strict=False):
        if name not in known:
            raise unknown("data set", name, sorted(known))
    folders = sum(name != "plates" for name in names)
    if len(names) > 2 or len(roots) not in (folders, 0):
        raise InputError(
            f"The data sets {', '.join(names)} take {folders} {'folder' if folders == 1 else 'folders'} in data_root, "
            f"not {len(roots)}; a second set is what joint learning learns from."
        )
    return [(name, None if name == "plates" or not roots else roots.pop(0)) for name in names]


def described(
    options: CalorieOptions,
    name: str,
    root: Path | None,
    size: tuple[int, int],
    *,
    task: str = "calories",
    columns: Columns | None = None,
    test_share: float = TEST_SHARE["15"],
    part: Literal["all", "development"] = "all",
    seed: int = 0,
) -> Data:
    """A data set as a value.

    Raises:
        InputError: for a missing folder, or one that is not what the layout asks for.
    """
    own = options.model_copy(update={"dataset": (name,), "data_root": root and (root,)})
    portions, faulty = BUDGETS[options.profile].portions, FAULTY[options.on_error]
    known = CALORIE_SETS | IMAGE_LAYOUTS.keys()
    found = source(own, plates, known, images=portions, seed=seed, size=size)
    if found.layout in IMAGE_LAYOUTS:
        images = (IMAGE_LAYOUTS[found.layout](found.root, split, (task,)) for split in SPLITS)
        return found.data(images, size=size, part=part)
    tables = (Manifest(found.root, split, (task,), columns, val_share=test_share, faulty=faulty) for split in SPLITS)
    return found.data(tables, size=size, columns=columns, test_share=test_share, faulty=faulty, part=part)


def calorie_column(table: str, given: CalorieOptions) -> CalorieColumn:
    """A reader's options as a column of a calorie table."""
    options, budget = given.filled(table), BUDGETS[given.profile]
    settled, several = Settled.of(options), table in SEVERAL_TRUNKS
    if several and settled.weights not in ("none", "timm"):
        raise InputError(f"Table {table} compares three backbones, whose weights no single file holds: none or timm.")
    own = SMALL_TRUNKS if options.profile == "smoke" else TRUNKS
    size = settled.size
    (name, root), *second = named(options)
    first = root
    columns = Columns.named(options.columns)
    if table in LARGE_SET:
        columns = (columns or Columns()).model_copy(update={"category": None})
    if second and table not in WITH_JOINT_LEARNING:
        raise InputError(f"Table {table} takes one data set: it has no joint learning for a second one.")
    share, part = TEST_SHARE[which_set(table)], PARTS[options.split]
    data = described(options, name, root, size, columns=columns, test_share=share, part=part)
    train, val = (data.split(split, reads(table)) for split in SPLITS)
    other = None
    if table in WITH_JOINT_LEARNING:
        if not second and name != "plates":
            other = data
        else:
            name, root = second[0] if second else ("plates", None)
            # Of the set that is scored on a development part, joint learning must not see that part either.
            own_part = part if root and first and root.resolve() == first.resolve() else "all"
            other = described(options, name, root, size, task="category", seed=1, part=own_part)
    learned = other.split("train", ("category",)) if other else None
    start = weights(settled.weights)
    return CalorieColumn(
        paper="calorie",
        table=table,
        profile=options.profile,
        data=data,
        train_images=len(train),
        portions=(len(set(groups_of(train))), len(set(groups_of(val)))),
        unit=mean_kcal(data, train),
        categories=train.classes,
        other=other,
        other_images=len(learned) if learned else 0,
        other_categories=len(learned.classes) if learned else 0,
        backbone=settled.backbone,
        backbones=own if several else (),
        weights=start,
        fully_connected=fully_connected(settled.backbone, start),
        width=budget.width,
        recipe=calorie_recipe(table, settled, max(SNAPSHOTS, settled.steps(len(train))), budget),
        epochs=settled.epochs,
        shares=budget.shares,
        joint_lr=budget.joint_lr,
        averaging=options.averaging,
        balance=options.balance,
        seeds=settled.seeds,
    )


def mean_kcal(data: Data, train: DataSet) -> float:
    """The mean energy of training images in kcal, to a tenth; networks estimate in multiples of it.

    Raises:
        InputError: it is not above 0, or infinite.
    """
    values = values_of(train)
    with np.errstate(over="ignore"):  # the sum is of 32 bits
        mean = round(float(values.mean()), 1)
    if not 0 < mean < math.inf:
        column = (data.columns or Columns()).kcal
        raise InputError(
            f"The mean of column {column!r} over the {len(values)} training images of {data.name} is {mean:g}; "
            "networks estimate in multiples of it, so it needs to be a finite number of kcal, at least 0.1."
        )
    return mean


def printed_calorie_column(table: str) -> CalorieColumn:
    """The column of a table's printed networks, without data: for counting and for building."""
    budget, settled = BUDGETS["paper"], Settled.of(CalorieOptions(profile="paper").filled(table))
    which = which_set(table)
    images = PRINTED_IMAGES[which]
    data = Data(layout="manifest", name="recipes", fingerprint="", size=settled.size, test_share=TEST_SHARE[which])
    return CalorieColumn(
        paper="calorie",
        table=table,
        profile="paper",
        data=data,
        train_images=images[0],
        portions=images,
        unit=300.0,
        categories=() if which == "all" else tuple(map(str, range(15))),
        other=data if table in WITH_JOINT_LEARNING else None,
        other_categories=15,
        backbone=settled.backbone,
        backbones=TRUNKS if table in SEVERAL_TRUNKS else (),
        weights=Weights(source="timm"),
        fully_connected=fully_connected(settled.backbone, Weights(source="timm")),
        width=budget.width,
        recipe=calorie_recipe(table, settled, PRINTED_STEPS[which], budget),
        epochs=settled.epochs,
        shares=budget.shares,
        joint_lr=budget.joint_lr,
        seeds=(0,),
    )


def reads(table: str) -> tuple[str, ...]:
    """What a table asks its calorie set for."""
    return ("calories",) if table in LARGE_SET else ("calories", "category")


def fully_connected(backbone: str, start: Weights) -> FullyConnected:
    """fc6 and fc7 where the backbone has them and its start weights do; a file may end with the convolutions."""
    if not has_fc_layers(backbone) or start.source == "none":
        return "none"
    return "none" if start.path and ends_with_convolutions(backbone, start.path) else "plain"


def calorie_recipe(table: str, settled: Settled, steps: int, budget: Budget) -> Recipe:
    """SGD with momentum 0.9 and a tenth of the rate in the second phase, as printed; no weight decay is.

    Images are fitted into the frame and mirrored and their colours changed, but not scaled: how large a dish looks
    is what tells how much there is.
    """
    return Recipe(
        steps=steps,
        batch_size=settled.batch_size,
        accumulate=settled.accumulate,
        optimizer=budget.optimizer,
        lr=settled.lr,
        schedule="step",
        milestones=(FIRST_PHASE[which_set(table)],),
        augmentation=Augmentation(
            size=settled.size, scale_min=1.0, scale_max=1.0, scale_of="frame", jitter=budget.jitter
        ),
        precision=settled.precision,
    )


# --- networks and their evaluations ---


def network(column: CalorieColumn, tasks: tuple[AnyTask, ...], backbone: str | None = None) -> NetworkSettings:
    """A network with layers of its own for every task: fc7 where there is one, else one hidden layer."""
    name = backbone or column.backbone
    full = column.fully_connected != "none" and has_fc_layers(name)
    return NetworkSettings(
        backbone=name,
        weights=column.weights,
        fully_connected=column.fully_connected if full else "none",
        tasks=tasks,
        sharing=HardSharing.Settings(split_after=-1) if full and len(tasks) > 1 else HardSharing.Settings(),
        head=Exit.Settings(width=None if full else column.width),
        image_size=column.data.size,
    )


def regression(column: CalorieColumn, seed: int, *, category: bool, backbone: str | None = None) -> Node:
    """Calories by a network that is trained twice: first to see how large the losses are, then with weights by that.

    The first run measures the absolute error in mean dishes, or its gradient would be hundreds of times the others';
    its seed is always 0, so that a seed's training does not depend on which others are asked for.
    """
    calories = Calories(unit=column.unit)
    tasks: tuple[AnyTask, ...] = (calories, classification(column)) if category else (calories,)
    shape = network(column, tasks, backbone)
    first = Training(
        network=shape,
        data=column.data,
        recipe=column.recipe.model_copy(update={"loss_weights": {"calories/absolute": 1 / column.unit}}),
        seed=0,
    )
    tail = SNAPSHOTS * apart(column)
    last = None if column.balance == "all" else max(1, tail // CHECK_EVERY)
    training = Training(
        network=shape,
        data=column.data,
        recipe=column.recipe,
        seed=seed,
        balance=EarlierLosses(run=first, one="calories/relative", last=last),
    )
    if column.averaging == "last":
        return TestEvaluation(subject=training, data=column.data)
    return SnapshotEnsemble(
        snapshots=snapshots(training, column.data, count=SNAPSHOTS, every=apart(column)),
        average="predictions" if column.averaging == "estimates" else "scores",
    )


def apart(column: CalorieColumn) -> int:
    """Steps between two snapshots."""
    return max(1, 100 * column.recipe.steps // PRINTED_STEPS[which_set(column.table)])


def classification(column: CalorieColumn) -> Classification:
    """The food category."""
    return Classification(name="category", classes=len(column.categories))


def categories(column: CalorieColumn, seed: int) -> Training:
    """A network that names the category and knows nothing of calories."""
    return Training(
        network=network(column, (classification(column),)),
        data=column.data,
        recipe=column.recipe.model_copy(
            update={"steps": max(1, round(column.shares[0] * column.recipe.steps)), "schedule": "constant"}
        ),
        seed=seed,
    )


def stage(column: CalorieColumn, layer: Literal["fc6", "fc7"]) -> int:
    """The stage that stands for a layer: itself where there is one, else the last stage for fc6, which the paper
    goes on with, and the one before for fc7."""
    if column.fully_connected != "none":
        return {"fc6": -2, "fc7": -1}[layer]
    return {"fc6": -1, "fc7": -2}[layer]


def embedding(column: CalorieColumn, layer: Literal["fc6", "fc7"], classes: int) -> NetworkSettings:
    """A network whose features of one layer images are compared by."""
    return NetworkSettings(
        backbone=column.backbone,
        weights=column.weights,
        fully_connected=column.fully_connected,
        tasks=(Embedding(name="category", classes=classes),),
        head=EmbeddingHead.Settings(stage=stage(column, layer)),
        image_size=column.data.size,
    )


def joint_learning(column: CalorieColumn, seed: int) -> Training:
    """The features by ranking and classification on the other set; a step sees eight triplets' images in print.

    Triplets are made within a batch, so its step is never cut into several.
    """
    assert column.other is not None
    images = column.recipe.images_a_step
    batch_size = IMAGES_A_TRIPLET * images if column.profile == "paper" else images
    return Training(
        network=embedding(column, "fc6", column.other_categories),
        data=column.other,
        recipe=column.recipe.model_copy(
            update={
                "steps": max(1, round(column.shares[1] * column.recipe.steps)),
                "batch_size": batch_size,
                "accumulate": 1,
                "samples_per_class": SAMPLES_PER_CLASS,
                "lr": column.joint_lr,
                "schedule": "constant",
            }
        ),
        seed=seed,
    )


def untrained(column: CalorieColumn, layer: Literal["fc6", "fc7"], k: int) -> Retrieval:
    """Retrieval by features that have never been trained on food."""
    # The classifier of these networks is never looked at.
    subject = embedding(column, layer, 1)
    return Retrieval(features=FeatureExtraction(subject=subject, data=column.data, reads=reads(column.table)), k=k)


def joint(column: CalorieColumn, seed: int, k: int) -> Retrieval:
    """Retrieval by features of joint learning."""
    features = FeatureExtraction(subject=joint_learning(column, seed), data=column.data, reads=reads(column.table))
    return Retrieval(features=features, k=k)


def layer_name(column: CalorieColumn, layer: Literal["fc6", "fc7"]) -> str:
    """What stands for a layer in this column's network."""
    return layer if column.fully_connected != "none" else {"fc6": "last stage", "fc7": "stage before"}[layer]


# --- tables ---


def constants(column: CalorieColumn) -> Constant:
    """Never looks at the image."""
    tasks: tuple[AnyTask, ...] = (Calories(unit=column.unit),)
    if column.categories:
        tasks = (*tasks, classification(column))
    return Constant(tasks=tasks, data=column.data)


def routes(column: CalorieColumn, seed: int) -> list[Row]:
    """Table 4: regression against retrieval, and what the category alone gives."""
    return [
        Row("constant", "Constant", (constants(column),), "one number for every image", printed=False),
        Row("given", "Category mean, category given", (CategoryMean(subject=None, data=column.data),),
            "the mean of the true category's training images", printed=False),
        Row("baseline", "Category mean", (CategoryMean(subject=categories(column, seed), data=column.data),),
            "a network names the category; the mean of its training images"),
        Row("vgg16_single", "Regression", (regression(column, seed, category=False),), "calories alone"),
        Row("vgg16_multi", "Regression and category", (regression(column, seed, category=True),),
            "one trunk, layers of its own for each task"),
        Row("untrained_k10", "Retrieval, features as they come (k=10)", (untrained(column, "fc6", 10),),
            f"{layer_name(column, 'fc6')} of the backbone's start weights", printed=False),
        *(
            Row(f"joint_k{k}", f"Retrieval, joint learning (k={k})", (joint(column, seed, k),),
                f"mean of the {k} nearest training images by features trained on {learnt_from(column)}")
            for k in NEIGHBOURS
        ),
    ]  # fmt: skip


def trunks(column: CalorieColumn, seed: int) -> list[Row]:
    """Table 1: three backbones, each with calories alone and with categories beside them."""
    rows = [Row("constant", "Constant", (constants(column),), "one answer for every image", printed=False)]
    for category, mode, what in ((False, "single", "calories alone"), (True, "multi", "with categories")):
        for own, name in zip(TRUNKS, column.backbones, strict=True):
            scored = regression(column, seed, category=category, backbone=name)
            rows.append(Row(f"{own}_{mode}", f"{name}, {what}", (scored,), "one trunk" if category else "one network"))
    return rows


def learnt_from(column: CalorieColumn) -> str:
    """What joint learning learns from, for a row's description."""
    return "these very images" if column.other == column.data else "another set"


def layers(column: CalorieColumn, seed: int, ks: tuple[int, ...]) -> list[tuple[str, str, Retrieval, str]]:
    """Id, label, evaluation and what is special for every printed feature and number of neighbours."""
    sources: list[tuple[str, str, Callable[[int], Retrieval], str]] = [
        *(
            (f"imagenet_{layer}", f"start weights, {layer_name(column, layer)}", partial(untrained, column, layer),
             "never trained on food")
            for layer in LAYERS
        ),
        ("uecfood100_fc6", f"joint learning, {layer_name(column, 'fc6')}", partial(joint, column, seed),
         f"trained on {learnt_from(column)}"),
    ]  # fmt: skip
    return [(f"{key}_k{k}", f"{label}, k={k}", make(k), what) for key, label, make, what in sources for k in ks]


def precisions(column: CalorieColumn, seed: int) -> list[Row]:
    """Table 2: how many of the neighbours are of the query's category."""
    return [
        Row(key.removesuffix("_k10"), label.removesuffix(", k=10"), (found,), what)
        for key, label, found, what in layers(column, seed, (10,))
    ]


def neighbours(column: CalorieColumn, seed: int) -> list[Row]:
    """Table 3: calories by retrieval, over features and numbers of neighbours."""
    return [Row(key, label, (found,), what) for key, label, found, what in layers(column, seed, NEIGHBOURS)]


def large_set(column: CalorieColumn, seed: int) -> list[Row]:
    """Table 5: images of every kind of food, without categories."""
    return [
        Row("constant", "Constant", (constants(column),), "one number for every image", printed=False),
        *(
            Row(f"imagenet_{layer}_k10", f"start weights, {layer_name(column, layer)}, k=10",
                (untrained(column, layer, 10),), "never trained on food")
            for layer in LAYERS
        ),
        Row("vgg16_single", "Regression", (regression(column, seed, category=False),), "calories alone"),
    ]  # fmt: skip


def calorie_protocol(column: CalorieColumn) -> list[tuple[str, str]]:
    """What differs between the paper's measurement and ours."""
    recipe, data = column.recipe, column.data
    baseline, learning = (round(share * recipe.steps) for share in column.shares)
    lines = [
        (
            "Data",
            f"{data.name} ({data.fingerprint}), {column.train_images} training images"
            + (f", {len(column.categories)} categories" if column.categories else ", categories not read"),
        ),
        ("Split", f"by portion, none on both sides: {column.portions[0]} and {column.portions[1]} portions"),
        ("Resolution", f"{data.size[0]}x{data.size[1]}, fitted in with the image's proportions"),
        ("Network", column.networks),
        ("Start", column.start_line),
        (
            "Layers a task has for itself",
            "fc7 and the output"
            if column.fully_connected != "none"
            else f"one hidden layer of {column.width} behind global pooling, and the output",
        ),
        ("Loss of calories", f"the same, relative to at least {FLOOR:g} kcal"),
        (
            "Weights of the terms",
            "inverse "
            + ("means" if column.balance == "all" else "last values")
            + f" of a first run that takes absolute errors in mean dishes ({column.unit:g} kcal); relative error 1",
        ),
        (
            "Budget",
            f"{recipe.steps} steps of {recipe.images_a_step} at {recipe.lr:g}, the last "
            f"{1 - recipe.milestones[0]:.0%} at a tenth; the first run as long",
        ),
        ("Optimiser", "SGD, momentum 0.9" if recipe.optimizer == "sgd" else "Adam"),
        (
            "Estimate",
            {
                "estimates": "mean of ten snapshots' estimates",
                "scores": "mean of ten snapshots' scores",
                "last": "of the last snapshot",
            }[column.averaging]
            + f", {apart(column)} steps apart",
        ),
    ]
    if column.other is not None:
        kept = {"fc6": layer_name(column, "fc6"), "fc7": layer_name(column, "fc7")}
        pooled = "" if column.fully_connected != "none" else ", averaged over its pixels"
        lines += [
            ("Features", f"{kept['fc6']} for fc6, {kept['fc7']} for fc7{pooled}"),
            (
                "Joint learning",
                f"stand-in: {column.other.name} ({column.other.fingerprint}), {column.other_images} training images, "
                f"{column.other_categories} categories; {learning} steps at {column.joint_lr:g}, all triplets of each",
            ),
            ("Margin", f"{Embedding.model_fields['margin'].default:g}"),
            (
                "AP at k",
                "divided by the hits found, averaged over each category's queries, then over categories (inferred)",
            ),
        ]
    if column.table == "4":
        lines.append(("Category network", f"{baseline} steps at {recipe.lr:g}"))
    return [
        *lines,
        ("Near 0 kcal", f"truths below {FLOOR:g} kcal are counted, and their relative error is taken of {FLOOR:g}"),
        ("Checkpoint scored", "the last ten" if column.averaging != "last" else "the last"),
    ]


_ERRORS = {name: f"calories/{name}" for name in ("rel_err", "abs_err", "corr", "within20")}

_BESIDE = (
    Extra("calories/rel_err_median", "Relative error, median", "Calories", "%", "lower"),
    Extra("calories/abs_err_median", "Absolute error, median", "Calories", "kcal", "lower"),
    Extra("calories/within40", "Within 40 %", "Calories", "%", "higher"),
    Extra("calories/floored", "Near 0 kcal", "Calories", "images", "lower"),
)
_LAST = (
    Extra("last/calories/rel_err", "Relative error", "Last snapshot alone", "%", "lower"),
    Extra("last/calories/abs_err", "Absolute error", "Last snapshot alone", "kcal", "lower"),
)
_TOP = Extra("category/accuracy", "Top-1", "Category", "%", "higher")
_PRECISION = tuple(Extra(f"retrieval/map{k}", f"mAP@{k}", "Retrieval", "%", "higher") for k in (1, 5, 10))


def _table(
    identifier: str,
    measures: dict[str, str],
    rows: Callable[[CalorieColumn, int], list[Row]],
    systems: dict[str, str],
    extras: tuple[Extra, ...],
) -> Table:
    return Table(
        paper="calorie",
        id=identifier,
        measures=measures,
        columns=CalorieColumn,
        column=partial(calorie_column, identifier),
        rows=rows,
        ours=calorie_protocol,
        meta_column=partial(printed_calorie_column, identifier),
        extras=extras,
        systems=systems,
    )


TABLES = (
    _table(
        "1", _ERRORS | {"top1": "category/accuracy"}, trunks, {"S03": "resnet101_multi"}, (*_BESIDE, *_LAST)
    ),
    _table(
        "2", {f"map{k}": f"retrieval/map{k}" for k in (1, 5, 10)}, precisions,
        {"S10": "uecfood100_fc6", "S11": "uecfood100_fc6", "S16": "imagenet_fc6"},
        (Extra("retrieval/top1", "Nearest of its category", "Retrieval", "%", "higher"),),
    ),
    _table(
        "3", _ERRORS, neighbours, {"S08": "imagenet_fc6_k10", "S09": "imagenet_fc7_k15"}, _BESIDE
    ),
    _table(
        "4", _ERRORS, routes,
        {"S01": "vgg16_single", "S02": "vgg16_multi", "S04": "vgg16_multi", "S05": "vgg16_single",
         "S06": "vgg16_multi", "S07": "vgg16_single", "S12": "baseline", "S13": "baseline", "S15": "baseline"},
        (*_BESIDE, *_LAST, _TOP, *_PRECISION),
    ),
    _table("5", _ERRORS | {"within40": "calories/within40"}, large_set, {"S14": "vgg16_single"}, _BESIDE[:2]),
)  # fmt: skip
