"""Read the misclassified examples that cells kept for the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.record.files import read_file
from harness.record.schema import Plan
from harness.record.store import misclassified_file

LARGEST = 10_000_000
"""Bytes of a file that are read: errors of one cell take a tenth."""

TOLD = {"id": int, "true": str, "taken": str, "confidence": float}
SHOWN = {"image": str, "text": str, "name": str}


def may_show(plan: Plan) -> bool:
    """Whether the suite lets a report show inputs."""
    asked = plan.config.get("report")
    return not isinstance(asked, Mapping) or asked.get("examples") is not False


def read(
    directory: Path, cell: str, with_inputs: bool, test: str | None = None
) -> list[dict[str, Any]] | None:
    """Read the errors that a cell kept of its own test or of a further one, most confident first;
    None where it kept none, or what is there can't be used. Without inputs neither these nor the
    names of their files are told."""
    fields = {**TOLD, **(SHOWN if with_inputs else {})}
    try:
        errors = json.loads(read_file(directory / misclassified_file(cell, test), LARGEST))
        return [
            {name: kind(error[name]) for name, kind in fields.items() if name in error}
            for error in errors
        ]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
