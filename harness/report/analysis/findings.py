"""Put decisions into plain sentences, which say nothing that the tests don't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from harness.record.elsewhere import ELSEWHERE
from harness.report import format
from harness.report.analysis import stats
from harness.report.analysis.advice import advice
from harness.report.analysis.crossovers import crossovers
from harness.report.analysis.problems import Ranking
from harness.report.analysis.results import Group, by_setting, facet_and_shots, own_tests
from harness.report.analysis.stats import Models
from harness.report.analysis.tests import MORE_SEEDS, Decisions
from harness.report.analysis.winners import Standing

Groups = Mapping[str, Group]

MOST_NAMED = 6
"""Cases of negative transfer that are named, at most; the tables show all."""


@dataclass(frozen=True)
class Finding:
    """What was found in one setting."""

    title: str
    sentences: list[Markup]


@dataclass(frozen=True)
class Findings:
    """The sentences of a report: what to take, what was found of all settings together and of each,
    and average ranks."""

    advice: list[Markup]
    suite: list[Markup]
    settings: list[Finding]
    ranks: list[Markup]


def findings(table: pd.DataFrame, decisions: Decisions, baseline: str | None) -> Findings:
    """Put the decisions into sentences; ``table`` is the ``summary`` that they were made on."""
    return Findings(
        advice=advice(decisions, table),
        suite=[*suite_findings(table, decisions, baseline), *crossovers(table, decisions)],
        settings=setting_findings(table, decisions, baseline),
        ranks=rank_findings(decisions.ranking),
    )


def setting_findings(
    table: pd.DataFrame, decisions: Decisions, reference: str | None
) -> list[Finding]:
    """Tell for each setting who is ahead, what transfer brings and costs, and what is missing."""
    settings = by_setting(table)
    found = []
    for standing in decisions.standings:
        groups = settings[standing.setting]
        sentences = [
            *_lead(standing, groups),
            *_models(standing, decisions.models.get(standing.setting)),
            *_gain(standing, groups, reference),
            *_bounds(groups),
            *_cost(standing, groups),
            *_missing(standing),
        ]
        found.append(Finding(format.setting_text(*facet_and_shots(groups)), sentences))
    return found


def suite_findings(
    table: pd.DataFrame, decisions: Decisions, reference: str | None
) -> list[Markup]:
    """Tell what holds over all settings; only what could be tested."""
    tested = [standing for standing in decisions.standings if standing.tested]
    if not tested:
        return []
    sentences = [*_over_all(decisions), *_wins(tested)] if len(tested) > 1 else []
    return [
        *sentences,
        *_harm(table, reference),
        *_power(decisions, len(tested)),
        *_spared(table, decisions),
    ]


def _over_all(decisions: Decisions) -> list[Markup]:
    """Tell who has the highest mean over all problems, and whom it is told apart from."""
    rows, ranking, overall = decisions.leader, decisions.ranking, decisions.overall
    if all(row.outcome == "untested" for row in rows):
        return []
    first, settings = rows[0].left, max(row.settings for row in rows)
    same = any(standing.examples > 0 for standing in decisions.standings)
    where = Markup("Over {} settings together{}, ").format(
        format.every(settings), ", on these test examples" if same else ""
    )
    if overall.winner is not None:
        text = "{}{} has the highest mean accuracy, and is ahead of every other strategy{}."
        whole = " that is complete" if ranking.left_out else ""
        return [Markup(text).format(where, _b(first), whole)]
    means = dict(zip(ranking.labels, ranking.means, strict=True))
    equal = [row.right for row in rows if means[row.right] == means[first]]
    found: dict[str, list[Markup]] = {}
    for row in rows:
        if row.right not in equal:
            alone = row.outcome == "unclear" and row.p < stats.ALPHA
            found.setdefault("alone" if alone else row.outcome, []).append(_b(row.right))
    lead, *more = _standing(first, equal, "highest mean accuracy", found)
    return [where + lead, *more]


def _standing(
    first: str, equal: Sequence[str], mean: str, told: Mapping[str, Sequence[Markup]]
) -> list[Markup]:
    """Tell who has the highest ``mean``, and what the tests of it against others have ``told``.

    ``equal``: those with the very same mean, of which nothing more is said.
    """
    names, subject = _and(map(_b, [first, *equal])), _b(first) + " is" if equal else "is"
    sentence = Markup("{} {} the {}").format(names, "share" if equal else "has", mean)
    if unclear := told.get("unclear"):
        text = ", but {} not distinguishable from {}"
        sentence += Markup(text).format(subject, _and(unclear))
    sentences = [sentence + "."]
    if below := told.get("better"):
        text = "{} ahead of {}."
        sentences.append(Markup(text).format(subject if equal else "It is", _and(below)))
    if alone := told.get("alone"):
        text = "By a test of that pair alone, not after correction for all tests, {} ahead of {}."
        sentences.append(Markup(text).format(subject if equal else "it is", _and(alone)))
    if untested := told.get("untested"):
        sentences.append(Markup("Not tested against {}: {}.").format(_b(first), _and(untested)))
    return sentences


def _wins(tested: Sequence[Standing]) -> list[Markup]:
    total = len(tested)
    wins = Counter(standing.winner for standing in tested if standing.winner)
    if not wins:
        text = "Of {} single settings, none has a winner that is ahead of all others."
        return [Markup(text).format(total)]
    text = "Of {} single settings, {} a winner that is ahead of all others: {}."
    if wins.total() == 1:
        return [Markup(text).format(total, "1 has", _b(next(iter(wins))))]
    named = _and(_b(label) + f" in {count}" for label, count in wins.most_common())
    have = f"{wins.total()} have"
    return [Markup(text).format(total, have, named)]


def _harm(table: pd.DataFrame, reference: str | None) -> list[Markup]:
    """Tell of negative transfer: where a strategy is worse than the baseline, or that none is."""
    told = {setting: groups.values() for setting, groups in by_setting(table).items()}
    gains = [
        group
        for groups in told.values()
        for group in groups
        if group["gain_outcome"] in ("better", "worse", "unclear")
    ]
    if reference is None or not gains:
        return []
    hurt = [
        _b(group["label"])
        + f" on {format.setting_text(group['facet'], group['shots'])} ("
        + _unbroken(format.signed_plus_minus(group["gain"], group["gain_half"]))
        + " points)"
        for group in gains
        if group["gain_outcome"] == "worse"
    ]
    compared = format.plural(len(gains), "comparison")
    helped = sum(group["gain_outcome"] == "better" for group in gains)
    helps = f"It is shown to help in {helped or 'none'}."
    if not hurt:
        text = "Transfer is shown to hurt in none of {} with {}. {}"
        return [Markup(text).format(compared, _b(reference), helps)]
    text = '<strong class="bad">Transfer hurts</strong> in {} of {} with {}: {}. {}'
    more = [Markup("{} more").format(len(hurt) - MOST_NAMED)] if len(hurt) > MOST_NAMED else []
    listed = _and([*hurt[:MOST_NAMED], *more])
    return [Markup(text).format(len(hurt), compared, _b(reference), listed, helps)]


def _power(decisions: Decisions, settings: int) -> list[Markup]:
    """Tell what the suite can decide, and what more seeds would change."""
    seeds, needed = decisions.seeds, decisions.needed
    given = format.plural(seeds, "seed")
    if np.isnan(needed[seeds]):
        return []
    text = (
        f"With {given} and {format.plural(settings, 'setting')}, the best of a setting has to be"
        f" ahead by about {needed[seeds]:.1f} points to be named its winner"
        if needed[seeds] < 100
        else f"With {given} no lead within a setting is large enough to be told apart from luck"
    )
    more = next((n for n in MORE_SEEDS if n > seeds and needed[n] < 100), None)
    if more:
        text += f"; with {more} seeds it would be about {needed[more]:.1f}"
    return [Markup("{}.").format(text)]


def _spared(table: pd.DataFrame, decisions: Decisions) -> list[Markup]:
    """Tell how many cells a suite that adds seeds did without."""
    if not decisions.design.looks or decisions.waiting:
        return []
    cells = own_tests(table[table["strategy"] != ELSEWHERE])
    every = len(cells) * decisions.design.looks[-1].seeds
    text = "Seeds were added where they were needed: {:,} of {:,} cells were not needed."
    return [Markup(text).format(every - int(cells["planned"].sum()), every)]


def rank_findings(found: Ranking) -> list[Markup]:
    """Tell who has the best average rank, which is no test."""
    left_out = []
    if found.left_out:
        text = "Not ranked, because a result is missing: {}."
        left_out = [Markup(text).format(_and(map(_b, found.left_out)))]
    if len(found.labels) < 3:
        text = "Average ranks are for three or more strategies that are complete everywhere."
        return [Markup(text), *left_out]
    if found.ranks is None:
        text = "Average ranks are for {} problems or more, and this suite has {}."
        return [Markup(text).format(stats.PROBLEMS_FOR_RANKS, found.problems), *left_out]
    average = found.ranks
    best = [_b(found.labels[place]) for place in np.flatnonzero(average == average.min())]
    text = "{} {} the best average rank, {:.2f}. Ranks describe; the tests above decide."
    sentence = Markup(text).format(_and(best), "has" if len(best) == 1 else "share", average.min())
    return [sentence, *left_out]


def _lead(standing: Standing, groups: Groups) -> list[Markup]:
    if not standing.ranking:
        return [Markup("No strategy has a complete result.")]
    first, *others = standing.ranking
    score = _score(groups[first])
    if not others:
        return [Markup("Only {} has a complete result: {}.").format(_b(first), score)]
    where = _where(standing)
    if standing.winner:
        text = "{} is ahead{} with {}: {} points more than {}, the next best."
        margin = format.signed_plus_minus(standing.points, standing.half).lstrip("+")
        given = (_b(first), where, score, _unbroken(margin), _b(others[0]))
        return [Markup(text).format(*given)]
    means = {label: groups[label]["accuracy"] for label in standing.ranking}
    equal = [label for label in others if means[label] == means[first]]
    if not standing.tested:
        if equal:
            text = "{} share the highest accuracy, {}: a single seed names no winner."
            return [Markup(text).format(_and(map(_b, [first, *equal])), score)]
        text = "{} has the highest accuracy, {}, then {} with {}."
        second = _score(groups[others[0]])
        doubt = "A single seed can't tell whether that is more than luck: no winner is named."
        return [Markup(text).format(_b(first), score, _b(others[0]), second), Markup(doubt)]
    told: dict[str, list[Markup]] = {}
    for label in others:
        if label not in equal:
            named = _b(label) + f" ({_score(groups[label])})"
            kind = "alone" if label in standing.alone else standing.outcome(label)
            told.setdefault(kind, []).append(named)
    mean = f"highest mean, {_unbroken(format.percent(means[first]) + ' %') if equal else score}"
    lead, *more = _standing(first, equal, mean, told)
    return [Markup("No winner{}: ").format(where) + lead, *more, *_settled(standing)]


def _where(standing: Standing) -> Markup:
    """Tell that the verdict is on these test examples, where all seeds have the same."""
    if np.isnan(standing.examples):
        return Markup("")
    return Markup(" on these {:,.0f} test examples").format(standing.examples)


def _settled(standing: Standing) -> list[Markup]:
    """Tell that no more seeds were added, as all that are left are close enough."""
    if not standing.within_margin:
        return []
    text = "Those not told apart are within the margin that the suite asks for of {}."
    return [Markup(text).format(_b(standing.ranking[0]))]


def _models(standing: Standing, tested: Models | None) -> list[Markup]:
    """Tell of a single seed whether the first two trained models differ."""
    if tested is None:
        return []
    first, second = map(_b, standing.ranking[:2])
    test = "McNemar's exact test" if tested.over == "examples" else "paired t test"
    low, high = (format.signed(100 * end) for end in (tested.low, tested.high))
    numbers = _unbroken(f"{low} to {high}") + f" points over {tested.n:,} test {tested.over}"
    text = (
        "The two trained models {}: {} minus {} is {} (95 % interval; {}, {}). That speaks of"
        " these two trained models, not of the strategies under other seeds."
    )
    differ = "differ" if tested.differ else "are not distinguishable"
    given = (differ, first, second, numbers, test, _unbroken(format.p_text(tested.p)))
    return [Markup(text).format(*given)]


def _gain(standing: Standing, groups: Groups, reference: str | None) -> list[Markup]:
    """Tell which strategies gain over the baseline, lose, or do neither."""
    others = [label for label in standing.ranking if label != reference]
    if reference is None or not others:
        return []
    if reference not in standing.ranking:
        text = "{} has no complete result here: no gain over it is known."
        return [Markup(text).format(_b(reference))]
    texts = {
        "better": "Gain over {}, in points: {}.",
        "worse": '<strong class="bad">Worse than {}</strong>, in points: {}.',
        "gain": "Probably a gain over {}, by a test of each pair alone, in points: {}.",
        "loss": "Probably worse than {}, by a test of each pair alone, in points: {}.",
        "unclear": "Not distinguishable from {}, in points: {}.",
        "untested": "Difference from {} in points, untested: {}.",
    }
    told: dict[str, list[Markup]] = {kind: [] for kind in texts}
    for label in others:
        points, half = groups[label]["gain"], groups[label]["gain_half"]
        if kind := groups[label]["gain_outcome"]:
            if kind == "unclear" and groups[label]["gain_alone"] < stats.ALPHA:
                kind = "gain" if points > 0 else "loss"
            told[kind].append(_b(label) + " " + _unbroken(format.signed_plus_minus(points, half)))
    return [
        Markup(text).format(_b(reference), _and(told[kind]))
        for kind, text in texts.items()
        if told[kind]
    ]


def _bounds(groups: Groups) -> list[Markup]:
    """Tell what labels of the target would have brought, and whether they selected anything."""
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


def _cost(standing: Standing, groups: Groups) -> list[Markup]:
    seconds = {label: groups[label]["seconds_total"] for label in standing.ranking}
    known = {label: value for label, value in seconds.items() if not pd.isna(value)}
    if len(known) < 2:
        return []
    quick, slow = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    text = "One cell took from {} ({}) to {} ({}), tuning included."
    ends = (format.duration(known[quick]), _b(quick), format.duration(known[slow]), _b(slow))
    return [Markup(text).format(*ends)]


def _missing(standing: Standing) -> list[Markup]:
    if not standing.missing:
        return []
    lost = _and(_b(label) + f" ({gap})" for label, gap in standing.missing)
    return [Markup("Not judged, because a result is missing: {}.").format(lost)]


def _score(group: Group) -> str:
    return _unbroken(f"{format.plus_minus(group['accuracy'], group['accuracy_half'])} %")


def _unbroken(text: str) -> str:
    """Replace spaces by ones that no line breaks at."""
    return text.replace(" ", "\u00a0")


def _b(label: str) -> Markup:
    return Markup("<b>{}</b>").format(label)


def _and(items: Iterable[Markup]) -> Markup:
    *head, tail = list(items)
    return Markup("{} and {}").format(Markup(", ").join(head), tail) if head else tail
