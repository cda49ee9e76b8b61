"""Files of dlkd behind its components: what is followed."""

from pathlib import Path

import pytest

from dlkd.source_code import file_behind, own, own_sources, sources

TREE = {
    "__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dlkd.models.lazy import Lazy",
    "blocks/__init__.py": "from dlkd.blocks.one import One\nfrom dlkd.blocks.two import Two as Second",
    "blocks/one.py": "from dlkd.registry import register\nfrom dlkd.blocks.norm import Norm\nclass One: pass",
    "blocks/two.py": "class Two: pass",
    "blocks/norm.py": "Norm = int",
    "blocks/scan/__init__.py": "from dlkd.blocks.scan.deep import scan\nWIDTH = 3",
    "blocks/scan/deep.py": "def scan(): pass",
    "models/__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dlkd.models.lazy import Lazy",
    "models/lazy.py": "class Lazy: pass",
    "models/whole.py": "import dlkd.blocks",
    "models/star.py": "from dlkd.blocks import *",
    "models/named.py": "from dlkd.blocks import Second",
    "models/inside.py": "def f():\n    from dlkd.blocks.one import One",
    "models/module.py": "from dlkd.blocks.scan import deep, WIDTH",
    "models/dots.py": "from ..blocks import two\nfrom .named import x",
    "models/handed.py": "from dlkd.models import Lazy",
    "models/types.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dlkd.blocks import One\n"
    "else:\n    from dlkd.blocks.two import Two",
    "models/circle.py": "from dlkd.models.circle import x",
    "models/broken.py": "def f(:",
    "models/kernel.py": "SOURCE = 'kernel.cu'\nOTHER = 'absent.cu'",
    "models/kernel.cu": "// adds",
    "registry/__init__.py": "from dlkd.registry.components import register",
    "registry/components.py": "from dlkd.blocks.two import Two",
}
EVERY_BLOCK = {"blocks/__init__.py", "blocks/one.py", "blocks/norm.py", "blocks/two.py"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in the place of dlkd."""
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(own, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("blocks/one.py", {"blocks/norm.py"}),
        ("models/whole.py", EVERY_BLOCK),
        ("models/star.py", EVERY_BLOCK),
        ("models/named.py", {"blocks/two.py"}),
        ("models/inside.py", {"blocks/one.py", "blocks/norm.py"}),
        ("models/module.py", {"blocks/scan/deep.py", "blocks/scan/__init__.py"}),
        ("models/dots.py", {"blocks/two.py", "models/named.py"}),
        ("models/handed.py", {"models/lazy.py"}),
        ("models/types.py", {"blocks/two.py"}),
        ("models/circle.py", set()),
        ("models/broken.py", set()),
        ("models/kernel.py", {"models/kernel.cu"}),
    ],
)
def test_imports_are_followed_by_name(root: Path, file: str, found: set[str]) -> None:
    assert {str(path.relative_to(root)) for path in own_sources([root / file])} == {file, *found}


@pytest.mark.parametrize(
    ("text", "given", "found"),
    [
        ("def __init__(self, *, a: Second = Second): self.a = a()", {"a"}, set()),
        ("def __init__(self, a=Second, *, b=Second): pass", {"a", "b"}, set()),
        ("def __init__(self, a=Second, *, b=Second): pass", {"b"}, {"blocks/two.py"}),
        ("def __init__(self, *, a=Second): pass", set(), {"blocks/two.py"}),
        ("def __init__(self, *, a=Second): Second()", {"a"}, {"blocks/two.py"}),
        ("def __init__(self, *, a=Second): Uses()", {"a"}, {"blocks/two.py"}),
        ("def forward(self, *, a=Second): pass", {"a"}, {"blocks/two.py"}),
    ],
)
def test_a_default_whose_argument_is_given_is_not_used(root: Path, text: str, given: set[str], found: set[str]) -> None:
    uses = root / "models/uses.py"
    head = "from dlkd.registry import register\nfrom dlkd.blocks import Second\n@register('model', 'uses')\n"
    uses.write_text(f"{head}class Uses:\n    {text}\n")
    assert own_sources([uses], {uses: given}) == {uses, *(root / name for name in found)}
    beside = root / "models/beside.py"
    for made, all_given in (("Uses(a=1, b=1)", True), ("Uses()", False), ("Uses", False), ("", False)):
        beside.write_text(f"from dlkd.models.uses import Uses\n{made}")
        assert (root / "blocks/two.py" in own_sources([uses, beside], {uses: given})) == (bool(found) or not all_given)


def test_what_computes_no_result_is_not_followed_where_it_is_begun_with_it_counts(root: Path) -> None:
    (root / "models/uses.py").write_text("from dlkd.registry import register")
    assert own_sources([root / "models/uses.py"]) == {root / "models/uses.py"}
    begun = own_sources([root / "registry/components.py"])
    assert begun == {root / "registry/components.py", root / "blocks/two.py"}


def test_a_users_file_brings_what_it_imports_of_dlkd(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    mine = tmp_path_factory.mktemp("mine")
    (mine / "b.py").write_text("from helpers import x\nTABLE = 'table.csv'\n")
    (mine / "table.csv").touch()
    (mine / "helpers.py").write_text("from dlkd.blocks import One\n")
    expected = {mine / "b.py", mine / "table.csv", mine / "helpers.py", root / "blocks/one.py", root / "blocks/norm.py"}
    assert sources(mine / "b.py") == expected


def test_a_name_that_dlkd_does_not_have_is_said() -> None:
    assert file_behind("dlkd.training", "run_trial").name == "trial.py"
    with pytest.raises(LookupError, match=r"dlkd\.nowhere is no module of dlkd"):
        file_behind("dlkd.nowhere", "x")


def test_every_name_that_a_package_of_dlkd_hands_on_leads_to_the_file_that_makes_it() -> None:
    import dlkd.training

    assert {file_behind("dlkd.training", name).name for name in dlkd.training.__all__} == {
        f"{home.rpartition('.')[2]}.py" for home in dlkd.training._HOMES.values()
    }
