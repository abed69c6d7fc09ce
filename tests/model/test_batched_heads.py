"""Heads that are trained at once come to what each comes to alone."""

from dataclasses import replace

import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.api import (
    Augment,
    Diverged,
    OneClass,
    Recipe,
    StandardisedLinear,
    Task,
    constant,
    cosine,
    fit,
    fit_heads,
    standardised_head,
)
from harness.model import batched_heads
from harness.testing import a_run, digits, shots, small_backbone

SETTINGS = [(1e-3, 0.0), (1e-1, 1e-4), (1.0, 1e-1), (3e-2, 1e-2)]


@pytest.fixture(scope="module")
def backbone():
    """In float64: AdamW makes whole steps of gradients that are nothing but rounding."""
    return small_backbone().double()


@pytest.fixture(scope="module")
def examples(backbone):
    return digits(backbone)


@pytest.fixture(scope="module")
def task(examples):
    return Task(shots(examples, 20, 10), OneClass.of(10), shots(examples, 10, 10, skip=20))


def head_for(backbone, task):
    return standardised_head(backbone, task, a_run()).double()


def recipes(backbone, task, **options):
    return [
        Recipe(backbone, (), lr=lr, weight_decay=decay, head=head_for(backbone, task), **options)
        for lr, decay in SETTINGS
    ]


@pytest.fixture
def at_once(monkeypatch):
    """Nothing may be fitted by itself."""
    monkeypatch.setattr(batched_heads, "fit", None)


def alike(found, expected, inputs):
    torch.testing.assert_close(found.logits(inputs), expected.logits(inputs), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("batch_size", [32, 1000])
@pytest.mark.parametrize("schedule", [cosine, constant])
def test_settings_of_one_task(at_once, backbone, task, batch_size, schedule):
    many = a_run(steps=30, batch_size=batch_size)
    declared = recipes(backbone, task, schedule=schedule)
    together = fit_heads(declared, [task] * 4, many)
    for number, (recipe, model) in enumerate(zip(declared, together, strict=True)):
        alone = a_run(steps=30, batch_size=batch_size)
        alike(model, fit(recipe, task, alone), task.val.inputs)
        told = [(step, values[number]) for step, values in many.curve]
        assert [step for step, _ in told] == [step for step, _ in alone.curve]
        for (_, one), (_, other) in zip(told, alone.curve, strict=True):
            assert one == pytest.approx(other)


def test_small_tasks_of_one_setting(at_once, backbone, examples):
    tasks = [Task(shots(examples, 2, 5, skip=2 * number), OneClass.of(5)) for number in range(6)]
    run = a_run(steps=15)
    declared = [recipes(backbone, task)[1] for task in tasks]
    found = fit_heads(declared, tasks, run)
    for recipe, task, model in zip(declared, tasks, found, strict=True):
        alike(model, fit(recipe, task, run), task.train.inputs)


def test_tasks_of_different_sizes_are_fitted_one_by_one(backbone, examples):
    tasks = [Task(shots(examples, number, 5), OneClass.of(5)) for number in (1, 3)]
    declared = [recipes(backbone, task)[1] for task in tasks]
    found = fit_heads(declared, tasks, a_run())
    for recipe, task, model in zip(declared, tasks, found, strict=True):
        alike(model, fit(recipe, task, a_run()), task.train.inputs)


@settings(max_examples=15, deadline=None)
@given(
    rates=st.lists(st.tuples(st.floats(1e-3, 0.3), st.floats(0, 0.1)), min_size=1, max_size=5),
    steps=st.integers(1, 12),
)
def test_a_step_is_that_of_torchs_adamw(rates, steps):
    """In float64, against :class:`torch.optim.AdamW` and autograd on the same batches."""
    backbone = small_backbone().double()
    examples = shots(digits(backbone), 4, 3)
    heads = [nn.Linear(8, 3).double() for _ in rates]
    declared = [
        Recipe(backbone, (), lr=lr, weight_decay=decay, head=head, schedule=constant)
        for (lr, decay), head in zip(rates, heads, strict=True)
    ]
    found = fit_heads(declared, [Task(examples, OneClass.of(3))] * len(rates), a_run(steps=steps))
    features = backbone.features(examples.inputs[:]).detach()
    for (lr, decay), head, model in zip(rates, heads, found, strict=True):
        groups = [
            {"params": [head.weight], "weight_decay": decay},
            {"params": [head.bias], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=lr)
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(features), examples.labels).backward()
            optimizer.step()
        torch.testing.assert_close(model.head.weight, head.weight, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(model.head.bias, head.bias, rtol=1e-6, atol=1e-8)


def test_each_keeps_the_state_that_validated_best(backbone, task):
    run = a_run(steps=40)
    models = fit_heads(recipes(backbone, task), [task] * 4, run)
    for number, model in enumerate(models):
        accuracy = (model.logits(task.val.inputs).argmax(1) == task.val.labels).double().mean()
        assert accuracy.item() == pytest.approx(max(values[number] for _, values in run.curve))


def test_a_head_that_is_not_a_number_ends_them_all(backbone, task):
    declared = [*recipes(backbone, task), replace(recipes(backbone, task)[0], lr=float("nan"))]
    with pytest.raises(Diverged):
        fit_heads(declared, [task] * 5, a_run())


def test_a_pruner_ends_one_that_trains_alone(backbone, task):
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(lower=1.1))
    run = a_run(steps=20)
    run.begin(0, study.ask())
    with pytest.raises(optuna.TrialPruned, match="step 5 with 0"):
        fit_heads(recipes(backbone, task)[:1], [task], run)


def test_where_images_are_augmented_each_is_fitted_alone(backbone, task):
    run, other = a_run(steps=5), a_run(steps=5)
    run.augment = other.augment = Augment(shift=0.1)
    declared = recipes(backbone, task)
    (*_, model) = fit_heads(declared, [task] * 4, run)
    alike(model, fit(declared[-1], task, other), task.val.inputs)


def test_heads_that_standardise_otherwise_see_what_is_theirs(backbone, task):
    """Of one task, with and without validation: no features are common to them."""
    wide = StandardisedLinear(8, 10).double()
    for one in (task, Task(task.train, OneClass.of(10))):
        heads = [head_for(backbone, one), wide]
        declared = [Recipe(backbone, (), lr=0.1, head=head) for head in heads]
        run = a_run(steps=8, batch_size=1000)
        for recipe, model in zip(declared, fit_heads(declared, [one] * 2, run), strict=True):
            alike(model, fit(recipe, one, a_run(steps=8, batch_size=1000)), task.val.inputs)


def test_what_differs_in_schedule_or_steps_is_fitted_one_by_one(backbone, task):
    one, other = recipes(backbone, task)[:2]
    for change in ({"schedule": constant}, {"steps": 3}):
        declared = [one, replace(other, **change)]
        run = a_run(steps=8, batch_size=1000)
        for recipe, model in zip(declared, fit_heads(declared, [task] * 2, run), strict=True):
            alike(model, fit(recipe, task, a_run(steps=8, batch_size=1000)), task.val.inputs)
