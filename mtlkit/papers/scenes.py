"""What the scene tables (segmentation and surface normals) have in common: columns, data sets by name."""

from functools import cache
from typing import Any, get_args

from mtlkit.backbones import has_fc_layers
from mtlkit.data import SCENE_LAYOUTS, Data, DataSet
from mtlkit.data.transforms import Augmentation
from mtlkit.devices import Precision
from mtlkit.errors import InputError, unknown
from mtlkit.heads import HeadSettings
from mtlkit.objectives import FixedWeights, JacobianDescent, ObjectiveSettings
from mtlkit.objectives.jacobian_descent import aggregators
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
        objective: of networks that learn several.
        fully_connected: whether the fc6 and fc7 of a fully convolutional backbone that has them are stages.
        scoring: revision of the row of tilted normals, where there is one. Until 1, float32 put an angle that is a
            threshold's on either side of it; columns that were stored then keep their numbers.
    """

    data: Data
    train_images: int
    output_stride: int
    head: HeadSettings
    classes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = TASKS
    objective: ObjectiveSettings = FixedWeights.Settings()
    fully_connected: bool = True
    scoring: int = 1

    @property
    def whole(self) -> bool:
        """Whether the backbone is one with fc6 and fc7, and has them here."""
        return self.fully_connected and has_fc_layers(self.backbone)

    @property
    def network(self) -> str:
        """The backbone by its name, and what is left out of it."""
        cut = has_fc_layers(self.backbone) and not self.whole
        return f"{self.backbone} without fc6 and fc7" if cut else self.backbone

    def generic_lines(self) -> dict[str, str]:
        """What all trainings have."""
        lines = super().generic_lines()
        if self.objective != FixedWeights.Settings():
            lines["Objective"] = f"{self.objective}, of networks of several tasks"
        return lines

    def decided(self) -> dict[str, Any]:
        """Option -> the value that gives this column."""
        return super().decided() | {
            "objective": named(self.objective),
            "output_stride": self.output_stride,
            "fully_connected": self.fully_connected,
            "tasks": None if self.tasks == TASKS else self.tasks,
        }


PLAIN: dict[str, ObjectiveSettings] = {
    kind.model_fields["kind"].default: kind()
    for kind in get_args(get_args(ObjectiveSettings)[0])
    if not any(field.is_required() for field in kind.model_fields.values())
}
"""Option -> objective, beside those that are named as their aggregator is."""


def objective(given: str, precision: Precision) -> ObjectiveSettings:
    """The objective that an option names.

    Raises:
        InputError: there is none of that name, or none for this precision.
    """
    if given in PLAIN:
        return PLAIN[given]
    if given not in (known := aggregators()):
        raise unknown("objective", given, [*PLAIN, *known])
    if precision == "16-mixed":
        raise InputError(f"16-mixed scales losses, which {given} cannot have; take precision bf16-mixed or 32-true.")
    return JacobianDescent.Settings(aggregator=given)


def named(objective: ObjectiveSettings) -> str:
    """The option that gives an objective."""
    if isinstance(objective, JacobianDescent.Settings):
        return objective.aggregator
    return next(name for name, value in PLAIN.items() if value == objective)


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


@cache  # headers of all images, and the same for all columns of a data set
def training_size(data: Data) -> tuple[int, int] | None:
    """The size that training images are brought to before they are scaled and cropped: that at which images are scored.

    ``None``: all images on disk have it.

    Raises:
        InputError: the data set is not at hand, or an image cannot be read.
    """
    if data.root is None:
        raise InputError(f"The data set {data.name} is not at hand; name its folder with data_root.")
    sizes = SCENE_LAYOUTS[data.layout](data.root, "train", ()).sizes()
    return None if sizes == {data.size} else data.size


def resolution(column: SceneColumn) -> str:
    """The sizes of images, for the protocol card."""
    (height, width), augmentation = column.data.size, column.recipe.augmentation
    cropped = augmentation.size != column.data.size
    line = f"crops of {augmentation.size[0]}, scored at {height}x{width}" if cropped else f"{height}x{width} throughout"
    if isinstance(augmentation, Augmentation) and augmentation.whole is not None:
        line += f"; training images of another size on disk are brought to {height}x{width} first"
    return line
