"""How data becomes tasks: a whole target (``transfer``) or many small ones (``episodes``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.examples import (
    Data,
    Examples,
    Inputs,
    Pool,
    RawBatch,
    RawInputs,
    Source,
    Task,
)
from harness.data.resident import RotatedPool, rows_of
from harness.data.splits import Manifest
from harness.errors import HarnessError

CLASS_SEED = 0
"""Validation classes are the same for every seed of a suite: pretraining must not see them."""


@dataclass(frozen=True)
class ClassSplit:
    """Classes of a dataset under ``episodes``: learned from, selected on, tested on."""

    base: tuple[int, ...]
    val: tuple[int, ...]
    novel: tuple[int, ...]


@dataclass(frozen=True)
class Episode:
    """Row ids of one N-way K-shot task; labels are ``0 … ways - 1`` in the order of classes.

    ``support`` has ``shots`` rows a class and ``query`` the rest, class by class.
    """

    classes: tuple[int, ...]
    support: tuple[int, ...]
    query: tuple[int, ...]


def class_split(data: Data) -> ClassSplit:
    """Split the classes: those that the dataset holds out are novel.

    A tenth of the others (at least five) validate and the rest are base classes. A dataset that
    holds out nothing has no base classes; 30 % of its classes validate.
    """
    order = torch.randperm(
        len(data.classes), generator=torch.Generator().manual_seed(CLASS_SEED)
    ).tolist()
    held_out = [c for c in order if data.classes[c] in data.held_out]
    others = [c for c in order if data.classes[c] not in data.held_out]
    if held_out:
        validating = min(len(others), max(5, round(0.1 * len(others))))
        return ClassSplit(
            base=tuple(sorted(others[validating:])),
            val=tuple(sorted(others[:validating])),
            novel=tuple(sorted(held_out)),
        )
    validating = round(0.3 * len(others))
    return ClassSplit(
        base=(), val=tuple(sorted(others[:validating])), novel=tuple(sorted(others[validating:]))
    )


def source_classes(data: Data) -> tuple[int, ...]:
    """What a dataset shows as a source: all classes, or its base classes if it holds some out."""
    return class_split(data).base if data.held_out else tuple(range(len(data.classes)))


def source_inputs(data: Data) -> RawInputs:
    """The raw inputs that a dataset shows as a source."""
    if not data.held_out:
        return data.train.inputs
    return RawRows(data.train.inputs, rows_of(data.train.labels, source_classes(data)))


@dataclass(frozen=True)
class RawRows:
    """Some rows of raw inputs."""

    raw: RawInputs
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: Sequence[int]) -> RawBatch:
        return self.raw.read(self.rows[list(rows)].tolist())

    def digest(self) -> str:
        return hashlib.sha256(f"{self.raw.digest()}:{self.rows.tolist()}".encode()).hexdigest()


def make_source(data: Data, pool: Pool, *, rotations: bool, device: torch.device) -> Source:
    """Source examples, relabelled ``0 … classes - 1``.

    With ``rotations`` every class counts four times, turned by 0, 90, 180 and 270 degrees
    (Santoro et al. 2016, for Omniglot).
    """
    classes = source_classes(data)
    rows = rows_of(data.train.labels, classes)
    labels = _relabel(data.train.labels[rows], classes)
    if rotations:
        turns = torch.arange(4)[:, None]
        rows = (rows + turns * len(pool)).flatten()
        labels = (labels + turns * len(classes)).flatten()
        pool = RotatedPool(pool)
    return Source(
        Examples(Inputs(pool, rows), labels.to(device)), len(classes) * (4 if rotations else 1)
    )


def transfer_task(data: Data, pool: Pool, manifest: Manifest, device: torch.device) -> Task:
    """The training and validation examples of a split, with their labels."""

    def examples(ids: Sequence[int]) -> Examples:
        rows = torch.tensor(ids, dtype=torch.int64)
        return Examples(Inputs(pool, rows), data.train.labels[rows].to(device))

    return Task(
        train=examples(manifest.train), val=examples(manifest.val), classes=len(data.classes)
    )


def draw_episodes(
    labels: Tensor,
    classes: Sequence[int],
    *,
    ways: int,
    shots: int,
    queries: int,
    episodes: int,
    seed: int,
) -> list[Episode]:
    """Draw tasks: ``ways`` classes each, ``shots`` labelled examples and ``queries`` to answer.

    Raises:
        HarnessError: there are fewer classes than ways, or too few examples in one.
    """
    if len(classes) < ways:
        raise HarnessError(
            f"{ways}-way episodes need {ways} classes, but there are {len(classes)}",
            "Ask for fewer ways or hold out more classes",
        )
    members = {label: torch.nonzero(labels == label).flatten() for label in classes}
    smallest = min(members, key=lambda label: len(members[label]))
    if len(members[smallest]) < shots + queries:
        raise HarnessError(
            f"class {smallest} has {len(members[smallest])} examples: too few for {shots} shots "
            f"and {queries} queries",
            "Ask for fewer shots or queries",
        )
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(episodes):
        chosen = [classes[i] for i in torch.randperm(len(classes), generator=generator)[:ways]]
        rows = [
            members[label][
                torch.randperm(len(members[label]), generator=generator)[: shots + queries]
            ]
            for label in chosen
        ]
        drawn.append(
            Episode(
                classes=tuple(chosen),
                support=tuple(torch.cat([r[:shots] for r in rows]).tolist()),
                query=tuple(torch.cat([r[shots:] for r in rows]).tolist()),
            )
        )
    return drawn


def episode_task(episode: Episode, pool: Pool, device: torch.device) -> Task:
    """The support set of an episode: all that adapting to it may see."""
    ways = len(episode.classes)
    labels = torch.arange(ways).repeat_interleave(len(episode.support) // ways)
    return Task(
        train=Examples(Inputs(pool, torch.tensor(episode.support)), labels.to(device)),
        classes=ways,
    )


def query_labels(episode: Episode) -> Tensor:
    """The answers to an episode, int64 ``[ways * queries]`` on the CPU: for scoring only."""
    ways = len(episode.classes)
    return torch.arange(ways).repeat_interleave(len(episode.query) // ways)


def episodes_digest(episodes: Sequence[Episode]) -> str:
    """SHA-256 over the ids of every episode."""
    ids = [[list(e.classes), list(e.support), list(e.query)] for e in episodes]
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]


def _relabel(labels: Tensor, classes: Sequence[int]) -> Tensor:
    position = torch.full((max(classes) + 1,), -1, dtype=torch.int64)
    position[torch.tensor(classes)] = torch.arange(len(classes))
    return position[labels]
