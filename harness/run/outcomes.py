"""What has become of trials: the best of them, and why others failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import Diverged, HarnessError
from harness.model.backbone import Backbone
from harness.predictor import Predictor
from harness.record.schema import Trial
from harness.run.validation import Score, Validation


@dataclass
class Selected:
    """The trial that validated best: its settings, the backbone it started from, and, but for
    ``episodes``, the predictor itself."""

    score: Score
    number: int
    settings: Mapping[str, Any]
    backbone: Backbone
    predictor: Predictor | None
    fit_seconds: float


class Outcomes:
    """What has become of the trials of this process so far."""

    def __init__(self, *, keeps: bool) -> None:
        self.keeps, self.predictors = keeps, dict[int, Predictor]()
        """Whether all predictors are kept, and those that were, by trial."""
        self.best: Selected | None = None
        self.failures: dict[int, Exception] = {}
        self.ended: dict[int, Trial] = {}

    def offer(self, record: Trial, score: Score, backbone: Backbone, predictor: Predictor) -> None:
        """A trial came to an end: note its score, and keep what is better than all before."""
        record.value, record.loss = score[0], -score[1]
        if self.keeps:
            self.predictors[record.number] = predictor
        if self.best is None or score > self.best.score:
            settings = record.settings
            self.best = Selected(score, record.number, settings, backbone, predictor, 0.0)


def score_of(trial: Trial) -> Score:
    """What a trial that came to its end was worth."""
    assert trial.value is not None
    assert trial.loss is not None
    return trial.value, -trial.loss


def single(val: Validation) -> bool:
    """Whether there is one task, and not episodes."""
    return len(val.tasks) == 1


def company_of(chosen: Trial, trials: Sequence[Trial]) -> Sequence[Trial]:
    """The trials that were done at once with one, itself included."""
    start = 0
    while trials[start].number + trials[start].together <= chosen.number:
        start += trials[start].together
    return trials[start : start + trials[start].together]


def first_failure(trials: list[Trial], failures: Mapping[int, Exception]) -> Exception:
    """Why there is nothing to select: an error of this process, or what was written of one."""
    for trial in trials:
        if trial.state in ("failed", "diverged"):
            told = Diverged if trial.state == "diverged" else HarnessError
            return failures.get(trial.number) or told(trial.reason or "")
    return HarnessError("every trial was pruned", "Use pruner = 'none'")
