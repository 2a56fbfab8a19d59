"""Detection, and pose with it, of objects as points: their centres are peaks of heat maps.

Zhou, Wang, Krähenbühl, *Objects as Points*, 2019, https://arxiv.org/abs/1904.07850; the arithmetic is in
:mod:`mtlkit.tasks.centers`.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtlkit.data.joints import mirror_of
from mtlkit.data.samples import Sample
from mtlkit.errors import InputError
from mtlkit.tasks import centers
from mtlkit.tasks.base import Task
from mtlkit.tasks.detections import Found
from mtlkit.tasks.placement import Placement

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric

STRIDE = 4
"""Image pixels in a pixel of the maps."""

MOST = 100
"""Objects that are looked for in an image."""


class Objects(NamedTuple):
    """The objects of a batch's images, all in one list; places are in pixels of the network's images.

    Attributes:
        boxes: float32 ``(R, 4)``: left, top, right, bottom.
        labels: int64 ``(R,)``: their classes.
        image: int64 ``(R,)``: the row of the batch each belongs to.
        crowd: bool ``(R,)``: one box around many objects that nobody told apart.
        areas: float32 ``(R,)``: of their masks, in pixels.
        joints: float32 ``(R, J, 3)``: x, y and a visibility, 0 where not labelled; J is 0 where no joints are read.
        images: int64 ``()``: how many images there are, with objects or without.
    """

    boxes: Tensor
    labels: Tensor
    image: Tensor
    crowd: Tensor
    areas: Tensor
    joints: Tensor
    images: Tensor


class CenterDetection(Task):
    """A heat map of centres a class, and at each centre the object's size and its place inside the map's cell.

    With joints also a heat map a joint, the places of joints inside their cells, and where an object's joints lie as
    seen from its centre. Output ``(N, channels, H/4, W/4)``, the channels in the order of :attr:`maps`; the target is
    :class:`Objects`. When scoring, what is found in a crowd counts neither way.

    Attributes:
        classes: of the objects.
        joints: their names; none: boxes only.
        sigmas: of the joints, for object keypoint similarity.
        crowds: what a crowd's box is in training: the box of one ``object``, as in the official code, whose
            ``ctdet.py`` and ``multi_pose.py`` read all annotations of an image, or ``background`` as any other place.
        as_official: the official code's larger radius of the Gaussians, and its half weight of every distance, both
            unlike its paper.
    """

    kind: Literal["center_detection"] = "center_detection"
    name: str = "detection"
    classes: tuple[str, ...]
    joints: tuple[str, ...] = ()
    sigmas: tuple[float, ...] = ()
    crowds: Literal["background", "object"] = "background"
    as_official: bool = False

    TERMS: ClassVar = ("heat_map", "size", "offset", "joint_heat_map", "joint_offset", "joint_shift")

    @property
    def reads(self) -> tuple[str, ...]:
        """Boxes with classes, and joints if asked for."""
        return ("detection", "pose") if self.joints else ("detection",)

    @property
    def terms(self) -> tuple[str, ...]:
        """One for every map."""
        return self.TERMS[: len(self.maps)]

    @property
    def maps(self) -> tuple[int, ...]:
        """Channels: centres, sizes, their offsets; joints, their offsets, their displacements from the centre."""
        count = len(self.joints)
        return (len(self.classes), 2, 2, *((count, 2, 2 * count) if count else ()))

    @property
    def heat_maps(self) -> tuple[int, ...]:
        """Which of :attr:`maps` are logits of heat maps."""
        return (0, 3) if self.joints else (0,)

    @property
    def outputs(self) -> int:
        """Channels of all maps."""
        return sum(self.maps)

    def _split(self, output: Tensor) -> list[Tensor]:
        return [output[:, first:end] for first, end in pairwise(accumulate(self.maps, initial=0))]

    def collate(self, samples: Sequence[Sample]) -> tuple[Objects, Tensor]:
        """The objects of all images in one list; an image without any is labelled too."""

        def joined(name: str) -> Tensor:
            return torch.cat([sample[name].as_subclass(Tensor) for sample in samples])

        boxes = joined("boxes")
        objects = Objects(
            boxes,
            joined("detection"),
            torch.arange(len(samples)).repeat_interleave(torch.tensor([len(sample["boxes"]) for sample in samples])),
            joined("crowd"),
            joined("cover") * (boxes[:, 2:] - boxes[:, :2]).prod(1),
            joined("pose") if "pose" in samples[0] else boxes.new_zeros(len(boxes), 0, 3),
            torch.tensor(len(samples)),
        )
        return objects, torch.arange(len(samples))

    def losses(self, output: Tensor, target: Objects) -> dict[str, Tensor]:
        """Focal losses of the heat maps, L1 of everything else; unweighted."""
        heat, size, offset, *of_joints = self._split(output)
        shape = (len(output), *output.shape[-2:])
        boxes = target.boxes
        if self.crowds == "background":
            boxes = boxes.masked_fill(target.crowd[:, None], 0.0)
        there = centers.detection_targets(
            boxes, target.labels, target.image, shape, len(self.classes), STRIDE, official_radius=self.as_official
        )
        at = there.image, there.y, there.x
        values = [
            centers.focal_loss(heat, there.heat),
            centers.masked_l1(centers.gather(size, *at), there.size, there.valid, self.as_official),
            centers.masked_l1(centers.gather(offset, *at), there.offset, there.valid, self.as_official),
        ]
        if self.joints:
            joint_heat, joint_offset, shift = of_joints
            pose = centers.pose_targets(
                target.joints, boxes, target.image, shape, STRIDE, official_radius=self.as_official
            )
            shifts = centers.gather(shift, *at).view(-1, len(self.joints), 2)
            offsets = centers.gather(joint_offset, pose.image[:, None], pose.joint_y, pose.joint_x)
            values += [
                centers.focal_loss(joint_heat, pose.heat),
                centers.masked_l1(offsets, pose.offset, pose.valid, self.as_official),
                centers.masked_l1(shifts, pose.shift, pose.valid, self.as_official),
            ]
        return dict(zip(self.terms, values, strict=True))

    def postprocess(self, output: Tensor) -> Found:
        """The :data:`MOST` surest objects of every image."""
        heat, size, offset, *of_joints = self._split(output)
        found = centers.peaks(heat.float().sigmoid(), MOST)
        boxes = centers.boxes_at(found, size, offset, STRIDE)
        joints = None
        if self.joints:
            joint_heat, joint_offset, shift = of_joints
            joints = centers.joints_at(found, boxes, shift, joint_heat.float().sigmoid(), joint_offset, STRIDE)
        return Found(boxes, found.scores, found.labels, joints)

    def prediction(self, output: Tensor, placement: Placement) -> Found:
        """What is found in the image, at most :data:`MOST` objects."""
        found = self.postprocess(output)
        there = found.scores[0] > 0  # where there are fewer peaks, other cells follow
        return Found(*(None if each is None else each[0, there] for each in found)).on_image(placement)  # type: ignore[arg-type]

    def to_json(self, prediction: Found) -> list[dict[str, Any]]:
        """An entry an object."""
        return prediction.to_json(self.classes, self.joints)

    def draw_on(self, image: np.ndarray, prediction: Found) -> np.ndarray:
        """The image with boxes and joints."""
        return prediction.draw_on(image, self.classes)

    def ensemble(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean of every map, of heat maps the mean probability."""
        maps = [torch.stack(several) for several in zip(*map(self._split, outputs), strict=True)]
        means = [
            each.double().sigmoid().mean(0).logit() if place in self.heat_maps else each.mean(0)
            for place, each in enumerate(maps)
        ]
        return torch.cat([mean.to(outputs[0].dtype) for mean in means], dim=1)

    def unmirrored(self, output: Tensor) -> Tensor:
        """The maps turned back, the joints of the left taken for those of the right.

        A place in a cell then counts from the cell's other edge, as does a joint from the cell of its centre: both are
        one less what the mirror image has. The official code turns displacements alone, without the one, and leaves
        out the mirror image's places in cells.
        """
        heat, size, offset, *of_joints = (part.flip(-1) for part in self._split(output))
        maps = [heat, size, _turned(offset)]
        if self.joints:
            others, (joint_heat, joint_offset, shift) = list(mirror_of(self.joints)), of_joints
            turned = _turned(shift)
            maps += [
                joint_heat[:, others],
                _turned(joint_offset),
                turned.view(len(turned), len(others), 2, *turned.shape[-2:])[:, others].flatten(1, 2),
            ]
        return torch.cat(maps, dim=1)

    def metric(self) -> "ImageMetric":
        """A fresh :class:`~mtlkit.tasks.scored.FoundObjects`."""
        from mtlkit.tasks.scored import FoundObjects

        return FoundObjects(self)

    def constant(self, train: Iterable[Objects], test: Iterable[Objects]) -> "ImageMetric":
        """Scores of answering every image with each class's mean training object, the commonest class surest.

        Raises:
            InputError: there is no training object.
        """
        boxes, labels, joints = (
            torch.cat(parts) for parts in zip(*((each.boxes, each.labels, each.joints) for each in train), strict=True)
        )
        members = [labels == label for label in range(len(self.classes))]
        there = [label for label, some in enumerate(members) if some.any()]
        if not there:
            raise InputError(
                f"No training image holds an object of {', '.join(self.classes)}, so none is the mean one."
            )
        seen = joints[..., 2:] > 0
        found = Found(
            torch.stack([boxes[members[label]].mean(0) for label in there]),
            torch.tensor([members[label].float().mean().item() for label in there]),
            torch.tensor(there),
            torch.stack([_mean_pose(joints[members[label]], seen[members[label]]) for label in there]),
        )
        metric = self.metric()
        for target in test:
            each = (part.expand(int(target.images), *part.shape) for part in found if part is not None)
            metric.update(Found(*each), target)
        return metric


def _turned(maps: Tensor) -> Tensor:
    """Maps of x and y in turn, x counted from the other edge of its cell."""
    turned = maps.clone()
    turned[:, 0::2] = 1 - maps[:, 0::2]
    return turned


def _mean_pose(joints: Tensor, seen: Tensor) -> Tensor:
    return (joints * seen).sum(0) / seen.sum(0).clamp(min=1)
