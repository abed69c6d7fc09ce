"""A cell is one process's at a time, and nobody's once that process is dead."""

import multiprocessing
import time

from harness.record.locks import is_locked, locked


def hold(folder, held):
    with locked(folder, "0123") as ours:
        assert ours
        held.send(True)
        time.sleep(60)


def test_a_claim_is_exclusive_and_ends_with_its_holder(tmp_path):
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    holder = context.Process(target=hold, args=(tmp_path, there))
    holder.start()
    assert here.recv()
    assert is_locked(tmp_path, "0123")
    assert not is_locked(tmp_path, "4567")
    with locked(tmp_path, "0123") as ours:
        assert not ours
    holder.kill()
    holder.join()
    assert not is_locked(tmp_path, "0123")
    with locked(tmp_path, "0123") as ours:
        assert ours


def test_a_claim_is_given_back_after_an_error(tmp_path):
    try:
        with locked(tmp_path, "0123"):
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert not is_locked(tmp_path, "0123")
