"""How much each example of the source counts for the target, by a model's own features."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.data.examples import Inputs
from harness.data.task import Measure, Task
from harness.errors import Unsupported
from harness.metrics import density_ratio
from harness.model.classifier import Classifier
from harness.predictor import Predictor


def importance(measure: Measure, model: Predictor, task: Task) -> list[Tensor]:
    """What a measure takes besides outputs and targets: the weights of the task's validation
    examples, float64 ``[N]`` on the CPU, where it is weighted.

    Raises:
        Unsupported: the model tells no features.
    """
    if not measure.weighted:
        return []
    if not isinstance(model, Classifier):
        raise Unsupported(
            f"selection by {measure.loss} goes by features, and {type(model).__name__} gives "
            "logits alone: select by information, entropy or density"
        )
    assert task.val is not None
    assert task.unlabelled_val is not None

    def features(inputs: Inputs) -> Tensor:
        return model.features(inputs).double().cpu()

    order = task.val.labels.cpu().argsort(stable=True)  # so that either half has all classes
    ratios = density_ratio(
        features(task.val.inputs)[order].numpy(), features(task.unlabelled_val).numpy()
    )
    weights = torch.empty(len(order), dtype=torch.float64)
    weights[order] = torch.from_numpy(ratios)
    return [weights]
