"""Metrics of outputs that a task turns into answers first. Imported where one is asked for, as metrics are."""

import torch
from torch import Tensor

from mtlkit.errors import check_shape
from mtlkit.metrics.accuracy import Accuracy
from mtlkit.metrics.angles import Angles
from mtlkit.metrics.average_precision import Detections, check_detections
from mtlkit.metrics.calorie_errors import CalorieErrors
from mtlkit.metrics.coco_ap import CocoMetric, Matcher
from mtlkit.metrics.resize import enlarged
from mtlkit.tasks.calories import Calories
from mtlkit.tasks.center_detection import CenterDetection, Objects
from mtlkit.tasks.coded_normals import CodedNormals
from mtlkit.tasks.detections import Found
from mtlkit.tasks.region_detection import RegionDetection, RegionTruth


class EstimateErrors(CalorieErrors):
    """The errors of a network's outputs."""

    def __init__(self, task: Calories):
        super().__init__(task.floor)
        self.task = task

    def update(self, output: Tensor, target: Tensor, image: Tensor | None = None) -> None:
        """Takes outputs ``(N, 1)`` and kcal ``(N,)``."""
        super().update(self.task.estimates(output.detach()), target, image)


class LogitAccuracy(Accuracy):
    """Accuracy of outputs whose last channels are the classes' logits."""

    def update(self, output: Tensor, target: Tensor, image: Tensor | None = None) -> None:
        """Takes outputs ``(N, D + classes)`` and ids ``(N,)``."""
        super().update(output[:, -self.classes :], target, image)


class DecodedAngles(Angles):
    """Angles of a codebook's answers: logits enlarged to the target, then decoded.

    So does the first author's code (``models/models.py``, ``use_softmax``, and ``normals_evaluation_utils.py`` of
    https://github.com/imisra/semantic-segmentation-pytorch): between two cells of different words enlarged logits
    still choose, where enlarged directions are neither.
    """

    def __init__(self, task: CodedNormals):
        super().__init__()
        self.task = task

    def update(self, output: Tensor, target: Tensor, image: Tensor | None = None) -> None:  # type: ignore[override]
        """Takes logits ``(N, words, h, w)`` and normals ``(N, 3, H, W)``.

        Raises:
            InputError: the shapes are others.
        """
        check_shape("The output for DecodedAngles", output.shape, len(target), self.task.outputs, "h", "w")
        super().update(self.task.postprocess(enlarged(output.float(), target)), target, image)


class FoundAP(Detections):
    """The measures of :class:`mtlkit.metrics.average_precision.DetectionAP`, of the boxes found in regions that stand
    for no object.

    Boxes are cut off at the edges of the image, which are those of its outermost regions: selective search proposes
    the whole image too.
    """

    def __init__(self, task: RegionDetection):
        super().__init__(task.classes)
        self.task = task

    def update(self, output: Tensor, target: RegionTruth, image: Tensor | None = None) -> None:
        """Takes the output of a batch; waits for the device. ``image`` numbers the images of the batch.

        Raises:
            InputError: the output has another shape or holds NaN, or a class id is outside the classes.
        """
        check_shape("The output for FoundAP", output.shape, len(target.regions), self.task.outputs)
        # Of a NaN nothing would be found.
        check_detections([output], target.labels, target.labels, len(self.classes))
        proposed = target.matched < 0
        named = torch.cat([target.regions[:, 0], target.boxes[:, 0]]).long()
        for row in range(max(int(target.images), int(named.max()) + 1 if len(named) else 0)):
            here, there = proposed & (target.regions[:, 0] == row), target.boxes[:, 0] == row
            regions = target.regions[here, 1:]
            boxes, scores, labels = self.task.found(output[here], regions)
            if len(boxes):
                low, high = regions[:, :2].amin(0), regions[:, 2:].amax(0)
                boxes = boxes.maximum(low.repeat(2)).minimum(high.repeat(2))
            number = None if image is None else image[row, None]
            self.match(boxes, scores, labels, target.boxes[there, 1:], target.labels[there], number)


class FoundObjects(CocoMetric):
    """COCO's average precision of what is found: ``ap`` and the rest of :class:`mtlkit.metrics.coco_ap.CocoAP` for
    boxes, the same with ``pose_`` in front for poses."""

    def __init__(self, task: CenterDetection):
        matchers = {"": Matcher(len(task.classes))}
        if task.joints:
            matchers["pose_"] = Matcher(len(task.classes), "keypoints", task.sigmas)
        super().__init__(task.classes, matchers)
        self.task = task

    def update(self, output: Tensor | Found, target: Objects, image: Tensor | None = None) -> None:
        """Takes the output of a batch, or what was found in it; waits for the device.

        Args:
            output: ``(N, channels, h, w)``, or the objects of every image.
            target: the objects of all ``N`` images.
            image: numbers of the images, ``(N,)``.
        """
        decoded = output if isinstance(output, Found) else self.task.postprocess(output)
        for row in range(len(decoded.boxes)):
            found, here = Found(*(None if each is None else each[row] for each in decoded)), target.image == row  # type: ignore[arg-type]
            truth = (target.boxes[here], target.labels[here], target.crowd[here], target.areas[here])
            matches = {"": self.matchers[""](found.boxes, found.scores, found.labels, *truth)}
            if "pose_" in self.matchers and found.joints is not None:
                matches["pose_"] = self.matchers["pose_"](
                    found.joints, found.scores, found.labels, *truth, target.joints[here]
                )
            self.keep(None if image is None else image[row, None], **matches)
