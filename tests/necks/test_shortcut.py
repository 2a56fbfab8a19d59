"""The shortcut of NDDR-CNN, against its definition and inside networks."""

import pytest
import torch
import torch.nn.functional as F
from builders import NORMALS, SEGMENTATION, fused, network
from torch import nn

from mtlkit.backbones import staged
from mtlkit.necks import Shortcut
from mtlkit.network import parameter_groups
from mtlkit.sharing import HardSharing

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
TASKS = ("segmentation", "normals")


def with_shortcut(tasks=(SEGMENTATION, NORMALS), sharing=None):
    settings = network(tasks, sharing or fused("nddr"))
    return settings.model_copy(update={"neck": Shortcut.Settings(width=24)}).build()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_it_is_resizing_joining_and_one_convolution():
    neck = Shortcut.Settings(width=7).build((3, 4, 5), (2, 4, 4)).eval()
    neck.norm.running_mean.normal_()
    neck.norm.running_var.uniform_(0.5, 2)
    maps = [torch.randn(2, 3, 9, 12), torch.randn(2, 4, 5, 6), torch.randn(2, 5, 5, 6)]
    resize = nn.Upsample(size=(5, 6), mode="bilinear", align_corners=False)
    joined = torch.cat([resize(maps[0]), maps[1], maps[2]], 1)
    mixed = torch.einsum("oc,nchw->nohw", neck.reduce.weight[..., 0, 0], joined)
    mean, var = (statistic[:, None, None] for statistic in (neck.norm.running_mean, neck.norm.running_var))
    torch.testing.assert_close(neck(maps), F.relu((mixed - mean) / torch.sqrt(var + 1e-3)))


def test_on_deeplab_vgg16_its_map_has_512_channels_and_41_pixels_at_321():
    with torch.device("meta"):
        backbone = staged("vgg16", output_stride=8)
        neck = Shortcut.Settings().build(backbone.channels, backbone.strides)
        assert neck(backbone(torch.empty(1, 3, 321, 321))).shape == (1, 512, 41, 41)


def test_networks_that_share_all_stages_have_one_shortcut():
    assert set(with_shortcut(sharing=HardSharing.Settings()).necks) == {"all"}
    assert set(with_shortcut((NORMALS,), HardSharing.Settings()).necks) == {"all"}


@pytest.mark.parametrize(
    "sharing",
    [HardSharing.Settings(split_after=2), fused("nddr"), fused("cross_stitch")],
    ids=["split", "nddr", "stitch"],
)
def test_a_task_with_stages_of_its_own_has_a_shortcut_of_its_own(sharing):
    both = with_shortcut(sharing=sharing).eval()
    assert set(both.necks) == set(TASKS)
    with torch.no_grad():
        before = both(IMAGES)
        for parameter in both.necks["segmentation"].parameters():
            parameter.add_(torch.randn_like(parameter))
        after = both(IMAGES)
    assert torch.equal(after["normals"], before["normals"])
    assert not torch.equal(after["segmentation"], before["segmentation"])


def test_gradients_reach_the_first_unit_through_the_shortcut_alone():
    both = with_shortcut()
    maps = both.trunk(both.trunk.normalised(IMAGES))["normals"]
    cut = [*maps[:1], *(x.detach() for x in maps[1:])]
    both.necks["normals"](cut).square().sum().backward()
    assert both.trunk.units["0"].weight.grad.abs().max() > 0
    assert both.trunk.units["1"].weight.grad is None


def test_it_learns_at_its_own_rate_and_only_its_convolution_decays():
    both = with_shortcut()
    made = parameter_groups(both, lr=1, weight_decay=0.1, lr_mult={"shortcut": 100})
    groups = {group["name"]: group for group in made}
    assert len(groups["shortcut"]["params"]) == len(both.necks)
    assert len(groups["shortcut_undecayed"]["params"]) == 2 * len(both.necks)
    assert (groups["shortcut"]["lr"], groups["shortcut"]["weight_decay"]) == (100, 0.1)
    assert (groups["shortcut_undecayed"]["lr"], groups["shortcut_undecayed"]["weight_decay"]) == (100, 0)
    grouped = [id(p) for group in made for p in group["params"]]
    assert sorted(grouped) == sorted(map(id, both.parameters()))


@pytest.mark.parametrize("sharing", [None, HardSharing.Settings()], ids=["fused", "trained on"])
def test_a_network_starts_from_single_task_networks_with_their_shortcuts(sharing):
    for task in (SEGMENTATION, NORMALS):
        alone = with_shortcut((task,), HardSharing.Settings())
        later = with_shortcut(sharing=None) if sharing is None else with_shortcut((task,), sharing)
        later.load_single_task(task.name, alone.state_dict())
        neck = later.necks[task.name if sharing is None else "all"]
        assert torch.equal(neck.reduce.weight, alone.necks["all"].reduce.weight)


def test_a_network_that_starts_from_one_without_a_shortcut_keeps_the_start_of_its_own():
    alone = network((NORMALS,)).model_copy(update={"neck": None}).build()
    both = with_shortcut()
    later = {task: neck.reduce.weight.detach().clone() for task, neck in both.necks.items()}
    # The head's first convolution is as wide as the shortcut's map, here not the last stage's.
    state = {key: value for key, value in alone.state_dict().items() if not key.startswith("heads.")}
    own = {f"heads.normals.{key}": value for key, value in both.heads["normals"].state_dict().items()}
    both.load_single_task("normals", state | own)
    for task, neck in both.necks.items():
        assert torch.equal(neck.reduce.weight, later[task])
    first = next(iter(alone.trunk.shared[0].parameters()))
    assert torch.equal(next(iter(both.trunk.towers["normals"][0].parameters())), first)
