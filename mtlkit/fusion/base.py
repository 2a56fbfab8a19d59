"""What all fusion layers have in common."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available

from mtlkit.errors import InputError
from mtlkit.values import Value


class FusionLayer(nn.Module):
    """A layer between the encoders of K tasks: K maps in, K maps of the same shape and memory format out.

    A subclass has a :meth:`forward` that begins with :meth:`check`. All its parameters belong to the optimiser group
    ``fusion``, see :func:`mtlkit.network.parameter_groups`.

    Args:
        tasks: K, at least two.
        channels: C of every map.
        exchange: ``False`` makes a control out of any layer: the weights between tasks are zero and stay so, everything
            else starts and is trained as in the layer proper. A task's own weights start at ``alpha + beta``, so that
            the scale of its map is kept.

    Raises:
        InputError: There are fewer than two tasks.
    """

    takes_vectors: ClassVar[bool] = True
    """Whether the maps may be vectors ``(N, C)`` or have any other number of dimensions; ``False``: they have four."""

    def __init__(self, tasks: int, channels: int, *, exchange: bool = True):
        super().__init__()
        if tasks < 2:
            raise InputError(f"A fusion layer joins the maps of at least two tasks, not {tasks}.")
        self.tasks = tasks
        self.channels = channels
        self.exchange = exchange

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map ``(N, C, H, W)`` a task, to the same. The results may be views of one tensor.

        Raises:
            InputError: The maps are not K of one shape with C channels.
        """
        raise NotImplementedError

    def check(self, maps: Sequence[Tensor]) -> None:
        """Raises :class:`~mtlkit.errors.InputError` unless these are K maps of one shape with C channels."""
        if others := sorted({type(x).__name__ for x in maps if not isinstance(x, Tensor)}):
            raise InputError(
                f"{type(self).__name__} takes a list of {self.tasks} maps, one a task, not a {type(maps).__name__} of "
                f"{' and '.join(others)}."
            )
        shapes = [tuple(x.shape) for x in maps]
        sizes = {len(s) for s in shapes}
        fits = min(sizes, default=0) > 1 if self.takes_vectors else sizes == {4}
        if len(maps) != self.tasks or not fits or any(s[1] != self.channels or s != shapes[0] for s in shapes):
            raise InputError(
                f"{type(self).__name__} takes {self.tasks} maps of one shape (N, {self.channels}, H, W), not "
                f"{len(maps)} of {', '.join(map(str, shapes)) or 'no shape'}."
            )

    def effective(self, weight: Tensor) -> Tensor:
        """``weight`` ``(..., K*b, K*b)`` as :meth:`forward` applies it: without exchange only its K own blocks.

        The other blocks get no gradient, so an optimiser leaves them at the zero that they start at.
        """
        if self.exchange:
            return weight
        size = weight.shape[-1] // self.tasks
        own = torch.eye(self.tasks, dtype=weight.dtype, device=weight.device)
        return weight * own.repeat_interleave(size, 0).repeat_interleave(size, 1)

    def penalty(self, weights: Iterable[Tensor]) -> Tensor | None:
        """What the layer adds to the loss, unweighted, given the last weight ``(C, ...)`` of every task's stage."""
        return None

    def mixing_weights(self) -> Tensor | None:
        """What task ``i`` takes of task ``j``, as :meth:`forward` applies it: ``(C, K, K)``, or ``(1, K, K)`` where one
        number stands for all channels; ``None``: the layer has no such numbers."""
        return None

    def parameter_group(self, name: str) -> str | None:
        """The optimiser group of the parameter ``name``."""
        return "fusion"

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters without weight decay: all, for decay would pull mixing scalars towards no signal."""
        return {name for name, _ in self.named_parameters()}

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"tasks={self.tasks}, channels={self.channels}" + ("" if self.exchange else ", exchange=False")


class LayerSettings(Value):
    """A fusion layer as part of a network's identity; a subclass holds the layer's arguments and a ``kind``."""

    def build(self, tasks: int, channels: int) -> FusionLayer:
        """The layer for the maps of ``tasks`` tasks with ``channels`` channels."""
        raise NotImplementedError

    def sharing(self) -> dict[str, Any]:
        """What :class:`mtlkit.sharing.SoftSharing` is built with, by its arguments' names; by default nothing.

        For settings of a method that are not its layer's.
        """
        return {}


def diagonal(tasks: int, alpha: float, beta: float) -> Tensor:
    """``(K, K)``: ``alpha`` on the diagonal, ``beta`` shared equally by the rest of a row."""
    return torch.full((tasks, tasks), beta / (tasks - 1)).fill_diagonal_(alpha)


LISTED = 129
"""The most numbers of a layer that the record of a training lists for a pair of tasks."""


def order_statistics(values: Tensor) -> list[float]:
    """Values ``(n,)`` in rising order, to six digits behind the point; of more than :data:`LISTED` so many, evenly
    spaced from the lowest to the highest.

    >>> order_statistics(torch.tensor([0.9, 0.1, 0.5]))
    [0.1, 0.5, 0.9]
    >>> order_statistics(torch.arange(1025.0))[:3]
    [0.0, 8.0, 16.0]
    """
    ordered = values.detach().cpu().double().sort().values
    if len(ordered) > LISTED:
        ordered = ordered[torch.linspace(0, len(ordered) - 1, LISTED, dtype=torch.float64).round().long()]
    return [round(value, 6) for value in ordered.tolist()]


def autocast_dtype(x: Tensor) -> torch.dtype:
    """The dtype that a product of matrices with ``x`` has: that of autocast where it acts, else that of ``x``."""
    device = x.device.type
    acts = is_autocast_available(device) and torch.is_autocast_enabled(device) and x.dtype != torch.float64
    return torch.get_autocast_dtype(device) if acts else x.dtype


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of a map lie innermost in memory."""
    # Asked of strides, since a part of a dense map's channels is dense in neither format.
    return x.dim() == 4 and x.stride(1) == 1


def matrix_mix(matrix: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
    """``y_i = sum_j matrix[i, j] x_j`` over equally shaped parts, as one matrix product in their memory order."""
    last = is_channels_last(parts[0])
    rows = torch.stack([x.movedim(1, -1) for x in parts] if last else list(parts))
    mixed = (matrix.to(rows.dtype) @ rows.flatten(1)).view(rows.shape).unbind()
    return [y.movedim(-1, 1) for y in mixed] if last else list(mixed)


def weighted_sum(weights: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """``sum_j weights[j] x_j``."""
    total = maps[0] * weights[0]
    for weight, x in zip(weights[1:], maps[1:], strict=True):
        total = torch.addcmul(total, x, weight)
    return total
