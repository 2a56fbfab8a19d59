"""Layers that necks are made of."""

import torch
import torchvision
from torch import Tensor, nn


class DeformableConvolution(nn.Module):
    """A convolution whose taps move with the image: ``y(p) = sum_k w_k x(p + p_k + offset_k(p)) mask_k(p)``.

    Eq. 1 of Zhu et al., *Deformable ConvNets v2*, CVPR 2019, https://arxiv.org/abs/1811.11168. Offsets and masks come
    from a plain convolution that starts at zero, so that at the start the layer is a plain convolution times 1/2.

    Args:
        channels: channels of the input.
        width: channels of the output.
        kernel: side of the kernel, odd; the map keeps its size.
    """

    def __init__(self, channels: int, width: int, kernel: int = 3):
        super().__init__()
        self.taps = kernel**2
        self.offsets = nn.Conv2d(channels, 3 * self.taps, kernel, padding=kernel // 2)
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)  # type: ignore[arg-type]
        self.convolution = torchvision.ops.DeformConv2d(channels, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to ``(N, width, H, W)``."""
        offsets, mask = self.offsets(x).split([2 * self.taps, self.taps], 1)
        # Under autocast what was computed before has half precision, for which torchvision has no kernel on the CPU.
        dtype = self.convolution.weight.dtype
        output: Tensor = self.convolution(x.to(dtype), offsets.to(dtype), mask.sigmoid().to(dtype))
        return output


def block(channels: int, width: int, *, deformable: bool) -> nn.Sequential:
    """A 3x3 convolution that keeps the map's size, deformable or plain, batch norm, ReLU."""
    plain = nn.Conv2d(channels, width, 3, padding=1, bias=False) if not deformable else None
    return nn.Sequential(plain or DeformableConvolution(channels, width), nn.BatchNorm2d(width), nn.ReLU())


def bilinear(factor: int) -> Tensor:
    """The kernel ``(2 factor, 2 factor)`` with which a transposed convolution enlarges a map bilinearly.

    Args:
        factor: how many times, even; also the convolution's stride, and its padding is ``factor / 2``.
    """
    line = 1 - (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
    return line[:, None] * line
