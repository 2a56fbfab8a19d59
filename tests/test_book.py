"""The pages of the book agree with each other."""

import re
from pathlib import Path

import nbformat
import pytest

from mtlkit import papers

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"


def text_of(path: Path) -> str:
    """The words of a page; of one that is written from records, what the papers' files say."""
    if path.suffix == ".ipynb":
        return "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
    if path == BOOK / "results.md":
        tables = [table for slug in papers.SLUGS for table in papers.printed(slug).tables.values()]
        return "\n".join(one.label for table in tables for one in (*table.rows, *table.columns))
    return path.read_text()


def notation() -> list:
    rows = re.findall(r"^\| (.*) \| .* \| \[.*\]\((.*)\) \|$", (BOOK / "notation.md").read_text(), re.MULTILINE)
    return [pytest.param(symbols, target, id=f"{symbols} {target}") for symbols, target in rows]


@pytest.mark.parametrize(("symbols", "target"), notation())
def test_a_symbol_stands_on_the_page_that_it_links_to(symbols, target):
    page = text_of((BOOK / target).resolve())
    mathematics = " ".join(re.findall(r"\$+([^$]+)\$+", page))
    for symbol in symbols.split(", "):
        if symbol.startswith("$"):
            assert re.search(rf"(?<![\w\\]){re.escape(symbol.strip('$'))}(?![a-z])", mathematics), symbol
        else:
            assert re.search(rf"\b{re.escape(symbol)}\b", page), symbol


def test_every_further_reading_has_its_sentences():
    page = (BOOK / "bibliography.md").read_text()
    entries = re.findall(r"^- \*\*(.*?)\*\* \{cite\}`(\w+)`\\\n((?:  .*\n)+)", page, re.MULTILINE)
    for name, _, text in entries:
        assert len(re.findall(r"[.?](?=\s)", text)) >= 3, name
        assert "](" in text, f"{name}: where it stands in the book"
    cited = set()
    for path in sorted((BOOK / "learn").glob("*.ipynb")):
        cited |= set(re.findall(r"\{cite\}`(\w+)`", text_of(path).partition("## Further reading")[2]))
    assert cited <= {key for _, key, _ in entries}
    assert {key for _, key, _ in entries} <= set(
        re.findall(r"^@\w+\{(\w+),", (BOOK / "references.bib").read_text(), re.M)
    )
