"""What happens in a cell: split, tune on validation, test once."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from harness.data.episodes import (
    Episode,
    draw_episodes,
    episode_task,
    episodes_digest,
    query_labels,
)
from harness.data.examples import Inputs
from harness.data.leakage import episode_leakage
from harness.data.loaded import Loaded
from harness.data.protocols import class_split
from harness.data.task import Measure, Task
from harness.errors import one_line
from harness.executor import Emit
from harness.hashing import seed_of
from harness.metrics import mean_scores
from harness.model.backbone import Backbone
from harness.model.precision import products
from harness.plan import keys
from harness.plan.cell import Cell
from harness.plan.notes import notes
from harness.plan.targets import shown_before, target_groups, target_leaks
from harness.predictor import Predictor
from harness.record.files import CannotWrite
from harness.record.journal import Journal
from harness.record.store import Store
from harness.record.trial_files import TrialFiles
from harness.run import costs, stopping
from harness.run.facts import Tested
from harness.run.meters import Meters
from harness.run.misclassified import Arrays, misclassified
from harness.run.opening import OneTask, Opening
from harness.run.outcomes import Selected
from harness.run.recognising import on_examples
from harness.run.resources import Resources
from harness.run.tested import SealedTest
from harness.run.trials import AT_ONCE
from harness.run.validation import Validation
from harness.suite.problems import EpisodesProblem


class Experiment(Opening):
    """The steps of one cell. What becomes known of it is in ``facts``, of which
    :func:`harness.run.cell.run_cell` makes the record."""

    def __init__(
        self,
        cell: Cell,
        resources: Resources,
        store: Store,
        meters: Meters,
        emit: Emit,
        files: TrialFiles | None = None,
    ) -> None:
        journal = Journal(store.directory, cell.cell)
        super().__init__(cell, resources, journal, meters, emit, files)
        self.store = store
        self.tested: Tested | None = None

    # ── the flow ──────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        backbone, loaded = self.open()
        self.facts.notes = notes(self.resources.datasets, self.cell)
        with products(self.run_context.precision):
            match self.cell.problem_spec:
                case EpisodesProblem() as problem:
                    self._episodes(problem, loaded, backbone)
                case problem:
                    self._tune_and_test(backbone, self.one_task(problem, loaded, backbone))

    def _tune_and_test(self, backbone: Backbone, one: OneTask) -> None:
        """Select a predictor for one task, and score it once on the test part of its data, and
        once on each further test."""
        val, loaded, (task,) = one.val, one.loaded, one.val.tasks
        self._keep_split(one.digest, one.published)
        self.facts.leaks = target_leaks(self.resources.datasets, self.cell, one.manifest)
        selected = self.trials.select(backbone, val)
        assert selected.predictor is not None
        test = SealedTest(
            self.cell,
            task,
            selected.predictor,
            self.trials,
            self.clock,
            self.store,
            pool=lambda data, part: self.pool(data, backbone, part),
        )
        found = test.own(loaded, one.manifest)
        self.facts.metrics |= found.metrics
        arrays = {
            **found.arrays,
            **self._validated(val, selected.predictor),
            **self._on_examples(backbone, task, selected.predictor),
        }
        test.keep(loaded, arrays, loaded.data.classes)
        self._finish(selected, selected.predictor, val.measure)
        curve = self.done.trials[selected.number].curve
        steps = curve[-1][0] if curve else self.run_context.steps
        if self.cell.keep_predictor:
            self._keep_predictor(selected.predictor)
        self.tested = Tested(selected, task, selected.predictor, found.inputs, steps)
        self.facts.further = test.further(self.resources.datasets, loaded, one.manifest)

    def _validated(self, val: Validation, predictor: Predictor) -> Arrays:
        """What the predictor answers to its validation examples, for whoever calibrates it later,
        or has to know it again; their labels only where they are of the domain that is tested."""
        with self.clock.aside():
            logits = self.trials.logits(predictor, val.inputs[0], val.tasks[0])
        found = {"val_logits": logits.numpy()}
        return found if val.tasks[0].shifted else found | {"val_labels": val.labels[0].numpy()}

    def _on_examples(self, backbone: Backbone, task: Task, predictor: Predictor) -> Arrays:
        try:
            with self.clock.aside():
                logits = on_examples(self.trials, self.run_context, backbone, task, predictor)
        except Exception as error:  # they are noise, which a model need not stand
            told = "its model will be known again by its data, not by made-up examples"
            print(f"harness: {told}: {one_line(error)}", file=sys.stderr)
            return {}
        return {"example_logits": logits.numpy()}

    def _episodes(self, problem: EpisodesProblem, loaded: Loaded, backbone: Backbone) -> None:
        cell, data = self.cell, loaded.data
        classes = class_split(data)
        assert isinstance(cell.shots, int)
        shots = cell.shots

        groups = target_groups(self.resources.datasets, problem)

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
                groups=None if groups is None else groups.train,
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
        pool = self.pool(loaded, backbone, "train")

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

    def _keep_predictor(self, predictor: Predictor) -> None:
        try:
            predictor.save(self.store.path_for(f"predictors/{self.cell.cell}.safetensors"))
        except CannotWrite:
            raise
        except Exception as error:  # a result does not depend on whether it could be kept
            print(f"harness: its model was not kept: {one_line(error)}", file=sys.stderr)

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
