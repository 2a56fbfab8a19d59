"""The kinds of evaluation: what can be said of networks, data and specifications."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mtlkit.data.samples import Batch, DataSet, Target
from mtlkit.data.sampling import grouped_by, groups_of
from mtlkit.errors import InputError
from mtlkit.metrics.bootstrap import Drawn, draws, group_key
from mtlkit.network import Network, NetworkSettings, parameter_count
from mtlkit.network import cost as network_cost
from mtlkit.tasks import Embedding, Normals, Task
from mtlkit.tasks.normals import tilted

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from mtlkit.metrics.base import ImageMetric


class Groups(NamedTuple):
    """Which images of a test split are drawn together.

    Attributes:
        of: what a group is: an image, a portion, a person, a run of frames.
        names: the group of every image, in the order they come.
        first: how many images of other sets come before.
    """

    of: str
    names: Sequence[str]
    first: int = 0

    @classmethod
    def by_task(cls, tasks: Sequence[str], sets: Sequence[DataSet]) -> dict[str, "Groups"]:
        """The groups of each task's test images: of one set for all tasks, or of a set for each."""
        found, first = [], 0
        for dataset in sets:
            found.append(cls(grouped_by(dataset), groups_of(dataset), first))
            first += len(dataset)
        return dict.fromkeys(tasks, found[0]) if len(found) == 1 else dict(zip(tasks, found, strict=True))


class Scores(NamedTuple):
    """What an evaluation finds.

    Attributes:
        metrics: ``task/measure`` -> its value.
        samples: ``task/what`` -> a number for every test image, of tasks that have so few.
        resampled: ``task/measure`` -> its value on every one of :data:`mtlkit.metrics.bootstrap.RESAMPLES` draws of the
            test images, the same draws whatever is scored.
        drawn: task -> what these draws were made of.
        rounds: ``what/measure`` -> its value in every round, of what was timed.
    """

    metrics: dict[str, float]
    samples: dict[str, list[float]] = {}
    resampled: dict[str, list[float]] = {}
    drawn: dict[str, Drawn] = {}
    rounds: dict[str, list[float]] = {}

    @classmethod
    def of(cls, metrics: "Mapping[str, ImageMetric]", groups: Mapping[str, Groups] | None = None) -> "Scores":
        """What the metrics of several tasks have gathered.

        Args:
            metrics: by task.
            groups: by task; nothing is drawn of a task without two of them.
        """
        found = cls({}, {}, {}, {})
        for name, metric in metrics.items():
            found.metrics.update({f"{name}/{measure}": value for measure, value in metric.compute().items()})
            found.samples.update({f"{name}/{what}": values for what, values in metric.samples().items()})
            some = (groups or {}).get(name)
            count = len(set(some.names)) if some else 0
            if some is None or count < 2:
                continue
            parts = [metric.resampled(times) for times in draws(some.names)]
            for measure in parts[0]:
                values = np.concatenate([part[measure] for part in parts])
                # A measure that some draw does not have, for want of a labelled pixel, has no interval.
                if not np.isnan(values).any():
                    # A thousandth of a degree, a year, a metre or a per cent is far below what the draws differ by.
                    found.resampled[f"{name}/{measure}"] = values.round(3).tolist()
            found.drawn[name] = Drawn(of=some.of, groups=count, key=group_key(some.names))
        return found


def standard(network: Network, batches: Iterable[Batch], fabric: "Fabric") -> dict[str, float]:
    """Every task's measures of one network over a split, as ``task/measure``; pixels pooled over the whole split."""
    return ensemble([network], batches, fabric).metrics


@torch.inference_mode()
def ensemble(
    networks: Sequence[Network],
    batches: Iterable[Batch],
    fabric: "Fabric",
    groups: Mapping[str, Groups] | None = None,
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
    first = 0
    for batch in batches:
        batch = batch.to(fabric.device)
        with fabric.autocast():
            outputs = [network(batch.images, batch.regions) for network in networks]
        for name, metric in metrics.items():
            if name in batch.targets:
                several = [output[name][batch.rows[name]] for output in outputs]
                output = tasks[name].combined(several) if len(several) > 1 else several[0]
                metric.update(output, batch.targets[name], numbered(batch, name, first, groups))
        first += len(batch.images)
    return Scores.of(metrics, groups)


def numbered(batch: Batch, task: str, first: int, groups: Mapping[str, Groups] | None) -> Tensor:
    """The numbers of a batch's images in their set, as :class:`~mtlkit.metrics.base.ImageMetric` wants them."""
    number = torch.arange(len(batch.images)) + first - (groups[task].first if groups else 0)
    if not isinstance(batch.targets[task], Tensor):
        return number
    rows = batch.rows[task].cpu()
    return number[rows] if batch.regions is None else number[batch.regions[:, 0].cpu().long()[rows]]


@torch.inference_mode()
def outputs(network: Network, batches: Iterable[Batch], fabric: "Fabric") -> dict[str, Tensor]:
    """Every task's outputs for all pictures of a split, in their order, on the CPU."""
    found: dict[str, list[Tensor]] = {name: [] for name in network.tasks}
    for batch in batches:
        with fabric.autocast():
            for name, output in network(batch.to(fabric.device).images).items():
                found[name].append(output.float().cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}


def averaged(
    tasks: Mapping[str, Task],
    snapshots: Sequence[Mapping[str, Tensor]],
    batches: Iterable[Batch],
    *,
    of: str,
    groups: Mapping[str, Groups] | None = None,
) -> Scores:
    """The measures of several snapshots of one network together, and as ``last/...`` those of the last alone.

    Args:
        tasks: the network's, by name.
        snapshots: :func:`outputs` of each, the last of them last.
        batches: the split they looked at, for its targets.
        of: ``estimates``: what they say together is scored (each task's ``combined``); ``scores``: each is scored,
            and the scores are averaged.
        groups: as in :meth:`Scores.of`.
    """
    scored = [snapshots, *([snapshot] for snapshot in snapshots)]
    metrics = [{name: task.metric() for name, task in tasks.items()} for _ in scored]
    first = 0
    for batch in batches:
        for name in tasks.keys() & batch.targets.keys():
            rows = batch.rows[name] + first
            for some, metric in zip(scored, metrics, strict=True):
                several = [snapshot[name][rows] for snapshot in some]
                output = tasks[name].combined(several) if len(several) > 1 else several[0]
                metric[name].update(output, batch.targets[name], numbered(batch, name, first, groups))
        first += len(batch.images)
    together, *alone = (Scores.of(metric, groups) for metric in metrics)
    found, resampled = together.metrics, together.resampled
    if of == "scores":
        found = {name: sum(one.metrics[name] for one in alone) / len(alone) for name in found}
        # A measure that some draw of one snapshot does not have has no interval.
        known = set.intersection(*(set(one.resampled) for one in alone))
        resampled = {name: np.mean([one.resampled[name] for one in alone], 0).tolist() for name in sorted(known)}
    last = {f"last/{name}": value for name, value in alone[-1].metrics.items()}
    return together._replace(metrics=found | last, resampled=resampled)


@torch.inference_mode()
def features(network: Network, batches: Iterable[Batch], fabric: "Fabric") -> dict[str, Tensor]:
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
    database: Mapping[str, Tensor],
    queries: Mapping[str, Tensor],
    k: int,
    floor: float,
    device: torch.device,
    groups: Mapping[str, Groups] | None = None,
) -> Scores:
    """``calories/...`` of the mean of the k nearest, and where categories are known ``retrieval/...``.

    Args:
        database: :func:`features` of the training split.
        queries: of the test split.
        k: how many neighbours are averaged.
        floor: kcal; no relative error is taken of less.
        device: where distances are computed.
        groups: as in :meth:`Scores.of`.

    Raises:
        InputError: k is larger than the database.
    """
    from mtlkit.metrics.calorie_errors import CalorieErrors
    from mtlkit.retrieval import NeighbourHits, estimate, nearest

    at = [n for n in (1, 5, 10) if n <= len(database["features"])]
    _, indices = nearest(queries["features"], database["features"].to(device), max(k, *at))
    indices = indices.cpu()
    errors = CalorieErrors(floor)
    errors.update(estimate(database["calories"], indices, k), queries["calories"])
    metrics: dict[str, ImageMetric] = {"calories": errors}
    if "category" in queries:
        metrics["retrieval"] = NeighbourHits(at)
        metrics["retrieval"].update(queries["category"], database["category"], indices)
    return Scores.of(metrics, groups)


def category_mean(
    train: Iterable[Batch],
    test: Iterable[Batch],
    named: Tensor | None,
    classes: int,
    floor: float,
    groups: Mapping[str, Groups] | None = None,
) -> Scores:
    """``calories/...`` of answering each image's category with the mean of its training images.

    Args:
        train: images with calories and categories.
        test: the same.
        named: category ids of the test images as a network names them; ``None``: the true ones.
        classes: how many categories there are.
        floor: kcal; no relative error is taken of less.
        groups: as in :meth:`Scores.of`.

    Returns:
        Also ``category/accuracy`` of the names, where a network gave them.

    Raises:
        InputError: a named category has no training image.
    """
    from mtlkit.metrics.accuracy import Accuracy
    from mtlkit.metrics.calorie_errors import CalorieErrors

    known, category = _joined(train)
    truths, true = _joined(test)
    answer = true if named is None else named
    counts = torch.bincount(category, minlength=classes)
    if not counts[answer].all():
        raise InputError("A category without a training picture has no mean; every category needs one.")
    means = torch.zeros(classes, dtype=torch.float64).index_add_(0, category, known.double()) / counts
    metrics: dict[str, ImageMetric] = {"calories": CalorieErrors(floor)}
    metrics["calories"].update(means[answer], truths)
    if named is not None:
        metrics["category"] = Accuracy(classes)
        metrics["category"].update(one_hot(named, classes), true)
    found = Scores.of(metrics, groups)
    # Of names without probabilities only this one means anything.
    for measures in (found.metrics, found.resampled):
        for name in [name for name in measures if name.startswith("category/") and name != "category/accuracy"]:
            del measures[name]
    return found


def _joined(batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Calories and categories of all pictures."""
    pairs = [(batch.targets["calories"], batch.targets["category"]) for batch in batches]
    return torch.cat([calories for calories, _ in pairs]), torch.cat([category for _, category in pairs])


def constant(
    tasks: Iterable[Task],
    train: Iterable[Batch],
    test: Iterable[Batch],
    groups: Mapping[str, Groups] | None = None,
) -> Scores:
    """The measures of each task's best prediction that never looks at an image; both iterables are gone through
    once a task."""
    metrics = {}
    for task in tasks:
        numbers: list[Tensor] = []
        answered = _targets(task, test, numbers, groups)
        metrics[task.name] = task.constant(_targets(task, train), answered)
        metrics[task.name].renumber(torch.cat(numbers))
    return Scores.of(metrics, groups)._replace(samples={})  # one number throughout


def tilt(task: Normals, batches: Iterable[Batch], degrees: float, groups: Mapping[str, Groups] | None = None) -> Scores:
    """The measures of the truth itself, every normal turned by ``degrees`` in a random direction."""
    generator, metric, first = torch.Generator().manual_seed(0), task.metric(), 0
    for batch in batches:
        if task.name in batch.targets:
            truth = batch.targets[task.name]
            metric.update(tilted(truth, degrees, generator), truth, numbered(batch, task.name, first, groups))
        first += len(batch.images)
    return Scores.of({task.name: metric}, groups)


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
    fabric: "Fabric",
) -> Scores:
    """Median times of one image (batch 1), the networks run one after the other.

    Every round times the networks, the networks with decoding, and the reference; the device is waited for before the
    clock is read. A tenth of the rounds, at least three, go before as a warm-up.

    Returns:
        ``speed/ms`` and ``speed/fps`` of the networks alone, ``speed/decoded_ms`` with what they find decoded,
        ``speed/parameters``; ``speed/ratio``, the median over rounds of the time over the reference's; all but the
        parameters round by round too.
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
    alone, decoded, beside = np.array(times[warm_up:]).T
    rounds_of = {
        "speed/ms": alone, "speed/fps": 1000 / alone, "speed/decoded_ms": decoded, "speed/ratio": alone / beside
    }  # fmt: skip
    metrics = {name: float(np.median(each)) for name, each in rounds_of.items()}
    metrics["speed/fps"] = 1000 / metrics["speed/ms"]
    metrics["speed/parameters"] = float(sum(map(parameter_count, systems[0])))
    return Scores(metrics, rounds={name: each.round(5).tolist() for name, each in rounds_of.items()})


def _wait(device: torch.device) -> None:
    """Until the device has done what it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _targets(
    task: Task,
    batches: Iterable[Batch],
    numbers: list[Tensor] | None = None,
    groups: Mapping[str, Groups] | None = None,
) -> Iterable[Target]:
    """A task's targets; the numbers of their images are added to ``numbers``."""
    first = 0
    for batch in batches:
        if task.name in batch.targets:
            if numbers is not None:
                numbers.append(numbered(batch, task.name, first, groups))
            yield batch.targets[task.name]
        first += len(batch.images)
