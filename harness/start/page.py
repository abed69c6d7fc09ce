"""What was found in data, as one HTML file that loads nothing else."""

from __future__ import annotations

import jinja2

from harness.data.thumbnails import thumbnail
from harness.report.format import plural
from harness.start.examine import Duplicates, Examination, Example, raw

MOST = 100
"""Suspects of a kind that are shown, those that cross a split or contradict each other first."""

LETTERS = 300
"""Of a text, those that are shown."""

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
    doubted = examination.labels.found if examination.labels else ()
    suspects = {
        "Nearly the same": examination.near,
        "Identical": examination.identical,
    }
    return environment.get_template("data.html.jinja").render(
        title=title,
        told=[*examination.told()],
        found=examination.to_json(),
        suspects={
            kind: [_shown(each, examination) for each in _worst_first(found)[:MOST]]
            for kind, found in suspects.items()
        },
        counts={kind: len(found) for kind, found in suspects.items()},
        doubted=[
            {
                "example": (example := examination.examples[each.place]),
                "shown": _content(examination, example),
                "given": each.given_probability,
                "proposed": examination.found.loaded.data.classes[each.proposed],
                "probability": each.proposed_probability,
            }
            for each in doubted[:MOST]
        ],
        doubts=len(doubted),
    )


def _worst_first(found: tuple[Duplicates, ...]) -> list[Duplicates]:
    return sorted(found, key=lambda each: -(each.crosses + each.contradicts))


def _shown(each: Duplicates, examination: Examination) -> dict[str, object]:
    return {
        "examples": [
            (example, _content(examination, example)) for example in each.examples[:TOGETHER]
        ],
        "more": len(each.examples[TOGETHER:]),
        "correlation": each.correlation,
        "crosses": each.crosses,
        "contradicts": each.contradicts,
    }


def _content(examination: Examination, example: Example) -> dict[str, str | None]:
    """What is seen of an example: a ``picture``, or the beginning of a ``text``."""
    one = raw(examination.found, example)
    if isinstance(one, str):
        text = one if len(one) <= LETTERS else f"{one[:LETTERS]} …"
        return {"picture": None, "text": text}
    return {"picture": thumbnail(one), "text": None}
