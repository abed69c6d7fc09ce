"""Ridge regression in closed form against scikit-learn's, and its gradient against differences."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness_plugins.meta._meta_gradient import batched
from harness_plugins.meta._side_by_side import side_by_side
from harness_plugins.strategies.r2d2 import R2D2, Ridge, ridge
from sklearn import linear_model

from harness.api import HarnessError, OneClass, Source, SourceEpisode, Task
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestR2D2(StrategyChecks):
    strategy = R2D2(tasks=1)
    settings = {"meta_steps": 8}  # it is cut short after seven


def drawn(count, width):
    draws = torch.Generator().manual_seed(0)
    features = torch.randn(count, width, dtype=torch.float64, generator=draws)
    return features, F.one_hot(torch.arange(count) % 3, 3).double()


@pytest.mark.parametrize(("count", "width"), [(6, 20), (20, 6), (7, 7)])
@pytest.mark.parametrize("penalty", [0.05, 3.0])
def test_weights_are_scikit_learns(count, width, penalty):
    features, targets = drawn(count, width)
    model = linear_model.Ridge(alpha=penalty, fit_intercept=False, tol=1e-12)
    model.fit(features.numpy(), targets.numpy())
    found = ridge(features, targets, torch.tensor(penalty, dtype=torch.float64))
    assert np.allclose(found.T.numpy(), model.coef_, atol=1e-9)


@pytest.mark.parametrize(("count", "width"), [(3, 5), (5, 3)])
def test_the_gradient_agrees_with_differences(count, width):
    features, targets = drawn(count, width)
    penalty = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ridge, (features.requires_grad_(), targets, penalty))


def test_adapting_is_scikit_learns_ridge_on_features_by_the_examples_statistics():
    backbone = small_backbone()
    backbone.extras = {"log_penalty": torch.tensor(-1.0), "log_scale": torch.tensor(1.5)}
    task = Task(shots(digits(backbone), 2, 3), OneClass.of(3))
    queries = shots(digits(backbone), 4, 3, skip=2)
    logits = R2D2().adapt(backbone, task, {}, a_run()).logits(queries.inputs)
    own = small_backbone().train()
    for module in own.modules():
        module.momentum = 1.0  # of a norm: the statistics of the last pass
    with torch.no_grad():
        own(task.train.inputs[:])
        support, query = (
            own.eval()(inputs[:]).double().numpy() for inputs in (task.train.inputs, queries.inputs)
        )
    model = linear_model.Ridge(alpha=np.exp(-1.0), fit_intercept=False)
    model.fit(support, np.eye(3)[task.train.labels.numpy()])
    assert np.allclose(logits.numpy(), np.exp(1.5) * model.predict(query), atol=1e-4)


@pytest.mark.parametrize("way", [side_by_side, batched])
def test_penalty_and_scale_have_the_gradient_that_differences_show(way):
    backbone = small_backbone().double()
    examples = digits(backbone)
    support, query = shots(examples, 2, 3), shots(examples, 4, 3, skip=2)
    episode = SourceEpisode(support.inputs[:], support.labels, query.inputs[:], query.labels)
    values = torch.tensor([-1.0, 1.5], dtype=torch.float64)

    def loss(values):
        extras = [value.clone().requires_grad_() for value in values]
        backbone.extras = dict(zip(["log_penalty", "log_scale"], extras, strict=True))
        with way(backbone, Ridge(3), 1) as meta_gradient:
            return meta_gradient([episode])

    gradient = torch.stack(loss(values)[1][-2:])
    for place in range(2):
        away = torch.eye(2, dtype=torch.float64)[place] * 1e-5
        difference = (loss(values + away)[0] - loss(values - away)[0]) / 2e-5
        assert gradient[place].item() == pytest.approx(difference.item(), rel=1e-5)


def test_meta_training_learns_both_and_makes_new_examples_easier():
    """Meta-trained on some images of five digits, adapted to and tested on others."""
    backbone, strategy = small_backbone(), R2D2(tasks=2)
    examples = digits(backbone)
    source = Source(shots(examples, 100, 5), OneClass.of(5))
    hp = {"meta_lr": 1e-2, "meta_steps": 30}
    query = shots(examples, 30, 5, skip=130)

    def accuracy(start):
        correct = []
        for first in range(100, 110):
            task = Task(shots(examples, 1, 5, skip=first), OneClass.of(5))
            logits = strategy.adapt(start, task, {}, a_run()).logits(query.inputs)
            correct.append((logits.argmax(1) == query.labels).float().mean())
        return torch.stack(correct).mean().item()

    trained = strategy.prepare(small_backbone(), source, hp, a_run()).eval()
    first = strategy.extras()
    assert {n: t.item() != pytest.approx(first[n]) for n, t in trained.extras.items()} == {
        "log_penalty": True,
        "log_scale": True,
    }
    assert not any(tensor.requires_grad for tensor in trained.extras.values())
    assert accuracy(trained) > accuracy(backbone) + 0.1


def test_too_few_source_classes_are_refused():
    with pytest.raises(HarnessError, match="too few for episodes of 20 ways"):
        R2D2(ways=20).check_source([30] * 10)
