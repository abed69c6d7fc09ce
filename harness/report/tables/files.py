"""Render a report's tables as files, in every format.

Markdown and LaTeX show them as the page does; CSV holds the plain numbers, a row an observation, so
that a program needn't take text apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.record.table import to_csv, typed
from harness.report.analysis.predictions import Predicted
from harness.report.analysis.problems import OverProblems, Ranking
from harness.report.analysis.report import Report
from harness.report.analysis.results import COUNTS, METRICS, SECONDS, SETTING, own_tests
from harness.report.analysis.tests import Decisions
from harness.report.analysis.winners import Standing
from harness.report.tables import text, tuning
from harness.report.tables.markup import latex, markdown

MEASURES = ["peak_device_bytes", "peak_host_bytes", "trainable_params", "total_params", "trials"]
"""What a strategy costs besides seconds."""

MOST_PAIRS = 10_000
"""Pairs that are shown as text, at most; CSV has all."""

PAIRS = ["left", "right", "difference", "sd", "n", "half", "p", "p_holm", "outcome"]
"""What a file has of each pair of strategies, besides the setting."""


def render_tables(report: Report) -> dict[str, str]:
    """Map every file's name to its content."""
    numbers, shown = _numbers(report), _shown(report)
    return {
        **{f"{name}.csv": _csv(rows) for name, rows in numbers.items()},
        "cells.csv": to_csv(typed(report.records)),
        **{f"{name}.md": markdown(rows) for name, rows in shown.items()},
        **{f"{name}.tex": latex(rows) for name, rows in shown.items()},
    }


def _shown(report: Report) -> dict[str, pd.DataFrame]:
    """Make the tables for people, by name."""
    table, decisions = report.table, report.decisions
    found = {
        "results": text.results_table(report.strategies, table),
        "metrics": text.metrics_table(table),
        "cost": text.cost_table(own_tests(table)),
        "cells": text.cells_table(report.frame),
        "comparisons": text.pairwise_table(table, decisions.pairwise[:MOST_PAIRS]),
        "overall": text.problems_table([*decisions.gains, *decisions.leader]),
        "ranks": text.ranks_table(decisions.ranking, decisions.apart),
        "best": tuning.best_table(report.tuning.best),
        "tuned": tuning.chosen_table(report.tuning.chosen),
        "consumed": tuning.consumed_table(report.tuning.consumed),
    }
    return found | ({"claims": text.claims_table(report.claims)} if len(report.claims) else {})


def _numbers(report: Report) -> dict[str, pd.DataFrame]:
    """Make the tables for programs, by name."""
    table, decisions, tuned = report.table, report.decisions, report.tuning
    group = [*SETTING, "label", "strategy", "oracle", "planned", "ok", "gap", "reasons"]
    accuracies = ["accuracy", "accuracy_sd", "accuracy_half", "accuracy_low", "accuracy_high"]
    accuracies += ["interval", "gain", "gain_half", "gain_p", "gain_outcome"]
    places = table.drop_duplicates("setting")[["setting", *SETTING]]
    pairs = decisions.pairwise[["setting", *PAIRS]]
    found = {
        "results": table[[*group, *accuracies]],
        "metrics": table[[*group, "accuracy", *METRICS]],
        "cost": own_tests(table)[[*group, *SECONDS, "cached", *MEASURES, *COUNTS, "trials_failed"]],
        "comparisons": pairs.merge(places, on="setting").drop(columns="setting"),
        "overall": pd.DataFrame(
            [*decisions.gains, *decisions.leader],
            columns=[each.name for each in dataclasses.fields(OverProblems)],
        ),
        "ranks": average_ranks(decisions.ranking),
        "decisions": _decisions(decisions, places),
    }
    if len(report.claims):
        found["claims"] = report.claims.drop(columns="facet")
    for name, rows in (("best", tuned.best), ("tuned", tuned.chosen), ("consumed", tuned.consumed)):
        found[name] = rows.drop(columns=["setting", "facet"])
    return found | (_of_predictions(report.predicted, places) if report.predicted else {})


def _of_predictions(
    predicted: Sequence[Predicted], places: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    found = {}
    for name in ("by_class", "confused"):
        parts = [
            getattr(p, name)
            .assign(setting=p.setting, label=p.label)
            .set_index(["setting", "label"])
            for p in predicted
        ]
        merged = places.merge(pd.concat(parts).reset_index(), on="setting")
        found[name] = merged.drop(columns="setting")
    return found


def average_ranks(found: Ranking) -> pd.DataFrame:
    """Make a row a strategy with its average rank, the best first."""
    if found.ranks is None:
        return pd.DataFrame({"strategy": [], "average rank": []})
    order = np.argsort(found.ranks, kind="stable")
    names = [found.labels[row] for row in order]
    return pd.DataFrame({"strategy": names, "average rank": found.ranks[order]})


def _decisions(decisions: Decisions, places: pd.DataFrame) -> pd.DataFrame:
    """Make a row a setting with what was decided of it, and a last one over all problems, whose
    ``problem`` is empty; lists are joined by commas. What a decision is by is ``tested_by``."""
    names = [field.name for field in dataclasses.fields(Standing) if field.name != "missing"]
    rows = [{name: getattr(each, name) for name in names} for each in decisions.standings]
    for row in rows:
        row["leader"] = next(iter(row.pop("ranking")), None)
    by = {"test": "tested_by"}
    found = pd.DataFrame(rows, columns=["setting", "leader", *names[2:]]).rename(columns=by)
    settings = places.merge(found, on="setting", how="left").drop(columns="setting")
    overall = pd.DataFrame([dataclasses.asdict(decisions.overall)]).rename(columns=by)
    both = pd.concat([settings.astype(object), overall.astype(object)], ignore_index=True)
    for name in ("tied", "untested"):
        both[name] = both[name].map(lambda labels: ", ".join(labels) if len(labels) else "")
    return both


def _csv(rows: pd.DataFrame) -> str:
    return rows.to_csv(index=False, lineterminator="\n")
