"""Joints of objects that transforms move with the image, and that a mirror exchanges left for right."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from mtlkit.errors import InputError


class Joints(tv_tensors.TVTensor):  # type: ignore[misc]
    """The joints of R objects, float32 ``(R, J, 3)``: x, y and a visibility as COCO defines it.

    x and y are in pixels and continuous: 0 at the image's left and upper edge, its width and height at the others.
    The visibility is 0 (not labelled), 1 (labelled but hidden) or 2 (seen). A joint that is not labelled is
    ``(0, 0, 0)``, whatever is done to the image; so is one that a crop leaves outside (an edge is inside).

    Torchvision's resize, crop, resized crop, centre crop, padding and horizontal flip are known; other changes of
    geometry are refused, for torchvision would let joints pass unmoved.

    Args:
        data: what :func:`torch.as_tensor` takes, ``(R, J, 3)``.
        canvas_size: height and width of the image, in pixels.
        mirror: for each joint the one whose place it takes in a mirror; its own place if it has no counterpart.

    Attributes:
        canvas_size, mirror: as given.

    Raises:
        InputError: ``data`` has another shape, or ``mirror`` does not exchange J joints in pairs.
    """

    canvas_size: tuple[int, int]
    mirror: tuple[int, ...]

    def __new__(cls, data: Any, *, canvas_size: tuple[int, int], mirror: Sequence[int]) -> "Joints":
        """See the class."""
        tensor = torch.as_tensor(data, dtype=torch.float32)
        if tensor.ndim != 3 or tensor.shape[-1] != 3:
            raise InputError(f"Joints have the shape {tuple(tensor.shape)}; it should be (objects, joints, 3).")
        count = tensor.shape[1]
        if sorted(mirror) != list(range(count)) or any(mirror[other] != own for own, other in enumerate(mirror)):
            raise InputError(
                f"The mirror {tuple(mirror)} does not exchange {count} joints in pairs; give each joint the place of "
                "its counterpart, or its own."
            )
        height, width = canvas_size
        return cls._made(tensor, (height, width), tuple(mirror))

    @classmethod
    def _made(cls, tensor: Tensor, canvas_size: tuple[int, int], mirror: tuple[int, ...]) -> "Joints":
        joints: Joints = tensor.as_subclass(cls)
        joints.canvas_size, joints.mirror = canvas_size, mirror
        return joints

    @classmethod
    def _wrap_output(cls, output: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        # Torchvision's hook after `clone`, `to` and the like, whose results would lack the metadata.
        output = super()._wrap_output(output, args, kwargs)
        if isinstance(output, Joints):
            like = next(leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Joints))
            output.canvas_size, output.mirror = like.canvas_size, like.mirror
        return output

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        text: str = self._make_repr(canvas_size=self.canvas_size, mirror=self.mirror)
        return text


def mirror_of(names: Sequence[str]) -> tuple[int, ...]:
    """For each joint the place of the one of the other side, by its name, or its own.

    >>> mirror_of(("nose", "left_eye", "right_eye", "R_knee"))
    (0, 2, 1, 3)
    """
    sides = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "l": "r", "L": "R"}
    sides |= {other: side for side, other in sides.items()}
    places = {name: place for place, name in enumerate(names)}
    side = re.compile("left|right|Left|Right|LEFT|RIGHT|(?<![A-Za-z])[lrLR](?![A-Za-z])")
    return tuple(places.get(side.sub(lambda found: sides[found[0]], name), own) for own, name in enumerate(names))


# torchvision wraps the results of its own classes' kernels only: each kernel here must hand back Joints itself.


def _placed(joints: Joints, places: Tensor, canvas_size: tuple[int, int]) -> Joints:
    """The joints at other places ``(R, J, 2)`` of a canvas; those outside of it are no longer labelled."""
    edges = torch.tensor([canvas_size[1], canvas_size[0]], device=places.device)
    inside = ((places >= 0) & (places <= edges)).all(-1, keepdim=True)
    visibility = joints.as_subclass(Tensor)[..., 2:]
    moved = torch.cat((places, visibility), dim=-1)
    return Joints._made(torch.where(inside & (visibility > 0), moved, 0.0), canvas_size, joints.mirror)


@F.register_kernel(functional=F.horizontal_flip, tv_tensor_cls=Joints)  # type: ignore[untyped-decorator]
def _flip(joints: Joints) -> Joints:
    plain = joints.as_subclass(Tensor)[:, list(joints.mirror)]
    places = torch.stack((joints.canvas_size[1] - plain[..., 0], plain[..., 1]), dim=-1)
    turned = Joints._made(plain, joints.canvas_size, joints.mirror)
    return _placed(turned, places, joints.canvas_size)


def _as_points(functional: Callable[..., Any]) -> Callable[..., Joints]:
    """A kernel that moves joints as torchvision moves points; its mirror alone takes pixels' centres, not edges."""

    def kernel(joints: Joints, *args: Any, **kwargs: Any) -> Joints:
        places = joints.as_subclass(Tensor)[..., :2]
        moved = functional(tv_tensors.KeyPoints(places, canvas_size=joints.canvas_size), *args, **kwargs)
        return _placed(joints, moved.as_subclass(Tensor), tuple(moved.canvas_size))

    return kernel


@F.register_kernel(functional=F.center_crop, tv_tensor_cls=Joints)  # type: ignore[untyped-decorator]
def _center_crop(joints: Joints, output_size: int | list[int]) -> Joints:
    # Padded first, as images are: torchvision's own points are a pixel off where the padding is odd.
    size = [output_size] if isinstance(output_size, int) else list(output_size)
    down, right = (max(0, want - side) for want, side in zip((size * 2)[:2], joints.canvas_size, strict=True))
    padded = F.pad(joints, [right // 2, down // 2, (right + 1) // 2, (down + 1) // 2])
    return _as_points(F.center_crop)(padded, size)


def _refused(functional: Callable[..., Any]) -> Callable[..., Joints]:
    """A kernel that says that nobody defined what joints should do."""

    def kernel(joints: Joints, *args: Any, **kwargs: Any) -> Joints:
        raise InputError(
            f"Joints cannot follow torchvision's {functional.__name__}; use flips to the side, crops, padding and "
            "changes of size."
        )

    return kernel


for _functional in (F.resize, F.crop, F.resized_crop, F.pad):
    F.register_kernel(functional=_functional, tv_tensor_cls=Joints)(_as_points(_functional))
for _functional in (F.vertical_flip, F.rotate, F.affine, F.perspective, F.elastic, F.five_crop, F.ten_crop):
    F.register_kernel(functional=_functional, tv_tensor_cls=Joints)(_refused(_functional))
