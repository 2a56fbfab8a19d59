import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mtlkit.tasks import centers
from mtlkit.tasks.centers import (
    Peaks,
    boxes_at,
    detection_targets,
    focal_loss,
    gather,
    heat_map,
    joints_at,
    masked_l1,
    peaks,
    pose_targets,
    radius,
)

SEEDS = st.integers(0, 999)
SIDES = st.floats(1, 2000)
SHAPE = (3, 24, 32)  # images, height and width of the maps
STRIDE, CLASSES, JOINTS = 4, 3, 5


def objects(seed: int, count: int = 9) -> tuple[torch.Tensor, ...]:
    """Boxes, labels, images and joints of a batch; some boxes and joints reach beyond the image."""
    torch.manual_seed(seed)
    high = torch.tensor([SHAPE[2], SHAPE[1]]) * STRIDE
    corner = (torch.rand(count, 2) - 0.1) * high
    sides = torch.rand(count, 2) * high / 2 + 2
    place = corner[:, None] + torch.rand(count, JOINTS, 2) * sides[:, None]
    visible = torch.randint(0, 3, (count, JOINTS, 1))
    boxes = torch.cat([corner, corner + sides], 1)
    labels, image = torch.randint(0, CLASSES, (count,)), torch.randint(0, SHAPE[0], (count,))
    return boxes, labels, image, torch.cat([place, visible], -1)


def three_roots(h: float, w: float, o: float) -> list[tuple[float, float, int]]:
    """CornerNet's three cases: half the negated linear coefficient, half the discriminant's root, leading one."""
    equations = [
        (1, -(h + w), h * w * (1 - o) / (1 + o), -1),  # both corners the same way
        (4, -2 * (h + w), (1 - o) * h * w, -1),  # both inwards
        (4 * o, 2 * o * (h + w), (o - 1) * h * w, 1),  # both outwards
    ]
    return [(-b / 2, sign * math.sqrt(b * b - 4 * a * c) / 2, a) for a, b, c, sign in equations]


def test_radius_of_a_square_as_it_should_be_and_as_the_official_code_has_it():
    side = torch.tensor(100.0)
    assert float(radius(side, side)) == pytest.approx(8.17, abs=0.005)
    assert float(radius(side, side, official=True)) == pytest.approx(27.33, abs=0.005)


@given(h=SIDES, w=SIDES, overlap=st.floats(0.1, 0.9))
def test_radius_is_the_smallest_of_the_three_cases(h, w, overlap):
    height, width = torch.tensor([h, w], dtype=torch.float64)
    r = float(radius(height, width, overlap))
    assert r == pytest.approx(min((b + root) / a for b, root, a in three_roots(h, w, overlap)), abs=1e-6)
    # The official code adds the root in all three cases and divides by 2 alone.
    undivided = min(b + abs(root) for b, root, _ in three_roots(h, w, overlap))
    assert float(radius(height, width, overlap, official=True)) == pytest.approx(undivided, abs=1e-6)
    area = h * w
    assert (h - 2 * r) * (w - 2 * r) / area == pytest.approx(overlap)
    assert area / ((h + 2 * r) * (w + 2 * r)) >= overlap - 1e-9
    shared = (h - r) * (w - r)
    assert shared / (2 * area - shared) >= overlap - 1e-9


def naive_heat(points, index, radii, shape):
    maps = torch.zeros(shape)
    for (px, py), m, r in zip(points.tolist(), index.tolist(), radii.tolist(), strict=True):
        cx, cy = math.floor(px), math.floor(py)
        for y in range(shape[1]):
            for x in range(shape[2]):
                if abs(y - cy) <= r and abs(x - cx) <= r:
                    bell = math.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * ((2 * r + 1) / 6) ** 2))
                    maps[m, y, x] = max(float(maps[m, y, x]), bell)
    return maps


@pytest.mark.parametrize("at_once", [1, 2**21])
@pytest.mark.parametrize("reach", [None, 4, 9])
def test_heat_map_equals_the_loop(monkeypatch, at_once, reach):
    monkeypatch.setattr(centers, "_PIXELS", at_once)
    torch.manual_seed(0)
    points, index = torch.rand(36, 2) * torch.tensor([20.0, 14.0]) - 2, torch.randint(0, 4, (36,))
    radii = torch.tensor([-1, 0, 1, 2, 3, 4] * 6)
    points[5] = torch.tensor([16.2, 5.0])  # just beyond the last column
    shape = (4, 10, 16)
    maps = heat_map(points, index, radii, shape, reach)
    torch.testing.assert_close(maps, naive_heat(points, index, radii, shape))
    assert (maps == 1).any()


@settings(max_examples=20)
@given(seed=SEEDS)
def test_detection_targets_equal_the_loop(seed):
    boxes, labels, image, _ = objects(seed)
    boxes[0, 2] = boxes[0, 0]  # no area
    found = detection_targets(boxes, labels, image, SHAPE, CLASSES)
    n, h, w = SHAPE
    points, index, radii = [], [], []
    for i, (left, top, right, bottom) in enumerate((boxes / STRIDE).tolist()):
        left, right = (min(max(v, 0), w) for v in (left, right))
        top, bottom = (min(max(v, 0), h) for v in (top, bottom))
        valid = right > left and bottom > top
        assert bool(found.valid[i]) == valid
        if not valid:
            continue
        x, y = (left + right) / 2, (top + bottom) / 2
        assert (int(found.x[i]), int(found.y[i])) == (int(x), int(y))
        assert found.size[i].tolist() == pytest.approx([right - left, bottom - top], abs=1e-5)
        assert found.offset[i].tolist() == pytest.approx([x - int(x), y - int(y)], abs=1e-5)
        points.append((x, y))
        index.append(int(image[i]) * CLASSES + int(labels[i]))
        radii.append(int(radius(torch.tensor(math.ceil(bottom - top)), torch.tensor(math.ceil(right - left)))))
    heat = naive_heat(torch.tensor(points), torch.tensor(index), torch.tensor(radii), (n * CLASSES, h, w))
    torch.testing.assert_close(found.heat, heat.view(n, CLASSES, h, w))
    assert torch.equal(found.image, image)


@settings(max_examples=20)
@given(seed=SEEDS, official=st.booleans())
def test_pose_targets_equal_the_loop(seed, official):
    boxes, labels, image, joints = objects(seed)
    boxes[0, 2] = boxes[0, 0]
    found = pose_targets(joints, boxes, image, SHAPE, official_radius=official)
    centre = detection_targets(boxes, labels, image, SHAPE, CLASSES)
    assert torch.equal(found.y, centre.y)
    assert torch.equal(found.x, centre.x)
    n, h, w = SHAPE
    points, index, radii = [(0.0, 0.0)], [0], [-1]
    for i, person in enumerate(joints.tolist()):
        for j, (px, py, seen) in enumerate(person):
            x, y = px / STRIDE, py / STRIDE
            valid = seen > 0 and 0 <= x < w and 0 <= y < h and bool(centre.valid[i])
            assert bool(found.valid[i, j]) == valid
            if not valid:
                continue
            assert (int(found.joint_x[i, j]), int(found.joint_y[i, j])) == (int(x), int(y))
            assert found.offset[i, j].tolist() == pytest.approx([x - int(x), y - int(y)], abs=1e-5)
            cx, cy = int(centre.x[i]), int(centre.y[i])
            assert found.shift[i, j].tolist() == pytest.approx([x - cx, y - cy], abs=1e-5)
            points.append((x, y))
            index.append(int(image[i]) * JOINTS + j)
            radii.append(int(radius(*centre.size[i].ceil().flip(0), official=official)))
    heat = naive_heat(torch.tensor(points), torch.tensor(index), torch.tensor(radii), (n * JOINTS, h, w))
    torch.testing.assert_close(found.heat, heat.view(n, JOINTS, h, w))


def test_a_batch_is_drawn_as_its_images_one_by_one():
    boxes, labels, image, joints = objects(0)
    whole, pose = detection_targets(boxes, labels, image, SHAPE, CLASSES), pose_targets(joints, boxes, image, SHAPE)
    for n in range(SHAPE[0]):
        own = image == n
        row, shape = torch.zeros_like(image[own]), (1, *SHAPE[1:])
        alone = detection_targets(boxes[own], labels[own], row, shape, CLASSES)
        assert torch.equal(alone.heat[0], whole.heat[n])
        assert torch.equal(alone.size, whole.size[own])
        assert torch.equal(pose_targets(joints[own], boxes[own], row, shape).heat[0], pose.heat[n])


def test_objects_that_share_a_cell_are_both_kept():
    boxes = torch.tensor([[8.0, 8, 40, 40], [17, 16, 33, 32]])
    zeros = torch.zeros(2, dtype=torch.int64)
    found = detection_targets(boxes, zeros, zeros, (1, 16, 16), 1)
    assert found.x.tolist() == found.y.tolist() == [6, 6]
    assert found.size.tolist() == [[8, 8], [4, 4]]
    assert found.valid.all()
    assert int((found.heat == 1).sum()) == 1


def naive_focal(logits, target):
    p = logits.double().sigmoid().clamp(1e-4, 1 - 1e-4)
    total, centres = 0.0, 0
    for prob, truth in zip(p.flatten().tolist(), target.double().flatten().tolist(), strict=True):
        if truth == 1:
            centres += 1
            total += (1 - prob) ** 2 * math.log(prob)
        else:
            total += (1 - truth) ** 4 * prob**2 * math.log(1 - prob)
    return -total / max(centres, 1)


@settings(max_examples=20)
@given(seed=SEEDS, scale=st.sampled_from([0.1, 3.0, 100.0]))
def test_focal_loss_equals_the_printed_formula(seed, scale):
    boxes, labels, image, _ = objects(seed, count=seed % 10)
    target = detection_targets(boxes, labels, image, SHAPE, CLASSES).heat
    logits = torch.randn(target.shape) * scale
    assert float(focal_loss(logits, target)) == pytest.approx(naive_focal(logits, target), rel=1e-5)


def test_focal_loss_vanishes_at_the_truth_and_moves_towards_it():
    boxes, labels, image, _ = objects(0)
    target = detection_targets(boxes, labels, image, SHAPE, CLASSES).heat
    assert float(focal_loss(torch.where(target == 1, 1e4, -1e4), target)) < 1e-6
    logits = torch.full_like(target, -2.19).requires_grad_()
    focal_loss(logits, target).backward()
    assert ((logits.grad < 0) == (target == 1)).all()


@pytest.mark.parametrize("count", [0, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_and_gradients_are_finite(dtype, count):
    boxes, labels, image, joints = objects(0, count)
    box = detection_targets(boxes, labels, image, SHAPE, CLASSES)
    pose = pose_targets(joints, boxes, image, SHAPE)
    torch.manual_seed(0)
    channels = (CLASSES, 2, 2, JOINTS, 2 * JOINTS, 2)
    head = nn.Conv2d(8, sum(channels), 1)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        outputs = head(1000 * torch.randn(SHAPE[0], 8, *SHAPE[1:])).split(channels, 1)
        assert outputs[0].dtype == dtype
        heat, size, offset, joint_heat, shift, joint_offset = outputs
        shifts = gather(shift, image, pose.y, pose.x).view(-1, JOINTS, 2)
        offsets = gather(joint_offset, image[:, None], pose.joint_y, pose.joint_x)
        lists = torch.stack(
            [
                masked_l1(gather(size, image, box.y, box.x), box.size, box.valid),
                masked_l1(gather(offset, image, box.y, box.x), box.offset, box.valid),
                masked_l1(shifts, pose.shift, pose.valid),
                masked_l1(offsets, pose.offset, pose.valid),
            ]
        )
        maps = torch.stack([focal_loss(heat, box.heat), focal_loss(joint_heat, pose.heat)])
    assert lists.dtype == maps.dtype == torch.float32
    assert (lists > 0).all() == bool(count)
    assert lists.isfinite().all()
    assert maps.isfinite().all()
    (lists.sum() + maps.sum()).backward()
    assert head.weight.grad is not None
    assert head.weight.grad.isfinite().all()


def test_gather_equals_the_loop():
    torch.manual_seed(0)
    maps = torch.randn(3, 5, 6, 7)
    n, y, x = (torch.randint(0, high, (11,)) for high in (3, 6, 7))
    assert torch.equal(gather(maps, n, y, x), torch.stack([maps[a, :, b, c] for a, b, c in zip(n, y, x, strict=True)]))


@settings(max_examples=20)
@given(seed=SEEDS, shape=st.sampled_from([(8, 2), (4, 3, 2), (0, 2)]))
def test_masked_l1_equals_the_loop(seed, shape):
    torch.manual_seed(seed)
    a, b, mask = torch.randn(shape), torch.randn(shape), torch.rand(shape[:-1]) < 0.6
    rows = zip(a.view(-1, 2).tolist(), b.view(-1, 2).tolist(), mask.flatten().tolist(), strict=True)
    distances = [abs(p[0] - q[0]) + abs(p[1] - q[1]) for p, q, valid in rows if valid]
    mean = sum(distances) / max(len(distances), 1)
    assert float(masked_l1(a, b, mask)) == pytest.approx(mean, rel=1e-5)
    assert float(masked_l1(a, b, mask, official=True)) == pytest.approx(mean / 2, rel=1e-5)


def naive_peaks(heat):
    """All peaks of each image as (score, label, y, x), highest first."""
    classes, height, width = heat.shape[1:]
    every = []
    for image in heat:
        found = []
        for c in range(classes):
            for y in range(height):
                for x in range(width):
                    around = image[c, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
                    if image[c, y, x] == around.max():
                        found.append((float(image[c, y, x]), c, y, x))
        every.append(sorted(found, reverse=True))
    return every


@settings(max_examples=20)
@given(seed=SEEDS)
def test_peaks_equal_the_loop(seed):
    torch.manual_seed(seed)
    heat = torch.rand(2, 3, 7, 9)
    found = peaks(heat, 5)
    for n, expected in enumerate(naive_peaks(heat)):
        assert list(zip(*(values[n].tolist() for values in found), strict=True)) == expected[:5]
    every = peaks(heat, 1000)
    assert every.scores.shape == (2, 3 * 7 * 9)
    assert (every.scores > 0).sum(1).tolist() == [len(expected) for expected in naive_peaks(heat)]


def test_joints_equal_the_loop():
    torch.manual_seed(0)
    k, (n, h, w) = 40, SHAPE
    heat = torch.rand(n, JOINTS, h, w)
    heat[0] *= 0.2  # many peaks below the least score
    heat[1, 0] = 0  # no peak at all
    found = peaks(torch.rand(n, 1, h, w), k)
    size, offset, joint_offset = 12 * torch.rand(n, 2, h, w), torch.rand(n, 2, h, w), torch.rand(n, 2, h, w)
    shift = 3 * torch.randn(n, 2 * JOINTS, h, w)
    boxes = boxes_at(found, size, offset)
    joints = joints_at(found, boxes, shift, heat, joint_offset)
    # Of every image and joint: x, y, score, in map pixels.
    places = [
        [
            [
                (x + float(joint_offset[a, 0, y, x]), y + float(joint_offset[a, 1, y, x]), score)
                for score, _, y, x in naive_peaks(heat[a : a + 1, j : j + 1])[0][:k]
                if score > 0.1
            ]
            for j in range(JOINTS)
        ]
        for a in range(n)
    ]
    snapped = 0
    for a in range(n):
        for b in range(k):
            x, y = int(found.x[a, b]), int(found.y[a, b])
            cx, cy = x + float(offset[a, 0, y, x]), y + float(offset[a, 1, y, x])
            wide, high = size[a, :, y, x].tolist()
            box = [cx - wide / 2, cy - high / 2, cx + wide / 2, cy + high / 2]
            assert boxes[a, b].tolist() == pytest.approx([STRIDE * side for side in box], abs=1e-3)
            for j in range(JOINTS):
                place = (x + float(shift[a, 2 * j, y, x]), y + float(shift[a, 2 * j + 1, y, x]))
                expected = (*place, 0.0)
                if places[a][j]:
                    near = min(places[a][j], key=lambda peak, place=place: math.dist(peak[:2], place))
                    inside = box[0] <= near[0] <= box[2] and box[1] <= near[1] <= box[3]
                    if inside and math.dist(near[:2], place) <= 0.3 * max(wide, high):
                        expected, snapped = near, snapped + 1
                scaled = [STRIDE * expected[0], STRIDE * expected[1], expected[2]]
                assert joints[a, b, j].tolist() == pytest.approx(scaled, abs=1e-3)
    assert 100 < snapped < n * k * JOINTS - 100


def test_small_boxes_far_from_the_origin_take_their_joints_over():
    cells = 480 + torch.arange(30)
    found = Peaks(torch.ones(1, 30), torch.zeros(1, 30, dtype=torch.int64), cells[None], cells[None])
    heat = torch.zeros(1, 1, 512, 512)
    heat[0, 0, cells, cells] = 0.9
    offset = torch.full((1, 2, 512, 512), 0.3)
    joints = joints_at(found, boxes_at(found, offset + 0.1, offset), offset + 0.05, heat, offset)
    torch.testing.assert_close(joints[0, :, 0, 0], STRIDE * (cells + 0.3))
    assert (joints[..., 2] == 0.9).all()


def written(image: torch.Tensor, y: torch.Tensor, x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Maps that hold ``values (T, C)`` at the cells of a list."""
    maps = torch.zeros(SHAPE[0], values.shape[-1], *SHAPE[1:])
    maps[image, :, y, x] = values
    return maps


def apart(*cells: torch.Tensor) -> torch.Tensor:
    """True for entries whose cell no earlier entry has."""
    seen: set[tuple[int, ...]] = set()
    keys = [tuple(key) for key in torch.stack(cells, -1).tolist()]
    return torch.tensor([not (key in seen or seen.add(key)) for key in keys], dtype=torch.bool)


@settings(max_examples=40)
@given(seed=SEEDS, official=st.booleans())
def test_the_truth_comes_back_through_targets_and_decoding(seed, official):
    boxes, labels, image, joints = objects(seed)
    first = detection_targets(boxes, labels, image, SHAPE, CLASSES)
    kept = apart(image, first.y, first.x) & first.valid
    boxes, labels, image, joints = boxes[kept], labels[kept], image[kept], joints[kept]
    # Joints of all kinds share the offsets, so no two may share a cell.
    first_pose = pose_targets(joints, boxes, image, SHAPE)
    rows = image[:, None].expand_as(first_pose.valid)
    valid = first_pose.valid.flatten()
    alone = apart(
        torch.where(valid, rows.flatten(), -1 - torch.arange(len(valid))),
        first_pose.joint_y.flatten(),
        first_pose.joint_x.flatten(),
    )
    joints[..., 2] *= alone.view_as(rows)

    box = detection_targets(boxes, labels, image, SHAPE, CLASSES, official_radius=official)
    pose = pose_targets(joints, boxes, image, SHAPE, official_radius=official)
    use = pose.valid
    found = peaks(box.heat.logit(1e-6).sigmoid(), 20)
    decoded = boxes_at(found, written(image, box.y, box.x, box.size), written(image, box.y, box.x, box.offset), STRIDE)
    posed = joints_at(
        found,
        decoded,
        written(image, pose.y, pose.x, pose.shift.flatten(1)),
        pose.heat.logit(1e-6).sigmoid(),
        written(rows[use], pose.joint_y[use], pose.joint_x[use], pose.offset[use]),
        STRIDE,
    )
    assert int((found.scores > 0.999).sum()) == len(boxes)
    limit = torch.tensor([SHAPE[2], SHAPE[1]] * 2) * STRIDE
    for i, n in enumerate(image.tolist()):
        same = (found.labels[n] == labels[i]) & (found.y[n] == box.y[i]) & (found.x[n] == box.x[i])
        assert int(same.sum()) == 1
        torch.testing.assert_close(decoded[n][same][0], boxes[i].clamp(min=0).minimum(limit), atol=1e-3, rtol=0)
        places = posed[n][same][0]
        torch.testing.assert_close(places[use[i], :2], joints[i, use[i], :2], atol=1e-3, rtol=0)
        x0, y0, x1, y1 = decoded[n][same][0].tolist()
        for x, y, score in places[use[i]].tolist():
            if x0 + 1 < x < x1 - 1 and y0 + 1 < y < y1 - 1:
                assert score > 0.999


def test_nothing_waits_for_the_device():
    # Tensors of the meta device have no values to wait for.
    boxes, labels, image, joints = (values.to("meta") for values in objects(0))
    n, h, w = SHAPE
    box = detection_targets(boxes, labels, image, SHAPE, CLASSES)
    pose = pose_targets(joints, boxes, image, SHAPE)
    two = torch.empty(n, 2, h, w, device="meta")
    masked_l1(gather(two, image, box.y, box.x), box.size, box.valid)
    assert focal_loss(box.heat, box.heat).shape == ()
    found: Peaks = peaks(box.heat, 6)
    shift = torch.empty(n, 2 * JOINTS, h, w, device="meta")
    assert joints_at(found, boxes_at(found, two, two), shift, pose.heat, two).shape == (n, 6, JOINTS, 3)
