"""Figures of the NDDR-CNN paper: what its layers learnt, and who its faces are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtlkit.data.faces import AGES, GENDERS, Faces
from mtlkit.errors import extra
from mtlkit.fusion import NDDR
from mtlkit.report.style import MEASURED, PRINTED

with extra("book"):
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure


def fusion_shares(units: Mapping[str, NDDR], tasks: Sequence[str]) -> Figure:
    """For every task, how the absolute weights of each NDDR layer spread over own and foreign channels.

    Args:
        units: place -> the layer there.
        tasks: in the order of the layers' maps.
    """
    shares = np.stack([unit.shares().cpu().numpy() for unit in units.values()])  # (places, K, 4)
    figure, axes = plt.subplots(
        1, len(tasks), figsize=(3.2 * len(tasks), 2.6), squeeze=False, sharey=True, layout="constrained"
    )
    kinds: dict[str, dict[str, Any]] = {
        "own, same channel": {"color": MEASURED},
        "own, other channels": {"color": MEASURED, "alpha": 0.45},
        "foreign, same channel": {"color": PRINTED},
        "foreign, other channels": {"color": PRINTED, "alpha": 0.45},
    }
    for task, axis in enumerate(axes[0]):
        bottom = np.zeros(len(units))
        for kind, (label, style) in enumerate(kinds.items()):
            axis.bar(list(units), shares[:, task, kind], bottom=bottom, label=label, **style)
            bottom += shares[:, task, kind]
        axis.set_title(tasks[task], fontsize=8)
        axis.set_xlabel("after stage")
    axes[0, 0].set_ylabel("share of weights")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncol=2, fontsize=7)
    figure.set_label(f"Shares of own and foreign channels in NDDR layers after each stage: {', '.join(tasks)}.")
    return figure


def ages_and_genders(sets: Sequence[Faces]) -> Figure:
    """How many faces there are of every gender and of every age, over all ``sets``: Figure 3 of the NDDR-CNN paper."""
    ages, genders = (np.concatenate([getattr(one, name) for one in sets]) for name in ("ages", "genders"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.2), width_ratios=(1, 3), layout="constrained")
    left.bar(GENDERS, np.bincount(genders, minlength=len(GENDERS)), color=MEASURED, width=0.6)
    left.set(xlabel="gender", ylabel="faces")
    right.bar(range(AGES), np.bincount(ages, minlength=AGES), color=MEASURED, width=1.0)
    right.set(xlabel="age in years", xlim=(-1, AGES))
    figure.set_label(f"How many of {len(ages):,} faces are of every gender and of every age in years.")
    return figure
