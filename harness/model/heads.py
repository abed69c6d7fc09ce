"""A linear head that centres and scales the features of a frozen backbone."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.task import Task
from harness.model.backbone import Backbone
from harness.model.classifier import EVALUATION_BATCH, Classifier
from harness.model.recipe import Recipe
from harness.model.run import Run


class StandardisedLinear(nn.Linear):
    """A linear head, at first of zeros, of features that have been centred and scaled: of ``[b,
    features]`` it gives logits ``[b, classes]``.

    Its buffers are ``centre`` ``[features]`` and ``scale``, a scalar.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes)
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("scale", torch.ones(()))

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def standardise(self, features: Tensor) -> Tensor:
        """The features as the linear map sees them."""
        return (features - self.centre) / self.scale

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(self.standardise(features), self.weight, self.bias)

    @torch.no_grad()
    def plain(self) -> nn.Linear:
        """A linear head that takes the features as they are: its logits are the same but for
        rounding."""
        head: nn.Linear = nn.utils.skip_init(nn.Linear, self.in_features, self.out_features)
        head.weight, head.bias = copy.deepcopy(self.weight), copy.deepcopy(self.bias)
        head.weight.div_(self.scale)
        head.bias.sub_(head.weight @ self.centre)
        return head


@torch.no_grad()
def standardised_head(backbone: Backbone, task: Task, run: Run) -> StandardisedLinear:
    """A head of zeros that subtracts the features' mean and divides by the root of their mean
    square, over the training inputs: one rate then suits every frozen backbone. A single scale for
    all features, because few shots say too little about each.

    The features are taken from the run's store, where training a head on them finds them again.
    """
    inputs = task.train.inputs
    features = Classifier(Recipe(backbone, (), lr=0.0), task, run).features(inputs)
    parts = features.split(EVALUATION_BATCH)
    head = StandardisedLinear(features.shape[1], task.target.outputs).to(run.device)
    head.centre = torch.stack([part.sum(0) for part in parts]).sum(0) / len(inputs)
    squares = torch.stack([(part - head.centre).square().sum() for part in parts]).sum()
    head.scale = (squares / features.numel()).sqrt().clamp_min(1e-12)
    return head
