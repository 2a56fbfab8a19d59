"""What the scene tables (segmentation and surface normals) have in common: choices, columns, data sets by name."""

from mtlkit.data import SCENE_LAYOUTS, Data, DataSet
from mtlkit.errors import InputError, unknown
from mtlkit.heads import HeadSettings
from mtlkit.papers.declaration import Choices, Column, Count, one
from mtlkit.worlds import cache_folder, rooms

TASKS = ("segmentation", "normals")
NAMES = ("rooms", *SCENE_LAYOUTS)


class SceneChoices(Choices):
    """What a reader may choose for a scene table.

    Attributes:
        output_stride: image pixels a pixel of the last stage stands for.
    """

    output_stride: Count | None = None


class SceneColumn(Column):
    """A column of a scene table.

    Attributes:
        data: one data set.
        train_images: how many images that is for training.
        output_stride: of the backbone.
        head: of every task.
        classes: of the segmentation.
    """

    data: Data
    train_images: int
    output_stride: int
    head: HeadSettings
    classes: tuple[str, ...] = ()

    def options(self) -> dict[str, object]:
        """The command line's options that give this column."""
        return super().options() | {"output-stride": self.output_stride}


def scenes(choices: SceneChoices, default: str, size: tuple[int, int], images: tuple[int, int]) -> tuple[Data, DataSet]:
    """The reader's data set for a scene table, and its training split.

    Args:
        choices: the reader's.
        default: the profile's data set, ``rooms`` or a layout; a reader's folder alone means the plain layout.
        size: height and width the network sees; the size at which rooms are drawn.
        images: training and test images, for rooms.

    Raises:
        InputError: for an unknown name, a missing folder, or a folder that is not what the layout asks for.
    """
    root = one(choices.data_root, "data set")
    name = one(choices.dataset, "data set") or ("folder" if root and default == "rooms" else default)
    if name not in NAMES:
        raise unknown("data set", name, NAMES)
    if name == "rooms":
        if root is not None:
            raise InputError(
                f"The embedded world rooms needs no data_root; for the folder {root} also set "
                f"dataset to {', '.join(SCENE_LAYOUTS)}."
            )
        train, val = images
        folder = cache_folder() / f"rooms-r{rooms.REVISION}-{train}-{val}-{size[0]}x{size[1]}"
        rooms.write(folder, seed=0, train=train, val=val, size=size)
        data = Data(
            layout="npy", name="rooms", fingerprint=f"rooms-r{rooms.REVISION}-s0-{train}-{val}", size=size, root=folder
        )
        return data, data.split("train", TASKS)
    if root is None:
        raise InputError(f"The layout {name} needs a folder: set data_root.")
    root = root.expanduser()
    splits = [SCENE_LAYOUTS[name](root, split, TASKS) for split in ("train", "val")]
    data = Data(
        layout=name,  # type: ignore[arg-type]  # checked above
        name=root.resolve().name,
        fingerprint="-".join(split.fingerprint() for split in splits),
        size=size,
        root=root,
    )
    return data, splits[0]
