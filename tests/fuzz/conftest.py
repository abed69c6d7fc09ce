"""What all fuzz tests hold a reader to: no surprise, no hang, and words that a person can read."""

import contextlib
import signal

import pytest

from harness.errors import LONG, HarnessError, Mistakes

SECONDS = 5
"""Of this process's own time: a hang, on the slowest machine."""


@pytest.fixture
def watched():
    """A context in which any error but a ``HarnessError`` fails the test and says what was read."""

    def hangs(*arguments):
        raise AssertionError(f"still busy after {SECONDS} s")

    @contextlib.contextmanager
    def watch(what):
        previous = signal.signal(signal.SIGVTALRM, hangs)
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            yield
        except HarnessError as error:
            readable(error)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\nof {what!r}") from error
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, previous)

    return watch


def readable(error):
    """A message is one line, or a list with a line for each mistake; printable, and no book."""
    lines = error.lines if isinstance(error, Mistakes) else [str(error)]
    assert lines, "no mistake is told"
    for line in lines:
        assert line.isprintable(), f"not one printable line: {line!r}"
        assert 10 < len(line) <= 2 * LONG, f"{len(line)} characters: {line[:300]!r}"
