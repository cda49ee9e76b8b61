"""Registry files: what they add, and every error that they can hold."""

import pytest
from torch import nn

from dlkd.registry import (
    ConfigError,
    create_model,
    list_variants,
    load_registry,
)

RANDOM = {"teacher": {"backbone": "test_resnet", "weights": "random"}}


def test_a_variant_may_be_named_by_what_yaml_takes_for_a_number(read, problems):
    registry = read("variants: {16: {extends: dlkd, sigma: 3}, on: {extends: 16}, 1.50: {extends: on}}")
    assert registry.resolve("1.50", RANDOM)["sigma"] == 3
    assert "unknown variant '0x1'" in problems("variants: {a: {extends: 0x1}}")[0]


def test_a_users_file_adds_rows_and_variants(own, read):
    @own("block", "blur")
    class Blur(nn.Module):
        def __init__(self, channels: int, *, kernel: int = 3, act: type[nn.Module] = nn.ReLU) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(channels, channels, kernel, padding=kernel // 2), act()

        def forward(self, x):
            return self.act(self.conv(x))

    registry = read("""
        components:
          block/blur:
            shape: b c h w -> b c h w
            given: {channels: c}
            slots: {act: act}
            defaults: {kernel: 5, act: silu}
        variants:
          blurred: {extends: dlkd-lfrb, decoder: {local: {name: blur, act: gelu}}}
    """)
    assert registry.resolve("blurred")["decoder"]["local"] == {"name": "blur", "kernel": 5, "act": {"name": "gelu"}}
    assert list_variants(registry=registry)[-1] == "blurred"
    model = create_model("blurred", registry=registry, **RANDOM)
    assert isinstance(model.decoder.frms[0].branches["local"].act, nn.GELU)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: {extends: dlkd, sigmma: 1}", "a.sigmma: model/dlkd has no argument 'sigmma'; did you mean 'sigma'?"),
        ("a: {decoder: {local: lrfb}}", "a.decoder.local.name: unknown block 'lrfb'; did you mean 'lfrb'?"),
        ("a: {decoder: {local: {name: lrfb}}}", "a.decoder.local.name: unknown block 'lrfb'; did you mean 'lfrb'?"),
        (
            "a: {loss: {contrast: {margn: 0.1}}}",
            "a.loss.contrast.margn: loss/contrast has no argument 'margn'; did you mean 'margin'?",
        ),
        ("a: {sigma: wide}", "a.sigma: expected a valid number, got 'wide'"),
        ("a: {refiner: {depth: 2.5}}", "a.refiner.depth: expected a valid integer, got 2.5"),
        ("a: {refiner: {depth: true}}", "a.refiner.depth: expected a valid integer, got True"),
        ("a: {map_use: flows}", "a.map_use: expected 'flow', 'clamp' or 'detach', got 'flows'"),
        ("a: {teacher: {stages: [1, x]}}", "a.teacher.stages: expected a valid integer, got [1, 'x']"),
        ("a: {align_corners: 1}", "a.align_corners: expected a valid boolean, got 1"),
        ("a: {model: dlkdd}", "a.model: unknown model 'dlkdd'; did you mean 'dlkd'?"),
        ("a: {extends: dlkdd}", "a.extends: unknown variant 'dlkdd'; did you mean 'dlkd'?"),
        ("a: {extends: [dlkd]}", "a.extends: unknown variant '['dlkd']'; did you mean 'dlkd'?"),
        ("a: {extends: a}", "a.extends: 'extends' runs in a circle: a -> a"),
        ("a: {teacher: none}", "a.teacher: a teacher is needed here and cannot be none"),
        ("a: {teacher: null}", "a.teacher: a teacher is needed here and cannot be none"),
        ("a: {refiner: ckd}", "a.refiner.name: unknown block 'ckd'; known: aspp, autoencoder, capsule, centre, "),
        ("a: {refiner: {local: {channels: 8}}}", "a.refiner.local.channels: block/lfrb has no argument 'channels'; "
         "block/lfrb is given it by what encloses it"),
        ("a: {decoder: [coarse]}", "a.decoder: expected a decoder's name or a mapping, got ['coarse']"),
        ("a: {decoder: {name: [1]}}", "a.decoder.name: unknown decoder '[1]'; known: bilinear, coarse"),
        ("a: 3", "a: expected a mapping of arguments"),
        ("dlkd: {}", "dlkd: 'dlkd' is in use already; choose another name"),
        # of the right type, and refused by a constructor
        ("a: {refiner: {local: {patches: 3}}}", "a.refiner.local: lfrb: spatial patches must be a square number"),
        ("a: {refiner: {depth: 0}}", "a.refiner: prl: depth must be at least 1, got 0"),
        ("a: {decoder: {global: {d_state: 0}}}", "a.decoder.global: gfm: d_state and expand must be at least 1, got 0"),
        ("a: {decoder: {local: {embed_ratio: 2}}}", "a.decoder.local: embed: ratio must lie in (0, 1], got 2"),
        ("a: {noise: {intensity: -1}}", "a.noise: noise: intensity must be at least 0, got -1"),
        ("a: {loss: {contrast: {margin: 3}}}", "a.loss.contrast: contrast: margin must lie in [-1, 1]"),
        ("a: {loss: {ckd: none, pkd: none, contrast: none, anomaly_similarity: none}}",
         "a.loss: total: at least one of the losses"),
        ("a: {decoder: {local: mffm}}", "a.decoder: decoder/coarse cannot be built: TypeError: "),
        ("a: {fusion: {out_channels: -4}}", "a.fusion: block/mffm cannot be built: RuntimeError: "),
    ],
)  # fmt: skip
def test_a_wrong_variant_is_one_problem(problems, text, expected):
    (problem,) = problems(f"variants:\n  fine: {{extends: dlkd}}\n  {text}\n")
    assert problem.startswith(f"mine.yaml:3: variants.{expected}")


def test_a_required_argument_is_asked_for(own, problems):
    @own("block", "needy")
    class Needy(nn.Module):
        def __init__(self, channels: int, *, kernel: int) -> None:
            super().__init__()

    (problem,) = problems("""
        components:
          block/needy: {given: {channels: c}}
        variants:
          a: {decoder: {local: needy}}
    """)
    assert problem == "mine.yaml:4: variants.a.decoder.local: block/needy needs the argument 'kernel'"


def test_all_problems_are_shown_together(problems):
    found = problems("""
        variants:
          typo: {extends: dlkd, decoder: {globl: none}}
          wrong: {extends: dlkd, sigma: four, refiner: {depth: two}}
          heir: {extends: wrong, map_use: clamp}
          knot: {extends: loop}
          loop: {extends: knot}
          twice: {sigma: 1.0, sigma: 2.0}
        varaints: {}
    """)
    places = sorted(p.split(": ")[0] + " " + p.split(": ")[1] for p in found)
    assert places == [
        "mine.yaml:2 variants.typo.decoder.globl",
        "mine.yaml:3 variants.wrong.refiner.depth",
        "mine.yaml:3 variants.wrong.sigma",
        "mine.yaml:6 variants.loop.extends",
        "mine.yaml:7 variants.twice.sigma",
        "mine.yaml:8 varaints",
    ]
    assert any("'extends' runs in a circle: knot -> loop -> knot" in p for p in found)
    assert any("unknown key; did you mean 'variants'?" in p for p in found)
    assert any("the key 'sigma' stands twice, first on line 7" in p for p in found)


def test_impossible_values_are_shown_together_and_once(problems):
    found = problems("""
        variants:
          a: {refiner: {local: {patches: 3}}}
          heir: {extends: a, sigma: 1.0}
          b: {noise: {intensity: -1.0}, decoder: {global: {expand: 0}}}
    """)
    assert sorted(p.split(": ")[0] for p in found) == ["mine.yaml:2", "mine.yaml:4", "mine.yaml:4"]


def test_the_line_is_that_of_the_key_not_of_the_variant(problems):
    (problem,) = problems("""
        variants:
          a:
            extends: dlkd
            decoder:
              local:
                patches: four
    """)
    assert problem == "mine.yaml:6: variants.a.decoder.local.patches: expected a valid integer, got 'four'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("variants: [", "mine.yaml:2: not readable as YAML: "),
        ("- 1", "mine.yaml:1: expected the keys 'components' and 'variants'"),
        ("", "mine.yaml: expected the keys 'components' and 'variants'"),
        ("variants: 5", "mine.yaml:1: variants: expected a mapping from names"),
        (
            "variants: {a: {sigma: !!python/object/apply:os.system ['touch RAN']}}",
            "mine.yaml:1: not readable as YAML: ",
        ),
        ("variants: !!python/object/apply:os.system ['touch RAN']", "mine.yaml:1: not readable as YAML: "),
        (
            "variants: {a: {decoder: {name: os.system}}}",
            "mine.yaml:1: variants.a.decoder.name: unknown decoder 'os.system'",
        ),
    ],
)
def test_a_file_that_is_no_registry(problems, tmp_path, text, expected):
    (problem,) = problems(text + "\n" if text else "")
    assert problem.startswith(expected)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_missing_file_and_two_wrong_files(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot read: No such file or directory"):
        load_registry(tmp_path / "none.yaml")
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("variants: {same: {sigma: wide}}\n")
    with pytest.raises(ConfigError) as caught:
        load_registry(tmp_path / "one.yaml", tmp_path / "two.yaml")
    first, second = sorted(str(caught.value).splitlines())
    assert first == f"{tmp_path}/one.yaml:1: variants.same.sigma: expected a valid number, got 'wide'"
    assert second == f"{tmp_path}/two.yaml:1: variants.same: 'same' is in use already; choose another name"


def test_files_may_build_on_each_other(tmp_path):
    (tmp_path / "one.yaml").write_text("variants: {one: {extends: dlkd, sigma: 1.0}}\n")
    (tmp_path / "two.yaml").write_text("variants: {two: {extends: one, refiner: none}}\n")
    registry = load_registry(tmp_path / "one.yaml", tmp_path / "two.yaml")
    assert registry.resolve("two")["sigma"] == 1.0


def test_a_path_into_a_home_that_is_not_there_stands_in_its_place(problems):
    text = "variants: {a: {extends: dlkd, teacher: {weights: ~nobody-here/w.pth}}}"
    assert problems(text) == [
        "mine.yaml:1: variants.a.teacher.weights: ~nobody-here/w.pth: this system knows no such "
        "home folder; write the path out"
    ]
