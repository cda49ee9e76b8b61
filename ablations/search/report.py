"""What a search found: search.parquet, best.yaml, a grid that tests it, a short text and a figure."""

from __future__ import annotations

import json
import math
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pydantic
from matplotlib.ticker import FuncFormatter, NullFormatter
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from dlkd.ablations.report.markdown import escape, markdown_table
from dlkd.ablations.report.plots import FAINT, PALETTE, make_panels
from dlkd.ablations.report.tables import label
from dlkd.ablations.report.words import listed, number, seconds
from dlkd.ablations.run.store import read_about, read_trials, write_trials
from dlkd.ablations.search.definition import TRAIN, SearchFile, overrides
from dlkd.ablations.search.runner import FAILED, Tried, shown
from dlkd.ablations.search.worker import DIVERGED, DONE, STOPPED
from dlkd.drawing import LiteralFigure
from dlkd.files import atomic_path, write_text
from dlkd.located_yaml import dump_yaml
from dlkd.text import plain

BEST = "best"
PARQUET = "search.parquet"
STATUSES = {
    DONE: ("o", PALETTE[0], "trained to the end"),
    STOPPED: ("s", FAINT, "stopped behind the others"),
    DIVERGED: ("x", PALETTE[1], "diverged"),
}


def search_trials(tried: Sequence[Tried], file: SearchFile) -> pd.DataFrame:
    """One line a trial: number, key, status, rungs, score (of the last rung), rung_1 and so on, seconds, reason,
    and each parameter by its key, choices as JSON."""
    lines = []
    for t in tried:
        scores = [rung["score"] for rung in t.rungs]
        lines.append(
            {
                "number": t.number,
                "key": t.key,
                "status": t.status,
                "rungs": len(scores),
                "score": scores[-1] if scores else math.nan,
                **{f"rung_{i + 1}": dict(enumerate(scores)).get(i, math.nan) for i in range(file.search.rungs)},
                "seconds": sum(rung["seconds"] for rung in t.rungs),
                "reason": plain(t.reason),
                **{name: parameter.to_optuna(t.parameters[name]) for name, parameter in file.search.space.items()},
            }
        )
    return pd.DataFrame(lines)


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
        return {name: parameter.from_optuna(_plain(self.best[name])) for name, parameter in self.search.space.items()}

    def facts(self) -> list[str]:
        """What the figures rest on, in sentences."""
        counts = self.trials["status"].value_counts()
        ends = [f"{counts[status]} {words}" for status, (_, _, words) in STATUSES.items() if status in counts]
        ends += [f"{counts[FAILED]} failed"] if FAILED in counts else []
        shares = [self.search.budget(i) for i in range(self.search.rungs)]
        halved = (
            f"one in {self.search.reduction} goes on after {listed([f'{share:.0%}' for share in shares[:-1]])} of it"
        )
        facts = [
            f"{len(self.trials)} settings of {self.search.variant}: {listed(ends)}; "
            f"{seconds(self.trials['seconds'].sum())} of training in all.",
            f"The score is {label(self.search.metric)} on validation images: {self.search.share:.0%} of the normal "
            "training images, as they are and once more with planted defects. No test image was looked at.",
        ]
        for line in self.trials[self.trials["key"] == self.usual].to_dict("records"):
            facts.append(f"Trial {line['number']} is {self.search.variant} as it is.")
        if len(shares) > 1:
            facts.append(f"The training is cut short where a setting is behind: {halved}.")
        facts.append(
            "The best of many scores flatters itself: test it on the real test images, beside the variant as it is."
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
                *(shown(p.from_optuna(_plain(line[name]))) for name, p in self.search.space.items()),
            ]
            for line in self.trials.to_dict("records")
        ]

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
            "![Score against each parameter](search.png)",
            markdown_table(list(map(escape, self.heads())), rows, left=len(self.heads())),
        ]
        return "\n\n".join(parts) + "\n"

    def figure(self) -> LiteralFigure:
        """Score of each trial's last rung against each parameter."""
        figure, axes = make_panels(len(self.search.space), width=3.4, height=2.9)
        for each, (name, parameter) in zip(axes, self.search.space.items(), strict=True):
            for status, (marker, colour, words) in STATUSES.items():
                own = self.trials[self.trials["status"] == status]
                if own.empty:
                    continue
                if parameter.choice is None:
                    x = own[name].astype(float)
                else:
                    x = own[name].map([parameter.to_optuna(v) for v in parameter.choice].index)
                size = 26 if status == DONE else 16
                each.scatter(x, own["score"] * 100, marker=marker, color=colour, s=size, label=words)
            if self.best is not None:
                value = self.best[name]
                if parameter.choice is not None:
                    value = [parameter.to_optuna(v) for v in parameter.choice].index(value)
                each.scatter(
                    value, self.best["score"] * 100, s=120, facecolors="none", edgecolors=PALETTE[2], label="best"
                )
            if parameter.log is not None:
                each.set_xscale("log")
                each.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                each.xaxis.set_minor_formatter(NullFormatter())
            if parameter.choice is None:
                each.set_xlim(_around(*parameter.values, log=parameter.log is not None))
            if parameter.choice is not None:
                names = [textwrap.fill(shown(v), 40 // len(parameter.choice)) for v in parameter.choice]
                each.set_xticks(range(len(names)), names)
                each.set_xlim(-0.5, len(names) - 0.5)
            each.set_title(name, fontsize=10)
            each.set_axisbelow(True)
            each.grid(color="#e5e7ea")
        axes[0].set_ylabel(f"{label(self.search.metric)}, validation", fontsize=9)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=8)
        return figure

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
            figure = self.figure()
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


def write_found(report: SearchReport, out: Path) -> None:
    """Write search.parquet to `out`, with what it rests on in the same file."""
    known = {"file": report.file.model_dump(mode="json"), "usual": report.usual, "also": report.also}
    write_trials(report.trials, out / PARQUET, known)


def read_found(folder: Path) -> SearchReport:
    """What `write_found` left. Raises ValueError that names the file where it cannot be read."""
    path = folder / PARQUET
    trials, known = read_trials(path), read_about(path)
    try:
        return SearchReport(trials, **{**known, "file": SearchFile.model_validate(known["file"])})
    except (KeyError, TypeError, pydantic.ValidationError) as error:
        raise ValueError(
            f"{path} says nothing of its search, as an older dlkd left it: the same `dlkd ablate` command runs it anew"
        ) from error


def holds_less(trials: pd.DataFrame, folder: Path) -> bool:
    """Whether `trials` in the place of the search.parquet in `folder` would lose finished settings, or bring none."""
    try:
        old = read_trials(folder / PARQUET)
    except ValueError:
        return False
    ended = [set(t.loc[t["status"].isin(list(STATUSES)), "key"]) for t in (old, trials) if "key" in t and "status" in t]
    return len(ended) == 2 and not ended[0] < ended[1]


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


def _around(low: float, high: float, *, log: bool) -> tuple[float, float]:
    """Both ends with a margin."""
    if log:
        margin = (high / low) ** 0.05
        return low / margin, high * margin
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _plain(value: Any) -> Any:
    """numpy's numbers, as a frame gives them, as Python's."""
    return value.item() if hasattr(value, "item") else value
