"""Tables 1, 2 and 3: one setting of the cross-stitch network after the other, on the networks of Table 5."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from mtlkit.evaluations import TestEvaluation
from mtlkit.papers.cross_stitch.methods import CONTROLS, Networks
from mtlkit.papers.cross_stitch.scenes import (
    BUDGETS,
    LENGTHS,
    TABLE5,
    StitchColumn,
    constant_of,
    network_lines,
    networks_of,
    printed_stitch_column,
    revised,
    stitch_column,
    stitched,
)
from mtlkit.papers.declaration import Row, Table
from mtlkit.papers.printed import PrintedRow, printed
from mtlkit.sharing import HardSharing
from mtlkit.tasks import AnyTask

RATE = 100.0
"""Rate of the units of Table 1, in base rates: its row (0.9, 0.1) agrees with that of 10^2 in Table 2 in six of eight
cells, and with no other row in as many."""

TOO_HIGH = 10_000.0
"""A rate beyond those of Table 2, which diverged (Sect. 5.2)."""


def _printed(column: StitchColumn) -> tuple[PrintedRow, ...]:
    return printed(column.paper).tables[column.table].rows


def starts(column: StitchColumn, seed: int) -> list[Row]:
    """Table 1. Without exchange all four starts are one network, the control of them all."""
    networks = networks_of(column, seed)
    stitches = [
        stitched(
            column,
            row.id,
            row.label,
            f"units start at {row.settings['alpha_same']:g} for the own task and {row.settings['alpha_diff']:g} for "
            "the other",
            alpha=row.settings["alpha_same"],
            beta=row.settings["alpha_diff"],
            rate=RATE,
            control="no_exchange",
        )
        for row in _printed(column)
    ]
    control = stitched(column, "", "Cross-stitch", "", rate=RATE, control="no_exchange")
    return _rows(column, networks, [*map(networks.row, stitches), networks.control(control)])


def rates(column: StitchColumn, seed: int) -> list[Row]:
    """Table 2, and a row of ours at a rate that is higher than all of its."""
    networks = networks_of(column, seed)
    stitches = [
        stitched(column, row.id, row.label, row.what, rate=float(row.settings["fuse_lr_scale"]))
        for row in _printed(column)
    ]
    what = "units learn at 10,000 times the base rate; higher rates than 1000 diverged, the text says"
    stitches.append(stitched(column, "scale_10000", "10^4", what, printed=False, rate=TOO_HIGH))
    return _rows(column, networks, networks.stitched(stitches))


def sources(column: StitchColumn, seed: int) -> list[Row]:
    """Table 3. The networks that start from ImageNet's weights are stretched in a row of their own to what the others
    have seen, with what these start from."""
    networks = networks_of(column, seed)
    at_once, after = _printed(column)
    imagenet = stitched(
        column,
        at_once.id,
        at_once.label,
        "both encoders start from the weights that one-task networks start from",
        length="fused_at_once",
        started=False,
        trained_longer="imagenet_one_task",
    )
    one_task = stitched(column, after.id, after.label, "each encoder starts from the one-task network of its task")

    def alone(task: AnyTask) -> TestEvaluation:
        return networks.scored(networks.train((task,), seed, column.data, HardSharing.Settings(), imagenet.length, {}))

    row, control = networks.stitched([imagenet])
    return _rows(
        column,
        networks,
        [
            row,
            networks.as_many(row, networks.fused(one_task).images_seen),
            Row(
                imagenet.trained_longer,
                "One-task, as ImageNet",
                tuple(map(alone, networks.tasks)),
                "one network per task, by the recipe of the row ImageNet and as long",
                printed=False,
            ),
            control,
            *networks.stitched([one_task]),
        ],
        baseline="one_task_networks",
    )


def _rows(column: StitchColumn, networks: Networks, fused: Iterable[Row], baseline: str = "one_task") -> list[Row]:
    """The baselines, not printed here, then these rows."""
    return revised([*networks.baselines(constant_of(column), printed=False, identifier=baseline), *fused])


def _protocol(units: str) -> Callable[[StitchColumn], list[tuple[str, str]]]:
    """The lines of a sweep's card; ``units`` says how the units start and learn, with a place for the table's rate."""

    def lines(column: StitchColumn) -> list[tuple[str, str]]:
        recipe = column.recipe
        share = {name: round(recipe.steps * steps / LENGTHS["segmentation"]) for name, steps in LENGTHS.items()}
        budget = f"{share['segmentation']} steps of {recipe.images_a_step} (normals {share['normals']}; cross-stitch "
        budget += f"{share['fused']} more" + (
            f", or {share['fused_at_once']} from ImageNet)" if column.table == "3" else ")"
        )
        apart = "cross-stitch networks whose weights between encoders are zero and stay so"
        return [
            *network_lines(column),
            ("Start", column.start_line),
            ("Start and rate of the units", units.format(rate=f"{BUDGETS[column.profile].unit_scale:g}")),
            ("Budget", budget),
            ("Learning rate", f"{recipe.lr:g}, fixed"),
            (
                CONTROLS[0],
                f"one-task, trained longer: by the recipe of the cross-stitch rows; no exchange: {apart}"
                + ("; as ImageNet: by that row's recipe; trained longer: for as many images" * (column.table == "3")),
            ),
        ]

    return lines


def _table(
    identifier: str,
    rows: Callable[[Any, int], list[Row]],
    units: str,
    systems: dict[str, str],
    single_task: str = "one_task",
) -> Table:
    return replace(
        TABLE5,
        id=identifier,
        extras=(),
        column=partial(stitch_column, identifier),
        rows=rows,
        ours=_protocol(units),
        meta_column=partial(printed_stitch_column, identifier),
        single_task=single_task,
        systems=systems,
    )


TABLE1 = _table("1", starts, f"start: the rows; {RATE:g} times the base rate", {"S65": "s09_d01", "S68": "s09_d01"})
TABLE2 = _table("2", rates, "from 0.9 and 0.1; rate: the rows, in base rates", {"S66": "scale_1000"})
TABLE3 = _table(
    "3", sources, "from 0.9 and 0.1; {rate} times the base rate", {"S67": "imagenet"}, single_task="one_task_networks"
)
