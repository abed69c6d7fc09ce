"""What all tables of a suite have in common.

Each field of each table has a docstring of its own under it, from which the reference of suite
keys is made.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Fraction: TypeAlias = Annotated[float, Field(gt=0, lt=1)]

Args: TypeAlias = dict[str, Any]
"""Arguments of a plugin: what they may be, the plugin says itself."""


class Table(BaseModel):
    """A table of a suite's file: unknown keys are refused, and types are taken as they are."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        ser_json_inf_nan="constants",
    )


def named(value: object) -> object:
    """A name alone stands for a table with that name."""
    return {"name": value} if isinstance(value, str) else value


def listed(value: object) -> object:
    """One value stands for a list of it."""
    return value if isinstance(value, list | tuple) else [value]
