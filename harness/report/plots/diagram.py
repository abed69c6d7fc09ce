"""Draw average ranks, and which strategies the report's tests do not tell apart."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.report import format
from harness.report.analysis.problems import Ranking
from harness.report.plots.style import INK, STYLE, Look


def average_ranks(found: Ranking, apart: NDArray[np.bool_], looks: Mapping[str, Look]) -> Figure:
    """Draw a row a strategy, so that labels of any length have room, by average rank.

    Lines beside the rows join strategies that are not ``apart`` [k, k], by a dot in the row of
    each. Demšar's diagram (2006, fig. 1) has them for Nemenyi's test; here they are for the tests
    that the report goes by.
    """
    assert found.ranks is not None
    order = np.argsort(found.ranks, kind="stable")
    average = found.ranks[order]
    joined = cliques(apart[np.ix_(order, order)])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.7, 0.9 + 0.3 * len(order)), layout="constrained")
        ax = figure.subplots()
        for row, place in enumerate(order):
            ax.plot(average[row], row, **looks[found.labels[place]].line)
        k = len(order)
        for step, rows in enumerate(joined):
            x = np.full(len(rows), k + 0.35 + 0.25 * step)
            ax.plot(x, rows, color=INK, linewidth=1.5, marker="o", markersize=4, clip_on=False)
        ax.set_yticks(range(k), [format.shortened(found.labels[place], 22) for place in order])
        ax.set_ylim(k - 0.5, -0.5)
        ax.set_xlim(0.75, k + 0.25 + 0.25 * max(len(joined), 1))
        ax.set_xticks(range(1, k + 1, -(-k // 8)))
        ax.grid(visible=True, axis="x")
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(
            f"average rank (1 is best)\nover {found.problems} problems"
            + ("\njoined by a line: not told apart" if joined else "")
        )
        ax.spines[["top", "right", "left"]].set_visible(False)
    return figure


def cliques(apart: NDArray[np.bool_]) -> list[list[int]]:
    """Group rows of which no two are ``apart`` [k, k], so that no group could have one more, and
    every two that are not apart share one."""
    groups: list[list[int]] = []
    for first, second in zip(*np.nonzero(np.triu(~apart, 1)), strict=True):
        if any(first in group and second in group for group in groups):
            continue
        group = [int(first), int(second)]
        for row in range(len(apart)):
            if row not in group and not apart[row, group].any():
                group.append(row)
        groups.append(sorted(group))
    return groups


def describe(found: Ranking, apart: NDArray[np.bool_]) -> str:
    """Tell the diagram in words, for readers who can't see it."""
    assert found.ranks is not None
    order = np.argsort(found.ranks, kind="stable")
    ranks = "; ".join(f"{found.labels[i]}: {found.ranks[i]:.2f}" for i in order)
    names = [found.labels[i] for i in order]
    groups = [
        format.listing(names[row] for row in rows) for rows in cliques(apart[np.ix_(order, order)])
    ]
    alike = f"Not told apart: {'; '.join(groups)}." if groups else "Every two are told apart."
    return f"Average ranks. {ranks}. {alike}"
