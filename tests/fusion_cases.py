"""Maps and layers for the tests of fusion layers."""

import torch

from mtlkit.fusion import NDDR, CrossStitch, FusionLayer, Sluice

FORMATS = [torch.contiguous_format, torch.channels_last]
EVERY: list[tuple[type[FusionLayer], dict]] = [
    (CrossStitch, {"per": "channel"}),
    (CrossStitch, {"per": "layer"}),
    (Sluice, {}),
    (Sluice, {"subspaces": 1}),
    (NDDR, {"norm": "none"}),
    (NDDR, {"norm": "input"}),
    (NDDR, {"norm": "output"}),
    (NDDR, {"norm": "output", "relu": False}),
    (NDDR, {"norm": "none", "init": "xavier"}),
]


def maps(tasks, channels=4, n=2, h=3, w=5, layout=torch.contiguous_format, dtype=torch.float64):
    return [torch.randn(n, channels, h, w, dtype=dtype).to(memory_format=layout) for _ in range(tasks)]


def shaken(unit):
    """The unit in float64, its parameters moved off their start at random."""
    with torch.no_grad():
        for parameter in unit.double().parameters():
            parameter.add_(torch.randn_like(parameter))
    return unit


def same(got, wanted):
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)
