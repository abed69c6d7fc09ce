"""The report: one HTML page that needs nothing but itself, with its tables and plots as files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup

from harness.data.leakage import WORDS
from harness.record.durable import write_atomically
from harness.record.schema import Plan
from harness.record.store import Store
from harness.report import format, tables
from harness.report.analysis import importance, predictions, stats
from harness.report.analysis.details import Details, Fault, collect
from harness.report.analysis.findings import findings, rank_findings, suite_findings
from harness.report.analysis.results import (
    Group,
    baseline,
    by_setting,
    gain_outcome,
    labels,
    place,
    summary,
    tidy,
)
from harness.report.analysis.tests import Decisions, decide
from harness.report.analysis.tuning import tuning
from harness.report.page import chapters
from harness.report.plots import accuracy, images
from harness.report.plots.diagram import average_ranks, describe
from harness.report.plots.figure import Plot
from harness.report.plots.render import Files, Rendering, render
from harness.report.plots.style import Look, looks
from harness.report.workers import Submit, serial

if TYPE_CHECKING:
    from harness.contract import Section

FOLDED_AFTER = 12
"""Findings, or cells of one fault, that are shown before the rest is folded away."""

LONG_TABLE = 200
"""Rows of a table that stands open; a longer one is folded."""


def write_report(
    directory: Path,
    sections: Callable[[], Sequence[Section]] = tuple,
    known: tuple[pd.DataFrame, Details] | None = None,
    submit: Submit = serial,
) -> Path:
    """Write ``DIRECTORY/report/``: ``index.html``, ``tables/`` and ``plots/``.

    The same records give the same bytes.

    Args:
        sections: gives plugins' own sections, when plots are being drawn; their HTML is trusted.
        known: what :func:`collect` found, where the records have been read already.
        submit: who draws, and does what else can be done beside the rest.
    """
    store, target = Store(directory), directory / "report"
    plan = store.plan()
    everything, details = known or collect(store)
    frame = tidy(everything)
    table = summary(frame)
    look = looks(frame)

    def draw(*plots: Plot) -> list[Rendering]:
        return [Rendering.of(plot, look, submit) for plot in plots if plot.facets]

    tuned = tuning(frame, table, details, plan.config.get("budget") or {}, submit)
    drawn = {
        "results": draw(
            accuracy.by_shots(table), accuracy.by_seconds(table), accuracy.by_memory(table)
        ),
        "tuning": draw(*tuned.plots),
    }
    predicted, unread = predictions.read(directory, frame)
    drawn["predictions"] = draw(predictions.reliability(predicted, table, unread))
    decisions = decide(directory, frame, table)
    files: dict[str, Files] = {
        one.plot.name: one.files for chapter in drawn.values() for one in chapter
    }
    if decisions.ranking.ranks is not None:
        ranks_diagram = partial(average_ranks, decisions.ranking, decisions.apart, look)
        files["ranks"] = submit(render, ranks_diagram)
    own = [(section.title, Markup(section.html)) for section in sections()]
    texts = tables.files(frame, table, everything, decisions)
    texts |= chapters.files(tuned, predicted, table)
    contents = {target / f"tables/{name}": text.encode() for name, text in texts.items()}
    told: dict[str, Any] = {
        **_lead(plan, frame),
        **_found(frame, table, decisions),
        **_tested(table, decisions, look),
        "best": tuned.shown["best"],
        "as_run": tuned.as_run,
        "hyperparameters": tuned.shown["tuned"],
        "enough": importance.ENOUGH,
        "consumed": tuned.shown["consumed"],
        "predictions": chapters.predictions(predicted),
        "unread": unread,
        "defaults": chapters.defaults(details.defaults),
        "machines": chapters.machines(details.facts),
        "cost": tables.cost_table(table),
        "metrics": tables.metrics_table(table),
        "cells": tables.cells_table(frame),
        "faults": [_fault(fault) for fault in details.faults],
        "tuned": _tuned(frame, details),
        "facts": details.facts,
        "budget": _budget(plan.config.get("budget", {})),
        "config": json.dumps(plan.config, indent=2, ensure_ascii=False, default=str),
        "sections": own,
    }
    # Plots are waited for last of all.
    for name, formats in files.items():
        for ending, content in formats().items():
            contents[target / f"plots/{name}.{ending}"] = content
    shown = {name: [_plot(one, look) for one in chapter] for name, chapter in drawn.items()}
    page = _template().render(plan=plan, plots=shown, long=LONG_TABLE, many=FOLDED_AFTER, **told)
    # All at once and at the end: who is interrupted still has the report that there was.
    for stale in {*target.glob("plots/*.*"), *target.glob("tables/*.*")} - contents.keys():
        stale.unlink()
    for path, content in {**contents, target / "index.html": page.encode()}.items():
        write_atomically(path, content)
    return target / "index.html"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"TEXT": tables.TEXT, "zip": zip}
    environment.filters |= {
        "lines": tables.lines,
        "listing": format.listing,
        "plural": format.plural,
    }
    return environment.get_template("page.html.jinja")


def _lead(plan: Plan, frame: pd.DataFrame) -> dict[str, Any]:
    """What was compared, and how many of its cells are in which state."""
    counts = Counter(frame["status"])
    return {
        "strategies": labels(frame),
        "problems": [str(problem) for problem in frame["problem"].unique()],
        "backbones": [str(backbone) for backbone in frame["backbone"].unique()],
        "seeds": frame["seed"].nunique(),
        "protocols": set(frame["protocol"]),
        "baseline": baseline(frame),
        "bounds": labels(frame[frame["oracle"] == "labels"]),
        "states": [
            (status, counts[status], format.STATES[status][0])
            for status in format.STATES
            if counts[status]
        ],
        "cached": bool(frame["cached"].ne("").any()),
        "leaks": _leaks(frame),
        "unused": frame[frame["notes"] != ""].groupby("problem", sort=False)["notes"].first(),
    }


def _leaks(frame: pd.DataFrame) -> dict[str, list[str]]:
    """For each problem with identical inputs where there should be none, a sentence for each kind:
    of the cell with most of them."""
    most: dict[str, Counter[str]] = {}
    leaking = frame[frame["leaks"] != ""]
    for problem, text in zip(leaking["problem"], leaking["leaks"], strict=True):
        counts = (part.split() for part in text.split(", "))
        most.setdefault(problem, Counter())
        most[problem] |= Counter({where: int(count) for count, where in counts})
    return {
        problem: [WORDS[where].format(f"{count:,}") for where, count in counts.items()]
        for problem, counts in most.items()
    }


def _found(frame: pd.DataFrame, table: pd.DataFrame, decisions: Decisions) -> dict[str, Any]:
    winners = {standing.setting: standing.winner for standing in decisions.standings}
    return {
        "overall": suite_findings(table, decisions, baseline(frame)),
        "findings": findings(frame, table, decisions),
        "results": _results(table, winners),
    }


def _tested(table: pd.DataFrame, decisions: Decisions, look: Mapping[str, Look]) -> dict[str, Any]:
    """The tables of tests, what ranks say and their diagram, if there is one."""
    found, diagram = decisions.ranking, None
    if found.ranks is not None:
        figure = average_ranks(found, decisions.apart, look)
        diagram = images.inline_svg(figure, "ranks", describe(found, decisions.apart))
    return {
        "gains": tables.problems_table(decisions.gains).drop(columns="against"),
        "leads": found.leader,
        "leader": tables.problems_table(decisions.leader).drop(columns="strategy"),
        "general": {
            "problems": found.problems,
            "needed": stats.PROBLEMS_FOR_BOOTSTRAP,
        },
        "ranks": rank_findings(found),
        "ranking": tables.ranks_table(found, decisions.apart),
        "diagram": diagram,
        "comparisons": tables.pairwise_table(table, decisions.pairwise[:LONG_TABLE]),
        "compared": len(decisions.pairwise),
    }


def _results(table: pd.DataFrame, winners: Mapping[int, str | None]) -> list[dict[str, Any]]:
    """A table for each facet: a row a strategy, accuracy and gain for each shots."""
    facets: dict[str, list[tuple[int, Any, dict[str, Group]]]] = {}
    for setting, groups in by_setting(table).items():
        facet, shots = place(groups)
        facets.setdefault(facet, []).append((setting, shots, groups))
    nothing = (format.GAP, "gap", format.GAP, "")
    return [
        {
            "title": facet,
            "shots": [format.shots_text(shots) for _, shots, _ in columns],
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
    """Accuracy and its class, gain and its class."""
    told = gain_outcome(group)
    return (
        tables.accuracy_text(group),
        "gap" if group["gap"] else "best" if wins else "",
        tables.gain_text(group),
        {"better": "", "worse": "bad"}.get(told, "unsure"),
    )


def _plot(drawn: Rendering, look: Mapping[str, Look]) -> dict[str, Any]:
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
            for label, style in look.items()
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


def _tuned(frame: pd.DataFrame, details: Details) -> pd.DataFrame:
    """A row for each cell that chose a setting: what it chose."""
    shown = tables.cells_table(frame)[
        ["problem", "shots", "strategy", "seed", "validation accuracy (%)"]
    ]
    settings = frame["cell"].map(details.tuned)
    chosen = settings.notna()
    shown = shown[chosen]
    return shown.assign(settings=settings[chosen].map(format.settings_text))


def _budget(budget: Any) -> str:
    """The suite's budget in words, as far as they are known here; empty if there is none."""
    if not isinstance(budget, Mapping):
        return ""
    parts = {
        "trials": "{} trials (settings of the hyperparameters)",
        "seconds": "{} seconds of tuning",
        "steps": "at most {} optimiser steps a trial",
        "batch_size": "batches of {}",
    }
    return ", ".join(text.format(budget[name]) for name, text in parts.items() if budget.get(name))
