"""The directive ``api``: a table of public names, then their documentation.

A line of its content is a module, by itself or with the names that count (``mtlkit.grid: Grid, grid_of``). A module by
itself stands for what its ``__all__`` lists, else for every documented public name that it defines. ``PACKAGE.*`` is
every module of a package that no other line names and whose name has no underscore in front.
"""

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles


def modules(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The modules of the lines, each with its names."""
    parts = [line.partition(":") for line in lines if line.strip()]
    named = {name.strip(): names.replace(",", " ").split() for name, _, names in parts}
    for name, names in named.items():
        if not name.endswith(".*"):
            yield name, names or public(name)
            continue
        every = pkgutil.iter_modules(import_module(name[:-2]).__path__, name[:-1])
        found = [info.name for info in every if "._" not in info.name]
        yield from ((module, public(module)) for module in found if module not in named)


def public(name: str) -> list[str]:
    """What a module offers: its ``__all__``, or the documented names that it defines; classes, functions, then data."""
    module, source = import_module(name), ModuleAnalyzer.for_module(name)
    described = {attribute for of, attribute in source.find_attr_docs() if not of}

    def own(each: str, value: Any) -> bool:
        return getattr(value, "__module__", "") == name and each in source.tags and bool(inspect.getdoc(value))

    listed = getattr(module, "__all__", ())
    found = [
        each
        for each, value in vars(module).items()
        if ((callable(value) or each in described) and each in listed)
        or (not listed and not each.startswith("_") and (each in described or own(each, value)))
    ]
    return sorted(found, key=lambda each: KINDS.index(kind(getattr(module, each))))


KINDS = ("class", "exception", "function", "data")
"""The kinds of names in the order of a table."""


def kind(value: Any) -> str:
    """The kind of a name, as autodoc has it."""
    if inspect.isclass(value):
        return "exception" if issubclass(value, Exception) else "class"
    return "function" if inspect.isroutine(value) else "data"


def directive(module: str, name: str) -> list[str]:
    """How autodoc documents a name."""
    value: Any = getattr(import_module(module), name)
    if not inspect.isclass(value):
        return [f".. auto{kind(value)}:: {module}.{name}", ""]
    fields = getattr(value, "_fields", None) or getattr(value, "__dataclass_fields__", ())
    # Fields that the docstring lists already; and pydantic's, which is in every value.
    hidden = [*(fields if "Attributes:" in (value.__doc__ or "") else ()), "model_config"]
    return [f".. auto{kind(value)}:: {module}.{name}", "   :members:", f"   :exclude-members: {', '.join(hidden)}", ""]


def summary(module: str, name: str) -> str:
    """The first sentence of a name's documentation."""
    value: Any = getattr(import_module(module), name)
    described = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
    text = "\n".join(described) if described else inspect.getdoc(value) or ""
    sentences = re.split(r"(?<=\.)\s+(?=[^a-z0-9])", text.partition("\n\n")[0])
    first = sentences.pop(0)
    while sentences and (first.count("``") % 2 or first.endswith(" al.")):  # a literal, or a name, is not over
        first += f" {sentences.pop(0)}"
    return " ".join(first.split())


class Api(SphinxDirective):
    """See the module."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Parses the table and what autodoc makes of the names."""
        # Complete, so that every class that another one names is there when it is documented.
        import_module("mtlkit.evaluations")
        found = [(module, names) for module, names in modules(list(self.content)) if names]
        packages: dict[str, list[str]] = {}
        for module, names in found:
            root, package, *rest = module.split(".")
            rows = packages.setdefault(f"{root}.{package}", [])
            for name in names:
                rows += [f"   * - :py:obj:`{'.'.join([*rest, name])} <{module}.{name}>`"]
                rows += [f"     - .. py:currentmodule:: {module}", "", f"       {summary(module, name)}"]
        text: list[str] = []
        for package, rows in packages.items():
            text += [f"``{package}``", "", ".. list-table::", "   :class: names", "   :widths: auto", "", *rows, ""]
        for module, names in found:
            text += [f".. rubric:: {module}", "", f".. automodule:: {module}", ""]
            for name in names:
                text += directive(module, name)
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, StringList(text, source=self.get_source_info()[0]), node)
        return node.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("api", Api)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
