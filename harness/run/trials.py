"""The trials of one cell: each scored on validation, the best kept, none done twice.

What is finished is written to the cell's journal, so that a cell that was killed goes on after its
last finished trial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import torch
from torch import Tensor

from harness.choices import own_settings
from harness.contract import Strategy, overrides
from harness.data.examples import Inputs
from harness.data.task import Task
from harness.errors import Diverged, Unsupported
from harness.executor import Emit
from harness.model.backbone import Backbone
from harness.plan.cell import Cell
from harness.plan.configure import ConfiguredStrategy
from harness.predictor import Finished, Predictor
from harness.record.journal import Journal, Partial
from harness.record.schema import Trial
from harness.run import stopping
from harness.run.artefacts import Weights
from harness.run.context import CellRun
from harness.run.meters import Clock, Meters
from harness.run.outcomes import Outcomes, Selected, company_of, first_failure, score_of, single
from harness.run.resuming import Curve, curves_of_each
from harness.run.status import classify, is_out_of_memory
from harness.run.tune import Tuner
from harness.run.validation import Score, Validation

AT_ONCE = 50
"""Tasks that a strategy is handed together: enough to batch, few enough to keep in memory."""


class Trials:
    """What a cell tries.

    Args:
        done: what an earlier process finished of it; what is done is added there.
        prepare: gives what the strategy's ``prepare`` makes of a backbone under some settings.
        plugin: the strategy's file, to say where it failed.
        accumulate: whether a trial that memory refuses is tried again with half as much at once.
    """

    def __init__(
        self,
        cell: Cell,
        configured: ConfiguredStrategy,
        run: CellRun,
        done: Partial,
        *,
        journal: Journal,
        meters: Meters,
        prepare: Callable[[Backbone, Mapping[str, Any]], Weights],
        plugin: Path,
        emit: Emit,
        accumulate: bool = False,
    ) -> None:
        self._cell, self._configured, self._run, self._done = cell, configured, run, done
        self._journal, self._meters, self._emit = journal, meters, emit
        self._make, self._plugin, self._accumulate = prepare, plugin, accumulate
        space = {**configured.strategy.prepare_space, **configured.strategy.space}
        for trial in done.trials:
            trial.settings = own_settings(trial.settings, space)

    @property
    def _strategy(self) -> Strategy:
        return self._configured.strategy

    @property
    def _clock(self) -> Clock:
        return self._run.clock

    # ── what is tried ────────────────────────────────────────────────────────────────────────────

    def select(self, backbone: Backbone, val: Validation) -> Selected:
        """Try settings within the budget and keep what validated best.

        Ties go to the lower loss, then to the earlier trial.

        Raises:
            Diverged, HarnessError: no trial came to an end; the first one's reason.
            KeyboardInterrupt: this process was asked to stop.
        """
        outcomes = Outcomes(keeps=self._concludes(val))
        self._try_all(backbone, val, outcomes)
        self._run.end()
        return self._selected(outcomes, backbone, val)

    def _try_all(self, backbone: Backbone, val: Validation, outcomes: Outcomes) -> None:
        tried, budget, together = self._done.trials, self._cell.budget, self._together(val)
        tuner = Tuner(self._configured, budget, self._cell.seed, tried, curves=single(val))
        for opened in tuner.rounds(self.spent, at_once=AT_ONCE if together else 1):
            if stopping.asked():
                raise KeyboardInterrupt
            self._tell(opened[0][0].number, budget.trials or 0)
            if len(opened) == 1 or not self._try_together(opened, backbone, val, outcomes):
                for trial, settings in opened:
                    self._try_alone(trial.number, settings, backbone, val, outcomes, trial)
            for trial, _ in opened:
                record = outcomes.ended.pop(trial.number)
                tuner.tell(trial, record)
                self._add(record)
            self._write_journal()

    def _together(self, val: Validation) -> bool:
        """Whether several trials can be one computation."""
        together = single(val) and overrides(self._strategy, "adapt_batch")
        together = together and not self._strategy.prepare_space
        # Neither views of inputs nor the moment at which training ends are shared.
        budget = self._cell.budget
        return together and budget.augment is None and budget.patience is None

    def _add(self, record: Trial) -> None:
        self._done.trials.append(record)
        self._emit("harness_trial_finished", {"cell": self._cell, "trial": record})

    def again(self, backbone: Backbone, val: Validation) -> Selected:
        """Select of what was tried, trying nothing more: the selected trial is done again."""
        return self._selected(Outcomes(keeps=False), backbone, val)

    def _selected(self, outcomes: Outcomes, backbone: Backbone, val: Validation) -> Selected:
        best = self._best(outcomes, backbone, val)
        return self._conclude(best, outcomes, backbone, val) if self._concludes(val) else best

    def _concludes(self, val: Validation) -> bool:
        return single(val) and overrides(self._strategy, "conclude")

    def _try_alone(
        self,
        number: int,
        settings: dict[str, Any],
        backbone: Backbone,
        val: Validation,
        outcomes: Outcomes,
        trial: optuna.Trial | None = None,
    ) -> None:
        made = self._prepare(backbone, settings)
        record = Trial(number=number, state="complete", settings=settings)
        curve: Curve = []
        self._run.begin(number, trial if single(val) else None, curve)
        before, fitted = self.spent(), self._clock.read("fit")
        try:
            score, predictor = self._try_within_memory(made, settings, val, record)
            outcomes.offer(record, score, made, predictor)
        except optuna.TrialPruned as pruned:
            record.state, record.reason = "pruned", str(pruned)
        except Diverged as error:
            record.state, record.reason = "diverged", str(error)
            outcomes.failures[number] = error
        except Unsupported:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            record.state, record.reason = "failed", classify(error, self._plugin)[1]
            outcomes.failures[number] = error
        record.curve = curves_of_each(curve, 1)[0]
        record.fit_seconds = self._clock.read("fit") - fitted
        record.seconds = self.spent() - before
        outcomes.ended[number] = record

    def _try_together(
        self,
        opened: list[tuple[optuna.Trial, dict[str, Any]]],
        backbone: Backbone,
        val: Validation,
        outcomes: Outcomes,
    ) -> bool:
        """Try several settings of one task at once; each is billed an equal share. ``False``, and
        nothing is billed, if any of them fails: which one it was, and why, they show alone."""
        run, count = self._run, len(opened)
        curve: Curve = []
        run.begin(opened[0][0].number, None, curve)
        before, fitted, scored = self.spent(), self._clock.read("fit"), self._clock.read("score")
        try:
            pairs = [(val.tasks[0], settings) for _, settings in opened]
            predictors = self._adapt(backbone, pairs)
            with self._clock.phase("score"):
                found = [
                    val.score([self.logits(one, val.inputs[0], val.tasks[0])], one)
                    for one in predictors
                ]
        except Unsupported:
            raise
        except Exception:
            self._clock.seconds.update(fit=fitted, score=scored)
            return False
        fit_seconds = (self._clock.read("fit") - fitted) / count
        seconds = (self.spent() - before) / count
        curves = curves_of_each(curve, count)
        for (trial, settings), predictor, score, own in zip(
            opened, predictors, found, curves, strict=True
        ):
            record = Trial(
                number=trial.number,
                state="complete",
                settings=settings,
                curve=own,
                fit_seconds=fit_seconds,
                seconds=seconds,
                together=count,
            )
            outcomes.offer(record, score, backbone, predictor)
            outcomes.ended[trial.number] = record
        return True

    def _best(self, outcomes: Outcomes, backbone: Backbone, val: Validation) -> Selected:
        """The best of all trials; one that an earlier process finished is done again, on the
        side, for what it learned: a seeded trial comes out the same."""
        finished = [trial for trial in self._done.trials if trial.state == "complete"]
        if not finished:
            raise first_failure(self._done.trials, outcomes.failures)
        chosen = max(finished, key=lambda trial: (*score_of(trial), -trial.number))
        best = outcomes.best
        if best is None or best.number != chosen.number:
            with self._clock.aside():
                made = self._prepare(backbone, chosen.settings)
                at_once = chosen.at_once or self._run.batch_size
                self._run.begin(chosen.number, None, [], at_once)
                predictor = self._predictor_of(chosen, backbone, made, val) if single(val) else None
                self._run.end()
            best = Selected(score_of(chosen), chosen.number, chosen.settings, made, predictor, 0.0)
        best.fit_seconds = chosen.fit_seconds
        return best

    def _conclude(
        self, best: Selected, outcomes: Outcomes, backbone: Backbone, val: Validation
    ) -> Selected:
        """What the strategy makes of all trials that came to an end, scored as they were."""
        finished = [trial for trial in self._done.trials if trial.state == "complete"]
        finished.sort(key=lambda trial: (*score_of(trial), -trial.number), reverse=True)
        trials = []
        for trial in finished:
            predictor = outcomes.predictors.get(trial.number)
            if predictor is None:  # an earlier process finished it
                with self._clock.aside():
                    predictor = self._again(trial, self._prepare(backbone, trial.settings), val)
            trials.append(Finished(self.own(trial.settings), score_of(trial)[0], predictor))
        before = self._clock.read("fit")
        with self._run.seeded("conclude"), self._clock.phase("fit"):
            concluded = self._strategy.conclude(trials, val.tasks[0], self._run)
        took = self._clock.read("fit") - before
        with self._clock.phase("score"):
            logits = self.logits(concluded, val.inputs[0], val.tasks[0])
            score = val.score([logits], concluded)
        return replace(best, score=score, predictor=concluded, fit_seconds=best.fit_seconds + took)

    def _predictor_of(
        self, chosen: Trial, backbone: Backbone, made: Backbone, val: Validation
    ) -> Predictor:
        """What a trial of an earlier process came to; ``made`` is what it started from."""
        return self._again(chosen, made, val)

    def _again(self, chosen: Trial, backbone: Backbone, val: Validation) -> Predictor:
        """What a finished trial came to, in the company that it had."""
        company = company_of(chosen, self._done.trials)
        pairs = [(val.tasks[0], trial.settings) for trial in company]
        return self._adapt(backbone, pairs)[company.index(chosen)]

    def _prepare(self, backbone: Backbone, settings: Mapping[str, Any]) -> Backbone:
        """What ``prepare`` makes of the backbone under these settings, billed once a cell."""
        space = self._strategy.prepare_space
        own = {name: value for name, value in settings.items() if name in space}
        weights = self._make(backbone, own)
        billed = repr(sorted(own.items()))
        if billed not in self._done.prepare_seconds:
            self._done.prepare_seconds[billed] = weights.seconds
            if weights.cached and weights.seconds and "prepare" not in self._done.cached:
                self._done.cached.append("prepare")
        return weights.backbone

    def _try_within_memory(
        self, backbone: Backbone, settings: Mapping[str, Any], val: Validation, record: Trial
    ) -> tuple[Score, Predictor]:
        """As ``_try``; where memory refuses it, with half as many examples at once, and half of
        that, if the suite wants it so. Later trials begin with as many as were left."""
        run = self._run
        while True:
            record.at_once = run.micro_batch if run.micro_batch < run.batch_size else None
            try:
                return self._try(backbone, settings, val)
            except Exception as error:
                if not (self._accumulate and run.micro_batch > 1 and is_out_of_memory(error)):
                    raise
            # Only here, with the error, are the tensors gone that filled the memory.
            if run.device.type == "cuda":
                torch.cuda.empty_cache()
            run.halve()

    def _try(
        self, backbone: Backbone, settings: Mapping[str, Any], val: Validation
    ) -> tuple[Score, Predictor]:
        """The validation measure of one setting, over all tasks."""
        found: list[Tensor] = []
        predictor: Predictor | None = None
        for start in range(0, len(val.tasks), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            adapted = self.adapt(backbone, val.tasks[part], settings)
            for number, predictor in enumerate(adapted, start=start):
                with self._clock.phase("score"):
                    found.append(self.logits(predictor, val.inputs[number], val.tasks[number]))
        assert predictor is not None
        with self._clock.phase("score"):
            return val.score(found, predictor), predictor

    def _tell(self, number: int, total: int) -> None:
        told = {"cell": self._cell, "stage": "trial", "done": number, "total": total}
        self._emit("harness_cell_progress", told)

    def _write_journal(self) -> None:
        self._meters.look()
        self._journal.write(
            self._done.model_copy(
                update={
                    "seconds": dict(self._clock.seconds),
                    "features_reused": self._run.features_reused,
                    "billed": self._run.paid(),
                    **self._meters.read(),
                }
            )
        )

    # ── what a strategy does ──────────────────────────────────────────────────────────────────

    def adapt(
        self, backbone: Backbone, tasks: list[Task], settings: Mapping[str, Any]
    ) -> list[Predictor]:
        """A predictor for each task."""
        return self._adapt(backbone, [(task, settings) for task in tasks])

    def _adapt(
        self, backbone: Backbone, pairs: Sequence[tuple[Task, Mapping[str, Any]]]
    ) -> list[Predictor]:
        batch = [(task, self.own(settings)) for task, settings in pairs]
        # Dropout draws from the global generator: a trial is the same whatever ran before it.
        with self._run.seeded("adapt"), self._clock.phase("fit"):
            adapted = list(self._strategy.adapt_batch(backbone, batch, self._run))
        if len(adapted) != len(batch):
            raise RuntimeError(f"adapt_batch gave {len(adapted)} predictors for {len(batch)} tasks")
        return adapted

    def logits(self, predictor: Predictor, inputs: Inputs, task: Task) -> Tensor:
        """Checked predictions, on the CPU. They are asked for in an order that tells nothing."""
        logits = predictor.logits(inputs.by_place())
        if not isinstance(logits, Tensor):
            raise RuntimeError(f"logits must be a tensor, not {type(logits).__name__}")
        outputs = task.target.outputs
        if logits.shape != (len(inputs), outputs) or not logits.dtype.is_floating_point:
            raise RuntimeError(
                f"logits must be float [{len(inputs)}, {outputs}], not {logits.dtype} "
                f"{list(logits.shape)}"
            )
        if not logits.isfinite().all():
            raise Diverged("the predictions are not finite")
        return logits.detach().float().cpu()[inputs.rows.argsort().argsort()]

    def restored(self, file: Path, chosen: Trial, backbone: Backbone, task: Task) -> Predictor:
        """The predictor of a trial, from the file that it was saved to.

        Raises:
            HarnessError: it cannot be read, or does not fit.
        """
        made = self._prepare(backbone, chosen.settings)
        own = self.own(chosen.settings)
        return self._strategy.restore(file, made, task.target, own, self._run)

    def adapted(self, chosen: Trial, backbone: Backbone, task: Task) -> Predictor:
        """What the settings of a finished trial make of a task that it was not tried on."""
        made = self._prepare(backbone, chosen.settings)
        (predictor,) = self.adapt(made, [task], chosen.settings)
        return predictor

    def own(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of ``adapt``."""
        return {k: v for k, v in settings.items() if k not in self._strategy.prepare_space}

    def spent(self) -> float:
        """Seconds billed to tuning so far, with features at the cost of their computation."""
        read = self._clock.read
        return (
            read("fit")
            + read("score")
            + read("features")
            + sum(self._done.prepare_seconds.values())
        )
