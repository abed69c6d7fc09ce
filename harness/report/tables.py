"""The report's tables, as text for people and as numbers for programs.

``results`` (a row a strategy, a column a problem and its shots), ``cost`` (a row a strategy in a
setting), ``cells`` (a row a cell), and what is tested: ``comparisons`` (a row every two strategies
in a setting), ``overall`` (two strategies over all problems) and ``ranks``. Markdown and LaTeX show
them as the page does; CSV holds the plain numbers, a row an observation, so that a program needn't
take text apart.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tabulate import tabulate

from harness.record.table import to_csv
from harness.report import format
from harness.report.analysis.problems import OverProblems, Ranking
from harness.report.analysis.results import (
    COUNTS,
    METRICS,
    PHASES,
    SECONDS,
    SETTING,
    Group,
    baseline,
    by_setting,
    labels,
    outcome,
    place,
)
from harness.report.analysis.tests import Decisions

MEASURES = ["peak_device_bytes", "peak_host_bytes", "trainable_params", "total_params", "trials"]
"""What a strategy costs besides seconds."""

MOST_PAIRS = 10_000
"""Comparisons that are shown as text, at most; CSV has all."""

METRIC_TITLES = {"auroc_macro": "AUROC macro", "ece": "calibration error"}
"""Metrics whose names are not their titles."""

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


def results_table(frame: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """A row a strategy; for each setting its accuracy in percent and its gain in points.

    A group with a gap shows the gap's words instead.
    """
    reference = baseline(frame)
    names = labels(frame)
    bounds = {*labels(frame[frame["oracle"] == "labels"])}
    shown = {"strategy": [f"{label} (bound)" if label in bounds else label for label in names]}
    for groups in by_setting(table).values():
        facet, shots = place(groups)
        title = f"{facet}, {format.shots_text(shots)}"
        rows = [groups.get(label) for label in names]
        shown[f"{title}: accuracy (%)"] = [
            accuracy_text(row) if row else format.GAP for row in rows
        ]
        if reference is not None:
            shown[f"{title}: gain over {reference} (points)"] = [
                gain_text(row) if row else format.GAP for row in rows
            ]
    return pd.DataFrame(shown)


def accuracy_text(group: Group) -> str:
    """``92.1 ± 0.8``, or the words for what is missing."""
    return group["gap"] or format.plus_minus(group["accuracy"], group["accuracy_half"])


def gain_text(group: Group) -> str:
    """``+2.3 ± 1.1``."""
    return format.signed_plus_minus(group["gain"], group["gain_half"])


def cost_table(table: pd.DataFrame) -> pd.DataFrame:
    """Seconds by phase, bytes and parameters; phases that were found ready carry a †.

    A group with a gap has the gap's words for a total.
    """
    shown = _where(table)
    seconds = table["seconds_total"].map(format.significant)
    shown["total (s)"] = seconds.where(table["gap"] == "", table["gap"])
    if table["cpu_seconds_total"].notna().any():
        shown["CPU time (s)"] = table["cpu_seconds_total"].map(format.significant)
    for phase, column in zip(PHASES, SECONDS, strict=True):
        if phase == "total":
            continue
        shown[f"{phase} (s)"] = [
            format.significant(seconds) + (" †" if phase in cached.split() else "")
            for seconds, cached in zip(table[column], table["cached"], strict=True)
        ]
    shown["peak on device"] = table["peak_device_bytes"].map(format.size)
    shown["peak on host"] = table["peak_host_bytes"].map(format.size)
    if table["joules"].notna().any():
        shown["energy (J)"] = table["joules"].map(format.significant)
    shown["to fit"] = table["flops_fit"].map(format.flops)
    shown["to predict one"] = table["flops_predict"].map(format.flops)
    shown["predicted a second, one by one"] = table["throughput_one"].map(format.rounded)
    shown["in bulk"] = table["throughput_many"].map(format.rounded)
    shown["trained parameters"] = table["trainable_params"].map(format.integer)
    shown["all parameters"] = table["total_params"].map(format.integer)
    shown["trials"] = table["trials"].map(format.integer)
    return shown


def metrics_table(table: pd.DataFrame) -> pd.DataFrame:
    """Every metric of a complete group, mean over seeds: fractions in percent, log loss in nats."""
    table = table[table["gap"] == ""]
    shown = _where(table)
    shown["accuracy (%)"] = table["accuracy"].map(format.percent)
    for name in METRICS:
        title = METRIC_TITLES.get(name, name.replace("_", " "))
        if name == "log_loss":
            shown[f"{title} (nats)"] = table[name].map(format.significant)
        else:
            shown[f"{title} (%)"] = table[name].map(format.percent)
    return shown


def cells_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a planned cell."""
    shown = _where(frame)
    shown["seed"] = frame["seed"].astype(str)
    shown["status"] = frame["status"]
    shown["test accuracy (%)"] = frame["accuracy"].map(format.percent)
    shown["validation accuracy (%)"] = frame["accuracy_val"].map(format.percent)
    shown["time (s)"] = frame["seconds_total"].map(format.significant)
    shown["peak on device"] = frame["peak_device_bytes"].map(format.size)
    shown["peak on host"] = frame["peak_host_bytes"].map(format.size)
    shown["trials"] = frame["trials"].map(format.integer)
    shown["cell"] = frame["cell"]
    return shown


def pairwise_table(table: pd.DataFrame, pairwise: pd.DataFrame) -> pd.DataFrame:
    """A row for every two strategies in a setting: how far apart they are, and whether surely."""
    first = table.drop_duplicates("setting").set_index("setting")
    points, half = 100 * pairwise["difference"], 100 * pairwise["half"]
    return pd.DataFrame(
        {
            "problem": pairwise["setting"].map(first["facet"]),
            "shots": pairwise["setting"].map(first["shots"]).map(format.shots_text),
            "strategy": pairwise["left"],
            "against": pairwise["right"],
            "difference (points)": _differences(points, half),
            "seeds": pairwise["n"].map(format.integer),
            "p": pairwise["p"].map(format.p_number),
            "p (Holm)": pairwise["p_holm"].map(format.p_number),
            "finding": [
                format.OUTCOMES[outcome(*row)]
                for row in zip(points, pairwise["p_holm"], strict=True)
            ],
        }
    )


def problems_table(rows: Sequence[OverProblems]) -> pd.DataFrame:
    """A row for every two strategies that are compared over all problems."""
    general = {}
    if any(not np.isnan(row.low) for row in rows):
        ends = [(format.signed(row.low), format.signed(row.high)) for row in rows]
        general["for problems like these"] = [" to ".join(dict.fromkeys(both)) for both in ends]
    return pd.DataFrame(
        {
            "strategy": [row.left for row in rows],
            "against": [row.right for row in rows],
            "difference (points)": [format.signed_plus_minus(row.points, row.half) for row in rows],
            "p (Holm)": [format.p_number(row.p_holm) for row in rows],
            "finding": [format.OUTCOMES[row.outcome] for row in rows],
            **general,
            "probability of improvement": [f"{row.probability:.2f}" for row in rows],
            "over": [
                f"{format.plural(row.problems, 'problem')},"
                f" {format.plural(row.settings, 'setting')}"
                for row in rows
            ],
            "test": [row.test for row in rows],
        }
    )


def ranks_table(found: Ranking, apart: NDArray[np.bool_]) -> pd.DataFrame:
    """A row a strategy, the best average rank first, and which others are not ``apart`` from it
    [k, k] by the tests over all problems; none where strategies could not be ranked."""
    shown: dict[str, list[str]] = {"strategy": [], "average rank": [], "not told apart from": []}
    if found.ranks is None:
        return pd.DataFrame(shown)
    average = found.ranks.average
    order = np.argsort(average, kind="stable")
    for row in order:
        alike = [found.labels[other] for other in order if other != row and not apart[row, other]]
        shown["strategy"].append(found.labels[row])
        shown["average rank"].append(f"{average[row]:.2f}")
        shown["not told apart from"].append(", ".join(alike) or format.GAP)
    return pd.DataFrame(shown)


def rank_tests(found: Ranking) -> pd.DataFrame:
    """A row a strategy with its average rank, Friedman's p and Nemenyi's against the first: numbers
    for who reports them, that nothing else in the report goes by."""
    if found.ranks is None:
        return pd.DataFrame({"strategy": [], "average rank": [], "p against the first": []})
    order = np.argsort(found.ranks.average, kind="stable")
    against = found.ranks.nemenyi[order[0], order]
    against[0] = np.nan
    return pd.DataFrame(
        {
            "strategy": [found.labels[row] for row in order],
            "average rank": found.ranks.average[order],
            "p against the first": against,
            "p of any difference": found.ranks.friedman,
        }
    )


def _differences(points: pd.Series[float], half: pd.Series[float]) -> list[str]:
    return [format.signed_plus_minus(*both) for both in zip(points, half, strict=True)]


def _where(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "problem": table["facet"],
            "shots": table["shots"].map(format.shots_text),
            "strategy": table["label"],
        }
    )


def files(
    frame: pd.DataFrame, table: pd.DataFrame, everything: pd.DataFrame, decisions: Decisions
) -> dict[str, str]:
    """Every table in every format, by file name; ``everything`` is ``Store.frame()`` itself."""
    group = [*SETTING, "label", "strategy", "oracle", "planned", "ok", "gap", "reasons"]
    accuracies = ["accuracy", "accuracy_sd", "accuracy_half", "interval"]
    accuracies += ["gain", "gain_half", "gain_p"]
    rows = [*decisions.gains, *decisions.leader]
    places = table.drop_duplicates("setting")[["setting", *SETTING]]
    numbers = {
        "results": table[[*group, *accuracies]],
        "metrics": table[[*group, "accuracy", *METRICS]],
        "cost": table[[*group, *SECONDS, "cached", *MEASURES, *COUNTS, "trials_failed"]],
        "comparisons": decisions.pairwise.merge(places, on="setting").drop(columns="setting"),
        "overall": pd.DataFrame(
            rows, columns=[each.name for each in dataclasses.fields(OverProblems)]
        ),
        "ranks": rank_tests(decisions.ranking),
    }
    shown = {
        "results": results_table(frame, table),
        "metrics": metrics_table(table),
        "cost": cost_table(table),
        "cells": cells_table(frame),
        "comparisons": pairwise_table(table, decisions.pairwise[:MOST_PAIRS]),
        "overall": problems_table(rows),
        "ranks": ranks_table(decisions.ranking, decisions.apart),
    }
    return {
        **{
            f"{name}.csv": rows.to_csv(index=False, lineterminator="\n")
            for name, rows in numbers.items()
        },
        "cells.csv": to_csv(everything),
        **{f"{name}.md": markdown(rows) for name, rows in shown.items()},
        **{f"{name}.tex": latex(rows) for name, rows in shown.items()},
    }


def lines(shown: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """The rows of a table. Columns of text give up their values much faster all at once."""
    return zip(*(column.tolist() for _, column in shown.items()), strict=True)


def terminal(shown: pd.DataFrame) -> str:
    """A table for a terminal: long headings are broken where they have a comma or a colon."""
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
    """A pipe table, as GitHub renders it."""
    rules = [":---" if name in TEXT else "---:" for name in shown.columns]
    head = [markdown_escape(str(name)) for name in shown.columns]
    body = [[markdown_escape(str(value)) for value in row] for row in lines(shown)]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rules, *body])


def markdown_escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line, with no HTML taken for such."""
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
    """A booktabs ``longtable``: it breaks over pages, so that no row is lost off the foot."""
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
    """Text that LaTeX prints as it is, on one line."""
    return " ".join(text.split()).translate(_LATEX)
