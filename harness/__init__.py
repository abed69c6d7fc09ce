"""A benchmarking harness that compares transfer-learning strategies.

Plugin authors import from :mod:`harness.api`; this module stays light so that the command
line starts at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.markers import hookimpl
from harness.version import __version__

if TYPE_CHECKING:
    from os import PathLike

    from harness.results import Results
    from harness.running import run

__all__ = ["__version__", "hookimpl", "load", "run"]


def load(results: str | PathLike[str]) -> Results:
    """Open the results folder of a suite, such as ``results/quickstart``, for analysis.

    ``harness.load(results).cells``, ``.trials``, ``.curves`` and ``.predictions`` are pandas
    DataFrames, ``.compare(left, right)`` and ``.plots`` what the report tells; see
    :class:`harness.results.Results` for columns and types.

    Raises:
        HarnessError: the folder holds no results, or none that this version can read.
    """
    from pathlib import Path

    from harness.results import Results

    return Results(Path(results))


def __getattr__(name: str) -> object:
    if name == "run":  # the package of that name, which can be called: see there
        import importlib

        return importlib.import_module("harness.run")
    raise AttributeError(f"module 'harness' has no attribute '{name}'")
