"""Load a dataset, and refuse data that no comparison could be made on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.data.digests import example_digests
from harness.data.examples import Data, Split
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.api import Dataset


@dataclass(frozen=True)
class Loaded:
    """A dataset's data and the digest of all its content."""

    data: Data
    digest: str

    @cached_property
    def train_digests(self) -> tuple[bytes, ...]:
        """A hash of each training input."""
        return example_digests(self.data.train.inputs)

    @cached_property
    def train_known(self) -> frozenset[bytes]:
        """The same, to look a hash up."""
        return frozenset(self.train_digests)

    @cached_property
    def test_digests(self) -> tuple[bytes, ...]:
        """A hash of each input that is tested from: the official test split's, or the same."""
        return example_digests(self.data.test.inputs) if self.data.test else self.train_digests

    @cached_property
    def has_twins(self) -> bool:
        """Whether any two inputs are identical, in either part."""
        tested = self.test_digests if self.data.test else ()
        known = self.train_known.union(tested)
        return len(known) < len(self.train_digests) + len(tested)


def load(dataset: Dataset) -> Loaded:
    """Load and check a dataset.

    Raises:
        HarnessError: it cannot be read, or its labels are of one class or none.
    """
    data = dataset.load()
    _check(data.train, "training", len(data.classes), dataset.name)
    if data.test is not None:
        _check(data.test, "test", len(data.classes), dataset.name)
    if len(data.train.labels.unique()) < 2:
        raise HarnessError(
            f"dataset {dataset.name}: all labels are of one class", "Give at least two classes"
        )
    return Loaded(data, data.digest())


def _check(split: Split, part: str, classes: int, name: str) -> None:
    if not len(split.inputs):
        raise HarnessError(f"dataset {name}: there are no {part} examples", "Check its arguments")
    low, high = int(split.labels.min()), int(split.labels.max())
    if low < 0 or high >= classes:
        raise HarnessError(
            f"dataset {name}: {part} labels run from {low} to {high}, but it names {classes} "
            "classes",
            "Number the classes from 0",
        )
