import pytest
import torch
import torch.nn.functional as F

from mtlkit.data.samples import Batch
from mtlkit.errors import InputError
from mtlkit.heads import Exit, FeatureFilter
from mtlkit.network import NetworkSettings, cost, parameter_groups
from mtlkit.sharing import HardSharing
from mtlkit.tasks import Classification
from mtlkit.training import loss_terms

OBJECTS, PLACES = Classification(name="objects", classes=7), Classification(name="places", classes=4)


def network(stage=-2, gate="input", sharing=None, backbone="resnet10t") -> NetworkSettings:
    return NetworkSettings(
        backbone=backbone,
        tasks=(OBJECTS, PLACES),
        sharing=sharing or HardSharing.Settings(),
        head=Exit.Settings(filter=gate),
        heads={"places": Exit.Settings(stage=stage, filter=gate)},
    )


def batch(objects: int, places: int) -> Batch:
    rows = {"objects": torch.arange(objects), "places": torch.arange(objects, objects + places)}
    targets = {"objects": torch.arange(objects) % 7, "places": torch.arange(places) % 4}
    present = [task for task in rows if len(rows[task])]
    images = torch.rand(objects + places, 3, 32, 32)
    return Batch(images, {task: targets[task] for task in present}, {task: rows[task] for task in present})


@pytest.mark.parametrize("gate", ["input", "fixed"])
def test_the_filter_is_its_equation(gate):
    unit = FeatureFilter(5, gate)
    torch.nn.init.normal_(unit.alpha)
    torch.nn.init.normal_(unit.beta)
    features = torch.randn(2, 5, 3, 4)
    filtered = unit(features)
    for channel in range(5):
        alpha, beta = unit.alpha[channel], unit.beta[channel]
        inside = alpha * features[:, channel] + beta if gate == "input" else alpha + beta
        torch.testing.assert_close(filtered[:, channel], features[:, channel] / (1 + torch.exp(-inside)))
    assert sum(parameter.numel() for parameter in unit.parameters()) == 2 * 5


@pytest.mark.parametrize("gate", ["input", "fixed"])
def test_every_gate_starts_at_a_half_and_can_move(gate):
    unit = FeatureFilter(5, gate)
    features = torch.randn(2, 5, 3, 4)
    filtered = unit(features)
    torch.testing.assert_close(filtered, features / 2)
    filtered.sum().backward()
    assert (unit.alpha.grad != 0).all()
    assert (unit.beta.grad != 0).all()


def test_a_gate_of_a_half_scales_and_cannot_learn():
    unit = FeatureFilter(5, "half")
    features = torch.randn(2, 5, 3, 4)
    assert torch.equal(unit(features), FeatureFilter(5, "fixed")(features))
    assert list(unit.parameters()) == []
    net = network(gate="half").build()
    which = batch(4, 4)
    torch.stack(list(loss_terms(net, net(which.images), which).values())).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    grouped = [p for group in parameter_groups(net, lr=1, decay_all=True) for p in group["params"]]
    assert len(grouped) == len(list(net.parameters()))


def test_an_unknown_gate_is_refused():
    with pytest.raises(InputError, match="input"):
        FeatureFilter(5, "inptu")


def test_an_exit_is_pooling_and_one_linear_layer():
    settings = Exit.Settings(stage=1)
    head = settings.build((3, 6, 9), 4)
    features = torch.randn(2, 6, 5, 7)
    linear = head.classifier
    torch.testing.assert_close(head(features), F.linear(features.mean((2, 3)), linear.weight, linear.bias))
    assert sum(parameter.numel() for parameter in head.parameters()) == 6 * 4 + 4
    with pytest.raises(InputError, match="stages are 0 to 2"):
        Exit.Settings(stage=3).build((3, 6, 9), 4)


def test_a_hidden_layer_stands_before_the_classifier_where_asked():
    head = Exit.Settings(width=11).build((3, 6, 9), 4)
    assert [tuple(p.shape) for p in head.parameters()] == [(11, 9), (11,), (4, 11), (4,)]
    assert head(torch.randn(2, 9, 5, 5)).shape == (2, 4)


@pytest.mark.parametrize("stage", [-1, -2, -3, -4])
def test_an_exit_at_any_stage_sees_that_stage_alone(stage):
    torch.manual_seed(0)
    net = network(stage).build().eval()
    images = torch.rand(2, 3, 32, 32)
    features = net.trunk(images)["places"]
    torch.testing.assert_close(net(images)["places"], net.heads["places"](features[stage]))


def gradients(net, which: Batch, task: str) -> dict[str, torch.Tensor]:
    net.zero_grad()
    torch.stack(list(loss_terms(net, net(which.images), which).values())).sum().backward()
    return {name: p.grad.clone() for name, p in net.heads[task].named_parameters()}


def test_a_filter_touches_no_other_exit():
    torch.manual_seed(0)
    net = network().build().eval()
    which = batch(4, 4)
    before, outputs = gradients(net, which, "objects"), net(which.images)
    with torch.no_grad():
        net.heads["places"].filter.alpha += 1
        net.heads["places"].filter.beta -= 2
    after = net(which.images)
    assert torch.equal(outputs["objects"], after["objects"])
    assert not torch.equal(outputs["places"], after["places"])
    assert all(torch.equal(grad, before[name]) for name, grad in gradients(net, which, "objects").items())


def test_the_other_sets_images_leave_no_gradient_in_an_exit():
    torch.manual_seed(0)
    net = network().build().eval()
    mixed = batch(4, 4)
    alone = Batch(mixed.images[:4], {"objects": mixed.targets["objects"]}, {"objects": mixed.rows["objects"]})
    together = gradients(net, mixed, "objects")
    for name, grad in gradients(net, alone, "objects").items():
        torch.testing.assert_close(grad, together[name])


def test_a_batch_without_one_set_gives_its_exit_zero_loss_and_gradient():
    net = network().build()
    which = batch(4, 0)
    terms = loss_terms(net, net(which.images), which)
    assert terms["places/cross_entropy"].item() == 0
    assert terms["objects/cross_entropy"].item() > 0
    assert all((grad == 0).all() for grad in gradients(net, which, "places").values())
    assert all(grad.isfinite().all() for grad in gradients(net, which, "objects").values())


def test_every_parameter_gets_a_gradient():
    net = network().build()
    which = batch(4, 4)
    torch.stack(list(loss_terms(net, net(which.images), which).values())).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert all(p.grad.abs().sum() > 0 for p in net.heads.parameters())


def test_a_big_head_is_a_last_stage_of_its_own_for_every_task():
    plain, big = (
        network(-1, None, sharing) for sharing in (HardSharing.Settings(), HardSharing.Settings(split_after=-1))
    )
    last = sum(p.numel() for p in plain.build().trunk.shared[-1].parameters())
    assert cost(big, (32, 32))["parameters"] == cost(plain, (32, 32))["parameters"] + last
    net = big.build()
    assert len(net.trunk.shared) == 4
    assert set(net.trunk.branches) == {"objects", "places"}


def test_costs_count_what_they_say():
    filtered, plain = (cost(network(-2, gate), (64, 64)) for gate in ("input", None))
    channels = network(-2, None).build().trunk.channels
    assert filtered["parameters"] == plain["parameters"] + 2 * (channels[-1] + channels[-2])
    assert filtered["macs"] == plain["macs"]
    assert filtered["pooled/places"] == filtered["gated/places"] == channels[-2] * 4 * 4
    assert filtered["pooled/objects"] == channels[-1] * 2 * 2
    assert "gated/places" not in plain
