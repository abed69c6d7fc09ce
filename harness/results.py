"""A results folder for a notebook or a script: frames, comparisons and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.record.frames import Frames

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.report.analysis.report import Report


@dataclass(frozen=True)
class Compared:
    """Two strategies against each other, with the numbers of ``harness compare``.

    Attributes:
        verdict: what is surely so, in sentences.
        overall: ``difference`` of ``left`` minus ``right`` over all problems in the metric's own
            units, ``half_width`` of its 95 % interval, ``p``, and the ``test`` it is from.
        settings: one row a setting: ``setting problem test finding`` (string), ``seeds`` and
            ``models`` (lists), ``left right difference half_width p p_holm`` (float64).
    """

    verdict: list[str]
    overall: dict[str, Any]
    settings: pd.DataFrame

    def __str__(self) -> str:
        return "\n".join(self.verdict)


class Plots(Mapping[str, "Figure"]):
    """The plots of a report by name, as matplotlib figures: each is drawn when it is asked for, and
    nothing is written."""

    def __init__(self, report: Report) -> None:
        from harness.report.plots.render import figures

        self._draw = figures(report)

    def __getitem__(self, name: str) -> Figure:
        if name not in self._draw:
            raise KeyError(f"there is no plot '{name}', but {', '.join(self)}")
        return self._draw[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._draw)

    def __len__(self) -> int:
        return len(self._draw)

    def __repr__(self) -> str:
        return f"Plots({', '.join(self)})"


class Results(Frames):
    __doc__ = Frames.__doc__

    @property
    def directory(self) -> Path:
        """The results folder."""
        return self._store.directory

    def compare(self, left: str, right: str, metric: str = "accuracy") -> Compared:
        """Compare two strategies by what the suite calls them, as ``harness compare`` does.

        Args:
            metric: any numeric column of ``cells``.

        Raises:
            HarnessError: there is no such strategy or metric, or nothing to compare.
        """
        from harness.report.analysis.compare import two_labels
        from harness.report.comparison_text import as_json

        told = as_json(two_labels(self.directory, left, right, metric))
        numbers = "left right difference half_width p p_holm".split()
        settings = pd.DataFrame(told["settings"]).astype(dict.fromkeys(numbers, "float64"))
        return Compared(told["verdict"], told["overall"], settings)

    @cached_property
    def plots(self) -> Plots:
        """The plots of the report that have something to show, such as ``accuracy_by_shots``."""
        from harness.report.analysis.report import analyse

        return Plots(analyse(self._store))

    def __repr__(self) -> str:
        cells = self._store.plan().cells
        return f"<harness results of {len(cells)} cells in {self.directory}>"
