"""A network drawn from its modules: stages, fusion layers, necks, heads and tasks as an SVG."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from torch import nn

from mtlkit.errors import InputError
from mtlkit.network import Network
from mtlkit.sharing import HardSharing, Sharing, SoftSharing

# Of a column of boxes, between two of them, and right of the last: lines that pass boxes by run in the latter two.
WIDTH, GAP, MARGIN = 100, 14, 14
# Where the first column begins: left of it stand the names of rows, and lines that pass its boxes by.
LABELS = 58
# Height of a line of text, room above and below the lines of a box, and between two boxes.
LINE, PADDING, STEP = 14, 5, 18
# Width of a character in ems, plain and bold, of a wide sans-serif font (DejaVu Sans).
FONT, EM, BOLD = 11, 0.66, 0.72
# With a contrast of at least 3 to white and to the dark theme's background; all else has the text's colour.
FUSION, TASK = "#2a8fbd", "#c2703d"


@dataclass(frozen=True)
class Diagram:
    """A network as an SVG, which Jupyter shows where it is the last value of a cell.

    Lines and text have the colour of the text around the diagram, so that it is readable on light and on dark pages.

    Attributes:
        svg: the drawing, for a file of its own too.
        description: what it shows, in words; also its ``aria-label``.
        width: of the drawing in pixels at a scale of one.
    """

    svg: str = field(repr=False)
    description: str
    width: int

    def _repr_html_(self) -> str:
        return f'<div class="mtl-diagram" style="max-width:{1.15 * self.width:.0f}px">{self.svg}</div>'


@dataclass(frozen=True)
class DiagramRow:
    """Diagrams side by side, in as many lines as the page needs.

    >>> from mtlkit.backbones import staged
    >>> both = DiagramRow([draw(HardSharing(staged("resnet10t"), [task]), title=task) for task in ("depth", "normals")])
    >>> both._repr_html_().count("<svg")
    2
    """

    diagrams: Sequence[Diagram]

    def _repr_html_(self) -> str:
        parts = "".join(
            f'<div style="flex:1 1 {0.85 * diagram.width:.0f}px;max-width:{diagram.width}px">{diagram.svg}</div>'
            for diagram in self.diagrams
        )
        return f'<div class="mtl-diagram" style="display:flex;flex-wrap:wrap;gap:12px 4px">{parts}</div>'


@dataclass
class _Canvas:
    """What is drawn so far, and how far down."""

    y: float = 4
    lines: list[str] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)

    def box(
        self,
        kind: str,
        left: float,
        text: Sequence[str],
        *,
        width: float = WIDTH,
        y: float | None = None,
        colour: str = "currentColor",
        dashed: bool = False,
    ) -> float:
        """A box with its lines of text; returns where it ends."""
        y = self.y if y is None else y
        height = LINE * len(text) + 2 * PADDING
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        parts = [
            f'<rect x="{left:g}" y="{y:g}" width="{width:g}" height="{height}" rx="4" fill="{colour}" '
            f'fill-opacity="0.1" stroke="{colour}"{dash}/>'
        ]
        for index, line in enumerate(text):
            parts.append(_text(left + width / 2, y + PADDING + LINE * index + 11, line, width - 6, bold=index == 0))
        self.boxes.append(f'<g class="mtl-{kind}">{"".join(parts)}</g>')
        return y + height

    def name(self, text: str, y: float) -> None:
        """The name of a row, left of it, at the height of a box's first line."""
        self.boxes.append(_text(0, y + PADDING + 11, text, LABELS - 12, anchor="start"))

    def path(self, *steps: str) -> None:
        """A line with an arrow at its end, of SVG path commands."""
        end = steps[-1].removeprefix("V")
        x = next(step[1:] for step in reversed(steps) if step[0] == "H" or step[0] == "M").partition(",")[0]
        head = f"M{float(x) - 3:g},{float(end) - 4:g} L{x},{end} L{float(x) + 3:g},{float(end) - 4:g}"
        self.lines.append(f'<path d="{" ".join(steps)} {head}"/>')

    def arrow(self, x: float, y: float, to_x: float, to_y: float) -> None:
        """From one box's lower end to another's upper end, with an elbow where they stand in two columns."""
        elbow = [f"V{to_y - 7:g}", f"H{to_x:g}"] if x != to_x else []
        self.path(f"M{x:g},{y:g}", *elbow, f"V{to_y:g}")

    def taps(self, sources: Sequence[tuple[float, float]], bus: float, to_x: float, to_y: float) -> None:
        """From dots on the lines between boxes, past the boxes below, to another's upper end."""
        for x, y in sources:
            self.lines.append(f'<circle cx="{x:g}" cy="{y:g}" r="2" fill="currentColor"/>')
        (x, y), *others = sources
        elbow = [f"V{to_y - 7:g}", f"H{to_x:g}"] if bus != to_x else []
        self.path(f"M{x:g},{y:g}", f"H{bus:g}", *elbow, f"V{to_y:g}")
        self.lines += [f'<path d="M{x:g},{y:g} H{bus:g}"/>' for x, y in others]


def _text(x: float, y: float, text: str, room: float, *, bold: bool = False, anchor: str = "middle") -> str:
    """A line of text, smaller where it would not fit into ``room``."""
    size = min(FONT, room / ((BOLD if bold else EM) * len(text)))
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:.3g}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _map(channels: int, stride: int | None) -> list[str]:
    """The shape of a map, in two lines; ``None``: of a region."""
    if stride is None:
        return [f"{channels} channels", "of each region"]
    return [f"{channels} channels", "H × W" if stride == 1 else f"H/{stride} × W/{stride}"]


def _width(module: nn.Module) -> str:
    """How many channels leave ``module``: of its last convolution or linear layer, of each one of a list."""
    if isinstance(module, nn.ModuleList):
        return "+".join(_width(each) for each in module)
    found: list[Any] = [getattr(m, "out_channels", getattr(m, "out_features", None)) for m in module.modules()]
    return str(next((width for width in reversed(found) if width is not None), ""))


def _inside(module: nn.Module) -> Iterable[tuple[str, str]]:
    """Of every child that does something what it is called in the module, or its class, and its width."""
    for name, child in module.named_children():
        if not isinstance(child, nn.Identity | nn.Dropout):
            ours = not type(child).__module__.startswith("torch.")
            yield type(child).__name__ if ours else name, _width(child)


def _head(head: nn.Module) -> list[str]:
    """The lines of a head's box; the widths of several last layers stand on lines of their own, four on each."""
    lines = [type(head).__name__]
    for label, width in _inside(head):
        each = width.split("+")
        if len(each) == 1:
            lines.append(f"{label} {width}".rstrip())
        else:
            lines += [label, *("+".join(each[i : i + 4]) for i in range(0, len(each), 4))]
    return lines


def _and(words: Iterable[object]) -> str:
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}" if first else last


def draw(network: nn.Module, *, title: str = "") -> Diagram:
    """Draws a network from its modules, from the image down to the tasks.

    A column is an encoder, or the tasks' common one; a box in it a stage with the shape of its map, for images
    ``(N, 3, H, W)``. A bar across columns is a fusion layer, dashed where it has no exchange. A dot is a map that a
    neck or a head takes beside the last one. In a head stand its layers with their channels.

    Args:
        network: a :class:`~mtlkit.network.Network`, or encoders without heads, a :class:`~mtlkit.sharing.HardSharing`
            or a :class:`~mtlkit.sharing.SoftSharing`.
        title: stands above the drawing.

    Raises:
        InputError: ``network`` is another module.

    >>> from mtlkit.backbones import staged
    >>> from mtlkit.fusion import NDDR
    >>> diagram = draw(SoftSharing({task: staged("resnet10t") for task in ("depth", "normals")}, NDDR, after=(3, 4)))
    >>> diagram.svg.count('class="mtl-stage"'), diagram.svg.count('class="mtl-fusion"')
    (10, 2)
    >>> diagram.description
    'Soft sharing of 2 tasks, depth and normals: 2 encoders of 5 stages, NDDR after stages 3 and 4.'
    """
    trunk = network.trunk if isinstance(network, Network) else network
    if not isinstance(trunk, HardSharing | SoftSharing):
        raise InputError(f"draw takes a Network, a HardSharing or a SoftSharing, not a {type(network).__name__}.")
    heads: Mapping[str, Any] = network.heads if isinstance(network, Network) else {}  # type: ignore[assignment]
    necks: Mapping[str, Any] = network.necks if isinstance(network, Network) else {}  # type: ignore[assignment]
    drawing = _Drawing(trunk, necks, heads, title)
    height, width = drawing.canvas.y + 2, drawing.width
    description = _description(trunk, necks, heads)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(description)}" style="display:block;width:100%;height:auto" '
        'font-family="system-ui, sans-serif" fill="currentColor">'
        f"<title>{escape(title or description.partition(':')[0])}</title>"
        f'<g fill="none" stroke="currentColor" opacity="0.75">{"".join(drawing.canvas.lines)}</g>'
        f"{''.join(drawing.canvas.boxes)}</svg>"
    )
    return Diagram(svg, description, round(width))


class _Drawing:
    """The places of all boxes, row by row."""

    def __init__(
        self, trunk: HardSharing | SoftSharing, necks: Mapping[str, Any], heads: Mapping[str, Any], title: str
    ):
        self.trunk, self.necks, self.heads = trunk, necks, heads
        self.tasks = trunk.tasks
        self.width = LABELS + len(self.tasks) * (WIDTH + GAP) - GAP + MARGIN
        self.middle = LABELS + (len(self.tasks) * (WIDTH + GAP) - GAP) / 2
        self.centres = {task: LABELS + WIDTH / 2 + i * (WIDTH + GAP) for i, task in enumerate(self.tasks)}
        self.canvas = canvas = _Canvas()
        if title:
            canvas.boxes.append(_text(0, 15, title, self.width, bold=True, anchor="start"))
            canvas.y = 24
        # Where every task's map comes from: the middle of its column and the lower end of the last box there.
        self.at = dict.fromkeys(self.tasks, (self.middle, self.row("image", "image", ["image", "3 × H × W"])))
        self.taps: dict[str, list[tuple[float, float]]] = {task: [] for task in self.tasks}
        canvas.y += STEP
        for index in range(len(trunk.channels)):
            self.stage(index)
        self.after_stages()
        self.outputs()

    def row(self, kind: str, name: str, text: Sequence[str], **style: Any) -> float:
        """One box in the middle, and the row's name; moves below it."""
        self.canvas.name(name, self.canvas.y)
        self.canvas.y = self.canvas.box(kind, self.middle - WIDTH / 2, text[name == text[0] :], **style)
        return self.canvas.y

    def boxes(self, kind: str, text: Sequence[str], columns: Mapping[float, Iterable[str]]) -> None:
        """A box of the same text in every column, below the maps of its tasks."""
        for x, tasks in columns.items():
            # One arrow a source: tasks that come from the same box share it.
            for at in {self.at[task] for task in tasks}:
                self.canvas.arrow(*at, x, self.canvas.y)
            end = self.canvas.box(kind, x - WIDTH / 2, text)
            self.at |= dict.fromkeys(tasks, (x, end))
        self.canvas.y = end

    @property
    def shared(self) -> int:
        """How many stages all tasks share."""
        return len(self.trunk.shared) if isinstance(self.trunk, HardSharing) else 0

    def columns(self, stage: int) -> dict[float, list[str]]:
        """The middles of the columns at a stage, with the tasks whose maps pass through each."""
        if stage < self.shared:
            return {self.middle: list(self.tasks)}
        return {x: [task] for task, x in self.centres.items()}

    def stage(self, index: int) -> None:
        """A row: the stage in every column, pooling of regions and the fusion layer behind it."""
        canvas, trunk = self.canvas, self.trunk
        pooled = trunk.regions is not None and index > trunk.regions.after
        canvas.name(f"stage {index}", canvas.y)
        columns = self.columns(index)
        self.boxes("stage", _map(trunk.channels[index], None if pooled else trunk.strides[index]), columns)
        if trunk.regions is not None and index == trunk.regions.after:
            canvas.y += STEP
            canvas.name("regions", canvas.y)
            self.boxes("regions", [f"pooled {trunk.regions.side} × {trunk.regions.side}"], columns)
        if isinstance(trunk, SoftSharing) and str(index) in trunk.units:
            self.fusion(trunk.units[str(index)])
        for task in self.tasks:
            x, y = self.at[task]
            self.taps[task].append((x, y + 4))
        canvas.y += STEP

    def fusion(self, layer: Any) -> None:
        """A bar across all columns."""
        canvas = self.canvas
        canvas.y += STEP - 3
        for at in self.at.values():
            canvas.arrow(*at, at[0], canvas.y)
        canvas.name("fusion", canvas.y)
        end = canvas.box(
            "fusion",
            LABELS,
            [type(layer).__name__, *([] if layer.exchange else ["no exchange"])],
            width=self.width - LABELS - MARGIN,
            colour=FUSION,
            dashed=not layer.exchange,
        )
        self.at = {task: (x, end) for task, (x, _) in self.at.items()}
        canvas.y = end

    def tapped(self, task: str, stages: Iterable[int], x: float, y: float) -> None:
        """Lines from the maps of earlier stages of ``task`` to the box at ``x``, ``y``."""
        if not (stages := sorted(stages)):
            return
        passed = {column for stage in range(stages[0], len(self.trunk.channels)) for column in self.columns(stage)}
        # Past the boxes on the outer side, where no other column's lines run.
        beside = (WIDTH + GAP) / 2
        outer = x - beside if x < self.middle else x + beside
        bus = x if all(abs(x - column) > WIDTH / 2 for column in passed) else outer
        self.canvas.taps([self.taps[task][stage] for stage in stages], bus, x, y)

    def after_stages(self) -> None:
        """Mixtures of stages, and necks."""
        count, canvas = len(self.trunk.channels), self.canvas
        mixing: Mapping[str, Any] = getattr(self.trunk, "mixing", {})
        columns = {x: [task] for task, x in self.centres.items()}
        if mixing:
            for task, x in self.centres.items():
                self.tapped(task, range(count - 1), x, canvas.y)
            label = type(next(iter(mixing.values()))).__name__
            canvas.name("mixing", canvas.y)
            self.boxes("mixing", [label, f"of {count} stages"], columns)
            canvas.y += STEP
        if self.necks:
            neck = next(iter(self.necks.values()))
            if "all" in self.necks:
                columns = {self.middle: list(self.tasks)}
            for x, tasks in columns.items():
                sources = getattr(neck, "sources", range(count))
                self.tapped(tasks[0], (stage for stage in sources if stage < count - 1), x, canvas.y)
            text = [type(neck).__name__, *_map(neck.channels, getattr(neck, "stride", self.trunk.strides[-1]))]
            canvas.name("neck", canvas.y)
            self.boxes("neck", text, columns)
            canvas.y += STEP

    def outputs(self) -> None:
        """Heads where there are any, and tasks."""
        canvas, count = self.canvas, len(self.trunk.channels)
        last = count if self.necks else count - 1
        for task, head in self.heads.items():
            x = self.centres[task]
            stages = [stage % (last + 1) for stage in head.stages]
            if last in stages:
                canvas.arrow(*self.at[task], x, canvas.y)
            self.tapped(task, (stage for stage in stages if stage != last), x, canvas.y)
            self.at[task] = x, canvas.box("head", x - WIDTH / 2, _head(head))
        if self.heads:
            canvas.name("head", canvas.y)
            canvas.y = max(y for _, y in self.at.values()) + STEP
        canvas.name("task", canvas.y)
        for task, x in self.centres.items():
            canvas.arrow(*self.at[task], x, canvas.y)
            end = canvas.box("task", x - WIDTH / 2, [task], colour=TASK)
        canvas.y = end


def _description(trunk: Sharing, necks: Mapping[str, Any], heads: Mapping[str, Any]) -> str:
    """A drawing in words."""
    tasks, count = trunk.tasks, len(trunk.channels)
    several = f"{len(tasks)} tasks" if len(tasks) > 1 else "one task"
    parts = []
    if isinstance(trunk, SoftSharing):
        kind, parts = "Soft sharing", [f"{len(tasks)} encoders of {count} stages"]
        layers: dict[str, list[str]] = {}
        for stage, layer in trunk.units.items():
            label = type(layer).__name__ + ("" if layer.exchange else " without exchange")
            layers.setdefault(label, []).append(stage)
        parts += [f"{label} after stage{'s' * (len(at) > 1)} {_and(at)}" for label, at in layers.items()]
        if trunk.mixing:
            parts.append("a mixture of all stages in front of every head")
    elif isinstance(trunk, HardSharing):
        kind, shared = "Hard sharing" if len(tasks) > 1 else "Network", len(trunk.shared)
        parts.append(f"an encoder of {count} stages" if shared == count else f"{shared} of {count} stages shared")
        if shared < count:
            parts.append(f"{count - shared} of each task")
        if trunk.own_rows:
            parts.append("batch norms of each task")
    if trunk.regions is not None:
        parts.append(f"regions pooled after stage {trunk.regions.after}")
    if necks:
        neck = type(next(iter(necks.values()))).__name__
        parts.append(f"the neck {neck}" + ("" if "all" in necks or len(tasks) == 1 else " for each task"))
    for task, head in heads.items():
        places = [count + bool(necks) + stage if stage < 0 else stage for stage in head.stages]
        where = _and("the neck" if place == count else f"stage {place}" for place in places)
        inside = ", ".join(" ".join(layer).rstrip() for layer in _inside(head))
        parts.append(f"{task} has the head {type(head).__name__} ({inside}) on {where}")
    return f"{kind} of {several}, {_and(tasks)}: {', '.join(parts)}."
