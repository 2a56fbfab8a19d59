import pytest
import torch
import torch.nn.functional as F

from mtlkit.backbones import staged
from mtlkit.heads.branches import Branches
from mtlkit.necks import DLAUp
from mtlkit.necks.dla_up import enlarging
from mtlkit.network import parameter_count

CHANNELS, STRIDES = (32, 64, 128, 256, 512), (2, 4, 8, 16, 32)


@pytest.mark.parametrize("deformable", [False, True])
def test_the_path_is_the_one_written_out(deformable):
    torch.manual_seed(0)
    neck = DLAUp.Settings(deformable=deformable).build((3, 4, 6, 8, 10), STRIDES).eval()
    x4, x8, x16, x32 = (torch.randn(2, c, 32 // s, 48 // s) for c, s in ((4, 1), (6, 2), (8, 4), (10, 8)))

    def join(part, i, coarse, fine):
        return part.node[i](part.enlarge[i](part.project[i](coarse)) + fine)

    at16, at8, at4 = neck.steps
    a16 = join(at16, 0, x32, x16)
    b8 = join(at8, 0, x16, x8)
    a8 = join(at8, 1, a16, b8)
    b4 = join(at4, 0, x8, x4)
    c4 = join(at4, 1, b8, b4)
    a4 = join(at4, 2, a8, c4)
    output = join(neck.final, 1, a16, join(neck.final, 0, a8, a4))
    torch.testing.assert_close(neck([torch.empty(0), x4, x8, x16, x32]), output)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_map_is_enlarged_bilinearly_at_the_start(factor):
    x = torch.randn(2, 5, 6, 7)
    enlarged, wanted = enlarging(5, factor)(x), F.interpolate(x, scale_factor=factor, mode="bilinear")
    inside = (..., slice(factor, -factor), slice(factor, -factor))
    torch.testing.assert_close(enlarged[inside], wanted[inside])


def deformable(channels, width):
    return 9 * channels * width + width + 27 * (9 * channels) + 27 + 2 * width


def joining(width, coarser, factors):
    each = zip(coarser, factors, strict=True)
    return sum(deformable(c, width) + deformable(width, width) + width * (2 * f) ** 2 for c, f in each)


def test_the_deformable_path_has_the_parameters_of_the_official_code():
    with torch.device("meta"):
        neck = DLAUp.Settings().build(CHANNELS, STRIDES)
    steps = joining(256, [512], [2]) + joining(128, [256] * 2, [2] * 2) + joining(64, [128] * 3, [2] * 3)
    assert parameter_count(neck) == steps + joining(64, [128, 256], [2, 4]) == 3_940_336


def test_the_whole_detector_is_near_the_printed_size():
    """MultiTask-CenterNet, Table 4, prints 20.40 M for boxes alone on DLA-34."""
    with torch.device("meta"):
        backbone = staged("dla34")
        neck = DLAUp.Settings().build(backbone.channels, backbone.strides)
        head = Branches.Settings(width=256, maps=(80, 2, 2), heat_maps=(0,)).build((neck.channels,), 84)
    used = sum(map(parameter_count, (backbone, neck, head)))
    assert used == 19_634_164
    # The official module also holds ImageNet's classifier and the projections of two trees; neither is ever used.
    classifier = 512 * 1000 + 1000
    projections = (64 * 128 + 2 * 128) + (128 * 256 + 2 * 256)
    assert (used + classifier + projections) / 20.40e6 == pytest.approx(1, abs=0.011)
