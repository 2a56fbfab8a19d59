"""Angles between predicted and true surface normals, in the two spaces the literature mixes up."""

import numpy as np
import torch
from torch import Tensor

from mtlkit.errors import check_shape
from mtlkit.metrics.base import ImageMetric, Measures, Weights, exact
from mtlkit.metrics.bootstrap import middles
from mtlkit.metrics.resize import enlarged
from mtlkit.metrics.spaces import SPACES, Directions, Space, decode, encode, has_normal, unit

THRESHOLDS = (11.25, 22.5, 30.0)
"""Degrees; "within" includes the threshold itself, as in NDDR-CNN's official code (``eval_single_task.py``)."""

ROUNDING = 1e-4
"""Degrees by which an angle may lie above a threshold and count as within it; float32 errs by up to 1e-5."""

FARTHEST = 180.0
"""Degrees; the error of a prediction that is no direction, with NaN or infinity in it, wrong by every measure."""

STEP = 0.01
"""Degrees; medians are those of angles rounded to whole steps, at most half a step off."""

BINS = round(180 / STEP) + 1


def angles(a: Tensor, b: Tensor) -> Tensor:
    """Angle in degrees between vectors along dimension 1, exact near 0 and 180 where arccos is not."""
    a, b = unit(a), unit(b)
    return torch.rad2deg(2 * torch.atan2((a - b).square().sum(1).sqrt(), (a + b).square().sum(1).sqrt()))


class Angles(ImageMetric):
    """Angles between predicted and true normals, pixels pooled, in both spaces.

    Of every image the sum of its angles, their number, how many are within each threshold and a histogram are kept:
    72 kB a space, whatever the size of the image.

    Args:
        space: of the predictions.
    """

    def __init__(self, space: Space = "decoded"):
        super().__init__()
        self.space = space
        for name in SPACES:
            self.keeps(f"{name}_sums", (2 + len(THRESHOLDS),), torch.float64)
            self.keeps(f"{name}_histogram", (BINS,), torch.int32)

    def update(self, output: Tensor | Directions, target: Tensor, image: Tensor | None = None) -> None:
        """Takes vectors ``(N, 3, h, w)``, enlarged to the target ``(N, 3, H, W)``, in which zero and what is not
        finite is no value.

        A prediction that holds a NaN or an infinity counts as :data:`FARTHEST` off.

        Raises:
            InputError: the shapes are others.
        """
        shape = output.decoded.shape if isinstance(output, Directions) else output.shape
        check_shape(f"The target for {type(self).__name__}", target.shape, "N", 3, "H", "W")
        check_shape(f"The output for {type(self).__name__}", shape, len(target), 3, "h", "w")
        if isinstance(output, Directions):
            decoded, encoded = output
        else:
            vectors = enlarged(output.float(), target)
            decoded, encoded = (
                (decode(vectors), vectors) if self.space == "encoded" else (vectors, encode(unit(vectors)))
            )
        rows: dict[str, Tensor] = {}
        valid = has_normal(target).flatten(1)
        for space, error in (("decoded", angles(decoded, target)), ("encoded", angles(encoded, encode(target)))):
            error = error.flatten(1)
            # Pixels without a value go to a bin of their own: selecting them away would wait for the device.
            error = torch.where(valid, error.nan_to_num(FARTHEST), 0)
            within = [(error <= limit + ROUNDING) & valid for limit in THRESHOLDS]
            sums = [valid, error, *within]
            rows[f"{space}_sums"] = torch.stack([each.sum(1, dtype=exact(error)) for each in sums], 1)
            step = torch.where(valid, (error / STEP).round().long().clamp(max=BINS - 1), BINS)
            histogram = torch.zeros(len(error), BINS + 1, dtype=torch.int32, device=error.device)
            histogram.scatter_add_(1, step, torch.ones_like(step, dtype=torch.int32))
            rows[f"{space}_histogram"] = histogram[:, :-1]
        self.add(image, **rows)

    def measures(self, weights: Weights) -> Measures:
        """``<space>/mean``, ``/median`` in degrees and ``/11.25``, ``/22.5``, ``/30`` in per cent of pixels."""
        measures: Measures = {}
        weights = weights[:, self.gathered("image")]
        for space in SPACES:
            total, angles, *within = (weights @ self.gathered(f"{space}_sums")).T
            below = weights @ self.gathered(f"{space}_histogram").cumsum(1, dtype=np.float64)
            with np.errstate(invalid="ignore"):
                measures[f"{space}/mean"] = angles / total
                measures[f"{space}/median"] = middles(np.arange(BINS) * STEP, below)
                for threshold, count in zip(THRESHOLDS, within, strict=True):
                    measures[f"{space}/{threshold:g}"] = 100 * count / total
        return measures

    @property
    def width(self) -> int:
        """A row of weights makes a histogram."""
        return 4 * BINS
