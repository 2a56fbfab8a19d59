"""Printed parameters and operations beside exact counts, digit by digit."""

import html
import math
from dataclasses import dataclass

from mtlkit.report.side_by_side import MISSING, SCALES, SideBySide

PARAMETERS = "cost/parameters"

CONVENTIONS = {
    "cost/macs": "conv. + linear",
    "cost/macs_norms": "+ norms",
    "cost/macs_norms_exits": "+ exits' pooling",
}
"""What may be counted: multiply-accumulates; two a batch-norm value more; one a value that further exits pool."""


@dataclass(frozen=True, repr=False)
class Costs:
    """What a table prints of its networks' parameters and operations, against the counts in a comparison.

    Attributes:
        comparison: of the printed networks, as :func:`mtlkit.reproduce.costs` gives it.
    """

    comparison: SideBySide

    def printed(self, row: str, measure: str) -> str:
        """The print's digits for a measure of a row."""
        table = self.comparison.table
        columns = [column for column, answered in table.measures.items() if answered == measure]
        return self.comparison.printed_cell(row, columns[0])[0] if columns else MISSING

    def counted(self, row: str, measure: str) -> int:
        """The exact count."""
        (value,) = self.comparison.cell(row, measure).values
        return int(value)

    def lines(self) -> list[tuple[str, str, int, str, str, list[int], str]]:
        """For every row: label; parameters printed, counted, how the print reads; operations likewise, the counts by
        every convention."""
        columns = {self.comparison.table.measures[c.id]: c for c in self.comparison.table.printed.columns}
        last = list(CONVENTIONS)[-1]
        found = []
        for row in self.comparison.rows:
            parameters, macs = self.printed(row.id, PARAMETERS), self.printed(row.id, last)
            counts = [self.counted(row.id, measure) for measure in CONVENTIONS]
            held = self.counted(row.id, PARAMETERS)
            found.append(
                (
                    row.label,
                    parameters,
                    held,
                    reading(parameters, held, columns[PARAMETERS].unit),
                    macs,
                    counts,
                    _operations_reading(macs, counts, columns[last].unit),
                )
            )
        return found

    def discrepancies(self) -> list[str]:
        """A sentence for every printed figure that is not its count, rounded."""
        return [
            f"{label}: {printed} {unit} printed for {count:,} {what}: {how}."
            for label, parameters, held, how_held, macs, counts, how_macs in self.lines()
            for printed, unit, count, how, what in (
                (parameters, "M", held, how_held, "parameters"),
                (macs, "G", counts[-1], how_macs, "operations"),
            )
            if how != "rounded"
        ]

    def text(self) -> str:
        """For a terminal."""
        out = [f"Operations for one picture: {', '.join(CONVENTIONS.values())}."]
        for label, parameters, held, how_held, macs, counts, how_macs in self.lines():
            out.append(f"{label}")
            out.append(f"  parameters {parameters:>8} M  {held:>14,}  {how_held}")
            out.append(f"  operations {macs:>8} G  {'  '.join(f'{count:>14,}' for count in counts)}  {how_macs}")
        return "\n".join([*out, "", *self.discrepancies()])

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in CONVENTIONS.values())
        body = ""
        for label, parameters, held, how_held, macs, counts, how_macs in self.lines():
            cells = [
                f"<td class='printed'>{parameters}</td><td>{held:,}</td><td>{how_held}</td>",
                f"<td class='printed'>{macs}</td>",
                *(f"<td>{count:,}</td>" for count in counts),
                f"<td>{how_macs}</td>",
            ]
            body += f"<tr><th scope='row'>{html.escape(label)}</th>{''.join(cells)}</tr>"
        return (
            "<div class='mtl-scroll' tabindex='0' role='region' aria-label='Costs'><table class='mtl-table'><thead>"
            f"<tr><th scope='col' rowspan='2'>Table {self.comparison.table.id}</th>"
            "<th colspan='3' scope='colgroup'>Parameters</th>"
            f"<th colspan='{len(CONVENTIONS) + 2}' scope='colgroup'>Operations for one picture</th></tr>"
            "<tr><th scope='col' class='printed'>print, M</th><th scope='col'>counted</th>"
            "<th scope='col'>the print is</th><th scope='col' class='printed'>print, G</th>"
            f"{head}<th scope='col'>the print is</th></tr></thead><tbody>{body}</tbody></table></div>"
        )


def _operations_reading(printed: str, counts: list[int], unit: str) -> str:
    """By the widest convention, or else by the one before it where that fits."""
    how, narrower = (reading(printed, count, unit) for count in (counts[-1], counts[-2]))
    if how.startswith("off") and not narrower.startswith("off"):
        return f"{narrower}, without the pooling"
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
