"""Sluice networks: layers between subspaces, and the mixing of stages in front of a head."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mtlkit.errors import InputError
from mtlkit.fusion.base import FusionLayer, LayerSettings, diagonal, matrix_mix, weighted_sum


class Sluice(FusionLayer):
    """Sluice layer: a cross-stitch unit between subspaces, the ``S`` equal parts of every task's channels.

    ``y[i,s] = sum over (j,t) of alpha[(i,s), (j,t)] x[j,t]``: the ``alpha`` of Ruder et al., Latent Multi-task
    Architecture Learning, AAAI 2019, https://arxiv.org/abs/1705.08142. Its rows and columns, ``(K*S, K*S)``, run over
    (task, subspace) with the subspace fastest. It starts with ``alpha`` on a subspace itself, zero on its own task's
    others, and ``beta`` spread equally over all subspaces of the other tasks. So (1, 0) is the identity, rows sum to
    ``alpha + beta``, and one subspace is a cross-stitch unit per layer. No weight decay acts on it. Without exchange a
    task still mixes its own subspaces.

    The paper is about recurrent networks; here a subspace is a block of neighbouring channels. With one subspace the
    start is the "imbalanced" one of the authors' code (https://github.com/sebastianruder/sluice-networks). With two
    that code starts at 0.95 and 0.05 in rows that sum to 2, and its reshape interleaves subspaces where the equation
    keeps them apart; here the equation is followed.

    Args:
        tasks: K, at least two.
        channels: C of every map.
        subspaces: S, a divisor of C.
        alpha: start of the weight of a subspace itself.
        beta: start of the weights of the other tasks' subspaces together.
        exchange: ``False``: a control without weights between tasks, see :class:`FusionLayer`.

    Raises:
        InputError: There are fewer than two tasks, or the channels do not divide into the subspaces.

    >>> layer = Sluice(tasks=3, channels=64, subspaces=2)
    >>> layer.alpha.shape
    torch.Size([6, 6])
    >>> [tuple(y.shape) for y in layer([torch.rand(8, 64, 24, 32) for task in range(3)])]
    [(8, 64, 24, 32), (8, 64, 24, 32), (8, 64, 24, 32)]
    """

    class Settings(LayerSettings):
        """A :class:`Sluice` as part of a network's identity.

        ``penalty`` weighs the orthogonality of subspaces, ``layer_mixing`` adds a :class:`LayerMixing` a task; both are
        :class:`mtlkit.sharing.SoftSharing`'s. ``exchange=False``: the control without weights between tasks; own
        subspaces are mixed and the penalty stays.
        """

        tag: ClassVar[str] = "SluiceSettings"

        kind: Literal["sluice"] = "sluice"
        subspaces: int = Field(default=2, ge=1)
        alpha: float = 0.9
        beta: float = 0.1
        penalty: float = Field(default=0.1, ge=0)
        layer_mixing: bool = False
        exchange: bool = True

        def build(self, tasks: int, channels: int) -> "Sluice":
            """The layer for the maps of ``tasks`` tasks with ``channels`` channels."""
            return Sluice(tasks, channels, **self.model_dump(exclude={"kind", *self.sharing()}))

        def sharing(self) -> dict[str, Any]:
            """The penalty's weight, and whether layers are mixed."""
            return {"penalty": self.penalty, "layer_mixing": self.layer_mixing}

    def __init__(
        self,
        tasks: int,
        channels: int,
        *,
        subspaces: int = 2,
        alpha: float = 0.9,
        beta: float = 0.1,
        exchange: bool = True,
    ):
        super().__init__(tasks, channels, exchange=exchange)
        if subspaces < 1 or channels % subspaces:
            raise InputError(
                f"{channels} channels do not divide into {subspaces} equal subspaces; take a divisor of {channels}."
            )
        self.subspaces = subspaces
        alpha, beta = (alpha, beta) if exchange else (alpha + beta, 0)
        own = torch.eye(tasks).kron(alpha * torch.eye(subspaces))
        others = diagonal(tasks, 0, beta).kron(torch.full((subspaces, subspaces), 1 / subspaces))
        self.alpha = nn.Parameter(own + others)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map ``(N, C, H, W)`` a task, to the same; vectors ``(N, C)`` likewise."""
        self.check(maps)
        parts = matrix_mix(self.effective(self.alpha), [part for x in maps for part in x.chunk(self.subspaces, 1)])
        return [torch.cat(parts[i : i + self.subspaces], 1) for i in range(0, len(parts), self.subspaces)]

    def penalty(self, weights: Iterable[Tensor]) -> Tensor:
        """How far a stage's subspaces are from orthogonal: the sum of ``|G_s G_t^T|^2`` (Frobenius).

        ``G_s`` are the filters of the stage's last layer that make subspace s, one a row; the sum is over the pairs
        ``s < t`` and over the tasks. The authors' code multiplies ``G_s^T G_t``, which compares inputs and is not 0 for
        orthogonal filters; for a 3x3 convolution of 512 channels it begins eighteen times as large.

        Args:
            weights: ``(C, ...)`` for every task.
        """
        total = self.alpha.new_zeros(())
        for weight in weights:
            for one, other in combinations(weight.flatten(1).chunk(self.subspaces), 2):
                total = total + (one @ other.T).square().sum()
        return total


class LayerMixing(nn.Module):
    """What a task's head gets in a sluice network: ``sum_l beta[l] h_l`` over the stages' maps ``h_l``.

    The skip connections ``beta`` of Ruder et al., AAAI 2019, which start at ``last`` on the last stage and share the
    rest equally. The stages of an image network differ in size and channels, those of the paper do not: a larger map
    is reduced to the last one's size by average pooling, under which every pixel counts, a smaller one is enlarged
    bilinearly; where the channels differ a 1x1 convolution without bias follows. ``beta`` are mixing scalars of the
    optimiser group ``fusion``; the ``projections`` are ordinary convolutions.

    Args:
        channels: of every stage, at least two.
        last: the start of the last stage's ``beta``.

    Raises:
        InputError: There is only one stage.

    >>> mixing = LayerMixing([64, 128])
    >>> mixing([torch.rand(8, 64, 24, 32), torch.rand(8, 128, 12, 16)]).shape
    torch.Size([8, 128, 12, 16])
    """

    def __init__(self, channels: Sequence[int], *, last: float = 0.9):
        super().__init__()
        if len(channels) < 2:
            raise InputError(f"Layer mixing needs at least two stages, not {len(channels)}.")
        self.channels = tuple(channels)
        lower = len(channels) - 1
        self.beta = nn.Parameter(torch.tensor([(1 - last) / lower] * lower + [last]))
        self.projections = nn.ModuleList(
            nn.Identity() if c == channels[-1] else nn.Conv2d(c, channels[-1], 1, bias=False) for c in channels
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """One map ``(N, C_l, H_l, W_l)`` a stage, to ``(N, C, H, W)`` of the last.

        Raises:
            InputError: The maps are not one a stage with its channels.
        """
        if tuple(x.shape[1] for x in maps) != self.channels:
            raise InputError(
                f"Layer mixing takes maps with {', '.join(map(str, self.channels))} channels, one a stage, not "
                f"{len(maps)} of {', '.join(str(tuple(x.shape)) for x in maps) or 'no shape'}."
            )
        size = maps[-1].shape[-2:]
        same = [project(_resized(x, size)) for project, x in zip(self.projections, maps, strict=True)]
        return weighted_sum(self.beta.to(same[-1].dtype), same)

    def parameter_group(self, name: str) -> str | None:
        """The optimiser group of the parameter ``name``."""
        return "fusion" if name == "beta" else None


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    if x.shape[-2:] == size:
        return x
    if x.shape[-2] >= size[0] and x.shape[-1] >= size[1]:
        return F.adaptive_avg_pool2d(x, (size[0], size[1]))
    return F.interpolate(x, list(size), mode="bilinear", align_corners=False)
