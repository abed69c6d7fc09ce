"""Which examples of other data a predictor of a task is tested on beside its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.data.loaded import Loaded
from harness.data.splits import Manifest


def rows_to_test(learned: Loaded, manifest: Manifest, other: Loaded) -> Sequence[int]:
    """Which rows of ``other`` are tested by predictors that learned from a split of ``learned``.

    Those of its official test split; without one, all of its training data. A copy of what was
    learned from, such as a corrupted one, shows in the labels, which are the same row for row: of
    such a copy the rows are tested that are in the original.
    """
    if other.data.test is not None:
        return range(len(other.data.test.labels))
    rows = range(len(other.data.train.labels))
    if manifest.official or other.data.classes != learned.data.classes:
        return rows
    copies = torch.equal(other.data.train.labels, learned.data.train.labels)
    return manifest.test if copies else rows
