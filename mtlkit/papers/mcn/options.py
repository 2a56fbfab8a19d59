"""What a reader may choose for the tables of MultiTask-CenterNet, and what they take otherwise."""

from typing import Annotated, Any, ClassVar, Literal

from mtlkit.devices import Precision
from mtlkit.papers.options import (
    ACCUMULATE,
    BATCH_SIZE,
    DATA_ROOT,
    DATASET,
    EPOCHS,
    LR,
    ON_ERROR,
    PRECISION,
    SEEDS,
    SPLIT,
    WEIGHTS,
    Count,
    Counts,
    Folders,
    Names,
    OnError,
    Option,
    Options,
    Profile,
    Rate,
    SplitName,
    Text,
)

NeckName = Literal["deconvolution", "deformable_deconvolution", "dla_up", "upsampling"]

QUALITY: dict[Profile, dict[str, Any]] = {
    "smoke": {
        "backbone": "mobilenetv3_small_050", "weights": "none", "image_size": (128, 128), "epochs": 2.0,
        "batch_size": 8, "lr": 5e-3, "seeds": (0,),
    },
    "lite": {
        "backbone": "resnet18", "weights": "timm", "image_size": (128, 128), "epochs": 30.0, "batch_size": 16,
        "lr": 5e-4, "seeds": (0, 1, 2),
    },
    "paper": {
        "backbone": "dla34", "weights": "timm", "image_size": (512, 512), "epochs": 140.0, "batch_size": 128,
        "lr": 5e-4, "seeds": (0, 1, 2),
    },
}  # fmt: skip
"""What the tables of quality take. A batch of 128 takes some 57 GiB of activations at 512 pixels; ``accumulate`` cuts
it up. The official code has batch norms over the 16 or 17 images of a GPU (``experiments/ctdet_coco_dla_1x.sh``): 8
batches of 16 are nearest to it."""

PRINTED_BACKBONES = {"4": "dla34", "F7": "resnet18"}
"""Of the tables of speed."""


TRAINED = ("1", "2", "3", "X1")
"""The tables of quality: of all classes, of persons, of both scored on persons, and of all classes with poses."""


def trained(option: Option) -> Option:
    """An option of the tables of quality alone: those of speed look at networks that are not trained."""
    return option.only(*TRAINED, t4="times untrained networks", tF7="times untrained networks")


class MCNOptions(Options):
    """What a reader may choose for this paper's tables.

    Attributes:
        classes: classes that count; by default all in Tables 1 and X1, persons in 2 and 3, or all where there are none.
        neck: what brings the backbone's maps together at stride 4; by default ``dla_up`` for DLA,
            ``deformable_deconvolution`` for ResNets, ``upsampling`` for any other backbone.
        as_official: the official code's larger radius and half weight of distances instead of what its paper prints.
        flip_test: whether outputs are averaged with those for mirror images when scored.
        original_resolution: whether images are scored at their own size.
        on_error: whether a faulty entry of the annotations is an error or is skipped.
    """

    paper: ClassVar[str] = "mcn"
    tables: ClassVar[tuple[str, ...]] = (*TRAINED, "4", "F7")
    first_tables: ClassVar[tuple[str, ...]] = ("2", "4")
    tables_help: ClassVar[str] = (
        "tables to run, a number or a list: 1 (all classes), 2 (persons), 3 (both on persons), X1 (with poses), "
        "4 and F7 (speed)"
    )
    rows_help: ClassVar[str] = (
        "rows: constant, only_seg, only_det, seg_det, det_pose, seg_det_pose; mixed (X1); stn_two, stn_three (4)"
    )

    dataset: Annotated[Names | None, trained(DATASET.says("people (drawn) or coco"))] = None
    data_root: Annotated[Folders | None, trained(DATA_ROOT)] = None
    weights: Annotated[Text | None, trained(WEIGHTS)] = None
    epochs: Annotated[Rate | None, trained(EPOCHS)] = None
    batch_size: Annotated[Count | None, trained(BATCH_SIZE)] = None
    accumulate: Annotated[Count, trained(ACCUMULATE)] = 1
    lr: Annotated[Rate | None, trained(LR.says("base learning rate; None: in proportion to batch_size"))] = None
    seeds: Annotated[Counts | None, trained(SEEDS)] = None
    split: Annotated[SplitName, trained(SPLIT)] = "test"
    precision: Annotated[Precision, trained(PRECISION)] = "32-true"
    classes: Annotated[
        Names | None,
        trained(
            Option(
                "classes that count, such as dog,cat; None: person, or all where there is none; all in tables 1, X1",
                "a name or a list of names",
                former="keep",
            )
        ),
    ] = None
    neck: Annotated[
        NeckName | None,
        Option("deconvolution, deformable_deconvolution, dla_up or upsampling; None: what goes with the backbone"),
    ] = None
    as_official: Annotated[
        bool,
        trained(
            Option(
                "CenterNet's code where it differs from its paper: larger Gaussians, half the weight of distances",
                "true or false",
            )
        ),
    ] = False
    flip_test: Annotated[
        bool,
        trained(Option("average the outputs for an image and for its mirror image when scoring", "true or false")),
    ] = False
    original_resolution: Annotated[
        bool, trained(Option("score images at their own size, one at a time", "true or false"))
    ] = False
    on_error: Annotated[OnError, trained(ON_ERROR)] = "raise"

    def defaults(self, table: str) -> dict[str, Any]:
        """What the table takes at this profile for options that are not given."""
        if table in TRAINED:
            found = {"dataset": self.source(("people",), "coco", ("coco",))} | QUALITY[self.profile]
            # The official rule (``src/lib/opts.py``, ``experiments/``): 1.25e-4 for 32 images, else in proportion.
            found["lr"] *= (self.batch_size or found["batch_size"]) / found["batch_size"]
            return found
        if self.profile == "smoke":
            return {"backbone": "mobilenetv3_small_050", "image_size": (256, 256)}
        return {"backbone": PRINTED_BACKBONES[table], "image_size": (512, 512)}
