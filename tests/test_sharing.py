"""Sharing without settings: encoders of one's own, for any number of tasks and any fusion layer."""

import copy
import itertools
import re
from functools import partial

import pytest
import torch
from torch import nn
from torch.export import Dim, export

from mtlkit.backbones import staged
from mtlkit.data.samples import Batch
from mtlkit.errors import InputError
from mtlkit.fusion import NDDR, CrossStitch, Sluice
from mtlkit.heads import Exit
from mtlkit.network import NetworkSettings, parameter_groups
from mtlkit.sharing import HardSharing, SoftSharing, TaskNorms
from mtlkit.tasks import Classification
from mtlkit.training import loss_terms

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


def tied(encoders):
    """With a stage that the first and the last of them have in common."""
    first, *_, last = encoders.values()
    last.stages[2] = first.stages[2]
    return encoders


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("tasks", ["ab", "abc"])
@pytest.mark.parametrize("fusion", LAYERS)
def test_the_features_of_a_stage_are_what_the_layer_behind_it_returns(fusion, tasks):
    net = SoftSharing(encoders(*tasks), fusion, after=(1, -2)).eval()
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


@pytest.mark.parametrize("fusion", [CrossStitch, Sluice, NDDR])
def test_encoders_with_layers_between_them_are_exported_for_any_batch(fusion):
    net = SoftSharing(encoders("a", "b"), fusion, after=(1, 4), layer_mixing=fusion is Sluice).eval()
    exported = export(net, (IMAGES,), dynamic_shapes={"images": {0: Dim("batch")}}).module()
    images = torch.rand(5, 3, 64, 96)
    for task, maps in exported(images).items():
        torch.testing.assert_close(maps, net(images)[task])


class Penalised(CrossStitch.Settings):
    """Of a method of one's own with a setting that is not the layer's."""

    def sharing(self):
        return {"penalty": 3.0}


def test_the_settings_of_a_layer_say_what_soft_sharing_is_built_with():
    def built(unit, **more):
        return SoftSharing.Settings(unit=unit, after=(1, 4), **more).build(lambda: staged("resnet10t"), ["a", "b"])

    net = built(Sluice.Settings(penalty=0.5, layer_mixing=True))
    assert (net.penalty_weight, list(net.mixing)) == (0.5, ["a", "b"])
    assert built(NDDR.Settings(), last=Sluice.Settings(penalty=0.5)).penalty_weight == 0.5
    with pytest.raises(InputError, match=r"A network has one penalty, not 0\.5 and, for the last layer, 0\.1\."):
        built(Sluice.Settings(penalty=0.5), last=Sluice.Settings())
    own = SoftSharing.Settings.model_construct(unit=Penalised(), after=(1, 4), last=None)
    assert own.build(lambda: staged("resnet10t"), ["a", "b"]).penalty_weight == 3


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
        (lambda: SoftSharing(encoders("a", "b"), NDDR, after=(-6,)), "no layer can stand after -6"),
        (lambda: SoftSharing(encoders("a", "b"), NDDR, after=1), r"a list, such as \[1\], not 1"),
        (lambda: SoftSharing([*encoders("a", "b").values()], NDDR), "given as {task: encoder}, not as a list"),
        (
            lambda: SoftSharing({"a": nn.Identity(), "b": nn.Identity()}, NDDR),
            "is a StagedBackbone, not an object of Identity",
        ),
        (lambda: HardSharing(nn.Identity(), ["a", "b"]), "is a StagedBackbone, not an object of Identity"),
        (lambda: HardSharing(nn.Identity, ["a", "b"]), "is a StagedBackbone, not an object of Identity"),
        (lambda: HardSharing("resnet10t", ["a", "b"]), "is a StagedBackbone, not an object of str"),
        (lambda: SoftSharing(encoders("a", "b"), NDDR(2, 8)), r"a class of mtlkit\.fusion or .* not an object of NDDR"),
        (lambda: SoftSharing(encoders("a", "b"), NDDR, last=NDDR(2, 512)), "not an object of NDDR"),
        (lambda: parameter_groups(nn.Linear(2, 2).parameters(), lr=0.1), "give the network, not a generator"),
        (lambda: HardSharing(staged("resnet10t"), ["a"])((255 * IMAGES).byte()), r"not torch\.uint8; divide .* by 255"),
        (lambda: SoftSharing(encoders("a", "b"), NDDR)((255 * IMAGES).byte()), r"not torch\.uint8; divide .* by 255"),
        (
            lambda: HardSharing(staged("resnet10t"), ["aa", "b"], norms="own")(IMAGES, rows={"zz": torch.arange(2)}),
            "no task 'zz'; valid are aa, b",
        ),
        (lambda: HardSharing(staged("resnet10t"), ["a"], split_after=9), "cannot split after stage 9"),
        (lambda: SoftSharing(dict.fromkeys("ab", staged("resnet10t")), NDDR), "encoders of a and b are one, or share"),
        (lambda: SoftSharing(tied(encoders("a", "b", "c")), NDDR), "encoders of a and c are one, or share parameters"),
        (
            lambda: HardSharing(partial(next, itertools.repeat(staged("resnet10t"))), ["a", "b"], split_after=3),
            "encoders of a and b are one",
        ),
        (lambda: HardSharing(staged("resnet10t"), "seg"), r"a list of names, such as \['seg'\], not as 'seg'"),
        (lambda: HardSharing(staged("resnet10t"), []), "needs at least one task"),
        (lambda: HardSharing(staged("resnet10t"), ["a", "b", "a"]), "Several tasks are called 'a'"),
        (lambda: HardSharing(staged("resnet10t"), ["a"], norms="mine"), "valid are own, shared"),
        *(
            (call, sentence)
            for name, sentence in {
                "left.eye": "none of them a dot, not 'left.eye'",
                "": "one character or more",
                "keys": "called 'keys', which torch.nn.ModuleDict has a use for",
                3: "is a string .*, not 3",
            }.items()
            for call in (
                lambda name=name: HardSharing(staged("resnet10t"), ["a", name], split_after=3),
                lambda name=name: SoftSharing(encoders("a", name), NDDR),
                lambda name=name: TaskNorms(nn.BatchNorm2d(4), ["a", name]),
            )
        ),
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


# --- norms of each task ---


def stepped(net, images, rows, steps=3):
    """A network after training steps on these images, on all of them at once or on every task's rows."""
    net.train()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05)
    for step in range(steps):
        given = images + 0.1 * step
        features = net(given, None, rows) if net.own_rows else net(given)
        optimiser.zero_grad()
        sum(maps[-1].square().mean() for maps in features.values()).backward()
        optimiser.step()
    return net


def test_with_one_task_norms_of_its_own_are_ordinary_ones_bit_for_bit():
    encoder = staged("mobilenetv3_small_050")
    plain = HardSharing(copy.deepcopy(encoder), ["a"])
    own = HardSharing(encoder, ["a"], norms="own")
    stepped(plain, IMAGES, None)
    stepped(own, IMAGES, {"a": torch.arange(len(IMAGES))})
    state = {re.sub(r"norms\.a\.", "", key): value for key, value in own.state_dict().items()}
    assert state.keys() == plain.state_dict().keys()
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())
    with torch.inference_mode():
        assert all(map(torch.equal, plain.eval()(IMAGES)["a"], own.eval()(IMAGES)["a"]))


def test_the_statistics_of_a_task_are_those_of_its_own_rows_alone():
    images = torch.cat([IMAGES, 0.2 * IMAGES.flip(0)])
    rows = {"a": torch.tensor([0, 3]), "b": torch.tensor([1, 2])}
    net = HardSharing(staged("mobilenetv3_small_050"), ["a", "b"], norms="own").train()
    alone = {task: copy.deepcopy(net) for task in rows}
    for place in range(3):
        with torch.no_grad():
            features = net(images + place, None, rows)
            for task, other in alone.items():
                maps = other((images + place)[rows[task]], None, {task: torch.arange(2)})[task]
                assert all(map(torch.equal, maps, features[task]))
    counted = 0
    for task, other in alone.items():
        for name, buffer in other.named_buffers():
            if f"norms.{task}." in name:
                assert torch.equal(buffer, net.get_buffer(name))
                counted += 1
    assert counted
    ends = [net.task_norms[-1].norms[task].running_mean for task in rows]
    assert not torch.allclose(*ends)
    # Evaluated, every image can be looked at by either task, through the statistics of that one.
    with torch.inference_mode():
        both = net.eval()(images)
        for task, other in alone.items():
            maps = other.eval()(images, None, {task: torch.arange(4)})[task]
            assert len(maps[-1]) == 4
            assert all(map(torch.equal, maps, both[task]))


def test_a_task_without_rows_moves_no_statistics_and_everything_but_the_norms_is_shared():
    net = HardSharing(staged("mobilenetv3_small_050"), ["a", "b"], norms="own").train()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    features = net(IMAGES, None, {"a": torch.arange(len(IMAGES))})
    assert len(features["b"][-1]) == 0
    for name, buffer in net.named_buffers():
        if "running" in name:
            assert torch.equal(buffer, before[name]) == ("norms.a." not in name)
    single = staged("mobilenetv3_small_050")
    norms = sum(m.weight.numel() + m.bias.numel() for m in single.modules() if isinstance(m, nn.BatchNorm2d))
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == norms + sum(parameter.numel() for parameter in single.parameters())
    assert sum(parameter.numel() for parameter in net.own_parameters()) == 2 * norms
    with pytest.raises(InputError, match="vgg11 has no batch norm in shared stages"):
        HardSharing(staged("vgg11"), ["a"], norms="own")


def test_losses_of_a_network_are_those_of_every_tasks_own_rows():
    tasks = (Classification(name="a", classes=3), Classification(name="b", classes=2))
    sharing, head = HardSharing.Settings(norms="own"), Exit.Settings()
    settings = NetworkSettings(backbone="mobilenetv3_small_050", tasks=tasks, sharing=sharing, head=head)
    assert NetworkSettings.model_validate_json(settings.model_dump_json()) == settings
    net = settings.build(weights=False).train()
    batch = Batch(
        images=torch.cat([IMAGES, 0.2 * IMAGES]),
        targets={"a": torch.tensor([2, 0]), "b": torch.tensor([1, 0])},
        rows={"a": torch.tensor([0, 3]), "b": torch.tensor([1, 2])},
    )
    alone = copy.deepcopy(net)
    terms = loss_terms(net, net(batch.images, None, batch.rows), batch)
    for task, rows in batch.rows.items():
        output = alone(batch.images[rows], None, {task: torch.arange(2)})[task]
        wanted = nn.functional.cross_entropy(output, batch.targets[task])
        assert torch.equal(terms[f"{task}/cross_entropy"], wanted)
    sum(terms.values()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_norms_of_each_tasks_own_need_whole_images():
    encoder = staged("alexnet", fully_connected="plain", image_size=(96, 96), regions=True)
    with pytest.raises(InputError, match="need a network that looks at whole images, not at regions"):
        HardSharing(encoder, ["a", "b"], norms="own")
