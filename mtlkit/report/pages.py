"""Pages of the book that follow from records: every stored column, every claim, and what is decided.

Numbers come out of records, printed ones out of the papers' files; links lead from page to page of the book.
"""

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

from mtlkit.papers import DECLARED, SLUGS, printed
from mtlkit.papers.printed import PrintedPaper
from mtlkit.report.claims import Compared, Judged, deciding_text, evidence, measured, names, on_print, on_runs, order
from mtlkit.report.found import MEASURES, grouped, measured_rows, tables
from mtlkit.report.intervals import dagger_note, gain_text, gains
from mtlkit.report.judging import Verdict
from mtlkit.report.side_by_side import Measured, SideBySide, parts
from mtlkit.report.stored import stored
from mtlkit.report.table import Place, ReportTable, Text, heads, markdown
from mtlkit.results import Results
from mtlkit.runs import trainings

Columns = Mapping[str, Sequence[SideBySide]]
"""Paper -> its stored columns at profiles ``lite`` and ``paper``."""

Cautions = Mapping[str, str]
"""Identity of a column -> what a reader of its numbers should know, a sentence."""

Outcome = Literal[Verdict, "not measured yet"]

FINDINGS = 5
"""How many decided claims the front page shows."""


def compared(results: Results, *, part: str = "all") -> dict[str, list[SideBySide]]:
    """Paper -> its stored columns whose numbers may be compared, table by table, the oldest first.

    Args:
        results: where records lie.
        part: as :func:`~mtlkit.report.stored.stored` takes it.
    """
    return {
        slug: [
            column
            for table in DECLARED.get(slug, ())
            for column in stored(table, results, part=part)
            if column.column.profile != "smoke"
        ]
        for slug in SLUGS
    }


# --- claims ---


@dataclass(frozen=True)
class ClaimOnRuns:
    """A claim of a paper with what the stored columns say about it.

    Attributes:
        paper: whose it is.
        claim: as the printed file has it.
        judged: the settings in which any of it was measured, in the order of :func:`~mtlkit.report.claims.on_runs`.
    """

    paper: PrintedPaper
    claim: dict[str, Any]
    judged: tuple[Judged, ...]

    @property
    def outcome(self) -> Outcome:
        """The verdict in the first setting."""
        return self.judged[0].verdict if self.judged else "not measured yet"

    @property
    def anchor(self) -> str:
        """Where it stands on the page of all claims."""
        return f"claim-{self.paper.slug}-{self.claim['id']}".replace("_", "-")

    @property
    def link(self) -> str:
        """To that place, from another page."""
        return f"claims.html#{self.anchor}"


def judged_claims(columns: Columns) -> list[ClaimOnRuns]:
    """Every claim of every paper, in the order of the printed files."""
    found = []
    for slug in columns:
        paper = printed(slug)
        for claim in paper.claims:
            judged = [one for one in on_runs(paper, claim, columns[slug]) if measured(claim, one)]
            found.append(ClaimOnRuns(paper, claim, tuple(judged)))
    return found


def claims_page(claims: Sequence[ClaimOnRuns], cautions: Cautions = MappingProxyType({})) -> str:
    """Counts of verdicts by paper, then every claim with its verdicts and what decided them, as Markdown."""
    blocks = [_claim_counts(claims)]
    for slug, own in _by_paper(claims).items():
        blocks.append(f"## {markdown(printed(slug).name)}")
        blocks.append(f"[The chapter]({_chapter(slug)}), and [its columns](#results-{slug.replace('_', '-')}).")
        verdicts = heads(("in the paper", "in our runs", "what decides, and where"))
        name, lines = f"Claims of {printed(slug).name}", tuple(_claim_line(one, cautions) for one in own)
        blocks.append(ReportTable(name, "claim", verdicts, lines, kind="card claims decided", stacks=True).html())
    return _joined(blocks)


def _claim_counts(claims: Sequence[ClaimOnRuns]) -> str:
    outcomes = (*get_args(Verdict), "not measured yet")
    lines = []
    for slug, own in _by_paper(claims).items():
        counted = Counter(one.outcome for one in own)
        lines.append((printed(slug).name, len(own), *(counted[outcome] for outcome in outcomes)))
    lines.append(("all", *(sum(column) for column in list(zip(*lines, strict=True))[1:])))
    texts = tuple(tuple(Text(str(one)) for one in line) for line in lines)
    return ReportTable(
        "Verdicts on our runs", "paper", heads(("claims", *outcomes)), texts, kind="results", stacks=True
    ).html()


def _claim_line(one: ClaimOnRuns, cautions: Cautions) -> tuple[Place, ...]:
    claim = one.claim
    text = Text(f"{claim['text']} ({claim['where']})", folded=evidence(one.paper, claim, one.judged), anchor=one.anchor)
    on_paper = on_print(one.paper, claim)
    if not one.judged:
        return text, Text(on_paper, kind=on_paper), Text(one.outcome), Text()
    verdicts, deciding = [], []
    for judged in one.judged:
        verdicts.append(Text(judged.verdict, judged.tally, kind=judged.verdict))
        found = deciding_text(one.paper, claim, judged)
        deciding += [Text(found.text, found.note)]
        first = next(iter(judged.setting.values()))
        deciding.append(Text(judged.name, _cautioned(judged, cautions), link=f"results.html#{anchor(first)}"))
    return text, Text(on_paper, kind=on_paper), tuple(verdicts), tuple(deciding)


def findings(claims: Sequence[ClaimOnRuns], most: int = FINDINGS, *, cautions: Cautions = MappingProxyType({})) -> str:
    """Of every paper the clearest claim that a measurement decides, and how much is open, as Markdown.

    What was only counted, such as parameters, needs no run and is no finding.

    Args:
        claims: all there are.
        most: how many are shown.
        cautions: which follow a finding.
    """
    decided = [one for one in claims if one.outcome in ("holds", "fails")]
    trained = _by_paper(one for one in decided if not _deciding(one).exact)
    clearest = [min(own, key=lambda one: min(_deciding(one).above, _deciding(one).below)) for own in trained.values()]
    lines = [_finding(one, cautions) for one in clearest[:most]]
    open_ = [slug for slug in _by_paper(claims) if slug not in trained]
    rest = f"Of {len(claims)} claims our runs decide {len(decided) or 'none'} so far."
    if open_ and trained:
        papers_text = ", ".join(f"[{markdown(printed(slug).name)}]({_chapter(slug)})" for slug in open_)
        rest += f" No claim is decided by a measurement yet of: {papers_text}."
    return "\n".join([*lines, *([""] if lines else []), rest]) + "\n"


def _finding(one: ClaimOnRuns, cautions: Cautions) -> str:
    """A decided claim as an item of a list: the verdict and on what, the claim, then what decides it."""
    judged = one.judged[0]
    found = deciding_text(one.paper, one.claim, judged)
    (column, *_) = judged.setting.values()
    caution = _cautioned(judged, cautions)
    return (
        f"- **{one.outcome.capitalize()}** on [{markdown(judged.name)}](#{anchor(column)}): "
        f"<a href='{one.link}'>{html.escape(one.claim['text'].rstrip('.'))}</a> ({markdown(one.paper.name)}).<br>"
        f"{markdown(found.text)}, **{markdown(found.note)}**.{caution and f' {markdown(caution)}'}"
    )


def _cautioned(judged: Judged, cautions: Cautions) -> str:
    """What a reader of the columns of a verdict should know."""
    found = (cautions.get(one.column.identity, "") for one in judged.setting.values())
    return " ".join(dict.fromkeys(filter(None, found)))


def _deciding(one: ClaimOnRuns) -> Compared:
    return one.judged[0].comparisons[one.judged[0].deciding]


def _by_paper(claims: Iterable[ClaimOnRuns]) -> dict[str, list[ClaimOnRuns]]:
    found: dict[str, list[ClaimOnRuns]] = {}
    for one in claims:
        found.setdefault(one.paper.slug, []).append(one)
    return found


# --- columns ---


def anchor(column: SideBySide) -> str:
    """Where a column stands on the page of all results."""
    return f"column-{column.column.identity}"


def results_page(columns: Columns, claims: Sequence[ClaimOnRuns], cautions: Cautions = MappingProxyType({})) -> str:
    """Every column with its cells, printed and measured, its gains, its leads over single-task networks and over those
    that were trained longer, and the claims judged on it, as Markdown."""
    blocks = []
    for slug, own in columns.items():
        blocks.append(f"(results-{slug.replace('_', '-')})=\n## {markdown(printed(slug).name)}")
        tables = {table: [one for one in own if one.table.id == table] for table in printed(slug).tables}
        lacking = [table for table, several in tables.items() if not several]
        blocks.append(f"[The chapter]({_chapter(slug)}) has the words to these numbers.")
        for table, several in tables.items():
            if several:
                blocks.append(f"### Table {table}: {markdown(printed(slug).tables[table].title)}")
            for name, column in named(several):
                judged = [(one, each) for one in claims for each in one.judged if each.setting.get(table) is column]
                blocks += _column(name, column, judged, cautions.get(column.column.identity, ""))
        if lacking:
            tables_text = f"Table{'s' * (len(lacking) > 1)} {', '.join(lacking)}"
            blocks.append(f"Nothing is stored at `lite` or `paper` of {tables_text}.")
    return _joined(blocks)


def named(columns: Sequence[SideBySide]) -> list[tuple[str, SideBySide]]:
    """Columns of one table under names that tell them apart, in the order in which claims are judged on them."""
    settings = [{one.table.id: one} for one in columns]
    found = zip(names(settings), settings, columns, strict=True)
    return [(name, column) for name, _, column in sorted(found, key=lambda each: order(each[1]))]


def _column(name: str, column: SideBySide, claims: Sequence[tuple[ClaimOnRuns, Judged]], caution: str) -> list[str]:
    taken, there = column.column, measured_rows(column)
    lacking = [row.label for row in column.rows if row.id not in there]
    seeds = f"{len(taken.seeds)} seeds" if len(taken.seeds) > 1 else "one seed"
    record = f"record `{taken.profile}/table/{taken.identity}.json`"
    images = (f"{_either(several)} {name}" for name, several in column.images.items() if several)
    lead = f"{'; '.join([f'{seeds[0].upper()}{seeds[1:]}', *images, record])}."
    if lacking:
        lead += f" Rows not measured: {markdown('; '.join(lacking))}."
    if not gains(column):
        lead += " No row stands beside a control that was measured, so there are no gains."
    lead = " ".join([lead, *map(markdown, filter(None, (*column.diverged.values(), caution)))])
    blocks = [f"({anchor(column)})=\n#### {markdown(name)}", lead]

    blocks += tables(column, column.printed, of=name)
    blocks += _leads(name, column, column.printed)
    if claims:
        verdicts = heads(("verdict", "comparisons"))
        lines = tuple(
            (Text(claim.claim["text"], link=claim.link), Text(one.verdict, kind=one.verdict), Text(one.tally))
            for claim, one in claims
        )
        title = f"Claims judged on {name}"
        region = f"Table {column.table.id}: {title}"
        table = ReportTable(region, "claim", verdicts, lines, title, kind="card claims", stacks=True)
        blocks.append(table.html())
    lacked = [*tables(column, column.lacked, of=name), *_leads(name, column, column.lacked)]
    folded = [*lacked, f"```text\n{taken.command}\n```"]
    title = "Measures that are not in the paper, and the command" if lacked else "The command"
    blocks += [f":::{{dropdown}} {title}", *folded, ":::"]
    return blocks


def _leads(of: str, column: SideBySide, measures: Sequence[Measured]) -> list[str]:
    """By how much each trained row leads the single-task networks, and those trained longer, as tables."""
    blocks = []
    for over in (column.table.single_task, column.table.trained_longer):
        found = gains(column, over)
        rows = [
            row
            for row in column.rows
            if row.id in found and row.id != column.table.single_task and trainings(row.evaluations)
        ]
        led = [one for one in measures if any(one.measure in found[row.id] for row in rows)]
        for part in parts(led, MEASURES):
            lines: list[tuple[Place, ...]] = []
            for row in rows:
                texts = [gain_text(found[row.id].get(one.measure), one.unit) for one in part]
                cells = [(Text(one.text, bold=one.bold), Text("", one.note, kind="gain")) for one in texts]
                lines.append((Text(row.label, kind="" if row.printed else "ours", title=row.what), *cells))
            label = next(row.label for row in column.rows if row.id == over)
            of_what = f"lead over “{label}”, with its 95 % interval"
            region = f"Table {column.table.id}, {grouped(part)}: {of_what}, {of}"
            title = f"Table {column.table.id}, {grouped(part, short=True)}: {of_what}"
            columns = tuple(one.head for one in part)
            note = dagger_note(lines)
            table = ReportTable(region, "row", columns, tuple(lines), title, note, kind="results", stacks=True)
            blocks.append(table.html())
    return blocks


def _either(numbers: Sequence[int]) -> str:
    """Counts of which each network or evaluation has one."""
    *first, last = (f"{one:,}" for one in numbers)
    return f"{', '.join(first)} or {last}" if first else last


def _chapter(slug: str) -> str:
    return f"../notebooks/{slug}.ipynb"


def _joined(blocks: Iterable[str]) -> str:
    return "\n\n".join(block for block in blocks if block) + "\n"
