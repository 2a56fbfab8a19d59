"""How much faster one network of three tasks is than three networks, one after the other.

Segmentation, boxes, and boxes with joints, each on a backbone of its own, over one backbone with all heads: a forward
pass of one image, timed in turns, the median of the ratios. Heads have the official code's widths; the paper prints
2.4 for ResNet18 (17 over 7 ms) and 2.1 for DLA-34 (61 over 29 ms). What limits the figure is the heads' share, which is
paid in either case: it is printed beside, as multiply-accumulates.

    python benchmarks/mcn_speed.py [--rounds 15] [--size 512]
"""

import argparse

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mtlkit import papers
from mtlkit.backbones import aside
from mtlkit.evaluations.speed import speed
from mtlkit.network import NetworkSettings
from mtlkit.papers.mcn.options import MCNOptions
from mtlkit.papers.printed import printed
from mtlkit.runtime import Runtime

TABLES = {"resnet18": ("F7", "composite_stn", "triple_mcn"), "dla34": ("4", "stn_three", "seg_det_pose")}


def operations(settings: NetworkSettings, size: int) -> tuple[float, float]:
    """Multiply-accumulates of a whole network and of its heads, in thousand millions; deformable ones are counted
    as plain convolutions of the same weights, which torch's counter would leave out."""
    counts = {"deformable": 0, "heads": 0}
    with aside():
        network = settings.build(weights=False).eval()

    def deformable(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        counts["deformable"] += module.weight.numel() * output.shape[-2] * output.shape[-1]

    for module in network.modules():
        if type(module).__name__ == "DeformConv2d":
            module.register_forward_hook(deformable)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, size, size, device="meta"))
    every = counter.get_flop_counts()
    heads = sum(
        sum(found.values())
        for name, found in every.items()
        if name.startswith("Network.heads.") and name.count(".") == 2
    )
    return (counter.get_total_flops() / 2 + counts["deformable"]) / 1e9, heads / 2e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--backbones", nargs="+", default=list(TABLES))
    arguments = parser.parse_args()
    fabric = Runtime().fabric()
    print(f"torch {torch.__version__}, {fabric.device}, {torch.get_num_threads()} threads, {arguments.rounds} rounds")
    print(f"{'':10}{'neck':26}{'ratio':>7}{'printed':>9}{'one, G':>8}{'heads, G':>10}{'ratio of G':>12}")
    for backbone in arguments.backbones:
        number, three, one = TABLES[backbone]
        table = papers.table("mcn", number)
        cells = {row.id: row.cells for row in printed("mcn").tables[number].rows}
        target = float(cells[three]["ms"]) / float(cells[one]["ms"])
        for neck in ("deconvolution", "deformable_deconvolution") if backbone == "resnet18" else ("dla_up",):
            options = MCNOptions(
                profile="paper", backbone=backbone, neck=neck, image_size=(arguments.size, arguments.size)
            )
            rows = {row.id: row.evaluations[0] for row in table.rows(table.column(options), 0)}
            value = rows[three]
            found = speed(value.networks, value.reference, value.size, arguments.rounds, fabric)
            separate = sum(operations(settings, arguments.size)[0] for settings in value.networks)
            together, heads = operations(value.reference[0], arguments.size)
            print(
                f"{backbone:10}{neck:26}{found['speed/ratio']:>7.2f}{target:>9.2f}{together:>8.1f}{heads:>10.1f}"
                f"{separate / together:>12.2f}"
            )


if __name__ == "__main__":
    main()
