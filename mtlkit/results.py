"""Where records lie: what is published with the book, and what this reader ran."""

import json
import math
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mtlkit
from mtlkit.errors import InputError
from mtlkit.files import at_home, regular, written_whole
from mtlkit.ledger import IDENTITY, KEPT_LIMIT, LEASE_SECONDS, Ledger, Record, intact

PROFILES = ("smoke", "lite", "paper")
"""The folders of a results folder; those that :data:`mtlkit.papers.options.PROFILES` names."""

STATE = ("locks", "checkpoints", "failed", "ray")
"""The folders of a profile's ``.state`` that are no tensors'."""


def checkout() -> Path | None:
    """The repository that mtlkit runs from, where it runs from one."""
    root = Path(mtlkit.__file__).parents[1]
    return root if (root / "pyproject.toml").exists() else None


@dataclass(frozen=True)
class Results:
    """Two folders of records, of which the second lies over the first: runs read both and write the second.

    Attributes:
        own: the reader's runs.
        published: what came with the book; ``None``: nothing did. Who names that folder as ``own`` writes there.
        kept_limit: bytes of weights and other tensors that a profile of ``own`` keeps before the oldest go.
    """

    own: Path
    published: Path | None = None
    kept_limit: int = KEPT_LIMIT

    @classmethod
    def of(cls, own: Path | None = None, kept_limit: int = KEPT_LIMIT) -> "Results":
        """A reader's runs over what was published: the folder ``results`` of the checkout that mtlkit runs from.

        Args:
            own: as given, else ``MTLKIT_RESULTS``, else ``runs`` of the checkout, else ``runs`` in the current folder.
            kept_limit: as above.

        Raises:
            InputError: it is a file, or starts with ``~`` and no user.
        """
        root = checkout()
        if own is not None:
            own = at_home(own)
        elif named := os.environ.get("MTLKIT_RESULTS"):
            own = at_home(named)
        else:
            own = (root or Path.cwd()) / "runs"
        if own.exists() and not own.is_dir():
            raise InputError(f"The results folder {own} is a file; name a folder.")
        return cls(own, None if root is None else root / "results", kept_limit)

    def ledger(self, profile: str) -> Ledger:
        """The ledger of a profile; each has folders of its own, since smoke records are never published."""
        apart = self.published is not None and self.published.resolve() != self.own.resolve()
        under = Ledger(self.published / profile) if self.published is not None and apart else None
        return Ledger(self.own / profile, under, kept_limit=self.kept_limit)

    def layers(self) -> dict[str, "Results"]:
        """``published``: what came with the book alone; ``own``: with the reader's runs over it, where there are any.

        Of one folder for both, ``published``.
        """
        found = {} if self.published is None else {"published": Results(self.published)}
        apart = self.published is None or self.published.resolve() != self.own.resolve()
        return found | ({"own": self} if apart and self.own.exists() else {})


def profiles(folder: Path) -> list[Path]:
    """The folders of profiles that a results folder has.

    Raises:
        InputError: there is no such folder, or it holds something else: files, but neither a record nor the state of
            runs where a results folder has them.
    """
    where = "PROFILE/KIND/, where PROFILE is smoke, lite or paper"
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; a results folder has records in {where}.")
    found = [folder / name for name in PROFILES if (folder / name).is_dir()]
    # A damaged record has its name still.
    known = any((path / ".state").is_dir() for path in found) or any(
        re.fullmatch(IDENTITY, path.stem) or _is_record(path)
        for profile in found
        for path in profile.glob("[!.]*/*.json")
    )
    if not known and any(path.is_file() for path in folder.rglob("*")):
        raise InputError(f"{folder} is no results folder; it holds no records in {where}.")
    return found


def leftovers(folder: Path) -> dict[str, list[Path]]:
    """What -> files of a results folder that can go without losing a number that is compared: those of ``.state``, of
    which each folder has its name (``weights``, ``checkpoints``), the records of profile ``smoke``, and what killed
    processes left of records. Files of anything else are not among them, wherever they lie.

    Raises:
        InputError: something is running there, or it is no results folder.
    """
    if not folder.exists():
        return {}
    each = profiles(folder)
    # A lock that nobody has renewed for an hour is of a machine that is gone.
    locks = [
        (profile, path)
        for profile in each
        for path in profile.glob(".state/locks/*.lock")
        if _silent(path) < 30 * LEASE_SECONDS
    ]
    if any(Ledger(profile).held(path.stem) for profile, path in locks):
        raise InputError(f"Something is running in {folder}; remove nothing before it ends.")
    found: dict[str, list[Path]] = {}
    for path in sorted(path for profile in each for path in profile.glob(".state/*/*") if path.is_file()):
        if path.parent.name in STATE or ".safetensors" in path.name:
            found.setdefault(path.parent.name, []).append(path)
    if smoke := sorted(path for path in (folder / "smoke").glob("[!.]*/*.json") if _is_record(path)):
        found["smoke"] = smoke
    if parts := sorted(path for profile in each for path in profile.glob("[!.]*/*.json.*.part")):
        found["parts"] = parts
    return found


def verify(folder: Path) -> tuple[int, list[str]]:
    """How many records a results folder holds, and a sentence for every one, or file of tensors, that is damaged.

    Nothing is changed.

    Raises:
        InputError: there is no such folder, or it is no results folder.
    """
    count, faults = 0, []
    for profile in profiles(folder):
        ledger = Ledger(profile)
        for path in sorted(profile.glob("[!.]*/*.json")):
            count += 1
            try:
                ledger.find(path.parent.name, path.stem)
            except InputError as error:
                faults.append(str(error))
        for path in sorted(profile.glob(".state/*/*.safetensors")):
            try:
                if not intact(path, path.stem):
                    faults.append(f"{path} is damaged or that of another run; it will be set aside when it is needed.")
            except InputError as error:
                faults.append(str(error))
    return count, faults


def merge(sources: Iterable[Path], into: Path) -> tuple[int, list[str]]:
    """Copies the records of several results folders into one; what is there stays as it is.

    Two records of one node are the same where all that was measured is the same, whoever ran it and when.

    Args:
        sources: folders of records, a folder a profile.
        into: the folder that is to hold them all.

    Returns:
        How many records were copied, and a sentence for every one that differs from the one that is there.

    Raises:
        InputError: a source is no folder of results, holds a damaged record, or is ``into``.
    """
    found: dict[Path, Path] = {}
    conflicts = []
    for source in sources:
        if source.resolve() == into.resolve():
            raise InputError(f"{source} cannot be merged into itself; name another folder.")
        paths = sorted(path for profile in profiles(source) for path in profile.glob("[!.]*/*.json"))
        if not paths:
            raise InputError(f"{source} holds no records; a results folder has them in PROFILE/KIND/.")
        _, faults = verify(source)
        if faults:
            raise InputError(faults[0])
        for path in paths:
            place = into / path.relative_to(source)
            known = found.get(place, place if place.exists() else None)
            if known is None:
                found[place] = path
            elif measured(known) != measured(path):
                threads = [_threads(one) for one in (path, known)]
                why = "" if threads[0] == threads[1] else f" (computed with {threads[0]} threads, not {threads[1]})"
                conflicts.append(f"{path} holds other numbers{why} than {known}, which stays; decide for one of them.")
    for place, path in found.items():
        with written_whole(place) as part:
            part.write_bytes(path.read_bytes())
    return len(found), conflicts


def measured(path: Path) -> dict[str, Any]:
    """What a record says apart from who ran it, when, on what, and how long it took."""
    apart = ("created", "commit", "versions", "hardware", "timing", "seconds", "loaded", "weights")
    return {key: value for key, value in _content(path).items() if key not in apart}


def _content(path: Path) -> dict[str, Any]:
    """A record as it is written.

    Raises:
        InputError: it is damaged.
    """
    regular(path)
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return found
    except (OSError, ValueError, RecursionError):
        pass
    raise InputError(f"{path} is not a record; remove it to run its node again.")


def _is_record(path: Path) -> bool:
    """Whether a file holds the record that its place and name are those of."""
    try:
        record = Record.model_validate_json(path.read_bytes() if path.is_file() else b"")
    except (OSError, ValueError):
        return False
    return (record.kind, record.identity) == (path.parent.name, path.stem)


def _threads(path: Path) -> int | None:
    """How many threads a record's numbers were computed with; on CPUs, where another number changes the last bits."""
    found: int | None = _content(path).get("hardware", {}).get("threads")
    return found


def _silent(path: Path) -> float:
    """Seconds since a file was changed."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return math.inf
