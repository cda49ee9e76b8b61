"""When two cells are one: what a key follows, and what it does not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dlkd import source_code
from dlkd.ablations.plan import keys
from dlkd.ablations.plan.cells import Cell, make_cells
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.plan.tuning import Parameter
from dlkd.ablations.search.definition import Search
from dlkd.ablations.search.study import Study
from dlkd.registry import component_starts, default_registry, load_file, load_registry
from dlkd.training import PRESETS, Preset, TrainConfig

REGISTRY = default_registry()
PACKAGES = ("blocks", "cli", "data", "losses", "metrics", "models", "registry", "training")
DEMO = PRESETS["demo"]

MakeCells = Callable[..., list[Cell]]


def test_the_key_follows_what_decides_the_result_and_nothing_else(make_tiny_cells: MakeCells) -> None:
    def key(train: TrainConfig) -> str:
        return make_tiny_cells([("A", {})], preset=Preset(train=train, model=base.model))[0].key

    base = Preset(train=TrainConfig(image_size=32), model={"teacher": {"backbone": "test_resnet", "weights": "random"}})
    same = key(base.train)
    assert key(TrainConfig(image_size=32, workers=2, checkpoint_seconds=1)) == same
    others = ({"image_size": 64}, {"image_size": 32, "batch_size": 3}, {"image_size": 32, "epochs": 9})
    for other in map(TrainConfig.model_validate, others):
        assert key(other) != same
    keys = {cell.key for cell in make_tiny_cells([("A", {}), ("B", {"sigma": 1}), ("C", {"sigma": 1.0})], seeds=3)}
    assert len(keys) == 6  # 1 and 1.0 are one setting


def test_the_key_follows_the_contents_of_the_data_and_not_their_place(tiny_folder: Path, tmp_path: Path) -> None:
    """Variants that are one network share a cell, datasets that are copies too."""
    rows = [{"label": label, "variant": variant} for label, variant in (("A", "dlkd"), ("B", "same"))]
    grid = Grid.model_validate({"name": "g", "title": "t", "rows": rows, "reference": "A"})
    (tmp_path / "same.yaml").write_text("variants: {same: {extends: dlkd}}")
    registry = load_registry(tmp_path / "same.yaml")

    def found(*roots: Path) -> list[str]:
        nodes = [(registry.complete("dataset", {"name": "folder", "root": str(root)}), ["disc"]) for root in roots]
        return [cell.key for cell in make_cells(grid, registry, nodes, [0], DEMO)]

    moved = tmp_path / "moved"
    shutil.copytree(tiny_folder, moved)
    [key] = found(tiny_folder)
    assert found(moved) == [key]
    assert found(moved, tiny_folder) == [key]
    first, second = (moved / "disc/train/good" / name for name in ("000.png", "001.png"))
    first.rename(moved / "x")
    second.rename(first)
    (moved / "x").rename(second)
    assert found(moved) != [key]


EDITS = {
    "a new file": ("blocks/new.py", lambda text: "X = 1", False),
    "a component that is not used": ("data/layouts/visa.py", lambda text: text + "\nX = 1", False),
    "a command": ("cli/train.py", lambda text: text + "\nX = 1", False),
    "a component that is a default elsewhere": ("blocks/gfrb.py", lambda text: text + "\nX = 1", False),
    "a comment": ("blocks/mffm.py", lambda text: text + "\n# more\n", False),
    "a docstring": ("blocks/mffm.py", lambda text: text.replace('"""', '"""More. ', 1), False),
    "a component": ("data/layouts/folder.py", lambda text: text + "\nX = 1", True),
    "a component in a component": ("blocks/lfrb.py", lambda text: text.replace("return", "pass; return", 1), True),
    "what registers torch's": ("blocks/norm.py", lambda text: text + "\nX = 1", True),
    "what a component imports": ("losses/cosine.py", lambda text: text + "\nX = 1", True),
    "what a component imports in a function": ("models/teachers/weights.py", lambda text: text + "\nX = 1", True),
    "training": ("training/module.py", lambda text: text + "\nX = 1", True),
    "scoring": ("metrics/regions.py", lambda text: text + "\nX = 1", True),
    "what builds a model": ("registry/build.py", lambda text: text + "\nX = 1", True),
}


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of dlkd's sources, which the keys follow in the place of the true ones."""
    copy, root = tmp_path / "dlkd", keys.ROOT
    for file in (f for package in PACKAGES for f in root.glob(f"{package}/**/*.py")):
        (copy / file.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy / file.relative_to(root))

    def moved(kind: str, name: str) -> tuple[set[Path], set[Path]]:
        own, theirs = component_starts(kind, name)
        return {copy / file.relative_to(root) for file in own}, theirs

    monkeypatch.setattr(keys, "component_starts", moved)
    for module in (keys, source_code.own):
        monkeypatch.setattr(module, "ROOT", copy)
    return copy


def test_the_key_follows_the_code_that_a_cell_uses(make_tiny_cells: MakeCells, copied: Path) -> None:
    before = make_tiny_cells()[0]
    changed = {}
    for what, (name, edit, _) in EDITS.items():
        file = copied / name
        text = file.read_text() if file.exists() else None
        file.write_text(edit(text))
        changed[what] = make_tiny_cells()[0].key != before.key
        file.unlink() if text is None else file.write_text(text)
    assert changed == {what: changes for what, (_, _, changes) in EDITS.items()}
    assert make_tiny_cells()[0] == before


def test_the_key_follows_what_the_users_file_imports(
    make_tiny_cells: MakeCells, tmp_path: Path, components: None
) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nfrom dlkd.registry import register\n"
        "@register('act', 'mine')\nclass Mine(nn.ReLU):\n    def forward(self, x):\n"
        "        from my_slope import SLOPE\n        return SLOPE * super().forward(x)\n"
    )
    (tmp_path / "my_slope.py").write_text("SLOPE = 1.0")
    load_file(tmp_path / "mine.py")
    space = {"decoder.act": Parameter(choice=("relu", "mine"))}
    search = Search(variant="dlkd-lfrb", space=space)
    study = Study(search=search, preset=Preset(train=TrainConfig()), data=(), digests=())
    rows = [("A", {}), ("B", {"decoder": {"act": "mine"}})]
    before = [cell.key for cell in make_tiny_cells(rows)], study.key(REGISTRY)
    (tmp_path / "my_slope.py").write_text("SLOPE = 2.0")
    after = [cell.key for cell in make_tiny_cells(rows)], study.key(REGISTRY)
    assert [old == new for old, new in zip(before[0], after[0], strict=True)] == [True, False]
    assert before[1] != after[1]
