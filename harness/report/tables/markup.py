"""Render a table of texts as Markdown, as LaTeX and for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
from tabulate import tabulate

TEXT = {
    "problem",
    "shots",
    "strategy",
    "status",
    "cell",
    "against",
    "over",
    "test",
    "finding",
    "not told apart from",
    "settings",
    "claim",
    "outcome",
    "source",
    "hyperparameter",
    "default",
    "remark",
    "class",
    "true class",
    "taken for",
    "part",
    "name",
}
"""Columns that are set to the left; all others hold numbers and are set to the right."""


def lines(shown: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Iterate over the rows of a table. Whole columns give up their values much faster."""
    return zip(*(column.tolist() for _, column in shown.items()), strict=True)


def terminal(shown: pd.DataFrame) -> str:
    """Render for a terminal: long headings are broken where they have a comma or a colon."""
    headings = [re.sub(r"[,:] | (?=\()", "\n", str(name)) for name in shown.columns]
    align = ["left", *("right" for _ in headings[1:])]
    rows = shown.to_numpy().tolist()
    return tabulate(
        rows, headers=headings, tablefmt="simple", colalign=align, disable_numparse=True
    )


# ── Markdown ──────────────────────────────────────────────────────────────────────────────────

_MARKDOWN = re.compile(r"([\\`*|\[\]~])|(?<![^\W_])(_)|(_)(?![^\W_])")
"""What Markdown would read as a sign; an underscore inside a word is none."""


def markdown(shown: pd.DataFrame) -> str:
    """Render as a pipe table, which GitHub shows."""
    rules = [":---" if name in TEXT else "---:" for name in shown.columns]
    head = [markdown_escape(str(name)) for name in shown.columns]
    body = [[markdown_escape(str(value)) for value in row] for row in lines(shown)]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rules, *body])


def markdown_escape(text: str) -> str:
    """Escape text so that Markdown shows it as it is, on one line, and takes none for HTML."""
    escaped = _MARKDOWN.sub(lambda match: "\\" + match[0], " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# ── LaTeX ─────────────────────────────────────────────────────────────────────────────────────

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        # A [ after \\ would be read as its optional argument.
        "[": "{[}",
        "]": "{]}",
        "±": r"$\pm$",
        "≥": r"$\geq$",
        "→": r"$\rightarrow$",
        "−": "$-$",
        "–": "--",
        "†": r"$^\dagger$",
        "·": r"$\cdot$",
        "…": r"\ldots{}",
        "×": r"$\times$",
    }
)


def latex(shown: pd.DataFrame) -> str:
    """Render as a booktabs ``longtable``, which breaks over pages."""
    columns = "".join("l" if name in TEXT else "r" for name in shown.columns)
    head = " & ".join(latex_escape(str(name)) for name in shown.columns)
    body = [" & ".join(latex_escape(str(v)) for v in row) for row in lines(shown)]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,longtable}",
            rf"\begin{{longtable}}{{{columns}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            r"\endhead",
            r"\bottomrule",
            r"\endlastfoot",
            *(rf"{row} \\" for row in body),
            r"\end{longtable}",
            "",
        ]
    )


def latex_escape(text: str) -> str:
    """Escape text so that LaTeX prints it as it is, on one line."""
    return " ".join(text.split()).translate(_LATEX)
