"""Files of earlier versions of the format, brought to this version as they are read.

What is on the disk stays as it is. Who changes the format raises ``SCHEMA_VERSION`` by one, adds
a step from the version before to ``RECORD`` and to ``PLAN``, and to the tests a file of that
version. Every version keeps ``schema_version`` where it is, so that older ones know a newer file
when they see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from harness.record.schema import SCHEMA_VERSION

Content: TypeAlias = dict[str, Any]
"""A file's JSON, without its checksum, which was of what is stored."""

Step: TypeAlias = Callable[[Content], Content]


def migrated(content: Content, steps: Mapping[int, Step]) -> Content:
    """The content as this version would have written it, one step a version."""
    for version in range(content["schema_version"], SCHEMA_VERSION):
        content = {**steps[version](content), "schema_version": version + 1}
    return content


def _tried_once(record: Content) -> Content:
    """Version 2 says how often a cell was tried, and where its log is."""
    return {"attempts": 1, "log": None, **record}


def _unchanged(content: Content) -> Content:
    return content


RECORD: dict[int, Step] = {1: _tried_once, 2: _unchanged}  # version 3 may say the CPU time
PLAN: dict[int, Step] = {1: _unchanged, 2: _unchanged}  # a checksum is no part of a plan
