"""``notice``: a message, wherever it is to go, when a run has ended or goes wrong."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.api import HarnessError, Tracker, hookimpl

if TYPE_CHECKING:
    from harness.api import Cell, Record

WHERE = "HARNESS_NOTICE"
"""The variable of the environment that says where notices go: no suite holds such secrets."""

FEWEST = 5
"""Cells that must have ended before most of them can be said to fail."""


class Notice(Tracker):
    """Sends a notice when a run has ended, and once when most of its cells fail.

    ``HARNESS_NOTICE`` holds addresses as Apprise has them, with spaces between: mail, chats,
    telephones, ``json://`` for a program of one's own (github.com/caronc/apprise).
    """

    name: ClassVar[str] = "notice"
    requires: ClassVar[Mapping[str, str]] = {"apprise": "transfer-harness[notice]"}

    def __init__(self) -> None:
        import apprise

        self._to = apprise.Apprise()
        addresses = os.environ.get(WHERE, "").split()
        if not addresses or not self._to.add(addresses):
            raise HarnessError(
                f"tracker 'notice': {WHERE} holds no address that Apprise knows",
                f"export {WHERE}='mailto://user:password@example.org'",
            )
        self._ended = Counter[str]()
        self._warned = False
        self._started = 0.0

    @hookimpl
    def harness_suite_started(
        self, suite: str, directory: Path, cells: Sequence[Cell], todo: int
    ) -> None:
        self._ended.clear()
        self._warned, self._started = False, time.monotonic()

    @hookimpl
    def harness_cell_finished(self, cell: Cell, record: Record) -> None:
        self._ended[record.status] += 1
        ended = self._ended.total()
        if not self._warned and ended >= FEWEST and 2 * self._ended["ok"] < ended:
            self._warned = True
            self._send(
                f"{cell.suite}: most cells fail",
                f"{self._told()}. The last is {record.title}: {record.reason}",
            )

    @hookimpl
    def harness_suite_finished(self, suite: str, directory: Path) -> None:
        minutes = (time.monotonic() - self._started) / 60
        if self._ended:
            self._send(
                f"{suite} has ended", f"{self._told()}, after {minutes:.0f} min: {directory}"
            )

    def _told(self) -> str:
        return ", ".join(f"{count} {status}" for status, count in self._ended.most_common())

    def _send(self, title: str, body: str) -> None:
        if not self._to.notify(body=body, title=title):
            raise OSError("Apprise could not send it")


@hookimpl
def harness_trackers() -> list[type[Tracker]]:
    return [Notice]
