"""The notebooks in examples/: their cells run in order, and they hold no outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))

# Run the code cells in order in one namespace, as a kernel does, and ask the last expression of each for what it
# shows in a notebook. No Jupyter is needed.
RUN = """
import ast, json, sys
names = {"__name__": "__main__"}
for cell in json.load(open(sys.argv[1], encoding="utf-8"))["cells"]:
    if cell["cell_type"] != "code":
        continue
    tree = ast.parse("".join(cell["source"]))
    *body, last = tree.body
    shown = isinstance(last, ast.Expr)
    exec(compile(ast.Module(body if shown else tree.body, []), "cell", "exec"), names)
    if shown:
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
        getattr(value, "_repr_html_", lambda: None)()
        print(repr(value))
"""


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_holds_no_outputs(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    for cell in cells:
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), notebook.name, "exec")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_train_predict_ablate_runs(tmp_path: Path) -> None:
    [notebook] = NOTEBOOKS
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(notebook)],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "MPLBACKEND": "agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "'dlkd-lfrb'" in said
    assert "TrainedModel(dlkd-lfrb on textures/brick, seed 0" in said
    assert "Ablation(one_loss: 4 trials; in runs/one_loss)" in said
    assert (tmp_path / "one_loss.html").exists()
