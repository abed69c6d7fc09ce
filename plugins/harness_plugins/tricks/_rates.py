"""Rates of parameters by name, as :class:`harness.api.Recipe` has them."""

from __future__ import annotations

from collections.abc import Mapping


def by_name(rates: float | Mapping[str, float]) -> Mapping[str, float]:
    """One rate for all, or what there is by name, as a mapping."""
    return rates if isinstance(rates, Mapping) else {"": rates}


def rate_of(rates: Mapping[str, float], name: str) -> float:
    """The rate of a parameter: that of the longest name which is its own or contains it."""
    while name and name not in rates:
        name = name.rpartition(".")[0]
    return rates[name]
