"""The printed table and the measured one, side by side: as HTML, text, CSV and Markdown.

A printed number is the YAML's text, a measured one comes out of records; nothing here computes either.
"""

import csv
import html
import io
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mtlkit.graph import Node
from mtlkit.ledger import Ledger, Record
from mtlkit.metrics.bootstrap import Drawn
from mtlkit.papers.declaration import Column, Extra, Row, Table, chosen
from mtlkit.papers.printed import Measure, PrintedTable
from mtlkit.runs import trainings
from mtlkit.runtime import machine

MISSING = "–"

SCALES = {"G": (1e9, 4), "M": (1e6, 3), "-": (1, 3), "m": (1, 2), "pictures": (1, 0)}
"""Unit of the print -> what counts are divided by, and the digits behind the point that papers give them."""


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
    """

    by_seed: Mapping[int, float] = field(default_factory=dict)
    resampled: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    drawn: Drawn | None = None
    rounds: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    seeded: bool = True
    sampled: bool = True

    @property
    def values(self) -> tuple[float, ...]:
        """One for every seed that has one."""
        return tuple(self.by_seed.values())

    @cached_property
    def draws(self) -> NDArray[np.float64] | None:
        """The mean over seeds on every draw of the test images, ``(B,)``; ``None`` where a record has none."""
        there = self.drawn is not None and self.resampled.keys() == self.by_seed.keys()
        return np.mean(list(self.resampled.values()), axis=0) if there and self.resampled else None

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over seeds; ``None`` for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def shown(self, unit: str) -> tuple[str, str]:
        """Mean and spread as text in the unit of the print; the spread is empty for one seed or none."""
        scale, digits = SCALES.get(unit, (1, 1))
        if not self.values:
            return MISSING, ""
        spread = "" if self.spread is None else f"±{self.spread / scale:.{digits}f}"
        return f"{self.mean / scale:.{digits}f}", spread

    def text(self, unit: str) -> str:
        """Mean and spread on one line."""
        return " ".join(filter(None, self.shown(unit)))


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
    """

    table: Table
    column: Column
    rows: tuple[Row, ...]
    cells: dict[tuple[str, str], Cell]
    hours: float
    machines: tuple[str, ...] = ()

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
        for seed, row in every:
            for evaluation in row.evaluations:
                if record := ledger.find("evaluation", evaluation.identity):
                    machines.append(machine(record.hardware))
                    for measure in record.metrics:
                        cells.setdefault((row.id, measure), _Gathered()).add(seed, evaluation, record, measure)
        needed = trainings(evaluation for _, row in every for evaluation in row.evaluations)
        found = [ledger.find("training", identity) for identity in needed]
        hours = sum(record.timing.training for record in found if record and record.timing) / 3600
        measured = {key: gathered.cell() for key, gathered in cells.items()}
        return cls(
            table, column, tuple(chosen(table, column, methods)), measured, hours, tuple(dict.fromkeys(machines))
        )

    @cached_property
    def print_of(self) -> tuple[str, PrintedTable]:
        """The printed table that belongs beside this column, with its number: the one for this backbone, else the
        table's own."""
        return self.table.printed_for(self.column.backbone.removesuffix("_bn")) or (self.table.id, self.table.printed)

    @cached_property
    def extras(self) -> tuple[Extra, ...]:
        """The measured columns that the print lacks; of the optional ones those that have a value."""
        return tuple(
            extra
            for extra in self.table.extras
            if not extra.optional or any(self.cell(row.id, extra.measure).values for row in self.rows)
        )

    @property
    def caption(self) -> str:
        """What stands on either side, in a sentence or two."""
        number, printed = self.print_of
        seeds = len(self.column.seeds)
        runs = f"{seeds} seeds, mean ± standard deviation" if seeds > 1 else "one seed, so no spread"
        data = self.column.data
        where = f"{data.name}{' (development part of its training pictures)' if data.part == 'development' else ''}"
        text = (
            f"Printed: Table {number}, {f'{printed.backbone} on ' if printed.backbone else ''}{printed.dataset}. "
            f"Measured: {self.column.networks} on {where}, profile {self.column.profile}, {runs}."
        )
        if printed.backbone and printed.backbone != self.column.backbone.removesuffix("_bn"):
            text += f" The paper prints nothing for {self.column.backbone}."
        return text

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

    @property
    def header(self) -> list[tuple[str, str, str, str]]:
        """(group, label, unit, measure) of every column that is printed and measured."""
        return [
            (_group(column), plain_label(column), column.unit, self.table.measures[column.id])
            for column in self.print_of[1].columns
        ]

    def records(self) -> list[list[str]]:
        """The table as rows of text, the header first: for every printed column ``printed`` and ``measured``."""
        columns, extras = self.print_of[1].columns, self.extras
        head = ["row"]
        for column in columns:
            name = f"{_group(column)} {plain_label(column)}"
            head += [f"{name} printed", f"{name} measured"]
        head += [f"{extra.group} {extra.label} measured" for extra in extras]
        lines = [[*head, "n"]]
        for row in self.rows:
            line = [row.label]
            for column in columns:
                line += self._pair(row, column)
            measures = [*self.table.measures.values(), *(extra.measure for extra in extras)]
            line += [self.cell(row.id, extra.measure).text(extra.unit) for extra in extras]
            line.append(str(max((len(self.cell(row.id, measure).values) for measure in measures), default=0)))
            lines.append(line)
        return lines

    def _pair(self, row: Row, column: Measure) -> list[str]:
        return [
            self.printed_cell(row.id, column.id)[0],
            self.cell(row.id, self.table.measures[column.id]).text(column.unit),
        ]

    def csv(self) -> str:
        """Comma-separated values."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(self.records())
        return out.getvalue()

    def markdown(self) -> str:
        """A pipe table with the caption under it."""
        head, *lines = self.records()
        rule = ["---"] + ["---:"] * (len(head) - 1)
        return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines]) + f"\n\n{self.caption}\n"

    def text(self) -> str:
        """Two blocks of aligned columns that fit a terminal: what the paper prints too, then what it does not."""
        labels = [label for _, label, _, _ in self.header]
        names = [label if labels.count(label) == 1 else f"{group} {label}" for group, label, _, _ in self.header]
        pairs = [["", *(f"{name} p" if side == 0 else "m" for name in names for side in (0, 1))]]
        for row in self.rows:
            line = [row.label]
            for column in self.print_of[1].columns:
                line += self._pair(row, column)
            pairs.append(line)
        blocks = [_aligned(pairs)]
        if self.extras:
            more = [["", *(extra.label for extra in self.extras)]]
            more += [
                [row.label, *(self.cell(row.id, x.measure).text(x.unit) for x in self.extras)] for row in self.rows
            ]
            blocks.append("\n".join(dict.fromkeys(x.group for x in self.extras)) + "\n" + _aligned(more))
        return "\n\n".join([self.caption + " p: printed, m: measured.", *blocks])

    def html(self) -> str:
        """Two scrollable tables in the book's theme: with the print, and the measures that the print lacks."""
        first = [f"<th scope='col' rowspan='3'>Table {html.escape(self.table.id)}</th>"]
        groups = _runs([group for group, *_ in self.header])
        head = "".join(f"<th colspan='{2 * n}' scope='colgroup'>{html.escape(name)}</th>" for name, n in groups)
        labels = "".join(
            f"<th colspan='2' scope='col'>{html.escape(label)} <span class='unit'>{html.escape(unit)}</span></th>"
            for _, label, unit, _ in self.header
        )
        sides = "<th scope='col' class='printed'>print</th><th scope='col'>ours</th>" * len(self.header)
        body = ""
        for row in self.rows:
            cells = ""
            for column in self.print_of[1].columns:
                text, bold = self.printed_cell(row.id, column.id)
                text = f"<b>{html.escape(text)}</b>" if bold else html.escape(text)
                cells += f"<td class='printed'>{text}</td>"
                cells += _measured(self.cell(row.id, self.table.measures[column.id]), column.unit)
            body += f"<tr>{_stub(row)}{cells}</tr>"
        tables = [f"<thead><tr>{first[0]}{head}</tr><tr>{labels}</tr><tr>{sides}</tr></thead><tbody>{body}</tbody>"]
        if self.extras:
            groups = _runs([extra.group for extra in self.extras])
            head = "".join(f"<th colspan='{n}' scope='colgroup'>{html.escape(name)}</th>" for name, n in groups)
            labels = "".join(
                f"<th scope='col'>{html.escape(x.label)} <span class='unit'>{html.escape(x.unit)}</span></th>"
                for x in self.extras
            )
            body = ""
            for row in self.rows:
                cells = "".join(_measured(self.cell(row.id, x.measure), x.unit) for x in self.extras)
                body += f"<tr>{_stub(row)}{cells}</tr>"
            corner = "<th scope='col' rowspan='2'>not in the print</th>"
            tables.append(f"<thead><tr>{corner}{head}</tr><tr>{labels}</tr></thead><tbody>{body}</tbody>")
        caption = f"<p class='mtl-caption'>{html.escape(self.caption)}</p>"
        return caption + "".join(
            f"<div class='mtl-scroll' tabindex='0' role='region' aria-label='Table {self.table.id}'>"
            f"<table class='mtl-table'>{content}</table></div>"
            for content in tables
        )

    def card(self) -> list[tuple[str, str, str]]:
        """The protocol card: (what, the paper's, ours)."""
        minutes = round(60 * self.hours)
        cost = f"{self.hours:.1f} hours" if self.hours >= 0.1 else f"{minutes} minute{'' if minutes == 1 else 's'}"
        return [
            *self.table.protocol(self.column),
            ("Cost", "unstated", f"{cost} of training"),
            ("Measured on", "–", "; ".join(self.machines) or "–"),
            ("Command", "see the authors' repository", self.column.command),
        ]

    def card_html(self) -> str:
        """The protocol card as HTML."""
        rows = "".join(
            "<tr>"
            + "".join(f"<{tag}>{_unbroken(text)}</{tag}>" for tag, text in zip(("th", "td", "td"), line, strict=True))
            + "</tr>"
            for line in self.card()
        )
        return (
            "<div class='mtl-scroll' tabindex='0' role='region' aria-label='Protocol card'>"
            "<table class='mtl-table mtl-card'><thead><tr><th>Protocol</th><th>the paper's</th>"
            f"<th>ours</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )

    def _repr_html_(self) -> str:
        return self.html()

    def __repr__(self) -> str:
        return self.text()


class _Gathered:
    """The records of one cell, seed by seed."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[int, Record, str]] = {}
        self.seeded = False

    def add(self, seed: int, evaluation: Node, record: Record, measure: str) -> None:
        # A row that no seed changes comes under every seed with the same record, which counts once.
        if record.metrics[measure] is not None:
            self.found.setdefault(record.identity, (seed, record, measure))
        self.seeded |= bool(trainings((evaluation,)))

    def cell(self) -> Cell:
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
        return Cell(by_seed, resampled, same, rounds, seeded=self.seeded, sampled=sampled)


def _unbroken(text: str) -> str:
    """``text`` as HTML that never ends a line within an option such as ``--lr``, where browsers like to."""
    return re.sub(r"--[\w-]+", r"<span style='white-space: nowrap'>\g<0></span>", html.escape(text))


def plain_label(column: Measure) -> str:
    """A printed column's label without the group and the unit that some papers repeat in it, and without what the
    printed file says of its legibility."""
    label = column.label.removesuffix("(header glyphs damaged)").strip()
    return label.removeprefix(column.group).removesuffix(f"({column.unit})").strip() or label


def _group(column: Measure) -> str:
    return column.group if column.subgroup is None else f"{column.group}, {column.subgroup}"


def _stub(row: Row) -> str:
    kind = "" if row.printed else " class='ours'"
    return f"<th scope='row'{kind} title='{html.escape(row.what, quote=True)}'>{html.escape(row.label)}</th>"


def _measured(cell: Cell, unit: str) -> str:
    mean, spread = cell.shown(unit)
    return f"<td>{mean}" + (f" <span class='spread'>{spread}</span>" if spread else "") + "</td>"


def _runs(names: list[str]) -> list[tuple[str, int]]:
    runs: list[tuple[str, int]] = []
    for name in names:
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1] + 1)
        else:
            runs.append((name, 1))
    return runs


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
