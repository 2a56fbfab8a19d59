"""Figures of MultiTask-CenterNet: joints over images."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtlkit.errors import extra
from mtlkit.report.figures import legend, sheet
from mtlkit.report.style import MEASURED, PRINTED

with extra("book"):
    from matplotlib.figure import Figure


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
