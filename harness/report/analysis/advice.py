"""Say what to take, what it costs, and how to decide more: by the decisions, and no more than they
hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import pandas as pd
from markupsafe import Markup

from harness.record.command import Command
from harness.record.schema import Plan
from harness.report import format
from harness.report.analysis.design import MARGIN, Design
from harness.report.analysis.results import Group, by_setting, facet_and_shots
from harness.report.analysis.tests import MORE_SEEDS, Decisions, Overall
from harness.report.analysis.winners import LITTLE, Standing

Groups: TypeAlias = Mapping[int, Mapping[str, Group]]
"""Rows of the summary, by setting and label."""

FAILS = 0.5
"""What has less than so much of the highest mean's accuracy fails, if a test of the two alone tells
them apart."""


def advice(decisions: Decisions, table: pd.DataFrame) -> list[Markup]:
    """Tell over all problems what to take, in how many settings that is what to take there, and
    what is to take in some settings and fails in others; nothing where it could not be tested. A
    single setting is decided by its own tests.

    ``table``: the ``summary`` that the decisions were made on.
    """
    settings = len(decisions.standings)
    decided = decisions.standings[0] if settings == 1 else decisions.overall
    if decided.leader is None or decided.test == "none":
        return []
    chosen, why = _chosen(decided, decided.leader, decisions, table)
    every = format.every(settings)
    others = sum(standing.take != chosen for standing in decisions.standings)
    if settings == 1:
        take = "Recommended"
    elif not others:
        take = f"Recommended in {every} settings"
    else:
        where = "each" if others == settings else f"{others}"
        take = (
            f"What to take depends on the setting. One for {every}, although another is"
            f" recommended in {where} of them"
        )
    groups = by_setting(table)
    sentence = Markup("{}: {}{}").format(take, why, _most_lost(chosen, decisions, groups))
    return [sentence, *_failing(decisions, groups)]


def _most_lost(chosen: str, decisions: Decisions, groups: Groups) -> str:
    """Tell where one for all settings is farthest below the highest mean, if by over a margin."""
    lost = {
        standing.setting: standing.mean - groups[standing.setting][chosen]["accuracy"]
        for standing in decisions.standings
        if chosen in standing.ranking
    }
    most = max(lost, key=lambda setting: lost[setting])
    if lost[most] <= _margin(decisions.design):
        return ""
    where = format.setting_text(*facet_and_shots(groups[most]))
    return f" It loses most in {where}: {_below(lost[most])} below the highest mean."


def _failing(decisions: Decisions, groups: Groups) -> Iterator[Markup]:
    """Warn of what is to take in some settings and fails in others."""
    taken = Counter(standing.take for standing in decisions.standings)
    told = []
    for label, count in taken.most_common():
        fails = [
            f"{format.setting_text(*facet_and_shots(groups[standing.setting]))}"
            f" ({format.percent(value)} against {format.percent(standing.mean)}\u00a0%)"
            for standing in decisions.standings
            if label in standing.ranking[1:]
            and (standing.outcome(label) == "better" or label in standing.alone)
            and (value := groups[standing.setting][label]["accuracy"]) < FAILS * standing.mean
        ]
        if fails:
            text = "<b>{}</b>, recommended in {}, has less than half of the highest mean in {}"
            settings = format.plural(count, "setting")
            told.append(Markup(text).format(label, settings, format.listing(fails)))
    if told:
        yield Markup("Beware: {}.").format(Markup("; ").join(told))


def _chosen(
    decided: Overall | Standing, best: str, decisions: Decisions, table: pd.DataFrame
) -> tuple[str, Markup]:
    """What to take by what was ``decided``, and why, beginning with its name."""
    where = " over all problems" if isinstance(decided, Overall) else ""
    seconds = table.groupby("label")["seconds_total"].mean()
    cheap = decided.cheapest
    within = margin_text(decisions.design)
    means = dict(zip(decisions.ranking.labels, decisions.ranking.means, strict=True))
    cost = _cost(seconds[best])
    if decided.winner is not None:
        return best, Markup("<b>{}</b>, the winner{}{}.").format(best, where, cost)
    if cheap is not None and cheap != best and not pd.isna(seconds[best]):
        text = (
            "<b>{}</b>. It is {} below <b>{}</b>, the highest mean, from which no test tells it"
            " apart, and takes {} of its time: {} a run instead of {}."
        )
        times = _duration(seconds[cheap]), _duration(seconds[best])
        share = format.significant(100 * seconds[cheap] / seconds[best], 2) + "\u00a0%"
        below = _below(means[best] - means[cheap])
        return cheap, Markup(text).format(cheap, below, best, share, *times)
    if cheap is not None and cheap != best:
        text = (
            "<b>{}</b>. It is {} below <b>{}</b>, the highest mean, from which no test tells it"
            " apart, and takes {} a run."
        )
        below = _below(means[best] - means[cheap])
        return cheap, Markup(text).format(cheap, below, best, _duration(seconds[cheap]))
    text = (
        "<b>{}</b>, the highest mean{}{}; it is not shown to be ahead of all others, but what no"
        " test tells apart from it takes over {} of its time, or is over {} below it."
    )
    return best, Markup(text).format(best, where, cost, little_text(), within)


def _margin(design: Design) -> float:
    return MARGIN if design.margin is None else design.margin


def margin_text(design: Design) -> str:
    """By how much a cheaper strategy may be behind the best and still be named: ``1 point``."""
    margin = _margin(design)
    return f"{100 * margin:g} {'point' if margin == 0.01 else 'points'}"


def little_text() -> str:
    """How much of the leader's time a cheaper strategy takes at most: ``80 %``."""
    return f"{100 * LITTLE:g}\u00a0%"


def _cost(seconds: float) -> str:
    return "" if pd.isna(seconds) else f", at {_duration(seconds)} a run"


def _below(difference: float) -> str:
    """``0.1 points``, of a difference of accuracies."""
    return f"{100 * difference:.1f}\u00a0points"


def _duration(seconds: float) -> str:
    """A duration that no line breaks in."""
    return format.duration(seconds).replace(" ", "\u00a0")


def deciding_more(decisions: Decisions, table: pd.DataFrame, plan: Plan) -> list[Markup]:
    """Tell the command that would add seeds where a setting has no winner, and what it costs."""
    open_ = [
        one
        for one in decisions.standings
        if one.winner is None and not one.within_margin and len(one.ranking) > 1
    ]
    most = max(MORE_SEEDS)
    if not open_ or decisions.design.looks or not 0 < decisions.seeds < most:
        return []
    first = max(decisions.seeds, 2)
    seconds = table.set_index(["setting", "label"])["seconds_total"]
    each = [
        seconds[one.setting, label]
        for one in open_
        for label in (one.ranking[0], *one.tied, *one.untested)
    ]
    known = [cost for cost in each if not pd.isna(cost)]
    added = f"seeds={{ from = {first}, to = {most}, margin = 1.0 }}"
    text = (
        "{} no winner. To add seeds to {} alone, until one is named or all that are left are within"
        " 1 point, in at most {}, one cell at a time: <code>{}</code>"
    )
    have, those = ("has", "it") if len(open_) == 1 else ("have", "those")
    settings = f"{format.plural(len(open_), 'setting')} {have}"
    longest = format.duration(sum(known) * (most - decisions.seeds))
    command = (plan.command or Command(suite=plan.suite)).line(added)
    return [Markup(text).format(settings, those, longest, command)]
