"""How sure measured cells are, and differences between rows.

Every record of a test split holds its measures on the same draws of its images (:mod:`mtlkit.metrics.bootstrap`), so
that two rows can be compared draw by draw. The interval of a cell says what other images would change, the spread over
seeds beside it what other seeds would; the interval of a gain has both (:mod:`mtlkit.report.judging`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mtlkit.report.judging import LEVEL, difference
from mtlkit.report.side_by_side import Cell, SideBySide, number_text
from mtlkit.report.table import MISSING, Place, Text

DAGGER = "\u2020"

TOO_NARROW = "resampled by single frames, though neighbouring frames show the same room: too narrow, decides nothing"


@dataclass(frozen=True)
class Gain:
    """How much better one row is than another, in a measure's own unit; positive is better whichever way that is.

    Attributes:
        mean: of the seeds.
        interval: 95 % of what it may be with other seeds and other test images; ``None`` where that is not known.
        seeds: the gain of every seed.
        clear: whether the mean is off 0 by more than chance.
        over: id of the row it is measured against.
        too_narrow: whether the interval is, and so decides nothing; see :class:`mtlkit.ledger.Drawn`.
    """

    mean: float
    interval: tuple[float, float] | None
    seeds: tuple[float, ...]
    clear: bool
    over: str = ""
    too_narrow: bool = False


def gain(better: Cell, worse: Cell, sign: int, over: str = "") -> Gain | None:
    """How much the first cell gains over the second; ``None`` where no seed has both."""
    lead = difference(better, worse, sign)
    if lead is None:
        return None
    clear = min(lead.above(), lead.below()) <= LEVEL
    return Gain(lead.mean, lead.interval, lead.values, clear, over, lead.too_narrow)


def gains(comparison: SideBySide, against: str | None = None) -> dict[str, dict[str, Gain]]:
    """Row -> measure -> its gain, where both rows were measured.

    Args:
        comparison: a table's measured column.
        against: id of the row that all gains are over; by default each row has its own, the strictest of
            :attr:`~mtlkit.papers.declaration.Row.controls` that was measured. Over one that diverged there is none, nor
            over a weaker one in its place.
    """
    ids, columns = {row.id for row in comparison.rows}, comparison.measures
    found: dict[str, dict[str, Gain]] = {}
    for row in comparison.rows:
        controls = row.controls if against is None else (against,)
        for control in (one for one in controls if one in ids - {row.id}):
            pairs = {c: [comparison.cell(each, c.measure) for each in (row.id, control)] for c in columns}
            several = {c.measure: gain(better, worse, c.sign, control) for c, (better, worse) in pairs.items()}
            if there := {measure: one for measure, one in several.items() if one is not None}:
                found[row.id] = there
            if there or any(worse.lost for _, worse in pairs.values()):
                break
    return found


def gain_text(one: Gain | None, unit: str) -> Text:
    """A gain in the unit of the print with its interval beside it, in bold where it is off 0."""
    if one is None:
        return Text()
    spread = MISSING if one.interval is None else _ends(one.interval, unit, one.too_narrow, signed=True)
    return Text(number_text(one.mean, unit, signed=True), spread, bold=one.clear)


def dagger_note(lines: Iterable[Sequence[Place]]) -> str:
    """What the daggers of a table's cells mean; empty where there is none."""
    return f"{DAGGER} {TOO_NARROW}" if any(DAGGER in str(cell) for line in lines for cell in line[1:]) else ""


def _ends(ends: tuple[float, float], unit: str, too_narrow: bool, *, signed: bool = False) -> str:
    return " to ".join(number_text(end, unit, signed=signed) for end in ends) + (DAGGER if too_narrow else "")
