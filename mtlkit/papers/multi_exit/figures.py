"""Figures of the multi-exit paper: the filters that its exits learnt."""

from collections.abc import Mapping

from mtlkit.errors import extra
from mtlkit.heads import FeatureFilter
from mtlkit.report.style import MEASURED, PRINTED

with extra("book"):
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure


def gates(filters: Mapping[str, FeatureFilter]) -> Figure:
    """The learnt filters as in Figure 4 of the multi-exit paper: the sigmoid of every channel's scale and offset."""
    figure, axes = plt.subplots(
        len(filters), 2, figsize=(7, 1.7 * len(filters)), squeeze=False, sharey=True, layout="constrained"
    )
    for row, (name, unit) in zip(axes, filters.items(), strict=True):
        for axis, parameter in zip(row, ("alpha", "beta"), strict=True):
            values = getattr(unit, parameter).detach().sigmoid().numpy()
            axis.plot(values, ".", markersize=2.5, color=MEASURED)
            axis.axhline(0.5, color=PRINTED, linewidth=0.8)
            axis.set_title(f"{name}: sigmoid of {parameter}", fontsize=8)
        row[0].set_ylabel("gate")
    for axis in axes[-1]:
        axis.set_xlabel("channel")
    figure.set_label(f"Gates of every channel, from scale and from offset, a line each for {', '.join(filters)}.")
    return figure
