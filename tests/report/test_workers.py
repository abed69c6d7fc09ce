"""Work in other processes comes to the same as work done here, whatever happens to them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.record.schema import Coordinates, Record
from harness.record.store import Store
from harness.report.analysis.report import analyse
from harness.report.workers import pool, serial
from harness.report.write import write_report

# What others are to do is code that ``eval`` takes: they are started anew, where a test's module
# can't be imported.
KILLED_BUT_HERE = f"os.getpid() == {os.getpid()} or os.kill(os.getpid(), signal.SIGKILL)"


def number(text: str, begun: Path | None = None, until: Path | None = None) -> str:
    """Code for the number that a text is, and the process that has found it: it makes one file when
    it has begun, and waits for the other."""
    steps = [f"open({os.fspath(begun)!r}, 'w').close()"] if begun else []
    if until:
        steps += [f"[time.sleep(0.01) for _ in range(3000) if not os.path.exists({str(until)!r})]"]
    return with_modules(f"[{', '.join([*steps, f'(int({text!r}), os.getpid())'])}][-1]")


def with_modules(code: str) -> str:
    return f"(lambda os, signal, time: {code})(*map(__import__, ['os', 'signal', 'time']))"


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_here_work_waits_until_its_result_is_asked_for() -> None:
    done: list[int] = []
    with pool(1) as submit:
        ask = submit(done.append, 1)
        assert done == []
        ask()
    assert done == [1]
    assert submit is serial


def test_other_processes_are_gone_afterwards() -> None:
    with pool(3):
        workers = {child.pid for child in multiprocessing.active_children() if child.pid}
        assert len(workers) == 2
    assert not workers & {child.pid for child in multiprocessing.active_children()}
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_this_process_takes_part_from_the_end_instead_of_waiting(tmp_path: Path) -> None:
    with pool(2) as submit:
        first = submit(eval, number("1", tmp_path / "begun", until=tmp_path / "last"))
        second = submit(eval, number("2", tmp_path / "last"))
        rest = [submit(eval, number(text)) for text in "345"]
        wait_for(tmp_path / "begun")
        (one, worker), *others = first(), second(), *(ask() for ask in rest)
    assert (one, worker != os.getpid()) == (1, True)
    assert others == [(found, os.getpid()) for found in (2, 3, 4, 5)]


def test_an_error_is_that_of_who_asks_wherever_it_arose(tmp_path: Path) -> None:
    with pool(2) as submit:
        there = submit(eval, number("six", tmp_path / "begun", until=tmp_path / "last"))
        _, here = submit(eval, number("0", tmp_path / "last")), submit(eval, number("seven"))
        wait_for(tmp_path / "begun")
        for ask, text in ((there, "six"), (here, "seven")):
            with pytest.raises(ValueError, match=f"'{text}'"):
                ask()


INTERRUPTED = """
import os, signal, sys, time
from harness.report.workers import pool
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
try:
    with pool(3) as submit:
        submit(os.getpid)
        print("begun", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no groups of processes")
@pytest.mark.parametrize("after", [0.0, 0.1])
def test_an_interrupt_is_for_this_process_alone(after: float) -> None:
    command = [sys.executable, "-c", INTERRUPTED]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, start_new_session=True, **pipes) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == b"begun\n"
        time.sleep(after)
        os.killpg(started.pid, signal.SIGINT)  # as a terminal does, to all of a command's processes
        out, complaints = started.communicate(timeout=60)
    assert (started.returncode, out, complaints) == (130, b"", b"")


def test_what_a_killed_process_had_to_do_is_done_here() -> None:
    with pool(2) as submit:
        ask = submit(eval, with_modules(KILLED_BUT_HERE))
        assert ask() is True
        assert submit(os.getpid)() == os.getpid()  # none is left


def test_a_report_by_several_processes_is_the_same(
    folder: Callable[..., Path],
    cell: Callable[..., Coordinates],
    done: Callable[..., Record],
) -> None:
    records = [done(cell("a", 5, seed), 0.5 + seed / 10) for seed in range(2)]
    directory = folder(records, records)

    def files() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in (directory / "report").rglob("*.*")}

    write_report(analyse(Store(directory)))
    alone = files()
    assert any(path.suffix == ".png" for path in alone)
    with pool(2) as submit:
        write_report(analyse(Store(directory), submit), submit=submit)
    assert files() == alone
