"""Figures of the multi-exit paper: what first layers, filters and exits of its networks learnt."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mtlkit.errors import InputError, extra, unknown
from mtlkit.heads import Exit, FeatureFilter
from mtlkit.network import Network
from mtlkit.report.figures import gallery
from mtlkit.report.style import INK, MEASURED

with extra("book"):
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

FILTERS_ACROSS = 8
"""Filters in a line of Figure 3."""


class FilterMaps(NamedTuple):
    """What a feature filter does to an image.

    Attributes:
        gates: ``(C,)``: every channel's gate, its mean over the map.
        channels: the one with the highest gate, and the one with the lowest.
        before: ``(2, h, w)``: their maps in front of the filter.
        after: ``(2, h, w)``: behind it.
    """

    gates: Tensor
    channels: tuple[int, int]
    before: Tensor
    after: Tensor


def first_filters(network: Network) -> np.ndarray:
    """The filters of a network's first convolution as images ``(F, h, w, 3)``, each from 0 to 1.

    Raises:
        InputError: It sees no three colours.
    """
    first = next((layer for layer in network.trunk.modules() if isinstance(layer, nn.Conv2d)), None)
    if first is None or first.weight.shape[1] != 3:
        raise InputError(f"{network.settings.backbone} has no convolution of three colours to look at.")
    weights = first.weight.detach().cpu().permute(0, 2, 3, 1)
    low, high = (end(weights, dim=(1, 2, 3), keepdim=True) for end in (torch.amin, torch.amax))
    images: np.ndarray = ((weights - low) / (high - low).clamp(min=1e-12)).numpy()
    return images


def filter_sheets(networks: Mapping[str, Network]) -> Figure:
    """The first layer's filters of several networks, a panel each: Figure 3 of the multi-exit paper.

    Args:
        networks: label -> network; in print those of 5 % ImageNet, 5 % Places, both, and 20 % of both.
    """
    sheets = {label: _sheet(first_filters(network)) for label, network in networks.items()}
    height = max(sheet.shape[0] / sheet.shape[1] for sheet in sheets.values())
    size = 2.2 * len(sheets), 2.2 * height + 0.4
    figure, axes = plt.subplots(
        1, len(sheets), figsize=size, squeeze=False, layout="constrained", gridspec_kw={"wspace": 0.08}
    )
    for axis, (label, sheet) in zip(axes[0], sheets.items(), strict=True):
        axis.imshow(sheet, interpolation="nearest")
        axis.set_title(label, fontsize=8)
        axis.axis("off")
    figure.set_label(f"Filters of the first convolution, a panel each for {', '.join(networks)}.")
    return figure


def _sheet(images: np.ndarray) -> np.ndarray:
    """Images ``(F, h, w, 3)`` side by side, :data:`FILTERS_ACROSS` in a line, a white pixel between them."""
    down = -(-len(images) // FILTERS_ACROSS)
    lacking = down * FILTERS_ACROSS - len(images)
    padded = np.pad(images, ((0, lacking), (0, 1), (0, 1), (0, 0)), constant_values=1)
    _, height, width, _ = padded.shape
    rows = padded.reshape(down, FILTERS_ACROSS, height, width, 3).swapaxes(1, 2)
    return rows.reshape(down * height, FILTERS_ACROSS * width, 3)[:-1, :-1]


def filter_maps(network: Network, task: str, image: Tensor) -> FilterMaps:
    """What the filter in front of an exit does to an image.

    Args:
        network: in evaluation mode.
        task: whose exit.
        image: ``(3, H, W)`` in ``[0, 1]``.

    Raises:
        InputError: There is no such exit, or no filter that learns in front of it.
    """
    unit = _exit(network, task).filter
    if not isinstance(unit, FeatureFilter) or unit.gate == "half":
        raise InputError(f"The exit of {task} has no feature filter that learns.")
    found: list[Tensor] = []
    watched = unit.register_forward_hook(lambda unit, given, output: found.extend((given[0][0], output[0])))
    try:
        with torch.no_grad():
            network(image[None])
    finally:
        watched.remove()
    before, after = found
    values = unit.gates(before).detach().expand_as(before).mean((1, 2))
    ends = int(values.argmax()), int(values.argmin())
    return FilterMaps(values, ends, before[list(ends)], after[list(ends)])


def filtering(unit: FeatureFilter, maps: FilterMaps) -> Figure:
    """Figure 4 of the multi-exit paper: gates, and maps of the highest- and the lowest-gate channel, before and after.

    Args:
        unit: the filter.
        maps: of an image.
    """
    figure, axes = plt.subplots(2, 3, figsize=(7, 3.6), layout="constrained", width_ratios=(2, 1, 1))
    for axis, name in zip(axes[:, 0], ("alpha", "beta"), strict=True):
        values = getattr(unit, name).detach().sigmoid()
        axis.plot(values, ".", markersize=2.5, color=MEASURED)
        for channel, way in zip(maps.channels, ("^", "v"), strict=True):
            axis.plot(channel, float(values[channel]), way, color=INK, markersize=6, label=f"channel {channel}")
        axis.set_ylim(0, 1)
        axis.set_title(f"sigmoid of {name}", fontsize=8)
        axis.set_xlabel("channel", fontsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncol=2, fontsize=7)
    for row, (kind, channel) in enumerate(zip(("highest", "lowest"), maps.channels, strict=True)):
        top = max(float(maps.before[row].abs().max()), 1e-12)
        pair = ("before", maps.before[row]), ("after", maps.after[row])
        for axis, (when, map_) in zip(axes[row, 1:], pair, strict=True):
            axis.imshow(map_.numpy(), cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
            axis.set_title(f"{when}, channel {channel}\n{kind} gate {float(maps.gates[channel]):.3f}", fontsize=7)
            axis.axis("off")
    figure.set_label(
        f"Sigmoids of scale and offset of {len(maps.gates)} channels; maps of channels {maps.channels[0]} and "
        f"{maps.channels[1]}, with the highest and the lowest gate, before and after the filter, a pair on one scale."
    )
    return figure


def grad_cam(network: Network, task: str, images: Tensor, labels: Tensor | None = None) -> Tensor:
    """Where an exit looks for a class: Grad-CAM of Selvaraju et al., ICCV 2017, https://arxiv.org/abs/1610.02391.

    ``relu(sum_c w_c A_c)``, where ``A`` is the map that the exit pools, behind its filter if it has one, and ``w_c``
    the mean over the map of the gradient of the class's logit with respect to ``A_c``.

    Args:
        network: in evaluation mode.
        task: whose exit.
        images: ``(N, 3, H, W)`` in ``[0, 1]``.
        labels: class ids, ``(N,)``; ``None``: the likeliest class of each image.

    Returns:
        ``(N, h, w)``, from 0, in the map's own cells.

    Raises:
        InputError: There is no such exit.
    """
    found: list[Tensor] = []

    def watch(pool: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        found.append(given[0].detach().requires_grad_())
        return (found[0],)

    watched = _exit(network, task).pool.register_forward_pre_hook(watch)
    try:
        with torch.enable_grad():
            logits = network(images)[task]
    finally:
        watched.remove()
    chosen = logits.argmax(1) if labels is None else labels.to(logits.device)
    (slopes,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), found[0])
    maps: Tensor = (slopes.mean((2, 3), keepdim=True) * found[0].detach()).sum(1).relu()
    return maps


def attention(images: Sequence[np.ndarray], maps: Mapping[str, Tensor]) -> Figure:
    """Images with heat maps over them, a column per network: Figure 5 of the multi-exit paper.

    Args:
        images: uint8 ``(H, W, 3)``.
        maps: label -> ``(N, h, w)``, as :func:`grad_cam` returns them; each is shown up to its own highest value.
    """
    columns = [("image", list(images))]
    for label, several in maps.items():
        column = []
        for image, map_ in zip(images, several, strict=True):
            height, width = image.shape[:2]
            enlarged = nn.functional.interpolate(map_[None, None].cpu(), (height, width), mode="bilinear")[0, 0]
            colours = plt.get_cmap("jet")((enlarged / enlarged.max().clamp(min=1e-12)).numpy())[..., :3]
            column.append((127.5 * colours + 0.5 * image).astype(np.uint8))
        columns.append((label, column))
    return gallery(columns, width=1.6)


def _exit(network: Network, task: str) -> Exit:
    if task not in network.heads:
        raise unknown("exit", task, network.heads)
    head = network.heads[task]
    assert isinstance(head, Exit)
    return head
