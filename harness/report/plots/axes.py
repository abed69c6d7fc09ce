"""Fill one pair of axes: marks with intervals, rows of dots, marks over a cost, curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from harness.report import format
from harness.report.plots.style import INK, MARK, PAPER, Look
from harness.shots import shots_order, shots_text

Looks = Mapping[str, Look]
Floats = NDArray[np.float64]
_Unit = Callable[[float], str]

INTERVAL = ("accuracy", "accuracy_low", "accuracy_high")
"""Columns of a mean and of the ends of its interval."""


def by_shots(ax: Axes, rows: pd.DataFrame, looks: Looks) -> None:
    """Accuracy over the shots, evenly spaced in their order; dots where there is but one value."""
    shots = sorted(rows["shots"].unique(), key=shots_order)
    if len(shots) == 1:
        _dots(ax, rows, looks)
        return
    place, at = np.arange(len(shots)), {shot: number for number, shot in enumerate(shots)}
    bars = []
    for look, mine in _each(rows, looks, "shots", *INTERVAL):
        # Drawn with NaN where a result is missing, so that the line breaks there.
        drawn = np.full((3, len(shots)), np.nan)
        drawn[:, [at[shot] for shot in mine["shots"]]] = [100 * mine[name] for name in INTERVAL]
        y, low, high = drawn
        ax.plot(place, y, **look.line)
        ax.fill_between(place, low, high, color=look.colour, alpha=0.13, linewidth=0)
        # A shade needs two neighbours; a result that stands alone has a bar.
        missing = np.pad(np.isnan(y), 1, constant_values=True)
        alone = missing[:-2] & missing[2:]
        bars.append((look, place[alone], low[alone], high[alone]))
    _bars(ax, bars)
    ticks = ["800 in all" if shot == "vtab1k" else str(shot) for shot in shots]
    ax.set_xticks(range(len(shots)), ticks)
    ax.set_xlim(-0.2, len(shots) - 0.8)
    ax.set_xlabel("shots: training examples of each class")
    _percent_axis(ax)


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


def against_cost(ax: Axes, rows: pd.DataFrame, looks: Looks, *, xlabel: str, unit: _Unit) -> None:
    """Accuracy over ``x``, a cost in ``unit``; one strategy's marks grow with the shots."""
    shots = sorted(rows["shots"].unique(), key=shots_order)
    sizes = dict(zip(shots, np.linspace(5.5 if len(shots) > 1 else 7, 9, len(shots)), strict=True))
    bars = []
    for look, mine in _each(rows, looks, "shots", "x", *INTERVAL):
        x, (y, low, high) = mine["x"], (100 * mine[name] for name in INTERVAL)
        if len(x) > 1:
            # With the groups that have a gap, whose numbers are NaN, so that the line breaks there.
            path = {**look.line, "marker": "", "linewidth": 0.8, "alpha": 0.6}
            ax.plot(x, y, **path)
        bars.append((look, x, low, high))
        ax.scatter(
            x,
            y,
            s=[sizes[shot] ** 2 for shot in mine["shots"]],
            color=look.colour,
            marker=look.marker,
            edgecolors=PAPER,
            linewidths=MARK["markeredgewidth"],
            zorder=3,
            clip_on=False,  # a mark near 100 % is as whole as any
        )
    _bars(ax, bars)
    fronts = rows[rows["front"]].sort_values("x")
    for shot, front in fronts.groupby("shots", sort=False):
        x, y, size = front["x"].to_numpy(), 100 * front["accuracy"].to_numpy(), sizes[shot] + 4.5
        ax.scatter(
            x,
            y,
            s=size**2,
            facecolors="none",
            edgecolors=INK,
            linewidths=1,
            zorder=4,
            clip_on=False,
        )
        ax.plot(x, y, drawstyle="steps-post", color=INK, linewidth=1, linestyle=":", alpha=0.7)
    _log_axis(ax, rows["x"].min(), rows["x"].max(), unit)
    ax.set_xlabel(xlabel)
    _percent_axis(ax)


def curves(ax: Axes, rows: pd.DataFrame, looks: Looks, *, xlabel: str, ylabel: str) -> None:
    """``y`` over ``x``, a line for each ``unit`` of each label; marks where points are few."""
    few = rows.groupby(["label", "unit"]).size().max() <= 16
    for look, mine in _each(rows, looks, "unit", "x", "y"):
        style = {**look.line, "markersize": 4.5, "markeredgewidth": 0.6, "linewidth": 1.2}
        if not few:
            style["marker"] = ""
        for one in np.unique(mine["unit"]):
            line = mine["unit"] == one
            ax.plot(mine["x"][line], mine["y"][line], **style)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)


def over_time(ax: Axes, rows: pd.DataFrame, looks: Looks, *, xlabel: str, ylabel: str) -> None:
    """``y`` over ``x``, seconds: a staircase a label, with a mark at either end."""
    for look, mine in _each(rows, looks, "x", "y"):
        ax.plot(
            mine["x"],
            mine["y"],
            drawstyle="steps-post",
            markevery=[0, len(mine["x"]) - 1],
            **{**look.line, "markersize": 4.5, "linewidth": 1.2},
        )
    _log_axis(ax, rows["x"].min(), rows["x"].max(), format.duration)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)


def reliability(ax: Axes, rows: pd.DataFrame, looks: Looks) -> None:
    """Accuracy over confidence, both in percent; a mark's area tells its bin's share."""
    ax.plot([0, 100], [0, 100], color=INK, linewidth=0.8, linestyle=":", alpha=0.7)
    for look, mine in _each(rows, looks, "x", "y", "share"):
        ax.plot(mine["x"], mine["y"], **{**look.line, "marker": "", "linewidth": 1})
        ax.scatter(
            mine["x"],
            mine["y"],
            s=6 + 180 * mine["share"],
            color=look.colour,
            marker=look.marker,
            edgecolors=PAPER,
            linewidths=0.6,
            zorder=3,
            clip_on=False,
        )
    ax.set_xlim(-3, 103)
    ax.set_ylim(-3, 103)
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


_COARSE: Mapping[_Unit, list[float]] = {
    format.duration: [
        *(m * 10.0**e for e in range(-4, 1) for m in (1, 2, 5)),
        *(10, 20, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000, 86400, 172800, 604800),
    ],
    format.size: [m * 10.0**e for e in range(3, 14) for m in (1, 2, 5)],
}
_FINE: Mapping[_Unit, list[float]] = {
    format.duration: [
        *(m * 10.0**e for e in range(-4, 1) for m in (1, 1.5, 2, 3, 5, 7)),
        *(m * 10.0 for m in (1, 1.5, 2, 3, 4.5, 6, 9, 12, 18, 30, 45, 60, 90, 120, 180, 240, 360)),
    ],
    format.size: [m * 10.0**e for e in range(3, 14) for m in (1, 1.5, 2, 3, 5, 7)],
}
"""Where a reader of seconds or of bytes expects a tick."""


def _log_axis(ax: Axes, low: float, high: float, unit: _Unit) -> None:
    """A logarithmic x axis from ``low`` to ``high`` with some room and at most five ticks."""
    room = max((high / low) ** 0.08, 1.15)
    low, high = low / room, high * room
    evenly = [float(tick) for tick in MaxNLocator(4).tick_values(low, high)]
    within = [
        [tick for tick in ticks if low <= tick <= high]
        for ticks in (_COARSE[unit], _FINE[unit], evenly)
    ]
    ticks = next((ticks for ticks in within if len(ticks) >= 3), within[-1])
    # Labels need a fifth of the axis each.
    apart = np.diff(np.log(ticks)).min(initial=np.inf) / np.log(high / low)
    ticks = ticks[:: max(1, round(np.ceil(0.19 / apart)))]
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FixedFormatter([unit(tick) for tick in ticks]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(low, high)
