"""Features in which images of one category lie together: joint ranking and classification.

Eqs. 6 and 7 of Ege and Yanai's comparison of regression and retrieval (``papers/calorie/printed.yaml``), after
Simo-Serra and Ishikawa, *Fashion Style in 128 Floats*, CVPR 2016. The margin's value is lost in its damaged source.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mtlkit.errors import InputError
from mtlkit.tasks.classification import Classification
from mtlkit.tasks.placement import Placement

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


class EmbeddingPrediction(NamedTuple):
    """The category of an image, and what images are compared by.

    Attributes:
        label: the most probable category, from 0.
        probabilities: of every category, ``(classes,)``.
        features: ``(D,)``.
    """

    label: int
    probabilities: Tensor
    features: Tensor


class Embedding(Classification):
    """Features by joint learning. Output ``(N, D + classes)``, features then logits; target ``(N,)`` category ids.

    Attributes:
        margin: of :func:`ranking`.
        normalised: features are brought to length 1, for the ranking and for whoever compares them later.
        squared: see :func:`ranking`.
    """

    terms: ClassVar[tuple[str, ...]] = ("ranking", "cross_entropy")

    kind: Literal["embedding"] = "embedding"  # type: ignore[assignment]
    margin: float = Field(default=1.0, gt=0)
    normalised: bool = False
    squared: bool = False

    def features(self, output: Tensor) -> Tensor:
        """What images are compared by, ``(N, D)``."""
        features = output[:, : -self.classes].float()
        return F.normalize(features, dim=1) if self.normalised else features

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The terms of Eq. 7, whose sum, both weighted 1, the paper minimises: ``ranking`` and ``cross_entropy``.

        All images of the batch count in both; the paper does not say whether its second term is of all three
        images of a triplet.
        """
        chosen = triplets(agreement(target))
        found = {"ranking": ranking(self.features(output), chosen, margin=self.margin, squared=self.squared)}
        return found | super().losses(output[:, -self.classes :], target)

    def named(self, output: Tensor) -> Tensor:
        """The category of every image, of the logits alone."""
        return super().named(output[:, -self.classes :])

    def prediction(self, output: Tensor, placement: Placement) -> Any:
        """An :class:`EmbeddingPrediction`."""
        found = super().prediction(output[:, -self.classes :], placement)
        return EmbeddingPrediction(found.label, found.probabilities, self.features(output)[0])

    def to_json(self, prediction: Any) -> Any:
        """As of a class, and the features."""
        return super().to_json(prediction) | {"features": [round(each, 5) for each in prediction.features.tolist()]}

    def ensemble(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean features, and the logits of :class:`~mtlkit.tasks.classification.Classification`."""
        logits = super().ensemble([output[:, -self.classes :] for output in outputs])
        return torch.cat([torch.stack([self.features(output) for output in outputs]).mean(0), logits], 1)

    def metric(self) -> "ImageMetric":
        """A fresh :class:`~mtlkit.tasks.scored.LogitAccuracy`."""
        from mtlkit.tasks.scored import LogitAccuracy

        return LogitAccuracy(self.classes)


def agreement(labels: Tensor) -> Tensor:
    """How alike images are by their categories alone: 1 for the same and 0 for another, ``(N,)`` to ``(N, N)``."""
    return (labels[:, None] == labels).float()


def triplets(alike: Tensor, above: float = 0.5, below: float = 0.5) -> Tensor:
    """Which triplets of a batch teach: true at (i, p, n) where p is similar to the reference i, and n is not.

    Similar is ``alike[i, p] > above``, dissimilar ``alike[i, n] < below``; nothing is in a triplet twice. How alike
    two images are is lost in the paper; with :func:`agreement` any thresholds between 0 and 1 mean the same category
    and another one. ``triplets(alike).nonzero()`` gives the rows, ``(T, 3)``.

    Args:
        alike: ``(N, N)``.
        above: the threshold T+.
        below: the threshold T-, at most T+.

    Returns:
        bool ``(N, N, N)``.

    Raises:
        InputError: T- is above T+, so that an image could be both.
    """
    if below > above:
        raise InputError(
            f"Similar above {above:g} and dissimilar below {below:g} leaves images that are both; "
            "the second threshold should be at most the first."
        )
    other = ~torch.eye(len(alike), dtype=torch.bool, device=alike.device)
    similar, dissimilar = (alike > above) & other, (alike < below) & other
    return similar[:, :, None] & dissimilar[:, None, :]


def ranking(features: Tensor, chosen: Tensor, *, margin: float = 1.0, squared: bool = False) -> Tensor:
    """Eq. 6, ``max(0, margin + |f+ - f| - |f- - f|)``, averaged over the chosen triplets; 0 without any.

    The paper draws its triplets; the mean over all of a batch is what that has for an expectation, and varies less.

    Args:
        features: ``(N, D)``.
        chosen: ``(N, N, N)``, of :func:`triplets`.
        margin: how much farther the dissimilar image should lie, in units of the distance.
        squared: squared distances, the paper's other reading.
    """
    features = features.float()
    # By differences: from products equal features would come out apart, with a gradient of any size.
    distance = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    if squared:
        distance = distance.square()
    hinge = (margin + distance[:, :, None] - distance[:, None, :]).clamp(min=0)
    return (hinge * chosen).sum() / chosen.sum().clamp(min=1)
