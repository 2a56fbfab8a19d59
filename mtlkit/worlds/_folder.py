"""Writing a world's folder whole or not at all."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mtlkit.errors import InputError
from mtlkit.files import SUMS, NotWritten, mark, set_aside, sweep, unlike_sums


def write(folder: Path, world: dict[str, Any], fill: Callable[[Path], None]) -> None:
    """Makes ``folder`` with what ``fill`` puts there and ``world.json``, which says what it is.

    Does nothing where the same world already lies; processes that write it at the same time all succeed. One that lacks
    a file, or has another one, is set aside and drawn again.

    Args:
        folder: where to; may be missing or empty.
        world: its name under ``world``, and everything else its files follow from, as JSON types.
        fill: writes the files into the folder it is given.

    Raises:
        InputError: ``folder`` holds something else.
        NotWritten: there is no room for it, or it may not be written there.
    """
    folder = Path(folder)
    sweep(folder.parent, f".{folder.name}.")
    try:
        if not _holds(folder, world):
            _draw(folder, world, fill)
    except OSError as error:
        raise error if isinstance(error, NotWritten) else NotWritten.of(folder, error) from error


def _draw(folder: Path, world: dict[str, Any], fill: Callable[[Path], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name}.{mark()}.", suffix=".part", dir=folder.parent, ignore_cleanup_errors=True
    ) as scratch:
        whole = Path(scratch) / folder.name
        whole.mkdir()
        fill(whole)
        (whole / "world.json").write_text(json.dumps(world, indent=1) + "\n")
        (whole / SUMS).write_text(_sums(whole, [path for path in sorted(whole.rglob("*")) if path.is_file()]))
        try:
            whole.rename(folder)
        except OSError:  # another process was first, and its folder is as good
            if not _holds(folder, world):
                raise


def _holds(folder: Path, world: dict[str, Any]) -> bool:
    """Whether the very world lies in ``folder``; an :class:`InputError` when something else does."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / "world.json").read_text())
    except (OSError, ValueError, RecursionError):
        found = None
    if found != world:
        held = "another world" if isinstance(found, dict) else "something that is no world"
        raise InputError(f"{folder} holds {held}, not {world['world']} with {world}; give another folder or remove it.")
    if unlike_sums(folder):  # worlds of earlier versions do not tell
        set_aside(folder)
        return False
    return True


def _sums(folder: Path, files: Sequence[Path]) -> str:
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n" for path in files
    )
