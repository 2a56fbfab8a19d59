"""Figures of the reports."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mtlkit.report.side_by_side import MISSING, SCALES, SideBySide
from mtlkit.report.style import MEASURED, PRINTED


def dots(comparison: SideBySide) -> Figure:
    """One panel a printed measure, one line a method: the printed number and every seed's measured one."""
    _, printed = comparison.print_of
    lines = []
    for column in printed.columns:
        panel = f"{column.group.replace(' Prediction', '')}\n{column.label} ({column.unit})"
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
    grid = sns.FacetGrid(frame, col="panel", col_wrap=4, sharex=False, height=2.3, aspect=1.15)
    colours = {"printed": PRINTED, "measured": MEASURED}
    grid.map_dataframe(
        sns.stripplot, x="value", y="method", hue="source", order=order, palette=colours, hue_order=list(colours),
        size=6, jitter=False, dodge=True,
    )  # fmt: skip
    grid.set_titles("{col_name}").set_axis_labels("", "")
    grid.add_legend(title="", loc="lower right")
    figure: Figure = grid.figure
    return figure


def gallery(columns: Sequence[tuple[str, Sequence[np.ndarray]]], *, width: float = 1.15) -> Figure:
    """Pictures in a grid: one column a heading, one row a sample; each picture ``(H, W, 3)``."""
    count = max(len(pictures) for _, pictures in columns)
    height, across = columns[0][1][0].shape[:2]
    figure, axes = plt.subplots(
        count,
        len(columns),
        figsize=(width * len(columns), width * height / across * count + 0.45),
        squeeze=False,
        layout="constrained",
    )
    for across, (heading, pictures) in enumerate(columns):
        axes[0, across].set_title(heading, fontsize=7)
        for down in range(count):
            axes[down, across].axis("off")
            axes[down, across].imshow(pictures[down])
    return figure
