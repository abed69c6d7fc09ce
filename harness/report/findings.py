"""What was found, in plain sentences: nothing is said that the statistics don't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from harness.report import words
from harness.report.results import Group, Verdict, baseline, by_setting, excludes_zero, place

Groups = Mapping[str, Group]


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
    settings = by_setting(table)
    found = []
    for verdict in verdicts:
        groups = settings[verdict.setting]
        facet, shots = place(groups)
        sentences = [
            *_lead(verdict, groups),
            *_gain(verdict, groups, reference),
            *_bounds(groups),
            *_cost(verdict, groups),
            *_missing(verdict),
        ]
        found.append(Finding(f"{facet}, {words.shots_text(shots)}", sentences))
    return found


def overall(verdicts: Sequence[Verdict]) -> list[Markup]:
    """What holds over all settings, where there are several; only what intervals could judge."""
    judged = [verdict for verdict in verdicts if verdict.judged]
    if len(judged) < 2:
        return []
    total = len(judged)
    wins = Counter(verdict.winner for verdict in judged if verdict.winner)
    if wins:
        named = _and(_b(label) + f" in {count}" for label, count in wins.most_common())
        text = "In {} of {} comparisons one strategy is ahead of all others: {}."
        start = Markup(text).format(wins.total(), total, named)
    else:
        text = "In none of {} comparisons is one strategy ahead of all others."
        start = Markup(text).format(total)
    top = Counter(label for verdict in judged for label in (verdict.ranking[0], *verdict.tied))
    most = max(top.values())
    often = [label for label, count in top.items() if count == most]
    if len(often) > 3:
        return [start]
    text = "{} {} the best, or not distinguishable from the best, in {} of {}."
    verb = "is" if len(often) == 1 else "are each"
    return [start, Markup(text).format(_and(map(_b, often)), verb, most, total)]


def _lead(verdict: Verdict, groups: Groups) -> list[Markup]:
    if not verdict.ranking:
        return [Markup("No strategy has a complete result.")]
    first, *others = verdict.ranking
    score = _score(groups[first])
    if not others:
        return [Markup("Only {} has a complete result: {}.").format(_b(first), score)]
    if verdict.winner:
        text = "{} is ahead with {}: {} points more than {}, the next best."
        margin = words.signed_plus_minus(verdict.points, verdict.half).lstrip("+")
        return [Markup(text).format(_b(first), score, _unbroken(margin), _b(others[0]))]
    if not verdict.judged:
        text = "{} has the highest accuracy, {}, then {} with {}."
        second = _score(groups[others[0]])
        doubt = "A single seed can't tell whether that is more than luck: no winner is named."
        return [Markup(text).format(_b(first), score, _b(others[0]), second), Markup(doubt)]
    tied = _and(_b(label) + f" ({_score(groups[label])})" for label in verdict.tied)
    text = "No winner: {} has the highest mean, {}, but is not distinguishable from {}."
    sentences = [Markup(text).format(_b(first), score, tied)]
    if behind := [label for label in others if label not in verdict.tied]:
        sentences.append(Markup("It is ahead of {}.").format(_and(map(_b, behind))))
    return sentences


def _gain(verdict: Verdict, groups: Groups, reference: str | None) -> list[Markup]:
    """What transfer is worth: strategies that gain over the baseline, lose, or do neither."""
    others = [label for label in verdict.ranking if label != reference]
    if reference is None or not others:
        return []
    if reference not in verdict.ranking:
        text = "{} has no complete result here: no gain over it is known."
        return [Markup(text).format(_b(reference))]
    sorts: dict[str, list[Markup]] = {
        "Gain over {}, in points: {}.": [],
        '<strong class="bad">Worse than {}</strong>, in points: {}.': [],
        "Not distinguishable from {}, in points: {}.": [],
        "Difference from {} in points, which one seed can't test: {}.": [],
    }
    up, down, unclear, untested = sorts.values()
    for label in others:
        points, half = groups[label]["gain"], groups[label]["gain_half"]
        told = _b(label) + " " + _unbroken(words.signed_plus_minus(points, half))
        if excludes_zero(points, half):
            (up if points > 0 else down).append(told)
        else:
            (untested if pd.isna(half) else unclear).append(told)
    return [Markup(text).format(_b(reference), _and(some)) for text, some in sorts.items() if some]


def _bounds(groups: Groups) -> list[Markup]:
    """What labels of the target would have brought, and whether they were used to select."""
    bounds = [
        _b(label) + f" ({_score(group)})"
        for label, group in groups.items()
        if group["oracle"] == "labels" and not group["gap"]
    ]
    sentences = []
    if bounds:
        text = "With the target's labels to learn from, as a bound: {}."
        sentences.append(Markup(text).format(_and(bounds)))
    if any(group["oracle"] == "selection" for group in groups.values()):
        text = "<strong>Oracle:</strong> the target's labels selected the hyperparameters."
        sentences.append(Markup(text))
    return sentences


def _cost(verdict: Verdict, groups: Groups) -> list[Markup]:
    seconds = {label: groups[label]["seconds_total"] for label in verdict.ranking}
    known = {label: value for label, value in seconds.items() if not pd.isna(value)}
    if len(known) < 2:
        return []
    quick, slow = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    text = "One cell took from {} ({}) to {} ({}), tuning included."
    ends = (words.duration(known[quick]), _b(quick), words.duration(known[slow]), _b(slow))
    return [Markup(text).format(*ends)]


def _missing(verdict: Verdict) -> list[Markup]:
    if not verdict.missing:
        return []
    lost = _and(_b(label) + f" ({gap})" for label, gap in verdict.missing)
    return [Markup("Not judged, because a result is missing: {}.").format(lost)]


def _score(group: Group) -> str:
    return _unbroken(f"{words.plus_minus(group['accuracy'], group['accuracy_half'])} %")


def _unbroken(text: str) -> str:
    """With spaces that no line ends at."""
    return text.replace(" ", "\u00a0")


def _b(label: str) -> Markup:
    return Markup("<b>{}</b>").format(label)


def _and(items: Iterable[Markup]) -> Markup:
    *head, tail = list(items)
    return Markup("{} and {}").format(Markup(", ").join(head), tail) if head else tail
