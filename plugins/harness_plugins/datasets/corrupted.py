"""Any dataset of images with one of the fifteen common corruptions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from harness.api import (
    Data,
    DatasetWrapper,
    HarnessError,
    RawBatch,
    RawInputs,
    example_digests,
    hookimpl,
    seed_of,
)
from harness_plugins.datasets._corruptions import corrupt
from harness_plugins.datasets._wrapping import with_test_split

VERSION = 1
"""Of how images are corrupted: to be raised when the same image comes to look otherwise."""

Part = Literal["train", "test", "unlabelled"]


@dataclass(frozen=True)
class CorruptedInputs:
    """The images of other raw inputs, corrupted when they are read. What is drawn for an image
    follows from its pixels and ``seed``, whatever stands beside it."""

    inputs: RawInputs
    corruption: str
    severity: int
    seed: int

    def __len__(self) -> int:
        return len(self.inputs)

    def read(self, rows: Sequence[int]) -> RawBatch:
        images = self.inputs.read(rows)
        corrupted = [self._corrupted(image) for image in images if isinstance(image, Tensor)]
        return torch.stack(corrupted) if isinstance(images, Tensor) else corrupted

    def _corrupted(self, pixels: Tensor) -> Tensor:
        content = hashlib.sha256(pixels.contiguous().numpy().data).hexdigest()
        seed = seed_of(self.corruption, self.seed, list(pixels.shape), content)
        return corrupt(pixels, self.corruption, self.severity, np.random.default_rng(seed))

    def digest(self) -> str:
        told = f"{self.inputs.digest()}:{self.corruption}:{self.severity}:{self.seed}:{VERSION}"
        return hashlib.sha256(told.encode()).hexdigest()

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        """Those of the images as they were: that one is corrupted hides no leak."""
        return example_digests(self.inputs)


@dataclass(frozen=True, kw_only=True)
class Corrupted(DatasetWrapper):
    """Another dataset of images, its test split with one of the fifteen common corruptions.

    Parameters are those of CIFAR-10-C where an image's shorter side is below 64 pixels, and of
    ImageNet-C where it is not; images are corrupted at the size that they come in, before a model's
    size is made of them. Frost is drawn and not taken from photographs, and snow is drawn by the
    same recipe: neither is the original, and results on these two compare with each other only. The
    others differ from the original in how pixels are interpolated and rounded, and glass blur in
    that all pixels move at once, up to the edges, where the original walks them one by one from the
    bottom right and leaves a border. Severities of an image are of the same draws. A fifth of each
    class becomes the test split first where the dataset has none. ``episodes`` are drawn from the
    training split: name it in ``splits``.

    Args:
        dataset: the other dataset.
        args: its arguments.
        corruption: ``gaussian_noise``, ``shot_noise``, ``impulse_noise``, ``defocus_blur``,
            ``glass_blur``, ``motion_blur``, ``zoom_blur``, ``snow``, ``frost``, ``fog``,
            ``brightness``, ``contrast``, ``elastic_transform``, ``pixelate`` or
            ``jpeg_compression``.
        severity: 1 to 5.
        seed: of what is drawn for an image.
        splits: what is corrupted of ``train``, ``test`` and ``unlabelled``. A target domain under
            ``adaptation`` wants ``["train", "test"]``.
    """

    name: ClassVar[str] = "corrupted"
    modalities: ClassVar[frozenset[str]] = frozenset({"image"})
    citation: ClassVar[str] = (
        "Hendrycks & Dietterich 2019, Benchmarking neural network robustness to common corruptions "
        "and perturbations"
    )

    corruption: Literal[
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
        "snow",
        "frost",
        "fog",
        "brightness",
        "contrast",
        "elastic_transform",
        "pixelate",
        "jpeg_compression",
    ]
    severity: Literal[1, 2, 3, 4, 5] = 3
    seed: int = 0
    splits: Sequence[Part] = ("test",)

    def wrap(self, data: Data) -> Data:
        """Images stay uint8 ``[1 or 3, H, W]``.

        Raises:
            HarnessError: they have other channels, or a split is not there.
        """
        (first, *_) = data.train.inputs.read([0])
        if isinstance(first, Tensor) and len(first) not in (1, 3):
            raise HarnessError(
                f"images of '{self.dataset}' have {len(first)} channels",
                "corrupted takes grey and colour images, of 1 and 3",
            )
        data = with_test_split(data, self.dataset, self.seed)
        if lacking := [part for part in self.splits if part not in data.parts]:
            raise HarnessError(
                f"'{self.dataset}' has no {lacking[0]} split to corrupt",
                f"Name others in splits: {', '.join(data.parts)}",
            )
        note = (
            f"corrupted put {self.corruption} of severity {self.severity} on the images of "
            f"{' and '.join(self.splits) or 'no split'}"
        )
        data = replace(data, notes=(*data.notes, note))
        if "train" in self.splits:
            data = replace(data, train=replace(data.train, inputs=self._of(data.train.inputs)))
        if "test" in self.splits and data.test is not None:
            data = replace(data, test=replace(data.test, inputs=self._of(data.test.inputs)))
        if "unlabelled" in self.splits and data.unlabelled is not None:
            data = replace(data, unlabelled=self._of(data.unlabelled))
        return data

    def _of(self, inputs: RawInputs) -> CorruptedInputs:
        return CorruptedInputs(inputs, self.corruption, self.severity, self.seed)


@hookimpl
def harness_datasets() -> Sequence[type[DatasetWrapper]]:
    return [Corrupted]
