"""Surface normals, scored in the two spaces the literature mixes up."""

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mtlkit.tasks.base import DenseTask, Metric, enlarged

Space = Literal["decoded", "encoded"]
SPACES: tuple[Space, ...] = ("decoded", "encoded")
THRESHOLDS = (11.25, 22.5, 30.0)
"""Degrees; "within" includes the threshold itself, as in NDDR-CNN's official code."""

BINS = 1800
"""Bins of a tenth of a degree; medians of resamples are read out of their histogram, between two edges."""


def encode(normals: Tensor) -> Tensor:
    """Unit normals ``(N, 3, H, W)`` as the vectors NDDR-CNN's official code reads from its pictures, up to scale.

    Its 8-bit maps store ``127 (n + 1)`` with the axes right, away from the camera, up, and are never decoded
    (``util/img_encoder_mt.py``, ``ops/errors.py``): all components are positive.
    """
    x, y, z = normals.unbind(1)
    return torch.stack([x, -z, y], 1) + 1


def decode(encoded: Tensor) -> Tensor:
    """Directions in the encoded space ``(N, 3, H, W)`` back to unit normals.

    A ray from the origin meets the sphere of encoded normals twice, so a direction alone does not determine a
    normal. The far meeting point is taken: the near side only holds normals that point down, left and at the camera
    at once. Directions that miss the sphere go to its nearest point on the rim.
    """
    direction = F.normalize(encoded, dim=1)
    along = direction.sum(1, keepdim=True)
    reach = along + (along.square() - 2).clamp(min=0).sqrt()
    right, away, up = (reach * direction - 1).unbind(1)
    return F.normalize(torch.stack([right, up, -away], 1), dim=1)


def angles(a: Tensor, b: Tensor) -> Tensor:
    """Angle in degrees between vectors along dimension 1, exact near 0 and 180 where arccos is not."""
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    return torch.rad2deg(2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1)))


def tilted(normals: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Unit normals ``(N, 3, H, W)``, each turned by an angle in a direction of its own; zero stays zero."""
    drawn = torch.randn(normals.shape, generator=generator).to(normals)
    across = F.normalize(drawn - (drawn * normals).sum(1, keepdim=True) * normals, dim=1)
    angle = math.radians(degrees)
    return (math.cos(angle) * normals + math.sin(angle) * across) * (normals != 0).any(1, keepdim=True)


class Normals(DenseTask):
    """One unit vector a pixel. Output ``(N, 3, h, w)`` of any length; target ``(N, 3, H, W)``, zero for no value.

    ``space`` is where the network is trained: ``decoded`` compares true directions, ``encoded`` the positive
    vectors of NDDR-CNN's official code (:func:`encode`).
    """

    terms: ClassVar = ("cosine",)

    kind: Literal["normals"] = "normals"
    name: str = "normals"
    space: Space = "decoded"

    @property
    def outputs(self) -> int:
        """Three components."""
        return 3

    @property
    def start(self) -> tuple[float, ...]:
        """A surface that faces the camera, in the space that is trained.

        The loss looks at directions only, so its gradient goes with one over the output's length. From an output near
        zero the first steps throw it so far out that no later one can turn it: the network stays a constant.
        """
        return (1.0, 0.0, 1.0) if self.space == "encoded" else (0.0, 0.0, 1.0)

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """One minus the cosine, averaged over pixels that have a normal.

        Half the squared distance of unit vectors, the l2 loss of the NDDR paper, is the same number.
        """
        output, target = self.matched(output, target)
        valid = (target != 0).any(1)
        truth = encode(target) if self.space == "encoded" else target
        # Not F.cosine_similarity: on the CPU its backward takes several times as long.
        cosine = (F.normalize(output.float(), dim=1) * F.normalize(truth, dim=1)).sum(1)
        return {"cosine": ((1 - cosine) * valid).sum() / valid.sum().clamp(min=1)}

    def combined(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean of the unit vectors."""
        return torch.stack([F.normalize(output.float(), dim=1) for output in outputs]).mean(0)

    def metric(self) -> Metric:
        """A fresh :class:`Angles`."""
        return Angles(self.space)

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> Metric:
        """Scores of the best constant vector, found for each space on its own.

        The unit vector with the highest mean cosine to a set of unit vectors is their normalised mean.
        """
        sums = {space: torch.zeros(3, dtype=torch.float64) for space in SPACES}
        for target in train:
            valid = (target != 0).any(1, keepdim=True)
            for space in SPACES:
                truth = target if space == "decoded" else encode(target)
                sums[space] += (F.normalize(truth, dim=1) * valid).sum((0, 2, 3)).double()
        metric = Angles()
        for target in test:
            fixed = {space: sums[space].float().view(1, 3, 1, 1).expand_as(target) for space in SPACES}
            metric.add(fixed["decoded"], fixed["encoded"], target)
        return metric

    def draw(self, prediction_or_target: Tensor) -> np.ndarray:
        """The usual picture: x, y, z of the unit vector as red, green, blue; grey where there is none."""
        vector = prediction_or_target.detach().float().cpu()
        valid = (vector != 0).any(0, keepdim=True)
        unit = torch.where(valid, F.normalize(vector, dim=0), 0)
        if self.space == "encoded" and (vector >= 0).all():
            unit = decode(vector[None])[0]
        picture: np.ndarray = ((unit + 1) * 127.5).permute(1, 2, 0).numpy().astype(np.uint8)
        return picture


class Angles:
    """Angles between predicted and true normals over the whole set, pixels pooled, in both spaces.

    The exact median needs every angle: four bytes a valid pixel and space stay on the device until
    :meth:`compute` (0.8 GB for the 654 test frames of NYU v2 at 480x640).
    """

    def __init__(self, space: Space = "decoded"):
        self.space = space
        self.kept: dict[Space, list[Tensor]] = {space: [] for space in SPACES}

    def update(self, output: Tensor, target: Tensor) -> None:
        """Takes vectors ``(N, 3, h, w)``, enlarged to the target ``(N, 3, H, W)``."""
        output = enlarged(output.float(), target)
        if self.space == "encoded":
            self.add(decode(output), output, target)
        else:
            self.add(output, encode(F.normalize(output, dim=1)), target)

    def add(self, decoded: Tensor, encoded: Tensor, target: Tensor) -> None:
        """Takes a prediction in each space for one target."""
        valid = (target != 0).any(1)
        for space, error in (("decoded", angles(decoded, target)), ("encoded", angles(encoded, encode(target)))):
            # NaN marks pixels without a normal; selecting them away here would wait for the device.
            self.kept[space].append(torch.where(valid, error, torch.nan).flatten(1))  # type: ignore[index]

    def compute(self) -> dict[str, float]:
        """``<space>/mean``, ``/median`` in degrees and ``/11.25``, ``/22.5``, ``/30`` in per cent of pixels."""
        measures: dict[str, float] = {}
        for space in SPACES:
            every = torch.cat([part.flatten() for part in self.kept[space]] or [torch.empty(0)]).cpu()
            errors: np.ndarray = every[~every.isnan()].numpy()
            empty = errors.size == 0
            measures[f"{space}/mean"] = float("nan") if empty else float(errors.mean(dtype=np.float64))
            measures[f"{space}/median"] = float("nan") if empty else float(np.median(errors))
            for threshold in THRESHOLDS:
                share = float("nan") if empty else 100 * float((errors <= threshold).mean())
                measures[f"{space}/{threshold:g}"] = share
        return measures

    def resampled(self, times: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """As :meth:`compute`, on draws of the pictures; a median is right to a hundredth of a degree or so."""
        measures: dict[str, NDArray[np.float64]] = {}
        for space in SPACES:
            pictures = [errors[~errors.isnan()].cpu().numpy() for part in self.kept[space] for errors in part]
            tallies = np.array(
                [
                    (len(errors), errors.sum(dtype=np.float64), *((errors <= limit).sum() for limit in THRESHOLDS))
                    for errors in pictures
                ]
            )
            counts = np.array([np.histogram(errors, BINS, (0, 180))[0] for errors in pictures])
            total, angles, *within = (times @ tallies).T
            with np.errstate(invalid="ignore"):
                measures[f"{space}/mean"] = angles / total
                for threshold, count in zip(THRESHOLDS, within, strict=True):
                    measures[f"{space}/{threshold:g}"] = 100 * count / total
            measures[f"{space}/median"] = _medians(times @ counts)
        return measures


def _medians(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Medians ``(B,)`` of histograms ``(B, BINS)`` of angles, spread evenly within a bin; NaN of nothing."""
    reached = counts.cumsum(1)
    half = reached[:, -1:] / 2
    place = (reached < half).sum(1, keepdims=True)
    inside = np.take_along_axis(counts, place, 1)
    with np.errstate(invalid="ignore"):
        share = (half - np.take_along_axis(reached, place, 1) + inside) / np.where(inside > 0, inside, np.nan)
    found: NDArray[np.float64] = (180 / BINS * (place + share))[:, 0]
    return found
