"""Regions of an image: how they are drawn for training, listed for scoring, and put into batches."""

from collections import Counter

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.ops import box_iou

from mtlkit.data.regions import RegionSampling, every_region
from mtlkit.data.samples import Sample, collate
from mtlkit.data.transforms import MEAN_COLOUR, fitted
from mtlkit.tasks import Attributes, RegionDetection
from mtlkit.tasks.region_detection import RegionTruth

SIZE = (60, 80)
SEEDS = st.integers(0, 999)
TASKS = (RegionDetection(classes=tuple(map(str, range(20)))), Attributes(attributes=tuple("abcde")))


def boxes(rows, size=SIZE) -> tv_tensors.BoundingBoxes:
    return tv_tensors.BoundingBoxes(
        torch.as_tensor(rows, dtype=torch.float32).reshape(-1, 4), format="XYXY", canvas_size=size
    )


def coded(objects, proposals=(), size=SIZE, seed=0) -> Sample:
    """An image whose red is the column and whose green is the row, with objects of various classes."""
    row, column = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    generator = torch.Generator().manual_seed(seed)
    count = len(objects)
    return {
        "image": tv_tensors.Image(torch.stack((column, row, torch.full_like(row, 200))).to(torch.uint8)),
        "boxes": boxes(objects, size),
        "proposals": boxes(proposals, size),
        "detection": torch.randint(0, 20, (count,), generator=generator),
        "attributes": torch.randint(0, 2, (count, 5), generator=generator).to(torch.uint8),
    }


def crowded(seed: int, objects: int = 3, proposals: int = 200, size=SIZE) -> Sample:
    """Objects anywhere, a third of the proposals near one of them."""
    generator = torch.Generator().manual_seed(seed)

    def anywhere(count):
        sides = 8 + torch.rand(count, 2, generator=generator) * 22
        corner = torch.rand(count, 2, generator=generator) * (torch.tensor(size[::-1]) - sides)
        return torch.cat([corner, corner + sides], dim=1)

    truth, found = anywhere(objects), anywhere(proposals)
    near = proposals // 3
    shaken = truth[torch.randint(0, objects, (near,), generator=generator)]
    found[:near] = (shaken + torch.randn(near, 4, generator=generator) * 2).clamp(min=0)
    found[:, 2:] = torch.maximum(found[:, 2:], found[:, :2] + 1).minimum(torch.tensor(size[::-1]).float())
    return coded(truth, found, size, seed)


def drawn(sampling: RegionSampling, sample: Sample, seed: int = 0) -> Sample:
    torch.manual_seed(seed)
    return sampling(sample)


def plain(value: torch.Tensor) -> torch.Tensor:
    return value.as_subclass(torch.Tensor)


def mirrored(boxes: torch.Tensor) -> torch.Tensor:
    left, top, right, bottom = plain(boxes).unbind(1)
    return torch.stack((SIZE[1] - right, top, SIZE[1] - left, bottom), dim=1)


@settings(max_examples=50)
@given(seed=SEEDS, count=st.integers(1, 16).map(lambda quarter: 4 * quarter), flip=st.sampled_from([0.0, 1.0]))
def test_regions_stand_for_the_object_they_overlap_most_and_at_most_a_quarter_do(seed, count, flip):
    out = drawn(RegionSampling(size=SIZE, count=count, flip=flip), crowded(seed), seed)
    regions, matched = out["regions"], out["matched"]
    assert isinstance(regions, tv_tensors.BoundingBoxes)
    assert "proposals" not in out
    assert len(regions) == len(matched) <= count
    assert 1 <= (matched >= 0).sum() <= count // 4
    overlap = box_iou(plain(regions), plain(out["boxes"]))
    best, which = overlap.max(dim=1)
    there = matched >= 0
    assert torch.equal(matched[there], which[there])
    assert (best[there] >= 0.5).all()
    assert ((best[~there] >= 0.1) & (best[~there] < 0.5)).all()


@settings(max_examples=30)
@given(seed=SEEDS)
def test_every_region_is_drawn_once_and_is_a_proposal_or_an_object(seed):
    sample = crowded(seed)
    assert len({tuple(box) for box in sample["proposals"].tolist()}) == len(sample["proposals"])
    regions = [tuple(box) for box in drawn(RegionSampling(size=SIZE, flip=0), sample, seed)["regions"].tolist()]
    assert len(set(regions)) == len(regions)
    assert set(regions) <= {tuple(box) for name in ("boxes", "proposals") for box in sample[name].tolist()}


def test_every_proposal_has_its_turn():
    sample, seen = crowded(3), Counter()
    for seed in range(300):
        seen.update(tuple(box) for box in drawn(RegionSampling(size=SIZE, flip=0), sample, seed)["regions"].tolist())
    best = box_iou(plain(sample["proposals"]), plain(sample["boxes"])).max(dim=1).values
    eligible = {tuple(box) for box in sample["proposals"][best >= 0.1].tolist()}
    assert eligible <= set(seen)
    assert set(seen) <= eligible | {tuple(box) for box in sample["boxes"].tolist()}


def test_the_same_seed_draws_the_same():
    sampling, sample = RegionSampling(size=SIZE), crowded(5)
    first, again, other = (drawn(sampling, sample, seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(plain(first["regions"]), plain(other["regions"]))
    assert "proposals" in sample, "the sample itself stays"


@settings(max_examples=30)
@given(seed=SEEDS)
def test_a_mirror_keeps_regions_and_boxes_on_their_pixels(seed):
    sample = crowded(seed)
    out = drawn(RegionSampling(size=SIZE, flip=1), sample, seed)
    assert torch.equal(plain(out["image"]), plain(sample["image"]).flip(-1))
    sources = torch.cat([plain(sample["boxes"]), plain(sample["proposals"])])
    apart = (mirrored(out["regions"])[:, None] - sources).abs().amax(dim=2)
    assert apart.min(dim=1).values.max() < 1e-4
    assert torch.allclose(mirrored(out["boxes"]), plain(sample["boxes"]), atol=1e-4)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_mirror_happens_as_often_as_asked(flip):
    outs = [drawn(RegionSampling(size=SIZE, flip=flip), crowded(0), seed)["image"][0, 0, 0] for seed in range(5)]
    assert all(int(red) == (SIZE[1] - 1 if flip else 0) for red in outs)
    some = [int(drawn(RegionSampling(size=SIZE), crowded(0), seed)["image"][0, 0, 0]) > 0 for seed in range(100)]
    assert 30 < sum(some) < 70


def test_few_proposals_give_few_regions():
    object_, half, far = [10, 10, 30, 30], [10, 10, 30, 16], [60, 40, 78, 58]
    out = drawn(RegionSampling(size=SIZE, count=64, flip=0), coded([object_], [half, far]))
    assert sorted(out["regions"].tolist()) == sorted([object_, half])  # the far one overlaps nothing
    assert sorted(out["matched"].tolist()) == [-1, 0]


@pytest.mark.parametrize("edge", [0.5, 0.1])
def test_the_limits_belong_to_the_upper_side(edge):
    object_ = [0, 0, 20, 40]
    for share, kept in ((edge, {0.5: 0, 0.1: -1}[edge]), (edge - 0.025, {0.5: -1, 0.1: None}[edge])):
        out = drawn(RegionSampling(size=SIZE, count=8, flip=0), coded([object_], [[0, 0, 20, 40 * share]]))
        found = dict(zip(map(tuple, out["regions"].tolist()), out["matched"].tolist(), strict=True))
        assert found.get((0, 0, 20, 40 * share)) == kept


def test_an_image_without_a_proposal_has_its_objects():
    objects = [[0, 0, 20, 20], [40, 20, 70, 50]]
    sample = coded(objects)
    for out in (drawn(RegionSampling(size=SIZE, flip=0), sample), every_region(sample)):
        assert sorted(out["regions"].tolist()) == objects
        assert sorted(out["matched"].tolist()) == [0, 1]
    batch = collate([every_region(sample)], TASKS)
    assert torch.equal(batch.targets["attributes"], sample["attributes"])


def test_more_objects_than_a_quarter_of_the_regions_take_turns():
    objects = [[10 * column, 10 * row, 10 * column + 9, 10 * row + 9] for row in range(5) for column in range(6)]
    seen = set()
    for seed in range(40):
        out = drawn(RegionSampling(size=SIZE, count=16, flip=0), coded(objects), seed)
        assert len(out["regions"]) == 4
        seen |= set(out["matched"].tolist())
    assert seen == set(range(30))


def test_an_image_without_an_object_is_background_or_nothing():
    out = drawn(RegionSampling(size=SIZE), coded([], [[0, 0, 20, 20]]))
    assert (out["matched"] < 0).all()


def test_scoring_looks_at_every_proposal_and_then_at_every_object():
    sample = crowded(7)
    out = every_region(sample)
    assert torch.equal(plain(out["regions"]), torch.cat([plain(sample["proposals"]), plain(sample["boxes"])]))
    assert out["matched"].tolist() == [-1] * len(sample["proposals"]) + list(range(len(sample["boxes"])))
    assert isinstance(out["regions"], tv_tensors.BoundingBoxes)
    assert "proposals" in sample
    assert "proposals" not in out


@settings(max_examples=40)
@given(seed=SEEDS, objects=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_batch_keeps_images_objects_and_attributes_together(seed, objects):
    sampling = RegionSampling(size=SIZE, count=12)
    samples = [drawn(sampling, crowded(seed + row, count), seed + row) for row, count in enumerate(objects)]
    batch = collate(samples, TASKS)
    truth = batch.targets["detection"]
    assert isinstance(truth, RegionTruth)
    assert batch.images.shape == (len(samples), 3, *SIZE)
    assert torch.equal(batch.regions, truth.regions)
    assert torch.equal(batch.rows["detection"], torch.arange(len(batch.regions)))
    for name, found in (("regions", truth.regions), ("boxes", truth.boxes)):
        assert found[:, 0].tolist() == [row for row, sample in enumerate(samples) for _ in sample[name]]
        assert torch.equal(found[:, 1:], torch.cat([plain(sample[name]) for sample in samples]))
    assert torch.equal(truth.labels, torch.cat([s["detection"] for s in samples]))

    there = truth.matched >= 0
    assert torch.equal(there, torch.cat([s["matched"] for s in samples]) >= 0)
    of = truth.boxes[truth.matched[there]]
    assert torch.equal(of[:, 0], truth.regions[there, 0]), "an object of another image"
    overlap = box_iou(truth.regions[there, 1:], of[:, 1:]).diagonal()
    assert (overlap >= 0.5).all()

    assert torch.equal(batch.rows["attributes"], there.nonzero()[:, 0])
    own = torch.cat([s["attributes"][s["matched"][s["matched"] >= 0]] for s in samples])
    assert torch.equal(batch.targets["attributes"], own)


def test_moving_a_batch_keeps_its_targets_what_they_are():
    batch = collate([drawn(RegionSampling(size=SIZE), crowded(1))], TASKS)
    moved = batch.to(torch.device("meta"))
    truth = moved.targets["detection"]
    assert isinstance(truth, RegionTruth)
    assert {tensor.device.type for tensor in (*truth, moved.regions, moved.images, *moved.rows.values())} == {"meta"}
    assert [tensor.shape for tensor in truth] == [tensor.shape for tensor in batch.targets["detection"]]
    if torch.cuda.is_available():
        pinned = batch.pin_memory()
        assert isinstance(pinned.targets["detection"], RegionTruth)
        assert pinned.targets["detection"].regions.is_pinned()


def test_a_batch_of_background_alone_has_no_row_of_attributes():
    sample = coded([[0, 0, 20, 40]], [[0, 0, 20, 12]])
    out = drawn(RegionSampling(size=SIZE, count=8, foreground=0, flip=0), sample)
    batch = collate([out, out], TASKS)
    assert batch.targets["attributes"].shape == (0, 5)
    assert batch.rows["attributes"].tolist() == []
    assert batch.targets["detection"].matched.tolist() == [-1, -1]


def test_the_targets_of_one_task_are_enough():
    for task in ("detection", "attributes"):
        sample = crowded(2)
        del sample[{"detection": "attributes", "attributes": "detection"}[task]]
        batch = collate([drawn(RegionSampling(size=SIZE), sample)], TASKS)
        assert list(batch.targets) == list(batch.rows) == [task]


@settings(max_examples=60)
@given(
    side=st.tuples(st.integers(20, 120), st.integers(20, 120)),
    size=st.tuples(st.integers(20, 120), st.integers(20, 120)),
    seed=SEEDS,
)
def test_a_fitted_image_keeps_its_proportions_and_its_boxes(side, size, seed):
    scale = min(size[0] / side[0], size[1] / side[1])
    assume(min(side) * scale >= 4)
    generator = torch.Generator().manual_seed(seed)
    left, top = (int(torch.randint(0, most - 8, (1,), generator=generator)) for most in side[::-1])
    wide, high = (
        int(torch.randint(8, most - least + 1, (1,), generator=generator))
        for most, least in zip(side[::-1], (left, top), strict=True)
    )
    box = [left, top, left + wide, top + high]
    sample = coded([box], [box], side)
    sample["image"] = tv_tensors.Image(torch.zeros(3, *side, dtype=torch.uint8))
    sample["image"][:, top : top + high, left : left + wide] = 255
    out = fitted(sample, size)
    assert out["image"].shape == (3, *size)
    assert isinstance(out["boxes"], tv_tensors.BoundingBoxes)
    assert tuple(out["boxes"].canvas_size) == size

    inside = [min(most, max(1, round(length * scale))) for most, length in zip(size, side, strict=True)]
    assert max(inside[0] / size[0], inside[1] / size[1]) == 1, "one side is filled"
    assert abs(inside[0] / scale - side[0]) <= 0.5 / scale + 1e-6, "no other change of proportions than rounding"
    assert abs(inside[1] / scale - side[1]) <= 0.5 / scale + 1e-6
    grey = torch.tensor(MEAN_COLOUR, dtype=torch.uint8)[:, None, None]
    assert (out["image"][:, inside[0] :] == grey).all()
    assert (out["image"][:, :, inside[1] :] == grey).all()

    ratio = torch.tensor([inside[1] / side[1], inside[0] / side[0]] * 2)
    for name in ("boxes", "proposals"):
        assert torch.allclose(plain(out[name])[0], torch.tensor(box) * ratio, atol=1e-3)
    white = out["image"][0, : inside[0], : inside[1]].double() / 255
    for axis, (low, high) in enumerate((plain(out["boxes"])[0, [0, 2]], plain(out["boxes"])[0, [1, 3]])):
        profile = white.amax(axis)
        centre = (profile * (torch.arange(len(profile)) + 0.5)).sum() / profile.sum()
        assert abs(float(centre) - float(low + high) / 2) < 1 + 0.5 / scale, "the box lies on its pixels"


def test_an_image_that_fits_already_stays():
    sample = crowded(0)
    out = fitted(sample, SIZE)
    assert all(torch.equal(plain(out[name]), plain(sample[name])) for name in sample)
