"""Estimate what a tuning budget brings: the best validation score to be expected after it.

A cell's trials are run in one order among many that were as likely: under random search all but
the first, the strategy's defaults, are independent draws. The best after ``b`` trials is therefore
taken in expectation over the orders, the defaults first in each: what Dodge et al. 2019 ("Show
Your Work", EMNLP) ask for, with their estimator and with the one that draws without replacement
(Tang et al. 2020, "Showing Your Work Doesn't Always Work", ACL), which has no bias. Where trials
are not exchangeable (a sampler that learns from earlier trials, a pruner that compares with them,
several settings of ``prepare`` that take turns), there is one order only: the one that was run.

A trial that did not finish takes its share of the budget and is never the best. Nothing is said of
budgets that were not spent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

TRIALS = (1, 4, 16)
SECONDS = (10.0, 60.0, 600.0)
"""The budgets that are told in a table."""

ORDERS = 1000
"""Orders of a cell's trials that seconds are averaged over, where there are more."""

_MOST = 64
"""Budgets in trials that are looked at; of more, they are spaced evenly by their logarithm."""

Floats = NDArray[np.float64]


def exchangeable(budget: Mapping[str, Any]) -> bool:
    """Tell whether a cell's trials after the first are independent draws, by the suite's budget."""
    independent = {"sampler": "random", "pruner": "none", "prepare_trials": 1}
    return all(budget.get(name, value) == value for name, value in independent.items())


def budgets(most: int) -> tuple[int, ...]:
    """Choose numbers of trials to look at, from 1 to ``most``: all, if they are not too many."""
    if most <= _MOST:
        return tuple(range(1, most + 1))
    spaced = np.geomspace(1, most, _MOST).round().astype(int).tolist()
    return tuple(sorted({*spaced, *(told for told in TRIALS if told <= most)}))


# ── one cell ──────────────────────────────────────────────────────────────────────────────────


def after_trials(
    values: ArrayLike, after: Sequence[int], *, replace: bool = False, as_run: bool = False
) -> Floats:
    """Estimate the best of ``values`` after so many trials.

    Args:
        values: ``[n]``, the trials' scores as they were run, the defaults' first; NaN for one
            that did not finish.
        after: numbers of trials, each from 1 to n.
        replace: draw with replacement, as Dodge et al. do.
        as_run: in the one order that was run, instead of in expectation.

    Returns:
        ``[len(after)]``; NaN where in some order no trial has finished.
    """
    scores = _never_best(values)
    if as_run:
        best = np.maximum.accumulate(scores)[np.asarray(after) - 1]
    else:
        # The defaults come first in every order: a draw below them leaves the best as it is.
        draws = np.sort(np.maximum(scores[1:], scores[0]))
        weights = _weights(len(draws), tuple(after), replace)
        # A weight of 0 times minus infinity is no number.
        terms = np.multiply(weights, draws, where=weights > 0, out=np.zeros_like(weights))
        best = np.where(np.asarray(after) == 1, scores[0], terms.sum(1))
    return np.where(np.isfinite(best), best, np.nan)


@lru_cache(maxsize=256)
def _weights(draws: int, after: tuple[int, ...], replace: bool) -> Floats:
    """``[len(after), draws]``: how likely the i-th lowest draw is the best after b trials.

    Of the m draws, b - 1 are taken: C(i - 1, b - 2) / C(m, b - 1) without replacement, and
    (i^(b - 1) - (i - 1)^(b - 1)) / m^(b - 1) with it. Rows of b = 1 take none and are 0.
    """
    place = np.arange(draws + 1, dtype=np.float64)
    at_most = np.ones(draws + 1)
    rows, taken = {1: np.zeros(draws)}, 0
    for trials in sorted(set(after) - {1}):
        while taken < trials - 1:
            out = 0 if replace else taken
            at_most = at_most * np.maximum(place - out, 0) / (draws - out)
            taken += 1
        rows[trials] = np.diff(at_most)
    return np.stack([rows[trials] for trials in after])


def after_seconds(
    values: ArrayLike, seconds: ArrayLike, after: ArrayLike, *, as_run: bool = False, seed: int = 0
) -> Floats:
    """Estimate the best of ``values`` after so many seconds of tuning.

    Over all orders of the trials, or ``ORDERS`` of them that ``seed`` draws; a trial counts from
    when it ends.

    Args:
        values: as for :func:`after_trials`.
        seconds: ``[n]``, what each trial took.
        after: seconds of tuning.

    Returns:
        ``[len(after)]``; NaN where in some order no trial has finished. After more seconds than
        all trials took, the best of all.
    """
    scores, costs = _never_best(values), np.asarray(seconds, dtype=np.float64)
    limits = np.asarray(after, dtype=np.float64)
    # Before the first trial has ended, which comes first, and after all have, no order matters.
    found = np.where(limits >= costs.sum(), scores.max(), -np.inf)
    between = (limits >= costs[0] * (1 - 1e-12)) & (limits < costs.sum())
    if between.any():
        found[between] = _over_orders(scores, costs, limits[between], as_run, seed)
    return np.where(np.isfinite(found), found, np.nan)


def _over_orders(scores: Floats, costs: Floats, limits: Floats, as_run: bool, seed: int) -> Floats:
    """The best after each limit, in the mean over the orders."""
    orders = np.arange(len(scores))[:, None] if as_run else _orders(len(scores), seed)
    # A row more than there are trials, of what is best before any has ended.
    best = np.full((len(orders) + 1, orders.shape[1]), -np.inf)
    np.maximum.accumulate(scores[orders], axis=0, out=best[1:])
    # Sums of the same floats in another order differ by their rounding.
    ends = np.cumsum(costs[orders], axis=0) * (1 - 1e-12)
    # In wide integers, NumPy's choice, this sum takes longer than all the rest.
    ended = (ends <= limits[:, None, None]).sum(1, dtype=np.min_scalar_type(len(ends)))
    return np.asarray(best[ended, np.arange(orders.shape[1])].mean(1))


@lru_cache(maxsize=32)
def _orders(trials: int, seed: int) -> NDArray[np.int64]:
    """``[trials, orders]``: orders of the trials, the first trial first in each."""
    draws = trials - 1
    if math.factorial(min(draws, 20)) <= ORDERS:
        each = list(permutations(range(draws)))  # of no draws there is one order: none
        shuffled = np.array(each, dtype=np.int64).reshape(len(each), draws)
    else:
        generator = np.random.default_rng(seed)
        shuffled = generator.permuted(np.tile(np.arange(draws), (ORDERS, 1)), axis=1)
    first = np.zeros((1, len(shuffled)), dtype=np.int64)
    return np.concatenate([first, shuffled.T + 1])


def _never_best(values: ArrayLike) -> Floats:
    scores = np.asarray(values, dtype=np.float64)
    return np.where(np.isnan(scores), -np.inf, scores)


# ── a strategy in a setting: means over its seeds ─────────────────────────────────────────────


class Search(NamedTuple):
    """One cell's trials in the order they were run: scores (NaN where unfinished) and seconds."""

    scores: Floats
    seconds: Floats


Searches = Mapping[tuple[int, str], Sequence[Search]]
"""For each setting and label whose cells are all ok, what each of its cells tried."""


def searches(cells: pd.DataFrame, trials: pd.DataFrame) -> Searches:
    """Collect what each group's cells tried.

    ``cells`` are of complete groups: ``cell``, ``setting``, ``label`` and ``planned``.

    A group is left out where a cell has no trial that is scored by accuracy.
    """
    if trials.empty:
        return {}
    trials = trials.sort_values(["cell", "number"], kind="stable")
    scores = trials["value"].astype("float64").where(trials["state"] == "complete").to_numpy()
    seconds = trials["seconds"].to_numpy(np.float64)
    names, starts = np.unique(trials["cell"].to_numpy(str), return_index=True)
    tried = {
        str(name): Search(*parts)
        for name, *parts in zip(
            names, np.split(scores, starts[1:]), np.split(seconds, starts[1:]), strict=True
        )
    }
    found: dict[tuple[int, str], list[Search]] = {}
    planned: dict[tuple[int, str], int] = {}
    for cell, setting, label, size in cells[["cell", "setting", "label", "planned"]].itertuples(
        index=False
    ):
        planned[setting, label] = size
        if cell in tried:
            found.setdefault((setting, label), []).append(tried[cell])
    return {key: group for key, group in found.items() if len(group) == planned[key]}


def over_trials(group: Sequence[Search], *, as_run: bool) -> pd.DataFrame:
    """Draw a group's curve: ``x`` (trials) and ``expected`` best (0–1), the mean over cells.

    It starts where every cell has a finished trial and goes as far as the shortest of them.
    """
    after = budgets(min(len(search.scores) for search in group))
    expected = _mean([after_trials(s.scores, after, as_run=as_run) for s in group])
    return pd.DataFrame({"x": after, "expected": expected}).dropna()


def over_seconds(group: Sequence[Search], *, as_run: bool, points: int = 48) -> pd.DataFrame:
    """Draw a group's curve: ``x`` (seconds, evenly spaced by logarithm) and ``expected`` best.

    It starts where every cell has a finished trial, whatever the order, and ends where all trials
    of all cells have ended.
    """
    first = max(search.seconds[0] for search in group)
    last = max(search.seconds.sum() for search in group)
    if not 0 < first <= last:
        return pd.DataFrame({"x": [], "expected": []})
    after = np.geomspace(first, last, points)
    after[[0, -1]] = first, last
    return pd.DataFrame({"x": after, "expected": _by_seconds(group, after, as_run)}).dropna()


def _by_seconds(group: Sequence[Search], after: ArrayLike, as_run: bool) -> Floats:
    # Each cell with orders of its own, so that what is left of their chance averages out.
    return _mean(
        [
            after_seconds(search.scores, search.seconds, after, as_run=as_run, seed=place)
            for place, search in enumerate(group)
        ]
    )


def _mean(curves: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean(curves, axis=0), dtype=np.float64)


def table(found: Searches, *, as_run: bool) -> pd.DataFrame:
    """Make a row for each setting, label and budget that some cell spent.

    ``budget`` and its ``unit``, ``trials`` (of ``TRIALS``, and all where all cells have as many)
    or ``seconds`` (of ``SECONDS``); ``expected`` best (0–1), NaN where a cell may have no finished
    trial yet; ``expected_replaced``, Dodge et al.'s; ``outlasts``: whether the budget is more than
    all trials of some cell took, so that ``expected`` is the least that it would have come to.
    """
    counts = {len(search.scores) for group in found.values() for search in group}
    longest = max((s.seconds.sum() for group in found.values() for s in group), default=0.0)
    limits = [limit for limit in SECONDS if limit <= longest]
    every = sorted({*TRIALS, *counts}) if len(counts) == 1 else list(TRIALS)
    rows: list[tuple[Any, ...]] = []
    for place, group in found.items():
        most = min(len(search.scores) for search in group)
        spent = min(search.seconds.sum() for search in group)
        after = [trials for trials in every if trials <= most]
        expected = _mean([after_trials(s.scores, after, as_run=as_run) for s in group])
        replaced = _mean([after_trials(s.scores, after, replace=True) for s in group])
        for trials, plain, dodge in zip(after, expected, replaced, strict=True):
            rows.append((*place, trials, "trials", plain, np.nan if as_run else dodge, False))
        for limit, plain in zip(limits, _by_seconds(group, limits, as_run), strict=True):
            rows.append((*place, limit, "seconds", plain, np.nan, bool(limit > spent)))
    columns = ["setting", "label", "budget", "unit", "expected", "expected_replaced", "outlasts"]
    return pd.DataFrame(rows, columns=columns)
