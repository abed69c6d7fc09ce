"""What a suite's accuracies say, and how surely: pure functions on the tidy frame.

A *setting* is what strategies compete on: a problem, its shots and a backbone. A *group* is one
strategy, by its label, in one setting: its cells differ by seed alone. Nothing here averages
over fewer cells than were planned: a group with a cell that is not ok has a gap for a result.

All intervals are two-sided at ``LEVEL``, from Student's t over the seeds:
mean ± t(n - 1) · sd / √n, with sd the sample standard deviation (n - 1 in its denominator).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as distributions

from harness.errors import HarnessError
from harness.record.schema import Status

SETTING = ["problem", "protocol", "ways", "shots", "backbone"]
LEVEL = 0.95
BASELINES = ("from_scratch", "source_only")
"""Strategies that gains are over, the first that a suite has: one uses nothing of what the backbone
has learned, the other nothing of the domain that it is tested on."""

PHASES = ["pretrain", "prepare", "features", "tune", "fit", "test", "total"]
SECONDS = [f"seconds_{phase}" for phase in PHASES]
_MEDIANS = [*SECONDS, "trainable_params", "total_params", "trials"]
_PEAKS = ["peak_device_bytes", "peak_host_bytes"]
_NUMBERS = [
    *_MEDIANS,
    *_PEAKS,
    "ways",
    "accuracy",
    "accuracy_ci95",
    "accuracy_val",
    "trials_failed",
]

_OK: Status = "ok"


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """``Store.frame()`` made ready for what follows: numbers as floats, settings numbered.

    Adds ``setting`` (a number; settings of one problem and backbone follow each other, fewest
    shots first), ``facet`` (its problem and, where there are several, protocol and backbone, in
    words) and ``counts`` (whether the cell ended ok, with an accuracy).

    Raises:
        HarnessError: two cells differ in nothing that a reader could tell them apart by.
    """
    frame = frame.reset_index(drop=True)
    for name in ("reason", "cached", "oracle"):
        # A column with nothing in it comes as floats, all NaN.
        texts = frame[name].astype(object)
        frame[name] = texts.where(texts.notna(), "")
    for name in _NUMBERS:
        frame[name] = frame[name].astype("float64")
    frame["shots"] = frame["shots"].astype(object)
    frame["counts"] = frame["status"].eq(_OK) & frame["accuracy"].notna()
    places = frame[SETTING].drop_duplicates()
    order = pd.DataFrame(
        {
            "problem": pd.factorize(places["problem"])[0],
            "protocol": pd.factorize(places["protocol"])[0],
            "backbone": pd.factorize(places["backbone"])[0],
            "ways": places["ways"].fillna(0).to_numpy(),
            "shots": [shots_order(shots) for shots in places["shots"]],
        },
        index=places.index,
    ).sort_values(["problem", "protocol", "backbone", "ways", "shots"])
    places = places.loc[order.index]
    places["setting"] = np.arange(len(places))
    places["facet"] = _facets(places)
    frame = frame.merge(places, on=SETTING, how="left")
    twins = frame[frame.duplicated(["setting", "label", "seed"])]
    if len(twins):
        twin = twins.iloc[0]
        raise HarnessError(
            f"the plan has two cells for '{twin.label}' on '{twin.problem}' with seed {twin.seed}",
            "Give each strategy and each problem of the suite a label of its own",
        )
    return frame


def shots_order(shots: Any) -> float:
    """A sort key: 1, 5, …, then ``all``."""
    return float("inf") if shots == "all" else float(shots)


def labels(frame: pd.DataFrame) -> list[str]:
    """What the suite calls its strategies, in its order."""
    return [str(label) for label in frame["label"].unique()]


def baseline(frame: pd.DataFrame) -> str | None:
    """The label that gains are over: a baseline's own name, or the first label of it."""
    for name in BASELINES:
        if found := labels(frame[frame["strategy"] == name]):
            return name if name in found else found[0]
    return None


def half_width(sd: pd.Series[float], n: pd.Series[int]) -> pd.Series[float]:
    """t(n - 1) · sd / √n; NaN for a single value, which says nothing of its spread."""
    several = n.where(n > 1).astype("float64")
    quantile = distributions.t.ppf((1 + LEVEL) / 2, several - 1)
    return sd * quantile / np.sqrt(several)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a group, ordered by setting and then as the suite orders its strategies.

    - ``oracle``: what the target's labels were used for, where the protocol does not show them;
    - ``planned``, ``ok``: cells; ``gap``: what is missing in words, empty where nothing is, and
      then every number below is NaN; ``reasons``: why, as recorded;
    - ``accuracy`` (mean over seeds), ``accuracy_sd``, ``accuracy_half``, and ``interval``: what
      the half width is over, ``seeds``, or ``episodes`` where a single seed's own is all there
      is, or nothing;
    - ``seconds_*``, ``trials`` and ``*_params``: medians over seeds; ``peak_*``: the highest of
      any seed; ``trials_failed``: their sum; ``cached``: phases that any seed found ready;
    - ``gain``, ``gain_half``: percentage points over the baseline, from the differences between
      cells of the same seed.
    """
    groups = frame.groupby(["setting", "label"], sort=False)
    table = groups[[*SETTING, "facet", "strategy", "oracle"]].first()
    table["planned"] = groups.size()
    table["ok"] = groups["counts"].sum()
    short = table["ok"] < table["planned"]
    table["gap"] = ""
    table["reasons"] = ""
    # Only the groups with a gap: thousands that have none need not be looked at one by one.
    missing = frame[short.reindex(_index(frame)).to_numpy()]
    for key, cells in missing.groupby(["setting", "label"], sort=False):
        table.loc[[key], "gap"] = _gap(cells)
        table.loc[[key], "reasons"] = "; ".join(dict.fromkeys(filter(None, cells["reason"])))
    table["accuracy"] = groups["accuracy"].mean()
    table["accuracy_sd"] = groups["accuracy"].std()
    over_seeds = half_width(table["accuracy_sd"], table["planned"])
    over_episodes = groups["accuracy_ci95"].first().where(table["planned"] == 1)
    table["accuracy_half"] = over_seeds.fillna(over_episodes)
    table["interval"] = np.select(
        [over_seeds.notna(), over_episodes.notna()], ["seeds", "episodes"], default=""
    )
    table[_MEDIANS] = groups[_MEDIANS].median()
    table[_PEAKS] = groups[_PEAKS].max()
    table["trials_failed"] = groups["trials_failed"].sum()
    table["cached"] = _phases(frame).reindex(table.index, fill_value="")
    reference = baseline(frame)
    table["gain"], table["gain_half"] = np.nan, np.nan
    if reference is not None:
        against = differences(frame, pd.Series(reference, index=frame["setting"].unique()))
        against = against.set_index(["setting", "label"])
        table["gain"] = against["points"]
        table["gain_half"] = against["half"]
    table.loc[short, [*_MEDIANS, *_PEAKS, "trials_failed"]] = np.nan
    table.loc[short, ["accuracy", "accuracy_sd", "accuracy_half"]] = np.nan
    table.loc[short, ["interval", "cached"]] = ""
    table = table.reset_index()
    rank = {label: place for place, label in enumerate(labels(frame))}
    order = pd.DataFrame({"setting": table["setting"], "label": table["label"].map(rank)})
    return table.loc[order.sort_values(["setting", "label"]).index].reset_index(drop=True)


Group = Mapping[str, Any]
"""One row of ``summary``."""


def by_setting(table: pd.DataFrame) -> dict[int, dict[str, Group]]:
    """The groups of each setting by their label: rows of thousands are read much faster so."""
    found: dict[int, dict[str, Group]] = {}
    for row in table.to_dict("records"):
        found.setdefault(row["setting"], {})[row["label"]] = {str(k): v for k, v in row.items()}
    return found


def place(groups: Mapping[str, Group]) -> tuple[str, Any]:
    """The facet and the shots of a setting, from its groups."""
    first = next(iter(groups.values()))
    return first["facet"], first["shots"]


def differences(frame: pd.DataFrame, reference: pd.Series[Any]) -> pd.DataFrame:
    """How far each strategy is above the one that ``reference`` names for its setting.

    One row for each complete group that can be paired, seed by seed, with its reference:
    ``points`` (the mean of the per-seed differences, in percentage points), ``half`` (its t
    interval's half width) and ``pairs``. One seed gives both cells the same split and the same
    draws, so the paired difference is free of what they share. Groups whose seeds are not the
    reference's are left out: the mean would be one over fewer cells.
    """
    groups = frame.groupby(["setting", "label"])
    whole = frame[groups["counts"].transform("all")][["setting", "label", "seed", "accuracy"]]
    base = whole[whole["label"] == whole["setting"].map(reference)]
    pairs = whole.merge(
        base, on=["setting", "seed"], how="left", suffixes=("", "_reference")
    ).assign(points=lambda rows: 100 * (rows["accuracy"] - rows["accuracy_reference"]))
    grouped = pairs[pairs["label"] != pairs["setting"].map(reference)].groupby(
        ["setting", "label"], sort=False
    )
    result = pd.DataFrame(
        {
            "points": grouped["points"].mean(),
            "sd": grouped["points"].std(),
            "pairs": grouped["points"].count(),
            "cells": grouped.size(),
        }
    ).reset_index()
    result["half"] = half_width(result["sd"], result["pairs"])
    expected = result["setting"].map(base.groupby("setting").size())
    paired = (result["pairs"] == result["cells"]) & (result["pairs"] == expected)
    return result[paired].drop(columns=["sd", "cells"]).reset_index(drop=True)


def excludes_zero(points: Any, half: Any) -> Any:
    """Whether the interval ``points ± half`` lies on one side of 0; never for an unknown one.

    The allowance is for sums of floats: differences that are all the same have a width of 0.
    """
    return np.abs(points) > half + 1e-9


@dataclass(frozen=True)
class Verdict:
    """Who is ahead in one setting.

    ``ranking`` has the complete groups' labels, highest mean first, without those that were shown
    the target's labels where others were not. ``tied`` are those whose
    paired interval against the first holds 0 or can't be had. ``points`` ± ``half`` is how far
    the first is above the second.
    """

    setting: int
    ranking: tuple[str, ...]
    tied: tuple[str, ...]
    points: float
    half: float
    missing: tuple[tuple[str, str], ...]

    @property
    def judged(self) -> bool:
        """Whether there are two complete groups and seeds enough for an interval between them."""
        return not np.isnan(self.half)

    @property
    def winner(self) -> str | None:
        """The first, if it can be told apart from every other."""
        return self.ranking[0] if len(self.ranking) > 1 and not self.tied else None


def verdicts(frame: pd.DataFrame, table: pd.DataFrame) -> list[Verdict]:
    """A verdict for each setting; ``table`` is the ``summary`` of ``frame``.

    The intervals are not corrected for there being several comparisons.
    """
    ranked = table[(table["gap"] == "") & (table["oracle"] != "labels")].sort_values(
        ["setting", "accuracy"], ascending=[True, False], kind="stable"
    )
    leaders = ranked.groupby("setting")["label"].first()
    below = differences(frame, leaders)
    below["apart"] = excludes_zero(below["points"], below["half"])
    margins: dict[int, dict[str, Group]] = by_setting(below)
    unknown = {"points": np.nan, "half": np.nan, "apart": False}
    rankings = ranked.groupby("setting")["label"].agg(tuple).to_dict()
    found = []
    for setting, groups in by_setting(table).items():
        ranking = rankings.get(setting, ())
        others = margins.get(setting, {})
        second = others.get(ranking[1], unknown) if len(ranking) > 1 else unknown
        found.append(
            Verdict(
                setting=setting,
                ranking=ranking,
                tied=tuple(x for x in ranking[1:] if not others.get(x, unknown)["apart"]),
                points=-float(second["points"]),
                half=float(second["half"]),
                missing=tuple((label, row["gap"]) for label, row in groups.items() if row["gap"]),
            )
        )
    return found


def _facets(places: pd.DataFrame) -> list[str]:
    """What a setting is called, shots aside: no more than tells the suite's settings apart."""
    backbones = places["backbone"].nunique() > 1
    protocols = places.groupby("problem")["protocol"].transform("nunique") > 1
    return [
        " · ".join(
            [str(problem)]
            + ([str(protocol)] if named else [])
            + ([f"{ways:.0f}-way"] if ways > 0 else [])
            + ([str(backbone)] if backbones else [])
        )
        for problem, protocol, ways, backbone, named in zip(
            places["problem"],
            places["protocol"],
            places["ways"],
            places["backbone"],
            protocols,
            strict=True,
        )
    ]


def _index(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["setting", "label"]])


def _gap(cells: pd.DataFrame) -> str:
    """``1 of 3 failed, 1 of 3 pending``."""
    states = ["without accuracy" if s == _OK else str(s) for s in cells["status"][~cells["counts"]]]
    return ", ".join(f"{n} of {len(cells)} {state}" for state, n in Counter(states).items())


def _phases(frame: pd.DataFrame) -> pd.Series[str]:
    """The phases that any cell of a group found ready, one space between them."""
    marked = frame[frame["cached"] != ""]
    found = marked.groupby(["setting", "label"])["cached"].agg(
        lambda texts: " ".join(sorted({phase for text in texts for phase in str(text).split()}))
    )
    return found.astype(object)
