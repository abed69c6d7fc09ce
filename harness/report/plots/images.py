"""Save a figure as a file or as part of a page: the same bytes for the same figure."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from numpy.typing import NDArray

from harness.report.plots.style import INK, PAPER, RULE, STYLE, Look

_WITHOUT = dict.fromkeys(["Creator", "Date", "Format", "Type"])
"""What matplotlib would tell of itself and of the hour."""


def png(figure: Figure, told: str) -> bytes:
    """Save a figure on white, sharp on a screen of twice the usual density; ``told`` says in words
    what it shows."""
    metadata = {"Software": None, "Description": told}
    return _saved(figure, format="png", dpi=160, facecolor="white", metadata=metadata)


def svg(figure: Figure, told: str) -> bytes:
    """Save a figure on white, with what it shows in words."""
    metadata = {**_WITHOUT, "Description": told}
    return _saved(figure, format="svg", facecolor="white", metadata=metadata)


def inline_svg(figure: Figure, name: str, alt: str) -> Markup:
    """Make an ``<svg>`` for a page: transparent, in the page's inks, with ids of its own.

    ``name`` keeps its ids apart from those of the page's other plots.
    """
    text = _saved(figure, format="svg", metadata=_WITHOUT).decode()
    text = text[text.index("<svg") :]
    for colour, style in ((INK, "currentColor"), (PAPER, "var(--paper)"), (RULE, "var(--rule)")):
        text = text.replace(colour, style)
    text = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    role = f'role="img" aria-label="{escape(alt)}"' if alt else 'aria-hidden="true"'
    return Markup(text.replace("<svg", f"<svg {role}", 1))


def inline_mark(look: Look) -> Markup:
    """Draw the look of one strategy as a small ``<svg>``, for a legend in a page."""
    points = " ".join(f"{18 + 9 * x:.2f},{8 - 9 * y:.2f}" for x, y in outline(look))
    dash = " ".join(str(2 * length) for length in look.dash)
    return Markup(
        '<svg viewBox="0 0 36 16" aria-hidden="true">'
        '<path d="M1 8H35" stroke="{0}" stroke-width="2" stroke-dasharray="{1}"></path>'
        '<polygon points="{2}" fill="{0}" stroke="var(--paper)"></polygon></svg>'
    ).format(look.colour, dash, points)


def outline(look: Look) -> NDArray[np.float64]:
    """The corners of a mark ``[K, 2]``, upwards, in widths of it from its middle."""
    marker = MarkerStyle(look.marker)
    path = marker.get_transform().transform_path(marker.get_path())
    return np.asarray(path.to_polygons()[0])


def _saved(figure: Figure, **options: Any) -> bytes:
    content = io.BytesIO()
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # Signs that the font lacks, such as emoji, are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        # Laid out once, however often it is saved: left to savefig, it would be drawn twice more.
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)
        figure.savefig(content, **options)
    return content.getvalue()
