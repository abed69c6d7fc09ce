"""The journal of an unfinished cell: read back as it was written, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.record.journal import Journal, Partial
from harness.record.schema import Trial

PARTIAL = Partial(
    trials=[
        Trial(number=0, state="complete", settings={"lr": 0.1}, value=0.5, loss=1.25),
        Trial(number=1, state="diverged", settings={"lr": 1.0}, reason="not a number"),
    ],
    seconds={"fit": 1.5},
    prepare_seconds={"[]": 0.25},
    billed={"a:b:3": "gA=="},
    joules=3.0,
)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path, "0123")


def test_what_was_written_is_read(journal):
    assert journal.read() == Partial()
    journal.write(PARTIAL)
    assert journal.read() == PARTIAL


@given(st.floats(allow_nan=False), st.floats(0, 1))
def test_numbers_come_back_as_they_were(tmp_path_factory, loss, value):
    """A value that was rounded would change which trial is the best, and what TPE draws."""
    journal = Journal(tmp_path_factory.mktemp("journal"), "0123")
    trial = Trial(number=0, state="complete", settings={"lr": loss}, value=value, loss=loss)
    journal.write(Partial(trials=[trial]))
    assert journal.read().trials == [trial]


def test_a_dropped_journal_is_gone_with_its_checkpoint(journal):
    journal.drop()
    journal.write(PARTIAL)
    journal.checkpoint.touch()
    journal.drop()
    assert journal.read() == Partial()
    assert not journal.checkpoint.exists()


@given(st.data())
def test_a_damaged_journal_is_as_good_as_none(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, "0123")
    journal.write(PARTIAL)
    file = folder / "partial" / "0123.json"
    content = bytearray(file.read_bytes())
    if data.draw(st.booleans(), label="torn"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)
    assert journal.read() == Partial()


def test_a_folder_that_cannot_be_written_costs_the_journal_alone(tmp_path):
    (tmp_path / "partial").write_text("a file where a folder should be")
    journal = Journal(tmp_path, "0123")
    journal.write(PARTIAL)
    assert journal.read() == Partial()


def test_a_log_is_told_if_there_is_something_in_it(journal):
    assert journal.logged() is None
    journal.log.parent.mkdir()
    journal.log.touch()
    assert journal.logged() is None
    journal.log.write_text("it was here\n")
    assert journal.logged() == "logs/0123.log"
