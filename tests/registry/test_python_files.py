"""Files of `--import`: their neighbours are found from any folder, followed for the keys, and never mixed up."""

import sys
from pathlib import Path

import pytest

from dlkd.registry import component_files, get, load_file, load_same, python_files
from dlkd.registry.problems import ConfigError
from dlkd.registry.python_files import digests, sources

HEAD = "from dlkd.registry import register\n"
BLOCK = """
@register("block", "{name}")
class Own:
    width = {width}
    def __init__(self, channels):
        {inside}
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def block(imports: str, width: str = "WIDTH", name: str = "own", inside: str = "pass") -> str:
    return HEAD + imports + BLOCK.format(name=name, width=width, inside=inside)


LAYOUTS = {
    "from": ({"b.py": block("from my_layers import WIDTH"), "my_layers.py": "WIDTH = 3"}, "b.py", {"my_layers.py"}),
    "import": ({"b.py": block("import helpers", "helpers.WIDTH"), "helpers.py": "WIDTH = 3"}, "b.py", {"helpers.py"}),
    "as": ({"b.py": block("import helpers as h", "h.WIDTH"), "helpers.py": "WIDTH = 3"}, "b.py", {"helpers.py"}),
    "star": ({"b.py": block("from helpers import *"), "helpers.py": "WIDTH = 3"}, "b.py", {"helpers.py"}),
    "deep": (
        {"b.py": block("import os, pack.sub.deep", "pack.sub.deep.WIDTH"), "pack/__init__.py": "",
         "pack/sub/__init__.py": "", "pack/sub/deep.py": "from pack import more\nWIDTH = more.W",
         "pack/more.py": "W = 3"},
        "b.py",
        {"pack/__init__.py", "pack/sub/__init__.py", "pack/sub/deep.py", "pack/more.py"},
    ),
    "no init": (
        {"b.py": block("from pack.deep import WIDTH"), "pack/deep.py": "WIDTH = 3"}, "b.py", {"pack/deep.py"}
    ),
    "chain": (
        {"b.py": block("from one import WIDTH"), "one.py": "from two import WIDTH", "two.py": "WIDTH = 3"},
        "b.py",
        {"one.py", "two.py"},
    ),
    "package": (
        {"pack/__init__.py": "from . import b", "pack/b.py": block("from .l import WIDTH"), "pack/l.py": "WIDTH = 3"},
        "pack",
        {"pack/__init__.py", "pack/b.py", "pack/l.py"},
    ),
    "file of a package": (
        {"p/__init__.py": "", "p/q/__init__.py": "", "p/q/b.py": block("from ..l import WIDTH\nfrom p.l import WIDTH"),
         "p/l.py": "WIDTH = 3"},
        "p/q/b.py",
        {"p/l.py", "p/__init__.py", "p/q/__init__.py"},
    ),
    "relative": ({"b.py": block("from .types import WIDTH"), "types.py": "WIDTH = 3"}, "b.py", {"types.py"}),
    "optional": (
        {"b.py": block("try:\n    from fast import WIDTH\nexcept ImportError:\n    from slow import WIDTH"),
         "slow.py": "WIDTH = 3"},
        "b.py",
        {"slow.py"},
    ),
    "circle": (
        {"b.py": block("import other", "other.WIDTH"), "other.py": "import b\nWIDTH = 3"}, "b.py", {"other.py"}
    ),
    "odd name": ({"my-block.v2.py": block("from l import WIDTH"), "l.py": "WIDTH = 3"}, "my-block.v2.py", {"l.py"}),
    "registered beside": (
        {"b.py": "import l\nl.WIDTH = 3\nl.make()", "l.py": HEAD + "def make():\n" + "".join(
            f"    {line}\n" for line in BLOCK.format(name="own", width="WIDTH", inside="pass").splitlines())},
        "b.py",
        {"l.py"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_neighbours_are_found_and_followed(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, components: None
) -> None:
    files, start, beside = LAYOUTS[layout]
    write(tmp_path / "code", files)
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    load_file(Path("../code") / start)
    load_file(tmp_path / "code" / start)
    assert get("block", "own").width == 3
    found = {str(f.relative_to(tmp_path / "code")) for f in component_files("block", "own")}
    assert beside <= found <= beside | {start, f"{start}/__init__.py"}
    assert not {"my_layers", "helpers", "pack", "l", "b"} & set(sys.modules)


def test_imports_inside_functions_are_found_later_and_followed(tmp_path: Path, components: None) -> None:
    inside = "from late import WIDTH\n        self.late = WIDTH"
    write(tmp_path, {"b.py": block("", "0", inside=inside), "late.py": "WIDTH = 3"})
    load_file(tmp_path / "b.py")
    assert get("block", "own")(8).late == 3
    assert component_files("block", "own") == {tmp_path / "b.py", tmp_path / "late.py"}


def test_two_folders_may_hold_files_of_one_name(tmp_path: Path, components: None) -> None:
    for width, name in enumerate(("left", "right")):
        layers = f"WIDTH = {width}"
        write(tmp_path / name, {"b.py": block("from my_layers import WIDTH", name=name), "my_layers.py": layers})
        load_file(tmp_path / name / "b.py")
    assert [get("block", name).width for name in ("left", "right")] == [0, 1]
    assert component_files("block", "right") == {tmp_path / "right" / name for name in ("b.py", "my_layers.py")}
    write(tmp_path / "third", {"b.py": block("", "1", name="left")})
    with pytest.raises(ConfigError, match=rf"twice: Own of {tmp_path}/left/b\.py and Own of {tmp_path}/third/b\.py"):
        load_file(tmp_path / "third" / "b.py")


def test_a_worker_refuses_files_that_changed_since_its_run_began(tmp_path: Path, components: None) -> None:
    write(tmp_path, {"b.py": block("from l import WIDTH"), "l.py": "WIDTH = 2"})
    began = {str(tmp_path / "b.py"): digests(tmp_path / "b.py")}
    (tmp_path / "l.py").write_text("WIDTH = 3")
    with pytest.raises(ConfigError, match=r"l\.py: changed since this run began; start the run again"):
        load_same(began)
    (tmp_path / "l.py").write_text("WIDTH = 2")
    load_same(began)
    (tmp_path / "l.py").write_text("WIDTH = 4")  # what was loaded is what the run began with
    load_same(began)
    assert get("block", "own").width == 2


def test_a_file_may_have_the_name_of_a_package_that_it_imports(tmp_path: Path, components: None) -> None:
    write(tmp_path, {"jinja2.py": block("from jinja2 import Template\nimport random", "3"), "random.py": "1 / 0"})
    load_file(tmp_path / "jinja2.py")
    assert component_files("block", "own") == {tmp_path / "jinja2.py"}


def test_what_lies_on_the_path_is_followed_and_what_is_installed_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, site = tmp_path / "src", tmp_path / "env/lib/site-packages"
    write(mine, {"shared_of_mine/__init__.py": "from .deep import x", "shared_of_mine/deep.py": "import inst_pack"})
    write(site, {"inst_pack/__init__.py": "from inst_pack.a import x", "inst_pack/a.py": "x = 1"})
    write(tmp_path / "code", {"b.py": "import shared_of_mine, torch, inst_pack, nowhere, json\nfrom dlkd import x"})
    monkeypatch.setattr(sys, "path", [*sys.path, str(mine), str(site)])
    shared = {mine / "shared_of_mine" / name for name in ("__init__.py", "deep.py")}
    assert sources(tmp_path / "code/b.py") == {tmp_path / "code/b.py", *shared}
    # The package itself of an entry point is followed where it is installed.
    assert sources(site / "inst_pack/__init__.py") == {site / "inst_pack" / name for name in ("__init__.py", "a.py")}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"b.py": "x = 1\n1 / 0\n"}, "{b}:2: ZeroDivisionError: division by zero"),
        ({"b.py": "x = (\n"}, "{b}:1: SyntaxError: '(' was never closed"),
        ({"b.py": "x = '\0'\n"}, "{b}: "),
        ({"b.py": "\nimport nowhere_at_all\n"}, "{b}:2: ModuleNotFoundError: No module named 'nowhere_at_all'; looked"),
        ({"b.py": "\n\nfrom l import nothing\n", "l.py": ""}, "{b}:3: ImportError: cannot import name 'nothing' from"),
        ({"b.py": "\nimport l\n", "l.py": "x = 1\nx.y\n"}, "{b}:2: {l}:2: AttributeError: 'int' object has no"),
        ({"b.py": "\nimport l\n", "l.py": "x = 1\ny = = 2\n"}, "{b}:2: {l}:2: SyntaxError: invalid syntax"),
        ({"b.py": "\nfrom l import f\nf()\n", "l.py": "def f():\n    1 / 0\n"}, "{b}:3: {l}:2: ZeroDivisionError"),
        ({"b.py": "import sys\nsys.exit()\n"}, "{b}:2: ends the program when it is imported"),
        ({"b.py": "import json\njson.loads('{')\n"}, "{b}:2: JSONDecodeError"),
        ({"b.py": HEAD + "register('block', 'lfrb')(int)\n"}, "{b}:2: ValueError: block/lfrb"),
        ({"b.py/x.py": ""}, "{b}: is a folder without __init__.py; name a Python file in it"),
        ({"x.py": ""}, "{b}: there is no such Python file"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_run_says_where(
    tmp_path: Path, files: dict[str, str], says: str, components: None
) -> None:
    write(tmp_path, files)
    with pytest.raises(ConfigError) as caught:
        load_file(tmp_path / "b.py")
    assert str(caught.value).startswith(says.format(b=tmp_path / "b.py", l=tmp_path / "l.py"))
    assert len(caught.value.problems) == 1
    assert python_files.PREFIX not in str(caught.value)


def test_what_failed_can_be_mended_and_run_again(tmp_path: Path, components: None) -> None:
    write(tmp_path, {"b.py": block("from l import WIDTH") + "1 / 0", "l.py": "WIDTH = 2"})
    with pytest.raises(ConfigError):
        load_file(tmp_path / "b.py")
    write(tmp_path, {"b.py": block("from l import WIDTH"), "l.py": "WIDTH = 3"})  # of one size, in one second
    load_file(tmp_path / "b.py")
    assert get("block", "own").width == 3
    (tmp_path / "b.txt").touch()
    with pytest.raises(ConfigError, match=r"b\.txt: is no Python file; its name must end in \.py"):
        load_file(tmp_path / "b.txt")
