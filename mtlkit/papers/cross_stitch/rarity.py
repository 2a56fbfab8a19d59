"""What Sect. 6.5 of the paper says of rare categories, judged: they gain, and gain more than others."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from mtlkit.evaluations import CategoryGains
from mtlkit.ledger import Ledger
from mtlkit.papers.declaration import chosen
from mtlkit.papers.printed import printed
from mtlkit.report.intervals import Gain, gain, gain_text
from mtlkit.report.judging import Verdict, combined, difference
from mtlkit.report.side_by_side import Cell, Measured, SideBySide
from mtlkit.report.table import ReportTable, Text, heads

ROW = "cross_stitch"

WORDS = {
    "gain_rarest_10": "the 10 rarest {categories} gain",
    "gain_rarest_20": "the 20 rarest {categories} gain",
    "rank_correlation": "the fewer labels, the larger the gain: a rank correlation below 0",
}
"""What is claimed by a measure of :class:`mtlkit.evaluations.CategoryGains`."""


@dataclass(frozen=True)
class Judged:
    """A statement on a stored column.

    Attributes:
        text: the statement.
        printed: the paper's number; empty where it prints none.
        measured: the column of the measure.
        over: what lies between the row and what it is compared with, by its id: ``one_task``, and the control.
        verdicts: likewise.
    """

    text: str
    printed: str
    measured: Measured
    over: dict[str, Gain]
    verdicts: dict[str, Verdict]


@dataclass(frozen=True)
class Categories:
    """What a cross-stitch network gains over the one-task network.

    Attributes:
        task: whose categories they are.
        gain: category -> its gain, the mean over seeds, of those that every seed has.
        labels: category -> its labels in the training set.
    """

    task: str
    gain: dict[str, float]
    labels: dict[str, int]


def by_category(comparison: SideBySide, ledger: Ledger) -> Categories | None:
    """The gains of a column's cross-stitch network, of its records; ``None`` where not every seed has one."""
    found, records = None, []
    for seed in comparison.column.seeds:
        (row,) = chosen(comparison.table, comparison.column, [ROW], seed)
        for value in row.evaluations:
            if isinstance(value, CategoryGains):
                found = value
                records.append(ledger.find(value.kind, value.identity))
    known = [record for record in records if record is not None]
    if found is None or len(known) < len(records):
        return None
    labels: dict[str, int] = known[0].data["labels"]
    gains = {name: [record.metrics.get(f"{found.task}/gain/{name}") for record in known] for name in labels}
    there = {name: [value for value in values if value is not None] for name, values in gains.items()}
    means = {name: fmean(values) for name, values in there.items() if len(values) == len(known)}
    return Categories(found.task, means, labels)


def nothing(like: Cell) -> Cell:
    """What the one-task network gains over itself, on the same seeds and draws."""
    draws = {seed: (0.0,) * len(values) for seed, values in like.resampled.items()}
    return Cell(dict.fromkeys(like.by_seed, 0.0), draws, like.drawn)


def judged(comparison: SideBySide) -> list[Judged]:
    """What a column of Table 5 or 6 says of rare categories; statements without a number are left out.

    A gain over the one-task network is what the paper prints; over the control without exchange it is the units'.
    """
    found = []
    control = next((row.controls[0] for row in comparison.rows if row.id == ROW), "")
    for measured in comparison.lacked:
        task, _, name = measured.measure.partition("/")
        cell = comparison.cell(ROW, measured.measure)
        if name not in WORDS or not cell.values:
            continue
        others = {"one_task": nothing(cell), control: comparison.cell(control, measured.measure)}
        over, verdicts = {}, {}
        for other, values in others.items():
            lead, one = difference(cell, values, measured.sign), gain(cell, values, measured.sign, other)
            if lead is not None and one is not None:
                over[other], verdicts[other] = one, combined([lead.above()], [lead.below()], 1)
        words = WORDS[name].format(categories=measured.label.rpartition(" ")[2])
        found.append(Judged(words, _printed(task, name), measured, over, verdicts))
    return found


def _printed(task: str, name: str) -> str:
    number = f"gain_{task}_{name.removeprefix('gain_rarest_')}_rarest"
    return next((str(one["value"]) for one in printed("cross_stitch").text_numbers if one["id"] == number), "")


def rarity_html(columns: Sequence[SideBySide]) -> str:
    """The statements on every column, with gains, their 95 % intervals and verdicts; empty without one."""
    lines = []
    for column in columns:
        for one in judged(column):
            cells = []
            for other in one.over:
                cells += [_lead(one, other), Text(one.verdicts[other], kind=one.verdicts[other])]
            where = f"Table {column.table.id}, {column.column.profile}, {column.column.data.name}"
            lines.append((Text(one.text, where), Text(one.printed or "–", kind="printed"), *cells))
    if not lines:
        return ""
    sides = heads(("printed", "over one-task", "verdict", "over no exchange", "verdict"))
    return ReportTable("Rare categories", "statement", sides, tuple(lines)).html()


def _lead(one: Judged, other: str) -> Text:
    """A gain as it is shown; of a correlation, whose sign is turned for the verdict, the correlation."""
    found = one.over[other]
    if one.measured.sign > 0:
        return gain_text(found, one.measured.unit)
    ends = None if found.interval is None else (-found.interval[1], -found.interval[0])
    turned = Gain(-found.mean, ends, tuple(-value for value in found.seeds), found.clear, other, found.too_narrow)
    return gain_text(turned, one.measured.unit)
