"""The laws in somebody else's pytest suite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dlkd.check import LAWS, parametrize_with_contracts

pytest_plugins = ["pytester"]

SUITE = """
from torch import nn
from dlkd.check import parametrize_with_contracts
from dlkd.registry import register

@register("block", "theirs")
class Theirs(nn.Module):
    def forward(self, x):
        return x.detach().reshape(x.shape[0], 2, -1, *x.shape[2:]).reshape(x.shape)

@parametrize_with_contracts("theirs.yaml", laws={laws}, expected_failures={expected})
def test_contract(contract):
    contract()
"""


@pytest.fixture
def theirs(components: None, pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makefile(
        ".yaml", theirs='components: {block/theirs: {shape: "b c h w -> b c h w", requires: {c: "== 2"}}}'
    )
    return pytester


def test_rows_are_tested_with_readable_ids_and_declared_exceptions(theirs: pytest.Pytester) -> None:
    laws, expected = ["shape", "batch_independence", "gradient"], {"gradient": "detached"}
    theirs.makepyfile(SUITE.format(laws=laws, expected=expected))
    done = theirs.inline_run("-p", "no:cacheprovider", "--strict-markers")
    passed, skipped, failed = done.listoutcomes()
    assert [r.nodeid.split("::")[1] for r in passed] == [
        "test_contract[block/theirs-shape]",
        "test_contract[block/theirs-batch_independence]",
    ]
    assert [r.wasxfail for r in skipped] == ["detached"]
    assert failed == []


def test_a_law_that_starts_to_hold_fails_the_test(theirs: pytest.Pytester) -> None:
    theirs.makepyfile(SUITE.format(laws=["shape"], expected={"shape": "not yet"}))
    [failed] = theirs.inline_run("-p", "no:cacheprovider").listoutcomes()[2]
    assert "[XPASS(strict)] not yet" in str(failed.longrepr)


def test_a_cause_is_told_at_length_once(theirs: pytest.Pytester) -> None:
    theirs.makefile(".yaml", theirs='components: {block/theirs: {shape: "b c h w -> b c h w"}}')
    theirs.makepyfile(SUITE.format(laws=["shape", "requires", "float64"], expected={}))
    done = theirs.inline_run("-p", "no:cacheprovider")
    _, [skipped], [first, second] = done.listoutcomes()
    assert "does not apply: it needs a rule in `requires:`" in str(skipped.longrepr)
    assert "fix: write `requires: {c: multiple of 2}` in its row" in str(first.longrepr)
    assert "float64: the cause that 'shape' tells: RuntimeError: shape" in str(second.longrepr)
    assert "fix: " not in str(second.longrepr)


def test_dlkds_own_rows_are_the_default() -> None:
    ids = [p.id for p in parametrize_with_contracts().args[1]]
    assert "block/gfrb-channels_last" in ids
    assert len([i for i in ids if i.startswith("block/gfrb-")]) == len([law for law in LAWS.values() if not law.kinds])
    assert len([i for i in ids if i.startswith("model/dlkd-")]) == len(
        [law for law in LAWS.values() if law.kinds in ((), ("model",))]
    )
    assert not any(i.startswith("dataset/") for i in ids)


def test_what_is_unknown_is_told_while_tests_are_collected(tmp_path: Path) -> None:
    for arguments in ({"laws": ["gradiant"]}, {"expected_failures": {"gradiant": "no"}}):
        with pytest.raises(ValueError, match="unknown law 'gradiant'; did you mean 'gradient'"):
            parametrize_with_contracts(**arguments)
    (tmp_path / "none.yaml").write_text("variants: {mine: {extends: dlkd}}")
    with pytest.raises(ValueError, match=r"no row of .*none.yaml has a `shape:`"):
        parametrize_with_contracts(tmp_path / "none.yaml")


def test_the_tool_loads_without_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None; import dlkd.check"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
