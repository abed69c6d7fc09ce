"""TCA: a classifier on directions of frozen features in which source and target are alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import (
    Backbone,
    Classifier,
    Diverged,
    FloatDistribution,
    IntDistribution,
    Predictor,
    Run,
    Settings,
    Space,
    Strategy,
    Target,
    Task,
    Unsupported,
    hookimpl,
    restore,
    stand_in,
)
from harness_plugins.strategies._logistic_regression import solve
from harness_plugins.strategies._probe import probe_recipe


@dataclass(frozen=True)
class Tca(Strategy):
    """Transfer component analysis of frozen features, then logistic regression on the source.

    Of the features of both domains, centred and scaled by the source's, it keeps the
    ``components`` directions along which examples vary most for how far apart the domains' means
    are. ``mu`` holds back directions of which there is little: as in the paper it is beside the
    squares of kernel values, and the more of them there are the less it weighs. The kernel is the
    linear one, so that all comes to a linear head. On its components, which all have unit
    variance, the classifier is ``logistic_probe``'s, with its ``l2``. Nothing is drawn, and no step
    is taken.
    """

    name: ClassVar[str] = "tca"
    family: ClassVar[str] = "domain adaptation"
    citation: ClassVar[str] = "Pan et al. 2011, Domain adaptation via transfer component analysis"
    protocols: ClassVar[frozenset[str]] = frozenset({"adaptation"})
    space: ClassVar[Space] = {
        "components": IntDistribution(2, 128, log=True),
        "mu": FloatDistribution(1e-2, 1e4, log=True),
        "l2": FloatDistribution(1e-5, 1.0, log=True),
    }
    defaults: ClassVar[Settings] = {"components": 32, "mu": 1.0, "l2": 1e-2}

    @torch.no_grad()
    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        if task.unlabelled is None:
            raise Unsupported("tca needs unlabelled inputs of a target domain")
        model = Classifier(probe_recipe(backbone, task, run), task, run)
        source, target = (
            model.head.standardise(model.features(inputs)).double()
            for inputs in (task.train.inputs, task.unlabelled)
        )
        if not (source.isfinite().all() and target.isfinite().all()):
            raise Diverged("the features are not finite")
        directions = transfer_components(source, target, hp["components"], hp["mu"])
        embedded = source @ directions
        centre, scale = embedded.mean(0), embedded.std(0, correction=0).clamp_min(1e-12)
        weight, bias = solve(
            ((embedded - centre) / scale)[None], task.train.labels[None], task.classes, [hp["l2"]]
        )
        plain = weight[0, 0] / scale
        model.head.weight.copy_(plain @ directions.T)
        model.head.bias.copy_(bias[0, 0] - plain @ centre)
        return model

    def restore(
        self, file: Path, backbone: Backbone, target: Target, hp: Settings, run: Run
    ) -> Predictor:
        task = stand_in(backbone, target)
        return restore(file, probe_recipe(backbone, task, run), task, run)


def transfer_components(source: Tensor, target: Tensor, count: int, mu: float) -> Tensor:
    """The directions ``[d, r]``, ``r <= count``, of features ``[n, d]`` and ``[m, d]``.

    With features ``X`` of both domains and the kernel ``K = XX'``, the paper's ``W`` are the first
    eigenvectors of ``(KLK + μI)⁻¹KHK`` (section III-C). Those of eigenvalues above zero are
    combinations of examples, ``W = XV``, and new features ``x`` are embedded as ``x'X'W``. With the
    root ``R`` of ``X'X``, the ``Y`` in ``X'W = RY`` solve the same problem in as many dimensions as
    there are features, in which ``X'LX`` is the outer product of the difference of means.
    """
    both = torch.cat([source, target])
    squares, axes = torch.linalg.eigh(both.T @ both)
    root = axes * squares.clamp_min(0).sqrt() @ axes.T
    centred = both - both.mean(0)
    apart = root @ (source.mean(0) - target.mean(0))
    penalised = torch.outer(apart, apart) + mu * torch.eye(len(root)).to(root)
    lower = torch.linalg.cholesky(penalised)
    halved = torch.linalg.solve_triangular(lower, root @ centred.T, upper=False)
    values, vectors = torch.linalg.eigh(halved @ halved.T)
    kept = values.flip(0)[:count] > 1e-10 * values[-1]
    chosen = vectors.flip(1)[:, :count][:, kept]
    found: Tensor = root @ torch.linalg.solve_triangular(lower.T, chosen, upper=True)
    return found


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Tca]
