"""The seeds of a suite: a list, or as many as it takes to decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import (
    Discriminator,
    Field,
    PositiveFloat,
    Tag,
    model_serializer,
    model_validator,
)

from harness.suite.table import Table

Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**32)]


class AddedSeeds(Table):
    """Seeds where they are needed.

    After each look at the results seeds are added to those settings that have no winner, and in
    them to the strategies that are not beaten; looks are at 3, 5, 7, 10, 14, 20, … seeds between
    ``from`` and ``to``, and what they decide is what the report decides.
    """

    first: Annotated[int, Field(ge=2, alias="from")]
    """Seeds that every cell has."""

    to: Annotated[int, Field(ge=3, le=1000)]
    """Seeds that a cell may come to."""

    margin: PositiveFloat | None = None
    """Points of accuracy: a setting takes no more seeds either where all strategies that are left
    are shown to be within so many of the best."""

    @model_validator(mode="after")
    def _adds(self) -> AddedSeeds:
        if self.to <= self.first:
            raise ValueError("'to' should be more than 'from'")
        return self

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        margin = {} if self.margin is None else {"margin": self.margin}
        return {"from": self.first, "to": self.to, **margin}


def _seeds_kind(value: object) -> str:
    return "added" if isinstance(value, Mapping | AddedSeeds) else "listed"


Seeds: TypeAlias = Annotated[
    Annotated[tuple[Seed, ...], Field(min_length=1, strict=False), Tag("listed")]
    | Annotated[AddedSeeds, Tag("added")],
    Discriminator(_seeds_kind),
]
