"""Format numbers, names and statuses for readers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from harness.shots import Shots, shots_text

GAP = "–"
"""What stands where there is no number."""

STATES: Mapping[str, tuple[str, str]] = {
    "ok": ("finished", ""),
    "failed": (
        "stopped by an error",
        "Read the reason and the traceback, which the report has, mend what it names, and go on "
        "with --retry failed.",
    ),
    "timeout": (
        "stopped because it took longer than a cell may",
        "Raise limits.timeout, or give the suite a smaller budget; --retry timeout goes on after "
        "the last finished trial.",
    ),
    "oom": (
        "ran out of memory",
        "Lower batch_size or input_size, run fewer --jobs, or raise limits.memory, and go on with "
        "--retry oom.",
    ),
    "crashed": (
        "its process died without an answer",
        "Its log ends with where that was, if anything knew. --retry crashed goes on after the "
        "last finished trial.",
    ),
    "diverged": (
        "its loss was no longer a number in any trial",
        "Lower the rates that its learning rate is drawn from, or fix a lower one by args.",
    ),
    "unsupported": (
        "this strategy can't do what the cell asks",
        "Nothing is broken: the combination doesn't exist, and a run of the suite won't change it.",
    ),
    "interrupted": (
        "was stopped from outside",
        "Run the suite again: the cell goes on after its last finished trial.",
    ),
    "damaged": (
        "left a record that can't be believed",
        "Run the suite again: the cell is done anew.",
    ),
    "stale": (
        "has a result that a run would not give any more",
        "Run the suite again: the cell is done anew, and the record stays until then.",
    ),
    "pending": ("not run yet", "Run the suite again: it goes on where it stopped."),
}
"""For each status, what it means and what to do about it."""


def percent(fraction: float) -> str:
    """A fraction as a percentage without its sign: ``92.1``."""
    return GAP if math.isnan(fraction) else f"{100 * fraction:.1f}"


def plus_minus(fraction: float, half: float) -> str:
    """``92.1 ± 0.8``, or the mean alone where its interval is not known."""
    return percent(fraction) if math.isnan(half) else f"{percent(fraction)} ± {percent(half)}"


def accuracy(group: Mapping[Any, Any]) -> str:
    """A row of ``summary``: ``92.1 ± 0.8``, or ``99.1 (97.0 to 99.8)`` near the edge, where an
    interval has unequal sides."""
    mean, low, high = (group[name] for name in ("accuracy", "accuracy_low", "accuracy_high"))
    if math.isnan(low) or math.isclose(high - mean, mean - low, abs_tol=1e-9):
        return plus_minus(mean, high - mean)
    return f"{percent(mean)} ({percent(low)} to {percent(high)})"


def signed(points: float) -> str:
    """``+2.3`` or ``−2.3`` (a true minus sign), ``0.0`` where it rounds to that."""
    if math.isnan(points):
        return GAP
    text = f"{points:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def signed_plus_minus(points: float, half: float) -> str:
    """``+2.3 ± 1.1``, or the mean alone where its interval is not known."""
    return signed(points) if math.isnan(half) else f"{signed(points)} ± {half:.1f}"


OUTCOMES: Mapping[str, str] = {
    "better": "better",
    "worse": "worse",
    "unclear": "not distinguishable",
    "untested": "not tested",
}
"""What a test says of a difference."""


EDGES = (0.01, 0.02, 0.05)
"""What p-values are held against."""


def p_number(p: float) -> str:
    """A p-value: ``0.012``, ``< 0.001``; one below what it is held against is never rounded up."""
    if math.isnan(p):
        return GAP
    if p < 0.001:
        return "< 0.001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    edge = next((edge for edge in EDGES if text == f"{edge:.3f}" and p < edge), None)
    return text if edge is None else f"< {edge}"


def p_text(p: float) -> str:
    """``p = 0.012``, ``p < 0.001``."""
    return f"p {number}" if (number := p_number(p)).startswith("<") else f"p = {number}"


def significant(number: float, digits: int = 3) -> str:
    """A number to so many digits, never as a power of ten: ``0.0123``, ``4.56``, ``12,345``."""
    if math.isnan(number):
        return GAP
    if number == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(number))))
    return f"{number:,.{decimals}f}"


def seconds(number: float) -> str:
    """Seconds for a column: three digits, of which at most three behind the point."""
    return f"{number:.3f}" if 0 < number < 1 else significant(number)


def rounded(number: float) -> str:
    """To three digits: ``12,300``, ``4.56``."""
    return significant(float(f"{number:.3g}"))


def duration(seconds: float) -> str:
    """``12 ms``, ``4.5 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if math.isnan(seconds):
        return GAP
    if seconds < 0.9995:
        return f"{_short(1000 * seconds, 2)} ms"
    if seconds < 59.5:
        return f"{_short(seconds, 2)} s"
    whole = round(seconds)
    if whole < 3600:
        return _two(*divmod(whole, 60), "min", "s")
    return _two(*divmod(round(whole / 60), 60), "h", "min")


def _short(number: float, digits: int) -> str:
    text = significant(number, digits)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _two(large: int, small: int, large_unit: str, small_unit: str) -> str:
    return f"{large} {large_unit}" + (f" {small} {small_unit}" if small else "")


def size(amount: float) -> str:
    """Bytes as ``1.2 GB``; a GB is 10⁹ bytes."""
    if math.isnan(amount):
        return GAP
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= 0.9995 * factor:
            return f"{_short(amount / factor, 3)} {unit}"
    return f"{amount:.0f} B"


def flops(number: float) -> str:
    """``1.2 GFLOP``: 10⁹ additions and multiplications."""
    if math.isnan(number):
        return GAP
    for unit, factor in (("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6)):
        if number >= 0.9995 * factor:
            return f"{_short(number / factor, 3)} {unit}"
    return f"{number / 1e3:.0f} kFLOP"


def integer(number: float) -> str:
    """``1,234,567``."""
    return GAP if math.isnan(number) else f"{number:,.0f}"


def setting_text(facet: str, shots: Shots) -> str:
    """``digits, 5 shots``."""
    return f"{facet}, {shots_text(shots)}"


def plural(number: int, noun: str, nouns: str = "") -> str:
    """``1 cell``, ``2 cells``; ``nouns`` where the plural is no mere ``s``."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def every(number: int) -> str:
    """``both``, ``all 3``."""
    return "both" if number == 2 else f"all {number}"


def listing(items: Iterable[str], last: str = "and") -> str:
    """``a, b and c``."""
    *head, tail = list(items)
    return f"{', '.join(head)} {last} {tail}" if head else tail


def settings_text(settings: Mapping[str, Any]) -> str:
    """``lr = 0.00123, weight_decay = 1e-05``: floats to three digits."""
    return ", ".join(f"{name} = {value_text(value)}" for name, value in settings.items())


def value_text(value: Any) -> str:
    """A setting or a fact of provenance on one line."""
    if value is None:
        return GAP
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def shortened(text: str, most: int) -> str:
    """One line of at most so many characters, the last an ellipsis where some were dropped."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
