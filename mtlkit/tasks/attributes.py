"""Attributes: labels of which an object may have any number."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mtlkit.tasks.base import Task

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric


class Attributes(Task):
    """Yes or no for each of A attributes. Output ``(n, A)`` logits; target ``(n, A)``, 1 or 0."""

    terms: ClassVar = ("binary_cross_entropy",)

    kind: Literal["attributes"] = "attributes"
    name: str = "attributes"
    attributes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """One logit an attribute."""
        return len(self.attributes)

    def losses(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy, averaged over objects and over attributes: with 64 of these, a sum scaled by 1/64."""
        total = F.binary_cross_entropy_with_logits(output.float(), target.float(), reduction="sum")
        return {"binary_cross_entropy": total / max(target.numel(), 1)}

    def combined(self, outputs: Sequence[Tensor]) -> Tensor:
        """The logits of the mean probabilities."""
        logits = torch.stack([output.double() for output in outputs])
        # As logarithms: a sure answer's probability is 1 to the last digit, and sure answers would tie.
        return F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)

    def metric(self) -> "ImageMetric":
        """A fresh :class:`mtlkit.metrics.average_precision.LabelAP`."""
        from mtlkit.metrics.average_precision import LabelAP

        return LabelAP(self.outputs)

    def constant(self, train: Iterable[Tensor], test: Iterable[Tensor]) -> "ImageMetric":
        """Scores of the training objects' shares: every object is ranked alike, in the order it comes."""
        shares = torch.cat(list(train)).double().mean(0)
        metric = self.metric()
        for target in test:
            metric.update(shares.expand(len(target), -1), target)
        return metric
