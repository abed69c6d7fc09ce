"""The report's plots: one function a plot, each giving a ``Plot`` that can be drawn and told.

A plot has a facet for each problem and backbone, or for each setting, and draws only groups that
are complete; what is left out is named under its facet.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from harness.report import axes, words
from harness.report.results import labels
from harness.report.style import STYLE, Look

MOST = 9
"""Facets that are drawn, at most; the tables hold the rest."""


@dataclass(frozen=True)
class Facet:
    """One pair of axes: what is drawn, what is told to who can't see it, what is left out."""

    title: str
    data: pd.DataFrame
    alt: str
    absent: str


@dataclass(frozen=True)
class Plot:
    """A plot: ``caption`` says how to read it, ``draw`` fills one pair of axes.

    Its facets are the first ``MOST`` of ``total``.
    """

    name: str
    title: str
    caption: str
    facets: Sequence[Facet]
    total: int
    draw: Callable[[Axes, pd.DataFrame, Mapping[str, Look]], None]

    @property
    def labels(self) -> set[str]:
        """The strategies that appear in it."""
        return {str(label) for facet in self.facets for label in facet.data["label"]}

    def figure(self, looks: Mapping[str, Look]) -> Figure:
        """All facets that are drawn, with a legend below."""
        with mpl.rc_context(STYLE):
            handles = [
                look.handle(words.shortened(label, 40))
                for label, look in looks.items()
                if label in self.labels
            ]
            across = min(3, len(self.facets))
            longest = max(len(str(handle.get_label())) for handle in handles)
            columns = max(1, min(len(handles), across * 48 // (longest + 7)))
            lines = -(-len(handles) // columns)
            figure = self._grid(self.facets, looks, across, notes=True, legend=0.25 * lines)
            figure.legend(handles=handles, loc="outside lower left", ncols=columns, frameon=False)
        return figure

    def single(self, facet: Facet, looks: Mapping[str, Look]) -> Figure:
        """One facet's axes, for a page that sets legend and notes itself."""
        with mpl.rc_context(STYLE):
            return self._grid([facet], looks, 1, notes=False, legend=0)

    def _grid(
        self,
        facets: Sequence[Facet],
        looks: Mapping[str, Look],
        across: int,
        *,
        notes: bool,
        legend: float,
    ) -> Figure:
        down = -(-len(facets) // across)
        below = [
            textwrap.wrap(f"Not shown: {facet.absent}", 42) if notes and facet.absent else []
            for facet in facets
        ]
        # Room for the longest note in every row, so that it takes none from the axes.
        height = 2.9 + 0.18 * max(map(len, below))
        size = (3.7 * across, height * down + legend)
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.07))
        grid = list(figure.subplots(down, across, squeeze=False).flat)
        for ax, facet, note in zip(grid, facets, below, strict=False):
            self.draw(ax, facet.data, looks)
            ax.set_title("\n".join(textwrap.wrap(facet.title, 36)), loc="left", weight="bold")
            ax.set_xlabel("\n".join([ax.get_xlabel(), *note]))
            sns.despine(ax=ax)
        for ax in grid[len(facets) :]:
            ax.set_axis_off()
        return figure


def all_plots(
    frame: pd.DataFrame, table: pd.DataFrame, trials: pd.DataFrame, curves: pd.DataFrame
) -> list[Plot]:
    """The plots that there is something to draw in."""
    plots = [
        accuracy_by_shots(table),
        accuracy_by_seconds(table),
        accuracy_by_memory(table),
        tuning_curves(frame, table, trials),
        learning_curves(frame, table, curves),
    ]
    return [plot for plot in plots if plot.facets]


# ── results and costs: a facet a problem and backbone ─────────────────────────────────────────


def accuracy_by_shots(table: pd.DataFrame) -> Plot:
    """Mean test accuracy against shots, with intervals; a row a strategy where shots are alike."""

    def tell(row: pd.Series[Any]) -> str:
        return f"{words.plus_minus(row['accuracy'], row['accuracy_half'])} %"

    return Plot(
        "accuracy_by_shots",
        "Accuracy by shots",
        "Higher is better. A mark is the mean over seeds; its bar, where there is one, is the 95 %"
        " interval. Marks of one column stand side by side only so that all can be seen.",
        *_places(table, "Test accuracy", tell),
        axes.by_shots,
    )


def accuracy_by_seconds(table: pd.DataFrame) -> Plot:
    """Mean test accuracy against the median seconds of a cell, tuning included."""
    return _against_cost(
        table.assign(x=table["seconds_total"]),
        "accuracy_by_seconds",
        "Accuracy against time",
        "time for one cell, tuning included",
        words.duration,
        "Up and to the left is better: more accurate, sooner. Equal steps along the scale"
        " multiply the time.",
    )


def accuracy_by_memory(table: pd.DataFrame) -> Plot:
    """Mean test accuracy against peak bytes: the accelerator's if every group used one."""
    whole = table[table["gap"] == ""]
    device = bool(len(whole)) and bool((whole["peak_device_bytes"] > 0).all())
    return _against_cost(
        table.assign(x=table["peak_device_bytes" if device else "peak_host_bytes"]),
        "accuracy_by_memory",
        "Accuracy against memory",
        "peak memory of the accelerator" if device else "peak memory of the process",
        words.size,
        "Up and to the left is better: more accurate in less memory. Equal steps along the scale"
        " multiply the memory.",
    )


def _against_cost(
    table: pd.DataFrame,
    name: str,
    title: str,
    xlabel: str,
    unit: Callable[[float], str],
    caption: str,
) -> Plot:
    def tell(row: pd.Series[Any]) -> str:
        return f"{words.percent(row['accuracy'])} % at {unit(row['x'])}"

    facets, total = _places(table[(table["x"] > 0) | (table["gap"] != "")], title, tell)
    if any(facet.data["shots"].nunique() > 1 for facet in facets):
        caption += " A line joins the results of one strategy; a larger mark means more shots."
    draw = partial(axes.against_cost, xlabel=xlabel, unit=unit)
    return Plot(name, title, caption, facets, total, draw)


def _places(
    table: pd.DataFrame, what: str, tell: Callable[[pd.Series[Any]], str]
) -> tuple[list[Facet], int]:
    """A facet for each problem and backbone in which some group is complete."""
    table = table[(table["gap"] == "").groupby(table["facet"]).transform("any")]
    facets = []
    for title in table["facet"].unique()[:MOST]:
        rows = table[table["facet"] == title]
        several = rows["shots"].nunique() > 1
        told, lost = [], []
        for _, row in rows.iterrows():
            name = f"{row['label']}, {words.shots_text(row['shots'])}" if several else row["label"]
            if row["gap"]:
                lost.append(f"{name} ({row['gap']})")
            else:
                told.append(f"{name}: {tell(row)}")
        facets.append(_facet(title, rows, f"{what} on {title}", told, lost))
    return facets, table["facet"].nunique()


def _facet(
    title: str, rows: pd.DataFrame, what: str, told: Sequence[str], lost: Sequence[str]
) -> Facet:
    absent = "; ".join(lost)
    alt = f"{what}. {'; '.join(told)}."
    return Facet(title, rows, f"{alt} Not shown: {absent}." if lost else alt, absent)


# ── curves: a facet a setting ─────────────────────────────────────────────────────────────────


def tuning_curves(frame: pd.DataFrame, table: pd.DataFrame, trials: pd.DataFrame) -> Plot:
    """The best validation accuracy found so far, against trials; mean over seeds.

    A curve starts where every seed has a finished trial and ends with the shortest of them, so
    that each point is a mean over all seeds.
    """
    known = trials.merge(_of_cells(frame), on="cell").sort_values(["rank", "cell", "number"])
    known["best"] = known["value"].astype("float64").where(known["state"] == "complete")
    by_cell = known.groupby("cell", sort=False)
    known["best"] = by_cell["best"].cummax()
    known["best"] = by_cell["best"].ffill()
    points = known.groupby(["setting", "label", "number"], sort=False).agg(
        best=("best", "mean"), seeds=("best", "count"), planned=("planned", "first")
    )
    points = points[points["seeds"] == points["planned"]].reset_index()
    points = points.assign(x=points["number"] + 1, y=100 * points["best"], unit=0)
    return Plot(
        "tuning_curves",
        "What tuning brings",
        "The best validation accuracy found after so many trials (settings tried), mean over"
        " seeds. The first trial is the strategy's defaults. A curve that still rises at its end"
        " would gain from a larger budget.",
        *_settings(table, points, "Best validation accuracy", "trials"),
        partial(axes.curves, xlabel="trials", ylabel="best validation accuracy (%)"),
    )


def learning_curves(frame: pd.DataFrame, table: pd.DataFrame, curves: pd.DataFrame) -> Plot:
    """Validation accuracy against optimiser steps of the selected trial, a line a seed."""
    points = curves.merge(_of_cells(frame), on="cell").sort_values(["rank", "cell", "step"])
    points["y"] = 100 * points["value"].astype("float64")
    points = points.rename(columns={"step": "x", "seed": "unit"})
    return Plot(
        "learning_curves",
        "How the chosen settings learn",
        "Validation accuracy while training with the settings that tuning chose, a line a seed. A"
        " line that still rises at its end would gain from more steps.",
        *_settings(table, points, "Validation accuracy", "optimiser steps"),
        partial(axes.curves, xlabel="optimiser steps", ylabel="validation accuracy (%)"),
    )


def _of_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """For each cell of a complete group, what its curves need to know."""
    groups = frame.groupby(["setting", "label"])
    rank = {label: place for place, label in enumerate(labels(frame))}
    known = frame.assign(planned=groups["cell"].transform("size"), rank=frame["label"].map(rank))
    whole = groups["counts"].transform("all")
    return known.loc[whole, ["cell", "setting", "label", "seed", "planned", "rank"]]


def _settings(
    table: pd.DataFrame, points: pd.DataFrame, what: str, unit: str
) -> tuple[list[Facet], int]:
    """A facet a setting; ``points`` has ``setting``, ``label``, ``x``, ``y`` and ``unit``.

    The text for who can't see a curve tells where it ends, mean over its lines.
    """
    table = table[table["setting"].isin(points["setting"])]
    facets = []
    for setting in table["setting"].unique()[:MOST]:
        group, rows = table[table["setting"] == setting], points[points["setting"] == setting]
        last = rows[rows["x"] == rows.groupby(["label", "unit"])["x"].transform("max")]
        ends = last.groupby("label", sort=False)[["x", "y"]].mean()
        told = [
            f"{label}: {y:.1f} % after {x:.0f} {unit}"
            for label, x, y in zip(ends.index, ends["x"], ends["y"], strict=True)
        ]
        lost = [
            f"{label} ({gap or 'no curve recorded'})"
            for label, gap in zip(group["label"], group["gap"], strict=True)
            if label not in ends.index
        ]
        title = f"{group['facet'].iloc[0]}, {words.shots_text(group['shots'].iloc[0])}"
        facets.append(_facet(title, rows, f"{what} on {title}", told, lost))
    return facets, table["setting"].nunique()
