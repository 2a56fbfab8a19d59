"""Cross-stitch units against the paper's equation written out."""

import pytest
import torch
from fusion_cases import FORMATS, maps, same, shaken

from mtlkit.fusion import CrossStitch
from mtlkit.fusion.base import LISTED, order_statistics


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("tasks", [2, 3])
@pytest.mark.parametrize("per", ["channel", "layer"])
def test_cross_stitch_is_equation_1(tasks, per, layout):
    unit, x = shaken(CrossStitch(tasks, 4, per=per)), maps(tasks, layout=layout)
    wanted = [torch.zeros_like(m) for m in x]
    for i in range(tasks):
        for j in range(tasks):
            for c in range(4):
                wanted[i][:, c] += (unit.alpha[c, i, j] if per == "channel" else unit.alpha[i, j]).detach() * x[j][:, c]
    same(unit(x), wanted)


@pytest.mark.parametrize("per", ["channel", "layer"])
def test_cross_stitch_takes_vectors_and_empty_batches(per):
    unit = CrossStitch(2, 4, per=per).double()
    x = maps(2, h=1, w=1)
    same(unit([m.flatten(1) for m in x]), [y.flatten(1) for y in unit(x)])
    assert unit(maps(2, n=0))[0].shape == (0, 4, 3, 5)


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("tasks", [2, 3])
@pytest.mark.parametrize("per", ["channel", "layer"])
def test_mixing_weights_are_what_the_layer_applies(per, tasks, exchange):
    unit, x = shaken(CrossStitch(tasks, 4, per=per, exchange=exchange)), maps(tasks)
    weights = unit.mixing_weights()
    assert weights.shape == (4 if per == "channel" else 1, tasks, tasks)
    assert not weights.requires_grad
    same(unit(x), [sum(weights[:, i, j, None, None] * x[j] for j in range(tasks)) for i in range(tasks)])


@pytest.mark.parametrize("count", [1, 2, LISTED, LISTED + 1, 4096])
def test_order_statistics_are_quantiles_and_keep_both_ends(count):
    values = torch.randn(count, dtype=torch.float64)
    found = order_statistics(values)
    assert len(found) == min(count, LISTED)
    assert found == sorted(found)
    assert (found[0], found[-1]) == (round(float(values.min()), 6), round(float(values.max()), 6))
    wanted = torch.quantile(values, torch.linspace(0, 1, len(found), dtype=torch.float64), interpolation="nearest")
    if count <= LISTED:
        assert found == [round(value, 6) for value in values.sort().values.tolist()]
    else:  # nearest ranks may round a half either way
        gaps = values.sort().values.diff().max()
        torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), wanted, atol=float(gaps) + 1e-6, rtol=0)
