"""Summarise a suite's results: pure functions on the tidy frame.

A *setting* is what strategies compete on: a problem, its shots, a backbone, and the problem's own
test (``test`` is empty then) or a further one. A *group* is one strategy, by its label, in one
setting: its cells differ by seed alone. Nothing here averages over fewer cells than were planned: a
group with a cell that is not ok has a gap for a result.

All intervals are over the seeds, at 95 % and not corrected; what is called better or worse is so by
the decisions that are made of the whole suite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import HarnessError
from harness.record.schema import Status
from harness.record.store import predictions_file
from harness.report.analysis.pairwise import from_other_side, paired_differences, seen_from
from harness.report.analysis.stats import accuracy_interval, exact_ties, half_width
from harness.shots import shots_order

SETTING = ["problem", "protocol", "ways", "shots", "backbone", "test"]

PHASES = ["pretrain", "prepare", "features", "tune", "fit", "test", "total"]
SECONDS = [f"seconds_{phase}" for phase in PHASES]
COUNTS = [
    *("flops_fit", "flops_predict", "throughput_one", "throughput_many", "joules"),
    "cpu_seconds_total",
]
METRICS = [
    *("balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "precision_weighted"),
    *("recall_weighted", "f1_weighted", "auroc_macro", "log_loss", "ece"),
]
MOST_FACETS = 9
"""Facets that a plot has, at most, and that its curves and predictions are worked out for; the
tables hold the rest."""

_MEDIANS = [*SECONDS, *COUNTS, "trainable_params", "total_params", "trials"]
_PEAKS = ["peak_device_bytes", "peak_host_bytes"]
_NUMBERS = [
    *_MEDIANS,
    *_PEAKS,
    *METRICS,
    "ways",
    "accuracy",
    "accuracy_ci95",
    "accuracy_val",
    "trials_failed",
]

_OK: Status = "ok"


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """Make the frame of ``Store.frame`` tidy: numbers as floats, settings numbered.

    Adds ``setting`` (a number; settings of one problem and backbone follow each other, fewest
    shots first), ``facet`` (its problem, further test and, where there are several, protocol and
    backbone, in words), ``counts`` (whether the cell ended ok, with an accuracy), ``answers`` (the
    name of the file that its predictions are in) and, as far as a frame of records tells,
    ``examples`` and ``shared`` (see ``luck.with_examples``).

    Raises:
        HarnessError: two cells differ in nothing that a reader could tell them apart by.
    """
    frame = frame.reset_index(drop=True)
    for name in ("reason", "cached", "oracle", "leaks", "notes", "test"):
        # A column with nothing in it comes as floats, all NaN.
        texts = frame[name].astype(object)
        frame[name] = texts.where(texts.notna(), "")
    for name in _NUMBERS:
        frame[name] = frame[name].astype("float64")
    frame["shots"] = frame["shots"].astype(object)
    if "examples" not in frame:
        frame["examples"], frame["shared"] = np.nan, False
    frame["counts"] = frame["status"].eq(_OK) & frame["accuracy"].notna()
    frame["answers"] = [
        predictions_file(cell, test)
        for cell, test in zip(frame["cell"], frame["test"], strict=True)
    ]
    places = frame[SETTING].drop_duplicates()
    order = pd.DataFrame(
        {
            "problem": pd.factorize(places["problem"])[0],
            "protocol": pd.factorize(places["protocol"])[0],
            "backbone": pd.factorize(places["backbone"])[0],
            "test": pd.factorize(places["test"])[0],
            "ways": places["ways"].fillna(0).to_numpy(),
            "shots": [shots_order(shots) for shots in places["shots"]],
        },
        index=places.index,
    ).sort_values(["problem", "protocol", "backbone", "test", "ways", "shots"])
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


def own_tests(frame: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of the problems' own tests: a row a cell, and what is averaged over problems.
    Further tests of the same predictors are settings by themselves."""
    return frame[frame["test"] == ""]


def labels(frame: pd.DataFrame) -> list[str]:
    """List what the suite calls its strategies, in its order."""
    return [str(label) for label in frame["label"].unique()]


def baseline(frame: pd.DataFrame) -> str | None:
    """Find the label that gains are over: that of the first baseline, one by its own name first."""
    found = frame[frame["baseline"].astype(bool)]
    named = found[found["label"] == found["strategy"]]
    return next(iter([*labels(named), *labels(found)]), None)


@dataclass(frozen=True)
class Strategies:
    """A suite's strategies: all ``labels`` in its order, the ``baseline`` that gains are over, and
    the ``bounds``, which are shown the target's labels and do not compete."""

    labels: list[str]
    baseline: str | None
    bounds: list[str]


def strategies(frame: pd.DataFrame) -> Strategies:
    return Strategies(labels(frame), baseline(frame), labels(frame[frame["oracle"] == "labels"]))


def summary(frame: pd.DataFrame, pairwise: pd.DataFrame | None = None) -> pd.DataFrame:
    """Summarise each group in a row, by setting and then in the suite's order of strategies.

    - ``oracle``: what the target's labels were used for, where the protocol does not show them;
    - ``planned``, ``ok``: cells; ``gap``: what is missing in words, empty where nothing is, and
      then every number below is NaN; ``reasons``: why, as recorded;
    - ``accuracy`` (mean over seeds), ``accuracy_sd``, ``accuracy_half``, ``accuracy_low`` to
      ``accuracy_high``, which stays within 0 to 1, and ``interval``: what they are over,
      ``seeds``, or ``episodes`` where a single seed's own is all there is, or nothing;
    - ``seconds_*``, ``trials`` and ``*_params``: medians over seeds; ``peak_*``: the highest of
      any seed; ``trials_failed``: their sum; ``cached``: phases that any seed found ready. Who
      starts from random weights pays nothing for pretraining;
    - ``gain``, ``gain_half``: percentage points over the baseline, from the differences between
      cells of the same seed; ``gain_p``, corrected, ``gain_alone``, the p of the two alone, and
      ``gain_outcome``, as ``stats.outcome``: what ``pairwise``, the decided pairs, says of them.
      NaN and empty where a strategy does not compete, or nothing was decided.
    """
    groups = frame.groupby(["setting", "label"], sort=False)
    table = groups[[*SETTING, "facet", "strategy", "oracle", "examples", "shared"]].first()
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
    table["accuracy"] = exact_ties(groups["accuracy"].mean())
    table["accuracy_sd"] = groups["accuracy"].std()
    halves = half_width(table["accuracy_sd"], table["planned"])
    over_seeds = pd.Series(halves, index=table.index)
    over_episodes = groups["accuracy_ci95"].first().where(table["planned"] == 1)
    table["accuracy_half"] = over_seeds.fillna(over_episodes)
    table["interval"] = np.select(
        [over_seeds.notna(), over_episodes.notna()], ["seeds", "episodes"], default=""
    )
    table[_MEDIANS] = groups[_MEDIANS].median()
    table[_PEAKS] = groups[_PEAKS].max()
    table[METRICS] = groups[METRICS].mean()
    table["trials_failed"] = groups["trials_failed"].sum()
    table["cached"] = _phases(frame).reindex(table.index, fill_value="")
    table[["gain", "gain_half", "gain_p", "gain_alone"]] = np.nan
    table["gain_outcome"] = ""
    if (reference := baseline(frame)) is not None:
        gains = paired_differences(frame, against=reference).set_index(["setting", "left"])
        table["gain"] = 100 * gains["difference"]
        table["gain_half"] = 100 * gains["half"]
        if pairwise is not None:
            _decided_gains(table, seen_from(pairwise, reference))
    table.loc[short, [*_MEDIANS, *_PEAKS, *METRICS, "trials_failed"]] = np.nan
    ends = (table["accuracy"], table["accuracy_half"], table["examples"])
    intervals = [accuracy_interval(*one) for one in zip(*ends, strict=True)]
    table[["accuracy_low", "accuracy_high"]] = np.reshape(intervals, (-1, 2))
    accuracies = ["accuracy", "accuracy_sd", "accuracy_half", "accuracy_low", "accuracy_high"]
    table.loc[short, accuracies] = np.nan
    table.loc[short, ["interval", "cached"]] = ""
    table = table.reset_index()
    rank = {label: place for place, label in enumerate(labels(frame))}
    order = pd.DataFrame({"setting": table["setting"], "label": table["label"].map(rank)})
    return table.loc[order.sort_values(["setting", "label"]).index].reset_index(drop=True)


def _decided_gains(table: pd.DataFrame, found: pd.DataFrame) -> None:
    """Put into the summary what was decided of the baseline, the left of ``found``, and others."""
    decided = found.set_index(["setting", "right"])
    decided.index.names = table.index.names
    rows = table.index.intersection(decided.index)
    decided = decided.loc[rows]
    table.loc[rows, "gain_half"] = 100 * decided["half"]
    table.loc[rows, "gain_p"] = decided["p_holm"]
    table.loc[rows, "gain_alone"] = decided["p"]
    table.loc[rows, "gain_outcome"] = decided["outcome"].map(from_other_side)


Group = Mapping[str, Any]
"""One row of ``summary``."""


def by_setting(table: pd.DataFrame) -> dict[int, dict[str, Group]]:
    """Map each setting to its groups by label: thousands of rows are read much faster so."""
    found: dict[int, dict[str, Group]] = {}
    for row in table.to_dict("records"):
        found.setdefault(row["setting"], {})[row["label"]] = {str(k): v for k, v in row.items()}
    return found


def facet_and_shots(groups: Mapping[str, Group]) -> tuple[str, Any]:
    """Read the facet and the shots of a setting from its groups."""
    first = next(iter(groups.values()))
    return first["facet"], first["shots"]


def _facets(places: pd.DataFrame) -> list[str]:
    """Name each setting, shots aside, by no more than tells the suite's settings apart."""
    backbones = places["backbone"].nunique() > 1
    protocols = places.groupby("problem")["protocol"].transform("nunique") > 1
    return [
        " · ".join(
            ([] if str(test).startswith(str(problem)) else [str(problem)])
            + ([str(test)] if test else [])
            + ([str(protocol)] if named else [])
            + ([f"{ways:.0f}-way"] if ways > 0 else [])
            + ([str(backbone)] if backbones else [])
        )
        for problem, test, protocol, ways, backbone, named in zip(
            places["problem"],
            places["test"],
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
    """Tell what is missing: ``1 of 3 failed, 1 of 3 pending``."""
    states = ["without accuracy" if s == _OK else str(s) for s in cells["status"][~cells["counts"]]]
    return ", ".join(f"{n} of {len(cells)} {state}" for state, n in Counter(states).items())


def _phases(frame: pd.DataFrame) -> pd.Series[str]:
    """Join the phases that any cell of a group found ready, by one space."""
    marked = frame[frame["cached"] != ""]
    found = marked.groupby(["setting", "label"])["cached"].agg(
        lambda texts: " ".join(sorted({phase for text in texts for phase in str(text).split()}))
    )
    return found.astype(object)
