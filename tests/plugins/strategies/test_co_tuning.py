"""Co-tuning against scikit-learn's regression and Bayes' rule in loops."""

import copy

import numpy as np
import pytest
import torch
from harness_plugins.strategies._source_head import source_logits, with_source_head
from harness_plugins.strategies.co_tuning import (
    PENALTIES,
    CoTuning,
    SourceClasses,
    relationship,
)
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn

from harness.api import Batch, OneClass, Source, Task
from harness.testing import (
    RegulariserChecks,
    StrategyChecks,
    a_run,
    digits,
    shots,
    small_backbone,
)


class TestCoTuning(StrategyChecks):
    strategy = CoTuning()


class TestSourceClasses(RegulariserChecks):
    def given(self, backbone, task, run):
        draws = torch.Generator().manual_seed(0)
        found = torch.rand(task.classes, 6, generator=draws).softmax(1)
        return SourceClasses(nn.Linear(8, 6), found, 2.0)


@pytest.fixture(scope="module")
def given():
    """A backbone that knows seven digits, and a task of five with validation."""
    backbone = small_backbone()
    examples = digits(backbone)
    source = Source(shots(examples, 40, 7), OneClass.of(7))
    task = Task(shots(examples, 20, 5, skip=40), OneClass.of(5), shots(examples, 20, 5, skip=60))
    return with_source_head(copy.deepcopy(backbone), source, a_run()).eval(), task


def reversed_by_hand(train, labels, val, val_labels, penalties):
    """p(source | class) = p(class | source) p(source) / p(class), class by class."""
    models = [
        LogisticRegression(C=1 / (len(train) * penalty), tol=1e-12, max_iter=100000).fit(
            train, labels
        )
        for penalty in penalties
    ]
    losses = [log_loss(val_labels, model.predict_proba(val)) for model in models]
    model = models[int(np.argmin(losses))]
    sure = model.predict_proba(np.eye(train.shape[1]))
    prior = train.mean(0)
    found = np.empty((len(model.classes_), train.shape[1]))
    for own in range(found.shape[0]):
        evidence = sum(sure[s, own] * prior[s] for s in range(train.shape[1]))
        for source in range(train.shape[1]):
            found[own, source] = sure[source, own] * prior[source] / evidence
    return found, int(np.argmin(losses))


def shares(backbone, task, examples):
    logits = source_logits(backbone, task, examples.inputs, a_run())
    return softmax(logits.double().numpy(), axis=1)


def test_the_relationship_is_a_regression_turned_round(given):
    backbone, task = given
    seen = [shares(backbone, task, part) for part in (task.train, task.val)]
    labels = [part.labels.numpy() for part in (task.train, task.val)]
    expected, chosen = reversed_by_hand(seen[0], labels[0], seen[1], labels[1], PENALTIES)
    found = relationship(backbone, task, a_run())
    assert found.numpy() == pytest.approx(expected, abs=2e-2)
    assert found.sum(1).numpy() == pytest.approx(np.ones(5), abs=1e-5)
    assert found.max(1).values.min() > 2 / 7  # each class stands for some more than for others
    assert chosen > 0


def test_without_validation_one_penalty_is_taken(given):
    backbone, task = given
    seen, labels = shares(backbone, task, task.train), task.train.labels.numpy()
    expected, _ = reversed_by_hand(seen, labels, seen, labels, (1e-3,))
    found = relationship(backbone, Task(task.train, task.target), a_run())
    assert found.numpy() == pytest.approx(expected, abs=2e-2)


def test_it_is_the_papers_loss_of_the_sources_head_also_of_mixed_labels():
    class Model:
        backbone, entry = small_backbone(), 0

        def forward(self, inputs, stored):
            return inputs

    draws = np.random.default_rng(0)
    related = softmax(draws.normal(size=(3, 5)), axis=1)
    features, head = draws.normal(size=(2, 4)), nn.Linear(4, 5)
    loss = SourceClasses(head, torch.tensor(related, dtype=torch.float32), 0.5)
    weight, bias = (p.detach().double().numpy() for p in head.parameters())
    told = log_softmax(features @ weight.T + bias, axis=1)
    shown, index = torch.tensor(features, dtype=torch.float32), torch.arange(2)
    for targets, wanted in (
        (torch.tensor([2, 0]), related[[2, 0]]),
        (torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8]]), None),
    ):
        expected = targets.double().numpy() @ related if wanted is None else wanted
        batch = Batch(Model(), shown, targets, index, 0.0, torch.Generator())
        value = -0.5 * (expected * told).sum() / 2
        assert loss.penalty(batch).item() == pytest.approx(value, rel=1e-5)
