"""L2-SP: decay towards the weights that training starts from, instead of towards zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import (
    Backbone,
    Batch,
    FloatDistribution,
    HarnessError,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    hookimpl,
)


class StartingPoint(Regulariser):
    """``alpha / 2`` times the squared distance of all that trains of a backbone from what it was in
    ``start`` (equation 3, without the head's part)."""

    def __init__(self, start: Backbone, alpha: float) -> None:
        super().__init__()
        own, first = dict(start.body_parameters()), dict(start.start.body_parameters())
        # Where earlier stages have trained, back to what these began with; what was put into the
        # model since, such as adapters, has its own beginning.
        self.start = {name: first.get(name, p).detach() for name, p in own.items()}
        self.alpha = alpha

    def penalty(self, batch: Batch) -> Tensor:
        body = batch.model.backbone.body_parameters()
        apart = [(p - self.start[name]).square().sum() for name, p in body if p.requires_grad]
        return self.alpha / 2 * torch.stack(apart).sum()


@dataclass(frozen=True)
class L2Sp(Trick):
    """Pull what trains of the backbone back to its starting point, and the new head to zero.

    The first has the strength ``alpha``, the second is a weight decay of ``beta``.

    Both stand in for the strategy's own weight decay, which then has no effect. Biases and norms of
    the backbone are pulled too, and those of the head are free. The paper has a ``beta`` of 0.01,
    and finds ``alpha`` by validation.
    """

    name: ClassVar[str] = "l2_sp"
    family: ClassVar[str] = "regularisation"
    citation: ClassVar[str] = (
        "Li et al. 2018, Explicit inductive bias for transfer learning with convolutional "
        "networks, ICML"
    )
    space: ClassVar[Space] = {
        "alpha": FloatDistribution(1e-3, 1.0, log=True),
        "beta": FloatDistribution(1e-3, 1e-1, log=True),
    }
    defaults: ClassVar[Settings] = {"alpha": 1e-1, "beta": 1e-2}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Pull the weights.

        Raises:
            HarnessError: nothing but the head trains.
        """
        if not recipe.trainable:
            raise HarnessError(
                "l2_sp pulls the backbone's weights back to where they start, and here none of "
                "them trains",
                "Leave the trick out for this strategy",
            )
        pull = StartingPoint(recipe.backbone, hp["alpha"])
        return replace(
            recipe,
            weight_decay={"head": hp["beta"], "": 0.0},
            regularisers=[*recipe.regularisers, pull],
        )


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [L2Sp]
