"""A table's data set by the name that a reader gives: its embedded world, or a folder of the reader's own."""

from collections.abc import Collection, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from mtlkit.data import Data, DataSet
from mtlkit.data.splits import check_pair
from mtlkit.errors import InputError, unknown
from mtlkit.files import at_home
from mtlkit.papers.declaration import one
from mtlkit.papers.options import Options
from mtlkit.worlds import cache_folder


class Source(NamedTuple):
    """Where a data set lies and how it is written.

    Attributes:
        layout: a key of :data:`mtlkit.data.LAYOUTS`.
        name: how reports call it.
        root: its folder.
        fingerprint: of a world, the name and revision that it follows from; ``None``: to be taken from the files.
    """

    layout: str
    name: str
    root: Path
    fingerprint: str | None

    def data(self, splits: Iterable[DataSet], **settings: Any) -> Data:
        """The data set as a value; ``splits`` are only looked at where the fingerprint comes from their files.

        Raises:
            InputError: train and val have other targets or the same images.
        """
        splits = tuple(splits)
        if self.fingerprint is None and len(splits) == 2:
            check_pair(*splits, self.root)
        fingerprint = self.fingerprint or "-".join(split.fingerprint() for split in splits)
        return Data(**self._replace(fingerprint=fingerprint)._asdict(), **settings)


def source(
    options: Options,
    world: ModuleType,
    layouts: Collection[str],
    *,
    images: tuple[int, int],
    seed: int = 0,
    **drawn: Any,
) -> Source:
    """The data set that the reader chose, drawn now where it is the world.

    Args:
        options: the reader's, filled.
        world: the module that draws it, with ``LAYOUT``, ``REVISION`` and ``write``.
        layouts: what the reader's folder may be.
        images: training and test images of the world.
        seed: of the world, for a table that has two sets of it.
        drawn: what else ``write`` is told.

    Raises:
        InputError: for an unknown name, a missing folder, or a folder for the world.
    """
    drawing = world.__name__.rpartition(".")[2]
    root = one(options.data_root, "data set")
    name = one(options.dataset, "data set") or drawing
    if name not in (drawing, *layouts):
        raise unknown("data set", name, (drawing, *layouts))
    if name != drawing:
        if root is None:
            raise InputError(f"The layout {name} needs a folder: set data_root.")
        root = at_home(root)
        return Source(name, root.resolve().name, root, None)
    if root is not None:
        raise InputError(
            f"The embedded world {drawing} needs no data_root; for the folder {root} also set dataset to "
            f"{', '.join(layouts)}."
        )
    train, val = images
    size = "".join(f"-{side[0]}x{side[1]}" for side in drawn.values())
    folder = cache_folder() / f"{drawing}-r{world.REVISION}{f'-s{seed}' if seed else ''}-{train}-{val}{size}"
    world.write(folder, seed=seed, train=train, val=val, **drawn)
    return Source(world.LAYOUT, drawing, folder, f"{drawing}-r{world.REVISION}-s{seed}-{train}-{val}")
