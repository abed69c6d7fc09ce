"""First-order MAML: what MAML learns, without second derivatives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from harness.api import Strategy, hookimpl
from harness_plugins.strategies.maml import Maml


@dataclass(frozen=True)
class Fomaml(Maml):
    """MAML whose meta-gradient takes the inner steps' gradients for constants (section 5.2).

    So the meta-gradient is the gradient of the query loss at the adapted parameters, which takes
    less time and memory. For the rest, defaults included, it is ``maml``.
    """

    first_order: bool = field(default=True, init=False)

    name: ClassVar[str] = "fomaml"
    family: ClassVar[str] = "meta-learning"
    citation: ClassVar[str] = (
        "Finn et al. 2017, Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks, ICML"
    )


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Fomaml]
