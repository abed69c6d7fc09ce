"""A backbone whose batch norms go by the examples of a task."""

from __future__ import annotations

from harness.api import Backbone, Classifier, Recipe, Run, Task, recalibrated


def by_support(backbone: Backbone, task: Task, run: Run) -> Classifier:
    """The backbone, its batch norms with the statistics of the training inputs, and a linear head
    of zeros. Nothing trains."""
    own = recalibrated(backbone, task.train.inputs, run.batch_size)
    model = Classifier(Recipe(own, (), lr=0.0), task, run)
    if own is not backbone:
        model.entry = 0  # no other task has these statistics, so that storing features is no use
    return model
