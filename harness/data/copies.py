"""Inputs that are there more than once in a dataset, identical or nearly, and groups of them.

An example is known by its place: its row in the training data, or that in the official test split
after all of them.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from harness.data.archives import cache_folder
from harness.data.near_duplicates import FINE, Pair, near_duplicates, square

if TYPE_CHECKING:
    from harness.data.grouping import Groups
    from harness.data.loaded import Loaded

VERSION = 1
"""Of what is remembered: to be raised when other pairs come to be found."""

MOST_IMAGES, MOST_PIXELS = 20_000, 4e9
"""Images, and pixels of all of them together, among which near duplicates are looked for while a
suite is planned: about a minute on one core, once."""

READERS = 4
"""Images that are read side by side."""


def digests(loaded: Loaded) -> list[bytes]:
    """A hash of each input, by place."""
    return [*loaded.train_digests, *(loaded.test_digests if loaded.data.test else ())]


def identical(loaded: Loaded) -> list[list[int]]:
    """Places of inputs that are the same, in rising order; each such set once."""
    same: dict[bytes, list[int]] = {}
    for place, digest in enumerate(digests(loaded)):
        same.setdefault(digest, []).append(place)
    return [places for places in same.values() if len(places) > 1]


def near(loaded: Loaded, device: str | None = None) -> list[Pair]:
    """Pairs of places of images that are nearly the same; of identical ones only the first is
    compared. What was found is remembered by the content of the data.

    Args:
        device: where they are compared: by default on a GPU, where there is one.
    """
    if loaded.modality != "image":
        return []
    file = _remembered_in(loaded)
    known = _read(file, sum(len(split.labels) for split in loaded.parts))
    if known is None:
        places = reversed([*enumerate(digests(loaded))])
        firsts = sorted({digest: place for place, digest in places}.values())
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        found = near_duplicates(_squares(loaded, firsts), device)
        known = [Pair(firsts[pair.one], firsts[pair.other], pair.correlation) for pair in found]
        _write(file, known)
    return known


def near_at_once(loaded: Loaded) -> list[Pair] | None:
    """The same, where they are known or can be found in about a minute; else ``None``. Images of
    fewer pixels than are compared have too little detail to be copies of each other, and none."""
    sizes = loaded.sizes
    if not sizes or all(min(size) < FINE for size in sizes):
        return []
    count = sum(len(split.labels) for split in loaded.parts)
    pixels = sum(height * width for height, width in sizes) * count / len(sizes)
    if (count > MOST_IMAGES or pixels > MOST_PIXELS) and not _remembered_in(loaded).exists():
        return None
    return near(loaded, "cpu")  # the processes of cells are forked from one that may ask for this


def belonging(loaded: Loaded, groups: Groups | None) -> Tensor:
    """Number what belongs together, int64 by place: copies, identical or nearly, and what is of one
    group, where ``groups`` are told."""
    sets: list[Sequence[int]] = [*identical(loaded)]
    sets += [(pair.one, pair.other) for pair in near(loaded)]
    if groups is not None:
        by_group: dict[int, list[int]] = {}
        for part, first in ((groups.train, 0), (groups.test, len(groups.train))):
            for place, group in enumerate([] if part is None else part.tolist(), first):
                by_group.setdefault(group, []).append(place)
        sets += by_group.values()
    return together(sum(len(split.labels) for split in loaded.parts), sets)


def together(count: int, sets: Iterable[Sequence[int]]) -> Tensor:
    """Number what belongs together: places of one set, and of sets that have a place in common.

    Args:
        count: of all places.
        sets: places of each.

    Returns:
        int64 ``[count]``, from 0; a place in no set has a number of its own.
    """
    links = [(places[0], place) for places in sets for place in places[1:]]
    ends = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, numbers = connected_components(graph, directed=False)
    return torch.from_numpy(numbers.astype(np.int64))


def _squares(loaded: Loaded, places: Sequence[int]) -> list[Tensor]:
    """What is compared of images."""
    learned = len(loaded.data.train.labels)

    def one(place: int) -> Tensor:
        split, row = loaded.parts[place >= learned], place - learned * (place >= learned)
        image = split.inputs.read([row])[0]
        assert isinstance(image, Tensor)
        return square(image)

    with ThreadPoolExecutor(READERS, "reader") as readers:
        return [*readers.map(one, places)]


def _remembered_in(loaded: Loaded) -> Path:
    reading = "".join(f"-{name}" for name in loaded.corrections)
    return cache_folder() / "near" / f"{VERSION}-{loaded.digest[:32]}{reading}.json"


def _read(file: Path, count: int) -> list[Pair] | None:
    """The pairs that a file has; ``None`` where there is none, or it is damaged."""
    try:
        found = [Pair(int(one), int(other), float(by)) for one, other, by in _entries(file)]
    except (OSError, ValueError, TypeError):
        return None
    return found if all(0 <= pair.one < pair.other < count for pair in found) else None


def _entries(file: Path) -> list[tuple[int, int, float]]:
    entries: list[tuple[int, int, float]] = json.loads(file.read_bytes())
    return entries


def _write(file: Path, pairs: Sequence[Pair]) -> None:
    """Keep pairs, if that can be done: a disk that is full or read-only costs time, and no run."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([(pair.one, pair.other, round(pair.correlation, 6)) for pair in pairs])
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as new:
            new.write(text)
        os.replace(new.name, file)
