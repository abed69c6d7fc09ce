"""Ridge probe: linear regression on one-hot labels, in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.api import FloatDistribution, Settings, Space, Strategy, Unsupported, hookimpl
from harness_plugins.strategies._probe import SolvedProbe, spanned


@dataclass(frozen=True)
class RidgeProbe(SolvedProbe):
    """Linear regression of one-hot labels on frozen features, which are centred and scaled.

    The loss is half of the mean squared error, summed over classes, and ``l2 / 2`` times the
    squared weights; the bias is free: scikit-learn's ``Ridge`` with ``alpha = n * l2``. Nothing is
    drawn and no step is taken: one eigendecomposition, in float64, solves for all settings of a
    task, of a matrix of as many rows as there are features or, if those are fewer, examples.

    On 1,280 features that EfficientNet-Lite0 has of CIFAR-10 and MNIST, with 5, 20 and 100 examples
    a class, the best of seven values was between 0.1 and 30; 3, the default, was at most 3.5 points
    of held-out accuracy behind it.

    Its logits are estimates of probabilities, not of their logarithms: the softmax of them is far
    less sure than it should be, and log loss says little about them.
    """

    name: ClassVar[str] = "ridge_probe"
    family: ClassVar[str] = "probes"
    citation: ClassVar[str] = "Hoerl & Kennard 1970, Ridge regression: Biased estimation"
    space: ClassVar[Space] = {"l2": FloatDistribution(1e-3, 100.0, log=True)}
    defaults: ClassVar[Settings] = {"l2": 3.0}

    def solve(
        self, features: Tensor, labels: Tensor, classes: int, settings: Sequence[Settings]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        if any(hp["l2"] <= 0 for hp in settings):
            raise Unsupported("l2 must be positive: without it, few examples have many solutions")
        examples = len(features)
        coordinates, span = spanned(features)
        answers = F.one_hot(labels, classes).to(features.dtype)
        squares, axes = torch.linalg.eigh(coordinates.T @ coordinates / examples)
        along = axes.T @ (coordinates.T @ answers) / examples
        for hp in settings:
            weight = axes @ (along / (squares.clamp_min(0) + hp["l2"])[:, None])
            yield (span @ weight).T, answers.mean(0)


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [RidgeProbe]
