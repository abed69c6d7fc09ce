"""Check that a folder's cells may be compared: one budget for all, one version of each dataset."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import HarnessError, abridged
from harness.record.schema import Record


class Comparable:
    """What records of one folder have to have in common, gathered record by record."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, Record]] = {}

    def add(self, record: Record) -> None:
        meaning = record.meaning
        of = f"of problem '{record.problem}'"
        tests = meaning.get("tests")
        further = tests.items() if isinstance(tests, dict) else ()
        for what, value in (
            ("the budget", meaning.get("budget")),
            (f"the data {of}", meaning.get("data")),
            *((f"the data of test '{name}' {of}", told) for name, told in further),
        ):
            if value is not None:  # what was made elsewhere has no budget
                versions = self._seen.setdefault(what, {})
                versions.setdefault(json.dumps(value, sort_keys=True), record)

    def join(self, other: Comparable) -> None:
        """Add what another has gathered."""
        for what, versions in other._seen.items():
            for value, record in versions.items():
                self._seen.setdefault(what, {}).setdefault(value, record)

    def differing(self) -> list[str]:
        """What cells differ in of what they have to have in common; names two for each."""
        mixed = []
        for what, versions in self._seen.items():
            if len(versions) > 1:
                (one, first), (other, second) = [*versions.items()][:2]
                mixed.append(
                    f"{what} is {_short(one)} for '{first.title}' and {_short(other)} for "
                    f"'{second.title}'"
                )
        return mixed

    def require(self, folder: Path) -> None:
        """
        Raises:
            HarnessError: ``differing`` tells of something.
        """
        if mixed := self.differing():
            raise HarnessError(
                f"{folder} mixes results that can't be compared: {abridged(mixed, separator='; ')}",
                "Run the suite again in a folder of its own (--results)",
            )


def _short(value: str) -> str:
    return value if len(value) <= 60 or value.startswith("{") else f"{value[:60]}…"
