"""Look at data closely: what there is, what is there twice, and what crosses a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from harness.data.examples import FileInputs
from harness.data.grouping import groups_of
from harness.data.near_duplicates import Pair, near_duplicates, square
from harness.report.format import plural
from harness.start.looking import Found

READERS = 4
"""Images that are read side by side."""


@dataclass(frozen=True)
class Example:
    """One example: its split and its row there, its file, if it is one, and its class."""

    split: str
    row: int
    file: str | None
    label: str


@dataclass(frozen=True)
class Duplicates:
    """Examples that are one input, all of them identical or two that are nearly the same, which
    then have a ``correlation``."""

    examples: tuple[Example, ...]
    correlation: float | None = None

    @property
    def crosses(self) -> bool:
        """Whether they are on both sides of a split that is given."""
        return len({example.split for example in self.examples}) > 1

    @property
    def contradicts(self) -> bool:
        """Whether they have different labels."""
        return len({example.label for example in self.examples}) > 1


@dataclass(frozen=True)
class Examination:
    """What was found in data."""

    found: Found
    identical: tuple[Duplicates, ...]
    near: tuple[Duplicates, ...]
    groups: dict[str, int] | None

    def to_json(self) -> dict[str, Any]:
        """All of it, for scripts: lists of classes, sizes and examples with the largest first."""
        loaded = self.found.loaded
        test = loaded.data.test
        tested = Counter([] if test is None else test.labels.tolist())
        return {
            "dataset": self.found.dataset,
            "args": dict(self.found.args),
            "modality": loaded.modality,
            "classes": [
                {"name": name, "train": count, "test": tested[number]}
                for number, (name, count) in enumerate(self.found.by_class.items())
            ],
            "sizes": [
                {"width": width, "height": height, "images": count}
                for (height, width), count in Counter(loaded.sizes).most_common()
            ],
            "channels": sorted(loaded.channels),
            "notes": list(loaded.notes),
            "groups": self.groups,
            "identical": [_json(each) for each in self.identical],
            "near": [_json(each) for each in self.near],
        }

    def told(self) -> Iterator[str]:
        """What there is and what is suspect, in sentences."""
        yield from self.found.told()
        if self.groups is not None:
            shared = self.groups["shared"]
            across = f", of which {shared:,} are in both splits" if shared else ""
            yield (
                f"{plural(self.groups['groups'], 'group')}{across}; the largest has "
                f"{plural(self.groups['largest'], 'example')}"
            )
        yield from _told(self.identical, "set", "of identical examples")
        yield from _told(self.near, "pair", "of images that are nearly the same")


def examine(found: Found, column: str | None, pattern: str | None) -> Examination:
    """Find what is there twice, also nearly where it is images, and groups where these are asked
    for, by a column or a pattern of file names.

    Raises:
        HarnessError: there are no such groups.
    """
    loaded = found.loaded
    splits = dict(zip(("train", "test"), loaded.parts, strict=False))
    examples = [
        Example(name, row, _file(split.inputs, row), loaded.data.classes[label])
        for name, split in splits.items()
        for row, label in enumerate(split.labels.tolist())
    ]
    groups = None
    if column is not None or pattern is not None:
        told = groups_of(loaded.data, column, pattern)
        train = told.train.unique(return_counts=True)
        test = told.train.new_empty(0) if told.test is None else told.test.unique()
        groups = {
            "groups": len(torch.cat([train[0], test]).unique()),
            "shared": int(torch.isin(train[0], test).sum()),
            "largest": int(train[1].max()),
        }
    digests = [*loaded.train_digests, *(loaded.test_digests if loaded.data.test else ())]
    same: dict[bytes, list[int]] = {}
    for place, digest in enumerate(digests):
        same.setdefault(digest, []).append(place)
    twins = [places for places in same.values() if len(places) > 1]
    near: list[Pair] = []
    firsts = [places[0] for places in same.values()]  # one of each that are identical
    if loaded.modality == "image":
        device = "cuda" if torch.cuda.is_available() else "cpu"
        near = near_duplicates(_squares(found, firsts), device)
    return Examination(
        found,
        tuple(Duplicates(tuple(examples[p] for p in places)) for places in twins),
        tuple(
            Duplicates((examples[firsts[p.one]], examples[firsts[p.other]]), p.correlation)
            for p in near
        ),
        groups,
    )


def picture(found: Found, example: Example) -> Tensor:
    """The image of an example, uint8 ``[C, H, W]``."""
    splits = dict(zip(("train", "test"), found.loaded.parts, strict=False))
    image = splits[example.split].inputs.read([example.row])[0]
    assert isinstance(image, Tensor)
    return image


def _squares(found: Found, places: Sequence[int]) -> list[Tensor]:
    """What is compared of images, by their places in both splits after each other."""
    train = found.loaded.data.train

    def one(place: int) -> Tensor:
        test, count = found.loaded.data.test, len(train.labels)
        inputs, row = train.inputs, place
        if place >= count:
            assert test is not None
            inputs, row = test.inputs, place - count
        image = inputs.read([row])[0]
        assert isinstance(image, Tensor)
        return square(image)

    with ThreadPoolExecutor(READERS, "reader") as readers:
        return [*readers.map(one, places)]


def _file(inputs: object, row: int) -> str | None:
    return str(inputs.paths[row]) if isinstance(inputs, FileInputs) else None


def _json(duplicates: Duplicates) -> dict[str, Any]:
    told: dict[str, Any] = {"examples": [asdict(example) for example in duplicates.examples]}
    if duplicates.correlation is not None:
        told["correlation"] = round(duplicates.correlation, 4)
    return {**told, "crosses": duplicates.crosses, "contradicts": duplicates.contradicts}


def _told(found: Sequence[Duplicates], noun: str, what: str) -> Iterator[str]:
    """A sentence on all of them, if there are any."""
    if found:
        across = sum(each.crosses for each in found)
        contradicting = sum(each.contradicts for each in found)
        yield (
            f"{plural(len(found), noun)} {what}: {across:,} in both splits, {contradicting:,} with "
            "different labels"
        )
