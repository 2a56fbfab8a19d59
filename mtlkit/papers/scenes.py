"""What the scene tables (segmentation and surface normals) have in common: columns, data sets by name."""

from typing import Any

from mtlkit.data import SCENE_LAYOUTS, Data, DataSet
from mtlkit.heads import HeadSettings
from mtlkit.papers.declaration import PARTS, TrainedColumn
from mtlkit.papers.options import Options, SplitName
from mtlkit.papers.sources import source
from mtlkit.worlds import rooms

TASKS = ("segmentation", "normals")
"""The papers' two tasks."""


class SceneColumn(TrainedColumn):
    """A column of a scene table.

    Attributes:
        data: one data set.
        train_images: how many images that is for training.
        output_stride: of the backbone.
        head: of every task.
        classes: of the segmentation.
        tasks: what the networks learn.
        scoring: revision of the row of tilted normals, where there is one. Until 1, float32 put an angle that is a
            threshold's on either side of it; columns that were stored then keep their numbers.
    """

    data: Data
    train_images: int
    output_stride: int
    head: HeadSettings
    classes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = TASKS
    scoring: int = 1

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | {
            "output_stride": self.output_stride,
            "tasks": None if self.tasks == TASKS else self.tasks,
        }


def scenes(
    options: Options,
    size: tuple[int, int],
    images: tuple[int, int],
    part: SplitName,
    tasks: tuple[str, ...] = TASKS,
) -> tuple[Data, DataSet]:
    """The reader's data set for a scene table, and its training split.

    Args:
        options: the reader's, filled.
        size: height and width the network sees; the size at which rooms are drawn.
        images: training and test images, for rooms.
        part: of the data set.
        tasks: whose targets are read.

    Raises:
        InputError: for an unknown name, a missing folder, or a folder that is not what the layout asks for.
    """
    found = source(options, rooms, SCENE_LAYOUTS, images=images, size=size)
    splits = (SCENE_LAYOUTS[found.layout](found.root, which, tasks) for which in ("train", "val"))
    data = found.data(splits, size=size, part=PARTS[part])
    return data, data.split("train", tasks)
