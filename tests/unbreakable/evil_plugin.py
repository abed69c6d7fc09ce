"""Strategies that do to their process what strategies should not, each in its own way."""

import ctypes
import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from harness_plugins.strategies.linear_probe import LinearProbe

from harness.api import hookimpl


class Answers:
    """A predictor that gives what it was made with."""

    trained: ClassVar = {}

    def __init__(self, logits):
        self._logits = logits

    def logits(self, inputs):
        return self._logits(len(inputs))

    def save(self, path):
        raise AssertionError


def raises(run):
    raise ZeroDivisionError("it does not add up")


def leaves_by_exit(run):
    sys.exit(3)


def exits(run):
    os._exit(0)


def segfaults(run):
    ctypes.string_at(0)


def allocates(run):
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1) * (16 << 20)))


def allocates_tensors(run):
    kept = []
    while True:
        kept.append(torch.ones(4 << 20))


def hangs(run):
    """Holds Python's lock: no thread of this process runs any more."""
    ctypes.PyDLL(None).sleep(10_000)


def is_not_a_number(run):
    return Answers(lambda n: torch.full((n, 10), torch.nan))


def has_the_wrong_shape(run):
    return Answers(lambda n: torch.zeros(n, 7))


def has_the_wrong_dtype(run):
    return Answers(lambda n: torch.zeros(n, 10, dtype=torch.int64))


def is_no_tensor(run):
    return Answers(lambda n: np.zeros((n, 10), dtype=np.float32))


def forks(run):
    """One copy goes on beside the original, another stays."""
    os.fork()
    if os.fork() == 0:
        time.sleep(10_000)


def prints(run):
    print("this is not data")
    os.system("echo nor is this")
    print("this is no message", file=sys.stderr)


def changes_the_process(run):
    torch.manual_seed(666)
    np.random.seed(666)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(3)
    torch.set_grad_enabled(False)
    os.environ["OMP_NUM_THREADS"] = "3"
    os.chdir("/")
    torch.nn.functional.cross_entropy = None


def leaves_a_thread(run):
    threading.Thread(target=time.sleep, args=(10_000,)).start()


def closes_everything(run):
    os.closerange(0, 1000)


def kills_its_parent(run):
    os.kill(os.getppid(), 9)
    time.sleep(10_000)


def interrupts(run):
    raise KeyboardInterrupt


def strategy(deed):
    @dataclass(frozen=True)
    class Evil(LinearProbe):
        name: ClassVar[str] = deed.__name__

        def adapt(self, backbone, task, hp, run):
            return deed(run) or super().adapt(backbone, task, hp, run)

    return Evil


@dataclass(frozen=True)
class ChangesTheBackbone(LinearProbe):
    name: ClassVar[str] = "changes_the_backbone"

    def adapt(self, backbone, task, hp, run):
        with torch.no_grad():
            for parameter in backbone.parameters():
                parameter.zero_()
        return super().adapt(backbone, task, hp, run)


DEEDS = {
    raises: "failed",
    leaves_by_exit: "crashed",
    exits: "crashed",
    segfaults: "crashed",
    allocates: "oom",
    allocates_tensors: "oom",
    hangs: "timeout",
    is_not_a_number: "diverged",
    has_the_wrong_shape: "failed",
    has_the_wrong_dtype: "failed",
    is_no_tensor: "failed",
    forks: "ok",
    prints: "ok",
    changes_the_process: None,
    leaves_a_thread: "ok",
    closes_everything: None,
    kills_its_parent: "crashed",
    interrupts: "interrupted",
}
"""Each deed, and the status of a cell that does it; ``None`` where more than one is right."""


@hookimpl
def harness_strategies():
    return [*map(strategy, DEEDS), ChangesTheBackbone]
