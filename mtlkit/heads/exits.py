"""Exits of a multi-exit network, and the filter in front of them.

Lee et al., *Multi-Task Learning with Task-Specific Feature Filtering in Low-Data Condition*, Electronics 10(21),
2691, 2021, https://www.mdpi.com/2079-9292/10/21/2691.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mtlkit.errors import InputError, check_choice
from mtlkit.heads.base import Head
from mtlkit.values import Value

Gate = Literal["input", "fixed", "half"]


class FeatureFilter(nn.Module):
    """A gate per channel: ``F * sigmoid(alpha * F + beta)``, Eq. 2 of the paper, with `(C,)` each of alpha and beta.

    Figure 4 of the paper shows one gate value per channel, which Eq. 2 does not have: there the gate depends on the
    feature. ``gate="fixed"`` is that other reading, ``F * sigmoid(alpha + beta)``. Both start at zero, so that every
    gate starts at 1/2, where a good part of the gates in Figure 4 still are; the paper does not print its start.

    ``gate="half"`` stays there: ``F / 2``, without parameters. A map of half the size alone changes how fast what
    follows is trained, so this control tells filtering from scaling.

    Args:
        channels: C of the map.
        gate: ``input`` (Eq. 2), ``fixed`` (Figure 4) or ``half``.

    Raises:
        InputError: ``gate`` is none of them.
    """

    def __init__(self, channels: int, gate: Gate = "input"):
        super().__init__()
        check_choice("gate of a feature filter", gate, Gate)
        self.gate = gate
        if gate != "half":
            self.alpha = nn.Parameter(torch.zeros(channels))
            self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """`(N, C, H, W)` to the same."""
        if self.gate == "half":
            return features / 2
        return features * self.gates(features)

    def gates(self, features: Tensor) -> Tensor:
        """What ``features`` `(N, C, H, W)` are multiplied by, of a filter that learns: `(N, C, H, W)`, or `(C, 1, 1)`
        where it does not depend on them."""
        alpha, beta = self.alpha[:, None, None], self.beta[:, None, None]
        return torch.sigmoid(alpha * features + beta if self.gate == "input" else alpha + beta)


class Exit(Head):
    """An exit: average pooling over the map of one stage, then one linear layer, a feature filter before both if asked.

    Args:
        channels: of the stage.
        outputs: of the task.
        stage: whose map :meth:`forward` takes, counted as in a list.
        filter: the gate of a :class:`FeatureFilter`; ``None``: no filter.
        width: of a hidden layer; ``None``: no such layer.
    """

    class Settings(Value):
        """An :class:`Exit` as part of a network's identity."""

        kind: Literal["exit"] = "exit"
        stage: int = -1
        filter: Gate | None = None
        width: int | None = None

        def build(self, channels: Sequence[int], outputs: int) -> "Exit":
            """The exit on one of stages with ``channels`` channels.

            Raises:
                InputError: there is no such stage.
            """
            if not -len(channels) <= self.stage < len(channels):
                raise InputError(
                    f"There is no stage {self.stage} for an exit; the encoder's stages are 0 to {len(channels) - 1}."
                )
            return Exit(channels[self.stage], outputs, **self.model_dump(exclude={"kind"}))

    def __init__(
        self, channels: int, outputs: int, *, stage: int = -1, filter: Gate | None = None, width: int | None = None
    ):
        super().__init__()
        self.stages = (stage,)
        self.filter = FeatureFilter(channels, filter) if filter else nn.Identity()
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(channels, width), nn.ReLU()) if width else nn.Identity()
        self.classifier = nn.Linear(width or channels, outputs)

    def counted(self) -> Mapping[str, nn.Module]:
        """``pooled``, and ``gated`` where there is a filter."""
        gated = {"gated": self.filter} if isinstance(self.filter, FeatureFilter) else {}
        return {"pooled": self.pool} | gated

    def forward(self, features: Tensor) -> Tensor:
        """Stage features ``(N, C, h, w)`` to logits ``(N, outputs)``."""
        output: Tensor = self.classifier(self.hidden(self.pool(self.filter(features))))
        return output
