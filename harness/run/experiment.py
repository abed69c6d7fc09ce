"""What happens in a cell: split, tune on validation, test once."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.contract import Strategy
from harness.data.episodes import (
    Episode,
    draw_episodes,
    episode_task,
    episodes_digest,
    query_labels,
)
from harness.data.examples import Inputs, Pool
from harness.data.leakage import episode_leakage
from harness.data.loaded import Loaded
from harness.data.protocols import (
    adaptation_task,
    class_split,
    source_split,
    transfer_task,
)
from harness.data.splits import Manifest
from harness.data.task import Measure, Task
from harness.executor import Emit
from harness.hashing import seed_of
from harness.metrics import mean_scores
from harness.model.augment import Augment
from harness.model.backbone import Backbone
from harness.model.precision import products, suited
from harness.model.run import SecondModel
from harness.plan import configure, keys
from harness.plan.cell import Cell
from harness.plan.notes import notes
from harness.plan.targets import cell_manifest, shown_before, target_leaks
from harness.predictor import Predictor
from harness.record.journal import Journal
from harness.record.store import Store
from harness.run import costs, stopping
from harness.run.checkpoint import Checkpoint
from harness.run.context import CellRun, OnProgress
from harness.run.facts import CellFacts, Tested
from harness.run.meters import Clock, Meters
from harness.run.misclassified import misclassified
from harness.run.outcomes import Selected
from harness.run.resources import Resources
from harness.run.tested import SealedTest
from harness.run.trials import AT_ONCE, Trials
from harness.run.validation import Validation
from harness.suite.schema import AdaptationProblem, EpisodesProblem, TransferProblem


@dataclass
class Experiment:
    """The steps of one cell. What becomes known of it is in ``facts``, of which
    :func:`harness.run.cell.run_cell` makes the record."""

    cell: Cell
    resources: Resources
    store: Store
    meters: Meters
    emit: Emit

    def __post_init__(self) -> None:
        cell = self.cell
        self.journal = Journal(self.store.directory, cell.cell)
        self.done = self.journal.read(cell.budget.threads)
        self.meters.add(self.done)
        self.clock = Clock(self.resources.device)
        self.clock.seconds.update(self.done.seconds)
        self.progress = _teller(cell, self.emit)
        self.configured = configure.strategy(
            self.resources.registry, cell.strategy_spec, cell.batch_norm
        )
        self.facts = CellFacts()
        self.tested: Tested | None = None
        for module in self.strategy.requires:  # now, so that the import is not billed to a trial
            importlib.import_module(module)

    @property
    def plugin_file(self) -> Path:
        return self.resources.registry.get("strategy", self.cell.strategy).file

    @property
    def strategy(self) -> Strategy:
        return self.configured.strategy

    # ── the flow ──────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
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
        loaded = resources.datasets.load(cell.dataset, cell.problem_spec.args)
        facts.notes = notes(resources.datasets, cell)
        self.run_context = self._run_on(weights.backbone, models)
        facts.precision = self.run_context.precision
        self.trials = Trials(
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
        with products(self.run_context.precision):
            match cell.problem_spec:
                case TransferProblem():
                    self._transfer(loaded, weights.backbone)
                case EpisodesProblem() as problem:
                    self._episodes(problem, loaded, weights.backbone)
                case AdaptationProblem() as problem:
                    self._adaptation(problem, loaded, weights.backbone)

    def _run_on(self, backbone: Backbone, models: Mapping[str, SecondModel]) -> CellRun:
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

    def _pool(self, loaded: Loaded, backbone: Backbone, part: str) -> Pool:
        """The inputs of a part of the data, which second models are given too."""
        pool = self.resources.pool_of(self.cell, loaded, backbone, part)
        self.facts.inputs.add(pool.held)
        run = self.run_context
        for label, spec in self.cell.further_specs.items():
            other = self.cell.model_copy(update={"backbone_spec": spec})
            second = run.backbone(label).backbone
            run.lend(label, pool, self.resources.pool_of(other, loaded, second, part))
        return pool

    def _transfer(self, loaded: Loaded, backbone: Backbone) -> None:
        cell, data = self.cell, loaded.data
        manifest = cell_manifest(self.resources.datasets, cell)
        self._keep_split(
            manifest.digest(loaded.digest), {"classes": data.classes, **manifest.to_json()}
        )
        self.facts.leaks = target_leaks(self.resources.datasets, cell, manifest)
        task = transfer_task(
            data, self._pool(loaded, backbone, "train"), manifest, self.resources.device
        )
        if data.unlabelled is not None:
            pool = self._pool(loaded, backbone, "unlabelled")
            task = replace(task, unlabelled=Inputs(pool, torch.arange(len(pool))))
        self._tune_and_test(backbone, _on_val(task), loaded, manifest)

    def _adaptation(self, problem: AdaptationProblem, loaded: Loaded, backbone: Backbone) -> None:
        cell, device = self.cell, self.resources.device
        source = self.resources.datasets.load(problem.source.dataset, problem.source.args)
        labelled = source_split(
            source.data, shots=cell.shots, seed=cell.seed, val_fraction=problem.val_fraction
        )
        target = cell_manifest(self.resources.datasets, cell)
        digest = keys.key(
            {"source": labelled.digest(source.digest), "target": target.digest(loaded.digest)}
        )
        parts = {"source": labelled.to_json(), "target": target.to_json()}
        self._keep_split(digest, {"classes": loaded.data.classes, **parts})
        self.facts.leaks = target_leaks(self.resources.datasets, cell, target)
        pool = self._pool(loaded, backbone, "train")
        known = transfer_task(loaded.data, pool, target, device)
        task = adaptation_task(
            source.data,
            self._pool(source, backbone, "train"),
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
            val = replace(_on_val(known), tasks=[task], measure=task.measure)
        self._tune_and_test(backbone, val, loaded, target)

    def _tune_and_test(
        self, backbone: Backbone, val: Validation, loaded: Loaded, manifest: Manifest
    ) -> None:
        """Select a predictor for one task, and score it once on the test part of ``loaded``, and
        once on each further test."""
        selected, (task,) = self.trials.select(backbone, val), val.tasks
        assert selected.predictor is not None
        test = SealedTest(
            self.cell,
            task,
            selected.predictor,
            self.trials,
            self.clock,
            self.store,
            pool=lambda data, part: self._pool(data, backbone, part),
        )
        found = test.own(loaded, manifest)
        self.facts.metrics |= found.metrics
        test.keep(loaded, found.arrays, loaded.data.classes)
        self._finish(selected, selected.predictor, val.measure)
        curve = self.done.trials[selected.number].curve
        steps = curve[-1][0] if curve else self.run_context.steps
        self.tested = Tested(selected, task, selected.predictor, found.inputs, steps)
        self.facts.further = test.further(self.resources.datasets, loaded, manifest)

    def _episodes(self, problem: EpisodesProblem, loaded: Loaded, backbone: Backbone) -> None:
        cell, data = self.cell, loaded.data
        classes = class_split(data)
        assert isinstance(cell.shots, int)
        shots = cell.shots

        def drawn(purpose: str, labels: tuple[int, ...], count: int) -> list[Episode]:
            return draw_episodes(
                data.train.labels,
                labels,
                ways=problem.ways,
                shots=shots,
                queries=problem.queries,
                episodes=count,
                seed=seed_of(cell.seed, purpose),
                names=data.classes,
            )

        val = drawn("val episodes", classes.val, problem.val_episodes)
        test = drawn("test episodes", classes.novel, problem.episodes)
        manifest = {
            "classes": {
                part: [data.classes[c] for c in getattr(classes, part)]
                for part in ("base", "val", "novel")
            },
            "val": [{"support": e.support, "query": e.query} for e in val],
            "test": [{"support": e.support, "query": e.query} for e in test],
        }
        drawn_ids = {"data": loaded.digest, "episodes": episodes_digest([*val, *test])}
        self._keep_split(keys.key(drawn_ids), manifest)
        self.facts.leaks = episode_leakage(
            loaded, test, shown_before(self.resources.datasets, cell)
        )
        pool = self._pool(loaded, backbone, "train")

        def queries(episode: Episode) -> Inputs:
            return data.train.placed(pool, torch.tensor(episode.query))

        def tasks_of(episodes: Sequence[Episode]) -> list[Task]:
            device, names = self.resources.device, data.classes
            return [episode_task(e, data.train, pool, device, names) for e in episodes]

        tasks, inputs = tasks_of(val), [queries(e) for e in val]
        answers, measure = [query_labels(e) for e in val], tasks[0].target.selection
        selected = self.trials.select(backbone, Validation(tasks, inputs, answers, measure))
        results, all_logits = [], []
        fitting = self.clock.read("fit")
        predictor: Predictor | None = None
        with self.clock.phase("test"):
            for start in range(0, len(test), AT_ONCE):
                if stopping.asked():
                    raise KeyboardInterrupt
                self.progress("test", start, len(test))
                chunk = test[start : start + AT_ONCE]
                tasks = tasks_of(chunk)
                adapted = self.trials.adapt(selected.backbone, tasks, selected.settings)
                for task, episode, predictor in zip(tasks, chunk, adapted, strict=True):
                    logits = self.trials.logits(predictor, queries(episode), task)
                    results.append(task.target.scores(logits, query_labels(episode)))
                    all_logits.append(logits.numpy())
        selected.fit_seconds = self.clock.read("fit") - fitting
        self.clock.seconds["test"] += selected.fit_seconds
        self.clock.seconds["fit"] -= selected.fit_seconds
        self.facts.metrics |= mean_scores(results, measure.value)
        arrays = {
            "logits": np.stack(all_logits),
            "labels": np.stack([query_labels(e).numpy() for e in test]),
            "ids": np.array([e.query for e in test]),
        }
        columns = np.array([e.classes for e in test])
        self.store.write_predictions(cell.cell, arrays)
        errors = misclassified(data.train, arrays, columns, data.classes, cell.keep_examples)
        self.store.write_misclassified(cell.cell, errors)
        assert predictor is not None
        self._finish(selected, predictor, measure)
        self.tested = Tested(selected, tasks[-1], predictor, queries(test[-1]), None)

    def _finish(self, selected: Selected, predictor: Predictor, measure: Measure) -> None:
        if self.run_context.features_reused:
            self.facts.reused.add("features")
        self.facts.selected = selected.number
        self.facts.metrics[f"{measure.value}_val"] = selected.score[0]
        self.facts.metrics[f"{measure.loss}_val"] = -selected.score[1]
        self.facts.trainable_params = sum(t.numel() for t in predictor.trained.values())
        self.clock.seconds["selected fit"] = selected.fit_seconds
        if self.cell.save_predictors:
            predictor.save(self.store.path_for(f"predictors/{self.cell.cell}.safetensors"))

    def _keep_split(self, digest: str, manifest: Mapping[str, Any]) -> None:
        self.facts.split_hash = digest
        self.store.write_split(digest, {"dataset": self.cell.dataset, **manifest})

    # ── cost ──────────────────────────────────────────────────────────────────────────────────

    def account(self) -> None:
        """Count FLOPs and measure throughput, on the side: none of it is billed."""
        assert self.tested is not None
        selected, run = self.tested.selected, self.run_context
        own = self.trials.own(selected.settings)
        fit = costs.adapting(
            self.strategy, selected.backbone, self.tested.task, own, run, self.tested.steps
        )
        predict, speeds = costs.predicting(self.tested.predictor, self.tested.inputs, run)
        self.facts.flops = {"fit": fit, "predict": predict}
        self.facts.throughput = speeds

    def reused(self) -> list[str]:
        """The phases whose work an earlier cell did."""
        found = self.facts.reused.union(self.done.cached)
        return [phase for phase in ("pretrain", "prepare", "features") if phase in found]

    def seconds(self) -> dict[str, float]:
        """The record's phases; see :class:`Record`."""
        measured = self.clock.seconds
        phases = {
            "pretrain": measured["pretrain"],
            "prepare": sum(self.done.prepare_seconds.values()),
            "features": measured["features"],
            "tune": measured["fit"] + measured["score"],
            "fit": measured["selected fit"],
            "test": measured["test"],
        }
        total = sum(phases[name] for name in ("prepare", "features", "tune", "test"))
        return {**phases, "total": total}


def _on_val(task: Task) -> Validation:
    """A task scored by its own validation examples."""
    assert task.val is not None
    val = task.val
    return Validation([task], [val.inputs], [val.labels.cpu()], task.target.selection)


def _teller(cell: Cell, emit: Emit) -> OnProgress:
    """Tells how far a stage is. A function and no method of the experiment: strategies hold it,
    and may not find their way from it to the data."""

    def progress(stage: str, done: int, total: int) -> None:
        told = {"cell": cell, "stage": stage, "done": done, "total": total}
        emit("harness_cell_progress", told)

    return progress
