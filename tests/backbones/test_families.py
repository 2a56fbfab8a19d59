"""What families say of their networks, and what one more of them needs."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from mtlkit import backbones
from mtlkit.backbones import Family, StagedBackbone, family, has_fc_layers, output_strides, revision, staged
from mtlkit.backbones.base import cut_after
from mtlkit.errors import InputError


def test_every_network_of_timm_has_a_family_that_knows_it():
    for name in timm.list_models():
        assert family(name).knows(name)
        assert has_fc_layers(name) == name.startswith("vgg")
        assert (family(name).default_neck == "dla_up") == (family(name).default_head_width == 256) == ("dla" in name)
        assert (family(name).default_neck == "deformable_deconvolution") == ("resnet" in name)
    assert has_fc_layers("alexnet")
    assert not family("vgg99").knows("vgg99")


@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn", "alexnet", "resnet18"])
def test_as_many_stages_end_in_a_pool_as_the_family_says(name):
    with torch.device("meta"):
        stages = staged(name).stages
    ends = [isinstance(list(stage)[-1], nn.MaxPool2d) for stage in stages]
    assert ends == [family(name).pools > 0] * len(stages)
    assert family(name).pools in (len(stages), 0)


def test_units_of_the_cross_stitch_paper_stand_after_pools_and_full_layers():
    with torch.device("meta"):
        stages = staged("alexnet", cut="layers", fully_connected="padded").stages
    pooled = [any(isinstance(layer, nn.MaxPool2d | nn.Dropout) for layer in stage) for stage in stages]
    assert family("alexnet").stitched_after == tuple(index for index, there in enumerate(pooled) if there)
    assert family("vgg16").stitched_after is None


@pytest.mark.parametrize(
    ("name", "norm"), [("vgg16", False), ("vgg16_bn", True), ("vgg16_bn.tv_in1k", True), ("alexnet", False)]
)
def test_batch_norm_is_told_by_the_name(name, norm):
    with torch.device("meta"):
        backbone = staged(name)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in backbone.modules()) == norm == family(name).has_norm(name)


@pytest.mark.parametrize(
    ("name", "fully_connected", "maps", "number"),
    [
        ("vgg16", "padded", True, 2),
        ("vgg16", "plain", False, 1),
        ("alexnet", "plain", False, 2),
        ("alexnet", "none", False, 1),
        ("alexnet", "none", True, 2),
        ("resnet18", "none", True, 1),
    ],
)
def test_revisions(name, fully_connected, maps, number):
    assert revision(name, fully_connected, maps) == number


class SqueezeNet(Family):
    name = "squeezenet"

    def handles(self, name):
        return name == "squeezenet1_1"

    def names(self):
        return ["squeezenet1_1"]

    def build(self, name, *, output_stride=None, **settings):
        if output_stride not in (None, 16):
            raise InputError(f"{name} cannot be built at output_stride={output_stride}.")
        layers = list(self.classifier(name).features.named_children())
        pools = [part for part, layer in layers if isinstance(layer, nn.MaxPool2d)]
        stages = cut_after(layers, [*pools, layers[-1][0]])
        same = (0.5, 0.5, 0.5)
        return StagedBackbone(name, stages, channels=(64, 128, 256, 512), strides=(4, 8, 16, 16), mean=same, std=same)

    def classifier(self, name):
        return torchvision.models.squeezenet1_1()


def test_one_file_and_one_line_add_a_family(monkeypatch):
    monkeypatch.setattr(backbones, "FAMILIES", (SqueezeNet(), *backbones.FAMILIES))
    torch.manual_seed(0)
    backbone = staged("squeezenet1_1").eval()
    torch.manual_seed(0)
    source = torchvision.models.squeezenet1_1().features.eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        outputs = backbone(images)
        assert torch.equal(outputs[-1], source(images))
    assert [output.shape[1] for output in outputs] == list(backbone.channels)
    assert output_strides("squeezenet1_1") == (16,)
    assert family("squeezenet1_1").rectified("squeezenet1_1")
    assert staged("squeezenet1_1", regions=True).regions.after == 2
    with pytest.raises(InputError, match="did you mean 'squeezenet1_1'"):
        staged("squeezenet1_2")
    with pytest.raises(InputError, match="only vgg and alexnet"):
        staged("squeezenet1_1", fully_connected="plain")
