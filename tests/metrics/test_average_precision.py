import math
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.classification import BinaryAveragePrecision, BinaryPrecisionRecallCurve
from torchvision.ops import box_iou

from mtlkit.errors import InputError
from mtlkit.metrics.average_precision import DetectionAP, LabelAP, average_precision

NAMES = ("cow", "dog", "boat", "train")
SEEDS = st.integers(0, 999)
Image = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def score(images: list[Image]) -> dict[str, float]:
    metric = DetectionAP(NAMES)
    for image in images:
        metric.update(*image)
    return metric.compute()


def boxes_in(rng: np.random.Generator, count: int, size: float = 30) -> torch.Tensor:
    corner, sides = rng.uniform(0, size, (count, 2)), rng.uniform(size / 3, size, (count, 2))
    return torch.from_numpy(np.concatenate((corner, corner + sides), axis=1))


def crowded(seed: int, images: int = 3, classes: int = 3) -> list[Image]:
    """Objects and detections that overlap at random; all scores differ."""
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.permutation(images * 12).reshape(images, 12) / 100)
    found = []
    for row in scores:
        objects, detections = rng.integers(0, 5), rng.integers(0, 13)
        truth, labels = boxes_in(rng, objects), torch.from_numpy(rng.integers(0, classes, objects))
        boxes = boxes_in(rng, detections)
        given = torch.from_numpy(rng.integers(0, classes, detections))
        for index in range(detections // 2 if objects else 0):  # half of them near an object, mostly of its class
            near = int(rng.integers(objects))
            boxes[index] = truth[near] + torch.from_numpy(rng.normal(0, 1.5, 4))
            given[index] = labels[near]
        found.append((boxes, row[:detections], given, truth, labels))
    return found


def by_the_kit(images: list[Image], label: int) -> tuple[float, float]:
    """VOCevaldet step by step, in fractions: 11 points and the whole area of one class."""
    every = sorted(
        ((-float(s), n, i) for n, p in enumerate(images) for i, s in enumerate(p[1]) if p[2][i] == label),
    )
    positives = sum(int((p[4] == label).sum()) for p in images)
    taken: set[tuple[int, int]] = set()
    curve, right = [], 0
    for rank, (_, n, i) in enumerate(every, 1):
        boxes, _, _, truth, labels = images[n]
        best, which = 0.0, -1
        for j in range(len(truth)):
            overlap = float(box_iou(boxes[i : i + 1], truth[j : j + 1]))
            if labels[j] == label and overlap > best:
                best, which = overlap, j
        if best >= 0.5 and (n, which) not in taken:
            taken.add((n, which))
            right += 1
        curve.append((Fraction(right, positives), Fraction(right, rank)))
    highest = [max((p for r, p in curve if r >= Fraction(t, 10)), default=Fraction(0)) for t in range(11)]
    steps = [max((p for r, p in curve if r >= Fraction(k, positives)), default=0) for k in range(1, positives + 1)]
    return 100 * float(sum(highest) / 11), 100 * float(Fraction(sum(steps)) / positives)


@settings(max_examples=50)
@given(seed=SEEDS)
def test_detections_are_matched_and_scored_as_the_kit_does(seed):
    images = crowded(seed)
    found = score(images)
    there = sorted({int(label) for image in images for label in image[4]})
    expected = {label: by_the_kit(images, label) for label in there}
    for label, (eleven, whole) in expected.items():
        assert found[f"ap/{NAMES[label]}"] == pytest.approx(eleven)
        assert found[f"ap_all/{NAMES[label]}"] == pytest.approx(whole)
    assert found["classes_averaged"] == len(there)
    assert math.isnan(found["ap/train"])
    if there:
        assert found["map"] == pytest.approx(np.mean([eleven for eleven, _ in expected.values()]))
        assert found["map_all"] == pytest.approx(np.mean([whole for _, whole in expected.values()]))


def apart(seed: int) -> list[Image]:
    """Objects of a class never touch, so a detection can match one of them only: there VOC's rule is COCO's.

    Every class has 1 to 6 objects or none, and detections all the same.
    """
    rng = np.random.default_rng(seed)
    scores = iter(rng.permutation(1000) / 1000)
    counts = [*rng.integers(1, 7, 2), 0, rng.integers(1, 7)]
    where = [rng.integers(0, 3, count) for count in counts]
    images = []
    for number in range(3):
        boxes, labels, truth, truth_labels = [], [], [], []
        for label, pictures_of in enumerate(where):
            cells = rng.permutation(9)[: int((pictures_of == number).sum())]
            for cell in cells:
                corner = np.array([cell % 3, cell // 3]) * 40 + rng.uniform(0, 10, 2)
                truth.append([*corner, *(corner + rng.uniform(15, 28, 2))])
                truth_labels.append(label)
                for _ in range(rng.integers(0, 3)):
                    boxes.append(truth[-1] + rng.normal(0, 2.5, 4))
                    labels.append(label)
            for box in boxes_in(rng, int(rng.integers(0, 3)), 60).numpy():
                boxes.append(box)
                labels.append(label)
        given = torch.tensor([next(scores) for _ in boxes])
        images.append(
            (
                torch.tensor(np.array(boxes).reshape(-1, 4)).float(),
                given.float(),
                torch.tensor(labels, dtype=torch.int64),
                torch.tensor(np.array(truth).reshape(-1, 4)).float(),
                torch.tensor(truth_labels, dtype=torch.int64),
            )
        )
    return images


@pytest.mark.parametrize("seed", range(6))
def test_detections_equal_torchmetrics_where_the_rules_agree(seed):
    from torchmetrics.detection import MeanAveragePrecision

    images = apart(seed)
    found = score(images)
    # The precision is constant between two counts of objects, and 60 is a multiple of each: the mean over the middles
    # of 60 steps of recall is the whole area.
    grids = {"": [k / 10 for k in range(11)], "_all": [(k + 0.5) / 60 for k in range(60)]}
    for suffix, grid in grids.items():
        theirs = MeanAveragePrecision(
            iou_thresholds=[0.5], rec_thresholds=grid, class_metrics=True, backend="faster_coco_eval"
        )
        for boxes, scores, labels, truth, truth_labels in images:
            detections = {"boxes": boxes, "scores": scores, "labels": labels}
            theirs.update([detections], [{"boxes": truth, "labels": truth_labels}])
        expected = theirs.compute()
        assert found[f"map{suffix}"] == pytest.approx(100 * float(expected["map"]), abs=1e-4)
        for label, value in zip(expected["classes"].tolist(), expected["map_per_class"].tolist(), strict=True):
            if value >= 0:  # -1: no object of the class
                assert found[f"ap{suffix}/{NAMES[label]}"] == pytest.approx(100 * value, abs=1e-4)
            else:
                assert math.isnan(found[f"ap{suffix}/{NAMES[label]}"])
    assert found["classes_averaged"] == 3
    assert 0 < found["map"] < 100


def test_a_second_detection_of_an_object_is_wrong_even_if_it_would_do_for_another():
    truth = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 15]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 11]])  # both overlap the first object more
    assert (box_iou(boxes, truth) >= 0.5).all()
    found = score([(boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 0]), truth, torch.tensor([0, 0]))])
    assert found["ap_all/cow"] == pytest.approx(50)  # COCO's rule would say 100


def test_an_overlap_of_exactly_a_half_counts_and_coordinates_are_continuous():
    truth, labels = torch.tensor([[0.0, 0, 1, 2]]), torch.tensor([1])
    half, less = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[0.0, 0, 1, 0.99]])
    assert score([(half, torch.ones(1), labels, truth, labels)])["map"] == 100
    assert score([(less, torch.ones(1), labels, truth, labels)])["map"] == 0  # 2 / 3 with the kit's 1 added
    flat = torch.zeros(1, 4)
    assert score([(flat, torch.ones(1), labels, flat, labels)])["map"] == 0


@given(seed=SEEDS)
def test_perfect_detections_score_100(seed):
    images = [(truth, torch.rand(len(truth)), labels, truth, labels) for _, _, _, truth, labels in crowded(seed)]
    found = score(images)
    if found["classes_averaged"]:
        assert found["map"] == found["map_all"] == pytest.approx(100)


@settings(max_examples=50)
@given(seed=SEEDS, data=st.data())
def test_the_order_of_images_and_detections_does_not_matter(seed, data):
    images = crowded(seed)
    shuffled = []
    for boxes, scores, labels, truth, truth_labels in data.draw(st.permutations(images)):
        order = torch.tensor(data.draw(st.permutations(range(len(boxes)))), dtype=torch.int64)
        shuffled.append((boxes[order], scores[order], labels[order], truth, truth_labels))
    assert score(shuffled) == pytest.approx(score(images), nan_ok=True)


@settings(max_examples=50)
@given(seed=SEEDS, data=st.data())
def test_a_less_sure_duplicate_never_raises_a_score(seed, data):
    images = crowded(seed)
    row = data.draw(st.integers(0, len(images) - 1))
    boxes, scores, labels, *truth = images[row]
    before = score(images)
    if len(boxes):
        twin = data.draw(st.integers(0, len(boxes) - 1))
        less = scores[twin] - data.draw(st.floats(0, 0.5))
        rows = torch.tensor([*range(len(boxes)), twin])
        images[row] = (boxes[rows], torch.cat((scores, less[None])), labels[rows], *truth)
        after = score(images)
        assert all(math.isnan(value) or after[name] <= value + 1e-9 for name, value in before.items())


@settings(max_examples=50)
@given(seed=SEEDS, data=st.data())
def test_removing_a_wrong_detection_never_lowers_a_score(seed, data):
    images = crowded(seed)
    before, metric = score(images), DetectionAP(NAMES)
    for image in images:
        metric.update(*image)
    wrong = [(row, i) for row, found in enumerate(metric.detections) for i, hit in enumerate(found[:, 2]) if not hit]
    if wrong:
        row, index = data.draw(st.sampled_from(wrong))
        boxes, scores, labels, *truth = images[row]
        rest = torch.arange(len(boxes)) != index
        images[row] = (boxes[rest], scores[rest], labels[rest], *truth)
        after = score(images)
        assert all(math.isnan(value) or after[name] >= value - 1e-9 for name, value in before.items())


def test_nothing_found_is_zero_and_nothing_to_find_is_not_a_number():
    none = (torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    box, label = torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([2])
    assert score([(*none, box, label)])["map"] == score([(*none, box, label)])["map_all"] == 0
    for images in ([], [(box, torch.ones(1), label, none[0], none[2])]):
        found = score(images)
        assert found.pop("classes_averaged") == 0
        assert all(math.isnan(value) for value in found.values())


def highest_of_the_curve(scores: torch.Tensor, hits: torch.Tensor) -> float:
    """The whole area from torchmetrics' curve: the precision at each recall raised to the highest beyond it."""
    precision, recall, _ = BinaryPrecisionRecallCurve()(scores, hits)
    highest = np.maximum.accumulate(precision[:-1].numpy())
    return 100 * float((highest * -np.diff(recall.numpy())).sum())


@given(seed=SEEDS, count=st.integers(1, 40))
def test_the_whole_area_is_under_torchmetrics_curve_made_monotone(seed, count):
    torch.manual_seed(seed)
    scores, hits = torch.randperm(count) / count, torch.randint(0, 2, (count,))
    hits[0] = 1
    found = average_precision(scores.numpy(), hits.numpy(), int(hits.sum()))
    assert found == pytest.approx(highest_of_the_curve(scores, hits), abs=1e-3)
    assert found >= 100 * float(BinaryAveragePrecision()(scores, hits)) - 1e-3


@given(strides=st.lists(st.integers(1, 4), min_size=1, max_size=6), more=st.integers(0, 5))
def test_the_whole_area_equals_torchmetrics_where_precision_only_falls(strides, more):
    places = [k * stride - 1 for k, stride in enumerate(accumulate(strides, max), 1)]  # precision 1/stride at each hit
    hits = torch.zeros(places[-1] + 1 + more, dtype=torch.int64)
    hits[places] = 1
    scores = torch.linspace(1, 0, len(hits))
    expected = 100 * float(BinaryAveragePrecision()(scores, hits))
    assert average_precision(scores.numpy(), hits.numpy(), len(places)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("found", range(11))
def test_a_recall_that_is_one_of_the_11_points_is_reached(found):
    scores, hits = np.arange(found)[::-1], np.ones(found, bool)
    assert average_precision(scores, hits, 10, 11) == pytest.approx(100 * (found + 1) / 11 if found else 0)
    assert average_precision(scores, hits, 10) == pytest.approx(10 * found)


def test_of_equal_scores_the_earlier_ranks_first():
    assert average_precision(np.zeros(40), np.arange(40) == 0, 1) == 100
    assert average_precision(np.zeros(40), np.arange(40) == 39, 1) == pytest.approx(2.5)


@settings(max_examples=50)
@given(seed=SEEDS, batches=st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_labels_are_averaged_over_the_attributes_that_occur(seed, batches):
    torch.manual_seed(seed)
    samples = sum(batches)
    outputs = torch.stack([torch.randperm(samples) / samples for _ in range(5)], dim=1)
    targets = torch.randint(0, 2, (samples, 5))
    targets[:, 1] = 0
    metric = LabelAP(tuple("abcde"))
    for output, target in zip(outputs.split(batches), targets.split(batches), strict=True):
        metric.update(output, target)
    found = metric.compute()
    occur = [a for a in range(5) if targets[:, a].any()]
    assert found["attributes_averaged"] == len(occur)
    if occur:
        whole = [highest_of_the_curve(outputs[:, a], targets[:, a]) for a in occur]
        assert found["map_all"] == pytest.approx(np.mean(whole), abs=1e-3)
        columns = [(outputs[:, a].numpy(), targets[:, a].numpy()) for a in occur]
        eleven = [average_precision(logits, hits, int(hits.sum()), 11) for logits, hits in columns]
        assert found["map"] == pytest.approx(np.mean(eleven))


@pytest.mark.parametrize("label", [-1, len(NAMES)])
@pytest.mark.parametrize(("place", "what"), [(2, "A detection"), (4, "An object")])
def test_a_label_outside_the_classes_is_refused(label, place, what):
    image = list(next(image for image in crowded(0) if len(image[4])))
    image[place] = torch.full_like(image[place], label)
    with pytest.raises(InputError, match=f"{what} has the class id {label}; of 4 classes ids should be 0 to 3"):
        score([tuple(image)])


def test_no_label_is_not_a_number():
    metric = LabelAP(("a", "b"))
    assert math.isnan(metric.compute()["map"])
    metric.update(torch.zeros(3, 2, requires_grad=True), torch.zeros(3, 2))
    found = metric.compute()
    assert math.isnan(found["map"])
    assert math.isnan(found["map_all"])
    assert found["attributes_averaged"] == 0
