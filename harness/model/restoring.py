"""A classifier back from disk, on the backbone that it was adapted from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from harness.data.examples import Examples, Inputs
from harness.data.resident import ResidentPool
from harness.data.task import Target, Task
from harness.errors import HarnessError
from harness.model.backbone import Backbone
from harness.model.classifier import ENTRY, Classifier, trainable_copy
from harness.model.recipe import Recipe
from harness.model.run import Run

EARLIER = {"features.centre": "head.centre", "features.scale": "head.scale"}
"""Names that earlier versions gave to what standardises the features."""


def stand_in(backbone: Backbone, target: Target) -> Task:
    """A task with a few examples that say nothing of what is predicted: for what has the form of an
    adapted model, and not yet its weights."""
    targets = target.any_targets().to(backbone.device)
    rows = torch.arange(len(targets)) % 2
    return Task(Examples(Inputs(ResidentPool(backbone.example), rows), targets), target)


@torch.no_grad()
def restore(file: Path, recipe: Recipe, task: Task, run: Run) -> Classifier:
    """The classifier that was saved to ``file``: on a device of the same kind and in the same
    precision its logits are the same, bit for bit.

    Args:
        recipe: of the same form: its backbone and its head, whose weights are replaced. What is
            not in the file is taken from the backbone that the recipe's was derived from.
        task: of the same target.

    Raises:
        HarnessError: the file cannot be read, or is of a classifier of another form.
    """
    saved, entry = _read(file, run.device)
    form = recipe.backbone
    given = dict(chain(form.start.named_parameters(), form.start.named_buffers()))
    shared = {id(tensor) for tensor in form.start.parameters()}
    own = {name for name, p in form.body_parameters() if name in saved or id(p) not in shared}
    backbone = trainable_copy(form, own).eval()
    model = Classifier(replace(recipe, backbone=backbone, trainable=()), task, run)
    model.entry = entry
    parameters = {name: p for name, p in backbone.body_parameters() if name in own}
    tensors = parameters | dict(backbone.named_buffers())
    head = chain(
        model.head.named_parameters(prefix="head"), model.head.named_buffers(prefix="head")
    )
    for name, tensor in chain(tensors.items(), head):
        value = saved.pop(name, given.get(name))
        if value is None or (value.dtype, value.shape) != (tensor.dtype, tensor.shape):
            raise _other_form(file, f"it lacks {name} {list(tensor.shape)}")
        tensor.copy_(value)
    if saved:
        raise _other_form(file, f"the model has no {min(saved)}")
    return model


def _read(file: Path, device: torch.device) -> tuple[dict[str, Tensor], int]:
    from safetensors import safe_open

    try:
        with safe_open(file, framework="pt", device=str(device)) as opened:
            notes: Mapping[str, str] = opened.metadata() or {}
            names = opened.keys()
            saved = {EARLIER.get(name, name): opened.get_tensor(name) for name in names}
    except Exception as error:
        raise HarnessError(
            f"cannot read a predictor from {file}: {error}", "Give a file that a predictor wrote"
        ) from error
    if ENTRY not in notes:
        raise HarnessError(
            f"{file} is no predictor, or was written by an earlier version, which left out batch "
            "norm's statistics",
            "Run its cell anew",
        )
    return saved, int(notes[ENTRY])


def _other_form(file: Path, why: str) -> HarnessError:
    return HarnessError(
        f"{file} does not fit the model: {why}",
        "Give the backbone, the strategy and the settings that it was saved with",
    )
