"""What wrappers of datasets have in common: their draws, and a test split that they leave alone."""

from __future__ import annotations

from dataclasses import replace

import torch

from harness.api import Data, seed_of


def generator(purpose: str, seed: int) -> torch.Generator:
    """Draws for one purpose, independent of those for others."""
    return torch.Generator().manual_seed(seed_of(purpose, seed))


def with_test_split(data: Data, dataset: str, seed: int) -> Data:
    """The same data with a test split: of those that have none, a fifth of each class, drawn by
    ``seed`` alike for all wrappers. A class of one example keeps it to train on.

    The harness would draw it after the wrapper, from training data that are not as they were.

    Args:
        dataset: the name of the data, for the note that tells of it.
    """
    if data.test is not None:
        return data
    labels = data.train.labels
    order = torch.randperm(len(labels), generator=generator("test split", seed))
    tested = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        rows = order[labels[order] == label]
        tested[rows[: min(len(rows) - 1, max(1, round(0.2 * len(rows))))]] = True
    note = (
        f"'{dataset}' has no test split of its own: a fifth of each class, {int(tested.sum()):,} "
        f"of {len(labels):,} examples, was set apart as one"
    )
    return replace(
        data,
        train=data.train.subset(torch.nonzero(~tested).flatten()),
        test=data.train.subset(torch.nonzero(tested).flatten()),
        notes=(*data.notes, note),
    )
