"""Weights of the source's examples by scikit-learn on a model's features, and what goes by them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from harness.api import Classifier, OneClass, Recipe, Task, Unsupported, fit
from harness.model.importance import importance
from harness.run.validation import Validation
from harness.testing import a_run, digits, shots, small_backbone

DEV = OneClass.of(5).blind["dev"]


@pytest.fixture
def task():
    """Validated by deep embedded validation, on digits that are all the darker in the target."""
    examples = digits(small_backbone())
    return Task(
        shots(examples, 8, 5),
        OneClass.of(5),
        shots(examples, 7, 5, skip=8),
        unlabelled_val=shots(examples, 10, 3, skip=20).inputs,
        shifted=True,
        unlabelled_measure="dev",
    )


@pytest.fixture
def model(task):
    return Classifier(Recipe(small_backbone(), (), lr=0.0), task, a_run())


def by_hand(model, task):
    """The odds that the other half of each class, and the target, tell."""
    labels = task.val.labels.numpy()
    source, target = (
        model.features(inputs).double().numpy() for inputs in (task.val.inputs, task.unlabelled_val)
    )
    halves = np.empty(len(labels), dtype=bool)
    place = 0
    for label in range(5):
        for row in np.flatnonzero(labels == label):
            halves[row] = place % 2
            place += 1
    weights = np.empty(len(labels))
    for half in (False, True):
        shown = np.concatenate([source[halves == half], target])
        centre, scale = shown.mean(0), shown.std(0)
        domains = [0] * (halves == half).sum() + [1] * len(target)
        told = LogisticRegression(tol=1e-10, max_iter=10000)
        told.fit((shown - centre) / np.where(scale > 0, scale, 1), domains)
        asked = (source[halves != half] - centre) / np.where(scale > 0, scale, 1)
        shares = told.predict_proba(asked)
        weights[halves != half] = shares[:, 1] / shares[:, 0] * (halves == half).sum() / len(target)
    return weights


def test_weights_are_odds_that_the_other_half_tells(model, task):
    order = torch.randperm(len(task.val), generator=torch.Generator().manual_seed(0))
    mixed = replace(task, val=task.val.subset(order))  # classes need not stand together
    for given in (task, mixed):
        (weights,) = importance(DEV, model, given)
        assert weights.numpy() == pytest.approx(by_hand(model, given), rel=1e-2)
        assert weights.std() > 0.1


def test_other_measures_take_none(model, task):
    assert importance(task.target.selection, model, task) == []
    assert importance(task.target.blind["information"], model, task) == []


def test_a_predictor_without_features_is_refused(task):
    class LogitsAlone:
        pass

    with pytest.raises(Unsupported, match="LogitsAlone gives logits alone: select by information"):
        importance(DEV, LogitsAlone(), task)


def test_training_keeps_the_state_of_the_least_risk_and_trials_are_scored_alike(task):
    backbone, run = small_backbone(), a_run(steps=40)
    run.evaluations, run.patience = 20, 2
    model = fit(Recipe(backbone, backbone.parameters_from(0), lr=0.3), task, run)
    values = [value for _, value in run.curve]
    assert values[-1] < max(values)
    logits, labels = model.logits(task.val.inputs), task.val.labels
    shares, weights = logits.double().softmax(1).numpy(), by_hand(model, task)
    losses = [log_loss([y], p[None], labels=range(5)) for y, p in zip(labels, shares, strict=True)]
    weighted = weights * losses
    slope = np.polyfit(weights, weighted, 1)[0]  # what the control variate takes off
    risk = weighted.mean() - slope * (weights.mean() - 1)
    assert max(values) == pytest.approx(-risk, rel=2e-2)
    val = Validation([task], [task.val.inputs], [labels], task.measure)
    assert val.score([logits], model) == (max(values), max(values))
