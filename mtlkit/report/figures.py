"""Figures of the reports; the label of each says in words what it shows."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill

import numpy as np

from mtlkit.errors import extra
from mtlkit.history import History
from mtlkit.report.intervals import gains
from mtlkit.report.side_by_side import SCALES, SideBySide, plain_label
from mtlkit.report.style import INK, MEASURED, PRINTED
from mtlkit.report.table import MISSING
from mtlkit.runs import trainings

with extra("book"):
    import matplotlib.pyplot as plt
    import pandas as pd
    import seaborn as sns
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle


def dots(comparison: SideBySide) -> Figure:
    """One panel per printed measure, one line per method: the printed number and every seed's measured one."""
    _, printed = comparison.print_of
    lines = []
    for column in printed.columns:
        panel = f"{fill(column.group, 24)}\n" + fill(f"{plain_label(column)} ({column.unit})", 24)
        for row in comparison.rows:
            text, _ = comparison.printed_cell(row.id, column.id)
            if text != MISSING:
                lines.append((panel, row.label, float(text.split()[0]), "printed"))
            for value in comparison.cell(row.id, comparison.table.measures[column.id]).values:
                scale, _ = SCALES.get(column.unit, (1, 1))
                lines.append((panel, row.label, value / scale, "measured"))
    frame = pd.DataFrame(lines, columns=["panel", "method", "value", "source"])
    order = [row.label for row in comparison.rows]
    frame["method"] = pd.Categorical(frame["method"], order)
    across = len(printed.columns) if len(printed.columns) < 5 else 4
    height = max(2.0, 0.6 + 0.22 * len(order))
    # Room for the methods' names at the left, and for a few ticks in every panel.
    names = max(1.8, 0.075 * max(map(len, order)))
    grid = sns.FacetGrid(
        frame, col="panel", col_wrap=across, sharex=False, height=height, aspect=(2.2 + names / across) / height
    )
    colours = {"printed": PRINTED, "measured": MEASURED}
    with warnings.catch_warnings():
        # Seaborn lays out here already, while every panel still has the methods' names; the layout below counts.
        warnings.filterwarnings("ignore", message="Tight layout not applied")
        grid.map_dataframe(
            sns.stripplot, x="value", y="method", hue="source", order=order, palette=colours, hue_order=list(colours),
            size=6, jitter=False, dodge=True,
        )  # fmt: skip
    grid.set_titles("{col_name}").set_axis_labels("", "")
    for place, axis in enumerate(grid.axes.flat):
        axis.tick_params(labelleft=place % across == 0)
    grid.tight_layout()
    grid.add_legend(title="")
    figure: Figure = grid.figure
    figure.set_label(f"What is printed and what every seed measured, {_of(comparison, order)}.")
    return figure


def gain_intervals(comparison: SideBySide, against: str | None = None) -> Figure:
    """One panel a printed measure: what every trained row gains, or by how much it leads the row ``against``, right
    being better; see :func:`~mtlkit.report.intervals.gains`.

    A bar is the 95 % interval of the mean, dotted where it is too narrow, the dot that mean, the ticks the seeds.
    """
    # A constant lies so far off that the others would all stand at zero.
    trained = {row.id for row in comparison.rows if trainings(row.evaluations)}
    found = {row: measures for row, measures in gains(comparison, against).items() if row in trained}
    labels = {row.id: row.label for row in comparison.rows}
    over = {row: next(labels[one.over] for one in measures.values()) for row, measures in found.items()}
    one_control = len(set(over.values())) == 1
    columns = comparison.printed
    across = min(4, len(columns))
    down = -(-len(columns) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(1.6 + 1.6 * across, down * (1.2 + 0.24 * len(found))), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis, column in zip(axes.flat, columns, strict=False):
        scale, _ = SCALES.get(column.unit, (1, 1))
        for place, measures in enumerate(found.values()):
            if (one := measures.get(column.measure)) is None:
                continue
            if one.interval is not None:
                ends, style = [end / scale for end in one.interval], ":" if one.too_narrow else "-"
                axis.plot(ends, [place, place], style, color=MEASURED, linewidth=2, alpha=0.55)
            axis.plot([seed / scale for seed in one.seeds], [place] * len(one.seeds), "|", color=INK, markersize=8)
            axis.plot(one.mean / scale, place, "o", color=MEASURED, markersize=6)
        axis.axvline(0, color=PRINTED, linewidth=1)
        title = fill(f"{column.label} ({column.unit})", 20)
        axis.set_title(f"{fill(column.group, 20)}\n{title}", fontsize=9)
        axis.set_yticks(range(len(found)), [labels[row] for row in found])
    axes[0, 0].invert_yaxis()
    for axis in axes.flat[len(columns) :]:
        axis.axis("off")
    what = "lead" if against else "gain"
    control = f" over “{next(iter(over.values()))}”" if one_control else " over each row's control, named in the table"
    marks = "dot: mean; bar: 95 % interval, dotted where too narrow; tick: one seed"
    figure.supxlabel(f"{what}{control}, to the right is better\n{marks}", fontsize=9)
    of = _of(comparison, (labels[row] for row in found))
    figure.set_label(f"{what.capitalize()}s with their 95 % intervals, {of}.")
    return figure


def _of(comparison: SideBySide, rows: Iterable[str]) -> str:
    """Table, measures and rows in words, for those who do not see the figure."""
    measures = ", ".join(f"{one.label} ({one.unit})" for one in comparison.printed)
    return f"Table {comparison.table.id}: a panel each for {measures}; a line each for {', '.join(rows)}"


def losses(histories: Mapping[str, Sequence[History]]) -> Figure:
    """The training losses of rows that start alike, one panel per task's term.

    Args:
        histories: row -> what the losses of its networks did.
    """
    shown = {row: [(history.steps, history.losses) for history in several] for row, several in histories.items()}
    return _over_steps("Training losses", shown, fewest=2)  # a unit's own penalty has one line


def _over_steps(
    what: str, rows: Mapping[str, Sequence[tuple[list[int], dict[str, list[float]]]]], fewest: int = 1
) -> Figure:
    """One panel per name that at least so many rows have, one line per row."""
    lines: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for row, several in rows.items():
        for steps, values in several:
            for name in values:
                lines.setdefault(name, {})[row] = steps, values[name]
    panels = {name: drawn for name, drawn in lines.items() if len(drawn) >= fewest}
    figure, axes = plt.subplots(1, len(panels), figsize=(3.6 * len(panels), 2.6), squeeze=False, layout="constrained")
    colours = dict(zip(rows, sns.color_palette("colorblind", len(rows)), strict=True))
    for axis, (name, drawn) in zip(axes[0], panels.items(), strict=True):
        for row, (at, height) in drawn.items():
            axis.plot(at, height, color=colours[row], label=row, linewidth=1.2)
        axis.set_title(name, fontsize=8)
        axis.set_xlabel("step")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncol=len(rows), fontsize=7)
    figure.set_label(
        f"{what} over the steps of training: a panel each for {', '.join(panels)}; a line each for {', '.join(rows)}."
    )
    return figure


def gallery(columns: Sequence[tuple[str, Sequence[np.ndarray]]], *, width: float = 1.15) -> Figure:
    """Images in a grid: one column per heading, one row per sample; each image ``(H, W, 3)``."""
    count = max(len(images) for _, images in columns)
    height, across = columns[0][1][0].shape[:2]
    figure, axes = plt.subplots(
        count,
        len(columns),
        figsize=(width * len(columns), width * height / across * count + 0.45),
        squeeze=False,
        layout="constrained",
    )
    for across, (heading, images) in enumerate(columns):
        axes[0, across].set_title(heading, fontsize=7)
        for down in range(count):
            axes[down, across].axis("off")
            axes[down, across].imshow(images[down])
    headings = ", ".join(heading for heading, _ in columns)
    figure.set_label(f"{count} images, a line each; from left to right: {headings}.")
    return figure


def boxed(
    images: Sequence[np.ndarray], boxes: Mapping[str, Sequence[tuple[np.ndarray, Sequence[str]]]], *, across: int = 4
) -> Figure:
    """Images `(H, W, 3)` with boxes over them.

    Args:
        images: the images.
        boxes: kind of box -> for every image, boxes `(R, 4)` (left, top, right, bottom) and a word for each. The
            first kind is drawn in the colour of what is printed, the second in that of what is measured.
        across: images in a line.
    """
    figure, axes = sheet(images, across)
    for axis, image, *kinds in zip(axes, images, *boxes.values(), strict=False):
        axis.imshow(image)
        for colour, (found, words) in zip((PRINTED, MEASURED), kinds, strict=False):
            for (left, top, right, bottom), word in zip(found, words, strict=True):
                frame = (left - 0.5, top - 0.5), right - left, bottom - top
                axis.add_patch(Rectangle(*frame, fill=False, color=colour, linewidth=1.2))
                axis.text(left, top - 1, word, fontsize=6, color="white", backgroundcolor=(*to_rgb(colour), 0.7))
    legend(figure, list(boxes))
    found = ", ".join(f"{sum(len(words) for _, words in several)} {kind}" for kind, several in boxes.items())
    figure.set_label(f"{len(images)} images with boxes: {found}.")
    return figure


def class_predictions(
    images: Sequence[np.ndarray], truth: Sequence[str], predictions: Mapping[str, Sequence[str]]
) -> Figure:
    """Images `(H, W, 3)` under their true class; below, a line per method with its class, bold where right."""
    figure, axes = plt.subplots(
        1, len(images), figsize=(1.15 * len(images), 1.3 + 0.2 * len(predictions)), squeeze=False
    )
    figure.subplots_adjust(
        left=0.2, right=1, top=0.94, bottom=0.2 * len(predictions) / figure.get_figheight(), wspace=0.06
    )
    for axis, image, name in zip(axes[0], images, truth, strict=True):
        axis.imshow(image)
        axis.axis("off")
        axis.set_title(name, fontsize=7, fontweight="bold")
    for line, (label, names) in enumerate(predictions.items(), 1):
        # Inches below the images, whatever the figure's height.
        down = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 7, "va": "top"}
        axes[0, 0].annotate(label, (0, 0), (-6, -14 * line + 8), ha="right", **down)
        for axis, name, true in zip(axes[0], names, truth, strict=True):
            right = {"color": MEASURED, "fontweight": "bold"} if name == true else {"color": PRINTED}
            axis.annotate(name, (0.5, 0), (0, -14 * line + 8), ha="center", **down, **right)
    right_of = ", ".join(
        f"{label} names {sum(map(str.__eq__, names, truth))} right" for label, names in predictions.items()
    )
    figure.set_label(f"{len(images)} images with their class, {', '.join(truth)}; {right_of}.")
    return figure


def labelled(images: Sequence[np.ndarray], words: Sequence[str], *, across: int = 5) -> Figure:
    """Images `(H, W, 3)`, each under its words."""
    figure, axes = sheet(images, across)
    for axis, image, text in zip(axes, images, words, strict=False):
        axis.imshow(image, interpolation="nearest")  # smoothed, small noisy images would fill a page with megabytes
        axis.set_title(text, fontsize=7)
    figure.set_label(f"{len(images)} images: {'; '.join(text.replace(chr(10), ', ') for text in words)}.")
    return figure


def sheet(images: Sequence[np.ndarray], across: int) -> tuple[Figure, list[Axes]]:
    """A figure with an empty place for every image."""
    down = -(-len(images) // across)
    height, width = images[0].shape[:2]
    side = min(1.9, 9.5 / across)
    figure, axes = plt.subplots(
        down, across, figsize=(side * across, side * height / width * down + 0.4), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    return figure, list(axes.flat)


def legend(figure: Figure, kinds: Sequence[str]) -> None:
    """What the colours of print and measurement stand for, below."""
    lines = [Line2D([], [], color=colour) for colour, _ in zip((PRINTED, MEASURED), kinds, strict=False)]
    figure.legend(lines, kinds, loc="outside lower center", ncol=len(kinds), fontsize=7)
