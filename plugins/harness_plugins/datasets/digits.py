"""Handwritten digits, embedded in scikit-learn: real data that needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from harness.api import ArrayInputs, Data, Dataset, Split, hookimpl


@dataclass(frozen=True)
class Digits(Dataset):
    """1,797 digits of 13 writers: images uint8 ``[1797, 1, 8, 8]``, light on dark; 10 classes.

    There is no official test split: what scikit-learn ships is the test half of the original set.
    """

    name: ClassVar[str] = "digits"
    licence: ClassVar[str] = "CC BY 4.0"
    citation: ClassVar[str] = (
        "E. Alpaydin and C. Kaynak. Optical Recognition of Handwritten Digits. "
        "UCI Machine Learning Repository, 1998. doi:10.24432/C50P49"
    )

    def load(self) -> Data:
        # Half a second to import, and only needed here.
        from sklearn.datasets import load_digits

        bunch = load_digits()
        # A value counts the inked pixels of a 4×4 block: 0 … 16, and full ink is 255.
        pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
        images = torch.from_numpy(pixels[:, None])
        labels = torch.from_numpy(bunch.target.astype(np.int64))
        return Data(
            train=Split(ArrayInputs(images), labels),
            classes=tuple(str(digit) for digit in range(10)),
        )


@hookimpl
def harness_datasets() -> Sequence[type[Dataset]]:
    return [Digits]
