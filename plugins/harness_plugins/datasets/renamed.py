"""Any dataset with its classes called otherwise, merged or left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harness.api import Data, DatasetWrapper, Mistakes, Split, abridged, did_you_mean, hookimpl


@dataclass(frozen=True)
class Renamed(DatasetWrapper):
    """Another dataset, images or text, whose classes have other names, are merged or left out.

    So two datasets become two domains of one task: under ``adaptation`` both have to name the same
    classes. ``classes = { car = "automobile" }`` renames one, several of one new name are merged,
    also with a class that had it before, and ``drop = ["monkey"]`` leaves one out, in the training
    and in the test split. Classes are in the order of the first of each.

    Args:
        dataset: the other dataset.
        args: its arguments.
        classes: new names by the old ones.
        drop: names of classes that are left out, or ``"others"``: all that ``classes`` does not
            name.
    """

    name: ClassVar[str] = "renamed"

    classes: Mapping[str, str] = field(default_factory=dict)
    drop: Literal["others"] | Sequence[str] = ()

    def wrap(self, data: Data) -> Data:
        """The examples of the classes that are kept.

        Raises:
            Mistakes: a class is not there, or is renamed and left out, or fewer than two are left,
                or some of a new class are held out and others not.
        """
        dropped = self._dropped(data.classes)
        names = {c: self.classes.get(c, c) for c in data.classes if c not in dropped}
        classes = tuple(dict.fromkeys(names.values()))
        held_out = {new for old, new in names.items() if old in data.held_out}
        if mistakes := [*self._mistakes(data, names, classes, held_out)]:
            raise Mistakes("dataset renamed", mistakes)
        number = {name: place for place, name in enumerate(classes)}
        numbers = torch.tensor([number[names[old]] if old in names else -1 for old in data.classes])
        left_out = [name for name in data.classes if name in dropped]
        note = (
            f"renamed left out {len(left_out):,} of {len(data.classes):,} classes of "
            f"'{self.dataset}': {abridged(left_out)}"
        )
        return replace(
            data,
            train=_numbered(data.train, numbers),
            classes=classes,
            test=_numbered(data.test, numbers) if data.test else None,
            held_out=frozenset(held_out),
            notes=(*data.notes, *([note] if left_out else [])),
        )

    def _dropped(self, classes: Sequence[str]) -> set[str]:
        if self.drop == "others":
            return {*classes}.difference(self.classes)
        return {*self.drop}

    def _mistakes(
        self, data: Data, names: Mapping[str, str], classes: Sequence[str], held_out: set[str]
    ) -> Iterator[str]:
        named = {"classes": [*self.classes], "drop": [] if self.drop == "others" else self.drop}
        for argument, asked in named.items():
            for name in asked:
                if name not in data.classes:
                    known = did_you_mean(name, data.classes)
                    yield f"{argument} names '{name}', no class of '{self.dataset}'{known}"
        for name in self.classes:
            if name in named["drop"]:
                yield f"'{name}' is renamed and left out. Take it out of classes or of drop"
        if len(classes) < 2:
            yield (
                f"{len(classes)} of {len(data.classes)} classes of '{self.dataset}' are left. Keep "
                "at least two"
            )
        for new in sorted(held_out):
            if shown := [c for c, name in names.items() if name == new and c not in data.held_out]:
                yield (
                    f"'{new}' merges classes that are held out with others: {abridged(shown)}. "
                    "Hold out all of them or none"
                )


def _numbered(split: Split, numbers: Tensor) -> Split:
    """The examples of classes that have a new number, 0 or more."""
    labels = numbers[split.labels]
    kept = torch.nonzero(labels >= 0).flatten()
    if len(kept) == len(labels):
        return replace(split, labels=labels)
    return replace(split.subset(kept), labels=labels[kept])


@hookimpl
def harness_datasets() -> Sequence[type[DatasetWrapper]]:
    return [Renamed]
