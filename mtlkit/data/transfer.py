"""A file over HTTP: a transfer that broke off goes on where the server takes ranges, and no server is asked for the
head alone, which some refuse.

Nothing else here knows of the protocol, so that a package can take this module's place; pooch 1.9 has neither ranges
nor mirrors.
"""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import mtlkit
from mtlkit.data.sources import amount
from mtlkit.errors import InputError, extra

with extra("run"):
    import requests
    import urllib3
    from tqdm import tqdm

CHUNK = 1 << 20
TIMEOUT = (10, 60)
"""Seconds to wait for a connection, and for the next bytes."""

ATTEMPTS, PAUSE = 5, 1.0
"""How often in a row a transfer may break off without a new byte, and seconds before it goes on."""


class TransferError(Exception):
    """An address does not give the file; the message says why, without the address."""


class _Broken(TransferError):
    """A transfer broke off and may go on."""


def fetch(url: str, part: Path, *, size: int | None = None, checked: bool = False, progress: bool = True) -> bool:
    """Downloads a file; what an earlier transfer from the same address left in ``part`` goes on.

    What there is stays in ``part`` when the transfer breaks off or is interrupted; beside it, ``NAME.json`` says where
    it comes from.

    Args:
        url: of the file.
        part: where it is written.
        size: exact, in bytes; ``None``: as the server says.
        checked: whether the caller compares a checksum, so that a transfer may go on although the server does not say
            which version of the file it has.
        progress: whether a bar is drawn, if the output is a terminal.

    Returns:
        Whether some of it is of an earlier transfer.

    Raises:
        TransferError: the server cannot be reached, has no such file or one of another size, answers with a web page,
            or breaks off again and again.
        InputError: the disk has no room for it, or cannot be written.
    """
    note = part.with_name(f"{part.name}.json")
    start = furthest = _kept(part, note, url, checked)
    resumed, failures = start > 0, 0
    while start != size:
        try:
            _transfer(url, part, note, start, size, progress)
            break
        except _Broken as error:
            start = _kept(part, note, url, checked)
            failures = 0 if start > furthest else failures + 1
            if failures == ATTEMPTS:
                raise TransferError(f"{error}, {ATTEMPTS} times") from error
            furthest = max(furthest, start)
            time.sleep(PAUSE * failures)
    note.unlink(missing_ok=True)
    return resumed


def _kept(part: Path, note: Path, url: str, checked: bool) -> int:
    """Bytes that an earlier transfer left and that this one can go on from."""
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        usable = noted["url"] == url and (checked or noted["version"])
        return part.stat().st_size if usable else 0
    except (OSError, ValueError, TypeError, KeyError):
        return 0


def _transfer(url: str, part: Path, note: Path, start: int, size: int | None, progress: bool) -> None:
    # The bytes as they lie there: a server that compresses would count others.
    headers = {"User-Agent": f"mtlkit/{mtlkit.__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version := json.loads(note.read_text(encoding="utf-8"))["version"]:
            headers["If-Range"] = version
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == 416:  # no byte of the file lies behind those that are there
                if response.headers.get("Content-Range") == f"bytes */{start}":
                    return
                part.unlink()
                raise _Broken("the file is shorter than what an earlier transfer left")
            start, total = _answer(response, start, size)
            check_room(part.parent, (total or 0) - start)
            note.write_text(json.dumps({"url": url, "version": _version(response)}), encoding="utf-8")
            _write(response.raw.stream(CHUNK, decode_content=False), part, start, total, progress)
    except urllib3.exceptions.HTTPError as error:
        raise _Broken(f"the transfer broke off ({_reason(error)})") from error
    except requests.RequestException as error:
        # A host that has sent something before is worth another try.
        raise (_Broken if start else TransferError)(_reason(error)) from error
    if total is not None and part.stat().st_size < total:
        raise _Broken(f"the transfer ended after {part.stat().st_size:,} of {total:,} bytes")


def _answer(response: requests.Response, start: int, size: int | None) -> tuple[int, int | None]:
    """From which byte on the server sends the file, and how many the whole has.

    Raises:
        TransferError: it does not send the file.
    """
    code = response.status_code
    if code not in (200, 206):
        raise TransferError(f"{code} {response.reason}")
    if "text/html" in response.headers.get("Content-Type", ""):
        raise TransferError("a web page instead of the file")
    if code == 200:
        start = 0
    elif not re.match(rf"bytes {start}-", response.headers.get("Content-Range", "")):
        raise TransferError("another range than asked for")
    length = response.headers.get("Content-Length")
    total = size if length is None else start + int(length)
    if size is not None and total != size:
        raise TransferError(f"{total:,} bytes instead of {size:,}")
    return start, total


def _version(response: requests.Response) -> str | None:
    """What tells this version of the file from others, for ``If-Range``."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _write(chunks: Iterable[bytes], part: Path, start: int, total: int | None, progress: bool) -> None:
    bar = tqdm(
        total=total, initial=start, desc=part.name.removesuffix(".part"), unit="B", unit_scale=True,
        disable=None if progress else True,
    )  # fmt: skip
    try:
        with bar, part.open("ab" if start else "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                bar.update(len(chunk))
    except OSError as error:  # of the disk: those of the connection are urllib3's
        raise InputError(
            f"{part} cannot be written ({error.strerror}); what is there stays: put that right and repeat the command."
        ) from error


def check_room(folder: Path, size: int) -> None:
    """Checks that the disk of a folder, which may not be there yet, has room.

    Raises:
        InputError: it has not.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise InputError(
            f"{folder} needs room for {amount(size)}, but its disk has {amount(free)} left; free some, or take a "
            "folder on another disk."
        )


def checksums(path: Path, progress: bool = True) -> dict[str, str]:
    """SHA-256 and MD5 of a file, in hexadecimal digits, by algorithm.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "a").write_bytes(b"")
    ...     checksums(Path(folder) / "a")["md5"]
    0
    'd41d8cd98f00b204e9800998ecf8427e'
    """
    sums = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    size = path.stat().st_size
    large = progress and size > 1 << 28
    with path.open("rb") as file, tqdm(total=size, desc=f"checksum of {path.name}", unit="B", unit_scale=True,
                                       disable=None if large else True) as bar:  # fmt: skip
        while chunk := file.read(CHUNK):
            for one in sums.values():
                one.update(chunk)
            bar.update(len(chunk))
    return {name: one.hexdigest() for name, one in sums.items()}


def _reason(error: BaseException) -> str:
    """The first cause of somebody else's error."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
