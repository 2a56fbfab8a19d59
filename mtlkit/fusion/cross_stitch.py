"""Cross-stitch units."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mtlkit.errors import check_choice
from mtlkit.fusion.base import (
    FusionLayer,
    LayerSettings,
    autocast_dtype,
    diagonal,
    is_channels_last,
    matrix_mix,
    weighted_sum,
)

Per = Literal["channel", "layer"]


class CrossStitch(FusionLayer):
    """Cross-stitch unit: every task's map becomes a weighted sum of all tasks' maps.

    ``y_i = sum_j alpha[i, j] x_j``, Eq. 1 of Misra et al., Cross-stitch Networks for Multi-task Learning, CVPR 2016,
    https://arxiv.org/abs/1604.03539. The weights start at ``alpha`` for a task's own map and ``beta / (K - 1)`` for
    each other one, so that rows sum to ``alpha + beta`` for every K. No weight decay acts on them.

    The paper has a matrix per channel for segmentation and normals, one per layer for detection and attributes.

    Args:
        tasks: K, at least two.
        channels: C of every map.
        per: ``"channel"``: ``alpha`` is ``(C, K, K)``; ``"layer"``: ``(K, K)``.
        alpha: start of the weight of a task's own map.
        beta: start of the weights of the other tasks' maps together.
        exchange: ``False``: a control without weights between tasks, see :class:`FusionLayer`.

    Raises:
        InputError: There are fewer than two tasks, or ``per`` is neither ``"channel"`` nor ``"layer"``.

    >>> layer = CrossStitch(tasks=2, channels=64, per="layer")
    >>> layer.alpha.tolist()
    [[0.8999999761581421, 0.10000000149011612], [0.10000000149011612, 0.8999999761581421]]
    >>> [tuple(y.shape) for y in layer([torch.rand(8, 64, 24, 32), torch.rand(8, 64, 24, 32)])]
    [(8, 64, 24, 32), (8, 64, 24, 32)]
    """

    class Settings(LayerSettings):
        """A :class:`CrossStitch` as part of a network's identity.

        ``exchange=False`` is the control that tells what tasks give each other from everything else that a network with
        fusion layers has: its own scales, its losses, its longer training; see :class:`FusionLayer`. So in all methods.
        """

        tag: ClassVar[str] = "CrossStitchSettings"

        kind: Literal["cross_stitch"] = "cross_stitch"
        per: Per = "channel"
        alpha: float = 0.9
        beta: float = 0.1
        exchange: bool = True

        def build(self, tasks: int, channels: int) -> "CrossStitch":
            """The layer for the maps of ``tasks`` tasks with ``channels`` channels."""
            return CrossStitch(tasks, channels, **self.model_dump(exclude={"kind"}))

    def __init__(
        self,
        tasks: int,
        channels: int,
        *,
        per: Per = "channel",
        alpha: float = 0.9,
        beta: float = 0.1,
        exchange: bool = True,
    ):
        super().__init__(tasks, channels, exchange=exchange)
        check_choice("cross-stitch unit per", per, Per)
        start = diagonal(tasks, alpha, beta) if exchange else diagonal(tasks, alpha + beta, 0)
        self.alpha = nn.Parameter(start.repeat(channels, 1, 1) if per == "channel" else start)

    def mixing_weights(self) -> Tensor:
        """``alpha``, ``(C, K, K)``; ``(1, K, K)`` of a matrix for the whole layer."""
        return self.effective(self.alpha).detach().view(-1, self.tasks, self.tasks)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map ``(N, C, H, W)`` a task, to the same; vectors ``(N, C)`` likewise."""
        self.check(maps)
        if self.alpha.dim() == 2:
            return matrix_mix(self.effective(self.alpha), maps)
        # As the product below has it: autocast knows nothing of the sum.
        dtype = autocast_dtype(maps[0])
        alpha = self.effective(self.alpha).to(dtype)
        if is_channels_last(maps[0]):
            # With the channel innermost there is no product of matrices to make: a channel's pixels lie C apart.
            maps = [x.to(dtype) for x in maps]
            return [weighted_sum(row, maps) for row in alpha.permute(1, 2, 0)[..., None, None]]
        joined = torch.stack(list(maps), 2)
        mixed = alpha @ joined.unsqueeze(-1).flatten(3)
        return [y.contiguous() for y in mixed.view(joined.shape).unbind(2)]
