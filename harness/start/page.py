"""What was found in data, as one HTML file that loads nothing else."""

from __future__ import annotations

import jinja2

from harness.data.thumbnails import thumbnail
from harness.report.format import plural
from harness.start.examine import Duplicates, Examination, picture

MOST = 100
"""Suspects of a kind that are shown, those that cross a split or contradict each other first."""

TOGETHER = 6
"""Of identical examples, those that are shown."""


def render(examination: Examination, title: str) -> str:
    """Render the page: what there is, and thumbnails of what is there twice."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("harness.start"), jinja2.PackageLoader("harness.report.page")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plural"] = plural
    images = examination.found.loaded.modality == "image"
    suspects = {
        "Nearly the same": examination.near,
        "Identical": examination.identical,
    }
    return environment.get_template("data.html.jinja").render(
        title=title,
        told=[*examination.told()],
        found=examination.to_json(),
        suspects={
            kind: [_shown(each, examination, images) for each in _worst_first(found)[:MOST]]
            for kind, found in suspects.items()
        },
        counts={kind: len(found) for kind, found in suspects.items()},
    )


def _worst_first(found: tuple[Duplicates, ...]) -> list[Duplicates]:
    return sorted(found, key=lambda each: -(each.crosses + each.contradicts))


def _shown(each: Duplicates, examination: Examination, images: bool) -> dict[str, object]:
    return {
        "examples": [
            (example, thumbnail(picture(examination.found, example)) if images else None)
            for example in each.examples[:TOGETHER]
        ],
        "more": len(each.examples[TOGETHER:]),
        "correlation": each.correlation,
        "crosses": each.crosses,
        "contradicts": each.contradicts,
    }
