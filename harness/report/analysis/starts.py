"""Find strategies that validate below the simpler ones that they start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from harness.report import format

MOST_NAMED = 6
"""Groups that are named, at most; the table of cells shows the validation of all."""


@dataclass(frozen=True)
class Below:
    """A strategy that validates below the one that it starts from, on the same seeds of a setting:
    mean validation accuracies, 0–1."""

    setting: str
    label: str
    start: str
    value: float
    start_value: float


def below_start(frame: pd.DataFrame) -> list[Below]:
    """Find the groups that validate below their start by as much as is shown, 0.1 points.

    ``frame`` is tidy. Groups with a gap, or without validation accuracy, are left out; of several
    labels of the strategy that is the start, its own name or else the first is taken.
    """
    whole = frame.groupby(["setting", "label"])["counts"].transform("all")
    cells = frame[whole & frame["accuracy_val"].notna()]
    settings = cells.groupby("setting", sort=False)
    return [found for _, own in settings for found in _in_setting(own)]


def _in_setting(cells: pd.DataFrame) -> Iterator[Below]:
    groups = {str(label): own for label, own in cells.groupby("label", sort=False)}
    for label, own in groups.items():
        start = _labelled(own["starts_from"].iloc[0], groups)
        if start is None:
            continue
        both = own.merge(groups[start], on="seed", suffixes=("", "_start"))
        value, start_value = both["accuracy_val"].mean(), both["accuracy_val_start"].mean()
        if round(100 * value, 1) < round(100 * start_value, 1):
            setting = format.setting_text(own["facet"].iloc[0], own["shots"].iloc[0])
            yield Below(setting, label, start, value, start_value)


def _labelled(strategy: object, groups: Mapping[str, pd.DataFrame]) -> str | None:
    """The label of a strategy in a setting."""
    labels = [label for label, own in groups.items() if own["strategy"].iloc[0] == strategy]
    return next((label for label in labels if label == strategy), next(iter(labels), None))


def sentences(found: Sequence[Below]) -> list[Markup]:
    """Tell each of them in a sentence."""
    text = (
        '<strong class="bad">Below its start:</strong> <b>{}</b> validates at {}\u00a0% on {}, and'
        " <b>{}</b>, which it starts from, at {}\u00a0%."
    )
    told = [
        Markup(text).format(
            one.label,
            format.percent(one.value),
            one.setting,
            one.start,
            format.percent(one.start_value),
        )
        for one in found[:MOST_NAMED]
    ]
    more = len(found) - MOST_NAMED
    if more > 0:
        text = "So do {} more, of which <code>harness export</code> tells."
        told.append(Markup(text).format(more))
    return told
