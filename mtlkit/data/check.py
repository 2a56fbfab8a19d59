"""A data set read whole: every fault of it, and what is readable and yet no use."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torchvision import tv_tensors

from mtlkit.data import LAYOUTS, Reader
from mtlkit.data.samples import IGNORE, Depth, Normals, Sample, Split
from mtlkit.data.splits import check_pair, some
from mtlkit.errors import InputError
from mtlkit.files import SUMS, unlike_sums

MOST = 20
"""Sentences about faults that are kept."""


@dataclass
class Fault:
    """Faults of one kind: how many there are, and sentences about the first of them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What was found.

    Attributes:
        splits: split -> how many samples and classes it has, its fingerprint, and the targets that were read; a split
            that cannot be opened is not there.
        faults: kind -> what must be put right; at most :data:`MOST` sentences in all.
        warnings: sentences about what is readable and looks wrong.
        notes: what else is to be known, such as what an absent column means.
    """

    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=lambda: defaultdict(Fault))
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)

    def add(self, kind: str, sentence: str) -> None:
        """Counts a fault, once: both splits read a table that holds both."""
        if sentence in self._told:
            return
        self._told.add(sentence)
        fault = self.faults[kind]
        fault.count += 1
        if sum(len(one.examples) for one in self.faults.values()) < MOST:
            fault.examples.append(sentence)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        faults = {kind: asdict(fault) for kind, fault in self.faults.items()}
        return {"splits": self.splits, "faults": faults, "warnings": self.warnings, "notes": self.notes}


def check(layout: str, root: Path, settings: Mapping[str, Any] | None = None) -> Report:
    """Reads every sample of both splits, with all targets that the folder offers.

    Args:
        layout: a key of :data:`mtlkit.data.LAYOUTS`.
        root: the data set's folder.
        settings: further arguments of the layout's reader.
    """
    report = Report()
    reader = LAYOUTS[layout]
    splits: dict[Split, Reader] = {}
    images: dict[str, dict[str, str]] = {}
    try:
        tasks = reader.offered(root)
    except InputError as error:
        report.add(_kind(error), str(error))
        return report
    for split in ("train", "val"):
        whole = dict(settings or {}) | ({"faulty": "skip"} if "faulty" in reader.settings else {})
        try:
            dataset = reader(root, split, tasks, **whole)
            report.splits[split] = {
                "samples": len(dataset), "classes": len(dataset.classes), "fingerprint": dataset.fingerprint(),
                "targets": list(dataset.tasks),
            }  # fmt: skip
        except InputError as error:
            report.add(_kind(error), str(error))
            continue
        for kind, several in getattr(dataset, "faults", {}).items():
            for one in several:
                report.add(kind, one if " " in one else f"{root}, {split}: {one}: {kind}.")
        report.notes += [note for note in dataset.notes if note not in report.notes]
        report.warnings += [one for one in dataset.overlooked() if one not in report.warnings]
        if not dataset.tasks:
            report.warnings.append(f"{split} has no target; the layout is {reader.description}.")
        splits[split], images[split] = dataset, _read(report, dataset, split)
    if others := unlike_sums(root):
        report.warnings.append(f"{len(others)} files are not those that {root / SUMS} lists ({some(others)}).")
    if len(splits) == 2:
        try:
            check_pair(splits["train"], splits["val"], root)
        except InputError as error:
            report.add(_kind(error), str(error))
        shared = [name for digest, name in images["val"].items() if digest in images["train"]]
        if shared:
            report.warnings.append(
                f"{len(shared)} of {len(images['val'])} images of val are in train too ({some(shared)}); what is "
                "scored should not be trained on."
            )
    return report


def _read(report: Report, dataset: Reader, split: str) -> dict[str, str]:
    """Reads every sample; hands back digest -> name of the images."""
    images: dict[str, str] = {}
    useless: dict[str, list[str]] = {}
    repeated: Counter[str] = Counter()
    for index in range(len(dataset)):
        name = dataset.name_of(index)
        try:
            sample = dataset[index]
        except InputError as error:
            report.add(_kind(error), str(error))
            continue
        pixels = sample["image"].numpy()
        digest = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
        repeated[images.setdefault(digest, name)] += 1
        for what in _useless(sample):
            useless.setdefault(what, []).append(name)
    again = [name for name, count in repeated.items() if count > 1]
    if again:
        useless["an image that another sample has too"] = again
    for what, names in useless.items():
        report.warnings.append(f"{len(names)} of {len(dataset)} samples of {split} have {what} ({some(names)}).")
    return images


def _useless(sample: Sample) -> list[str]:
    """What its targets do not tell."""
    found = []
    for name, target in sample.items():
        if isinstance(target, tv_tensors.Mask) and bool((target == IGNORE).all()):
            found.append(f"no labelled pixel for {name}")
        if isinstance(target, Normals) and bool((target == target[:, :1, :1]).all()):
            found.append(f"one value everywhere for {name}")
        if isinstance(target, Depth) and bool((target == target[0, 0]).all()):
            found.append(f"one value everywhere for {name}")
    return found


def _kind(error: InputError) -> str:
    """A sentence without the names and numbers in it."""
    text = re.sub(r"'[^']*'|\S*/\S*", "...", str(error))
    return re.sub(r"\d[\d.,]*", "N", text)
