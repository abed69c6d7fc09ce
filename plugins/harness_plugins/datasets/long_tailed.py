"""Any dataset with a long tail: from class to class exponentially fewer training examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from harness.api import Data, DatasetWrapper, HarnessError, hookimpl
from harness_plugins.datasets._wrapping import generator, with_test_split


@dataclass(frozen=True)
class LongTailed(DatasetWrapper):
    """Another dataset, images or text, with exponentially fewer training examples a class.

    Of class i of C, in the dataset's order, at most ``n * factor ** (-i / (C - 1))`` examples are
    kept, rounded down and at least one, where n is the size of the largest class: so CIFAR-10 with
    a factor of 100 keeps 5,000, 2,997, … and 50 (Cui et al. 2019). What a smaller factor keeps
    includes what a larger one does. Validation examples are drawn from these; the test split stays
    as it is, so look at balanced accuracy where that has a tail of its own. A fifth of each class
    becomes the test split first where the dataset has none.

    Args:
        dataset: the other dataset.
        args: its arguments.
        factor: how many times more examples the first class has than the last, 1 or more.
        seed: of which examples are kept.
    """

    name: ClassVar[str] = "long_tailed"
    citation: ClassVar[str] = (
        "Cui et al. 2019, Class-balanced loss based on effective number of samples"
    )

    factor: float = 100.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.factor < math.inf:
            raise HarnessError(f"long_tailed's factor is {self.factor}", "Give 1 or more")

    def wrap(self, data: Data) -> Data:
        data = with_test_split(data, self.dataset, self.seed)
        labels = data.train.labels
        counts = labels.bincount(minlength=len(data.classes))
        order = torch.randperm(len(labels), generator=generator("long tail", self.seed))
        sizes = profile(int(counts.max()), len(data.classes), self.factor)
        kept = torch.cat([order[labels[order] == i][:size] for i, size in enumerate(sizes)])
        left = counts.minimum(torch.tensor(sizes)).tolist()
        note = (
            f"long_tailed keeps {len(kept):,} of {len(labels):,} training examples, from "
            f"{left[0]:,} of '{data.classes[0]}' to {left[-1]:,} of '{data.classes[-1]}'"
        )
        train = data.train.subset(kept.sort().values)
        return replace(data, train=train, notes=(*data.notes, note))


def profile(largest: int, classes: int, factor: float) -> list[int]:
    """How many examples each class may have."""
    shares = (factor ** (-place / (classes - 1)) for place in range(classes))
    # A product that is whole but for the last bit is whole.
    return [max(1, math.floor(largest * share + 1e-9)) for share in shares]


@hookimpl
def harness_datasets() -> Sequence[type[DatasetWrapper]]:
    return [LongTailed]
