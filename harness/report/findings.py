"""What was found, in plain sentences: nothing is said that the statistics don't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from harness.report import words
from harness.report.stats import Verdict, baseline, excludes_zero


@dataclass(frozen=True)
class Finding:
    """What was found in one setting."""

    title: str
    sentences: list[Markup]


def findings(
    frame: pd.DataFrame, table: pd.DataFrame, verdicts: Sequence[Verdict]
) -> list[Finding]:
    """For each setting: who is ahead, what transfer brings, what it costs, what is missing."""
    reference = baseline(frame)
    settings = {setting: rows.set_index("label") for setting, rows in table.groupby("setting")}
    found = []
    for verdict in verdicts:
        rows = settings[verdict.setting]
        title = f"{rows['facet'].iloc[0]}, {words.shots_text(rows['shots'].iloc[0])}"
        sentences = [*_lead(verdict, rows), *_gain(verdict, rows, reference), *_cost(verdict, rows)]
        if verdict.missing:
            lost = _and(_b(label) + f" ({gap})" for label, gap in verdict.missing)
            sentences.append(Markup("Not judged, because a result is missing: {}.").format(lost))
        found.append(Finding(title, sentences))
    return found


def overall(verdicts: Sequence[Verdict]) -> list[Markup]:
    """What holds over all settings, where there are several; only what intervals could judge."""
    judged = [verdict for verdict in verdicts if verdict.judged]
    if len(judged) < 2:
        return []
    total = len(judged)
    wins = Counter(verdict.winner for verdict in judged if verdict.winner)
    top = Counter(label for verdict in judged for label in (verdict.ranking[0], *verdict.tied))
    if wins:
        named = _and(_b(label) + f" in {count}" for label, count in wins.most_common())
        start = Markup("In {} of {} comparisons one strategy is ahead of all others: {}.").format(
            wins.total(), total, named
        )
    else:
        start = Markup("In none of {} comparisons is one strategy ahead of all others.").format(
            total
        )
    most = max(top.values())
    often = [label for label, count in top.items() if count == most]
    if len(often) > 3:
        return [start]
    first = Markup("{} {} the best, or not distinguishable from the best, in {} of {}.").format(
        _and(_b(label) for label in often), "is" if len(often) == 1 else "are", most, total
    )
    return [start, first]


def _lead(verdict: Verdict, rows: pd.DataFrame) -> list[Markup]:
    if not verdict.ranking:
        return [Markup("No strategy has a complete result.")]
    first, *others = verdict.ranking
    score = _score(rows, first)
    if not others:
        return [Markup("Only {} has a complete result: {}.").format(_b(first), score)]
    if verdict.winner:
        text = "{} is ahead with {}: {} points more than {}, the next best."
        margin = words.signed_plus_minus(verdict.points, verdict.half).lstrip("+")
        return [Markup(text).format(_b(first), score, _unbroken(margin), _b(others[0]))]
    if not verdict.judged:
        text = "{} has the highest accuracy, {}, then {} with {}."
        names = (_b(first), score, _b(others[0]), _score(rows, others[0]))
        doubt = (
            "With a single seed nothing tells whether that is more than luck: no winner is named."
        )
        return [Markup(text).format(*names), Markup(doubt)]
    tied = _and(_b(label) + f" ({_score(rows, label)})" for label in verdict.tied)
    text = "No winner: {} has the highest mean, {}, but is not distinguishable from {}."
    sentences = [Markup(text).format(_b(first), score, tied)]
    if behind := [label for label in others if label not in verdict.tied]:
        sentences.append(Markup("It is ahead of {}.").format(_and(map(_b, behind))))
    return sentences


def _gain(verdict: Verdict, rows: pd.DataFrame, reference: str | None) -> list[Markup]:
    """What transfer is worth: strategies that gain over the baseline, lose, or do neither."""
    others = [label for label in verdict.ranking if label != reference]
    if reference is None or not others:
        return []
    base = _b(reference)
    if reference not in verdict.ranking:
        return [Markup("{} has no complete result here: no gain over it is known.").format(base)]
    gains = rows.loc[others, ["gain", "gain_half"]].dropna(subset=["gain"])
    apart = excludes_zero(gains["gain"], gains["gain_half"])
    known = gains["gain_half"].notna()
    return [
        Markup(text).format(base, _and(_points(label, *row) for label, *row in some.itertuples()))
        for text, some in (
            ("Gain over {}, in points: {}.", gains[apart & (gains["gain"] > 0)]),
            ('<strong class="bad">Worse than {}</strong>, in points: {}.',
             gains[apart & (gains["gain"] < 0)]),
            ("Not distinguishable from {}: {}.", gains[known & ~apart]),
            ("Above or below {}, but not tested: {}.", gains[~known]),
        )
        if len(some)
    ]  # fmt: skip


def _cost(verdict: Verdict, rows: pd.DataFrame) -> list[Markup]:
    seconds = rows.loc[list(verdict.ranking), "seconds_total"].dropna()
    if len(seconds) < 2:
        return []
    quick, slow = str(seconds.idxmin()), str(seconds.idxmax())
    text = "One cell took from {} ({}) to {} ({}), tuning included."
    return [
        Markup(text).format(
            words.duration(seconds.min()), _b(quick), words.duration(seconds.max()), _b(slow)
        )
    ]


def _score(rows: pd.DataFrame, label: str) -> str:
    row: Any = rows.loc[label]
    return _unbroken(f"{words.plus_minus(row['accuracy'], row['accuracy_half'])} %")


def _points(label: str, points: float, half: float) -> Markup:
    return Markup("{} {}").format(_b(label), _unbroken(words.signed_plus_minus(points, half)))


def _unbroken(text: str) -> str:
    """With spaces that no line ends at."""
    return text.replace(" ", "\u00a0")


def _b(label: str) -> Markup:
    return Markup("<b>{}</b>").format(label)


def _and(items: Iterable[Markup]) -> Markup:
    *head, tail = list(items)
    return Markup("{} and {}").format(Markup(", ").join(head), tail) if head else tail
