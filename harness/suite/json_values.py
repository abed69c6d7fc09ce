"""Find values that TOML has and JSON does not hold: dates, numbers or tables without bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, time

from harness.suite.messages import Location, Mistake

DEPTH = 20
"""Tables and lists within each other, at most: what is deeper can't be written as JSON."""


def not_json(value: object, location: Location = ()) -> Iterator[Mistake]:
    """Each such value in a suite's table, by its place.

    A suite is stored, and hashed, as JSON: what comes back from there would not be the same.
    """
    if len(location) > DEPTH:
        yield location[:4], f"is nested more than {DEPTH} levels deep"
        return
    match value:
        case dict():
            for key, inner in value.items():
                yield from not_json(inner, (*location, str(key)))
        case list() | tuple():
            for index, inner in enumerate(value):
                yield from not_json(inner, (*location, index))
        case date() | time():
            yield location, "is a date or a time: put it in quotes"
        case int() if not -(2**63) <= value < 2**63:
            yield location, "is a whole number of more than 64 bits"
        case float() if math.isnan(value):
            yield location, "should be a number, not nan"
