"""Give the page's explorer its data: a summary of each strategy in each setting, and each cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

import pandas as pd
from markupsafe import Markup

from harness.report import format
from harness.report.analysis import misclassified
from harness.report.analysis.details import finite
from harness.report.analysis.report import Report
from harness.report.analysis.results import SETTING
from harness.report.page.cells import EACH
from harness.report.plots import images
from harness.report.plots.render import Looks
from harness.shots import shots_text

FILTERS = {
    "label": "strategy",
    "problem": "problem",
    "test": "test",
    "shots": "shots",
    "backbone": "backbone",
}
"""Columns that tell groups apart, and what they are called; not every suite has further tests."""

METRICS = {
    "accuracy": "accuracy (%)",
    "balanced_accuracy": "balanced accuracy (%)",
    "f1_macro": "macro F1 (%)",
    "precision_macro": "macro precision (%)",
    "recall_macro": "macro recall (%)",
    "auroc_macro": "macro AUROC (%)",
    "log_loss": "log loss (nats)",
    "ece": "calibration error (%)",
}

COSTS = ["seconds_total", "seconds_fit", "peak_host_bytes", "peak_device_bytes", "trainable_params"]

MOST_BYTES = 800_000
"""Bytes of curves, of settings and of errors in the page, at most; all are in the files too."""

MOST_ERRORS = 20
"""Errors of a recommended cell in the page."""


def data(report: Report, looks: Looks) -> Markup:
    """Make the JSON that the page's script reads, which may stand in a ``<script>``."""
    frame, table = report.frame, report.table
    filters = [name for name in FILTERS if name != "test" or (table["test"] != "").any()]
    places = {(row.setting, row.label): place for place, row in enumerate(table.itertuples())}
    choices = {name: list(dict.fromkeys(table[name])) for name in filters}
    states = list(dict.fromkeys(frame["status"]))
    metrics = [name for name in METRICS if table[name].notna().any()]
    told = {
        "filters": [
            {"name": name, "title": FILTERS[name], "values": [*map(_value(name), values)]}
            for name, values in choices.items()
        ],
        "metrics": [{"name": name, "title": METRICS[name]} for name in metrics],
        "looks": [_look(looks, label) for label in choices["label"]],
        "groups": {
            **{name: table[name].map(choices[name].index).tolist() for name in filters},
            "place": [
                format.setting_text(*of) for of in zip(table["facet"], table["shots"], strict=True)
            ],
            "gap": table["gap"].tolist(),
            "verdict": _verdicts(report),
            "low": _numbers(table["accuracy_low"]),
            "high": _numbers(table["accuracy_high"]),
            **{name: _numbers(table[name]) for name in [*metrics, *COSTS]},
        },
        "cells": {
            "key": frame["cell"].tolist(),
            "group": [places[of] for of in zip(frame["setting"], frame["label"], strict=True)],
            "seed": frame["seed"].tolist(),
            "status": frame["status"].map(states.index).tolist(),
            **{name: _numbers(frame[name]) for name in [*metrics, *COSTS]},
        },
        "states": [[state, *format.STATES[state]] for state in states],
        "each": EACH,
        "curves": _fitting(_curves(report)),
        "settings": _fitting(dict(report.details.tuned)),
        "recommended": _recommended(report, places),
    }
    return embedded(told)


def embedded(content: Any) -> Markup:
    """JSON that no browser takes for a tag, whatever the names in it."""
    text = json.dumps(finite(content), separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _value(name: str) -> Any:
    return {"shots": shots_text, "test": lambda test: test or "its own"}.get(name, str)


def _numbers(column: pd.Series[float]) -> list[float | None]:
    """Five digits are more than anybody reads."""
    return [None if pd.isna(number) else float(f"{number:.5g}") for number in column]


def _look(looks: Looks, label: str) -> dict[str, Any]:
    look = looks[label]
    return {"colour": look.colour, "points": images.outline(look).round(2).tolist()}


def _verdicts(report: Report) -> list[str]:
    """Say for each group of the summary what the tests decided of it in its setting, where others
    are held against the highest mean."""
    standings = {standing.setting: standing for standing in report.decisions.standings}
    words = {"untested": "not tested", "unclear": "not distinguishable", "better": "behind"}
    found = []
    for setting, label in zip(report.table["setting"], report.table["label"], strict=True):
        standing = standings[setting]
        if label not in standing.ranking:
            found.append("")
        elif label == standing.ranking[0]:
            found.append("ahead of all" if standing.winner == label else "highest mean")
        elif label in standing.alone:
            found.append("probably behind")
        else:
            found.append(words[standing.outcome(label)])
    return found


def _curves(report: Report) -> dict[str, list[tuple[int, float]]]:
    curves = report.details.curves
    points = zip(curves["cell"], curves["step"], curves["value"], strict=True)
    return {
        cell: [(int(step), round(float(value), 4)) for _, step, value in mine]
        for cell, mine in groupby(points, itemgetter(0))
    }


def _fitting(by_cell: dict[str, Any]) -> dict[str, Any]:
    """Keep the first cells' that fit into the page."""
    kept, left = {}, MOST_BYTES
    for cell, content in by_cell.items():
        left -= len(json.dumps(content, default=str))
        if left < 0:
            break
        kept[cell] = content
    return kept


def _recommended(report: Report, places: Mapping[tuple[Any, Any], int]) -> list[dict[str, Any]]:
    """Tell the most confident errors in each setting: those that the first seed of the strategy to
    take made on the test of the setting. ``places`` are those of the groups, by setting and
    label."""
    show, frame = misclassified.may_show(report.plan), report.frame
    trained = [name for name in (*SETTING, "label") if name != "test"]
    firsts = frame[frame["counts"]].drop_duplicates(trained)
    cells = dict(zip(_rows(firsts[trained]), firsts["cell"], strict=True))
    groups, found, left = list(_rows(report.table[trained])), [], MOST_BYTES
    for standing in report.decisions.standings:
        if standing.take is None:
            continue
        place = places[standing.setting, standing.take]
        cell, test = cells[groups[place]], report.table["test"].iloc[place]
        errors = misclassified.read(report.directory, cell, show, test)
        if errors is None:
            continue
        found.append({"key": cell, "group": place, "errors": errors[:MOST_ERRORS]})
        left -= len(json.dumps(found[-1]))
        if left < 0:
            return found[:-1]
    return found


def _rows(table: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Rows as texts, of which equal ones are equal whatever the types of their columns."""
    return (tuple(map(str, row)) for row in table.itertuples(index=False))
