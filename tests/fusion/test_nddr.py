"""NDDR layers against the paper's equations written out, and against what the paper and its code say of them."""

import pytest
import torch
from fusion_cases import FORMATS, maps, same, shaken

from mtlkit.fusion import NDDR, CrossStitch


def normed(x, scale, shift):
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (var + 1e-3).sqrt() * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("tasks", [2, 3])
@pytest.mark.parametrize(("norm", "relu"), [("input", True), ("output", True), ("output", False), ("none", True)])
def test_nddr_is_equations_1_and_2(tasks, norm, relu, layout):
    unit, x = shaken(NDDR(tasks, 4, norm=norm, relu=relu)), maps(tasks, layout=layout)
    joined = torch.cat(x, 1)
    if norm == "input":
        joined = normed(joined, unit.norm_in.weight, unit.norm_in.bias)
    wanted = []
    for i in range(tasks):
        y = torch.zeros(2, 4, 3, 5, dtype=torch.float64)
        for c in range(4):
            for d in range(4 * tasks):
                y[:, c] += unit.weight[4 * i + c, d, 0, 0].detach() * joined[:, d].detach()
        if norm == "output":
            block = slice(4 * i, 4 * i + 4)
            y = normed(y, unit.norm_out.weight[block], unit.norm_out.bias[block])
            y = y.clamp(min=0) if relu else y
        wanted.append(y.detach())
    same(unit(x), wanted)


def test_nddr_norm_keeps_the_official_running_average():
    unit, x = NDDR(2, 4, norm="input").double(), maps(2)
    unit(x)
    torch.testing.assert_close(unit.norm_in.running_mean, 0.05 * torch.cat(x, 1).mean((0, 2, 3)))


def test_nddr_output_norm_is_no_identity_for_negative_inputs():
    unit, x = NDDR(2, 4, norm="output", alpha=1.0, beta=0.0).double().eval(), maps(2)
    # Untouched running statistics leave only the ReLU and epsilon.
    same(unit(x), [m.clamp(min=0) / (1 + 1e-3) ** 0.5 for m in x])
    linear = NDDR(2, 4, norm="output", alpha=1.0, beta=0.0, relu=False).double().eval()
    same(linear(x), [m / (1 + 1e-3) ** 0.5 for m in x])


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("tasks", [2, 3])
def test_nddr_with_diagonal_blocks_is_cross_stitch_per_channel(tasks, layout):
    stitch, nddr, x = shaken(CrossStitch(tasks, 4)), NDDR(tasks, 4, norm="none").double(), maps(tasks, layout=layout)
    nddr.weight.data = torch.diag_embed(stitch.alpha.data.permute(1, 2, 0)).transpose(1, 2).reshape(nddr.weight.shape)
    same(nddr(x), stitch(x))


def test_nddr_weights_on_vgg16_are_the_printed_number():
    units = [NDDR(2, c) for c in (64, 128, 256, 512, 512)]
    assert sum(unit.weight[: unit.channels].numel() for unit in units) == 1_220_608
    assert sum(unit.weight.numel() for unit in units) == 2_441_216


def test_xavier_uses_the_fans_of_one_task():
    unit = NDDR(3, 64, init="xavier")
    bound = (6 / (3 * 64 + 64)) ** 0.5
    assert 0.99 * bound < unit.weight.abs().max() <= bound


@pytest.mark.parametrize("tasks", [2, 3])
def test_shares_say_where_an_nddr_layer_looks(tasks):
    start = NDDR(tasks, 4, alpha=0.9, beta=0.1).shares()
    torch.testing.assert_close(start, torch.tensor([[0.9, 0, 0.1, 0]]).repeat(tasks, 1), atol=1e-6, rtol=0)
    layer = shaken(NDDR(tasks, 4))
    weight = layer.weight.detach()[..., 0, 0].abs()
    for task in range(tasks):
        sums = [0.0] * 4
        for row in range(4):
            for column in range(4 * tasks):
                foreign, other = column // 4 != task, column % 4 != row
                sums[2 * foreign + other] += float(weight[4 * task + row, column])
        found = layer.shares()[task]
        torch.testing.assert_close(found, torch.tensor(sums, dtype=found.dtype) / sum(sums))
