"""Published data sets, fetched, verified, unpacked and brought into the layout that a reader takes.

torchvision's own downloaders (``download=True``) are not called: they unpack without a check of the members' paths,
begin anew where a transfer broke off, know no mirrors, and do not look at the disk first. The addresses and checksums
that they know are those of ``sources.yaml``.
"""

import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field

from mtlkit.data import LAYOUTS
from mtlkit.data.archives import DAMAGED, git_tree, merge, unpacked
from mtlkit.data.sources import Address, Source, SourceFile, sources
from mtlkit.data.splits import some
from mtlkit.data.transfer import TransferError, check_room, checksums, fetch
from mtlkit.errors import InputError, unknown
from mtlkit.files import written_whole

RECORD = "source.json"
"""What a folder got, from where, and what it was verified by."""

Say = Callable[[str], None]


class Kept(BaseModel):
    """What the record says of a file: where it came from, what it was compared with, and the files in it."""

    bytes: int
    sha256: str
    md5: str
    url: str | None
    verified: str | None
    unpacked: int | None = None


class Provenance(BaseModel):
    """What a folder got, ``source.json`` in it."""

    source: str
    files: dict[str, Kept] = Field(default_factory=dict)


def source(name: str) -> Source:
    """The data set of that name.

    Raises:
        InputError: there is none.
    """
    if name not in sources():
        raise unknown("published data set", name, sources())
    return sources()[name]


def get(name: str, folder: Path, *, accepted: str | None = None, parts: Sequence[str] = (), say: Say = print) -> Source:
    """Fetches a data set into a folder, in the layout that its reader takes.

    Files that are there already are verified, not fetched; an interrupted call goes on when it is repeated. Archives
    that were fetched are removed once they are unpacked, those that lay there stay.

    Args:
        name: a key of :func:`mtlkit.data.sources.sources`.
        folder: where to; it is made.
        accepted: the terms that the user accepts, as the data set names them.
        parts: what is wanted besides.
        say: takes a line about what is done.

    Raises:
        InputError: the terms have to be accepted, a file has to be fetched by hand, the disk has no room, no address
            gives a file, a checksum or a count differs, or an archive is damaged or would write elsewhere.
    """
    wanted = source(name)
    say(f"{wanted.title}. Terms: {wanted.terms}.")
    if wanted.accept and accepted != wanted.accept:
        raise InputError(
            f"The terms of {name} ({wanted.terms}) have to be accepted: add --i-accept {wanted.accept} if you do."
        )
    files = wanted.wanted(parts)
    record = _read(folder) or Provenance(source=name)
    if record.source != name:
        raise InputError(f"{folder} holds {record.source}; name another folder for {name}.")
    files = {place: file for place, file in files.items() if not _done(folder / place, file, record.files.get(place))}
    if wanted.files and not files:
        say(f"All files were verified before; 'mtlkit data verify {folder}' does so again.")
    _by_hand(wanted, files, folder, say)
    check_room(folder, _room(folder, files))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{RECORD}.lock", timeout=0):
            for place, file in files.items():
                kept = record.files[place] = _obtain(place, file, folder, wanted.elsewhere, say)
                with written_whole(folder / RECORD) as path:
                    path.write_text(record.model_dump_json(indent=1), encoding="utf-8")
                if kept.unpacked is not None and kept.url is not None:
                    (folder / place).unlink()
            _arrange(wanted, folder)
    except Timeout as error:
        raise InputError(f"Another process is getting {name} into {folder}; wait for it.") from error
    except OSError as error:
        raise InputError(
            f"{error.filename or folder} cannot be written ({error.strerror or error}); put that right and repeat the "
            "command."
        ) from error
    faults = [fault for fault in _count(wanted, folder).values() if fault]
    if faults:
        raise InputError(f"{folder} is not complete: {'; '.join(faults)}.")
    if wanted.note:
        say(wanted.note)
    return wanted


def verified(folder: Path) -> bool:
    """Whether a published checksum was there for every file that a folder got."""
    record = _read(folder)
    return record is not None and all(file.verified for file in record.files.values())


def verify(folder: Path, name: str | None = None) -> tuple[list[str], list[str]]:
    """Compares the files of a folder with what is published of them, whoever fetched them.

    A file's size is compared first, then its checksums; of unpacked archives, how many files there are.

    Args:
        folder: of a data set, or of its archives.
        name: which it is; ``None``: as the folder's record or the files' names say.

    Returns:
        A line for every check that could be made or not, and those that are faults.

    Raises:
        InputError: there is no such folder, none of the files is in it, or nothing tells which data set it is.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    record = _read(folder)
    name = name or (record.source if record else _recognised(folder))
    wanted, got = source(name), record.files if record else {}
    if not got.keys() & wanted.files.keys() and not _present(wanted, folder, wanted.counts):
        files = some([*wanted.files, *wanted.counts])
        raise InputError(f"{folder} holds none of the files of {name} ({files}); name the folder that does.")
    lines, faults = [f"{name}: {wanted.title}."], []
    for place, file in wanted.files.items():
        path, before = folder / place, got.get(place)
        fault = None
        if path.is_file():
            sums, fault = _compared(path, file)
            if fault is None and before and sums and not file.sums and sums["sha256"] != before.sha256:
                fault = "another sha256 than when it was fetched"
            line = fault or _good(file, sums)
        elif before and file.git_tree:
            content = folder / (file.unpack or "")
            same = content.is_dir() and git_tree(content) == file.git_tree
            fault = None if same else "the unpacked files are not those of the published Git tree"
            line = fault or "the unpacked files are the published Git tree"
        elif before and before.unpacked is None and file.urls:
            line = fault = "it was fetched, and is gone"
        elif before:
            line = f"unpacked and removed; it was {before.verified or 'unverified'}, sha256 {before.sha256}"
        else:
            line = "not there" + (f"; it belongs to the part {file.part}" if file.part else "")
        lines.append(f"{place}: {line}.")
        faults += [lines[-1]] * (fault is not None)
    complete = all(place in got for place, file in wanted.wanted().items() if file.unpack is not None)
    for pattern, fault in _count(wanted, folder).items():
        there = any(True for _ in folder.glob(pattern))
        if there or (complete and got):
            lines.append(f"{pattern}: {fault or f'{wanted.counts[pattern]:,} files'}.")
            faults += [lines[-1]] * (fault is not None)
    return lines, faults


def _read(folder: Path) -> Provenance | None:
    path = folder / RECORD
    try:
        return Provenance.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise InputError(f"{path} cannot be read ({reason}); remove it to have the files verified anew.") from error


def _recognised(folder: Path) -> str:
    """Which data set's files lie there."""
    there = {
        name: _present(one, folder, [pattern for pattern in one.counts if not pattern.startswith("**")])
        for name, one in sources().items()
    }
    most = max(there.values())
    names = [name for name, count in there.items() if count == most]
    if not most or len(names) > 1:
        which = f"may be {' or '.join(names)}" if most else "holds no file of a known data set under its published name"
        raise InputError(f"{folder} {which}; say which it is, as the second argument.")
    return names[0]


def _present(wanted: Source, folder: Path, patterns: Iterable[str]) -> int:
    """How many of its published files lie there, and of how many patterns of what is in them some file does."""
    published = sum((folder / place).is_file() for place in wanted.files)
    return published + sum(any(True for _ in folder.glob(pattern)) for pattern in patterns)


def _by_hand(wanted: Source, files: Mapping[str, SourceFile], folder: Path, say: Say) -> None:
    missing = [place for place, file in files.items() if not file.urls and not (folder / place).is_file()]
    if not missing and wanted.files:
        return
    for number, step in enumerate(wanted.by_hand, 1):
        say(f"{number}. {step.replace('FOLDER', str(folder))}")
    what = f"{', '.join(missing)} must be fetched by hand" if missing else "It must be fetched by hand"
    raise InputError(f"{what}, in the steps above, into {folder}.")


def _arrange(wanted: Source, folder: Path) -> None:
    if wanted.arrange is not None:
        module, _, function = wanted.arrange.partition(":")
        getattr(import_module(module), function)(folder)
    elif wanted.layout is not None:
        LAYOUTS[wanted.layout].arrange(folder)


def _done(path: Path, file: SourceFile, kept: Kept | None) -> bool:
    """Whether a file was verified before, and is there or was unpacked."""
    if kept is None:
        return False
    return kept.unpacked is not None or not file.urls or (path.is_file() and path.stat().st_size == kept.bytes)


def _room(folder: Path, files: Mapping[str, SourceFile]) -> int:
    """Bytes that are still to be written: every file that stays, what archives hold, and the largest of these."""
    stay, archives = 0, [0]
    for place, file in files.items():
        path = folder / place
        there = next((one.stat().st_size for one in (path, _part(path)) if one.is_file()), 0)
        missing = max(file.size - there, 0) if file.urls else 0
        if file.unpack is None:
            stay += missing + (file.unpacked or 0)
        else:
            stay += file.unpacked or file.size
            archives.append(missing)
    return stay + max(archives)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _obtain(place: str, file: SourceFile, folder: Path, elsewhere: str | None, say: Say) -> Kept:
    """One file, fetched unless it is there, and unpacked; hands back what the record says of it."""
    path, url = folder / place, None
    if path.is_file():
        sums, fault = _compared(path, file)
        if fault:
            raise InputError(f"{path} is not the published file ({fault}); remove it to fetch it.")
    else:
        url, sums = _download(path, file, elsewhere, say)
    say(f"{place}: {_good(file, sums)}.")
    kept = Kept(
        bytes=path.stat().st_size,
        sha256=sums["sha256"],
        md5=sums["md5"],
        url=url,
        verified=" and ".join(file.sums) or None,
    )
    if file.unpack is None:
        return kept
    say(f"{place}: unpacking.")
    with unpacked(path, folder) as content:
        if file.git_tree:
            (content,) = content.iterdir()  # of a commit, all is in one folder
            if (tree := git_tree(content)) != file.git_tree:
                raise InputError(f"{path} holds the Git tree {tree}, not {file.git_tree}; remove it to fetch it again.")
            kept.verified = "git_tree"
        kept.unpacked = merge(content, folder / file.unpack)
    return kept


def _download(path: Path, file: SourceFile, elsewhere: str | None, say: Say) -> tuple[str, dict[str, str]]:
    """Fetches a file from the first address that gives it; hands back that address, and its checksums."""
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for address in file.urls:
        say(f"{path.name}: from {address.url}")
        for _ in range(2):  # the second time without what an earlier transfer left
            try:
                part, resumed = _fetched(address, path, file)
            except TransferError as error:
                failures.append(f"{address.url}: {error}")
                break
            sums, fault = _compared(part, file)
            if fault is None:
                part.replace(path)
                return address.url, sums
            part.unlink()
            if not resumed:
                failures.append(f"{address.url}: {fault}")
                break
    also = f"; {elsewhere}" if elsewhere else ""
    raise InputError(f"{path.name} cannot be fetched ({'; '.join(failures)}){also}.")


def _fetched(address: Address, path: Path, file: SourceFile) -> tuple[Path, bool]:
    """What an address gives, not yet compared, and whether some of it is of an earlier transfer."""
    part = _part(path)
    if address.member is None:
        return part, fetch(address.url, part, size=file.bytes, checked=bool(file.sums))
    archive = path.with_name(f"{path.name}.zip.part")
    resumed = fetch(address.url, archive, checked=bool(file.sums))
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(address.member) as member, part.open("wb") as written:
            check_room(part.parent, opened.getinfo(address.member).file_size)
            shutil.copyfileobj(member, written)
    except (*DAMAGED, KeyError) as error:
        raise TransferError(f"no zip that holds {address.member}") from error
    finally:
        archive.unlink(missing_ok=True)
    return part, resumed


def _compared(path: Path, file: SourceFile) -> tuple[dict[str, str], str | None]:
    """A file's checksums, and how it differs from the published one."""
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        return {}, f"{size:,} bytes instead of {file.bytes:,}"
    try:
        sums = checksums(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); put that right.") from error
    for name, value in file.sums.items():
        if sums[name] != value:
            return sums, f"{name} {sums[name]} instead of {value}"
    return sums, None


def _good(file: SourceFile, sums: Mapping[str, str]) -> str:
    if file.sums:
        return f"{' and '.join(file.sums)} as published"
    if file.git_tree:
        return "verified by what it holds, once that is unpacked"
    return f"unverified, as no checksum is public; sha256 {sums['sha256']}, md5 {sums['md5']}"


def _count(wanted: Source, folder: Path) -> dict[str, str | None]:
    """Pattern -> what is wrong with the number of files that fit it."""
    counted = {pattern: sum(1 for _ in folder.glob(pattern)) for pattern in wanted.counts}
    return {
        pattern: None if count == wanted.counts[pattern] else f"{count:,} of {wanted.counts[pattern]:,} {pattern}"
        for pattern, count in counted.items()
    }
