"""Printed parameters and operations beside exact counts, digit by digit."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from mtlkit.report.side_by_side import SCALES, SideBySide
from mtlkit.report.table import MISSING, ReportTable, Text

PARAMETERS = "cost/parameters"


class Figure(NamedTuple):
    """A printed figure, the counts that may stand behind it, and how it follows from them."""

    printed: str
    counts: list[int]
    reading: str

    @property
    def cells(self) -> tuple[Text, ...]:
        """In a table."""
        return Text(self.printed, kind="printed"), *(Text(f"{count:,}") for count in self.counts), Text(self.reading)


@dataclass(frozen=True, repr=False)
class Costs:
    """What a table prints of its networks' parameters and operations, against the counts in a comparison.

    Attributes:
        comparison: of the printed networks, as :func:`mtlkit.reproduce.costs` gives it.
    """

    comparison: SideBySide

    @property
    def counts(self) -> dict[str, str]:
        """Measure -> what is counted, of the operations that the table declares."""
        return self.comparison.table.counts

    def printed(self, row: str, measure: str) -> str:
        """The print's digits for a measure of a row."""
        table = self.comparison.table
        columns = [column for column, answered in table.measures.items() if answered == measure]
        return self.comparison.printed_cell(row, columns[0])[0] if columns else MISSING

    def counted(self, row: str, measure: str) -> int:
        """The exact count."""
        (value,) = self.comparison.cell(row, measure).values
        return int(value)

    @property
    def table(self) -> ReportTable:
        """Parameters and operations as the print has them, as they are counted, and how the print reads."""
        groups = ("Parameters", "M", ["counted"]), ("Operations for one image", "G", self.counts.values())
        columns = tuple(
            (Text(group), text)
            for group, unit, counts in groups
            for text in (Text(f"printed, {unit}", kind="printed"), *map(Text, counts), Text("printed is"))
        )
        lines = tuple((Text(label), *(text for one in both for text in one.cells)) for label, both in self._figures())
        return ReportTable("Costs", f"Table {self.comparison.table.id}", columns, lines)

    def _figures(self) -> list[tuple[str, tuple[Figure, Figure]]]:
        """Label of every row -> its parameters and its operations."""
        units = {self.comparison.table.measures[c.id]: c.unit for c in self.comparison.table.printed.columns}
        last, widest = list(self.counts.items())[-1]
        found = []
        for row in self.comparison.rows:
            parameters, operations = self.printed(row.id, PARAMETERS), self.printed(row.id, last)
            held, counts = self.counted(row.id, PARAMETERS), [self.counted(row.id, one) for one in self.counts]
            how = (
                reading(parameters, held, units[PARAMETERS]),
                _operations_reading(operations, counts, units[last], widest),
            )
            found.append((row.label, (Figure(parameters, [held], how[0]), Figure(operations, counts, how[1]))))
        return found

    def discrepancies(self) -> list[str]:
        """A sentence for every printed figure that is not its count, rounded."""
        return [
            f"{label}: {one.printed} {unit} printed for {one.counts[-1]:,} {what}: {one.reading}."
            for label, both in self._figures()
            for one, unit, what in zip(both, "MG", ("parameters", "operations"), strict=True)
            if one.reading != "rounded"
        ]

    def text(self) -> str:
        """For a terminal."""
        return "\n".join([self.table.text(), "", *self.discrepancies()])

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.table.html()


def _operations_reading(printed: str, counts: list[int], unit: str, widest: str) -> str:
    """By the widest convention, or else by the one before it where that fits."""
    how, *narrower = (reading(printed, count, unit) for count in counts[::-1][:2])
    if how.startswith("off") and narrower and not narrower[0].startswith("off"):
        return f"{narrower[0]}, without {widest.removeprefix('+ ')}"
    return how


def reading(printed: str, count: float, unit: str) -> str:
    """How a printed figure follows from a count: ``rounded``, ``truncated``, or by how much it does not."""
    scale, _ = SCALES.get(unit, (1, 1))
    digits = len(printed.partition(".")[2])
    exact = count / scale
    if printed == f"{exact:.{digits}f}":
        return "rounded"
    if printed == f"{math.floor(exact * 10**digits) / 10**digits:.{digits}f}":
        return "truncated"
    return f"off by {float(printed) - exact:+.{digits}f} {unit}"
