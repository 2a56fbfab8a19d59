"""Surface normals by classification over a codebook of directions."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mtlkit.errors import InputError, check_shape, extra
from mtlkit.metrics.spaces import has_normal, unit
from mtlkit.tasks.base import DenseTask, mean_log_probability
from mtlkit.tasks.normals import Normals
from mtlkit.tasks.placement import Placement

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric

Direction = tuple[float, float, float]

MOST_NORMALS = 100_000
"""Normals that a codebook is made from, at most."""


def codebook(normals: Iterable[Tensor], words: int = 40) -> tuple[Direction, ...]:
    """Unit vectors that stand for the training normals: k-means, every mean brought back to unit length.

    A function of the normals alone.

    Args:
        normals: maps ``(3, H, W)``, zero where unknown.
        words: how many; 40 as in the normals code of the cross-stitch paper's first author
            (https://github.com/imisra/semantic-segmentation-pytorch).

    Raises:
        InputError: there are fewer normals than words.
    """
    every = torch.cat([found.flatten(1).T[has_normal(found, 0).flatten()] for found in normals]).double()
    if len(every) < words:
        raise InputError(f"{len(every)} pixels with a normal cannot make a codebook of {words} words; give more.")
    # Evenly spaced ones, where there are more than tell the words apart: a million take a minute.
    every = every[:: -(-len(every) // MOST_NORMALS)]
    with extra("run"):
        from scipy.cluster.vq import kmeans2  # 0.2 s, for the one call that makes a codebook

    means, _ = kmeans2(every.numpy(), words, minit="++", rng=0)
    return tuple((round(x, 4), round(y, 4), round(z, 4)) for x, y, z in F.normalize(torch.tensor(means)).tolist())


class CodedNormals(DenseTask):
    """One word of a codebook per pixel. Output ``(N, words, h, w)`` logits; target ``(N, 3, H, W)``, zero for no value.

    Trained by cross-entropy on the word nearest to the true normal; the answer is the mean of the words, weighted by
    their probabilities.
    """

    terms: ClassVar = ("cross_entropy",)

    kind: Literal["coded_normals"] = "coded_normals"
    name: str = "normals"
    words: tuple[Direction, ...]

    @property
    def outputs(self) -> int:
        """One logit a word."""
        return len(self.words)

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Cross-entropy averaged over pixels that have a normal.

        Raises:
            InputError: the shapes are others than the task's.
        """
        check_shape(f"The target of {self.name}", target.shape, len(output), 3, "H", "W")
        output, target = self.matched(output, target)
        valid = has_normal(target)
        word = torch.einsum("nchw,kc->nkhw", target, self._book(target)).argmax(1)
        loss = F.cross_entropy(output.float(), word, reduction="none")
        return {"cross_entropy": torch.where(valid, loss, 0).sum() / valid.sum().clamp(min=1)}

    def postprocess(self, output: Tensor) -> Tensor:
        """Logits ``(N, words, h, w)`` as directions ``(N, 3, h, w)``."""
        return torch.einsum("nkhw,kc->nchw", output.float().softmax(1), self._book(output))

    def ensemble(self, outputs: Sequence[Tensor]) -> Tensor:
        """The logarithm of the mean probability of every word."""
        return mean_log_probability(outputs)

    def metric(self) -> "ImageMetric":
        """A fresh :class:`mtlkit.metrics.angles.Angles` of the decoded directions."""
        from mtlkit.tasks.scored import DecodedAngles

        return DecodedAngles(self)

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> "ImageMetric":
        """As for normals: the best constant vector."""
        return Normals().constant(train, test)

    def prediction(self, output: Tensor, placement: Placement) -> Tensor:
        """As for normals: the decoded directions at unit length."""
        return placement.maps(output, lambda logits: unit(self.postprocess(logits)))

    def to_json(self, prediction: Tensor) -> dict[str, list[float]]:
        """As for normals."""
        return Normals().to_json(prediction)

    def draw(self, answer: Tensor) -> np.ndarray:
        """As for normals."""
        return Normals().draw(answer)

    def _book(self, like: Tensor) -> Tensor:
        return torch.tensor(self.words, device=like.device)
