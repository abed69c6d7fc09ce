"""What the process of a cell does to itself, tried on processes of their own."""

import ctypes
import multiprocessing
import os
import signal
import sys

import psutil
import pytest
import torch

from harness.run.isolation import die_with, limit_memory, log_to, out_of_memory_kills
from harness.run.status import is_out_of_memory

FORK = multiprocessing.get_context("fork")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what other systems lack")


def ended(target, *args):
    """Run a function in a process of its own; its exit code."""
    process = FORK.Process(target=target, args=args)
    process.start()
    process.join(30)
    return process.exitcode


class TestDeathOfAParent:
    def hang(self, parent, life, ready):
        life.close()  # a fork has it too; the process of a cell has not
        os.setsid()
        die_with(parent.fileno())
        if os.fork() == 0:
            ready.send(os.getpid())
        ctypes.PyDLL(None).sleep(1000)  # in C, and with Python's lock

    def test_ends_a_process_that_hangs_in_c_and_all_of_its_group(self):
        parent, life = FORK.Pipe(duplex=False)
        here, ready = FORK.Pipe(duplex=False)
        process = FORK.Process(target=self.hang, args=(parent, life, ready))
        process.start()
        copy = psutil.Process(here.recv())
        assert process.is_alive()
        assert copy.is_running()
        life.close()
        process.join(10)
        assert process.exitcode == -signal.SIGIO
        psutil.wait_procs([copy], timeout=10)
        assert not copy.is_running() or copy.status() == "zombie"

    def begin(self, parent):
        die_with(parent.fileno())
        os._exit(0)

    def test_that_came_first_is_seen(self):
        parent, life = FORK.Pipe(duplex=False)
        life.close()
        assert ended(self.begin, parent) == 1


class TestMemory:
    def allocate(self, limit, make):
        limit_memory(limit)
        try:
            kept = make()
        except Exception as error:
            os._exit(3 if is_out_of_memory(error) else 4)
        os._exit(0 if len(kept) else 5)

    @pytest.mark.parametrize(
        "make", [lambda: bytearray(3 * 2**29), lambda: torch.ones(3 * 2**27)], ids=["bytes", "ones"]
    )
    def test_is_refused_beyond_the_limit(self, make):
        """Of more than what a process may have kept of what was freed before."""
        assert ended(self.allocate, 2**28, make) == 3
        assert ended(self.allocate, 2**31, make) == 0
        assert ended(self.allocate, None, make) == 0

    def test_kills_for_want_of_it_are_counted(self):
        assert out_of_memory_kills() >= 0


class TestLog:
    def crash(self, file):
        log_to(file)
        os.write(1, b"from Python\n")
        os.system("echo from a shell; echo aside >&2")
        ctypes.string_at(0)

    def test_has_what_was_printed_and_where_it_crashed(self, tmp_path):
        file = tmp_path / "logs" / "cell.log"
        file.parent.mkdir()
        file.write_text("an earlier attempt\n")
        assert ended(self.crash, file) == -signal.SIGSEGV
        text = file.read_text()
        assert text.startswith("an earlier attempt\nfrom Python\nfrom a shell\naside\n")
        assert "Segmentation fault" in text
        assert "in crash" in text
