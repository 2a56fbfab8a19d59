"""Images with calories and a category each, described by one CSV table.

::

    manifest.csv    a header, then one row per image: image, kcal, category, group, split
    images/*.jpg    wherever the column image says, relative to the table's folder

Columns may stand in any order and have other names (:class:`Columns`); others are left alone. A **group** is the
images of one portion: it lies in one split as a whole, and groups rather than images are the sample. Where the
table has no column for the split, one is drawn by :func:`mtlkit.data.groups.held_out`.
"""

import csv
import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mtlkit.data.base import Division, Reader, alike, by_groups
from mtlkit.data.faults import Fault, Faults, Faulty
from mtlkit.data.groups import held_out
from mtlkit.data.images import read_image
from mtlkit.data.paths import leads_out
from mtlkit.data.samples import Sample, Split, checked, digest, evenly_spaced
from mtlkit.data.splits import parse_number
from mtlkit.data.transforms import fitted
from mtlkit.errors import InputError, suggestion
from mtlkit.files import regular
from mtlkit.values import Value

if TYPE_CHECKING:
    from mtlkit.data import Data

_TASKS = {"calories": "kcal", "category": "category"}
_SPLITS = ("train", "val")


class Columns(Value):
    """What a table calls its columns; ``None``: not to be read.

    A table may lack the columns that no task asks for, unless they were named here or one of a similar name is there.

    Attributes:
        image: the image's path, relative to the table's folder, with ``/`` between folders.
        kcal: its energy.
        category: the name of its category.
        group: the portion it shows; without this column every image is a group of its own.
        split: ``train`` or ``val``.
    """

    image: str = "image"
    kcal: str | None = "kcal"
    category: str | None = "category"
    group: str | None = "group"
    split: str | None = "split"

    @classmethod
    def named(cls, names: dict[str, str] | None) -> "Columns | None":
        """A reader's names, a field to the name of its column; ``None`` for ``None``.

        Raises:
            InputError: for something that a table's columns do not hold.
        """
        for field in names or ():
            if field not in cls.model_fields:
                raise InputError(f"A table has no field {field!r}; {suggestion(field, cls.model_fields)}")
        return None if names is None else cls(**names)


class _Row(NamedTuple):
    """A row of the table, ``number`` as a spreadsheet counts it; ``None`` where the table has no such column."""

    number: int
    image: str
    kcal: float | None
    category: str | None
    group: str
    split: str | None


class Manifest(Reader):
    """One split of a data set that a CSV table describes (see the module): a sample per row, in the table's order.

    A sample is ``image`` (``tv_tensors.Image``, uint8, ``(3, H, W)``) and by task ``calories`` (kcal, float32, ``()``)
    and ``category`` (its id, int64, ``()``).

    Every row of the table is checked here, in all columns that are read and whichever split and tasks are asked for,
    so that each task and split sees the same rows; an image is decoded when its sample is read.

    Args:
        root: the folder that holds the table.
        split: train or val.
        tasks: the targets to read.
        columns: what the table calls its columns.
        file: the table's name.
        val_share: share of the groups, of each category where there are some, that validates where the table has no
            split.
        seed: of that split.
        faulty: refuse the table for its first bad row, or skip such rows.

    Attributes:
        classes: the categories' names, sorted, of both splits; the place of each is its id. Empty without a column.
        tasks: as given.
        groups: the group of every sample.
        labels: the category id of every sample; empty without a column.
        values: the kcal of every sample, float32 ``(N,)``; empty without a column.
        drawn: whether the split was drawn, for want of a column.
        notes: what an absent column for the split or the groups means.
        skipped: reason -> rows of the whole table that were left out for it.
        faults: reason -> a sentence about each of them.

    Raises:
        InputError: a file, folder or column is missing, a column's name is misspelt, the table is no CSV or empty, or a
            split has no good row. Unless bad rows are skipped: a row has too few or too many fields, no or a missing
            or a repeated image, kcal that are empty, no number, negative or infinite, no category, no group, an
            unknown split, a group of the other split, or a category that training lacks. Reading a sample: its image
            is damaged.
    """

    description = "manifest.csv with image, kcal, category, group, split, and the images: your own dishes"
    settings = {"columns": "columns", "val_share": "test_share", "faulty": "faulty"}

    def __init__(
        self,
        root: Path,
        split: Split,
        tasks: Sequence[str] = ("calories", "category"),
        columns: Columns | None = None,
        *,
        file: str = "manifest.csv",
        val_share: float = 0.3,
        seed: int = 0,
        faulty: Faulty = "refuse",
    ) -> None:
        self._root, self._path = Path(root), Path(root) / file
        self.tasks = checked(self._root, split, tasks, _TASKS)
        self._columns, self._faults = columns or Columns(), Faults(faulty, "rows")
        self.skipped, self.faults = self._faults.skipped, self._faults.sentences
        rows = self._whole()
        self.drawn = rows[0].split is None
        if self.drawn:
            rows = self._draw(rows, val_share, seed)
        rows = self._trained(rows)
        self.notes = self._absent(rows)
        self._rows = [row for row in rows if row.split == split]
        for name in _SPLITS:
            if not any(row.split == name for row in rows):
                raise InputError(f"{self._path} holds no {'good ' * bool(self.skipped)}row of the split {name}.")
        self.classes = tuple(sorted({row.category for row in rows if row.category is not None}))
        self.groups, self.grouped_by = [row.group for row in self._rows], "portion"
        ids = {name: number for number, name in enumerate(self.classes)}
        self.labels = [ids[row.category] for row in self._rows if row.category is not None]
        self.values: NDArray[np.float32] = np.array([r.kcal for r in self._rows if r.kcal is not None], np.float32)

    # The table ------------------------------------------------------------------------------------------------

    def _whole(self) -> list[_Row]:
        """The good rows of both splits."""
        rows: list[_Row] = []
        images: dict[str, int] = {}
        splits: dict[str, tuple[int, str | None]] = {}
        folders: dict[str, set[str]] = {}
        table = _records(self._path)
        first, header = next(table, (1, []))
        places = self._places(first, header)
        self._fields = set(places)
        for number, record in table:
            try:
                if len(record) != len(header):
                    raise Fault("number of fields", f"has {len(record)} fields; the header has {len(header)}.")
                row = self._row(number, {name: record[place] for name, place in places.items()}, folders)
                if row.image in images:
                    raise Fault(
                        "repeated image",
                        f"names the image {row.image!r}, as row {images[row.image]} does; each needs one row.",
                    )
                earlier, other = splits.setdefault(row.group, (number, row.split))
                if row.split != other:
                    raise Fault(
                        "group in both splits",
                        f"puts the group {row.group!r} into {row.split}, but row {earlier} has it in {other}; "
                        "a group must lie in one split.",
                    )
                images[row.image] = number
                rows.append(row)
            except Fault as fault:
                self._count(number, fault)
        if not rows:
            raise InputError(f"{self._path} holds {self._faults.only('row')}; it needs a row for every image.")
        return rows

    def _places(self, number: int, header: list[str]) -> dict[str, int]:
        """The fields to read and their places in a row.

        Raises:
            InputError: a column that is needed is missing, or there are two of one name.
        """
        asked = {"image", *(_TASKS[task] for task in self.tasks)}
        places: dict[str, int] = {}
        for field in Columns.model_fields:
            name = getattr(self._columns, field)
            if name is not None and header.count(name) > 1:
                raise InputError(
                    f"{self._path}, row {number}, has {header.count(name)} columns {name!r}; it needs one."
                )
            if name in header:
                places[field] = header.index(name)
            elif field in asked or (name is not None and field in self._columns.model_fields_set):
                raise InputError(
                    f"{self._path}, row {number}, has no column {name or field!r}, which should hold the {field}; "
                    f"{suggestion(name or field, filter(None, header)) if any(header) else 'it is empty.'}"
                )
        self._misspelt(number, header, places)
        return places

    def _misspelt(self, number: int, header: list[str], places: dict[str, int]) -> None:
        """Checks that no column stands under a name like that of a field that the table seems to lack.

        Raises:
            InputError: one does; it would be ignored, and a split drawn or groups torn apart.
        """
        wanted = {field: getattr(self._columns, field) for field in Columns.model_fields if field not in places}
        unread = [cell for place, cell in enumerate(header) if place not in places.values()]
        near = {
            field: next((cell for cell in unread if alike(cell, name)), None)
            for field, name in wanted.items()
            if name is not None
        }
        if lost := {field: cell for field, cell in near.items() if cell is not None}:
            named = {field: getattr(self._columns, field) for field in self._columns.model_fields_set}
            pairs = ",".join(f"{field}={name}" for field, name in (named | lost).items() if name is not None)
            raise InputError(
                f"{self._path}, row {number}, has no column {' or '.join(repr(wanted[field]) for field in lost)}, but "
                f"{' and '.join(map(repr, lost.values()))}; say --columns {pairs}, or give what holds something else "
                "another name."
            )

    def _absent(self, rows: list[_Row]) -> list[str]:
        """What the want of a column for the split or the groups means."""
        held = sum(row.split == "val" for row in rows)
        means = {
            "split": f"{held} of {len(rows)} images are held out by a draw",
            "group": "every image is its own",
        }
        return [
            f"no column {getattr(self._columns, field) or field!r}: {meaning}."
            for field, meaning in means.items()
            if field not in self._fields
        ]

    def _row(self, number: int, cells: dict[str, str], folders: dict[str, set[str]]) -> _Row:
        """A row as it stands; ``folders`` remembers what the folders of images hold.

        Raises:
            Fault: it is no row.
        """
        for field in ("image", "category", "group"):
            if cells.get(field) == "":
                raise Fault(f"empty {field}", f"has no {field} in the column {getattr(self._columns, field)!r}.")
        image, split = str(PurePosixPath(cells["image"])), cells.get("split")  # ./a.jpg is a.jpg
        folder, name = os.path.split(image)
        if folder not in folders:
            folders[folder] = self._files(folder)
        if name not in folders[folder]:
            raise Fault(
                "missing image",
                f"names the image {image!r}, but there is no such file in {self._root}; add it or remove the row.",
            )
        if split is not None and split not in _SPLITS:
            raise Fault("unknown split", f"has the split {split!r}; it should be train or val.")
        kcal = _kcal(cells["kcal"]) if "kcal" in cells else None
        return _Row(number, image, kcal, cells.get("category"), cells.get("group", image), split)

    def _files(self, folder: str) -> set[str]:
        """The names in a folder; none if it is not there or lies outside the data set's."""
        if folder and leads_out(folder):
            return set()
        try:
            # One listing instead of a look-up a row: thousands of look-ups are slow on network drives.
            return set(os.listdir(self._root / folder))
        except (OSError, ValueError):  # a name with a null character is a ValueError
            return set()

    def _draw(self, rows: list[_Row], share: float, seed: int) -> list[_Row]:
        """The rows with a split each."""
        strata = None if rows[0].category is None else [str(row.category) for row in rows]
        try:
            held = held_out([row.group for row in rows], share, strata, seed=seed)
        except InputError as error:
            raise InputError(f"{self._path} has no column for the split, and none can be drawn: {error}") from error
        return [row._replace(split=_SPLITS[out]) for row, out in zip(rows, held.tolist(), strict=True)]

    def _trained(self, rows: list[_Row]) -> list[_Row]:
        """The rows whose category occurs in training."""
        known, good = {row.category for row in rows if row.split == "train"}, []
        for row in rows:
            if row.category in known:
                good.append(row)
                continue
            self._count(
                row.number,
                Fault(
                    "category absent from training",
                    f"has the category {row.category!r}, of which no row is in train; move or remove it.",
                ),
            )
        return good

    def _count(self, number: int, fault: Fault) -> None:
        """Refuses the table for a bad row, or counts it."""
        self._faults.add(f"{self._path}, row {number},", fault)

    # The data set ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        sample: Sample = {"image": read_image(self._root / self._rows[index].image, self._root)}
        if "calories" in self.tasks:
            sample["calories"] = torch.tensor(self.values[index])
        if "category" in self.tasks:
            sample["category"] = torch.tensor(self.labels[index])
        return sample

    def name_of(self, index: int) -> str:
        """The image as the table names it."""
        return self._rows[index].image

    @classmethod
    def view(cls, sample: Sample, data: "Data") -> Sample:
        """The whole image fitted in with its proportions: how large a dish looks tells how much there is."""
        return fitted(sample, data.size)

    def development(self) -> Division:
        """Portions of every category."""
        return by_groups(self, self.labels)

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over all rows of the split and at most 512 evenly spaced images.

        Over what the table says, not how: a spreadsheet that quotes its cells anew or sorts them changes nothing. A
        image changed under the same name keeps the digits unless it is one of the 512.
        """
        sha = hashlib.sha256()
        rows = sorted(row._replace(number=0) for row in self._rows)
        for row in rows:
            sha.update(repr(tuple(row)).encode())
        sha.update(repr(self.classes).encode())
        sha.update(digest(self._root, evenly_spaced([row.image for row in rows])).encode())
        return sha.hexdigest()[:12]


def _kcal(text: str) -> float:
    if not text:
        raise Fault("empty kcal", "has no kcal; give the image's energy, or remove the row.")
    value = parse_number(text)
    if math.isnan(value):
        raise Fault("kcal that are no number", f"has {text!r} for its kcal; it should be a number such as 421.5.")
    if value < 0:
        raise Fault("negative kcal", f"has {text} kcal; energy cannot be negative.")
    if value > float(np.finfo(np.float32).max):
        raise Fault("infinite kcal", f"has {text} kcal; energy must be finite.")
    return value


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, their cells without spaces around, numbered as a spreadsheet does: from 1, blank
    ones counted, and a cell of several lines in one row."""
    regular(path)
    try:
        # Spreadsheets begin such a file with a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, record in enumerate(csv.reader(file, strict=True), 1):
                cells = [cell.strip() for cell in record]
                if any(cells):
                    yield number, cells
    except FileNotFoundError as error:
        raise InputError(f"There is no {path}; it should hold a row for every image.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV table ({error}); save it as UTF-8 CSV again.") from error
