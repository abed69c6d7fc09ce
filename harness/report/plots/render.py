"""Draw the plots of a report, as files and as parts of the page, in whichever process is free."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup
from matplotlib.figure import Figure

from harness.report.analysis.report import Report
from harness.report.plots import accuracy, curves, images, style
from harness.report.plots.diagram import average_ranks, describe
from harness.report.plots.figure import Plot
from harness.report.plots.reliability import reliability
from harness.report.plots.style import Look
from harness.report.workers import Submit, serial

Looks = Mapping[str, Look]
RANKS = "ranks"
"""Name of the diagram of average ranks."""

Files = Callable[[], dict[str, bytes]]


@dataclass(frozen=True)
class Rendering:
    """A plot, its ``files`` by the ending of their names, and its ``facets`` for the page, each an
    ``<svg>``."""

    plot: Plot
    files: Files
    facets: Callable[[], list[Markup]]


@dataclass(frozen=True)
class Renderings:
    """The plots of a report by the chapter that they are in; ``linked`` ones, of which the page's
    explorer shows the same, as files alone; and the diagram of average ranks: its files and its
    ``<svg>``, where strategies are ranked."""

    looks: Looks
    chapters: Mapping[str, Sequence[Rendering]]
    linked: Sequence[Rendering]
    ranks: Files | None
    diagram: Markup | None

    def files(self) -> dict[str, bytes]:
        """Map every file's name to its content; wait until all are drawn."""
        drawn = [*self.linked, *(one for plots in self.chapters.values() for one in plots)]
        named = {one.plot.name: one.files for one in drawn}
        if self.ranks:
            named[RANKS] = self.ranks
        return {
            f"{name}.{ending}": content
            for name, files in named.items()
            for ending, content in files().items()
        }


def render_plots(report: Report, submit: Submit = serial) -> Renderings:
    """Begin to draw every plot that has something to show."""
    looks = style.looks(report.strategies)
    plots, against_costs = _plots(report)

    def files(plot: Plot) -> Files:
        return submit(_formats, partial(plot.figure, looks), plot.told)

    chapters = {
        chapter: [
            Rendering(plot, files(plot), submit(_facets, plot, looks))
            for plot in drawn
            if plot.facets
        ]
        for chapter, drawn in plots.items()
    }
    linked = [Rendering(plot, files(plot), list) for plot in against_costs if plot.facets]
    ranking, apart = report.decisions.ranking, report.decisions.apart
    if ranking.ranks is None:
        return Renderings(looks, chapters, linked, None, None)
    draw, told = partial(average_ranks, ranking, apart, looks), describe(ranking, apart)
    diagram = images.inline_svg(draw(), RANKS, told)
    return Renderings(looks, chapters, linked, submit(_formats, draw, told), diagram)


def _plots(report: Report) -> tuple[dict[str, list[Plot]], list[Plot]]:
    """The plots by chapter, and those against costs."""
    table, tuned = report.table, report.tuning
    plots = {
        "results": [accuracy.by_shots(table)],
        "tuning": [
            curves.best_by_trials(table, tuned.by_trials, as_run=tuned.as_run),
            curves.best_by_seconds(table, tuned.by_seconds),
            curves.learning(table, tuned.learning),
        ],
        "predictions": [reliability(report.predicted, table, report.unread)],
    }
    against_costs = [
        accuracy.by_seconds(table, report.by_seconds),
        accuracy.by_memory(table, report.by_memory),
    ]
    return plots, against_costs


def figures(report: Report) -> Mapping[str, Callable[[], Figure]]:
    """What draws each plot that has something to show, by the name of its file."""
    looks = style.looks(report.strategies)
    plots, against_costs = _plots(report)
    drawn = [*against_costs, *(plot for chapter in plots.values() for plot in chapter)]
    found = {plot.name: partial(plot.figure, looks) for plot in drawn if plot.facets}
    ranking = report.decisions.ranking
    if ranking.ranks is not None:
        found[RANKS] = partial(average_ranks, ranking, report.decisions.apart, looks)
    return found


def _formats(draw: Callable[[], Figure], told: str) -> dict[str, bytes]:
    """Save a figure as PNG and as SVG."""
    figure = draw()
    return {"png": images.png(figure, told), "svg": images.svg(figure, told)}


def _facets(plot: Plot, looks: Looks) -> list[Markup]:
    return [
        images.inline_svg(plot.single(facet, looks), f"{plot.name}-{number}", facet.alt)
        for number, facet in enumerate(plot.facets)
    ]
