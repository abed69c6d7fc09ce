"""A cell with all that it takes: its data, its backbone, its trials."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harness.contract import Strategy
from harness.data.examples import Inputs, Pool
from harness.data.loaded import Loaded
from harness.data.protocols import adaptation_task, transfer_task
from harness.data.splits import Manifest
from harness.data.task import Task
from harness.executor import Emit
from harness.model.augment import Augment
from harness.model.backbone import Backbone
from harness.model.precision import suited
from harness.model.run import SecondModel
from harness.plan import configure, keys
from harness.plan.cell import Cell
from harness.plan.targets import cell_manifest, source_manifest
from harness.record.journal import Journal
from harness.record.trial_files import TrialFiles
from harness.run.checkpoint import Checkpoint
from harness.run.context import CellRun, OnProgress
from harness.run.facts import CellFacts
from harness.run.meters import Clock, Meters
from harness.run.resources import Resources
from harness.run.shared_trials import SharedTrials
from harness.run.trials import Trials
from harness.run.validation import Validation
from harness.suite.problems import AdaptationProblem, TransferProblem


@dataclass(frozen=True)
class OneTask:
    """The one task of a cell that is none of ``episodes``: what it is validated on, the data that
    it is tested on, and their split, with its digest and what is published of it."""

    val: Validation
    loaded: Loaded
    manifest: Manifest
    digest: str
    published: Mapping[str, Any]


class Opening:
    """Reads what a cell has done so far, and gives it what it takes. What becomes known of it is
    in ``facts``; ``files`` are those of its trials, where other processes do some of them."""

    def __init__(
        self,
        cell: Cell,
        resources: Resources,
        journal: Journal,
        meters: Meters,
        emit: Emit,
        files: TrialFiles | None = None,
    ) -> None:
        self.cell, self.resources, self.journal, self.files = cell, resources, journal, files
        self.meters, self.emit = meters, emit
        self.done = journal.read(cell.budget.threads)
        self.meters.add(self.done)
        self.clock = Clock(resources.device)
        self.clock.seconds.update(self.done.seconds)
        self.progress = _teller(cell, emit)
        self.configured = configure.strategy(
            resources.registry, cell.strategy_spec, cell.batch_norm
        )
        self.facts = CellFacts()
        for module in self.strategy.requires:  # now, so that the import is not billed to a trial
            importlib.import_module(module)

    @property
    def plugin_file(self) -> Path:
        return self.resources.registry.get("strategy", self.cell.strategy).file

    @property
    def strategy(self) -> Strategy:
        return self.configured.strategy

    run_context: CellRun
    trials: Trials

    def open(self) -> tuple[Backbone, Loaded]:
        """The backbone with its weights, and the data; from here on there are trials."""
        backbone, cell = self.open_model(), self.cell
        return backbone, self.resources.datasets.load(cell.dataset, cell.problem_spec.args)

    def open_model(self) -> Backbone:
        """The backbone with its weights; from here on there are trials. No data are loaded where
        the weights are at hand."""
        cell, resources, facts = self.cell, self.resources, self.facts
        weights = resources.backbone(cell, self.progress)
        self.meters.restart()  # all cells share the weights: they are no part of this one
        self.clock.seconds["pretrain"] = weights.seconds
        if weights.cached and weights.seconds:
            facts.reused.add("pretrain")
        facts.total_params = weights.backbone.num_parameters
        models = {}
        for label in cell.further_specs:
            second = resources.backbone(cell, self.progress, label)
            self.clock.seconds["pretrain"] += second.seconds
            models[label] = SecondModel(second.backbone, {})
        self.run_context = self.run_on(weights.backbone, models)
        facts.precision = self.run_context.precision
        kind = Trials if self.files is None else partial(SharedTrials, files=self.files)
        self.trials = kind(
            cell,
            self.configured,
            self.run_context,
            self.done,
            journal=self.journal,
            meters=self.meters,
            prepare=lambda backbone, settings: resources.prepared(
                cell, self.strategy, backbone, settings, self.progress
            ),
            plugin=self.plugin_file,
            emit=self.emit,
            accumulate=resources.limits.accumulate,
        )
        return weights.backbone

    def run_on(self, backbone: Backbone, models: Mapping[str, SecondModel]) -> CellRun:
        """What the strategy is lent, as the cell's budget has it."""
        budget, device = self.cell.budget, self.resources.device
        asked = budget.precision
        run = CellRun(
            device=device,
            seed=self.cell.seed,
            steps=budget.steps,
            batch_size=budget.batch_size,
            evaluations=budget.evaluations,
            patience=budget.patience,
            augment=Augment(**budget.augment.model_dump()) if budget.augment else None,
            batch_norm=self.cell.batch_norm,
            precision=suited(backbone, device) if asked == "auto" else asked,
            models=models,
            store=self.resources.features,
            clock=self.clock,
            progress=self.progress,
            checkpoint=Checkpoint(self.journal.checkpoint, self.resources.limits.checkpoint),
        )
        run.go_on(self.done)
        return run

    def pool(self, loaded: Loaded, backbone: Backbone, part: str) -> Pool:
        """The inputs of a part of the data, which second models are given too."""
        pool = self.resources.pool_of(self.cell, loaded, backbone, part)
        self.facts.inputs.add(pool.held)
        run = self.run_context
        for label, spec in self.cell.further_specs.items():
            other = self.cell.model_copy(update={"backbone_spec": spec})
            second = run.backbone(label).backbone
            run.lend(label, pool, self.resources.pool_of(other, loaded, second, part))
        return pool

    def one_task(
        self, problem: TransferProblem | AdaptationProblem, loaded: Loaded, backbone: Backbone
    ) -> OneTask:
        """The task of the cell, and how it is split."""
        if isinstance(problem, TransferProblem):
            return self._transfer(loaded, backbone)
        return self._adaptation(problem, loaded, backbone)

    def _transfer(self, loaded: Loaded, backbone: Backbone) -> OneTask:
        data = loaded.data
        manifest = cell_manifest(self.resources.datasets, self.cell)
        task = transfer_task(
            data, self.pool(loaded, backbone, "train"), manifest, self.resources.device
        )
        if data.unlabelled is not None:
            pool = self.pool(loaded, backbone, "unlabelled")
            task = replace(task, unlabelled=Inputs(pool, torch.arange(len(pool))))
        published = {"classes": data.classes, **manifest.to_json()}
        return OneTask(_on_val(task), loaded, manifest, manifest.digest(loaded.digest), published)

    def _adaptation(
        self, problem: AdaptationProblem, loaded: Loaded, backbone: Backbone
    ) -> OneTask:
        cell, device = self.cell, self.resources.device
        source = self.resources.datasets.load(problem.source.dataset, problem.source.args)
        labelled = source_manifest(self.resources.datasets, problem, cell.shots, cell.seed)
        target = cell_manifest(self.resources.datasets, cell)
        digest = keys.key(
            {"source": labelled.digest(source.digest), "target": target.digest(loaded.digest)}
        )
        parts = {"source": labelled.to_json(), "target": target.to_json()}
        pool = self.pool(loaded, backbone, "train")
        known = transfer_task(loaded.data, pool, target, device)
        task = adaptation_task(
            source.data,
            self.pool(source, backbone, "train"),
            labelled,
            loaded.data,
            pool,
            target,
            device,
        )
        val = _on_val(task)
        if self.strategy.sees_target_labels:
            val = _on_val(known)
        elif problem.selection != "source":
            if problem.selection != "target":
                assert known.val is not None
                task = replace(
                    task,
                    unlabelled_val=known.val.inputs.by_place(),
                    unlabelled_measure=problem.selection,
                )
            shown = task if task.measure.weighted else known
            val = replace(_on_val(shown), tasks=[task], measure=task.measure)
        return OneTask(val, loaded, target, digest, {"classes": loaded.data.classes, **parts})


def _on_val(task: Task) -> Validation:
    """A task scored by its own validation examples."""
    assert task.val is not None
    val = task.val
    return Validation([task], [val.inputs], [val.labels.cpu()], task.target.selection)


def _teller(cell: Cell, emit: Emit) -> OnProgress:
    """Tells how far a stage is. A function and no method of the opening: strategies hold it,
    and may not find their way from it to the data."""

    def progress(stage: str, done: int, total: int) -> None:
        told = {"cell": cell, "stage": stage, "done": done, "total": total}
        emit("harness_cell_progress", told)

    return progress
