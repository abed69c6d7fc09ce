"""MAML: learn an initialisation that a few gradient steps adapt to a new task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from harness.api import (
    Backbone,
    FloatDistribution,
    GradientStrategy,
    IntDistribution,
    Recalibration,
    Recipe,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    constant,
    hookimpl,
)
from harness_plugins.meta._meta_gradient import Inner, Learner
from harness_plugins.meta._meta_training import MetaLearning


@dataclass(frozen=True)
class Maml(MetaLearning, GradientStrategy):
    """Meta-train on episodes of the source classes, then adapt by plain gradient steps.

    The head starts at zero. By symmetry that is the same as learning one vector for all classes
    (Ye & Chao 2022), and it lets one meta-training serve tasks of any number of classes. It also
    has the first inner step move the head alone: with one, the default, the body is learned and
    moves first when it adapts, and from two on it moves in meta-training too.
    Batch norm uses the statistics of the support set for the queries too, so that the answer to
    one query does not depend on the others ("MetaBN" in Bronskill et al. 2020; the paper's own
    experiments let it).

    A task may have more classes than an episode, and takes more steps, at a lower rate, than the
    inner ones of meta-training: on digits and MNIST, with 5 and 20 examples a class and three
    seeds, 50 steps at 0.1 are 49 to 63 points ahead of 5 at the inner rate
    (docs/explanation/defaults.md).

    ``ways``, ``shots``, ``queries`` shape the episodes of meta-training; ``tasks`` of them make a
    meta-step. ``first_order`` leaves out the second derivatives.
    """

    first_order: bool = False

    name: ClassVar[str] = "maml"
    family: ClassVar[str] = "meta-learning"
    citation: ClassVar[str] = "Finn et al. 2017, Model-Agnostic Meta-Learning"
    prepare_space: ClassVar[Space] = {
        "inner_lr": FloatDistribution(1e-2, 1.0, log=True),
        "inner_steps": IntDistribution(1, 5),
        "meta_lr": FloatDistribution(1e-4, 1e-2, log=True),
        "meta_steps": IntDistribution(1, 100_000, log=True),
    }
    space: ClassVar[Space] = {
        "adapt_lr": FloatDistribution(1e-2, 1.0, log=True),
        "adapt_steps": IntDistribution(1, 100, log=True),
    }
    defaults: ClassVar[Settings] = {
        "inner_lr": 0.4,
        "inner_steps": 1,
        "meta_lr": 1e-3,
        "meta_steps": 200,
        "adapt_lr": 0.1,
        "adapt_steps": 50,
    }

    def learner(self, hp: Settings) -> Learner:
        return Inner(hp["inner_lr"], hp["inner_steps"], self.ways, self.first_order)

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["adapt_lr"],
            optimizer=torch.optim.SGD,
            schedule=constant,
            steps=hp["adapt_steps"],
            regularisers=[Recalibration(task.train.inputs, run.batch_size)],
            batch_norm="train",  # as in meta-training, whatever the weights that it began with
        )


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Maml]
