"""Searches: what a file may say, what a setting's score rests on, what a resumed search knows."""

import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from PIL import Image
from rich.console import Console

from dlkd import cli
from dlkd.ablations.plan.cells import make_cells
from dlkd.ablations.plan.grid_files import load_grid
from dlkd.ablations.plan.tuning import Parameter
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.search.definition import Search
from dlkd.ablations.search.records import RUNGS, Tried, read_tried, trial_key
from dlkd.ablations.search.report import SearchReport
from dlkd.ablations.search.results import read_found, search_trials, write_found
from dlkd.ablations.search.runner import run_search
from dlkd.ablations.search.search_files import find_search
from dlkd.ablations.search.study import Study, make_study, search_folder
from dlkd.ablations.search.suggestions import Suggestions, halving
from dlkd.ablations.search.worker import rung_config, take_to_rung, validation
from dlkd.registry import Registry, default_registry, load_registry
from dlkd.registry.problems import ConfigError
from dlkd.training import PRESETS, Preset, TrainConfig

REGISTRY = default_registry()
EXAMPLE = Path(__file__).parents[3] / "examples" / "my_search.yaml"
TINY = Preset(
    train=TrainConfig(image_size=32, batch_size=2, epochs=6),
    model={"teacher": {"backbone": "test_resnet", "weights": "random"}},
)
SPACE = {
    "loss.alpha": Parameter(log=(0.001, 0.1)),
    "decoder.local.split": Parameter(choice=("spatial", "channel")),
    "optimizer.lr": Parameter(log=(0.001, 0.1)),
}
SETTING = {"loss.alpha": 0.02, "decoder.local.split": "spatial", "optimizer.lr": 0.005}

MakeStudy = Callable[..., Study]


@pytest.fixture
def make_study_of(tiny_folder: Path) -> MakeStudy:
    def make(folder: Path = tiny_folder, registry: Registry = REGISTRY, **search: Any) -> Study:
        said = {"variant": "dlkd-lfrb", "space": SPACE, "share": 0.34, **search}
        node = REGISTRY.complete("dataset", {"name": "folder", "root": str(folder)})
        return make_study(Search(**said), registry, [(node, ["disc"])], TINY)

    return make


def tried(number: int, alpha: float, *scores: float, status: str = "done") -> Tried:
    rungs = tuple({"score": s, "scores": {}, "steps": {}, "seconds": 1.0, "note": ""} for s in scores)
    return Tried(number, {**SETTING, "loss.alpha": alpha}, status, rungs)


def test_the_example_is_right() -> None:
    found = find_search(str(EXAMPLE), REGISTRY)
    assert found is not None
    textures = REGISTRY.complete("dataset", "textures")
    study = make_study(found.search, REGISTRY, [(textures, ["brick"])], PRESETS["demo"])
    usual = {"loss.alpha": 0.02, "noise.intensity": 0.2, "decoder.global.scan": "cross4"}
    assert study.usual(REGISTRY) == usual | {"optimizer.lr": 0.002}
    assert find_search("table4", REGISTRY) is None
    assert find_search(str(EXAMPLE.with_name("my_grid.yaml")), REGISTRY) is None


@pytest.mark.parametrize(
    ("search", "says"),
    [
        ("variant: dlkdd, space: {loss.alpha: {log: [1, 2]}}", "search.variant: unknown variant 'dlkdd'; did you mean"),
        ("space: {loss.alpha: {log: [1, 2]}}", ":2: search.variant: Field required"),
        ("variant: dlkd, space: {}", "search.space: Dictionary should have at least 1 item"),
        ("variant: dlkd, space: {loss.alpha: {lug: [1, 2]}}", "loss.alpha.lug: unknown key; did you mean 'log'?"),
        ("variant: dlkd, space: {loss.alpha: {}}", "search.space.loss.alpha: give one of log:"),
        ("variant: dlkd, space: {loss.alpha: {log: [0, 1]}}", "a logarithmic scale begins above 0"),
        ("variant: dlkd, space: {loss.alpha: {uniform: [2, 1]}}", "the lowest comes first, got [2.0, 1.0]"),
        ("variant: dlkd, space: {loss.alpha: {choice: [1]}}", "two values at least"),
        ("variant: dlkd, space: {train.image_size: {choice: [64, [64, 64]]}}", "a value stands twice, written in two"),
        ("variant: dlkd, space: {sigma: {choice: [2, 2.0]}}", "sigma.choice: a value stands twice, written in two"),
        ("variant: dlkd, space: {loss.alpah: {log: [1, 2]}}", "loss/total has no argument 'alpah'; did you mean"),
        ("variant: dlkd, space: {train.batch: {log: [1, 2]}}", "has no argument 'batch'; did you mean 'batch_size'?"),
        ("variant: dlkd, space: {train.epochs: {choice: [1, 2]}}", "'epochs' is not to be varied: the rungs share out"),
        ("variant: dlkd, space: {optimizer.lr: {uniform: [-1, 1]}}", "optimizer.lr.uniform[0]: "),
        ("variant: dlkd, space: {train.batch_size: {uniform: [2, 8]}}", "should be a valid integer, got 2.0"),
        ("variant: dlkd, space: {decoder.local.patches: {uniform: [1, 4]}}", "expected a valid integer, got 1.0"),
        ("variant: dlkd, space: {decoder.local.patches: {choice: [4, 3]}}", "decoder.local.patches.choice[1]: "),
        ("variant: dlkd, space: {decoder: {choice: [coarse, corse]}}", "decoder.choice[1]: unknown decoder 'corse'"),
        (
            "variant: dlkd, space: {decoder.global: {choice: [gfrb, none]}, decoder.global.scan: {choice: [a, b]}}",
            "'decoder.global' is varied as a whole already",
        ),
        ("variant: dlkd, space: {loss.alpha: {log: [1, 2]}}, metric: auroc", "search.metric: unknown metric 'auroc'"),
        ("variant: dlkd, space: {loss.alpha: {log: [1, 2]}}, trails: 3", "search.trails: unknown key; did you mean"),
    ],
)  # fmt: skip
def test_a_wrong_search_says_where(tmp_path: Path, search: str, says: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"title: t\nsearch: {{{search}}}\n")
    with pytest.raises(ConfigError) as caught:
        find_search(str(file), REGISTRY)
    assert says in str(caught.value)
    assert f"{file}:2: " in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_file_has_rows_or_a_search_and_all_problems_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "title: t\npreset: dmo\ntrain: {lrr: 1}\nrows: []\n"
        "search:\n  variant: dlkd\n  metric: x\n  space:\n    loss.alpah: {log: [1, 2]}\n    loss.beat: {log: [1, 2]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        find_search(str(file), REGISTRY)
    assert [p.line for p in caught.value.problems] == [4, 7, 2, 3, 9, 10]


def test_paths_of_a_search_are_relative_to_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    whole = {"name": "timm", "backbone": "test_resnet", "weights": "../w.pth"}
    for key, choice, found in (
        ("teacher.weights", ["./w.pth", "random"], [str(tmp_path / "w.pth"), "random"]),
        ("teacher", [whole, "timm"], [{**whole, "weights": str(tmp_path / "../w.pth")}, "timm"]),
    ):
        search = {"variant": "dlkd-lfrb", "space": {key: {"choice": choice}}}
        file.write_text(yaml.safe_dump({"title": "t", "search": search}))
        read = find_search(str(file), REGISTRY)
        assert read is not None
        assert list(read.search.space[key].values) == found


def test_rungs_are_whole_epochs_and_the_last_is_all() -> None:
    train = TrainConfig(epochs=1000, max_steps=160)
    shares = [Search(variant="dlkd", space=SPACE, rungs=4, reduction=2).budget(i) for i in range(4)]
    assert shares == [1 / 8, 1 / 4, 1 / 2, 1]
    assert [(c.epochs, c.max_steps) for c in (rung_config(train, share, 6) for share in shares)] == [
        (3, -1), (7, -1), (13, -1), (1000, 160)
    ]  # fmt: skip
    assert rung_config(train, 1 / 27, 160) == train  # an epoch is all there is
    assert rung_config(TrainConfig(epochs=9), 1 / 9, 5).epochs == 1


def test_a_search_never_reads_a_test_image(tiny_folder: Path, tmp_path: Path, make_study_of: MakeStudy) -> None:
    blind = tmp_path / "blind"
    shutil.copytree(tiny_folder, blind)
    for image in (blind / "disc" / "test").rglob("*.png"):
        Image.new("RGB", (32, 40)).save(image)
    study, with_others = make_study_of(), make_study_of(blind)
    category = REGISTRY.build("dataset", study.data[0][0]).load("disc")
    carved = validation(study, category)
    assert not set(carved.test) & set(category.test)
    assert {s.image for s in carved.train} < {s.image for s in category.train}
    assert not {s.image for s in carved.train} & {s.image for s in carved.test}
    seen = take_to_rung(study, SETTING, 0, tmp_path / "a", REGISTRY)
    assert take_to_rung(with_others, SETTING, 0, tmp_path / "b", REGISTRY)["score"] == seen["score"]


def test_rung_by_rung_is_the_training_in_one_go(tmp_path: Path, tiny_folder: Path, make_study_of: MakeStudy) -> None:
    metric = {"metric": "pixel_ap"}  # finer than AUROC on four images
    study = make_study_of(**metric)
    steps = [take_to_rung(study, SETTING, 0, tmp_path / "a", REGISTRY)]
    [checkpoint] = (tmp_path / "a").glob("*/last.ckpt")
    steps += [take_to_rung(study, SETTING, rung, tmp_path / "a", REGISTRY) for rung in (1, 2)]
    assert [s["steps"] for s in steps] == [{f"{tiny_folder.name}/disc": n} for n in (2, 4, 12)]
    at_once = take_to_rung(make_study_of(**metric, rungs=1), SETTING, 0, tmp_path / "b", REGISTRY)
    assert at_once["scores"] == steps[2]["scores"]
    assert len({s["score"] for s in steps}) == 3

    # After a crash the rungs that stand are not trained again, and a lost checkpoint costs time alone.
    known = json.loads((tmp_path / "a" / RUNGS).read_text())
    assert take_to_rung(study, SETTING, 2, tmp_path / "a", REGISTRY) == known[2]
    (tmp_path / "a" / RUNGS).write_text(json.dumps(known[:2]))
    shutil.rmtree(checkpoint.parent)
    assert take_to_rung(study, SETTING, 2, tmp_path / "a", REGISTRY)["score"] == known[2]["score"]


def test_a_setting_that_diverges_has_the_worst_score(tmp_path: Path, make_study_of: MakeStudy) -> None:
    found = take_to_rung(make_study_of(), {**SETTING, "optimizer.lr": 1e30}, 2, tmp_path, REGISTRY)
    assert found["score"] == 0
    assert found["note"].startswith("the loss is not finite at step")


def test_parameters_reach_model_and_training(make_study_of: MakeStudy) -> None:
    study = make_study_of()
    node, train = study.settings({**SETTING, "decoder.local.split": "channel", "optimizer.lr": 0.07}, REGISTRY)
    assert node["decoder"]["local"]["split"] == "channel"
    assert node["teacher"]["backbone"] == "test_resnet"
    assert node["optimizer"]["lr"] == 0.07
    assert train == TINY.train
    assert study.usual(REGISTRY) == SETTING
    assert make_study_of(space={**SPACE, "loss.beta": Parameter(log=(1, 2))}).usual(REGISTRY) is None


def test_a_longer_search_is_the_same_and_another_is_not(make_study_of: MakeStudy) -> None:
    same = make_study_of().key(REGISTRY)
    assert make_study_of(trials=50).key(REGISTRY) == same
    for other in ({"seed": 1}, {"metric": "pro"}, {"rungs": 2}, {"space": {"loss.beta": Parameter(log=(1, 2))}}):
        assert make_study_of(**other).key(REGISTRY) != same


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("train.image_size", (64, [64, 96]), ([64, 64], "64x96")),
        ("train.pro_limit", (0.5, 1), (0.5, 1.0)),
        ("sigma", (2, 4), (2.0, 4.0)),
    ],
)
def test_a_search_is_the_same_however_its_values_are_written(
    make_study_of: MakeStudy, name: str, one: tuple[Any, ...], other: tuple[Any, ...]
) -> None:
    studies = [make_study_of(space={name: Parameter(choice=choice)}) for choice in (one, other)]
    assert studies[0].key(REGISTRY) == studies[1].key(REGISTRY)
    firsts, seconds = ([trial_key({name: v}) for v in study.search.space[name].values] for study in studies)
    assert firsts == seconds
    assert firsts[0] != firsts[1]


def test_a_search_is_the_same_by_another_name_of_its_variant(make_study_of: MakeStudy, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("variants: {mine: {extends: dlkd-lfrb}, other: {extends: mine, sigma: 3}}")
    registry = load_registry(tmp_path / "mine.yaml")
    space = {"optimizer.lr": Parameter(log=(0.001, 0.1))}
    keys = [
        make_study_of(registry=registry, variant=name, space=space).key(registry)
        for name in ("dlkd-lfrb", "mine", "other")
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_search_is_the_same_where_its_data_are(tiny_folder: Path, tmp_path: Path, make_study_of: MakeStudy) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(tiny_folder, moved)
    weights = [tmp_path / f"{i}.pth" for i in range(3)]
    for path, said in zip(weights, "aab", strict=True):
        path.write_text(said)

    def key(folder: Path, first: int) -> str:
        space = {"teacher.weights": Parameter(choice=(str(weights[first]), "random"))}
        return make_study_of(folder, space=space).key(REGISTRY)

    same = key(tiny_folder, 0)
    assert key(moved, 1) == same
    assert key(moved, 2) != same
    shutil.copy(moved / "disc/train/good/000.png", moved / "disc/train/good/001.png")
    assert key(moved, 1) != same


def test_suggestions_go_on_from_what_is_known(make_study_of: MakeStudy) -> None:
    study = make_study_of()
    known = [tried(1, 0.02, 0.5, 0.6, 0.7), tried(2, 0.01, 0.4, status="stopped"), tried(3, 0.05, status="unfinished")]
    fresh, resumed = (Suggestions(study, t, REGISTRY) for t in ([], known))
    first = [fresh.suggest(str(i)) for i in range(4)]
    assert first[0]["parameters"] == {**SETTING, "decoder.local.split": '"spatial"'}  # the variant as it is
    again = [resumed.suggest(str(i)) for i in range(4)]
    assert again[0]["key"] == known[2].key
    assert not {a["key"] for a in again} & {*(t.key for t in known[:2]), *(f["key"] for f in first)}
    states = [t.state.name for t in resumed._study.trials[:2]]
    assert states == ["COMPLETE", "PRUNED"]

    resumed.on_trial_result("0", {"score": 0.5, "rung": 1})
    resumed.on_trial_complete("0", {"score": 0.6, "rung": 2, "status": ""})
    resumed.on_trial_complete("1", {"score": 0.8, "rung": 3, "status": "done"})
    resumed.on_trial_complete("2", error=True)
    ended = {t.params["loss.alpha"]: t for t in resumed._study.trials}
    live = [ended[a["parameters"]["loss.alpha"]] for a in again[:3]]
    assert [t.state.name for t in live] == ["PRUNED", "COMPLETE", "FAIL"]
    assert live[0].intermediate_values == {1: 0.5, 2: 0.6}
    assert resumed._study.best_value == 0.8


def test_a_small_space_ends(make_study_of: MakeStudy) -> None:
    space = {"decoder.local.split": Parameter(choice=("spatial", "channel"))}
    suggestions = Suggestions(make_study_of(space=space), [], REGISTRY)
    keys = [suggestions.suggest(str(i)) for i in range(3)]
    assert keys[2] == "FINISHED"
    assert {k["parameters"]["decoder.local.split"] for k in keys[:2]} == {'"spatial"', '"channel"'}


def test_halving_knows_the_finished(make_study_of: MakeStudy) -> None:
    search = make_study_of().search
    known = [tried(i, 0.01 * i, 0.9, 0.9, 0.9) for i in range(1, 4)]
    for finished, decision in (([], "CONTINUE"), (known, "STOP")):
        scheduler = halving(search, finished)
        fresh = type("Trial", (), {"trial_id": "x"})()
        scheduler.on_trial_add(None, fresh)
        assert scheduler.on_trial_result(None, fresh, {"resource": 1, "score": 0.5}) == decision
    assert scheduler.on_trial_result(None, fresh, {"resource": 9, "score": 1.0}) == "STOP"


def test_the_report_says_how_to_go_on(tmp_path: Path, make_study_of: MakeStudy) -> None:
    file = find_search(str(EXAMPLE), REGISTRY)
    assert file is not None
    file = file.model_copy(
        update={"search": make_study_of().search, "datasets": ("textures",), "categories": ("brick",)}
    )
    file = file.settle("demo", None, None, PRESETS["demo"].train.model_copy(update={"max_steps": 50}))
    trials = [
        tried(1, 0.02, 0.5, 0.6, 0.7),
        tried(2, 0.013, 0.6, 0.7, 0.8),
        tried(3, 0.01, 0.9, status="stopped"),
        Tried(4, {**SETTING, "optimizer.lr": 0.1}, "diverged", trials_rung(0.0), "the loss is not finite at step 3"),
        Tried(5, {**SETTING, "optimizer.lr": 0.05}, "failed", (), "OSError: no | space"),
    ]
    write_found(SearchReport(search_trials(trials, file), file, trial_key(SETTING), "--import mine.py"), tmp_path)
    report = read_found(tmp_path)
    assert list(report.trials["number"]) == [2, 1, 3, 4, 5]
    assert math.isnan(report.trials["rung_2"][2])
    assert {p.name for p in report.write(tmp_path)} == {"search.png", "search.md", "best.yaml", "best_grid.yaml"}

    registry = load_registry(tmp_path / "best.yaml")
    assert registry.resolve("best")["loss"]["alpha"] == 0.013
    grid = load_grid(str(tmp_path / "best_grid.yaml"))
    cells = make_cells(grid, REGISTRY, [(REGISTRY.complete("dataset", "textures"), ["brick"])], [0], PRESETS["demo"])
    usual = (0.02, 0.002)
    assert [(c.spec.model["loss"]["alpha"], c.spec.model["optimizer"]["lr"]) for c in cells] == [usual, (0.013, 0.005)]
    assert (grid.datasets, grid.categories, grid.train) == (("textures",), ("brick",), {"max_steps": 50})
    assert report.commands(Path("out")) == [
        "dlkd ablate out/best_grid.yaml --seeds 3 --import mine.py",
        "dlkd train best --registry out/best.yaml --import mine.py --preset demo --dataset textures --category brick "
        "--set train.max_steps=50",
    ]
    text = io.StringIO()
    Console(file=text, width=200).print(report)
    for said in (text.getvalue(), (tmp_path / "search.md").read_text()):
        assert "2 trained to the end, 1 stopped behind the others, 1 diverged and 1 failed" in said
        assert "Trial 1 is dlkd-lfrb without changes" in said
        assert "no test image" in said.lower()
    assert r"failed: OSError: no \| space" in (tmp_path / "search.md").read_text()


def test_a_report_without_a_winner_has_no_best(tmp_path: Path, make_study_of: MakeStudy) -> None:
    file = find_search(str(EXAMPLE), REGISTRY)
    assert file is not None
    file = file.model_copy(update={"search": make_study_of().search})
    report = SearchReport(search_trials([tried(1, 0.02, 0.5, status="stopped")], file), file)
    assert {p.name for p in report.write(tmp_path)} == {"search.png", "search.md"}
    assert report.commands(tmp_path) == []


def test_the_command_line_reports_what_is_finished(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """All trials stand in the store already, so nothing runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    space = {"loss.alpha": {"log": [0.001, 0.1]}, "optimizer.lr": {"log": [0.001, 0.1]}}
    said = {"title": "t", "datasets": [str(tiny_folder)], "search": {"variant": "dlkd", "space": space, "trials": 2}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(said))

    def type_in(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["dlkd", *words])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capfd.readouterr()

    code, out, err = type_in("ablate", "s.yaml", "--steps", "5", "--dry-run")
    assert code == 0, err
    assert "2 trials, 0 of them done; compared after 11%, 33%, 100% of the training" in out
    assert f"{tiny_folder.name}/disc" in out

    file = find_search("s.yaml", REGISTRY)
    assert file is not None
    demo = PRESETS["demo"]
    chosen = demo.model_copy(update={"train": demo.train.model_copy(update={"max_steps": 5})})
    node = REGISTRY.complete("dataset", {"name": "folder", "root": str(tiny_folder)})
    study = make_study(file.search, REGISTRY, [(node, ["disc"])], chosen)
    for i, alpha in enumerate((0.002, 0.004)):
        parameters = {"loss.alpha": alpha, "optimizer.lr": 0.005}
        own = search_folder(study, REGISTRY, tmp_path / "runs" / "trials") / trial_key(parameters)
        own.mkdir(parents=True)
        (own / "parameters.json").write_text(json.dumps({"number": i + 1, "parameters": parameters}))
        rungs = [{"score": 0.5 + alpha, "scores": {}, "steps": {}, "seconds": 1.0, "note": ""}] * 3
        (own / "result.json").write_text(json.dumps({"status": "done", "rungs": rungs, "reason": ""}))
    code, out, err = type_in("ablate", "s.yaml", "--steps", "5", "--out", "found")
    assert code == 0, err
    assert "2 already done, 0 to run" in err
    assert "next: dlkd train best --registry found/best.yaml" in err
    assert yaml.safe_load(Path("found/best.yaml").read_text())["variants"]["best"]["loss"] == {"alpha": 0.004}

    Path("found/search.md").unlink()
    code, again, err = type_in("report", "found")
    assert code == 0, err
    assert again == out
    assert Path("found/search.md").exists()
    for wrong in (["s.yaml", "table4"], ["s.yaml", "--seeds", "2"]):
        code, _, err = type_in("ablate", *wrong)
        assert code == 2
        assert "a search runs by itself" in err


def trials_rung(score: float) -> tuple[dict[str, Any], ...]:
    return ({"score": score, "scores": {}, "steps": {}, "seconds": 1.0, "note": ""},)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # Ray's own: unclosed sockets and files of its processes
def test_a_search_runs_goes_on_and_is_found_elsewhere(
    tmp_path: Path, make_study_of: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {**SPACE, "optimizer.lr": Parameter(choice=(0.005, 1e30))}
    pool = Pool(workers=2, storage=str(tmp_path / "there"))
    study = make_study_of(trials=4, space=space)

    def run(study: Study, store: Path) -> tuple[str, list[Tried]]:
        text = io.StringIO()
        run_search(study, REGISTRY, store, pool, Console(file=text, width=300))
        return text.getvalue(), read_tried(search_folder(study, REGISTRY, store))

    said, found = run(study, tmp_path / "store")
    assert len(found) == 4
    assert all(t.finished for t in found)
    assert SETTING in [t.parameters for t in found[:2]]  # the variant as it is is among the first
    assert "of 4, rung 3 of 3: Image-AUROC" in said
    for t in found:
        own = search_folder(study, REGISTRY, tmp_path / "store") / t.key
        assert {p.name for p in own.iterdir()} == {"parameters.json", RUNGS, "result.json"}  # no checkpoint is left
        assert (t.status == "diverged") == (t.parameters["optimizer.lr"] == 1e30)

    # One that lost its result and its later rungs is taken up again, before anything new is tried.
    lost = next(t for t in found if t.status == "done")
    own = search_folder(study, REGISTRY, tmp_path / "store") / lost.key
    (own / "result.json").unlink()
    (own / RUNGS).write_text(json.dumps(json.loads((own / RUNGS).read_text())[:1]))
    (tmp_path / "there" / own.parent.name / lost.key / "result.json").unlink()
    said, longer = run(make_study_of(trials=5, space=space), tmp_path / "store")
    assert "3 already done, 2 to run" in said
    assert len(longer) == 5
    again = next(t for t in longer if t.key == lost.key)
    assert [r["score"] for r in again.rungs] == [r["score"] for r in lost.rungs[: len(again.rungs)]]

    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    said, elsewhere = run(make_study_of(trials=5, space=space), tmp_path / "another store")
    assert "5 already done, 0 to run" in said
    assert elsewhere == longer
    assert yaml.safe_load((tmp_path / "another store" / own.parent.name / lost.key / "result.json").read_text())
