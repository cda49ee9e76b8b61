"""Components register themselves, and come in by entry points and installed packages."""

import importlib.metadata
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from torch import nn

import dlkd
from dlkd.blocks import GFRB, layout, norm
from dlkd.registry import (
    ConfigError,
    component_files,
    get,
    list_components,
    list_variants,
    load_components,
)


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
    assert list_components("loss") == [
        "anomaly_similarity",
        "ckd",
        "contrast",
        "flat_cosine",
        "focal",
        "mse",
        "pkd",
        "sphere",
        "ssim",
        "total",
    ]
    assert list_components() == sorted(list_components())
    assert list_variants()[:3] == ["dlkd", "dlkd-lfrb", "dlkd-lfrb-gfrb"]
    assert dlkd.list_variants is list_variants


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
    assert component_files("act", "relu") == {
        Path(module.__file__).resolve() for module in (norm, layout)
    }  # `norm` registers torch's


def test_an_installed_package_of_somebody_else_is_composed_by_yaml(tmp_path):
    """A whole process: a distribution with an entry point and a registry file that uses its block."""
    (tmp_path / "their_parts.py").write_text(
        textwrap.dedent("""
            from torch import nn
            import dlkd.blocks
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
        from dlkd.registry import component_starts
        model = create_model("with-theirs", registry=load_registry(Path("theirs.yaml")))
        local = model.decoder.frms[0].branches["local"]
        print(type(local).__name__, local.conv.kernel_size, tuple(model.eval()(torch.zeros(1, 3, 32, 40)).shape))
        print(len(component_starts("block", "theirs")[1]), len(component_starts("block", "gfrb")[1]))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split("\n")[0] == "Theirs (5, 5) (1, 32, 40)", done.stderr
    assert done.stdout.split("\n")[1] == "1 0"  # dlkd's blocks, which it imports, did not come with it
