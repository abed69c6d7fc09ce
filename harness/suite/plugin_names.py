"""Find unknown plugins in a suite that has other mistakes too, so that all are told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from harness.errors import HarnessError
from harness.registry import Registry


def unknown_names(table: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    """A line for each plugin that a suite's table names and that is not there.

    The table may be wrong in any way: what is not a name is passed over.
    """
    strategy, dataset = partial(registry.get, "strategy"), partial(registry.get, "dataset")
    pretraining = partial(registry.get, "pretraining")
    trick = partial(registry.get, "trick")
    for entry in _entries(table, "strategies"):
        yield from _messages(strategy, _name(entry))
        for one in _entries(entry, "tricks"):
            yield from _messages(trick, _name(one))
    for one in _entries(table, "tricks"):
        yield from _messages(trick, _name(one))
    for entry in _entries(table, "backbones"):
        yield from _messages(registry.backbone_for, _at(entry, "model"))
        weights = _at(entry, "weights")
        yield from _messages(dataset, _at(weights, "source"))
        yield from _messages(pretraining, _name(_at(weights, "method")))
    for entry in _entries(table, "problems"):
        yield from _messages(dataset, _at(entry, "dataset"))
        yield from _messages(dataset, _at(_at(entry, "source"), "dataset"))
        for one in _entries(entry, "tests"):
            yield from _messages(dataset, _at(one, "dataset"))


def _entries(table: object, key: str) -> list[Any]:
    value = _at(table, key)
    return value if isinstance(value, list) else []


def _name(entry: object) -> object:
    """Of a name, or of a table that has one."""
    return _at(entry, "name") if isinstance(entry, Mapping) else entry


def _at(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, Mapping) else None


def _messages(look_up: Callable[[str], object], name: object) -> Iterator[str]:
    if isinstance(name, str):
        try:
            look_up(name)
        except HarnessError as error:
            yield str(error)
