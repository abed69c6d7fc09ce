"""What the page and its files say of predictions and of defaults, made of what was counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.report import format, tables
from harness.report.analysis.details import Default
from harness.report.analysis.predictions import Predicted
from harness.report.analysis.results import SETTING
from harness.report.analysis.stats import exact_ties
from harness.report.analysis.tuning import Tuning

CLASSES = 20
"""Classes that a matrix or a table of the page has, at most."""

PAIRS = 12
"""Kinds of mistake that are listed where there are more classes than a matrix can show."""


def files(tuned: Tuning, predicted: Sequence[Predicted], table: pd.DataFrame) -> dict[str, str]:
    """Tables of tuning in every format, and those of predictions as CSV, by file name."""
    found: dict[str, str] = {}
    for name, rows in tuned.numbers.items():
        found[f"{name}.csv"] = _csv(rows)
        found[f"{name}.md"] = tables.markdown(tuned.shown[name])
        found[f"{name}.tex"] = tables.latex(tuned.shown[name])
    places = table.drop_duplicates("setting")[["setting", *SETTING]]
    for name in ("by_class", "confused") if predicted else ():
        parts = [
            getattr(p, name)
            .assign(setting=p.setting, label=p.label)
            .set_index(["setting", "label"])
            for p in predicted
        ]
        merged = places.merge(pd.concat(parts).reset_index(), on="setting")
        found[f"{name}.csv"] = _csv(merged.drop(columns="setting"))
    return found


def _csv(rows: pd.DataFrame) -> str:
    return rows.to_csv(index=False, lineterminator="\n")


def predictions(predicted: Sequence[Predicted]) -> list[dict[str, Any]]:
    """For each place, its classes as a table, and for each strategy what it confuses."""
    found = []
    for setting in dict.fromkeys(p.setting for p in predicted):
        mine = [p for p in predicted if p.setting == setting]
        found.append(
            {
                "place": mine[0].place,
                "classes": len(mine[0].classes),
                "by_class": _by_class(mine),
                "confusions": [_confusion(p) for p in mine],
            }
        )
    return found


def _by_class(mine: Sequence[Predicted]) -> pd.DataFrame:
    """A row a class and strategy; of many classes, those with the lowest mean recall."""
    rows = pd.concat(
        [p.by_class.assign(strategy=p.label, place=range(len(p.classes))) for p in mine]
    )
    recall = rows.groupby("place")["recall"].mean()
    shown = recall.index[np.argsort(exact_ties(recall), kind="stable")][:CLASSES]
    rows = rows[rows["place"].isin(shown)].sort_values("place", kind="stable")
    return pd.DataFrame(
        {
            "class": rows["class"],
            "strategy": rows["strategy"],
            "examples": rows["examples"].map(format.integer),
            "precision (%)": rows["precision"].map(format.percent),
            "recall (%)": rows["recall"].map(format.percent),
            "F1 (%)": rows["f1"].map(format.percent),
        }
    )


def _confusion(predicted: Predicted) -> dict[str, Any]:
    """A matrix of percentages with a shade for each, or the most frequent mistakes."""
    found: dict[str, Any] = {"label": predicted.label, "matrix": None, "pairs": None}
    if len(predicted.classes) > CLASSES:
        pairs = predicted.confused.head(PAIRS)
        found["pairs"] = pd.DataFrame(
            {
                "true class": pairs["true"],
                "taken for": pairs["predicted"],
                "examples": pairs["examples"].map(format.integer),
                "of the class (%)": pairs["share"].map(format.percent),
            }
        )
        return found
    shares = predicted.confusion / np.maximum(predicted.confusion.sum(1, keepdims=True), 1)
    # The root makes rare mistakes visible beside the many that are right.
    found["matrix"] = [
        (name, [(f"{100 * share:.0f}", f"{share**0.5:.2f}") if share else None for share in row])
        for name, row in zip(predicted.classes, shares, strict=True)
    ]
    return found


def defaults(found: Sequence[Default]) -> pd.DataFrame:
    """A row for each part of the suite: everything it was set to, or a part at a time."""
    rows: dict[tuple[str, str], list[str]] = {}
    for default in found:
        text = f"{default.setting} = {format.listing(default.values, 'or')}"
        rows.setdefault((default.part, default.name), []).append(text)
    return pd.DataFrame(
        [(part, name, ", ".join(texts)) for (part, name), texts in rows.items()],
        columns=["part", "name", "settings"],
    )


def machines(facts: Sequence[Any]) -> list[str]:
    """What differs between the machines that cells ran on: ``host: a (3 cells), b (5 cells)``."""
    found = []
    for fact in facts:
        if fact.warns and fact.of_machine:
            values: Mapping[str, int] = fact.values
            told = [f"{value} ({format.plural(n, 'cell')})" for value, n in values.items()]
            more = f" and {len(told) - 4} more" if len(told) > 4 else ""
            found.append(f"{fact.name}: {', '.join(told[:4])}{more}")
    return found
