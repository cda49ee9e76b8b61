"""What a notebook shows of an ablation: one line, and a small table of averages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from dlkd.ablations.report.tables import Entry, Table
from dlkd.ablations.report.words import entries
from dlkd.ablations.report.words.numbers import number
from dlkd.text import plain


def ablation_html(said: str, tables: Sequence[Table]) -> str:
    """A paragraph, and the averages of each table in per cent, as HTML."""
    parts = [f"<p><b>Ablation</b> {escape(said)}</p>"]
    for table in tables:
        heads = "".join(f"<th>{escape(entries.label(metric))}</th>" for metric in table.metrics)
        lines = [
            f"<tr><th>{escape(plain(row.label))}</th>"
            + "".join(f"<td>{escape(_text(row.entries[metric]))}</td>" for metric in table.metrics)
            + "</tr>"
            for row in table.rows
        ]
        caption = f"<caption>{escape(plain(table.grid.title))}, per cent</caption>"
        parts.append(f"<table>{caption}<tr><th></th>{heads}</tr>{''.join(lines)}</table>")
    return "".join(parts)


def _text(entry: Entry) -> str:
    if math.isnan(entry.mean):
        return plain(entries.absent(entry))
    return " ".join(filter(None, [number(entry.mean), entries.partial(entry)]))
