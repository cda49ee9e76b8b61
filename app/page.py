"""The page: what is chosen, what it shows, and what each event changes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from dlkd.app import figures
from dlkd.app.choices import Choice
from dlkd.app.curve import curve
from dlkd.app.rates import rates_at, steps
from dlkd.app.scored import Scored, TestScores
from dlkd.data import DataError, Sample, native_mask, read_image
from dlkd.data.pictures.proportions import are_other
from dlkd.scoring.scorer import Normal

MOST_SHOWN = 8
"""Models side by side."""

THUMBNAIL = 160
"""Pixels of the longer side in the list of test images."""

ALL_KINDS = "all"
PROBLEMS = (ValueError, RuntimeError, OSError)
"""What models and pictures raise that cannot be used: dlkd's own errors are among them."""


@dataclass(frozen=True)
class Chosen:
    """The picture that is shown: a file, and the test image that it is."""

    path: Path
    sample: Sample | None = None

    @property
    def label(self) -> str:
        """What is known of it, in words; empty of a dropped picture."""
        if self.sample is None:
            return ""
        return f"anomalous ({self.sample.defect})" if self.sample.label else "normal"

    def mask(self) -> figures.Mask | None:
        """Ground truth (h, w); None where there is none."""
        has_mask = self.sample is not None and self.sample.mask is not None
        return native_mask(self.sample) if self.sample is not None and has_mask else None


class Slot(NamedTuple):
    """The components of one model on the page."""

    column: gr.Column
    map: gr.HTML
    slider: gr.Slider
    verdict: gr.HTML
    rates: gr.HTML


class Page:
    """The page of models and test images.

    Args:
        scored: what it offers, and the scores.
    """

    def __init__(self, scored: Scored) -> None:
        self.scored, self.offer, self.places = scored, scored.offer, scored.offer.places
        most = max(len(self.offer.at(p, s)) for p in self.places for s in (*self.offer.seeds(p), None))
        self.slots = min(most, MOST_SHOWN)

    def build(self) -> gr.Blocks:
        """All components and events."""
        page: gr.Blocks
        with gr.Blocks(title="dlkd app", analytics_enabled=False, fill_width=True, delete_cache=(600, 3600)) as page:
            gr.Markdown("# dlkd app")
            if not self.offer.reports:
                self._pictures(page)
                return page
            with gr.Tab("Pictures"):
                self._pictures(page)
            for number, report in enumerate(self.offer.reports):
                with gr.Tab(f"Report of {report.name}"):
                    gr.HTML(figures.report(report, number))
        return page

    def _pictures(self, page: gr.Blocks) -> None:
        picture, thresholds = gr.State(None), gr.State({})
        with gr.Row():
            with gr.Column(scale=1, min_width=350):
                place, seed, models = self._choosers()
                dropped = gr.Image(
                    label="Drop, choose or paste a picture", sources=["upload", "clipboard"],
                    type="filepath", image_mode=None, height=230, buttons=[], elem_id="dropped",
                )  # fmt: skip
                # Gradio would open the file itself, and show its own traceback for a broken one.
                dropped.preprocess = _path  # type: ignore[method-assign, assignment]
                kind = gr.Dropdown(label="Kind of test images", filterable=False, elem_id="kind")
                gallery = gr.Gallery(
                    label="Test images", columns=3, height=360, allow_preview=False, object_fit="contain",
                    interactive=False, buttons=[], elem_id="gallery",
                )  # fmt: skip
            with gr.Column(scale=3, min_width=280):
                status = gr.HTML(figures.status("loading"), elem_id="status")
                gr.HTML(figures.scale())
                with gr.Row(elem_id="maps"):
                    with gr.Column(min_width=240):
                        shown = gr.HTML()
                    slots = [self._slot(number) for number in range(self.slots)]

        asked = [place, seed, models]
        known = [*asked, picture, thresholds]
        maps = [status, shown, *(part for slot in slots for part in (slot.column, slot.map, slot.slider, slot.verdict))]
        rates = [status, *(part for slot in slots for part in (slot.slider, slot.rates))]
        # Gradio would drop an event while the one before is being answered; a pasted picture is two: nothing, and it.
        last: dict[str, Any] = {"trigger_mode": "always_last", "api_visibility": "private"}
        quiet, scoring = {"show_progress": "hidden", **last}, {"show_progress_on": status, **last}

        def then_show(when: Callable[..., Any], *, tests: bool) -> None:
            if tests:  # those of other models or another category are gone at once
                gone = [status, *(s.rates for s in slots)]
                when = when(lambda: [figures.status(""), *[""] * self.slots], None, gone, **quiet).then
            event = when(self._show_maps, known, maps, **scoring)
            if tests:
                event.then(self._score_tests, known, rates, **scoring)

        first = gr.on([page.load, place.input], self._at_place, asked, [seed, models, kind], **quiet)
        first = first.then(self._list_tests, [place, kind], [gallery, picture, dropped], **quiet)
        then_show(first.then, tests=True)
        then_show(seed.input(self._at_seed, asked, models, **quiet).then, tests=True)
        then_show(models.input, tests=True)
        kind.input(lambda p, k: self._list_tests(p, k)[0], [place, kind], gallery, **quiet)
        then_show(gallery.select(self._choose, [place, kind], [picture, dropped], **quiet).then, tests=False)
        then_show(dropped.input(self._drop, dropped, [picture, gallery], **quiet).then, tests=False)
        for number, slot in enumerate(slots):
            slot.slider.input(
                functools.partial(self._move, number), [slot.slider, *known],
                [slot.verdict, slot.rates, thresholds], **quiet,
            )  # fmt: skip

    def _choosers(self) -> tuple[gr.Dropdown, gr.Dropdown, gr.CheckboxGroup]:
        named = [(str(place) if place else "not known", i) for i, place in enumerate(self.places)]
        place = gr.Dropdown(named, value=0, label="Category", visible=len(named) > 1, elem_id="place")
        seeds = self.offer.seeds(self.places[0])
        seed = gr.Dropdown(seeds, value=seeds[0] if seeds else None, label="Seed", visible=len(seeds) > 1)
        names = list(self.offer.at(self.places[0], seeds[0] if seeds else None))
        models = gr.CheckboxGroup(names, value=names[:2], label=f"Models, at most {MOST_SHOWN}", elem_id="models")
        return place, seed, models

    def _slot(self, number: int) -> Slot:
        with gr.Column(min_width=240, visible=False) as column:
            drawn = gr.HTML()
            slider = gr.Slider(0, 2, 1, step=0.01, label="Threshold", elem_id=f"threshold-{number}")
            return Slot(column, drawn, slider, gr.HTML(), gr.HTML(elem_id=f"rates-{number}"))

    # What is chosen

    def _at_place(self, place: int, seed: int | None, chosen: list[str]) -> list[Any]:
        """The seeds, models and kinds of test images of a category; what is chosen stays so where it is there."""
        seeds = self.offer.seeds(self.places[place])
        kept = seed if seed in seeds else seeds[0] if seeds else None
        seed_of = gr.Dropdown(seeds, value=kept, visible=len(seeds) > 1)
        samples = self.scored.test_images(self.places[place]).samples
        kinds = [ALL_KINDS, *dict.fromkeys(sample.defect for sample in samples)]
        models = self._at_seed(place, kept, chosen)
        return [seed_of, models, gr.Dropdown(kinds, value=ALL_KINDS, visible=len(kinds) > 2)]

    def _at_seed(self, place: int, seed: int | None, chosen: list[str]) -> gr.CheckboxGroup:
        names = list(self.offer.at(self.places[place], seed))
        return gr.CheckboxGroup(names, value=[name for name in chosen if name in names] or names[:2])

    def _list_tests(self, place: int, kind: str) -> list[Any]:
        """The list of test images, and the first anomalous one as the picture."""
        samples = self._of_kind(place, kind)
        first = next((s for s in samples if s.label), samples[0] if samples else None)
        listed = [(thumbnail(s.image), f"{s.defect}: {s.image.name}") for s in samples]
        gallery = gr.Gallery(listed, selected_index=samples.index(first) if first else None, visible=bool(samples))
        return [gallery, None if first is None else Chosen(first.image, first), None]

    def _of_kind(self, place: int, kind: str) -> list[Sample]:
        samples = self.scored.test_images(self.places[place]).samples
        return [s for s in samples if kind in (ALL_KINDS, s.defect)]

    def _choose(self, place: int, kind: str, event: gr.SelectData) -> list[Any]:
        samples = self._of_kind(place, kind)
        sample = samples[min(int(event.index), len(samples) - 1)]
        return [Chosen(sample.image, sample), None]

    def _drop(self, path: str | None) -> list[Any]:
        return [None if path is None else Chosen(Path(path)), gr.Gallery(selected_index=None)]

    def _models(self, place: int, seed: int | None, chosen: Sequence[str]) -> list[Choice]:
        """Those of the chosen models that are there, in the order of the page."""
        known = self.offer.at(self.places[place], seed)
        return [choice for name, choice in known.items() if name in chosen][: self.slots]

    def _at_most(self, chosen: Sequence[str]) -> str:
        """What is said where more models are chosen than the page shows."""
        more = len(chosen) > self.slots
        return f"{self.slots} models are shown at most: the first ones of those chosen." if more else ""

    # What is shown

    def _show_maps(
        self, place: int, seed: int | None, chosen: list[str], picture: Chosen | None, thresholds: dict[Path, float]
    ) -> list[Any]:
        """The status, the picture, and of each slot its column, map, slider and verdict."""
        choices = self._models(place, seed, chosen)
        empty = [gr.Column(visible=False), "", gr.skip(), ""]
        missing = self.scored.test_images(self.places[place]).missing
        if picture is None or not choices:
            drop = f"Drop a picture. {missing}" if missing else "Drop a picture, or take a test image."
            return [figures.status(drop if choices else "Choose a model."), "", *empty * self.slots]
        try:
            pixels = read_image(picture.path)
            mask = picture.mask()
        except DataError as error:
            return [figures.status(str(error), problem=True), "", *empty * self.slots]
        shown: list[Any] = []
        for choice in choices:
            shown += [gr.Column(visible=True), *self._of_model(choice, picture, thresholds, pixels, mask)]
        return [
            figures.status(f"{missing} {self._at_most(chosen)}".strip(), problem=bool(missing)),
            figures.picture(pixels, picture.path.name, picture.label, mask),
            *shown, *empty * (self.slots - len(choices)),
        ]  # fmt: skip

    def _of_model(
        self, choice: Choice, picture: Chosen, thresholds: Mapping[Path, float], pixels: Any, mask: Any
    ) -> list[Any]:
        """Map, slider and verdict of a model; in the place of its map, why there is none."""
        try:
            score, anomaly_map = self.scored.answer(choice, picture.path)
        except PROBLEMS as error:
            return [figures.failed(choice.name, str(error)), gr.Slider(visible=False), ""]
        normal, units = self.scored.model(choice).normal, thresholds.get(choice.path, 1.0)
        other = are_other(pixels.shape[1] / pixels.shape[0], normal.proportions)
        note = "The picture has other proportions than the training's and is squeezed: the score may be off." * other
        return [
            figures.heat_map(choice.name, pixels, anomaly_map, normal, mask, note),
            gr.Slider(value=units, visible=True, label=f"Threshold of {choice.name}"),
            figures.verdict(choice.name, score, normal, units, anomaly_map, pixels, mask),
        ]  # fmt: skip

    def _score_tests(
        self, place: int, seed: int | None, chosen: list[str], picture: Chosen | None, thresholds: dict[Path, float],
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (Gradio finds it so)
    ) -> Iterator[list[Any]]:  # fmt: skip
        """The status, and of each slot its slider and rates; a model's rates are there as soon as it is scored."""
        del picture
        where = self.places[place]
        if not self.scored.test_images(where).samples:
            yield [gr.skip(), *[gr.skip(), ""] * self.slots]
            return
        for number, choice in enumerate(self._models(place, seed, chosen)):
            found: list[Any] = [gr.skip()] * (2 * self.slots)  # a slider that is moved meanwhile is left alone
            try:
                tests = self.scored.test_scores(choice, where, functools.partial(_say, progress, choice.name))
                low, high, step = slider_range(self.scored.model(choice).normal, tests)
                found[2 * number] = gr.Slider(minimum=low, maximum=high, step=step)
                found[2 * number + 1] = self._rates(choice, tests, thresholds.get(choice.path, 1.0))
            except PROBLEMS as error:
                found[2 * number + 1] = figures.status(str(error), problem=True)
            yield [gr.skip(), *found]
        yield [
            figures.status(f"Test images are scored. {self._at_most(chosen)}".strip()),
            *[gr.skip()] * (2 * self.slots),
        ]

    def _move(
        self, number: int, units: float, place: int, seed: int | None, chosen: list[str], picture: Chosen | None,
        thresholds: dict[Path, float],
    ) -> list[Any]:  # fmt: skip
        """The verdict, the rates and all thresholds after one was moved."""
        choices = self._models(place, seed, chosen)
        if picture is None or number >= len(choices) or not math.isfinite(units):
            return [gr.skip()] * 3
        choice, where = choices[number], self.places[place]
        score, anomaly_map = self.scored.answer(choice, picture.path)
        normal = self.scored.model(choice).normal
        said = figures.verdict(
            choice.name, score, normal, units, anomaly_map, read_image(picture.path), picture.mask()
        )  # fmt: skip
        tests = self.scored.test_images(where).samples
        rates = self._rates(choice, self.scored.test_scores(choice, where), units) if tests else ""
        return [said, rates, {**thresholds, choice.path: units}]

    def _rates(self, choice: Choice, tests: TestScores, units: float) -> str:
        normal = self.scored.model(choice).normal
        low, high, _ = slider_range(normal, tests)
        in_units = normal.in_units(tests.scores)
        alarm = rates_at(tests, normal.from_units(units))
        return figures.rates(
            choice.name, alarm, tests.unread, curve(steps(in_units, tests.labels), low, high), units
        )  # fmt: skip


def slider_range(normal: Normal, tests: TestScores) -> tuple[float, float, float]:
    """Both ends of a threshold's slider, in units, and its step: all scores of test images lie between."""
    in_units = normal.in_units(tests.scores)
    low, high = min(0.0, float(in_units.min(initial=0))), max(2.0, float(in_units.max(initial=2)))
    digits = -math.floor(math.log10((high - low) / 100))
    step = 10.0**-digits
    return round(math.floor(low / step) * step, digits), round((math.floor(high / step) + 1) * step, digits), step


def _path(uploaded: Any) -> str | None:
    """The file of an upload, which Gradio has found to be one, as it came."""
    return None if uploaded is None else uploaded.path


def _say(progress: gr.Progress, name: str, done: int, of: int) -> None:
    progress((done, of), desc=f"Test images, {name}", unit="images")


@functools.lru_cache(maxsize=2000)
def thumbnail(path: Path) -> Image.Image:
    """A small picture of a file; grey where it cannot be read."""
    try:
        picture = Image.fromarray(read_image(path))
    except DataError:
        return Image.new("RGB", (THUMBNAIL, THUMBNAIL), "grey")
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return picture
