"""What every layout checks of a split: its lists, its classes, and that train and val fit and exclude each other."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mtlkit.data.samples import IGNORE, DataSet, evenly_spaced
from mtlkit.errors import InputError
from mtlkit.files import regular

Lines = Sequence[tuple[int, str]]
"""Lines of a text file with their numbers, from 1."""

_COMPARED = 16
_NAMED = 3


def lines(path: Path, holds: str) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank.

    Args:
        path: of the file.
        holds: what a message says that it should hold.

    Raises:
        InputError: the file is missing or no UTF-8 text.
    """
    regular(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows begin with a byte order mark
    except FileNotFoundError as error:
        raise InputError(f"There is no {path}; it should hold {holds}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text ({error}); it should hold {holds}.") from error
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def once(lists: Mapping[Path, Lines]) -> None:
    """Checks that a name stands once in all lists of a data set together.

    Raises:
        InputError: one stands twice in a list, or in two lists.

    >>> once({Path("train.txt"): [(1, "a"), (2, "b")], Path("val.txt"): [(1, "b")]})
    Traceback (most recent call last):
    mtlkit.errors.InputError: val.txt, line 1, repeats 'b', which train.txt has in line 2; a sample lies in one split.
    """
    seen: dict[str, tuple[Path, int]] = {}
    for path, names in lists.items():
        for number, name in names:
            if name in seen:
                other, first = seen[name]
                raise InputError(
                    f"{path}, line {number}, repeats {name!r}, which {other.name} has in line {first}; a sample lies "
                    "in one split."
                )
            seen[name] = path, number


def check_classes(names: Sequence[str], where: Path, most: int | None = None) -> None:
    """Checks the classes' names.

    Args:
        names: of the classes, in the order of their ids.
        where: the file that names them.
        most: how many a map of 8-bit ids has place for; ``None``: any number.

    Raises:
        InputError: two classes have one name, or there are too many.
    """
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise InputError(f"{where} names two classes {twice!r}; every class needs a name of its own.")
    if most is not None and len(names) > most:
        raise InputError(f"{where} names {len(names)} classes, but 8-bit maps have place for {most}; keep fewer.")


def parse_number(text: str) -> float:
    """A number as a file spells it; NaN where it is none. Python alone reads ``1_0`` as 10.

    >>> parse_number("1e2"), parse_number("1_0")
    (100.0, nan)
    """
    try:
        return float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan


def some(names: Sequence[str]) -> str:
    """The first names of many, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def read_classes(path: Path) -> tuple[str, ...]:
    """The names in a ``classes.txt`` ("id name" a line, ids from 0 without a gap).

    Raises:
        InputError: the file is missing or empty, a line does not carry the next id and a name, two classes have one
            name, or there are more than 255.
    """
    names: list[str] = []
    for number, line in lines(path, 'a line "id name" for every class'):
        identifier, _, name = line.partition(" ")
        if identifier != str(len(names)) or not name.strip():
            raise InputError(f"{path}, line {number}, is {line!r}; it should be {len(names)} and a name.")
        names.append(name.strip())
    if not names:
        raise InputError(f'{path} is empty; it needs a line "id name" for every class.')
    check_classes(names, path, most=IGNORE)
    return tuple(names)


def check_pair(train: DataSet, val: DataSet, root: Path) -> None:
    """Checks that two splits mean the same by their targets and are not the same images.

    Args:
        train: the training split.
        val: the other.
        root: of the data set, for messages.

    Raises:
        InputError: classes or joints differ in name or order, or as many evenly spaced images as are compared are equal
            pixel by pixel.
    """
    for mine, other in zip(_meaning(train), _meaning(val), strict=True):
        if mine != other:
            place = next((n for n, pair in enumerate(zip(mine, other, strict=False)) if len({*pair}) > 1), None)
            found = f"{len(mine)} and {len(other)} names" if place is None else f"{mine[place]!r} and {other[place]!r}"
            raise InputError(
                f"train and val in {root} have different targets ({found}, in place {place or 0}); both need the same "
                "names in the same order."
            )
    if len(train) == len(val) and all(
        np.array_equal(train[index]["image"].numpy(), val[index]["image"].numpy())
        for index in evenly_spaced(range(len(train)), _COMPARED)
    ):
        raise InputError(f"train and val in {root} hold the same images; what is scored must not be trained on.")


def _meaning(split: DataSet) -> tuple[tuple[str, ...], ...]:
    """What its targets' numbers stand for: classes, and joints where it has them."""
    return split.classes, getattr(split, "joints", ())
