"""Where an image lies on the canvas that a network sees, and the way from an output back to the image's pixels."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors

from mtlkit.data.samples import Sample
from mtlkit.metrics.resize import enlarged

ROWS = 64
"""Rows of an image that a map is brought to at once, since all of a photograph's would fill the memory."""


class Placement(NamedTuple):
    """An image on a network's canvas; it may be scaled, padded or cropped there.

    Attributes:
        size: height and width of the image.
        canvas: height and width of the canvas.
        edges: left, top, right and bottom edge of the image in pixels of the canvas, outside of it where the canvas
            shows a part of the image only.
        regions: where the network looks at regions, ``(M, 4)`` in pixels of the canvas.
    """

    size: tuple[int, int]
    canvas: tuple[int, int]
    edges: tuple[float, float, float, float]
    regions: Tensor | None = None

    @classmethod
    def of(cls, sample: Sample, view: Callable[[Sample], Sample]) -> "tuple[Tensor, Placement]":
        """The canvas that a view makes of an unlabelled sample, uint8 ``(3, H, W)``, and where its image lies there.

        >>> from mtlkit.data.transforms import fitted
        >>> image = tv_tensors.Image(torch.zeros(3, 100, 50, dtype=torch.uint8))
        >>> canvas, placement = Placement.of({"image": image}, lambda sample: fitted(sample, (200, 300)))
        >>> tuple(canvas.shape), placement.edges
        ((3, 200, 300), (0.0, 0.0, 100.0, 200.0))
        """
        height, width = sample["image"].shape[-2:]
        corners = tv_tensors.KeyPoints([[0.0, 0.0], [width, height]], canvas_size=(height, width))
        # What moves the image moves its corners: no second account of what a view does.
        seen = view(sample | {"corners": corners})
        image = seen["image"].as_subclass(Tensor)
        _, *canvas = image.shape
        left, top, right, bottom = seen["corners"].as_subclass(Tensor).flatten().tolist()
        regions = seen["regions"].as_subclass(Tensor) if "regions" in seen else None
        return image, cls((height, width), (canvas[0], canvas[1]), (left, top, right, bottom), regions)

    def maps(self, output: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
        """A map over the canvas at every pixel of the image, between its cells bilinear, then decoded.

        Pixels that the canvas does not show have what is nearest to them there.

        Args:
            output: ``(1, C, h, w)``; where that is not the canvas's size, its cells are taken for tiles of the canvas.
            decode: from ``(1, C, H, W)`` to ``(1, ..., H, W)``, each pixel from its own values alone.

        Returns:
            ``(..., H, W)``.
        """
        output = enlarged(output.float(), output.new_empty(self.canvas))
        (height, width), (left, top, right, bottom) = self.size, self.edges
        if self.edges == (0, 0, self.canvas[1], self.canvas[0]) and self.size == self.canvas:
            return decode(output)[0]
        # From -1 to 1 across the canvas, as grid_sample has it.
        x = 2 * (left + (torch.arange(width) + 0.5) * ((right - left) / width)) / self.canvas[1] - 1
        y = 2 * (top + (torch.arange(height) + 0.5) * ((bottom - top) / height)) / self.canvas[0] - 1
        strips = []
        for rows in torch.split(y, ROWS):
            grid = torch.stack(torch.meshgrid(x, rows, indexing="xy"), -1)[None].to(output)
            strips.append(decode(F.grid_sample(output, grid, padding_mode="border", align_corners=False))[0])
        return torch.cat(strips, dim=-2)

    def on_canvas(self, boxes: Tensor) -> Tensor:
        """Boxes ``(..., 4)`` of the image in pixels of the canvas."""
        left, top, right, bottom = self.edges
        height, width = self.size
        scale = boxes.new_tensor([(right - left) / width, (bottom - top) / height])
        return boxes * scale.repeat(2) + boxes.new_tensor([left, top]).repeat(2)

    def points(self, points: Tensor) -> Tensor:
        """Points ``(..., 2)`` of the canvas, x and y, in pixels of the image."""
        left, top, right, bottom = self.edges
        height, width = self.size
        scale = points.new_tensor([width / (right - left), height / (bottom - top)])
        return (points - points.new_tensor([left, top])) * scale

    def boxes(self, boxes: Tensor) -> Tensor:
        """Boxes ``(..., 4)`` of the canvas (left, top, right, bottom) in pixels of the image, cut off at its edges."""
        height, width = self.size
        points = self.points(boxes.unflatten(-1, (2, 2)))  # type: ignore[no-untyped-call]
        return points.clamp(min=0).minimum(points.new_tensor([width, height])).flatten(-2)
