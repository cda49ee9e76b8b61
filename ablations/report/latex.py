"""A report's tables as LaTeX, for booktabs."""

from __future__ import annotations

import math

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.content import Report, Section
from dlkd.ablations.report.parts import Part
from dlkd.ablations.report.tables import Entry, Table, TableRow
from dlkd.ablations.report.words import entries, numbers
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.report.words.parts import part_heading, part_note, trained_in
from dlkd.ablations.report.words.tuning import HEADING, tuning_heads, tuning_lines
from dlkd.files import file_name
from dlkd.text import plain

SIGNS = ("times", "div", "leq", "geq", "neq", "approx", "rightarrow", "leftarrow", "infty", "nabla", "surd")
GREEK = (
    *("alpha", "beta", "gamma", "delta", "varepsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu"),
    *("xi", "pi", "rho", "sigma", "tau", "upsilon", "varphi", "chi", "psi", "omega"),
    *("Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega"),
)
LATIN = "\u017f"
"""The last character of those that pdflatex has in its fonts without being asked."""
SPECIAL = {
    "\\": r"\textbackslash{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": r"\textendash{}",
    "−": "$-$",
    "±": r"$\pm$",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    # After the end of a row a bracket or an asterisk would be its argument.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    **{sign: f"$\\{name}$" for sign, name in zip("×÷≤≥≠≈→←∞∇√", SIGNS, strict=True)},
    **{letter: f"$\\{name}$" for letter, name in zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ", GREEK, strict=True)},
    "µ": r"$\mu$",
    "…": r"\dots{}",
    "—": r"\textemdash{}",
    "\u00a0": "~",
}


def latex(report: Report) -> str:
    """One table environment per grid, for \\input, with what the report says under it; one more for tuned rows."""
    parts = ["% Needs \\usepackage{booktabs,graphicx}. Written by `dlkd report`."]
    if report.comparable:
        parts.append(f"% {plain(report.comparable)}")
    tables = [
        text
        for section in report.sections
        for text in (_table(section), *_by_part(section), *_tuned(section.table.grid))
    ]
    others = "".join(sorted({character for table in tables for character in table if character > LATIN}))
    if others:
        parts.append(f"% Needs lualatex or xelatex and a font that has {others}; pdflatex does not know these.")
    return "\n\n".join([*parts, *tables]) + "\n"


def _table(section: Section) -> str:
    table = section.table
    each = 3 if table.grid.has_paper else 2
    groups, rules, names = [""], [], ["Row"]
    for i, metric in enumerate(table.metrics):
        groups.append(rf"\multicolumn{{{each}}}{{c}}{{{_escape(label(metric))}}}")
        rules.append(rf"\cmidrule(lr){{{2 + i * each}-{1 + (i + 1) * each}}}")
        names += ["paper"] * table.grid.has_paper + ["measured", r"$\Delta$"]
    body = [_row(table, row) for row in table.rows]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escape(entries.sentence(table.grid.title))} Per cent with 95\% intervals; $\Delta$: points "
            rf"against {entries.base(table)}.}}",
            rf"\label{{tab:{file_name(table.grid.name)}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * each * len(table.metrics)}}}",
            r"\toprule",
            " & ".join(groups) + r" \\",
            " ".join(rules),
            " & ".join(names) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            *_said(section),
            r"\end{table}",
        ]
    )


def _said(section: Section) -> list[str]:
    """The sentences of the other formats under the table, a paragraph each."""
    failed = [f"{section.failures_heading}: {'; '.join(section.failures)}."] if section.failures else []
    said = [*section.headline.lines, *section.notes, *failed]
    return [r"\par\smallskip\footnotesize\raggedright", *(rf"{_escape(text)}\par" for text in said)]


def _by_part(section: Section) -> list[str]:
    """A table per metric: groups and categories by rows of the grid."""
    found, grid = section.parts, section.table.grid
    tables: list[str] = []
    if found is None:
        return tables
    for metric, published in found.metrics.items():
        heads, names, body = [""], [_escape(label(metric))], [[_part_name(part)] for part in found.parts]
        for row in section.table.rows:
            both = row.label in published
            heads.append(rf"\multicolumn{{{1 + both}}}{{c}}{{\parbox[b]{{3cm}}{{\centering {_escape(row.label)}}}}}")
            names += ["paper"] * both + ["measured"]
            for i, line in enumerate(body):
                entry = found.entries[i, metric, row.label]
                line += [_escape(numbers.number(entry.paper))] * both
                line.append(_escape(", ".join([_plain(entry), *trained_in(found.seconds[i, row.label])])))
        lines = [" & ".join(line) + r" \\" for line in (heads, names, *body)]
        said = f"{entries.sentence(grid.title)} {part_heading(section.table)}: {label(metric)}. {part_note(found)}"
        rows = [*(r"\toprule", *lines[:2]), r"\midrule", *lines[2:], r"\bottomrule"]
        tables.append(_plain_table(said, f"{file_name(grid.name)}-{metric}", "r" * (len(names) - 1), rows))
    return tables


def _part_name(part: Part) -> str:
    return rf"\textbf{{{_escape(part.label)}}}" if part.average else _escape(part.label)


def _plain_table(caption: str, name: str, columns: str, rows: list[str]) -> str:
    """A table environment as wide as the text, whose first column holds names."""
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escape(caption)}}}",
            rf"\label{{tab:{name}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{l{columns}}}",
            *rows,
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def _tuned(grid: Grid) -> list[str]:
    """What each row was tuned to, as a table; nothing where no row was."""
    heads, lines = tuning_heads(grid), tuning_lines(grid)
    if not heads:
        return []
    rows = [" & ".join(map(_escape, line)) + r" \\" for line in (heads, *lines)]
    ruled = [r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
    caption = f"{HEADING}: {entries.sentence(grid.title)}"
    return [_plain_table(caption, f"{file_name(grid.name)}-tuned", "r" * (len(heads) - 1), ruled)]


def _row(table: Table, row: TableRow) -> str:
    cells = [_escape(row.label) + (" (untrained)" if row.untrained else "")]
    for metric in table.metrics:
        entry = row.entries[metric]
        if table.grid.has_paper:
            cells.append(_escape(numbers.number(entry.paper)))
        cells += [_measured(entry), entries.not_compared(row) or _difference(entry)]
    return " & ".join(cells) + r" \\"


def _measured(entry: Entry) -> str:
    return _escape(_plain(entry))


def _plain(entry: Entry) -> str:
    if reason := entries.absent(entry):
        return reason
    within = f" ({entries.interval(entry)})" if entries.interval(entry) else ""
    left_out = f", {entries.partial(entry)}" if entry.partial else ""
    return f"{numbers.number(entry.mean)}{within}{left_out}"


def _difference(entry: Entry) -> str:
    if math.isnan(entry.difference):
        return "--"
    inside = "; ".join(filter(None, [entries.difference_interval(entry), entries.verdict(entry)]))
    return _escape(numbers.signed(entry.difference) + (f" ({inside})" if inside else ""))


def _escape(text: str) -> str:
    """`text` on one line as LaTeX shows it; two hyphens stay two."""
    return "".join(SPECIAL.get(character, character) for character in plain(text)).replace("--", "-{}-")
