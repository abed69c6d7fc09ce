"""Distillation against the paper's formula in float64, with a teacher of scikit-learn's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.logistic_probe import LogisticProbe
from harness_plugins.tricks.distill import Answers, Distill
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from harness.api import Batch, OneClass, Task, fit
from harness.testing import (
    RegulariserChecks,
    TrickChecks,
    a_run,
    digits,
    residual_backbone,
    shots,
    small_backbone,
    teacher,
)


class TestDistill(TrickChecks):
    trick = Distill()


class TestAnswers(RegulariserChecks):
    def given(self, backbone, task, run):
        return Answers("teacher", task, run, temperature=4.0, weight=1.0)


@pytest.fixture(scope="module")
def task():
    return Task(shots(digits(small_backbone()), 12, 5), OneClass.of(5))


def test_the_teacher_answers_by_a_logistic_regression_on_its_own_features(task):
    answers = Answers("teacher", task, a_run(), temperature=1.0, weight=1.0)
    answers.started(None)
    second = teacher()
    with torch.no_grad():
        seen = second.backbone.features(second.inputs(task.train.inputs)[:]).double()
    seen = seen - seen.mean(0)
    seen = (seen / seen.square().mean().sqrt()).numpy()
    labels = task.train.labels.numpy()
    model = LogisticRegression(
        C=1 / (len(seen) * LogisticProbe.defaults["l2"]), tol=1e-10, max_iter=10000
    )
    expected = model.fit(seen, labels).predict_proba(seen)
    found = answers.answers.softmax(1).numpy()
    assert found == pytest.approx(expected, abs=2e-2)
    assert found.argmax(1).tolist() == expected.argmax(1).tolist()


def test_it_is_the_divergence_of_softened_answers():
    """T² · 1/n Σ_i Σ_c p_c log (p_c / q_c) with p = softmax(z / T), written out."""

    class Model:
        backbone, entry = small_backbone(), 0

        def forward(self, inputs, stored):
            return inputs

        def classify(self, features):
            return features

    draws = np.random.default_rng(0)
    theirs, mine = draws.normal(size=(6, 3)), draws.normal(size=(2, 3))
    answers = Answers("teacher", None, a_run(), temperature=3.0, weight=0.7)
    answers.register_buffer("answers", torch.tensor(theirs, dtype=torch.float32))
    index = torch.tensor([4, 1])
    logits = torch.tensor(mine, dtype=torch.float32)
    batch = Batch(Model(), logits, None, index, 0.0, torch.Generator())
    p, log_p = softmax(theirs[[4, 1]] / 3, axis=1), log_softmax(theirs[[4, 1]] / 3, axis=1)
    expected = 0.7 * 9 * (p * (log_p - log_softmax(mine / 3, axis=1))).sum() / 2
    assert answers.penalty(batch).item() == pytest.approx(expected, rel=1e-5)


def test_the_student_comes_to_answer_as_its_teacher_does(task):
    backbone, run = residual_backbone(), a_run(steps=60)
    plain = FullFinetune().recipe(backbone, task, {**FullFinetune.defaults, "lr": 1e-2}, run)
    answers = Answers("teacher", task, run, temperature=2.0, weight=3.0)
    answers.started(None)
    expected = (answers.answers / 2).softmax(1)
    apart = []
    for regularisers in ([answers], []):
        model = fit(replace(plain, regularisers=regularisers), task, run)
        found = (model.logits(task.train.inputs) / 2).softmax(1)
        apart.append((found - expected).abs().sum(1).mean().item())
    assert apart[0] < 0.8 * apart[1]


def test_it_names_its_teacher_to_whoever_lends_it():
    assert FullFinetune().backbones() == {}
    amended = FullFinetune().with_tricks([Distill(teacher="large")])
    assert amended.backbones() == {"distill.teacher": "large"}
