"""``trackio``: runs in trackio's database on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, ClassVar

from harness.api import Tracker, hookimpl
from harness_plugins.trackers._a_run_a_cell import ARunACell
from harness_plugins.trackers._told import Scalar


class Trackio(ARunACell):
    """Makes a run in trackio of each cell that ends, grouped by strategy; ``trackio show`` draws.

    Its database is where ``TRACKIO_DIR`` says. Trials are steps; the test's scores are the last.
    """

    name: ClassVar[str] = "trackio"
    requires: ClassVar[Mapping[str, str]] = {"trackio": "transfer-harness[trackio]"}

    def begin(
        self, project: str, name: str, group: str, config: Mapping[str, Scalar], folder: Path
    ) -> Any:
        import trackio

        # It prints what it does, where data is printed.
        with redirect_stdout(sys.stderr):
            return trackio.init(
                project=project,
                name=f"{name} {config['cell']:.8}",
                group=group,
                config=dict(config),
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def end(self, run: Any, scores: Mapping[str, float], *, step: int, ok: bool) -> None:
        with redirect_stdout(sys.stderr):
            run.log({**scores, "ok": float(ok)}, step=step)
            run.finish()


@hookimpl
def harness_trackers() -> list[type[Tracker]]:
    return [Trackio]
