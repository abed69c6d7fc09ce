"""What of the data a suite does not use, in sentences for the user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.data.copies import MOST_IMAGES, MOST_PIXELS
from harness.data.loaded import Loaded
from harness.plan.datasets import Datasets
from harness.suite.backbones import SourceWeights

if TYPE_CHECKING:
    from harness.data.examples import Fit
    from harness.plan.cell import Cell

MOST_CROPPED = 0.2
"""Of an image's area, what a crop may leave out without a word."""

NOT_COMPARED = (
    "near duplicates across its splits were not looked for, as it has more than "
    f"{MOST_IMAGES:,} images, or {MOST_PIXELS / 1e9:g} billion pixels: they are told once "
    "'harness data PATH' has"
)


def notes(datasets: Datasets, cell: Cell) -> list[str]:
    """What is not used of a cell's data and of what it sees before: files that were passed over
    or left out, and what a crop takes off."""
    problem, weights = cell.problem_spec, cell.backbone_spec.weights
    shown: list[tuple[str, Mapping[str, Any], Fit | None, str]] = [
        (problem.dataset, problem.args, problem.fit, "")
    ]
    if cell.source_spec is not None:
        source = cell.source_spec
        shown.append((source.dataset, source.args, problem.fit, f"source '{source.dataset}': "))
    if isinstance(weights, SourceWeights):
        shown.append((weights.source, weights.args, weights.fit, f"source '{weights.source}': "))
    shown += [
        (test.dataset, test.args, problem.fit, f"test '{test.title}': ") for test in problem.tests
    ]
    told: dict[str, None] = {}
    data = datasets.load(problem.dataset, problem.args)
    if problem.protocol != "episodes" and datasets.near_duplicates(data) is None:
        told[NOT_COMPARED] = None
    for dataset, args, fit, prefix in shown:
        loaded = datasets.load(dataset, args)
        told |= {prefix + note: None for note in (*loaded.notes, *_cropped(loaded, fit))}
    return [*told]


def notes_told(datasets: Datasets, cells: Iterable[Cell]) -> Iterator[tuple[str, str]]:
    """The problems of some cells, each with every sentence on it."""
    places = {(cell.problem, cell.protocol, cell.backbone): cell for cell in cells}
    told = {
        (cell.problem, note): None for cell in places.values() for note in notes(datasets, cell)
    }
    yield from told


def _cropped(loaded: Loaded, fit: Fit | None) -> Iterator[str]:
    """Whether the middle square of images leaves out much of them."""
    sizes = loaded.sizes
    much = sum(min(size) < (1 - MOST_CROPPED) * max(size) for size in sizes)
    if fit in (None, "crop") and much:
        count = f"{much:,} of {len(sizes):,} images lose" if len(sizes) > 1 else "images lose"
        yield (
            f"{count} more than a fifth of their area, as their middle is cropped: fit = 'pad' or "
            "'squash' keeps all of it"
        )
