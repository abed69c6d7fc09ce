"""``local``: each cell in a process of its own, on this machine.

The command starts a nursery, a process that loads plugins and data, has never run a cell and has
no threads. For each cell it forks a child, which finds all of that in its memory and takes nothing
with it when it goes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, ClassVar, NamedTuple

from harness.api import (
    Emit,
    Executor,
    HarnessError,
    Job,
    hookimpl,
    isolation,
    one_line,
    server,
    stopping,
)

POLL = 0.05
"""Seconds between looks at processes that say nothing."""

LOSSES = 3
"""How often a nursery may be lost while it runs one cell alone until the cell is held to be the
cause, or while it runs none until something else is."""


class Local(Executor):
    """A process for each cell: it may crash, hang or eat all memory, and no other cell notices.

    It is killed at ``limits.timeout`` and refused memory beyond ``limits.memory``, and ends as a
    record that says so. What it prints goes to its log. Workers take turns on the devices.
    """

    name: ClassVar[str] = "local"

    def start(self) -> None:
        server.start()

    def run(self, jobs: Iterable[Job], emit: Emit, *, workers: Sequence[str]) -> None:
        queue, idle = Queue(jobs), 0
        while queue.more(emit) and not stopping.asked():
            with _nursery(workers[:1] if queue.suspects else workers) as nursery:
                _serve(nursery, queue, emit)
            idle = 0 if queue.touched else idle + 1
            if idle == LOSSES:
                raise HarnessError(
                    "the process that starts cells dies again and again",
                    "--inline runs them without it, and shows why",
                )


class Queue:
    """Hand out jobs, and know who has which. Those that were at work in a lost nursery are
    suspects: each is done again alone, so that the one that is to blame is told from its
    neighbours."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = iter(jobs)
        self._next: Job | None = None
        self._losses = Counter[int]()
        self.suspects = deque[Job]()
        self.at: dict[int, tuple[Job, str]] = {}
        self.touched = self._alone = False

    def more(self, emit: Emit) -> bool:
        """Whether there is a job to give out to a new nursery; nobody has one now."""
        alone = len(self.at) == 1
        for job, device in self.at.values():
            self._losses[id(job)] += alone
            if self._losses[id(job)] < LOSSES:
                self.suspects.append(job)
            else:
                reason = "the process that had started it was lost each time"
                job.lost("crashed", reason, emit, device)
        self.at.clear()
        self.touched = self._alone = False
        if not self.suspects and self._next is None:
            self._next = next(self._jobs, None)
        return bool(self.suspects) or self._next is not None

    def give(self, worker: int, device: str) -> Job | None:
        """The next job for a worker; a suspect is the only one of its nursery."""
        if stopping.asked() or (self._alone and self.touched):
            return None
        if self.suspects:
            job: Job | None = self.suspects.popleft()
            self._alone = True
        else:
            job, self._next = self._next or next(self._jobs, None), None
        if job is not None:
            self.at[worker] = job, device
            self.touched = True
        return job

    def take_back(self, worker: int) -> tuple[Job, str]:
        return self.at.pop(worker)


# ── in the process of the command ─────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _nursery(workers: Sequence[str]) -> Iterator[Connection]:
    """A new nursery; it is gone afterwards, and all of its cells with it."""
    server.start()
    context: Any = server.context()
    here, there = context.Pipe()
    process = context.Process(target=_nurse, args=(there, tuple(workers)), name="nursery")
    process.start()
    there.close()
    try:
        yield here
    finally:
        process.kill()
        process.join()
        here.close()


def _serve(nursery: Connection, queue: Queue, emit: Emit) -> None:
    """Give out jobs and hear what comes of them, until all are done or the nursery is lost."""
    stopped = False
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            if stopping.asked() and not stopped:
                stopped = True
                nursery.send(None)
            if not nursery.poll(POLL):
                continue
            match nursery.recv():
                case "free", worker, device:
                    nursery.send((worker, queue.give(worker, device)))
                case "event", hook, arguments:
                    emit(hook, arguments)
                case "ended", worker, loss:
                    job, device = queue.take_back(worker)
                    if loss is not None:
                        job.lost(loss.status, loss.reason, emit, device)
                case "fault", error:
                    raise error
                case _:
                    return


# ── in the nursery ────────────────────────────────────────────────────────────────────────────


def _nurse(command: Connection, workers: Sequence[str]) -> None:
    """Fork a process for each job that the command gives, and tell what comes of it."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command decides what it means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    _watch_parent()
    os.dup2(2, 1)  # standard output is data
    torch.set_num_threads(1)  # threads do not survive a fork
    running: dict[int, Worker] = {}
    free = len(workers)
    for worker, device in enumerate(workers):
        command.send(("free", worker, device))
    while free or running:
        pipes = [cell.pipe for cell in running.values() if not cell.silent]
        ready = wait([command, *pipes], timeout=POLL)
        if command in ready:
            match command.recv():
                case None:
                    for cell in running.values():
                        cell.ask_to_stop()
                case worker, job:
                    free -= 1
                    if job is not None:
                        running[worker] = Worker(job, workers[worker])
        for worker, cell in list(running.items()):
            for message in cell.look():
                command.send(message)
            if cell.ended:
                del running[worker]
                command.send(("ended", worker, cell.loss))
                command.send(("free", worker, workers[worker]))
                free += 1
    command.send(("over",))


class Loss(NamedTuple):
    """How a cell ended that could not write its own record."""

    status: str
    reason: str


class Worker:
    """A cell in a process of its own, until it has ``ended``."""

    def __init__(self, job: Job, device: str) -> None:
        job.warm()
        # A fork shares what is loaded here; elsewhere than on Linux, libraries don't survive one.
        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
        self.pipe, theirs = context.Pipe(duplex=False)
        self._kills = isolation.out_of_memory_kills()
        self._timeout, self._started = job.timeout, time.monotonic()
        self._process = context.Process(target=_live, args=(job, device, theirs), name=job.title)
        self._process.start()
        theirs.close()
        self.silent = self.ended = False
        self.loss: Loss | None = None

    def ask_to_stop(self) -> None:
        self._process.terminate()

    def look(self) -> Iterator[tuple[Any, ...]]:
        """What it has said since, and how it ended if it did."""
        over = self._process.exitcode is not None
        while not self.silent and not self.ended and self.pipe.poll():
            try:
                message = self.pipe.recv()
            except Exception:  # the end, or no message of ours
                self.silent = True
                break
            if message[0] == "done":
                self._end(None)
            else:
                yield message
        if self.ended:
            return
        if over:
            self._end(self._death())
        elif self._timeout is not None and time.monotonic() - self._started > self._timeout:
            self._end(Loss("timeout", f"it was still running after {self._timeout:g} s"))

    def _end(self, loss: Loss | None) -> None:
        """Nothing of it stays alive: what it forked, and threads that it left, go with it."""
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        self.pipe.close()
        self.ended, self.loss = True, loss

    def _death(self) -> Loss:
        code = self._process.exitcode or 0
        if code >= 0:
            return Loss("crashed", f"its process ended by itself, with exit code {code}")
        if -code == signal.SIGKILL and isolation.out_of_memory_kills() > self._kills:
            return Loss("oom", "the operating system ended its process for want of memory")
        name = signal.Signals(-code).name
        return Loss("crashed", f"its process was ended by {name} ({signal.strsignal(-code)})")


# ── in the process of a cell ──────────────────────────────────────────────────────────────────


def _live(job: Job, device: str, pipe: Connection) -> None:
    os.setsid()
    _watch_parent()
    stopping.forget()
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.ask())
    isolation.log_to(job.log)
    isolation.limit_memory(job.memory)
    process = os.getpid()

    def send(hook: str, arguments: Mapping[str, Any]) -> None:
        if os.getpid() != process:  # a copy that the cell forked: the original speaks
            os._exit(1)
        pipe.send(("event", hook, dict(arguments)))

    try:
        job.run(send, device)
    except KeyboardInterrupt:
        pass  # it was asked to stop, and has written so
    except BaseException as error:
        traceback.print_exc()
        pipe.send(("fault", error if isinstance(error, HarnessError) else _told(error)))
    _remove_empty(job)
    pipe.send(("done",))
    signal.pause()  # until the nursery ends it, with all that it started
    os._exit(0)


def _told(error: BaseException) -> HarnessError:
    """An error that no cell is to blame for, as something that can be sent."""
    return HarnessError(
        f"a worker failed: {one_line(error)}", "--inline with HARNESS_RAISE=1 shows where"
    )


def _remove_empty(job: Job) -> None:
    with contextlib.suppress(OSError):
        if not job.log.stat().st_size:
            job.log.unlink()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None and isinstance(parent.sentinel, int):
        isolation.die_with(parent.sentinel)


@hookimpl
def harness_executors() -> list[type[Executor]]:
    return [Local]
