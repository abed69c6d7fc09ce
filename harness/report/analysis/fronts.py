"""Find the Pareto fronts of accuracy and a cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Front:
    """A cost, a column of the summary, and which of its rows are on the front."""

    cost: str
    members: pd.Series[bool]


def by_seconds(table: pd.DataFrame) -> Front:
    """Find the front against the median seconds of a cell, tuning included."""
    return _front(table, "seconds_total")


def by_memory(table: pd.DataFrame) -> Front:
    """Find the front against peak bytes: the accelerator's if every group used one."""
    whole = table[table["gap"] == ""]
    device = bool(len(whole)) and bool((whole["peak_device_bytes"] > 0).all())
    return _front(table, "peak_device_bytes" if device else "peak_host_bytes")


def _front(table: pd.DataFrame, cost: str) -> Front:
    known = table[(table[cost] > 0) | (table["gap"] != "")]
    members = on_front(known.assign(x=known[cost]))
    return Front(cost, members.reindex(table.index, fill_value=False))


def on_front(table: pd.DataFrame) -> pd.Series[bool]:
    """Tell which groups are on their setting's Pareto front: ``accuracy`` up, ``x`` down.

    A group is on it if no other is at least as accurate for at most the cost and better in one of
    the two. Groups with a gap, and bounds, are not considered.
    """
    ranked = table[(table["gap"] == "") & (table["oracle"] != "labels")]
    ranked = ranked.sort_values(["setting", "x", "accuracy"], ascending=[True, True, False])
    best = ranked.groupby("setting")["accuracy"].cummax()
    before = best.groupby(ranked["setting"]).shift(fill_value=-np.inf)
    # Twins in both are each on it: neither is better.
    same = ["setting", "x", "accuracy"]
    first = (ranked["accuracy"] > before).groupby([ranked[name] for name in same]).transform("any")
    return first.reindex(table.index, fill_value=False).astype(bool)
