"""What a reader may choose for the tables of food calories, and what they take otherwise."""

from typing import Annotated, Any, ClassVar, Literal

from mtlkit.papers.options import (
    BACKBONE,
    DATA_ROOT,
    DATASET,
    LR,
    ON_ERROR,
    Folders,
    Mapped,
    Names,
    OnError,
    Option,
    Options,
    Profile,
    Rate,
    Text,
)

Averaging = Literal["estimates", "scores", "last"]
Balancing = Literal["all", "end"]

TRUNKS = ("vgg16", "resnet50", "resnet101")
"""The printed backbones, the first of which is all tables' but the first."""

SMALL_TRUNKS = ("resnet10t", "mobilenetv3_small_050", "resnet18")
"""Those at ``smoke``."""

WITH_REGRESSION = ("1", "4", "5")
"""Tables with a network that is trained twice, and the estimates of its snapshots."""

DISHES: dict[Profile, dict[str, Any]] = {
    "smoke": {"weights": "none", "image_size": (64, 64), "epochs": 1.0, "batch_size": 16, "lr": 1e-3, "seeds": (0,)},
    "lite": {
        "weights": "timm", "image_size": (96, 96), "epochs": 30.0, "batch_size": 16, "lr": 1e-2, "seeds": (0, 1, 2),
    },
    # 70,000 steps of 8 are 164 passes over the 3,414 training images.
    "paper": {
        "weights": "timm", "image_size": (224, 224), "epochs": 164.0, "batch_size": 8, "lr": 1e-3,
        "seeds": (0, 1, 2),
    },
}  # fmt: skip
"""What every table takes."""

LARGE_EPOCHS = 29.08
"""Of the large set's table at ``paper``: 200,000 steps of 8 are 29.08 passes over its 55,019 training images."""

LARGE_SET = ("5",)
"""The table of the large set, which has no categories, and a length, a drop of the rate and a split of its own."""


class CalorieOptions(Options):
    """What a reader may choose for this paper's tables.

    Attributes:
        columns: what the table of the reader's calorie set calls its columns: kcal, category, group, image, split.
        averaging: what is averaged over the last ten snapshots of a regression: the ``estimates`` of each image,
            the ``scores``, or nothing (``last``).
        balance: which losses of the first run give the weights: ``all``, or those of its ``end``.
        on_error: whether a faulty row of a table is an error or is skipped.
    """

    paper: ClassVar[str] = "calorie"
    tables: ClassVar[tuple[str, ...]] = ("1", "2", "3", "4", "5")
    first_tables: ClassVar[tuple[str, ...]] = ("4",)
    tables_help: ClassVar[str] = (
        "tables to run, a number or a list: 1 (backbones), 2 and 3 (retrieval), 4 (both roads), 5 (no categories)"
    )
    rows_help: ClassVar[str] = (
        "rows of table 4: constant, given, baseline, vgg16_single, vgg16_multi, untrained_k10, joint_k5, joint_k10, "
        "joint_k15"
    )

    dataset: Annotated[
        Names | None,
        DATASET.says(
            "plates (drawn) or manifest; then, if you like, what joint learning learns from: plates, manifest, "
            "imagefolder"
        ),
    ] = None
    data_root: Annotated[Folders | None, DATA_ROOT.says("a folder for each of these that is not drawn")] = None
    backbone: Annotated[Text | None, BACKBONE.only("2", "3", "4", "5", t1="compares three backbones of its own")] = None
    lr: Annotated[Rate | None, LR.says("learning rate of the regressions and of the category network")] = None
    columns: Annotated[
        Mapped | None,
        Option(
            "your table's columns, such as kcal=energy,category=food,group=portion",
            "field=name pairs, such as kcal=energy,category=food",
        ),
    ] = None
    averaging: Annotated[
        Averaging,
        Option("over the last ten snapshots: estimates (of each image), scores, or last (no averaging)").only(
            *WITH_REGRESSION
        ),
    ] = "estimates"
    balance: Annotated[
        Balancing,
        Option("which losses of the first run give the weights of the second: all, or those of its end").only(
            *WITH_REGRESSION
        ),
    ] = "all"
    on_error: Annotated[OnError, ON_ERROR] = "raise"

    def defaults(self, table: str) -> dict[str, Any]:
        """What the table takes at this profile for options that are not given."""
        own = SMALL_TRUNKS if self.profile == "smoke" else TRUNKS
        found = {
            "dataset": self.source(("plates",), "manifest", ("manifest",)),
            "backbone": own[0],
        } | DISHES[self.profile]
        return found | {"epochs": LARGE_EPOCHS} if table in LARGE_SET and self.profile == "paper" else found
