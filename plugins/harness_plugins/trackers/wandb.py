"""``wandb``: runs on Weights & Biases, or in a folder that is sent there later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from harness.api import Tracker, hookimpl
from harness_plugins.trackers._a_run_a_cell import ARunACell
from harness_plugins.trackers._told import Scalar


class WandB(ARunACell):
    """Makes a run on Weights & Biases of each cell that ends, grouped by strategy.

    ``wandb login`` comes before, or ``WANDB_MODE=offline``: then runs are kept in the results
    folder, and ``wandb sync`` sends them. Trials are steps; the test's scores are the summary.
    """

    name: ClassVar[str] = "wandb"
    requires: ClassVar[Mapping[str, str]] = {"wandb": "transfer-harness[wandb]"}

    def begin(
        self, project: str, name: str, group: str, config: Mapping[str, Scalar], folder: Path
    ) -> Any:
        import wandb

        return wandb.init(
            project=project,
            name=name,
            group=group,
            config=dict(config),
            dir=folder,
            reinit="create_new",
            # What the command prints is no part of a cell's run.
            settings=wandb.Settings(console="off", silent=True),
        )

    def end(self, run: Any, scores: Mapping[str, float], *, step: int, ok: bool) -> None:
        run.summary.update(dict(scores))
        run.finish(exit_code=0 if ok else 1)


@hookimpl
def harness_trackers() -> list[type[Tracker]]:
    return [WandB]
