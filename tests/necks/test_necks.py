"""What every neck must do, on every backbone."""

import functools

import pytest
import torch
from pydantic import TypeAdapter

from mtlkit.backbones import staged
from mtlkit.errors import InputError
from mtlkit.necks import Deconvolution, DLAUp, NeckSettings, Upsampling

NECKS = {
    "plain deconvolution": Deconvolution.Settings(widths=(12, 8, 6)),
    "deformable deconvolution": Deconvolution.Settings(widths=(12, 8, 6), deformable=True),
    "plain dla_up": DLAUp.Settings(deformable=False),
    "deformable dla_up": DLAUp.Settings(),
    "upsampling": Upsampling.Settings(width=10),
    "bilinear upsampling": Upsampling.Settings(width=10, mode="bilinear"),
}
SMALL = "mobilenetv3_small_050"


@functools.cache
def maps(name, height, width, device="cpu"):
    torch.manual_seed(0)
    with torch.device(device), torch.no_grad():
        backbone = staged(name).eval()
        return backbone.channels, backbone.strides, backbone(torch.randn(2, 3, height, width))


def small(name, height=64, width=96):
    channels, strides, features = maps(SMALL, height, width)
    torch.manual_seed(0)
    return NECKS[name].build(channels, strides).eval(), features


@pytest.mark.parametrize("name", NECKS)
@pytest.mark.parametrize("backbone", [SMALL, "resnet18", "dla34", "convnext_atto"])
def test_a_neck_gives_one_map_at_stride_4(name, backbone):
    channels, strides, features = maps(backbone, 3 * 32, 5 * 32, "meta")
    with torch.device("meta"):
        neck = NECKS[name].build(channels, strides)
        output = neck(features)
    assert output.shape == (2, neck.channels, 3 * 8, 5 * 8)
    assert neck.stride == 4


@pytest.mark.parametrize("name", NECKS)
def test_gradients_reach_every_parameter_and_every_stage_that_is_used(name):
    neck, features = small(name)
    features = [x.detach().requires_grad_() for x in features]
    output = neck(features)
    assert output.shape == (2, neck.channels, 16, 24)
    (output * torch.randn_like(output)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in neck.parameters())
    used = neck.stages[-1:] if isinstance(neck, Deconvolution) else neck.stages
    assert [x.grad is not None for x in features] == [i in used for i in range(len(features))]


@pytest.mark.parametrize("name", NECKS)
def test_rows_of_a_batch_do_not_see_each_other(name):
    neck, features = small(name)
    with torch.no_grad():
        torch.testing.assert_close(neck([x[1:] for x in features]), neck(features)[1:])


@pytest.mark.parametrize("name", NECKS)
def test_mixed_precision_trains_and_stays_near(name):
    neck, features = small(name)
    with torch.autocast("cpu", torch.bfloat16):
        output = neck(features)
    output.float().sum().backward()
    torch.testing.assert_close(output.float(), neck(features), rtol=0.05, atol=0.05 * output.abs().max().item())


@pytest.mark.parametrize("settings", NECKS.values(), ids=NECKS)
def test_settings_survive_json(settings):
    assert TypeAdapter(NeckSettings).validate_json(settings.model_dump_json()) == settings


def test_of_several_stages_at_one_stride_the_last_is_taken():
    neck = Upsampling.Settings().build((8, 16, 24, 32, 40), (2, 4, 8, 8, 8))
    assert neck.stages == (1, 4)


@pytest.mark.parametrize("settings", NECKS.values(), ids=NECKS)
@pytest.mark.parametrize("strides", [(2, 8, 16, 32), (8, 16, 32), (4, 16, 32), (2, 4), (1, 2), ()])
def test_backbones_without_the_stages_are_refused(settings, strides):
    with pytest.raises(InputError, match=r"strides 4, 8 and on.*are at strides"):
        settings.build((8,) * len(strides), strides)


@pytest.mark.parametrize("settings", NECKS.values(), ids=NECKS)
def test_a_stage_without_channels_is_refused(settings):
    with pytest.raises(InputError, match="every stage, not 3 channels and 4 strides"):
        settings.build((8, 8, 8), (4, 8, 16, 32))


@pytest.mark.parametrize("name", [name for name in NECKS if "upsampling" not in name])
def test_images_that_do_not_halve_are_refused(name):
    neck, features = small(name, 64, 80)
    with pytest.raises(InputError, match="multiples of 32"):
        neck(features)


def test_upsampling_takes_images_of_any_size():
    neck, features = small("upsampling", 70, 81)
    assert neck(features).shape == (2, 10, 18, 21)
