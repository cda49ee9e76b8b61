"""What a setting's score rests on: whole epochs, no test image, the training in one go."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from dlkd.ablations.plan.tuning import Parameter
from dlkd.ablations.search.definition import Search
from dlkd.ablations.search.records import RUNGS
from dlkd.ablations.search.study import Study
from dlkd.ablations.search.worker import rung_config, take_to_rung, validation
from dlkd.registry import default_registry
from dlkd.training import TrainConfig

REGISTRY = default_registry()


def test_rungs_are_whole_epochs_and_the_last_is_all(
    usual_space: Mapping[str, Parameter],
) -> None:
    train = TrainConfig(epochs=1000, max_steps=160)
    shares = [Search(variant="dlkd", space=usual_space, rungs=4, reduction=2).budget(i) for i in range(4)]
    assert shares == [1 / 8, 1 / 4, 1 / 2, 1]
    assert [(c.epochs, c.max_steps) for c in (rung_config(train, share, 6) for share in shares)] == [
        (3, -1), (7, -1), (13, -1), (1000, 160)
    ]  # fmt: skip
    assert rung_config(train, 1 / 27, 160) == train  # an epoch is all there is
    assert rung_config(TrainConfig(epochs=9), 1 / 9, 5).epochs == 1


def test_a_search_never_reads_a_test_image(
    usual_setting: Mapping[str, Any], tiny_folder: Path, tmp_path: Path, make_study_of: Callable[..., Study]
) -> None:
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
    seen = take_to_rung(study, usual_setting, 0, tmp_path / "a", REGISTRY)
    assert take_to_rung(with_others, usual_setting, 0, tmp_path / "b", REGISTRY)["score"] == seen["score"]


def test_rung_by_rung_is_the_training_in_one_go(
    usual_setting: Mapping[str, Any], tmp_path: Path, tiny_folder: Path, make_study_of: Callable[..., Study]
) -> None:
    metric = {"metric": "pixel_ap"}  # finer than AUROC on four images
    study = make_study_of(**metric)
    steps = [take_to_rung(study, usual_setting, 0, tmp_path / "a", REGISTRY)]
    [checkpoint] = (tmp_path / "a").glob("*/last.ckpt")
    steps += [take_to_rung(study, usual_setting, rung, tmp_path / "a", REGISTRY) for rung in (1, 2)]
    assert [s["steps"] for s in steps] == [{f"{tiny_folder.name}/disc": n} for n in (2, 4, 12)]
    at_once = take_to_rung(make_study_of(**metric, rungs=1), usual_setting, 0, tmp_path / "b", REGISTRY)
    assert at_once["scores"] == steps[2]["scores"]
    assert len({s["score"] for s in steps}) == 3

    # After a crash the rungs that stand are not trained again, and a lost checkpoint costs time alone.
    known = json.loads((tmp_path / "a" / RUNGS).read_text())
    assert take_to_rung(study, usual_setting, 2, tmp_path / "a", REGISTRY) == known[2]
    (tmp_path / "a" / RUNGS).write_text(json.dumps(known[:2]))
    shutil.rmtree(checkpoint.parent)
    assert take_to_rung(study, usual_setting, 2, tmp_path / "a", REGISTRY)["score"] == known[2]["score"]


def test_a_setting_that_diverges_has_the_worst_score(
    usual_setting: Mapping[str, Any], tmp_path: Path, make_study_of: Callable[..., Study]
) -> None:
    found = take_to_rung(make_study_of(), {**usual_setting, "optimizer.lr": 1e30}, 2, tmp_path, REGISTRY)
    assert found["score"] == 0
    assert found["note"].startswith("the loss is not finite at step")
