"""What is drawn when: order, augmentation and development parts as functions of (seed, epoch, index) alone.

No generator state is carried from step to step, so a run resumes at any step, and the number of workers changes
nothing. The stream of training samples is one epoch's shuffled order after the other, cut into batches wherever a
batch is full: a batch may span two epochs, nothing is dropped, every sample is seen equally often, a set smaller than
a batch still fills it, and ``steps * batch_size`` is exactly the number of images seen. Several data sets take
turns from image to image, each with such a stream of its own: batches hold them in equal parts, and a smaller
set is gone through more often.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.utils.data import DataLoader, Dataset, Sampler

from mtlkit.data.regions import RegionSampling
from mtlkit.data.samples import Batch, Collating, DataSet, Sample, collate
from mtlkit.data.transforms import Augmentation, CentredCrop, ResizedCrop
from mtlkit.errors import InputError

AnyAugmentation = Annotated[Augmentation | CentredCrop | ResizedCrop | RegionSampling, Field(discriminator="kind")]
"""What is done to training samples."""

_SHARE, _BLOCKS = 0.2, 5
"""How much of a list :func:`development` holds out, and in how many pieces."""

Key = tuple[int, int, int]
"""Which of the data sets, which pass over it, and which of its samples."""


class Order(Sampler[list[Key]]):
    """The batches of a training run, as lists of keys.

    Args:
        lengths: number of samples in every set.
        batch_size: keys in a batch.
        steps: number of batches in the whole run.
        start_step: the first batch to give; the others are those of the run from the start.
        seed: the run's seed.
        labels: the class id of every sample of every set; not needed for ``samples_per_class`` of 1.
        samples_per_class: so many samples of a class follow each other, as far as an epoch has them.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        steps: int,
        start_step: int = 0,
        *,
        seed: int,
        labels: Sequence[Sequence[int]] = (),
        samples_per_class: int = 1,
    ) -> None:
        if min(lengths) < 1 or batch_size < 1:
            raise InputError(
                f"{min(lengths)} samples in batches of {batch_size} are impossible; both must be at least 1."
            )
        self._lengths, self._batch_size, self._seed = tuple(lengths), batch_size, seed
        self._steps, self._start = steps, start_step
        self._labels, self._samples_per_class = [np.asarray(each) for each in labels], samples_per_class

    def __len__(self) -> int:
        return max(0, self._steps - self._start)

    def __iter__(self) -> Iterator[list[Key]]:
        orders: dict[int, tuple[int, list[int]]] = {}
        for step in range(self._start, self._steps):
            batch: list[Key] = []
            for position in range(step * self._batch_size, (step + 1) * self._batch_size):
                turn, which = divmod(position, len(self._lengths))
                epoch, place = divmod(turn, self._lengths[which])
                if orders.get(which, (-1, []))[0] != epoch:
                    orders[which] = epoch, self._shuffled(which, epoch)
                batch.append((which, epoch, orders[which][1][place]))
            yield batch

    def _shuffled(self, which: int, epoch: int) -> list[int]:
        """Every sample of a set once."""
        generator = torch.Generator().manual_seed(_hash("order", self._seed, which, epoch))
        shuffled = torch.randperm(self._lengths[which], generator=generator)
        if self._samples_per_class == 1:
            return shuffled.tolist()
        labels = self._labels[which][shuffled.numpy()]
        # Classes one after the other, each in its shuffled order, cut into runs; then the runs in a random order.
        runs = [
            run
            for label in np.unique(labels)
            for run in shuffled[torch.from_numpy(np.flatnonzero(labels == label))].split(self._samples_per_class)  # type: ignore[no-untyped-call]  # torch's
        ]
        return torch.cat([runs[at] for at in torch.randperm(len(runs), generator=generator)]).tolist()


class Augmented(Dataset[Sample]):
    """The samples of data sets by key, augmented by draws that depend on nothing but that and the seed."""

    def __init__(self, datasets: Sequence[DataSet], augmentation: AnyAugmentation, seed: int) -> None:
        self._datasets, self._augmentation, self._seed = datasets, augmentation, seed

    def __getitem__(self, key: Key) -> Sample:
        which, _, index = key
        sample = self._datasets[which][index]
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: it would also reseed the GPU, and with it a network's dropout, at every sample.
            torch.default_generator.manual_seed(_hash("augmentation", self._seed, *key))
            return self._augmentation(sample)


class _Viewed(Dataset[Sample]):
    def __init__(self, dataset: DataSet, view: Callable[[Sample], Sample] | None) -> None:
        self._dataset, self._view = dataset, view

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        return sample if self._view is None else self._view(sample)


class Part:
    """Some samples of a data set, as a data set."""

    def __init__(self, dataset: DataSet, indices: Sequence[int]) -> None:
        self._dataset, self._indices = dataset, list(indices)
        self.classes, self.tasks = dataset.classes, dataset.tasks

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Sample:
        return self._dataset[self._indices[index]]

    @property
    def labels(self) -> list[int]:
        """The class id of every sample, of a set that has them."""
        labels = labels_of(self._dataset)
        return [labels[index] for index in self._indices] if labels else []

    @property
    def values(self) -> NDArray[np.float32]:
        """The kcal of every sample, of a table that has them."""
        values = values_of(self._dataset)
        return values[self._indices] if len(values) else values

    @property
    def objects(self) -> list[int]:
        """How many objects every sample has, of a set with boxes."""
        objects = objects_of(self._dataset)
        return [objects[index] for index in self._indices] if objects else []

    @property
    def groups(self) -> list[str]:
        """What every sample shows, see :func:`groups_of`."""
        groups = groups_of(self._dataset)
        return [groups[index] for index in self._indices]

    @property
    def grouped_by(self) -> str:
        """As of the whole data set."""
        return grouped_by(self._dataset)

    def name_of(self, index: int) -> str:
        """The name in the whole data set."""
        return self._dataset.name_of(self._indices[index])

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over the whole set's fingerprint and the chosen indices."""
        return f"{_hash(self._dataset.fingerprint(), *self._indices):016x}"[:12]


def labels_of(dataset: DataSet) -> list[int]:
    """The class id of every sample; empty for a set without one class per image."""
    return list(getattr(dataset, "labels", ()))


def values_of(dataset: DataSet) -> NDArray[np.float32]:
    """The kcal of every sample; empty for a set without."""
    return np.asarray(getattr(dataset, "values", ()), np.float32)


def objects_of(dataset: DataSet) -> list[int]:
    """How many objects every sample has; empty for a set that does not count them."""
    return list(getattr(dataset, "objects", ()))


def groups_of(dataset: DataSet) -> list[str]:
    """What every sample shows: the portion or person where the set tells, else each image is a group of its own."""
    return list(getattr(dataset, "groups", ())) or [dataset.name_of(index) for index in range(len(dataset))]


def grouped_by(dataset: DataSet) -> str:
    """What a group of :func:`groups_of` is, in a word or two: an image, unless some hold several."""
    groups = groups_of(dataset)
    return str(getattr(dataset, "grouped_by", "group")) if len(set(groups)) < len(groups) else "image"


class Batches:
    """Batches as data loaders make them, one after the other; may be iterated again, and is then the same."""

    def __init__(self, *loaders: "DataLoader[Sample]") -> None:
        self._loaders = loaders

    def __len__(self) -> int:
        return sum(map(len, self._loaders))

    def __iter__(self) -> Iterator[Batch]:
        try:
            for loader in self._loaders:
                yield from loader
        except InputError as error:
            # torch puts a worker's whole traceback into the message; the sentence is what follows the last exception.
            raise InputError(str(error).rpartition(f"{type(error).__name__}: ")[2].strip()) from error


def loader(
    datasets: Sequence[DataSet],
    augmentation: AnyAugmentation,
    *,
    batch_size: int,
    steps: int,
    start_step: int = 0,
    seed: int = 0,
    workers: int = 0,
    pin: bool = False,
    samples_per_class: int = 1,
    tasks: Sequence[Collating] = (),
) -> Batches:
    """The training batches ``start_step .. steps - 1`` of a run; workers live from the first to the last of them.

    Args:
        datasets: the samples; several sets share every batch in equal parts.
        augmentation: applied to every sample.
        batch_size: images in a batch.
        steps: number of batches in the whole run, over all epochs.
        start_step: where to resume; the batches are those that the whole run would have had.
        seed: decides order and augmentation.
        workers: processes that read samples, at most one a batch; changes nothing but speed.
        pin: whether batches are put into page-locked memory, for GPUs.
        samples_per_class: samples of a class in a row, for losses that compare the images of a batch.
        tasks: see :func:`mtlkit.data.samples.collate`.

    Raises:
        InputError: the data set is empty, or has no classes to bring together; while iterating, what its reader
            raises.
    """
    labels = [labels_of(dataset) for dataset in datasets] if samples_per_class > 1 else []
    if not all(labels):
        raise InputError("Images of one class can be brought together only where a set has one class per image.")
    order = Order(
        [len(dataset) for dataset in datasets],
        batch_size,
        steps,
        start_step,
        seed=seed,
        labels=labels,
        samples_per_class=samples_per_class,
    )
    return Batches(
        DataLoader(
            Augmented(datasets, augmentation, seed),
            batch_sampler=order,
            num_workers=min(workers, len(order)),
            pin_memory=pin,
            collate_fn=partial(collate, tasks=tasks),
            generator=torch.Generator(),  # else every pass draws a number from the generator that dropout uses
        )
    )


def eval_loader(
    datasets: Sequence[DataSet],
    view: Callable[[Sample], Sample] | None = None,
    batch_size: int = 1,
    workers: int = 0,
    pin: bool = False,
    tasks: Sequence[Collating] = (),
) -> Batches:
    """Every sample once, set after set, in order; the last batch of a set may be smaller.

    Args:
        datasets: the samples.
        view: what is done to every sample, :meth:`mtlkit.data.Data.view` say; None keeps each image's own size,
            which must then agree within a batch.
        batch_size: images in a batch.
        workers: processes that read samples, at most one a batch.
        pin: whether batches are put into page-locked memory, for GPUs.
        tasks: see :func:`mtlkit.data.samples.collate`.
    """
    collated = partial(collate, tasks=tasks)
    return Batches(
        *(
            DataLoader(
                _Viewed(dataset, view),
                batch_size=batch_size,
                num_workers=min(workers, math.ceil(len(dataset) / batch_size)),
                pin_memory=pin,
                collate_fn=collated,
                generator=torch.Generator(),
            )
            for dataset in datasets
        )
    )


def stratified(labels: Sequence[int], fraction: float, names: Sequence[str]) -> list[int]:
    """A fraction of the samples in which every class keeps its proportion: indices, ascending.

    A function of the labels and the fraction alone, so that every method and seed learns from the same samples; a
    smaller fraction is contained in every larger one.

    Args:
        labels: the class id of every sample.
        fraction: above 0, at most 1.
        names: of the classes, for the message.

    Raises:
        InputError: a class would keep no sample.
    """
    classes = np.asarray(labels)
    kept: list[int] = []
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        count = int(fraction * len(members) + 0.5)
        if count == 0:
            raise InputError(
                f"a fraction of {fraction:g} leaves none of the {len(members)} training images of the class "
                f"{names[label]}; take at least {math.ceil(500 / len(members)) / 1000:g}."
            )
        kept += np.random.default_rng(_hash("stratified", int(label))).permutation(members)[:count].tolist()
    return sorted(kept)


def development(length: int, gap: int = 1) -> tuple[list[int], list[int]]:
    """A fifth of a training list in five contiguous blocks, spread evenly: (train, development) indices.

    Data sets list frames as they were filmed, so neighbours show the same place. ``gap`` indices on both sides of a
    block belong to neither part; with the default no two neighbours are on different sides.

    Raises:
        InputError: less than half of the indices would be left to train on.
    """
    train, held = _blocks(length, gap)
    if 2 * len(train) < length:
        enough = next(more for more in count(length + 1) if 2 * len(_blocks(more, gap)[0]) >= more)
        raise InputError(
            f"--split development needs at least {enough} training images, or less than half of them are left to train "
            f"on; there are {length}."
        )
    return train, held


def _blocks(length: int, gap: int) -> tuple[list[int], list[int]]:
    size = max(1, round(length * _SHARE / _BLOCKS))
    starts = [round((block + 0.5) * length / _BLOCKS - size / 2) for block in range(_BLOCKS)]
    held = {index for start in starts for index in range(start, start + size)}
    near = {index for start in starts for index in range(start - gap, start + size + gap)}
    return [index for index in range(length) if index not in near], sorted(held)


def _hash(*words: str | int) -> int:
    """64 bits of a stable hash: Python's own differs between processes, numpy's seeds ignore trailing zeros."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, words)).encode()).digest()[:8], "big")
