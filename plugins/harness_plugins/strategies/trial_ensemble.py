"""Ensemble of trials: the mean of what the best of them answer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import torch
from torch import Tensor, nn

from harness.api import (
    Backbone,
    Exportable,
    Finished,
    HarnessError,
    Inputs,
    Predictor,
    Run,
    Settings,
    Strategy,
    Target,
    Task,
    hookimpl,
)
from harness_plugins.strategies.full_finetune import FullFinetune

MEMBERS = "members"
"""Names, in the metadata of what an ensemble has saved, those of each member's own file."""


class MeanOfProbabilities(nn.Module):
    """The mean of the probabilities of some networks, as logits ``[n, classes]``."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs: Tensor) -> Tensor:
        told = [member(inputs).log_softmax(1) for member in self.members]
        return torch.stack(told).logsumexp(0) - math.log(len(told))


@dataclass(frozen=True)
class Ensemble:
    """The mean of the probabilities of some predictors."""

    members: Sequence[Predictor]

    @property
    def trained(self) -> Mapping[str, Tensor]:
        return {
            f"{number}.{name}": tensor
            for number, member in enumerate(self.members)
            for name, tensor in member.trained.items()
        }

    def logits(self, inputs: Inputs) -> Tensor:
        told = [member.logits(inputs).log_softmax(1) for member in self.members]
        return torch.stack(told).logsumexp(0) - math.log(len(told))

    def network(self) -> nn.Module:
        """The members' networks side by side in one module."""
        members = [member for member in self.members if isinstance(member, Exportable)]
        assert len(members) == len(self.members)  # they are classifiers
        return MeanOfProbabilities([member.network() for member in members]).eval()

    def save(self, path: Path) -> None:
        """Write what each member writes, under its number."""
        from safetensors import safe_open
        from safetensors.torch import save_file

        tensors: dict[str, Tensor] = {}
        notes = []
        with TemporaryDirectory() as folder:
            for number, member in enumerate(self.members):
                file = Path(folder) / "member.safetensors"
                member.save(file)
                with safe_open(file, framework="pt") as opened:
                    notes.append(opened.metadata())
                    names = opened.keys()
                    tensors |= {f"{number}.{name}": opened.get_tensor(name) for name in names}
        save_file(tensors, path, metadata={MEMBERS: json.dumps(notes)})


@dataclass(frozen=True)
class TrialEnsemble(FullFinetune):
    """Full fine-tuning, and at its end the mean of the probabilities of the best trials.

    They are the ``members`` that validated best; as many as there are, where fewer came to an end.
    They have one start and one split, and differ in their settings. Predicting costs as many times
    what one model does. Five is where the paper, whose members start from other random weights,
    finds most of the gain.
    """

    members: int = 5

    name: ClassVar[str] = "trial_ensemble"
    family: ClassVar[str] = "averages of models"
    starts_from: ClassVar[str | None] = "full_finetune"
    citation: ClassVar[str] = (
        "Lakshminarayanan et al. 2017, Simple and scalable predictive uncertainty estimation using "
        "deep ensembles, NeurIPS"
    )
    protocols: ClassVar[frozenset[str]] = frozenset({"transfer"})

    def __post_init__(self) -> None:
        if self.members < 1:
            raise HarnessError(f"trial_ensemble's members are {self.members}", "Give 1 or more")

    def conclude(self, trials: Sequence[Finished], task: Task, run: Run) -> Predictor:
        return Ensemble([trial.predictor for trial in trials[: self.members]])

    def restore(
        self, file: Path, backbone: Backbone, target: Target, hp: Settings, run: Run
    ) -> Predictor:
        """Also of one trial's predictor. All trials have one form, whatever their settings."""
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import save_file

        try:
            with safe_open(file, framework="pt") as opened:
                notes = json.loads((opened.metadata() or {}).get(MEMBERS, "[]"))
                names = opened.keys()
                tensors = {name: opened.get_tensor(name) for name in names}
        except (OSError, SafetensorError):
            notes = []  # what is wrong with the file, the other tells
        if not notes:
            return super().restore(file, backbone, target, hp, run)
        members = []
        with TemporaryDirectory() as folder:
            for number, note in enumerate(notes):
                start, one = f"{number}.", Path(folder) / "member.safetensors"
                own = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
                save_file(own, one, metadata=note)
                members.append(super().restore(one, backbone, target, hp, run))
        return Ensemble(members)


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [TrialEnsemble]
