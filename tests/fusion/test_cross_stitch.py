"""Cross-stitch units against the paper's equation written out."""

import pytest
import torch
from fusion_cases import FORMATS, maps, same, shaken

from mtlkit.fusion import CrossStitch


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
