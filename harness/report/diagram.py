"""The critical-difference diagram: strategies by average rank, and which can't be told apart."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.report import words
from harness.report.comparisons import Ranking
from harness.report.stats import Floats
from harness.report.style import INK, STYLE, Look


def critical_difference(found: Ranking, looks: Mapping[str, Look]) -> Figure:
    """Demšar's diagram (2006, fig. 1), a row a strategy so that labels of any length have room.

    Bars beside the rows join strategies whose average ranks are not told apart; above, a line as
    long as the critical difference.
    """
    assert found.ranks is not None
    order = np.argsort(found.ranks.average, kind="stable")
    average = found.ranks.average[order]
    joined = cliques(average, found.ranks.apart[np.ix_(order, order)])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.7, 1.3 + 0.3 * len(order)), layout="constrained")
        ax = figure.subplots()
        for row, place in enumerate(order):
            ax.plot(average[row], row, **looks[found.labels[place]].line)
        k = len(order)
        for step, (first, last) in enumerate(joined):
            x = k + 0.35 + 0.25 * step
            ax.plot([x, x], [first - 0.25, last + 0.25], color=INK, linewidth=2.5, clip_on=False)
        right = 1 + min(found.ranks.critical, k - 1)
        ax.plot([1, right], [-1, -1], color=INK, linewidth=1.2, marker="|", markersize=7)
        text = f"critical difference {found.ranks.critical:.2f}"
        ax.text(1, -1.25, text, va="bottom", fontsize="small")
        ax.set_yticks(range(k), [words.shortened(found.labels[place], 22) for place in order])
        ax.set_ylim(k - 0.5, -2)
        ax.set_xlim(0.75, k + 0.25 + 0.25 * max(len(joined), 1))
        ax.set_xticks(range(1, k + 1, -(-k // 8)))
        ax.grid(visible=True, axis="x")
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(f"average rank (1 is best)\nover {found.problems} problems")
        ax.spines[["top", "right", "left"]].set_visible(False)
    return figure


def cliques(average: Floats, apart: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The longest runs of rows, ordered by ``average``, in which no two are ``apart`` [k, k]."""
    runs: list[tuple[int, int]] = []
    for first in range(len(average)):
        last = first
        while last + 1 < len(average) and not apart[first : last + 1, last + 1].any():
            last += 1
        if last > first and not (runs and runs[-1][1] >= last):
            runs.append((first, last))
    return runs


def told(found: Ranking) -> str:
    """The diagram in words, for who can't see it."""
    assert found.ranks is not None
    order = np.argsort(found.ranks.average, kind="stable")
    ranks = "; ".join(f"{found.labels[i]}: {found.ranks.average[i]:.2f}" for i in order)
    return f"Average ranks. {ranks}. Critical difference: {found.ranks.critical:.2f}."
