"""Which examples belong together: as the data say, by a column of a table, by names of files, or as
a file of groups says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from harness.data.examples import Data, FileInputs, RawInputs, Split, tensor_digest
from harness.data.group_file import names_by_file
from harness.data.splits import Manifest
from harness.errors import HarnessError, abridged, did_you_mean

Shared = dict[str, int]
"""Examples whose group is on the other side of a split, by where; see :meth:`Groups.shared`."""


@dataclass(frozen=True)
class Groups:
    """Numbers of groups, int64 ``[N]``, the same for one group in both parts; ``test`` is ``None``
    where there is no official test split, or nothing is known of its groups."""

    train: Tensor
    test: Tensor | None = None

    def digest(self) -> str:
        """SHA-256 of which training examples belong together, whatever groups are called."""
        return tensor_digest(_numbered(self.train.tolist()))

    def shared(self, manifest: Manifest) -> Shared:
        """Count examples whose group is also on the side that is learned from: of those tested
        (``group-test``) in training or validation, of those that validate (``group-val``) in
        training. What there is none of is left out."""
        train, val = self.train[[*manifest.train]], self.train[[*manifest.val]]
        tested = self.test if manifest.official else self.train
        found = {"group-val": int(torch.isin(val, train).sum())}
        if tested is not None:
            test = tested[[*manifest.test]]
            found["group-test"] = int(torch.isin(test, torch.cat([train, val])).sum())
        return {where: count for where, count in found.items() if count}


def groups_of(
    data: Data,
    column: str | None = None,
    pattern: str | None = None,
    file: Path | None = None,
) -> Groups:
    """Find the groups of data: by the texts in a ``column``, by what the one group of a regular
    expression finds in the names of files, without their folders, by a file of groups, or else
    those of the data.

    Raises:
        HarnessError: the data have no such column, no groups, or no names of files, or the pattern
            is not in some of them, or the file is of no use.
    """
    if file is not None:
        return _numbered_parts(names_by_file(data, file))
    if column is None and pattern is None:
        if data.train.groups is None:
            raise HarnessError(
                "the data tell no groups of their own",
                'Name a column, groups = "patient", or a pattern of file names, '
                "groups = { pattern = '^([^_]+)_' }",
            )
        return Groups(data.train.groups, None if data.test is None else data.test.groups)
    named = [
        _column(split, column) if column is not None else by_name(split.inputs, str(pattern))
        for split in (data.train, data.test)
        if split is not None
    ]
    return _numbered_parts(named)


def _numbered_parts(named: Sequence[Sequence[object]]) -> Groups:
    """Groups by names: of the training data, and of the official test split where there is one."""
    numbers = _numbered([name for names in named for name in names])
    count = len(named[0])
    return Groups(numbers[:count], numbers[count:] if len(named) > 1 else None)


def by_name(inputs: RawInputs, pattern: str) -> list[str]:
    """What the one group of a regular expression finds in the name of each file.

    Raises:
        HarnessError: inputs are no files, or the expression is not in the names of some.
    """
    if not isinstance(inputs, FileInputs):
        raise HarnessError(
            "groups by a pattern take the names of image files, which these data have not",
            "Name a column, or bring data of files",
        )
    found = [re.search(pattern, path.name) for path in inputs.paths]
    lacking = [
        path.name
        for path, match in zip(inputs.paths, found, strict=True)
        if match is None or match.group(1) is None
    ]
    if lacking:
        raise HarnessError(
            f"{len(lacking):,} of {len(found):,} names of files don't have the pattern of groups "
            f"'{pattern}': {abridged(lacking)}",
            "Change the pattern, or rename these files",
        )
    return [match.group(1) for match in found if match is not None]


def _column(split: Split, column: str) -> Sequence[str]:
    known: Mapping[str, Sequence[str]] = split.columns
    if column not in known:
        if not known:
            raise HarnessError(
                f"there is no column '{column}' to group by: the data are no table",
                "Give a pattern of file names, groups = { pattern = '^([^_]+)_' }; groups = true "
                "takes those that the data tell themselves",
            )
        raise HarnessError(
            f"there is no column '{column}' to group by{did_you_mean(column, known)}",
            "Name one of the table's",
        )
    if empty := sum(not text.strip() for text in known[column]):
        raise HarnessError(
            f"the column '{column}' to group by is empty in {empty:,} of {len(known[column]):,} "
            "rows",
            "Fill it: a name of its own where an example belongs to no other",
        )
    return known[column]


def _numbered(names: Sequence[object]) -> Tensor:
    """Numbers in the order in which names first come."""
    number: dict[object, int] = {}
    return torch.tensor([number.setdefault(name, len(number)) for name in names], dtype=torch.int64)
