"""Measures on draws of the test images equal the measures of these images, drawn."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlkit.data.samples import IGNORE
from mtlkit.errors import InputError
from mtlkit.evaluations.scoring import Groups, Scores
from mtlkit.metrics.angles import BINS, STEP
from mtlkit.metrics.base import ImageMetric
from mtlkit.metrics.bootstrap import draws, group_key, interval
from mtlkit.metrics.calorie_errors import CalorieErrors
from mtlkit.retrieval import NeighbourHits
from mtlkit.tasks import (
    Age,
    Attributes,
    Calories,
    CenterDetection,
    Classification,
    CodedNormals,
    Depth,
    Normals,
    RegionDetection,
    Segmentation,
)
from mtlkit.tasks.center_detection import Objects
from mtlkit.tasks.detections import Found
from mtlkit.tasks.region_detection import RegionTruth

IMAGES = 5


def vectors(generator):
    target = F.normalize(torch.randn(IMAGES, 3, 6, 8, generator=generator), dim=1)
    target[torch.rand(IMAGES, 6, 8, generator=generator).unsqueeze(1).expand_as(target) < 0.1] = 0
    return target


def each(metric, *tensors):
    """A fresh metric, and what it takes image by image."""
    return metric, [tuple(tensor[i : i + 1] for tensor in tensors) for i in range(len(tensors[0]))]


def normals(generator):
    return each(Normals().metric, torch.randn(IMAGES, 3, 3, 4, generator=generator), vectors(generator))


def coded_normals(generator):
    words = tuple(map(tuple, F.normalize(torch.randn(7, 3, generator=generator), dim=1).tolist()))
    output = torch.randn(IMAGES, 7, 3, 4, generator=generator)
    return each(CodedNormals(words=words).metric, output, vectors(generator))


def segmentation(generator):
    target = torch.randint(0, 4, (IMAGES, 6, 8), generator=generator).to(torch.uint8)
    target[torch.rand(target.shape, generator=generator) < 0.2] = IGNORE
    return each(Segmentation(classes=tuple("abcd")).metric, torch.randn(IMAGES, 4, 3, 4, generator=generator), target)


def depth(generator):
    output, target = (5 * torch.rand(IMAGES, *shape, generator=generator) for shape in ((1, 3, 4), (6, 8)))
    return each(Depth().metric, output, target * (target > 0.5))


def age(generator):
    output = 4 * torch.randn(IMAGES, 100, generator=generator)
    return each(Age().metric, output, torch.randint(0, 100, (IMAGES,), generator=generator))


def classification(generator):
    task, output = Classification(name="kind", classes=7), torch.randn(IMAGES, 7, generator=generator)
    return each(task.metric, output, torch.randint(0, 7, (IMAGES,), generator=generator))


def calories(generator):
    truth = 1000 * torch.rand(IMAGES, generator=generator)
    return each(Calories(unit=400).metric, torch.randn(IMAGES, 1, generator=generator), truth)


def estimates(generator):
    return each(CalorieErrors, *(1000 * torch.rand(2, IMAGES, generator=generator)))


def neighbours(generator):
    database = torch.randint(0, 3, (20,), generator=generator)
    indices = torch.stack([torch.randperm(20, generator=generator)[:10] for _ in range(IMAGES)])
    queries = torch.randint(0, 3, (IMAGES,), generator=generator)
    return NeighbourHits, [(queries[i, None], database, indices[i, None]) for i in range(IMAGES)]


def attributes(generator):
    """An image has several objects, or none."""
    task, parts = Attributes(attributes=tuple("abc")), []
    for count in (2, 0, 1, 3, 2):
        target = torch.randint(0, 2, (count, 3), generator=generator)
        parts.append((torch.randn(count, 3, generator=generator), target))
    return task.metric, parts


def boxes(count, generator):
    corners = 20 * torch.rand(count, 2, generator=generator)
    return torch.cat([corners, corners + 5 + 10 * torch.rand(count, 2, generator=generator)], 1)


def regions(generator):
    task, parts = RegionDetection(classes=tuple("abc")), []
    for objects in (2, 0, 1, 3, 1):
        truth, proposed = boxes(objects, generator), boxes(6, generator)
        proposed[:objects] = truth + 0.5
        row = torch.zeros(len(proposed), 1)
        matched = torch.full((len(proposed),), -1)
        labels = torch.randint(0, 3, (objects,), generator=generator)
        target = RegionTruth(
            torch.cat([row, proposed], 1), matched, torch.cat([row[:objects], truth], 1), labels
        )  # fmt: skip
        parts.append((3 * torch.randn(len(proposed), task.outputs, generator=generator) * 0.3, target))
    return task.metric, parts


def centers(generator):
    task = CenterDetection(classes=tuple("ab"), joints=tuple("xyz"), sigmas=(0.1, 0.1, 0.1))
    parts = []
    for objects in (2, 0, 1, 3, 1):
        truth = boxes(objects, generator)
        joints = torch.cat([30 * torch.rand(objects, 3, 2, generator=generator), torch.ones(objects, 3, 1)], 2)
        target = Objects(
            truth,
            torch.randint(0, 2, (objects,), generator=generator),
            torch.zeros(objects, dtype=torch.int64),
            torch.rand(objects, generator=generator) < 0.2,
            (truth[:, 2:] - truth[:, :2]).prod(1),
            joints,
            torch.tensor(1),
        )
        guess = torch.cat([truth + torch.randn(objects, 4, generator=generator), boxes(4, generator)])
        poses = torch.cat([joints + torch.randn(joints.shape, generator=generator), torch.rand(4, 3, 3) * 30])
        # Different scores: of equal ones in an image, those of its second copy would rank between those of the first.
        scores, labels = torch.rand(len(guess), generator=generator), torch.randint(0, 2, (len(guess),))
        parts.append((Found(guess[None], scores[None], labels[None], poses[None]), target))
    return task.metric, parts


CASES = [
    normals, coded_normals, segmentation, depth, age, classification, calories, estimates, neighbours, attributes,
    regions, centers,
]  # fmt: skip


def scored(metric, parts, images=None):
    """A metric that has taken each part as one image, which numbers its rows or its one image."""
    found = metric()
    for place, part in enumerate(parts):
        rows = 1 if isinstance(part[-1], tuple) or len(part) == 3 else len(part[-1])
        found.update(*part, image=torch.full((rows,), place if images is None else images[place]))
    return found


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=8)
@given(st.integers(0, 10_000))
def test_a_draw_measures_what_the_drawn_images_do(case, seed):
    metric, parts = case(torch.Generator().manual_seed(seed))
    whole = scored(metric, parts)
    times = np.random.default_rng(seed).multinomial(IMAGES, [1 / IMAGES] * IMAGES, size=3)
    found = whole.resampled(times)
    assert found.keys() <= whole.compute().keys()
    for draw, counts in enumerate(times):
        places = np.repeat(np.arange(IMAGES), counts)
        for name, expected in scored(metric, [parts[place] for place in places]).compute().items():
            if name in found:
                assert found[name][draw] == pytest.approx(expected, abs=1e-4, nan_ok=True), name


@pytest.mark.parametrize("case", CASES)
def test_every_measure_has_a_value_and_a_bootstrap_but_for_counts(case):
    metric, parts = case(torch.Generator().manual_seed(1))
    whole = scored(metric, parts)
    missing = whole.compute().keys() - whole.resampled(np.ones((2, IMAGES))).keys()
    assert {name for name in missing if "averaged" not in name and name != "floored"} == set()


@pytest.mark.parametrize("case", CASES)
def test_states_gathered_from_two_processes_give_the_same(case):
    metric, parts = case(torch.Generator().manual_seed(2))
    whole = scored(metric, parts)
    # As two processes would have it: every second image each.
    halves = [scored(metric, parts[rank::2], list(range(rank, IMAGES, 2))) for rank in range(2)]
    copies, names = copy.deepcopy(halves), list(halves[0]._reductions)

    def gather(tensor, group=None):
        """Torchmetrics asks for one state after the other, in their order."""
        name = names.pop(0)
        return [torch.cat([half._empty[name], *getattr(half, name)]) for half in copies]

    halves[0].sync(dist_sync_fn=gather, distributed_available=lambda: True)
    for name, (value,) in halves[0].measures(np.ones((1, IMAGES))).items():
        assert value == pytest.approx(whole.compute()[name], nan_ok=True), name


def test_images_can_be_numbered_afterwards():
    metric, parts = segmentation(torch.Generator().manual_seed(3))
    order = [3, 0, 4, 1, 2]
    plain, numbered = metric(), scored(metric, [parts[place] for place in order], order)
    for place in order:
        plain.update(*parts[place])
    plain.renumber(torch.tensor(order))
    times = np.array([[0, 1, 2, 0, 2]])
    assert plain.resampled(times) == numbered.resampled(times) == scored(metric, parts).resampled(times)
    with pytest.raises(InputError, match="4 numbers do not fit the 5 images"):
        plain.renumber(torch.arange(4))


@pytest.mark.parametrize("case", CASES)
def test_forward_scores_a_batch_alone_and_adds_its_images(case):
    metric, parts = case(torch.Generator().manual_seed(4))
    whole, forward = metric(), metric()
    for part in parts:
        whole.update(*part)
        alone = metric()
        alone.update(*part)
        np.testing.assert_equal(forward(*part), alone.compute())
    times = np.random.default_rng(0).integers(0, 3, (3, whole.images))
    np.testing.assert_equal(forward.resampled(times), whole.resampled(times))
    forward.reset()
    assert forward.images == 0


@pytest.mark.parametrize("case", CASES)
def test_merged_images_follow_and_given_numbers_stay(case):
    metric, parts = case(torch.Generator().manual_seed(5))
    whole, first, second = metric(), metric(), metric()
    for part, half in zip(parts, [first, first, second, second], strict=False):
        half.update(*part)
    first.merge_state(second)
    first.update(*parts[4])
    for part in parts:
        whole.update(*part)
    times = np.random.default_rng(0).integers(0, 3, (3, whole.images))
    np.testing.assert_equal(first.resampled(times), whole.resampled(times))
    whole = scored(metric, parts)
    low, high = scored(metric, parts[:3]), scored(metric, parts[3:], [3, 4])
    low.merge_state(high)
    times = np.random.default_rng(0).integers(0, 3, (3, IMAGES))
    np.testing.assert_equal(low.resampled(times), whole.resampled(times))


def test_images_that_share_a_number_are_not_drawn():
    metric, parts = depth(torch.Generator().manual_seed(6))
    twice = scored(metric, parts[:3])
    twice.merge_state(scored(metric, parts[3:]))
    assert twice.compute() == pytest.approx(scored(metric, parts).compute())
    with pytest.raises(InputError, match="Some of the 5 images that DepthErrors scored share a number"):
        twice.resampled(np.ones((1, 3)))
    with pytest.raises(InputError, match="DepthErrors takes the images of another DepthErrors, not of a CalorieErrors"):
        twice.merge_state(CalorieErrors())
    with pytest.raises(InputError, match=r"numbering of images for DepthErrors has the shape \(2,\); .* \(1,\)"):
        twice.update(*parts[0], image=torch.arange(2))


@pytest.mark.parametrize("case", CASES)
def test_numbering_in_order_looks_at_no_earlier_image(case, monkeypatch):
    metric, parts = case(torch.Generator().manual_seed(7))
    found = metric()
    with monkeypatch.context() as patch:
        patch.setattr(ImageMetric, "images", property(lambda self: pytest.fail("looked at what was stored")))
        for part in parts:
            found.update(*part)
    assert found.gathered("image").tolist() == list(range(found.images))


@pytest.mark.parametrize(
    "case", [segmentation, depth, age, classification, calories, estimates, attributes, regions, centers]
)
def test_what_is_not_a_number_has_no_score(case):
    metric, parts = case(torch.Generator().manual_seed(8))
    (output, *rest), found = parts[0], metric()
    (output.scores if isinstance(output, Found) else output)[0] = torch.nan
    with pytest.raises(InputError, match="NaN"):
        found(output, *rest)


def test_medians_are_right_to_half_a_step():
    generator = torch.Generator().manual_seed(0)
    target = F.normalize(torch.randn(4, 3, 120, 160, generator=generator), dim=1)
    prediction = target + 0.5 * torch.randn(target.shape, generator=generator)
    metric = Normals().metric()
    metric.update(prediction, target)
    cosine = (F.normalize(prediction.double(), dim=1) * F.normalize(target.double(), dim=1)).sum(1)
    exact = float(np.median(torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).numpy()))
    assert metric.compute()["decoded/median"] == pytest.approx(exact, abs=STEP / 2 + 1e-3)


def test_states_of_normals_do_not_grow_with_the_image():
    sizes = []
    for side in (8, 64):
        metric, target = Normals().metric(), torch.ones(2, 3, side, side)
        metric.update(target, target)
        states = [part for name in metric._empty for part in getattr(metric, name)]
        sizes.append(sum(part.numel() * part.element_size() for part in states))
    assert sizes[0] == sizes[1] == 2 * (2 * (5 * 8 + BINS * 4) + 8)


def test_draws_are_the_same_for_the_same_images():
    once, again = (np.concatenate(list(draws([*"abcdeab"], 50))) for _ in range(2))
    assert (once == again).all()
    assert (once[:, 0] == once[:, 5]).all()
    assert (once[:, :5].sum(1) == 5).all()


def test_a_key_tells_groupings_apart():
    assert group_key([*"aab"]) == group_key([*"aab"]) != group_key([*"abb"])
    assert group_key(["ab", "c"]) != group_key(["a", "bc"])


def test_scores_hold_draws_where_there_are_two_groups():
    task = Segmentation(classes=tuple("abcdefg"))
    generator = torch.Generator().manual_seed(0)
    metric = task.metric()
    metric.update(torch.randn(5, 7, 3, 4, generator=generator), torch.randint(0, 7, (5, 6, 8), generator=generator))
    assert Scores.of({"segmentation": metric}).resampled == {}
    groups = Groups("run of frames", [*"aabcd"])
    found = Scores.of({"segmentation": metric}, {"segmentation": groups})
    # Of many classes a class's own measures would fill the record.
    assert set(found.resampled) == {"segmentation/miou", "segmentation/fwiou", "segmentation/pixel_accuracy"}
    low, high = interval(np.array(found.resampled["segmentation/miou"]))
    assert low < found.metrics["segmentation/miou"] < high
    drawn = found.drawn["segmentation"]
    assert (drawn.of, drawn.groups, drawn.key) == ("run of frames", 4, group_key([*"aabcd"]))
    with pytest.raises(InputError, match="at least two"):
        next(draws(["a", "a"]))
