import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from mtlkit.data.joints import Joints
from mtlkit.data.transforms import Augmentation, centred, resized
from mtlkit.errors import InputError

HEIGHT, WIDTH = 24, 32
MIRROR = (1, 0, 2)  # left, right, middle

PIXELS = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.sampled_from([0, 1, 2]))
POSES = st.lists(st.lists(PIXELS, min_size=3, max_size=3), max_size=3)
SEEDS = st.integers(0, 999)


def joints_of(pose: list[list[tuple[int, int, int]]]) -> Joints:
    """Joints in the middle of the given pixels."""
    data = torch.tensor(pose).reshape(-1, 3, 3).float()
    data[..., :2] += 0.5
    data[data[..., 2] == 0] = 0
    return Joints(data, canvas_size=(HEIGHT, WIDTH), mirror=MIRROR)


def picture_of(joints: Joints, spot: int = 1) -> tv_tensors.Image:
    """Black but for the pixels at the labelled joints, in the red, green and blue of joint 0, 1 and 2."""
    image = torch.zeros(3, *joints.canvas_size, dtype=torch.uint8)
    for pose in joints.tolist():
        for joint, (x, y, visibility) in enumerate(pose):
            if visibility:
                rows, columns = slice(int(y), int(y) + spot), slice(int(x), int(x) + spot)
                image[joint, rows, columns] = 255
    return tv_tensors.Image(image)


def same(first: Joints, second: Joints) -> bool:
    return (
        torch.equal(first.as_subclass(torch.Tensor), second.as_subclass(torch.Tensor))
        and (first.canvas_size, first.mirror) == (second.canvas_size, second.mirror)
        and type(first) is type(second) is Joints
    )


# --- identities ---


@given(POSES)
def test_two_mirrors_are_none(pose):
    joints = joints_of(pose)
    assert same(F.horizontal_flip(F.horizontal_flip(joints)), joints)


@given(POSES)
def test_padding_is_undone_by_a_crop_and_doubling_by_halving(pose):
    joints = joints_of(pose)
    padded = F.pad(joints, [3, 1, 2, 5], fill=9)
    assert padded.canvas_size == (HEIGHT + 6, WIDTH + 5)
    assert same(F.crop(padded, 1, 3, HEIGHT, WIDTH), joints)
    assert same(F.resize(F.resize(joints, [2 * HEIGHT, 2 * WIDTH]), [HEIGHT, WIDTH]), joints)


@given(POSES, st.integers(1, HEIGHT), st.integers(1, WIDTH))
def test_a_centre_crop_is_a_crop_and_a_resized_crop_both_steps(pose, height, width):
    joints = joints_of(pose)
    top, left = round((HEIGHT - height) / 2), round((WIDTH - width) / 2)
    cut = F.crop(joints, top, left, height, width)
    assert same(F.center_crop(joints, [height, width]), cut)
    assert same(F.resized_crop(joints, top, left, height, width, [12, 40]), F.resize(cut, [12, 40]))


@given(POSES)
def test_joints_that_are_not_labelled_stay_zero(pose):
    joints = joints_of(pose)
    unlabelled = joints[..., 2] == 0
    every = [F.pad(joints, [7]), F.resize(joints, [50, 60]), F.crop(joints, 2, 3, 10, 10), F.center_crop(joints, [40])]
    for each in every:
        assert not each[unlabelled].any()
        assert not each[each[..., 2] == 0].any()
    assert torch.equal(F.horizontal_flip(joints)[..., 2] == 0, unlabelled[:, list(MIRROR)])


# --- joints follow the image ---


def test_a_mirror_moves_joints_and_exchanges_them():
    joints = joints_of([[(3, 5, 2), (10, 6, 1), (0, 7, 2)], [(0, 0, 0), (31, 23, 2), (4, 4, 0)]])
    turned = F.horizontal_flip(joints)
    assert turned.tolist() == [
        [[21.5, 6.5, 1], [28.5, 5.5, 2], [31.5, 7.5, 2]],
        [[0.5, 23.5, 2], [0, 0, 0], [0, 0, 0]],
    ]
    # What was the left joint's red is the right joint's green now: the mirrored animal has its left at the other side.
    assert torch.equal(picture_of(turned), F.horizontal_flip(picture_of(joints))[list(MIRROR)])


@given(POSES, st.integers(0, 20), st.integers(0, 20), st.integers(1, 30), st.integers(1, 30))
def test_a_bright_pixel_stays_at_its_joint_in_any_crop_and_padding(pose, top, left, height, width):
    joints = joints_of(pose)
    image = picture_of(joints)
    for change in (
        lambda value: F.crop(value, top, left, height, width),
        lambda value: F.center_crop(value, [height, width]),
        lambda value: F.pad(value, [left, top, 2, 1]),
    ):
        moved = change(joints)
        assert moved.canvas_size == tuple(change(image).shape[-2:])
        assert torch.equal(picture_of(moved), change(image))


@given(SEEDS)
def test_a_bright_spot_stays_at_its_joint_when_the_size_changes(seed):
    torch.manual_seed(seed)
    size = torch.randint(8, 80, (2,)).tolist()
    where = torch.stack((torch.randint(4, WIDTH - 4, (3,)), torch.randint(4, HEIGHT - 4, (3,)), torch.full((3,), 2)), 1)
    joints = joints_of([where.tolist()])
    image = F.gaussian_blur(picture_of(joints).float(), [5, 5])  # of one spot, symmetrical: its mean is its place
    sample = resized({"image": tv_tensors.Image(image), "pose": joints}, tuple(size))
    assert sample["pose"].canvas_size == tuple(size)
    weights = sample["image"] / sample["image"].sum((1, 2), keepdim=True)
    mean_x = (weights.sum(1) * (torch.arange(size[1]) + 0.5)).sum(1)
    mean_y = (weights.sum(2) * (torch.arange(size[0]) + 0.5)).sum(1)
    assert torch.allclose(sample["pose"][0, :, 0], mean_x, atol=0.25)
    assert torch.allclose(sample["pose"][0, :, 1], mean_y, atol=0.25)


@given(SEEDS)
def test_the_augmentation_keeps_joints_on_their_spots(seed):
    torch.manual_seed(seed)
    joints = joints_of([[(9, 8, 2), (20, 15, 2), (16, 4, 1)]])
    sample = {"image": picture_of(joints), "pose": joints}
    found = Augmentation(size=(20, 26), scale_min=1, scale_max=1, fill=(0, 0, 0))(sample)
    assert found["pose"].canvas_size == (20, 26)
    seen = picture_of(found["pose"])
    # A mirror exchanges joints, so the colour of a side is its counterpart's.
    assert torch.equal(seen, found["image"]) or torch.equal(seen[list(MIRROR)], found["image"])


def test_evaluation_and_random_crops_know_joints():
    joints = joints_of([[(9, 8, 2), (20, 15, 2), (16, 12, 1)]])
    sample = {"image": picture_of(joints), "pose": joints}
    assert centred(sample, (16, 16), 1.0)["pose"].canvas_size == (16, 16)
    found = v2.RandomResizedCrop((18, 18))(v2.RandomHorizontalFlip(1.0)(sample))
    assert found["pose"].canvas_size == tuple(found["image"].shape[-2:])
    assert found["pose"].mirror == MIRROR


def test_a_joint_outside_a_crop_is_lost_and_one_on_its_edge_is_not():
    data = torch.tensor([[[4.0, 4, 2], [12, 10, 1], [3.9, 5, 2]]])
    cut = F.crop(Joints(data, canvas_size=(HEIGHT, WIDTH), mirror=MIRROR), 4, 4, 6, 8)
    assert cut.tolist() == [[[0, 0, 2], [8, 6, 1], [0, 0, 0]]]
    assert same(
        F.pad(cut, [4, 4, 0, 0]), Joints([[[4, 4, 2], [12, 10, 1], [0, 0, 0]]], canvas_size=(10, 12), mirror=MIRROR)
    )


# --- a tensor like others ---


def test_metadata_survives_copies_and_no_object_is_allowed():
    joints = joints_of([[(3, 5, 2), (10, 6, 1), (0, 7, 2)]])
    for twin in (joints.clone(), joints.detach(), joints.to(torch.float32), copy.deepcopy(joints)):
        assert same(twin, joints)
    assert "mirror=(1, 0, 2)" in repr(joints)
    none = Joints(torch.zeros(0, 3, 3), canvas_size=(4, 4), mirror=MIRROR)
    for each in (F.horizontal_flip(none), F.resize(none, [8, 8]), F.crop(none, 0, 0, 2, 2), F.pad(none, [1])):
        assert isinstance(each, Joints)
        assert each.shape == (0, 3, 3)


def test_the_source_is_left_alone():
    joints = joints_of([[(3, 5, 2), (10, 6, 1), (0, 7, 2)]])
    before = joints.clone()
    for change in (F.horizontal_flip, lambda value: F.crop(value, 9, 9, 2, 2), lambda value: F.resize(value, [3, 3])):
        change(joints)
        assert same(joints, before)


# --- what cannot be ---


@pytest.mark.parametrize("shape", [(3, 3), (1, 3, 2), (1, 2, 3, 3)])
def test_another_shape_is_refused(shape):
    with pytest.raises(InputError, match=r"Joints have the shape .*; it should be \(objects, joints, 3\)"):
        Joints(torch.zeros(shape), canvas_size=(4, 4), mirror=MIRROR)


@pytest.mark.parametrize("mirror", [(0, 1), (0, 1, 1), (1, 2, 0), (0, 1, 3), (0, 1, 2, 3)])
def test_a_mirror_that_is_none_is_refused(mirror):
    with pytest.raises(InputError, match="does not exchange 3 joints in pairs; give"):
        Joints(torch.zeros(1, 3, 3), canvas_size=(4, 4), mirror=mirror)


@pytest.mark.parametrize("change", [v2.RandomRotation(9), v2.RandomVerticalFlip(1.0), v2.RandomAffine(9)])
def test_changes_that_nobody_defined_are_refused(change):
    joints = joints_of([[(3, 5, 2), (10, 6, 1), (0, 7, 2)]])
    with pytest.raises(InputError, match="Joints cannot follow torchvision's"):
        change({"image": picture_of(joints), "pose": joints})
