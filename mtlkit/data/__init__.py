"""Data sets: one file a format, plus joint transforms and reproducible sampling."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from mtlkit.data.folder import Folder
from mtlkit.data.npy import Npy
from mtlkit.data.nyuv2 import NYUv2
from mtlkit.data.samples import DataSet
from mtlkit.errors import InputError
from mtlkit.values import Value

LAYOUTS: dict[str, type[Folder] | type[Npy] | type[NYUv2]] = {"folder": Folder, "npy": Npy, "nyuv2": NYUv2}
"""The formats a data set on disk can have, by the name that users give."""


class Data(Value):
    """A data set as part of a run's identity: format, content and picture size, but not where it lies.

    Attributes:
        layout: a key of :data:`LAYOUTS`.
        name: how reports call it.
        fingerprint: of its content, or the name and revision of the world that draws it.
        size: height and width the network sees.
        root: where it lies on this machine; not part of the identity.
    """

    layout: Literal["folder", "npy", "nyuv2"]
    name: str
    fingerprint: str
    size: tuple[int, int]
    root: Path | None = Field(default=None, exclude=True)

    def split(self, split: Literal["train", "val"], tasks: tuple[str, ...]) -> DataSet:
        """One split, with the targets of ``tasks``.

        Raises:
            InputError: when the data is not at hand or not what the layout asks for.
        """
        if self.root is None:
            raise InputError(f"The data set {self.name} is not at hand; name its folder with data_root.")
        return LAYOUTS[self.layout](self.root, split, tasks)


__all__ = ["LAYOUTS", "Data", "DataSet", "Folder", "NYUv2", "Npy"]
