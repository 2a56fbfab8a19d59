"""Sharing without settings: encoders of one's own, for any number of tasks and any fusion layer."""

from functools import partial

import pytest
import torch

from mtlkit.backbones import staged
from mtlkit.errors import InputError
from mtlkit.fusion import NDDR, CrossStitch, Sluice
from mtlkit.network import parameter_groups
from mtlkit.sharing import HardSharing, SoftSharing

IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
LAYERS = [
    CrossStitch,
    Sluice,
    NDDR,
    partial(CrossStitch, per="layer"),
    partial(Sluice, subspaces=4),
    partial(NDDR, norm="input", init="xavier"),
    NDDR.Settings(norm="none").build,
]


def encoders(*tasks, backbone="resnet10t"):
    return {task: staged(backbone) for task in tasks}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("tasks", ["ab", "abc"])
@pytest.mark.parametrize("fusion", LAYERS)
def test_the_features_of_a_stage_are_what_the_layer_behind_it_returns(fusion, tasks):
    net = SoftSharing(encoders(*tasks), fusion, after=(1, 3)).eval()
    maps = [(IMAGES - net.mean) / net.std] * len(tasks)
    with torch.inference_mode():
        features = net(IMAGES)
        for stage in range(5):
            maps = [net.towers[task][stage](x) for task, x in zip(tasks, maps, strict=True)]
            maps = net.units[str(stage)](maps) if stage in (1, 3) else maps
            for task, x in zip(tasks, maps, strict=True):
                assert torch.equal(features[task][stage], x)
    assert list(net.units) == ["1", "3"]
    assert list(features) == list(tasks)


def test_the_encoders_are_those_given_and_every_stage_has_a_layer_unless_told_otherwise():
    given = encoders("a", "b")
    net = SoftSharing(given, NDDR, last=partial(NDDR, norm="none"))
    assert all(net.towers[task] is encoder.stages for task, encoder in given.items())
    assert [unit.norm_out is None for unit in net.units.values()] == [False] * 4 + [True]
    assert [unit.channels for unit in net.units.values()] == list(given["a"].channels)


def test_the_identity_layer_leaves_every_encoder_alone():
    given = encoders("a", "b", "c")
    net = SoftSharing(given, partial(CrossStitch, alpha=1.0, beta=0.0), layer_mixing=False).eval()
    with torch.inference_mode():
        features = net(IMAGES)
        for task, encoder in given.items():
            for got, wanted in zip(features[task], encoder.eval()(net.normalised(IMAGES)), strict=True):
                assert torch.equal(got, wanted)


def test_the_penalty_is_that_of_sluice_layers_weighted():
    net = SoftSharing(encoders("a", "b"), Sluice, after=(1, 4), penalty=0.5)
    ends = {stage: [net.towers[task][stage][-1][-1].conv2.weight for task in "ab"] for stage in (1, 4)}
    wanted = 0.5 * sum(net.units[str(stage)].penalty(weights) for stage, weights in ends.items())
    torch.testing.assert_close(net.penalty(), wanted)
    assert SoftSharing(encoders("a", "b"), Sluice, penalty=0.0).penalty() is None
    # DenseNet's stages have no last weight; layers without a penalty do not ask for it.
    assert SoftSharing(encoders("a", "b", backbone="densenet121"), NDDR, after=(4,)).penalty() is None


def test_layer_mixing_makes_the_last_features_of_all_stages():
    plain, mixed = (SoftSharing(encoders("a", "b"), Sluice, layer_mixing=on).eval() for on in (False, True))
    mixed.load_state_dict(plain.state_dict(), strict=False)
    with torch.inference_mode():
        before, after = plain(IMAGES), mixed(IMAGES)
        for task in "ab":
            assert torch.equal(after[task][-1], mixed.mixing[task](before[task]))


def test_hard_sharing_gives_every_task_the_features_of_one_encoder():
    encoder = staged("resnet10t").eval()
    net = HardSharing(encoder, ["a", "b", "c"]).eval()
    features = net(IMAGES)
    for task in "abc":
        for got, wanted in zip(features[task], encoder(net.normalised(IMAGES)), strict=True):
            assert torch.equal(got, wanted)


@pytest.mark.parametrize("split", [0, 3, -1])
def test_branches_are_copies_of_an_encoder_or_new_ones(split):
    encoder = staged("resnet10t")
    own = sum(p.numel() for stage in encoder.stages[split:] for p in stage.parameters())
    for given, alike in ((encoder, True), (lambda: staged("resnet10t"), False)):
        net = HardSharing(given, ("a", "b"), split_after=split)
        a, b = ([*net.branches[task].parameters()] for task in "ab")
        assert sum(p.numel() for p in a) == own
        assert not {*map(id, a)} & {*map(id, b)}
        assert all(map(torch.equal, a, b)) == alike
    assert [tuple(x.shape) for x in net(IMAGES)["b"]] == [tuple(x.shape) for x in encoder(IMAGES)]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: SoftSharing(encoders("a"), NDDR), "encoders of at least two tasks, not 1"),
        (lambda: SoftSharing({}, NDDR), "encoders of at least two tasks, not 0"),
        (
            lambda: SoftSharing(encoders("a") | encoders("b", backbone="mobilenetv3_small_050"), NDDR),
            r"encoders of a and b cannot be fused: channels \(64, 64, 128, 256, 512\) and \(16, 8, 16, 24, 288\)",
        ),
        (
            lambda: SoftSharing({"a": staged("vgg11"), "b": staged("vgg11", cut="layers")}, NDDR),
            r"channels \(64, 128, 256, 512, 512\) and \(64, 128, 256, 256, 512, 512, 512, 512\)",
        ),
        (
            lambda: SoftSharing({"a": staged("resnet10t"), "b": staged("resnet10t", output_stride=16)}, NDDR),
            r"strides \(2, 4, 8, 16, 32\) and \(2, 4, 8, 16, 16\)",
        ),
        (lambda: SoftSharing(encoders("a", "b"), NDDR, after=(5,)), "stages 0 to 4, so no layer can stand after 5"),
        (lambda: HardSharing(staged("resnet10t"), ["a"], split_after=9), "cannot split after stage 9"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_groups_of_a_module_of_ones_own():
    class Adapter(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.scale = torch.nn.Linear(4, 4), torch.nn.Parameter(torch.ones(4, 4))

        def parameter_group(self, name):
            return "adapter" if name == "scale" else None

        def no_weight_decay(self):
            return {"scale"}

    net = torch.nn.Sequential(Adapter(), NDDR(2, 4), torch.nn.BatchNorm1d(4))
    made = parameter_groups(net, lr=0.1, lr_mult={"adapter": 3, "fusion": 100, "classifier": 10})
    assert [(g["name"], g["lr"], g.get("weight_decay")) for g in made] == [
        ("trunk", 0.1, None),
        ("bias", 0.1, 0.0),
        ("norm", 0.1, 0.0),
        ("fusion", 10.0, None),
        ("fusion_undecayed", 10.0, 0.0),
        ("adapter_undecayed", pytest.approx(0.3), 0.0),
    ]
    adapter, nddr, norm = net
    members = [[adapter.layer.weight], [adapter.layer.bias], [norm.weight, norm.bias], [nddr.weight],
               [nddr.norm_out.weight, nddr.norm_out.bias], [adapter.scale]]  # fmt: skip
    assert [[id(p) for p in g["params"]] for g in made] == [[id(p) for p in several] for several in members]
    # Without a decay of their own the groups take the optimiser's.
    decays = [g["weight_decay"] for g in torch.optim.SGD(made, weight_decay=0.2).param_groups]
    assert decays == [0.2, 0, 0, 0.2, 0, 0]
    every = parameter_groups(net, lr=0.1, weight_decay=0.5, decay_all=True)
    assert {g["weight_decay"] for g in every} == {0.5}
    with pytest.raises(InputError, match="did you mean 'adapter'"):
        parameter_groups(net, lr=0.1, lr_mult={"adaptor": 1})
