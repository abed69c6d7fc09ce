"""Episodes of a source, for strategies that learn to learn before they see a task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.episodes import sample
from harness.data.task import Source
from harness.errors import HarnessError


@dataclass(frozen=True)
class SourceEpisode:
    """A small task of some source classes, all on the device.

    ``support`` and ``query`` are prepared inputs, class by class; labels are int64,
    ``0 … ways - 1``.
    """

    support: Tensor
    support_labels: Tensor
    query: Tensor
    query_labels: Tensor


def source_episodes(
    source: Source, *, ways: int, shots: int, queries: int, generator: torch.Generator
) -> Iterator[SourceEpisode]:
    """Endless episodes of ``ways`` classes with ``shots`` and ``queries`` examples each, sampled
    by index from the source.

    Raises:
        HarnessError: the source has too few classes, or too few examples in one.
    """
    labels = source.examples.labels.cpu()
    sizes = labels.bincount(minlength=source.classes).tolist()
    check_episodes(sizes, ways=ways, shots=shots, queries=queries)
    members = labels.argsort(stable=True).split(sizes)
    return _sample(source, members, ways, shots, queries, generator)


def check_episodes(sizes: Sequence[int], *, ways: int, shots: int, queries: int) -> None:
    """Whether a source with classes of these ``sizes`` has enough for :func:`source_episodes`. Of
    ``queries`` there may be none.

    Raises:
        HarnessError: it has too few classes, or too few examples in one.
    """
    smallest = min(sizes, default=0)
    lower = ["ways"] if len(sizes) < ways else []
    lower += ["shots"] if smallest < shots + queries else []
    lower += ["queries"] if queries and smallest < shots + queries else []
    if lower:
        more = "give a source of more classes and examples"
        possible = min(len(sizes), smallest) > 1
        raise HarnessError(
            f"the source has {len(sizes)} classes of at least {smallest} examples: too few "
            f"for episodes of {ways} ways with {shots} shots"
            + (f" and {queries} queries" if queries else ""),
            f"Lower {' or '.join(lower)} in the strategy's args, or {more}"
            if possible
            else more.capitalize(),
        )


def _sample(
    source: Source,
    members: Sequence[Tensor],
    ways: int,
    shots: int,
    queries: int,
    generator: torch.Generator,
) -> Iterator[SourceEpisode]:
    inputs = source.examples.inputs
    answers = torch.arange(ways, device=source.examples.labels.device)
    for _, rows in sample(members, ways, shots + queries, generator):
        yield SourceEpisode(
            inputs[rows[:, :shots].flatten()],
            answers.repeat_interleave(shots),
            inputs[rows[:, shots:].flatten()],
            answers.repeat_interleave(queries),
        )
