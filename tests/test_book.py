"""The pages of the book agree with each other."""

import html
import re
import runpy
from pathlib import Path

import nbformat
import pytest
import yaml
from PIL import Image
from sphinx.application import Sphinx
from sphinx.errors import ConfigError

from mtlkit import papers

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"
REPAIRS = runpy.run_path(str(BOOK / "_ext/accessible.py"))["REPAIRS"]


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


# The site --------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path):
    """Builds a book of a page and a notebook, with the project's extensions, for an address."""

    def build(address: str, redirects: dict[str, str] | None = None) -> dict[str, str]:
        source = tmp_path / "source"
        (source / "part").mkdir(parents=True)
        (source / "index.md").write_text("# One\n\n```{clone}\nmake book\n```\n\n```{toctree}\npart/two\n```\n")
        cells = [nbformat.v4.new_markdown_cell("# Two"), nbformat.v4.new_code_cell("1 + 1")]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), source / "part/two.ipynb")
        settings = {
            "extensions": ["myst_nb", "accessible", "redirects", "repository"],
            "nb_execution_mode": "off",
            "html_theme": "sphinx_book_theme",
            "html_theme_options": {"repository_url": address, "repository_branch": "main"},
            "redirects": redirects or {},
        }
        app = Sphinx(source, None, tmp_path / "html", tmp_path / "trees", "html", settings, status=None, warning=None)
        app.build()
        return {
            path.relative_to(tmp_path / "html").as_posix(): path.read_text()
            for path in (tmp_path / "html").rglob("*.html")
        }

    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BOOK / "_ext")
        yield build


LINKS = ("git clone", "colab.research", "/edit/", "/issues/")


def test_without_an_address_nothing_leads_to_one(site):
    pages = site("")
    assert [link for link in LINKS for page in pages.values() if link in page] == []
    assert "make book" in re.sub(r"<[^>]*>", "", pages["index.html"])


def test_with_an_address_sources_colab_and_the_command_to_clone_lead_to_it(site):
    address = "https://github.com/someone/some"
    pages = site(address)
    commands = re.sub(r"<[^>]*>", "", pages["index.html"])
    assert f"git clone {address} mtlkit && cd mtlkit\nmake book" in html.unescape(commands)
    assert f"{address}/edit/main/index.md" in pages["index.html"]
    assert "https://colab.research.google.com/github/someone/some/blob/main/part/two.ipynb" in pages["part/two.html"]
    assert "colab.research" not in pages["index.html"]


def test_what_the_theme_leaves_without_a_name_is_repaired(site):
    page = site("")["index.html"]
    for kind in ("search-button__button pst-js-only", "theme-switch ", "sidebar-primary-items__start"):
        assert kind in page
    assert [old for old in REPAIRS if old in page] == []


def test_a_former_page_leads_to_what_it_has_become(site):
    pages = site("", {"old/one": "part/two"})
    assert 'content="0; url=../part/two.html"' in pages["old/one.html"]


@pytest.mark.parametrize("redirects", [{"index": "part/two"}, {"old": "part/three"}])
def test_a_redirect_that_hides_a_page_or_leads_nowhere_is_an_error(site, redirects):
    with pytest.raises(ConfigError, match="cannot lead"):
        site("", redirects)


def test_the_projects_own_redirects_and_address():
    settings = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert re.fullmatch(r"(https://\S+)?", settings["repository"]["url"])
    listed = set(re.findall(r"(?:root|file): (\S+)", (ROOT / "_toc.yml").read_text()))
    for former, new in settings["sphinx"]["config"]["redirects"].items():
        assert former not in listed
        assert new in listed


def test_predictions_are_those_of_networks_whose_records_are_committed():
    pictures = sorted((BOOK / "_static").glob("predicted_*.png"))
    assert pictures
    for picture in pictures:
        for identity in Image.open(picture).text["records"].split():
            assert (ROOT / "results/lite/training" / f"{identity}.json").is_file(), picture
