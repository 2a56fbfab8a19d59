"""Repairs of what the theme and docutils leave without a name, or with a role that browsers no longer know."""

from pathlib import Path

from sphinx.application import Sphinx

REPAIRS = {
    # A button's name has to hold the text in it.
    'search-button__button pst-js-only" title="Search" aria-label="Search"': 'search-button__button pst-js-only" title="Search"',  # noqa: E501
    # Without its tooltip, which would give it a name beside the sign in it.
    'pst-js-only" aria-label="Color mode" data-bs-title="Color mode"  data-bs-placement="bottom" data-bs-toggle="tooltip"': 'pst-js-only" title="Color mode"',  # noqa: E501
    '<summary aria-label="Toggle hidden content">': "<summary>",
    '<i class="theme-switch ': '<i aria-hidden="true" class="theme-switch ',
    # A table that has no heads.
    '<th class="head"><p></p></th>': "<td></td>",
    '<summary><span class="toctree-toggle"': '<summary aria-label="Pages of this part"><span class="toctree-toggle"',
    '<div class="sidebar-primary-items__start sidebar-primary__section">': (
        '<div class="sidebar-primary-items__start sidebar-primary__section" role="navigation" aria-label="Book">'
    ),
    'role="doc-biblioentry"': 'role="listitem"',
    # Folded cells that have no title: solutions of exercises, and the code of figures.
    ">Show code cell content<": ">Solution<",
    ">Hide code cell content<": ">Solution<",
    ">Show code cell source<": ">The code<",
    ">Hide code cell source<": ">The code<",
}
"""What the theme writes -> what stands there instead."""


def repair(app: Sphinx, failed: Exception | None) -> None:
    """Rewrites the pages."""
    if failed or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = repaired = path.read_text(encoding="utf-8")
        for old, new in REPAIRS.items():
            repaired = repaired.replace(old, new)
        if repaired != text:
            path.write_text(repaired, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the repairs."""
    app.connect("build-finished", repair)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
