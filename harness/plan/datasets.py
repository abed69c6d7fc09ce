"""Datasets by name and arguments, each loaded once, and data that no comparison could be made on
refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.contract import Dataset
from harness.data.classes import one_name
from harness.data.copies import near_at_once
from harness.data.examples import Data, FileInputs, Split, TextInputs
from harness.data.grouping import Groups, groups_of
from harness.data.inspection import listed
from harness.data.loaded import Loaded
from harness.data.near_duplicates import Pair
from harness.dataset_wrapper import DatasetWrapper
from harness.errors import HarnessError, Mistakes
from harness.hashing import canonical
from harness.plan import splitfile
from harness.plan.configure import configure
from harness.plan.splitfile import SplitFile
from harness.registry import Registry
from harness.suite.groups import GroupsSpec


class Datasets:
    """Datasets by name and arguments, and files of splits, each loaded once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._loaded: dict[str, Loaded] = {}
        self._splits: dict[Path, SplitFile] = {}
        self._groups: dict[str, Groups] = {}
        self._near: dict[str, list[Pair] | None] = {}

    def load(self, name: str, args: Mapping[str, Any]) -> Loaded:
        """The data of a dataset plugin, or what a wrapper makes of those of another.

        Raises:
            HarnessError: it is unknown, its arguments are wrong, or it cannot be read.
        """
        key = canonical({"dataset": name, "args": args})
        if key not in self._loaded:
            plugin = self._registry.get("dataset", name)
            dataset = configure(plugin, args)
            try:
                self._loaded[key] = self._load(dataset)
            except HarnessError:
                raise
            except Exception as error:
                raise plugin.blame("cannot be loaded", error) from error
        return self._loaded[key]

    def groups(self, name: str, args: Mapping[str, Any], spec: GroupsSpec | None) -> Groups | None:
        """Which examples of a dataset belong together, if that is asked for.

        Raises:
            HarnessError: it cannot be loaded, or has no such groups.
        """
        if spec is None:
            return None
        key = canonical({"dataset": name, "args": args, **spec.model_dump(mode="json")})
        if key not in self._groups:
            data = self.load(name, args).data
            self._groups[key] = groups_of(data, spec.column, spec.pattern, spec.file)
        return self._groups[key]

    def near_duplicates(self, loaded: Loaded) -> list[Pair] | None:
        """Pairs of images that are nearly the same, by place (see :mod:`harness.data.copies`);
        ``None`` where these are not known, and too many to be looked through now."""
        if loaded.digest not in self._near:
            self._near[loaded.digest] = near_at_once(loaded)
        return self._near[loaded.digest]

    def _load(self, dataset: Dataset | DatasetWrapper) -> Loaded:
        if isinstance(dataset, Dataset):
            return load(dataset)
        return wrapped(dataset, self.load(dataset.dataset, dataset.args))

    def splits(self, path: Path) -> SplitFile:
        """A file of splits.

        Raises:
            HarnessError: it is missing or damaged.
        """
        if path not in self._splits:
            self._splits[path] = splitfile.read(path)
        return self._splits[path]


def load(dataset: Dataset) -> Loaded:
    """Load and check a dataset.

    Raises:
        Mistakes: it cannot be read, or its labels are of one class or none, or two of its
            classes are spellings of one, or an image cannot be decoded.
    """
    data = dataset.load()
    is_text = isinstance(data.train.inputs, TextInputs)
    return _checked(dataset.name, data, "text" if is_text else dataset.modality)


def wrapped(wrapper: DatasetWrapper, inner: Loaded) -> Loaded:
    """What a wrapper makes of a dataset, checked likewise.

    Raises:
        HarnessError: it can't be made, as the wrapper says, or does not pass.
    """
    if inner.modality not in wrapper.modalities:
        raise HarnessError(
            f"dataset '{wrapper.name}' does not take {inner.modality}, which dataset "
            f"'{wrapper.dataset}' is",
            "Wrap another: 'harness plugins' tells what each takes",
        )
    return _checked(wrapper.name, wrapper.wrap(inner.data), inner.modality)


def _checked(name: str, data: Data, modality: str) -> Loaded:
    where = f"dataset {name}"
    one_name(data.classes, where)
    parts = {"training": data.train, **({"test": data.test} if data.test else {})}
    if mistakes := [
        line for part, split in parts.items() for line in _mistakes(split, part, data.classes)
    ]:
        raise Mistakes(where, mistakes)
    return Loaded(data, data.digest(), modality)


def _mistakes(split: Split, part: str, classes: Sequence[str]) -> Iterator[str]:
    if not len(split.inputs):
        yield f"there are no {part} examples. Check its arguments"
        return
    low, high = int(split.labels.min()), int(split.labels.max())
    if low < 0 or high >= len(classes):
        yield (
            f"{part} labels run from {low} to {high}, but it names {len(classes)} classes. Number "
            "the classes from 0"
        )
    elif part == "training" and low == high:
        yield f"all training labels are of one class, '{classes[low]}'. Give at least two classes"
    if isinstance(split.inputs, FileInputs) and (unreadable := split.inputs.unreadable):
        yield (
            f"{len(unreadable):,} of {len(split.labels):,} {part} images cannot be decoded: "
            f"{listed(unreadable)}. Repair or remove what is damaged"
        )
