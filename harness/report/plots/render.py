"""Plots on their way: as files and as parts of the page, drawn by whoever has the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup
from matplotlib.figure import Figure

from harness.report.plots import images
from harness.report.plots.figure import Plot
from harness.report.plots.style import Look
from harness.report.workers import Submit

Looks = Mapping[str, Look]
Files = Callable[[], dict[str, bytes]]


@dataclass(frozen=True)
class Rendering:
    """A plot, its ``files`` by the ending of their names, and its ``facets``, each an ``<svg>``."""

    plot: Plot
    files: Files
    facets: Callable[[], list[Markup]]

    @classmethod
    def of(cls, plot: Plot, looks: Looks, submit: Submit) -> Rendering:
        files = submit(render, partial(plot.figure, looks))
        return cls(plot, files, submit(_facets, plot, looks))


def render(draw: Callable[[], Figure]) -> dict[str, bytes]:
    """A figure as PNG and as SVG."""
    figure = draw()
    return {"png": images.png(figure), "svg": images.svg(figure)}


def _facets(plot: Plot, looks: Looks) -> list[Markup]:
    return [
        images.inline_svg(plot.single(facet, looks), f"{plot.name}-{number}", facet.alt)
        for number, facet in enumerate(plot.facets)
    ]
