"""Where records lie: what is published with the book, and what this reader ran."""

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import mtlkit
from mtlkit.errors import InputError
from mtlkit.ledger import KEPT_LIMIT, LEASE_SECONDS, Ledger


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
        """
        root = checkout()
        if own is not None:
            own = Path(os.path.expanduser(own))
        elif named := os.environ.get("MTLKIT_RESULTS"):
            own = Path(os.path.expanduser(named))
        else:
            own = (root or Path.cwd()) / "runs"
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


def leftovers(folder: Path) -> dict[str, list[Path]]:
    """What -> files of a results folder that can go without losing a number that is compared: all in ``.state``, of
    which each folder has its name (``weights``, ``checkpoints``), the records of profile ``smoke``, and what killed
    processes left of records.

    Raises:
        InputError: something is running there.
    """
    # A lock that nobody has renewed for an hour is of a machine that is gone.
    locks = [path for path in folder.glob("*/.state/locks/*.lock") if _unchanged_for(path) < 30 * LEASE_SECONDS]
    if any(Ledger(folder / path.relative_to(folder).parts[0]).held(path.stem) for path in locks):
        raise InputError(f"Something is running in {folder}; remove nothing before it ends.")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/.state/*/*")):
        found.setdefault(path.parent.name, []).append(path)
    if smoke := sorted((folder / "smoke").glob("*/*.json")):
        found["smoke"] = smoke
    if parts := sorted(folder.glob("*/*/*.json.*.part")):
        found["parts"] = parts
    return found


def _unchanged_for(path: Path) -> float:
    """Seconds since a file was changed."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return math.inf
