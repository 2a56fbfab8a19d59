import re
from functools import partial
from types import SimpleNamespace

import builders
import pytest
import torch
from builders import NORMALS, SEGMENTATION, UNITS, fused
from torch import nn

from mtlkit import network as network_module
from mtlkit.backbones import staged
from mtlkit.backbones.timm import USABLE
from mtlkit.errors import InputError
from mtlkit.fusion import NDDR, CrossStitch, FusionLayer, Sluice
from mtlkit.heads import Conv1x1Head
from mtlkit.necks import DLAUp
from mtlkit.network import NetworkSettings, Weights, check_size, cost, parameter_count, parameter_groups
from mtlkit.sharing import HardSharing, SoftSharing
from mtlkit.tasks import Classification, Normals, Segmentation
from mtlkit.values import from_canonical

network = partial(builders.network, backbone="resnet10t")  # counts by hand are of its stages

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def singles():
    torch.manual_seed(1)
    return {task.name: network((task,)).build().eval() for task in (SEGMENTATION, NORMALS)}


def start(fused_network, alone):
    for task, one in alone.items():
        fused_network.load_single_task(task, one.state_dict())
    return fused_network.eval()


@pytest.mark.parametrize("unit", UNITS)
def test_at_step_0_a_fused_network_holds_exactly_its_single_task_networks(unit):
    alone = singles()
    both = start(network(sharing=fused(unit)).build(), alone)
    state = both.state_dict()
    for task, one in alone.items():
        for key, value in one.state_dict().items():
            assert torch.equal(state[key.replace("trunk.shared.", f"trunk.towers.{task}.")], value)


@pytest.mark.parametrize(
    "unit",
    [
        NDDR.Settings(norm="none", alpha=1, beta=0),
        CrossStitch.Settings(per="channel", alpha=1, beta=0),
        CrossStitch.Settings(per="layer", alpha=1, beta=0),
        Sluice.Settings(alpha=1, beta=0),
    ],
    ids=lambda unit: f"{unit.kind}",
)
def test_at_1_0_a_fused_network_gives_the_outputs_of_its_single_task_networks(unit):
    alone = singles()
    both = start(network(sharing=SoftSharing.Settings(unit=unit)).build(), alone)
    with torch.inference_mode():
        for task, output in both(IMAGES).items():
            assert torch.allclose(output, alone[task](IMAGES)[task], atol=1e-6)


def test_batch_norm_breaks_that_identity_by_a_scale_only_until_statistics_enter():
    # Untouched statistics (0, 1) scale every map by 1 / sqrt(1 + eps); after ReLU stages nothing else changes.
    alone = singles()
    both = start(
        network(sharing=SoftSharing.Settings(unit=NDDR.Settings(norm="output", alpha=1, beta=0))).build(), alone
    )
    for norm in (module for module in both.trunk.units.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.running_var.fill_(1 - norm.eps)  # neutral
    with torch.inference_mode():
        for task, output in both(IMAGES).items():
            assert torch.allclose(output, alone[task](IMAGES)[task], atol=1e-5)
    both.train()
    with torch.inference_mode():
        assert not torch.allclose(both(IMAGES)["normals"], alone["normals"](IMAGES)["normals"], atol=1e-2)


@pytest.mark.parametrize("split", [0, 2, 5, None])
def test_a_split_shares_the_stages_before_it(split):
    both = network(sharing=HardSharing.Settings(split_after=split)).build()
    whole, shared = parameter_count(network((SEGMENTATION,)).build().trunk), parameter_count(both.trunk.shared)
    assert parameter_count(both.trunk) == shared + 2 * (whole - shared)
    assert {task: tuple(output.shape) for task, output in both(IMAGES).items()} == {
        "segmentation": (2, 13, 2, 2),
        "normals": (2, 3, 2, 2),
    }


@pytest.mark.parametrize(
    "sharing", [HardSharing.Settings(split_after=split) for split in (0, 2, 5, None)] + [fused("cross_stitch")], ids=str
)
def test_parameters_are_shared_that_get_gradients_of_several_tasks(sharing):
    net = network(sharing=sharing).build()
    outputs = net(IMAGES)
    reached = {}
    for task, output in outputs.items():
        gradients = torch.autograd.grad(output.sum(), list(net.parameters()), retain_graph=True, allow_unused=True)
        for parameter, gradient in zip(net.parameters(), gradients, strict=True):
            reached.setdefault(id(parameter), set()).update({task} if gradient is not None else ())
    shared, own = net.shared_parameters()
    assert {id(parameter) for parameter in shared} == {key for key, tasks in reached.items() if len(tasks) > 1}
    assert {id(parameter) for parameter in own} == {key for key, tasks in reached.items() if len(tasks) < 2}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"tasks": (Classification(name="a", classes=3), Classification(name="a", classes=5))}, "tasks are called 'a'"),
        ({"heads": {"c": Conv1x1Head.Settings()}}, "no task for the head of 'c'; valid are a, b"),
    ],
)
def test_settings_name_every_task_once_and_no_other(more, sentence):
    tasks = tuple(Classification(name=name, classes=3) for name in "ab")
    with pytest.raises(InputError, match=sentence):
        NetworkSettings(**({"backbone": "resnet10t", "tasks": tasks, "head": Conv1x1Head.Settings()} | more))


def test_a_split_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="has 5 stages, so it cannot split after stage 6"):
        network(sharing=HardSharing.Settings(split_after=6)).build()
    with pytest.raises(InputError, match="no layer can stand after 7"):
        network(sharing=SoftSharing.Settings(unit=NDDR.Settings(), after=(7,))).build()


@pytest.mark.parametrize("unit", UNITS)
def test_every_parameter_belongs_to_exactly_one_group(unit):
    both = network(sharing=fused(unit)).build()
    mult = {"classifier": 10, "classifier_bias": 20, "fusion": 100, "shortcut": 7}
    groups = parameter_groups(both, lr=1, weight_decay=0.1, lr_mult=mult)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in both.parameters())
    by_name = {group["name"]: group for group in groups}
    units = {id(p) for module in both.modules() if isinstance(module, FusionLayer) for p in module.parameters()}
    scaled = {id(p) for name, group in by_name.items() if name.startswith("fusion") for p in group["params"]}
    assert scaled == units
    assert all(by_name[name]["lr"] == by_name[name]["lr_mult"] == 100 for name in by_name if name.startswith("fusion"))
    assert [by_name[name]["lr"] for name in ("classifier", "classifier_bias", "trunk")] == [10, 20, 1]
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    for module in both.modules():  # mixing scalars, norms and biases never decay; convolutions always do
        for name, parameter in module.named_parameters(recurse=False):
            convolution = isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and name == "weight"
            nddr = type(module).__name__ == "NDDR" and parameter.ndim == 4
            assert (id(parameter) in decayed) == (convolution or nddr)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("tasks", [2, 3])
def test_every_parameter_gets_a_gradient_for_any_number_of_tasks(unit, tasks):
    torch.manual_seed(0)
    both = network(sharing=fused(unit)).build()
    if tasks == 3:
        settings = both.settings
        three = (SEGMENTATION, NORMALS, Normals(name="third"))
        both = type(both)(settings.model_copy(update={"tasks": three})).train()
    outputs = both(IMAGES)
    loss = sum((output * torch.randn_like(output)).sum() for output in outputs.values())
    penalty = both.penalty()
    (loss if penalty is None else loss + penalty).backward()
    silent = [name for name, parameter in both.named_parameters() if parameter.grad is None]
    assert silent == []
    units = [p for module in both.modules() if isinstance(module, FusionLayer) for p in module.parameters()]
    assert units
    assert all((parameter.grad != 0).any() for parameter in units)


def test_layer_mixing_is_learnt_at_the_units_rate_but_its_projections_are_not():
    both = network(sharing=SoftSharing.Settings(unit=Sluice.Settings(layer_mixing=True))).build()
    rates = {id(p): g["lr"] for g in parameter_groups(both, lr=1, lr_mult={"fusion": 1000}) for p in g["params"]}
    for name, parameter in both.trunk.mixing.named_parameters():
        assert rates[id(parameter)] == (1000 if name.endswith("beta") else 1)
    assert both(IMAGES)["segmentation"].shape == (2, 13, 2, 2)


def test_biases_of_convolutions_and_linear_layers_are_a_group_and_norms_another():
    settings = network(backbone="vgg11_bn").model_copy(update={"output_stride": None})
    both = settings.build()
    made = parameter_groups(both, lr=1, weight_decay=0.1, lr_mult={"bias": 2, "norm": 3})
    groups = {group["name"]: group for group in made}
    kinds = {}
    for module in both.modules():
        kind = "norm" if isinstance(module, torch.nn.BatchNorm2d) else "bias"
        kinds |= {id(parameter): kind for parameter in module.parameters(recurse=False) if parameter.ndim == 1}
    last = {id(parameter) for head in both.heads.values() for parameter in head.classifier.parameters()}
    for name, mult in (("bias", 2), ("norm", 3)):
        found = {id(parameter) for parameter in groups[name]["params"]}
        assert found
        assert found == {key for key, kind in kinds.items() if kind == name} - last
        assert (groups[name]["lr"], groups[name]["weight_decay"]) == (mult, 0)


def test_a_multiplier_of_no_group_is_refused():
    with pytest.raises(InputError, match="no group of parameters 'fusions'; did you mean 'fusion'"):
        parameter_groups(network().build(), lr=1, lr_mult={"fusions": 100})


def test_only_matching_single_task_weights_are_taken():
    alone = singles()
    both = network(sharing=fused("nddr")).build()
    with pytest.raises(InputError, match="another shape"):
        both.load_single_task("normals", alone["segmentation"].state_dict())
    with pytest.raises(InputError, match="an encoder per task"):
        network().build().load_single_task("normals", alone["normals"].state_dict())


def test_weights_that_are_known_by_hash_only_are_asked_for():
    settings = network().model_copy(update={"weights": Weights(source="file", sha256="ab" * 32)})
    with pytest.raises(InputError, match="not at hand"):
        settings.build()


def test_cost_equals_the_built_network_and_a_hand_count():
    settings = network((SEGMENTATION,))
    counted = cost(settings, (64, 64))
    assert counted["parameters"] == parameter_count(settings.build())
    head = 512 * 16 * 9 * 4 + 16 * 16 * 4 + 16 * 13 * 4  # fc6, fc7, classifier on the 2x2 map
    wider = settings.model_copy(update={"head": settings.head.model_copy(update={"width": 32})})
    assert cost(wider, (64, 64))["macs"] - counted["macs"] == (512 * 32 * 9 * 4 + 32 * 32 * 4 + 32 * 13 * 4 - head)


def test_images_are_normalised_by_the_backbones_own_colours():
    plain, own = network(backbone="resnet10t").build(), network(backbone="tf_efficientnet_lite0").build()
    assert plain.trunk.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert own.trunk.mean.flatten().tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert "trunk.mean" not in plain.state_dict()


@pytest.mark.parametrize(
    ("backbone", "fully_connected", "task", "raised"),
    [
        ("alexnet", "padded", Segmentation(classes=("a", "b")), True),
        ("alexnet", "plain", Classification(name="things", classes=2), True),  # dropout moved
        ("alexnet", "none", Classification(name="things", classes=2), False),
        ("vgg16", "none", Segmentation(classes=("a", "b")), True),
        ("vgg16", "plain", Classification(name="things", classes=2), False),
        ("mobilenetv2_100", "none", Segmentation(classes=("a", "b")), False),
    ],
)
def test_a_networks_identity_has_its_backbones_revision_only_where_its_numbers_changed(
    backbone, fully_connected, task, raised
):
    settings = NetworkSettings(
        backbone=backbone, fully_connected=fully_connected, tasks=(task,), head=Conv1x1Head.Settings()
    )
    assert settings.canonical().get("revision") == (2 if raised else None)
    assert "weights_tag" not in settings.canonical()
    again = NetworkSettings.model_validate(settings.model_dump(mode="json"))
    assert again.identity == settings.identity


@pytest.mark.parametrize(
    ("backbone", "tag"), [("resnet50", "a1_in1k"), ("vgg16", "tv_in1k"), ("resnet50.tv_in1k", None), ("alexnet", None)]
)
def test_the_identity_of_fetched_weights_has_the_tag_that_timm_takes_by_default(backbone, tag, monkeypatch):
    fetched = {"weights": Weights(source="timm"), "output_stride": None}
    settings = builders.network((SEGMENTATION,), backbone=backbone).model_copy(update=fetched)
    assert settings.canonical().get("weights_tag") == tag
    assert from_canonical(settings.canonical(), NetworkSettings) == settings
    before = settings.identity
    if tag:
        monkeypatch.setattr("mtlkit.backbones.timm.config", lambda name: SimpleNamespace(tag="newer_in1k"))
        assert settings.model_copy().identity != before


def on(backbone, **more):
    return builders.network(backbone=backbone).model_copy(update={"output_stride": None} | more)


@pytest.mark.parametrize(
    ("settings", "size", "right"),
    [
        (
            on("dla34"),
            (64, 80),
            "dla34 cannot take images of 64 x 80 pixels, but those of 64 x 96: give image_size=64,96",
        ),
        (on("dla34", neck=DLAUp.Settings()), (100, 100), "dla34 with the neck dla_up cannot take images of 100 x 100"),
        (on("inception_v3"), (64, 80), "give image_size=128,128"),
        (on("maxvit_pico_rw_256", image_size=(64, 80)), (64, 80), "give image_size=64,96"),
        (on("halonet26t"), (40, 40), "give image_size=256,256"),
        (on("dla34", regions=True), (96, 128), "nor those of any other size that was tried; take another backbone."),
    ],
)
def test_images_that_a_network_cannot_take_are_refused_with_a_size_that_it_takes(settings, size, right):
    state = torch.get_rng_state()
    with pytest.raises(InputError) as caught:
        check_size(settings, size)
    assert right in str(caught.value)
    assert "\n" not in str(caught.value)
    assert torch.equal(torch.get_rng_state(), state)
    if found := re.search(r"image_size=(\d+),(\d+)", right):
        other = int(found[1]), int(found[2])
        check_size(settings.model_copy(update={"image_size": settings.image_size and other}), other)


@pytest.mark.parametrize("backbone", USABLE.replace(" or", ",").split(", "))
def test_the_backbones_that_refusals_name_take_images_of_any_size(backbone):
    for size in ((64, 80), (100, 100), (37, 53)):
        check_size(on(backbone), size)


def test_a_size_is_tried_once_for_all_networks_of_a_backbone(monkeypatch):
    built = []
    monkeypatch.setattr(network_module, "staged", lambda *a, **k: (built.append(a), staged(*a, **k))[1])
    for tasks in ((SEGMENTATION,), (NORMALS,), (SEGMENTATION, NORMALS)):
        check_size(builders.network(tasks, backbone="resnet10t"), (64, 88))
    assert len(built) == 1


def test_what_the_meta_device_does_not_know_is_tried_on_the_cpu(monkeypatch):
    class Asks(nn.Module):
        def forward(self, x):
            return x if float(x.sum()) < 1 else -x

    def asking(*given, **more):
        backbone = staged(*given, **more)
        backbone.stages.insert(0, Asks())
        return backbone

    monkeypatch.setattr(network_module, "staged", asking)
    check_size(on("resnet10t"), (64, 72))
