"""Figures of MultiTask-CenterNet: what its networks predict, over images."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import torch
from torch import Tensor

from mtlkit.errors import InputError, extra
from mtlkit.evaluations.speed import Speed
from mtlkit.metrics.resize import enlarged
from mtlkit.network import Network
from mtlkit.report.figures import gallery, legend, sheet
from mtlkit.report.side_by_side import SideBySide
from mtlkit.report.style import MEASURED, PRINTED
from mtlkit.tasks import CenterDetection, Segmentation
from mtlkit.tasks.detections import SHOWN
from mtlkit.tasks.drawing import boxed, palette

with extra("book"):
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

DRAWN_SIDE = 320
"""Pixels that images with objects are brought to, about."""

RATIO = "speed/ratio"


def posed(
    images: Sequence[np.ndarray],
    poses: Mapping[str, Sequence[np.ndarray]],
    skeleton: Sequence[tuple[int, int]],
    *,
    across: int = 4,
) -> Figure:
    """Images `(H, W, 3)` with joints over them.

    Args:
        images: the images.
        poses: kind of pose -> for every image, joints `(R, J, 3)`: x, y and 0 where there is none. The first kind is
            drawn in the colour of what is printed, the second in that of what is measured.
        skeleton: pairs of joints that a line connects.
        across: images in a line.
    """
    figure, axes = sheet(images, across)
    for axis, image, *kinds in zip(axes, images, *poses.values(), strict=False):
        axis.imshow(image)
        for colour, found in zip((PRINTED, MEASURED), kinds, strict=False):
            for joints in found:
                for one, other in skeleton:
                    if joints[one, 2] and joints[other, 2]:
                        axis.plot(*joints[[one, other], :2].T, color=colour, linewidth=1.5)
                axis.plot(*joints[joints[:, 2] > 0, :2].T, ".", color=colour, markersize=3)
        axis.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))
    legend(figure, list(poses))
    found = ", ".join(f"{sum(map(len, several))} with {kind}" for kind, several in poses.items())
    figure.set_label(f"{len(images)} images with the joints of persons: {found}.")
    return figure


def time_ratios(comparisons: Sequence[SideBySide]) -> Figure:
    """How many times as long as the network of all tasks each row takes: a panel a column, of Table 4 or Figure 7.

    A dot is the median over rounds in which both were timed in turns, a bar the middle half of the rounds, a circle the
    quotient of the printed times. Rows that were not timed are left out.

    Args:
        comparisons: columns of times.

    Raises:
        InputError: no row of these was timed.
    """
    timed = [(one, [row for row in one.rows if one.cell(row.id, RATIO).rounds]) for one in comparisons]
    timed = [(one, rows) for one, rows in timed if rows]
    if not timed:
        raise InputError("No row of these columns was timed.")
    counts = [len(rows) for _, rows in timed]
    figure, axes = plt.subplots(
        len(counts), 1, figsize=(7.2, 0.9 * len(counts) + 0.36 * sum(counts)), sharex=True, squeeze=False,
        height_ratios=counts, layout="constrained",
    )  # fmt: skip
    for axis, (one, rows) in zip(axes[:, 0], timed, strict=True):
        speeds = [(row.id, node) for row in one.rows for node in row.evaluations if isinstance(node, Speed)]
        (whole,) = (row for row, node in speeds if node.networks == node.reference)
        for place, row in enumerate(rows):
            cell = one.cell(row.id, RATIO)
            low, high = np.quantile(np.concatenate(list(cell.rounds.values())), (0.25, 0.75))
            axis.plot((low, high), (place, place), color=MEASURED, linewidth=4, alpha=0.4)
            axis.plot(cell.mean, place, "o", color=MEASURED)
            times = [float(one.printed_cell(each, "ms")[0]) for each in (row.id, whole)]
            axis.plot(times[0] / times[1], place, "o", color=PRINTED, fillstyle="none", markersize=10)
        # A narrow screen shows the left of a figure first: names in several lines leave it to the dots.
        axis.set_yticks(range(len(rows)), [fill(row.label, 20) for row in rows])
        axis.set_title(f"{one.column.networks}, {one.column.machine}", fontsize=9)
        axis.set(xlim=(0, None), ylim=(len(rows) - 0.5, -0.5))
    figure.supxlabel(
        "times the network of three tasks\ndot: measured, with the middle half of the rounds; circle: printed",
        fontsize=9,
    )
    labels = ", ".join(dict.fromkeys(row.label for _, rows in timed for row in rows))
    figure.set_label(f"Time over that of the network of three tasks, printed and measured: a line each for {labels}.")
    return figure


def drawn(network: Network, images: Tensor, *, least: float = SHOWN, surest: int = 0) -> list[np.ndarray]:
    """Images with all that a network predicts of them: colours of classes, boxes, and joints as dots.

    Args:
        network: in evaluation mode.
        images: ``(N, 3, H, W)`` in ``[0, 1]``.
        least: the score of the least sure object that is drawn.
        surest: how many objects of an image are drawn whatever their score.

    Returns:
        For every image uint8 ``(H, W, 3)``; with objects, small images are enlarged, or their names would hide them.
    """
    with torch.inference_mode():
        outputs = network.predict(images)
    shown = _pixels(images)
    for name, task in network.tasks.items():
        if isinstance(task, Segmentation):
            ids = enlarged(outputs[name].float(), images).argmax(1).cpu().numpy()
            colours = palette(len(task.classes))
            shown = [
                np.where(own[..., None] > 0, image // 2 + colours[own] // 2, image)
                for image, own in zip(shown, ids, strict=True)
            ]
    for name, task in network.tasks.items():
        if isinstance(task, CenterDetection):
            shown = [
                _with_objects(task, image, outputs[name][row : row + 1], least, surest)
                for row, image in enumerate(shown)
            ]
    return shown


def _pixels(images: Tensor) -> list[np.ndarray]:
    return [(image.permute(1, 2, 0) * 255).round().byte().cpu().numpy() for image in images]


def _with_objects(task: CenterDetection, image: np.ndarray, output: Tensor, least: float, surest: int) -> np.ndarray:
    found = task.postprocess(output)
    sure = found.scores[0] > least
    sure[:surest] = True  # the surest come first
    labels = found.labels[0, sure].tolist()
    words = [
        f"{task.classes[label]} {score:.2f}"
        for label, score in zip(labels, found.scores[0, sure].tolist(), strict=True)
    ]
    times = max(1, round(DRAWN_SIDE / max(image.shape[:2])))
    points = [] if found.joints is None else (times * found.joints[0, sure][..., :2]).tolist()
    canvas = image.repeat(times, 0).repeat(times, 1)
    return boxed(canvas, (times * found.boxes[0, sure]).tolist(), labels, words, points)


def networks(images: Tensor, several: Mapping[str, Network], *, least: float = SHOWN, surest: int = 0) -> Figure:
    """Images as several networks see them, a line each: Figures 1, 5, 6, A1 and A2 of the paper.

    Figure 1 has the network of persons with all heads, 5 those of Table 1, 6 those of Table 2 with poses or masks, A1
    and A2 all of Tables 1, 2 and X1.

    Args:
        images: ``(N, 3, H, W)`` in ``[0, 1]``.
        several: label -> network.
        least: as of :func:`drawn`.
        surest: as of :func:`drawn`.
    """
    lines = {"image": _pixels(images)}
    lines |= {label: drawn(one, images, least=least, surest=surest) for label, one in several.items()}
    height, width = images.shape[-2:]
    side = min(2.2, 6.6 / len(images))
    figure, axes = plt.subplots(
        len(lines),
        len(images),
        figsize=(side * len(images), (side * height / width + 0.25) * len(lines)),
        squeeze=False,
        layout="constrained",
    )
    for line, (label, shown) in zip(axes, lines.items(), strict=True):
        line[0].set_title(label, fontsize=9, loc="left")
        for axis, image in zip(line, shown, strict=True):
            axis.imshow(image)
            axis.axis("off")
    figure.set_label(f"{len(images)} images side by side; a line each from the top: {', '.join(lines)}.")
    return figure


def centre_map(network: Network, images: Tensor) -> Tensor:
    """How sure a network is that an object's centre lies in a cell, the surest class's: ``(N, h, w)``.

    Args:
        network: in evaluation mode.
        images: ``(N, 3, H, W)`` in ``[0, 1]``.

    Raises:
        InputError: It detects nothing.
    """
    task = next((task for task in network.tasks.values() if isinstance(task, CenterDetection)), None)
    if task is None:
        raise InputError(f"A network of {', '.join(network.tasks)} has no map of centres.")
    with torch.inference_mode():
        output = network.predict(images)[task.name]
    found: Tensor = output[:, : len(task.classes)].float().sigmoid().amax(1)
    return found


def centre_maps(network: Network, images: Tensor, *, least: float = SHOWN, surest: int = 0) -> Figure:
    """Images, the maps of centres over them, and the boxes that are found there: Figure 3 of the paper.

    A map is shown up to its own highest value.

    Args:
        network: in evaluation mode.
        images: ``(N, 3, H, W)`` in ``[0, 1]``.
        least: as of :func:`drawn`.
        surest: as of :func:`drawn`.
    """
    shown = _pixels(images)
    sure = enlarged(centre_map(network, images)[:, None], images)[:, 0]
    heat = (sure / sure.amax((1, 2), keepdim=True).clamp(min=1e-12)).cpu().numpy()
    over = [
        (0.35 * image + 0.65 * 255 * plt.get_cmap("magma")(map_)[..., :3]).astype(np.uint8)
        for image, map_ in zip(shown, heat, strict=True)
    ]
    boxes = drawn(network, images, least=least, surest=surest)
    return gallery([("image", shown), ("centres", over), ("boxes", boxes)], width=2.4)
