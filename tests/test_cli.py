"""The command line: what a user types, what they read, and exit code 2 for what they can get wrong."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from dlkd import cli
from dlkd.cli.console import out
from dlkd.cli.errors import shown_errors
from dlkd.data.named import dataset_node
from dlkd.training import config

EXAMPLES = Path(__file__).parents[1] / "examples"
TINY = ["--steps", "3", "--image-size", "64", "--batch-size", "4", "--registry", "tiny.yaml"]
REGISTRY = """
variants:
  tiny: {extends: dlkd-lfrb, teacher: {backbone: test_resnet, weights: random}}
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Type `dlkd ...` in an empty folder that holds tiny.yaml and data/: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "tiny.yaml").write_text(REGISTRY)
    shutil.copytree(tiny_folder, tmp_path / "data")

    def type_in(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["dlkd", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return type_in


def train(run: Run, *more: object) -> tuple[int, str, str]:
    return run("train", "tiny", "--dataset", "data", *TINY, "--set", "teacher.backbone=test_resnet", *more)


def test_too_little_memory_is_one_message(capfd: pytest.CaptureFixture[str]) -> None:
    for ask in (np.empty, torch.empty):
        with pytest.raises(SystemExit) as stop, shown_errors():
            ask(2**59)
        assert stop.value.code == 2
        said = capfd.readouterr().err
        assert said.startswith("error: out of memory (")
        assert "--image-size or --batch-size" in said


def test_a_dataset_that_is_no_folder_is_named_with_the_way_out(run: Run) -> None:
    for text, wanted in (
        ("mvtec", "mvtec needs the path of its folder: give it as mvtec:PATH"),
        ("visa,unmasked=leave_out", "give it as visa:PATH"),
        ("./tiny.yaml", "./tiny.yaml is a file; a dataset is a folder"),
        ("nowhere/data", "the dataset folder nowhere/data does not exist"),
    ):
        code, _, err = run("data", "inspect", text)
        assert code == 2
        assert wanted in err


# The demo preset names a teacher of its own; the tiny variant's is put back.
BACK = ["--set", "teacher.backbone=test_resnet", "--set", "teacher.weights=random"]


def test_train_evaluate_predict(run: Run, tmp_path: Path) -> None:
    code, out, err = train(run, *BACK, "--set", "optimizer.lr=0.003", "--out", "trial")
    assert code == 0, err
    assert "image_auroc" in out
    assert yaml.safe_load(Path("trial/trial.yaml").read_text())["model"]["optimizer"]["lr"] == 0.003
    metrics = json.loads(Path("trial/result.json").read_text())["metrics"]
    assert f"{metrics['pro']:.4f}" in out

    code, again, err = run("evaluate", "trial", "--registry", "tiny.yaml")
    assert code == 0, err
    assert again == out

    (tmp_path / "data/disc/test/good/text.png").write_text("no picture")
    code, _, err = run("predict", "trial", "data/disc/test", "--out", "seen", "--registry", "tiny.yaml")
    assert code == 2
    assert "text.png" in err
    assert "7 images scored" in err
    rows = list(csv.DictReader(Path("seen/scores.csv").read_text().splitlines()))
    assert len(rows) == 7
    for row in rows:
        assert int(row["anomalous"]) == (float(row["score"]) > float(row["threshold"]))
        with Image.open(row["overlay"]) as picture:
            assert picture.width > 400
    predict_ends_as_asked(run, rows)


def predict_ends_as_asked(run: Run, rows: list[dict[str, str]]) -> None:
    """The exit codes of a line, rows alone on standard output, tiles, and the scores of the trial's folder in all."""
    one = ["predict", "trial", "data/disc/test/good/000.png", "--registry", "tiny.yaml", "--out", "-"]
    score = {row["image"]: float(row["score"]) for row in rows}[one[2]]
    code, out, err = run(*one, "--threshold", score - 0.01, "--fail-on-anomaly", "--format", "jsonl")
    assert code == 1, err
    assert json.loads(out)["score"] == pytest.approx(score, abs=1e-5)
    assert "ms per picture (median)" in err
    code, out, err = run(*one, "--threshold", score - 0.01)
    assert code == 0, err
    assert len(out.splitlines()) == 2
    code, out, err = run(*one, "--threshold", score + 0.01, "--fail-on-anomaly", "--tile", "40x32")
    assert code == 0, err  # one tile is the whole picture
    assert float(out.splitlines()[1].split(",")[1]) == pytest.approx(score, abs=1e-5)


def test_calibrate_changes_the_threshold_of_every_command(run: Run) -> None:
    tiny = ["--registry", "tiny.yaml"]
    half = ["--set", "train.calibrate.hold_out=0.5"]
    code, _, err = train(run, *BACK, *half, "--out", "trial")
    assert code == 2
    assert "data/disc: of 6 training images, 3 normal training images that were held out are too few" in err
    assert "Take false_alarm_rate: 0.25, or no `calibrate`" in err
    code, _, err = train(run, *BACK, *half, "--set", "train.calibrate.false_alarm_rate=0.25", "--out", "trial")
    assert code == 0, err
    assert (
        "the threshold lies just above score 3 of 3, in rising order, of normal training images that were held out"
        in err
    )

    for words, says in (
        (["trial"], "name one aim: --false-alarm-rate 0.01 or --recall 0.95"),
        (["trial", "data/disc/test/good", "--false-alarm-rate", "0.01"], "are too few for a false alarm rate of 0.01"),
        (["trial", "data/disc/train/good", "--false-alarm-rate", "0.25"], "3 of 6 normal pictures are among those"),
        (["trial", "data/disc/test/good", "--recall", "0.5"], "there are no anomalous pictures"),
        (["trial", "data/disc/test/good", "--recall", "0.5", "--dataset", "data"], "give images, or a dataset whose"),
    ):
        code, _, err = run("calibrate", *words, *tiny)
        assert code == 2
        assert says in err
        assert not Path("trial/thresholds.json").exists()

    code, out, err = run("calibrate", "trial", "--recall", "0.8", *tiny)
    assert code == 0, err
    assert "note: these are test images" in err
    assert "of anomalous test images of data/disc" in err
    chosen, before = re.findall(r"threshold ([\d.]+), before ([\d.]+)", out)[0]
    assert float(chosen) != float(before)
    assert "recall: 0.8 (95% interval 0.4 to 0.99, from 4 images)" in out
    assert "false-alarm rate: " in out
    code, out, err = run("evaluate", "trial", *tiny)
    assert "4 of 4 defects found" in out
    assert "just below score 1 of 4" in err
    code, _, err = run("predict", "trial", "data/disc/test/square", "--out", "seen", "--no-overlays", *tiny)
    assert "4 images scored, 4 of them anomalous" in err


def test_a_trial_is_not_overwritten_and_resume_reads_it(run: Run) -> None:
    assert train(run, *BACK, "--out", "trial")[0] == 0
    before = Path("trial/weights.safetensors").read_bytes()
    code, _, err = train(run, *BACK, "--out", "trial")
    assert code == 2
    assert "--resume" in err
    code, out, _ = train(run, *BACK, "--out", "trial", "--resume")
    assert code == 0
    assert "image_auroc" in out
    code, _, err = train(run, *BACK, "--out", "trial", "--resume", "--seed", "1")
    assert code == 2
    assert "seed differ" in err
    assert Path("trial/weights.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("train dkld", "unknown variant 'dkld'; did you mean 'dlkd'?"),
        ("train dlkd --preset dmeo", "unknown preset 'dmeo'; did you mean 'demo'?"),
        ("train dlkd --dataset textrues", "did you mean 'textures'?"),
        ("train dlkd --dataset ./nowhere", "./nowhere does not exist"),
        ("train dlkd --dataset data --category disk", "has no category 'disk'; did you mean 'disc'?"),
        ("train dlkd --set sigma", "--set takes KEY=VALUE"),
        ("train dlkd --set sgima=2", "did you mean 'sigma'?"),
        ("train dlkd --set decoder.global=gfrbb", "did you mean 'gfrb'?"),
        ("train dlkd --set train.lrr=1", "lrr"),
        ("train dlkd --set train=1", "train"),
        ("train dlkd --set fusion=frfn", "overrides: model/dlkd cannot be built: TypeError: FRFN"),
        ("train dlkd --set score_top=4", "score_top must lie in [0, 1], got 4"),
        ("train dlkd --set decoder.global.backend=numbaa", "numbaa"),
        ("train dlkd --registry none.yaml", "none.yaml"),
        ("train dlkd --import none.py", "none.py"),
        ("train dlkd --precision 16", "precision"),
        ("train dlkd --dataset mvtec", "mvtec:PATH"),
        ("show dkld", "did you mean 'dlkd'?"),
        ("evaluate nowhere", "nowhere is no trial"),
        ("predict nowhere data", "nowhere is no trial"),
        ("predict nowhere", "name the images to score"),
        ("predict nowhere data --watch data", "name the images to score"),
        ("predict nowhere none.png", "none.png: no such file or folder"),
        ("predict nowhere data --tile 2x", "--tile takes a side in pixels or height x width"),
        ("predict nowhere data --masks --out -", "--masks: name a folder for them with --out"),
        ("ablate tabel4", "did you mean 'table4'"),
        ("report nowhere", "trials.parquet is missing"),
        ("compare a b", "a"),
        ("check nowhere.yaml", "nowhere.yaml"),
        ("list blocs", "did you mean 'block'?"),
        ("data inspect textrues", "did you mean 'textures'?"),
        ("data prepare mvtec --out x", "mvtec:PATH"),
        ("data inspect data --sheet data", "--sheet data: name the PNG file to write"),
        ("train dlkd --dataset data,unmasked=leave_out", "--dataset folder:data,unmasked=leave_out"),
        ("train dlkd --dataset data --out data", "data holds the pictures of"),
        ("train dlkd --dataset data --out data/disc/trial", "data/disc/trial holds the pictures of"),
        ("ablate table4 --dataset data --out data", "data holds the pictures of"),
    ],
)
def test_what_a_user_gets_wrong_is_one_message_and_exit_code_2(run: Run, words: str, says: str) -> None:
    code, _, err = run(*words.split())
    assert code == 2
    assert says in err
    assert "Traceback" not in err


def test_oblong_images_everywhere(run: Run) -> None:
    code, _, err = train(run, *BACK, "--set", "train.image_size=[64,96]", "--image-size", "48x80", "--out", "trial")
    assert code == 0, err
    assert yaml.safe_load(Path("trial/trial.yaml").read_text())["train"]["image_size"] == [48, 80]
    code, _, err = run(
        "predict", "trial", "data/disc/test/square", "--out", "said", "--registry", "tiny.yaml", "--no-overlays"
    )
    assert code == 0, err
    assert len(Path("said/scores.csv").read_text().splitlines()) == 5
    code, out, err = run("show", "tiny", "--registry", "tiny.yaml", "--image-size", "48x80")
    assert code == 0, err
    assert "48 x 80 pixels" in out
    assert "(1, 48, 80)" in out
    for bad in ("31", "64x16", "64x", "large", "30000"):
        for command in (["train", "tiny", "--dataset", "data"], ["show", "tiny"], ["ablate", "table4", "--dry-run"]):
            code, _, err = run(*command, "--registry", "tiny.yaml", "--image-size", bad)
            assert code == 2
            assert "image_size: must be a side or a height and a width, 32 to 16384 pixels" in err
            assert "Traceback" not in err


def test_all_problems_of_a_registry_file_are_shown_with_their_lines(run: Run) -> None:
    Path("bad.yaml").write_text("variants:\n  a: {extends: dlkdd}\n  b: {extends: dlkd, sgima: 2}\nvariant: {}\n")
    code, _, err = run("list", "--registry", "bad.yaml")
    assert code == 2
    for says in ("bad.yaml:2: variants.a.extends", "bad.yaml:3: variants.b.sgima", "bad.yaml:4: variant"):
        assert says in err


@pytest.mark.parametrize("command", [[], ["data"]])
def test_help_names_every_command(run: Run, command: list[str]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0
    expected = (
        ["inspect", "prepare"]
        if command
        else ["train", "evaluate", "predict", "calibrate", "ablate", "report", "compare"]
    )
    expected += [] if command else ["list", "show", "check", "schema", "data"]
    assert all(name in out for name in expected)


def test_list_and_show(run: Run) -> None:
    code, out, _ = run("list")
    assert code == 0
    assert "dlkd-lfrb-gfrb" in out
    code, out, _ = run("show", "dlkd", "--set", "sigma=2")
    assert code == 0
    node, _, rest = out.partition("128 x 128 pixels")
    assert yaml.safe_load(node)["sigma"] == 2
    assert "(1, 3, 128, 128)" in rest
    assert "parameters" in rest


@pytest.mark.usefixtures("components")
def test_check_takes_the_packaged_file_and_ones_own(run: Run) -> None:
    code, out, err = run("check", EXAMPLES / "my_variant.yaml")
    assert (code, err) == (0, "")
    assert "ok: variant wide-scan" in out
    Path("bad_block.py").write_text(
        "from torch import nn\nfrom dlkd.registry import register\n"
        "@register('block', 'halves')\nclass Halves(nn.Module):\n"
        "    def __init__(self, channels: int) -> None:\n        super().__init__()\n"
        "    def forward(self, x):\n        return x[:, :, ::2]\n"
    )
    Path("bad_block.yaml").write_text(
        'components:\n  block/halves: {shape: "b c h w -> b c h w", given: {channels: c}}\n'
    )
    code, out, err = run("check", "bad_block.yaml", "--import", "bad_block.py", "--examples", "3")
    assert code == 2
    assert "failed: block/halves" in out
    assert "the contract says b c h w -> b c h w" in err


def test_check_reads_a_file_once_which_may_be_a_pipe(run: Run) -> None:
    reading, writing = os.pipe()
    os.write(writing, REGISTRY.encode())
    os.close(writing)
    try:
        code, out, err = run("check", f"/dev/fd/{reading}")
    finally:
        os.close(reading)
    assert code == 0, err
    assert "ok: variant tiny" in out


def test_schema_is_json(run: Run) -> None:
    code, out, _ = run("schema")
    assert code == 0
    assert json.loads(out)["title"] == "DLKD registry"


def test_a_category_without_anomalies_is_trained_and_says_what_is_undefined(run: Run) -> None:
    shutil.rmtree("data/disc/test/square")
    shutil.rmtree("data/disc/ground_truth")
    code, out, err = train(run, *BACK, "--out", "trial")
    assert code == 0, err
    assert out.count("undefined:") == 10


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda d: shutil.rmtree(d / "train"), "train"),
        (lambda d: [f.unlink() for f in (d / "train/good").iterdir()], "train"),
        (lambda d: (d / "train/good/000.png").write_bytes(b""), "000.png"),
        (lambda d: (d / "test/good/000.png").write_bytes((d / "test/good/000.png").read_bytes()[:300]), "000.png"),
        (lambda d: (d / "ground_truth/square/000_mask.png").unlink(), "000"),
        (lambda d: (d / "test/square/000.png").unlink(), "000_mask.png"),
    ],
)
def test_broken_data_is_one_message_that_names_the_file(run: Run, harm: Callable[[Path], object], says: str) -> None:
    harm(Path("data/disc"))
    code, _, err = train(run, *BACK, "--out", "trial")
    assert code == 2
    assert says in err.split("error:")[1]
    assert not Path("trial/result.json").exists()


def test_images_of_every_mode_and_size_are_taken(run: Run) -> None:
    good = Path("data/disc/train/good")
    grey = np.full((50, 70), 120, np.uint8)
    Image.fromarray(grey).save(good / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(good / "deep.png")
    Image.fromarray(np.dstack([grey] * 4)).save(good / "rgba.png")
    Image.fromarray(np.dstack([grey] * 3)).save(good / "photo.jpg")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(good / "dot.bmp")
    code, _, err = train(run, *BACK, "--out", "trial")
    assert code == 0, err


def test_inspect_prints_counts_and_draws_a_sheet(run: Run) -> None:
    code, out, err = run("data", "inspect", "data", "--sheet", "sheet.png")
    assert code == 0, err
    assert "disc" in out
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 100


def test_the_list_of_scans_says_what_each_runs_on(run: Run) -> None:
    code, out, err = run("list", "scan")
    assert code == 0, err
    lines = {line.split()[0]: line for line in out.splitlines() if line.split()}
    assert [word in lines["numba"] for word in ("cpu", "float32, float64", "yes", "no")] == [True] * 4
    assert "any" in lines["torch"]
    assert "cuda" in lines["triton"]


def test_an_error_of_our_own_making_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlkd.registry.read_registry", lambda *_: 1 / 0)
    code, _, err = run("list")
    assert code == 2  # Python's 1 says that `predict --fail-on-anomaly` found one
    assert "Traceback" in err
    assert "ZeroDivisionError" in err


def test_a_dry_run_says_what_a_run_would_take(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a dataset that takes arguments after commas, too."""
    from dlkd.ablations.forecast import forecast as module

    told = []

    def forecast(cells: list[Any], grids: list[Any], *_: object, **__: object) -> module.Forecast:
        told.append([grid.name for grid in grids])
        return module.Forecast({cell.key: 50.0 for cell in cells}, 9.0, 130.0, 6.0)

    monkeypatch.setattr(module, "forecast", forecast)
    code, out, err = run(
        *("ablate", "table4", "--dataset", "elpv,train_limit=9,test_limit=2", "--category", "mono", "--dry-run"),
        *("--workers", "2"),
    )
    assert code == 0, err
    assert told == [["table4"]]
    assert "3 cells for 3 table entries, 3 to train\n  3 cells: never run\n" in out
    assert "about 2 min 25 s with 2 at a time: 9 s to start, 2 min 10 s of trials (2 min 30 s one at a time)" in out
    code, _, err = run("ablate", "table4", "--dataset", "elpv,train_limti=9", "--dry-run")
    assert code == 2
    assert "did you mean 'train_limit'?" in err


def test_a_dry_run_says_which_effects_a_run_would_show(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlkd.ablations.forecast import forecast as module

    def forecast(cells: list[Any], *_: object, **__: object) -> module.Forecast:
        return module.Forecast({cell.key: 50.0 for cell in cells}, 9.0, 130.0, 6.0)

    monkeypatch.setattr(module, "forecast", forecast)
    data = ("--dataset", "elpv,train_limit=9,test_limit=2", "--category", "mono")
    code, out, err = run("ablate", "table4", *data, "--dry-run", "--detect", "1")
    assert code == 0, err
    assert "table4: to show an effect of 1.00 points of Image-AUROC in 8 of 10 runs, the only one" in out
    assert "the same command with --seeds 3 in place of --dry-run --detect 1" in out


def test_effects_that_no_run_shows_are_refused_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("title: t\nrows: [{label: a, variant: dlkd}]\nreference: a\n")
    for words, said in (
        (("table4", "--detect", "1"), "trains nothing: give --dry-run too"),
        (("table4", "--dry-run", "--detect", "0"), "--detect 0: give an effect in points, above 0 and below 100"),
        (("table4", "--dry-run", "--detect", "0.5"), "'table4' calls differences within 0.5 points equivalent"),
        (("one.yaml", "--dry-run", "--detect", "1"), "grid 'one' has one row, so that nothing is compared"),
        ((EXAMPLES / "my_search.yaml", "--dry-run", "--detect", "1"), "a search has none"),
    ):
        code, out, err = run("ablate", *words, "--dataset", "no_such_folder")
        assert (code, out) == (2, ""), words
        assert said in err


def test_results_are_listed_and_deleted_where_that_is_agreed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run("results")
    assert (code, "runs/trials is no folder" in err) == (2, True)
    left = tmp_path / "runs/trials" / ("0" * 16)
    left.mkdir(parents=True)
    (left / "failure.txt").write_text("x" * 2000)
    code, out, _ = run("results")
    assert "1 trial, 2.0 KB: no run shows them and no grid finds them again" in out
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, err = run("results", "--prune")
    assert (code, "give --yes to delete without a question" in err) == (2, True)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert "nothing was deleted" in run("results", "--prune")[1]
    assert left.exists()
    assert "deleted 1 trial, 2.0 KB" in run("results", "--prune", "--yes")[1]
    assert not left.exists()


@pytest.mark.parametrize("command", ["train", "ablate"])
def test_damage_is_found_before_training(run: Run, tmp_path: Path, command: str) -> None:
    good = next((tmp_path / "data").rglob("train/good"))
    first, second, *_ = sorted(good.iterdir())
    first.write_bytes(b"no picture")
    second.write_bytes(b"")
    typed = ["train", "dlkd"] if command == "train" else ["ablate", "untrained"]
    code, _, err = run(*typed, "--dataset", "data")
    assert code == 2, err
    assert "damaged files (2 in all)" in err
    assert f"{first.name}: not a picture" in err
    assert f"{second.name}: the file is empty" in err
    assert not (tmp_path / "runs").exists()


def test_what_is_passed_over_and_what_is_slow_are_said_at_training(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = next((tmp_path / "data").rglob("train/good"))
    (good / "new.heic").write_bytes(b"x")
    monkeypatch.setattr(config, "has_bf16", lambda: False)
    said = train(run, "--precision", "bf16-mixed")[2]
    assert "left out: train/good: 1 files (1 .heic)" in said
    assert "note: train.precision bf16-mixed: this processor has no instructions for bf16" in said


@pytest.mark.parametrize("command", [["train", "dlkd"], ["ablate", "untrained"]])
def test_more_threads_than_any_machine_has_are_refused(run: Run, command: list[str]) -> None:
    """OpenMP ends the process with a segmentation fault."""
    code, _, err = run(*command, "--threads", "100000")
    assert code == 2
    assert "--threads" in err
    assert "1024" in err


def test_systems_without_fcntl_and_resource(tiny_folder: Path, tmp_path: Path) -> None:
    """Neither is on every system; no message needs them."""
    code = """
import sys
sys.modules["resource"] = sys.modules["fcntl"] = None
from dlkd.cli import main
folder = sys.argv[1]
for words in (["--help"], ["show", "no-such-variant"], ["data", "inspect", folder]):
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as stop:
        print("exit code", stop.code)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tiny_folder)], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert [line for line in done.stdout.splitlines() if "exit code" in line] == [f"exit code {n}" for n in (0, 2, 0)]


def test_an_unsupported_system_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "argv", ["dlkd", "--help"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "WSL 2" in " ".join(shown.err.split())


def test_a_grid_given_twice_is_refused_before_training(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    text = "title: t\nrows: [{label: x, variant: dlkd}]\nreference: x\n"
    for path in ("mine.yaml", "a/mine.yaml"):
        Path(path).write_text(text)
    for words in (("table4", "table4"), ("mine.yaml", "a/mine.yaml")):
        code, _, err = run("ablate", *words, "--dry-run")
        assert code == 2
        assert f"{words[0]} and {words[1]} are both the grid" in err


def test_folders_and_categories_of_any_name_are_shown_as_they_are(run: Run, tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"[d] $\xff")
    for name in ("[bold]", "划痕$", os.fsdecode(b"\xfe[x]")):
        shutil.copytree("data/disc", root / name)
    (root / "[bold]/train/good/[b].png").write_bytes(b"")
    code, out, err = run("data", "inspect", root, "--sheet", "sheet.png")
    assert code == 2
    for text in ("[bold]: 7 train", "划痕$: 6 train", "\\xfe[x]: 6 train", "[d] $\\xff/[bold]/train/good/[b].png"):
        assert text in out
    assert "[d] $\\xff has problems" in err
    where = ("--dataset", root, "--category", os.fsdecode(b"\xfe[x]"))
    code, out, err = run("train", "tiny", *where, *TINY, *BACK)
    assert code == 0, err
    [trial] = Path("runs/train").glob("[!.]*")
    code, _, err = run("train", "tiny", *where, *TINY, *BACK)
    assert code == 2
    code, out, err = run("evaluate", trial, "--registry", "tiny.yaml")
    assert code == 0, err


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_terminal_that_lacks_a_character_shows_its_code(
    encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DLKD_CACHE", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["dlkd", "show", "划\udcff[/x]"])
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr("sys.stdout", streams[0])
    monkeypatch.setattr("sys.stderr", streams[1])
    with pytest.raises(SystemExit):
        cli.main()
    out.print("划痕 \udcff")
    for stream in streams:
        stream.flush()
    said = [stream.buffer.getvalue().decode(encoding) for stream in streams]
    expected = "划" if encoding == "utf-8" else "\\u5212"
    assert f"{expected}\\xff[/x]" in said[1]
    assert expected in said[0]


def test_a_datasets_path_may_begin_at_home_and_hold_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlkd.registry import default_registry

    (tmp_path / "a,b=c").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    registry = default_registry()
    for text in ("mvtec:~/a,b=c", f"mvtec:{tmp_path}/a,b=c"):
        assert dataset_node(registry, text)["root"] == str(tmp_path / "a,b=c")
    assert dataset_node(registry, "~/a,b=c")["name"] == "folder"
    assert dataset_node(registry, "textures,seed=1")["seed"] == 1
    assert dataset_node(registry, "mvtec:~/D,unmasked=leave_out")["root"] == str(tmp_path / "D")
