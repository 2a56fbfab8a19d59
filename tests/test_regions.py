"""Networks that look at regions: where the pooling stands, and that it changes nothing else."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import roi_pool

from mtlkit.backbones import RegionPooling, staged
from mtlkit.data.samples import Batch
from mtlkit.errors import InputError
from mtlkit.fusion import CrossStitch, Sluice
from mtlkit.heads import Exit
from mtlkit.network import NetworkSettings
from mtlkit.sharing import HardSharing, SoftSharing
from mtlkit.tasks import Attributes, RegionDetection
from mtlkit.tasks.region_detection import RegionTruth
from mtlkit.training import loss_terms

DETECTION = RegionDetection(classes=("cow", "dog"))
ATTRIBUTES = Attributes(attributes=("Head", "Leg", "Furry"))
TASKS = (DETECTION, ATTRIBUTES)
IDENTITY = CrossStitch.Settings(per="layer", alpha=1, beta=0)
BACKBONES = {
    "alexnet": {"fully_connected": "plain", "cut": "layers"},
    "vgg11": {"fully_connected": "plain", "cut": "layers"},
    "resnet10t": {},
}


def pictures(side: int, count: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def through(backbone, images, regions, last=None):
    """Every stage's map up to the last, the pooling done by hand."""
    maps, x = [], images
    for index, stage in enumerate(backbone.stages[: None if last is None else last + 1]):
        x = stage(x)
        if index == backbone.regions.after:
            x = backbone.regions.pooled(x, regions)
        maps.append(x)
    return maps


def network(tasks=TASKS, sharing=None, backbone="resnet10t", **more) -> NetworkSettings:
    return NetworkSettings(
        backbone=backbone,
        **BACKBONES[backbone],
        tasks=tasks,
        sharing=sharing or HardSharing.Settings(),
        head=Exit.Settings(),
        regions=True,
        **more,
    )


@pytest.mark.parametrize(
    ("name", "cut", "stages", "pooling"),
    [
        ("alexnet", "layers", 7, RegionPooling(after=4, side=6, stride=16, offset=15.0)),
        ("alexnet", "pools", 5, RegionPooling(after=2, side=6, stride=16, offset=15.0)),
        ("vgg11", "layers", 10, RegionPooling(after=7, side=7, stride=16, offset=7.5)),
        ("vgg11", "pools", 7, RegionPooling(after=4, side=7, stride=16, offset=7.5)),
        ("vgg11_bn", "pools", 7, RegionPooling(after=4, side=7, stride=16, offset=7.5)),
    ],
)
def test_the_pooling_of_regions_takes_the_place_of_the_last_pool(name, cut, stages, pooling):
    with torch.device("meta"):
        plain = staged(name, fully_connected="plain", cut=cut)
        built = staged(name, fully_connected="plain", cut=cut, regions=True)
    assert built.regions == pooling
    assert len(built.stages) == len(plain.stages) == stages
    pools = [sum(isinstance(m, torch.nn.MaxPool2d) for m in each.modules()) for each in (plain, built)]
    assert pools[1] == pools[0] - 1
    assert not isinstance(built.stages[pooling.after][-1], torch.nn.MaxPool2d)
    assert built.channels == plain.channels
    assert built.strides == (*plain.strides[: pooling.after], 16, 16, 16)
    assert {k: v.shape for k, v in built.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}


def test_of_a_network_without_layers_the_last_stage_looks_at_regions():
    with torch.device("meta"):
        plain, built = staged("resnet10t"), staged("resnet10t", regions=True)
    assert built.regions == RegionPooling(after=3, side=7, stride=16)
    assert (built.strides, built.channels) == (plain.strides, plain.channels)
    assert plain.regions is None


def test_the_pooling_of_alexnet_is_its_pool_where_a_region_is_13_cells():
    """6 bins over 13 cells are the windows of a pool of 3 at stride 2: each begins at floor(13 i / 6) = 2 i and ends
    before ceil(13 (i + 1) / 6) = 2 i + 3. Ends of regions are rounded to cells that still belong to them, so 13 cells
    end at pixel 12 * 16, and the first cell looks around pixel 15."""
    torch.manual_seed(0)
    built = staged("alexnet", fully_connected="plain", cut="layers", regions=True).eval()
    images = pictures(224)
    with torch.inference_mode():
        maps = through(built, images, torch.tensor([[0.0, 15, 15, 207, 207]]))
        before = images
        for stage in built.stages[:5]:
            before = stage(before)
        assert maps[4].shape == (1, 256, 6, 6)
        assert torch.equal(maps[4], F.max_pool2d(before[..., :13, :13], 3, 2))
        assert maps[5].shape == maps[6].shape == (1, 4096, 1, 1), "fc6 sees all of the 6x6"
        fc6 = built.stages[5][-3]
        by_hand = maps[4].flatten(1) @ fc6.weight.flatten(1).T + fc6.bias
        assert torch.allclose(maps[5].flatten(1), by_hand.relu(), atol=1e-5)


@pytest.mark.parametrize(("name", "side", "end"), [("vgg11", 224, 208), ("resnet10t", 112, 96)])
def test_one_region_over_all_cells_gives_the_plain_network(name, side, end):
    """VGG: 14 cells in 7 bins are its pool of 2 at stride 2. ResNet: 7 cells in 7 bins are the cells themselves, so a
    image of 112 pixels is the size at which the last stage sees the same map. The last cell begins at ``end``."""
    torch.manual_seed(0)
    plain = staged(name, **BACKBONES[name]).eval()
    torch.manual_seed(0)
    built = staged(name, **BACKBONES[name], regions=True).eval()
    assert all(torch.equal(one, other) for one, other in zip(plain.parameters(), built.parameters(), strict=True))
    images = pictures(side)
    with torch.inference_mode():
        after = built.regions.after
        expected = plain(images)
        found = through(built, images, torch.tensor([[0.0, 0, 0, end, end]]))
    assert found[after].shape[-2:] == (7, 7)
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.shape == other.shape, index
        assert torch.equal(one, other), index


def test_a_region_as_large_as_the_image_covers_every_cell_and_no_more():
    """112 pixels are 7 cells; an eighth, rounded up from the right edge, would shift the bins."""
    torch.manual_seed(0)
    plain, whole = (network(backbone="resnet10t").build().eval() for _ in range(2))
    whole.load_state_dict(plain.state_dict())
    images = pictures(112)
    with torch.inference_mode():
        edges = whole(images, torch.tensor([[0.0, 0, 0, 112, 112]]))
        cells = plain(images, torch.tensor([[0.0, 0, 0, 96, 96]]))
    assert all(torch.equal(edges[task], cells[task]) for task in edges)


@pytest.mark.parametrize("backbone", ["alexnet", "resnet10t"])
def test_a_region_at_the_far_corner_sees_something(backbone):
    side = 224
    net = network((ATTRIBUTES,), backbone=backbone).build().eval()
    corner = torch.tensor([[0.0, side - 8, side - 8, side, side]])
    with torch.inference_mode():
        one, other = (net.trunk(pictures(side, seed=seed), corner)["attributes"] for seed in (1, 2))
    after = net.trunk.regions.after
    assert one[after].any()
    assert not torch.equal(one[after], other[after])


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
@pytest.mark.parametrize("fully_connected", ["none", "padded"])
def test_regions_need_fully_connected_layers_that_take_them(name, fully_connected):
    with pytest.raises(InputError, match="set fully_connected='plain'"):
        staged(name, fully_connected=fully_connected, regions=True)


REGIONS = torch.tensor([[0.0, 0, 0, 60, 60], [1, 10, 20, 50, 64], [0, 30, 5, 64, 40], [1, 0, 0, 64, 64]])


def outputs(net, images=None):
    images = pictures(64, 2) if images is None else images
    with torch.inference_mode():
        return net(images, REGIONS)


def alone():
    torch.manual_seed(1)
    return {task.name: network((task,)).build().eval() for task in TASKS}


def test_outputs_belong_to_regions_each_alone_and_to_the_right_image():
    net = network().build().eval()
    found = outputs(net)
    assert {task: tuple(output.shape) for task, output in found.items()} == {"detection": (4, 11), "attributes": (4, 3)}
    images = pictures(64, 2)
    for row, region in enumerate(REGIONS):
        own = torch.cat([torch.zeros(1), region[1:]])[None]
        with torch.inference_mode():
            single = net(images[int(region[0])][None], own)
        assert all(torch.allclose(single[task][0], found[task][row], atol=1e-5) for task in found)


@pytest.mark.parametrize("split", [0, 1, 3, 4, 5, None])
def test_a_split_anywhere_gives_what_single_networks_give(split):
    """Regions are pooled in the shared part (split at 4 and later) or in every branch (before)."""
    both = network(sharing=HardSharing.Settings(split_after=split)).build().eval()
    for task in TASKS:
        single = network((task,)).build().eval()
        state = {}
        for key in single.state_dict():
            own = key.replace("trunk.shared.", f"trunk.branches.{task.name}.")
            stage = int(key.split(".")[2]) if key.startswith("trunk.shared.") else 0
            if split is not None and key.startswith("trunk.shared.") and stage >= split:
                own = own.replace(f"{task.name}.{stage}.", f"{task.name}.{stage - split}.", 1)
            else:
                own = key
            state[key] = both.state_dict()[own]
        single.load_state_dict(state)
        assert torch.equal(outputs(both)[task.name], outputs(single)[task.name])


@pytest.mark.parametrize("after", [None, (0, 1, 3), (3,), (4,)])
def test_with_units_that_mix_nothing_a_fused_network_is_its_single_networks(after):
    singles = alone()
    both = network(sharing=SoftSharing.Settings(unit=IDENTITY, after=after)).build()
    for task, one in singles.items():
        both.load_single_task(task, one.state_dict())
    for task, output in outputs(both.eval()).items():
        assert torch.allclose(output, outputs(singles[task])[task], atol=1e-6)


def test_a_unit_after_the_pooling_mixes_maps_of_regions():
    """At (0, 1) each encoder goes on with the other's maps: with those of the regions if it is at the pooling."""
    singles = alone()
    swap = CrossStitch.Settings(per="layer", alpha=0, beta=1)
    both = network(sharing=SoftSharing.Settings(unit=swap, after=(3,))).build()
    for task, one in singles.items():
        both.load_single_task(task, one.state_dict())
    images = pictures(64, 2)
    taken = []
    both.trunk.units["3"].register_forward_hook(lambda unit, given, mixed: taken.append((given[0], mixed)))
    both.eval()
    with torch.inference_mode():
        features = both.trunk(images, REGIONS)
        expected = {task: one.trunk(images, REGIONS)[task] for task, one in singles.items()}
    ((given, mixed),) = taken
    assert [tuple(x.shape) for x in (*given, *mixed)] == [(4, both.trunk.channels[3], 7, 7)] * 4
    for task, other in (("detection", "attributes"), ("attributes", "detection")):
        assert torch.equal(features[task][3], expected[other][3])
        assert features[task][2].shape[0] == 2, "images up to there"
        with torch.inference_mode():
            last = both.trunk.towers[task][4](expected[other][3])
        assert torch.equal(features[task][4], last)


def test_towers_share_the_regions():
    both = network(sharing=SoftSharing.Settings(unit=IDENTITY, after=(3,))).build().eval()
    both.load_single_task("attributes", alone()["attributes"].state_dict())
    twin = both.state_dict()
    both.load_state_dict({k: twin[k.replace("towers.detection", "towers.attributes")] for k in twin})
    with torch.inference_mode():
        features = both.trunk(pictures(64, 2), REGIONS)
    assert all(torch.equal(*maps) for maps in zip(*features.values(), strict=True))


def batch(matched: list[int]) -> Batch:
    """Four regions in two images, the objects' boxes those of the regions."""
    where = torch.tensor(matched)
    truth = RegionTruth(REGIONS, where, REGIONS[:2] + torch.tensor([0, 1.0, 0, 1, 0]), torch.tensor([0, 1]))
    (there,) = (where >= 0).nonzero(as_tuple=True)
    targets = {"detection": truth, "attributes": torch.ones(len(there), 3, dtype=torch.uint8)}
    return Batch(pictures(64, 2), targets, {"detection": torch.arange(4), "attributes": there}, REGIONS)


@pytest.mark.parametrize(
    "sharing",
    [HardSharing.Settings(split_after=2), SoftSharing.Settings(unit=IDENTITY, after=(3,))],
    ids=["split", "fused"],
)
def test_background_alone_teaches_attributes_nothing(sharing):
    torch.manual_seed(0)
    net = network(sharing=sharing).build().train()
    for matched, learns in (([-1, -1, -1, -1], False), ([0, -1, -1, -1], True)):
        net.zero_grad()
        some = batch(matched)
        terms = loss_terms(net, net(some.images, some.regions), some)
        assert set(terms) == {"detection/cross_entropy", "detection/boxes", "attributes/binary_cross_entropy"}
        assert all(loss.isfinite() for loss in terms.values())
        assert (terms["detection/boxes"] > 0) == (terms["attributes/binary_cross_entropy"] > 0) == learns
        sum(terms.values()).backward()
        own = [p for name, p in net.named_parameters() if ".attributes." in name or name.startswith("heads.attributes")]
        assert all(p.grad is not None for p in net.heads.parameters())
        assert any(p.grad is not None and p.grad.any() for p in own) == learns
        assert any(p.grad.any() for p in net.heads["detection"].parameters())


def test_a_region_gets_attributes_gradient_only_when_it_stands_for_an_object():
    net = network((ATTRIBUTES,)).build().eval()  # in training batch norm would join the regions
    some = batch([-1, 1, -1, 0])
    del some.targets["detection"], some.rows["detection"]
    output = net(some.images, some.regions)["attributes"]
    output.retain_grad()
    loss_terms(net, {"attributes": output}, some)["attributes/binary_cross_entropy"].backward()
    assert output.grad.any(dim=1).tolist() == [False, True, False, True]


def test_a_network_that_looks_at_regions_asks_for_them():
    for sharing in (HardSharing.Settings(), HardSharing.Settings(split_after=0), SoftSharing.Settings(unit=IDENTITY)):
        net = network(sharing=sharing).build()
        with pytest.raises(InputError, match=r"^This network looks at regions of its images; the batch has none\.$"):
            net(pictures(64))


def test_layers_of_images_and_of_regions_are_not_mixed():
    with pytest.raises(InputError, match="set layer_mixing to false"):
        network(sharing=SoftSharing.Settings(unit=Sluice.Settings(layer_mixing=True))).build()
    assert outputs(network(sharing=SoftSharing.Settings(unit=Sluice.Settings(layer_mixing=False))).build().eval())


def test_half_precision_does_not_round_where_a_region_lies():
    """From 512 on bfloat16 knows every fourth pixel: 519.5, in cell 32, would be 520, in cell 33."""
    net = network((ATTRIBUTES,)).build().eval()
    images, region = torch.rand(1, 3, 48, 1056), torch.tensor([[0.0, 519.5, 0, 790.7, 30]])
    before = []
    net.trunk.shared[3].register_forward_hook(lambda stage, given, x: before.append(x.float()))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        pooled = net.trunk(images, region)["attributes"][3]
    assert torch.equal(pooled.float(), roi_pool(before[0], region, 7, 1 / 16))


@pytest.mark.parametrize(
    "name",
    [
        "alexnet",
        "vgg11",
        "resnet10t",
    ],
)
def test_a_region_is_pooled_from_around_its_own_pixels(name):
    """The pixels that a pooled map depends on lie around the region's middle, up to half a cell."""
    torch.manual_seed(0)
    built = staged(name, **BACKBONES[name], regions=True).eval()
    images = pictures(224, seed=4).requires_grad_()
    left, top, right, bottom = 96, 64, 160, 112
    maps = through(built, images, torch.tensor([[0.0, left, top, right, bottom]]), built.regions.after)
    maps[-1].sum().backward()
    weight = images.grad.abs().sum(dim=(0, 1))
    across, down = ((weight.sum(axis) * (torch.arange(224) + 0.5)).sum() / weight.sum() for axis in (0, 1))
    assert abs(float(across) - (left + right) / 2) < 9
    assert abs(float(down) - (top + bottom) / 2) < 9
