"""Render a report as a page: one HTML file that loads nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup

from harness.record.elsewhere import ELSEWHERE
from harness.report import format
from harness.report.analysis import advice, claims, design, importance, stats
from harness.report.analysis.faults import Fault
from harness.report.analysis.report import Report
from harness.report.analysis.results import Group, by_setting, facet_and_shots, own_tests
from harness.report.page import answer, explorer, predictions, provenance
from harness.report.plots import images
from harness.report.plots.render import Rendering, Renderings
from harness.report.plots.style import Look
from harness.report.tables import markup, text, tuning
from harness.shots import shots_text

if TYPE_CHECKING:
    from harness.contract import Section

FOLDED_AFTER = 12
"""Findings, or cells of one fault, that are shown before the rest is folded away."""

LONG_TABLE = 200
"""Rows of a table that stands open; a longer one is folded."""


def render_page(report: Report, renderings: Renderings, sections: Sequence[Section] = ()) -> str:
    """Render the page, with plugins' sections at its end; wait until its plots are drawn."""
    found, table, details, tuned = report.findings, report.table, report.details, report.tuning
    told: dict[str, Any] = {
        **_lead(report),
        "overall": found.suite,
        "advice": found.advice,
        "deciding_more": advice.deciding_more(report.decisions, report.table, report.plan),
        **answer.answer(report),
        "luck": report.luck,
        "findings": found.settings,
        "results": _results(report),
        "explorer": explorer.data(report, renderings.looks),
        **_tests(report),
        "ranks": found.ranks,
        "diagram": renderings.diagram,
        "best": tuning.best_table(tuned.best),
        "as_run": tuned.as_run,
        "hyperparameters": tuning.chosen_table(tuned.chosen),
        "enough": importance.ENOUGH,
        "consumed": tuning.consumed_table(tuned.consumed),
        "predictions": predictions.chapter(report.predicted),
        "unread": report.unread,
        "defaults": provenance.defaults(details.defaults),
        "machines": provenance.machines(details.facts),
        "cost": text.cost_table(own_tests(table)),
        "claims": text.claims_table(report.claims),
        "claims_told": claims.summed_up(report.claims),
        "metrics": text.metrics_table(table),
        "cells": text.cells_table(report.frame),
        "faults": [_fault(fault) for fault in details.faults],
        "tuned": _chosen(report),
        "facts": details.facts,
        "budget": _budget(report.plan.config.get("budget", {})),
        "config": json.dumps(report.plan.config, indent=2, ensure_ascii=False, default=str),
        "sections": [(section.title, Markup(section.html)) for section in sections],
    }
    # Plots are waited for last of all.
    plots = {
        chapter: [_plot(one, renderings.looks) for one in drawn]
        for chapter, drawn in renderings.chapters.items()
    }
    return _template().render(
        plan=report.plan,
        plots=plots,
        linked=[one.plot for one in renderings.linked],
        long=LONG_TABLE,
        many=FOLDED_AFTER,
        **told,
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"TEXT": markup.TEXT, "zip": zip}
    environment.filters |= {
        "lines": markup.lines,
        "listing": format.listing,
        "plural": format.plural,
    }
    return environment.get_template("page.html.jinja")


def _lead(report: Report) -> dict[str, Any]:
    """Tell what was compared, and how many of its cells have which status."""
    frame = report.frame
    given = frame["strategy"] == ELSEWHERE
    counts = Counter(frame.loc[~given, "status"])
    return {
        "elsewhere": int(given.sum()),
        "strategies": report.strategies.labels,
        "problems": [str(problem) for problem in frame["problem"].unique()],
        "backbones": [str(backbone) for backbone in frame["backbone"].unique()],
        "seeds": frame["seed"].nunique(),
        "protocols": set(frame["protocol"]),
        "baseline": report.strategies.baseline,
        "bounds": report.strategies.bounds,
        "states": [
            (status, counts[status], format.STATES[status][0])
            for status in format.STATES
            if counts[status]
        ],
        "cached": bool(frame["cached"].ne("").any()),
        "leaks": report.leaks,
    }


def _tests(report: Report) -> dict[str, Any]:
    """Make the tables of tests."""
    decisions, settings = report.decisions, by_setting(report.table)
    found = decisions.ranking
    return {
        "gains": text.problems_table(decisions.gains).drop(columns="against"),
        "leads": found.leader,
        "leader": text.problems_table(decisions.leader).drop(columns="strategy"),
        "general": {
            "problems": found.problems,
            "needed": stats.PROBLEMS_IN_GENERAL,
        },
        "levels": {
            "winners": design.WINNERS,
            "overall": design.OVERALL,
            "pairs_overall": design.PAIRS_OVERALL,
            "pairs": design.PAIRS,
            "crossing": design.CROSSING,
            "flips": stats.FLIPS,
        },
        "looks": decisions.design.looks,
        "moderation": decisions.moderation,
        "flagged": [
            format.setting_text(*facet_and_shots(settings[setting]))
            for setting in decisions.flagged
        ],
        "ranking": text.ranks_table(found, decisions.apart),
        "comparisons": text.pairwise_table(report.table, decisions.pairwise[:LONG_TABLE]),
        "compared": len(decisions.pairwise),
    }


def _results(report: Report) -> list[dict[str, Any]]:
    """Make a table for each facet: a row a strategy, accuracy and gain for each shots."""
    winners = {standing.setting: standing.winner for standing in report.decisions.standings}
    facets: dict[str, list[tuple[int, Any, dict[str, Group]]]] = {}
    for setting, groups in by_setting(report.table).items():
        facet, shots = facet_and_shots(groups)
        facets.setdefault(facet, []).append((setting, shots, groups))
    nothing = (format.GAP, "gap", format.GAP, "")
    return [
        {
            "title": facet,
            "shots": [shots_text(shots) for _, shots, _ in columns],
            "rows": {
                label: [
                    _result(groups[label], winners[setting] == label)
                    if label in groups
                    else nothing
                    for setting, _, groups in columns
                ]
                for label in dict.fromkeys(label for *_, groups in columns for label in groups)
            },
            "intervals": {
                group["interval"]
                for *_, groups in columns
                for group in groups.values()
                if not group["gap"]
            },
        }
        for facet, columns in facets.items()
    ]


def _result(group: Group, wins: bool) -> tuple[str, str, str, str]:
    """Format accuracy and gain, each with its CSS class."""
    return (
        text.accuracy_text(group),
        "gap" if group["gap"] else "best" if wins else "",
        text.gain_text(group),
        {"better": "", "worse": "bad"}.get(group["gain_outcome"], "unsure"),
    )


def _plot(drawn: Rendering, looks: Mapping[str, Look]) -> dict[str, Any]:
    plot = drawn.plot
    return {
        "name": plot.name,
        "title": plot.title,
        "caption": plot.caption,
        "facets": [
            (svg, facet.note, facet.absent)
            for svg, facet in zip(drawn.facets(), plot.facets, strict=True)
        ],
        "legend": [
            (images.inline_mark(style), label)
            for label, style in looks.items()
            if label in plot.labels
        ],
        "total": plot.total,
    }


def _fault(fault: Fault) -> dict[str, Any]:
    meaning, remedy = format.STATES[fault.status]
    return {
        "status": fault.status,
        "meaning": meaning,
        "remedy": remedy,
        "reason": fault.reason,
        "where": fault.where,
        "traceback": fault.traceback,
        "cells": [(cell.title, log) for cell, log in fault.cells],
    }


def _chosen(report: Report) -> pd.DataFrame:
    """Make a row for each cell that chose a setting: what it chose."""
    frame = report.frame
    shown = text.cells_table(frame)[
        ["problem", "shots", "strategy", "seed", "validation accuracy (%)"]
    ]
    settings = frame["cell"].map(report.details.tuned)
    chosen = settings.notna()
    shown = shown[chosen]
    return shown.assign(settings=settings[chosen].map(format.settings_text))


def _budget(budget: Any) -> str:
    """Tell the suite's budget, or nothing if there is none."""
    if not isinstance(budget, Mapping):
        return ""
    parts = {
        "trials": "{} trials (settings of the hyperparameters)",
        "seconds": "{} seconds of tuning",
        "steps": "at most {} optimiser steps a trial",
        "batch_size": "batches of {}",
    }
    return ", ".join(told.format(budget[name]) for name, told in parts.items() if budget.get(name))
