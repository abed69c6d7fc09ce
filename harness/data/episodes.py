"""Episodes: many small N-way K-shot tasks from classes that were held out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from harness.data.examples import Examples, Pool, Split
from harness.data.task import OneClass, Task
from harness.errors import HarnessError, abridged
from harness.hashing import short


@dataclass(frozen=True)
class Episode:
    """Row ids of one N-way K-shot task; labels are ``0 … ways - 1`` in the order of classes.

    ``support`` has ``shots`` rows a class and ``query`` the rest, class by class.
    """

    classes: tuple[int, ...]
    support: tuple[int, ...]
    query: tuple[int, ...]


def draw_episodes(
    labels: Tensor,
    classes: Sequence[int],
    *,
    ways: int,
    shots: int,
    queries: int,
    episodes: int,
    seed: int,
    names: Sequence[str],
    groups: Tensor | None = None,
) -> list[Episode]:
    """Draw tasks: ``ways`` classes each, ``shots`` labelled examples and ``queries`` to answer.
    ``names`` are those of all classes, for messages. With ``groups``, int64 ``[N]``, no group is
    in both the support set and the queries of an episode.

    Raises:
        HarnessError: there are fewer classes than ways, or too few examples in one, or groups that
            leave one too few.
    """
    if len(classes) < ways:
        told = abridged(f"'{names[label]}'" for label in classes)
        raise HarnessError(
            f"{ways}-way episodes need {ways} classes, but there are {len(classes)}"
            + (f": {told}" if told else ""),
            "Lower ways, or give more classes" if len(classes) > 1 else "Give more classes",
        )
    members = [torch.nonzero(labels == label).flatten() for label in classes]
    sizes = {label: len(rows) for label, rows in zip(classes, members, strict=True)}
    small = {label: size for label, size in sizes.items() if size < shots + queries}
    if small:
        told = abridged(f"'{names[label]}' ({size})" for label, size in small.items())
        more = "give them more examples"
        raise HarnessError(
            f"classes with too few examples for {shots} shots and {queries} queries: {told}",
            f"Lower shots or queries, or {more}" if min(small.values()) > 1 else more.capitalize(),
        )
    generator = torch.Generator().manual_seed(seed)
    if groups is None:
        drawn = sample(members, ways, shots + queries, generator)
    else:
        called = [names[label] for label in classes]
        drawn = sample_apart(members, groups, ways, (shots, queries), generator, called)
    return [
        Episode(
            classes=tuple(classes[place] for place in chosen),
            support=tuple(rows[:, :shots].flatten().tolist()),
            query=tuple(rows[:, shots:].flatten().tolist()),
        )
        for chosen, rows in islice(drawn, episodes)
    ]


def sample(
    members: Sequence[Tensor], ways: int, each: int, generator: torch.Generator
) -> Iterator[tuple[list[int], Tensor]]:
    """Endless draws of ``ways`` classes, and of ``each`` examples of them, without replacement.

    Args:
        members: int64 rows of each class, ``each`` or more.

    Returns:
        The places of the classes in ``members``, and their rows, int64 ``[ways, each]``.
    """
    while True:
        chosen = torch.randperm(len(members), generator=generator)[:ways].tolist()
        orders = [torch.randperm(len(members[c]), generator=generator)[:each] for c in chosen]
        rows = [members[c][order] for c, order in zip(chosen, orders, strict=True)]
        yield chosen, torch.stack(rows)


TRIES = 100
"""Orders of groups that are tried for the support set of an episode."""


def sample_apart(
    members: Sequence[Tensor],
    groups: Tensor,
    ways: int,
    sizes: tuple[int, int],
    generator: torch.Generator,
    names: Sequence[str],
) -> Iterator[tuple[list[int], Tensor]]:
    """As :func:`sample`, but of each class ``sizes[0]`` examples, the support, and ``sizes[1]``
    others such that the two share no group, whatever their classes.

    Groups are taken for the support by chance, each that has a class of which it lacks examples.

    Args:
        groups: int64 ``[N]``, the group of each row.
        names: those of the members' classes, for messages.

    Raises:
        HarnessError: no such examples were found in a hundred orders of groups.
    """
    shots, queries = sizes
    while True:
        chosen = torch.randperm(len(members), generator=generator)[:ways].tolist()
        rows = [members[c] for c in chosen]
        own = [groups[of_class] for of_class in rows]
        present, place = torch.cat(own).unique(return_inverse=True)
        counts = torch.stack(
            [of.bincount(minlength=len(present)) for of in place.split([*map(len, own)])], 1
        )
        for _ in range(TRIES):
            support = _of_support(counts, shots, torch.randperm(len(present), generator=generator))
            few = (counts[~support].sum(0) < queries) | (counts[support].sum(0) < shots)
            if not few.any():
                break
        else:
            told = abridged(f"'{names[c]}'" for c, lacks in zip(chosen, few, strict=True) if lacks)
            raise HarnessError(
                f"no groups can be set apart for {shots} shots and {queries} queries of classes "
                f"such as {told}",
                "Lower shots or queries, or give them more groups",
            )
        taken = []
        for of_class, member in zip(rows, own, strict=True):
            order = torch.randperm(len(of_class), generator=generator)
            known = support[torch.searchsorted(present, member[order])]
            shuffled = of_class[order]
            taken.append(torch.cat([shuffled[known][:shots], shuffled[~known][:queries]]))
        yield chosen, torch.stack(taken)


def _of_support(counts: Tensor, shots: int, order: Tensor) -> Tensor:
    """Which groups are of the support: bool ``[groups]``, of counts ``[groups, ways]``."""
    support = torch.zeros(len(counts), dtype=torch.bool)
    have = torch.zeros_like(counts[0])
    for group in order.tolist():
        if ((have < shots) & (counts[group] > 0)).any():
            support[group] = True
            have += counts[group]
    return support


def episode_task(
    episode: Episode, split: Split, pool: Pool, device: torch.device, names: Sequence[str]
) -> Task:
    """The support set of an episode: all that adapting to it may see. ``pool`` holds ``split``;
    ``names`` are those of all classes."""
    ways = len(episode.classes)
    labels = torch.arange(ways).repeat_interleave(len(episode.support) // ways)
    return Task(
        train=Examples(split.placed(pool, torch.tensor(episode.support)), labels.to(device)),
        target=OneClass(tuple(names[label] for label in episode.classes)),
    )


def query_labels(episode: Episode) -> Tensor:
    """The answers to an episode, int64 ``[ways * queries]`` on the CPU: for scoring only."""
    ways = len(episode.classes)
    return torch.arange(ways).repeat_interleave(len(episode.query) // ways)


def episodes_digest(episodes: Sequence[Episode]) -> str:
    """SHA-256 over the ids of every episode."""
    ids = [[list(e.classes), list(e.support), list(e.query)] for e in episodes]
    return short(json.dumps(ids))
