"""A plot: facets that are drawn one way and told in words, and the figure of them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from harness.report import format
from harness.report.plots.style import STYLE, Look

Draw: TypeAlias = Callable[[Axes, pd.DataFrame, Mapping[str, Look]], None]
"""Fills one pair of axes."""

MOST_LINES = 7
"""Lines that a facet has, at most: as many as there are colours."""

WIDTH = 4.4
"""Inches of a facet, with the names beside it."""


def highest(rows: pd.DataFrame, ends: pd.Series[float]) -> tuple[pd.DataFrame, str]:
    """Keep the lines that end highest where there are more than can be told apart, with a note.

    Args:
        rows: with a ``label``.
        ends: by label, where its line ends; labels that it lacks have no line, and are kept.
    """
    if len(ends) <= MOST_LINES:
        return rows, ""
    left_out = ends.sort_values(ascending=False, kind="stable").index[MOST_LINES:]
    note = f"Drawn: the {MOST_LINES} of {len(ends)} that end highest"
    return rows[~rows["label"].isin(left_out)], note


@dataclass(frozen=True)
class Facet:
    """One pair of axes: what is drawn, what is told to readers who can't see it, what is left out,
    and what is noted below."""

    title: str
    data: pd.DataFrame
    alt: str
    absent: str
    note: str = ""

    @classmethod
    def of(
        cls,
        title: str,
        rows: pd.DataFrame,
        what: str,
        told: Iterable[str],
        lost: Iterable[tuple[str, str]],
        note: str = "",
    ) -> Facet:
        """Make a facet whose text is ``what`` on its title: ``told``, the note, then who is
        ``lost``, those of one reason together."""
        why: dict[str, list[str]] = {}
        for name, reason in lost:
            why.setdefault(reason, []).append(name)
        absent = "; ".join(f"{format.listing(names)} ({reason})" for reason, names in why.items())
        said = [f"{what} on {title}. {'; '.join(told)}", note]
        said += [f"Not shown: {absent}"] if absent else []
        return cls(title, rows, " ".join(f"{text}." for text in said if text), absent, note)


@dataclass(frozen=True)
class Plot:
    """A plot: ``caption`` says how to read it, ``draw`` fills one pair of axes.

    Its facets are the first ``results.MOST_FACETS`` of ``total``.
    """

    name: str
    title: str
    caption: str
    draw: Draw
    facets: Sequence[Facet] = ()
    total: int = 0

    @property
    def labels(self) -> set[str]:
        """The strategies that appear in it."""
        return {str(label) for facet in self.facets for label in facet.data["label"]}

    @property
    def told(self) -> str:
        """What it shows, for readers who can't see it."""
        return " ".join(facet.alt for facet in self.facets)

    def figure(self, looks: Mapping[str, Look]) -> Figure:
        """Draw all facets, with a legend below."""
        with mpl.rc_context(STYLE):
            handles = [
                look.handle(format.shortened(label, 40))
                for label, look in looks.items()
                if label in self.labels
            ]
            across = min(3, len(self.facets))
            longest = max(len(str(handle.get_label())) for handle in handles)
            columns = max(1, min(len(handles), across * 57 // (longest + 7)))
            lines = -(-len(handles) // columns)
            figure = self._grid(self.facets, looks, across, notes=True, legend=0.25 * lines)
            figure.legend(handles=handles, loc="outside lower left", ncols=columns, frameon=False)
        return figure

    def single(self, facet: Facet, looks: Mapping[str, Look]) -> Figure:
        """Draw one facet, for a page that sets legend and notes itself."""
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
        below = [_notes(facet) if notes else [] for facet in facets]
        # Room for the longest note in every row, so that it takes none from the axes.
        height = 2.9 + 0.18 * max(map(len, below))
        size = (WIDTH * across, height * down + legend)
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.07))
        grid = list(figure.subplots(down, across, squeeze=False).flat)
        for ax, facet, note in zip(grid, facets, below, strict=False):
            self.draw(ax, facet.data, looks)
            ax.set_title(
                "\n".join(textwrap.wrap(facet.title, 42, max_lines=3, placeholder=" …")),
                loc="left",
                weight="bold",
                y=1.0,  # said, or matplotlib looks each time for ticks above the axes
            )
            ax.set_xlabel("\n".join([ax.get_xlabel(), *note]))
        for ax in grid[len(facets) :]:
            ax.set_axis_off()
        return figure


def _notes(facet: Facet) -> list[str]:
    absent = f"Not shown: {facet.absent}" if facet.absent else ""
    return [line for text in (facet.note, absent) for line in textwrap.wrap(text, 50)]
