"""Put a comparison into sentences for people, and into data for programs."""

from __future__ import annotations

import math
from typing import Any

from harness.report import format
from harness.report.analysis.compare import Comparison
from harness.report.analysis.stats import Estimate


def sentences(found: Comparison) -> list[str]:
    """Tell what the tests say: over all problems, setting by setting, and of trained models."""
    sentences = [_over_all(found)]
    if len(found.settings) > 1:
        counts = [sum(c.outcome == kind for c in found.settings) for kind in format.OUTCOMES]
        higher, lower, unclear, untested = counts
        parts = [
            f"{found.left} is higher in {higher}" if higher else "",
            f"{found.right} is higher in {lower}" if lower else "",
            f"not distinguishable in {unclear}" if unclear else "",
            f"not tested in {untested}" if untested else "",
        ]
        told = ", ".join(filter(None, parts))
        sentences.append(f"Setting by setting, after Holm's correction: {told}.")
    tested = [models for setting in found.settings for models in setting.models.values()]
    if tested:
        differ = sum(models.differ for models in tested)
        test = "McNemar's exact test" if tested[0].over == "examples" else "paired t over episodes"
        sentences.append(
            f"Of {format.plural(len(tested), 'pair')} of trained models, {differ} differ in"
            f" accuracy ({test}, Holm). That speaks of these models, not of other seeds."
        )
    return sentences


def _over_all(found: Comparison) -> str:
    value, half, p = found.over_problems.value, found.over_problems.half, found.over_problems.p
    over = f"over {format.plural(len(found.settings), 'setting')}"
    if math.isnan(value):
        return "No mean over all: the settings of a problem have no seed in common."
    difference = amount(found, value, half)
    outcome = found.outcome
    if outcome == "untested":
        return (
            f"{found.metric} {over}: {found.left} minus {found.right} is {difference}."
            " Not tested: that takes several seeds, and a spread between them."
        )
    test = f"{found.test} test, {format.p_text(p)}"
    if outcome == "unclear":
        return (
            f"{found.left} and {found.right} are not distinguishable in {found.metric} {over}:"
            f" {difference} ({test})."
        )
    direction = "higher" if outcome == "better" else "lower"
    return (
        f"{found.left} has the {direction} {found.metric} {over}: {difference} against"
        f" {found.right} ({test})."
    )


def amount(found: Comparison, value: float, half: float = math.nan) -> str:
    """``+2.3 ± 1.1 points``, or in the metric's own units to three digits."""
    if found.unit:
        return f"{format.signed_plus_minus(found.scale * value, found.scale * half)} {found.unit}"
    sign = "+" if value > 0 else "−" if value < 0 else ""
    text = f"{sign}{format.significant(abs(value))}"
    return text if math.isnan(half) else f"{text} ± {format.significant(half)}"


def as_json(found: Comparison) -> dict[str, Any]:
    """Make data of the whole comparison, for JSON."""
    return {
        "left": found.left,
        "right": found.right,
        "metric": found.metric,
        "overall": {**_numbers(found.over_problems), "test": found.test},
        "settings": _rows(found),
        "verdict": sentences(found),
        "notes": found.notes,
    }


def _rows(found: Comparison) -> list[dict[str, Any]]:
    """Make a row a setting, in the metric's own units; NaN becomes None."""
    return [
        {
            "setting": setting.title,
            "problem": setting.problem,
            "seeds": setting.seeds,
            "left": float(setting.left.mean()),
            "right": float(setting.right.mean()),
            **_numbers(setting.estimate),
            "p_holm": _known(setting.p_holm),
            "test": setting.test,
            "finding": format.OUTCOMES[setting.outcome],
            "models": [
                {
                    "seed": seed,
                    "difference": models.difference,
                    "low": _known(models.low),
                    "high": _known(models.high),
                    "p_holm": _known(models.p),
                    models.over: models.n,
                }
                for seed, models in setting.models.items()
            ],
        }
        for setting in found.settings
    ]


def _numbers(estimate: Estimate) -> dict[str, float | None]:
    return {
        "difference": _known(estimate.value),
        "half_width": _known(estimate.half),
        "p": _known(estimate.p),
    }


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number
