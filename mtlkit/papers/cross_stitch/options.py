"""What a reader may choose for the tables of the cross-stitch paper, and what they take otherwise."""

from typing import Annotated, Any, ClassVar, Literal

from mtlkit.papers.options import (
    BACKBONE,
    DATASET,
    OBJECTIVE,
    ON_ERROR,
    OUTPUT_STRIDE,
    Count,
    Names,
    OnError,
    Option,
    Options,
    Profile,
    Text,
)

SCENE_TABLES = ("1", "2", "3", "5")
"""The tables on the networks of Table 5."""

FULLY_CONNECTED = Option(
    "fc6 and fc7 of alexnet and the vgg networks, and 100 pixels around the image for them", "true or false"
)

UnitsAfter = Literal["pools", "convolutions"]
"""Where the units of cross-stitch networks stand, beside fc6 and fc7."""

SMOKE_EPOCHS_NAMED = 2
"""Epochs of these at ``smoke`` for a backbone that the reader names, which may be far larger than the default."""

SCENES: dict[Profile, dict[str, Any]] = {
    "smoke": {
        "backbone": "mobilenetv3_small_050", "weights": "none", "image_size": (64, 80), "epochs": 1.25,
        "batch_size": 8, "lr": 1e-2, "seeds": (0,),
    },
    # With the truth in every cell of AlexNet's map 20 real frames score 42 % mean IoU at 120x160, 64 % at 240x320.
    "lite": {
        "backbone": "alexnet", "weights": "timm", "image_size": (240, 320), "epochs": 60.0, "batch_size": 8,
        "lr": 1e-3, "seeds": (0, 1, 2),
    },
    # 25,000 steps of 20 images are 628.9 passes over the 795 training frames.
    "paper": {
        "backbone": "alexnet", "weights": "timm", "image_size": (480, 640), "epochs": 628.9, "batch_size": 20,
        "lr": 1e-4, "seeds": (0, 1, 2),
    },
}  # fmt: skip
"""What tables of scenes take."""

OBJECTS: dict[Profile, dict[str, Any]] = {
    "smoke": {
        "backbone": "mobilenetv3_small_050", "weights": "none", "image_size": (96, 128), "epochs": 0.75,
        "batch_size": 4, "lr": 1e-2, "seeds": (0,),
    },
    "lite": {
        "backbone": "alexnet", "weights": "timm", "image_size": (288, 384), "epochs": 30.0, "batch_size": 2,
        "lr": 1e-3, "seeds": (0, 1, 2),
    },
    # 40,000 steps of 2 images are 37.9 passes over the 2,113 training images.
    "paper": {
        "backbone": "alexnet", "weights": "timm", "image_size": (800, 800), "epochs": 37.9, "batch_size": 2,
        "lr": 1e-3, "seeds": (0, 1, 2),
    },
}  # fmt: skip
"""What the table of objects takes."""


def scene_defaults(options: Options) -> dict[str, Any]:
    """What a table of scenes with this paper's settings takes."""
    named = options.profile == "smoke" and options.backbone is not None
    return {
        "dataset": options.source(("rooms",), "folder", ("nyuv2",)),
        **SCENES[options.profile],
        **({"epochs": float(SMOKE_EPOCHS_NAMED)} if named else {}),
    }


class CrossStitchOptions(Options):
    """What a reader may choose for a table of this paper.

    Attributes:
        output_stride: image pixels a pixel of the last stage stands for.
        units_after: where the units of all cross-stitch networks of Tables 1, 2 and 3 stand.
        fully_connected: whether fc6 and fc7 of AlexNet and VGG are there.
        objective: how the losses of networks of several tasks become one gradient, see :mod:`mtlkit.objectives`.
        on_error: whether a faulty row of Table 6's lists is an error or is skipped.
    """

    paper: ClassVar[str] = "cross_stitch"
    tables: ClassVar[tuple[str, ...]] = (*SCENE_TABLES, "6")
    first_tables: ClassVar[tuple[str, ...]] = ("5", "6")
    tables_help: ClassVar[str] = (
        "tables to run, a number or a list: 1 (starts of units), 2 (rates of units), 3 (starts of networks), "
        "5 (scenes), 6 (objects)"
    )
    rows_help: ClassVar[str] = (
        "rows: constant, one_task, one_task_longer, ensemble, split_1, ..., best_split, mtl_shared, each with "
        "_longer, cross_stitch, cross_stitch_regions (6), each with _no_exchange; s09_d01, ... (1), scale_100, ... "
        "(2), imagenet (3)"
    )

    dataset: Annotated[
        Names | None,
        DATASET.says("rooms (drawn), folder, npy or nyuv2; table 6: parts (drawn) or apascal"),
    ] = None
    backbone: Annotated[Text | None, BACKBONE.says("a timm network, or alexnet")] = None
    output_stride: Annotated[Count | None, OUTPUT_STRIDE.only(*SCENE_TABLES, t6="looks at regions")] = None
    units_after: Annotated[
        UnitsAfter,
        Option("what units stand after: pools, or convolutions (every one, in front of its pool); fc6 and fc7").only(
            "1", "2", "3", t5="has rows of units after convolutions", t6="has units up to the pooling of regions"
        ),
    ] = "pools"
    fully_connected: Annotated[bool, FULLY_CONNECTED.only(*SCENE_TABLES, t6="looks at regions through them")] = True
    objective: Annotated[Text, OBJECTIVE.only(*SCENE_TABLES, t6="has one way to join its losses")] = "fixed"
    on_error: Annotated[OnError, ON_ERROR.only("6")] = "raise"

    def defaults(self, table: str) -> dict[str, Any]:
        """What the table takes at this profile for options that are not given."""
        if table in SCENE_TABLES:
            return scene_defaults(self)
        return {"dataset": self.source(("parts",), "apascal", ("apascal",)), **OBJECTS[self.profile]}
