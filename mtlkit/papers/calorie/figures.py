"""Figures of the calorie paper: how far estimates lie from the truth."""

from collections.abc import Mapping

from mtlkit.errors import extra
from mtlkit.papers.calorie.estimates import Estimates
from mtlkit.report.style import INK, MEASURED, PRINTED

with extra("book"):
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure


def against_truth(found: Mapping[str, Estimates], *, across: int = 3) -> Figure:
    """Estimated against true calories, a panel per row, with the lines of 20 % error; the first seed's answers.

    What the calorie paper announces as its Figure 2, whose drawing is lost.
    """
    down = -(-len(found) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(2.4 * across, 2.5 * down), squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    top = 1.05 * max(answers.truths.max() for answers in found.values())
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (label, answers) in zip(axes.flat, found.items(), strict=False):
        axis.set_axis_on()
        axis.plot([0, top], [0, top], color=INK, linewidth=0.8)
        axis.fill_between([0, top], [0, 0.8 * top], [0, 1.2 * top], color=PRINTED, alpha=0.25, linewidth=0)
        axis.plot(answers.truths, answers.estimates[0].clip(0, top), ".", color=MEASURED, markersize=4, alpha=0.7)
        axis.set(xlim=(0, top), ylim=(0, top), aspect="equal")
        axis.set_title(label, fontsize=7.5)
        axis.tick_params(labelbottom=True)
    figure.supxlabel("true kcal", fontsize=8)
    figure.supylabel("estimated kcal", fontsize=8)
    figure.set_label(f"Estimated against true kcal with a band of 20 % error, a panel each for {', '.join(found)}.")
    return figure
