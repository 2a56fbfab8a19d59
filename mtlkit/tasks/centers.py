"""Objects as points: targets, losses and decoding of boxes and joints around the objects' centres.

Zhou, Wang and Krähenbühl, *Objects as Points*, arXiv 1904.07850 (CenterNet), here "the paper", and its official code
(xingyizhou/CenterNet); the radius of the Gaussians is that of Law and Deng, *CornerNet*, ECCV 2018.

The ``T`` objects of a batch of ``N`` images stand in one list, with the row of the batch beside each
(``image (T,)``, int64), so no loop runs over images or objects, and nothing here waits for the device unless its
docstring says so. Maps are ``stride`` times smaller than the images. A place in map pixels is a place in image
pixels divided by the stride; its cell is the whole part, and the offset of that cell is what is left. Points, sizes
and channels come in the order x, y (width, height); joints one after the other (x0, y0, x1, y1, ...).
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

JOINT_SCORE = 0.1
"""A peak of a joint's heat map below or at this score holds no joint."""
JOINT_DISTANCE = 0.3
"""How far a peak may lie from the regressed place to take the joint over, in lengths of the box's longer side."""

_PIXELS = 2**21  # drawn at once: an index of 8 bytes and a value of 4 each
_LIMIT = math.log((1 - 1e-4) / 1e-4)


class DetectionTargets(NamedTuple):
    """What the three box heads learn. Lists hold every object, also where two centres share a cell."""

    heat: Tensor
    """``(N, classes, h, w)``: a Gaussian at every valid centre, 1 at its cell."""
    image: Tensor
    """``(T,)``, int64: row of the batch."""
    y: Tensor
    """``(T,)``, int64: row of the centre's cell."""
    x: Tensor
    """``(T,)``, int64: column of the centre's cell."""
    size: Tensor
    """``(T, 2)``: width and height in map pixels, as in the official code; the paper says "raw pixel coordinates"."""
    offset: Tensor
    """``(T, 2)``: the centre less its cell, in map pixels, from 0 to 1."""
    valid: Tensor
    """``(T,)``, bool: false where the image holds nothing of the box; the other entries then mean nothing."""


class PoseTargets(NamedTuple):
    """What the three joint heads learn. Lists hold every object, also where two centres or joints share a cell."""

    heat: Tensor
    """``(N, J, h, w)``: a Gaussian at every valid joint, as wide as that of its object's centre."""
    image: Tensor
    """``(T,)``, int64: row of the batch."""
    y: Tensor
    """``(T,)``, int64: row of the centre's cell, where the displacements are read."""
    x: Tensor
    """``(T,)``, int64: column of the centre's cell."""
    shift: Tensor
    """``(T, J, 2)``: the joint less the cell (not the exact place) of its object's centre, in map pixels."""
    joint_y: Tensor
    """``(T, J)``, int64: row of the joint's cell, where its offset is read."""
    joint_x: Tensor
    """``(T, J)``, int64: column of the joint's cell."""
    offset: Tensor
    """``(T, J, 2)``: the joint less its cell, in map pixels, from 0 to 1."""
    valid: Tensor
    """``(T, J)``, bool: the joint is labelled, in the image, and its object is valid."""


class Peaks(NamedTuple):
    """The highest local maxima of heat maps, each ``(N, K)``, falling by score."""

    scores: Tensor
    labels: Tensor
    """Channel of the heat map, int64."""
    y: Tensor
    """Row of the cell, int64."""
    x: Tensor
    """Column of the cell, int64."""


def radius(height: Tensor, width: Tensor, overlap: float = 0.7, official: bool = False) -> Tensor:
    """How far both corners of a box may be moved until its overlap with the true one can fall to ``overlap``.

    CornerNet takes the smallest of three cases: both corners moved inwards, both outwards, or both the same way. For
    every box that is the first: the root of ``(height - 2r) (width - 2r) = overlap height width``.

    Args:
        height: of any shape, like ``width``.
        width: in the unit of the result.
        overlap: intersection over union.
        official: as the official codes of CornerNet and CenterNet have it: they do not divide the roots by the
            leading coefficient of their equations, and the smallest is then the one of the second case, ``4 overlap``
            times too large: 27.3 for a box of 100 x 100, where 8.17 is right.
    """
    half, area = height + width, height * width
    if official:
        return overlap * ((half.square() + 4 * (1 / overlap - 1) * area).sqrt() - half)
    return (half - (half.square() - 4 * (1 - overlap) * area).sqrt()) / 4


def heat_map(
    points: Tensor, index: Tensor, radii: Tensor, shape: tuple[int, int, int], reach: int | None = None
) -> Tensor:
    """Gaussians around the cells of ``points``; where they overlap, the highest (section 3 of the paper).

    As in the official code the standard deviation is ``(2r + 1) / 6``, and nothing is drawn more than ``r`` rows or
    columns away from the cell, whose own value is exactly 1. Objects are drawn some at a time, which bounds the memory
    beyond the maps: about 30 MB for radii up to 700.

    Args:
        points: ``(T, 2)`` in map pixels.
        index: ``(T,)``, int64: the map to draw in.
        radii: ``(T,)``, whole numbers; a negative one draws nothing.
        shape: number of maps, height, width.
        reach: the largest radius, where the caller knows a bound; without it the device is asked, and waited for.
    """
    count, height, width = shape
    if reach is None:
        reach = max(0, int(radii.max())) if len(radii) else 0
    maps = torch.zeros(count * height * width, device=points.device)
    step = torch.arange(-reach, reach + 1, device=points.device)
    at_once = max(1, _PIXELS // len(step) ** 2)
    pieces = (torch.split(values, at_once) for values in (points.floor().long(), index, radii[:, None]))
    for cells, rows, r in zip(*pieces, strict=True):
        bell = torch.exp(-18 * (step / (2 * r + 1)).square()) * (step.abs() <= r)
        x, y = (cells[:, :, None] + step).unbind(1)
        across, down = bell * ((x >= 0) & (x < width)), bell * ((y >= 0) & (y < height))
        x, y = x.clamp(0, width - 1)[:, None, :], y.clamp(0, height - 1)[:, :, None]
        where = (rows[:, None, None] * height + y) * width + x
        maps.scatter_reduce_(0, where.flatten(), (down[:, :, None] * across[:, None, :]).flatten(), "amax")
    return maps.view(shape)


def detection_targets(
    boxes: Tensor,
    labels: Tensor,
    image: Tensor,
    shape: tuple[int, int, int],
    classes: int,
    stride: int = 4,
    overlap: float = 0.7,
    official_radius: bool = False,
) -> DetectionTargets:
    """The targets of a batch's boxes.

    Boxes are cut off at the edges of the image (in the official code at the last cell's near edge). The Gaussian of
    a box has the radius of its sides rounded up to whole map pixels, itself rounded down, as in the official code.

    Args:
        boxes: ``(T, 4)``: left, top, right, bottom in image pixels.
        labels: ``(T,)``, int64, from 0.
        image: ``(T,)``, int64.
        shape: number of images, height and width of the maps.
        classes: how many heat maps an image has.
        stride: image pixels in a map pixel.
        overlap: see :func:`radius`.
        official_radius: see :func:`radius`.
    """
    images, height, width = shape
    centre, size, valid = _centres(boxes, height, width, stride)
    radii, reach = _radii(size, valid, height, width, overlap, official_radius)
    heat = heat_map(centre, image * classes + labels, radii, (images * classes, height, width), reach)
    y, x = _cell(centre, height, width)
    offset = centre - torch.stack([x, y], -1)
    return DetectionTargets(heat.view(images, classes, height, width), image, y, x, size, offset, valid)


def pose_targets(
    joints: Tensor,
    boxes: Tensor,
    image: Tensor,
    shape: tuple[int, int, int],
    stride: int = 4,
    overlap: float = 0.7,
    official_radius: bool = False,
) -> PoseTargets:
    """The targets of a batch's joints.

    Args:
        joints: ``(T, J, 3)``: x and y in image pixels, visibility (0: not labelled).
        boxes: ``(T, 4)`` of the same objects, as for :func:`detection_targets`.
        image: ``(T,)``, int64.
        shape: number of images, height and width of the maps.
        stride: image pixels in a map pixel.
        overlap: see :func:`radius`.
        official_radius: see :func:`radius`.
    """
    images, height, width = shape
    count = joints.shape[1]
    centre, size, there = _centres(boxes, height, width, stride)
    y, x = _cell(centre, height, width)
    places = joints[..., :2].float() / stride
    joint_y, joint_x = _cell(places, height, width)
    cells = torch.stack([joint_x, joint_y], -1)
    valid = (joints[..., 2] > 0) & (cells == places.floor()).all(-1) & there[:, None]
    radii, reach = _radii(size[:, None], valid, height, width, overlap, official_radius)
    index = image[:, None] * count + torch.arange(count, device=image.device)
    drawn = heat_map(places.flatten(0, 1), index.flatten(), radii.flatten(), (images * count, height, width), reach)
    heat = drawn.view(images, count, height, width)
    shift = places - torch.stack([x, y], -1)[:, None]
    return PoseTargets(heat, image, y, x, shift, joint_y, joint_x, places - cells, valid)


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The penalty-reduced focal loss of the paper's equation 1, with exponents 2 and 4.

    Summed over all cells and divided by the number of centres, which are the cells where the target is exactly 1, or
    by 1 without any. As in the official code, probabilities are held between 1e-4 and 1 - 1e-4: a cell beyond gets
    no gradient.

    Args:
        logits: ``(N, C, h, w)``, of any precision.
        target: the same shape, from :func:`heat_map`.
    """
    centre = target == 1
    logits = logits.float().clamp(-_LIMIT, _LIMIT)
    # Towards the wrong answer: both branches of the equation are then -log(1 - p) p^2 of this logit's p.
    wrong = torch.where(centre, -logits, logits)
    weight = (1 - target).pow(4) + centre
    return (F.softplus(wrong) * wrong.sigmoid().square() * weight).sum() / centre.sum().clamp(min=1)


def gather(maps: Tensor, image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The values ``(..., C)`` of maps ``(N, C, h, w)`` at cells whose indices ``(...)`` broadcast."""
    return maps.permute(0, 2, 3, 1)[image, y, x]


def masked_l1(prediction: Tensor, target: Tensor, mask: Tensor, official: bool = False) -> Tensor:
    """The distance in x plus that in y, averaged over the valid points: the paper's equations 2 and 3.

    Args:
        prediction: ``(..., 2)``.
        target: ``(..., 2)``.
        mask: ``(...)``, bool: which points count; 0 without any.
        official: as the official code has it: divided by the number of coordinates, so half of what is printed.
    """
    distance = (prediction.float() - target).abs()
    distance = distance.mean(-1) if official else distance.sum(-1)
    return (distance * mask).sum() / mask.sum().clamp(min=1)


def peaks(heat: Tensor, k: int) -> Peaks:
    """The ``k`` highest of the cells that no neighbour exceeds, over all classes of each image.

    Args:
        heat: probabilities ``(N, C, h, w)``.
        k: at most; where fewer cells are peaks, others follow with score 0.
    """
    height, width = heat.shape[-2:]
    heat = heat.float()
    heat = heat * (F.max_pool2d(heat, 3, stride=1, padding=1) == heat)
    flat = heat.flatten(1)
    scores, where = flat.topk(min(k, flat.shape[1]))
    return Peaks(scores, where // (height * width), where // width % height, where % width)


def boxes_at(found: Peaks, size: Tensor, offset: Tensor, stride: int = 4) -> Tensor:
    """Boxes ``(N, K, 4)`` in image pixels: left, top, right, bottom.

    Args:
        found: of the centres' heat map.
        size: ``(N, 2, h, w)``: width and height in map pixels.
        offset: ``(N, 2, h, w)`` in map pixels.
        stride: image pixels in a map pixel.
    """
    centre, sides = _places(found, offset), gather(size, _rows(found), found.y, found.x).float()
    return torch.cat([centre - sides / 2, centre + sides / 2], -1) * stride


def joints_at(found: Peaks, boxes: Tensor, shift: Tensor, heat: Tensor, offset: Tensor, stride: int = 4) -> Tensor:
    """Joints ``(N, K, J, 3)``: x and y in image pixels, score (section 4.2 of the paper).

    The centre's displacements say where each joint should be. The peak of the joint's own heat map that is nearest
    takes its place, with the peak's score, if it lies in the object's box and not beyond :data:`JOINT_DISTANCE`; else
    the regressed place stays, with score 0. As in the official code a joint has as many peaks as there are objects,
    only those above :data:`JOINT_SCORE` count, the box is not enlarged, and it is looked at last: a nearest peak
    outside the box does not give way to another one inside.

    Args:
        found: of the centres' heat map.
        boxes: ``(N, K, 4)`` from :func:`boxes_at`.
        shift: displacements ``(N, 2 J, h, w)`` in map pixels, from the centre's cell.
        heat: probabilities of the joints ``(N, J, h, w)``.
        offset: of the joints, all kinds alike, ``(N, 2, h, w)`` in map pixels.
        stride: image pixels in a map pixel.
    """
    images, count = heat.shape[:2]
    cells = torch.stack([found.x, found.y], -1)[:, :, None]
    shifts = gather(shift, _rows(found), found.y, found.x).float()
    shifts = shifts.reshape(*shifts.shape[:2], count, 2)
    regressed = ((cells + shifts) * stride).transpose(1, 2)  # (N, J, K, 2)

    single = peaks(heat.flatten(0, 1)[:, None], found.x.shape[1])
    seen = Peaks(*(values.view(images, -1) for values in single))
    places = (_places(seen, offset) * stride).view(images, count, -1, 2)
    scores = single.scores.view(images, count, 1, -1)

    # By matrix product, as for more than 25 points by default, near points would lose their digits.
    distance = torch.cdist(regressed, places, compute_mode="donot_use_mm_for_euclid_dist")
    distance, nearest = distance.masked_fill(scores <= JOINT_SCORE, torch.inf).min(-1, keepdim=True)
    place = places.gather(2, nearest.expand(-1, -1, -1, 2))
    score = scores[:, :, 0, :, None].gather(2, nearest)

    low, high = boxes[:, None, :, :2], boxes[:, None, :, 2:]
    inside = ((place >= low) & (place <= high)).all(-1, keepdim=True)
    taken = inside & (distance <= JOINT_DISTANCE * (high - low).amax(-1, keepdim=True))
    return torch.cat([torch.where(taken, place, regressed), torch.where(taken, score, 0)], -1).transpose(1, 2)


def _centres(boxes: Tensor, height: int, width: int, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Centres ``(T, 2)`` and sizes ``(T, 2)`` in map pixels of what the image holds of boxes; where it holds some."""
    boxes = boxes.float() / stride
    ends = torch.stack([boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)], 1)
    size = ends[..., 1] - ends[..., 0]
    return ends.mean(-1), size, (size > 0).all(-1)


def _radii(size: Tensor, valid: Tensor, height: int, width: int, overlap: float, official: bool) -> tuple[Tensor, int]:
    """Whole radii of sizes ``(..., 2)``, -1 where invalid, and the largest that fits these maps."""
    w, h = size.ceil().unbind(-1)
    largest = radius(torch.tensor(float(height)), torch.tensor(float(width)), overlap, official)
    return torch.where(valid, radius(h, w, overlap, official).floor(), -1), int(largest)


def _cell(places: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of places ``(..., 2)``, for places outside the map of its nearest cell."""
    x, y = places.floor().long().unbind(-1)
    return y.clamp(0, height - 1), x.clamp(0, width - 1)


def _rows(found: Peaks) -> Tensor:
    """The row of the batch of each peak, to broadcast."""
    return torch.arange(len(found.x), device=found.x.device)[:, None]


def _places(found: Peaks, offset: Tensor) -> Tensor:
    """Places ``(N, K, 2)`` of peaks in map pixels: their cells and the offsets there."""
    return torch.stack([found.x, found.y], -1) + gather(offset, _rows(found), found.y, found.x).float()
