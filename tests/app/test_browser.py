"""The page in headless Chromium: the keyboard, dropped pictures, a phone's width, and no other server."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
OFFLINE = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
Open = Callable[..., Page]
SOON = 60_000
"""Milliseconds that a busy machine may take for one answer."""
SETTLED = """() => {
  const status = document.querySelector("#status");
  return status?.querySelector(".dlkd-problem") || status?.innerText.includes("Test images are scored.");
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *OFFLINE])


@pytest.fixture
def open_page(browser: Browser, served: str) -> Iterator[Open]:
    """Opens the page and waits for its rates; whatever it asked of other servers, or wrote as an error, fails."""
    asked: list[str] = []
    errors: list[str] = []

    def open_at(width: int = 1280, height: int = 900, scheme: str = "light") -> Page:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
        page.set_default_timeout(SOON)
        expect.set_options(timeout=SOON)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        # The first page waits for Gradio, the models and Chromium to load: only the test's own limit ends that. The
        # last answer of the page's first events says that its handlers are there and that the server answers them.
        page.goto(served, wait_until="commit", timeout=0)
        page.wait_for_function(SETTLED, timeout=0)
        expect(page.locator("#status")).to_contain_text("Test images are scored.")
        return page

    yield open_at
    for context in browser.contexts:
        context.close()
    assert [url for url in asked if not url.startswith((served, "data:", "blob:"))] == []
    assert errors == []


def tab_to(page: Page, name: str, most: int = 60) -> None:
    """Press Tab until what has this label has the focus, and shows it."""
    for _ in range(most):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {const e = document.activeElement, s = getComputedStyle(e);
            return [e.getAttribute("aria-label") || e.labels?.[0]?.innerText || e.innerText || "", s.outlineStyle]}"""
        )
        if name in focused[0]:
            assert focused[1] == "solid", f"{name} does not show that it has the focus"
            return
    raise AssertionError(f"Tab does not come to {name}")


def test_a_threshold_moves_by_keyboard_and_recall_with_it(open_page: Open) -> None:
    page = open_page()
    assert page.get_by_alt_text("Anomaly map of A over the picture").is_visible()
    assert page.get_by_alt_text("Anomaly map of <B> over the picture").is_visible()  # a name is no markup
    other = page.locator("#rates-1").inner_html()
    tab_to(page, "slider for Threshold of A")
    page.keyboard.press("Home")
    expect(page.locator("#rates-0 [data-rate=recall]")).to_have_text("1.000")
    expect(page.locator("#rates-0 [data-rate=false_alarm_rate]")).to_have_text("1.000")
    segmented = page.get_by_alt_text("Segmentation by A")
    expect(segmented).not_to_have_attribute("alt", re.compile("A: 0.0 per cent"))
    page.keyboard.press("End")
    expect(page.locator("#rates-0 [data-rate=recall]")).to_have_text("0.000")
    expect(page.locator("#rates-0 [data-rate=precision]")).to_have_text("none")
    expect(segmented).to_have_attribute("alt", re.compile("A: 0.0 per cent"))
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("img", name="Precision and recall of A by threshold")).to_be_visible()
    assert page.locator("#rates-1").inner_html() == other


def test_models_and_test_images_are_chosen_by_keyboard(open_page: Open) -> None:
    page = open_page()
    expect(page.locator("#maps figure p").first).to_contain_text("anomalous (square)")
    tab_to(page, "<B>")
    page.keyboard.press("Space")
    expect(page.get_by_alt_text("Anomaly map of <B> over the picture")).to_be_hidden()
    tab_to(page, "Thumbnail 1 of 7")
    page.keyboard.press("Enter")
    expect(page.locator("#maps figure p").first).to_contain_text("normal")


def test_a_dropped_picture_is_scored_and_a_broken_one_named(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    pixels = np.full((40, 80, 3), 100, np.uint8)
    pixels[10:20, 10:20] = 250
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    page.locator("#dropped input[type=file]").set_input_files(tmp_path / "mine.png")
    expect(page.locator("#maps figure p").first).to_have_text("mine.png")
    expect(page.get_by_text("other proportions than the training's").first).to_be_visible()
    page.get_by_label("Remove Image").click()
    expect(page.get_by_text("Drop a picture, or take a test image.")).to_be_visible()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.locator("#dropped input[type=file]").set_input_files(tmp_path / "broken.png")
    expect(page.locator("#status .dlkd-problem")).to_contain_text("broken.png")


def test_a_pasted_picture_is_scored(open_page: Open) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async () => {
          const canvas = document.createElement("canvas");
          canvas.width = canvas.height = 32;
          canvas.getContext("2d").fillRect(8, 8, 9, 9);
          const picture = await new Promise(found => canvas.toBlob(found, "image/png"));
          await navigator.clipboard.write([new ClipboardItem({"image/png": picture})]);
        }"""
    )
    page.locator("#dropped").get_by_label("Paste from clipboard").click()
    expect(page.locator("#maps figure p").first).to_have_text("clipboard.png")
    expect(page.locator("[data-verdict]").first).to_contain_text("score")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_does_not_scroll_sideways_and_shows_maps_below_one_another(open_page: Open, scheme: str) -> None:
    page = open_page(390, 844, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [page.get_by_alt_text(f"Anomaly map of {name} over the picture").bounding_box() for name in ("A", "<B>")]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[1]["y"] > boxes[0]["y"] + boxes[0]["height"]
    assert all(box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)


def test_the_report_is_beside_the_pictures(open_page: Open) -> None:
    page = open_page()
    tab_to(page, "Report of tiny-run")
    page.keyboard.press("Enter")
    report = page.frame_locator("iframe[title='Report of tiny-run']")
    expect(report.get_by_text("the report of g")).to_be_visible()
