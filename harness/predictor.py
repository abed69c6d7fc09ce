"""What strategies give: a model adapted to a task, and a trial that came to its end with one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

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


@dataclass(frozen=True)
class Finished:
    """A trial that came to its end: the settings of ``adapt``, what it validated to, by the measure
    that selects, and its predictor."""

    hp: Mapping[str, Any]
    value: float
    predictor: Predictor
