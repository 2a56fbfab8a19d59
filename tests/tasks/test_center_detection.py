"""Objects as points: the task on top of the arithmetic that test_centers.py checks."""

from pathlib import Path

import pytest
import torch

from mtlkit.data import Coco, Data
from mtlkit.data.samples import collate
from mtlkit.data.transforms import Augmentation, fitted
from mtlkit.errors import InputError
from mtlkit.tasks import CenterDetection, centers
from mtlkit.tasks.center_detection import STRIDE, Objects
from mtlkit.worlds import people

JOINTS = ("nose", "left_eye", "right_eye")
BOXES = CenterDetection(classes=("person", "dog"))
POSES = CenterDetection(classes=("person", "dog"), joints=JOINTS, sigmas=(0.05,) * 3)


def objects(count: int = 5, images: int = 2, side: int = 64, joints: int = 3, seed: int = 0) -> Objects:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * side * 0.6
    boxes = torch.cat([low, low + 6 + torch.rand(count, 2, generator=generator) * side * 0.35], 1)
    places = low[:, None] + torch.rand(count, joints, 2, generator=generator) * (boxes[:, None, 2:] - low[:, None])
    seen = torch.randint(0, 3, (count, joints, 1), generator=generator)
    return Objects(
        boxes,
        torch.randint(0, 2, (count,), generator=generator),
        torch.randint(0, images, (count,), generator=generator),
        torch.zeros(count, dtype=torch.bool),
        (boxes[:, 2:] - boxes[:, :2]).prod(1),
        torch.cat([places, seen], -1) * (seen > 0),
        torch.tensor(images),
    )


def some(target: Objects, kept: torch.Tensor) -> Objects:
    return Objects(*(field[kept] for field in target[:-1]), target.images)


def perfect(task: CenterDetection, target: Objects, shape: tuple[int, int, int]) -> torch.Tensor:
    """The output from which the truth can be read: the targets themselves, as maps."""
    count, height, width = shape
    boxes = target.boxes.masked_fill(target.crowd[:, None], 0.0)
    there = centers.detection_targets(boxes, target.labels, target.image, shape, len(task.classes), STRIDE)
    maps = [there.heat.logit(1e-4), torch.zeros(count, 2, height, width), torch.zeros(count, 2, height, width)]
    cells = there.image[there.valid], slice(None), there.y[there.valid], there.x[there.valid]
    maps[1][cells], maps[2][cells] = there.size[there.valid], there.offset[there.valid]
    if task.joints:
        pose = centers.pose_targets(target.joints, boxes, target.image, shape, STRIDE)
        number = len(task.joints)
        maps += [
            pose.heat.logit(1e-4),
            torch.zeros(count, 2, height, width),
            torch.zeros(count, 2 * number, height, width),
        ]
        rows = there.image[:, None].expand_as(pose.valid)
        # Joints of several kinds may share a cell and its offset: their mean, which any network is left with.
        at = rows[pose.valid], pose.joint_y[pose.valid], pose.joint_x[pose.valid]
        shared = torch.zeros(count, height, width, 3).index_put_(
            at, torch.cat([pose.offset[pose.valid], torch.ones(len(at[0]), 1)], 1), accumulate=True
        )
        maps[4] = (shared[..., :2] / shared[..., 2:].clamp(min=1)).permute(0, 3, 1, 2)
        # What nobody labelled, a network would look for on the object, not in the image's corner.
        maps[5][cells] = (pose.shift * pose.valid[..., None])[there.valid].flatten(1)
    return torch.cat(maps, 1)


def apart(target: Objects, width: int) -> Objects:
    """The objects that share their centre's cell with no other."""
    centre = (target.boxes[:, :2] + target.boxes[:, 2:]) / 2 // STRIDE
    cell = (target.image * 10_000 + centre[:, 1].long()) * 10_000 + centre[:, 0].long()
    kept = (cell[:, None] == cell).sum(1) == 1
    return some(target, kept)


@pytest.mark.parametrize("task", [BOXES, POSES], ids=["boxes", "poses"])
def test_the_channels_add_up_and_every_map_has_a_loss(task):
    assert task.outputs == sum(task.maps)
    assert len(task.terms) == len(task.maps)
    output = torch.randn(2, task.outputs, 16, 16, requires_grad=True)
    losses = task.losses(output, objects())
    assert tuple(losses) == task.terms
    sum(losses.values()).backward()
    assert (output.grad.flatten(2).abs().sum((0, 2)) > 0).all(), "every channel learns"


def test_the_losses_are_those_of_the_parts():
    target, output = objects(), torch.randn(2, POSES.outputs, 16, 16)
    losses = POSES.losses(output, target)
    there = centers.detection_targets(target.boxes, target.labels, target.image, (2, 16, 16), 2)
    pose = centers.pose_targets(target.joints, target.boxes, target.image, (2, 16, 16))
    heat, size, offset, joint_heat, joint_offset, shift = output.split([2, 2, 2, 3, 2, 6], 1)
    size_loss = offset_loss = 0.0
    for n, y, x, w, o in zip(there.image, there.y, there.x, there.size, there.offset, strict=True):
        size_loss += (size[n, :, y, x] - w).abs().sum() / 5
        offset_loss += (offset[n, :, y, x] - o).abs().sum() / 5
    joint_loss = shift_loss = 0.0
    for t in range(5):
        for j in range(3):
            if pose.valid[t, j]:
                n = target.image[t]
                at = joint_offset[n, :, pose.joint_y[t, j], pose.joint_x[t, j]]
                joint_loss += (at - pose.offset[t, j]).abs().sum() / pose.valid.sum()
                moved = shift[n, 2 * j : 2 * j + 2, pose.y[t], pose.x[t]]
                shift_loss += (moved - pose.shift[t, j]).abs().sum() / pose.valid.sum()
    naive = {
        "heat_map": centers.focal_loss(heat, there.heat), "size": size_loss, "offset": offset_loss,
        "joint_heat_map": centers.focal_loss(joint_heat, pose.heat),
        "joint_offset": joint_loss, "joint_shift": shift_loss,
    }  # fmt: skip
    for name, value in naive.items():
        torch.testing.assert_close(losses[name], torch.as_tensor(value), rtol=1e-5, atol=1e-6)


def test_the_official_code_halves_distances_and_draws_larger():
    target, output = objects(), torch.randn(2, POSES.outputs, 16, 16)
    printed, official = (
        POSES.model_copy(update={"as_official": flag}).losses(output, target) for flag in (False, True)
    )
    for name in ("size", "offset", "joint_offset", "joint_shift"):
        torch.testing.assert_close(official[name], printed[name] / 2)
    assert official["heat_map"] != printed["heat_map"]


def test_a_crowd_is_background_or_the_box_of_one_object():
    target, output = objects(), torch.randn(2, POSES.outputs, 16, 16)
    as_objects = POSES.model_copy(update={"crowds": "object"})
    plain = target._replace(crowd=torch.zeros(5, dtype=torch.bool))
    marked = target._replace(crowd=torch.tensor([True, False, False, True, False]))
    same = zip(as_objects.losses(output, marked).values(), POSES.losses(output, plain).values(), strict=True)
    for one, other in same:
        torch.testing.assert_close(one, other)


def test_cells_in_a_crowd_that_is_background_are_negatives():
    target, output = objects(), torch.zeros(2, BOXES.outputs, 16, 16, requires_grad=True)
    marked = target._replace(crowd=torch.ones(5, dtype=torch.bool))
    BOXES.losses(output, marked)["heat_map"].backward()
    assert (output.grad[:, : len(BOXES.classes)] > 0).all()


def test_crowds_as_background_are_as_if_they_were_not_there():
    target, output = objects(), torch.randn(2, POSES.outputs, 16, 16)
    crowd = target._replace(crowd=torch.tensor([True, False, False, True, False]))
    without = some(target, ~crowd.crowd)
    for one, other in zip(POSES.losses(output, crowd).values(), POSES.losses(output, without).values(), strict=True):
        torch.testing.assert_close(one, other)


def test_no_object_is_no_error():
    target = some(objects(), torch.zeros(5, dtype=torch.bool))
    losses = POSES.losses(torch.randn(2, POSES.outputs, 16, 16), target)
    assert all(value.isfinite() for value in losses.values())
    assert losses["size"] == losses["joint_shift"] == 0


def test_two_networks_that_agree_say_the_same_together():
    output = torch.randn(2, POSES.outputs, 8, 8)
    torch.testing.assert_close(POSES.ensemble([output, output]), output, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("task", [BOXES, POSES], ids=["boxes", "poses"])
def test_what_the_targets_say_is_found_again(task):
    target = apart(objects(count=6, images=3, side=128), 32)
    metric = task.metric()
    metric.update(perfect(task, target, (3, 32, 32)), target)
    measures = metric.compute()
    assert measures["ap"] > 99
    assert not task.joints or measures["pose_ap"] > 97


def test_of_no_training_object_there_is_no_mean_one():
    none = some(objects(), torch.zeros(5, dtype=torch.bool))
    with pytest.raises(InputError, match="No training image holds an object of person, dog"):
        POSES.constant([none, none], [objects()])


def test_the_constant_is_each_classes_mean_object():
    target = objects(count=6)
    measures = POSES.constant([target], [target]).compute()
    assert 0 <= measures["ap"] <= 100
    one = some(target, torch.arange(6) == 0)._replace(image=torch.tensor([0]), images=torch.tensor(1))
    assert BOXES.constant([one], [one]).compute()["ap"] == pytest.approx(100)


def reader(root: Path, split: str) -> Coco:
    plain = Coco(root, split)
    tasks = ("detection", "pose") if plain.offers("pose") else ("detection",)
    return Coco(root, split, tasks, ("person",) if "person" in plain.classes else None, faulty="skip")


@pytest.mark.parametrize("name", ["people", "tiny-coco", "animalpose"])
def test_truth_through_targets_and_decoder_is_found(name, tmp_path, request):
    """Of real data, images at 512; objects whose centres share a cell are left out, and so are crowds."""
    if name == "people":
        people.write(root := tmp_path / "people", train=1, val=30, size=(256, 256))
        side = 256
    else:
        root, side = request.getfixturevalue("shared") / "data" / name, 512
    test = reader(root, "val")
    task = CenterDetection(classes=test.classes, joints=test.joints, sigmas=test.sigmas)
    metric = task.metric()
    for index in range(len(test)):
        target = apart(collate([fitted(test[index], (side, side))], (task,)).targets["detection"], side // STRIDE)
        target = some(target, ~target.crowd)
        metric.update(perfect(task, target, (1, side // STRIDE, side // STRIDE)), target)
    measures = metric.compute()
    assert measures["ap"] > 97
    assert measures["pose_ap"] > 97


def test_objects_that_a_crop_leaves_outside_are_gone_with_all_that_is_theirs(tmp_path):
    people.write(tmp_path / "people", train=12, val=1)
    data = Data(layout="coco", name="people", fingerprint="x", size=(64, 64), root=tmp_path / "people")
    train = data.split("train", ("detection", "pose", "segmentation"))
    torch.manual_seed(0)
    cut = Augmentation(size=(64, 64), scale_min=1.2, scale_max=1.6, scale_of="frame")
    lost = 0
    for index in range(len(train)):
        before, after = train[index], cut(train[index])
        rows = {len(after[name]) for name in ("boxes", "crowd", "cover", "detection", "pose")}
        assert len(rows) == 1
        lost += len(before["boxes"]) - rows.pop()
        assert tuple(after["segmentation"].shape) == (64, 64)
        sides = after["boxes"][:, 2:] - after["boxes"][:, :2]
        assert (sides >= 1).all()
    assert lost > 0
    task = CenterDetection(classes=people.CLASSES, joints=tuple(map(str, range(17))), sigmas=(0.1,) * 17)
    batch = collate([cut(train[index]) for index in range(4)], (task,))
    assert batch.targets["detection"].joints.shape[1:] == (17, 3)
    assert len(batch.targets["detection"].areas) == len(batch.targets["detection"].boxes)


def mirrored(target: Objects, side: int) -> Objects:
    """The objects of the mirror images: the joints of one side take the places of the other's."""
    boxes, joints = target.boxes.clone(), target.joints[:, [0, 2, 1][: target.joints.shape[1]]].clone()
    boxes[:, 0::2] = side - target.boxes[:, [2, 0]]
    joints[..., 0] = torch.where(joints[..., 2] > 0, side - joints[..., 0], 0.0)
    return target._replace(boxes=boxes, joints=joints)


@pytest.mark.parametrize("task", [BOXES, POSES], ids=["boxes", "poses"])
@pytest.mark.parametrize("seed", range(4))
def test_a_perfect_output_for_mirror_images_is_turned_into_that_for_the_images(task, seed):
    target = objects(seed=seed, joints=len(task.joints))
    low, high = target.boxes[:, None].split(2, -1)
    places = low + torch.tensor([0.2, 0.5, 0.45])[: len(task.joints), None] * (high - low)
    target = target._replace(joints=torch.cat([places, torch.full_like(places[..., :1], 2)], -1))
    shape = (2, 16, 16)
    here, there = perfect(task, target, shape), perfect(task, mirrored(target, 64), shape)
    turned = task.unmirrored(there)
    assert not torch.allclose(turned, there)
    own, other = task._split(here), task._split(turned)
    for place, (one, another) in enumerate(zip(own, other, strict=True)):
        # A map of distances means something in the cells of objects, or of joints, alone.
        everywhere = torch.ones_like(one, dtype=torch.bool)
        filled = everywhere if place in task.heat_maps else (one != 0).any(1, keepdim=True) & everywhere
        assert filled.any()
        assert torch.allclose(another[filled], one[filled], atol=1e-4)
    found, known = task.postprocess(turned), task.postprocess(here)
    sure = known.scores > 0.9
    assert torch.allclose(found.boxes[sure], known.boxes[sure], atol=1e-3)
    if task is POSES:
        assert torch.allclose(found.joints[sure], known.joints[sure], atol=1e-3)


@pytest.mark.parametrize("task", [BOXES, POSES], ids=["boxes", "poses"])
def test_twice_mirrored_is_the_output_and_a_symmetric_one_stays(task):
    output = torch.randn(2, task.outputs, 8, 12, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(task.unmirrored(task.unmirrored(output)), output, atol=1e-6)
    symmetric = task.ensemble([output, task.unmirrored(output)])
    assert torch.allclose(task.unmirrored(symmetric), symmetric, atol=1e-5)
    assert torch.allclose(task.ensemble([symmetric, task.unmirrored(symmetric)]), symmetric, atol=1e-5)


def test_left_and_right_change_places_and_the_nose_stays():
    output = torch.zeros(1, POSES.outputs, 2, 2)
    heat = sum(POSES.maps[:3])
    output[0, heat + 1, 0, 0] = 5.0  # the left eye of the mirror image, at its left
    turned = POSES._split(POSES.unmirrored(output))
    assert turned[3][0, 2, 0, 1] == 5.0
    assert turned[3][0, :2].abs().sum() == 0
    output = torch.zeros(1, POSES.outputs, 2, 2)
    shift = sum(POSES.maps[:5])
    output[0, shift + 2 : shift + 4, 0, 0] = torch.tensor([3.0, 7.0])
    turned = POSES._split(POSES.unmirrored(output))
    assert turned[5][0, 4:6, 0, 1].tolist() == [-2.0, 7.0]
