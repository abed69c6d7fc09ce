"""Look at data that nobody has described yet: which dataset reads them, and what is in them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.data.loaded import Loaded
from harness.errors import HarnessError, located
from harness.plan.datasets import Datasets
from harness.registry import Registry
from harness.report.format import plural

UNBALANCED = 3
"""How many times as many examples as the smallest class the largest may have without a word."""


@dataclass(frozen=True)
class Found:
    """Data, and the dataset and arguments by which a suite names them."""

    dataset: str
    args: Mapping[str, Any]
    loaded: Loaded

    @cached_property
    def by_class(self) -> dict[str, int]:
        """Training examples of each class."""
        counts = self.loaded.data.train.labels.bincount(minlength=len(self.loaded.data.classes))
        return dict(zip(self.loaded.data.classes, counts.tolist(), strict=True))

    @property
    def test(self) -> int | None:
        """Examples of the official test split, if there is one."""
        test = self.loaded.data.test
        return None if test is None else len(test.labels)

    @property
    def examples(self) -> int:
        """Of both splits."""
        return sum(self.by_class.values()) + (self.test or 0)

    @property
    def unbalanced(self) -> float:
        """How many times as many examples as the smallest class the largest has."""
        return max(self.by_class.values()) / max(1, min(self.by_class.values()))

    @property
    def side(self) -> int | None:
        """The longer side of images, the median of it in pixels; of texts nothing."""
        longer = [max(size) for size in self.loaded.sizes]
        return round(statistics.median(longer)) if longer else None

    @property
    def is_long(self) -> bool:
        """Whether half of the images are at least a quarter longer than wide, or the reverse."""
        ratios = [max(size) / min(size) for size in self.loaded.sizes]
        return bool(ratios) and statistics.median(ratios) >= 1.25

    def told(self) -> Iterator[str]:
        """What there is, in sentences."""
        data = self.loaded.data
        count, classes = sum(self.by_class.values()), len(self.by_class)
        tested = "" if self.test is None else f", and {self.test:,} to test on"
        noun = self.loaded.modality
        yield f"{plural(count, noun)} of {classes} classes to learn from{tested}"
        least, most = (pick(self.by_class, key=self.by_class.__getitem__) for pick in (min, max))
        if self.by_class[least] == self.by_class[most]:
            yield f"{self.by_class[least]:,} of each class"
        else:
            yield (
                f"from {self.by_class[least]:,} of class '{least}' to {self.by_class[most]:,} of "
                f"class '{most}'"
            )
        if sizes := self.loaded.sizes:
            (low, high), grey = (min(sizes), max(sizes)), self.loaded.channels == {1}
            size = f"{low[1]} × {low[0]}"
            size += "" if low == high else f" to {high[1]} × {high[0]}"
            yield f"{'grey' if grey else 'colour'} images of {size} pixels"
        if data.train.groups is not None:
            yield f"{len(data.train.groups.unique())} groups of examples"
        if data.unlabelled is not None:
            yield f"{len(data.unlabelled):,} further inputs without labels"
        yield from self.loaded.notes


def find(
    path: Path, registry: Registry, datasets: Datasets, wishes: Mapping[str, Any] | None = None
) -> Found:
    """The data at a path, by the first dataset that can load them.

    Args:
        wishes: further arguments, each for the datasets that take one of its name.

    Raises:
        HarnessError: there is nothing, or no dataset for it, or what keeps the likeliest from
            loading it.
    """
    if not path.exists():
        raise HarnessError(f"there is nothing at {located(path)}", "Check the path")
    refused: HarnessError | None = None
    for candidates in registry.manager.hook.harness_datasets_for(path=path):
        for dataset, args in candidates:
            known = registry.get("dataset", dataset).arguments()
            given = {**args, **{n: v for n, v in (wishes or {}).items() if n in known}}
            try:
                return Found(dataset, given, datasets.load(dataset, given))
            except HarnessError as error:
                refused = refused or error
    raise refused or HarnessError(
        f"no dataset reads {path}",
        "Give a folder with a folder of images a class, an archive of one, a CSV file or an npz "
        "file; 'harness new dataset NAME' begins a dataset of your own",
    )
