from collections import Counter
from functools import partial
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors

from mtlkit.data import sampling
from mtlkit.data.samples import Batch, Sample, unit
from mtlkit.data.sampling import Augmented, Order, Part, development, eval_loader, loader, stratified
from mtlkit.data.transforms import Augmentation, resized
from mtlkit.errors import InputError, WeightsMissing

AUGMENTATION = Augmentation(size=(12, 16), jitter=0.3)


class Frames:
    """Images full of their own number; frame 13 is damaged, every third has no normals."""

    classes = ("a", "b")
    tasks = ("segmentation", "normals")

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if index == 13:
            raise InputError("image/13.png cannot be read; copy it again.")
        noise = torch.Generator().manual_seed(index)
        sample: Sample = {
            "image": tv_tensors.Image(torch.randint(0, 255, (3, 12, 16), generator=noise, dtype=torch.uint8)),
            "segmentation": tv_tensors.Mask(torch.full((12, 16), index, dtype=torch.uint8)),
        }
        if index % 3:
            sample["normals"] = unit(torch.randn(3, 12, 16, generator=noise))
        return sample

    def name_of(self, index: int) -> str:
        return str(index)

    def fingerprint(self) -> str:
        return "0" * 12


def equal(first: Batch, second: Batch) -> bool:
    return (
        torch.equal(first.images, second.images)
        and first.targets.keys() == second.targets.keys()
        and all(torch.equal(first.targets[task], second.targets[task]) for task in first.targets)
        and all(torch.equal(first.rows[task], second.rows[task]) for task in first.rows)
    )


@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    batch_size=st.integers(1, 12),
    steps=st.integers(1, 15),
    start=st.integers(0, 15),
    seed=st.integers(0, 99),
)
def test_a_resumed_order_is_the_tail_of_the_whole(lengths, batch_size, steps, start, seed):
    whole = list(Order(lengths, batch_size, steps, seed=seed))
    tail = Order(lengths, batch_size, steps, start, seed=seed)
    assert list(tail) == whole[start:]
    assert len(tail) == len(whole[start:])
    assert {len(batch) for batch in whole} == {batch_size}


@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    batch_size=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_every_epoch_of_every_set_holds_every_sample_once(lengths, batch_size, seed):
    steps = 3 * max(lengths) * len(lengths)
    keys = [key for batch in Order(lengths, batch_size, steps, seed=seed) for key in batch]
    assert set(Counter(keys).values()) == {1}
    for which, length in enumerate(lengths):
        for epoch in range(3):
            assert {index for w, e, index in keys if (w, e) == (which, epoch)} == set(range(length))


@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    batch_size=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_batches_hold_the_sets_in_equal_parts_whatever_their_lengths(lengths, batch_size, seed):
    seen = Counter()
    for batch in Order(lengths, batch_size, 30, seed=seed):
        parts = Counter(which for which, _, _ in batch)
        counts = [parts[which] for which in range(len(lengths))]
        assert max(counts) - min(counts) <= 1
        seen += parts
    assert max(seen.values()) - min(seen[which] for which in range(len(lengths))) <= 1


def test_orders_differ_by_epoch_and_seed():
    first, second = islice(Order([50], 50, 2, seed=0), 2)
    (other,) = Order([50], 50, 1, seed=1)
    indices = [[index for _, _, index in batch] for batch in (first, second, other)]
    assert indices[0] != indices[1] != indices[2] != indices[0]


@pytest.mark.parametrize("length", [3, 10])
def test_workers_change_nothing(length):
    alone, helped = (
        list(loader([Frames(length)], AUGMENTATION, batch_size=4, steps=6, seed=5, workers=workers))
        for workers in (0, 2)
    )
    assert len(alone) == len(helped) == 6
    assert all(equal(*pair) for pair in zip(alone, helped, strict=True))


def test_a_resumed_run_sees_the_same_bits():
    whole = list(loader([Frames(10)], AUGMENTATION, batch_size=4, steps=7, seed=5))
    tail = list(loader([Frames(10)], AUGMENTATION, batch_size=4, steps=7, start_step=3, seed=5))
    assert len(tail) == 4
    assert all(equal(*pair) for pair in zip(tail, whole[3:], strict=True))


def test_draws_depend_on_epoch_index_and_seed_alone():
    data = Augmented([Frames(5)], AUGMENTATION, seed=1)
    first = data[(0, 0, 1)]["image"]
    data[(0, 0, 2)]
    torch.rand(3)
    assert torch.equal(data[(0, 0, 1)]["image"], first)
    assert not torch.equal(data[(0, 1, 1)]["image"], first)
    assert not torch.equal(Augmented([Frames(5)], AUGMENTATION, seed=2)[(0, 0, 1)]["image"], first)


def test_no_worker_starts_that_would_have_no_batch(monkeypatch):
    started = []
    monkeypatch.setattr(sampling, "DataLoader", lambda *given, num_workers, **more: started.append(num_workers))
    loader([Frames(9)], AUGMENTATION, batch_size=4, steps=6, start_step=3, workers=16)
    eval_loader([Frames(9), Frames(2)], batch_size=4, workers=2)
    assert started == [3, 2, 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_callers_generator_is_left_alone(workers):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    list(loader([Frames(5)], AUGMENTATION, batch_size=2, steps=3, seed=0, workers=workers))
    list(eval_loader([Frames(5)], workers=workers))
    assert torch.equal(torch.get_rng_state(), state)


class Elsewhere(Frames):
    """Frame 13 is missing in a kind of error of its own."""

    def __getitem__(self, index: int) -> Sample:
        if index == 13:
            raise WeightsMissing("image/13.png cannot be read; copy it again.")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("frames", [Frames, Elsewhere])
def test_a_readers_error_stays_one_sentence(frames, workers):
    with pytest.raises(InputError) as raised:
        list(eval_loader([frames(14)], batch_size=2, workers=workers))
    assert str(raised.value) == "image/13.png cannot be read; copy it again."


def test_evaluation_reads_everything_once_in_order_and_again():
    batches = eval_loader([Frames(7)], partial(resized, size=(6, 8)), batch_size=3)
    for _ in range(2):
        read = list(batches)
        assert [len(batch.images) for batch in read] == [3, 3, 1]
        assert torch.cat([batch.targets["segmentation"][:, 0, 0] for batch in read]).tolist() == list(range(7))
        assert read[0].images.shape[2:] == read[0].targets["normals"].shape[2:] == (6, 8)
    assert read[0].rows["normals"].tolist() == [1, 2]


def test_an_empty_set_is_refused():
    with pytest.raises(InputError, match="0 samples in batches of 4"):
        loader([Frames(0)], AUGMENTATION, batch_size=4, steps=1)


@settings(max_examples=40)
@given(length=st.integers(40, 2000))
def test_development_blocks_touch_no_training_frame(length):
    train, held = development(length)
    assert not set(train) & set(held)
    assert not {index + step for index in held for step in (-1, 1)} & set(train)
    assert abs(len(held) - 0.2 * length) <= 5
    assert len(train) + len(held) >= length - 2 * 5
    assert len(train) >= length / 2
    assert (train, held) == development(length)


def test_development_parts_of_stored_runs_stay_as_they_are():
    train, held = development(40)
    assert held == [3, 4, 11, 12, 19, 20, 27, 28, 35, 36]
    assert train == [*range(2), *range(6, 10), *range(14, 18), *range(22, 26), *range(30, 34), 38, 39]


@pytest.mark.parametrize(
    ("length", "gap", "enough"),
    [(1, 1, 30), (3, 1, 30), (16, 1, 30), (29, 1, 30), (38, 1, 40), (39, 1, 40), (3, 0, 10), (9, 0, 10)],
)
def test_a_list_of_which_less_than_half_would_train_is_refused(length, gap, enough):
    sentence = f"needs at least {enough} training images, or less than half .*; there are {length}"
    with pytest.raises(InputError, match=sentence):
        development(length, gap)
    assert len(development(enough, gap)[0]) >= enough / 2


def test_a_part_is_a_data_set():
    part = Part(Frames(9), [4, 2])
    assert (len(part), part.name_of(1), part.classes) == (2, "2", ("a", "b"))
    assert part[0]["segmentation"][0, 0] == 4
    assert len(part.fingerprint()) == 12
    assert part.fingerprint() != Part(Frames(9), [2, 4]).fingerprint()
    with pytest.raises(IndexError):
        part[2]


@given(
    counts=st.lists(st.integers(20, 60), min_size=1, max_size=5),
    fraction=st.sampled_from([0.05, 0.1, 0.2, 0.5, 1.0]),
    shuffle=st.randoms(),
)
def test_a_fraction_keeps_every_classs_proportion(counts, fraction, shuffle):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    shuffle.shuffle(labels)
    kept = stratified(labels, fraction, [str(label) for label in range(len(counts))])
    assert kept == sorted(set(kept))
    found = Counter(labels[index] for index in kept)
    for label, count in enumerate(counts):
        assert abs(found[label] - fraction * count) <= 0.5


def test_a_fraction_is_the_same_every_time_and_lies_in_every_larger_one():
    labels = [index % 3 for index in range(120)]
    small, middle, large = (stratified(labels, fraction, "abc") for fraction in (0.05, 0.2, 0.5))
    assert small == stratified(labels, 0.05, "abc")
    assert set(small) < set(middle) < set(large)
    assert small != list(range(len(small)))


def test_a_fraction_that_empties_a_class_is_refused_by_its_name():
    with pytest.raises(InputError, match=r"none of the 4 training images of the class fox; take at least 0\.125"):
        stratified([0] * 40 + [1] * 4, 0.1, ["cat", "fox"])
    assert len(stratified([0] * 40 + [1] * 4, 0.125, ["cat", "fox"])) == 6


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    samples_per_class=st.integers(2, 4),
    seed=st.integers(0, 99),
)
def test_images_of_a_class_stand_together_and_each_comes_once(counts, samples_per_class, seed):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    order = Order([len(labels)], 1, 2 * len(labels), seed=seed, labels=[labels], samples_per_class=samples_per_class)
    keys = [key for batch in order for key in batch]
    for epoch in (0, 1):
        indices = [index for _, number, index in keys if number == epoch]
        assert sorted(indices) == list(range(len(labels)))
        at = 0
        while at < len(indices):
            label = labels[indices[at]]
            # A run is full, or it holds what full runs of its class have left over.
            run = min(samples_per_class, sum(labels[index] == label for index in indices[at:]))
            full = {labels[index] for index in indices[at : at + samples_per_class]} == {label}
            run = run if full else counts[label] % samples_per_class
            assert {labels[index] for index in indices[at : at + run]} == {label}
            at += run
