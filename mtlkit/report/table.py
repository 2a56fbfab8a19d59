"""The one form of every table in the reports, and its writers: HTML, aligned text, Markdown."""

import hashlib
import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

from mtlkit.errors import terminal

MISSING = "–"


@dataclass(frozen=True)
class Text:
    """What stands in one place of a table.

    Attributes:
        text: a line, or several.
        note: in smaller type behind it: a unit, a spread, an interval.
        bold: whether ``text`` is.
        kind: its class in the style sheet, such as ``printed`` or ``ours``.
        title: shown while the pointer rests on it.
        folded: a heading and items that HTML folds away under it; other forms leave them out.
        link: where it leads to in HTML.
        anchor: what links lead here by, in HTML.
    """

    text: str = MISSING
    note: str = ""
    bold: bool = False
    kind: str = ""
    title: str = ""
    folded: tuple[str, ...] = ()
    # Not part of repr, which makes the ids of tables.
    link: str = field(default="", repr=False)
    anchor: str = field(default="", repr=False)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.text, self.note))).replace("\n", " ")

    def html(self, note: str = "spread") -> str:
        """The content of an HTML cell; ``note`` is the class of the smaller type."""
        found = f"<b>{_escaped(self.text)}</b>" if self.bold else _escaped(self.text)
        if self.link or self.anchor:
            attributes = {"id": self.anchor, "href": self.link}
            given = "".join(f" {name}='{html.escape(value)}'" for name, value in attributes.items() if value)
            found = f"<a{given}>{found}</a>"
        if self.note:
            found += f" <span class='{note}'>{_escaped(self.note)}</span>"
        if self.folded:
            heading, *items = map(_escaped, self.folded)
            entries = "".join(f"<li>{item}</li>" for item in items)
            found += f"<details><summary>{heading}</summary><ul>{entries}</ul></details>"
        return found


Place = Text | tuple[Text, ...]
"""A cell; several texts stand one under the other."""


def heads(names: Iterable[str]) -> tuple[tuple[Text, ...], ...]:
    """Headers of one line."""
    return tuple((Text(name),) for name in names)


@dataclass(frozen=True)
class ReportTable:
    """A table of a report.

    Attributes:
        name: what it is, for those who hear it.
        corner: over the first column.
        heads: for every other column its header, the widest group first and as many texts for each; neighbours under
            one group share it.
        lines: the rows, each its stub and then its cells.
        caption: above it; the name by default.
        note: below it.
        kind: further classes in the style sheet.
        stacks: whether every cell holds its header too, under which it stands where the page is narrow.
    """

    name: str
    corner: str
    heads: tuple[tuple[Text, ...], ...]
    lines: tuple[tuple[Place, ...], ...]
    caption: str = ""
    note: str = ""
    kind: str = ""
    stacks: bool = field(default=False, repr=False)  # not in the ids

    def html(self) -> str:
        """A scrollable table in the book's theme, every cell with the ids of its headers; empty without a row."""
        if not self.lines:
            return ""
        # Several tables stand on a page; the same table has the same ids in every build.
        mark = f"t{hashlib.sha256(repr(self).encode()).hexdigest()[:6]}"
        rows = max(map(len, self.heads))
        over: list[list[str]] = [[] for _ in self.heads]
        head = f"<th scope='col' rowspan='{rows}'>{_escaped(self.corner)}</th>"
        for level in range(rows):
            cells, last = "", level + 1 == rows
            for span in self._spans(level, last):
                key, text = f"{mark}-{level}-{span[0]}", self.heads[span[0]][level]
                for at in span:
                    over[at].append(key)
                wide = " scope='col'" if last else f" scope='colgroup' colspan='{len(span)}'"
                cells += f"<th id='{key}'{wide}{_attributes(text)}>{text.html('unit')}</th>"
            head += cells if last else f"{cells}</tr><tr>"
        body = ""
        for number, (stub, *places) in enumerate(self.lines):
            key = f"{mark}-r{number}"
            cells = f"<th id='{key}' scope='row'{_attributes(stub)}>{_content(stub)}</th>"
            for place, above, head_ in zip(places, over, self.heads, strict=True):
                named = f" data-head='{html.escape(' '.join(map(str, head_)))}'" if self.stacks else ""
                cells += f"<td headers='{' '.join([key, *above])}'{named}{_attributes(place)}>{_content(place)}</td>"
            body += f"<tr>{cells}</tr>"
        kinds = "".join(f" mtl-{kind}" for kind in [*self.kind.split(), *(["stacks"] if self.stacks else [])])
        note = f"<p class='mtl-caption'>{_escaped(self.note)}</p>" if self.note else ""
        return (
            f"<div class='mtl-scroll' tabindex='0' role='region' aria-label='{html.escape(self.name)}'>"
            f"<table class='mtl-table{kinds}'><caption><div>{_escaped(self.caption or self.name)}</div></caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}"
        )

    def _spans(self, level: int, last: bool) -> list[list[int]]:
        """The columns under each header of a line; in the last line every column has its own."""
        found = groupby(range(len(self.heads)), lambda at: at if last else self.heads[at][: level + 1])
        return [list(columns) for _, columns in found]

    def grid(self) -> list[list[str]]:
        """The header and the rows as plain text; a header that another column has too is told apart by its group."""
        last = [str(path[-1]) for path in self.heads]
        names = [
            one if last.count(one) == 1 else " ".join(map(str, path))
            for one, path in zip(last, self.heads, strict=True)
        ]
        lines = [[_plain(place) for place in line] for line in self.lines]
        return [[self.corner, *names], *lines]

    def text(self) -> str:
        """Aligned columns for a terminal."""
        grid = self.grid()
        widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
        pads = [str.ljust, *[str.rjust] * len(self.heads)]
        lines = ([pad(*cell) for pad, cell in zip(pads, zip(line, widths, strict=True), strict=True)] for line in grid)
        return "\n".join("  ".join(line).rstrip() for line in lines)

    def markdown(self) -> str:
        """A pipe table, with its caption under it where it has one."""
        head, *lines = [[markdown(text) for text in line] for line in self.grid()]
        rule = ["---"] + ["---:"] * (len(head) - 1)
        pipes = "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *lines))
        return pipes + (f"\n{markdown(self.caption)}\n" if self.caption else "")


def markdown(text: str) -> str:
    """``text`` on one line, without anything that Markdown reads as its own."""
    return re.sub(r"[\\`*\[\]<>|~$&]|(?<!\w)_|_(?!\w)", r"\\\g<0>", terminal(text.replace("\n", " ")))


def _escaped(text: str) -> str:
    """As HTML that never ends a line within an option such as ``--lr``, where browsers like to."""
    escaped = html.escape(terminal(text))
    options = re.sub(r"--[\w-]+", r"<span style='white-space: nowrap'>\g<0></span>", escaped)
    return options.replace("\n", "<br>")


def _content(place: Place) -> str:
    if isinstance(place, Text):
        return place.html()
    return "".join(f"<div{_attributes(text)}>{text.html()}</div>" for text in place)


def _plain(place: Place) -> str:
    return str(place) if isinstance(place, Text) else "; ".join(map(str, place))


def _attributes(place: Place) -> str:
    """The class and the hint of a text; texts that share a cell have their own."""
    if not isinstance(place, Text):
        return ""
    kind = f" class='{place.kind}'" if place.kind else ""
    return kind + (f" title='{html.escape(place.title)}'" if place.title else "")
