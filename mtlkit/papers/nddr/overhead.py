"""What NDDR layers add to VGG-16: the weights that Sect. 3.5 of the NDDR-CNN paper counts, and those it does not."""

from dataclasses import dataclass
from typing import NamedTuple

from mtlkit import papers
from mtlkit.backbones import aside
from mtlkit.fusion import NDDR
from mtlkit.heads import Exit
from mtlkit.network import Network, NetworkSettings, parameter_count
from mtlkit.papers.printed import printed
from mtlkit.report.costs import reading
from mtlkit.report.table import MISSING, ReportTable, Text
from mtlkit.runs import trainings
from mtlkit.sharing import SoftSharing
from mtlkit.tasks import Classification


class Line(NamedTuple):
    """A figure of the section.

    Attributes:
        what: what it counts.
        printed: its digits in print, or a dash.
        counted: exact: a number of parameters, or a share in per cent.
        unit: ``M``, millions of parameters, or ``%``.
        reading: how the print follows from the count; nothing where there is no print.
    """

    what: str
    printed: str
    counted: float
    unit: str
    reading: str


@dataclass(frozen=True, repr=False)
class Overhead:
    """The figures, as a table for a page or a terminal."""

    lines: tuple[Line, ...]

    @property
    def table(self) -> ReportTable:
        """The printed figure, the count, and how the one follows from the other."""
        columns = (Text("printed", kind="printed"),), (Text("counted"),), (Text("how the printed one follows"),)
        lines = tuple(
            (Text(one.what), Text(_shown(one.printed, one.unit), kind="printed"), Text(_count(one)), Text(one.reading))
            for one in self.lines
        )
        return ReportTable("Parameter overhead", "Sect. 3.5", columns, lines)

    def text(self) -> str:
        """For a terminal."""
        return self.table.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.table.html()


def overhead() -> Overhead:
    """Counts the layers of Table 4's network beside the print; nothing is trained and no memory taken."""
    said = {number["id"]: number["value"] for number in printed("nddr").text_numbers}
    table = papers.table("nddr", "4")
    rows = {row.id: row for row in table.rows(table.meta_column(), 0)}
    (*alone, fused) = (training.network for training in trainings(rows["nddr"].evaluations).values())
    tasks, trunk = len(fused.tasks), _built(fused).trunk
    assert isinstance(trunk, SoftSharing)
    units = trunk.units
    weights = sum(layer.weight.numel() for layer in units.values() if isinstance(layer, NDDR))
    # The count of VGG-16 that everybody knows is that of the ImageNet classifier.
    classifier = NetworkSettings(
        backbone="vgg16",
        fully_connected="plain",
        tasks=(Classification(name="imagenet", classes=1000),),
        head=Exit.Settings(),
    )
    whole = parameter_count(_built(classifier))
    ours = [parameter_count(_built(one)) for one in alone]

    def line(what: str, counted: float, unit: str, number: str | None = None) -> Line:
        text = said[number] if number else MISSING
        return Line(what, text, counted, unit, reading(text, counted, unit) if number else "")

    return Overhead(
        (
            line("1x1 weights of one task's layers", weights / tasks, "M", "nddr_extra_params"),
            line("1x1 weights of all tasks' layers", weights, "M"),
            line("with the scales and shifts of their batch norms", parameter_count(units), "M"),
            line("one VGG-16 with its fully connected layers", whole, "M", "vgg16_params"),
            line("one task's 1x1 weights in one such VGG-16", 100 * weights / tasks / whole, "%",
                 "nddr_extra_params_share"),
            line("all single-task networks as trained here", sum(ours), "M"),
            line("all that the layers add to them", 100 * parameter_count(units) / sum(ours), "%"),
        )
    )  # fmt: skip


def _built(settings: NetworkSettings) -> Network:
    with aside():
        return settings.build(weights=False)


def _shown(text: str, unit: str) -> str:
    return text if text == MISSING else f"{text} {unit}"


def _count(line: Line) -> str:
    return f"{line.counted:,.0f}" if line.unit == "M" else f"{line.counted:.2f} {line.unit}"
