import pytest
import torch
import torch.nn.functional as F

from mtlkit.necks import DeformableConvolution
from mtlkit.necks.layers import bilinear


def test_a_deformable_convolution_starts_as_half_a_plain_one():
    layer = DeformableConvolution(5, 7)
    x = torch.randn(2, 5, 6, 8)
    weight, bias = layer.convolution.weight, layer.convolution.bias
    torch.testing.assert_close(layer(x), F.conv2d(x, 0.5 * weight, bias, padding=1))


def test_the_mask_scales_and_a_whole_offset_shifts_every_tap():
    layer = DeformableConvolution(5, 7)
    with torch.no_grad():
        layer.offsets.bias[1:18:2] = 1  # pairs of (down, right), tap by tap
        layer.offsets.bias[18:] = 2
    x = torch.randn(2, 5, 6, 8)
    shifted = F.pad(x, (0, 1))[..., 1:]
    plain = F.conv2d(shifted, torch.tensor(2.0).sigmoid() * layer.convolution.weight, layer.convolution.bias, padding=1)
    torch.testing.assert_close(layer(x)[..., 1:], plain[..., 1:])


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_the_bilinear_kernel_enlarges_as_torch_does_away_from_the_border(factor):
    x = torch.randn(1, 1, 6, 7)
    enlarged = F.conv_transpose2d(x, bilinear(factor)[None, None], stride=factor, padding=factor // 2)
    wanted = F.interpolate(x, scale_factor=factor, mode="bilinear")
    inside = (..., slice(factor, -factor), slice(factor, -factor))
    assert enlarged.shape == wanted.shape
    torch.testing.assert_close(enlarged[inside], wanted[inside])
