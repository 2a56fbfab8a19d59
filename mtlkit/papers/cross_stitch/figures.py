"""Figures of the cross-stitch paper: what its units learnt, splits against one-task networks, rare categories."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtlkit.errors import extra
from mtlkit.ledger import Ledger
from mtlkit.papers.cross_stitch.objects import CHOICES as OBJECTS
from mtlkit.papers.cross_stitch.rarity import by_category
from mtlkit.papers.cross_stitch.scenes import CHOICES as SCENES
from mtlkit.papers.cross_stitch.scenes import StitchColumn, read_out
from mtlkit.papers.declaration import Row
from mtlkit.report.figures import legend
from mtlkit.report.intervals import gains
from mtlkit.report.side_by_side import SideBySide
from mtlkit.report.style import INK, MEASURED, PRINTED
from mtlkit.report.table import MISSING
from mtlkit.runs import outermost
from mtlkit.sharing import SoftSharing

with extra("book"):
    import matplotlib.pyplot as plt
    import seaborn as sns
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator


def sorted_weights(
    learnt: Mapping[str, Mapping[str, Sequence[float]]], places: Mapping[str, int], tasks: Sequence[str]
) -> Figure:
    """What units learnt from several starts, as the records of the trainings have it: Figure 4 of the cross-stitch
    paper, captioned "Table 4" there.

    A panel per task and place; in it a colour per row, the sorted weights of the task's own map (``alpha_S``) as a
    line and those of another task's map (``alpha_D``) dashed. The two are sorted each for itself, as in the paper.

    Args:
        learnt: start -> :attr:`mtlkit.history.History.mixing` of its network.
        places: name -> stage, counted from 0.
        tasks: of the networks.
    """
    figure, axes = plt.subplots(
        len(tasks), len(places), figsize=(3.0 * len(places), 1.9 * len(tasks) + 0.4), squeeze=False, sharex=True,
        sharey=True, layout="constrained",
    )  # fmt: skip
    colours = sns.color_palette("colorblind", len(learnt))
    for line, task in zip(axes, tasks, strict=True):
        for axis, (place, stage) in zip(line, places.items(), strict=True):
            for colour, (start, weights) in zip(colours, learnt.items(), strict=True):
                for source in tasks:
                    values = weights[f"{stage}/{task}/{source}"]
                    at = np.linspace(0, 1, len(values)) if len(values) > 1 else [0.5]
                    style = {"linestyle": "-" if source == task else "--", "marker": "" if len(values) > 1 else "o"}
                    axis.plot(at, values, color=colour, label=start if source == task else None, **style)
            axis.set_title(f"{task}, {place}", fontsize=8)
        line[0].set_ylabel("weight")
    for axis in axes[-1]:
        axis.set_xlabel("share of channels, sorted")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    title = "weights of own maps solid, of the other task's dashed"
    figure.legend(
        handles, labels, title=title, loc="outside lower center", ncol=len(learnt), fontsize=7, title_fontsize=7
    )
    figure.set_label(
        f"Sorted weights of own and of other maps after training: a panel each for {', '.join(places)} and "
        f"{', '.join(tasks)}; a colour each for {', '.join(learnt)}."
    )
    return figure


def weights_of_starts(comparison: SideBySide, ledger: Ledger) -> Figure | None:
    """:func:`sorted_weights` of the paper's rows with units in a column, of its first seed: in Table 1 a row per start.

    ``None`` where there is no such row, or a record lacks the weights.
    """
    column = comparison.column
    assert isinstance(column, StitchColumn)
    learnt = {}
    for row in comparison.rows:
        for training in outermost(row.evaluations):
            if row.printed and isinstance(training.network.sharing, SoftSharing.Settings):
                record = ledger.find(training.kind, training.identity)
                if record is None or record.history is None or not record.history.mixing:
                    return None
                learnt[row.label] = record.history.mixing
    return sorted_weights(learnt, read_out(column), column.tasks) if learnt else None


def splits_against_one_task(comparisons: Sequence[SideBySide]) -> Figure:
    """What every split gains over the one-task networks, a panel per task: Figure 2 of the cross-stitch paper.

    Of a task it is the measure that chooses the best split. Up is better, whichever way the measure goes. A dot is the
    mean over seeds, its bar the 95 % interval, a tick per seed; grey is the gain that the paper's tables print for the
    same backbone.

    Args:
        comparisons: stored columns, one a pair of tasks.
    """
    shown = {choice.measure for choice in (*SCENES, *OBJECTS)}
    panels = [(one, column) for one in comparisons for column in one.printed if column.measure in shown]
    figure, axes = plt.subplots(1, len(panels), figsize=(2.6 * len(panels), 2.6), squeeze=False, layout="constrained")
    for axis, (comparison, column) in zip(axes[0], panels, strict=True):
        over = gains(comparison, "one_task")
        for row in comparison.rows:
            shared = _stages_shared(row)
            if shared is None:
                continue
            if one := over.get(row.id, {}).get(column.measure):
                if one.interval is not None:
                    axis.plot([shared, shared], one.interval, color=MEASURED, linewidth=2, alpha=0.55)
                axis.plot([shared] * len(one.seeds), one.seeds, "_", color=INK, markersize=8)
                axis.plot(shared, one.mean, "o", color=MEASURED)
            texts = [comparison.printed_cell(each, column.column)[0] for each in (row.id, "one_task")]
            if comparison.print_of[1].backbone == comparison.column.network and MISSING not in texts:
                split, alone = map(float, texts)
                axis.plot(shared + 0.15, column.sign * (split - alone), "o", color=PRINTED)
        axis.axhline(0, color=PRINTED, linewidth=1)
        axis.set_title(f"{column.group}\n{column.label} ({column.unit})", fontsize=8)
        axis.set_xlabel("stages shared")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0, 0].set_ylabel("gain over one-task")
    legend(figure, ("printed", "measured"))
    names = ", ".join(f"{column.group} {column.label}" for _, column in panels)
    figure.set_label(f"Gain of every split over the one-task networks, by the stages that are shared: {names}.")
    return figure


def _stages_shared(row: Row) -> int | None:
    """How many stages a row's network shares; ``None`` of rows that are no split as long as the printed ones."""
    if not row.id.startswith("split_") or row.id.endswith("_longer"):
        return None
    (value,) = row.evaluations
    sharing = value.subject.network.sharing  # type: ignore[attr-defined]
    return int(sharing.split_after)


SAYS = {"segmentation": ("gain in IU (points)", "pixels"), "attributes": ("gain in AP (points)", "objects")}
"""Task -> what its categories gain, and what their labels are."""


def rare_categories(comparison: SideBySide, ledger: Ledger) -> Figure | None:
    """:func:`gain_by_labels` of a column of Table 5 or 6; ``None`` where a record lacks it."""
    found = by_category(comparison, ledger)
    return None if found is None or not found.gain else gain_by_labels(found.gain, found.labels, *SAYS[found.task])


def gain_by_labels(gain: Mapping[str, float], labels: Mapping[str, int], what: str, of: str) -> Figure:
    """What every category gains, from the one with the fewest training labels to that with the most: Figures 5 and 6 of
    the cross-stitch paper.

    Args:
        gain: category -> its gain over the one-task network.
        labels: category -> its labels in the training set; a category without a gain is left out.
        what: is gained, with its unit.
        of: what labels are: objects, pixels.
    """
    names = sorted(gain, key=lambda name: labels[name])
    figure, axis = plt.subplots(figsize=(max(4.0, 1.5 + 0.16 * len(names)), 3.0), layout="constrained")
    axis.bar(range(len(names)), [gain[name] for name in names], color=MEASURED)
    axis.axhline(0, color=INK, linewidth=0.8)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    axis.set_ylabel(what)
    axis.grid(axis="x", visible=False)
    counts = axis.twinx()
    counts.plot(range(len(names)), [labels[name] for name in names], color=PRINTED, linewidth=1.5)
    counts.set_yscale("log")
    counts.set_ylabel(f"labelled {of} in the training set")
    counts.grid(visible=False)
    figure.set_label(
        f"{what}, a bar per category, from the fewest to the most labelled {of} in training: {', '.join(names)}."
    )
    return figure
