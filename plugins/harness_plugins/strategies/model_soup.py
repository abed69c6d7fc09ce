"""Model soup: the mean of the weights of those trials that make it better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import Classifier, Finished, Predictor, Run, Strategy, Task, hookimpl
from harness_plugins.strategies.full_finetune import FullFinetune


@dataclass(frozen=True)
class ModelSoup(FullFinetune):
    """Full fine-tuning, and at its end the greedy soup of all trials.

    From the best on, one after the other is taken into the mean of weights, and stays if validation
    is no worse for it.

    By accuracy alone, as in the paper. All trials start from the same weights and a head of zeros,
    and so have a mean worth having; a trial that diverged or was pruned is none of them. Running
    statistics of batch norms are averaged too. Predicting costs what one model costs.
    """

    name: ClassVar[str] = "model_soup"
    family: ClassVar[str] = "averages of models"
    starts_from: ClassVar[str | None] = "full_finetune"
    citation: ClassVar[str] = (
        "Wortsman et al. 2022, Model soups: averaging weights of multiple fine-tuned models, ICML"
    )
    protocols: ClassVar[frozenset[str]] = frozenset({"transfer"})

    def conclude(self, trials: Sequence[Finished], task: Task, run: Run) -> Predictor:
        soup, states = trials[0].predictor, []
        for trial in trials:
            assert isinstance(trial.predictor, Classifier)
            state = trial.predictor.state_dict()
            states.append({name: value.clone() for name, value in state.items()})
        assert isinstance(soup, Classifier)  # whose weights become those of the soup
        chosen, best = states[:1], trials[0].value
        with run.scoring():
            for state in states[1:]:
                soup.load_state_dict(mean([*chosen, state]))
                value = accuracy(soup, task)
                if value >= best:
                    chosen, best = [*chosen, state], value
        soup.load_state_dict(mean(chosen))
        return soup


def mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Of each tensor; what is no float, such as a count, is that of the first."""
    return {
        name: torch.stack([state[name] for state in states]).mean(0)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }


def accuracy(model: Classifier, task: Task) -> float:
    """By which validation selects, more is better; the least of predictions that are not finite."""
    assert task.val is not None
    logits = model.logits(task.val.inputs)
    if not logits.isfinite().all():
        return -math.inf
    return task.target.selection.of(logits, task.val.labels)[0]


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [ModelSoup]
