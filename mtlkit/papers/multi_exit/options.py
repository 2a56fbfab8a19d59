"""What a reader may choose for the tables of the multi-exit paper, and what they take otherwise."""

from typing import Annotated, Any, ClassVar

from mtlkit.papers.options import (
    BACKBONE,
    BATCH_SIZE,
    DATA_ROOT,
    DATASET,
    EPOCHS,
    LR,
    Count,
    Folders,
    Fractions,
    Names,
    Option,
    Options,
    Profile,
    Rate,
    Text,
)

FRACTIONS = (0.05, 0.1, 0.2)
"""The printed shares of the training images."""

PRINTED_FRACTIONS = {"1": FRACTIONS, "2": (0.05,), "3": (0.05,), "4": (0.1,)}

PRINTED_BACKBONES = {"1": ("resnet50",), "2": ("resnet50",), "3": ("seresnet50", "vgg16"), "4": ("resnet50",)}

SMALL_BACKBONES = ("mobilenetv3_small_050", "vgg11")
"""At ``smoke``, the second beside the first in a table of two."""

DRAWN = {"1": ("objects", "places"), "2": ("objects", "places", "other_objects"), "3": ("objects", "places"),
         "4": ("objects", "places")}  # fmt: skip
PRINTED_SETS = {
    "1": ("imagenet", "places365"), "2": ("imagenet", "oxford_pets", "caltech101"), "3": ("imagenet", "places365"),
    "4": ("imagenet", "places365"),
}  # fmt: skip

IMAGES: dict[Profile, dict[str, Any]] = {
    "smoke": {"image_size": (64, 64), "epochs": 1.0, "batch_size": 8, "lr": 0.02, "seeds": (0,)},
    "lite": {"image_size": (64, 64), "epochs": 90.0, "batch_size": 64, "lr": 0.025, "seeds": (0, 1, 2)},
    "paper": {"image_size": (224, 224), "epochs": 90.0, "batch_size": 256, "lr": 0.1, "seeds": (0, 1, 2)},
}
"""What every table takes. At ``lite`` the printed rate of 0.1 for batches of 256 is scaled to the batch."""

LESS_WITHOUT_NORM = 10
"""How many times lower the rate is at which a network without batch norm trains by default.

At the printed 0.1 a VGG-16 without batch norm does not learn, not even four plain colours: its loss stays at chance.
0.01 for batches of 256 is the rate of the network's own paper (Simonyan and Zisserman, ICLR 2015, Sect. 3.1). It has
not been chosen on a development part; ``split`` is there for it."""


def trains_at_printed_rate(backbone: str | None) -> bool:
    """Whether a reader's backbone does; ``None``: the paper's, the first of which do."""
    if backbone is None:
        return True
    from mtlkit.backbones import family  # with it comes torch, which what only describes tables does without

    return family(backbone).has_norm(backbone)


class MultiExitOptions(Options):
    """What a reader may choose for a multi-exit table.

    Attributes:
        second_lr: base learning rate of the second of Table 3's backbones.
        fractions: shares of the training images; Tables 2 to 4 take one. By default the printed ones, at ``smoke``
            only the first of them.
    """

    paper: ClassVar[str] = "multi_exit"
    tables: ClassVar[tuple[str, ...]] = ("1", "2", "3", "4")
    first_tables: ClassVar[tuple[str, ...]] = ("1",)
    tables_help: ClassVar[str] = "tables to run, a number or a list: 1 to 4; the costs of Table 4 are always counted"
    rows_help: ClassVar[str] = (
        "rows, such as stl_in_5, longer_5, mtl_5, mtl_norms_5, mtl_filter_5, mtl_fixed_5, mtl_half_5"
    )

    dataset: Annotated[
        Names | None,
        DATASET.says("one per set: objects, places (drawn), imagefolder, imagenet, places365, oxford_pets, caltech101"),
    ] = None
    data_root: Annotated[
        Folders | None, DATA_ROOT.says("folders of your own data, the set with more classes first")
    ] = None
    backbone: Annotated[Text | None, BACKBONE.only("1", "2", "4", t3="compares two backbones of its own")] = None
    epochs: Annotated[Rate | None, EPOCHS.says("passes over the training images of the largest set")] = None
    batch_size: Annotated[Count | None, BATCH_SIZE.says("images per step, of all sets together")] = None
    lr: Annotated[
        Rate | None, LR.says("base learning rate; of the first backbone in table 3; a tenth without batch norm")
    ] = None
    second_lr: Annotated[
        Rate | None,
        LR.says("base learning rate of the second backbone, which has no batch norm").only(
            "3", t1="has one backbone", t2="has one backbone", t4="has one backbone"
        ),
    ] = None
    fractions: Annotated[
        Fractions | None,
        Option("shares of the training images, such as 0.05,0.5", "numbers above 0, at most 1"),
    ] = None

    def defaults(self, table: str) -> dict[str, Any]:
        """What the table takes at this profile for options that are not given."""
        small = self.profile == "smoke"
        fractions, own = PRINTED_FRACTIONS[table], PRINTED_BACKBONES[table]
        backbones = SMALL_BACKBONES[: len(own)] if small else own
        rate: float = IMAGES[self.profile]["lr"]
        return (
            IMAGES[self.profile]
            | {
                "dataset": self.source(DRAWN[table], "imagefolder", PRINTED_SETS[table]),
                "backbone": backbones[0],
                "weights": "none",
                "lr": rate if trains_at_printed_rate(self.backbone) else rate / LESS_WITHOUT_NORM,
                "fractions": fractions[:1] if small else fractions,
            }
            | ({"second_lr": rate / LESS_WITHOUT_NORM} if len(own) > 1 else {})
        )
