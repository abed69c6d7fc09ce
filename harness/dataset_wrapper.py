"""Datasets that are made of other datasets, whichever these are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.contract import Configured
from harness.data.examples import Data


@dataclass(frozen=True)
class DatasetWrapper(Configured):
    """Makes a dataset of another one: ``args = { dataset = "NAME", args = { … } }``.

    Subclass it as a frozen dataclass; the fields are its further arguments. A suite names it
    wherever it names a dataset. It takes what the other dataset loads, and a cell's key hashes what
    it makes of that: an argument that changes the data, of either of them, changes the key. In
    reports a problem without a label is called after both, ``long_tailed(digits)``.

    Args:
        dataset: the other dataset, or another wrapper.
        args: the arguments of that.
    """

    family: ClassVar[str] = "wrappers"
    modalities: ClassVar[frozenset[str]] = frozenset({"image", "text"})

    dataset: str
    args: Mapping[str, Any] = field(default_factory=dict)

    @abstractmethod
    def wrap(self, data: Data) -> Data:
        """Make data of those of the other dataset, which were checked and which others share: leave
        them as they are. ``dataclasses.replace`` keeps what does not change.

        Raises:
            HarnessError: it can't be done with these data; says why and what to do.
        """
