"""What a paper claims, judged on its own print and on our runs."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from mtlkit.evaluations import Constant, Ensemble
from mtlkit.papers.declaration import TrainedColumn
from mtlkit.papers.printed import Measure, PrintedPaper, printed
from mtlkit.papers.registry import options_of
from mtlkit.report.judging import LEVEL, Verdict, combined, deciding, difference
from mtlkit.report.settings import COLUMN, data_sets, described, telling
from mtlkit.report.side_by_side import SCALES, Cell, SideBySide, plain_label
from mtlkit.report.table import MISSING, ReportTable, Text, heads
from mtlkit.runs import trainings
from mtlkit.training import Recipe

Place = tuple[str, str, str]
"""Table, row and column of a printed cell."""
Setting = Mapping[str, SideBySide]
"""Table -> its column, of columns that are judged together."""


@dataclass(frozen=True)
class Compared:
    """One comparison of a claim on measured cells.

    Attributes:
        mean: how much better the first cell is, in the unit of the print, or its ratio where that is claimed; ``None``
            where a cell was not measured.
        above: the p-value that this lies above the margin; 0 or 1 of exact counts.
        below: that it lies below.
        interval: 95 % of what ``mean`` may be; ``None`` where that is not known, and of exact counts.
        exact: whether it compares counts, which no chance changes.
        unlearnt: whether it is left open since neither row has learnt the task well enough for the margin.
    """

    mean: float | None = None
    above: float = 1.0
    below: float = 1.0
    interval: tuple[float, float] | None = None
    exact: bool = False
    unlearnt: bool = False

    @property
    def status(self) -> Literal["hold", "fail", "open"]:
        """What the comparison says when it is looked at alone."""
        return "hold" if self.above <= LEVEL else "fail" if self.below <= LEVEL else "open"


@dataclass(frozen=True)
class Judged:
    """A claim on the columns of one setting.

    Attributes:
        name: of the setting, no other of this claim has it.
        setting: the columns.
        verdict: on the claim.
        comparisons: one by one, as the claim lists them.
        deciding: the place among them of the one that the verdict rests on; see :func:`mtlkit.report.judging.deciding`.
    """

    name: str
    setting: Setting
    verdict: Verdict
    comparisons: tuple[Compared, ...]
    deciding: int

    @property
    def tally(self) -> str:
        """How many comparisons hold, fail and stay open."""
        counted = Counter(one.status for one in self.comparisons)
        return f"{counted['hold']} hold, {counted['fail']} fail, {counted['open']} open"


def on_print(paper: PrintedPaper, claim: dict[str, Any]) -> Verdict:
    """The verdict on the printed digits."""

    def cell(at: Place) -> Decimal | None:
        found = paper.tables[at[0]].row(at[1])
        text = found.cells.get(at[2]) if found else None
        return None if text is None else Decimal(text)

    several = [_exact(paper, comparison, [cell(at) for at in _places(comparison)]) for comparison in claim["compare"]]
    return combined([one.above for one in several], [one.below for one in several], _needed(claim))


def on_runs(paper: PrintedPaper, claim: dict[str, Any], columns: Iterable[SideBySide]) -> list[Judged]:
    """The verdicts on measured columns, one a setting: profile ``paper`` first, then real images, then drawn worlds.

    A claim about several tables is judged on columns that agree in all that the print has in common for these tables;
    see :func:`agree`. Where a table has no such column its comparisons stay open. Nothing is judged at profile
    ``smoke``.

    Args:
        paper: whose claim it is.
        claim: as its printed file has it.
        columns: all there are, the oldest first; of the same kind, the newest comes first.
    """
    places = {at for comparison in claim["compare"] for at in _places(comparison)}
    useful = [
        one
        for one in columns
        if one.column.profile != "smoke"
        and any(one.cell(row, one.table.measures[name]).by_seed for table, row, name in places if table == one.table.id)
    ]
    newest_first = _settings(useful)
    newest_first.reverse()
    found = sorted(newest_first, key=order)
    judged = []
    for name, setting in zip(names(found), found, strict=True):
        several = tuple(_compared(paper, comparison, setting) for comparison in claim["compare"])
        sides = [one.above for one in several], [one.below for one in several]
        needed = _needed(claim)
        judged.append(Judged(name, setting, combined(*sides, needed), several, deciding(*sides, needed)))
    return judged


def agree(one: SideBySide, other: SideBySide) -> bool:
    """Whether columns of two tables differ in nothing that the print has in common for the two.

    These are the profile; where both tables are printed for one backbone, the backbone; where both are printed for one
    data set, the data sets of the same role, their size, and of trained networks the weights they start from, the
    recipe and every option that both tables take; where they are printed for two data sets, that neither or both are
    drawn.
    Columns that only count or time networks have no data and no recipe; those that time have the same machine.
    """
    first, second = one.column, other.column
    if first.profile != second.profile:
        return False
    if first.machine and second.machine and first.machine != second.machine:
        return False
    ours, theirs = one.table.printed, other.table.printed
    if ours.backbone == theirs.backbone and first.network != second.network:
        return False
    sets, others = data_sets(first), data_sets(second)
    if ours.dataset != theirs.dataset:
        return not (sets and others) or first.data.drawn == second.data.drawn
    shared = [(sets[role], others[role]) for role in sets.keys() & others.keys()]
    if any((a.fingerprint, a.size, a.fraction) != (b.fingerprint, b.size, b.fraction) for a, b in shared):
        return False
    if not (isinstance(first, TrainedColumn) and isinstance(second, TrainedColumn)):
        return True
    if first.weights.identity != second.weights.identity or _recipe(first) != _recipe(second):
        return False
    chosen, theirs_chosen = _options(first), _options(second)
    apart = PRINTED_APART if ours.backbone == theirs.backbone else {*PRINTED_APART, "output_stride", "neck"}
    return all(chosen[name] == theirs_chosen[name] for name in (chosen.keys() & theirs_chosen.keys()) - apart)


PRINTED_APART = {"backbone", "weights", "dataset", "data_root", "classes", "fractions", "seeds"}
"""Options that are compared by what they stand for, or that tables of one paper differ in."""


def _recipe(column: TrainedColumn) -> Recipe:
    """But for the number of steps, which follows from the epochs."""
    return column.recipe.model_copy(update={"steps": 1})


def _options(column: TrainedColumn) -> dict[str, object]:
    kind = options_of(column.paper)
    decided = column.decided().items()
    return {name: value for name, value in decided if name in kind.model_fields and kind.takes(column.table, name)}


def _settings(columns: Sequence[SideBySide]) -> list[Setting]:
    """Columns of several tables, put together where they agree; every column is in one setting or more."""
    settings: list[dict[str, SideBySide]] = []
    for table in dict.fromkeys(one.table.id for one in columns):
        own = [one for one in columns if one.table.id == table]
        longer: list[dict[str, SideBySide]] = []
        for setting in settings:
            fitting = [one for one in own if all(agree(one, other) for other in setting.values())]
            longer += [{**setting, table: one} for one in fitting] or [setting]
        used = [setting[table] for setting in longer if table in setting]
        settings = longer + [{table: one} for one in own if not any(one is other for other in used)]
    return list(settings)


def order(setting: Setting) -> tuple[bool, bool]:
    """What settings are sorted by: profile ``paper``, then real images, then drawn worlds."""
    columns = [one.column for one in setting.values()]
    return columns[0].profile != "paper", any(column.data.drawn for column in columns)


def names(settings: Sequence[Setting]) -> list[str]:
    """A name a setting: profile, data and whether they are drawn, size, networks, machine of times, and what else tells
    it from one alike: the options, and where they agree, as under an earlier version of a recipe, the identity."""

    def name(setting: Setting) -> str:
        columns = [one.column for one in setting.values()]
        sets = [data for column in columns for data in data_sets(column).values()]
        words = [", ".join(dict.fromkeys(data.name + " (drawn)" * data.drawn for data in sets))] if sets else []
        words += dict.fromkeys(f"{height}x{width}" for height, width in (data.size for data in sets))
        words += [", ".join(dict.fromkeys(column.networks for column in columns))]
        words += dict.fromkeys(f"timed on {column.machine}" for column in columns if column.machine)
        return "; ".join([columns[0].profile, *words])

    def options(setting: Setting) -> dict[str, str]:
        spelled = {key: str(value) for one in setting.values() for key, value in one.column.spelled().items()}
        return spelled | {COLUMN: ", ".join(one.column.identity for one in setting.values())}

    found = []
    for setting in settings:
        alike = [other for other in settings if name(other) == name(setting)]
        own = telling([options(other) for other in alike])[alike.index(setting)]
        found.append("; ".join(filter(None, (name(setting), described(own)))))
    return found


def _compared(paper: PrintedPaper, comparison: dict[str, Any], setting: Setting) -> Compared:
    places = _places(comparison)
    if any(table not in setting for table, _, _ in places):
        return Compared()
    cells = {at: setting[at[0]].cell(at[1], setting[at[0]].table.measures[at[2]]) for at in places}
    if not all(cell.values for cell in cells.values()):
        return Compared()
    first, by = _measure(paper, comparison["a"]), comparison.get("by", 0)
    scale, _ = SCALES.get(first.unit, (1, 1))
    a, b, *beyond = several = [cells[at] for at in places]
    if all(map(_counted, several)):
        return _exact(paper, comparison, [Decimal(int(cell.values[0])) / Decimal(int(scale)) for cell in several])
    ratio = comparison["op"] == "ratio_at_least"
    less = (beyond[0], beyond[1], _sign(_measure(paper, places[2]))) if beyond else None
    lead = difference(a, b, _sign(first), beyond=less, log=ratio)
    if lead is None:
        return Compared()
    margin = math.log(by) if ratio else by * scale
    mean = math.exp(lead.mean) if ratio else lead.mean / scale
    ends = None if lead.too_narrow else lead.interval
    if ends is not None:
        ends = (math.exp(ends[0]), math.exp(ends[1])) if ratio else (ends[0] / scale, ends[1] / scale)
    above, below = lead.above(margin), lead.below(margin)
    decides = min(above, below) < 1  # else nothing is known of its noise
    if decides and by and not ratio and not any(_learnt(setting[at[0]], at, margin) for at in places[:2]):
        return Compared(mean, interval=ends, unlearnt=True)
    return Compared(mean, above, below, ends)


def _learnt(comparison: SideBySide, at: Place, margin: float) -> bool:
    """Whether a row is better than the best constant prediction of its column: by more than chance, and by more than
    the gain or the loss that is asked about.

    A network that has not learnt a task can neither gain what one that has may gain, nor lose what that may lose. Where
    no constant was measured, nothing is known of it, and the answer is yes.
    """
    measure, sign = comparison.table.measures[at[2]], _sign(_measure(printed(comparison.table.paper), at))
    rows = [row.id for row in comparison.rows if any(isinstance(value, Constant) for value in row.evaluations)]
    constants = [cell for cell in (comparison.cell(row, measure) for row in rows) if cell.values]
    if not constants:
        return True
    best = max(constants, key=lambda cell: sign * cell.mean)
    lead = difference(comparison.cell(at[1], measure), best, sign)
    return lead is None or (lead.above() <= LEVEL and lead.mean > abs(margin))


def _counted(cell: Cell) -> bool:
    """Whether a cell is an exact count; a time whose rounds are not at hand is no whole number."""
    return not cell.sampled and not cell.rounds and all(value.is_integer() for value in cell.values)


def claims_html(slug: str, tables: Sequence[str], columns: Iterable[SideBySide] = ()) -> str:
    """The claims that only compare cells of ``tables``: text, the compared cells, the verdicts on print and runs.

    Args:
        slug: the paper.
        tables: ids of its tables.
        columns: all measured columns of these, whatever their settings.
    """
    paper, columns = printed(slug), list(columns)
    lines = []
    for claim in paper.claims:
        if not {table for comparison in claim["compare"] for table, _, _ in _places(comparison)} <= set(tables):
            continue
        judged, on_paper = on_runs(paper, claim, columns), on_print(paper, claim)
        text = Text(f"{claim['text']} ({claim['where']})", folded=evidence(paper, claim, judged))
        ours = tuple(Text(one.verdict, f"{one.tally}\n{one.name}", kind=one.verdict) for one in judged)
        lines.append((text, Text(on_paper, kind=on_paper), ours or Text("undecided", kind="undecided")))
    verdicts = heads(("in the paper", "in our runs"))
    return ReportTable("Claims", "claim", verdicts, tuple(lines), kind="card claims").html()


def evidence(paper: PrintedPaper, claim: dict[str, Any], judged: Sequence[Judged]) -> tuple[str, ...]:
    """How many comparisons a claim has, and each of them with its cells, printed and measured."""

    def label(at: Place) -> str:
        found = paper.tables[at[0]].row(at[1])
        text = (found.cells.get(at[2]) if found else None) or MISSING
        return f"Table {at[0]}, {found.label if found else at[1]}, {plain_label(_measure(paper, at))}: {text}"

    def ours(one: Judged, place: int) -> str:
        compared, comparison = one.comparisons[place], claim["compare"][place]
        cells = compared_cells(one, comparison)
        if compared.mean is None and not any(cell.lost for cell in cells.values()):
            return ""
        texts = [cell.text(_measure(paper, at).unit) for at, cell in cells.items()]
        named = f" ({one.name})" if len(judged) > 1 else ""
        if compared.mean is None:
            return f"ours{named} {' and '.join(texts)}: open"
        found, _ = difference_texts(paper, comparison, compared)
        sure = f"p {p_text(compared.above)} above, {p_text(compared.below)} below the margin"
        if compared.exact:
            sure = "an exact count"
        elif min(compared.above, compared.below) == 1:
            sure = "open"
        return f"ours{named} {' and '.join(texts)}: {found}, {sure}"

    lines = []
    for place, comparison in enumerate(claim["compare"]):
        text = "; ".join(map(label, _places(comparison)[:2]))
        lines.append("\n".join(filter(None, (text, *(ours(one, place) for one in judged)))))
    return f"{len(lines)} comparison{'' if len(lines) == 1 else 's'}", *lines


def p_text(p: float) -> str:
    """A p-value to three digits behind the point, to more where it would otherwise round to the level that it is over.

    >>> p_text(0.0174), p_text(0.025396)
    ('0.017', '0.0254')
    """
    digits = 3
    while round(p, digits) <= LEVEL < p:
        digits += 1
    return f"{p:.{digits}f}"


def compared_cells(one: Judged, comparison: dict[str, Any]) -> dict[Place, Cell]:
    """The better and the other cell of a comparison, of those whose table has a column in the setting."""
    there = [at for at in _places(comparison)[:2] if at[0] in one.setting]
    return {at: one.setting[at[0]].cell(at[1], one.setting[at[0]].table.measures[at[2]]) for at in there}


def difference_texts(paper: PrintedPaper, comparison: dict[str, Any], compared: Compared) -> tuple[str, str]:
    """What was found of a comparison that was measured, and its interval, empty where there is none."""
    _, digits = SCALES.get(_measure(paper, comparison["a"]).unit, (1, 1))
    ratio = comparison["op"] == "ratio_at_least"

    def number(value: float) -> str:
        text = f"{value:.2f}" if ratio else f"{value:+.{digits}f}"
        if value and not float(text):  # smaller than the digits of the print
            text = f"{value:+.0e}"
        return text.replace("-", "\u2212")

    ends = "" if compared.interval is None else " to ".join(map(number, compared.interval))
    return f"{'ratio ' * ratio}{number(compared.mean or 0.0)}", ends


def deciding_text(paper: PrintedPaper, claim: dict[str, Any], one: Judged) -> Text:
    """The comparison that a verdict rests on: its cells as measured, what lies between them, and how sure that is."""
    comparison, compared = claim["compare"][one.deciding], one.comparisons[one.deciding]
    cells = compared_cells(one, comparison)

    def label(at: Place) -> str:
        declared = one.setting[at[0]].rows if at[0] in one.setting else ()
        row = next((row for row in declared if row.id == at[1]), paper.tables[at[0]].row(at[1]))
        return f"“{row.label if row else at[1]}”"

    def cell(at: Place) -> str:
        return f"{label(at)} {cells[at].text(_measure(paper, at).unit)}" if at in cells else label(at)

    first, second = _places(comparison)[:2]
    measures = dict.fromkeys(_measure(paper, at) for at in (first, second))
    called = dict.fromkeys(" ".join(filter(None, (each.group, plain_label(each)))) for each in measures)
    tables = " and ".join(dict.fromkeys(at[0] for at in (first, second)))
    text = f"Table {tables}, {' and '.join(called)}: {cell(first)} against {cell(second)}"
    if compared.mean is None:
        return Text(text, "not measured")
    if times := _times_the_images(one, first, second):
        more = label(first if times > 1 else second)
        text += f"; {more} has seen {max(times, 1 / times):.3g} times as many images"
    found, ends = difference_texts(paper, comparison, compared)
    if comparison["op"] != "ratio_at_least":  # which says itself what it is
        found = f"difference {found}"
    by = comparison.get("by_from") or comparison.get("by", 0)
    margin = "the margin" if by else "1" if comparison["op"] == "ratio_at_least" else "0"
    if compared.exact:
        return Text(text, f"{found}, an exact count")
    side, p = ("above", compared.above) if compared.above <= compared.below else ("below", compared.below)
    level = f"p = {p_text(p)}" if p >= 0.001 else "p < 0.001"
    sure = f"{level} {side} {margin}" if p < 1 else "open: no estimate of its noise that may decide"
    if compared.unlearnt:
        sure = "open: neither row is better than a constant by more than chance and than the margin"
    return Text(text, f"{found}{f' ({ends})' if ends else ''}, {sure}")


def _times_the_images(one: Judged, first: Place, second: Place) -> float | None:
    """How many times the images of the task that a network of the second row has seen one of the first has; ``None``:
    as many, or a row has no network of its own, or several a task, as ensembles have."""

    def seen(at: Place) -> int | None:
        comparison = one.setting.get(at[0])
        row = next((row for row in comparison.rows if row.id == at[1]), None) if comparison else None
        if comparison is None or row is None or any(isinstance(value, Ensemble) for value in row.evaluations):
            return None
        words = comparison.table.measures[at[2]].split("/")
        counts = [
            training.images_seen_for(task.name)
            for training in trainings(row.evaluations).values()
            for task in training.network.tasks
            if task.name in words
        ]
        return max(counts, default=None)

    counts = seen(first), seen(second)
    if counts[0] is None or counts[1] is None or math.isclose(counts[0], counts[1], rel_tol=0.01):
        return None
    return counts[0] / counts[1]


def measured(claim: dict[str, Any], one: Judged) -> bool:
    """Whether the setting has anything to say about the claim: a comparison of it, or a cell that lost a seed."""
    cells = (cell for comparison in claim["compare"] for cell in compared_cells(one, comparison).values())
    return any(each.mean is not None for each in one.comparisons) or any(cell.lost for cell in cells)


def _places(comparison: dict[str, Any]) -> list[Place]:
    """The cells of a comparison: the better one, the other, and those of a margin that is itself a difference."""
    return [(at[0], at[1], at[2]) for at in (comparison["a"], comparison["b"], *comparison.get("by_from", []))]


def _needed(claim: dict[str, Any]) -> int:
    """How many of the comparisons must hold."""
    count = len(claim["compare"])
    return {"all": count, "most": count // 2 + 1, "any": 1}[claim["holds_if"]]


def _measure(paper: PrintedPaper, at: Place) -> Measure:
    return next(column for column in paper.tables[at[0]].columns if column.id == at[2])


def _sign(measure: Measure) -> int:
    return 1 if measure.better == "higher" else -1


def _exact(paper: PrintedPaper, comparison: dict[str, Any], values: Sequence[Decimal | None]) -> Compared:
    """A comparison of printed digits or of counts in the unit of the print, which no chance changes.

    Args:
        paper: whose comparison it is.
        comparison: as the printed file has it.
        values: of its cells, in the order of :func:`_places`.
    """
    a, b, *beyond = values
    if a is None or b is None:
        return Compared()
    sign, by = _sign(_measure(paper, comparison["a"])), Decimal(str(comparison.get("by", 0)))
    if comparison["op"] == "ratio_at_least":
        high, low = (a, b) if sign > 0 else (b, a)
        if min(high, low) <= 0:
            return Compared()
        gain, past = high / low, high - by * low
    else:
        gain = sign * (a - b)
        if beyond:
            c, d = beyond
            if c is None or d is None:
                return Compared()
            gain -= _sign(_measure(paper, _places(comparison)[2])) * (c - d)
        past = gain - by
    strict = comparison["op"] == "better" or comparison.get("strict", False)
    holds = past > 0 or (past == 0 and not strict)
    return Compared(float(gain), float(not holds), float(holds), exact=True)
