"""What a file says: code, and neither comments nor docstrings nor layout."""

from pathlib import Path

import pytest

from dlkd.source_code import meaning

PLAIN = "class A:\n    x = 1\n\n    def f(self):\n        return 'a'\n"


@pytest.mark.parametrize(
    "text",
    [
        '"""About."""\n# Why.\nclass A:\n    """A."""\n    x = 1  # one\n    """Doc of x."""\n    def f(self):\n'
        "        '''Says a.'''\n        return (\n            'a'\n        )\n",
        PLAIN.replace("'a'", '"a"'),
    ],
)
def test_comments_docstrings_and_layout_say_nothing(tmp_path: Path, text: str) -> None:
    assert _of(tmp_path, text) == _of(tmp_path, PLAIN)


@pytest.mark.parametrize(
    "change", [("x = 1", "x = 2"), ("'a'", "'b'"), ("def f", "def g"), ("x = 1", "x = 1.0"), ("1", "None"), ("1", "-1")]
)
def test_code_says_something(tmp_path: Path, change: tuple[str, str]) -> None:
    assert _of(tmp_path, PLAIN.replace(*change)) != _of(tmp_path, PLAIN)


def test_files_that_python_cannot_read_count_by_their_bytes(tmp_path: Path) -> None:
    for text in ("def f(:", "x = " + "+".join(["1"] * 20_000)):
        assert _of(tmp_path, text) != _of(tmp_path, text + "  # more")
    assert _of(tmp_path, "# a", ".cu") != _of(tmp_path, "# b", ".cu")


def _of(folder: Path, text: str, suffix: str = ".py") -> str:
    file = folder / f"file{suffix}"
    file.write_text(text)
    return meaning(file)
