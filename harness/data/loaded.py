"""A dataset's data, and what is to be known of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from harness.data.digests import example_digests
from harness.data.examples import ArrayInputs, Data, FileInputs, Split
from harness.data.images import CORRECTIONS, Facts


@dataclass(frozen=True)
class Loaded:
    """A dataset's data, the digest of all its content, and whether it is of images or text."""

    data: Data
    digest: str
    modality: str = "image"

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

    @property
    def parts(self) -> tuple[Split, ...]:
        """The training data and, where there is one, the official test split."""
        return (self.data.train, self.data.test) if self.data.test else (self.data.train,)

    @cached_property
    def corrections(self) -> list[str]:
        """What has changed in how these data are decoded since the harness first did: names for
        the meaning of all that is made of them, whose digests don't tell."""
        return [
            name
            for field, name in CORRECTIONS.items()
            if any(getattr(fact, field) for fact in self._facts)
        ]

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what of the data is not used."""
        several = sum(fact.frames for fact in self._facts)
        frames = (
            f"{several:,} of {len(self._facts):,} images have several frames, of which the first "
            "is used"
        )
        return (*self.data.notes, *([frames] if several else []))

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each image, in both parts; of arrays, whose images are all of one
        size, that size once; of other inputs nothing."""
        return [
            *((fact.height, fact.width) for fact in self._facts),
            *dict.fromkeys((images.shape[2], images.shape[3]) for images in self._arrays),
        ]

    @cached_property
    def channels(self) -> set[int]:
        """How many channels images have; of inputs that are neither files nor arrays nothing."""
        return {fact.channels for fact in self._facts} | {len(a[0]) for a in self._arrays}

    @property
    def _arrays(self) -> list[Tensor]:
        return [
            split.inputs.images for split in self.parts if isinstance(split.inputs, ArrayInputs)
        ]

    @cached_property
    def _facts(self) -> list[Facts]:
        return [
            fact
            for split in self.parts
            if isinstance(split.inputs, FileInputs)
            for fact in split.inputs.facts
            if not isinstance(fact, str)
        ]

    @cached_property
    def has_twins(self) -> bool:
        """Whether any two inputs are identical, in either part."""
        tested = self.test_digests if self.data.test else ()
        known = self.train_known.union(tested)
        return len(known) < len(self.train_digests) + len(tested)
