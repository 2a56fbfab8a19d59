"""What is printed, what can be run, what has been measured."""

from pathlib import Path
from typing import Any

import torch

from mtlkit.network import NetworkSettings
from mtlkit.papers import DECLARED, SLUGS, printed
from mtlkit.papers.declaration import Row, Table
from mtlkit.papers.options import PROFILES
from mtlkit.reproduce import stored
from mtlkit.runs import Retrieval, trainings


def runnable(row: Row, built: set[str] | None = None) -> bool:
    """Whether the networks behind a row, and those they start from, build as printed; on the meta device, now.

    Args:
        row: of the printed column.
        built: identities of networks that have been built, for a look at many rows; new ones are added.
    """
    built = set() if built is None else built
    networks = [training.network for training in trainings(row.evaluations).values()]
    networks += [
        value.features.subject
        for value in row.evaluations
        if isinstance(value, Retrieval) and isinstance(value.features.subject, NetworkSettings)
    ]
    for network in networks:
        if network.identity not in built:
            with torch.device("meta"):
                network.network(weights=False)
            built.add(network.identity)
    return bool(row.evaluations)


def coverage(results: Path | None = None) -> dict[str, Any]:
    """Counts for every printed table, and which of the papers' systems run.

    Measured cells are counted once a profile: a printed cell is measured when some column of that profile has a
    value for it.
    """
    systems = {system["id"]: False for slug in SLUGS for system in printed(slug).systems}
    counted: dict[str, Any] = {}
    built: set[str] = set()
    for slug in SLUGS:
        declared = {table.id: table for table in DECLARED.get(slug, ())}
        lines = {}
        for number, print_ in printed(slug).tables.items():
            line = {
                "rows": len(print_.rows),
                "runnable": 0,
                "cells": print_.cells,
                "measured": dict.fromkeys(PROFILES, 0),
            }
            if number in declared:
                table = declared[number]
                column = table.meta_column()
                rows = {row.id: row for row in table.rows(column, 0) if row.printed}
                works = {key for key, row in rows.items() if runnable(row, built)}
                line["runnable"] = len(works & {row.id for row in print_.rows})
                for system, row in table.systems.items():
                    systems[system] |= row in works
                line["measured"] = _measured(table, results)
            lines[number] = line
        counted[slug] = {"tables": lines}
    return {"papers": counted, "systems": systems}


def status(counted: dict[str, Any]) -> str:
    """The counts a paper, as the Markdown table of the book's front page."""
    lines = [
        "| paper | tables | rows that run | printed cells | measured: lite | measured: paper |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for slug, found in counted["papers"].items():
        tables = found["tables"].values()
        paper = printed(slug)
        year = f", {paper.year}" if paper.year else ""
        name = paper.title.split(":")[0].split("]")[-1].strip()
        rows, runs = sum(t["rows"] for t in tables), sum(t["runnable"] for t in tables)
        measured = [sum(t["measured"][profile] for t in tables) for profile in ("lite", "paper")]
        cells = sum(t["cells"] for t in tables)
        lines.append(f"| {name}{year} | {len(tables)} | {runs} of {rows} | {cells} | {measured[0]} | {measured[1]} |")
    return "\n".join(lines) + "\n"


def _measured(table: Table, results: Path | None) -> dict[str, int]:
    cells: dict[str, set[tuple[str, str]]] = {profile: set() for profile in PROFILES}
    for comparison in stored(table, results):
        for row in table.printed.rows:
            for column in row.cells:
                if comparison.cell(row.id, table.measures[column]).values:
                    cells[comparison.column.profile].add((row.id, column))
    return {profile: len(found) for profile, found in cells.items()}
