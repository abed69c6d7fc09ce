"""Paired differences between the strategies of a setting, seed by seed, and their tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.analysis.moderated import Moderation, moderate
from harness.report.analysis.scores import Scores, Whole, scores
from harness.report.analysis.stats import Floats, half_width, paired_p


@dataclass(frozen=True)
class Paired:
    """Paired differences of every two strategies in every setting.

    ``left`` and ``right`` [P]: places of the strategies, ``left`` the one that the suite has
    first. ``mean`` (left minus right), ``sd`` between seeds and ``n`` of them [S, P]; where there
    is no pair, NaN and 0.
    """

    left: Whole
    right: Whole
    mean: Floats
    sd: Floats
    n: Whole


@dataclass(frozen=True)
class PairTests:
    """The tests of paired differences: ``half`` widths of 95 % intervals and two-sided ``p``
    [S, P], neither corrected, by the spreads and degrees of freedom of ``moderation``."""

    paired: Paired
    half: Floats
    p: Floats
    moderation: Moderation


def pair(values: Floats) -> Paired:
    """Pair every two strategies by their seeds; ``values`` are accuracies [S, K, R].

    One seed gives both cells the same split and the same draws, so the paired difference is free
    of what they share. Where one has further seeds, as a suite that adds them gives them to those
    that are not decided, the pair has those of the other; groups of which each has a seed that the
    other has not are no pair.
    """
    left, right = np.triu_indices(values.shape[1], 1)
    known = ~np.isnan(values)
    both = known[:, left] & known[:, right]
    n = both.sum(axis=2)
    n = np.where(n == np.minimum(known[:, left].sum(axis=2), known[:, right].sum(axis=2)), n, 0)
    both &= n[:, :, None] > 0
    differences = np.where(both, values[:, left] - values[:, right], 0.0)
    mean = differences.sum(axis=2) / np.where(n > 0, n, np.nan)
    squares = np.where(both, (differences - mean[:, :, None]) ** 2, 0.0).sum(axis=2)
    return Paired(left, right, mean, np.sqrt(squares / np.where(n > 1, n - 1, np.nan)), n)


def pair_tests(values: Floats, examples: Floats) -> PairTests:
    """Test every two strategies in every setting; ``values`` [S, K, R], ``examples`` [S]."""
    found = pair(values)
    by = moderate(found.sd**2, found.n, examples)
    return PairTests(
        paired=found,
        half=half_width(by.sd, found.n, by.freedom),
        p=paired_p(found.mean, by.sd, found.n, by.freedom),
        moderation=by,
    )


def paired_differences(frame: pd.DataFrame, against: str | None = None) -> pd.DataFrame:
    """Pair every two complete groups of each setting, or each but ``against`` with that one.

    ``frame`` is tidy. One row a pair: ``setting``, ``left``, ``right``; ``difference`` (the mean of
    left minus right over the seeds), ``sd`` between seeds, ``n`` of them, ``half`` (of the t
    interval) and ``p`` (of Student's paired t test), neither corrected. Of every two, ``left`` is
    the one that the suite has first, or not ``against``.
    """
    given = scores(frame)
    found = pair(given.whole())
    half, p = half_width(found.sd, found.n), paired_p(found.mean, found.sd, found.n)
    rows = as_rows(given, found, {"half": half, "p": p}).assign(outcome="")
    if against is None:
        return rows
    turned = seen_from(rows, against)
    sides = {"left": turned["right"], "right": turned["left"]}
    return turned.assign(difference=-turned["difference"], **sides)


def as_rows(given: Scores, found: Paired, columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Make a row of every pair that there is, by setting, with further ``columns`` [S, P]."""
    setting, place = np.nonzero(found.n > 0)
    labels = np.array(given.labels, dtype=object)
    return pd.DataFrame(
        {
            "setting": given.settings[setting],
            "left": labels[found.left[place]],
            "right": labels[found.right[place]],
            "difference": found.mean[setting, place],
            "sd": found.sd[setting, place],
            "n": found.n[setting, place],
            **{name: values[setting, place] for name, values in columns.items()},
        }
    )


def seen_from(pairwise: pd.DataFrame, label: pd.Series[str] | str) -> pd.DataFrame:
    """Select the rows of one label, or of one for each setting by its number, seen from its side:
    ``label`` is always the left."""
    mine = pairwise["setting"].map(label) if isinstance(label, pd.Series) else label
    turned = pairwise["right"] == mine
    seen = pairwise.assign(
        left=pairwise["left"].where(~turned, pairwise["right"]),
        right=pairwise["right"].where(~turned, pairwise["left"]),
        difference=pairwise["difference"].where(~turned, -pairwise["difference"]),
        outcome=pairwise["outcome"].where(~turned, pairwise["outcome"].map(from_other_side)),
    )
    return seen[turned | (pairwise["left"] == mine)]


def from_other_side(outcome: str) -> str:
    return {"better": "worse", "worse": "better"}.get(outcome, outcome)
