"""Lay out the first screen: where the results come from, and every decision in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from harness.report import format
from harness.report.analysis.advice import little_text, margin_text
from harness.report.analysis.details import UNRECORDED, Fact
from harness.report.analysis.report import Report
from harness.report.analysis.results import Group, by_setting, facet_and_shots
from harness.report.analysis.winners import Standing
from harness.shots import shots_text

PALE = 0.2
"""Accuracy below the leader at which a field of the table has no colour left."""

MARKS: Mapping[str, tuple[str, str]] = {
    "winner": ("★", "shown to be ahead of every other"),
    "leader": ("●", "the highest mean, not shown to be ahead of every other"),
    "tied": ("○", "not distinguishable from the highest mean"),
    "alone": (
        "◐",
        "probably behind it: shown by a test of the two alone, and not among all tests of this"
        " page, which is harder for what varies much by seed, however low it is",
    ),
    "untested": ("?", "could not be tested against the highest mean"),
    "behind": ("", "shown to be behind the highest mean"),
    "bound": ("", "a bound: it was shown the labels of the target"),
    "gap": ("", "a result is missing"),
}
"""For each decision on a strategy in a setting, its mark and what it means."""

OPEN = ("tied", "alone", "untested")
"""Decisions on those that are not shown to be behind the highest mean of a setting."""


@dataclass(frozen=True)
class Field:
    """A strategy in a setting: its accuracy in words, the decision, how near the leader it is, 1
    for the leader itself, and whether it is to take there."""

    text: str
    kind: str
    near: float
    take: bool = False

    @property
    def mark(self) -> str:
        return MARKS[self.kind][0]

    @property
    def meaning(self) -> str:
        return MARKS[self.kind][1]


@dataclass(frozen=True)
class Facet:
    """A problem, or a further test of one: its title, how many settings it has, and how many
    classes, where that is known."""

    title: str
    settings: int
    classes: str


@dataclass(frozen=True)
class Column:
    """A setting: its shots, whether it is the ``first`` of its problem, what to take there, its
    accuracy with a 95 % interval, what one cell of it takes, and what is decided."""

    shots: str
    first: bool
    take: str
    accuracy: str
    cost: str
    decided: str


@dataclass(frozen=True)
class Row:
    """A strategy: a field for each setting, its mean over all problems, and what a cell takes."""

    label: str
    fields: Sequence[Field | None]
    mean: str
    cost: str


def answer(report: Report) -> dict[str, Any]:
    """Give the template what it shows."""
    settings = by_setting(report.table)
    standings = {standing.setting: standing for standing in report.decisions.standings}
    rows = _rows(report, settings, standings)
    kinds = {field.kind for row in rows for field in row.fields if field is not None}
    return {
        "origin": origin(report.details.facts),
        "facets": _facets(settings, report.frame),
        "noted": report.noted,
        "columns": _columns(settings, standings),
        "pale": format.significant(100 * PALE, 2),
        "averaged": _seeds(report.table),
        "rows": rows,
        "summaries": [
            (row.label, report.plan.summaries[row.label])
            for row in rows
            if row.label in report.plan.summaries
        ],
        "within": margin_text(report.decisions.design),
        "little": little_text(),
        "marks": [
            (mark or "no mark", meaning)
            for kind, (mark, meaning) in MARKS.items()
            if kind in kinds and (mark or kind == "behind")
        ],
    }


def origin(facts: Sequence[Fact]) -> list[str]:
    """Tell in a line when, with which version and on what a suite was run: ``29 November 2026``,
    ``harness 0.1.0``, ``commit 63e4128c15``, ``cpu (AMD EPYC)``."""
    known = {f.name: [value for value in f.values if value != UNRECORDED] for f in facts}
    told = []
    if days := sorted(known.get("finished", [])):
        ends = dict.fromkeys(_day(day) for day in (days[0], days[-1]))
        told.append(" to ".join(ends))
    told += [f"harness {version}" for version in known.get("harness", [])[:1]]
    if commits := known.get("commit", []):
        told.append(f"commit {commits[0][:10]}" if len(commits) == 1 else f"{len(commits)} commits")
    if devices := known.get("device", []):
        cpus = known.get("cpu", [])
        on = f" ({format.listing(cpus)})" if devices == ["cpu"] and cpus else ""
        told.append(format.listing(devices) + on)
    return told


def _day(moment: str) -> str:
    day = datetime.fromisoformat(moment)
    return f"{day.day} {day:%B %Y}"


def _seeds(table: pd.DataFrame) -> str:
    """``3 seeds``, or ``3 to 5 seeds`` where some were added."""
    counts = table["planned"][table["gap"] == ""]
    few, many = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    return format.plural(many, "seed") if few == many else f"{few} to {many} seeds"


def _facets(settings: Mapping[int, Mapping[str, Group]], frame: pd.DataFrame) -> list[Facet]:
    """``frame`` tells the classes of a problem, which are those of its further tests too."""
    classes = frame.groupby("problem")["classes"].first()
    problems: dict[str, str] = {}
    counts = Counter[str]()
    for groups in settings.values():
        facet, _ = facet_and_shots(groups)
        problems[facet] = next(iter(groups.values()))["problem"]
        counts[facet] += 1
    facets = []
    for facet, problem in problems.items():
        known = classes[problem]
        told = "" if np.isnan(known) else format.plural(int(known), "class", "classes")
        facets.append(Facet(facet, counts[facet], told))
    return facets


def _rows(
    report: Report,
    settings: Mapping[int, Mapping[str, Group]],
    standings: Mapping[int, Standing],
) -> list[Row]:
    """Make a row for each strategy: the highest mean over all problems first, then those that have
    none."""
    ranking = report.decisions.ranking
    means = dict(zip(ranking.labels, ranking.means.tolist(), strict=True))
    seconds = report.table.groupby("label")["seconds_total"].mean()
    labels = sorted(report.strategies.labels, key=lambda label: -means.get(label, 0.0))
    return [
        Row(
            label=label,
            fields=[
                _field(label, groups[label], standings[setting]) if label in groups else None
                for setting, groups in settings.items()
            ],
            mean=format.percent(means.get(label, np.nan)),
            cost=format.duration(float(seconds.get(label, np.nan))),
        )
        for label in labels
    ]


def _field(label: str, group: Group, standing: Standing) -> Field:
    if group["gap"]:
        return Field(format.GAP, "gap", 0.0)
    if label not in standing.ranking:
        return Field(format.percent(group["accuracy"]), "bound", 0.0)
    behind = standing.mean - group["accuracy"]
    near = float(np.clip(1 - behind / PALE, 0, 1))
    take = label == standing.take
    return Field(format.percent(group["accuracy"]), _kind(label, standing), near, take)


def _kind(label: str, standing: Standing) -> str:
    if label == standing.winner:
        return "winner"
    if label == standing.ranking[0]:
        return "leader"
    if label in standing.alone:
        return "alone"
    return {"unclear": "tied", "untested": "untested", "better": "behind"}[standing.outcome(label)]


def _columns(
    settings: Mapping[int, Mapping[str, Group]], standings: Mapping[int, Standing]
) -> list[Column]:
    found, before = [], None
    for setting, groups in settings.items():
        facet, shots = facet_and_shots(groups)
        standing = standings[setting]
        taken = None if standing.take is None else groups[standing.take]
        column = Column(
            shots=shots_text(shots, "{}"),
            first=facet != before,
            take=standing.take or format.GAP,
            accuracy=format.GAP if taken is None else format.accuracy(taken),
            cost=format.GAP if taken is None else format.duration(taken["seconds_total"]),
            decided=_decided(standing),
        )
        found.append(column)
        before = facet
    return found


def _decided(standing: Standing) -> str:
    """Say what the tests decided in a setting, and if nothing, why: ``nearly`` where all others are
    probably behind."""
    if standing.winner is not None:
        return "yes"
    if len(standing.ranking) < 2:
        return "nothing to compare"
    if not standing.tested:
        return "no: one seed"
    if standing.within_margin:
        return "equal within the margin"
    counts = Counter(_kind(label, standing) for label in standing.ranking)
    left = ", ".join(f"{counts[kind]}\u00a0{MARKS[kind][0]}" for kind in OPEN if counts[kind])
    if not left:  # pairs tell each of them apart, where the race for a winner has less to spend
        return "nearly"
    return f"{'nearly' if set(counts).isdisjoint({'tied', 'untested'}) else 'no'}: {left}"
