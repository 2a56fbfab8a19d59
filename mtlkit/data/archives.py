"""Archives from elsewhere, unpacked so that nothing lands outside of the folder and a fault leaves nothing behind."""

import gzip
import hashlib
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path

from mtlkit.data.paths import leads_out
from mtlkit.data.transfer import check_room
from mtlkit.errors import InputError

DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, LZMAError, EOFError,
    RuntimeError, NotImplementedError,  # zipfile: a password, an unknown compression
)  # fmt: skip
"""What zipfile and tarfile raise for archives that are no good."""


@contextmanager
def unpacked(archive: Path, folder: Path) -> Iterator[Path]:
    """A zip, or a tar with any compression, unpacked into a folder of its own that goes with the block.

    Args:
        archive: the file, whose first bytes say what it is.
        folder: beside which it is unpacked, on the disk where its content is wanted.

    Raises:
        InputError: the archive is damaged, one of its members would land outside of the folder, is a device or a link
            that leads out, or the disk is full.
    """
    scratch = folder / f".{archive.name}.unpacking"
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    try:
        scratch.mkdir(parents=True)
        with archive.open("rb") as file:  # zipfile also takes a tar whose last member is a zip for one
            zipped = file.read(2) == b"PK"
        if zipped:
            _unzip(archive, scratch)
        else:
            _untar(archive, scratch)
        yield scratch
    except DAMAGED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")  # tarfile lists what it tried
        raise InputError(f"{archive} cannot be unpacked ({reason}); remove it and fetch it again.") from error
    except OSError as error:
        raise InputError(f"{archive} cannot be unpacked into {folder} ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = [member for member in opened.infolist() if not member.is_dir()]
        for member in members:
            # zipfile would write it elsewhere, under another name.
            _check(archive, member.filename)
        check_room(folder, sum(member.file_size for member in members))
        for member in members:
            opened.extract(member, folder)


def _untar(archive: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise InputError("Unpacking needs Python 3.11.4 or later, whose tarfile can be told to stay in its folder.")
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.isdir():
                continue
            _check(archive, member.name)
            opened.extract(member, folder, filter="data")
        while opened.fileobj is not None and opened.fileobj.read(1 << 20):
            pass  # a compressed file's own checksum comes last


def _check(archive: Path, name: str) -> None:
    if leads_out(name):
        raise InputError(f"{archive} holds {name!r}, which leads out of the folder; it is not unpacked.")


def merge(source: Path, folder: Path) -> int:
    """Moves what lies in one folder into another on the same disk; files of the same name are replaced.

    Returns:
        How many files there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for path in list(source.iterdir()):
        target = folder / path.name
        if path.is_dir() and target.is_dir():
            count += merge(path, target)
        else:
            count += sum(1 for each in path.rglob("*") if each.is_file()) if path.is_dir() else 1
            path.replace(target)
    return count


def git_tree(folder: Path) -> str:
    """The identifier that Git gives to a tree of ordinary files, a checksum of their names and content.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as empty:
    ...     git_tree(Path(empty))
    '4b825dc642cb6eb9a060e54bf8d69288fbee4904'
    """
    entries = []
    for path in folder.iterdir():
        name = path.name.encode()
        if path.is_dir():
            entries.append((name + b"/", b"40000 " + name + b"\0" + bytes.fromhex(git_tree(path))))
        else:
            entries.append((name, b"100644 " + name + b"\0" + _git_object(b"blob", path.read_bytes()).digest()))
    return _git_object(b"tree", b"".join(entry for _, entry in sorted(entries))).hexdigest()


def _git_object(kind: bytes, content: bytes) -> "hashlib._Hash":
    return hashlib.sha1(kind + b" %d\0" % len(content) + content, usedforsecurity=False)
