"""SAM: look for weights whose whole neighbourhood has a low loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness.api import (
    FloatDistribution,
    Optimizer,
    Recipe,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    hookimpl,
)


class SharpnessAware:
    """An optimiser of another kind, whose gradients are those at the point near by where the loss
    is highest: ``rho`` away along the gradient (equation 2 of the paper, with p = 2).

    Its groups and its state are the other's: nothing is left of a step but what that one keeps.
    Without ``head``, what groups name as the head's stays where it is while the others move.
    """

    def __init__(self, inner: Optimizer, rho: float, head: bool = True) -> None:
        self._inner, self._rho, self._head = inner, rho, head
        self.param_groups = inner.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        self._inner.zero_grad(set_to_none)

    def step(self, closure: Callable[[], Tensor]) -> Any:
        return self._inner.step(partial(self._from_near_by, closure))

    def _from_near_by(self, closure: Callable[[], Tensor]) -> Tensor:
        """Leave the gradients of the highest loss near by; gives the loss where the weights are."""
        with torch.enable_grad():
            loss = closure()
        moved = [(p, p.detach().clone(), p.grad) for p in self._moving() if p.grad is not None]
        with torch.no_grad():
            norm = torch.stack([slope.norm() for _, _, slope in moved]).norm()
            for parameter, _, slope in moved:
                parameter += slope * (self._rho / (norm + 1e-12))
        with torch.enable_grad():
            closure()
        with torch.no_grad():
            for parameter, value, _ in moved:
                parameter.copy_(value)
        return loss

    def _moving(self) -> Iterator[Tensor]:
        for group in self.param_groups:
            for place, parameter in enumerate(group["params"]):
                if self._head or not group["names"][place].startswith("head."):
                    yield parameter

    def state_dict(self) -> dict[str, Any]:
        return self._inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._inner.load_state_dict(state_dict)
        self.param_groups = self._inner.param_groups


@dataclass(frozen=True)
class Sam(Trick):
    """Descend by the gradient at the worst point within ``rho`` of the weights.

    A step costs two passes, both of which batch norm's running statistics see. The paper finds a
    ``rho`` of 0.05 good on CIFAR-10 and ImageNet, of those from 0.01 to 0.5. The optimiser that
    the training has without it takes the steps.

    The paper moves all weights. Here a head that starts from zeros stays while the body moves: so
    few steps old, it is smaller than ``rho``, whose move would turn its answers round and teach the
    body the opposite. It moves where it starts from something, and where nothing else trains.
    """

    name: ClassVar[str] = "sam"
    family: ClassVar[str] = "optimisation"
    citation: ClassVar[str] = "Foret et al. 2021, Sharpness-aware minimization"
    space: ClassVar[Space] = {"rho": FloatDistribution(0.01, 0.5, log=True)}
    defaults: ClassVar[Settings] = {"rho": 0.05}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        given = () if recipe.head is None else recipe.head.parameters()
        head = not recipe.trainable or any(bool(values.any()) for values in given)

        def optimizer(groups: list[dict[str, Any]]) -> Optimizer:
            return SharpnessAware(recipe.optimizer(groups), hp["rho"], head)

        return replace(recipe, optimizer=optimizer)


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Sam]
