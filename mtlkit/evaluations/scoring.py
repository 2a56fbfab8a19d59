"""What kinds of evaluation have in common: groups of test images, measures of metrics, outputs of networks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtlkit.data.samples import Batch, DataSet
from mtlkit.data.sampling import grouped_by, groups_of
from mtlkit.errors import InputError
from mtlkit.graph import Content
from mtlkit.metrics.bootstrap import Drawn, draws, group_key
from mtlkit.network import Network

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
    """Measures of metrics.

    Attributes:
        metrics: ``task/measure`` -> its value.
        samples: ``task/what`` -> a number for every test image, of tasks that have so few.
        resampled: ``task/measure`` -> its value on every one of :data:`mtlkit.metrics.bootstrap.RESAMPLES` draws of the
            test images, the same draws whatever is scored.
        drawn: task -> what these draws were made of.
    """

    metrics: dict[str, float]
    samples: dict[str, list[float]] = {}
    resampled: dict[str, list[float]] = {}
    drawn: dict[str, Drawn] = {}

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

    def content(self, tested: Sequence[DataSet], device: torch.device | None = None, **counted: Any) -> Content:
        """The content of a record.

        Args:
            tested: the test images' data sets.
            device: where the measures were computed.
            counted: whatever else was counted.
        """
        samples = dict(self.samples)
        if samples:
            names = [group for some in tested for group in groups_of(some)]
            numbers = {group: float(number) for number, group in enumerate(dict.fromkeys(names))}
            samples["group"] = [numbers[group] for group in names]
        data = counted | {"test_images": sum(map(len, tested)), "classes": sum(len(some.classes) for some in tested)}
        return Content(
            self.metrics, samples, self.resampled, self.drawn, data=data, device=device or torch.device("cpu")
        )


@torch.inference_mode()
def scored(
    networks: Sequence[Network],
    batches: Iterable[Batch],
    fabric: "Fabric",
    groups: Mapping[str, Groups] | None = None,
    *,
    mirrored: bool = False,
) -> Scores:
    """The measures of several networks of the same tasks together, in float32; see each task's ``ensemble``.

    Args:
        networks: one or more.
        batches: the split; pixels are pooled over the whole of it.
        fabric: where the networks run.
        groups: as in :meth:`~mtlkit.evaluations.scoring.Scores.of`.
        mirrored: whether their outputs for mirror images count too.
    """
    return Scores.of(gathered(networks, batches, fabric, groups, mirrored=mirrored), groups)


@torch.inference_mode()
def gathered(
    networks: Sequence[Network],
    batches: Iterable[Batch],
    fabric: "Fabric",
    groups: Mapping[str, Groups] | None = None,
    *,
    mirrored: bool = False,
) -> "dict[str, ImageMetric]":
    """Task -> the metric behind :func:`scored`, which holds its statistics of every image; arguments as there."""
    for network in networks:
        network.to(fabric.device).eval()
    tasks = networks[0].tasks
    metrics = {name: task.metric() for name, task in tasks.items()}
    first = 0
    for batch in batches:
        batch = batch.to(fabric.device)
        outputs = [output for network in networks for output in predictions(network, batch, mirrored=mirrored)]
        for name, metric in metrics.items():
            if name in batch.targets:
                several = [output[name][batch.rows[name]] for output in outputs]
                output = tasks[name].ensemble(several) if len(several) > 1 else several[0]
                metric.update(output, batch.targets[name], numbered(batch, name, first, groups))
        first += len(batch.images)
    return metrics


def predictions(network: Network, batch: Batch, *, mirrored: bool = False) -> list[dict[str, Tensor]]:
    """A network's outputs for a batch, and with ``mirrored`` those for its mirror images, turned back.

    Raises:
        InputError: An output is not finite; the network looks at regions, or one of its tasks knows no mirror image.
    """
    found = [finite(network.predict(batch.images, batch.regions))]
    if mirrored:
        if batch.regions is not None:
            raise InputError("Regions have no mirror images; score this network without.")
        turned = finite(network.predict(batch.images.flip(-1)))
        found.append({name: network.tasks[name].unmirrored(output) for name, output in turned.items()})
    return found


def finite(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The outputs, unless one is not finite: the losses of a training that ends with a bad step are all finite, and
    metrics would rank or compare what is no number.

    Raises:
        InputError: One is not.
    """
    for name, output in outputs.items():
        if not bool(torch.isfinite(output).all()):
            raise InputError(
                f"The network's output for {name} is not finite on images to score: its training diverged in the last "
                "steps; a lower learning rate usually helps."
            )
    return dict(outputs)


def numbered(batch: Batch, task: str, first: int, groups: Mapping[str, Groups] | None) -> Tensor:
    """The numbers of a batch's images in their set, as :class:`~mtlkit.metrics.base.ImageMetric` wants them."""
    number = torch.arange(len(batch.images)) + first - (groups[task].first if groups else 0)
    if not isinstance(batch.targets[task], Tensor):
        return number
    rows = batch.rows[task].cpu()
    return number[rows] if batch.regions is None else number[batch.regions[:, 0].cpu().long()[rows]]


@torch.inference_mode()
def outputs(network: Network, batches: Iterable[Batch], fabric: "Fabric") -> dict[str, Tensor]:
    """Every task's outputs for all images of a split, or all their regions, in their order, float32 on the CPU.

    They are not checked, for they may be those of a training that is about to diverge; see :func:`finite`.
    """
    network.to(fabric.device)
    found: dict[str, list[Tensor]] = {name: [] for name in network.tasks}
    for batch in batches:
        batch = batch.to(fabric.device)
        for name, output in network.predict(batch.images, batch.regions).items():
            found[name].append(output.float().cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}


def answers(batch: Batch) -> int:
    """How many rows a network's output has for a batch: its images, or their regions."""
    return len(batch.images if batch.regions is None else batch.regions)
