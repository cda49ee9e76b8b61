"""What a docstring says: its first paragraph, and its arguments."""

from __future__ import annotations

import inspect
import re
from typing import Any


def summary(component: Any) -> str:
    """The first paragraph, on one line."""
    return " ".join((inspect.getdoc(component) or "").split("\n\n")[0].split())


def arguments(component: Any) -> dict[str, str]:
    """What the section "Args:" says of each argument, on one line; of a class also those of its bases.

    A line "lr, betas: told" is about both.
    """
    found: dict[str, str] = {}
    for one in reversed(inspect.getmro(component)) if inspect.isclass(component) else [component]:
        found |= _own_arguments(one)
    return found


def _own_arguments(component: Any) -> dict[str, str]:
    section = re.search(r"^Args:\n((?:(?:[ \t].*)?\n?)*)", inspect.cleandoc(component.__doc__ or ""), re.MULTILINE)
    found: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE):
        for name in names.split(", "):
            found[name] = " ".join(text.split())
    return found
