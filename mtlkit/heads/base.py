"""What all heads have in common."""

from collections.abc import Mapping

from torch import nn


class Head(nn.Module):
    """From the maps of one or several stages to a task's output.

    Attributes:
        stages: which stages' maps ``forward`` takes, counted as in a list.
        classifier: the last layer, or a list of them; its weights and biases are optimiser groups of their own, since
            papers train it at a higher learning rate.
        keeps_cells: whether the output has a cell for every cell of the map that it takes.
    """

    stages: tuple[int, ...] = (-1,)
    keeps_cells = False

    def parameter_group(self, name: str) -> str | None:
        """The optimiser group of the parameter ``name``, see :func:`mtlkit.network.parameter_groups`."""
        if not name.startswith("classifier."):
            return None
        return "classifier_bias" if name.endswith("bias") else "classifier"

    def counted(self) -> Mapping[str, nn.Module]:
        """Name -> a layer that has no product, of which :func:`mtlkit.network.cost` counts the values that it takes."""
        return {}
