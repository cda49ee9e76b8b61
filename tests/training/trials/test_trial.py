"""A trial: same seed same bits, resume, crashes, refusals."""

import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from dlkd.files import alone
from dlkd.models import DLKD
from dlkd.registry import default_registry
from dlkd.training import TrialError, TrialSpec, load_model, read_result, read_trial, run_trial
from dlkd.training.device import device, hide_gpus
from dlkd.training.module import LOOK_EVERY, NonFiniteLossError
from dlkd.training.saved import checkpoint as checkpoint_module
from dlkd.training.saved.weights import CheckpointError
from dlkd.training.trials import costs as costs_module
from dlkd.training.trials.claim import mend_trial
from dlkd.training.trials.trial_folder import LAST
from dlkd.training.trials.trial_result import SECONDS
from dlkd.training.trials.trial_spec import weights_digest

MakeSpec = Callable[..., TrialSpec]
REGISTRY = default_registry()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def assert_same_bits(a: Path, b: Path) -> None:
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.fixture(scope="module")
def undisturbed(make_spec: MakeSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished trial of one epoch, to be read only."""
    folder = tmp_path_factory.mktemp("undisturbed") / "t"
    run_trial(make_spec(epochs=1), folder, REGISTRY)
    return folder


@pytest.fixture(scope="module")
def unfinished(undisturbed: Path, make_spec: MakeSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same one as an interruption leaves it, to be read only."""
    folder = tmp_path_factory.mktemp("unfinished") / "t"
    run_trial(make_spec(epochs=1), folder, REGISTRY, keep_state=True)
    for name in ("result.json", "weights.safetensors", "examples.npz", "influences.npy"):
        (folder / name).unlink()
    return folder


@pytest.mark.parametrize("variant", ["dlkd-lfrb", "dlkd"])
def test_same_seed_gives_the_same_bits(make_spec: MakeSpec, tmp_path: Path, variant: str) -> None:
    spec = make_spec(variant, epochs=2)
    results = [run_trial(spec, tmp_path / name, REGISTRY) for name in ("a", "b")]
    assert repr(results[0].metrics) == repr(results[1].metrics)
    assert results[0].curve == results[1].curve
    assert results[0].normal == results[1].normal
    assert_same_bits(tmp_path / "a", tmp_path / "b")


def test_another_seed_gives_other_weights(make_spec: MakeSpec, tmp_path: Path) -> None:
    for seed in (0, 1):
        run_trial(make_spec(seed=seed, epochs=1), tmp_path / str(seed), REGISTRY)
    a, b = weights(tmp_path / "0"), weights(tmp_path / "1")
    assert any(not torch.equal(a[k], b[k]) for k in a)


def test_training_changes_the_student_and_lowers_the_loss(make_spec: MakeSpec, tmp_path: Path) -> None:
    result = run_trial(make_spec(epochs=6), tmp_path / "t", REGISTRY)
    totals = [entry["total"] for entry in result.curve]
    assert len(totals) == 6
    assert totals[-1] < 0.8 * totals[0]


def test_teacher_is_not_in_the_files_and_does_not_change(make_spec: MakeSpec, tmp_path: Path) -> None:
    # The teacher here is random, so its weights come from the seed and must survive training untouched.
    spec = make_spec(epochs=2)
    built: list[DLKD] = []

    class Watching:
        def __getattr__(self, name: str) -> Any:
            return getattr(REGISTRY, name)

        def build(self, kind: str, node: Any, **given: Any) -> Any:
            made = REGISTRY.build(kind, node, **given)
            if kind == "model":
                built.append(made)
                self.before = {k: v.clone() for k, v in made.teacher.state_dict().items()}
            return made

    watching = Watching()
    run_trial(spec, tmp_path / "t", watching)  # type: ignore[arg-type]
    for name, value in built[0].teacher.state_dict().items():
        assert torch.equal(value, watching.before[name]), name
    assert not any(k.startswith("teacher.") for k in weights(tmp_path / "t"))


@pytest.mark.parametrize("length", [{"epochs": 4}, {"epochs": 9, "max_steps": 8}])
def test_resume_after_an_error_equals_an_uninterrupted_run(
    make_spec: MakeSpec, tmp_path: Path, length: dict[str, int]
) -> None:
    spec = make_spec("dlkd-lfrb-gfrb", **length)
    run_trial(spec, tmp_path / "whole", REGISTRY)

    class PulledPlugError(Exception):
        pass

    def pull_plug(fraction: float) -> None:
        if fraction >= 0.75:
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        run_trial(spec, tmp_path / "cut", REGISTRY, on_epoch=pull_plug)
    assert (tmp_path / "cut" / "last.ckpt").exists()
    assert not (tmp_path / "cut" / "result.json").exists()
    result = run_trial(spec, tmp_path / "cut", REGISTRY, resume=True)
    assert result.curve == read_result(tmp_path / "whole").curve
    assert repr(result.metrics) == repr(read_result(tmp_path / "whole").metrics)
    assert_same_bits(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_resume_after_a_signal_equals_an_uninterrupted_run(
    make_spec: MakeSpec, tmp_path: Path, signal_number: int
) -> None:
    spec = make_spec(epochs=30)
    run_trial(spec, tmp_path / "whole", REGISTRY)
    folder = tmp_path / "cut"
    script = (
        "import sys, json; from pathlib import Path\n"
        "from dlkd.registry import default_registry; from dlkd.training import TrialSpec, run_trial\n"
        f"spec = TrialSpec.model_validate(json.loads({spec.model_dump_json()!r}))\n"
        f"run_trial(spec, Path({str(folder)!r}), default_registry())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "last.ckpt").exists():
        assert process.poll() is None, "ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal_number)
    assert process.wait(60) != 0
    assert not (folder / "result.json").exists()
    run_trial(spec, folder, REGISTRY, resume=True)
    assert_same_bits(tmp_path / "whole", folder)


def test_full_disk_at_checkpoint_time_keeps_the_checkpoint_before(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(epochs=4)
    whole = run_trial(spec, tmp_path / "whole", REGISTRY)
    real_save, calls = torch.save, []

    def full(state: Any, path: Path) -> None:
        calls.append(path)
        if len(calls) == 3:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real_save(state, path)

    monkeypatch.setattr(checkpoint_module.torch, "save", full)
    folder = tmp_path / "full"
    with pytest.raises(CheckpointError, match=r"No space left on device.*file before it is whole.*--resume"):
        run_trial(spec, folder, REGISTRY)
    assert sorted(p.name for p in folder.iterdir()) == ["last.ckpt", "trial.yaml"]
    monkeypatch.undo()
    assert run_trial(spec, folder, REGISTRY, resume=True).curve == whole.curve
    assert_same_bits(tmp_path / "whole", folder)


def test_a_full_disk_at_the_end_is_named_and_costs_no_finished_trial(
    make_spec: MakeSpec, undisturbed: Path, tmp_path: Path, full_disk: Callable[[str], None]
) -> None:
    """Of the first training, and of a longer one in a finished trial's folder."""
    for name in ("trial.yaml", "weights.safetensors", "examples.npz", "influences.npy", "result.json"):
        full_disk(name)
        with pytest.raises((OSError, CheckpointError), match=rf"No space left on device: '.*t/{name}'"):
            run_trial(make_spec(epochs=0), tmp_path / "t", REGISTRY, resume=True)
        assert not (tmp_path / "t/result.json").exists()
    full_disk("")
    run_trial(make_spec(epochs=0), tmp_path / "t", REGISTRY, resume=True)
    full_disk("last.ckpt")
    with pytest.raises(CheckpointError, match="No space left on device"):
        run_trial(make_spec(epochs=1), tmp_path / "t", REGISTRY, resume=True, keep_state=True)
    assert read_trial(tmp_path / "t") == make_spec(epochs=0)
    assert read_result(tmp_path / "t").curve == []


def test_two_processes_do_not_train_in_one_folder(make_spec: MakeSpec, tmp_path: Path) -> None:
    """The second waits, and then finds the first one's result."""
    spec, folder = make_spec(epochs=1), tmp_path / "t"
    done = threading.Event()
    waiting = threading.Thread(target=lambda: (run_trial(spec, folder, REGISTRY), done.set()))
    with alone(folder):
        waiting.start()
        assert not done.wait(1)
        assert list(folder.iterdir()) == []
    waiting.join()
    assert done.is_set()


def test_broken_checkpoint_is_one_clear_error(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec()
    folder = tmp_path / "t"
    run_trial(spec, folder, REGISTRY)
    (folder / "result.json").unlink()
    (folder / "last.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"cannot read the checkpoint .*last\.ckpt"):
        run_trial(spec, folder, REGISTRY, resume=True)


def test_finished_trial_is_read_not_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(epochs=1)
    first = run_trial(spec, tmp_path / "t", REGISTRY)
    stamp = (tmp_path / "t" / "weights.safetensors").stat().st_mtime_ns
    assert run_trial(spec, tmp_path / "t", REGISTRY, resume=True) == first
    assert (tmp_path / "t" / "weights.safetensors").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("lengths", [({"epochs": 2}, {"epochs": 4}), ({"max_steps": 3}, {"max_steps": 5})])
def test_a_finished_trial_trains_longer_to_the_bits_of_one_training(
    make_spec: MakeSpec, tmp_path: Path, lengths: tuple[dict[str, int], dict[str, int]]
) -> None:
    """Also where the shorter training ended within an epoch, of two batches here."""
    short, long = (make_spec(**({"epochs": 9} | length), checkpoint_seconds=100) for length in lengths)
    whole = run_trial(long, tmp_path / "whole", REGISTRY)
    run_trial(short, tmp_path / "t", REGISTRY, keep_state=True)
    seen: list[float] = []
    result = run_trial(long, tmp_path / "t", REGISTRY, resume=True, keep_state=True, on_epoch=seen.append)
    assert 0 < len(seen) < len(whole.curve)  # it did not begin anew
    assert result.curve == whole.curve
    assert repr(result.metrics) == repr(whole.metrics)
    assert_same_bits(tmp_path / "whole", tmp_path / "t")
    assert read_trial(tmp_path / "t") == long
    assert not (tmp_path / "whole" / "last.ckpt").exists()


def test_a_result_stays_until_the_longer_training_has_ended(make_spec: MakeSpec, tmp_path: Path) -> None:
    short, middle, long = (make_spec(epochs=n) for n in (1, 2, 4))
    whole = run_trial(long, tmp_path / "whole", REGISTRY)
    folder = tmp_path / "t"
    first = run_trial(short, folder, REGISTRY, keep_state=True)
    held = {name: (folder / name).read_bytes() for name in ("trial.yaml", "result.json", "weights.safetensors")}

    class PulledPlugError(Exception):
        pass

    def pull_plug(fraction: float) -> None:
        if fraction >= 0.75:
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        run_trial(long, folder, REGISTRY, resume=True, keep_state=True, on_epoch=pull_plug)
    assert {name: (folder / name).read_bytes() for name in held} == held
    assert run_trial(short, folder, REGISTRY, resume=True) == first
    with pytest.raises(TrialError, match=r"last\.ckpt has 3 epochs and 6 steps of a longer training.*ask for at least"):
        run_trial(middle, folder, REGISTRY, resume=True)
    seen: list[float] = []
    result = run_trial(long, folder, REGISTRY, resume=True, keep_state=True, on_epoch=seen.append)
    assert seen == [1.0]
    assert repr((result.curve, result.metrics)) == repr((whole.curve, whole.metrics))
    assert_same_bits(tmp_path / "whole", folder)
    assert read_trial(folder) == long


@pytest.mark.parametrize("name", ["trial.yaml", "last.ckpt"])
@pytest.mark.parametrize("harm", ["rubbish", "half", "empty", "folder", "other"])
def test_what_an_unfinished_trial_cannot_go_on_by_is_deleted_and_said(
    unfinished: Path, tmp_path: Path, name: str, harm: str
) -> None:
    folder = tmp_path / "t"
    shutil.copytree(unfinished, folder)
    assert mend_trial(folder) == ""
    assert (folder / "last.ckpt").exists()
    path = folder / name
    whole = path.read_bytes()
    path.unlink()
    if harm == "folder":
        path.mkdir()
    elif harm == "other" and name == "last.ckpt":
        torch.save([1], path)
    else:
        text = {"rubbish": b"\xff{", "half": whole[: len(whole) // 2], "empty": b"", "other": b"variant: [1]\n"}
        path.write_bytes(text[harm])
    assert str(path) in mend_trial(folder)
    assert list(folder.iterdir()) == []
    assert mend_trial(folder) == ""


def test_a_trial_starts_from_anothers_weights(make_spec: MakeSpec, tmp_path: Path) -> None:
    run_trial(make_spec(epochs=1), tmp_path / "a", REGISTRY)
    start = tmp_path / "a" / "weights.safetensors"
    spec = make_spec(epochs=0).model_copy(update={"start": weights_digest(start)})
    run_trial(spec, tmp_path / "b", REGISTRY, start=start)
    assert_same_bits(tmp_path / "a", tmp_path / "b")
    assert read_trial(tmp_path / "b").start == weights_digest(start)
    with pytest.raises(TrialError, match="start differ"):
        run_trial(make_spec(epochs=0), tmp_path / "b", REGISTRY, resume=True)
    with pytest.raises(CheckpointError, match=r"another network than this DLKD: \d+ tensors are missing") as caught:
        run_trial(make_spec("dlkd", epochs=0), tmp_path / "c", REGISTRY, start=start)
    assert len(str(caught.value)) < 900
    with pytest.raises(TrialError, match="does not exist"):
        weights_digest(tmp_path / "nowhere")


def test_bars_count_steps_and_images(make_spec: MakeSpec, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_trial(make_spec(epochs=999, max_steps=3), tmp_path / "t", REGISTRY, bar=True)
    out, said = capfd.readouterr()
    assert out == ""
    assert "3/3" in said
    assert "scoring test images" in said
    assert "scoring normal images" in said
    assert "999" not in said


def test_folder_of_another_trial_is_refused(make_spec: MakeSpec, tmp_path: Path) -> None:
    run_trial(make_spec(epochs=1), tmp_path / "t", REGISTRY)
    with pytest.raises(TrialError, match="--resume"):
        run_trial(make_spec(epochs=1), tmp_path / "t", REGISTRY)
    with pytest.raises(TrialError, match="train differ"):
        run_trial(make_spec(epochs=1, batch_size=3), tmp_path / "t", REGISTRY, resume=True)
    with pytest.raises(TrialError, match="longer, not shorter"):
        run_trial(make_spec(epochs=0), tmp_path / "t", REGISTRY, resume=True)
    assert (tmp_path / "t" / "result.json").exists()


def test_result_says_what_it_rests_on(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec("dlkd", epochs=1)
    result = run_trial(spec, tmp_path / "t", REGISTRY)
    assert read_trial(tmp_path / "t") == spec
    stored = json.loads((tmp_path / "t" / "result.json").read_text())
    assert {"torch", "dlkd", "revision"} <= stored["versions"].keys()
    assert result.costs["parameters"] == sum(
        v.numel() for k, v in weights(tmp_path / "t").items() if "running" not in k and "num_batches" not in k
    )
    assert result.costs["flops"] > 1e6
    assert result.costs["train_seconds"] > 0


def test_parts_of_a_trials_time_add_up_to_all_of_it(make_spec: MakeSpec, tmp_path: Path) -> None:
    begun = perf_counter()
    costs = run_trial(make_spec("dlkd", epochs=1), tmp_path / "t", REGISTRY).costs
    whole = perf_counter() - begun
    assert all(costs[name] > 0 for name in SECONDS)
    assert 0.8 * whole < sum(costs[name] for name in SECONDS) <= whole


def test_flops_of_one_model_are_counted_once(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    monkeypatch.setattr(costs_module, "_counted", {})
    monkeypatch.setattr(costs_module, "image_flops", lambda model, sides: counted.append(sides) or 7)
    for seed, size in ((0, 32), (1, 32), (0, 64)):
        spec = make_spec("dlkd", epochs=0, image_size=size).model_copy(update={"seed": seed})
        assert run_trial(spec, tmp_path / f"{seed}-{size}", REGISTRY).costs["flops"] == 7
    assert counted == [(32, 32), (64, 64)]


def test_loaded_model_scores_as_the_trial_did(make_spec: MakeSpec, tmp_path: Path) -> None:
    # A random teacher is drawn from the seed: load under the same one.
    spec = make_spec("dlkd", epochs=1)
    run_trial(spec, tmp_path / "t", REGISTRY)
    with np.load(tmp_path / "t" / "examples.npz") as examples:
        pixels, maps = examples["images"], examples["maps"]
    torch.manual_seed(spec.trial_seed)
    model = load_model(tmp_path / "t", REGISTRY).detector
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.teacher.mean, model.teacher.std))
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        again = model(images)
    torch.testing.assert_close(again, torch.from_numpy(maps).float(), rtol=1e-2, atol=2e-3)  # kept as float16


def test_batch_of_one(make_spec: MakeSpec, tmp_path: Path) -> None:
    result = run_trial(make_spec("dlkd", epochs=1, batch_size=1, image_size=64), tmp_path / "t", REGISTRY)
    assert math.isfinite(result.curve[-1]["total"])


def test_a_batch_of_one_that_leaves_nothing_to_normalise_says_so(make_spec: MakeSpec, tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="batch of one image of 32 pixels"):
        run_trial(make_spec("dlkd", epochs=1, batch_size=1), tmp_path / "t", REGISTRY)


def test_image_size_that_the_stride_does_not_divide(make_spec: MakeSpec, tmp_path: Path) -> None:
    result = run_trial(make_spec("dlkd", epochs=1, image_size=45), tmp_path / "t", REGISTRY)
    assert 0 <= result.metrics["pro"] <= 1


def test_untrained(make_spec: MakeSpec, tmp_path: Path) -> None:
    result = run_trial(make_spec(epochs=0), tmp_path / "t", REGISTRY)
    assert result.curve == []
    assert 0 <= result.metrics["image_auroc"] <= 1


def test_category_without_anomalies_is_undefined_and_goes_on(
    make_spec: MakeSpec, tmp_path: Path, tiny_folder: Path
) -> None:
    root = tmp_path / "good" / "disc"
    root.mkdir(parents=True)
    for part in ("train", "test/good"):
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        (root / part).symlink_to(tiny_folder / "disc" / part)
    spec = make_spec(epochs=1).model_copy(
        update={"dataset": REGISTRY.complete("dataset", {"name": "folder", "root": str(root.parent)})}
    )
    result = run_trial(spec, tmp_path / "t", REGISTRY)
    assert all(math.isnan(v) for v in result.metrics.values())
    assert result.undefined.keys() == result.metrics.keys()
    assert "no anomalous" in result.undefined["pro"]


def test_loss_that_turns_nan_is_an_error_that_says_where(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(epochs=3, overrides={"optimizer": {"lr": 1e30}})
    with pytest.raises(NonFiniteLossError, match="not finite at step"):
        run_trial(spec, tmp_path / "t", REGISTRY)


def test_losses_that_are_looked_at_late_give_the_same_error_and_no_checkpoint(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where a look at each step would wait for it."""
    spec = make_spec(epochs=3, overrides={"optimizer": {"lr": 1e30}})
    with pytest.raises(NonFiniteLossError) as at_once:
        run_trial(spec, tmp_path / "a", REGISTRY)
    monkeypatch.setitem(LOOK_EVERY, "cpu", 50)
    with pytest.raises(NonFiniteLossError) as late:
        run_trial(spec, tmp_path / "b", REGISTRY)
    assert str(late.value) == str(at_once.value)
    assert not (tmp_path / "b" / LAST).exists()


def test_bf16_autocast_trains(make_spec: MakeSpec, tmp_path: Path) -> None:
    result = run_trial(make_spec("dlkd", epochs=1, precision="bf16-mixed"), tmp_path / "t", REGISTRY)
    assert math.isfinite(result.curve[-1]["total"])


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")  # the compiler's own
def test_a_compiled_student_gives_the_same_figures(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    compiling: list[dict[str, Any]] = []
    compile_ = torch.compile

    def traced(function: Any, **how: Any) -> Any:
        compiling.append(how)
        return compile_(function, backend=backend, fullgraph=True, **how)

    monkeypatch.setattr(torch, "compile", traced)
    arguments = {"epochs": 2, "batch_size": 6}  # one batch an epoch, so one size to compile for
    plain = run_trial(make_spec("dlkd", **arguments), tmp_path / "plain", REGISTRY)
    assert not compiling
    same = run_trial(make_spec("dlkd", **arguments, compile=True), tmp_path / "compiled", REGISTRY)
    assert compiling == [{"dynamic": False}]
    # Adam's first steps are signs of gradients, so that rounding shows after them.
    for mine, theirs, tolerance in zip(same.curve, plain.curve, (1e-5, 2e-2), strict=True):
        assert mine == pytest.approx(theirs, rel=tolerance)
    assert same.metrics == pytest.approx(plain.metrics, abs=0.05, nan_ok=True)


def test_spec_is_plain_yaml(make_spec: MakeSpec, tmp_path: Path) -> None:
    run_trial(make_spec(epochs=1), tmp_path / "t", REGISTRY)
    assert yaml.safe_load((tmp_path / "t" / "trial.yaml").read_text())["category"] == "disc"


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "job", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
        {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "job", "SLURM_PROCID": "3", "SLURM_LOCALID": "3"},
        {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "nowhere"},
        {"KUBERNETES_PORT": "x", "MASTER_ADDR": "nowhere", "MASTER_PORT": "1", "WORLD_SIZE": "2", "RANK": "1"},
        {"LSB_JOBID": "1", "LSB_DJOB_RANKFILE": "/nowhere", "JSM_NAMESPACE_LOCAL_RANK": "0"},
    ],
)
def test_a_trial_inside_a_job_is_one_process(
    environment: dict[str, str],
    make_spec: MakeSpec,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever job it is part of: Lightning would take its variables for those of a training over several."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run_trial(make_spec(epochs=1), tmp_path / "job", REGISTRY)
    assert_same_bits(undisturbed, tmp_path / "job")


def test_hidden_gpus_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # as CUDA says once it was asked
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0")
    assert device().type == "cuda"
    hide_gpus()
    assert device().type == "cpu"
