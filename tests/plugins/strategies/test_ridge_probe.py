"""The ridge probe against scikit-learn's Ridge."""

import pytest
import torch
from harness_plugins.strategies.ridge_probe import RidgeProbe
from sklearn.linear_model import Ridge

from harness.api import Diverged, OneClass, Task, Unsupported
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestRidgeProbe(StrategyChecks):
    strategy = RidgeProbe()


@pytest.mark.parametrize("examples", [6, 60], ids=["fewer examples", "more examples"])
@pytest.mark.parametrize("l2", [1e-3, 10.0])
def test_solves_as_scikit_learns_ridge_does(examples, l2):
    """Fewer, or more, examples than features; a class has no example."""
    draws = torch.Generator().manual_seed(0)
    features = torch.randn(examples, 20, generator=draws, dtype=torch.float64)
    features -= features.mean(0)
    labels = torch.arange(examples) % 3
    model = Ridge(alpha=examples * l2, solver="svd").fit(features, torch.eye(4)[labels])
    settings = [{"l2": 0.5}, {"l2": l2}]
    _, (weight, bias) = RidgeProbe().solve(features, labels, 4, settings)
    assert torch.allclose(weight, torch.from_numpy(model.coef_), atol=1e-10)
    assert torch.allclose(bias, torch.from_numpy(model.intercept_), atol=1e-10)


def test_predicts_as_scikit_learns_ridge_does_on_standardised_features():
    backbone = small_backbone()
    examples = digits(backbone)
    task, queries = Task(shots(examples, 30, 10), OneClass.of(10)), shots(examples, 5, 10, skip=30)
    with torch.no_grad():
        train, test = (backbone(e.inputs[:]).double() for e in (task.train, queries))
    centre = train.mean(0)
    scale = (train - centre).square().mean().sqrt()
    model = Ridge(alpha=300 * 1e-2).fit((train - centre) / scale, torch.eye(10)[task.train.labels])
    expected = torch.from_numpy(model.predict((test - centre) / scale))
    batch = [(task, {"l2": l2}) for l2 in (1.0, 1e-2)]
    _, predictor = RidgeProbe().adapt_batch(backbone, batch, a_run())
    assert torch.allclose(predictor.logits(queries.inputs).double(), expected, atol=1e-4)


def test_settings_and_tasks_in_one_batch_come_out_as_each_alone():
    backbone = small_backbone()
    examples = digits(backbone)
    first, second = (Task(shots(examples, 4, 5, skip=skip), OneClass.of(5)) for skip in (0, 4))
    batch = [(task, {"l2": l2}) for task, l2 in [(first, 1e-1), (second, 1e-1), (first, 1e-3)]]
    together = RidgeProbe().adapt_batch(backbone, batch, a_run())
    for (task, hp), predictor in zip(batch, together, strict=True):
        alone = RidgeProbe().adapt(backbone, task, hp, a_run())
        assert torch.equal(alone.head.weight, predictor.head.weight)
        assert torch.equal(alone.head.bias, predictor.head.bias)


def test_no_penalty_is_refused():
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 2, 2), OneClass.of(2))
    with pytest.raises(Unsupported, match="l2 must be positive"):
        RidgeProbe().adapt(backbone, task, {"l2": 0.0}, a_run())


def test_features_that_are_not_finite_are_told():
    backbone = small_backbone()
    with torch.no_grad():
        backbone.body[2][0].weight.fill_(torch.inf)
    task = Task(shots(digits(backbone), 2, 2), OneClass.of(2))
    with pytest.raises(Diverged, match="features are not finite"):
        RidgeProbe().adapt(backbone, task, RidgeProbe.defaults, a_run())
