"""The tasks of a meta-step side by side: a process a core, as one task fills no more than that.

Kernels of small tasks gain little from several threads, and lose much where cores are busy; and
threads that do a task each wait for each other in Python. Measured on two cores, a second process
halves the time, and a second thread takes a tenth off it.
"""

from __future__ import annotations

import mmap
import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from harness.api import Backbone, SourceEpisode
from harness_plugins.meta._meta_gradient import (
    Learner,
    MetaGradient,
    Parameters,
    draws,
    meta_parameters,
    task_gradient,
)

ALIGNED = 64
"""Bytes at whose multiples tensors begin, as torch's own allocator has it."""


@contextmanager
def side_by_side(backbone: Backbone, learner: Learner, tasks: int) -> Iterator[MetaGradient]:
    """Tasks in as many processes as torch may use threads here, this one included.

    Gradients are summed in the order of the tasks, so that up to one process a task all numbers of
    processes give the same bits. A model that draws at random, as by dropout, takes its tasks one
    after another, as they share a generator.
    """
    threads = torch.get_num_threads()
    workers = min(threads, tasks) if _can_fork() and not draws(backbone) else 1
    torch.set_num_threads(max(1, threads // workers))
    crew = _Crew(backbone, learner, tasks, workers - 1)
    try:
        yield crew.gradient
    finally:
        crew.end()
        torch.set_num_threads(threads)


def _can_fork() -> bool:
    """Whether autograd works in a fork: it does not once it has threads for other devices."""
    return sys.platform == "linux" and not torch.cuda.is_available()


class _Crew:
    """This process and its forks. They see the parameters in memory that they share, and leave the
    gradients there."""

    def __init__(self, backbone: Backbone, learner: Learner, tasks: int, forks: int) -> None:
        self._backbone, self._learner = backbone, learner
        self._parameters = meta_parameters(backbone)
        own = [parameter.detach() for parameter in self._parameters.values()]
        self._shown = _shared(own) if forks else own
        self._found = [_shared([own[0].new_zeros(()), *own]) for _ in range(tasks if forks else 0)]
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        context: Any = multiprocessing.get_context("fork") if forks else None
        for _ in range(forks):
            here, there = context.Pipe()
            # A fork has this process's ends of all pipes so far, and would keep them open.
            process = context.Process(
                target=self._work, args=(there, [*self._pipes, here]), daemon=True
            )
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    def gradient(self, episodes: Sequence[SourceEpisode]) -> tuple[Tensor, list[Tensor]]:
        everyone = len(self._pipes) + 1
        if self._pipes:
            torch._foreach_copy_(self._shown, [p.detach() for p in self._parameters.values()])
        with _told_of_losses():
            for place, pipe in enumerate(self._pipes, start=1):
                share = range(place, len(episodes), everyone)
                pipe.send([(number, _arrays(episodes[number])) for number in share])
        found: dict[int, tuple[Tensor, Sequence[Tensor]]] = {}
        for number in range(0, len(episodes), everyone):
            found[number] = task_gradient(
                self._backbone, self._parameters, episodes[number], self._learner
            )
        for pipe in self._pipes:
            with _told_of_losses():
                complaint = pipe.recv()
            if complaint is not None:
                raise RuntimeError(complaint)
        for number in range(len(episodes)):
            if number not in found:
                loss, *gradients = self._found[number]
                found[number] = loss, gradients
        total, sums = found[0][0].clone(), [gradient.clone() for gradient in found[0][1]]
        for number in range(1, len(episodes)):
            total += found[number][0]
            torch._foreach_add_(sums, list(found[number][1]))
        return total, sums

    def end(self) -> None:
        for pipe in self._pipes:
            pipe.close()  # their sign to leave
        for process in self._processes:
            process.join()

    def _work(self, pipe: Connection, others: Sequence[Connection]) -> None:
        """What a fork does until the pipe is closed, or the process at its other end is gone."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process decides what it means
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for other in others:
            other.close()
        shown = zip(self._parameters, self._shown, strict=True)
        parameters: Parameters = {name: tensor.requires_grad_() for name, tensor in shown}
        while True:
            try:
                asked = pipe.recv()
            except (EOFError, ConnectionError):
                return
            complaint = None
            try:
                for number, arrays in asked:
                    episode = SourceEpisode(*map(torch.from_numpy, arrays))
                    loss, gradients = task_gradient(
                        self._backbone, parameters, episode, self._learner
                    )
                    torch._foreach_copy_(self._found[number], [loss, *gradients])
            except Exception as error:
                complaint = f"{type(error).__name__}: {error}"
            pipe.send(complaint)


@contextmanager
def _told_of_losses() -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise RuntimeError("a process that computed gradients was lost") from error


def _arrays(episode: SourceEpisode) -> list[Any]:
    parts = episode.support, episode.support_labels, episode.query, episode.query_labels
    return [part.contiguous().numpy() for part in parts]


def _shared(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies, laid out as they are, in memory that is this process's and its forks'."""
    starts, size = [], 0
    for tensor in tensors:
        starts.append(size)
        size += -(-tensor.nbytes // ALIGNED) * ALIGNED
    memory = mmap.mmap(-1, size)
    copies = []
    for start, tensor in zip(starts, tensors, strict=True):
        flat = torch.frombuffer(memory, dtype=tensor.dtype, count=tensor.numel(), offset=start)
        copies.append(flat.as_strided(tensor.shape, tensor.stride()).copy_(tensor))
    return copies
