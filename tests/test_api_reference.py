"""Every part of the library that others import stands on one page of the reference."""

import pkgutil
import re
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from sphinx.pycode import ModuleAnalyzer

import mtlkit
from mtlkit.papers import SLUGS

ROOT = Path(__file__).parents[1]
PAGES = {path.stem: path.read_text() for path in (ROOT / "book/api").glob("*.md") if path.stem != "index"}

COMMANDS = {"__main__", "cli", "pages", "run_command", "work_command", "display", "doctor", "processes"}
"""Modules behind the command line."""

INTERNAL = {"files", "layouts", "literals", "papers.cell"}
"""Modules that no other project would import."""


@pytest.fixture(scope="module")
def reference():
    sys.path.append(str(ROOT / "book/_ext"))
    return import_module("api_reference")


def lines(page):
    (content,) = re.findall(r"\.\. api::\n\n(.*?)```", PAGES[page], re.DOTALL)
    return [line.strip() for line in content.splitlines()]


def test_every_module_stands_on_one_page(reference):
    found = Counter(module for page in PAGES for module, _ in reference.modules(lines(page)))
    assert found.most_common(1)[0][1] == 1
    papers = tuple(f"papers.{slug}" for slug in SLUGS)
    for info in pkgutil.walk_packages(mtlkit.__path__, "mtlkit."):
        name = info.name.removeprefix("mtlkit.")
        room = name.partition(".")[0]
        if name in COMMANDS | INTERNAL or "._" in f".{name}" or name.startswith(papers):
            continue
        # A package that hands its names on is documented as a whole.
        assert info.ispkg or {f"mtlkit.{name}", f"mtlkit.{room}"} & found.keys(), name


def test_every_name_on_a_page_is_there(reference):
    named = [(module, name) for page in PAGES for module, names in reference.modules(lines(page)) for name in names]
    assert len(named) > 20
    missing = [f"{module}.{name}" for module, name in named if not hasattr(import_module(module), name)]
    assert missing == []


def test_the_index_leads_to_every_page_and_so_does_the_table_of_contents():
    index, contents = (ROOT / "book/api/index.md").read_text(), (ROOT / "_toc.yml").read_text()
    assert set(re.findall(r"\((\w+)\.md\)", index)) == set(PAGES)
    assert set(re.findall(r"book/api/(\w+)", contents)) == {"index", *PAGES}


def test_a_module_offers_what_it_documents_and_a_name_its_first_sentence(reference):
    *classes, last = reference.public("mtlkit.fusion")
    assert (set(classes), last) == ({"NDDR", "CrossStitch", "FusionLayer", "LayerMixing", "Sluice"}, "FusionSettings")
    assert reference.public("mtlkit.processes") == ["clean"]
    assert reference.summary("mtlkit.metrics.bootstrap", "interval").startswith("Percentile interval")
    assert reference.summary("mtlkit.objectives", "inverse_means").endswith(".")


def test_no_attribute_is_described_by_words_and_a_colon(reference):
    # Sphinx takes what stands before a colon in the first line for the attribute's type.
    found = [
        (module, name, line)
        for page in PAGES
        for module, _ in reference.modules(lines(page))
        for (of, name), text in ModuleAnalyzer.for_module(module).find_attr_docs().items()
        if not {of[:1], name[:1]} & {"_"} and re.match(r"[A-Z][^`:]* [^`:]*: ", line := (text or [""])[0])
    ]
    assert found == []
