"""Run cells: one from its start to its record, and a whole suite.

``harness.run(…)`` is a function too, and importing anything from here would put this package in its
place: so the package can be called, and does the same.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.results import Results


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Results:
        from harness.running import run

        return run(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
