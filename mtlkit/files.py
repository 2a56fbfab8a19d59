"""Files that are written whole or not at all, and what is left of those whose process was killed."""

import errno
import hashlib
import os
import re
import shutil
import socket
import stat
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from mtlkit.errors import DamagedFile, InputError

FOREIGN_SECONDS = 24 * 3600.0
"""How long a file that a process of another machine began and never ended is left alone."""

SUMS = "SHA256SUMS"
"""The name of a list of digests of a folder's files, as ``sha256sum -c`` reads it; drawn worlds have one."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TOKEN = uuid.uuid4().hex[:8]  # a process may have the number of one that was killed
_PART = re.compile(r"\.([0-9a-f]{8})-(\d+)-([0-9a-f]{8})\.\w+\.part$")


class NotWritten(InputError, OSError):
    """A file cannot be written: the disk is full, say, or the folder is read-only."""

    @classmethod
    def of(cls, path: Path, error: OSError) -> "NotWritten":
        """The sentence about a file or folder."""
        # NumPy says how many bytes of an array were written, and not why no more.
        full = error.errno in _FULL or (error.errno is None and "requested and" in str(error))
        remedy = "free some space there" if full else "name a place that can be written"
        # What finds a file where a folder should be made says that it exists.
        reason = os.strerror(errno.ENOTDIR) if error.errno == errno.EEXIST else error.strerror or error
        return cls(f"{path} cannot be written ({reason}); {remedy}.")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write, to be put in the place of ``path`` when all went well; folders are made.

    Several processes, of several machines on one disk, may write one path: the last one that ends has it.

    Raises:
        NotWritten: the system refuses it; nothing is left behind.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with written_whole(Path(folder) / "new" / "a.txt") as part:
    ...         _ = part.write_text("whole")
    ...     [path.name for path in (Path(folder) / "new").iterdir()]
    ['a.txt']
    """
    part = path.with_name(f"{path.name}.{mark()}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except NotWritten:
        raise
    except OSError as error:
        raise NotWritten.of(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def at_home(path: str | Path) -> Path:
    """A path that was typed, with the folder of a user in the place of a leading ``~`` or ``~name``.

    Raises:
        InputError: there is no such user, or the system takes no such path.

    >>> at_home("~nix/a")
    Traceback (most recent call last):
    mtlkit.errors.InputError: There is no user 'nix' for the path ~nix/a; a folder of that name here is ./~nix/a.
    """
    found = os.path.expanduser(path)
    if found.startswith("~"):
        user = found[1:].partition(os.sep)[0]
        raise InputError(f"There is no user {user!r} for the path {path}; a folder of that name here is ./{path}.")
    try:
        os.stat(found)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # there is none yet, or whoever opens it says so
        pass
    except (OSError, ValueError) as error:  # too long, links in a circle, a null character
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"The path {str(path)!r:.200} cannot be used ({reason}); name another one.") from error
    return Path(found)


def regular(path: Path) -> None:
    """Checks that what is there is a file or a folder: reading a named pipe would wait for whoever writes into it.

    Raises:
        InputError: it is a pipe, a socket or a device.
    """
    try:
        mode = path.stat().st_mode
    except OSError:  # reading it says so
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path} is no regular file but a pipe, a socket or a device; put a file in its place.")


def permitted(path: Path) -> None:
    """Checks that this user may read what is there: what another user keeps private is not damaged.

    Raises:
        InputError: this user may not.
    """
    if path.exists() and not os.access(path, os.R_OK) and path.exists():  # not removed meanwhile
        raise InputError(f"{path} cannot be read by this user; have it made readable, or name another folder.")


def mark() -> str:
    """What stands in the name of a file that this process is writing."""
    return f"{_host()}-{os.getpid()}-{_TOKEN}"


def sweep(folder: Path, beginning: str = "") -> None:
    """Removes what processes of this machine that are gone left half written; of others what is a day old.

    Args:
        folder: where it lies; need not exist.
        beginning: of the names.
    """
    with suppress(OSError):
        for path in [path for path in folder.iterdir() if path.name.startswith(beginning)]:
            if path.suffix == ".part" and _left(path):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        path.unlink()


def _left(path: Path) -> bool:
    """Whether nobody writes a part any more."""
    if (found := _PART.search(path.name)) and found[1] == _host():
        number = int(found[2])
        return found[3] != _TOKEN if number == os.getpid() else not _runs(number)
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > FOREIGN_SECONDS
    return False


def _runs(process: int) -> bool:
    """Whether this machine has a process of that number."""
    if os.name != "posix":  # where this would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@cache
def _host() -> str:
    """What numbers of processes count for: the machine, or the container."""
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def unlike_sums(folder: Path) -> list[str]:
    """The files that a folder's :data:`SUMS` lists and that are others, or missing; none without that list.

    Raises:
        InputError: this user may not read one.
    """
    path = folder / SUMS
    permitted(path)
    try:
        listed = path.read_text(encoding="utf-8").splitlines() if path.is_file() or not path.exists() else []
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, UnicodeDecodeError):
        return [SUMS]
    return [line[66:] for line in listed if _sha256(folder / line[66:]) != line[:64]] if listed else [SUMS]


def _sha256(path: Path) -> str | None:
    """Of a file's bytes; ``None`` where there is no file."""
    permitted(path)
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def set_aside(path: Path) -> None:
    """Renames a kept file or folder that is damaged or of something else, and warns of it.

    It is named once and stops nothing. Where it cannot be renamed it stays, and is not used.
    """
    aside = path.with_name(f"{path.name}.damaged")
    if aside.is_dir():  # which nothing can take the place of
        shutil.rmtree(aside, ignore_errors=True)
    elif path.is_dir():  # which can take the place of no file
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    try:
        path.replace(aside)
    except FileNotFoundError:  # another process has done so
        return
    except OSError as error:
        warnings.warn(f"{path} is damaged, and cannot be renamed ({error.strerror}).", DamagedFile, stacklevel=2)
        return
    warnings.warn(
        f"{path} was damaged and is {aside.name} now, and what it held counts as missing.", DamagedFile, stacklevel=2
    )
