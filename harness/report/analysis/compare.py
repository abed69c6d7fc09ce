"""Compare two strategies of one results folder, or two folders.

Of two strategies' accuracy a folder's report has decided; that is what is told of it. What it does
not speak of, other metrics and other folders, is a page of its own: half of its α is for the test
over all problems and half for those in settings (Holm).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import HarnessError, did_you_mean
from harness.record.store import Store
from harness.report import format
from harness.report.analysis import problems, stats
from harness.report.analysis.design import design
from harness.report.analysis.luck import with_examples
from harness.report.analysis.pairwise import seen_from
from harness.report.analysis.results import SETTING, labels, tidy
from harness.report.analysis.stats import ALPHA, Estimate, Models
from harness.report.analysis.tests import evidence
from harness.report.analysis.trained import compared

FRACTIONS = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc", "ece")
"""How the names of metrics begin that are fractions: their differences are told in points."""

_NO_METRICS = {"seed", "ways", "shots", "setting"}


@dataclass(frozen=True)
class Side:
    """One side of a comparison: its name, its folder and its tidy cells."""

    name: str
    folder: Path
    cells: pd.DataFrame


@dataclass
class InSetting:
    """Both sides in one setting, on the seeds that both have.

    ``setting`` is its number in the folder of the left. ``left`` and ``right`` are the metric for
    each of ``seeds``, ``paired`` whether each seed gave both the same split. ``models``: by seed,
    where both left predictions. ``further`` names a further test, and is empty where it is the
    problem's own. ``outcome`` is what is decided of the ``estimate``, as ``stats.outcome``, by
    ``p_holm`` of ``test``.
    """

    setting: int
    problem: str
    further: str
    title: str
    seeds: list[int]
    left: stats.Floats
    right: stats.Floats
    paired: bool
    models: dict[int, Models]
    estimate: Estimate
    test: str
    p_holm: float = math.nan
    outcome: str = "untested"


@dataclass(frozen=True)
class Comparison:
    """Two sides in every setting that both have, and over all problems.

    ``scale`` makes the metric's units those of ``unit``; ``outcome`` is what is decided over all
    problems, as ``stats.outcome``; ``notes`` say what was not compared.
    """

    left: str
    right: str
    metric: str
    scale: float
    unit: str
    settings: list[InSetting]
    over_problems: Estimate
    test: str
    outcome: str
    notes: list[str]


def two_labels(folder: Path, left: str, right: str, metric: str) -> Comparison:
    """Compare two strategies of a folder, by what its suite calls them.

    Raises:
        HarnessError: there is no such label or metric, or nothing to compare.
    """
    cells = _cells(folder, metric)
    known = labels(cells)
    if unknown := [label for label in dict.fromkeys((left, right)) if label not in known]:
        told = ", ".join(f"'{label}'{did_you_mean(label, known)}" for label in unknown)
        raise HarnessError(
            f"{folder} has no strategy {told}", f"'harness export {folder}' has the labels"
        )
    if left == right:
        raise HarnessError(f"'{left}' can't be compared with itself", "Name two strategies")
    sides = [Side(label, folder, cells[cells["label"] == label]) for label in (left, right)]
    found = _comparison(sides[0], sides[1], SETTING, metric)
    return _as_reported(found, folder, cells) if metric == "accuracy" else found


def two_folders(left: Path, right: Path, metric: str) -> Comparison:
    """Compare two folders, by cells of one label, problem, shots, backbone and seed.

    Raises:
        HarnessError: there is no such metric, or nothing to compare.
    """
    sides = [Side(str(folder), folder, _cells(folder, metric)) for folder in (left, right)]
    budgets = [json.dumps(Store(folder).plan().config.get("budget")) for folder in (left, right)]
    notes = [] if budgets[0] == budgets[1] else [f"the budgets differ: {' and '.join(budgets)}"]
    return _comparison(sides[0], sides[1], [*SETTING, "label"], metric, notes)


def _cells(folder: Path, metric: str) -> pd.DataFrame:
    """Read the tidy frame, in which only cells with the metric count, as ``value``."""
    frame = tidy(Store(folder).frame())
    if not frame["counts"].any():
        raise HarnessError(f"{folder} has no finished cell", "Run its suite first")
    numeric = {str(name) for name in frame.select_dtypes("number")} - _NO_METRICS
    known = sorted(name for name in numeric if frame[name].notna().any())
    if metric not in known:
        raise HarnessError(f"{folder} has no metric '{metric}'{did_you_mean(metric, known)}")
    frame["value"] = frame[metric].astype("float64")
    frame["counts"] &= np.isfinite(frame["value"])
    return frame


def _comparison(
    left: Side, right: Side, key: list[str], metric: str, notes: Sequence[str] = ()
) -> Comparison:
    notes = [*notes]
    settings = list(_settings(left, right, key, notes))
    if not settings:
        why = f": {'; '.join(notes)}" if notes else ""
        raise HarnessError(f"{left.name} and {right.name} have no result in common{why}")
    adjusted = stats.holm([setting.estimate.p for setting in settings])
    for setting, p in zip(settings, adjusted, strict=True):
        setting.p_holm = float(p)
        setting.outcome = stats.outcome(setting.estimate.value, setting.p_holm, ALPHA / 2)
    _correct_models(settings)
    estimate, test = _over_problems(settings)
    points = metric.startswith(FRACTIONS)
    unit = "points" if points else ""
    scale = 100.0 if points else 1.0
    outcome = stats.outcome(estimate.value, estimate.p, ALPHA / 2)
    return Comparison(
        left.name, right.name, metric, scale, unit, settings, estimate, test, outcome, notes
    )


def _as_reported(found: Comparison, folder: Path, cells: pd.DataFrame) -> Comparison:
    """Put what the folder's report decides in the place of what the two would decide alone."""
    by = evidence(with_examples(folder, cells), design(Store(folder).plan().config))
    both = (found.left, found.right)
    over = [row for row in by.over if {row.left, row.right} == {*both}]
    if not over:  # a bound, which the report does not test
        return found
    row = over[0] if over[0].left == found.left else over[0].turned()
    pairs = seen_from(by.pairwise(), found.left)
    decided = pairs[pairs["right"] == found.right].set_index("setting").to_dict("index")
    for setting in found.settings:
        if (mine := decided.get(setting.setting)) is not None:
            setting.estimate = Estimate(mine["difference"], mine["half"], mine["p"])
            setting.p_holm, setting.outcome = mine["p_holm"], mine["outcome"]
            setting.test = mine["test"]
    estimate = Estimate(row.points / 100, row.half / 100, row.p)
    return replace(found, over_problems=estimate, test=row.test, outcome=row.outcome)


def _settings(left: Side, right: Side, key: list[str], notes: list[str]) -> Iterator[InSetting]:
    """Pair the settings, in the order of ``left``; add what can't be compared to ``notes``."""
    groups = [
        {
            _key(name): cells.set_index("seed")
            for name, cells in side.cells.groupby(key, sort=False, dropna=False)
        }
        for side in (left, right)
    ]
    ones, others = groups
    for side, mine, theirs in ((left, ones, others), (right, others, ones)):
        alone = [_title(cells) for name, cells in mine.items() if name not in theirs]
        if alone:
            notes.append(f"only in {side.name}: {_some(alone)}")
    for name, one in ones.items():
        if name not in others:
            continue
        other, title = others[name], _title(one, "label" in key)
        gaps = [
            f"{side.name} has {(~cells['counts']).sum()} of {len(cells)} cells without a result"
            for side, cells in ((left, one), (right, other))
            if not cells["counts"].all()
        ]
        seeds = sorted({*one.index} & {*other.index})
        if gaps or not seeds:
            notes.append(f"{title}: {'; '.join(gaps) or 'no seed in common'}")
            continue
        lone = len(one) + len(other) - 2 * len(seeds)
        if lone:
            notes.append(f"{title}: {format.plural(lone, 'cell')} of a seed that only one side has")
        one, other = one.loc[seeds], other.loc[seeds]
        hashes = [cells["split_hash"].fillna("").to_numpy() for cells in (one, other)]
        paired = bool((hashes[0] == hashes[1]).all())
        sides = (one["value"].to_numpy(), other["value"].to_numpy())
        together = ([sides[0] - sides[1]], []) if paired else ([], [sides])
        estimate = stats.stratified(*together)
        if not paired:
            notes.append(f"{title}: the splits differ, so seeds are not paired (Welch's test)")
        yield InSetting(
            setting=int(one["setting"].iloc[0]),
            problem=str(one["problem"].iloc[0]),
            further=str(one["test"].iloc[0]),
            title=title,
            seeds=[int(seed) for seed in seeds],
            left=sides[0],
            right=sides[1],
            paired=paired,
            estimate=estimate,
            test="none" if math.isnan(estimate.p) else "paired t" if paired else "Welch",
            models=_models(left, right, one, other) if paired else {},
        )


def _models(left: Side, right: Side, one: pd.DataFrame, other: pd.DataFrame) -> dict[int, Models]:
    found = {}
    for seed, mine, theirs in zip(one.index, one["answers"], other["answers"], strict=True):
        tested = compared(left.folder / mine, right.folder / theirs)
        if tested is not None:
            found[int(seed)] = tested
    return found


def _correct_models(settings: list[InSetting]) -> None:
    """Correct the p-values of all pairs of trained models as one family (Holm)."""
    places = [(setting, seed) for setting in settings for seed in setting.models]
    adjusted = stats.holm([setting.models[seed].p for setting, seed in places])
    for (setting, seed), p in zip(places, adjusted, strict=True):
        setting.models[seed] = setting.models[seed].corrected(float(p))


def _over_problems(settings: list[InSetting]) -> tuple[Estimate, str]:
    """Compare over all problems, by their own tests, each counted alike, its settings averaged
    seed by seed first."""
    by_problem: dict[str, list[InSetting]] = {}
    for setting in settings:
        if not setting.further:
            by_problem.setdefault(setting.problem, []).append(setting)
    paired, unpaired = [], []
    for group in by_problem.values():
        seeds = sorted(set.intersection(*({*setting.seeds} for setting in group)))
        if not seeds:
            return Estimate(math.nan, math.nan, math.nan), "none"
        left = np.mean([c.left[np.isin(c.seeds, seeds)] for c in group], axis=0)
        right = np.mean([c.right[np.isin(c.seeds, seeds)] for c in group], axis=0)
        if all(setting.paired for setting in group):
            paired.append(left - right)
        else:
            unpaired.append((left, right))
    if unpaired:
        estimate = stats.stratified(paired, unpaired)
        return estimate, "none" if math.isnan(estimate.p) else "t"
    ((estimate, p, test),) = problems.block_tests([paired], ALPHA / 2)
    return Estimate(estimate.value, estimate.half, p), test


def _key(name: Any) -> tuple[str, ...]:
    return tuple(str(part) for part in name)


def _title(cells: pd.DataFrame, labelled: bool = True) -> str:
    first = cells.iloc[0]
    title = format.setting_text(first["facet"], first["shots"])
    return f"{first['label']} on {title}" if labelled else title


def _some(titles: list[str], most: int = 3) -> str:
    more = [f"{len(titles) - most} more"] if len(titles) > most else []
    return format.listing([*titles[:most], *more])
