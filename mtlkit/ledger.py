"""What has been run: one record a node, found by identity, written whole or not at all.

A ledger is a folder of small JSON files, one folder a kind. Beside them, in ``.state`` (never committed), lie the
locks, the checkpoints of unfinished trainings and the weights of finished ones, the oldest of which go when a size
is reached. A ledger may lie over another, which it reads and never writes.
"""

import hashlib
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import SoftFileLease, Timeout
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialised
from torch import Tensor

import mtlkit
from mtlkit.errors import InputError, WeightsMissing
from mtlkit.files import NotWritten, permitted, regular, set_aside, sweep, written_whole
from mtlkit.history import Divergence, History, Timing
from mtlkit.metrics.bootstrap import Drawn
from mtlkit.values import hash_of

IDENTITY = "[0-9a-f]{12}"
"""A regular expression of the identities of nodes, which records are called by."""

GIB = 1024**3
KEPT_LIMIT = 8 * GIB
"""Bytes of tensors that a ledger keeps before the oldest go."""

LEASE_SECONDS = 120.0
"""How long a silent holder's claim of a node stands."""

UNSIGNED_SECONDS = 10.0
"""How long a claim stands that names no holder."""


class Record(BaseModel):
    """All there is to say about one run.

    Attributes:
        kind: what ran; the folder.
        identity: of the value that ran; the file's name.
        settings: the value in canonical form: its class and whatever differs from the defaults.
        metrics: measures by name (evaluations).
        samples: numbers of every test image, in their order, by name: what the measures come from where it is that
            little; ``group`` numbers what each image shows (evaluations).
        resampled: measures by name on draws of the test images with replacement, the same draws for every
            evaluation of a test split (:mod:`mtlkit.metrics.bootstrap`), so that rows compare draw by draw
            (evaluations).
        drawn: task -> what those draws were made of (evaluations).
        rounds: measures by name, one value a round, of what was timed (evaluations).
        history: what the losses did (trainings).
        timing: seconds (trainings).
        seconds: that the run took as a whole, or its last part where it was resumed.
        diverged: where the training ended before its time; it keeps no weights then (trainings).
        data: images in each split, classes and whatever else was counted.
        weights: digest of the tensors that are kept beside it: the trained weights (trainings).
        loaded: identity -> digest of the tensors that it read, and of those that features and predictions it read were
            made from.
        versions: of the libraries that decide numbers.
        hardware: processor or accelerator, threads.
        commit: of mtlkit, where it ran from a checkout; ``+`` marks uncommitted changes.
        created: UTC, to the second.
    """

    kind: str
    identity: str
    settings: dict[str, Any]
    metrics: Mapping[str, float | None] = {}
    samples: dict[str, list[float]] = {}
    resampled: dict[str, list[float]] = {}
    drawn: dict[str, Drawn] = {}
    rounds: dict[str, list[float]] = {}
    history: History | None = None
    timing: Timing | None = None
    seconds: float | None = None
    diverged: Divergence | None = None
    data: dict[str, Any] = {}
    weights: str | None = None
    loaded: dict[str, str] = {}
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = {}
    commit: str | None = None
    created: str = ""

    def misfit(self, kind: str, identity: str) -> str | None:
        """Why this is not the record of a node, the rest of a sentence that begins with its file; ``None``: it is.

        Args:
            kind: of the node, the folder.
            identity: of the node, the file's name.
        """
        if (self.kind, self.identity) != (kind, identity):
            return f"holds the record of {self.kind} {self.identity}"
        if "is" not in self.settings:  # of a table's column, which is no node
            return None
        if hash_of(self.settings) != identity:
            return "holds other settings than those that its name is made of"
        if not (self.metrics or self.history or self.diverged):
            return "holds no result"
        return None


class Ledger:
    """Records under one folder, shared safely by several processes.

    Attributes:
        root: the folder.
        under: where records and tensors are looked up that are not in the folder; nothing is written there.
        kept_limit: bytes of tensors that are kept before the oldest go.
        needed: identities whose tensors stay nevertheless, since what runs here still reads them.
    """

    def __init__(self, root: Path, under: "Ledger | None" = None, *, kept_limit: int = KEPT_LIMIT):
        self.root = root
        self.under = under
        self.state = root / ".state"
        self.kept_limit = kept_limit
        self.needed: Collection[str] = ()
        self._locks: dict[str, SoftFileLease] = {}
        self._unsigned: dict[str, tuple[tuple[int, int], float]] = {}
        self._whole: set[tuple[Path, int, int]] = set()

    def path(self, kind: str, identity: str) -> Path:
        """The record's file."""
        return self.root / kind / f"{identity}.json"

    def find(self, kind: str, identity: str) -> Record | None:
        """The record, or ``None`` when there is none yet.

        Raises:
            InputError: when the file is there and is no record, or that of something else.
        """
        path = self.path(kind, identity)
        regular(path)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None if self.under is None else self.under.find(kind, identity)
        except OSError as error:
            raise InputError(f"The record {path} cannot be read ({error.strerror}).") from error
        try:
            record = Record.model_validate_json(content)
        except ValueError as error:
            what = "is not a record of this version"
            known = re.fullmatch(IDENTITY, identity)  # or else a file that no run has written
            remedy = "remove it to run its node again" if known else "keep it in another folder"
            raise InputError(f"{path} {what}; {remedy}.") from error
        if fault := record.misfit(kind, identity):
            raise InputError(f"{path} {fault}; remove it to run its node again.")
        return record

    def all(self, kind: str) -> list[Record]:
        """Every record of a kind, oldest first; of the ledger underneath those that are not here."""
        found = {} if self.under is None else {record.identity: record for record in self.under.all(kind)}
        for path in (self.root / kind).glob("*.json"):
            if record := self.find(kind, path.stem):
                found[path.stem] = record
        return sorted(found.values(), key=lambda record: (record.created, record.identity))

    def matching(self, beginning: str) -> list[Record]:
        """The records of any kind whose identity begins so, those of the ledger underneath included."""
        found = {} if self.under is None else {record.identity: record for record in self.under.matching(beginning)}
        for path in self.root.glob("[!.]*/*.json"):
            if path.stem.startswith(beginning) and (record := self.find(path.parent.name, path.stem)):
                found[path.stem] = record
        return list(found.values())

    def own(self, kind: str, identity: str) -> bool:
        """Whether the record lies in this folder and not underneath."""
        return self.path(kind, identity).exists()

    def written(self, kind: str, identity: str) -> float:
        """When the record in this folder was written, as ``time.time()``; 0 where there is none."""
        try:
            return self.path(kind, identity).stat().st_mtime
        except OSError:
            return 0.0

    def write(self, record: Record) -> Record:
        """Adds what every record says of its surroundings, then writes it in one piece."""
        metrics = {
            key: value if value is None or math.isfinite(value) else None for key, value in record.metrics.items()
        }
        record = record.model_copy(
            update={
                "metrics": metrics,
                "versions": versions(),
                "commit": commit(),
                "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
        text = json.dumps(record.model_dump(mode="json", exclude_defaults=True), indent=1) + "\n"
        # Numbers of one list stand on one line: records are read by people, and hundreds of lines hide the others.
        text = re.sub(r"\[[\s\d.,eE+-]*\]", lambda numbers: re.sub(r"\s+", " ", numbers[0]), text)
        with written_whole(self.path(record.kind, record.identity)) as part:
            part.write_text(text)
        return record

    def lock(self, identity: str) -> SoftFileLease:
        """Held while the node runs, so that two processes never run it twice.

        A lease and no lock of the operating system, which over a shared disk may exclude nobody. Its holder renews
        it; what a killed process held is free at once on its own machine, and on others after
        :data:`LEASE_SECONDS` as watched by one lock object.
        """
        folder = self.state / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotWritten.of(self.root, error) from error
        # One object a node, since it is that which sees how long a holder has been silent.
        if identity not in self._locks:
            self._locks[identity] = SoftFileLease(folder / f"{identity}.lock", lease_duration=LEASE_SECONDS)
        return self._locks[identity]

    @contextmanager
    def hold(self, identity: str, title: str, *, wait: bool = True) -> Iterator[None]:
        """Holds the lock; where another process does, says so once, and waits for it.

        Args:
            identity: of the node.
            title: what a message calls it.
            wait: whether to wait.

        Raises:
            Timeout: another process holds it, and ``wait`` is off.
            NotWritten: the folder is read-only, or there is no room in it.
        """
        lock = self.lock(identity)
        try:
            try:
                self._free_unsigned(lock)
                lock.acquire(timeout=0)
            except Timeout:
                if not wait:
                    raise
                owner = lock.owner
                who = "another process" if owner is None else f"process {owner.pid} on {owner.hostname}"
                print(f"Waiting for {who}, which runs {title} ({identity}).", file=sys.stderr, flush=True)
                while not lock.is_locked:
                    self._free_unsigned(lock)
                    with suppress(Timeout):
                        lock.acquire(timeout=1)
        except Timeout:
            raise
        except OSError as error:
            raise NotWritten.of(self.root, error) from error
        try:
            yield
        finally:
            lock.release()

    def held(self, identity: str) -> bool:
        """Whether somebody runs the node now."""
        lock = self.lock(identity)
        try:
            self._free_unsigned(lock)
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    def _free_unsigned(self, lock: SoftFileLease) -> None:
        """Removes the claim of a process that was killed before it wrote who it is.

        An empty file blocks filelock for good. Its age is watched here, since the clock of a shared disk is another's.
        """
        path, now = Path(lock.lock_file), time.monotonic()
        try:
            found = path.stat()
        except OSError:  # nobody holds it
            return
        if found.st_size:
            return
        key = found.st_ino, found.st_mtime_ns
        seen, since = self._unsigned.get(path.name, ((0, 0), now))
        if seen != key:
            self._unsigned[path.name] = key, now
        elif now - since >= UNSIGNED_SECONDS:
            path.unlink(missing_ok=True)

    def checkpoint(self, identity: str) -> Path:
        """Where an unfinished training keeps its state."""
        return self.state / "checkpoints" / f"{identity}.pt"

    def ended(self, identity: str) -> None:
        """Removes the checkpoint of a node that is done."""
        self.checkpoint(identity).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Removes what killed runs left: files half written, their locks, and checkpoints of what is done.

        A checkpoint that is younger than its record is of a training that is run anew, for its snapshots say.
        """
        for folder in [*self.root.glob("*"), *self.state.glob("*")]:
            sweep(folder)
        locks = {path.stem for path in self.state.glob("locks/*.lock")}
        done = {
            path.stem
            for path in self.state.glob("checkpoints/*.pt")
            if self.tensors_path("weights", path.stem).exists()
            and any(_as_old(path, record) for record in self.root.glob(f"[!.]*/{path.stem}.json"))
        }
        with suppress(OSError):  # a folder that this user may only read
            for identity in locks | done:
                if not self.held(identity) and identity in done:
                    self.checkpoint(identity).unlink(missing_ok=True)

    def tensors_path(self, folder: str, identity: str) -> Path:
        """Where a node's tensors lie, while they do."""
        return self.state / folder / f"{identity}.safetensors"

    def keeps(self, folder: str, identity: str) -> bool:
        """Whether a node's tensors are still there and whole; what is not is set aside."""
        path = self.tensors_path(folder, identity)
        if path.exists():
            if self._intact(path, identity):
                return True
            set_aside(path)
        below = self.under
        while below is not None:
            path = below.tensors_path(folder, identity)
            if path.exists() and below._intact(path, identity):
                return True
            below = below.under
        return False

    def _intact(self, path: Path, identity: str) -> bool:
        """Whether a file of tensors is whole and the node's; looked at once, for it is read to its end."""
        with suppress(FileNotFoundError):
            status = path.stat()
            known = (path, status.st_ino, status.st_size)
            if known not in self._whole:
                if _read_tensors(path, identity) is None:
                    return False
                self._whole.add(known)
            return True
        return False

    def save(
        self, folder: str, identity: str, tensors: dict[str, Tensor], loaded: Mapping[str, str] | None = None
    ) -> str:
        """Keeps tensors, makes room by letting the least recently used go, returns their digest.

        Args:
            folder: what they are.
            identity: of the node.
            tensors: what is kept.
            loaded: identity -> digest of the tensors that they were made from, where no record says so.
        """
        path = self.tensors_path(folder, identity)
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        digest = digest_of(plain)
        about = {"identity": identity, "sha256": digest, "loaded": json.dumps(dict(loaded or {}))}
        with written_whole(path) as part:  # written here, since save_file lets nobody else read what it writes
            part.write_bytes(serialised(plain, about))
        total = 0
        for file, size, _ in sorted(self.kept(), key=lambda kept: kept[2], reverse=True):
            total += size
            if total > self.kept_limit and file != path and file.stem not in self.needed:
                file.unlink(missing_ok=True)
        return digest

    def kept(self) -> Iterator[tuple[Path, int, float]]:
        """The file of every node's tensors, its size in bytes, and when it was last used, in seconds."""
        for file in self.state.glob("*/*.safetensors"):
            with suppress(FileNotFoundError):  # another process has let it go
                status = file.stat()
                yield file, status.st_size, status.st_mtime

    def load(self, folder: str, identity: str) -> tuple[dict[str, Tensor], str]:
        """What :meth:`save` was given, and the digest that it returned.

        Args:
            folder: as there.
            identity: as there.

        Raises:
            WeightsMissing: the tensors were let go, or the file is damaged or that of another run.
        """
        path = self.tensors_path(folder, identity)
        if not path.exists():
            if self.under is not None:
                return self.under.load(folder, identity)
            raise WeightsMissing(f"The {folder} of {identity} are no longer kept; run again with --retrain.")
        found = _read_tensors(path, identity)
        if found is None:
            raise WeightsMissing(f"The file {path} is damaged or that of another run; run again with --retrain.")
        with suppress(OSError):  # a folder that this user may only read
            os.utime(path)
        return found

    def sources(self, folder: str, identity: str) -> dict[str, str]:
        """The ``loaded`` that :meth:`save` was given with the tensors that are kept."""
        path = self.tensors_path(folder, identity)
        if not path.exists():
            return {} if self.under is None else self.under.sources(folder, identity)
        with safe_open(path, "pt") as file:
            return dict(json.loads((file.metadata() or {}).get("loaded", "{}")))


def intact(path: Path, identity: str) -> bool:
    """Whether a file of a node's tensors is whole and that node's."""
    return _read_tensors(path, identity) is not None


def _read_tensors(path: Path, identity: str) -> tuple[dict[str, Tensor], str] | None:
    """Tensors and their digest; ``None`` of a file that is damaged or that of another node."""
    permitted(path)
    if not path.is_file():  # a named pipe would be waited for
        return None
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        dict(json.loads(metadata.get("loaded", "{}")))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):  # a header that only begins to be one
        return None
    digest = digest_of(tensors)
    # Earlier versions wrote no metadata.
    whole = (metadata.get("identity", identity), metadata.get("sha256", digest)) == (identity, digest)
    return (tensors, digest) if whole else None


def _as_old(path: Path, other: Path) -> bool:
    try:
        return path.stat().st_mtime <= other.stat().st_mtime
    except OSError:  # one is not there
        return False


def digest_of(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of tensors as a safetensors file without metadata."""
    return hashlib.sha256(serialised(tensors)).hexdigest()


def versions() -> dict[str, str]:
    """Versions of the libraries that decide numbers."""
    found = {"python": platform.python_version(), "mtlkit": mtlkit.__version__}
    for name in ("torch", "torchvision", "timm", "lightning"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a library vendored without metadata
            found[name] = "unknown"
    return found


@cache
def commit() -> str | None:
    """The commit of the checkout that mtlkit runs from, with a ``+`` for uncommitted changes; else ``None``.

    Looked up once, when the first run begins: a checkout may move on while its code runs.
    """
    root = Path(mtlkit.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        diff = subprocess.run(["git", "-C", root, "diff", "--quiet", "HEAD", "--", "mtlkit"], check=False)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip()[:12] + ("+" if diff.returncode else "")
