"""Objectives against their definitions written out, against each other, and in a training."""

from functools import partial

import pytest
import torch
from builders import fused, network, recipe, room_data
from hypothesis import given
from hypothesis import strategies as st
from lightning.fabric import Fabric
from torch import nn
from torchjd import aggregation
from torchjd.scalarization import UW

from mtlkit import training
from mtlkit.data.sampling import loader
from mtlkit.errors import InputError
from mtlkit.history import History
from mtlkit.network import parameter_groups
from mtlkit.objectives import FixedWeights, JacobianDescent, UncertaintyWeighting
from mtlkit.objectives.jacobian_descent import aggregators
from mtlkit.training import train

CPU = Fabric(accelerator="cpu", devices=1)
WEIGHTS = {"normals/cosine": 4.0}
UPGRAD = JacobianDescent.Settings(aggregator="UPGrad")
PCGRAD = JacobianDescent.Settings(aggregator="PCGrad")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return room_data(tmp_path_factory.mktemp("rooms") / "set").split("train", ("segmentation", "normals"))


def trained(dataset, how, folder, shape=None, name="checkpoint.pt", **more):
    torch.manual_seed(0)
    net = (shape or network(sharing=fused("cross_stitch"))).build()
    reader = partial(loader, [dataset], how.augmentation, batch_size=how.batch_size, steps=how.steps * how.accumulate)
    history, _ = train(
        net,
        lambda first: reader(start_step=first, seed=0),
        how,
        seed=0,
        fabric=CPU,
        checkpoint=folder / name,
        **more,
    )
    return net, history


class Two(nn.Module):
    """Two tasks with two terms in all on shared layers that are not linear, and a penalty."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6))
        self.a, self.b = nn.Linear(6, 1), nn.Linear(6, 2)
        self.x, self.y = torch.randn(9, 5), torch.randn(9, 2)

    @property
    def shared(self):
        return list(self.trunk.parameters())

    @property
    def own(self):
        return [*self.a.parameters(), *self.b.parameters()]

    def terms(self, rows=slice(None)):
        features = self.trunk(self.x[rows])
        a, b = self.a(features), self.b(features) - self.y[rows]
        penalty = 0.1 * self.trunk[0].weight.square().sum()
        terms = {"a/one": a.square().mean(), "a/two": a.sin().mean(), "b/only": b.square().mean()}
        return terms | {"sharing/penalty": penalty}

    def step(self, objective, batches=(slice(None),)):
        """The gradients of a step, a dictionary, and the weights that it had."""
        self.zero_grad()
        for rows in batches:
            objective.backward(self.terms(rows), shared=self.shared, own=self.own, batches=len(batches))
        weights = objective.finish()
        return {name: parameter.grad for name, parameter in self.named_parameters()}, weights

    def rows(self, weights):
        """The Jacobian of the two tasks' losses, written out."""
        terms = self.terms()
        losses = [weights["a/one"] * terms["a/one"] + terms["a/two"], terms["b/only"]]
        rows = [torch.autograd.grad(loss, self.shared, retain_graph=True) for loss in losses]
        return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])

    def penalty(self):
        parts = torch.autograd.grad(self.terms()["sharing/penalty"], self.shared, allow_unused=True)
        zeros = map(torch.zeros_like, self.shared)
        return torch.cat([(zero if part is None else part).flatten() for part, zero in zip(parts, zeros, strict=True)])


def flat(gradients):
    return torch.cat([gradient.flatten() for name, gradient in gradients.items() if name.startswith("trunk")])


def test_the_sum_of_gradients_is_the_gradient_of_the_sum():
    net, weights = Two(), {"a/one": 3.0}
    plain, none = net.step(FixedWeights(["a", "b"], loss_weights=weights))
    summed, ones = net.step(JacobianDescent(["a", "b"], aggregator=aggregation.Sum(), loss_weights=weights))
    assert none is None
    assert ones.tolist() == [1, 1]
    for name, gradient in plain.items():
        torch.testing.assert_close(summed[name], gradient)
    mean, halves = net.step(JacobianDescent(["a", "b"], aggregator=aggregation.Mean(), loss_weights=weights))
    assert halves.tolist() == [0.5, 0.5]
    torch.testing.assert_close(2 * (flat(mean) - net.penalty()), flat(plain) - net.penalty())
    torch.testing.assert_close(mean["a.weight"], plain["a.weight"])


@pytest.mark.parametrize("name", aggregators())
def test_what_torchjd_makes_of_the_same_jacobian(name):
    net, weights = Two(), {"a/one": 3.0}
    objective = JacobianDescent.Settings(aggregator=name).build(["a", "b"], weights)
    torch.manual_seed(1)
    gradients, _ = net.step(objective)
    torch.manual_seed(1)
    expected = objective.aggregator(net.rows(weights))
    torch.testing.assert_close(flat(gradients), expected + net.penalty(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("objective", [UPGRAD, PCGRAD])
def test_without_conflict_a_step_is_that_of_the_sum(objective):
    shared = nn.Parameter(torch.ones(3))
    terms = {"a/x": shared @ torch.tensor([1.0, 2.0, 0.0]), "b/x": shared @ torch.tensor([1.0, 0.0, 3.0])}
    made = objective.build(["a", "b"], {})
    made.backward(terms, shared=[shared])
    made.finish()
    assert shared.grad.tolist() == pytest.approx([2, 2, 3], rel=1e-3)


@pytest.mark.parametrize("objective", [UPGRAD, PCGRAD, UncertaintyWeighting.Settings()])
def test_two_half_batches_are_a_batch(objective):
    net = Two()
    net.x, net.y = net.x[:8], net.y[:8]
    torch.manual_seed(1)
    whole, _ = net.step(objective.build(["a", "b"], {}))
    torch.manual_seed(1)
    halves, _ = net.step(objective.build(["a", "b"], {}), [slice(0, 4), slice(4, 8)])
    for name, gradient in whole.items():
        torch.testing.assert_close(halves[name], gradient, rtol=1e-4, atol=1e-6)


@given(st.lists(st.floats(0.01, 50), min_size=1, max_size=5), st.integers(0, 99))
def test_uncertainty_weighting_is_that_of_torchjd(values, seed):
    torch.manual_seed(seed)
    tasks = [f"t{number}" for number in range(len(values))]
    theirs, ours = UW(len(values)), UncertaintyWeighting(tasks)
    start = torch.randn(len(values))
    theirs.log_var.data, ours.log_variances.data = start.clone(), start.clone()
    losses = torch.tensor(values, requires_grad=True)
    theirs(losses).backward()
    expected, losses.grad = losses.grad, None
    ours.backward({f"{task}/loss": losses[number] for number, task in enumerate(tasks)})
    torch.testing.assert_close(losses.grad, expected)
    torch.testing.assert_close(ours.log_variances.grad, theirs.log_var.grad)
    torch.testing.assert_close(ours.finish(), expected)


def test_a_task_without_targets_leaves_its_uncertainty_alone():
    objective = UncertaintyWeighting(["a", "b"])
    weight = nn.Parameter(torch.tensor(2.0))
    objective.backward({"a/x": 3 * weight, "b/x": 0 * weight}, present=["a"])
    assert objective.log_variances.grad.tolist() == [0.5 - 3 * 2 / 2, 0]
    assert weight.grad == 1.5


@pytest.mark.parametrize("objective", [PCGRAD, JacobianDescent.Settings(aggregator="Sum")])
def test_one_task_is_plain_sgd(objective, dataset, tmp_path):
    one = network(tasks=(network().tasks[0],))
    how = recipe(steps=4, loss_weights={"segmentation/cross_entropy": 2.0})
    alone = dataset
    plain, expected = trained(alone, how, tmp_path, one)
    other, history = trained(alone, how.model_copy(update={"objective": objective}), tmp_path, one)
    for name, value in plain.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    assert history.losses == expected.losses


def test_a_training_by_the_sum_of_gradients_is_one_by_fixed_weights(dataset, tmp_path):
    how = recipe(steps=3, loss_weights=WEIGHTS, lr=1e-2)
    _, plain = trained(dataset, how, tmp_path)
    summed = how.model_copy(update={"objective": JacobianDescent.Settings(aggregator="Sum")})
    _, history = trained(dataset, summed, tmp_path)
    for name, values in plain.losses.items():
        assert history.losses[name] == pytest.approx(values, rel=1e-4)
    assert history.weights == {"segmentation": [1.0], "normals": [1.0]}
    assert plain.weights == {}


@pytest.mark.parametrize("objective", [PCGRAD, UncertaintyWeighting.Settings()])
def test_resuming_is_exact(objective, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECK_EVERY", 2)
    how = recipe(steps=8, loss_weights=WEIGHTS, objective=objective, lr_mult={"objective": 100})
    whole, history = trained(dataset, how, tmp_path)

    class Killed(Exception):
        pass

    def killed(done):
        if done == 5:
            raise Killed

    with pytest.raises(Killed):
        trained(dataset, how, tmp_path, name="killed.pt", checkpoint_seconds=0, watch=killed)
    starts = []
    again, resumed = trained(dataset, how, tmp_path, name="killed.pt", watch=starts.append)
    assert starts[0] == 4
    assert resumed == history
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert all(len(values) == 4 for values in history.weights.values())


def test_uncertainty_is_learned_and_kept(dataset, tmp_path):
    how = recipe(steps=30, objective=UncertaintyWeighting.Settings(), lr_mult={"objective": 10}, weight_decay=0.1)
    _, history = trained(dataset, how, tmp_path)
    learned = torch.tensor(history.objective["log_variances"])
    assert (learned != 0).all()
    assert {task: len(values) for task, values in history.weights.items()} == {"segmentation": 3, "normals": 3}
    # Weights of a window are those after its steps had begun, so the last ones lie near what was learned.
    last = torch.tensor([values[-1] for values in history.weights.values()])
    torch.testing.assert_close(last, learned.neg().exp() / 2, rtol=0.2, atol=0.0)
    assert History(**history.model_dump()) == history


@pytest.mark.parametrize("kind", [FixedWeights, UncertaintyWeighting])
def test_no_loss_and_no_weight_is_left_out_in_silence(kind):
    weight = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(InputError, match=r"task of the loss dpeth/l1, 'dpeth'.*depth"):
        kind(["depth"], loss_weights={"dpeth/l1": 10})
    with pytest.raises(InputError, match=r"task of the loss segmentation/ce, 'segmentation'"):
        kind(["seg"]).backward({"segmentation/ce": weight})
    with pytest.raises(InputError, match=r"loss with the weight of 'depth/l2'.*depth/l1"):
        kind(["depth"], loss_weights={"depth/l2": 10}).backward({"depth/l1": weight})
    for terms in ({}, {"a/x": weight}):
        with pytest.raises(InputError, match=r"The task [ab] has no loss; there are (none|a/x)"):
            kind(["a", "b"]).backward(terms)
    kind(["a", "b"]).backward({"a/x": weight}, present=["a"])


def test_a_state_of_any_shape_is_on_record(dataset, tmp_path, monkeypatch):
    build = UncertaintyWeighting.Settings.build

    def with_scalar(settings, tasks, loss_weights):
        made = build(settings, tasks, loss_weights)
        made.register_buffer("scale", torch.tensor(2.0))
        return made

    monkeypatch.setattr(UncertaintyWeighting.Settings, "build", with_scalar)
    _, history = trained(dataset, recipe(steps=1, objective=UncertaintyWeighting.Settings()), tmp_path)
    assert History.model_validate_json(history.model_dump_json()).objective["scale"] == [2.0]


def test_its_parameters_are_a_group_without_decay():
    groups = parameter_groups(UncertaintyWeighting(["a", "b"]), lr=0.1, weight_decay=0.5, lr_mult={"objective": 10})
    assert [(group["name"], group["lr"], group["weight_decay"]) for group in groups] == [("objective_undecayed", 1, 0)]


def test_fixed_weights_leave_a_recipes_identity_as_it_was():
    assert recipe().identity == recipe(objective=FixedWeights.Settings()).identity
    assert recipe().identity != recipe(objective=UPGRAD).identity
    assert "objective" not in recipe().canonical()


@pytest.mark.parametrize("objective", [FixedWeights.Settings(), UncertaintyWeighting.Settings(), UPGRAD])
def test_losses_of_one_element_are_numbers_whatever_their_shape(objective):
    net, gradients = Two(), []
    for shape in ((), (1,)):
        made = objective.build(["a", "b"], {})
        net.zero_grad()
        made.backward({name: loss.reshape(shape) for name, loss in net.terms().items()}, shared=net.shared, own=net.own)
        made.finish()
        gradients.append([one.grad for one in (*net.parameters(), *made.parameters())])
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_parameters_that_are_not_named_get_the_gradient_of_the_sum():
    net = Two()
    expected, _ = net.step(UPGRAD.build(["a", "b"], {}))
    net.zero_grad()
    made = UPGRAD.build(["a", "b"], {})
    made.backward(net.terms(), shared=net.shared)
    made.finish()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])


def test_what_cannot_be_is_one_sentence(dataset, tmp_path):
    shared = nn.Parameter(torch.ones(2))
    for loss, kind in ((shared, r"of shape \(2,\)"), (1.0, "a float")):
        with pytest.raises(InputError, match=f"^The loss a/x is {kind}; it should be a tensor of one number"):
            FixedWeights(["a"]).backward({"a/x": loss})
    for present in (["z"], "a_b"):
        with pytest.raises(InputError, match=r"no task '[z_]'"):
            UncertaintyWeighting(["a"]).backward({"a/x": shared.sum()}, present=present)
    for aggregator in ("PCGrad", aggregation.PCGrad):
        with pytest.raises(InputError, match=r"PCGrad.* is no aggregator; torchjd\.aggregation\.UPGrad\(\) is one"):
            JacobianDescent(["a"], aggregator=aggregator)
    made = UPGRAD.build(["a"], {})
    made.backward({"a/x": shared.sum()}, shared=[shared])
    with pytest.raises(InputError, match=r"has had all of its batches; finish\(\) ends it"):
        made.backward({"a/x": shared.sum()}, shared=[shared])
    with pytest.raises(InputError, match=r"GradVac keeps a state between steps.* valid are AlignedMTL, "):
        JacobianDescent(["a"], aggregator=aggregation.GradVac())
    with pytest.raises(InputError, match=r"no aggregator 'UPgrad'.*UPGrad"):
        JacobianDescent.Settings(aggregator="UPgrad")
    with pytest.raises(InputError, match="needs parameters that tasks share"):
        UPGRAD.build(["a"], {}).backward({"a/x": torch.ones((), requires_grad=True)})
    with pytest.raises(InputError, match="needs the backward pass of a batch first"):
        UPGRAD.build(["a"], {}).finish()
    for tasks in ([], "depth", ["a", "a"]):
        with pytest.raises(InputError, match="a list of one or more tasks, each once"):
            FixedWeights(tasks)
    terms = {"a/x": shared.sum(), "b/x": 0 * shared.sum()}
    with pytest.raises(InputError, match="a batch has targets of all tasks; one has none of b"):
        UPGRAD.build(["a", "b"], {}).backward(terms, shared=[shared], present=["a"])
    how = recipe(steps=1, objective=UPGRAD, precision="16-mixed")
    with pytest.raises(InputError, match="16-mixed scales losses, which gradients of tasks combined by UPGrad"):
        trained(dataset, how, tmp_path)
