import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.layers.format import Format
from torch import nn

from mtlkit.backbones import (
    StagedBackbone,
    aside,
    ends_with_convolutions,
    family,
    last_weight,
    output_strides,
    rectified,
    staged,
)
from mtlkit.errors import InputError

WEIGHTS = Path(__file__).parents[3] / "shared" / "weights"

# What the papers' tables and the smaller runs use; VGG and AlexNet, which are cut elsewhere, have tests of their own.
TIMM = {
    "resnet18": ((64, 64, 128, 256, 512), (2, 4, 8, 16, 32)),
    "resnet50": ((64, 256, 512, 1024, 2048), (2, 4, 8, 16, 32)),
    "resnet101": ((64, 256, 512, 1024, 2048), (2, 4, 8, 16, 32)),
    "seresnet50": ((64, 256, 512, 1024, 2048), (2, 4, 8, 16, 32)),
    "dla34": ((32, 64, 128, 256, 512), (2, 4, 8, 16, 32)),
    "mobilenetv2_100": ((16, 24, 32, 96, 320), (2, 4, 8, 16, 32)),
    "mobilenetv3_large_100": ((16, 24, 40, 112, 960), (2, 4, 8, 16, 32)),
    "mobilenetv4_conv_small_050": None,
    "tf_efficientnet_lite0": ((16, 24, 40, 112, 320), (2, 4, 8, 16, 32)),
    "convnext_tiny": ((96, 192, 384, 768), (4, 8, 16, 32)),
    "regnety_004": ((32, 48, 104, 208, 440), (2, 4, 8, 16, 32)),
    "densenet121": ((64, 256, 512, 1024, 1024), (2, 4, 8, 16, 32)),
}

# The network with the fewest parameters of every family (module) of timm 1.0.31 that can be stepped, but VGG.
FAMILIES = [
    "halonet_h1",
    "test_byobnet",
    "test_convnext",
    "cpubone_nano",
    "csatv2",
    "cs3darknet_focus_s",
    "davit_tiny",
    "densenet121",
    "dla46x_c",
    "dpn48b",
    "edgenext_xx_small",
    "efficientformerv2_s0",
    "test_efficientnet",
    "efficientvit_b0",
    "efficientvit_m0",
    "fasternet_t0",
    "fastvit_t8",
    "focalnet_tiny_srf",
    "gcvit_xxtiny",
    "ghostnet_050",
    "hardcorenas_b",
    "hgnetv2_b0",
    "iformer_t",
    "inception_next_atto",
    "inception_resnet_v2",
    "inception_v3",
    "inception_v4",
    "lcnetv2_small",
    "lowformer_b0",
    "test_mambaout",
    "test_coatnet",
    "poolformerv2_s12",
    "mobilenetv3_small_050",
    "mobilevit_xxs",
    "nest_tiny",
    "nextvit_small",
    "test_nfnet",
    "pvt_v2_b0",
    "rdnet_tiny",
    "regnetx_002",
    "repghostnet_050",
    "repvit_m1",
    "res2next50",
    "resnest14d",
    "test_resnet",
    "resnetv2_18",
    "rexnet_100",
    "legacy_seresnet18",
    "sequencer2d_s",
    "shvit_s1",
    "skresnet18",
    "starnet_s050",
    "swiftformer_xs",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_224",
    "tiny_vit_5m_224",
    "tresnet_m",
    "ese_vovnet19b_slim_dw",
]

# The same of every family that cannot be.
REFUSED = [
    "beit_base_patch16_224",
    "cait_xxs24_224",
    "coat_tiny",
    "convit_tiny",
    "convmixer_768_32",
    "crossvit_tiny_240",
    "cspnext_tiny",
    "deepseek_vit_412m",
    "deit_tiny_patch16_224",
    "efficientformer_l1",
    "efficientvim_m1",
    "vit_tiny_patch16_dinov3_qkvb",
    "gemma4_vit_167m",
    "hiera_tiny_224",
    "sam2_hiera_tiny",
    "hrnet_w18_small",
    "levit_128s",
    "gmlp_ti16_224",
    "mobilenetv5_base",
    "mvitv2_tiny",
    "naflexvit_base_patch16_parfac_gap",
    "nasnetalarge",
    "pit_ti_224",
    "pnasnet5large",
    "qwen3_vit_88m",
    "selecsls42",
    "tnt_s_legacy_patch16_224",
    "twins_svt_small",
    "visformer_tiny",
    "test_vit",
    "vit_tiny_r_s16_p8_224",
    "test_vit_relpos",
    "samvit_base_patch16_224",
    "vitamin_small_224",
    "volo_d1_224",
    "legacy_xception",
    "xception41p",
    "xcit_nano_12_p8_224",
]

FIXED = {name for name in FAMILIES if timm.models.get_pretrained_cfg(name).fixed_input_size}


@pytest.fixture(autouse=True)
def one_thread():
    """Small inputs gain nothing from more, and lose much where the cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def assert_steps_like_timm(name: str, size: tuple[int, int], tolerance: int) -> None:
    """Same draws, so same weights: outputs equal bit for bit, alone and after later stages have run."""
    torch.manual_seed(0)
    backbone = staged(name, image_size=size).eval()
    state = torch.get_rng_state()
    torch.manual_seed(0)
    fixed = {"img_size": size} if name.startswith("swin") else {}
    source = timm.create_model(name, features_only=True, **fixed).eval()
    assert torch.equal(state, torch.get_rng_state())
    assert parameters(backbone) == parameters(source)
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected = source(images)
        outputs = backbone(images)
        stepped, x = [], images
        for stage in backbone.stages:
            x = stage(x)
            stepped.append(x.clone())
    if getattr(source, "output_fmt", Format.NCHW) == Format.NHWC:
        expected = [output.permute(0, 3, 1, 2) for output in expected]
    assert len(outputs) == len(expected) == len(backbone.channels) == len(backbone.strides)
    for ours, step, theirs in zip(outputs, stepped, expected, strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(ours, step)
    assert_facts(backbone, outputs, size, tolerance)


def assert_facts(backbone: StagedBackbone, outputs, size, tolerance: int) -> None:
    for output, channels, stride in zip(outputs, backbone.channels, backbone.strides, strict=True):
        assert output.shape[1] == channels
        for length, pixels in zip(output.shape[2:], size, strict=True):
            assert abs(length - pixels / stride) <= tolerance


@pytest.mark.parametrize("name", TIMM)
def test_stages_equal_timms_features(name):
    assert_steps_like_timm(name, (64, 96), 0)


@pytest.mark.parametrize(("name", "facts"), [(name, facts) for name, facts in TIMM.items() if facts])
def test_facts_by_name(name, facts):
    with aside():
        backbone = staged(name)
    assert (backbone.channels, backbone.strides) == facts
    assert backbone.name == name


@pytest.mark.parametrize("name", ["resnet18", "alexnet", "swin_tiny_patch4_window7_224"])
def test_what_is_built_aside_has_all_but_numbers(name):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with aside():
        facts = staged(name, image_size=(64, 96))
    assert torch.equal(torch.get_rng_state(), before)
    built = staged(name, image_size=(64, 96)).state_dict()
    assert {key: (value.shape, value.dtype) for key, value in facts.state_dict().items()} == {
        key: (value.shape, value.dtype) for key, value in built.items()
    }
    assert all(value.is_meta for value in facts.state_dict().values())


def test_normalisation_is_the_pretrained_networks():
    with aside():
        assert staged("tf_efficientnet_lite0").mean == (0.5, 0.5, 0.5)
        assert staged("resnet50").mean == staged("alexnet").mean == (0.485, 0.456, 0.406)
        assert staged("resnet50").std == staged("alexnet").std == (0.229, 0.224, 0.225)


def test_swin_is_channels_first_outside_at_the_size_asked_for():
    assert_steps_like_timm("swin_tiny_patch4_window7_224", (64, 96), 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_steppable_family(name):
    size = timm.models.get_pretrained_cfg(name).input_size[1:] if name in FIXED else (160, 192)
    if name.startswith("halonet"):  # its blocks of 8 must divide the map at stride 32
        size = (256, 256)
    padded = not name.startswith("inception_") or name.startswith("inception_next")
    assert_steps_like_timm(name, size, 1 if padded else 4)
    with aside():
        for stride in output_strides(name):
            backbone = staged(name, output_stride=stride, image_size=size)
            assert_facts(backbone, backbone.eval()(torch.empty(1, 3, *size)), size, 1 if padded else 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_every_other_family_is_refused_by_name(name):
    with aside(), pytest.raises(InputError, match=name) as caught:
        staged(name)
    assert "resnet50" in str(caught.value)


# ------------------------------------------------------------------------------------------- VGG, AlexNet


def after_pools(features: nn.Sequential, images: torch.Tensor) -> list[torch.Tensor]:
    x, outputs = images, []
    for layer in features:
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d):
            outputs.append(x.clone())
    return outputs


def copy_in_order(target: nn.Module, source: nn.Module) -> None:
    with torch.no_grad():
        pairs = zip(target.state_dict().values(), source.state_dict().values(), strict=False)
        for ours, theirs in pairs:
            ours.copy_(theirs)


def torchvisions(name: str, backbone: nn.Module) -> nn.Module:
    """The convolutional part of torchvision's network, with the numbers of the backbone."""
    with aside():  # else most of the time would go into its linear layers
        features = getattr(torchvision.models, name)().features
    source = features.to_empty(device="cpu").eval()
    assert parameters(backbone) == parameters(source)
    copy_in_order(source, backbone)
    return source


@pytest.mark.parametrize("name", ["vgg11", "vgg16", "vgg16_bn"])
def test_vgg_stages_end_after_the_pools(name):
    backbone = staged(name).eval()
    source = torchvisions(name, backbone)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        outputs = backbone(images)
        assert all(map(torch.equal, outputs, after_pools(source, images)))
    assert backbone.channels == (64, 128, 256, 512, 512)
    assert backbone.strides == (2, 4, 8, 16, 32)
    assert_facts(backbone, outputs, (64, 96), 0)


def test_vgg_fully_connected_stages_are_timms():
    torch.manual_seed(0)
    backbone = staged("vgg11", fully_connected="plain").eval()
    torch.manual_seed(0)
    source = timm.create_model("vgg11", num_classes=0).eval()
    assert parameters(backbone) == parameters(source)
    assert backbone.channels[5:] == (4096, 4096)
    assert backbone.strides[5:] == (32, 32)
    for size in (64, 224):
        images = torch.randn(1, 3, size, size)
        with torch.no_grad():
            outputs = backbone(images)
            assert torch.equal(outputs[-1], source.pre_logits(source.forward_features(images)))
        assert outputs[5].shape == outputs[6].shape == (1, 4096, 1, 1)
    assert [layer.p for stage in backbone.stages for layer in stage if isinstance(layer, nn.Dropout)] == [0.5, 0.5]


def test_alexnet_stages():
    torch.manual_seed(0)
    backbone = staged("alexnet", fully_connected="plain").eval()
    torch.manual_seed(0)
    source = torchvision.models.alexnet().eval()
    assert parameters(backbone) == parameters(source) - parameters(source.classifier[-1])
    assert backbone.channels == (64, 192, 256, 4096, 4096)
    assert backbone.strides == (8, 16, 32, 32, 32)
    assert len(staged("alexnet").stages) == len(staged("alexnet").channels) == 3
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        outputs = backbone(images)
        pools = after_pools(source.features, images)
        full = source.classifier[:-1](source.avgpool(pools[-1]).flatten(1))
    assert all(map(torch.equal, outputs[:3], pools))
    torch.testing.assert_close(outputs[4], full[:, :, None, None])
    assert outputs[3].shape == (2, 4096, 1, 1)
    assert [output.shape[-1] for output in outputs[:3]] == [27, 13, 6]


@pytest.mark.parametrize(("name", "convolutions"), [("alexnet", 5), ("vgg11", 8), ("vgg16_bn", 13)])
def test_a_cut_after_every_layer_steps_the_same_network(name, convolutions):
    torch.manual_seed(0)
    coarse = staged(name).eval()
    torch.manual_seed(0)
    fine = staged(name, cut="layers").eval()
    assert len(fine.stages) == len(fine.channels) == len(fine.strides) == convolutions
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        outputs, maps = fine(images), coarse(images)
    assert torch.equal(outputs[-1], maps[-1])
    assert (fine.channels[-1], fine.strides[-1]) == (coarse.channels[-1], coarse.strides[-1])
    assert [output.shape[1] for output in outputs] == list(fine.channels)
    for after_pool in maps:
        assert any(torch.equal(output, after_pool) for output in outputs)


@pytest.mark.parametrize(("name", "size"), [("alexnet", 96), ("vgg11", 32)])
def test_a_cut_in_front_of_pools_steps_the_same_network_with_the_same_tensors(name, size):
    built = {}
    for cut in ("layers", "convolutions"):
        torch.manual_seed(0)
        built[cut] = staged(name, cut=cut, fully_connected="plain").eval()
    behind, before = built.values()
    states = [network.state_dict() for network in built.values()]
    assert states[0].keys() == states[1].keys()
    assert all(map(torch.equal, states[0].values(), states[1].values()))
    assert (before.channels, before.grid) == (behind.channels, behind.grid)
    images = torch.randn(1, 3, size, size)
    with torch.no_grad():
        inside, pooled = before(images), behind(images)
        assert torch.equal(inside[-1], pooled[-1])
        pools = 0
        for ours, theirs, stage in zip(inside, pooled, behind.stages, strict=True):
            pool = [layer for layer in stage if isinstance(layer, nn.MaxPool2d)]
            pools += len(pool)
            assert torch.equal(pool[0](ours) if pool else ours, theirs)
    assert pools == family(name).pools


@pytest.mark.parametrize(("name", "first"), [("alexnet", 13), ("vgg11", 12.5)])
def test_fully_convolutional_networks_agree_with_classifiers_where_nothing_is_padded(name, first):
    torch.manual_seed(0)
    plain = staged(name, fully_connected="plain").eval()
    torch.manual_seed(0)
    padded = staged(name, fully_connected="padded").eval()
    assert padded.state_dict().keys() == plain.state_dict().keys()
    images = torch.randn(1, 3, 480, 490)
    shift = int(first + 4 * 32 - plain.grid.offset)  # where the fifth cell of the one looks, the other's first does
    assert 0 <= shift < 32
    with torch.no_grad():
        inside, whole = plain(images[..., shift:, shift:])[-1], padded(images)[-1]
    # Further in than the image's own border reaches.
    part = inside[..., 3:-3, 3:-3]
    there = whole[..., 7 : 7 + part.shape[2], 7 : 7 + part.shape[3]]
    assert part.numel() > 0
    torch.testing.assert_close(there, part, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
@pytest.mark.parametrize("fully_connected", ["plain", "padded"])
def test_dropout_stands_behind_each_full_layer_and_nowhere_else(name, fully_connected):
    with aside():
        backbone = staged(name, fully_connected=fully_connected)
    assert [type(stage[-1]) for stage in backbone.stages[-2:]] == [nn.Dropout, nn.Dropout]
    assert [layer.p for layer in backbone.modules() if isinstance(layer, nn.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize("name", ["vgg16", "vgg16_bn"])
def test_deeplab_largefov_surgery(name):
    backbone = staged(name, output_stride=8).eval()
    features = torchvisions(name, backbone)
    seen = 0
    for i, layer in enumerate(features):
        if isinstance(layer, nn.MaxPool2d):
            seen += 1
            features[i] = nn.MaxPool2d(3, stride=2 if seen <= 3 else 1, padding=1)
        elif isinstance(layer, nn.Conv2d) and seen == 4:
            atrous = nn.Conv2d(512, 512, 3, padding=2, dilation=2)
            atrous.load_state_dict(layer.state_dict())
            features[i] = atrous
    images = torch.randn(1, 3, 321, 321)
    with torch.no_grad():
        outputs = backbone(images)
        expected = after_pools(features, images)
        expected[-1] = nn.functional.avg_pool2d(expected[-1], 3, stride=1, padding=1)
    assert [tuple(output.shape[2:]) for output in outputs] == [(161, 161), (81, 81), (41, 41), (41, 41), (41, 41)]
    assert backbone.strides == (2, 4, 8, 8, 8)
    assert all(map(torch.equal, outputs, expected))
    with aside():
        assert backbone.state_dict().keys() == staged(name).state_dict().keys()


# --------------------------------------------------------------------------------- strides, last weights


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("vgg16", (8, 32)),
        ("alexnet", (32,)),
        ("dla34", (32,)),
        ("densenet121", (32,)),
        ("resnet50", (8, 16, 32)),
        ("mobilenetv2_100", (8, 16, 32)),
        ("nest_tiny", (16,)),
    ],
)
def test_output_strides_are_built_and_measured(name, strides):
    output_strides.cache_clear()
    state = torch.get_rng_state()
    assert output_strides(name) == strides
    assert torch.equal(state, torch.get_rng_state())
    size = (224, 224)
    with aside():
        for stride in strides:
            backbone = staged(name, output_stride=stride, image_size=size).eval()
            assert backbone.strides[-1] == stride
            assert_facts(backbone, backbone(torch.empty(1, 3, *size)), size, 1)


@pytest.mark.parametrize(
    ("name", "relu"),
    [
        ("vgg16_bn", True),
        ("alexnet", True),
        ("resnet18", True),
        ("regnety_002", True),
        ("mobilenetv2_100", False),
        ("mobilenetv3_small_050", False),
        ("convnext_atto", False),
    ],
)
def test_stages_that_end_in_a_relu_are_told_from_others(name, relu):
    rectified.cache_clear()
    state = torch.get_rng_state()
    assert rectified(name) is relu
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("vgg16", "features_28.weight"),
        ("alexnet", "features_10.weight"),
        ("resnet18", "layer4.1.conv2.weight"),
        ("resnet10t", "layer4.0.conv2.weight"),
        ("seresnet50", "layer4.2.conv3.weight"),
        ("legacy_seresnet18", "layer4.1.conv2.weight"),
        ("regnety_004", "s4.b6.conv3.conv.weight"),
        ("mobilenetv2_100", "blocks_6.0.conv_pwl.weight"),
        ("convnext_tiny", "stages_3.blocks.2.mlp.fc2.weight"),
        ("dla34", "level5.root.conv.weight"),
    ],
)
def test_last_weight(name, path):
    with aside():
        backbone = staged(name)
        stage = backbone.stages[-1]
        assert last_weight(stage, backbone.channels[-1]) is stage.get_parameter(path)


def test_last_weight_of_fully_connected_stages():
    with aside():
        for backbone in (staged("vgg16", fully_connected="plain"), staged("alexnet", fully_connected="plain")):
            for stage, channels in zip(backbone.stages, backbone.channels, strict=True):
                assert last_weight(stage, channels).shape[0] == channels


def test_last_weight_is_refused_where_a_stage_ends_by_joining_maps():
    with aside(), pytest.raises(InputError, match="1024 channels"):
        last_weight(staged("densenet121").stages[-1], 1024)


# ------------------------------------------------------------------------------------------------- weights


def real(file: str) -> str:
    path = WEIGHTS / file
    if not path.exists():
        pytest.skip(f"the ImageNet weights {file} are not beside the repository")
    return str(path)


@pytest.mark.parametrize(
    ("name", "file", "first"),
    [
        ("vgg16", "vgg16.tv_in1k.features.fp16.safetensors", -0.5537),
        ("alexnet", "alexnet.tv_in1k.features.fp16.safetensors", 0.1186),
        ("mobilenetv2_100", "mobilenetv2_100.in1k.backbone.fp16.safetensors", None),
        ("tf_efficientnet_lite0", "tf_efficientnet_lite0.in1k.fp16.safetensors", None),
    ],
)
def test_real_weights(name, file, first):
    path = real(file)
    torch.manual_seed(0)
    plain = staged(name)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    backbone = staged(name, weights=path)
    assert torch.equal(state, torch.get_rng_state())
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in backbone.state_dict().values())
    changed = [not torch.equal(a, b) for a, b in zip(plain.parameters(), backbone.parameters(), strict=True)]
    assert all(changed)
    if first is not None:
        assert next(backbone.parameters()).flatten()[0].item() == pytest.approx(first, abs=1e-3)
    else:
        source = timm.create_model(
            name, features_only=True, pretrained=True, pretrained_cfg_overlay={"file": path}
        ).eval()
        images = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            assert all(map(torch.equal, backbone.eval()(images), source(images)))


def test_real_vgg_weights_fit_the_surgery_and_leave_no_layer_undrawn():
    path = real("vgg16.tv_in1k.features.fp16.safetensors")
    surgery, plain = staged("vgg16", weights=path, output_stride=8), staged("vgg16", weights=path)
    assert all(map(torch.equal, surgery.parameters(), plain.parameters()))
    with pytest.raises(InputError, match=r"4 tensor\(s\) missing \(pre_logits.fc1.bias, pre_logits.fc1.weight"):
        staged("vgg16", weights=path, fully_connected="plain")
    for other in ("vgg13", "vgg16_bn", "vgg19", "alexnet", "resnet18"):
        with pytest.raises(InputError, match=rf"does not fit {other}: .*missing .*unexpected"):
            staged(other, weights=path)


@pytest.mark.parametrize("of", ["vgg16", "alexnet"])
def test_fully_connected_stages_that_a_file_lacks_start_at_random_where_that_is_said(of):
    path = real(f"{of}.tv_in1k.features.fp16.safetensors")
    assert ends_with_convolutions(of, Path(path))
    options = {"fully_connected": "padded", "cut": "layers"}
    torch.manual_seed(0)
    random = staged(of, **options)
    torch.manual_seed(0)
    backbone = staged(of, weights=path, convolutions_only=True, **options)
    convolutions = staged(of, weights=path, cut="layers")
    count = len(convolutions.stages)
    assert len(backbone.stages) == count + 2
    assert all(map(torch.equal, backbone.stages[:count].parameters(), convolutions.parameters()))
    assert all(map(torch.equal, backbone.stages[count:].parameters(), random.stages[count:].parameters()))


def partial_file(folder, net, keep, spelling=str):
    """A file with some tensors of a network, all zero."""
    path = folder / "net.safetensors"
    names = {key: spelling(key) for key in net.state_dict() if keep(key)}
    save_file({name: torch.zeros(net.state_dict()[key].shape, dtype=torch.half) for key, name in names.items()}, path)
    return path


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_a_file_with_anything_of_the_fully_connected_layers_does_not_end_with_the_convolutions(name, tmp_path):
    with aside():
        net = getattr(torchvision.models, name)()
    assert ends_with_convolutions(name, partial_file(tmp_path, net, lambda key: key.startswith("features")))
    for keep in (lambda key: True, lambda key: key.startswith("features") or key.endswith(("r.0.bias", "r.1.bias"))):
        path = partial_file(tmp_path, net, keep)
        assert not ends_with_convolutions(name, path)
        with pytest.raises(InputError, match="of layers that it is said to lack"):
            staged(name, weights=str(path), fully_connected="plain", convolutions_only=True)
    underscores = partial_file(tmp_path, net, lambda key: True, lambda key: key.replace(".", "_"))
    assert not ends_with_convolutions(name, underscores)


def test_timms_names_of_fully_connected_layers_are_known(tmp_path):
    with aside():
        net = timm.create_model("vgg11")
    assert not ends_with_convolutions("vgg11", partial_file(tmp_path, net, lambda key: not key.startswith("head")))


def test_convolutions_only_needs_a_file_and_fully_connected_stages(tmp_path):
    path = str(tmp_path / "net.safetensors")
    for options in ({"fully_connected": "plain"}, {"fully_connected": "plain", "weights": "timm"}, {"weights": path}):
        with pytest.raises(InputError, match="convolutions_only is for a file of weights"):
            staged("alexnet", convolutions_only=True, **options)
    for name, message in {"nowhere.safetensors": "for alexnet does not exist", "net.pth": "not '.*net.pth'"}.items():
        with pytest.raises(InputError, match=message):
            ends_with_convolutions("alexnet", tmp_path / name)
    Path(path).write_text("no tensors here")
    with pytest.raises(InputError, match=r"net.safetensors for alexnet cannot be read"):
        ends_with_convolutions("alexnet", Path(path))


@pytest.fixture
def resnet_file(tmp_path):
    net = timm.create_model("resnet10t", num_classes=7)
    return net, tmp_path / "resnet10t.safetensors"


def test_whole_classifiers_and_half_precision_load(resnet_file):
    net, path = resnet_file
    save_file({key: tensor.half() if tensor.ndim > 1 else tensor for key, tensor in net.state_dict().items()}, path)
    backbone = staged("resnet10t", weights=str(path))
    state = net.state_dict()
    for key, tensor in backbone.state_dict().items():
        assert tensor.dtype == state[key.split(".", 2)[2]].dtype
        torch.testing.assert_close(tensor, state[key.split(".", 2)[2]], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["vgg11", "test_convnext", "mobilenetv3_small_050"])
@pytest.mark.parametrize("features_only", [False, True])
def test_both_spellings_load(name, features_only, tmp_path):
    path = tmp_path / "net.safetensors"
    options = {"features_only": True} if features_only else {}
    source = timm.create_model(name, **options, **({"mlp_ratio": 1 / 4096} if name == "vgg11" else {}))
    save_file(source.state_dict(), path)
    backbone = staged(name, weights=str(path))
    state = {key.replace(".", "_"): tensor for key, tensor in source.state_dict().items()}
    for key, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, state[key.split(".", 2)[2].replace(".", "_")])


def test_torchvisions_linear_layers_become_convolutions(tmp_path):
    path = tmp_path / "vgg11.safetensors"
    source = torchvision.models.vgg11().eval()
    save_file({key: tensor.half() for key, tensor in source.state_dict().items()}, path)
    source.half().float()  # the rounding of the file
    backbone = staged("vgg11", weights=str(path), fully_connected="plain").eval()
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        expected = source.classifier[:-1](source.features(images).flatten(1))
        torch.testing.assert_close(backbone(images)[-1].flatten(1), expected, atol=1e-4, rtol=1e-4)


def test_files_without_the_batch_counter_load(resnet_file):
    net, path = resnet_file
    save_file({k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}, path)
    staged("resnet10t", weights=str(path))


def test_misfits_are_named_and_counted(resnet_file):
    net, path = resnet_file
    state = net.state_dict()
    del state["layer4.0.bn1.bias"]
    state["conv1.0.weight"] = torch.zeros(1, 2)
    state["conv1.3.weight"] = state["conv1.3.weight"].to(torch.int8)
    state |= {f"layer9.{i}.weight": torch.zeros(1) for i in range(5)}
    save_file(state, path)
    with pytest.raises(InputError) as caught:
        staged("resnet10t", weights=str(path))
    message = str(caught.value)
    assert "1 tensor(s) missing (layer4.0.bn1.bias)" in message
    assert "1 tensor(s) of the wrong type (conv1.3.weight holds torch.int8)" in message
    assert "1 tensor(s) of the wrong shape (conv1.0.weight is (1, 2) and not (24, 3, 3, 3))" in message
    assert "5 tensor(s) unexpected (layer9.0.weight, layer9.1.weight, layer9.2.weight, ...)" in message


def test_a_deeper_network_of_the_same_kind_is_refused(tmp_path):
    path = tmp_path / "resnet34.safetensors"
    save_file(timm.create_model("resnet34").state_dict(), path)
    with pytest.raises(InputError, match=r"does not fit resnet18: \d+ tensor\(s\) unexpected"):
        staged("resnet18", weights=str(path))


def test_weights_that_are_no_readable_file(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.safetensors for resnet18 does not exist"):
        staged("resnet18", weights=str(tmp_path / "nowhere.safetensors"))
    with pytest.raises(InputError, match=r"'none', 'timm' or a \.safetensors file, not 'imagenet'"):
        staged("resnet18", weights="imagenet")
    (tmp_path / "bad.safetensors").write_text("no tensors here")
    with pytest.raises(InputError, match="cannot be read"):
        staged("resnet18", weights=str(tmp_path / "bad.safetensors"))


def test_published_weights_fail_at_once_without_a_connection(tmp_path):
    code = (
        "import time; from mtlkit.backbones import staged; from mtlkit.errors import InputError\n"
        "waits = []; time.sleep = waits.append  # as clients do between attempts\n"
        "for name in ('resnet10t', 'alexnet'):\n"
        "    try: staged(name, weights='timm')\n"
        "    except InputError as error: print(error)\n"
        "assert waits == []\n"
    )
    cache = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **cache},
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("No weights for resnet10t")
    assert lines[1].startswith("No weights for alexnet")


def test_an_unreachable_hub_is_not_tried_again(monkeypatch):
    def get_session():
        raise OSError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.get_session", get_session)
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"cannot be reached .*HF_HUB_OFFLINE=1"):
        staged("resnet10t", weights="timm")
    assert time.perf_counter() - start < 5


def test_published_weights_take_no_random_numbers(monkeypatch):
    monkeypatch.setattr("mtlkit.backbones.timm.reach_hub", lambda name: None)
    real_create = timm.create_model

    def create(name, pretrained=False, **settings):
        return real_create(name, **settings)

    monkeypatch.setattr(timm, "create_model", create)
    states = []
    for weights in ("none", "timm"):
        torch.manual_seed(0)
        staged("resnet10t", weights=weights)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


# -------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("wrong", [{"cut": "layer"}, {"fully_connected": "pad"}])
@pytest.mark.parametrize("name", ["vgg11", "alexnet", "resnet18"])
def test_a_wrong_word_is_no_other_cut(name, wrong):
    with pytest.raises(InputError, match=r"^There is no (cut|fully_connected) '.*'; did you mean"):
        staged(name, **wrong)


def test_unknown_names_suggest_the_nearest():
    start = time.perf_counter()
    for call in (staged, output_strides):
        with pytest.raises(InputError, match="no backbone 'nosuchnet'"):
            call("nosuchnet")
    with pytest.raises(InputError, match="did you mean 'resnet50'"):
        staged("resnet5")
    with pytest.raises(InputError, match="did you mean 'alexnet'"):
        staged("alexnett")
    with pytest.raises(InputError, match="no resnet50 tag 'a1_in2k'; did you mean 'a1_in1k'"):
        staged("resnet50.a1_in2k")
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg16", {"output_stride": 16}, "vgg16 cannot be built at output_stride=16; possible is 8 or 32"),
        ("alexnet", {"output_stride": 8}, "alexnet cannot be built at output_stride=8; possible is 32"),
        ("dla34", {"output_stride": 8}, "dla34 cannot be built at output_stride=8; possible is 32"),
        ("densenet121", {"output_stride": 16}, "densenet121 cannot be built at output_stride=16; possible is 32"),
        ("vgg16", {"output_stride": 8, "fully_connected": "plain"}, "trunk of DeepLab-LargeFOV"),
        ("resnet18", {"fully_connected": "plain"}, "only vgg and alexnet"),
        ("resnet18", {"cut": "layers"}, "cut where timm cuts it"),
        ("alexnet", {"cut": "convolutions"}, "fc6 of alexnet begins with the last pool: set fully_connected"),
        ("swin_tiny_patch4_window7_224", {}, r"give image_size=\(height, width\)"),
        ("vit_tiny_patch16_224", {}, "vit_tiny_patch16_224 cannot be stepped: timm's FeatureGetterNet"),
        ("hrnet_w18_small", {}, "hrnet_w18_small cannot be stepped: timm's HighResolutionNetFeatures"),
        ("legacy_xception", {}, "legacy_xception cannot be stepped: timm's FeatureHookNet"),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(name, options, message):
    with aside(), pytest.raises(InputError, match=message) as caught:
        staged(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"channels": (8,)}, "mine needs .* every stage, not 1 channels and 2 strides for 2 stages"),
        ({"strides": (2, 4, 8)}, "2 channels and 3 strides for 2 stages"),
        ({"mean": (0.5,)}, r"The mean of mine is three numbers, .* not \(0\.5,\)"),
        ({"std": 0.5}, r"The std of mine is three numbers, .* not 0\.5"),
    ],
)
def test_a_backbone_of_ones_own_has_facts_for_all_its_stages(more, sentence):
    facts = {"channels": (8, 8), "strides": (2, 4), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)} | more
    with pytest.raises(InputError, match=sentence):
        StagedBackbone("mine", [nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 8, 2, 2)], **facts)
