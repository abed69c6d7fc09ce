"""The trials of one cell: each scored on validation, the best kept, none done twice.

What is finished is written to the cell's journal, so that a cell that was killed goes on after its
last finished trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from torch import Tensor

from harness.api import Diverged, Emit, HarnessError, Inputs, Predictor, Strategy, Task, Unsupported
from harness.model.backbone import Backbone
from harness.plan.cells import Cell
from harness.plan.configure import ConfiguredStrategy
from harness.record.journal import Journal, Partial
from harness.record.schema import Record, Trial
from harness.run import stopping
from harness.run.context import CellRun
from harness.run.ends import classify, is_out_of_memory
from harness.run.meters import Clock, Meters
from harness.run.selection import Validation
from harness.run.tune import Tuner
from harness.run.workbench import Made

AT_ONCE = 50
"""Tasks that a strategy is handed together: enough to batch, few enough to keep in memory."""

Score = tuple[float, float]
"""A value and a loss, negated: more is better, first of the first."""


@dataclass
class Selected:
    """The trial that validated best: its settings, the backbone it started from, and, but for
    ``episodes``, the predictor itself."""

    score: Score
    number: int
    settings: Mapping[str, Any]
    backbone: Backbone
    predictor: Predictor | None
    fit_seconds: float


class Trials:
    """What a cell tries, filling in its record as it goes.

    Args:
        prepare: gives what the strategy's ``prepare`` makes of a backbone under some settings.
        plugin: the strategy's file, to say where it failed.
        accumulate: whether a trial that memory refuses is tried again with half as much at once.
    """

    def __init__(
        self,
        cell: Cell,
        configured: ConfiguredStrategy,
        run: CellRun,
        record: Record,
        *,
        journal: Journal,
        meters: Meters,
        prepare: Callable[[Backbone, Mapping[str, Any]], Made],
        plugin: Path,
        emit: Emit,
        accumulate: bool = False,
    ) -> None:
        self._cell, self._configured, self._run, self._record = cell, configured, run, record
        self._journal, self._meters, self._emit = journal, meters, emit
        self._make, self._plugin, self._accumulate = prepare, plugin, accumulate
        done = journal.read()
        meters.add(done)
        run.clock.seconds.update(done.seconds)
        run.restore_paid(done.billed)
        run.features_reused = done.features_reused
        record.trials, record.cached = done.trials, done.cached
        self.prepare_seconds = done.prepare_seconds
        run.at_once = min([run.at_once, *(t.at_once for t in done.trials if t.at_once)])

    @property
    def _strategy(self) -> Strategy:
        return self._configured.strategy

    @property
    def _clock(self) -> Clock:
        return self._run.clock

    # ── the search ────────────────────────────────────────────────────────────────────────────

    def select(self, backbone: Backbone, val: Validation) -> Selected:
        """Try settings within the budget and keep what validated best.

        Ties go to the lower loss, then to the earlier trial.

        Raises:
            Diverged, HarnessError: no trial came to an end; the first one's reason.
            KeyboardInterrupt: this process was asked to stop.
        """
        tried, budget = self._record.trials, self._cell.budget
        single = len(val.tasks) == 1
        tuner = Tuner(self._configured, budget, self._cell.seed, tried, curves=single)
        best: Selected | None = None
        failures: dict[int, Exception] = {}
        for trial, settings in tuner.trials(self.spent):
            if stopping.asked():
                raise KeyboardInterrupt
            self._tell(trial.number, budget.trials or 0)
            made = self._prepare(backbone, settings)
            record = Trial(number=trial.number, state="complete", settings=settings)
            self._run.begin(trial.number, trial if single else None, record.curve)
            before, fitted = self.spent(), self._clock.read("fit")
            try:
                score, predictor = self._try_smaller(made, settings, val, record)
                record.value, record.loss = score[0], -score[1]
                if best is None or score > best.score:
                    best = Selected(score, trial.number, settings, made, predictor, 0.0)
            except optuna.TrialPruned as pruned:
                record.state, record.reason = "pruned", str(pruned)
            except Diverged as error:
                record.state, record.reason = "diverged", str(error)
                failures[trial.number] = error
            except Unsupported:
                raise
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                record.state, record.reason = "failed", classify(error, self._plugin)[1]
                failures[trial.number] = error
            record.fit_seconds = self._clock.read("fit") - fitted
            record.seconds = self.spent() - before
            tuner.tell(trial, record)
            tried.append(record)
            self._emit("harness_trial_finished", {"cell": self._cell, "trial": record})
            self._keep()
        self._run.end()
        return self._best(best, backbone, val, failures)

    def _best(
        self,
        here: Selected | None,
        backbone: Backbone,
        val: Validation,
        failures: Mapping[int, Exception],
    ) -> Selected:
        """The best of all trials; one that an earlier process finished is done again, on the
        side, for what it learned: a seeded trial comes out the same."""
        finished = [trial for trial in self._record.trials if trial.state == "complete"]
        if not finished:
            raise _first_failure(self._record.trials, failures)
        chosen = max(finished, key=lambda trial: (*_score(trial), -trial.number))
        if here is None or here.number != chosen.number:
            with self._clock.aside():
                made = self._prepare(backbone, chosen.settings)
                self._run.begin(chosen.number, None, [])
                self._run.at_once = chosen.at_once or self._run.batch_size
                predictor = self._try(made, chosen.settings, val)[1] if _single(val) else None
                self._run.end()
            here = Selected(_score(chosen), chosen.number, chosen.settings, made, predictor, 0.0)
        here.fit_seconds = chosen.fit_seconds
        return here

    def _prepare(self, backbone: Backbone, settings: Mapping[str, Any]) -> Backbone:
        """What ``prepare`` makes of the backbone under these settings, billed once a cell."""
        space = self._strategy.prepare_space
        own = {name: value for name, value in settings.items() if name in space}
        made = self._make(backbone, own)
        billed = repr(sorted(own.items()))
        if billed not in self.prepare_seconds:
            self.prepare_seconds[billed] = made.seconds
            if made.cached and made.seconds and "prepare" not in self._record.cached:
                self._record.cached.append("prepare")
        return made.backbone

    def _try_smaller(
        self, backbone: Backbone, settings: Mapping[str, Any], val: Validation, record: Trial
    ) -> tuple[Score, Predictor]:
        """As ``_try``; where memory refuses it, with half as many examples at once, and half of
        that, if the suite wants it so. Later trials begin with as many as were left."""
        run = self._run
        while True:
            record.at_once = run.at_once if run.at_once < run.batch_size else None
            try:
                return self._try(backbone, settings, val)
            except Exception as error:
                if not (self._accumulate and run.at_once > 1 and is_out_of_memory(error)):
                    raise
            # Only here, with the error, are the tensors gone that filled the memory.
            if run.device.type == "cuda":
                torch.cuda.empty_cache()
            run.at_once = math.ceil(run.at_once / 2)
            record.curve.clear()

    def _try(
        self, backbone: Backbone, settings: Mapping[str, Any], val: Validation
    ) -> tuple[Score, Predictor]:
        """The validation measure of one setting, means over tasks, with the loss negated."""
        found = []
        predictor: Predictor | None = None
        for start in range(0, len(val.tasks), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            adapted = self.adapt(backbone, val.tasks[part], settings)
            for predictor, inputs, labels, task in zip(
                adapted, val.inputs[part], val.labels[part], val.tasks[part], strict=True
            ):
                with self._clock.phase("score"):
                    logits = self.logits(predictor, inputs, task.classes)
                    found.append(val.measure.of(logits, labels))
        assert predictor is not None
        value, loss = np.mean(found, axis=0).tolist()
        return (value, -loss), predictor

    def _tell(self, number: int, total: int) -> None:
        told = {"cell": self._cell, "stage": "trial", "done": number, "total": total}
        self._emit("harness_cell_progress", told)

    def _keep(self) -> None:
        self._meters.look()
        self._journal.write(
            Partial(
                trials=self._record.trials,
                seconds=dict(self._clock.seconds),
                prepare_seconds=self.prepare_seconds,
                cached=self._record.cached,
                features_reused=self._run.features_reused,
                billed=self._run.paid(),
                **self._meters.read(),
            )
        )

    # ── what a strategy does ──────────────────────────────────────────────────────────────────

    def adapt(
        self, backbone: Backbone, tasks: list[Task], settings: Mapping[str, Any]
    ) -> list[Predictor]:
        """A predictor for each task."""
        own = self.own(settings)
        self._run.stage = "adapt"
        # Dropout draws from the global generator: a trial is the same whatever ran before it.
        with self._run.seeded("adapt"), self._clock.phase("fit"):
            adapted = list(
                self._strategy.adapt_batch(backbone, [(task, own) for task in tasks], self._run)
            )
        if len(adapted) != len(tasks):
            raise RuntimeError(f"adapt_batch gave {len(adapted)} predictors for {len(tasks)} tasks")
        return adapted

    def logits(self, predictor: Predictor, inputs: Inputs, classes: int) -> Tensor:
        """Checked predictions, on the CPU. They are asked for in an order that tells nothing."""
        logits = predictor.logits(inputs.by_place())
        if not isinstance(logits, Tensor):
            raise RuntimeError(f"logits must be a tensor, not {type(logits).__name__}")
        if logits.shape != (len(inputs), classes) or not logits.dtype.is_floating_point:
            raise RuntimeError(
                f"logits must be float [{len(inputs)}, {classes}], not {logits.dtype} "
                f"{list(logits.shape)}"
            )
        if not logits.isfinite().all():
            raise Diverged("the predictions are not finite")
        return logits.detach().float().cpu()[inputs.rows.argsort().argsort()]

    def own(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of ``adapt``."""
        return {k: v for k, v in settings.items() if k not in self._strategy.prepare_space}

    def spent(self) -> float:
        """Seconds billed to tuning so far, with features at the cost of their computation."""
        read = self._clock.read
        return read("fit") + read("score") + read("features") + sum(self.prepare_seconds.values())


def _score(trial: Trial) -> Score:
    assert trial.value is not None
    assert trial.loss is not None
    return trial.value, -trial.loss


def _single(val: Validation) -> bool:
    return len(val.tasks) == 1


def _first_failure(trials: list[Trial], failures: Mapping[int, Exception]) -> Exception:
    """Why there is nothing to select: an error of this process, or what was written of one."""
    for trial in trials:
        if trial.state in ("failed", "diverged"):
            told = Diverged if trial.state == "diverged" else HarnessError
            return failures.get(trial.number) or told(trial.reason or "")
    return HarnessError("every trial was pruned", "Use pruner = 'none'")
