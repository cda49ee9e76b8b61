"""Files of searches: what one may say, with every problem at its line."""

from pathlib import Path

import pytest
import yaml

from dlkd.ablations.search.search_files import find_search
from dlkd.ablations.search.study import make_study
from dlkd.registry import default_registry
from dlkd.registry.problems import ConfigError
from dlkd.training import PRESETS

REGISTRY = default_registry()
EXAMPLE = Path(__file__).parents[3] / "examples" / "my_search.yaml"


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
        ("variant: dlkd, space: {loss.alpha: {log: [1, 2]}}, metric: seg_f1", "search.metric: unknown metric 'seg_f1'"),
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
