"""Winners by rank verification: against formulas written out, and looks that spend their shares."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from harness.report.analysis.design import WINNERS, Design, Look, design, looks
from harness.report.analysis.races import races
from harness.report.analysis.scores import Scores

few = settings(max_examples=20, deadline=None)
SEEDS = Design(tuple(Look(n, k / 10) for k, n in enumerate((3, 5, 7, 10), 1)))


def given_(values: NDArray) -> Scores:
    """Accuracies [S, K, R] of cells that have all ended, each setting a problem of its own."""
    done = np.ones(values.shape, dtype=bool)
    settings = np.arange(len(values))
    labels = [f"s{k}" for k in range(values.shape[1])]
    unknown, further = np.full(len(values), np.nan), np.zeros(len(values), dtype=bool)
    return Scores(labels, settings, settings, unknown, further, values, done, done)


def noise(seed: int, settings: int = 4, strategies: int = 3, seeds: int = 10) -> NDArray:
    draw = np.random.default_rng(seed)
    return 0.5 + draw.normal(0, 0.01, (settings, strategies, seeds))


@few
@given(st.integers(0, 1000))
def test_the_hardest_to_tell_apart_decides_and_settings_are_corrected_for(seed: int) -> None:
    """Four settings: Student's t, and Holm's correction by hand."""
    values = noise(seed, seeds=5) + np.array([0.0, 0.03, 0.0])[:, None]
    hardest = []
    for setting in values:
        first = int(setting.mean(axis=1).argmax())
        against = (
            scipy_stats.ttest_rel(setting[first], setting[k]).pvalue for k in range(3) if k != first
        )
        hardest.append(max(against))
    order = np.argsort(hardest)
    corrected = np.maximum.accumulate([hardest[s] * (4 - step) for step, s in enumerate(order)])
    expected = dict(zip(order.tolist(), corrected, strict=True))
    for s, race in enumerate(races(given_(values)).each):
        assert race.leader == values[s].mean(axis=1).argmax()
        assert race.p == pytest.approx(min(expected[s], 1))
        assert race.won == (race.p < WINNERS)


def test_how_many_others_there_are_costs_nothing() -> None:
    draw = np.random.default_rng(0)
    close = 0.8 + draw.normal(0, 0.01, (1, 2, 5)) + np.array([0.03, 0])[:, None]
    far = 0.2 + draw.normal(0, 0.001, (1, 30, 5))
    (alone,), (among,) = races(given_(close)).each, races(given_(np.hstack([close, far]))).each
    assert among.leader == alone.leader == 0
    assert among.p == pytest.approx(alone.p)


def test_a_tie_is_won_by_nobody() -> None:
    values = noise(0, 1, 2, 5)
    values[:, 1] = values[:, 0]
    (race,) = races(given_(values)).each
    assert (race.leader, race.p, race.won) == (0, 1.0, False)


def test_one_seed_or_one_strategy_is_no_race() -> None:
    (single,) = races(given_(noise(0, 1, 2, 1))).each
    assert (math.isnan(single.p), single.won) == (True, False)
    (alone,) = races(given_(noise(0, 1, 1, 5))).each
    assert (alone.leader, alone.won) == (None, False)


# ── looks ─────────────────────────────────────────────────────────────────────────────────────


def test_looks_are_at_3_5_7_and_10_and_spend_tenths() -> None:
    assert design({"seeds": {"from": 3, "to": 10}}) == SEEDS
    assert looks(3, 20) == [3, 5, 7, 10, 14, 20]
    assert looks(5, 6) == [5, 6]
    assert looks(2, 4) == [2, 3, 4]
    assert design({"seeds": {"from": 3, "to": 10, "margin": 1.5}}).margin == 0.015
    assert design({"seeds": [0, 1, 2]}) == design({}) == Design()


@given(st.integers(2, 30), st.integers(1, 100))
def test_looks_rise_to_the_last_and_spend_all(first: int, more: int) -> None:
    counts = looks(first, first + more)
    assert (counts[0], counts[-1]) == (first, first + more)
    assert counts == sorted({*counts})
    shares = [look.share for look in design({"seeds": {"from": first, "to": first + more}}).looks]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares)


def test_a_decided_setting_takes_no_more_seeds_and_hands_on_its_part() -> None:
    """The first setting is clear at once; what it had is for the three others."""
    values = noise(1)
    values[0] += np.array([0.5, 0.0, 0.2])[:, None]
    found = races(given_(values), SEEDS)
    clear, *others = found.each
    assert (clear.won, clear.leader) == (True, 0)
    assert list(clear.wanted) == [3, 3, 3]
    for s, race in enumerate(others, 1):
        assert not race.won
        assert max(race.wanted) == 10
        hardest = max(
            scipy_stats.ttest_rel(values[s, race.leader], values[s, k]).pvalue for k in race.others
        )
        assert race.p >= min(hardest / 0.4, 1) - 1e-9
    least = min(race.p for race in others)
    best = min(others, key=lambda race: race.p)
    s = next(n for n, race in enumerate(found.each) if race is best)
    hardest = max(
        scipy_stats.ttest_rel(values[s, best.leader], values[s, k]).pvalue for k in best.others
    )
    assert least == pytest.approx(min(3 * hardest / 0.4, 1))


def test_who_is_beaten_takes_no_more_seeds() -> None:
    values = noise(2)
    values[:, 2] -= 0.49
    found = races(given_(values), SEEDS)
    assert found.wanted[:, 2].max() == 3
    assert (found.wanted[:, :2] == 10).all()
    assert not any(race.won for race in found.each)


def test_what_lies_after_a_look_does_not_change_it() -> None:
    """A look depends on the records up to it: more of them, or fewer, and whatever they say."""
    values = noise(3) + np.array([0.02, 0.0, -0.1])[:, None]
    whole = races(given_(values), SEEDS)
    for n in (3, 5, 7):
        cut = given_(values[:, :, :n])
        short = races(cut, SEEDS)
        assert short.waiting
        changed = values.copy()
        changed[:, :, n:] = np.random.default_rng(n).random(changed[:, :, n:].shape)
        ended = np.broadcast_to(np.arange(10) < n, values.shape)
        late = races(replace(given_(changed), ended=ended), SEEDS)
        assert (late.wanted == short.wanted).all()
        assert (short.wanted <= whole.wanted).all()


def test_a_look_waits_for_every_cell_that_it_takes() -> None:
    ended = np.ones((4, 3, 10), dtype=bool)
    ended[2, 1, 2] = False
    found = races(replace(given_(noise(4)), ended=ended), SEEDS)
    assert found.waiting
    assert (found.wanted == 3).all()
    assert all(race.leader is None for race in found.each)


def test_a_failed_cell_ends_its_strategys_part_and_nobody_elses() -> None:
    values = noise(5)
    values[1, 0, 4] = np.nan  # it ended, without a result
    found = races(given_(values), SEEDS)
    assert not found.waiting
    assert list(found.wanted[1]) == [5, 10, 10]
    assert 0 not in found.each[1].alive


def test_what_is_shown_to_be_within_the_margin_is_settled() -> None:
    close = noise(6) / 100 + 0.5
    within = races(given_(close), replace(SEEDS, margin=0.01))
    assert all(race.equal and not race.won for race in within.each)
    assert (within.wanted == 3).all()
    asked = races(given_(noise(6)), replace(SEEDS, margin=0.0001))
    assert not any(race.equal for race in asked.each)
