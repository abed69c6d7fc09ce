"""What a user is shown when something is wrong: one line, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """A mistake or an obstacle that the user can mend.

    The command line prints ``message`` and ``remedy`` on one line and exits with 2;
    ``HARNESS_RAISE=1`` lets the traceback through.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}. {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy


class Mistakes(HarnessError):
    """Every mistake found in one input, shown together, one line each."""

    def __init__(self, where: str, lines: Iterable[str]) -> None:
        self.lines = list(lines)
        count = len(self.lines)
        head = f"{where}: {count} mistake{'s' if count > 1 else ''}"
        super().__init__("\n".join([head, *(f"  {line}" for line in self.lines)]))


class Unsupported(Exception):
    """Raised by a plugin that cannot do what a cell asks; the cell ends as ``unsupported``."""


class Diverged(Exception):
    """The loss is no longer a number; the trial ends and, if it was the last, the cell."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the nearest known word, or the known words if there are few."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f" (did you mean '{close[0]}'?)"
    if 0 < len(names) <= 12:
        return f" (known: {', '.join(names)})"
    return ""
