"""Figures of the cross-stitch paper: the weights that its units learnt."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from mtlkit.errors import extra
from mtlkit.report.style import INK, MEASURED

with extra("book"):
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure


def mixing(units: Mapping[str, Tensor], tasks: Sequence[str]) -> Figure:
    """Cross-stitch weights `(C, K, K)` per place, sorted for each task: its own channel's and the other's.

    The plot captioned "Table 4" of the cross-stitch paper.
    """
    figure, axes = plt.subplots(1, len(units), figsize=(3.6 * len(units), 2.4), squeeze=False, layout="constrained")
    for axis, (name, alpha) in zip(axes[0], units.items(), strict=True):
        weights = alpha.detach().cpu()
        for place, task in enumerate(tasks):
            for other, source in enumerate(tasks):
                values = weights[:, place, other].sort().values.numpy()
                style = {"color": MEASURED} if place == 0 else {"color": INK, "linestyle": "--"}
                axis.plot(values, label=f"{task} from {source}", alpha=1 if place == other else 0.55, **style)
        axis.set_title(name, fontsize=8)
        axis.set_xlabel("channel, sorted")
    axes[0, 0].set_ylabel("weight")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncol=len(tasks), fontsize=7)
    figure.set_label(f"Sorted mixing weights of {', '.join(tasks)}, a panel each for {', '.join(units)}.")
    return figure
