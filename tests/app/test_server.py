"""The server: the page and reports, no other file of the disk, nothing from other servers; addresses and Gradio."""

from __future__ import annotations

import importlib.metadata
import json
import re
import socket
from http.client import HTTPConnection
from pathlib import Path

import pytest

from dlkd.app.server import address, check_gradio, listen


def get(address: str, path: str) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of a path that is sent as it is, dots and all."""
    connection = HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(errors="replace"), {k.lower(): v for k, v in answer.getheaders()}
    connection.close()
    return found


@pytest.mark.slow
def test_the_page_and_the_report_are_served(served: str) -> None:
    status, page, _ = get(served, "/")
    assert status == 200
    assert "Report of tiny-run" in page
    status, report, headers = get(served, "/reports/0")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "the report of g" in report


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/reports/1", "/reports/-1", "/reports/0/trials.parquet", "/reports/../trials.parquet",
        "/reports/%2e%2e%2ftrials.parquet", "/reports/0%2f..%2f..%2ftrials.parquet", "/docs",
    ],
)  # fmt: skip
def test_nothing_beside_the_report_is_served(served: str, path: str) -> None:
    assert get(served, path)[0] in (404, 422)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report.html", "trials.parquet", "store/key0/trial.yaml"])
def test_gradio_serves_no_file_of_the_run(served: str, run_folder: Path, name: str) -> None:
    """The server's own folder is the run's, which older versions of Gradio served."""
    assert get(served, f"/gradio_api/file={run_folder / name}")[0] == 403
    assert get(served, f"/gradio_api/file={name}")[0] in (403, 404)


@pytest.mark.slow
def test_no_event_is_dropped_while_the_one_before_is_answered(served: str) -> None:
    steps = json.loads(get(served, "/config")[1])["dependencies"]
    assert {step["trigger_mode"] for step in steps} == {"always_last"}


@pytest.mark.slow
def test_rates_are_gone_before_other_models_score(served: str) -> None:
    """A browser draws as one what follows quickly, so that it cannot show this each time."""
    config = json.loads(get(served, "/config")[1])
    rates = {part["id"] for part in config["components"] if str(part["props"].get("elem_id")).startswith("rates-")}
    steps = {step["id"]: step for step in config["dependencies"]}
    emptied = [step["id"] for step in steps.values() if rates < set(step["outputs"]) and not step["inputs"]]
    scored = [step for step in steps.values() if rates < set(step["outputs"]) and step["inputs"]]
    assert len(rates) == 2
    assert len(scored) == 3  # after another category, another seed, other models
    assert [steps[step["trigger_after"]]["trigger_after"] for step in scored] == emptied


@pytest.mark.slow
def test_the_page_asks_nothing_of_other_servers(served: str) -> None:
    _, page, headers = get(served, "/")
    assert re.findall(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["'](?:https?:)?//[^>]*""", page) == []
    assert '"analytics_enabled":false' in page.replace(" ", "")
    assert "default-src 'self'" in headers["content-security-policy"]


def test_a_port_in_use_is_named() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        assert address(first) == f"http://127.0.0.1:{port}"
        with pytest.raises(ValueError, match=rf"cannot serve at 127.0.0.1, port {port}: .*in use.*--port 0"):
            listen("127.0.0.1", port)


def test_a_host_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"cannot serve at 192\.0\.2\.1, port 0: "):
        listen("192.0.2.1", 0)  # of a range that is kept for documentation


def test_the_address_is_one_for_a_browser_of_this_machine() -> None:
    with listen("0.0.0.0", 0) as everywhere:
        assert address(everywhere) == f"http://127.0.0.1:{everywhere.getsockname()[1]}"
    if socket.has_ipv6:
        with listen("::1", 0) as six:
            assert address(six) == f"http://[::1]:{six.getsockname()[1]}"


@pytest.mark.parametrize(("found", "says"), [(None, "needs Gradio: pip install"), ("3.18.0", "newer, this is 3.18.0")])
def test_a_missing_or_old_gradio_is_named(found: str | None, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr("dlkd.app.server.version", version)
    with pytest.raises(ValueError, match=says):
        check_gradio()
