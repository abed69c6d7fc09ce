"""The classification datasets of torchvision, by the names of its classes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from harness.api import (
    ArrayInputs,
    Data,
    Dataset,
    FileInputs,
    HarnessError,
    RawInputs,
    Split,
    abridged,
    did_you_mean,
    hookimpl,
    located,
)

Keywords = Mapping[str, Any]


@dataclass(frozen=True)
class Halves:
    """What a constructor is asked with: for each part of the training split, and for the test."""

    train: tuple[Keywords, ...]
    test: Keywords | None


def _by_flag(**further: str) -> Halves:
    return Halves(({"train": True, **further},), {"train": False, **further})


def _by_split(*train: str, test: str = "test") -> Halves:
    return Halves(tuple({"split": name} for name in train), {"split": test})


WHOLE = Halves(({},), None)

# The harness draws validation splits itself: an official one joins the training split. Where the
# labels of a test split are secret or there is none, the validation split is the test.
DATASETS: dict[str, Halves] = {
    "Caltech101": WHOLE,
    "CIFAR10": _by_flag(),
    "CIFAR100": _by_flag(),
    "CLEVRClassification": _by_split("train", test="val"),
    "Country211": _by_split("train", "valid"),
    "DTD": _by_split("train", "val"),
    **{
        f"EMNIST-{split}": _by_flag(split=split)
        for split in ("balanced", "byclass", "bymerge", "digits", "letters")
    },
    "EuroSAT": WHOLE,
    "FashionMNIST": _by_flag(),
    "FGVCAircraft": _by_split("trainval"),
    "Flowers102": _by_split("train", "val"),
    "Food101": _by_split("train"),
    "GTSRB": _by_split("train"),
    "Imagenette": _by_split("train", test="val"),
    "KMNIST": _by_flag(),
    "MNIST": _by_flag(),
    "OxfordIIITPet": _by_split("trainval"),
    "RenderedSST2": _by_split("train", "val"),
    "SEMEION": WHOLE,
    "StanfordCars": _by_split("train"),
    "STL10": _by_split("train"),
    "SUN397": WHOLE,
    "SVHN": _by_split("train"),
    "USPS": _by_flag(),
}


@dataclass(frozen=True)
class Torchvision(Dataset):
    """A dataset that torchvision knows how to fetch and read.

    Args:
        dataset: the name of torchvision's class; EMNIST's splits are ``EMNIST-letters`` and so on.
        root: torchvision's ``root``, the folder that holds a folder for each dataset.
        download: fetch what is not there.
    """

    name: ClassVar[str] = "torchvision"
    licence: ClassVar[str] = "each dataset has its own"
    citation: ClassVar[str] = (
        "TorchVision maintainers and contributors. TorchVision: PyTorch's Computer Vision "
        "library. 2016. github.com/pytorch/vision; and the dataset's own authors"
    )

    dataset: str
    root: Path | str = "data"
    download: bool = False

    def load(self) -> Data:
        """Images as they are: uint8 ``[N, C, H, W]`` or files; labels int64 ``[N]``.

        Raises:
            HarnessError: the name is unknown, or torchvision cannot read the files.
        """
        if self.dataset not in DATASETS:
            raise HarnessError(
                f"no torchvision dataset is called '{self.dataset}'"
                f"{did_you_mean(self.dataset, DATASETS)}",
                f"Known: {', '.join(DATASETS)}",
            )
        halves = DATASETS[self.dataset]
        parts = [self._ask(keywords) for keywords in halves.train]
        inputs, values = self._examples(parts)
        # Only classes of which there are images: EMNIST's letters, for one, start at 1.
        present, labels = torch.unique(values, return_inverse=True)
        test = None
        if halves.test is not None:
            test_inputs, test_values = self._examples([self._ask(halves.test)])
            if unseen := set(test_values.tolist()) - set(present.tolist()):
                raise HarnessError(
                    f"the test split of {self.dataset} has classes that its training split lacks: "
                    f"{abridged(_class_names(parts[0], torch.tensor(sorted(unseen))))}",
                    self._remedy,
                )
            test = Split(test_inputs, torch.searchsorted(present, test_values))
        return Data(train=Split(inputs, labels), classes=_class_names(parts[0], present), test=test)

    @property
    def _remedy(self) -> str:
        if self.download or self.dataset == "StanfordCars":  # which nobody serves any more
            return f"Put its files into {self.root} yourself"
        return "Set download = true, or give the root that holds it"

    def _ask(self, keywords: Keywords) -> Any:
        """torchvision's own object; its kind depends on the dataset."""
        from torchvision import datasets

        kind = getattr(datasets, self.dataset.partition("-")[0])
        root = Path(self.root).expanduser()
        try:
            # Some say on stdout what they fetch, and stdout is for the harness's data. CIFAR's
            # files are pickles, upstream's own format: torchvision checks their MD5 first.
            with redirect_stdout(sys.stderr):
                return kind(root=root, download=self.download, **keywords)
        except Exception as error:  # each reader has its own ways to fail on what it finds
            reason = (str(error) or type(error).__name__).splitlines()[0]
            reason = reason.partition(" You can use")[0].rstrip(".")  # its own remedy, in Python
            raise HarnessError(
                f"torchvision cannot read {self.dataset} in {located(root)}: {reason}",
                self._remedy,
            ) from error

    def _examples(self, parts: Sequence[Any]) -> tuple[RawInputs, Tensor]:
        """The inputs and raw labels of some of torchvision's objects together."""
        if hasattr(parts[0], "data"):
            images = torch.cat([_channels_first(part.data) for part in parts])
            if self.dataset.startswith("EMNIST"):
                images = images.transpose(2, 3).contiguous()  # its files are in column order
            values = [part.targets if hasattr(part, "targets") else part.labels for part in parts]
            return ArrayInputs(images), torch.cat([torch.as_tensor(v).long() for v in values])
        files = sorted((Path(path), int(label)) for part in parts for path, label in _files(part))
        if lacking := [path for path, _ in files if not path.is_file()]:
            raise HarnessError(
                f"{self.dataset} lacks {len(lacking):,} of {len(files):,} images: "
                f"{abridged(lacking)}",
                self._remedy,
            )
        labels = torch.tensor([label for _, label in files], dtype=torch.int64)
        return FileInputs(tuple(path for path, _ in files)), labels


def _channels_first(images: Any) -> Tensor:
    """uint8 ``[N, H, W]``, ``[N, H, W, 3]`` or ``[N, 3, H, W]`` as ``[N, C, H, W]``."""
    pixels = torch.from_numpy(np.ascontiguousarray(images))
    if pixels.ndim == 3:
        return pixels[:, None]
    return pixels if pixels.shape[1] == 3 else pixels.permute(0, 3, 1, 2).contiguous()


def _files(part: Any) -> Iterable[tuple[str | Path, int]]:
    """The image files and labels of torchvision's object.

    Its public way to a label is through the decoded image; these attributes are not public, but
    as old as the classes.
    """
    for name in ("samples", "_samples"):
        if hasattr(part, name):
            return list(getattr(part, name))
    for name in ("_image_files", "_images"):
        if hasattr(part, name):
            return zip(getattr(part, name), part._labels, strict=True)
    # Caltech101 numbers the files in each folder, and keeps the numbers.
    folder = Path(part.root) / "101_ObjectCategories"
    return [
        (folder / part.categories[label] / f"image_{number:04d}.jpg", label)
        for number, label in zip(part.index, part.y, strict=True)
    ]


def _class_names(part: Any, present: Tensor) -> tuple[str, ...]:
    names = getattr(part, "classes", getattr(part, "categories", None))
    if names is None:
        return tuple(str(value) for value in present.tolist())
    chosen = [names[n] if n < len(names) else str(n) for n in present.tolist()]
    # Imagenette has synonyms.
    return tuple(name if isinstance(name, str) else name[0] for name in chosen)


@hookimpl
def harness_datasets() -> Sequence[type[Dataset]]:
    return [Torchvision]
