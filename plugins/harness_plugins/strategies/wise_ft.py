"""WiSE-FT: an average of the weights from before and after fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from harness.api import (
    Backbone,
    Classifier,
    Diverged,
    Predictor,
    Run,
    Settings,
    Strategy,
    Task,
    fit,
    hookimpl,
)
from harness_plugins.strategies.lp_ft import LpFt

GRID = tuple(step / 10 for step in range(11))

WITHOUT_VALIDATION = 0.5


@dataclass(frozen=True)
class WiseFt(LpFt):
    """Fine-tune as ``lp_ft`` does, then average the weights from before and after that.

    The average is ``(1 - α) · probed + α · fine-tuned``, with the α of 0, 0.1 … 1 that validates
    best; of two that do alike, the lower one.

    Probed are the source's weights with the linear probe's head, where fine-tuning starts.
    Fine-tuned is the state that validated best. Running statistics of batch norms that train lie
    between too. Where nothing validates, as in an episode, α is 0.5, which the paper takes where it
    knows no better. It starts from a model that answers without any training; here, a linear probe
    has to come first.
    """

    name: ClassVar[str] = "wise_ft"
    family: ClassVar[str] = "averages of models"
    citation: ClassVar[str] = "Wortsman et al. 2022, Robust fine-tuning of zero-shot models, CVPR"

    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        recipe = self.amended(self.recipe(backbone, task, hp, run), task, hp, run)
        recipe.backbone.derive_from(backbone)
        start = Classifier(recipe, task, run).state_dict()
        model = fit(recipe, task, run)
        end = {name: value.clone() for name, value in model.state_dict().items()}
        alpha = WITHOUT_VALIDATION
        if task.val is not None:
            with run.scoring():
                found = {a: score(model, between(start, end, a), task) for a in GRID}
            alpha = max(GRID, key=found.__getitem__)
        model.load_state_dict(between(start, end, alpha))
        return model


def between(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """A share of ``alpha`` of the way; what is no float, such as a count, is that of the end."""
    return {
        name: start[name].lerp(value, alpha) if value.is_floating_point() else value
        for name, value in end.items()
    }


def score(model: Classifier, state: Mapping[str, Tensor], task: Task) -> tuple[float, float]:
    """What a state validates to: more is better, first of the first."""
    assert task.val is not None
    model.load_state_dict(state)
    logits = model.logits(task.val.inputs)
    if not logits.isfinite().all():
        raise Diverged("predictions between the two ends are not finite")
    value, loss = task.target.selection.of(logits, task.val.labels)
    return value, -loss


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [WiseFt]
