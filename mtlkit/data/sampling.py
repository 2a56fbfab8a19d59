"""What is drawn when: order, augmentation and development parts as functions of (seed, epoch, index) alone.

No generator state is carried from step to step, so a run resumes at any step, and the number of workers changes
nothing. The stream of training samples is one epoch's shuffled order after the other, cut into batches wherever a
batch is full: a batch may span two epochs, nothing is dropped, every sample is seen equally often, a set smaller than
a batch still fills it, and ``steps * batch_size`` is exactly the number of pictures seen.
"""

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mtlkit.data.samples import Batch, DataSet, Sample, collate
from mtlkit.data.transforms import Augmentation, resized
from mtlkit.errors import InputError

Key = tuple[int, int]
"""Which pass over the set, and which sample."""


class Order(Sampler[list[Key]]):
    """The batches of a training run, as lists of keys.

    Args:
        length: number of samples in the set.
        batch_size: keys in a batch.
        steps: number of batches in the whole run.
        start_step: the first batch to give; the others are those of the run from the start.
        seed: the run's seed.
    """

    def __init__(self, length: int, batch_size: int, steps: int, start_step: int = 0, *, seed: int) -> None:
        if length < 1 or batch_size < 1:
            raise InputError(f"{length} samples in batches of {batch_size} are impossible; both must be at least 1.")
        self._length, self._batch_size, self._seed = length, batch_size, seed
        self._steps, self._start = steps, start_step

    def __len__(self) -> int:
        return max(0, self._steps - self._start)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, order = -1, torch.empty(0, dtype=torch.int64)
        for step in range(self._start, self._steps):
            batch: list[Key] = []
            for position in range(step * self._batch_size, (step + 1) * self._batch_size):
                if position // self._length != epoch:
                    epoch = position // self._length
                    generator = torch.Generator().manual_seed(_hash("order", self._seed, epoch))
                    order = torch.randperm(self._length, generator=generator)
                batch.append((epoch, int(order[position % self._length])))
            yield batch


class Augmented(Dataset[Sample]):
    """A data set's samples by (epoch, index), augmented by draws that depend on nothing but that and the seed."""

    def __init__(self, dataset: DataSet, augmentation: Augmentation, seed: int) -> None:
        self._dataset, self._augmentation, self._seed = dataset, augmentation, seed

    def __getitem__(self, key: Key) -> Sample:
        epoch, index = key
        sample = self._dataset[index]
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: it would also reseed the GPU, and with it a network's dropout, at every sample.
            torch.default_generator.manual_seed(_hash("augmentation", self._seed, epoch, index))
            return self._augmentation(sample)


class _Resized(Dataset[Sample]):
    def __init__(self, dataset: DataSet, size: tuple[int, int] | None) -> None:
        self._dataset, self._size = dataset, size

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        return sample if self._size is None else resized(sample, self._size)


class Part:
    """Some samples of a data set, as a data set."""

    def __init__(self, dataset: DataSet, indices: Sequence[int]) -> None:
        self._dataset, self._indices = dataset, list(indices)
        self.classes, self.tasks = dataset.classes, dataset.tasks

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Sample:
        return self._dataset[self._indices[index]]

    def name_of(self, index: int) -> str:
        """The name in the whole data set."""
        return self._dataset.name_of(self._indices[index])

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over the whole set's fingerprint and the chosen indices."""
        return f"{_hash(self._dataset.fingerprint(), *self._indices):016x}"[:12]


class Batches:
    """Batches as a data loader makes them; may be iterated again, and is then the same."""

    def __init__(self, loader: "DataLoader[Sample]") -> None:
        self._loader = loader

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        try:
            yield from self._loader
        except InputError as error:
            # torch puts a worker's whole traceback into the message; the sentence is what it ends with.
            raise InputError(str(error).rpartition("InputError: ")[2].strip()) from error


def loader(
    dataset: DataSet,
    augmentation: Augmentation,
    *,
    batch_size: int,
    steps: int,
    start_step: int = 0,
    seed: int = 0,
    workers: int = 0,
    pin: bool = False,
) -> Batches:
    """The training batches ``start_step .. steps - 1`` of a run; workers live from the first to the last of them.

    Args:
        dataset: the samples.
        augmentation: applied to every sample.
        batch_size: images in a batch.
        steps: number of batches in the whole run, over all epochs.
        start_step: where to resume; the batches are those that the whole run would have had.
        seed: decides order and augmentation.
        workers: processes that read samples; changes nothing but speed.
        pin: whether batches are put into page-locked memory, for GPUs.

    Raises:
        InputError: the data set is empty; while iterating, what its reader raises.
    """
    return Batches(
        DataLoader(
            Augmented(dataset, augmentation, seed),
            batch_sampler=Order(len(dataset), batch_size, steps, start_step, seed=seed),
            num_workers=workers,
            pin_memory=pin,
            collate_fn=collate,
            generator=torch.Generator(),  # else every pass draws a number from the generator that dropout uses
        )
    )


def eval_loader(
    dataset: DataSet, size: tuple[int, int] | None = None, batch_size: int = 1, workers: int = 0, pin: bool = False
) -> Batches:
    """Every sample once, in order; the last batch may be smaller.

    Args:
        dataset: the samples.
        size: height and width to which images and targets are resized; None keeps each picture's own, which must
            then agree within a batch.
        batch_size: images in a batch.
        workers: processes that read samples.
        pin: whether batches are put into page-locked memory, for GPUs.
    """
    return Batches(
        DataLoader(
            _Resized(dataset, size),
            batch_size=batch_size,
            num_workers=workers,
            pin_memory=pin,
            collate_fn=collate,
            generator=torch.Generator(),
        )
    )


def development(length: int, share: float = 0.2, blocks: int = 5, gap: int = 1) -> tuple[list[int], list[int]]:
    """A development part cut from a training list in contiguous blocks, spread evenly: (train, development) indices.

    Data sets list frames as they were filmed, so neighbours show the same place. ``gap`` indices on both sides of a
    block belong to neither part; with the default no two neighbours are on different sides.

    Raises:
        InputError: no index would be left for one of the parts.
    """
    size = max(1, round(length * share / blocks))
    starts = [round((block + 0.5) * length / blocks - size / 2) for block in range(blocks)]
    held = {index for start in starts for index in range(start, start + size)}
    near = {index for start in starts for index in range(start - gap, start + size + gap)}
    train = [index for index in range(length) if index not in near]
    if not 0 < share < 1 or not train or not held <= set(range(length)):
        raise InputError(
            f"A share of {share:g} in {blocks} blocks cannot be cut from {length} samples; "
            "take fewer blocks or a share nearer to 0.2."
        )
    return train, sorted(held)


def _hash(*words: str | int) -> int:
    """64 bits of a stable hash: Python's own differs between processes, numpy's seeds ignore trailing zeros."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, words)).encode()).digest()[:8], "big")
