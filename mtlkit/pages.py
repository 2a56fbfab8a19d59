"""The parts of the book that are written from records when it is built."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mtlkit.campaign import Campaign, goal
from mtlkit.data.sources import overview
from mtlkit.engine import Engine
from mtlkit.files import written_whole
from mtlkit.ledger import Record
from mtlkit.papers.declaration import chosen
from mtlkit.papers.printed import printed
from mtlkit.report.claims import names
from mtlkit.report.coverage import coverage
from mtlkit.report.coverage import status as coverage_table
from mtlkit.report.pages import anchor, claims_page, compared, findings, judged_claims, results_page
from mtlkit.report.settings import described, telling
from mtlkit.report.side_by_side import SideBySide
from mtlkit.report.table import MISSING, Place, ReportTable, Text, heads, markdown
from mtlkit.results import Results
from mtlkit.runs import Training, trainings
from mtlkit.runtime import machine
from mtlkit.worlds import listed

LIBRARIES = ("mtlkit", "torch", "timm", "python")
"""Whose versions the page of the state names."""


def write(folder: Path, results: Results) -> list[Path]:
    """Writes what the book's pages include, a Markdown file each.

    Args:
        folder: it is made where it is not there.
        results: where records lie, and the campaigns beside the published ones.
    """
    columns, developed = compared(results), compared(results, part="development")
    claims = judged_claims(columns)
    campaigns = [] if results.published is None else sorted(results.published.glob("*.toml"))
    read = {path.name: Campaign.read(path) for path in campaigns}
    every = [one.column for several in columns.values() for one in several]
    cautioned = [one for campaign in read.values() for one in campaign.wanted if one.caution]
    cautions = {column.identity: one.caution for one in cautioned for column in every if one.gives(column)}
    texts = {
        "results": results_page(columns, claims, cautions),
        "claims": claims_page(claims, cautions),
        "findings": findings(claims, cautions=cautions),
        "coverage": coverage_table(coverage(results)),
        "layouts": layouts(),
        "sources": published(),
        "status": status(columns, developed, results, read),
    }
    files = {folder / f"{name}.md": text for name, text in texts.items()}
    for path, text in files.items():
        with written_whole(path) as part:
            part.write_text(text, encoding="utf-8")
    return list(files)


def status(
    columns: Mapping[str, Sequence[SideBySide]],
    developed: Mapping[str, Sequence[SideBySide]],
    results: Results,
    campaigns: Mapping[str, Campaign],
) -> str:
    """What stored columns took and where they were run, and how much of each campaign is there, as Markdown.

    Args:
        columns: paper -> its columns.
        developed: paper -> those on development parts.
        results: where records lie.
        campaigns: name -> a campaign.
    """
    surroundings: dict[str, int] = {}
    hours: dict[str, float] = {}
    blocks = []
    titles = heads(("hours", "evaluations", "run", "with", "commits"))
    for slug in columns:
        lines: list[tuple[Place, ...]] = []
        for part, several in (("", columns[slug]), ("development part; ", developed[slug])):
            for table in printed(slug).tables:
                own = [one for one in several if one.table.id == table]
                for name, column in zip(names([{table: one} for one in own]), own, strict=True):
                    records = behind(column, results)
                    hours |= {one.identity: one.timing.training / 3600 for one in records if one.timing}
                    lines.append(_line(f"{part}{name}", column, records, surroundings))
        if lines:
            name = printed(slug).name
            blocks += [
                f"### {markdown(name)}",
                ReportTable(name, "column", titles, tuple(lines), kind="status", stacks=True).html(),
            ]
    total = f"{sum(hours.values()):.1f} hours of training, each counted once though several columns share it."
    where = tuple((Text(str(number)), Text(text)) for text, number in surroundings.items())
    blocks = ["## Stored columns", total, *blocks, "### Versions and machines"]
    machines = ReportTable(
        "What they were run with", "with", heads(("versions and machine",)), where, kind="status", stacks=True
    )
    blocks.append(machines.html())
    every = [one for several in (*columns.values(), *developed.values()) for one in several]
    for name, campaign in campaigns.items():
        blocks += [f"## The campaign `{name}`", *_campaign(name, campaign, every, results)]
    return "\n\n".join(blocks) + "\n"


def layouts() -> str:
    """The embedded worlds and the folder layouts, as a table in Markdown."""
    lines = (f"| `{name}` | {markdown(what)} |\n" for name, what in listed().items())
    return f"| name | what it is |\n|---|---|\n{''.join(lines)}"


def published() -> str:
    """The data sets that can be fetched, as a table in Markdown."""
    lines = (f"| `{name}` | {' | '.join(map(markdown, rest))} |\n" for name, *rest in overview())
    return f"| name | what it is | size | verified by | terms |\n|---|---|---|---|---|\n{''.join(lines)}"


def behind(column: SideBySide, results: Results) -> list[Record]:
    """The records of a column's evaluations and of the trainings that these need, as far as they are there."""
    ledger = results.ledger(column.column.profile)
    nodes = [
        node
        for seed in column.column.seeds
        for row in chosen(column.table, column.column, None, seed)
        for node in row.evaluations
    ]
    every = {node.identity: node for node in [*nodes, *trainings(nodes).values()]}
    found = (ledger.find(node.kind, node.identity) for node in every.values())
    return [record for record in found if record is not None]


def _line(name: str, column: SideBySide, records: Sequence[Record], surroundings: dict[str, int]) -> tuple[Place, ...]:
    """A column's line; surroundings that are new get the next number."""
    where = set()
    for record in records:
        versions = ", ".join(f"{library} {record.versions.get(library, MISSING)}" for library in LIBRARIES)
        text = f"{versions}; {machine(record.hardware) or 'unknown'}"
        where.add(surroundings.setdefault(text, len(surroundings) + 1))
    days = sorted({record.created[:10] for record in records if record.created})
    commits = dict.fromkeys(record.commit[:7] for record in records if record.commit)
    link = f"results.html#{anchor(column)}" if column.column.data.part == "all" else ""
    stub = Text(f"Table {column.table.id}", name, link=link)
    evaluations = sum(record.kind != Training.kind for record in records)
    return (
        stub,
        Text(f"{column.hours:.2f}"),
        Text(str(evaluations)),
        tuple(Text(day, kind="day") for day in dict.fromkeys((*days[:1], *days[-1:]))),
        Text(", ".join(map(str, sorted(where)))),
        Text(", ".join(commits) or MISSING),
    )


def _campaign(name: str, campaign: Campaign, stored: Iterable[SideBySide], results: Results) -> list[str]:
    """How many of the evaluations of every column are there; nothing is looked up but records."""
    stored = list(stored)
    lines = []
    there = needed = begun = 0
    spelled = [(one.about, one.table.id, one.options.spelled_out(one.table.id)) for one in campaign.wanted]
    for wanted, (about, table, options) in zip(campaign.wanted, spelled, strict=True):
        column = next((one.column for one in reversed(stored) if wanted.gives(one.column)), None)
        alike = [other for *where, other in spelled if where == [about, table]]
        stub = Text(about or str(wanted), described(telling(alike)[alike.index(options)]) if about else "")
        if column is None:
            lines.append((stub, Text("none yet")))
            continue
        engine, nodes = Engine(results.ledger(column.profile)), goal(wanted, column=column).nodes
        found = sum(engine.there(node, tensors=False) for node in nodes)
        begun, there, needed = begun + 1, there + found, needed + len(nodes)
        lines.append((stub, Text(f"{found} of {len(nodes)}")))
    total = f"{len(lines)} columns, of which {begun} are begun; of these {there} of {needed} evaluations are there."
    found_table = ReportTable(
        f"The campaign {name}", "column", heads(("evaluations",)), tuple(lines), kind="status", stacks=True
    )
    return [total, found_table.html()]
