"""How a model is known again where its data are not at hand: by what it answers to two examples."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.data.examples import Inputs
from harness.data.resident import ResidentPool
from harness.data.task import Task
from harness.model.backbone import Backbone
from harness.predictor import Predictor
from harness.run.context import CellRun
from harness.run.trials import Trials


def on_examples(
    trials: Trials, run: CellRun, backbone: Backbone, task: Task, predictor: Predictor
) -> Tensor:
    """What a predictor for a task answers to the two examples of the backbone that it was adapted
    from, float32 ``[2, outputs]`` on the CPU: computed from the inputs, and never from stored
    activations, as other ways to compute the same round otherwise."""
    pool = ResidentPool(backbone.example)
    with run.computing():
        return trials.logits(predictor, Inputs(pool, torch.arange(len(pool))), task)
