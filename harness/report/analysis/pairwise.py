"""Paired differences between the strategies of a setting, seed by seed, and their tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.report.analysis.stats import half_width, holm, outcome, paired_p


def competing(frame: pd.DataFrame) -> pd.DataFrame:
    """Select the cells of strategies that compete: not those that learn from the
    target's labels where others are not shown them."""
    return frame[frame["oracle"] != "labels"]


def pairwise(frame: pd.DataFrame) -> pd.DataFrame:
    """Test every two strategies that compete: ``paired_differences`` with ``p_holm``, corrected for
    all pairs of the suite, and ``outcome``, what that test says of the left (``stats.outcome``).

    All that a report says of two strategies in one setting goes by these: who wins it, and who
    gains over the baseline.
    """
    found = paired_differences(competing(frame))
    found = found.assign(p_holm=holm(found["p"]))
    tested = zip(found["difference"], found["p_holm"], strict=True)
    return found.assign(outcome=[outcome(*both) for both in tested])


def seen_from(pairwise: pd.DataFrame, label: pd.Series[str] | str) -> pd.DataFrame:
    """Select the rows of one label, or of one for each setting by its number, seen from its side:
    ``label`` is always the left."""
    mine = pairwise["setting"].map(label) if isinstance(label, pd.Series) else label
    turned = pairwise["right"] == mine
    seen = pairwise.assign(
        left=pairwise["left"].where(~turned, pairwise["right"]),
        right=pairwise["right"].where(~turned, pairwise["left"]),
        difference=pairwise["difference"].where(~turned, -pairwise["difference"]),
        outcome=pairwise["outcome"].where(~turned, pairwise["outcome"].map(_from_other_side)),
    )
    return seen[turned | (pairwise["left"] == mine)]


def _from_other_side(outcome: str) -> str:
    return {"better": "worse", "worse": "better"}.get(outcome, outcome)


def paired_differences(
    frame: pd.DataFrame, against: str | None = None, value: str = "accuracy"
) -> pd.DataFrame:
    """Pair every two complete groups of each setting, or each but ``against`` with that one.

    ``frame`` is tidy. One row a pair: ``setting``, ``left``, ``right``; ``difference`` (the mean of
    left minus right over the seeds, in the units of ``value``), ``sd`` between seeds, ``n`` of
    them, ``half`` (of the t interval) and ``p`` (of the paired t test), neither corrected.

    One seed gives both cells the same split and the same draws, so the paired difference is free
    of what they share. Groups whose seeds are not the same are no pair: the mean would be one over
    fewer cells. Of every two, ``left`` is the one that the suite has first.
    """
    whole = frame[frame.groupby(["setting", "label"])["counts"].transform("all")]
    place = {label: number for number, label in enumerate(frame["label"].unique())}
    values = (
        whole.assign(place=whole["label"].map(place))
        .pivot(index=["setting", "place"], columns="seed", values=value)
        .sort_index()
    )
    scores = values.to_numpy(dtype="float64")
    setting = values.index.get_level_values("setting").to_numpy()
    label = np.array([*place], dtype=object)[values.index.get_level_values("place")]
    left, right = _rows_of_pairs(setting, label, against)
    known = ~np.isnan(scores)
    alike = (known[left] == known[right]).all(axis=1)
    left, right = left[alike], right[alike]
    n = known[left].sum(axis=1)
    differences = np.where(known[left], scores[left] - scores[right], 0.0)
    mean = differences.sum(axis=1) / n
    squares = np.where(known[left], (differences - mean[:, None]) ** 2, 0.0).sum(axis=1)
    sd = np.sqrt(squares / np.where(n > 1, n - 1, np.nan))
    return pd.DataFrame(
        {
            "setting": setting[left],
            "left": label[left],
            "right": label[right],
            "difference": mean,
            "sd": sd,
            "n": n,
            "half": half_width(sd, n),
            "p": paired_p(mean, sd, n),
        }
    )


def _rows_of_pairs(setting: Any, label: Any, against: str | None) -> tuple[Any, Any]:
    """Find the rows of the left and of the right of each pair, given that rows of a setting follow
    each other."""
    if against is not None:
        base = np.flatnonzero(label == against)
        at = np.searchsorted(setting[base], setting).clip(max=max(len(base) - 1, 0))
        if not len(base):
            return base, base
        left = np.flatnonzero((setting[base[at]] == setting) & (label != against))
        return left, base[at[left]]
    _, starts, sizes = np.unique(setting, return_index=True, return_counts=True)
    found = [
        start + np.array(np.triu_indices(size, 1))
        for start, size in zip(starts, sizes, strict=True)
    ]
    left, right = np.concatenate([np.empty((2, 0), dtype=int), *found], axis=1)
    return left, right
