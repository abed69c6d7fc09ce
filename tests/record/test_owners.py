"""Who is at work on a cell, as its worker's file tells."""

import os
import time

import pytest

from harness.record import owners
from harness.record.owners import Owner

ALPHA = Owner(host="alpha", pid=7, device="cpu", started=100.0, stage="trial", done=2, total=8)


def test_what_a_worker_tells_is_read_until_it_has_ended(tmp_path):
    owners.write(tmp_path, "abc", ALPHA)
    ((cell, (owner, heard)),) = owners.owners(tmp_path).items()
    assert (cell, owner) == ("abc", ALPHA)
    assert 0 <= heard < 5
    owners.remove(tmp_path, "abc")
    assert owners.owners(tmp_path) == {}
    assert [*(tmp_path / "running").iterdir()] == []


def test_a_sign_is_as_old_as_its_file(tmp_path):
    owners.write(tmp_path, "abc", ALPHA)
    os.utime(tmp_path / "running/abc.json", times=(0, time.time() - 300))
    _, heard = owners.owners(tmp_path)["abc"]
    assert heard == pytest.approx(300, abs=5)


def test_a_damaged_file_and_one_that_is_being_written_tell_nothing(tmp_path):
    (tmp_path / "running").mkdir()
    (tmp_path / "running/abc.json").write_text('{"host": "al')
    (tmp_path / "running/def.new").write_text(ALPHA.model_dump_json())
    assert owners.owners(tmp_path) == {}


def test_a_folder_that_can_not_be_written_stops_no_cell(tmp_path):
    (tmp_path / "running").write_text("in the way")
    owners.write(tmp_path, "abc", ALPHA)
    owners.remove(tmp_path, "abc")
