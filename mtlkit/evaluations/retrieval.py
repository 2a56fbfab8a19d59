"""A value estimated from the nearest training images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mtlkit.evaluations.features import FeatureExtraction
from mtlkit.evaluations.scoring import Groups, Scores
from mtlkit.graph import Content, Context, Node
from mtlkit.metrics.floor import FLOOR

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


class Retrieval(Node):
    """Calories by the nearest images of the training split, and how often these are of the query's category.

    Attributes:
        features: what images are compared by.
        k: how many neighbours are averaged.
        floor: kcal; no relative error is taken of less.
    """

    features: FeatureExtraction
    k: int
    floor: float = FLOOR

    @property
    def needs(self) -> tuple[FeatureExtraction, ...]:
        """The features."""
        return (self.features,)

    def run(self, context: Context) -> Content:
        """Errors of the estimates; where categories are known, the neighbours' hits."""
        device = context.runtime.fabric().device
        found = self.features.found(context)
        tested = self.features.data.splits("val", self.features.reads)
        groups = Groups.by_task(("calories", "retrieval"), tested)
        scores = retrieval(found["train"], found["val"], self.k, self.floor, device, groups)
        return scores.content(tested, device, database_images=len(found["train"]["features"]))


def retrieval(
    database: Mapping[str, Tensor],
    queries: Mapping[str, Tensor],
    k: int,
    floor: float,
    device: torch.device,
    groups: Mapping[str, Groups] | None = None,
) -> Scores:
    """``calories/...`` of the mean of the k nearest, and where categories are known ``retrieval/...``.

    Args:
        database: :func:`~mtlkit.evaluations.features.features` of the training split.
        queries: of the test split.
        k: how many neighbours are averaged.
        floor: kcal; no relative error is taken of less.
        device: where distances are computed.
        groups: as in :meth:`~mtlkit.evaluations.scoring.Scores.of`.

    Raises:
        InputError: k is larger than the database.
    """
    from mtlkit.metrics.calorie_errors import CalorieErrors
    from mtlkit.retrieval import NeighbourHits, estimate, nearest

    at = [n for n in (1, 5, 10) if n <= len(database["features"])]
    _, indices = nearest(queries["features"], database["features"].to(device), max(k, *at))
    indices = indices.cpu()
    errors = CalorieErrors(floor)
    errors.update(estimate(database["calories"], indices, k), queries["calories"])
    metrics: dict[str, ImageMetric] = {"calories": errors}
    if "category" in queries:
        metrics["retrieval"] = NeighbourHits(at)
        metrics["retrieval"].update(queries["category"], database["category"], indices)
    return Scores.of(metrics, groups)
