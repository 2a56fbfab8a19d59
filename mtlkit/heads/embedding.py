"""The features of a picture, and a classifier on top of them.

Joint learning as Ege and Yanai use it (``papers/calorie/printed.yaml``, Sect. 2.2 there), after Simo-Serra and
Ishikawa, *Fashion Style in 128 Floats*, CVPR 2016.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mtlkit.errors import InputError
from mtlkit.values import Value


class Embedding(nn.Module):
    """A stage's map averaged over its pixels, and one linear layer that classifies the last stage's.

    What pictures are compared by is the averaged map itself, so that an untrained head adds nothing to what the
    backbone has learnt elsewhere. Later stages stay between it and the classifier, as fc7 does behind fc6.

    Attributes:
        stages: the stage of the features, and the last one.
        classifier: the last layer.
    """

    class Settings(Value):
        """Which stage has the features, counted as in a list."""

        kind: Literal["embedding"] = "embedding"
        stage: int = -1

        def head(self, channels: Sequence[int], outputs: int) -> "Embedding":
            """The head of a trunk whose stages have ``channels`` channels.

            Raises:
                InputError: the trunk has no such stage.
            """
            if not -len(channels) <= self.stage < len(channels):
                raise InputError(
                    f"There is no stage {self.stage} for features; the trunk's stages are 0 to {len(channels) - 1}."
                )
            return Embedding(channels[-1], outputs, self)

    def __init__(self, channels: int, outputs: int, settings: "Embedding.Settings"):
        super().__init__()
        self.stages = (settings.stage, -1)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(channels, outputs)

    def forward(self, features: Tensor, last: Tensor) -> Tensor:
        """Features ``(N, C, h, w)`` and the last stage's to ``(N, C + outputs)``: the averaged map, then the logits."""
        # In float32: images are told apart by small differences of large numbers.
        return torch.cat([self.pool(features.float()), self.classifier(self.pool(last))], 1)
