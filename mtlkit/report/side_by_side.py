"""The printed table and the measured one, side by side: as HTML, text and Markdown, and cell by cell as CSV and JSON.

A printed number is the YAML's text, a measured one comes out of records; nothing here computes either.
"""

import csv
import io
import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mtlkit.errors import terminal
from mtlkit.graph import Node
from mtlkit.ledger import Ledger, Record
from mtlkit.metrics.bootstrap import Drawn, interval
from mtlkit.papers.declaration import Column, Row, Table, chosen
from mtlkit.papers.printed import Measure, PrintedTable
from mtlkit.report.settings import described, settings_of
from mtlkit.report.table import MISSING, ReportTable, Text, heads
from mtlkit.runs import outermost, trainings
from mtlkit.runtime import machine

SCALES = {"G": (1e9, 4), "M": (1e6, 3), "-": (1, 3), "m": (1, 2), "1/s": (1, 2), "images": (1, 0)}
"""Unit of the print -> what counts are divided by, and the digits behind the point that papers give them."""

PAIRS = 4
"""Printed columns, each with the measured one beside it, that fit the width of a page."""

DIVERGED = "diverged"
"""What a cell says when a training behind it did."""

UNDEFINED = "undefined"
"""What a cell says when its measure has no value for a network, as the correlation of equal estimates has none."""

SECOND_TRAINING = (
    "networks that start from trained ones see what these saw once more, in the same order and with the same draws of "
    "crops and dropout; one that is trained as long in one go sees new draws to its end"
)
"""Line of the protocol card, for draws follow from the seed and the step of a training alone."""

FIELDS = (
    "row", "label", "measure", "unit", "seed", "measured", "low", "high", "drawn", "printed", "printed_spread",
    "outcome",
)  # fmt: skip
"""What is known of a cell and a seed; see :meth:`SideBySide.frame`."""


def number_text(value: float, unit: str, *, signed: bool = False) -> str:
    """A value in the unit of the print, with the digits that papers give it; what rounds to 0 has no sign.

    >>> number_text(-0.038, "-"), number_text(-0.04, "%"), number_text(1.25e6, "M", signed=True)
    ('−0.038', '0.0', '+1.250')
    """
    scale, digits = SCALES.get(unit, (1, 1))
    text = f"{value / scale:{'+' if signed else ''}.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


@dataclass(frozen=True)
class Cell:
    """One measured cell.

    Attributes:
        by_seed: seed -> its value. A row that no seed changes (a constant, a count) has one value, under the column's
            first seed.
        resampled: seed -> its values on draws of the test images, of the seeds whose records have them.
        drawn: what these draws were made of; ``None`` where there are none, or not the same ones for all seeds.
        rounds: seed -> its value in every round, of what was timed.
        seeded: whether seeds change this cell.
        sampled: whether it was measured on test images; else it is a count or a time.
        diverged: the seeds whose value is missing since a training behind it diverged. The cell has no mean then: that
            of the other seeds would be too good.
        undefined: the seeds whose network the measure has no value for; likewise.
        seeds: how many seeds its column has, of a cell that seeds change.
    """

    by_seed: Mapping[int, float] = field(default_factory=dict)
    resampled: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    drawn: Drawn | None = None
    rounds: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    seeded: bool = True
    sampled: bool = True
    diverged: tuple[int, ...] = ()
    undefined: tuple[int, ...] = ()
    seeds: int = 1

    @property
    def lost(self) -> tuple[int, ...]:
        """The seeds that were run and have no value."""
        return *self.diverged, *self.undefined

    @property
    def values(self) -> tuple[float, ...]:
        """One for every seed that has one; none where a seed that was run has none."""
        return () if self.lost else tuple(self.by_seed.values())

    @cached_property
    def draws(self) -> NDArray[np.float64] | None:
        """The mean over seeds on every draw of the test images, ``(B,)``; ``None`` where a record has none."""
        there = self.drawn is not None and not self.lost and self.resampled.keys() == self.by_seed.keys()
        return np.mean(list(self.resampled.values()), axis=0) if there and self.resampled else None

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over seeds; ``None`` for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def outcome(self, seed: int) -> str:
        """What became of a seed that was run."""
        return "measured" if seed in self.by_seed else DIVERGED if seed in self.diverged else UNDEFINED

    def interval(self, seed: int | None) -> tuple[float, float]:
        """The 95 % interval of a seed's value over draws of the test images; NaN where its record has none."""
        draws = () if seed is None else self.resampled.get(seed, ())
        return interval(np.asarray(draws, dtype=np.float64))

    def shown(self, unit: str) -> Text:
        """The mean in the unit of the print; beside it the spread where there are several seeds, and where some of the
        column's are not there yet how many are."""
        if self.lost:
            what, seeds = DIVERGED if self.diverged else UNDEFINED, len(self.lost) + len(self.by_seed)
            return Text(what, f"{len(self.lost)} of {seeds} seeds" if seeds > 1 else "", kind=DIVERGED)
        if not self.values:
            return Text()
        spread = "" if self.spread is None else f"±{number_text(self.spread, unit)}"
        some = f"{len(self.by_seed)} of {self.seeds} seeds" if len(self.by_seed) < self.seeds else ""
        return Text(number_text(self.mean, unit), ", ".join(filter(None, (spread, some))))

    def text(self, unit: str) -> str:
        """Mean and spread on one line."""
        return str(self.shown(unit))


@dataclass(frozen=True)
class Measured:
    """A measured column of a table, printed or not.

    Attributes:
        measure: its name in records.
        group: of columns that it stands in.
        label: of the column.
        unit: as printed.
        better: which way is better.
        column: id of the printed column; empty where the paper has none.
    """

    measure: str
    group: str
    label: str
    unit: str
    better: Literal["lower", "higher"]
    column: str = ""

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.better == "higher" else -1

    @property
    def head(self) -> tuple[Text, Text]:
        """Its header in a table; a label that holds its unit is not followed by it."""
        # Words and signs, for the letter of a metre is in many labels; a dash stands for none.
        said = re.findall(r"[^\W\d_]+|%", self.label)
        unit = "" if self.unit in said else self.unit.removeprefix("-")
        return Text(self.group), Text(self.label, unit)


def parts(measures: Sequence[Measured], most: int) -> list[list[Measured]]:
    """Parts of at most so many columns, a group whole in one where it fits."""
    found: list[list[Measured]] = [[]]
    for _, group in groupby(measures, key=lambda one: one.group):
        own = list(group)
        if len(found[-1]) + len(own) > most:
            found.append([])
        found[-1] += own[:most]
        found += [own[at : at + most] for at in range(most, len(own), most)]
    return [part for part in found if part]


@dataclass(frozen=True)
class SideBySide:
    """One declared table for one column: what is printed, what was measured.

    Attributes:
        table: the declaration.
        column: whose numbers the measured ones are.
        rows: the declared rows (of the first seed).
        cells: (row id, measure) -> measured cell.
        hours: of training behind the column, each training once, those it starts from included.
        machines: what the cells were computed on.
        diverged: identity of a training that diverged -> a sentence that says when.
        origin: where its records lie, where some are published; else empty.
        renewed: identities of trainings that were repeated for weights no longer kept, and became other weights.
        images: ``training images`` and ``test images`` -> how many a network or an evaluation had, each number once.
    """

    table: Table
    column: Column
    rows: tuple[Row, ...]
    cells: dict[tuple[str, str], Cell]
    hours: float
    machines: tuple[str, ...] = ()
    diverged: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    renewed: frozenset[str] = frozenset()
    images: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table, column: Column, ledger: Ledger, methods: Sequence[str] | None = None) -> "SideBySide":
        """The comparison as far as the ledger has records for it.

        Args:
            table: the declaration.
            column: the decided settings.
            ledger: where records are looked up.
            methods: ids of the rows to show; all by default.
        """
        cells: dict[tuple[str, str], _Gathered] = {}
        machines: list[str] = []
        every = [(seed, row) for seed in column.seeds for row in chosen(table, column, methods, seed)]
        needed = trainings(evaluation for _, row in every for evaluation in row.evaluations)
        found = {identity: ledger.find("training", identity) for identity in needed}
        diverged = {
            identity: f"The training {identity} ({needed[identity].title}) diverged: {record.diverged}."
            for identity, record in found.items()
            if record is not None and record.diverged is not None
        }
        known = {identity: record for identity, record in found.items() if record is not None}
        for seed, row in every:
            for evaluation in row.evaluations:
                if record := ledger.find(evaluation.kind, evaluation.identity):
                    known[record.identity] = record
                    machines.append(machine(record.hardware))
                    for measure in record.metrics:
                        cells.setdefault((row.id, measure), _Gathered()).add(seed, evaluation, record, measure)
                elif diverged.keys() & trainings([evaluation]).keys():
                    for measure in _expected(table, evaluation):
                        cells.setdefault((row.id, measure), _Gathered()).diverge(seed)
        hours = sum(record.timing.training for record in found.values() if record and record.timing) / 3600
        measured = {key: gathered.cell(len(column.seeds)) for key, gathered in cells.items()}
        rows = tuple(chosen(table, column, methods))
        renewed = {
            identity
            for record in known.values()
            for identity, digest in record.loaded.items()
            if (first := found.get(identity)) is not None and first.weights != digest
        }
        counts = {
            name: tuple(sorted({record.data[key] for record in known.values() if key in record.data}))
            for name, key in (("training images", "train_images"), ("test images", "test_images"))
        }
        one = cls(
            table, column, rows, measured, hours, tuple(dict.fromkeys(machines)), diverged,
            _origin(known.values(), ledger), frozenset(renewed), counts,
        )  # fmt: skip
        if table.pace is None:
            return one
        return replace(one, cells=at_one_pace(measured, *table.pace, {m.measure: m.sign for m in one.measures}))

    @cached_property
    def print_of(self) -> tuple[str, PrintedTable]:
        """The printed table that belongs beside this column, with its number, that for this backbone, else the
        table's own."""
        return self.table.printed_for(self.column.printed_backbone) or (self.table.id, self.table.printed)

    @property
    def caption(self) -> str:
        """What stands on either side, in a sentence or two."""
        number, printed = self.print_of
        seeds = len(self.column.seeds)
        runs = f"{seeds} seeds, mean ± standard deviation" if seeds > 1 else "one seed, so no spread"
        if self.column.machine:
            runs = f"timed on {self.column.machine}"
        data = self.column.data
        where = f"{data.name}{' (development part of its training images)' if data.part == 'development' else ''}"
        text = (
            f"Printed: Table {number}, {f'{printed.backbone} on ' if printed.backbone else ''}{printed.dataset}. "
            f"Measured: {self.column.networks} on {where}, profile {self.column.profile}, {runs}."
        )
        built = self.column.network, self.column.printed_backbone
        if printed.backbone and built != (self.column.backbone, printed.backbone):
            text += f" The paper prints nothing for {self.column.network}."
        return " ".join([text, *self.diverged.values()])

    def cell(self, row: str, measure: str) -> Cell:
        """The measured cell; an empty one where nothing was measured."""
        return self.cells.get((row, measure), Cell())

    def printed_cell(self, row: str, column: str) -> tuple[str, bool]:
        """The cell's printed text and whether it is bold; :data:`MISSING` where the paper has no such row."""
        found = self.print_of[1].row(row)
        if found is None:
            return MISSING, False
        spread = found.spread.get(column)
        return (found.cells.get(column) or MISSING) + (f" ±{spread}" if spread else ""), column in found.bold

    @cached_property
    def printed(self) -> tuple[Measured, ...]:
        """The columns that are printed and measured."""
        return tuple(
            Measured(self.table.measures[c.id], _group(c), plain_label(c), c.unit, c.better, c.id)
            for c in self.print_of[1].columns
        )

    @cached_property
    def lacked(self) -> tuple[Measured, ...]:
        """The measured columns that the print lacks; of the optional ones those that have a value."""
        return tuple(
            Measured(extra.measure, extra.group, extra.label, extra.unit, extra.better)
            for extra in self.table.extras
            if not extra.optional or any(self.cell(row.id, extra.measure).values for row in self.rows)
        )

    @property
    def measures(self) -> tuple[Measured, ...]:
        """The columns that are printed and measured, then those that the print lacks."""
        return *self.printed, *self.lacked

    def _pairs(self, row: Row, columns: Sequence[Measured]) -> list[Text]:
        """For these printed columns the paper's cell and the measured one."""
        found = []
        for column in columns:
            text, bold = self.printed_cell(row.id, column.column)
            found += [Text(text, bold=bold, kind="printed"), self.cell(row.id, column.measure).shown(column.unit)]
        return found

    def _beyond(self, row: Row, columns: Sequence[Measured]) -> list[Text]:
        """The cells of these columns that the print lacks."""
        return [self.cell(row.id, column.measure).shown(column.unit) for column in columns]

    def markdown(self) -> str:
        """A pipe table with the caption under it."""
        sides = [f"{column.group} {column.label} {side}" for column in self.printed for side in ("printed", "measured")]
        sides += [f"{column.group} {column.label} measured" for column in self.lacked]
        lines = []
        for row in self.rows:
            cells = [self.cell(row.id, column.measure) for column in self.measures]
            seeds = max((len(cell.by_seed) + len(cell.lost) for cell in cells), default=0)
            lines.append(
                (Text(row.label), *self._pairs(row, self.printed), *self._beyond(row, self.lacked), Text(str(seeds)))
            )
        return ReportTable("", "row", heads([*sides, "n"]), tuple(lines), self.caption).markdown()

    def text(self) -> str:
        """Two blocks of aligned columns that fit a terminal: what the paper prints too, then what it does not."""
        labels = [column.label for column in self.printed]
        names = [c.label if labels.count(c.label) == 1 else f"{c.group} {c.label}" for c in self.printed]
        sides = heads(side for name in names for side in (f"{name} p", "m"))
        pairs = ReportTable(
            "", "", sides, tuple((Text(row.label), *self._pairs(row, self.printed)) for row in self.rows)
        )
        blocks = [f"{self.caption} p: printed, m: measured.", pairs.text()]
        if self.lacked:
            more = tuple((Text(row.label), *self._beyond(row, self.lacked)) for row in self.rows)
            groups = "\n".join(dict.fromkeys(column.group for column in self.lacked))
            blocks.append(f"{groups}\n{ReportTable('', '', heads(c.label for c in self.lacked), more).text()}")
        return "\n\n".join(blocks)

    def html(self) -> str:
        """Tables in the book's theme that fit its column: with the print, then the measures that the print lacks."""
        sides = Text("printed", kind="printed"), Text("measured")
        name, tables = f"Table {self.table.id}", []
        for number, part in enumerate(parts(self.printed, PAIRS)):
            columns = tuple((*column.head, side) for column in part for side in sides)
            lines = tuple((_stub(row), *self._pairs(row, part)) for row in self.rows)
            of = f"{name}, {', '.join(dict.fromkeys(column.group for column in part))}"
            tables.append(ReportTable(of, name, columns, lines, of if number else self.caption, stacks=True))
        for part in parts(self.lacked, 2 * PAIRS):
            lines = tuple((_stub(row), *self._beyond(row, part)) for row in self.rows)
            of = f"{name}, not in the paper, {', '.join(dict.fromkeys(column.group for column in part))}"
            tables.append(ReportTable(of, "not in the paper", tuple(c.head for c in part), lines, stacks=True))
        return "".join(table.html() for table in tables)

    def frame(self) -> list[dict[str, Any]]:
        """The cells, a line each: row, measure and seed, with the print and 95 % over draws of the test images.

        Measured values stand in the unit of the print. A cell without a value has one line without a seed, and a seed
        that diverged or is undefined a line without a value, whose outcome says so.
        """
        lines = []
        for row in self.rows:
            found = self.print_of[1].row(row.id)
            for column in self.measures:
                printed = (found.cells.get(column.column), found.spread.get(column.column)) if found else (None, None)
                cell, (scale, _) = self.cell(row.id, column.measure), SCALES.get(column.unit, (1, 1))
                of = None if cell.drawn is None else cell.drawn.of + ", too narrow" * cell.drawn.too_narrow
                seeds = (*cell.by_seed, *cell.lost) or (None,)
                for seed in seeds:
                    value = math.nan if seed is None else cell.by_seed.get(seed, math.nan)
                    ends = cell.interval(seed)
                    numbers = [one / scale if math.isfinite(one) else None for one in (value, *ends)]
                    how = None if numbers[1] is None else of
                    outcome = None if seed is None else cell.outcome(seed)
                    values = row.id, row.label, column.measure, column.unit, seed, *numbers, how, *printed, outcome
                    lines.append(dict(zip(FIELDS, values, strict=True)))
        return lines

    def csv(self) -> str:
        """Comma-separated values; see :func:`tables_csv`."""
        return tables_csv([self])

    def card(self) -> list[tuple[str, str, str]]:
        """The protocol card: (what, the paper's, ours)."""
        minutes = round(60 * self.hours)
        cost = f"{self.hours:.1f} hours" if self.hours >= 0.1 else f"{minutes} minute{'' if minutes == 1 else 's'}"
        lines = [
            (what, theirs, f"{ours}{self._missing_controls}" if what == "Controls" else ours)
            for what, theirs, ours in self.table.protocol(self.column)
        ]
        if any(training.starts for row in self.rows for training in trainings(row.evaluations).values()):
            lines.append(("Second training", "unstated", SECOND_TRAINING))
        if self.renewed:
            count = f"{len(self.renewed)} network{'' if len(self.renewed) == 1 else 's'}"
            lines.append(("Trained again", "–", f"{count}, whose weights were no longer kept and came out otherwise"))
        if self.origin:
            lines.append(("Records", "–", self.origin))
        return [
            *lines,
            ("Cost", "unstated", f"{cost} of training"),
            ("Measured on", "–", "; ".join(self.machines) or "–"),
            ("Command", "see the authors' repository", self.column.command),
        ]

    @property
    def _missing_controls(self) -> str:
        """The trained rows beside the paper's that were not measured, as the end of a sentence about them."""
        measured = {row for row, _ in self.cells}
        rows = [row for row in self.rows if not row.printed and row.id not in measured and trainings(row.evaluations)]
        return f"; not measured here: {', '.join(f'“{row.label}”' for row in rows)}" if rows else ""

    def card_html(self) -> str:
        """The protocol card as HTML."""
        lines = tuple(tuple(map(Text, line)) for line in self.card())
        name = f"Protocol card of Table {self.table.id}, profile {self.column.profile}"
        return ReportTable(name, "Protocol", heads(("the paper's", "ours")), lines, kind="card").html()

    def _repr_html_(self) -> str:
        return self.html()

    def __repr__(self) -> str:
        return terminal(self.text())


def tables_csv(comparisons: Sequence[SideBySide]) -> str:
    """The cells of several tables and columns as comma-separated values, with one header; see :meth:`SideBySide.frame`.

    No two lines agree in paper, table, row, measure, seed and settings.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, ["paper", "table", "printed_table", "settings", *FIELDS], lineterminator="\n")
    writer.writeheader()
    for one in comparisons:
        about = _about(one) | {"settings": described(settings_of(one.column))}
        writer.writerows(about | line for line in one.frame())
    return out.getvalue()


def tables_json(comparisons: Sequence[SideBySide]) -> str:
    """The same as one JSON document: a list of columns, each with its settings, its caption and its cells."""
    found = [
        _about(one) | {"settings": settings_of(one.column), "caption": one.caption, "cells": one.frame()}
        for one in comparisons
    ]
    return json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1)


def _about(one: SideBySide) -> dict[str, Any]:
    return {"paper": one.table.paper, "table": one.table.id, "printed_table": one.print_of[0]}


def _origin(records: Iterable[Record], ledger: Ledger) -> str:
    """Whose records a column is made of, where the book has some and others are the reader's."""
    own = [ledger.own(record.kind, record.identity) for record in records]
    if ledger.under is None or not ledger.under.root.exists() or not any(own):
        return ""
    return f"{own.count(True)} of your own runs, {own.count(False)} of the book"


def _expected(table: Table, evaluation: Node) -> list[str]:
    """The table's measures that an evaluation without a record would have: those of the tasks of its networks."""
    every = [*table.measures.values(), *(extra.measure for extra in table.extras)]
    tasks = {task.name for training in outermost([evaluation]) for task in training.network.tasks}
    return [measure for measure in every if tasks & set(measure.split("/"))] or every


class _Gathered:
    """The records of one cell, seed by seed."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[int, Record, str]] = {}
        self.diverged: list[int] = []
        self.undefined: list[int] = []
        self.seeded = False

    def diverge(self, seed: int) -> None:
        if seed not in self.diverged:
            self.diverged.append(seed)
        self.seeded = True

    def add(self, seed: int, evaluation: Node, record: Record, measure: str) -> None:
        # A row that no seed changes comes under every seed with the same record, which counts once.
        seeded = bool(trainings((evaluation,)))
        if record.metrics[measure] is not None:
            self.found.setdefault(record.identity, (seed, record, measure))
        elif seeded:
            self.undefined.append(seed)
        self.seeded |= seeded

    def cell(self, seeds: int) -> Cell:
        by_seed, resampled, rounds = {}, {}, {}
        drawn: list[Drawn | None] = []
        sampled = False
        for seed, record, measure in self.found.values():
            by_seed[seed] = float(record.metrics[measure] or 0.0)
            drawn.append(record.drawn.get(measure.split("/")[0]))
            sampled |= "test_images" in record.data
            if measure in record.resampled:
                resampled[seed] = tuple(record.resampled[measure])
            if measure in record.rounds:
                rounds[seed] = tuple(record.rounds[measure])
        same = drawn[0] if drawn and all(one == drawn[0] for one in drawn) else None
        return Cell(
            by_seed, resampled, same, rounds, self.seeded, sampled, tuple(self.diverged), tuple(self.undefined),
            seeds if self.seeded else 1,
        )  # fmt: skip


def at_one_pace(
    cells: Mapping[tuple[str, str], Cell], time: str, ratio: str, signs: Mapping[str, int]
) -> dict[tuple[str, str], Cell]:
    """Cells whose rounds are what they would be had the machine kept its pace.

    Rows are timed one after the other, minutes apart, each in turns with one reference. How long that took in a round
    tells the pace of the machine in it; by that a row's time is divided, and its rate multiplied, so that rounds of two
    rows can be compared.

    Args:
        cells: (row, measure) -> cell.
        time: the measure of a time.
        ratio: that of the same over the reference's time.
        signs: measure -> 1 where it is a rate, of which more is better, -1 where it is a time.
    """
    beside = {
        row: {seed: np.divide(rounds, cells[row, ratio].rounds[seed]) for seed, rounds in cell.rounds.items()}
        for (row, measure), cell in cells.items()
        if measure == time and cell.rounds
    }
    if not beside:
        return dict(cells)
    usual = np.median(np.concatenate([rounds for by_seed in beside.values() for rounds in by_seed.values()]))
    return {
        (row, measure): cell
        if measure == ratio or not cell.rounds
        else replace(
            cell,
            rounds={
                seed: tuple((rounds * (beside[row][seed] / usual) ** signs[measure]).tolist())
                for seed, rounds in cell.rounds.items()
            },
        )
        for (row, measure), cell in cells.items()
    }


def plain_label(column: Measure) -> str:
    """A printed column's label without the group and the unit that some papers repeat in it, and without what the
    printed file says of its legibility."""
    label = column.label.removesuffix("(header glyphs damaged)").strip()
    return label.removeprefix(column.group).removesuffix(f"({column.unit})").strip() or label


def _group(column: Measure) -> str:
    return column.group if column.subgroup is None else f"{column.group}, {column.subgroup}"


def _stub(row: Row) -> Text:
    return Text(row.label, kind="" if row.printed else "ours", title=row.what)
