"""The kinds of evaluation: what can be said of networks, data and specifications."""

import time
from collections.abc import Iterable, Sequence

import torch
from lightning.fabric import Fabric

from mtlkit.data.samples import Batch, Target
from mtlkit.network import Network, NetworkSettings, parameter_count
from mtlkit.network import cost as network_cost
from mtlkit.tasks import Task


def standard(network: Network, batches: Iterable[Batch], fabric: Fabric) -> dict[str, float]:
    """Every task's measures of one network over a split, as ``task/measure``; pixels pooled over the whole split."""
    return ensemble([network], batches, fabric)


@torch.inference_mode()
def ensemble(networks: Sequence[Network], batches: Iterable[Batch], fabric: Fabric) -> dict[str, float]:
    """The measures of what several networks of the same tasks say together; see each task's ``combined``."""
    for network in networks:
        network.to(fabric.device).eval()
    tasks = networks[0].tasks
    metrics = {name: task.metric() for name, task in tasks.items()}
    for batch in batches:
        batch = batch.to(fabric.device)
        with fabric.autocast():
            outputs = [network(batch.images, batch.regions) for network in networks]
        for name, metric in metrics.items():
            if name in batch.targets:
                several = [output[name][batch.rows[name]] for output in outputs]
                metric.update(tasks[name].combined(several) if len(several) > 1 else several[0], batch.targets[name])
    return {f"{name}/{key}": value for name, metric in metrics.items() for key, value in metric.compute().items()}


def constant(tasks: Iterable[Task], train: Iterable[Batch], test: Iterable[Batch]) -> dict[str, float]:
    """The measures of each task's best prediction that never looks at an image; both iterables are gone through
    once a task."""
    measures: dict[str, float] = {}
    for task in tasks:
        found = task.constant(_targets(task, train), _targets(task, test))
        measures |= {f"{task.name}/{key}": value for key, value in found.items()}
    return measures


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


@torch.inference_mode()
def speed(
    networks: Sequence[NetworkSettings],
    reference: Sequence[NetworkSettings],
    size: tuple[int, int],
    rounds: int,
    fabric: Fabric,
) -> dict[str, float]:
    """Median times of one image (batch 1), the networks run one after the other.

    Every round times the networks, the networks with decoding, and the reference; the device is waited for before the
    clock is read. A tenth of the rounds, at least three, go before as a warm-up.

    Returns:
        ``speed/ms`` and ``speed/fps`` of the networks alone, ``speed/decoded_ms`` with what they find decoded,
        ``speed/parameters``; ``speed/ratio``, the median over rounds of the time over the reference's.
    """
    image = torch.rand(1, 3, *size, device=fabric.device)
    systems = [[one.network(weights=False).to(fabric.device).eval() for one in some] for some in (networks, reference)]

    def once(system: list[Network], decode: bool) -> float:
        _wait(fabric.device)
        began = time.perf_counter()
        for network in system:
            outputs = network(image)
            if decode:
                for name, task in network.tasks.items():
                    task.decoded(outputs[name])
        _wait(fabric.device)
        return 1000 * (time.perf_counter() - began)

    warm_up = max(3, rounds // 10)
    times = [
        [once(systems[0], False), once(systems[0], True), once(systems[1], False)] for _ in range(warm_up + rounds)
    ]
    alone, decoded, beside = torch.tensor(times[warm_up:], dtype=torch.float64).unbind(1)
    return {
        "speed/ms": float(alone.median()),
        "speed/fps": 1000 / float(alone.median()),
        "speed/decoded_ms": float(decoded.median()),
        "speed/ratio": float((alone / beside).median()),
        "speed/parameters": float(sum(map(parameter_count, systems[0]))),
    }


def _wait(device: torch.device) -> None:
    """Until the device has done what it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _targets(task: Task, batches: Iterable[Batch]) -> Iterable[Target]:
    return (batch.targets[task.name] for batch in batches if task.name in batch.targets)
