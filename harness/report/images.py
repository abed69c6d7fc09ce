"""A figure as a file or as part of a page: the same bytes for the same figure."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report.style import INK, PAPER, RULE, STYLE, Look

_WITHOUT = dict.fromkeys(["Creator", "Date", "Format", "Type"])
"""What matplotlib would tell of itself and of the hour."""


def png(figure: Figure) -> bytes:
    """On white, sharp on a screen of twice the usual density."""
    return _saved(figure, format="png", dpi=160, facecolor="white", metadata={"Software": None})


def svg(figure: Figure) -> bytes:
    """On white."""
    return _saved(figure, format="svg", facecolor="white", metadata=_WITHOUT)


def inline_svg(figure: Figure, name: str, alt: str) -> Markup:
    """An ``<svg>`` for a page: nothing behind it, inks that follow the page's, ids of its own.

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


def inline_mark(look: Look, name: str) -> Markup:
    """The look of one strategy as a small ``<svg>``, for a legend in a page."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.36, 0.18))
        figure.add_artist(Line2D([0.05, 0.5, 0.95], [0.5] * 3, markevery=[1], **look.line))
    return inline_svg(figure, name, "")


def _saved(figure: Figure, **options: Any) -> bytes:
    content = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(content, **options)
    return content.getvalue()
