"""The data sets of the scene tables (segmentation and surface normals), by the names a reader may give."""

import os
from pathlib import Path

from mtlkit.data import LAYOUTS, Data, DataSet
from mtlkit.errors import InputError, unknown
from mtlkit.worlds import rooms

NAMES = ("rooms", *LAYOUTS)


def cache_folder() -> Path:
    """Where embedded worlds are drawn to: ``MTLKIT_CACHE``, else ``~/.cache/mtlkit``."""
    return Path(os.environ.get("MTLKIT_CACHE") or Path.home() / ".cache" / "mtlkit")


def scenes(
    name: str, root: Path | None, size: tuple[int, int], images: tuple[int, int], tasks: tuple[str, ...]
) -> tuple[Data, DataSet]:
    """A data set for scene tables and its training split.

    Args:
        name: ``rooms``, or the layout of the folder ``root``.
        root: the reader's folder; only for layouts.
        size: height and width the network sees; the size at which rooms are drawn.
        images: training and test images, for rooms.
        tasks: the targets wanted.

    Raises:
        InputError: for an unknown name, a missing folder, or a folder that is not what the layout asks for.
    """
    if name not in NAMES:
        raise unknown("data set", name, NAMES)
    if name == "rooms":
        if root is not None:
            raise InputError(
                f"The embedded world rooms needs no data_root; for the folder {root} also set "
                f"dataset to {', '.join(LAYOUTS)}."
            )
        train, val = images
        folder = cache_folder() / f"rooms-r{rooms.REVISION}-{train}-{val}-{size[0]}x{size[1]}"
        rooms.write(folder, seed=0, train=train, val=val, size=size)
        data = Data(
            layout="npy", name="rooms", fingerprint=f"rooms-r{rooms.REVISION}-s0-{train}-{val}", size=size, root=folder
        )
        return data, data.split("train", tasks)
    if root is None:
        raise InputError(f"The layout {name} needs a folder: set data_root.")
    root = root.expanduser()
    splits = [LAYOUTS[name](root, split, tasks) for split in ("train", "val")]
    data = Data(
        layout=name,  # type: ignore[arg-type]  # checked above
        name=root.resolve().name,
        fingerprint="-".join(split.fingerprint() for split in splits),
        size=size,
        root=root,
    )
    return data, splits[0]
