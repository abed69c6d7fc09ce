"""Which examples of a problem belong together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness.suite.table import Table


def one_group(pattern: str) -> str:
    """The pattern, if it is a regular expression with one group.

    Raises:
        ValueError: it is none.
    """
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if groups != 1:
        raise ValueError(
            f"needs one group in parentheses, as '^([^_]+)_' has, and there are {groups}; "
            "(?:…) groups without counting"
        )
    return pattern


class GroupsSpec(Table):
    """Examples that belong together, such as those of one animal, patient, camera or plate: no
    group is on both sides of a split that the harness draws.

    ``groups = "patient"`` is short for a ``column``; ``groups = true`` takes those that the data
    tell themselves, such as ``groups_train`` of an npz file.
    """

    column: Annotated[str, Field(min_length=1)] | None = None
    """The column of a CSV file that names each example's group."""

    pattern: Annotated[str, AfterValidator(one_group)] | None = None
    """A regular expression whose one group is found in the name of each image file, without its
    folders: ``'^([^_]+)_'`` is what comes before the first ``_``."""

    file: Annotated[Path | None, Field(strict=False)] = None
    """A CSV file that says which examples belong together by their content, such as copies of each
    other, as ``harness data --groups-to`` writes it."""

    shared: Literal["warn", "refuse"] = "warn"
    """What is done where a given test split or file of splits shares groups with what is learned
    from: it is told, or refused."""

    @model_validator(mode="after")
    def _by_one(self) -> GroupsSpec:
        given = [name for name in ("column", "pattern", "file") if getattr(self, name) is not None]
        if len(given) > 1:
            told = " or by ".join(repr(name) for name in given)
            raise ValueError(f"groups are by {told}: leave one out")
        return self


def _grouped(value: object) -> object:
    if value is True:
        return {}
    return {"column": value} if isinstance(value, str) else value


Groups: TypeAlias = Annotated[GroupsSpec, BeforeValidator(_grouped)] | None
