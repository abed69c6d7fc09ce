"""A strategy's settings, in memory and in files: JSON has fewer types than Python has.

A tuple comes back from a file as a list. What was chosen is therefore known by its form in JSON,
and means the distribution's own choice of that form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution


def own_settings(
    settings: Mapping[str, Any], space: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """``settings`` of a file or a suite, each choice replaced by the one that ``space`` has."""
    return {
        name: own_choice(value, space[name]) if name in space else value
        for name, value in settings.items()
    }


def own_choice(value: Any, distribution: BaseDistribution) -> Any:
    """The choice that ``value`` stands for; the value itself where there is none, or no choice."""
    if not isinstance(distribution, CategoricalDistribution):
        return value
    choices = distribution.choices
    alike = [choice for choice in choices if _form(choice) == _form(value)]
    alike += [c for c in choices if c == value and isinstance(c, bool) == isinstance(value, bool)]
    return alike[0] if alike else value


def invalid_choices(name: str, default: Any, distribution: BaseDistribution) -> Iterator[str]:
    """What keeps the values of a hyperparameter from being written to a file and found again."""
    choices = getattr(distribution, "choices", ())
    if wrong := [value for value in (default, *choices) if _form(value) is None]:
        yield (
            f"{name} cannot be {wrong[0]!r}, which JSON does not hold as it is: take numbers, "
            "texts, true, false and None of Python itself, or tuples and lists of these"
        )
        return
    for place, choice in enumerate(choices):
        for other in choices[:place]:
            if choice == other or _form(choice) == _form(other):
                yield f"{name} has alike choices, {other!r} and {choice!r}: leave one out"


def _form(value: Any) -> str | None:
    """A value as JSON has it; ``None`` for what it can't hold, or gives back as something else."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
        return text if json.dumps(json.loads(text), ensure_ascii=False) == text else None
    except (TypeError, ValueError, RecursionError):
        return None
