"""What commands and packages import: a command that computes nothing does not wait for what computes."""

import json
import os
import subprocess
import sys

import pytest

# Run the commands `dlkd ...`, or import a package; then print which of the libraries are there.
CODE = """
import json, os, sys
names = sys.argv.pop(1).split(",")
if sys.argv[1] == "import":
    __import__(sys.argv[2])
else:
    from dlkd.cli import main
    for words in " ".join(sys.argv[1:]).split(" + "):
        sys.argv[1:] = words.split()
        try:
            main()
        except SystemExit as stop:
            print("exit code", stop.code or 0)
print(json.dumps([[name for name in names if name in sys.modules], os.environ.get("OMP_WAIT_POLICY")]))
"""
TRAINING = ("lightning", "ray", "optuna", "timm", "torchvision", "torchmetrics")
COMPUTING = ("numba", "scipy.sparse", "scipy.ndimage", "skimage", "pandas", "pyarrow", "matplotlib", "torch._dynamo")


@pytest.mark.parametrize(
    ("words", "absent", "says"),
    [
        ("--help + ablate --help", ("torch", "numpy", "yaml", *TRAINING, *COMPUTING), "exit code 0"),
        ("import dlkd", ("torch", "numpy", "pydantic", "yaml", "rich", "typer"), ""),
        ("import dlkd.blocks", (*TRAINING, *COMPUTING), ""),
        ("list + list variants + show dkld", (*TRAINING, *COMPUTING), "dlkd-lfrb"),
    ],
)
def test_nothing_is_imported_that_is_not_needed(words: str, absent: tuple[str, ...], says: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", CODE, ",".join(absent), *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    loaded, policy = json.loads(done.stdout.splitlines()[-1])
    assert says in done.stdout
    assert loaded == []
    assert policy == "passive"  # set before PyTorch is loaded, whenever that will be
