"""What a user is shown when something is wrong: one line, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class HarnessError(Exception):
    """A mistake or an obstacle that the user can mend.

    The command line prints ``message`` and ``remedy`` on one line and exits with 2;
    ``HARNESS_RAISE=1`` lets the traceback through.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}. {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:  # worker processes send errors home
        return type(self), (self.message, self.remedy)


class Mistakes(HarnessError):
    """Every mistake found in one input: one stands on its line, several below each other."""

    def __init__(self, where: str, lines: Iterable[str]) -> None:
        self.where = where
        self.lines = [" ".join(line.splitlines()) for line in lines]
        if len(self.lines) == 1:
            super().__init__(f"{where}: {self.lines[0]}")
        else:
            listed = [f"\n  {line}" for line in self.lines]
            super().__init__(f"{where}: {len(self.lines)} mistakes{''.join(listed)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.where, self.lines)


class Unsupported(Exception):
    """Raised by a plugin that cannot do what a cell asks; the cell ends as ``unsupported``."""


class Diverged(Exception):
    """The loss is no longer a number; the trial ends and, if it was the last, the cell."""


def one_line(error: BaseException) -> str:
    """An exception on one line: its type and its message, without line breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the nearest known word, or the known words if there are few."""
    names = {name.casefold(): name for name in sorted(known)}
    close = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=0.6)
    if close:
        return f" (did you mean '{names[close[0]]}'?)"
    if 0 < len(names) <= 12:
        return f" (known: {', '.join(names.values())})"
    return ""
