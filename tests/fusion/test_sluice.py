"""Sluice layers against the equation written out; what they have in common with the others; the penalty; the mixing."""

import pytest
import torch
import torch.nn.functional as F
from fusion_cases import FORMATS, maps, same, shaken

from mtlkit.fusion import NDDR, CrossStitch, LayerMixing, Sluice


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("tasks", [2, 3])
@pytest.mark.parametrize("subspaces", [1, 2, 3])
def test_sluice_mixes_subspaces_of_tasks(tasks, subspaces, layout):
    unit, x = shaken(Sluice(tasks, 6, subspaces=subspaces)), maps(tasks, 6, layout=layout)
    size, wanted = 6 // subspaces, [torch.zeros_like(m) for m in x]
    for i in range(tasks * subspaces):
        for j in range(tasks * subspaces):
            (to, a), (of, b) = divmod(i, subspaces), divmod(j, subspaces)
            part = x[of][:, b * size : (b + 1) * size]
            wanted[to][:, a * size : (a + 1) * size] += unit.alpha[i, j].detach() * part
    same(unit(x), wanted)


@pytest.mark.parametrize("tasks", [2, 3])
def test_sluice_with_one_subspace_is_cross_stitch_per_layer(tasks):
    stitch, sluice, x = (
        shaken(CrossStitch(tasks, 4, per="layer")),
        Sluice(tasks, 4, subspaces=1).double(),
        maps(tasks),
    )
    torch.testing.assert_close(sluice.alpha, CrossStitch(tasks, 4, per="layer").double().alpha)
    sluice.load_state_dict(stitch.state_dict())
    same(sluice(x), stitch(x))


@pytest.mark.parametrize("subspaces", [1, 2])
def test_sluice_is_a_restricted_nddr(subspaces):
    sluice, nddr, x = shaken(Sluice(3, 4, subspaces=subspaces)), NDDR(3, 4, norm="none").double(), maps(3)
    eye = torch.eye(4 // subspaces, dtype=torch.float64)
    nddr.weight.data = sluice.alpha.data.kron(eye).reshape(nddr.weight.shape)
    same(nddr(x), sluice(x))


@pytest.mark.parametrize("subspaces", [1, 2, 3])
def test_penalty_is_the_squared_frobenius_norm(subspaces):
    weights, size, wanted = [torch.randn(6, 3, 2, 2, dtype=torch.float64) for _ in range(2)], 6 // subspaces, 0.0
    for weight in weights:
        for i in range(6):
            for j in range(i):
                if i // size != j // size:
                    wanted += float((weight[i] * weight[j]).sum()) ** 2
    assert float(Sluice(2, 6, subspaces=subspaces).penalty(weights)) == pytest.approx(wanted)


def test_penalty_is_zero_for_orthogonal_halves_only():
    unit, weight = Sluice(2, 4), torch.eye(4)[:, :, None, None]
    assert unit.penalty([weight, weight]) == 0
    assert unit.penalty([weight, torch.ones(4, 4, 1, 1)]) > 0
    assert CrossStitch(2, 4).penalty([weight, weight]) is None
    assert NDDR(2, 4).penalty([weight, weight]) is None


def test_layer_mixing_weighs_pooled_projected_maps():
    mixing = LayerMixing([2, 4, 4]).double()
    torch.testing.assert_close(mixing.beta.data, torch.tensor([0.05, 0.05, 0.9], dtype=torch.float64))
    x = [torch.randn(2, c, s, s, dtype=torch.float64) for c, s in ((2, 8), (4, 4), (4, 2))]
    shrunk = x[0].view(2, 2, 2, 4, 2, 4).mean((3, 5))
    projected = torch.einsum("oc,nchw->nohw", mixing.projections[0].weight[..., 0, 0], shrunk)
    wanted = 0.05 * projected + 0.05 * x[1].view(2, 4, 2, 2, 2, 2).mean((3, 5)) + 0.9 * x[2]
    torch.testing.assert_close(mixing(x), wanted)
    mixing(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.ne(0).all() for p in mixing.parameters())


def test_layer_mixing_of_the_last_stage_alone_is_that_stage():
    x = [torch.randn(1, 2, 2, 3), torch.randn(1, 2, 4, 6)]
    assert torch.equal(LayerMixing([2, 2], last=1.0)(x), x[1])
    enlarged = F.interpolate(x[0], (4, 6), mode="bilinear", align_corners=False)
    torch.testing.assert_close(LayerMixing([2, 2], last=0.0)(x), enlarged)
