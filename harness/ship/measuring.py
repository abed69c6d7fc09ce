"""What a graph costs to run: its size, the time that it takes, and memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError

TIMED = 15
"""Calls that a latency is the median of, after two that are not counted."""

PROCESSES = 3
"""Whose memory is measured: what reading a graph takes at its height differs a little."""

COUNTS = (1, 32)
"""Inputs that go through a graph together when it is measured."""

RESIDENT = """
import pathlib, sys
import numpy, onnxruntime, psutil

def most():
    try:
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        told = dict(line.split(":", 1) for line in lines)
        return 1024 * int(told["VmHWM"].split()[0])
    except (OSError, KeyError):
        return psutil.Process().memory_info().rss

graph, file = sys.argv[1:]
inputs, idle = numpy.load(file), most()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
for _ in range(3):
    session.run(["logits"], {"inputs": inputs})
print(most() - idle)
"""
"""Tells what running a graph adds to the most memory that the process had before it. What
``getrusage`` tells would not do: there a process begins with its parent's mark."""

Logits = NDArray[np.floating]


@dataclass(frozen=True)
class Costs:
    """A graph's ``bytes`` on the disk; by the number of inputs that go through it together, the
    ``seconds`` of a processor that they take (a median, by one thread), and the bytes of ``memory``
    that a fresh process without PyTorch has at most, beyond those that its libraries and its inputs
    take."""

    bytes: int
    seconds: Mapping[str, float]
    memory: Mapping[str, int]


def costs(graph: Path, inputs: NDArray[Any]) -> Costs:
    """Measure a graph on prepared inputs ``[n, ...]``, which are repeated where they are few."""
    shown = {str(count): np.resize(inputs, (count, *inputs.shape[1:])) for count in COUNTS}
    return Costs(
        bytes=graph.stat().st_size,
        seconds={count: latency(graph, batch) for count, batch in shown.items()},
        memory={count: memory(graph, batch) for count, batch in shown.items()},
    )


def run(graph: Path, inputs: NDArray[Any]) -> Logits:
    """Logits [n, classes] of prepared inputs."""
    session = _session(graph)
    batches = np.array_split(inputs, -(-len(inputs) // 32))
    return np.concatenate([session.run(["logits"], {"inputs": batch})[0] for batch in batches])


def latency(graph: Path, inputs: NDArray[Any]) -> float:
    """The median of the seconds of a processor that some inputs take together, by one thread: what
    else the machine does meanwhile is left out."""
    session, taken = _session(graph), []
    for _ in range(TIMED + 2):
        start = time.thread_time()
        session.run(["logits"], {"inputs": inputs})
        taken.append(time.thread_time() - start)
    return statistics.median(taken[2:])


def memory(graph: Path, inputs: NDArray[Any]) -> int:
    """The bytes that a fresh process which runs some inputs together has at most, beyond those of
    one that has loaded its libraries and the inputs: the median of :data:`PROCESSES`.

    Raises:
        HarnessError: it can't be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "inputs.npy"
        with file.open("wb") as opened:
            np.lib.format.write_array(opened, inputs, allow_pickle=False)
        words = [sys.executable, "-c", RESIDENT, str(graph), str(file)]
        return round(statistics.median(_told(words, graph) for _ in range(PROCESSES)))


def _told(words: list[str], graph: Path) -> int:
    ended = subprocess.run(words, capture_output=True, text=True)
    if ended.returncode:
        raise HarnessError(
            f"{graph.name} can't be run: {ended.stderr.strip().splitlines()[-1]}",
            "pip install 'transfer-harness[ship]'",
        )
    return int(ended.stdout)


def _session(graph: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
