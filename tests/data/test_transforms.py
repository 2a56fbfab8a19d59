import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors

from mtlkit.data.samples import Normals, Sample, unit
from mtlkit.data.transforms import Augmentation, CentredCrop, fitted, resized
from mtlkit.errors import InputError


def coded(height: int, width: int) -> Sample:
    """Every value says where it was: red and label the column, green the row, the normal's slope in y-z the column."""
    row = torch.arange(height)[:, None].expand(height, width)
    column = torch.arange(width)[None].expand(height, width)
    angle = column / 100
    return {
        "image": tv_tensors.Image(torch.stack((column, row, torch.full_like(row, 200))).to(torch.uint8)),
        "segmentation": tv_tensors.Mask(column.to(torch.uint8)),
        "normals": Normals(torch.stack((torch.zeros(height, width), angle.sin(), angle.cos()))),
    }


@settings(max_examples=60)
@given(
    side=st.tuples(st.integers(5, 90), st.integers(5, 90)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    scales=st.tuples(st.floats(0.3, 2), st.floats(0.3, 2)),
    seed=st.integers(0, 10**6),
)
def test_image_labels_and_normals_stay_aligned(side, size, scales, seed):
    augmentation = Augmentation(size=size, scale_min=min(scales), scale_max=max(scales), fill=(0, 0, 0))
    torch.manual_seed(seed)
    out = augmentation(coded(*side))
    assert out["image"].shape == (3, *size)
    assert out["segmentation"].shape == size
    assert out["normals"].shape == (3, *size)
    assert isinstance(out["image"], tv_tensors.Image)
    assert isinstance(out["segmentation"], tv_tensors.Mask)
    assert isinstance(out["normals"], Normals)

    label, normals = out["segmentation"].float(), out["normals"].as_subclass(torch.Tensor)
    there = label != 255
    assert there.any()
    # Padding is void in all three, and nothing else is.
    assert torch.equal(there, normals.norm(dim=0) > 0)
    assert torch.equal(there, out["image"][2] > 0)
    # Labels and normals hold the same source pixel; the image's column differs by resampling alone: half a source
    # pixel where it grows, half the window that was averaged where it shrinks, plus rounding and the border's cut.
    column = torch.atan2(normals[1], normals[2]) * 100
    assert (column - label)[there].abs().max() < 0.1
    tolerance = 0.5 + 0.5 / min(1.0, min(scales)) + 0.51
    assert (out["image"][0].float() - label)[there].abs().max() <= tolerance


def test_resampling_is_centred():
    # With corner-aligned nearest neighbours the mean offset would be half a pixel and more.
    for size in ((30, 24), (45, 36), (120, 96)):
        out = resized(coded(60, 48), size)
        offset = out["image"][0].float() - out["segmentation"].float()
        assert abs(offset[:, 2:-2].mean()) <= 0.51 if size == (30, 24) else abs(offset[:, 2:-2].mean()) < 0.1


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), jitter=st.sampled_from([0.0, 0.4]))
def test_normals_keep_unit_length(seed, jitter):
    sample = coded(20, 30)
    sample["normals"] = unit(torch.randn(3, 20, 30, generator=torch.Generator().manual_seed(seed)))
    torch.manual_seed(seed)
    length = Augmentation(size=(24, 24), jitter=jitter)(sample)["normals"].norm(dim=0)
    assert torch.all((length == 0) | ((length - 1).abs() < 1e-5))


def test_nothing_drawn_is_nothing_changed():
    sample = coded(20, 30)
    out = Augmentation(size=(20, 30), scale_min=1, scale_max=1, flip=0)(sample)
    assert all(torch.equal(out[name], sample[name]) for name in sample)


def test_a_sure_mirror_negates_x():
    sample = coded(4, 6)
    sample["normals"] = unit(torch.ones(3, 4, 6))
    out = Augmentation(size=(4, 6), scale_min=1, scale_max=1, flip=1)(sample)
    assert torch.equal(out["image"], sample["image"].flip(-1))
    assert torch.equal(out["segmentation"], sample["segmentation"].flip(-1))
    assert torch.equal(out["normals"][0], -sample["normals"][0])


def test_padding_has_the_fill_colour_at_bottom_and_right():
    out = Augmentation(size=(8, 9), scale_min=1, scale_max=1, flip=0)(coded(4, 6))
    assert out["image"][:, 4, 0].tolist() == out["image"][:, 0, 6].tolist() == [124, 116, 104]
    assert out["segmentation"][4:].unique().tolist() == out["segmentation"][:, 6:].unique().tolist() == [255]
    assert out["normals"][:, 4:].abs().max() == 0


def test_jitter_changes_colours_only():
    torch.manual_seed(0)
    sample = coded(20, 30)
    out = Augmentation(size=(20, 30), scale_min=1, scale_max=1, flip=0, jitter=0.4)(sample)
    assert not torch.equal(out["image"], sample["image"])
    assert torch.equal(out["segmentation"], sample["segmentation"])


def test_the_given_sample_is_left_alone():
    sample, before = coded(20, 30), coded(20, 30)
    Augmentation(size=(8, 8), jitter=0.4)(sample)
    assert all(torch.equal(sample[name], before[name]) for name in before)


def test_resized_keeps_a_sample_that_has_the_size():
    sample = coded(20, 30)
    assert resized(sample, (20, 30))["image"] is sample["image"]


def test_impossible_settings_are_refused():
    with pytest.raises(InputError, match="at least 1 pixel"):
        Augmentation(size=(0, 4))
    with pytest.raises(InputError, match="Scales from 2 to 1 are impossible"):
        Augmentation(size=(4, 4), scale_min=2, scale_max=1)


def test_identity_ignores_defaults():
    assert Augmentation(size=(4, 4), flip=0.5).identity == Augmentation(size=(4, 4)).identity
    assert Augmentation(size=(4, 4), flip=0.4).identity != Augmentation(size=(4, 4)).identity


def whole(height: int, width: int) -> Sample:
    """A sample with a box around all of it."""
    box = torch.tensor([[0.0, 0.0, width, height]])
    boxes = tv_tensors.BoundingBoxes(box, format="XYXY", canvas_size=(height, width))
    return coded(height, width) | {"boxes": boxes, "crowd": torch.tensor([False])}


def shown(length: float, count: int, border: int = 128, side: tuple[int, int] = (90, 120)) -> list[Sample]:
    """Samples at 96 x 96 by crops of one length, in longer sides."""
    crop = CentredCrop(size=(96, 96), lengths=(length,), border=border, flip=0, jitter=0)
    torch.manual_seed(0)
    return [crop(whole(*side)) for _ in range(count)]


@pytest.mark.parametrize(("length", "scale"), [(0.6, 1.67), (1.0, 1.0), (1.3, 0.77)])
def test_lengths_of_centred_crops_are_of_the_crop_and_not_of_the_image(length, scale):
    fits = 96 / 120
    for out in shown(length, 20):
        assert out["image"].shape == (3, 96, 96)
        label = out["segmentation"].float()
        row = label[(label != 255).any(1)][0]
        inside = row[row != 255]
        # The label is the column of the image; over the result it falls behind the result's own by the scale.
        step = (inside[-1] - inside[0]).item() / (len(inside) - 1)
        assert 1 / step == pytest.approx(scale * fits, rel=0.05)


def test_a_smaller_image_lies_anywhere_in_the_crop():
    corners = [
        (
            (out["segmentation"] != 255).any(0).int().argmax().item(),
            (out["segmentation"] != 255).any(1).int().argmax().item(),
        )
        for out in shown(1.3, 60)
    ]
    left, above = (len(set(places)) for places in zip(*corners, strict=True))
    assert left > 5
    assert above > 5
    # The image's centre is, on average, that of the crop.
    boxes = torch.cat([out["boxes"].as_subclass(torch.Tensor) for out in shown(1.3, 400, border=16)])
    assert ((boxes[:, :2] + boxes[:, 2:]) / 2).mean(0).tolist() == pytest.approx([48, 48], abs=6)


def test_image_labels_and_boxes_of_a_centred_crop_stay_aligned():
    for out in shown(1.3, 20) + shown(0.6, 20):
        there = out["segmentation"] != 255
        assert torch.equal(there, out["image"][2] == 200)
        rows, columns = there.any(1).nonzero(), there.any(0).nonzero()
        edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert out["boxes"][0].tolist() == pytest.approx([float(edge) for edge in edges], abs=1)


@pytest.mark.parametrize(("side", "border"), [(640, 128), (257, 128), (256, 64), (128, 32), (16, 4)])
def test_centres_keep_the_official_border(side, border):
    # _get_border of CenterNet's ctdet.py: halved until the middle is wider than the border.
    draws = {CentredCrop(size=(8, 8))._centre(side, draw / 1000) for draw in range(1000)}
    assert min(draws) == border
    assert max(draws) == side - border - 1


def test_a_centred_crop_of_the_whole_is_the_fitted_image():
    crop = CentredCrop(size=(96, 96), lengths=(1.0,), border=59, flip=0, jitter=0)
    out, plain = crop(coded(120, 120)), fitted(coded(120, 120), (96, 96))
    shift = 48 - round(59 * 0.8), 48 - round(60 * 0.8)
    assert max(map(abs, shift)) <= 1
    middle = (slice(None), slice(20, 70), slice(20, 70))
    assert (out["image"][middle].int() - plain["image"][middle].int()).abs().max() <= 2


def test_impossible_centred_crops_are_refused():
    with pytest.raises(InputError, match="at least 1 pixel"):
        CentredCrop(size=(0, 4))
    with pytest.raises(InputError, match="each above 0"):
        CentredCrop(size=(4, 4), lengths=(0.0,))
