"""Supervised training. Strategies declare what trains; it sees for itself what is frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor

from harness.data.task import Task
from harness.errors import Diverged
from harness.model.classifier import Classifier
from harness.model.descend import descend
from harness.model.groups import parameter_groups
from harness.model.importance import importance
from harness.model.objective import Objective
from harness.model.recipe import Recipe
from harness.model.run import Run


def fit(recipe: Recipe, task: Task, run: Run) -> Classifier:
    """Train by mini-batch descent and return the state that validated best.

    Validation is scored ``run.evaluations`` times, evenly spaced, the last time after the last
    step; training ends before, where ``run.patience`` of them were no better. Without validation
    examples, as in an episode, or where a regulariser looks at inputs of another domain and none of
    those validate, the last state is returned.

    Raises:
        Diverged: the loss, or a validation prediction, is not finite.
        Unsupported: batch norm trains, and a batch has one example; or a regulariser looks at
            unlabelled inputs, and there are none.
        ValueError: the recipe has no rate for a parameter that trains, or has one for a name that
            the model does not have.
    """
    model = Classifier(recipe, task, run)
    objective = Objective(model, recipe, task, run)
    steps = run.steps if recipe.steps is None else min(recipe.steps, run.steps)
    optimizer = recipe.optimizer(parameter_groups(model, recipe, objective.regularisers))
    score_at = evaluation_steps(steps, run.evaluations)
    best = Best()
    parts = {"model": model, "best": best, **objective.parts()}
    batches = partial(objective.batches, steps)
    for step in descend(
        batches, objective.gradient, optimizer, recipe.schedule, steps, run, **parts
    ):
        for regulariser in objective.regularisers:
            regulariser.stepped(model)
        if step in score_at and (task.val is not None or step == steps):
            with run.scoring(), objective.scoring():
                score = validate(model, task)
                if score is not None and objective.selects:
                    best.offer(score, model)
                elif step == steps:
                    best.keep(model)
                if score is not None:
                    run.report(step, score[0])
        if run.patience is not None and best.misses >= run.patience:
            break
    if best.state:
        model.load_state_dict(best.state)
    return model


def evaluation_steps(steps: int, evaluations: int) -> set[int]:
    """After which of ``steps`` validation is scored."""
    return {math.ceil(steps * part / evaluations) for part in range(1, evaluations + 1)}


@dataclass
class Best:
    """The state to keep: the one that validated best so far, its score, and how many have missed it
    since; or, without a score, the last."""

    score: tuple[float, float] | None = None
    state: dict[str, Tensor] = field(default_factory=dict)
    misses: int = 0

    def offer(self, score: tuple[float, float], model: Classifier) -> None:
        self.misses += 1
        if self.score is None or score > self.score:
            self.score, self.misses = score, 0
            self.keep(model)

    def keep(self, model: Classifier) -> None:
        self.state = {name: t.clone() for name, t in model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score, "state": self.state, "misses": self.misses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.score, self.state, self.misses = state["score"], state["state"], state["misses"]


def validate(model: Classifier, task: Task) -> tuple[float, float] | None:
    """What a state is worth: more is better, first of the first. ``None`` without validation.

    A value and a negated loss, by the target's measure: of classes accuracy (0–1) and log loss
    (nats); where the suite selects without labels, what it selects by, on inputs of the target
    domain.
    """
    if task.val is None:
        return None
    unlabelled = None if task.measure.weighted else task.unlabelled_val
    logits = model.logits(task.val.inputs if unlabelled is None else unlabelled)
    if not logits.isfinite().all():
        raise Diverged("the model's predictions are not finite")
    weights = importance(task.measure, model, task)
    value, loss = task.measure.of(logits, task.val.labels, *weights)
    return value, -loss
