"""mixup: learn from mixtures of two examples, and as much of both labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.api import (
    Batch,
    FloatDistribution,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    hookimpl,
    sent,
)


class Mixing(Regulariser):
    """Each example and another of its batch, in shares of λ and 1 - λ, where a batch's λ is drawn
    from Beta(α, α); the targets likewise."""

    def __init__(self, alpha: float, classes: int) -> None:
        super().__init__()
        self.alpha, self.classes = alpha, classes

    def batch(self, batch: Batch) -> Batch:
        seed = int(torch.randint(2**63 - 1, (), generator=batch.generator))
        share = np.random.default_rng(seed).beta(self.alpha, self.alpha)
        order = torch.randperm(len(batch), generator=batch.generator)
        others = sent(order, batch.inputs.device)

        def mixed(values: Tensor) -> Tensor:
            return share * values + (1 - share) * values[others]

        targets = mixed(probabilities(batch.targets, self.classes))
        return batch.mixed(others, share, mixed(batch.inputs.float()), targets)


def probabilities(targets: Tensor | None, classes: int) -> Tensor:
    """Float ``[b, classes]``, of int64 classes ``[b]`` or of what are probabilities already."""
    assert targets is not None
    return targets if targets.is_floating_point() else F.one_hot(targets, classes).float()


@dataclass(frozen=True)
class Mixup(Trick):
    """Train on mixtures of pairs of images; ``alpha`` near 0 leaves most of them as they are.

    The paper's range on ImageNet is 0.1 to 0.4. One λ is drawn for each batch, as its own code
    does.
    """

    name: ClassVar[str] = "mixup"
    family: ClassVar[str] = "inputs"
    citation: ClassVar[str] = "Zhang et al. 2018, mixup: Beyond empirical risk minimization"
    modalities: ClassVar[frozenset[str]] = frozenset({"image"})
    space: ClassVar[Space] = {"alpha": FloatDistribution(0.1, 1.0, log=True)}
    defaults: ClassVar[Settings] = {"alpha": 0.2}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        mixing = Mixing(hp["alpha"], task.classes)
        return replace(recipe, regularisers=[*recipe.regularisers, mixing])


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Mixup]
