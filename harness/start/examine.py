"""Look at data closely: what there is, what is there twice, and what crosses a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from harness.data.copies import identical, near
from harness.data.examples import FileInputs
from harness.data.grouping import Groups
from harness.report.format import listing, plural
from harness.start.label_errors import FOLDS, LabelErrors
from harness.start.looking import Found

MOST = 20
"""Probable label errors that are listed in lines."""


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
    """What was found in data; ``examples`` are all of them, by place (see
    :mod:`harness.data.copies`)."""

    found: Found
    examples: tuple[Example, ...]
    identical: tuple[Duplicates, ...]
    near: tuple[Duplicates, ...]
    groups: dict[str, int] | None
    labels: LabelErrors | None

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
            "label_errors": None if self.labels is None else self._suspects(self.labels),
        }

    def _suspects(self, labels: LabelErrors) -> dict[str, Any]:
        names = self.found.loaded.data.classes
        return {
            "backbone": labels.backbone,
            "examined": labels.examined,
            "accuracy": round(labels.accuracy, 4),
            "left_out": [names[label] for label in labels.left_out],
            "found": [
                {
                    **asdict(self.examples[each.place]),
                    "proposed": names[each.proposed],
                    "probability_of_label": round(each.given_probability, 4),
                    "probability_of_proposed": round(each.proposed_probability, 4),
                }
                for each in labels.found
            ],
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
        if self.labels is not None:
            labels, names = self.labels, self.found.loaded.data.classes
            yield (
                f"{plural(len(labels.found), 'probable label error')} among {labels.examined:,} "
                f"examples: {labels.backbone} agrees with {labels.accuracy:.0%} of the labels"
            )
            if labels.left_out:
                left_out = listing(f"'{names[label]}'" for label in labels.left_out)
                yield (
                    f"labels of {left_out} were not looked at: fewer than {FOLDS} examples that "
                    "are no copies of each other, nor of one group"
                )

    def listed(self) -> Iterator[str]:
        """A line for each of the likeliest label errors, the first ahead."""
        labels = self.labels.found if self.labels is not None else ()
        names = self.found.loaded.data.classes
        for each in labels[:MOST]:
            example = self.examples[each.place]
            where = example.file or f"{example.split} {example.row}"
            yield (
                f"  {where}: '{example.label}' ({each.given_probability:.0%}), perhaps "
                f"'{names[each.proposed]}' ({each.proposed_probability:.0%})"
            )
        if (more := len(labels) - MOST) > 0:
            yield f"  and {more:,} more: --page shows them, and --format json has all"


def examine(
    found: Found,
    groups: Groups | None = None,
    label_errors: Callable[[], LabelErrors] | None = None,
) -> Examination:
    """Find what is there twice, also nearly where it is images, count groups where these are asked
    for, and have labels looked at."""
    loaded = found.loaded
    splits = dict(zip(("train", "test"), loaded.parts, strict=False))
    examples = tuple(
        Example(name, row, _file(split.inputs, row), loaded.data.classes[label])
        for name, split in splits.items()
        for row, label in enumerate(split.labels.tolist())
    )
    return Examination(
        found,
        examples,
        tuple(Duplicates(tuple(examples[p] for p in places)) for places in identical(loaded)),
        tuple(
            Duplicates((examples[pair.one], examples[pair.other]), pair.correlation)
            for pair in near(loaded)
        ),
        None if groups is None else _counted(groups),
        None if label_errors is None else label_errors(),
    )


def _counted(groups: Groups) -> dict[str, int]:
    train = groups.train.unique(return_counts=True)
    test = groups.train.new_empty(0) if groups.test is None else groups.test.unique()
    return {
        "groups": len(torch.cat([train[0], test]).unique()),
        "shared": int(torch.isin(train[0], test).sum()),
        "largest": int(train[1].max()),
    }


def raw(found: Found, example: Example) -> Tensor | str:
    """The input of an example: an image, uint8 ``[C, H, W]``, or a text."""
    splits = dict(zip(("train", "test"), found.loaded.parts, strict=False))
    one: Tensor | str = splits[example.split].inputs.read([example.row])[0]
    return one


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
