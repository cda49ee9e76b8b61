"""What `dlkd check` says of a row: one problem per cause, with the fix; exceptions that the row declares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dlkd.check import Findings, check_row
from dlkd.contract import require
from dlkd.registry import load_registry, register

Check = Callable[..., Findings]


@pytest.fixture
def check(components: None, tmp_path: Path) -> Check:
    """What the laws say of a class as `block/mine`, with more keys of its row."""

    def check(block: type[nn.Module], row: str = "given: {channels: c}") -> Findings:
        register("block", "mine")(block)
        file = tmp_path / "mine.yaml"
        file.write_text(f'components: {{block/mine: {{shape: "b c h w -> b c h w", {row}}}}}')
        return check_row(load_registry(file), "block/mine", examples=5)

    return check


class Groups(nn.Module):
    """Runs on channels that 4 divides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        return self.conv(x.reshape(b, 4, c // 4, h, w).transpose(1, 2).reshape(x.shape))


class Refuses(Groups):
    def __init__(self, channels: int) -> None:
        require("mine", "c", channels, "multiple of 4")
        super().__init__(channels)


class Crops(nn.Module):
    """Runs on maps of 3 rows and more."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, 0, 2, 2), mode="reflect")[:, :, 2:-2] * 2


class Strict(Groups):
    def __init__(self, channels: int) -> None:
        require("mine", "c", channels, "multiple of 2")
        super().__init__(channels)


class Typo(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshap(-1)


def test_a_missing_rule_is_one_problem_that_names_the_rule(check: Check) -> None:
    found = check(Groups)
    [problem] = found.problems
    first, expected, at, holds, fix = problem.split("\n    ")
    assert first.startswith(
        "shape, gradient, repeatable, batch_independence, state_dict, float64, autocast, training, "
    )
    assert "compile, export (13 laws, one cause): RuntimeError: shape '[1, 4, 0, 1, 1]' is invalid" in first
    assert expected.startswith("expected: The output has the announced shape")
    assert expected.endswith("at every size that the row allows")
    assert at == "seen at: b = 1, c = 1, h = 1, w = 1"
    assert holds == "it holds where c is multiple of 4 (1 to 16 tried)"
    assert fix == (
        'fix: write `requires: {c: multiple of 4}` in its row, and `require("mine", "c", channels, "multiple of 4")` '
        "in the component, so that the error names the rule"
    )
    assert found.notes == ["requires: does not apply, as it needs a rule in `requires:`"]


def test_a_rule_that_the_component_keeps_and_the_row_does_not_name(check: Check) -> None:
    [problem] = check(Refuses).problems
    assert "ContractError: mine: axis c must be multiple of 4, got 1" in problem
    assert problem.endswith("fix: write `requires: {c: multiple of 4}` in its row")


def test_a_side_is_called_as_forward_calls_it(check: Check) -> None:
    [problem] = check(Crops, "given: {}").problems
    assert "it holds where h is >= 3" in problem
    assert '`requires: {h: ">= 3"}` in its row, and `require("mine", "h", x.shape[2], ">= 3")` in' in problem


def test_a_rule_that_is_there_is_made_stricter(check: Check) -> None:
    [problem] = check(Strict, "given: {channels: c}, requires: {c: multiple of 2}").problems
    assert "write `requires: {c: multiple of 4}`" in problem


def test_what_fails_at_every_size_has_no_rule(check: Check) -> None:
    [problem] = check(Typo, "given: {}").problems
    assert "AttributeError: 'Tensor' object has no attribute 'reshap'" in problem
    assert problem.endswith("it fails at all sizes tried")


def test_two_causes_are_two_problems(check: Check) -> None:
    class Two(Groups):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).float() + torch.rand(())

    assert len(check(Two).problems) > 1


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)


def test_a_declared_failure_is_a_note_with_its_reason(check: Check) -> None:
    found = check(Constant, "expected_failures: {gradient: it is a constant}")
    assert found.problems == []
    assert "gradient: fails as the row expects: it is a constant" in found.notes


def test_a_declared_failure_that_does_not_happen_is_a_problem(check: Check) -> None:
    row = "expected_failures: {gradient: it is a constant, shape: no reason, requires: there is no rule}"
    assert check(Constant, row).problems == [
        "shape: holds, though the row expects it to fail (no reason): remove it from `expected_failures:`",
        "requires: does not apply, as it needs a rule in `requires:`: remove it from `expected_failures:`",
    ]
