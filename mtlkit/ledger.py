"""What has been run: one record a node, found by identity, written whole or not at all.

A ledger is a folder of small JSON files, one folder a kind. Beside them, in ``.state`` (never committed), lie the
locks, the checkpoints of unfinished trainings and the weights of finished ones, the oldest of which go when a size
is reached.
"""

import hashlib
import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel
from safetensors.torch import load_file, save_file
from torch import Tensor

import mtlkit
from mtlkit.errors import InputError, WeightsMissing
from mtlkit.metrics.bootstrap import Drawn
from mtlkit.training import Divergence, History, Timing

WEIGHTS_LIMIT = 8 * 1024**3
"""Bytes of kept tensors of a kind before the oldest go."""


class Record(BaseModel):
    """All there is to say about one run.

    Attributes:
        kind: what ran; the folder.
        identity: of the value that ran; the file's name.
        settings: the value in canonical form: its class and whatever differs from the defaults.
        metrics: measures by name (evaluations).
        samples: numbers of every test picture, in their order, by name: what the measures come from where it is that
            little; ``group`` numbers what each picture shows (evaluations).
        resampled: measures by name on draws of the test pictures with replacement, the same draws for every
            evaluation of a test split (:mod:`mtlkit.metrics.bootstrap`), so that rows compare draw by draw
            (evaluations).
        drawn: task -> what those draws were made of (evaluations).
        rounds: measures by name, one value a round, of what was timed (evaluations).
        history: what the losses did (trainings).
        timing: seconds.
        diverged: where the training ended before its time; it keeps no weights then (trainings).
        data: images in each split, classes and whatever else was counted.
        weights: SHA-256 of the tensors that are kept beside it: the trained weights (trainings).
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
    diverged: Divergence | None = None
    data: dict[str, Any] = {}
    weights: str | None = None
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = {}
    commit: str | None = None
    created: str = ""


class Ledger:
    """Records under one folder, shared safely by several processes."""

    def __init__(self, root: Path, *, weights_limit: int = WEIGHTS_LIMIT):
        self.root = root
        self.state = root / ".state"
        self.weights_limit = weights_limit

    def path(self, kind: str, identity: str) -> Path:
        """The record's file."""
        return self.root / kind / f"{identity}.json"

    def find(self, kind: str, identity: str) -> Record | None:
        """The record, or ``None`` when there is none yet.

        Raises:
            InputError: when the file is there and is no record.
        """
        path = self.path(kind, identity)
        try:
            text = path.read_text()
        except FileNotFoundError:
            return None
        try:
            return Record.model_validate_json(text)
        except ValueError as error:
            raise InputError(f"{path} is not a record of this version; remove it to run its node again.") from error

    def all(self, kind: str) -> list[Record]:
        """Every record of a kind, oldest first."""
        found = [self.find(kind, path.stem) for path in (self.root / kind).glob("*.json")]
        return sorted((record for record in found if record), key=lambda record: (record.created, record.identity))

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
        _write_whole(self.path(record.kind, record.identity), text)
        return record

    def lock(self, identity: str) -> FileLock:
        """Held while the node runs, so that two processes never run it twice."""
        folder = self.state / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The results folder {self.root} cannot be written ({error.strerror}).") from error
        return FileLock(folder / f"{identity}.lock")

    def checkpoint(self, identity: str) -> Path:
        """Where an unfinished training keeps its state."""
        return self.state / "checkpoints" / f"{identity}.pt"

    def tensors_path(self, folder: str, identity: str) -> Path:
        """Where a node's tensors lie, while they do."""
        return self.state / folder / f"{identity}.safetensors"

    def keeps(self, folder: str, identity: str) -> bool:
        """Whether a node's tensors are still there."""
        return self.tensors_path(folder, identity).exists()

    def save(self, folder: str, identity: str, tensors: dict[str, Tensor]) -> str:
        """Keeps tensors, makes room by letting the least recently used of the folder go, returns their SHA-256."""
        path = self.tensors_path(folder, identity)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part)
        part.replace(path)
        kept = sorted(path.parent.glob("*.safetensors"), key=lambda p: p.stat().st_mtime, reverse=True)
        total = 0
        for file in kept:
            total += file.stat().st_size
            if total > self.weights_limit and file != path:
                file.unlink(missing_ok=True)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def load(self, folder: str, identity: str, digest: str | None = None) -> dict[str, Tensor]:
        """What :meth:`save` was given.

        Args:
            folder: as there.
            identity: as there.
            digest: what it returned; where given, it is checked.

        Raises:
            WeightsMissing: the tensors were let go, or are not those of the digest.
        """
        path = self.tensors_path(folder, identity)
        if not path.exists():
            raise WeightsMissing(f"The {folder} of {identity} are no longer kept; run again with --retrain.")
        if digest is not None and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise WeightsMissing(
                f"The {folder} of {identity} differ from those its record speaks of; run again with --retrain to make "
                "them anew."
            )
        os.utime(path)
        return load_file(path)


def versions() -> dict[str, str]:
    """Versions of the libraries that decide numbers."""
    found = {"python": platform.python_version(), "mtlkit": mtlkit.__version__}
    for name in ("torch", "torchvision", "timm", "lightning"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a library vendored without metadata
            found[name] = "unknown"
    return found


def commit() -> str | None:
    """The commit of the checkout that mtlkit runs from, with a ``+`` for uncommitted changes; else ``None``."""
    root = Path(mtlkit.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        diff = subprocess.run(["git", "-C", root, "diff", "--quiet", "HEAD", "--", "mtlkit"], check=False)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip()[:12] + ("+" if diff.returncode else "")


def _write_whole(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(text)
        part.replace(path)
    except OSError as error:
        raise InputError(f"The record {path} cannot be written ({error.strerror}).") from error
