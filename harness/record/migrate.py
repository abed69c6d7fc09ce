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


BASELINES = ("from_scratch", "source_only")
"""The strategies that gains were over when the report knew them by name."""


def _baseline(cell: Content) -> Content:
    """Version 4 says which strategies are baselines."""
    return {**cell, "baseline": cell["strategy"] in BASELINES}


def _baseline_without_weights(record: Content) -> Content:
    """What uses no weights is no longer told what they cost."""
    record = _baseline(record)
    if record["strategy"] != BASELINES[0]:
        return record
    cached = [phase for phase in record.get("cached", []) if phase != "pretrain"]
    seconds = dict(record.get("seconds", {}))
    if "pretrain" in seconds:
        seconds["pretrain"] = 0.0
    return {**record, "cached": cached, "seconds": seconds}


def _baselines(plan: Content) -> Content:
    return {**plan, "cells": [_baseline(cell) for cell in plan["cells"]]}


RECORD: dict[int, Step] = {
    1: _tried_once,
    2: _unchanged,  # version 3 may say the CPU time
    3: _baseline_without_weights,
}
PLAN: dict[int, Step] = {1: _unchanged, 2: _unchanged, 3: _baselines}
