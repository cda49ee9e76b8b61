"""Escaped text is shown as it was written by a Markdown renderer, wherever it stands."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from dlkd.ablations.report.markdown import escape, markdown_table

NASTY = [
    *("PRL [w/o gate]", "[a](http://b)", "![a](b)", "a | b", "*a* _b_ `c`", "<b>x</b>", "&amp; &lt;", "~~a~~", "$x$"),
    *(
        "# a #",
        "- a",
        "+ a",
        "1. a",
        "2) a",
        "> a",
        "---",
        "===",
        "[ ] a",
        "[x]: b",
        "a\\",
        "\\*",
        "C:\\new",
        "`",
        "1.5 mm",
        "-0.5",
    ),
]
SHOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def text_of(markdown: str) -> str:
    page = SHOWN.render(markdown)
    assert not re.search(r"<(a|img|em|strong|code|s|b|hr|ol|blockquote)\b", page), page
    return html.unescape(re.sub(r"<[^>]*>", "", page)).strip()


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("place", ["", "# ", "- ", "a: "])
def test_escaped_text_is_shown_as_it_is(name: str, place: str) -> None:
    assert text_of(place + escape(name)) == place.removeprefix("# ").removeprefix("- ") + name


@pytest.mark.parametrize("name", NASTY)
def test_a_cell_is_one_cell(name: str) -> None:
    table = markdown_table(["head", "figure"], [[escape(name), "1"], [escape("b"), "2"]])
    cells = re.findall(r"<td[^>]*>(.*?)</td>", SHOWN.render(table), re.DOTALL)
    assert [html.unescape(cell) for cell in cells] == [name, "1", "b", "2"]


@pytest.mark.parametrize("name", ["a] [b", "[a](b)", "]", "[[", "![x]", "\\["])
def test_a_pictures_words_end_where_they_end(name: str) -> None:
    page = SHOWN.render(f"![{escape(name, brackets=True)}](file.png)")
    assert f'<img src="file.png" alt="{name}" />' in html.unescape(page)


def test_what_cannot_be_printed_stays_on_its_line() -> None:
    assert escape("a\nb\udcff") == "a\\\\nb\\\\xff"
