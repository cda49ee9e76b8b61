"""Text from names, labels and messages, shown as it was written and never interpreted."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.progress import TextColumn
from rich.table import Column, Table
from rich.text import Text

_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_BYTES = range(0xDC80, 0xDD00)
"""How Python holds the bytes of a file's name that are not UTF-8."""


def plain(text: str) -> str:
    r"""`text` on one line that UTF-8 takes: what cannot be printed is escaped, as in `a\nb` and `\xff`.

    That is line breaks and other control characters, bytes of a file's name that are not UTF-8, lone surrogates, and
    marks that turn the direction of the text around them.

    >>> print(plain("two" + chr(10) + "lines " + chr(0xdcff)))
    two\nlines \xff
    """
    return _UNPRINTABLE.sub(lambda found: _escaped(found[0]), text)


def shortened(text: str, most: int) -> str:
    """At most this many characters of `text`; characters in the middle are left out, since names differ at their ends.

    >>> shortened("a_very_long_name_of_a_file.png", 15)
    'a_very…file.png'
    """
    if len(text) <= most:
        return text
    end = most // 2 + most % 2
    return f"{text[: most - end - 1]}…{text[-end:]}"


class Terminal(Console):
    """A rich console that shows every string as it is: no markup, no emoji codes, no colours by guess."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def print(self, *objects: Any, **options: Any) -> None:
        """Strings are not broken into lines, so that paths and commands can be copied."""
        if all(isinstance(each, str) for each in objects):
            options.setdefault("soft_wrap", True)
        super().print(*objects, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Whatever cannot be printed is escaped; line breaks stay."""
        return super().render_str("\n".join(map(plain, text.split("\n"))), **options)


def text_column(text: str) -> TextColumn:
    """A column of a progress bar whose text is no markup; `text` is a format such as "{task.description}"."""
    return TextColumn(text, markup=False)


def text_table(*heads: str, title: str | None = None) -> Table:
    """A table without edges that breaks long words and cuts none off."""
    columns = [Column(Text(head), overflow="fold") for head in heads]
    return Table(*columns, show_edge=False, title=None if title is None else Text(title), title_justify="left")


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if code in _BYTES else repr(character)[1:-1]
