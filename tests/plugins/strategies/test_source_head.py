"""The head of the source's classes, against scikit-learn."""

import copy

import pytest
import torch
from harness_plugins.strategies._source_head import source_head, source_logits, with_source_head
from sklearn.linear_model import LogisticRegression

from harness.api import OneClass, Source, Task
from harness.testing import a_run, digits, residual_backbone, shots, small_backbone


def test_it_is_a_logistic_regression_of_the_sources_classes():
    backbone = small_backbone()
    examples = digits(backbone)
    source = Source(shots(examples, 20, 6), OneClass.of(6))
    prepared = with_source_head(copy.deepcopy(backbone), source, a_run()).eval()
    with torch.no_grad():
        seen = backbone.features(source.examples.inputs[:]).double()
    centre = seen.mean(0)
    scale = (seen - centre).square().mean().sqrt()
    seen = ((seen - centre) / scale).numpy()
    model = LogisticRegression(C=1 / (len(seen) * 1e-3), tol=1e-10, max_iter=10000)
    expected = model.fit(seen, source.examples.labels.numpy()).predict_proba(seen)
    task = Task(source.examples, OneClass.of(6))
    found = source_logits(prepared, task, source.examples.inputs, a_run()).softmax(1)
    assert found.numpy() == pytest.approx(expected, abs=2e-2)
    assert prepared.digest() == backbone.digest()


def test_it_is_as_sure_as_it_is_right():
    """On examples that it was not fitted to: answers that say nothing are not worth keeping."""
    backbone = residual_backbone()
    examples = digits(backbone)
    target = OneClass.of(10)
    prepared = with_source_head(backbone, Source(shots(examples, 100, 10), target), a_run()).eval()
    unseen = shots(examples, 60, 10, skip=100)
    told = source_logits(prepared, Task(unseen, target), unseen.inputs, a_run()).softmax(1)
    sure, label = told.max(1)
    right = (label == unseen.labels).float().mean().item()
    assert sure.mean().item() == pytest.approx(right, abs=0.1)


def test_each_asks_for_a_copy_of_its_own():
    backbone = small_backbone()
    source = Source(shots(digits(backbone), 4, 3), OneClass.of(3))
    prepared = with_source_head(backbone, source, a_run())
    first, second = source_head(prepared), source_head(prepared)
    assert torch.equal(first.weight, second.weight)
    with torch.no_grad():
        first.weight.zero_()
    assert torch.equal(source_head(prepared).weight, second.weight)


def test_without_a_source_it_is_the_one_that_weights_bring():
    backbone = small_backbone()
    weight, bias = torch.randn(6, 8), torch.randn(6)
    backbone.extras = {"source_head.weight": weight, "source_head.bias": bias}
    head = source_head(with_source_head(backbone, None, a_run()))
    assert torch.equal(head.weight, weight)
    assert torch.equal(head.bias, bias)
