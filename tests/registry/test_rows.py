"""Rows agree with the constructors, and a wrong row is one problem."""

import dataclasses
import inspect

import pytest
from torch import nn

from dlkd.models import DLKD
from dlkd.registry import (
    arguments,
    default_registry,
    get,
    list_components,
    load_registry,
    register,
)
from dlkd.registry.nodes import as_lists, python_name


def test_every_registered_component_has_a_row():
    """So `dlkd list` reads them there, without importing them."""
    assert sorted(default_registry().rows) == list_components()


def test_the_packaged_rows_and_variants_are_right():
    """No command checks them."""
    checked = load_registry(whole=True)
    assert (checked.rows, checked.variants) == (default_registry().rows, default_registry().variants)


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
            given = dict(value) if isinstance(value, dict) else {"name": value}
            assert "name" not in given or get(row.slots[key], given.pop("name")) is made_of
            assert {k: None if v == "none" else v for k, v in given.items()} == {
                k: as_yaml(v) for k, v in settings.items()
            }
        else:
            default = as_lists(default)
            assert ("none" if default is None and key in row.slots else default) == value
            assert type(value) is type(default) or default is None


def as_yaml(setting):
    """A setting of a partial, as a row writes it."""
    if callable(setting):
        kind, name = next(key.split("/") for key in list_components() if get(*key.split("/")) is setting.func)
        assert kind == "schedule"
        return {"name": name, **{k: as_yaml(v) for k, v in setting.keywords.items()}}
    return list(setting) if isinstance(setting, tuple) else setting


@pytest.mark.parametrize("name", list(default_registry().rows))
def test_slots_and_given_arguments_are_the_constructors(name):
    kind, bare = name.split("/")
    row = default_registry().rows[name]
    parameters = inspect.signature(get(kind, bare)).parameters
    assert {python_name(key) for key in row.slots} | set(row.given) <= set(parameters)


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
