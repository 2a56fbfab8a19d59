"""Errors that a user can act on: one sentence that says what is wrong, where, and what would be right."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import get_args


class InputError(Exception):
    """Something the user gave cannot be used. The message is one sentence.

    IPython asks an exception for ``_render_traceback_``; answering with the sentence alone keeps the notebook
    cell (and papermill's stderr) free of a stack that says nothing about the input.
    """

    def _render_traceback_(self) -> list[str]:
        return [terminal(f"{type(self).__name__}: {self}")]


class WeightsMissing(InputError):
    """A run needs the weights of an earlier training that the cache no longer holds."""


class DamagedFile(RuntimeWarning):
    """A kept file was damaged and has been set aside; what it held is computed again where that is possible."""


class ExtraMissing(InputError, ImportError):
    """A package is not installed that an extra of mtlkit brings."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Stands around imports of packages that only the extra ``name`` of the installation brings.

    Args:
        name: an extra of ``pyproject.toml``: ``run``, ``book`` or ``ray``.

    Raises:
        ExtraMissing: one of the packages is not installed.

    >>> with extra("run"):
    ...     import a_package
    Traceback (most recent call last):
    mtlkit.errors.ExtraMissing: The package a_package is not installed; pip install "mtlkit[run]" brings it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package in (__name__.partition(".")[0], "None"):  # no installation brings it
            raise
        raise ExtraMissing(
            f'The package {package} is not installed; pip install "mtlkit[{name}]" brings it.'
        ) from error


def suggestion(name: str, choices: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest valid ones, in any case, or all of them when few.

    >>> suggestion("Mobilenet", ["mobilenet", "NASNet"])
    "did you mean 'mobilenet'?"
    """
    if not (known := sorted(map(str, choices))):
        return "there is none at all."
    folded = {each.casefold(): each for each in known}
    near = [folded[each] for each in difflib.get_close_matches(str(name).casefold(), folded, n=3, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(repr(n) for n in near)}?"
    if len(known) <= 20:
        return f"valid are {', '.join(known)}."
    return f"{len(known)} names are valid, none of them similar."


def unknown(what: str, name: object, choices: Iterable[str]) -> InputError:
    """An :class:`InputError` for a name that is not among ``choices``, with the nearest valid ones."""
    return InputError(f"There is no {what} {str(name)!r}; {suggestion(str(name), choices)}")


def check_choice(what: str, name: object, choices: object) -> None:
    """Raises :func:`unknown` unless ``name`` is one of a ``Literal``'s values."""
    if name not in get_args(choices):
        raise unknown(what, name, get_args(choices))


def check_shape(what: str, shape: Sequence[int], *wanted: int | str) -> None:
    """Raises an :class:`InputError` unless a tensor's shape is ``wanted``, in which a letter stands for any length.

    >>> check_shape("The target of depth", (2, 1, 6, 8), 2, "H", "W")
    Traceback (most recent call last):
    mtlkit.errors.InputError: The target of depth has the shape (2, 1, 6, 8); it should be (2, H, W).
    """
    if len(shape) != len(wanted) or any(
        isinstance(each, int) and each != length for each, length in zip(wanted, shape, strict=True)
    ):
        right = f"({', '.join(map(str, wanted))}{',' * (len(wanted) == 1)})"
        raise InputError(f"{what} has the shape {tuple(shape)}; it should be {right}.")


def terminal(text: object) -> str:
    """Text for a terminal: what would move the cursor, change colours or the order of reading is spelled out.

    Names of files, data sets and classes may hold such characters. Lines and tabs stay, and JSON stays JSON.

    >>> print(terminal("a\\x1b[2J\\u202eb"))
    a\\u001b[2J\\u202eb
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
