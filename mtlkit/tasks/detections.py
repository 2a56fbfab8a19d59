"""Objects that are detected in images: their boxes, classes and joints."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from mtlkit.tasks.drawing import boxed
from mtlkit.tasks.placement import Placement

SHOWN = 0.3
"""Objects less sure than this are not drawn, as in the demonstration of CenterNet's official code."""


class Found(NamedTuple):
    """What is found in a batch, the surest first; in one image, without ``N``.

    Attributes:
        boxes: ``(N, K, 4)``: left, top, right, bottom in image pixels.
        scores: ``(N, K)``.
        labels: ``(N, K)``: classes.
        joints: ``(N, K, J, 3)``: x, y and a score; ``None`` without joints.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    joints: Tensor | None

    def on_image(self, placement: Placement) -> "Found":
        """What is found in one image, in that image's own pixels, boxes cut off at its edges."""
        joints = self.joints
        if joints is not None:
            joints = joints.clone()
            joints[..., :2] = placement.points(joints[..., :2])
        return Found(placement.boxes(self.boxes), self.scores, self.labels, joints)

    def to_json(self, classes: Sequence[str], joints: Sequence[str] = ()) -> list[dict[str, Any]]:
        """An entry an object: class, score, box, and joints by name."""
        found = [
            {"class": classes[label], "score": round(score, 4), "box": [round(side, 2) for side in box]}
            for box, score, label in zip(self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True)
        ]
        if self.joints is not None:
            for entry, places in zip(found, self.joints.tolist(), strict=True):
                entry["joints"] = {
                    name: [round(x, 2), round(y, 2), round(score, 4)]
                    for name, (x, y, score) in zip(joints, places, strict=True)
                }
        return found

    def draw_on(self, image: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """The image with the boxes, and the joints as dots, of what is surer than :data:`SHOWN`."""
        sure = self.scores > SHOWN
        labels, scores = self.labels[sure].tolist(), self.scores[sure].tolist()
        names = [f"{classes[label]} {score:.2f}" for label, score in zip(labels, scores, strict=True)]
        points = [] if self.joints is None else self.joints[sure][..., :2].tolist()
        return boxed(image, self.boxes[sure].tolist(), labels, names, points)
