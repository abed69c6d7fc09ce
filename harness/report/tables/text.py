"""Make the tables of a suite's results, as text for people.

``results`` (a row a strategy, a column a problem and its shots), ``cost`` (a row a strategy in a
setting), ``cells`` (a row a cell), and what is tested: ``comparisons`` (a row every two strategies
in a setting), ``overall`` (two strategies over all problems) and ``ranks``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report import format
from harness.report.analysis.claims import CLAIM
from harness.report.analysis.problems import OverProblems, Ranking
from harness.report.analysis.results import (
    METRICS,
    PHASES,
    SECONDS,
    Group,
    Strategies,
    by_setting,
    facet_and_shots,
)
from harness.shots import shots_text

METRIC_TITLES = {"auroc_macro": "AUROC macro", "ece": "calibration error"}
"""Metrics whose names are not their titles."""


def results_table(strategies: Strategies, table: pd.DataFrame) -> pd.DataFrame:
    """Make a row a strategy; for each setting its accuracy in percent and its gain in points.

    A group with a gap shows the gap's words instead.
    """
    names, reference = strategies.labels, strategies.baseline
    bounds = {*strategies.bounds}
    shown = {"strategy": [f"{label} (bound)" if label in bounds else label for label in names]}
    for groups in by_setting(table).values():
        title = format.setting_text(*facet_and_shots(groups))
        rows = [groups.get(label) for label in names]
        shown[f"{title}: accuracy (%)"] = [
            accuracy_text(row) if row else format.GAP for row in rows
        ]
        if reference is not None:
            shown[f"{title}: gain over {reference} (points)"] = [
                gain_text(row) if row else format.GAP for row in rows
            ]
    return pd.DataFrame(shown)


def accuracy_text(group: Group) -> str:
    """``92.1 ± 0.8``, as ``format.accuracy``, or the words for what is missing."""
    return group["gap"] or format.accuracy(group)


def gain_text(group: Group) -> str:
    """``+2.3 ± 1.1``."""
    return format.signed_plus_minus(group["gain"], group["gain_half"])


def cost_table(table: pd.DataFrame) -> pd.DataFrame:
    """Show seconds by phase, bytes and parameters; phases that were found ready carry a †.

    A group with a gap has the gap's words for a total. Columns that are 0 or unknown throughout,
    such as those of a device on a CPU, are left out.
    """
    shown = where(table)
    seconds = table["seconds_total"].map(format.seconds)
    shown["total (s)"] = seconds.where(table["gap"] == "", table["gap"])
    if table["cpu_seconds_total"].notna().any():
        shown["CPU time (s)"] = table["cpu_seconds_total"].map(format.seconds)
    for phase, column in zip(PHASES, SECONDS, strict=True):
        if phase == "total":
            continue
        shown[f"{phase} (s)"] = [
            format.seconds(seconds) + (" †" if phase in cached.split() else "")
            for seconds, cached in zip(table[column], table["cached"], strict=True)
        ]
    shown["peak on device"] = table["peak_device_bytes"].map(format.size)
    shown["peak on host"] = table["peak_host_bytes"].map(format.size)
    if table["joules"].notna().any():
        shown["energy (J)"] = table["joules"].map(format.significant)
    shown["to fit"] = table["flops_fit"].map(format.flops)
    shown["to predict one"] = table["flops_predict"].map(format.flops)
    shown["predicted a second, one by one"] = table["throughput_one"].map(format.rounded)
    shown["in bulk"] = table["throughput_many"].map(format.rounded)
    shown["parameters trained, with the head"] = table["trainable_params"].map(format.integer)
    shown["of the backbone"] = table["total_params"].map(format.integer)
    shown["trials"] = table["trials"].map(format.integer)
    return shown.loc[:, [not {*column} <= {"0", format.GAP} for _, column in shown.items()]]


def metrics_table(table: pd.DataFrame) -> pd.DataFrame:
    """Show every metric of complete groups, mean over seeds: in percent, log loss in nats."""
    table = table[table["gap"] == ""]
    shown = where(table)
    shown["accuracy (%)"] = table["accuracy"].map(format.percent)
    for name in METRICS:
        title = METRIC_TITLES.get(name, name.replace("_", " "))
        if name == "log_loss":
            shown[f"{title} (nats)"] = table[name].map(format.significant)
        else:
            shown[f"{title} (%)"] = table[name].map(format.percent)
    return shown


def cells_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Make a row a planned cell."""
    shown = where(frame)
    shown["seed"] = frame["seed"].astype(str)
    shown["status"] = frame["status"]
    shown["test accuracy (%)"] = frame["accuracy"].map(format.percent)
    shown["validation accuracy (%)"] = frame["accuracy_val"].map(format.percent)
    shown["time (s)"] = frame["seconds_total"].map(format.seconds)
    shown["peak on device"] = frame["peak_device_bytes"].map(format.size)
    shown["peak on host"] = frame["peak_host_bytes"].map(format.size)
    shown["trials"] = frame["trials"].map(format.integer)
    shown["cell"] = frame["cell"]
    return shown


def pairwise_table(table: pd.DataFrame, pairwise: pd.DataFrame) -> pd.DataFrame:
    """Make a row for every two strategies in a setting: how far apart, and whether surely."""
    first = table.drop_duplicates("setting").set_index("setting")
    points, half = 100 * pairwise["difference"], 100 * pairwise["half"]
    return pd.DataFrame(
        {
            "problem": pairwise["setting"].map(first["facet"]),
            "shots": pairwise["setting"].map(first["shots"]).map(shots_text),
            "strategy": pairwise["left"],
            "against": pairwise["right"],
            "difference (points)": _differences(points, half),
            "seeds": pairwise["n"].map(format.integer),
            "p": pairwise["p"].map(format.p_number),
            "p (Holm)": pairwise["p_holm"].map(format.p_number),
            "finding": pairwise["outcome"].map(format.OUTCOMES.__getitem__),
        }
    )


def problems_table(rows: Sequence[OverProblems]) -> pd.DataFrame:
    """Make a row for every two strategies that are compared over all problems."""
    general = {}
    if any(not np.isnan(row.low) for row in rows):
        ends = [(format.signed(row.low), format.signed(row.high)) for row in rows]
        general["for problems like these"] = [" to ".join(dict.fromkeys(both)) for both in ends]
    return pd.DataFrame(
        {
            "strategy": [row.left for row in rows],
            "against": [row.right for row in rows],
            "difference (points)": [format.signed_plus_minus(row.points, row.half) for row in rows],
            "p (Holm)": [format.p_number(row.p_holm) for row in rows],
            "finding": [format.OUTCOMES[row.outcome] for row in rows],
            **general,
            "probability of improvement": [f"{row.probability:.2f}" for row in rows],
            "over": [
                f"{format.plural(row.problems, 'problem')},"
                f" {format.plural(row.settings, 'setting')}"
                for row in rows
            ],
            "test": [row.test for row in rows],
        }
    )


def ranks_table(found: Ranking, apart: NDArray[np.bool_]) -> pd.DataFrame:
    """Make a row a strategy, the best average rank first, with the others not ``apart`` from it
    [k, k] by the tests over all problems; none where strategies could not be ranked."""
    shown: dict[str, list[str]] = {"strategy": [], "average rank": [], "not told apart from": []}
    if found.ranks is None:
        return pd.DataFrame(shown)
    average = found.ranks
    order = np.argsort(average, kind="stable")
    for row in order:
        alike = [found.labels[other] for other in order if other != row and not apart[row, other]]
        shown["strategy"].append(found.labels[row])
        shown["average rank"].append(f"{average[row]:.2f}")
        shown["not told apart from"].append(", ".join(alike) or format.GAP)
    return pd.DataFrame(shown)


def claims_table(claims: pd.DataFrame) -> pd.DataFrame:
    """Make a row for each published claim in each setting that it speaks of."""
    return pd.DataFrame(
        {
            "claim": [
                f"{left} {sign} {right}" for left, sign, right in claims[CLAIM[:3]].to_numpy()
            ],
            "problem": claims["facet"],
            "shots": claims["shots"].map(shots_text),
            "difference (points)": _differences(100 * claims["difference"], 100 * claims["half"]),
            "p (Holm)": claims["p_holm"].map(format.p_number),
            "outcome": claims["verdict"],
            "source": claims["source"],
        }
    )


def _differences(points: pd.Series[float], half: pd.Series[float]) -> list[str]:
    return [format.signed_plus_minus(*both) for both in zip(points, half, strict=True)]


def where(table: pd.DataFrame) -> pd.DataFrame:
    """Make the columns that say which setting and strategy a row is of."""
    return pd.DataFrame(
        {
            "problem": table["facet"],
            "shots": table["shots"].map(shots_text),
            "strategy": table["label"],
        }
    )
