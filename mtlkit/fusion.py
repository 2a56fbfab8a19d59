"""Units between the towers of a fused network: cross-stitch, sluice, NDDR, and sluice's mixing of layers.

A unit stands after a stage. It takes one map a tower and gives one map a tower, of the same shape and memory format,
for any number of towers from two. ``benchmarks/fusion_units.py`` compares each forward with its equivalents.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, Literal, get_args

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mtlkit.errors import InputError, unknown
from mtlkit.values import Value

Per = Literal["channel", "layer"]
Norm = Literal["input", "output", "none"]
Init = Literal["diagonal", "xavier"]


class Unit(nn.Module):
    """K maps in, K maps out.

    All parameters of a unit belong to one optimiser group with a learning-rate scale of its own.

    Args:
        towers: K, at least two.
        channels: C of every map.
        exchange: ``False`` makes a control out of any unit: the weights between towers are zero and stay so, everything
            else starts and is trained as in the unit proper. A tower's own weights start at ``alpha + beta``, so that
            the scale of its map is kept.

    Raises:
        InputError: There are fewer than two towers.
    """

    def __init__(self, towers: int, channels: int, exchange: bool = True):
        super().__init__()
        if towers < 2:
            raise InputError(f"A fusion unit joins at least two towers, not {towers}.")
        self.towers = towers
        self.channels = channels
        self.exchange = exchange

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map `(N, C, H, W)` a tower, to the same. The results may be views of one tensor."""
        raise NotImplementedError

    def used(self, weight: Tensor) -> Tensor:
        """``weight`` `(..., K*b, K*b)` as :meth:`forward` uses it: without exchange only its K own blocks.

        The other blocks get no gradient, so an optimiser leaves them at the zero that they start at.
        """
        if self.exchange:
            return weight
        size = weight.shape[-1] // self.towers
        own = torch.eye(self.towers, dtype=weight.dtype, device=weight.device)
        return weight * own.repeat_interleave(size, 0).repeat_interleave(size, 1)

    def decayed(self) -> list[nn.Parameter]:
        """The parameters that weight decay acts on: none, for decay would pull mixing scalars towards no signal."""
        return []

    def penalty(self, weights: Sequence[Tensor]) -> Tensor | None:
        """What the unit asks of the loss, unweighted, given the last weight `(C, ...)` of every tower's stage."""
        return None

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"towers={self.towers}, channels={self.channels}" + ("" if self.exchange else ", exchange=False")


class CrossStitch(Unit):
    """Cross-stitch unit: ``y_i = sum_j alpha[i, j] x_j``, for every channel or for the layer as a whole.

    Eq. 1 of Misra et al., Cross-stitch Networks for Multi-task Learning, CVPR 2016, https://arxiv.org/abs/1604.03539.
    ``alpha`` is `(C, K, K)` per channel, `(K, K)` per layer; it starts with ``alpha`` on a tower's own map and
    ``beta / (K - 1)`` on each other, so that its rows sum to ``alpha + beta`` for every K.

    Raises:
        InputError: ``per`` is neither ``"channel"`` nor ``"layer"``.
    """

    def __init__(
        self,
        towers: int,
        channels: int,
        *,
        per: Per = "channel",
        alpha: float = 0.9,
        beta: float = 0.1,
        exchange: bool = True,
    ):
        super().__init__(towers, channels, exchange)
        _check("cross-stitch unit per", per, Per)
        start = _start(towers, alpha, beta) if exchange else _start(towers, alpha + beta, 0)
        self.alpha = nn.Parameter(start.repeat(channels, 1, 1) if per == "channel" else start)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map `(N, C, H, W)` a tower, to the same."""
        if self.alpha.dim() == 2:
            return _mixed(self.used(self.alpha), maps)
        alpha = self.used(self.alpha).to(maps[0].dtype)
        if _channels_last(maps[0]):
            # With the channel innermost there is no product of matrices to make: a channel's pixels lie C apart.
            return [_weighted_sum(row, maps) for row in alpha.permute(1, 2, 0)[..., None, None]]
        joined = torch.stack(list(maps), 2)
        mixed = alpha @ joined.unsqueeze(-1).flatten(3)
        return [y.contiguous() for y in mixed.view(joined.shape).unbind(2)]


class Sluice(Unit):
    """Sluice unit: cross-stitch between subspaces, the ``S`` equal parts of every tower's channels.

    ``alpha``, `(K*S, K*S)`, of Ruder et al., Latent Multi-task Architecture Learning, AAAI 2019,
    https://arxiv.org/abs/1705.08142; rows and columns run over (tower, subspace) with the subspace fastest. The paper
    is about recurrent networks; here a subspace is a block of neighbouring channels. Start ("imbalanced" in the
    authors' code): ``alpha`` on a subspace itself, zero on its own tower's others, and ``beta`` spread equally over
    all subspaces of the other towers. So (1, 0) is the identity, rows sum to ``alpha + beta``, and one subspace is a
    cross-stitch unit per layer. Without exchange a tower still mixes its own subspaces.

    Raises:
        InputError: The channels do not divide into the subspaces.
    """

    def __init__(
        self,
        towers: int,
        channels: int,
        *,
        subspaces: int = 2,
        alpha: float = 0.9,
        beta: float = 0.1,
        exchange: bool = True,
    ):
        super().__init__(towers, channels, exchange)
        if subspaces < 1 or channels % subspaces:
            raise InputError(
                f"{channels} channels do not divide into {subspaces} equal subspaces; take a divisor of {channels}."
            )
        self.subspaces = subspaces
        alpha, beta = (alpha, beta) if exchange else (alpha + beta, 0)
        own = torch.eye(towers).kron(alpha * torch.eye(subspaces))
        others = _start(towers, 0, beta).kron(torch.full((subspaces, subspaces), 1 / subspaces))
        self.alpha = nn.Parameter(own + others)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map `(N, C, H, W)` a tower, to the same."""
        parts = _mixed(self.used(self.alpha), [part for x in maps for part in x.chunk(self.subspaces, 1)])
        return [torch.cat(parts[i : i + self.subspaces], 1) for i in range(0, len(parts), self.subspaces)]

    def penalty(self, weights: Sequence[Tensor]) -> Tensor:
        """How far a stage's subspaces are from orthogonal: the sum of ``|G_s G_t^T|^2`` (Frobenius).

        ``G_s`` are the filters of the stage's last layer that make subspace s, one a row; the sum is over the pairs
        ``s < t`` and over the towers.

        Args:
            weights: `(C, ...)` for every tower.
        """
        total = weights[0].new_zeros(())
        for weight in weights:
            for one, other in combinations(weight.flatten(1).chunk(self.subspaces), 2):
                total = total + (one @ other.T).square().sum()
        return total


class NDDR(Unit):
    """NDDR layer: all maps joined along channels, then one 1x1 convolution without bias for each tower.

    Eq. 1 to 3 of Gao et al., NDDR-CNN, CVPR 2019, https://arxiv.org/abs/1801.08297. The paper normalises the joined
    input; its official code (``norm="output"``) has batch norm and ReLU behind the convolution, with the decay and
    epsilon used here for both. That ReLU fits stages that end in one; of others it would cut off the negative half, and
    ``relu=False`` leaves it out. The K convolutions are one, `(K*C, K*C, 1, 1)`, whose block i of C rows is tower i's.
    The diagonal start has ``alpha`` on the own channel and ``beta / (K - 1)`` on the same channel of each other tower.
    Without exchange a tower keeps its norm and its own 1x1 convolution, over all of its channels.

    Raises:
        InputError: ``norm`` or ``init`` is not among its choices.
    """

    def __init__(
        self,
        towers: int,
        channels: int,
        *,
        norm: Norm = "input",
        init: Init = "diagonal",
        alpha: float = 0.9,
        beta: float = 0.1,
        relu: bool = True,
        exchange: bool = True,
    ):
        super().__init__(towers, channels, exchange)
        _check("NDDR norm", norm, Norm)
        _check("NDDR init", init, Init)
        joined = towers * channels
        if init == "diagonal":
            own, others = (alpha, beta) if exchange else (alpha + beta, 0)
            weight = _start(towers, own, others).kron(torch.eye(channels))
        else:
            # A block at a time: the fan-out of a tower's convolution is C, not K*C.
            weight = torch.cat([nn.init.xavier_uniform_(torch.empty(channels, joined)) for _ in range(towers)])
        self.weight = nn.Parameter(self.used(weight)[..., None, None])
        self.norm_in = nn.BatchNorm2d(joined, eps=1e-3, momentum=0.05) if norm == "input" else None
        self.norm_out = nn.BatchNorm2d(joined, eps=1e-3, momentum=0.05) if norm == "output" else None
        self.relu = relu and norm == "output"

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map `(N, C, H, W)` a tower, to the same."""
        x = torch.cat(list(maps), 1)
        if self.norm_in is not None:
            x = self.norm_in(x)
        weight = self.weight if self.exchange else self.used(self.weight.flatten(1)).view_as(self.weight)
        last = _channels_last(maps[0])
        if last:
            y = F.conv2d(x, weight)
        else:
            # A product of matrices for every image, with one weight for all: a third faster than the convolution.
            y = torch.bmm(weight.flatten(1).expand(len(x), -1, -1), x.flatten(2)).view(x.shape)
        if self.norm_out is not None:
            y = self.norm_out(y)
        if self.relu:
            # A tower at a time: its results are dense, as the next stage wants them.
            return [F.relu(block) for block in y.chunk(self.towers, 1)]
        layout = torch.channels_last if last else torch.contiguous_format
        # Dense here, once: the next stage and a head would otherwise each copy the block.
        return [block.contiguous(memory_format=layout) for block in y.chunk(self.towers, 1)]

    def decayed(self) -> list[nn.Parameter]:
        """The 1x1 weights, and no scale or shift of the norm."""
        return [self.weight]

    def shares(self) -> Tensor:
        """Where each tower's 1x1 weights look, as shares of their absolute sum.

        Returns:
            `(K, 4)`: own tower's same channel, own tower's other channels, other towers' same channel, other towers'
            other channels. A row sums to 1; the diagonal start has (alpha, 0, beta, 0) for alpha + beta = 1.
        """
        blocks = self.weight.detach().abs().view(self.towers, self.channels, self.towers, self.channels)
        same = blocks.diagonal(dim1=1, dim2=3).sum(-1)
        other = blocks.sum((1, 3)) - same
        own, everything = same.diagonal(), blocks.sum((1, 2, 3))
        own_other = other.diagonal()
        parts = [own, own_other, same.sum(1) - own, other.sum(1) - own_other]
        return torch.stack(parts, 1) / everything[:, None]


class LayerMixing(nn.Module):
    """What a task's head gets in a sluice network: ``sum_l beta[l] h_l`` over the stages' maps ``h_l``.

    The skip connections ``beta`` of Ruder et al., AAAI 2019, which start at ``last`` on the last stage and share the
    rest equally. The stages of an image network differ in size and channels, those of the paper do not: a larger map
    is reduced to the last one's size by average pooling, under which every pixel counts, a smaller one is enlarged
    bilinearly; where the channels differ a 1x1 convolution without bias follows. ``beta`` are mixing scalars; the
    ``projections`` are ordinary convolutions, to be trained and decayed like a head's.

    Args:
        channels: of every stage, at least two.
        last: the start of the last stage's ``beta``.

    Raises:
        InputError: There is only one stage.
    """

    def __init__(self, channels: Sequence[int], *, last: float = 0.9):
        super().__init__()
        if len(channels) < 2:
            raise InputError(f"Layer mixing needs at least two stages, not {len(channels)}.")
        lower = len(channels) - 1
        self.beta = nn.Parameter(torch.tensor([(1 - last) / lower] * lower + [last]))
        self.projections = nn.ModuleList(
            nn.Identity() if c == channels[-1] else nn.Conv2d(c, channels[-1], 1, bias=False) for c in channels
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """One map `(N, C_l, H_l, W_l)` a stage, to `(N, C, H, W)` of the last."""
        size = maps[-1].shape[-2:]
        same = [project(_resized(x, size)) for project, x in zip(self.projections, maps, strict=True)]
        return _weighted_sum(self.beta.to(same[-1].dtype), same)


class CrossStitchSettings(Value):
    """A :class:`CrossStitch` after a stage.

    ``exchange=False`` is the control that tells what towers give each other from everything else that a fused network
    has: its own scales, its losses, its longer training; see :class:`Unit`. So in all three settings.
    """

    kind: Literal["cross_stitch"] = "cross_stitch"
    per: Per = "channel"
    alpha: float = 0.9
    beta: float = 0.1
    exchange: bool = True

    def unit(self, towers: int, channels: int) -> CrossStitch:
        """The unit for ``towers`` maps of ``channels`` channels."""
        return CrossStitch(towers, channels, per=self.per, alpha=self.alpha, beta=self.beta, exchange=self.exchange)


class SluiceSettings(Value):
    """A :class:`Sluice` after a stage; ``penalty`` weighs its orthogonality, ``layer_mixing`` adds the betas.

    ``exchange=False``: the control without weights between towers; own subspaces are mixed and the penalty stays.
    """

    kind: Literal["sluice"] = "sluice"
    subspaces: int = Field(default=2, ge=1)
    alpha: float = 0.9
    beta: float = 0.1
    penalty: float = Field(default=0.1, ge=0)
    layer_mixing: bool = False
    exchange: bool = True

    def unit(self, towers: int, channels: int) -> Sluice:
        """The unit for ``towers`` maps of ``channels`` channels."""
        return Sluice(
            towers, channels, subspaces=self.subspaces, alpha=self.alpha, beta=self.beta, exchange=self.exchange
        )


class NDDRSettings(Value):
    """An :class:`NDDR` layer after a stage.

    ``exchange=False``: the control without weights between towers, so that a method is not credited for its norm and
    its own 1x1 convolutions, which stay.
    """

    kind: Literal["nddr"] = "nddr"
    norm: Norm = "input"
    init: Init = "diagonal"
    alpha: float = 0.9
    beta: float = 0.1
    relu: bool = True
    exchange: bool = True

    def unit(self, towers: int, channels: int) -> NDDR:
        """The unit for ``towers`` maps of ``channels`` channels."""
        return NDDR(
            towers,
            channels,
            norm=self.norm,
            init=self.init,
            alpha=self.alpha,
            beta=self.beta,
            relu=self.relu,
            exchange=self.exchange,
        )


Fusion = Annotated[CrossStitchSettings | SluiceSettings | NDDRSettings, Field(discriminator="kind")]
"""How a fused network's towers are joined; ``fusion.unit(towers, channels)`` builds one unit."""


def _check(what: str, name: str, choices: object) -> None:
    if name not in get_args(choices):
        raise unknown(what, name, get_args(choices))


def _start(towers: int, alpha: float, beta: float) -> Tensor:
    """`(K, K)`: ``alpha`` on the diagonal, ``beta`` shared equally by the rest of a row."""
    start = torch.full((towers, towers), beta / (towers - 1))
    return start.fill_diagonal_(alpha)


def _channels_last(x: Tensor) -> bool:
    # Asked of strides, since a part of a dense map's channels is dense in neither format.
    return x.dim() == 4 and x.stride(1) == 1


def _mixed(matrix: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
    """``y_i = sum_j matrix[i, j] x_j`` over equally shaped parts, as one matrix product in their memory order."""
    last = _channels_last(parts[0])
    rows = torch.stack([x.movedim(1, -1) for x in parts] if last else list(parts))
    mixed = (matrix.to(rows.dtype) @ rows.flatten(1)).view(rows.shape).unbind()
    return [y.movedim(-1, 1) for y in mixed] if last else list(mixed)


def _weighted_sum(weights: Tensor, maps: Sequence[Tensor]) -> Tensor:
    total = maps[0] * weights[0]
    for weight, x in zip(weights[1:], maps[1:], strict=True):
        total = torch.addcmul(total, x, weight)
    return total


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    if x.shape[-2:] == size:
        return x
    if x.shape[-2] >= size[0] and x.shape[-1] >= size[1]:
        return F.adaptive_avg_pool2d(x, (size[0], size[1]))
    return F.interpolate(x, list(size), mode="bilinear", align_corners=False)
