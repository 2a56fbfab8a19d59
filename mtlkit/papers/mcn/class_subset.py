"""Networks of many classes scored on some of them, as in Table 3."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mtlkit.data import Data
from mtlkit.evaluations.scoring import Groups, Scores, numbered, predictions
from mtlkit.graph import Content, Context, Node
from mtlkit.metrics.resize import enlarged
from mtlkit.runs import Training
from mtlkit.tasks import CenterDetection, Segmentation
from mtlkit.tasks.center_detection import Objects
from mtlkit.tasks.detections import Found

if TYPE_CHECKING:
    from mtlkit.metrics.base import ImageMetric

OF_ALL = "of_all"
"""Stands after the task in the names of the measures, beside those of a network of these classes alone."""


class ClassSubset(Node):
    """A trained network of many classes, scored on some of them by the truth of a network of these alone.

    Of what it detects in an image the objects of these classes count; a pixel that it gives another class is
    background. Measures are called ``task/of_all/measure``.

    Attributes:
        subject: the training.
        data: with these classes alone.
        classes: those that are scored, in the order of the data's.
        mirrored: as of :class:`mtlkit.evaluations.TestEvaluation`.
        native: as there.
    """

    subject: Training
    data: Data
    classes: tuple[str, ...]
    mirrored: bool = False
    native: bool = False

    @property
    def needs(self) -> tuple[Training, ...]:
        """The training."""
        return (self.subject,)

    @torch.inference_mode()
    def run(self, context: Context) -> Content:
        """Its measures."""
        fabric = context.runtime.fabric()
        tasks = {
            task.name: _of_subset(task, self.classes)
            for task in self.subject.network.tasks
            if isinstance(task, CenterDetection | Segmentation)
        }
        size = self.subject.recipe.batch_size
        batches, tested = context.batches(
            self.data, "val", list(tasks.values()), size, fabric.device, native=self.native
        )
        groups = Groups.by_task(list(tasks), tested)
        network = self.subject.trained(context).to(fabric.device).eval()
        metrics = {name: task.metric() for name, task in tasks.items()}
        first = 0
        for batch in batches:
            batch = batch.to(fabric.device)
            outputs = predictions(network, batch, mirrored=self.mirrored)
            for name, task in network.tasks.items():
                number, target = numbered(batch, name, first, groups), batch.targets[name]
                several = [output[name][batch.rows[name]] for output in outputs]
                output = task.ensemble(several) if len(several) > 1 else several[0]
                if isinstance(task, CenterDetection):
                    assert isinstance(target, Objects)
                    _detected(metrics[name], task.postprocess(output), target, number, task.classes, self.classes)
                elif isinstance(task, Segmentation):
                    assert isinstance(target, Tensor)
                    ids = enlarged(output.float(), target).argmax(1)
                    metrics[name].update(segmented(ids, task.classes, self.classes), target, number)
            first += len(batch.images)
        found = Scores.of(metrics, groups)
        renamed = {
            part: {_of_all(measure): value for measure, value in getattr(found, part).items()}
            for part in ("metrics", "samples", "resampled")
        }
        return found._replace(**renamed).content(tested, fabric.device)


def _of_all(measure: str) -> str:
    task, _, rest = measure.partition("/")
    return f"{task}/{OF_ALL}/{rest}"


def _of_subset(task: CenterDetection | Segmentation, classes: Sequence[str]) -> CenterDetection | Segmentation:
    """The task about these classes alone, without joints."""
    if isinstance(task, CenterDetection):
        return task.model_copy(update={"classes": tuple(classes), "joints": (), "sigmas": ()})
    return task.model_copy(update={"classes": ("background", *classes)})


def segmented(ids: Tensor, classes: Sequence[str], subset: Sequence[str]) -> Tensor:
    """Class ids of pixels, of any shape, as ids of ``("background", *subset)``.

    >>> segmented(torch.tensor([0, 1, 2, 3]), ("background", "dog", "person", "cat"), ("person",)).tolist()
    [0, 0, 1, 0]
    """
    places = [subset.index(name) + 1 if name in subset else 0 for name in classes]
    return torch.tensor(places, device=ids.device)[ids]


def _detected(
    metric: "ImageMetric", found: Found, target: Objects, number: Tensor, classes: Sequence[str], subset: Sequence[str]
) -> None:
    """Scores what is found of these classes, image by image: there are not as many in each."""
    places = [subset.index(name) if name in subset else -1 for name in classes]
    labels = torch.tensor(places, device=found.labels.device)[found.labels]
    for row in range(len(labels)):
        kept = labels[row] >= 0
        alone = Found(found.boxes[row, kept][None], found.scores[row, kept][None], labels[row, kept][None], None)
        metric.update(alone, target._replace(image=target.image - row), number[row, None])
