"""Render a report, or a comparison, for a terminal."""

from __future__ import annotations

from tabulate import tabulate

from harness.report import format
from harness.report.analysis.advice import deciding_more
from harness.report.analysis.claims import summed_up
from harness.report.analysis.compare import Comparison
from harness.report.analysis.report import Report
from harness.report.comparison_text import amount, sentences
from harness.report.tables.markup import terminal
from harness.report.tables.text import claims_table, results_table


def results(report: Report) -> str:
    """Render the results, a table for each facet, as side by side they are too wide, and what was
    decided: what to take, what can't be told apart, and how to decide more."""
    facets = report.table.groupby("facet", sort=False)
    tables = [terminal(results_table(report.strategies, table)) for _, table in facets]
    found = [*report.findings.suite, *report.findings.advice]
    found += deciding_more(report.decisions, report.table, report.plan)
    lines = [sentence.striptags().replace("\u00a0", " ") for sentence in found]
    if len(report.claims):
        tables.append(f"{terminal(claims_table(report.claims))}\n\n{summed_up(report.claims)}")
    return "".join(f"{part}\n\n" for part in [*tables, "\n".join(lines)] if part)


def comparison(found: Comparison) -> str:
    """Render a row for each setting, and what the tests say."""
    unit = "\n(%)" if found.unit else ""
    heads = ["setting", f"{found.left}{unit}", f"{found.right}{unit}"]
    heads += [f"difference\n({found.unit})" if found.unit else "difference"]
    heads += ["seeds", "p (Holm)", "finding"]
    align = ["left", "right", "right", "right", "right", "right", "left"]
    models = any(setting.models for setting in found.settings)
    if models:
        heads.append("models\nthat differ")
        align.append("right")
    table = []
    for setting in found.settings:
        estimate = setting.estimate
        sides = (found.scale * side.mean() for side in (setting.left, setting.right))
        row = [
            setting.title,
            *(f"{side:.1f}" if found.unit else format.significant(side) for side in sides),
            amount(found, estimate.value, estimate.half).removesuffix(f" {found.unit}"),
            str(len(setting.seeds)),
            format.p_number(setting.p_holm),
            _finding(found, setting.outcome),
        ]
        differ = sum(tested.differ for tested in setting.models.values())
        table.append([*row, f"{differ} of {len(setting.models)}"] if models else row)
    shown = tabulate(table, headers=heads, colalign=align, disable_numparse=True)
    head = f"{found.metric}: {found.left} minus {found.right}"
    notes = [f"Note: {note}." for note in found.notes]
    return "\n".join([head, "", shown, "", *sentences(found), *notes])


def _finding(found: Comparison, outcome: str) -> str:
    """Tell who is surely higher in one setting, if one is."""
    higher = {"better": found.left, "worse": found.right}.get(outcome)
    return f"{higher} is higher" if higher else format.OUTCOMES[outcome]
