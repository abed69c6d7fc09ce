"""Show on the page where results come from: settings in force and machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.report import format
from harness.report.analysis.details import Default


def defaults(found: Sequence[Default]) -> pd.DataFrame:
    """Make a row for each part of the suite, with all settings that were in force."""
    rows: dict[tuple[str, str], list[str]] = {}
    for default in found:
        text = f"{default.setting} = {format.listing(default.values, 'or')}"
        rows.setdefault((default.part, default.name), []).append(text)
    return pd.DataFrame(
        [(part, name, ", ".join(texts)) for (part, name), texts in rows.items()],
        columns=["part", "name", "settings"],
    )


def machines(facts: Sequence[Any]) -> list[str]:
    """Tell what differs between the machines of cells: ``host: a (3 cells), b (5 cells)``."""
    found = []
    for fact in facts:
        if fact.warns and fact.of_machine:
            values: Mapping[str, int] = fact.values
            told = [f"{value} ({format.plural(n, 'cell')})" for value, n in values.items()]
            more = f" and {len(told) - 4} more" if len(told) > 4 else ""
            found.append(f"{fact.name}: {', '.join(told[:4])}{more}")
    return found
