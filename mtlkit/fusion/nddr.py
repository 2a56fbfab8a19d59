"""NDDR layers."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtlkit.errors import check_choice
from mtlkit.fusion.base import FusionLayer, LayerSettings, diagonal, is_channels_last

Norm = Literal["input", "output", "none"]
Init = Literal["diagonal", "xavier"]


class NDDR(FusionLayer):
    """NDDR layer: all tasks' maps joined along channels, then a 1x1 convolution without bias for each task.

    ``y_i = relu(norm(W_i [x_1, ..., x_K]))``: Eq. 1 and 2 of Gao et al., NDDR-CNN, CVPR 2019,
    https://arxiv.org/abs/1801.08297, with the norm and the ReLU of its official code
    (https://github.com/ethanygao/NDDR-CNN, ``nets/nddr_layer.py``), as the tables of this project measure it.

    Paper and code differ. The paper normalises the joined maps, ``y_i = W_i norm([x_1, ..., x_K])``, without a ReLU:
    ``norm="input"``. The code normalises behind the convolution: ``norm="output"``, the default. Its ReLU fits stages
    that end in one; of others it would cut off the negative half, and ``relu=False`` leaves it out. Decay and epsilon
    of both norms are the code's.

    The K convolutions are one, ``weight`` ``(K*C, K*C, 1, 1)``, whose block i of C rows is task i's. The diagonal start
    (Eq. 3) has ``alpha`` on the own channel and ``beta / (K - 1)`` on the same channel of each other task. Weight decay
    acts on the convolutions, and on no norm. Without exchange a task keeps its norm and its own 1x1 convolution, over
    all of its channels.

    Args:
        tasks: K, at least two.
        channels: C of every map.
        norm: where batch norm stands: ``"output"``, ``"input"`` or ``"none"``.
        init: ``"diagonal"`` or ``"xavier"`` (uniform, by the fans of one task's convolution).
        alpha: diagonal start of a task's own channels.
        beta: diagonal start of the other tasks' channels together.
        relu: whether a ReLU follows ``norm="output"``.
        exchange: ``False``: a control without weights between tasks, see :class:`FusionLayer`.

    Raises:
        InputError: There are fewer than two tasks, or ``norm`` or ``init`` is not among its choices.

    >>> layer = NDDR(tasks=2, channels=64)
    >>> layer.weight.shape
    torch.Size([128, 128, 1, 1])
    >>> [tuple(y.shape) for y in layer([torch.rand(8, 64, 24, 32), torch.rand(8, 64, 24, 32)])]
    [(8, 64, 24, 32), (8, 64, 24, 32)]
    """

    class Settings(LayerSettings):
        """An :class:`NDDR` layer as part of a network's identity.

        The default of ``norm`` is not the layer's: it was released as the paper's, and a released default stays.
        ``exchange=False``: the control without weights between tasks, so that a method is not credited for its norm and
        its own 1x1 convolutions, which stay.
        """

        tag: ClassVar[str] = "NDDRSettings"

        kind: Literal["nddr"] = "nddr"
        norm: Norm = "input"
        init: Init = "diagonal"
        alpha: float = 0.9
        beta: float = 0.1
        relu: bool = True
        exchange: bool = True

        def build(self, tasks: int, channels: int) -> "NDDR":
            """The layer for the maps of ``tasks`` tasks with ``channels`` channels."""
            return NDDR(tasks, channels, **self.model_dump(exclude={"kind"}))

    takes_vectors: ClassVar[bool] = False

    def __init__(
        self,
        tasks: int,
        channels: int,
        *,
        norm: Norm = "output",
        init: Init = "diagonal",
        alpha: float = 0.9,
        beta: float = 0.1,
        relu: bool = True,
        exchange: bool = True,
    ):
        super().__init__(tasks, channels, exchange=exchange)
        check_choice("NDDR norm", norm, Norm)
        check_choice("NDDR init", init, Init)
        joined = tasks * channels
        if init == "diagonal":
            own, others = (alpha, beta) if exchange else (alpha + beta, 0)
            weight = diagonal(tasks, own, others).kron(torch.eye(channels))
        else:
            # A block at a time: the fan-out of a task's convolution is C, not K*C.
            weight = torch.cat([nn.init.xavier_uniform_(torch.empty(channels, joined)) for _ in range(tasks)])
        self.weight = nn.Parameter(self.effective(weight)[..., None, None])
        self.norm_in = nn.BatchNorm2d(joined, eps=1e-3, momentum=0.05) if norm == "input" else None
        self.norm_out = nn.BatchNorm2d(joined, eps=1e-3, momentum=0.05) if norm == "output" else None
        self.relu = relu and norm == "output"

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map ``(N, C, H, W)`` a task, to the same."""
        self.check(maps)
        x = torch.cat(list(maps), 1)
        if self.norm_in is not None:
            x = self.norm_in(x)
        weight = self.weight if self.exchange else self.effective(self.weight.flatten(1)).view_as(self.weight)
        last = is_channels_last(maps[0])
        if last:
            y = F.conv2d(x, weight)
        else:
            # A product of matrices for every image, with one weight for all: a third faster than the convolution.
            # The batch by its shape: torch.export would take len() for a constant.
            y = torch.bmm(weight.flatten(1).expand(x.shape[0], -1, -1), x.flatten(2)).view(x.shape)
        if self.norm_out is not None:
            y = self.norm_out(y)
        if self.relu:
            # A task at a time: its results are dense, as the next stage wants them.
            return [F.relu(block) for block in y.chunk(self.tasks, 1)]
        layout = torch.channels_last if last else torch.contiguous_format
        # Dense here, once: the next stage and a head would otherwise each copy the block.
        return [block.contiguous(memory_format=layout) for block in y.chunk(self.tasks, 1)]

    def no_weight_decay(self) -> set[str]:
        """None: the 1x1 convolutions decay as others do."""
        return set()

    def shares(self) -> Tensor:
        """Where each task's 1x1 weights look, as shares of their absolute sum.

        Returns:
            ``(K, 4)``: own task's same channel, own task's other channels, other tasks' same channel, other tasks'
            other channels. A row sums to 1; the diagonal start has (alpha, 0, beta, 0) for alpha + beta = 1.
        """
        blocks = self.weight.detach().abs().view(self.tasks, self.channels, self.tasks, self.channels)
        same = blocks.diagonal(dim1=1, dim2=3).sum(-1)
        other = blocks.sum((1, 3)) - same
        own, everything = same.diagonal(), blocks.sum((1, 2, 3))
        own_other = other.diagonal()
        parts = [own, own_other, same.sum(1) - own, other.sum(1) - own_other]
        return torch.stack(parts, 1) / everything[:, None]
