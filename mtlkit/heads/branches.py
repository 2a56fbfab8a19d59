"""A branch for every map that a task predicts."""

from collections.abc import Collection, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mtlkit.errors import InputError
from mtlkit.heads.base import Head
from mtlkit.heads.dense import convolution, score
from mtlkit.values import Value

HEAT_MAP_BIAS = -2.19
"""The logit at which a heat map starts: a probability of 0.1, or the many empty places would rule the first steps."""


class Branches(Head):
    """For each of several maps a 3x3 convolution, ReLU and a 1x1 convolution; the maps one behind the other.

    Zhou et al., *Objects as Points*, 2019, https://arxiv.org/abs/1904.07850; 256 channels on DLA and 64 on
    ResNet in its official code (https://github.com/xingyizhou/CenterNet). A heat map's bias starts at -2.19, as there.

    The 3x3 convolutions of all branches are one layer: they read the same map, so that to stack their filters changes
    nothing but the number of calls.

    Args:
        channels: of the last stage.
        outputs: channels of every branch's map.
        heat_maps: which of the branches, counted from 0, give logits of heat maps.
        width: channels inside every branch.
        upsample: how many times the maps are enlarged, bilinearly, at the end.
    """

    class Settings(Value):
        """:class:`Branches` as part of a network's identity.

        Attributes:
            maps: channels of every branch's map; nothing: one branch for all outputs.
        """

        kind: Literal["branches"] = "branches"
        width: int = Field(default=64, ge=1)
        upsample: int = Field(default=1, ge=1)
        maps: tuple[int, ...] = ()
        heat_maps: tuple[int, ...] = ()

        def build(self, channels: Sequence[int], outputs: int) -> "Branches":
            """The head on the last of stages with ``channels`` channels.

            Raises:
                InputError: the branches' maps are not as many as the outputs.
            """
            maps = self.maps or (outputs,)
            if sum(maps) != outputs:
                raise InputError(f"Branches of {maps} channels are {sum(maps)} outputs; the task has {outputs}.")
            return Branches(channels[-1], maps, **self.model_dump(exclude={"kind", "maps"}))

    def __init__(
        self,
        channels: int,
        outputs: Sequence[int],
        *,
        heat_maps: Collection[int] = (),
        width: int = 64,
        upsample: int = 1,
    ):
        super().__init__()
        self.upsample = upsample
        self.hidden = convolution(channels, len(outputs) * width, 3)
        self.classifier = nn.ModuleList(score(width, count) for count in outputs)
        for branch in heat_maps:
            nn.init.constant_(self.classifier[branch].bias, HEAT_MAP_BIAS)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(N, C, h, w)`` to the maps of all branches, ``(N, sum of outputs, upsample h, upsample w)``."""
        hidden = self.hidden(features).chunk(len(self.classifier), 1)
        maps = torch.cat([layer(x) for layer, x in zip(self.classifier, hidden, strict=True)], 1)
        if self.upsample == 1:
            return maps
        return F.interpolate(maps, scale_factor=self.upsample, mode="bilinear")
