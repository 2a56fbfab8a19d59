"""What a fusion unit costs: a training step of two encoders with a unit after each of five stages over plain encoders.

Forward and backward, 160x192 pixels, batch 4. Steps with and without a unit take turns in one process; the figure is
the median of the ratios of neighbours, so that a machine whose speed drifts says the same.

    python benchmarks/fusion_step.py [--rounds 15] [--backbones resnet18 vgg16]
"""

import argparse
import statistics
import time

import torch

from mtlkit.backbones import staged
from mtlkit.fusion import NDDR, CrossStitch, FusionLayer, Sluice

TARGETS = {"cross-stitch": 1.08, "sluice": 1.12, "NDDR": 1.15}


def step(towers: list[torch.nn.ModuleList], units: list[FusionLayer] | None, images: torch.Tensor) -> float:
    """Seconds of one forward and backward pass."""
    began = time.perf_counter()
    maps = [images] * len(towers)
    for index in range(len(towers[0])):
        maps = [tower[index](x) for tower, x in zip(towers, maps, strict=True)]
        if units:
            maps = units[index](maps)
    torch.stack([x.mean() for x in maps]).sum().backward()
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "vgg16"])
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, {arguments.rounds} rounds")
    print(f"{'':22}{'ratio':>7}{'quartiles':>15}{'target':>8}")
    for name in arguments.backbones:
        torch.manual_seed(0)
        backbones = [staged(name).to(device).train() for _ in range(2)]
        towers = [backbone.stages for backbone in backbones]
        images = torch.rand(4, 3, 160, 192, device=device)
        kinds = {
            "cross-stitch": lambda c: CrossStitch(2, c, per="layer"),
            "cross-stitch/channel": lambda c: CrossStitch(2, c, per="channel"),
            "sluice": lambda c: Sluice(2, c),
            "NDDR": lambda c: NDDR(2, c, norm="output"),
        }
        for kind, build in kinds.items():
            units = [build(channels).to(device).train() for channels in backbones[0].channels]
            for _ in range(2):
                step(towers, None, images), step(towers, units, images)
            ratios = []
            for _ in range(arguments.rounds):
                plain = step(towers, None, images)
                fused = step(towers, units, images)
                ratios.append(fused / plain)
            low, middle, high = statistics.quantiles(ratios, n=4)
            target = TARGETS[kind.split("/")[0]]
            print(f"{name:9}{kind:13.20}{middle:>7.3f}{f'{low:.3f}-{high:.3f}':>15}{target:>8}")


if __name__ == "__main__":
    main()
