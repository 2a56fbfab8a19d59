"""Paths that come out of files: none leads out of its data set's folder."""

import os
from pathlib import Path, PureWindowsPath

from mtlkit.errors import InputError

FOLLOW_LINKS = "MTLKIT_FOLLOW_LINKS"
"""Environment variable that, set to 1, allows symbolic links out of a data set's folder."""


def leads_out(name: str) -> bool:
    """Whether a path as a file names it is none of a file below a folder.

    >>> leads_out("images/a.jpg"), leads_out("/a.jpg"), leads_out("images/../../a.jpg")
    (False, True, True)
    """
    path = PureWindowsPath(name)  # which takes both kinds of separators
    return not path.name or bool(path.anchor) or ".." in path.parts or "\0" in name


def relative(name: str, where: str) -> str:
    """A path as a file names it, once it is known to be one below a folder.

    Args:
        name: with ``/`` between folders.
        where: the file and the row that name it, the beginning of a message.

    Raises:
        InputError: it is empty or absolute, or has ``..`` or a null character in it.

    >>> relative("images/a.jpg", "list.txt, line 1,")
    'images/a.jpg'
    >>> relative("../a.jpg", "list.txt, line 1,")
    Traceback (most recent call last):
    mtlkit.errors.InputError: list.txt, line 1, names '../a.jpg'; a path should lead to a file inside the folder.
    """
    if leads_out(name):
        raise InputError(f"{where} names {name!r}; a path should lead to a file inside the folder.")
    return name


def inside(root: Path, path: Path) -> None:
    """Checks that no symbolic link leads out of a data set's folder, unless :data:`FOLLOW_LINKS` allows that.

    Raises:
        InputError: one does.
    """
    if os.environ.get(FOLLOW_LINKS) == "1":
        return
    real, folder = os.path.realpath(path), os.path.realpath(root)
    if os.path.commonpath((real, folder)) != folder:
        raise InputError(
            f"{path} lies outside of the data set's folder {root}, at {real}; copy it there, or set {FOLLOW_LINKS}=1 "
            "to follow links."
        )
