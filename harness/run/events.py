"""Events: what happens is told to every plugin that listens, and a broken one stops nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pluggy


class Events:
    """Calls the event hooks of all plugins in their order, but for ``tryfirst``, ``trylast``."""

    def __init__(self, manager: pluggy.PluginManager, complain: Callable[[str], None]) -> None:
        self._manager, self._complain = manager, complain
        self._broken: set[str] = set()

    def emit(self, hook: str, arguments: Mapping[str, Any]) -> None:
        """Call ``hook`` of every plugin; one that raises is named once, and called no more."""
        self.collect(hook, arguments)

    def collect(self, hook: str, arguments: Mapping[str, Any]) -> list[Any]:
        """Call ``hook`` of every plugin and put together the lists that they give."""
        found: list[Any] = []
        heard_by = getattr(self._manager.hook, hook).get_hookimpls()
        for implementation in sorted(heard_by, key=lambda one: (one.trylast, not one.tryfirst)):
            name = implementation.plugin_name
            if name in self._broken:
                continue
            try:
                given = implementation.function(*(arguments[n] for n in implementation.argnames))
                found += [] if given is None else given
            except Exception as error:
                self._broken.add(name)
                self._complain(
                    f"plugin {name}: {hook} failed and is not called any more: "
                    f"{type(error).__name__}: {error}"
                )
        return found
