"""Where cells run: what an executor is given, and what it is to do with it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from harness.contract import Plugin
from harness.errors import HarnessError

Emit = Callable[[str, Mapping[str, Any]], None]
"""Fires an event hook: takes its name and arguments."""


class Job(Protocol):
    """One cell, ready to run here or in another process: it pickles."""

    @property
    def title(self) -> str: ...

    @property
    def timeout(self) -> float | None:
        """Seconds of wall clock after which it is to be killed."""
        ...

    @property
    def memory(self) -> int | None:
        """Bytes of the host's memory that its process may take beyond what :meth:`warm` did."""
        ...

    @property
    def threads(self) -> int:
        """CPU threads that it computes with."""
        ...

    @property
    def log(self) -> Path:
        """Where its process is to send what it prints."""
        ...

    def warm(self) -> None:
        """Load what cells share into this process, for processes that are forked from it."""
        ...

    def run(self, emit: Emit, device: str) -> None:
        """Run the cell on ``cpu``, ``cuda`` or ``cuda:N`` and write its record, unless another
        runner has, or is at it. ``emit`` takes an event's name and arguments.

        Raises:
            KeyboardInterrupt: this process was asked to stop; the record says so.
            HarnessError: the record can't be written.
        """
        ...

    def lost(self, status: str, reason: str, emit: Emit, device: str) -> None:
        """Write the record of a cell that could not write its own, such as a ``crashed`` one."""
        ...


class Executor(Plugin):
    """Where cells run."""

    alone: ClassVar[bool] = False
    """Whether one cell at a time is its default, and not as many as this machine has room for."""

    def start(self) -> None:
        """A run is coming: get ready beside the planning that is before it."""

    @abstractmethod
    def run(self, jobs: Iterable[Job], emit: Emit, *, workers: Sequence[str]) -> None:
        """Run every job, as many at a time as there are ``workers``, each of which has a device.

        Take the next of ``jobs`` when there is a worker for it: until then, another runner may
        do it. Pass each job's events on to ``emit``, which may only be called in this process.
        Once :func:`harness.api.stopping.asked`, let running jobs come to a point from which they
        can go on, and return.
        """


class SubmittingExecutor(Executor):
    """Hands the whole suite to a queue, such as a cluster's, whose machines run it later: the
    command ends when it is submitted. Subclass it as a dataclass, whose fields are what
    ``--executor-arg`` gives."""

    def run(self, jobs: Iterable[Job], emit: Emit, *, workers: Sequence[str]) -> None:
        raise HarnessError(f"executor '{self.name}' runs no cells itself", "Use --executor local")

    @abstractmethod
    def submit(self, command: Sequence[str], directory: Path, *, threads: int) -> str:
        """Have ``command`` run, in the current folder, by as many machines as there are to be.

        It runs the suite's cells that nobody else is at, and ends with the exit status of ``harness
        suite``; on SIGTERM it comes to a point from which the same command goes on.

        Args:
            directory: the suite's results, for what the queue leaves.
            threads: that the command computes with.

        Returns:
            What was submitted, for the user.

        Raises:
            HarnessError: the queue refuses.
        """
