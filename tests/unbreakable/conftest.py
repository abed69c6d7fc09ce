"""Commands in processes of their own, which can be killed, and records that can be compared."""

import contextlib
import multiprocessing
import os
import runpy
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import psutil
import pytest
from sklearn.datasets import load_digits

from harness.record.store import Store


@pytest.fixture
def outcomes(unmeasured):
    """What came of each cell of a results folder, without what is measured anew in each run."""

    def read(folder):
        records = Store(folder).records()
        return {record.cell: unmeasured(record) for record in records}

    return read


@dataclass(frozen=True)
class Command:
    """A command line at work, and the files with what it says."""

    process: multiprocessing.Process
    out: Path
    err: Path

    @property
    def pid(self):
        return self.process.pid

    def wait(self, seconds=120.0):
        """Its exit status; negative for a signal."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running: {self.err.read_text()}"
        return self.process.exitcode

    def is_running(self):
        return self.process.exitcode is None

    def said(self):
        return self.err.read_text()


@pytest.fixture
def start(tmp_path, warm_server):
    """Starts a command line in ``tmp_path`` as a process of its own."""
    context, started = multiprocessing.get_context("forkserver"), []

    def start(*words):
        number = len(started)
        out, err = tmp_path / f"out-{number}", tmp_path / f"err-{number}"
        given = {"folder": tmp_path, "words": [*map(str, words)], "out": out, "err": err}
        script = str(Path(__file__).with_name("command.py"))
        process = context.Process(target=runpy.run_path, args=(script, given, "command"))
        command = Command(process, out, err)
        command.process.start()
        started.append(command)
        return command

    yield start
    for command in started:
        command.process.kill()


@pytest.fixture
def processes(warm_server, tmp_path):
    """Tells what is alive of commands, nurseries and cells: what works in the folder of the test,
    or comes from the server that processes are forked from."""
    server = psutil.Process(forkserver._forkserver._forkserver_pid)

    def works_here(process):
        with contextlib.suppress(psutil.Error):
            here = Path(process.cwd()) == tmp_path
            return here and process.pid != os.getpid() and process.status() != "zombie"
        return False

    def alive():
        here = [process for process in psutil.process_iter() if works_here(process)]
        return list({p.pid: p for p in (*server.children(recursive=True), *here)}.values())

    return alive


@pytest.fixture
def digit_files(tmp_path):
    """Half of the handwritten digits as a source, half as a target: quick to load."""
    digits = load_digits()
    images = (digits.images * 15.9375).astype(np.uint8)
    half = len(images) // 2
    for name, part in (("source", slice(half)), ("target", slice(half, None))):
        labels = digits.target[part].astype(np.int64)
        np.savez(tmp_path / f"{name}.npz", x_train=images[part], y_train=labels)
