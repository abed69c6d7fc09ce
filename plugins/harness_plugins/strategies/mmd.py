"""MMD: train on the source while its features are drawn to be distributed as the target's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import (
    Backbone,
    Batch,
    FloatDistribution,
    Regulariser,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    Unsupported,
    hookimpl,
)
from harness_plugins.strategies._alignment import Aligning, Discrepancy
from harness_plugins.strategies.source_only import SourceOnly

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the kernels, as multiples of the mean squared distance of two features."""


@dataclass(frozen=True)
class Mmd(Aligning):
    """Train all blocks on the source domain, with the features' distribution drawn to the target's.

    The squared maximum mean discrepancy of the features of a source batch and of a batch of
    unlabelled target inputs is added to the loss, ``mmd_weight`` times. Its kernel is the mean of
    five Gaussian ones around the features' own spread. The paper weighs its kernels, and aligns
    several layers behind the features; the weights that it tries are 0.1 to 2.
    """

    name: ClassVar[str] = "mmd"
    citation: ClassVar[str] = (
        "Long et al. 2015, Learning transferable features with deep adaptation networks"
    )
    space: ClassVar[Space] = {
        **SourceOnly.space,
        "mmd_weight": FloatDistribution(1e-1, 1e1, log=True),
    }
    defaults: ClassVar[Settings] = {**SourceOnly.defaults, "mmd_weight": 1.0}

    def penalty(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Regulariser:
        return MeanDiscrepancy(hp["mmd_weight"])


class MeanDiscrepancy(Discrepancy):
    """The discrepancy of the features of a batch and of its unlabelled inputs, ``weight`` times."""

    def between(self, source: Batch, target: Batch) -> Tensor:
        if min(len(source), len(target)) < 2:
            raise Unsupported(
                "mmd goes by how features of one domain differ, and here a batch has one example: "
                "raise batch_size, and give two or more of each domain"
            )
        return discrepancy(source.features, target.features)


def discrepancy(source: Tensor, target: Tensor) -> Tensor:
    """The unbiased estimate of the squared maximum mean discrepancy of features ``[n, d]`` and
    ``[m, d]``, a scalar (equation 3 of Gretton et al. 2012). No gradient goes through the kernels'
    widths."""
    n, m = len(source), len(target)
    both = torch.cat([source, target])
    both = both - both.mean(0).detach()  # distances stay the same, and are rounded less
    lengths = both.square().sum(1)
    squares = (lengths[:, None] + lengths - 2 * both @ both.T).clamp_min(0)
    others = 1 - torch.eye(n + m, dtype=both.dtype, device=both.device)
    spread = (squares.detach() * others).sum() / ((n + m) * (n + m - 1))
    spread = spread.clamp_min(torch.finfo(both.dtype).tiny)
    kernels = [torch.exp(-squares / (width * spread)) for width in WIDTHS]
    kernel = torch.stack(kernels).mean(0) * others
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return within - 2 * kernel[:n, n:].mean()


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Mmd]
