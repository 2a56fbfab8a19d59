"""What the scene tables (segmentation and surface normals) have in common: choices, columns, data sets by name."""

from typing import Literal

from mtlkit.data import SCENE_LAYOUTS, Data, DataSet
from mtlkit.heads import HeadSettings
from mtlkit.papers.declaration import Choices, Count, TrainedColumn
from mtlkit.papers.sources import source
from mtlkit.worlds import rooms

TASKS = ("segmentation", "normals")
"""The papers' two tasks."""


class SceneChoices(Choices):
    """What a reader may choose for a scene table.

    Attributes:
        output_stride: image pixels a pixel of the last stage stands for.
        part: ``development`` trains and scores on parts of the training pictures, for what must be chosen without the
            test pictures; see :class:`mtlkit.data.Data`.
    """

    output_stride: Count | None = None
    part: Literal["all", "development"] = "all"


class SceneColumn(TrainedColumn):
    """A column of a scene table.

    Attributes:
        data: one data set.
        train_images: how many images that is for training.
        output_stride: of the backbone.
        head: of every task.
        classes: of the segmentation.
        tasks: what the networks learn.
    """

    data: Data
    train_images: int
    output_stride: int
    head: HeadSettings
    classes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = TASKS

    def options(self) -> dict[str, object]:
        """The command line's options that give this column."""
        others = {} if self.tasks == TASKS else {"tasks": ",".join(self.tasks)}
        return super().options() | {"output-stride": self.output_stride} | others | parted(self.data)


def parted(data: Data) -> dict[str, object]:
    """The option that gives a part of a data set."""
    return {} if data.part == "all" else {"part": data.part}


def scenes(
    choices: SceneChoices,
    default: str,
    size: tuple[int, int],
    images: tuple[int, int],
    tasks: tuple[str, ...] = TASKS,
) -> tuple[Data, DataSet]:
    """The reader's data set for a scene table, and its training split.

    Args:
        choices: the reader's.
        default: the profile's data set, ``rooms`` or a layout; a reader's folder alone means the plain layout.
        size: height and width the network sees; the size at which rooms are drawn.
        images: training and test images, for rooms.
        tasks: whose targets are read.

    Raises:
        InputError: for an unknown name, a missing folder, or a folder that is not what the layout asks for.
    """
    found = source(choices, rooms, "npy", SCENE_LAYOUTS, default=default, images=images, alone="folder", size=size)
    splits = (SCENE_LAYOUTS[found.layout](found.root, split, tasks) for split in ("train", "val"))
    data = found.data(splits, size=size, part=choices.part)
    return data, data.split("train", tasks)
