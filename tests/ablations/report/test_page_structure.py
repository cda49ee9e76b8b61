"""The page's structure, as a screen reader goes by it: headings, names of tables and pictures, heads of cells."""

import itertools
import shutil
from html.parser import HTMLParser

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from dlkd.ablations.plan.grid import GridRow
from dlkd.ablations.plan.tuning import TunedRow, Tuning

VOID = {"meta", "link", "img"}


class Structure(HTMLParser):
    """Headings, ids, links, pictures, and each table's caption and heads; every element with its text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.closed = [], []
        self.feed(text)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", "inside": [one.get("class") for one in self.open], **dict(attrs)}
        if tag in VOID:
            self.closed.append(element)
        else:
            self.open.append(element)

    def handle_endtag(self, tag):
        element = self.open.pop()
        assert element["tag"] == tag
        self.closed.append(element)

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, *tags):
        return [element for element in self.closed if element["tag"] in tags]


@pytest.fixture
def structure(full, grid, trials_of, undefine, text_of, tmp_path):
    """Of a drawn report, and of one with groups, tuned rows and an undefined metric."""
    rows = [GridRow(label=label, variant="v" + label) for label in ("RD", "RD + PRL", "DLKD")]
    tune = Tuning(trials=3, space={"train.lr": {"log": (1e-4, 1e-2)}})
    tuned = tuple(TunedRow(label=row.label, tried=3, score=0.9, chosen={"train.lr": 0.01}) for row in rows[1:])
    cells = grid(rows=("A",)).model_copy(
        update={"rows": tuple(rows), "groups": {"hard": ("brick", "grass")}, "tune": tune, "tuned": tuned}
    )
    trials = trials_of(cells, means=(0.8, 0.85, 0.9))
    undefine(trials, ["pro"], "no anomalous test image", "brick")
    return [Structure(full[3]["report.html"]), Structure(text_of(trials, [cells], tmp_path)[0])]


def test_headings_are_in_order_and_ids_are_unique(structure):
    for page in structure:
        levels = [int(heading["tag"][1]) for heading in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        ids = [element["id"] for element in page.closed if "id" in element]
        assert len(ids) == len(set(ids))
        assert {link["href"].removeprefix("#") for link in page.all("a")} <= set(ids)
        assert page.all("html")[0]["lang"] == "en"
        assert len(page.all("main")) == 1


def test_tables_and_pictures_have_names_and_cells_have_heads(structure):
    for page in structure:
        tables, captions = page.all("table"), page.all("caption")
        assert len(captions) == len(tables) == len({caption["text"] for caption in captions})
        assert {head["scope"] for head in page.all("th")} == {"row", "col", "colgroup"}
        assert all(head["text"].strip() for head in page.all("th"))
        assert all(cell["text"].strip() for cell in page.all("td"))
        assert all(picture["alt"] for picture in page.all("img"))
        assert len(page.all("figure")) == len(page.all("figcaption")) == len(page.all("img"))
        frames = [element for element in page.closed if "tabindex" in element]
        assert len(frames) == len(tables) + len(page.all("img"))
        assert all(frame["aria-label"] and frame["role"] == "group" for frame in frames)


def test_a_dash_is_read_as_what_it_means(structure):
    dashes = [element for page in structure for element in page.all("td", "span") if element["text"] == "–"]
    assert dashes
    assert all(element.get("aria-hidden") == "true" for element in dashes)
    read = {cell["text"].split("–")[1].strip() for page in structure for cell in page.all("td") if "–" in cell["text"]}
    assert read == {"not compared", "not measured", "none"}


def test_no_paragraph_in_short_is_long(grid, trials_of, text_of, tmp_path):
    cells = grid(rows=[f"the network with part number {i}" for i in range(14)]).model_copy(update={"stepwise": False})
    page = Structure(text_of(trials_of(cells, means=[0.8 + 0.003 * (i % 3) for i in range(14)]), [cells], tmp_path)[0])
    said = [element["text"] for element in page.all("p", "li", "summary") if "short" in element["inside"]]
    assert len(said) > 13
    assert max(map(len, said)) < 400


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")])
def test_axe_finds_nothing_and_the_page_has_the_width_of_a_phone(full, tmp_path, width, scheme):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    file = tmp_path / "report.html"
    file.write_text(full[3]["report.html"], encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page.goto(file.as_uri())
        page.evaluate("for (const folded of document.querySelectorAll('details')) folded.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        heads = page.evaluate(
            "[...document.querySelectorAll('tbody th')].map(e => [e.offsetWidth, e.closest('.scroll')])"
            ".filter(([_, frame]) => frame.scrollWidth > frame.clientWidth).map(([w, frame]) => w / frame.clientWidth)"
        )
        assert max(heads, default=0) <= 0.405
        targets = "[...document.querySelectorAll('a, button, summary')].map(e => e.getBoundingClientRect().height)"
        assert min(page.evaluate(targets)) >= 24
        found = Axe().run(page)
        browser.close()
    assert found.violations_count == 0, found.generate_report()
