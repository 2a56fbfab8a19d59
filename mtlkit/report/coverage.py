"""What is printed, what can be run, what has been measured."""

from collections.abc import Iterator, Mapping
from typing import Any

from mtlkit.backbones import aside
from mtlkit.network import NetworkSettings
from mtlkit.papers import DECLARED, SLUGS, printed
from mtlkit.papers.declaration import Row, Table
from mtlkit.papers.options import PROFILES, Profile
from mtlkit.report.stored import stored
from mtlkit.report.table import ReportTable, Text, heads
from mtlkit.results import Results
from mtlkit.values import Value

WHOSE = ("published", "own")
"""Whose runs are counted apart."""


_BUILT: set[str] = set()
"""Identities of the networks that have been built in this process: rows and tables share most of them."""


def runnable(row: Row) -> bool:
    """Whether the networks behind a row of a printed column, and those they start from, build; on the meta device."""
    for network in {network.identity: network for one in row.evaluations for network in networks(one)}.values():
        if network.identity not in _BUILT:
            with aside():
                network.build(weights=False)
            _BUILT.add(network.identity)
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


def coverage(results: Results) -> dict[str, Any]:
    """Counts for every printed table, and which of the papers' systems run.

    Measured cells are counted once a profile, in what was published with the book and in what the reader's own runs
    add to it: a printed cell is measured when some column of that profile has a value for it.
    """
    systems = {system["id"]: False for slug in SLUGS for system in printed(slug).systems}
    counted: dict[str, Any] = {}
    for slug in SLUGS:
        declared = {table.id: table for table in DECLARED.get(slug, ())}
        lines = {}
        for number, print_ in printed(slug).tables.items():
            line = {
                "rows": len(print_.rows),
                "runnable": 0,
                "cells": print_.cells,
                "measured": {whose: dict.fromkeys(PROFILES, 0) for whose in WHOSE},
            }
            if number in declared:
                table = declared[number]
                column = table.meta_column()
                shown = {*table.systems.values(), *(row.id for row in print_.rows)}
                rows = {row.id: row for row in table.rows(column, 0) if row.id in shown}
                works = {key for key, row in rows.items() if runnable(row)}
                line["runnable"] = len(works & {row.id for row in print_.rows})
                for system, row in table.systems.items():
                    systems[system] |= row in works
                line["measured"] = _measured(table, results)
            lines[number] = line
        counted[slug] = {"tables": lines}
    return {"papers": counted, "systems": systems}


def status(counted: dict[str, Any]) -> str:
    """The counts a paper, as the table of the book's front page."""
    lines = []
    for slug, found in counted["papers"].items():
        tables = found["tables"].values()
        rows, runs, cells = (sum(line[key] for line in tables) for key in ("rows", "runnable", "cells"))
        measured = [sum(line["measured"][whose][profile] for line in tables) for whose in WHOSE for profile in COUNTED]
        line = printed(slug).name, len(tables), f"{runs} of {rows}", cells, *measured
        lines.append(tuple(Text(str(one)) for one in line))
    sides = [f"{how}: {profile}" for how in ("measured", "in your own runs") for profile in COUNTED]
    columns = heads(("tables", "rows that run", "printed cells", *sides))
    if all(line[-2:] == (Text("0"), Text("0")) for line in lines):
        lines, columns = [line[:-2] for line in lines], columns[:-2]
    return ReportTable("Coverage", "paper", columns, tuple(lines), kind="results", stacks=True).html() + "\n"


COUNTED: tuple[Profile, ...] = ("lite", "paper")
"""The profiles whose numbers are compared with anything."""


def _measured(table: Table, results: Results) -> dict[str, dict[str, int]]:
    """Whose -> profile -> cells; of the reader's own those alone that are not published."""
    counts: dict[str, dict[str, int]] = {whose: dict.fromkeys(PROFILES, 0) for whose in WHOSE}
    known: set[tuple[str, str, str]] = set()
    for whose, layer in results.layers().items():
        found = set()
        for comparison in stored(table, layer):
            for row in table.printed.rows:
                for column in row.cells:
                    if comparison.cell(row.id, table.measures[column]).values:
                        found.add((comparison.column.profile, row.id, column))
        for profile, _, _ in found - known:
            counts[whose][profile] += 1
        known |= found
    return counts
