"""The kinds of evaluation: what can be said of networks, data and specifications."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from mtlkit.bootstrap import draws
from mtlkit.data.samples import Batch, Target
from mtlkit.errors import InputError
from mtlkit.network import Network, NetworkSettings, parameter_count
from mtlkit.network import cost as network_cost
from mtlkit.retrieval import estimate, nearest, retrieval_measures
from mtlkit.tasks import Calories, Embedding, Metric, Normals, Task
from mtlkit.tasks.base import PerPicture, Resampled
from mtlkit.tasks.calories import CalorieErrors
from mtlkit.tasks.normals import tilted


class Scores(NamedTuple):
    """What an evaluation finds.

    Attributes:
        metrics: ``task/measure`` -> its value.
        samples: ``task/what`` -> a number for every test picture, of tasks that have so few.
        resampled: ``task/measure`` -> its value on every one of :data:`mtlkit.bootstrap.RESAMPLES` draws of the test
            pictures, the same draws whatever is scored.
    """

    metrics: dict[str, float]
    samples: dict[str, list[float]] = {}
    resampled: dict[str, list[float]] = {}

    @classmethod
    def of(cls, metrics: Mapping[str, Metric], groups: Sequence[str] = ()) -> "Scores":
        """What the metrics of several tasks have gathered.

        Args:
            metrics: by task.
            groups: what every picture shows, in the order they came; without two of them nothing is drawn again.
        """
        kept = {name: metric.samples() for name, metric in metrics.items() if isinstance(metric, PerPicture)}
        drawn: dict[str, list[float]] = {}
        for times in draws(groups) if len(set(groups)) > 1 else ():
            for name, metric in metrics.items():
                for key, values in metric.resampled(times).items() if isinstance(metric, Resampled) else ():
                    # A thousandth of a degree, a year or a per cent is far below what the draws differ by.
                    drawn.setdefault(f"{name}/{key}", []).extend(values.round(3).tolist())
        return cls(
            {f"{name}/{key}": value for name, metric in metrics.items() for key, value in metric.compute().items()},
            {f"{name}/{what}": values for name, found in kept.items() for what, values in found.items()},
            # A measure that some draw does not have, for want of a labelled pixel, has no interval.
            {name: values for name, values in drawn.items() if not np.isnan(values).any()},
        )


def standard(network: Network, batches: Iterable[Batch], fabric: Fabric) -> dict[str, float]:
    """Every task's measures of one network over a split, as ``task/measure``; pixels pooled over the whole split."""
    return ensemble([network], batches, fabric).metrics


@torch.inference_mode()
def ensemble(
    networks: Sequence[Network], batches: Iterable[Batch], fabric: Fabric, groups: Sequence[str] = ()
) -> Scores:
    """The measures of what several networks of the same tasks say together; see each task's ``combined``.

    Args:
        networks: scored together.
        batches: the split.
        fabric: where the networks run.
        groups: as in :meth:`Scores.of`.
    """
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
    return Scores.of(metrics, groups)


@torch.inference_mode()
def outputs(network: Network, batches: Iterable[Batch], fabric: Fabric) -> dict[str, Tensor]:
    """Every task's outputs for all pictures of a split, in their order, on the CPU."""
    found: dict[str, list[Tensor]] = {name: [] for name in network.tasks}
    for batch in batches:
        with fabric.autocast():
            for name, output in network(batch.to(fabric.device).images).items():
                found[name].append(output.float().cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}


def averaged(
    tasks: Mapping[str, Task], snapshots: Sequence[Mapping[str, Tensor]], batches: Iterable[Batch], *, of: str
) -> Scores:
    """The measures of several snapshots of one network together, and as ``last/...`` those of the last alone.

    Args:
        tasks: the network's, by name.
        snapshots: :func:`outputs` of each, the last of them last.
        batches: the split they looked at, for its targets.
        of: ``estimates``: what they say together is scored (each task's ``combined``); ``scores``: each is scored,
            and the scores are averaged.
    """
    groups = [snapshots, *([snapshot] for snapshot in snapshots)]
    metrics = [{name: task.metric() for name, task in tasks.items()} for _ in groups]
    first = 0
    for batch in batches:
        for name in tasks.keys() & batch.targets.keys():
            rows = batch.rows[name] + first
            for group, metric in zip(groups, metrics, strict=True):
                several = [snapshot[name][rows] for snapshot in group]
                metric[name].update(
                    tasks[name].combined(several) if len(several) > 1 else several[0], batch.targets[name]
                )
        first += len(batch.images)
    together, *alone = (Scores.of(metric) for metric in metrics)
    found = dict(together.metrics)
    if of == "scores":
        found = {name: sum(one.metrics[name] for one in alone) / len(alone) for name in found}
    return Scores(found | {f"last/{name}": value for name, value in alone[-1].metrics.items()}, together.samples)


@torch.inference_mode()
def features(network: Network, batches: Iterable[Batch], fabric: Fabric) -> dict[str, Tensor]:
    """``features`` ``(N, D)`` of all pictures of a split, and their targets ``(N,)`` by task, on the CPU.

    Args:
        network: its one task is an :class:`~mtlkit.tasks.Embedding`.
        batches: the split.
        fabric: where the network runs.
    """
    network.to(fabric.device).eval()
    ((name, task),) = network.tasks.items()
    assert isinstance(task, Embedding)
    found: dict[str, list[Tensor]] = {}
    for batch in batches:
        with fabric.autocast():
            output = network(batch.images.to(fabric.device))[name]
        for key, part in ({"features": task.features(output).cpu()} | batch.targets).items():
            found.setdefault(key, []).append(part)
    return {key: torch.cat(parts) for key, parts in found.items()}


def retrieval(
    database: Mapping[str, Tensor], queries: Mapping[str, Tensor], k: int, calories: Calories, device: torch.device
) -> Scores:
    """``calories/...`` of the mean of the k nearest, and where categories are known ``retrieval/...``.

    Args:
        database: :func:`features` of the training split.
        queries: of the test split.
        k: how many neighbours are averaged.
        calories: for its floor.
        device: where distances are computed.

    Raises:
        InputError: k is larger than the database.
    """
    at = [n for n in (1, 5, 10) if n <= len(database["features"])]
    _, indices = nearest(queries["features"], database["features"].to(device), max(k, *at))
    indices = indices.cpu()
    errors = CalorieErrors(calories)
    errors.add(estimate(database["calories"], indices, k), queries["calories"])
    found = Scores.of({"calories": errors})
    if "category" in queries:
        hits = retrieval_measures(queries["category"], database["category"], indices, at)
        found.metrics.update({f"retrieval/{name}": value for name, value in hits.items()})
    return found


def category_mean(
    train: Iterable[Batch], test: Iterable[Batch], named: Tensor | None, classes: int, calories: Calories
) -> Scores:
    """``calories/...`` of answering each picture's category with the mean of its training pictures.

    Args:
        train: pictures with calories and categories.
        test: the same.
        named: category ids of the test pictures as a network names them; ``None``: the true ones.
        classes: how many categories there are.
        calories: for its floor.

    Returns:
        Also ``category/accuracy`` of the names, where a network gave them.

    Raises:
        InputError: a named category has no training picture.
    """
    known, category = _joined(train)
    truths, true = _joined(test)
    answer = true if named is None else named
    counts = torch.bincount(category, minlength=classes)
    if not counts[answer].all():
        raise InputError("A category without a training picture has no mean; every category needs one.")
    means = torch.zeros(classes, dtype=torch.float64).index_add_(0, category, known.double()) / counts
    errors = CalorieErrors(calories)
    errors.add(means[answer], truths)
    found = Scores.of({"calories": errors})
    if named is not None:
        found.metrics["category/accuracy"] = 100 * float((named == true).double().mean())
    return found


def _joined(batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Calories and categories of all pictures."""
    pairs = [(batch.targets["calories"], batch.targets["category"]) for batch in batches]
    return torch.cat([calories for calories, _ in pairs]), torch.cat([category for _, category in pairs])


def constant(
    tasks: Iterable[Task], train: Iterable[Batch], test: Iterable[Batch], groups: Sequence[str] = ()
) -> Scores:
    """The measures of each task's best prediction that never looks at an image; both iterables are gone through
    once a task."""
    scores = Scores.of(
        {task.name: task.constant(_targets(task, train), _targets(task, test)) for task in tasks}, groups
    )
    return scores._replace(samples={})  # one number throughout


def tilt(task: Normals, batches: Iterable[Batch], degrees: float) -> dict[str, float]:
    """The measures of the truth itself, every normal turned by ``degrees`` in a random direction."""
    generator, metric = torch.Generator().manual_seed(0), task.metric()
    for batch in batches:
        truth = batch.targets[task.name]
        metric.update(tilted(truth, degrees, generator), truth)
    return {f"{task.name}/{name}": value for name, value in metric.compute().items()}


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
