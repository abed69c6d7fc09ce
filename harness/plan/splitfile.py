"""Splits as a file: published beside a result, and read again to repeat it or to compare with."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from harness.data.loaded import Loaded
from harness.data.splits import Manifest
from harness.errors import HarnessError, abridged, did_you_mean, located
from harness.record.files import read_file
from harness.shots import VTAB_TRAIN, VTAB_VAL, shots_asked
from harness.suite.messages import in_words, written
from harness.suite.problems import TransferShots
from harness.suite.seeds import Seed

REMEDY = "'harness splits SUITE' writes such files"

LARGEST = 2**30
"""Bytes of a file that are read: fifty splits of a million examples."""

Ids = tuple[Annotated[int, Field(ge=0, lt=2**63)], ...]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Entry(_Table):
    """One split: row ids from 0, ``test`` in the official test split where there is one.

    ``hash`` is of the ids and of the data; a file that others made may leave it out.
    """

    shots: TransferShots
    seed: Seed
    hash: str | None = None
    train: Ids
    val: Ids
    test: Ids


class SplitFile(_Table):
    """The splits of one dataset by shots and seed.

    ``data`` is the digest of all its content: ids mean nothing in other data, or in another
    order. ``examples`` and ``test_examples`` count the training data and the official test split.
    """

    version: Literal[1] = 1
    dataset: str
    data: str
    examples: int
    test_examples: int | None
    classes: tuple[str, ...]
    splits: tuple[Entry, ...]

    def manifest(self, loaded: Loaded, shots: TransferShots, seed: int) -> Manifest:
        """The split of ``shots`` and ``seed``, checked against the data.

        Raises:
            HarnessError: the file has none, or is for other data, or the ids are no such split.
        """
        differ = [
            f"{name} is {_short(was)} there and {_short(now)} here"
            for name, now in describe(loaded).items()
            if (was := getattr(self, name)) != now
        ]
        if differ:
            raise HarnessError(f"it is for other data: {', '.join(differ)}", REMEDY)
        entry = self._entry(shots, seed)
        manifest = Manifest(
            train=tuple(sorted(entry.train)),
            val=tuple(sorted(entry.val)),
            test=tuple(sorted(entry.test)),
            official=loaded.data.test is not None,
        )
        if mistakes := [*_mistakes(manifest, loaded, shots)]:
            raise HarnessError(f"{_name(shots, seed)}: {'; '.join(mistakes)}", REMEDY)
        if entry.hash not in (None, found := manifest.digest(loaded.digest)):
            raise HarnessError(
                f"{_name(shots, seed)}: its ids were changed: they have the hash {found}, and not "
                f"{_short(entry.hash)}",
                REMEDY,
            )
        return manifest

    def _entry(self, shots: TransferShots, seed: int) -> Entry:
        of_shots = [entry for entry in self.splits if entry.shots == shots]
        found = [entry for entry in of_shots if entry.seed == seed]
        if len(found) == 1:
            return found[0]
        if found:
            raise HarnessError(f"it has {len(found)} splits of {_name(shots, seed)}", REMEDY)
        if of_shots:
            known = did_you_mean("", [str(entry.seed) for entry in of_shots])
            raise HarnessError(f"it has no split of {_name(shots, seed)}{known}", REMEDY)
        known = did_you_mean("", {str(entry.shots) for entry in self.splits})
        raise HarnessError(f"it has no split of {shots_asked(shots)}{known}", REMEDY)


def write(
    dataset: str, loaded: Loaded, splits: Iterable[tuple[TransferShots, int, Manifest]]
) -> str:
    """The text of a file with these splits."""
    entries = tuple(
        Entry(
            shots=shots,
            seed=seed,
            hash=split.digest(loaded.digest),
            train=split.train,
            val=split.val,
            test=split.test,
        )
        for shots, seed, split in splits
    )
    file = SplitFile.model_validate({"dataset": dataset, **describe(loaded), "splits": entries})
    return file.model_dump_json() + "\n"


def describe(loaded: Loaded) -> dict[str, object]:
    """What tells a dataset from another: counts and names first, as they say more to people."""
    data = loaded.data
    return {
        "examples": len(data.train.labels),
        "test_examples": len(data.test.labels) if data.test else None,
        "classes": data.classes,
        "data": loaded.digest,
    }


def read(path: Path) -> SplitFile:
    """Read a file of splits.

    Raises:
        HarnessError: it is missing, or is not what :func:`write` gives.
    """
    try:
        content = read_file(path, LARGEST)
    except (OSError, ValueError) as error:  # of a name that can't be one
        reason = getattr(error, "strerror", None) or error
        raise HarnessError(f"cannot read {located(path)}: {reason}", "Check the path") from error
    try:
        return SplitFile.model_validate_json(content.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        details = error.errors(include_url=False)
        told = abridged(dict.fromkeys(map(_told, details)), separator="; ")
        raise HarnessError(f"{path}: {told}", REMEDY) from None


def _told(detail: ErrorDetails) -> str:
    kind, found = detail["type"], reprlib.repr(detail["input"])
    if kind == "json_invalid":
        return f"it is not JSON: {detail['ctx']['error']}"
    fields = {*SplitFile.model_fields, *Entry.model_fields}
    where = tuple(part for part in detail["loc"] if isinstance(part, int) or part in fields)
    match kind, where:
        case "extra_forbidden", _:
            key = str(detail["loc"][-1])
            return f"unknown key {key!r}{did_you_mean(key, fields)}"
        case "missing", _:
            return f"{written(where)}: is missing"
        case _, ():
            return "it is not a table of splits"
        case _, ("version",):
            return f"its version is {found}, and only 1 is known"
        case _, (*_, "shots"):
            message = "should be a whole number above 0, 'vtab1k' or 'all'"
        case _:
            message = in_words(detail)
    return f"{written(where)}: {message}, not {found}"


def _mistakes(manifest: Manifest, loaded: Loaded, shots: TransferShots) -> Iterator[str]:
    """What makes ids no split of this data."""
    data = loaded.data
    parts = {part: getattr(manifest, part) for part in ("train", "val", "test")}
    for part, ids in parts.items():
        official = part == "test" and manifest.official
        size = len((data.test if official and data.test else data.train).labels)
        if not ids:
            yield f"{part} is empty"
        elif ids[-1] >= size:
            kind = "test" if official else "training"
            yield f"{part} has the id {ids[-1]}, but there are {size} {kind} examples from 0"
        elif len(set(ids)) < len(ids):
            yield f"{part} has the id {Counter(ids).most_common(1)[0][0]} twice"
    pairs = [("train", "val")]
    pairs += [] if manifest.official else [("train", "test"), ("val", "test")]
    for one, other in pairs:
        if shared := sorted({*parts[one]} & {*parts[other]}):
            yield f"{one} and {other} share {len(shared)} ids, such as {shared[0]}"
    if not manifest.train or manifest.train[-1] < len(data.train.labels):
        yield from _wrong_counts(manifest, loaded, shots)


def _wrong_counts(manifest: Manifest, loaded: Loaded, shots: TransferShots) -> Iterator[str]:
    data = loaded.data
    if shots == "vtab1k":
        for part, wanted in (("train", VTAB_TRAIN), ("val", VTAB_VAL)):
            if (count := len(getattr(manifest, part))) != wanted:
                yield f"{part} has {count} examples, not {wanted}"
    elif shots != "all":
        counts = data.train.labels[[*manifest.train]].bincount(minlength=len(data.classes))
        wrong = [
            f"{count} examples of class '{data.classes[label]}'"
            for label in data.train.labels.unique().tolist()
            if (count := int(counts[label])) != shots
        ]
        if wrong:
            yield f"train has {abridged(wrong)}, not {shots}"


def _name(shots: TransferShots, seed: int) -> str:
    return f"{shots_asked(shots)} with seed {seed}"


def _short(value: object) -> str:
    return reprlib.repr([*value] if isinstance(value, tuple) else value)
