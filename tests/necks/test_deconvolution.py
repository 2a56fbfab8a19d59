import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mtlkit.errors import InputError
from mtlkit.necks import Deconvolution
from mtlkit.network import parameter_count

RESNET18 = (64, 64, 128, 256, 512), (2, 4, 8, 16, 32)
DEFORMABLE = Deconvolution.Settings(widths=(256, 128, 64), deformable=True)


def test_the_plain_one_has_the_parameters_of_res_18():
    with torch.device("meta"):
        neck = Deconvolution.Settings().build(*RESNET18)
    assert neck.channels == 256
    assert parameter_count(neck) == 16 * 256 * (512 + 256 + 256) + 3 * 2 * 256


def test_the_deformable_one_has_the_parameters_of_resdcn_18():
    with torch.device("meta"):
        neck = DEFORMABLE.build(*RESNET18)
    expected = 0
    for before, width in ((512, 256), (256, 128), (128, 64)):
        deformable = 9 * before * width + width + 27 * (9 * before) + 27
        expected += deformable + 16 * width * width + 2 * 2 * width
    assert neck.channels == 64
    assert parameter_count(neck) == expected


def test_behind_deformable_convolutions_every_channel_starts_as_its_enlargement():
    neck = Deconvolution.Settings(widths=(7, 6, 5), deformable=True).build(*RESNET18)
    ups = [layer for layer in neck.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert len(ups) == 3
    for up in ups:
        x = torch.randn(2, up.in_channels, 5, 6)
        wanted = F.interpolate(x, scale_factor=2, mode="bilinear")
        torch.testing.assert_close(up(x)[..., 2:-2, 2:-2], wanted[..., 2:-2, 2:-2])


def test_the_number_of_widths_must_lead_from_the_last_stride_to_4():
    assert Deconvolution.Settings(widths=(8,)).build((16, 24, 32), (2, 4, 8)).channels == 8
    with pytest.raises(InputError, match=r"from stride 32; the last stage .* stride 8"):
        Deconvolution.Settings().build((16, 24, 32), (2, 4, 8))
