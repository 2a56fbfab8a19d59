"""The figures of the multi-exit paper show what its networks compute."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from mtlkit.errors import InputError
from mtlkit.heads import Exit
from mtlkit.network import NetworkSettings
from mtlkit.papers.multi_exit.figures import (
    attention,
    filter_maps,
    filter_sheets,
    filtering,
    first_filters,
    grad_cam,
)
from mtlkit.tasks import Classification

TASKS = (Classification(name="objects", classes=5), Classification(name="places", classes=3))


def network(gate=None, width=None, backbone="mobilenetv3_small_050"):
    torch.manual_seed(0)
    last = Exit.Settings(filter=gate, width=width)
    heads = {"places": last.model_copy(update={"stage": -2})}
    made = NetworkSettings(backbone=backbone, tasks=TASKS, head=last, heads=heads).build().eval()
    for head in made.heads.values():
        if gate in ("input", "fixed"):
            with torch.no_grad():
                head.filter.alpha.normal_()
                head.filter.beta.normal_()
    return made


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(1))


def map_in_front_of(net, task, images):
    head, maps = net.heads[task], net.trunk(images)[task]
    return head.filter(maps[head.stages[0]])


@pytest.mark.parametrize("gate", [None, "input", "fixed", "half"])
@pytest.mark.parametrize("task", ["objects", "places"])
def test_grad_cam_of_a_linear_exit_is_its_weights_over_the_map(gate, task, images):
    # The logit is the mean over the cells of w A, so that its gradient is w / cells everywhere.
    net, labels = network(gate), torch.tensor([2, 0])
    found = grad_cam(net, task, images, labels)
    with torch.no_grad():
        maps = map_in_front_of(net, task, images)
        weights = net.heads[task].classifier.weight[labels] / maps[0, 0].numel()
        by_hand = torch.einsum("nc,nchw->nhw", weights, maps).clamp(min=0)
    assert by_hand.max() > 0
    assert torch.allclose(found, by_hand, rtol=1e-4, atol=1e-8)


def test_grad_cam_of_an_exit_with_a_hidden_layer_has_the_gradients_of_differences(images):
    net = network("input", width=7).double()
    images = images.double()
    found = grad_cam(net, "objects", images[:1], torch.tensor([3]))
    head = net.heads["objects"]
    with torch.no_grad():
        maps = map_in_front_of(net, "objects", images[:1])

        def score(maps):
            return head.classifier(head.hidden(head.pool(maps)))[0, 3]

        slopes = torch.zeros(maps.shape[1], dtype=torch.float64)
        for channel in range(len(slopes)):  # all cells of a channel at once: the sum of their gradients
            step = torch.zeros_like(maps)
            step[0, channel] = 1e-6
            slopes[channel] = (score(maps + step) - score(maps - step)) / 2e-6 / maps[0, 0].numel()
        by_hand = torch.einsum("c,chw->hw", slopes, maps[0]).clamp(min=0)
    assert by_hand.max() > 0
    assert torch.allclose(found[0], by_hand, rtol=1e-5, atol=1e-12)


def test_grad_cam_takes_the_likeliest_class_and_leaves_nothing_behind(images):
    net = network()
    with torch.no_grad():
        likeliest = net(images)["objects"].argmax(1)
    assert torch.equal(grad_cam(net, "objects", images), grad_cam(net, "objects", images, likeliest))
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not net.heads["objects"].pool._forward_pre_hooks
    with pytest.raises(InputError, match="did you mean 'objects'"):
        grad_cam(net, "object", images)


@pytest.mark.parametrize("gate", ["input", "fixed"])
def test_maps_before_and_after_are_those_of_the_extreme_gates(gate, images):
    net = network(gate)
    found = filter_maps(net, "places", images[0])
    head = net.heads["places"]
    with torch.no_grad():
        before = net.trunk(images[:1])["places"][head.stages[0]][0]
        alpha, beta = head.filter.alpha[:, None, None], head.filter.beta[:, None, None]
        gates = torch.sigmoid(alpha * before + beta if gate == "input" else alpha + beta).expand_as(before)
    means = gates.mean((1, 2))
    assert found.channels == (int(means.argmax()), int(means.argmin()))
    assert torch.allclose(found.gates, means)
    for row, channel in enumerate(found.channels):
        assert torch.allclose(found.before[row], before[channel], atol=1e-6)
        assert torch.allclose(found.after[row], (gates * before)[channel], atol=1e-6)
    figure = filtering(head.filter, found)
    assert f"channels {found.channels[0]} and {found.channels[1]}" in figure.get_label()
    plt.close(figure)


@pytest.mark.parametrize("gate", [None, "half"])
def test_without_a_filter_that_learns_there_is_nothing_to_show(gate, images):
    with pytest.raises(InputError, match="no feature filter that learns"):
        filter_maps(network(gate), "objects", images[0])


def test_first_filters_are_the_weights_each_on_its_own_scale():
    net = network()
    weights = dict(net.trunk.named_parameters())
    first = next(weight for weight in weights.values() if weight.ndim == 4).detach()
    images = first_filters(net)
    assert images.shape == (first.shape[0], *first.shape[2:], 3)
    assert np.allclose(images.min((1, 2, 3)), 0)
    assert np.allclose(images.max((1, 2, 3)), 1)
    one = first[3].permute(1, 2, 0)
    assert np.allclose(images[3], ((one - one.min()) / (one.max() - one.min())).numpy(), atol=1e-6)


def test_a_panel_a_network_and_a_column_an_exit(images):
    figure = filter_sheets({"alone": network(), "together": network("input")})
    assert [axis.get_title() for axis in figure.axes] == ["alone", "together"]
    assert "alone, together" in figure.get_label()
    plt.close(figure)
    shown = [(image.permute(1, 2, 0) * 255).byte().numpy() for image in images]
    maps = torch.zeros(2, 2, 3)
    maps[0, 0, 0] = 5.0  # one bright corner
    figure = attention(shown, {"objects exit": maps})
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == ["image", "objects exit"]
    over = figure.axes[1].get_images()[0].get_array()
    colour = np.array(plt.get_cmap("jet")(1.0)[:3])
    assert np.allclose(over[0, 0], (127.5 * colour + 0.5 * shown[0][0, 0]).astype(np.uint8), atol=1)
    plt.close(figure)
