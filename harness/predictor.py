"""What strategies give: a model adapted to a task, and a trial that came to its end with one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from harness.data.examples import Inputs


class Predictor(Protocol):
    """A model adapted to a task."""

    @property
    def trained(self) -> Mapping[str, Tensor]:
        """The parameters that adapting changed, by name, in all its stages: they are counted, and
        saved with whatever else logits depend on."""
        ...

    def logits(self, inputs: Inputs) -> Tensor:
        """Unnormalised log-probabilities, float32 ``[len(inputs), classes]``.

        The answer for one input may not depend on the others.
        """
        ...

    def save(self, path: Path) -> None:
        """Write all that the backbone which was adapted does not have to a safetensors file:
        :meth:`Strategy.restore` gives the predictor back."""
        ...


@runtime_checkable
class Exportable(Predictor, Protocol):
    """A predictor that is one network, so that it can be exported."""

    def network(self) -> nn.Module:
        """Prepared inputs ``[n, ...]`` to logits, float32 ``[n, classes]``, in evaluation mode."""
        ...


@dataclass(frozen=True)
class Finished:
    """A trial that came to its end: the settings of ``adapt``, what it validated to, by the measure
    that selects, and its predictor."""

    hp: Mapping[str, Any]
    value: float
    predictor: Predictor
