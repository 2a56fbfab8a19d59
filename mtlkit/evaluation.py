"""The kinds of evaluation: what can be said of networks, data and specifications."""

from collections.abc import Iterable

import torch
from lightning.fabric import Fabric
from torch import Tensor

from mtlkit.data.samples import Batch
from mtlkit.network import Network
from mtlkit.tasks import Task


@torch.inference_mode()
def standard(network: Network, batches: Iterable[Batch], fabric: Fabric) -> dict[str, float]:
    """Every task's measures of one network over a split, as ``task/measure``; pixels pooled over the whole split."""
    network.to(fabric.device).eval()
    metrics = {name: task.metric() for name, task in network.tasks.items()}
    for batch in batches:
        batch = batch.to(fabric.device)
        with fabric.autocast():
            outputs = network(batch.images)
        for name, metric in metrics.items():
            if name in batch.targets:
                metric.update(outputs[name][batch.rows[name]], batch.targets[name])
    return {f"{name}/{key}": value for name, metric in metrics.items() for key, value in metric.compute().items()}


def constant(tasks: Iterable[Task], train: Iterable[Batch], test: Iterable[Batch]) -> dict[str, float]:
    """The measures of each task's best prediction that never looks at an image; both iterables are gone through
    once a task."""
    measures: dict[str, float] = {}
    for task in tasks:
        found = task.constant(_targets(task, train), _targets(task, test))
        measures |= {f"{task.name}/{key}": value for key, value in found.items()}
    return measures


def _targets(task: Task, batches: Iterable[Batch]) -> Iterable[Tensor]:
    return (batch.targets[task.name] for batch in batches if task.name in batch.targets)
