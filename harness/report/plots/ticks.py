"""Scale the axis of a cost, with ticks where a reader expects them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from harness.report import format

NAMES = 0.28
"""What names to the left of the least cost take of the width of a facet's axes."""

_COARSE: list[float] = [
    *(m * 10.0**e for e in range(-4, 1) for m in (1, 2, 5)),
    *(10, 20, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000, 86400, 172800, 604800),
]
_FINE: list[float] = [
    *(m * 10.0**e for e in range(-4, 1) for m in (1, 1.5, 2, 3, 5, 7)),
    *(m * 10.0 for m in (1, 1.5, 2, 3, 4.5, 6, 9, 12, 18, 30, 45, 60, 90, 120, 180, 240, 360)),
]
"""Where a reader of seconds expects a tick."""


def seconds(ax: Axes, low: float, high: float, names: float = 0.0) -> None:
    """A logarithmic x axis from ``low`` to ``high`` seconds with some room, and on the left some
    more for ``names``, a share of its width; it has at most five ticks."""
    room = max((high / low) ** 0.08, 1.15)
    low, high = low / room, high * room
    begin = low / (high / low) ** (names / (1 - names))
    evenly = [float(tick) for tick in MaxNLocator(4).tick_values(low, high)]
    within = [[tick for tick in ticks if low <= tick <= high] for ticks in (_COARSE, _FINE, evenly)]
    ticks = next((ticks for ticks in within if len(ticks) >= 3), within[-1])
    # Labels need a fifth of the axis each.
    apart = np.diff(np.log(ticks)).min(initial=np.inf) / np.log(high / begin)
    ticks = ticks[:: max(1, round(np.ceil(0.19 / apart)))]
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FixedFormatter([format.duration(tick) for tick in ticks]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(begin, high)


def over_cheapest(ax: Axes, low: float, high: float) -> None:
    """An x axis of percent over the cheapest, from ``low`` to ``high``, with room for names."""
    span = max(high - low, 1.0)
    steps = MaxNLocator(4).tick_values(low, low + span)
    ticks = [float(tick) for tick in steps if low <= tick <= low + 1.05 * span]
    ax.set_xticks(ticks, [f"+{tick:g} %" if tick else "0" for tick in ticks])
    ax.set_xlim(low - span * NAMES / (1 - NAMES), low + 1.08 * span)
