"""How plots look: one style for all, and for each strategy a colour, a mark and a dash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import seaborn as sns
from matplotlib.lines import Line2D

from harness.report.analysis.results import Strategies

INK, PAPER, RULE = "#24292e", "#fffffe", "#dfe2e6"
"""Text and axes, what lies behind, and grid lines. No other thing is drawn in these colours, so
that a page can put its own in their place."""

# From seaborn's colour-blind palette: those that can be seen on white and on black. Marks differ
# in shape too, for readers who can't tell the colours apart.
_COLOURS = ["#0173b2", "#d55e00", "#029e73", "#cc78bc", "#ca9161", "#de8f05", "#56b4e9"]
_BASELINE_COLOUR = "#8c8c8c"
_MARKERS = ["o", "s", "D", "^", "v", "P", "X", "p"]
_DASHES: list[tuple[float, ...]] = [(), (4, 1.5), (1, 1), (5, 1, 1, 1)]

STYLE = {
    **sns.axes_style("ticks"),
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "legend.fontsize": 10,
    "lines.linewidth": 1.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "harness",
    "text.color": INK,
    "text.parse_math": False,  # a label may have a $ in it
    "xtick.color": INK,
    "xtick.labelsize": 10,
    "ytick.color": INK,
    "ytick.labelsize": 10,
}

MARK: dict[str, Any] = {"markersize": 6, "markeredgecolor": PAPER, "markeredgewidth": 0.8}
"""Marks have an edge of the paper's colour, so that those on top of each other stay apart."""


@dataclass(frozen=True)
class Look:
    """How a strategy is drawn, the same in every plot. ``dash``: lengths of marks and gaps, in
    widths of the line, or nothing for a solid one."""

    colour: str
    marker: str
    dash: tuple[float, ...]

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of ``Axes.plot``."""
        dashes = (0, self.dash) if self.dash else "-"
        return {"color": self.colour, "marker": self.marker, "linestyle": dashes, **MARK}

    def handle(self, label: str) -> Line2D:
        """Its entry in a legend."""
        return Line2D([], [], label=label, **self.line)


def looks(strategies: Strategies) -> dict[str, Look]:
    """A look for each label, in the suite's order; the baseline is grey.

    Colours come round again after seven, with other marks and dashes.
    """
    reference = strategies.baseline
    found: dict[str, Look] = {}
    for label in strategies.labels:
        place = len(found.keys() - {reference})
        found[label] = (
            Look(_BASELINE_COLOUR, _MARKERS[0], ())
            if label == reference
            else Look(
                _COLOURS[place % len(_COLOURS)],
                _MARKERS[(place + 1) % len(_MARKERS)],
                _DASHES[place // len(_COLOURS) % len(_DASHES)],
            )
        )
    return found
