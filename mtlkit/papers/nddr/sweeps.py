"""Tables 1, 2, 3 and A2: one setting of the fused network after the other, on the network of Table 4."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mtlkit.data import Coco, Data
from mtlkit.network import Weights
from mtlkit.papers.declaration import Row, Table, named_weights
from mtlkit.papers.nddr.methods import CROSS_STITCH, NDDR, Method, NDDRSceneColumn
from mtlkit.papers.nddr.options import NDDROptions
from mtlkit.papers.nddr.scenes import (
    BUDGETS,
    TABLE4,
    joint,
    methods,
    printed_scene_column,
    scene_column,
    scene_protocol,
    scene_tasks,
    single,
)
from mtlkit.papers.options import Options
from mtlkit.papers.printed import PrintedRow, printed
from mtlkit.papers.sources import source
from mtlkit.papers.weights import weights
from mtlkit.runs import Training
from mtlkit.sharing import SoftSharing
from mtlkit.tasks import Segmentation
from mtlkit.worlds import people

RANDOM_SCALE = 1000.0
"""Rate of NDDR layers that start at random, in base rates: ten times the others' (``experiments/ablation``)."""

LEAST_SIDE = 48
"""Pixels below which the world ``people`` draws nothing."""

PEOPLE_HELD = 8
"""Test images drawn beside the images that the stand-in of Table 3 learns from; nothing is scored on them."""


def nddr_of(row: PrintedRow) -> Method:
    """The NDDR layer of a row of Table 1 or 2, from what the row says and else as in Table 4."""
    if row.settings.get("init") == "xavier":
        return _changed(NDDR, {"init": "xavier", "fuse_lr_scale": RANDOM_SCALE})
    return _changed(NDDR, row.settings)


def cross_stitch_of(row: PrintedRow) -> Method:
    """The cross-stitch unit of a row of Table A2, from what the row says and else as in Table 4."""
    return _changed(CROSS_STITCH, row.settings)


def _changed(base: Method, said: Mapping[str, Any]) -> Method:
    """A method as the base but for what a row says, checked."""
    fields = {name: value for name, value in said.items() if name != "fuse_lr_scale"}
    unit = type(base.unit).model_validate(base.unit.model_dump() | fields)
    return Method(unit, float(said.get("fuse_lr_scale", base.lr_mult)))


def same_control(method: Method, base: Method) -> bool:
    """Whether two methods are one without exchange: where they differ in how a row's sum is shared at the start
    alone."""
    a, b = method.unit, base.unit
    same = a.model_copy(update={"alpha": b.alpha, "beta": b.beta}) == b and method.lr_mult == base.lr_mult
    return same and math.isclose(a.alpha + a.beta, b.alpha + b.beta)


def sweep(
    method_of: Callable[[PrintedRow], Method], base: Method, label: str
) -> Callable[[NDDRSceneColumn, int], list[Row]]:
    """The rows of a sweep: the two baselines of Table 4, a fused network for every printed row, and the controls.

    Args:
        method_of: how a printed row fuses.
        base: the method of Table 4, whose control is the rows' too; of those that differ from it in their rate, or
            start at random, it is not.
        label: of that method.
    """

    def rows(column: NDDRSceneColumn, seed: int) -> list[Row]:
        found = methods(column, seed)
        fused = []
        for row in printed(column.paper).tables[column.table].rows:
            method = method_of(row)
            controls = ("no_exchange",) * same_control(method, base) + ("joint_recipe",)
            fused.append(Row(row.id, row.label, (found.fused(method),), row.what, controls=controls))
        return [
            *found.baselines(printed=False),
            found.joint_recipe(),
            *fused,
            found.no_exchange(base, "no_exchange", label),
        ]

    return rows


class StartColumn(NDDRSceneColumn):
    """A column of Table 3.

    Attributes:
        voc: a backbone trained for segmentation on PASCAL VOC 2012, where the reader has one.
        stand_in: else, what a network for segmentation is trained on in its place.
        stand_in_classes: of that segmentation.
    """

    voc: Weights | None = None
    stand_in: Data | None = None
    stand_in_classes: tuple[str, ...] = ()

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | ({"voc_weights": named_weights(self.voc)} if self.voc else {})


def start_column(options: NDDROptions) -> StartColumn:
    """As of any scene table, with what the branches of the row ``pret`` start from."""
    column = dict(scene_column("3", options))
    if options.voc_weights is not None:
        return StartColumn(**column, voc=weights(options.voc_weights))
    size = column["data"].size
    images = BUDGETS[options.profile].images[0], PEOPLE_HELD
    found = source(Options(), people, (), images=images, size=drawn_at(size))
    data = found.data((), size=size)
    return StartColumn(**column, stand_in=data, stand_in_classes=Coco(found.root, "train", ("segmentation",)).classes)


def drawn_at(size: tuple[int, int]) -> tuple[int, int]:
    """The size at which the people that stand in are drawn for images of ``size``."""
    return max(LEAST_SIDE, size[0]), max(LEAST_SIDE, size[1])


def stand_in(column: StartColumn, seed: int) -> Training:
    """A network for the segmentation of other images, trained as the single-task networks are."""
    assert column.stand_in is not None
    classes = ("background", *column.stand_in_classes)
    task = Segmentation(classes=classes, loss_at=scene_tasks(column)[0].loss_at)
    size, augmentation = column.stand_in.size, column.recipe.augmentation
    own = augmentation.model_copy(update={"whole": None if drawn_at(size) == size else size})
    recipe = column.recipe.model_copy(update={"augmentation": own})
    return single(column.model_copy(update={"data": column.stand_in, "recipe": recipe}), task, seed)


def starts(column: StartColumn, seed: int) -> list[Row]:
    """Table 3."""
    found = methods(column, seed)
    if column.voc is not None:
        start = column.model_copy(update={"weights": column.voc})
        pretrained = joint(start, SoftSharing.Settings(unit=NDDR.unit), seed, {}, {"fusion": NDDR.lr_mult})
        value = found.scored(pretrained)
    else:
        elsewhere = stand_in(column, seed)
        value = found.fused(NDDR, {task.name: elsewhere for task in found.tasks})
    by_row = {"init": found.fused(NDDR, {}), "pret": value, "sing": found.fused(NDDR)}
    what = {
        "init": "both branches from general weights",
        "pret": "both branches from a network trained for segmentation on other images",
        "sing": "each branch from the single-task network of its own task",
    }
    # The controls start as the last row does.
    controls = {"sing": ("no_exchange", "joint_recipe")}
    return [
        *found.baselines(printed=False),
        found.joint_recipe(),
        *(
            Row(row.id, row.label, (by_row[row.id],), what[row.id], controls=controls.get(row.id, ()))
            for row in printed("nddr").tables["3"].rows
        ),
        found.no_exchange(NDDR, "no_exchange", "NDDR"),
    ]


def start_protocol(column: StartColumn) -> list[tuple[str, str]]:
    """As of any scene table, with the starts of the three rows."""
    if column.voc is not None:
        ours = f"Pret.: the backbones from the file {column.voc.sha256[:12]}"
    else:
        assert column.stand_in is not None
        ours = (
            f"Pret.: a stand-in, one network trained for the segmentation of {column.stand_in.name} "
            f"({column.stand_in.fingerprint}), all but its classifier in both branches; voc_weights takes the real one"
        )
    return [
        *scene_protocol(column),
        ("Starts of the rows", f"Init.: as the single-task networks; {ours}; Sing.: each task's own network"),
    ]


def random_protocol(column: NDDRSceneColumn) -> list[tuple[str, str]]:
    """As of any scene table, with what is unprinted about the row of random weights."""
    return [
        *scene_protocol(column),
        ("Row Random", f"Xavier, a task's 1x1 convolution at a time; rate {RANDOM_SCALE:g} times the base"),
    ]


def _table(identifier: str, rows: Callable[[Any, int], list[Row]], systems: dict[str, str]) -> Table:
    return replace(
        TABLE4,
        id=identifier,
        column=lambda options: scene_column(identifier, options),
        rows=rows,
        meta_column=lambda: printed_scene_column(identifier),
        trained_longer="",
        systems=systems,
    )


TABLE1 = replace(_table("1", sweep(nddr_of, NDDR, "NDDR"), {"S26": "a10_b00"}), ours=random_protocol)
TABLE2 = _table("2", sweep(nddr_of, NDDR, "NDDR"), {"S27": "scale_100"})
TABLE3 = replace(
    _table("3", starts, {"S28": "pret"}),
    columns=StartColumn,
    column=start_column,
    ours=start_protocol,
    meta_column=lambda: StartColumn(**dict(printed_scene_column("3")), voc=Weights(source="file")),
)
TABLEA2 = _table("A2", sweep(cross_stitch_of, CROSS_STITCH, "Cross-stitch"), {"S31": "scale_1000"})
