"""A benchmarking harness that compares transfer-learning strategies.

Plugin authors import from :mod:`harness.api`; this module stays light so that the command
line starts at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.markers import hookimpl

if TYPE_CHECKING:
    from os import PathLike

    from harness.record.frames import Results

__all__ = ["__version__", "hookimpl", "load"]
__version__ = "0.1.0"


def load(results: str | PathLike[str]) -> Results:
    """Open the results folder of a suite, such as ``results/quickstart``, for analysis.

    ``harness.load(results).cells``, ``.trials`` and ``.predictions`` are pandas DataFrames; see
    :class:`harness.record.frames.Results` for their columns and types.

    Raises:
        HarnessError: the folder holds no results, or none that this version can read.
    """
    from pathlib import Path

    from harness.record.frames import Results

    return Results(Path(results))
