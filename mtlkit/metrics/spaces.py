"""The two spaces of surface normals that the literature mixes up, and the way from one to the other."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Space = Literal["decoded", "encoded"]
SPACES: tuple[Space, ...] = ("decoded", "encoded")


class Directions(NamedTuple):
    """A prediction with an answer of its own in each space, both ``(N, 3, H, W)``."""

    decoded: Tensor
    encoded: Tensor


def unit(vectors: Tensor, dim: int = 1) -> Tensor:
    """Vectors at length one; zero stays zero.

    :func:`torch.nn.functional.normalize` to rounding, gradients at zero included, in a tenth of its time: on the CPU
    its norm over a dimension that is not the last reads memory in strides.

    Args:
        vectors: of any shape and floating type.
        dim: of the components.

    Example:
        >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    return vectors * vectors.square().sum(dim, keepdim=True).clamp(min=1e-24).rsqrt()


def has_normal(normals: Tensor, dim: int = 1) -> Tensor:
    """Where there is a vector along ``dim``: neither zero, which is no value, nor one with NaN or infinity in it."""
    return (normals != 0).any(dim) & normals.isfinite().all(dim)


def encode(normals: Tensor) -> Tensor:
    """Unit normals ``(N, 3, H, W)`` as the vectors NDDR-CNN's official code reads from its images, up to scale.

    Its 8-bit maps store ``127 (n + 1)`` with the axes right, away from the camera, up, and are never decoded
    (``util/img_encoder_mt.py``, ``ops/errors.py``): all components are positive.
    """
    x, y, z = normals.unbind(1)
    return torch.stack([x, -z, y], 1) + 1


def decode(encoded: Tensor) -> Tensor:
    """Directions in the encoded space ``(N, 3, H, W)`` back to unit normals.

    A ray from the origin meets the sphere of encoded normals twice, so a direction alone does not determine a
    normal. The far meeting point is taken: the near side only holds normals that point down, left and at the camera
    at once. Directions that miss the sphere go to its nearest point on the rim.
    """
    direction = unit(encoded)
    along = direction.sum(1, keepdim=True)
    reach = along + (along.square() - 2).clamp(min=0).sqrt()
    right, away, up = (reach * direction - 1).unbind(1)
    return unit(torch.stack([right, up, -away], 1))
