"""Moves records that were written before identities were frozen: ``python results/migrate.py FOLDER``.

What a run *is* was cut anew once: multipliers of learning rates belong to the recipe and not to the network, snapshots
do not belong to the training, features of a data set are a node of their own, and times belong to the machine that was
timed. This script rewrites the settings in every record, finds the identities that follow, and renames the records and
the weights beside them. FOLDER is one profile's: ``results/lite``, say. Numbers stay as they are; what has been moved
before stays where it is.
"""

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from mtlkit import papers
from mtlkit.runtime import machine

UNITS = {"CrossStitchSettings": 1000.0, "SluiceSettings": 1000.0, "NDDRSettings": 100.0}
"""Fusion layers and what multiplied their learning rates where nothing was said."""


def digest(settings: dict[str, Any]) -> str:
    """The identity of settings in canonical form."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def training(settings: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    """The settings of a training; ``renamed`` holds the trainings that it starts from."""
    new = json.loads(json.dumps(settings))
    if "lr_mult" in new["recipe"]:  # has been moved before
        return new
    new.pop("snapshots", None)
    mult = {}
    if (unit := new["network"].get("sharing", {}).get("unit")) is not None:
        mult["fusion"] = float(unit.pop("lr_scale", UNITS[unit["is"]]))
    neck = new["network"].get("neck", {})
    if neck.get("is") == "Shortcut.Settings":
        mult["shortcut"] = float(neck.pop("lr_scale", 100.0))
    recipe(new["recipe"], mult)
    if "starts" in new:
        new["starts"] = {task: renamed[start] for task, start in new["starts"].items()}
    if "balance" in new:
        new["balance"]["run"] = renamed[new["balance"]["run"]]
    return new


def recipe(settings: dict[str, Any], mult: dict[str, float]) -> None:
    """Puts multipliers where they belong now; in canonical form or with every field."""
    weights, biases = settings.pop("classifier_lr", [1.0, 1.0])
    mult |= {name: value for name, value in (("classifier", weights), ("classifier_bias", biases)) if value != 1}
    if mult or "accumulate" in settings:  # a column's recipe has every field
        settings["lr_mult"] = dict(sorted(mult.items()))


def snapshots(old: dict[str, Any], renamed: dict[str, str], identity: str) -> list[str]:
    """The identities of a training's snapshots."""
    taken = old["snapshots"]
    last = old["recipe"]["steps"]
    steps = range(last - (taken.get("count", 10) - 1) * taken.get("every", 100), last + 1, taken.get("every", 100))
    node = {"is": "Snapshot", "subject": renamed[identity], "data": taken["data"]}
    return [digest(node | {"step": step}) for step in steps]


def evaluation(record: dict[str, Any], renamed: dict[str, str], trainings: dict[str, Any]) -> dict[str, Any]:
    """The settings of an evaluation's record."""
    new = json.loads(json.dumps(record["settings"]))
    if new["is"] == "Averaged":
        taken = snapshots(trainings[new["subject"]], renamed, new["subject"])
        average = {"average": "scores"} if new.get("of") == "scores" else {}
        return {"is": "SnapshotEnsemble", "snapshots": taken} | average
    if new["is"] == "SnapshotEnsemble":  # has been moved before
        return new
    if new["is"] == "Retrieval" and isinstance(new["features"], dict):
        features = new["features"]
        if isinstance(features["subject"], str):
            features["subject"] = renamed[features["subject"]]
        new["features"] = digest(features)
    if new["is"] == "Speed" and "hardware" not in new:
        new["hardware"] = machine(record["hardware"])
    for key in ("subject", "subjects", "candidates"):
        if isinstance(new.get(key), str):
            new[key] = renamed[new[key]]
        elif isinstance(new.get(key), list):
            new[key] = [renamed[one] for one in new[key]]
    return new


def column(settings: dict[str, Any], timed: set[str]) -> dict[str, Any]:
    """The settings of a column, which are written with every field.

    Args:
        settings: as they were.
        timed: the machines of the folder's times; a column of times follows only from a single one.
    """
    new = json.loads(json.dumps(settings))
    neck = new.get("neck") or {}
    mult = {"shortcut": float(neck.pop("lr_scale"))} if "lr_scale" in neck else {}
    if "classifier_lr" in new.get("recipe", {}):
        recipe(new["recipe"], mult)
    if "enlarged" in new and "hardware" not in new:
        if len(timed) != 1:
            raise KeyError("hardware")
        new["hardware"] = next(iter(timed))
    return new


def migrate(folder: Path) -> dict[str, str]:
    """Old identity -> new, of all records of the folder, which are renamed.

    A record that speaks of a run without a record stays as it is, and is named.
    """
    found = {
        kind: {path.stem: json.loads(path.read_text()) for path in (folder / kind).glob("*.json")}
        for kind in ("training", "evaluation", "table")
    }
    trainings = {identity: record["settings"] for identity, record in found["training"].items()}
    timed = {machine(one["hardware"]) for one in found["evaluation"].values() if one["settings"]["is"] == "Speed"}
    renamed: dict[str, str] = {}

    def moved(kind: str, identity: str, record: dict[str, Any]) -> None:
        if kind == "training":
            new = training(record["settings"], renamed)
        elif kind == "evaluation":
            new = evaluation(record, renamed, trainings)
        else:
            new = column(record["settings"], timed)
        renamed[identity] = table_identity(new) if kind == "table" else digest(new)
        write(folder, kind, identity, renamed[identity], record | {"settings": new})

    # What a record speaks of has to be renamed before it: as long as one more can be, go on.
    waiting = [(kind, identity) for kind, records in found.items() for identity in sorted(records)]
    while waiting:
        stuck = []
        for kind, identity in waiting:
            try:
                moved(kind, identity, found[kind][identity])
            except KeyError:
                stuck.append((kind, identity))
        if len(stuck) == len(waiting):
            for kind, identity in stuck:
                why = "speaks of a run that has no record, or of several machines"
                print(f"{kind}/{identity}.json {why}; it stays as it is.", file=sys.stderr)
            break
        waiting = stuck
    return renamed


def table_identity(settings: dict[str, Any]) -> str:
    """The identity of a column; its class knows its defaults."""
    return papers.table(settings["paper"], settings["table"]).columns.model_validate(settings).identity


def write(folder: Path, kind: str, old: str, identity: str, record: dict[str, Any]) -> None:
    """Renames a record and what lies beside it."""
    text = json.dumps(record | {"identity": identity}, indent=1) + "\n"
    text = re.sub(r"\[[\s\d.,eE+-]*\]", lambda numbers: re.sub(r"\s+", " ", numbers[0]), text)
    (folder / kind / f"{old}.json").unlink()
    (folder / kind / f"{identity}.json").write_text(text)
    weights = folder / ".state" / "weights" / f"{old}.safetensors"
    if kind == "training" and weights.exists():
        weights.rename(weights.with_stem(identity))


if __name__ == "__main__":
    for old, identity in sorted(migrate(Path(sys.argv[1])).items()):
        print(old, identity)
