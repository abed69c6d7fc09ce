"""A sign of life: while a cell runs, a file says who is at it and how far it is."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.executor import Emit
from harness.record import owners
from harness.record.owners import BEAT, Owner


class Heartbeat:
    """Keeps a cell's file of :mod:`harness.record.owners` up to date while it is entered.

    A thread writes it, as a step may take longer than the others wait for a sign.
    """

    def __init__(self, directory: Path, cell: str, device: str, emit: Emit) -> None:
        self._directory, self._cell, self._emit = directory, cell, emit
        self._owner = Owner(
            host=platform.node(), pid=os.getpid(), device=device, started=time.time()
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def emit(self, hook: str, arguments: Mapping[str, Any]) -> None:
        """Pass an event on, and note what it says of progress."""
        if hook == "harness_cell_progress":
            told = {name: arguments[name] for name in ("stage", "done", "total")}
            if told["stage"] == "trial":
                told |= {"trial": told["done"], "trials": told["total"]}
            self._owner = self._owner.model_copy(update=told)
        self._emit(hook, arguments)

    def __enter__(self) -> Heartbeat:
        owners.write(self._directory, self._cell, self._owner)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()
        owners.remove(self._directory, self._cell)

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            owners.write(self._directory, self._cell, self._owner)
