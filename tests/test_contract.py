"""The grammar of shape contracts, and the errors of inputs that break them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlkd.contract import Axis, ContractError, Rule, Shape, matches, require, require_map, sizes


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("multiple of 4", {4, 8, 12}),
        (">= 2", set(range(2, 13))),
        ("<= 2", {1, 2}),
        ("== 3", {3}),
        (">= 5 and multiple of 4", {8, 12}),
        (">= 2 and <= 6 and multiple of 3", {3, 6}),
    ],
)
def test_rules(rule, kept):
    assert {v for v in range(1, 13) if Rule(rule).holds(v)} == kept


@pytest.mark.parametrize(
    "text",
    ["", "even", "multiple of", "multiple of -2", ">2", "> 2", ">= 2 or == 1", ">= two", ">= 2 and", "multiple of 0"],
)
def test_an_unreadable_rule_fails_when_it_is_written(text):
    with pytest.raises(ValueError, match=r"cannot read the rule .*known: .multiple of 4"):
        Rule(text)


@given(st.integers(1, 500), st.integers(1, 9), st.integers(1, 9))
def test_an_axis_is_a_factor_and_a_divisor_rounded_up(n, factor, divisor):
    assert Axis(f"{factor}*h").size({"h": n}) == factor * n
    assert Axis(f"h/{divisor}").size({"h": n}) == len(range(0, n, divisor))
    assert Axis(f"{factor}*h/{divisor}").size({"h": n}) == len(range(0, factor * n, divisor))


def test_axes_may_be_numbers_and_unbound():
    assert Axis("3").size({}) == 3
    assert Axis("3").name is None
    assert Axis("2*h/4").name == "h"
    assert Axis("h").size({"w": 1}) is None


@pytest.mark.parametrize("text", ["H", "h*2", "h/", "*h", "-1", "h+1", "2h", "h/0"])
def test_unreadable_axes(text):
    with pytest.raises(ValueError, match="cannot read the axis"):
        Shape.parse(f"b {text} -> b")


def texts(argument):
    return [[a.text for a in t] for t in argument] if isinstance(argument, list) else [a.text for a in argument]


@pytest.mark.parametrize(
    ("text", "inputs", "output"),
    [
        ("b c h w -> b c h w", [["b", "c", "h", "w"]], ["b", "c", "h", "w"]),
        ("b c h w, b h w -> b", [["b", "c", "h", "w"], ["b", "h", "w"]], ["b"]),
        ("[b c1 2*h, b c2 h] -> b h/2", [[["b", "c1", "2*h"], ["b", "c2", "h"]]], ["b", "h/2"]),
        ("[b h, b w], [b h] -> ", [[["b", "h"], ["b", "w"]], [["b", "h"]]], []),
        ("b 3 h -> [b h/4, b h/8]", [["b", "3", "h"]], [["b", "h/4"], ["b", "h/8"]]),
    ],
)
def test_shapes(text, inputs, output):
    shape = Shape.parse(text)
    assert [texts(a) for a in shape.inputs] == inputs
    assert texts(shape.output) == output


def test_names_of_a_shape_in_order_of_appearance():
    assert Shape.parse("[b c1 2*h w, b c2 h w], b 3 k -> b h").names() == ["b", "c1", "h", "w", "c2", "k"]


def test_a_shape_without_an_arrow_and_with_two_outputs():
    with pytest.raises(ValueError, match='needs "->" between inputs and output, got "b c h w"'):
        Shape.parse("b c h w")
    with pytest.raises(ValueError, match=r'has one output \(a tensor or a \[list\]\), got "b c, b h"'):
        Shape.parse("b c -> b c, b h")


def test_sizes_of_a_tensor():
    (tensor,) = Shape.parse("b 3 2*h w/2 -> b").inputs
    assert sizes(tensor, {"b": 2, "h": 5, "w": 7}) == (2, 3, 10, 4)
    with pytest.raises(ValueError, match=r"axes \['w/2'\] are not bound by \['b', 'h'\]"):
        sizes(tensor, {"b": 2, "h": 5})


def test_matches_binds_a_plain_name_once_and_holds_it():
    shape = Shape.parse("b -> b k k/2").output
    names = {"b": 2}
    assert matches(shape, (2, 7, 4), names)
    assert names == {"b": 2, "k": 7}
    assert not matches(shape, (2, 8, 4), names)
    assert not matches(shape, (2, 7), names)
    assert not matches(Shape.parse("b -> b k/2").output, (2, 3), {"b": 2})  # a half says not what it is half of


def test_errors_name_the_component_the_axis_and_the_rule():
    require("gfrb", "c", 8, "multiple of 4")
    with pytest.raises(ContractError, match=r"^gfrb: axis c must be multiple of 4, got 6$"):
        require("gfrb", "c", 6, "multiple of 4")
    assert issubclass(ContractError, ValueError)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4, 3), r"^x: expected a map \(b, c, h, w\), got shape \(2, 4, 3\)$"),
        ((2, 5, 3, 3), r"^x: axis c must be == 4, got 5$"),
        ((2, 4, 1, 3), r"^x: axis h must be >= 2, got 1$"),
        ((2, 4, 3, 0), r"^x: axis w must be >= 2, got 0$"),
    ],
)
def test_a_map_that_is_none(shape, message):
    with pytest.raises(ContractError, match=message):
        require_map("x", torch.zeros(shape), 4, min_side=2)


def test_a_map_that_is_one():
    require_map("x", torch.zeros(0, 4, 2, 2), 4, min_side=2)
