"""Datasets of the Hugging Face hub, and folders that its library ``datasets`` reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch

from harness.api import (
    Data,
    Dataset,
    FileInputs,
    HarnessError,
    Mistakes,
    RawInputs,
    Split,
    TextInputs,
    abridged,
    cache_folder,
    did_you_mean,
    hookimpl,
    natural,
    one_line,
)

Rows: TypeAlias = Any
"""A split as the library has it, whose types differ between its versions."""

STRINGS = ("string", "large_string")


@dataclass(frozen=True)
class HuggingFace(Dataset):
    """A dataset of the Hugging Face hub or of a local folder: images or texts, each with a label.

    A folder is one that ``save_to_disk`` wrote, or has parquet, arrow, csv or json files, or images
    in a folder a class. The hub is asked once, and what it gives is kept where ``HF_HOME`` says;
    with ``HF_HUB_OFFLINE=1`` it is not asked at all. Code that comes with a dataset is not run.
    Images that lie in tables are kept as files in the cache folder of the harness, once.

    Classes are those of the column's ``ClassLabel``, in its order, or else its distinct values in
    natural order (``2`` before ``10``), as far as training examples are of them.

    Args:
        path: the name on the hub, such as ``uoft-cs/cifar10``, or the folder.
        config: the name of a configuration, where there are several.
        input: the column of the images or texts. By default the one column of images, or else the
            one column of strings that is not the label.
        label: the column of the labels: classes, integers or strings.
        train: the split to train on.
        test: the official test split. By default ``test``, where there is one.
    """

    name: ClassVar[str] = "huggingface"
    modalities: ClassVar[frozenset[str]] = frozenset({"image", "text"})
    licence: ClassVar[str] = "that of the dataset: see its page on the hub"
    citation: ClassVar[str] = (
        "Lhoest et al. 2021, Datasets: a community library for natural language processing; and "
        "the dataset's own authors"
    )
    requires: ClassVar[Mapping[str, str]] = {"datasets": "datasets>=3"}

    path: str
    config: str | None = None
    input: str | None = None
    label: str = "label"
    train: str = "train"
    test: str | None = None

    def load(self) -> Data:
        """Read the splits: images to be decoded when needed, each to uint8 ``[1 or 3, H, W]``, or
        texts; labels int64 ``[N]``.

        Raises:
            HarnessError: the dataset can't be had, a split or a column is not there, an example has
                no label or no input, or an image cannot be decoded.
        """
        found = self._read()
        named = {"train": self.train}
        if self.test is not None or "test" in found:
            named["test"] = self.test or "test"
        if mistakes := [
            f"it has no split '{split}'{did_you_mean(split, found)}. Name one in args: {argument} "
            "= …"
            for argument, split in named.items()
            if split not in found
        ]:
            raise Mistakes(self.path, mistakes)
        if named.get("test") == self.train:
            raise HarnessError(
                f"{self.path}: train and test are the same split, '{self.train}'",
                "Name another one in args",
            )
        column = self._column(found[self.train])
        values = {split: self._labels(found[split], split) for split in named.values()}
        names = self._names(found[self.train], values[self.train])
        if unseen := {*values[named.get("test", self.train)]}.difference(names):
            lacking: list[str] = sorted(map(str, unseen), key=natural)
            raise HarnessError(
                f"{self.path}: split '{named['test']}' has labels that '{self.train}' lacks: "
                f"{abridged(lacking)}",
                "Name another split, or give training examples of them",
            )
        number = {value: place for place, value in enumerate(names)}
        splits = [
            Split(
                self._inputs(found[split], split, column),
                torch.tensor([number[value] for value in labels], dtype=torch.int64),
            )
            for split, labels in values.items()
        ]
        others = [f"{s} ({len(rows):,})" for s, rows in found.items() if s not in values]
        note = f"splits of {self.path} that are not used, with their examples: {', '.join(others)}"
        return Data(
            train=splits[0],
            classes=tuple(names.values()),
            test=splits[1] if len(splits) == 2 else None,
            notes=(note,) if others else (),
        )

    def _read(self) -> Mapping[str, Rows]:
        """All splits by name.

        Raises:
            HarnessError: they can't be had.
        """
        import datasets

        folder = Path(self.path).expanduser()
        saved = any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))
        try:
            if saved:
                found = datasets.load_from_disk(str(folder))
            else:
                where = str(folder) if folder.is_dir() else self.path
                found = datasets.load_dataset(where, self.config)
        except Exception as error:  # those of its HTTP client and of its readers share no base
            what = "" if folder.is_dir() else ", which is no folder here,"
            raise HarnessError(
                f"dataset {self.path}{what} cannot be fetched or read: {_first_line(error)}",
                "Check its name and files, the network and the proxy, or name a folder that "
                "save_to_disk wrote",
            ) from error
        return found if isinstance(found, dict) else {"train": found}

    def _column(self, rows: Rows) -> str:
        """The column of the inputs.

        Raises:
            Mistakes: it or that of the labels is not there, or is of another kind, or several may
                be meant.
        """
        named = {"label": self.label, **({"input": self.input} if self.input else {})}
        there = ", ".join(rows.features)
        if mistakes := [
            f"there is no column '{column}'; there are: {there}. Name one in args: {argument} = …"
            for argument, column in named.items()
            if column not in rows.features
        ]:
            raise Mistakes(self.path, mistakes)
        kinds = {name: _kind(rows.features[name]) for name in rows.features if name != self.label}
        if self.input is not None:
            if kinds.get(self.input) is None:
                raise HarnessError(
                    f"{self.path}: column '{self.input}' has neither images nor texts",
                    f"Name another in args: input = …; there are: {there}",
                )
            return self.input
        images, texts = ([n for n, kind in kinds.items() if kind == k] for k in ("image", "text"))
        if len(found := images or texts) != 1:
            told = (
                f"several columns of inputs: {', '.join(found)}" if found else "no images or texts"
            )
            raise HarnessError(
                f"{self.path} has {told}", f"Name one in args: input = …; there are: {there}"
            )
        return str(found[0])

    def _labels(self, rows: Rows, split: str) -> list[Any]:
        values = [*rows[self.label]]
        # The hub has -1 where labels are secret.
        lacking = [i for i, value in enumerate(values) if value is None or value == -1]
        if lacking:
            raise HarnessError(
                f"{self.path}: {len(lacking):,} of {len(values):,} examples of split '{split}' "
                f"have no label: rows {abridged(lacking)}",
                "Name another split in args, such as test = 'validation', or leave them out",
            )
        if odd := [value for value in values if not isinstance(value, int | str)]:
            raise HarnessError(
                f"{self.path}: labels in column '{self.label}' are {type(odd[0]).__name__}, not "
                "classes, integers or strings",
                "Name another in args: label = …",
            )
        return values

    def _names(self, rows: Rows, values: Sequence[Any]) -> dict[Any, str]:
        """The name of each class that occurs, by its value, in order."""
        names = getattr(rows.features[self.label], "names", None)
        if names is not None:
            return {value: names[value] for value in sorted({*values})}
        return {value: str(value) for value in sorted({*values}, key=lambda v: natural(str(v)))}

    def _inputs(self, rows: Rows, split: str, column: str) -> RawInputs:
        import datasets

        if _kind(rows.features[column]) == "text":
            texts = [*rows[column]]
            self._refuse_empty([i for i, text in enumerate(texts) if text is None], texts, split)
            return TextInputs(tuple(texts))
        stored = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
        entries = [row[column] for row in stored]
        self._refuse_empty([i for i, entry in enumerate(entries) if entry is None], entries, split)
        inputs = FileInputs(tuple(map(_file, entries)))
        if bad := [*self._undecoded(inputs, split)]:
            raise Mistakes(self.path, bad)
        return inputs

    def _refuse_empty(self, empty: Sequence[int], everything: Sequence[Any], split: str) -> None:
        if empty:
            raise HarnessError(
                f"{self.path}: {len(empty):,} of {len(everything):,} examples of split '{split}' "
                f"are empty: rows {abridged(empty)}",
                "Leave them out",
            )

    def _undecoded(self, inputs: FileInputs, split: str) -> Iterator[str]:
        for row, fact in enumerate(inputs.facts):
            if isinstance(fact, str):
                yield (
                    f"row {row} of split '{split}': the image cannot be decoded ({fact}). Repair "
                    "it, or leave it out"
                )


def _kind(feature: Any) -> str | None:
    """``image`` or ``text``, by what a column says of itself."""
    import datasets

    if isinstance(feature, datasets.Image):
        return "image"
    return "text" if getattr(feature, "dtype", None) in STRINGS else None


def _file(entry: Mapping[str, Any]) -> Path:
    """The file of an image: its own, or one of its bytes in the cache folder."""
    content = entry["bytes"]
    if content is None:
        return Path(entry["path"])
    digest = hashlib.sha256(content).hexdigest()
    place = cache_folder() / "huggingface" / digest[:2] / digest
    try:
        if not place.is_file() or place.stat().st_size != len(content):
            place.parent.mkdir(parents=True, exist_ok=True)
            unfinished = place.with_name(f".{digest}.{os.getpid()}")
            unfinished.write_bytes(content)
            unfinished.replace(place)
    except OSError as error:
        raise HarnessError(
            f"cannot keep an image in {place.parent}: {one_line(error)}",
            "HARNESS_CACHE names the folder that images are kept in",
        ) from error
    return place


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")


@hookimpl
def harness_datasets() -> Sequence[type[Dataset]]:
    return [HuggingFace]
