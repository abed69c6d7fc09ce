"""Work in other processes comes to the same as work done here, whatever happens to them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from harness.record.schema import Coordinates, Record
from harness.report.beside import beside, here
from harness.report.page import write_report


def killed_but_in(process: int) -> int:
    if os.getpid() != process:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_here_work_waits_until_its_result_is_asked_for() -> None:
    done: list[int] = []
    with beside(1) as later:
        ask = later(done.append, 1)
        assert done == []
        ask()
    assert done == [1]
    assert later is here


def test_two_processes_do_the_work_and_are_gone_afterwards() -> None:
    with beside(2) as later:
        asked = [later(os.getpid) for _ in range(4)]
        workers = {ask() for ask in asked}
        assert os.getpid() not in workers
    assert not workers & {child.pid for child in multiprocessing.active_children()}
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_an_error_in_a_process_is_the_error_of_who_asks() -> None:
    with beside(2) as later:
        ask = later(partial(int, "seven"))
        with pytest.raises(ValueError, match="'seven'"):
            ask()


def test_what_a_killed_process_had_to_do_is_done_here() -> None:
    with beside(2) as later:
        ask = later(killed_but_in, os.getpid())
        assert ask() == os.getpid()
        assert later(os.getpid)() == os.getpid()  # none is left


def test_a_report_by_several_processes_is_the_same(
    folder: Callable[..., Path],
    cell: Callable[..., Coordinates],
    done: Callable[..., Record],
) -> None:
    records = [done(cell("a", 5, seed), 0.5 + seed / 10) for seed in range(2)]
    directory = folder(records, records)

    def files() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in (directory / "report").rglob("*.*")}

    write_report(directory)
    alone = files()
    assert any(path.suffix == ".png" for path in alone)
    with beside(2) as later:
        write_report(directory, later=later)
    assert files() == alone
