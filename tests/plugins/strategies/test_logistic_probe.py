"""The probe is a logistic regression of standardised features, alone or in a batch."""

import pytest
import torch
import torch.nn.functional as F
from harness_plugins.strategies import logistic_probe
from harness_plugins.strategies._logistic_regression import solve
from harness_plugins.strategies.logistic_probe import LogisticProbe
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression

from harness.api import OneClass, Task, Unsupported
from harness.run import costs
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestLogisticProbe(StrategyChecks):
    strategy = LogisticProbe()


@pytest.fixture(scope="module")
def backbone():
    return small_backbone()


@pytest.fixture(scope="module")
def examples(backbone):
    return digits(backbone)


def log_probabilities(predictor, queries):
    return predictor.logits(queries.inputs).double().log_softmax(1)


def test_predicts_as_scikit_learns_logistic_regression_does(backbone, examples):
    task, queries = Task(shots(examples, 30, 10), OneClass.of(10)), shots(examples, 5, 10, skip=30)
    with torch.no_grad():
        train, test = (backbone(e.inputs[:]).double() for e in (task.train, queries))
    centre = train.mean(0)
    scale = (train - centre).square().mean().sqrt()
    model = LogisticRegression(C=1 / (300 * 1e-2), tol=1e-9, max_iter=5000)
    model.fit(((train - centre) / scale).numpy(), task.train.labels.numpy())
    expected = torch.tensor(model.predict_log_proba(((test - centre) / scale).numpy()))
    found = log_probabilities(LogisticProbe().adapt(backbone, task, {"l2": 1e-2}, a_run()), queries)
    assert torch.allclose(found.exp(), expected.exp(), atol=0.03)


def test_settings_and_tasks_in_one_batch_come_out_as_each_alone(backbone, examples):
    """Two tasks of one size with the same two settings, and a larger one with a third."""
    first, second = (Task(shots(examples, 4, 5, skip=skip), OneClass.of(5)) for skip in (0, 4))
    larger, queries = Task(shots(examples, 6, 10), OneClass.of(10)), shots(examples, 5, 5, skip=20)
    pairs = [(first, 1e-1), (larger, 1e-2), (second, 1e-1), (first, 1e-3), (second, 1e-3)]
    batch = [(task, {"l2": l2}) for task, l2 in pairs]
    for (task, hp), together in zip(
        batch, LogisticProbe().adapt_batch(backbone, batch, a_run()), strict=True
    ):
        alone = LogisticProbe().adapt(backbone, task, hp, a_run())
        both = [log_probabilities(predictor, queries).exp() for predictor in (together, alone)]
        assert torch.allclose(both[0], both[1], atol=0.03)


def test_a_weaker_penalty_fits_the_training_examples_better(backbone, examples):
    task = Task(shots(examples, 20, 10), OneClass.of(10))
    batch = [(task, {"l2": l2}) for l2 in (1.0, 1e-1, 1e-2, 1e-3, 1e-4)]
    losses = [
        F.cross_entropy(predictor.logits(task.train.inputs), task.train.labels).item()
        for predictor in LogisticProbe().adapt_batch(backbone, batch, a_run())
    ]
    assert losses == sorted(losses, reverse=True)


def test_the_saved_head_takes_features_as_centred_and_scaled_by_the_file(
    backbone, examples, tmp_path
):
    task, queries = Task(shots(examples, 10, 5), OneClass.of(5)), shots(examples, 5, 5, skip=10)
    predictor = LogisticProbe().adapt(backbone, task, {"l2": 1e-2}, a_run())
    predictor.save(tmp_path / "head.safetensors")
    head = load_file(tmp_path / "head.safetensors")
    with torch.no_grad():
        features = (backbone(queries.inputs[:]) - head["head.centre"]) / head["head.scale"]
        logits = F.linear(features, head["head.weight"], head["head.bias"])
    assert torch.allclose(logits, predictor.logits(queries.inputs), atol=1e-3)


def test_features_come_from_the_runs_store_and_are_billed(backbone, examples):
    run = a_run()
    LogisticProbe().adapt(backbone, Task(shots(examples, 10, 5), OneClass.of(5)), {"l2": 1e-2}, run)
    assert run.clock.seconds["features"] > 0


def test_its_flops_are_counted_whatever_the_budget_of_steps(backbone, examples):
    """At least the features of 50 images, and the first gradient: two products ``n (D + 1) C``."""
    task = Task(shots(examples, 10, 5), OneClass.of(5))
    counts = {
        steps: costs.adapting(LogisticProbe(), backbone, task, {"l2": 1e-2}, a_run(), steps)
        for steps in (1, 500, None)
    }
    inputs = task.train.inputs
    least = 50 * costs.flops_each(backbone.features, inputs) + 2 * 2 * 50 * 9 * 5
    assert len(set(counts.values())) == 1
    assert least < counts[1] < 10 * least


def test_no_penalty_is_refused(backbone, examples):
    task = Task(shots(examples, 2, 2), OneClass.of(2))
    with pytest.raises(Unsupported, match="l2 must be positive"):
        LogisticProbe().adapt(backbone, task, {"l2": 0.0}, a_run())


@pytest.mark.parametrize(("precision", "dtype"), [("highest", "float32"), ("high", "float64")])
def test_is_solved_in_float64_where_products_of_float32_may_be_rounded(
    backbone, examples, monkeypatch, precision, dtype
):
    seen = []

    def watched(features, *rest):
        seen.append(features.dtype)
        return solve(features, *rest)

    monkeypatch.setattr(logistic_probe, "solve", watched)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: precision)
    LogisticProbe().adapt(
        backbone, Task(shots(examples, 2, 2), OneClass.of(2)), {"l2": 1e-2}, a_run()
    )
    assert seen == [getattr(torch, dtype)]
