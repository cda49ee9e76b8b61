"""Text on a terminal is what was written."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from dlkd.text import Terminal, plain, shortened, text_column, text_table

NASTY = ["PRL [w/o gate]", "[/x]", "[a]", "[bold]b[/bold]", ":smile: :x:", "C:\\new\\", "{0} {x}", "划痕", "a\\[b]"]


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("terminal", [False, True])
def test_a_terminal_shows_names_as_they_are(name: str, terminal: bool) -> None:
    text = io.StringIO()
    console = Terminal(file=text, width=100, force_terminal=terminal, color_system=None)
    console.print(f"first {name}")
    table = text_table(name, "head", title=name)
    table.add_row("cell", name)
    console.print(table)
    with Progress(text_column("{task.description}"), text_column("{task.fields[note]}"), console=console) as bars:
        bars.add_task(name, note=name, total=1)
    assert text.getvalue().count(name) >= 6


def test_what_cannot_be_printed_is_escaped_and_line_breaks_of_a_message_stay() -> None:
    text = io.StringIO()
    console = Terminal(file=text, width=100, color_system=None)
    console.print("one\ntwo \x1b[31m \udcff\udce9 \u202egnp.exe\t|")
    assert text.getvalue() == "one\ntwo \\x1b[31m \\xff\\xe9 \\u202egnp.exe\\t|\n"
    assert plain("a\r\nb\x00\ud800") == "a\\r\\nb\\x00\\ud800"
    assert plain("名 é 😀 a-b") == "名 é 😀 a-b"


def test_paths_are_not_broken_into_lines_and_long_words_in_tables_not_cut() -> None:
    text, long = io.StringIO(), "x" * 150
    console = Terminal(file=text, width=40)
    console.print(f"wrote {long} and more")
    assert text.getvalue() == f"wrote {long} and more\n"
    table = text_table("a", "b")
    table.add_row(long, "")
    console.print(table)
    assert text.getvalue().count("x") == 300


def test_a_plain_rich_console_would_not() -> None:
    """What the class is for: with rich's own defaults the text is lost."""
    text = io.StringIO()
    Console(file=text).print("[a] :x:")
    assert "[a]" not in text.getvalue()


def test_shortened_keeps_both_ends() -> None:
    assert shortened("short", 5) == "short"
    assert shortened("0123456789", 5) == "0…789"
    assert len(shortened("x" * 500, 47)) == 47
