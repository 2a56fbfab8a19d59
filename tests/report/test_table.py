"""The one form of tables: what a screen reader follows, what Markdown and a terminal show."""

import re
from html.parser import HTMLParser

import pytest

from mtlkit.report.table import MISSING, ReportTable, Text, heads

PRINTED = Text("print", kind="printed")
TABLE = ReportTable(
    "Table 1",
    "row",
    tuple(
        (Text(group), Text(label, "%"), side)
        for group, label in (("A", "x"), ("A", "y"), ("B", "y"))
        for side in (PRINTED, Text("ours"))
    ),
    (
        (Text("one|two", kind="ours", title="a 'hint'"), Text("1", bold=True), Text("2", "±1"), *[Text()] * 4),
        (Text("<b> & --lr"), *[Text("3")] * 6),
    ),
    "What stands here.",
    "a note",
)


class _Cells(HTMLParser):
    """The header cells and the data cells of a page."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.headers, self.opened, self.text = [], [], [], {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.opened.append(attributes.get("id"))
        if tag == "th" and "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "td":
            self.headers.append(attributes["headers"].split())

    def handle_endtag(self, tag):
        self.opened.pop()

    def handle_data(self, data):
        for name in filter(None, self.opened):
            self.text[name] = self.text.get(name, "") + data


def test_every_cell_names_its_headers_and_no_two_headers_share_a_name():
    found = _Cells(TABLE.html())
    assert len(set(found.ids)) == len(found.ids) == 2 + 3 + 6 + 2
    assert len(found.headers) == 12
    assert all(set(headers) <= set(found.ids) for headers in found.headers)
    assert [found.text[name] for name in found.headers[3]] == ["one|two", "A", "y %", "ours"]
    assert [found.text[name] for name in found.headers[10]] == ["<b> & --lr", "B", "y %", "print"]


def test_two_tables_of_a_page_share_no_id_and_a_table_keeps_its_own():
    other = ReportTable(TABLE.name, TABLE.corner, TABLE.heads, TABLE.lines[:1])
    first, second, again = (set(_Cells(one.html()).ids) for one in (TABLE, other, TABLE))
    assert not first & second
    assert first == again


def test_html_says_what_it_is_and_escapes_what_it_is_given():
    page = TABLE.html()
    assert "<caption><div>What stands here.</div></caption>" in page
    assert "aria-label='Table 1'" in page
    assert "title='a &#x27;hint&#x27;'" in page
    assert "<b>1</b>" in page
    assert "2 <span class='spread'>±1</span>" in page
    assert "&lt;b&gt; &amp; <span style='white-space: nowrap'>--lr</span>" in page
    assert page.endswith("<p class='mtl-caption'>a note</p>")
    assert re.findall(r"colspan='(\d)'", page) == ["4", "2", "2", "2", "2"]
    assert "<caption><div>Table 1</div></caption>" in ReportTable("Table 1", "", TABLE.heads, TABLE.lines).html()


def test_several_texts_stand_under_each_other_and_evidence_is_folded_away():
    verdicts = Text("holds", "3 hold\nlite", kind="holds"), Text("fails", kind="fails")
    line = Text("a claim", folded=("2 comparisons", "a\nb", "c")), verdicts
    table = ReportTable("Claims", "claim", heads(["ours"]), (line,), kind="card claims")
    page = table.html()
    assert "<table class='mtl-table mtl-card mtl-claims'>" in page
    assert "<details><summary>2 comparisons</summary><ul><li>a<br>b</li><li>c</li></ul></details>" in page
    assert "<div class='holds'>holds <span class='spread'>3 hold<br>lite</span></div><div class='fails'>fails" in page
    assert table.grid() == [["claim", "ours"], ["a claim", "holds 3 hold lite; fails"]]


@pytest.mark.parametrize("name", ["a|b", "a\\|b", "*a*", "_a_", "`a`", "a\nb", "[a](b)", "<a>"])
def test_markdown_keeps_its_columns_whatever_a_name_holds(name):
    lines = ReportTable("", name, heads([name, "y"]), ((Text(name), Text(name), Text()),)).markdown().splitlines()
    assert len(lines) == 3
    for line in lines:
        unescaped = re.sub(r"\\.", "", line)
        assert unescaped.count("|") == 4
        assert not re.search(r"[*`\[<]|\b_|_\b", unescaped)


def test_a_name_in_the_middle_of_a_word_stays_as_it_is():
    assert "| mobilenetv2_100 |" in ReportTable("", "", heads(["x"]), ((Text("mobilenetv2_100"), Text()),)).markdown()


def test_headers_on_a_terminal_are_told_apart_by_their_groups():
    flat = ReportTable("", "", tuple((Text(g), Text(n)) for g, n in ("Ax", "Ay", "By")), ((Text("r"), *[Text()] * 3),))
    assert flat.grid()[0] == ["", "x", "A y", "B y"]
    assert flat.text().splitlines() == ["   x  A y  B y", f"r  {MISSING}    {MISSING}    {MISSING}"]


def test_a_table_without_a_row_is_no_html():
    assert ReportTable("", "", heads(["x"]), ()).html() == ""
