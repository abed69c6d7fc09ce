"""Any dataset with wrong labels among those that are learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch

from harness.api import Data, DatasetWrapper, HarnessError, hookimpl
from harness_plugins.datasets._wrapping import generator, with_test_split


@dataclass(frozen=True)
class NoisyLabels(DatasetWrapper):
    """Another dataset, images or text, where a share of the training labels is wrong.

    Of each class the same share is changed, rounded to whole examples: to any other class alike, or
    to the next one in the dataset's order and from the last to the first. What is changed at a
    lower rate is changed likewise at a higher one. Labels are wrong in the whole training split,
    and so in the validation examples that the harness draws from it, as they would be where nobody
    knows which are wrong; those of the test split are as they were. A fifth of each class becomes
    the test split first where the dataset has none.

    Args:
        dataset: the other dataset.
        args: its arguments.
        rate: the share of the labels that is wrong, 0–1.
        kind: ``"symmetric"`` or ``"pair_flip"`` noise, as Han et al. call them.
        seed: of which labels are wrong, and how.
    """

    name: ClassVar[str] = "noisy_labels"
    citation: ClassVar[str] = (
        "Han et al. 2018, Co-teaching: robust training of deep neural networks with extremely "
        "noisy labels"
    )

    rate: float = 0.2
    kind: Literal["symmetric", "pair_flip"] = "symmetric"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise HarnessError(f"noisy_labels' rate is {self.rate}", "Give a share from 0 to 1")

    def wrap(self, data: Data) -> Data:
        data = with_test_split(data, self.dataset, self.seed)
        labels, classes = data.train.labels, len(data.classes)
        draws = generator("label noise", self.seed)
        order = torch.randperm(len(labels), generator=draws)
        further = torch.randint(1, classes, (len(labels),), generator=draws)
        if self.kind == "pair_flip":
            further = torch.ones_like(further)
        wrong = torch.zeros(len(labels), dtype=torch.bool)
        for label in labels.unique():
            rows = order[labels[order] == label]
            wrong[rows[: round(self.rate * len(rows))]] = True
        noisy = torch.where(wrong, (labels + further) % classes, labels)
        note = (
            f"noisy_labels changed {int(wrong.sum()):,} of {len(labels):,} training labels "
            f"({self.kind}), of which some validate; test labels are as they were"
        )
        train = replace(data.train, labels=noisy)
        return replace(data, train=train, notes=(*data.notes, note))


@hookimpl
def harness_datasets() -> Sequence[type[DatasetWrapper]]:
    return [NoisyLabels]
