"""The SVM probe against scikit-learn's LinearSVC, which calls LIBLINEAR."""

import pytest
import torch
from harness_plugins.strategies import svm_probe
from harness_plugins.strategies.svm_probe import SvmProbe
from sklearn.svm import LinearSVC

from harness.api import Diverged, OneClass, Task, Unsupported
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestSvmProbe(StrategyChecks):
    strategy = SvmProbe()


def libsvm(examples, l2):
    """LinearSVC regularises its bias, but for a factor that is large here."""
    return LinearSVC(
        C=1 / (examples * l2), dual=False, intercept_scaling=1e3, tol=1e-10, max_iter=100_000
    )


@pytest.mark.parametrize("examples", [9, 90], ids=["fewer examples", "more examples"])
@pytest.mark.parametrize("l2", [1e-3, 1.0])
def test_solves_as_liblinear_does(examples, l2):
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(examples) % 3
    features = torch.randn(examples, 20, generator=draws, dtype=torch.float64) + labels[:, None] / 3
    features -= features.mean(0)
    model = libsvm(examples, l2).fit(features.numpy(), labels.numpy())
    settings = [{"l2": l2}, {"l2": 0.1}]
    (weight, bias), _ = SvmProbe().solve(features, labels, 3, settings)
    assert torch.allclose(weight, torch.from_numpy(model.coef_), atol=1e-4)
    assert torch.allclose(bias, torch.from_numpy(model.intercept_), atol=1e-4)


def test_predicts_as_liblinear_does_on_standardised_features():
    backbone = small_backbone()
    examples = digits(backbone)
    task, queries = Task(shots(examples, 30, 10), OneClass.of(10)), shots(examples, 5, 10, skip=30)
    with torch.no_grad():
        train, test = (backbone(e.inputs[:]).double() for e in (task.train, queries))
    centre = train.mean(0)
    scale = (train - centre).square().mean().sqrt()
    model = libsvm(300, 1e-2).fit(((train - centre) / scale).numpy(), task.train.labels.numpy())
    expected = torch.from_numpy(model.decision_function(((test - centre) / scale).numpy()))
    predictor = SvmProbe().adapt(backbone, task, {"l2": 1e-2}, a_run())
    assert torch.allclose(predictor.logits(queries.inputs).double(), expected, atol=1e-3)


def test_a_class_without_examples_is_on_no_side():
    features = torch.eye(4, dtype=torch.float64) - 0.25
    ((weight, bias),) = SvmProbe().solve(features, torch.tensor([0, 0, 1, 1]), 3, [{"l2": 1e-2}])
    assert torch.allclose(weight[2], torch.zeros(4, dtype=torch.float64), atol=1e-6)
    assert bias[2].item() == pytest.approx(-1)


def test_what_is_not_solved_is_told(monkeypatch):
    monkeypatch.setattr(svm_probe, "ITERATIONS", 1)
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 10, 3), OneClass.of(3))
    with pytest.raises(Diverged, match="no optimum within 1 iterations"):
        SvmProbe().adapt(backbone, task, SvmProbe.defaults, a_run())


def test_no_penalty_is_refused():
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 2, 2), OneClass.of(2))
    with pytest.raises(Unsupported, match="l2 must be positive"):
        SvmProbe().adapt(backbone, task, {"l2": 0.0}, a_run())
