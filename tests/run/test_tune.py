"""Budgets are equal, trial 0 is the defaults, and one seed draws alike for every strategy."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from harness.api import (
    CategoricalDistribution,
    FloatDistribution,
    GradientStrategy,
    IntDistribution,
    Settings,
    Space,
)
from harness.plan.configure import ConfiguredStrategy
from harness.record.schema import Trial
from harness.run.tune import Tuner
from harness.suite.budget import Budget

RATE = FloatDistribution(1e-4, 1e-1, log=True)


@dataclass(frozen=True)
class One(GradientStrategy):
    name: ClassVar[str] = "one"
    space: ClassVar[Space] = {"lr": RATE, "depth": IntDistribution(1, 6)}
    defaults: ClassVar[Settings] = {"lr": 1e-2, "depth": 2}

    def recipe(self, backbone, task, hp, run):
        raise NotImplementedError


@dataclass(frozen=True)
class Other(One):
    name: ClassVar[str] = "other"
    prepare_space: ClassVar[Space] = {"warm": FloatDistribution(0, 1)}
    space: ClassVar[Space] = {
        "kind": CategoricalDistribution(["a", "b", "c"]),
        "depth": IntDistribution(1, 3),
        "lr": RATE,
    }
    defaults: ClassVar[Settings] = {"lr": 3e-2, "kind": "a", "depth": 1, "warm": 0.5}


def trials(strategy, fixed=None, *, seed=0, spent=lambda: 0.0, **budget):
    tuner = Tuner(ConfiguredStrategy(strategy, fixed or {}), Budget(**budget), seed)
    drawn = []
    for ((trial, hp),) in tuner.rounds(spent):
        tuner.study.tell(trial, 0.5)
        drawn.append(hp)
    return drawn


def test_trial_zero_is_the_defaults():
    assert trials(One(), trials=1) == [{"lr": 1e-2, "depth": 2}]


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(2, 6))
def test_the_same_name_and_range_are_drawn_alike_whatever_the_strategy(seed, count):
    one = trials(One(), seed=seed, trials=count)
    other = trials(Other(), seed=seed, trials=count)
    assert [hp["lr"] for hp in one[1:]] == [hp["lr"] for hp in other[1:]]


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 3))
def test_a_trial_that_is_drawn_alone_is_as_it_is_in_its_turn(seed, count, prepared):
    budget = {"trials": count, "prepare_trials": prepared}
    tuner = Tuner(ConfiguredStrategy(Other(), {}), Budget(**budget), seed)
    alone = [tuner.drawn(number) for number in range(count)]
    assert alone == trials(Other(), seed=seed, **budget)


names = st.sampled_from(["lr", "decay", "depth", "kind"])
ranges = st.one_of(
    st.tuples(st.floats(1e-6, 1e-3), st.floats(1e-2, 1), st.booleans()).map(
        lambda given: FloatDistribution(given[0], given[1], log=given[2])
    ),
    st.tuples(st.integers(1, 5), st.integers(6, 99)).map(lambda ends: IntDistribution(*ends)),
    st.lists(st.text(max_size=3), min_size=2, max_size=4, unique=True).map(CategoricalDistribution),
)
spaces = st.dictionaries(names, ranges, max_size=4)


def default(distribution):
    return distribution.choices[0] if hasattr(distribution, "choices") else distribution.low


def strategy_with(space):
    """A strategy that tunes just this."""
    fields = {"space": space, "defaults": {name: default(space[name]) for name in space}}
    return type("Drawn", (One,), fields)()


@settings(max_examples=30)
@given(spaces, spaces, spaces, st.integers(0, 2**32 - 1), st.data())
def test_whatever_two_strategies_tune_what_they_share_is_drawn_alike(
    shared, own, others, seed, data
):
    """In any order, among anything else, and also where one of them fixes another value."""
    one, other = strategy_with(own | shared), strategy_with(shared | others | shared)
    fixed = {name: default(space) for name, space in own.items() if name not in shared}
    fixed = {name: fixed[name] for name in fixed if data.draw(st.booleans())}
    drawn = trials(one, fixed, seed=seed, trials=4), trials(other, seed=seed, trials=4)
    for name in shared:
        assert [hp[name] for hp in drawn[0]] == [hp[name] for hp in drawn[1]]


@given(st.lists(st.sampled_from(["COMPLETE", "PRUNED", "FAIL"]), min_size=12, max_size=12))
def test_every_trial_counts_however_it_ended_and_changes_no_draw(ends):
    tuner = Tuner(ConfiguredStrategy(One(), {}), Budget(trials=len(ends)), 0)
    drawn = []
    for ((trial, hp),) in tuner.rounds(lambda: 0.0):
        drawn.append(hp)
        state = TrialState[ends[trial.number]]
        tuner.study.tell(trial, 0.5 if state == TrialState.COMPLETE else None, state=state)
    assert drawn == trials(One(), trials=len(ends))


def test_another_range_or_seed_or_trial_is_drawn_anew():
    one, other = trials(One(), trials=30), trials(Other(), trials=30)
    assert [hp["depth"] for hp in one[1:]] != [hp["depth"] for hp in other[1:]]
    assert trials(One(), trials=3) != trials(One(), trials=3, seed=1)
    assert len({hp["lr"] for hp in one}) == 30


def test_draws_do_not_depend_on_the_results():
    tuner = Tuner(ConfiguredStrategy(One(), {}), Budget(trials=4), 0)
    drawn = []
    for ((trial, hp),) in tuner.rounds(lambda: 0.0):
        tuner.study.tell(trial, float(trial.number))
        drawn.append(hp)
    assert drawn == trials(One(), trials=4)


def test_a_fixed_value_leaves_the_search():
    drawn = trials(One(), {"lr": 0.5}, trials=5)
    assert {hp["lr"] for hp in drawn} == {0.5}
    assert len({hp["depth"] for hp in drawn}) > 1


def test_a_strategy_with_nothing_to_tune_still_gets_its_trials():
    assert len(trials(One(), {"lr": 0.1, "depth": 3}, trials=3)) == 3


def test_seconds_end_the_search_after_the_trial_that_crosses_them():
    clock = iter(range(100))
    assert len(trials(One(), spent=lambda: float(next(clock)), seconds=3)) == 4


def test_the_first_trial_runs_however_short_the_time():
    assert len(trials(One(), spent=lambda: 99.0, seconds=1)) == 1


@pytest.mark.parametrize(("turns", "different"), [(1, 1), (2, 2), (3, 3)])
def test_few_settings_of_prepare_take_turns(turns, different):
    drawn = [hp["warm"] for hp in trials(Other(), trials=6, prepare_trials=turns)]
    assert drawn[0] == 0.5
    assert len(set(drawn)) == different
    assert drawn == drawn[:turns] * (6 // turns)


def test_tpe_starts_with_the_same_draws_and_then_learns():
    random = trials(One(), trials=14)
    tpe = trials(One(), trials=14, sampler="tpe")
    assert tpe[:10] == random[:10]
    assert tpe[10:] != random[10:]
    assert tpe == trials(One(), trials=14, sampler="tpe")


@settings(max_examples=15)
@given(
    sampler=st.sampled_from(["random", "tpe"]),
    values=st.lists(st.sampled_from([None, 0.2, 0.5, 0.9]), min_size=1, max_size=14),
    data=st.data(),
)
def test_a_tuner_goes_on_as_if_it_had_never_stopped(sampler, values, data):
    """Whatever came of the trials before the break; ``None`` is a trial that diverged."""
    budget = Budget(trials=len(values), sampler=sampler)
    configured = ConfiguredStrategy(One(), {})

    def tried(before):
        tuner, done = Tuner(configured, budget, 3, before), list(before)
        for ((trial, hp),) in tuner.rounds(lambda: 0.0):
            value = values[trial.number]
            state = "diverged" if value is None else "complete"
            curve = [] if value is None else [(1, value / 2), (2, value)]
            for step, score in curve:
                trial.report(score, step)
            ended = Trial(number=trial.number, state=state, settings=hp, value=value, curve=curve)
            tuner.tell(trial, ended)
            done.append(ended)
        return done

    whole = tried([])
    at = data.draw(st.integers(0, len(whole)))
    stored = [Trial.model_validate_json(trial.model_dump_json()) for trial in whole[:at]]
    assert tried(stored) == whole


def test_a_median_pruner_remembers_earlier_trials():
    budget = Budget(trials=6, pruner="median")
    done = [
        Trial(
            number=n,
            state="complete",
            settings={"lr": 1e-2, "depth": 2},
            value=0.9,
            curve=[(1, 0.9)],
        )
        for n in range(5)
    ]
    for curves in (True, False):
        tuner = Tuner(ConfiguredStrategy(One(), {}), budget, 0, done, curves=curves)
        (((trial, _),),) = tuner.rounds(lambda: 0.0)
        trial.report(0.1, 1)
        assert trial.number == 5
        assert bool(trial.should_prune()) is curves


def settings_of(rounds):
    return [settings for opened in rounds for _, settings in opened]


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"trials": 12}, [5, 5, 2]),
        ({"trials": 12, "sampler": "tpe"}, [5, 5, 1, 1]),
        ({"trials": 3, "pruner": "median"}, [1, 1, 1]),
    ],
)
def test_trials_open_together_only_where_none_depends_on_another(options, sizes):
    budget = Budget(**options)
    alone, together = (Tuner(ConfiguredStrategy(One(), {}), budget, seed=3) for _ in range(2))

    def ended(tuner, rounds):
        for opened in rounds:
            for trial, hp in opened:
                told = {"number": trial.number, "state": "complete", "settings": hp}
                tuner.tell(trial, Trial(**told, value=hp["lr"], loss=0.0))
            yield opened

    one_by_one = [*ended(alone, alone.rounds(lambda: 0.0))]
    at_once = [*ended(together, together.rounds(lambda: 0.0, at_once=5))]
    assert [len(opened) for opened in at_once] == sizes
    assert settings_of(at_once) == settings_of(one_by_one)


def test_seconds_are_spent_one_trial_at_a_time():
    tuner = Tuner(ConfiguredStrategy(One(), {}), Budget(seconds=10.0), seed=3)
    clock = iter([1.0, 20.0])
    assert [len(o) for o in tuner.rounds(lambda: next(clock), at_once=5)] == [1, 1]
