"""What is printed, what can be run, what has been measured."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from mtlkit.network import NetworkSettings
from mtlkit.papers import DECLARED, SLUGS, printed
from mtlkit.papers.declaration import Row, Table
from mtlkit.papers.options import PROFILES
from mtlkit.report.stored import stored
from mtlkit.report.table import ReportTable, Text, heads
from mtlkit.values import Value


def runnable(row: Row, built: set[str] | None = None) -> bool:
    """Whether the networks behind a row, and those they start from, build as printed; on the meta device, now.

    Args:
        row: of the printed column.
        built: identities of networks that have been built, for a look at many rows; new ones are added.
    """
    built = set() if built is None else built
    for network in {network.identity: network for one in row.evaluations for network in networks(one)}.values():
        if network.identity not in built:
            with torch.device("meta"):
                network.network(weights=False)
            built.add(network.identity)
    return bool(row.evaluations)


def networks(value: object) -> Iterator[NetworkSettings]:
    """Every network that a value holds, however deep: of an evaluation also those of the trainings it needs."""
    if isinstance(value, NetworkSettings):
        yield value
    elif isinstance(value, Value):
        for _, held in value:
            yield from networks(held)
    elif isinstance(value, (tuple, Mapping)):
        for held in value.values() if isinstance(value, Mapping) else value:
            yield from networks(held)


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
    lines = []
    for slug, found in counted["papers"].items():
        tables = found["tables"].values()
        paper = printed(slug)
        name = f"{paper.title.split(':')[0].split(']')[-1].strip()}{f', {paper.year}' if paper.year else ''}"
        rows, runs, cells = (sum(line[key] for line in tables) for key in ("rows", "runnable", "cells"))
        measured = [sum(line["measured"][profile] for line in tables) for profile in ("lite", "paper")]
        lines.append(tuple(Text(str(one)) for one in (name, len(tables), f"{runs} of {rows}", cells, *measured)))
    columns = heads(("tables", "rows that run", "printed cells", "measured: lite", "measured: paper"))
    return ReportTable("Coverage", "paper", columns, tuple(lines)).markdown()


def _measured(table: Table, results: Path | None) -> dict[str, int]:
    cells: dict[str, set[tuple[str, str]]] = {profile: set() for profile in PROFILES}
    for comparison in stored(table, results):
        for row in table.printed.rows:
            for column in row.cells:
                if comparison.cell(row.id, table.measures[column]).values:
                    cells[comparison.column.profile].add((row.id, column))
    return {profile: len(found) for profile, found in cells.items()}
