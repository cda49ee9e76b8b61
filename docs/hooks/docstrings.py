"""What a docstring says: its first paragraph, and its arguments."""

from __future__ import annotations

import inspect
import re
from typing import Any


def summary(component: Any) -> str:
    """The first paragraph, on one line."""
    return " ".join((inspect.getdoc(component) or "").split("\n\n")[0].split())


def arguments(component: Any) -> dict[str, str]:
    """What the section "Args:" says of each argument, on one line.

    A line "lr, betas: told" is about both.
    """
    section = re.search(r"^Args:\n((?:(?:[ \t].*)?\n?)*)", inspect.getdoc(component) or "", re.MULTILINE)
    found: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE):
        for name in names.split(", "):
            found[name] = " ".join(text.split())
    return found
