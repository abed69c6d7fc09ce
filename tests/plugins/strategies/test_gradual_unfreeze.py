"""Gradual unfreezing: what trains in which stage, and how fast."""

import pytest
import torch
from harness_plugins.strategies.gradual_unfreeze import GradualUnfreeze, unfrozen

from harness.api import Classifier, OneClass, Recipe, Task, fit
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone

STRATEGY = GradualUnfreeze()


class TestGradualUnfreeze(StrategyChecks):
    strategy = STRATEGY


@pytest.fixture(scope="module")
def given():
    backbone = small_backbone()
    return backbone, Task(shots(digits(backbone), 8, 5), OneClass.of(5))


@pytest.mark.parametrize(
    ("blocks", "steps", "expected"),
    [
        (3, 100, [3, 2, 1, 0]),
        (3, 4, [3, 2, 1, 0]),
        (3, 3, [3, 2, 0]),
        (3, 2, [3, 0]),
        (3, 1, [0]),
        (1, 9, [1, 0]),
        (12, 4, [12, 8, 4, 0]),
    ],
)
def test_blocks_are_unfrozen_from_the_last_one_on_to_all(blocks, steps, expected):
    assert [*unfrozen(blocks, steps)] == expected


def test_each_block_is_slower_than_the_one_after_it(given):
    backbone, task = given
    hp = {"lr": 1e-2, "weight_decay": 0.1, "factor": 0.5}
    recipe = STRATEGY.recipe(backbone, task, hp, a_run(steps=8))
    rates = {backbone.block_of(name): recipe.lr[name] for name in recipe.trainable}
    assert rates == {0: pytest.approx(1e-2 / 8), 1: pytest.approx(1e-2 / 4), 2: 1e-2 / 2}
    assert recipe.lr["head"] == 1e-2


def test_it_is_the_stages_trained_by_hand(given):
    """Two each of nine steps, and three in the last stage."""
    backbone, task = given
    hp = {"lr": 1e-2, "weight_decay": 0.1, "factor": 0.5}
    found = STRATEGY.adapt(backbone, task, hp, a_run(steps=9, batch_size=4))
    model = None
    for first, before, steps in [(3, 0, 2), (2, 2, 2), (1, 4, 2), (0, 6, 3)]:
        start = backbone if model is None else model.backbone
        names = start.parameters_from(first)
        rates = {name: 1e-2 * 0.5 ** (3 - backbone.block_of(name)) for name in names}
        stage = Recipe(
            start,
            names,
            lr={"head": 1e-2, **rates},
            weight_decay=0.1,
            head=None if model is None else model.head,
            steps_before=before,
        )
        model = fit(stage, task, a_run(steps=steps, batch_size=4))
    assert isinstance(model, Classifier)
    assert found.trained.keys() == model.trained.keys()
    assert all(torch.equal(found.trained[name], t) for name, t in model.trained.items())


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 9])
def test_it_takes_all_the_steps_that_it_may(given, steps, monkeypatch):
    backbone, task = given
    run, taken = a_run(steps=steps), []
    monkeypatch.setattr(run, "keep", lambda step, training: taken.append(step))
    STRATEGY.adapt(backbone, task, STRATEGY.defaults, run)
    assert len(taken) == steps
