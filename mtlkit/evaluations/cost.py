"""What a network holds and computes."""

from mtlkit.graph import Content, Context, Node
from mtlkit.network import NetworkSettings
from mtlkit.network import cost as network_cost


class Cost(Node):
    """What an untrained network holds and computes for one image."""

    network: NetworkSettings
    size: tuple[int, int]

    def run(self, context: Context) -> Content:
        """The counts."""
        return Content(cost(self.network, self.size))


def cost(settings: NetworkSettings, size: tuple[int, int]) -> dict[str, float]:
    """The counts of :func:`mtlkit.network.cost` as ``cost/...``, and two sums of them that tools print as MACs.

    ``macs_norms`` adds two operations a batch-norm value, as the widespread ptflops does. ``macs_norms_exits`` also
    adds one operation a value pooled by every exit but the first task's: what a counter finds that knows the
    network's own pooling and meets the other exits' as something new.
    """
    counts = network_cost(settings, size)
    norms = counts["macs"] + 2 * counts["normalised"]
    first = settings.tasks[0].name
    pooled = sum(n for name, n in counts.items() if name.startswith("pooled/") and name != f"pooled/{first}")
    counts |= {"macs_norms": norms, "macs_norms_exits": norms + pooled}
    return {f"cost/{name}": float(count) for name, count in counts.items()}
