"""Transposed convolutions from the last stage up."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mtlkit.errors import InputError
from mtlkit.necks.base import Neck
from mtlkit.necks.layers import bilinear, block
from mtlkit.values import Value


class Deconvolution(Neck):
    """Transposed 4x4 convolutions of stride 2 on the last stage, each with batch norm and ReLU.

    Xiao et al., *Simple Baselines for Human Pose Estimation and Tracking*, ECCV 2018,
    https://arxiv.org/abs/1804.06208. With a deformable convolution in front of each it is the up path of Zhou et al.,
    *Objects as Points*, 2019, https://arxiv.org/abs/1904.07850. The defaults are those of ``res_18`` in its official
    code (https://github.com/xingyizhou/CenterNet); ``resdcn_18`` is ``deformable=True, widths=(256, 128, 64)``.

    There the transposed convolutions behind deformable ones are meant to start as bilinear enlargement, but the kernel
    is written to the first output channel only, where it sums all inputs. Here every channel is enlarged.

    Args:
        channels: of every stage.
        strides: of every stage.
        widths: channels after every transposed convolution.
        deformable: whether a deformable convolution stands in front of each.

    Raises:
        InputError: ``widths`` do not lead from the last stride to 4, or there is no stage at stride 4.
    """

    class Settings(Value):
        """A :class:`Deconvolution` neck as part of a network's identity."""

        kind: Literal["deconvolution"] = "deconvolution"
        widths: tuple[int, ...] = Field(default=(256, 256, 256), min_length=1)
        deformable: bool = False

        def build(self, channels: Sequence[int], strides: Sequence[int]) -> "Deconvolution":
            """The neck on stages with ``channels`` and ``strides``."""
            return Deconvolution(channels, strides, widths=self.widths, deformable=self.deformable)

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        widths: Sequence[int] = (256, 256, 256),
        deformable: bool = False,
    ):
        super().__init__(channels, strides, widths[-1])
        self.sources = self.stages[-1:]
        if strides[-1] != self.stride * 2 ** len(widths):
            raise InputError(
                f"{len(widths)} transposed convolutions lead to stride {self.stride} from stride "
                f"{self.stride * 2 ** len(widths)}; the last stage of this backbone is at stride {strides[-1]}."
            )
        self.layers = nn.Sequential()
        for before, width in pairwise([channels[self.stages[-1]], *widths]):
            if deformable:
                self.layers.append(block(before, width, deformable=True))
            up = nn.ConvTranspose2d(width if deformable else before, width, 4, stride=2, padding=1, bias=False)
            if deformable:
                with torch.no_grad():
                    up.weight.copy_(torch.eye(width)[:, :, None, None] * bilinear(2))
            else:
                nn.init.normal_(up.weight, std=0.001)  # both papers' code; the batch norm behind it undoes the scale
            self.layers.extend([up, nn.BatchNorm2d(width), nn.ReLU()])

    def forward(self, features: list[Tensor]) -> Tensor:
        """One map per stage to ``(N, channels, H/4, W/4)``."""
        output: Tensor = self.layers(self.halving(features)[-1])
        return output
