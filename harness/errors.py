"""What a user is shown when something is wrong: one line, and what to do about it."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LONG = 2000
"""Characters of a message, at most."""

MOST_LINES = 30
"""Mistakes that are shown of one input, at most."""

MOST_NAMES = 5
"""Things of one kind that a message names, at most."""


class HarnessError(Exception):
    """A mistake or an obstacle that the user can mend.

    The command line prints ``message`` and ``remedy`` on one line and exits with 2;
    ``HARNESS_RAISE=1`` lets the traceback through.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = readable(message)
        self.remedy = readable(remedy)
        super().__init__(f"{self.message}. {self.remedy}" if remedy else self.message)

    def each(self) -> list[str]:
        """All that is wrong, each on a line that says where."""
        return [str(self)]

    def __reduce__(self) -> tuple[Any, ...]:  # worker processes send errors home
        return type(self), (self.message, self.remedy)


class Mistakes(HarnessError):
    """Every mistake found in one input: one stands on its line, several below each other."""

    def __init__(self, where: str, lines: Iterable[str]) -> None:
        self.where = where
        self.lines = [readable(line) for line in lines]
        if len(self.lines) == 1:
            super().__init__(f"{where}: {self.lines[0]}")
        else:
            super().__init__(f"{where}: {len(self.lines):,} mistakes")
            more = len(self.lines) - MOST_LINES
            rest = [f"and {more:,} more"] if more > 0 else []
            self.message = "\n  ".join([self.message, *self.lines[:MOST_LINES], *rest])
            self.args = (self.message,)

    def each(self) -> list[str]:
        return [f"{self.where}: {line}" for line in self.lines]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.where, self.lines)


def readable(text: str) -> str:
    """A text that quotes what a file says, on one line: nothing in it that a terminal would obey,
    and of a very long one the beginning and the end."""
    text = " ".join(text.splitlines())
    if not text.isprintable():
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= LONG else f"{text[: LONG // 2]} … {text[-LONG // 2 :]}"


class Unsupported(Exception):
    """Raised by a plugin that cannot do what a cell asks; the cell ends as ``unsupported``."""


class Diverged(Exception):
    """The loss is no longer a number; the trial ends and, if it was the last, the cell."""


def one_line(error: BaseException) -> str:
    """An exception on one line: its type and its message, without line breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def is_systems(error: BaseException) -> bool:
    """Whether the system refused a file, for want of a right or of a sound disk, say; libraries
    raise ``OSError`` for what they find in one, too."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def abridged(items: Iterable[object], most: int = MOST_NAMES, separator: str = ", ") -> str:
    """``a, b, c``, or of more than ``most`` the first and how many others there are."""
    shown = [*map(str, items)]
    more = len(shown) - most
    return separator.join(shown[:most]) + (f" and {more:,} more" if more > 0 else "")


def located(path: Path) -> str:
    """A path for a message on what is not there: of a relative one the place that was looked at."""
    if path.is_absolute():
        return str(path)
    return f"{path.absolute()} (a relative path is taken from the current folder)"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the nearest known word, or the known words if there are few."""
    names = {name.casefold(): name for name in sorted(known)}
    close = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=0.6)
    if close:
        return f" (did you mean '{names[close[0]]}'?)"
    if 0 < len(names) <= 16:
        return f" (known: {', '.join(names.values())})"
    return ""
