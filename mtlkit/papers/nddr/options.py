"""What a reader may choose for the tables of NDDR-CNN, and what they take otherwise."""

from typing import Annotated, Any, ClassVar, Literal

from mtlkit.papers.cross_stitch.options import FULLY_CONNECTED, scene_defaults
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
    Rate,
    Text,
    Weight,
)

SCENE_TABLES = ("1", "2", "3", "4", "5", "6", "A2")
"""The tables on the network of Table 4."""

SLUICE_TABLES = ("4", "5", "6", "7", "A1")
"""The tables with a sluice network."""

SLUICE_PENALTY = 0.1
"""The weight on the page of the sluice authors' code (https://github.com/sebastianruder/sluice-networks), whose penalty
multiplies the matrices the other way round; see :meth:`mtlkit.fusion.Sluice.penalty`."""

SCENES: dict[Profile, dict[str, Any]] = {
    "smoke": {
        "weights": "none", "image_size": (64, 80), "epochs": 1.0, "batch_size": 8, "lr": 1e-2, "seeds": (0,),
    },
    "lite": {
        "weights": "timm", "image_size": (120, 160), "epochs": 60.0, "batch_size": 8, "lr": 1e-3, "seeds": (0, 1, 2),
    },
    # 20,001 steps of 10 images are 251.6 passes over the 795 training frames.
    "paper": {
        "weights": "timm", "image_size": (480, 640), "epochs": 251.6, "batch_size": 10, "lr": 1e-3,
        "seeds": (0, 1, 2),
    },
}  # fmt: skip
"""What tables of scenes take."""

FACES: dict[Profile, dict[str, Any]] = {
    "smoke": {
        "weights": "none", "image_size": (48, 48), "epochs": 0.75, "batch_size": 16, "lr": 2e-3, "seeds": (0,),
    },
    "lite": {
        "weights": "timm", "image_size": (64, 64), "epochs": 30.0, "batch_size": 32, "lr": 1e-3, "seeds": (0, 1, 2),
    },
    # 20,001 steps of 10 are 1.227 passes over the 163,013 printed training images.
    "paper": {
        "weights": "timm", "image_size": (224, 224), "epochs": 1.227, "batch_size": 10, "lr": 1e-3,
        "seeds": (0, 1, 2),
    },
}  # fmt: skip
"""What the table of faces takes."""

Normed = Literal["every", "inner", "none"]
"""Which NDDR layers have a batch norm; inner ones are those that are not right in front of a linear classifier."""

PRINTED = {"vgg16_bn": "vgg16"}
"""Backbone -> its name in print: the authors' VGG-16 carries batch norm after every convolution."""


def own_backbone(table: str, profile: Profile) -> str:
    """The backbone of a table that is not on AlexNet."""
    if profile == "smoke":
        return "mobilenetv3_small_050"
    if table == "5":
        return "resnet101"
    return "vgg16_bn" if profile == "paper" else "vgg16"


class NDDROptions(Options):
    """What a reader may choose for a table of this paper.

    Attributes:
        output_stride: image pixels a pixel of the last stage stands for.
        fully_connected: whether Table A1's AlexNet or VGG has fc6 and fc7.
        tasks: two or three of segmentation, normals and depth.
        fused_epochs: passes over the training images of networks that start from trained ones; ``None``: as many as
            these had.
        units_lr: the rate that the fusion units' multipliers multiply, 0.001 in the paper; ``None``: the base rate.
        objective: how the losses of networks of several tasks become one gradient, see :mod:`mtlkit.objectives`.
        voc_weights: a safetensors file with a backbone trained for segmentation on PASCAL VOC 2012; without it a
            network trained on drawn people and things stands in.
        sluice_penalty: what weighs the orthogonality of a sluice network's subspaces. The print says nothing of it; the
            default is of the sluice authors' page, for two matrices of an LSTM. Convolutions have many more filters:
            with ImageNet weights it begins at 310 for a VGG-16 and at 22 for a MobileNetV2, beside losses of 2 to 5.
        nddr_norm: which NDDR layers have a batch norm. Right in front of a trained linear classifier the norm rescales
            what it takes in; ``inner`` leaves it out there, ``none`` everywhere.
        on_error: whether a faulty image of Table 7's data set is an error or is skipped.
    """

    paper: ClassVar[str] = "nddr"
    tables: ClassVar[tuple[str, ...]] = ("1", "2", "3", "4", "5", "6", "7", "A1", "A2")
    first_tables: ClassVar[tuple[str, ...]] = ("4", "7")
    tables_help: ClassVar[str] = "tables to run, a number or a list: 1, 2, 3, 4, 5, 6, 7, A1, A2"
    rows_help: ClassVar[str] = (
        "rows: constant, tilted, single, single_longer, joint_recipe, multi, multi_longer, cross_stitch, "
        "cross_stitch_no_exchange, sluice, sluice_no_exchange, nddr, no_exchange"
    )

    dataset: Annotated[
        Names | None,
        DATASET.says("rooms (drawn), folder, npy or nyuv2; table 7: faces (drawn), utkface or imdb_wiki"),
    ] = None
    backbone: Annotated[Text | None, BACKBONE.says("a timm network, or alexnet")] = None
    output_stride: Annotated[Count | None, OUTPUT_STRIDE.only(*SCENE_TABLES, "A1", t7="has one class per image")] = None
    fully_connected: Annotated[
        bool, FULLY_CONNECTED.only("A1", **{f"t{one}": "is on other networks" for one in (*SCENE_TABLES, "7")})
    ] = True
    tasks: Annotated[
        Names | None,
        Option("two or three of segmentation, normals, depth; None: the paper's two", "a name or a list of names").only(
            *SCENE_TABLES, t7="is about age and gender", tA1="has lengths of training for its own two tasks"
        ),
    ] = None
    fused_epochs: Annotated[
        Rate | None,
        Option("passes of networks that start from trained ones; None: as many", "a number above 0").only(
            *SCENE_TABLES, "7", tA1="has its paper's length for them"
        ),
    ] = None
    units_lr: Annotated[
        Rate | None,
        Option(
            "what the fusion units' multipliers multiply; None: the base rate, as in the paper", "a number above 0"
        ).only(*SCENE_TABLES, "7", tA1="has its paper's rate for units"),
    ] = None
    objective: Annotated[
        Text, OBJECTIVE.only(*SCENE_TABLES, t7="has one way to join its losses", tA1="has one way to join its losses")
    ] = "fixed"
    voc_weights: Annotated[
        Text | None,
        Option(
            "a backbone trained on PASCAL VOC; None: one trained on drawn people stands in",
            "the path of a safetensors file",
            path="FILE.safetensors",
        ).only("3"),
    ] = None
    sluice_penalty: Annotated[
        Weight,
        Option("weight of the penalty on a sluice network's subspaces; 0: none", "a number of at least 0").only(
            *SLUICE_TABLES, **{f"t{table}": "has no sluice network" for table in ("1", "2", "3", "A2")}
        ),
    ] = SLUICE_PENALTY
    nddr_norm: Annotated[
        Normed,
        Option("NDDR layers with batch norm: every, inner (all but the one in front of classifiers) or none").only(
            "7", **{f"t{table}": "has convolutions behind its last NDDR layer" for table in SCENE_TABLES}
        ),
    ] = "every"
    on_error: Annotated[OnError, ON_ERROR.only("7")] = "raise"

    def defaults(self, table: str) -> dict[str, Any]:
        """What the table takes at this profile for options that are not given."""
        if table == "A1":
            return scene_defaults(self)
        own = {"backbone": own_backbone(table, self.profile)}
        if table == "7":
            return {"dataset": self.source(("faces",), "utkface", ("imdb_wiki",))} | own | FACES[self.profile]
        return {"dataset": self.source(("rooms",), "folder", ("nyuv2",))} | own | SCENES[self.profile]
