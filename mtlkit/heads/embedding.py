"""The features of an image, and a classifier on top of them.

Joint learning as Ege and Yanai use it (``papers/calorie/printed.yaml``, Sect. 2.2 there), after Simo-Serra and
Ishikawa, *Fashion Style in 128 Floats*, CVPR 2016.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mtlkit.errors import InputError
from mtlkit.heads.base import Head
from mtlkit.values import Value


class Embedding(Head):
    """A stage's map averaged over its pixels, and one linear layer that classifies the last stage's.

    What images are compared by is the averaged map itself, so that an untrained head adds nothing to what the
    backbone has learnt elsewhere. Later stages stay between it and the classifier, as fc7 does behind fc6.

    Args:
        channels: of the last stage.
        outputs: of the task.
        stage: of the features, counted as in a list.
    """

    class Settings(Value):
        """An :class:`Embedding` as part of a network's identity."""

        kind: Literal["embedding"] = "embedding"
        stage: int = -1

        def build(self, channels: Sequence[int], outputs: int) -> "Embedding":
            """The head on stages with ``channels`` channels.

            Raises:
                InputError: there is no such stage.
            """
            if not -len(channels) <= self.stage < len(channels):
                raise InputError(
                    f"There is no stage {self.stage} for features; the encoder's stages are 0 to {len(channels) - 1}."
                )
            return Embedding(channels[-1], outputs, stage=self.stage)

    def __init__(self, channels: int, outputs: int, *, stage: int = -1):
        super().__init__()
        self.stages = (stage, -1)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(channels, outputs)

    def forward(self, features: Tensor, last: Tensor) -> Tensor:
        """Features ``(N, C, h, w)`` and the last stage's to ``(N, C + outputs)``: the averaged map, then the logits."""
        # In float32: images are told apart by small differences of large numbers.
        return torch.cat([self.pool(features.float()), self.classifier(self.pool(last))], 1)
