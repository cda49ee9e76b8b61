"""`dlkd app`: what is refused before anything is served, with exit code 2."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dlkd import cli

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Type `dlkd app ...`: exit code and errors. Serving fails the test."""

    def served(*given: object) -> None:
        raise AssertionError("served")

    def type_in(*words: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["dlkd", "app", *map(str, words)])
        monkeypatch.setattr("dlkd.app.server.serve", served)
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0), capfd.readouterr().err

    return type_in


def test_what_is_no_model_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.onnx").write_text("no model")
    for given, says in [
        ("empty", "is no trial: it has no trial.yaml"),
        ("absent", "is no trial: it has no trial.yaml"),
        ("text.onnx", "text.onnx"),
    ]:
        code, said = run(tmp_path / given, "--port", 0)
        assert (code, says in said) == (2, True), said
        assert said.count("error:") == 1


def test_models_of_two_categories_are_refused(run: Run, run_folder: Path, tmp_path: Path) -> None:
    first = run_folder / "store" / "key0"
    shutil.copytree(first, tmp_path / "other")
    spec = (tmp_path / "other/trial.yaml").read_text()
    (tmp_path / "other/trial.yaml").write_text(spec.replace("category: disc", "category: cube"))
    code, said = run(first, tmp_path / "other", "--port", 0)
    assert code == 2
    assert "models side by side are of one category" in said


def test_a_category_alone_and_an_unknown_one_are_refused(run: Run, run_folder: Path, tiny_folder: Path) -> None:
    assert run(run_folder, "--port", 0, "--category", "disc") == (
        2, "error: --category is a category of --dataset: give both\n",
    )  # fmt: skip
    code, said = run(run_folder, "--port", 0, "--dataset", tiny_folder, "--category", "dics")
    assert (code, "no category 'dics'; did you mean 'disc'?" in said) == (2, True), said


def test_nothing_given_is_refused(run: Run) -> None:
    code, said = run()
    assert (code, "Missing argument" in said) == (2, True)
