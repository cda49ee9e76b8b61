"""What a search found: best.yaml, a grid that tests it, a short text and a plot."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from dlkd.ablations.plan.tuning import shown
from dlkd.ablations.report.markdown import escape, markdown_table
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.report.words.numbers import listed, number, seconds
from dlkd.ablations.search.definition import SearchFile
from dlkd.ablations.search.plot import plot
from dlkd.ablations.search.records import DONE, ENDS, FAILED
from dlkd.ablations.search.values import TRAIN, overrides
from dlkd.files import atomic_path, write_text
from dlkd.registry.located_yaml import dump_yaml
from dlkd.text import plain

BEST = "best"


class SearchReport:
    """A search's trials, best first; prints itself to a rich console.

    Args:
        trials: of `search_trials`.
        file: what was asked for, with the data and the training that the command line made of it.
        usual: key of the trial of the variant as it is, where the space holds it.
        also: options that a command needs for the user's own components.
    """

    def __init__(self, trials: pd.DataFrame, file: SearchFile, usual: str | None = None, also: str = "") -> None:
        self.file = file
        self.usual = usual
        self.also = also
        self.search = file.search
        self.trials = trials.sort_values(["rungs", "score"], ascending=False, kind="stable").reset_index(drop=True)
        done = self.trials[self.trials["status"] == DONE]
        self.best = None if done.empty else done.iloc[0]

    def best_parameters(self) -> dict[str, Any]:
        """The winner's, as YAML has them. Raises ValueError where no trial was trained to its end."""
        if self.best is None:
            raise ValueError("no trial of the search was trained to its end")
        return {name: parameter.from_optuna(_item(self.best[name])) for name, parameter in self.search.space.items()}

    def facts(self) -> list[str]:
        """How the figures were measured, in sentences."""
        counts = self.trials["status"].value_counts()
        ends = [f"{counts[status]} {words}" for status, words in ENDS.items() if status in counts]
        ends += [f"{counts[FAILED]} failed"] if FAILED in counts else []
        shares = [self.search.budget(i) for i in range(self.search.rungs)]
        halved = (
            f"one in {self.search.reduction} continues after {listed([f'{share:.0%}' for share in shares[:-1]])} of it"
        )
        facts = [
            f"{len(self.trials)} settings of {self.search.variant}: {listed(ends)}; "
            f"{seconds(self.trials['seconds'].sum())} of training in all.",
            f"The score is {label(self.search.metric)} on validation images: {self.search.share:.0%} of the normal "
            "training images, without change and again with planted defects. No test image was used.",
        ]
        for line in self.trials[self.trials["key"] == self.usual].to_dict("records"):
            facts.append(f"Trial {line['number']} is {self.search.variant} without changes.")
        if len(shares) > 1:
            facts.append(f"The training of settings with low scores is stopped early: {halved}.")
        facts.append(
            "The best of many scores is too optimistic: compare it on the real test images with the unchanged variant."
        )
        return facts

    def heads(self) -> list[str]:
        """Heads of the table."""
        return ["trial", f"{label(self.search.metric)}", "rungs", "end", *self.search.space]

    def lines(self) -> list[list[str]]:
        """The table, best first."""
        return [
            [
                str(line["number"]),
                number(line["score"] * 100),
                f"{line['rungs']} of {self.search.rungs}",
                line["status"] + (f": {line['reason']}" if line["reason"] else ""),
                *(shown(p.from_optuna(_item(line[name]))) for name, p in self.search.space.items()),
            ]
            for line in self.trials.to_dict("records")
        ]

    def in_short(self) -> str:
        """What the figure shows in words, with its main figures."""
        said = f"Points: {label(self.search.metric)} on validation images against each parameter."
        if self.best is None:
            return said
        values = zip(self.search.space, self.lines()[int(self.best.name)][4:], strict=True)
        best = listed([f"{name} {value}" for name, value in values])
        done = self.trials.loc[self.trials["status"] == DONE, "score"] * 100
        ends = f"{number(done.max())} with {best}; the lowest: {number(done.min())}"
        return f"{said} The best of {len(done)} trained to their end: {ends}."

    def commands(self, folder: Path) -> list[str]:
        """What to type next; nothing where no trial was trained to its end."""
        if self.best is None:
            return []
        file = self.file
        _, train = overrides(self.best_parameters())
        words = [f"--registry {shlex.quote(str(folder / 'best.yaml'))}", *([self.also] if self.also else [])]
        words += [f"--preset {shlex.quote(str(file.preset))}"] * bool(file.preset)
        words += [f"--dataset {shlex.quote(name)}" for name in file.datasets[:1]]
        words += [f"--category {shlex.quote(name)}" for name in file.categories[:1]]
        settings = {f"{TRAIN}{k}": v for k, v in {**file.train, **train}.items()}
        words += [f"--set {shlex.quote(f'{key}={json.dumps(value)}')}" for key, value in settings.items()]
        grid = f"dlkd ablate {shlex.quote(str(folder / 'best_grid.yaml'))} --seeds 3 {self.also}".rstrip()
        return [grid, f"dlkd train {BEST} {' '.join(words)}"]

    def markdown(self, folder: Path) -> str:
        """The report's text, with the figure that lies beside it."""
        rows = [[escape(text) for text in line] for line in self.lines()]
        parts = [f"# {escape(self.file.title)}", "\n".join(f"- {escape(fact)}" for fact in self.facts())]
        if self.best is not None:
            parts.append("```\n" + "\n".join(self.commands(folder)) + "\n```")
        parts += [
            f"![{escape(self.in_short(), brackets=True)}](search.png)",
            markdown_table(list(map(escape, self.heads())), rows, left=len(self.heads())),
        ]
        return "\n\n".join(parts) + "\n"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Facts, then the table."""
        del console, options
        for fact in self.facts():
            yield Text(plain(fact), style="dim")
        table = RichTable(show_edge=False)
        for i, head in enumerate(self.heads()):
            table.add_column(Text(plain(head)), justify="right" if i < 3 else "left", overflow="fold")
        for line in self.lines():
            table.add_row(*(Text(plain(text)) for text in line))
        yield table

    def write(self, folder: Path) -> list[Path]:
        """Write search.md, search.png and, where a trial was trained to its end, best.yaml and best_grid.yaml."""
        with atomic_path(folder / "search.png") as temporary:
            figure = plot(self.search, self.trials, self.best)
            figure.savefig(temporary, format="png", dpi=160)
        text = self.markdown(folder)
        written = {"search.md": f"{text}\n{escape(figure.numbers)}\n" if figure.numbers else text}
        if self.best is not None:
            model, train = overrides(self.best_parameters())
            score = f"{label(self.search.metric)} {100 * self.best['score']:.2f} on validation images"
            note = f"# Trial {self.best['number']} of the search '{plain(self.file.title)}': {score}.\n"
            if train:
                note += f"# Its training belongs to it: {', '.join(f'{TRAIN}{k}={v}' for k, v in train.items())}.\n"
            variant = {BEST: {"extends": self.search.variant, **model}}
            written["best.yaml"] = note + dump_yaml({"variants": variant})
            written["best_grid.yaml"] = dump_yaml(_grid(self.file, model, train))
        for name, text in written.items():
            write_text(folder / name, text)
        return [folder / name for name in ("search.png", *written)]


def _grid(file: SearchFile, model: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    """A grid with the variant as it is and the best setting, on the search's data."""
    said = {
        "datasets": list(file.datasets),
        "categories": list(file.categories),
        "preset": file.preset,
        "train": file.train,
    }
    own = {key: value for key, value in {"overrides": model, "train": train}.items() if value}
    return {
        "title": f"{file.title}: the best setting on the test images",
        **{key: value for key, value in said.items() if value},
        "rows": [
            {"label": file.search.variant, "variant": file.search.variant},
            {"label": BEST, "variant": file.search.variant, **own},
        ],
        "reference": file.search.variant,
    }


def _item(value: Any) -> Any:
    """numpy's numbers, as a frame gives them, as Python's."""
    return value.item() if hasattr(value, "item") else value
