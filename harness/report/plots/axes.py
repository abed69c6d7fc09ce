"""Fill one pair of axes: marks with intervals, rows of dots, marks over a cost, curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from harness.report import format
from harness.report.plots import ticks
from harness.report.plots.style import INK, PAPER, Look
from harness.shots import shots_order, shots_text

Looks = Mapping[str, Look]
Floats = NDArray[np.float64]

INTERVAL = ("accuracy", "accuracy_low", "accuracy_high")
"""Columns of a mean and of the ends of its interval."""

DODGE = 0.2
"""How far marks of one number of shots stand to either side, of the way to the next."""

LINE = 0.085
"""What a line of text takes of the height of a facet's axes."""

LETTERS = 18
"""Of a name that is written into the axes, at most."""


class End(NamedTuple):
    """Where the line of a strategy ends."""

    look: Look
    label: str
    x: float
    y: float


def by_shots(ax: Axes, rows: pd.DataFrame, looks: Looks) -> None:
    """Accuracy over the shots, evenly spaced in their order, strategies side by side; rows of dots
    where there is but one value."""
    shots = sorted(rows["shots"].unique(), key=shots_order)
    if len(shots) == 1:
        _dots(ax, rows, looks)
        return
    at = {shot: number for number, shot in enumerate(shots)}
    there = list(_each(rows, looks, "label", "shots", *INTERVAL))
    aside = np.linspace(-DODGE, DODGE, len(there)) if len(there) > 1 else np.zeros(1)
    bars, ends = [], []
    for (look, mine), beside in zip(there, aside, strict=True):
        # Drawn with NaN where a result is missing, so that the line breaks there.
        drawn = np.full((3, len(shots)), np.nan)
        drawn[:, [at[shot] for shot in mine["shots"]]] = [100 * mine[name] for name in INTERVAL]
        x, (y, low, high) = np.arange(len(shots)) + beside, drawn
        ax.plot(x, y, **{**look.line, "linewidth": 1.2})
        bars.append((look, x, low, high))
        if len(known := np.flatnonzero(~np.isnan(y))):
            ends.append(End(look, mine["label"][0], x[known[-1]], y[known[-1]]))
    _bars(ax, bars)
    labels = ["800 in all" if shot == "vtab1k" else str(shot) for shot in shots]
    ax.set_xticks(range(len(shots)), labels)
    ax.set_xlim(-0.35, len(shots) - 0.65)
    ax.set_xlabel("shots: training examples of each class")
    _percent_axis(ax)
    _name_ends(ax, ends)


def _dots(ax: Axes, rows: pd.DataFrame, looks: Looks) -> None:
    """A row a strategy, its label beside it."""
    known = rows[rows["gap"] == ""]
    names = []
    for place, (look, mine) in enumerate(_each(known, looks, "label", *INTERVAL)):
        x, low, high = (100 * mine[name] for name in INTERVAL)
        if not np.isnan(low[0]):
            ax.hlines(place, low, high, colors=look.colour, linewidth=1.2)
        ax.plot(x, [place], **{**look.line, "linestyle": ""})
        names.append(format.shortened(mine["label"][0], 22))
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(f"test accuracy (%), {shots_text(rows['shots'].iloc[0])}")


def against_cost(
    ax: Axes,
    rows: pd.DataFrame,
    looks: Looks,
    *,
    xlabel: str,
    scale: Callable[[Axes, float, float], None],
) -> None:
    """Accuracy over ``x``, a cost, in one setting; the front is joined and its names are written.

    ``scale`` is given the axes and the least and the greatest cost.
    """
    bars = []
    for look, mine in _each(rows, looks, "x", *INTERVAL):
        x, (y, low, high) = mine["x"], (100 * mine[name] for name in INTERVAL)
        bars.append((look, x, low, high))
        style = {**look.line, "markersize": 7, "linestyle": "", "zorder": 3}
        ax.plot(x, y, **style, clip_on=False)  # a mark near 100 % is as whole as any
    _bars(ax, bars)
    _percent_axis(ax)
    scale(ax, rows["x"].min(), rows["x"].max())
    ax.set_xlabel(xlabel)
    front = rows[rows["front"]].sort_values("x")
    x, y = front["x"].to_numpy(), 100 * front["accuracy"].to_numpy()
    ax.plot(x, y, drawstyle="steps-post", color=INK, linewidth=1, linestyle=":", alpha=0.7)
    # Left of a mark on the front there is nothing as high: room for its name.
    halo = [withStroke(linewidth=2.5, foreground=PAPER)]
    for label, place, height in zip(front["label"], front["x"], _heights(ax, y), strict=True):
        ax.annotate(
            format.shortened(label, LETTERS),
            (place, height),
            xycoords=("data", "axes fraction"),
            xytext=(-7, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8.5,
            path_effects=halo,
            zorder=4,
        )


def curves(ax: Axes, rows: pd.DataFrame, looks: Looks, *, xlabel: str, ylabel: str) -> None:
    """``y`` over ``x``, a line a label, named where it ends; marks where points are few."""
    few = rows.groupby("label").size().max() <= 16
    ends = []
    for look, mine in _each(rows, looks, "label", "x", "y"):
        style = {**look.line, "markersize": 4.5, "markeredgewidth": 0.6, "linewidth": 1.2}
        ax.plot(mine["x"], mine["y"], **(style if few else {**style, "marker": ""}))
        ends.append(End(look, mine["label"][0], mine["x"][-1], mine["y"][-1]))
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    _lift(ax, [end.y for end in ends])
    _name_ends(ax, ends)


def over_time(ax: Axes, rows: pd.DataFrame, looks: Looks, *, xlabel: str, ylabel: str) -> None:
    """``y`` over ``x``, seconds: a staircase a label, with a mark at either end."""
    ends = []
    for look, mine in _each(rows, looks, "x", "y"):
        ax.plot(
            mine["x"],
            mine["y"],
            drawstyle="steps-post",
            markevery=[0, len(mine["x"]) - 1],
            **{**look.line, "markersize": 4.5, "linewidth": 1.2},
        )
        ends.append(mine["y"][-1])
    ticks.seconds(ax, rows["x"].min(), rows["x"].max())
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    _lift(ax, ends)


def reliability(ax: Axes, rows: pd.DataFrame, looks: Looks) -> None:
    """Accuracy over confidence, both in percent, with the interval of each bin."""
    ax.plot([0, 100], [0, 100], color=INK, linewidth=0.8, linestyle=":", alpha=0.7)
    for look, mine in _each(rows, looks, "x", "y", "low", "high"):
        x, low, high = mine["x"], mine["low"], mine["high"]
        ax.plot(x, mine["y"], **{**look.line, "markersize": 4.5, "linewidth": 1.2}, clip_on=False)
        if len(x) > 1:
            ax.fill_between(x, low, high, color=look.colour, alpha=0.13, linewidth=0)
        else:
            ax.vlines(x, low, high, colors=look.colour, linewidth=1.2)
    least = float(rows[["x", "low"]].min().min())
    room = 0.04 * (100 - least)
    for limits in (ax.set_xlim, ax.set_ylim):
        limits(max(least - room, -room), 100 + room)
    ax.set_xlabel("confidence (%)")
    ax.set_ylabel("accuracy (%)")


def _each(
    rows: pd.DataFrame, looks: Looks, *names: str
) -> Iterator[tuple[Look, dict[str, NDArray[Any]]]]:
    """The strategies that are there, in the suite's order: the look of each and its columns.

    As arrays: taken row by row and label by label from the table, they take longer than to draw.
    """
    labels = rows["label"].to_numpy(object)
    columns = {name: rows[name].to_numpy() for name in names}
    for label, look in looks.items():
        if (mine := labels == label).any():
            yield look, {name: column[mine] for name, column in columns.items()}


def _bars(ax: Axes, bars: Sequence[tuple[Look, Floats, Floats, Floats]]) -> None:
    """The intervals of all strategies' accuracies, where they are known: x and both ends."""
    x, low, high = (np.concatenate(parts) for parts in list(zip(*bars, strict=True))[1:])
    colours = np.repeat([look.colour for look, *_ in bars], [len(part) for _, part, *_ in bars])
    known = ~np.isnan(low)
    if known.any():
        ax.vlines(x[known], low[known], high[known], colors=colours[known].tolist(), linewidth=1.2)


def _percent_axis(ax: Axes) -> None:
    ax.set_ylabel("test accuracy (%)")
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -2), min(high, 102))


def _lift(ax: Axes, ends: Sequence[float]) -> None:
    """Give the ends of lines half of the axis, but beneath them 5 points: what starts further
    below comes in from there."""
    low, high = ax.get_ylim()
    high = min(high, 101)
    ax.set_ylim(max(low, min(ends) - max(high - min(ends), 5.0)), high)


def _name_ends(ax: Axes, ends: Sequence[End]) -> None:
    """Write names at the right of the axes, each joined to the end of its line."""
    ends = sorted(ends, key=lambda end: end.y)
    heights = _heights(ax, np.array([end.y for end in ends]))
    for (look, label, x, y), height in zip(ends, heights, strict=True):
        ax.annotate(
            format.shortened(label, LETTERS),
            (x, y),
            xytext=(1.05, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": look.colour,
                "linewidth": 0.8,
                "linestyle": ":",  # so that nobody takes it for the line itself
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 4,
            },
        )


def _heights(ax: Axes, y: Floats) -> Floats:
    """Where names of lines at ``y``, sorted, have room: in heights of the axes."""
    low, high = ax.get_ylim()
    return apart((y - low) / (high - low), LINE)


def apart(places: Floats, gap: float) -> Floats:
    """Move sorted places up until neighbours are a gap apart, and down again from above 1."""
    steps = gap * np.arange(len(places))
    raised = np.maximum.accumulate(places - steps) + steps
    return np.asarray(np.minimum(raised, 1 - steps[::-1]))
