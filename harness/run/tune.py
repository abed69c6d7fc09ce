"""Hyperparameters by Optuna, on validation only: equal budgets and paired draws.

Trial 0 is the strategy's defaults. Later trials are drawn so that one seed gives one value for
each hyperparameter of the same name and range, whatever the strategy: two strategies differ by
what they do, not by their luck in the draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from harness.hashing import seed_of
from harness.plan.configure import ConfiguredStrategy
from harness.record.schema import Trial
from harness.suite.budget import Budget

RANDOM_BEFORE_TPE = 10

STATES: Mapping[str, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "diverged": TrialState.FAIL,
}
"""What Optuna calls the ends of a trial."""


class PairedSampler(BaseSampler):
    """Independent draws, each from a generator of its own, seeded by what is drawn."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return draw(self._seed, trial.number, param_name, param_distribution)


class PairedStartTPE(PairedSampler):
    """Ten paired draws, then TPE (Bergstra et al. 2011), seeded by the cell and the trial."""

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        if trial.number < RANDOM_BEFORE_TPE:
            return super().sample_independent(study, trial, param_name, param_distribution)
        tpe = TPESampler(
            n_startup_trials=RANDOM_BEFORE_TPE, seed=_seed(self._seed, trial.number, param_name)
        )
        return tpe.sample_independent(study, trial, param_name, param_distribution)


class Tuner:
    """The trials of one cell.

    Args:
        tried: those that are done already; what is drawn next is what would have been.
        curves: whether what was reported on the way was told to the pruner.
    """

    def __init__(
        self,
        configured: ConfiguredStrategy,
        budget: Budget,
        seed: int,
        tried: Sequence[Trial] = (),
        *,
        curves: bool = True,
    ) -> None:
        if optuna.logging.get_verbosity() != optuna.logging.WARNING:  # setting it is slow
            optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._configured, self._budget, self._seed = configured, budget, seed
        sampler = PairedSampler(seed) if budget.sampler == "random" else PairedStartTPE(seed)
        pruner = (
            optuna.pruners.MedianPruner(n_startup_trials=4)
            if budget.pruner == "median"
            else optuna.pruners.NopPruner()
        )
        self.study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        self._tried = len(tried)
        for trial in tried:
            self.study.add_trial(_frozen(trial, configured.space, curves=curves))
        if not tried:
            defaults = configured.defaults()
            self.study.enqueue_trial({name: defaults[name] for name in configured.space})

    def rounds(
        self, spent: Callable[[], float], *, at_once: int = 1
    ) -> Iterator[list[tuple[optuna.Trial, dict[str, Any]]]]:
        """Open trials with their settings, until the budget is spent.

        ``spent()`` gives the seconds billed to the cell so far. The first trial always runs.

        Args:
            at_once: the most that are opened together. Only those are whose settings do not depend
                on how the others end.
        """
        number = self._tried
        while number == 0 or self._left(number, spent):
            opened = []
            for _ in range(min(at_once, self._ahead(number))):
                trial = self.study.ask(fixed_distributions=self._configured.space)
                opened.append((trial, self._settings(trial)))
            yield opened
            number += len(opened)

    def drawn(self, number: int) -> dict[str, Any]:
        """The settings of any trial where none depends on others: those that :meth:`rounds` gives
        it under the random sampler, without a pruner."""
        defaults, space = self._configured.defaults(), self._configured.space
        own = {n: draw(self._seed, number, n, space[n]) for n in space} if number else {}
        return {**defaults, **self._prepare_settings(number), **own}

    def _ahead(self, number: int) -> int:
        """How many trials can be drawn from this one on before it has ended."""
        budget = self._budget
        if budget.trials is None or budget.pruner != "none":
            return 1
        paired = budget.trials if budget.sampler == "random" else RANDOM_BEFORE_TPE
        return max(1, min(paired, budget.trials) - number)

    def tell(self, trial: optuna.Trial, ended: Trial) -> None:
        """Say how an open trial ended."""
        self.study.tell(trial, ended.value, state=STATES[ended.state])

    def _left(self, number: int, spent: Callable[[], float]) -> bool:
        if self._budget.seconds is not None:
            return spent() < self._budget.seconds
        return number < (self._budget.trials or 1)

    def _settings(self, trial: optuna.Trial) -> dict[str, Any]:
        prepare = self._prepare_settings(trial.number)
        return {**self._configured.defaults(), **prepare, **trial.params}

    def _prepare_settings(self, number: int) -> Mapping[str, Any]:
        """The first ``prepare_trials`` draws of the prepare space take turns, so that what they
        learned is used again."""
        turn = number % self._budget.prepare_trials
        if turn == 0:
            return {}
        space = self._configured.prepare_space
        return {name: draw(self._seed, turn, name, space[name]) for name in space}


def _frozen(trial: Trial, space: Mapping[str, BaseDistribution], *, curves: bool) -> FrozenTrial:
    return optuna.trial.create_trial(
        state=STATES[trial.state],
        value=trial.value,
        params={name: trial.settings[name] for name in space},
        distributions=dict(space),
        intermediate_values=dict(trial.curve) if curves else {},
    )


def draw(seed: int, number: int, name: str, distribution: BaseDistribution) -> Any:
    """The paired draw of one hyperparameter in trial ``number``."""
    sampler = RandomSampler(seed=_seed(seed, number, name, repr(distribution)))
    study = optuna.create_study(sampler=sampler)
    return sampler.sample_independent(
        study, optuna.trial.create_trial(value=0.0), name, distribution
    )


def _seed(*parts: object) -> int:
    return seed_of("|".join(map(str, parts)), size=4)
